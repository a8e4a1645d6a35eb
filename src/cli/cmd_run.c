/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan run: a QEMU line as it is, its user networks served by us. */
#include <arpa/inet.h>
#include <stdio.h>

#include "guest.h"
#include "guest_bridge.h"
#include "line.h"
#include "log.h"
#include "qemu_explain.h"

struct run_options {
	struct user_conf conf; /* what goes for each network */
	bool dry_run, no_vhost_user;
};

/* A run under way. */
struct run {
	struct run_options options;
	struct cli_args args;
	struct cli_line line;
	struct guest_network *networks; /* heap; plan.n_networks */
	struct guest_tap *taps;         /* heap; plan.n_taps */
	struct guest_monitor monitor;
	char monitor_path[32];  /* of -readconfig */
	struct qemu_opts name;  /* the values of -name */
	char **new_argv;                /* heap */
};

static bool set_mtu(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_mtu(value, &((struct run_options *)target)->conf.mtu, e);
}

static bool set_busy_poll(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_busy_poll(value, &((struct run_options *)target)->conf.busy_poll_us, e);
}

static bool set_pcap(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_path(value, ((struct run_options *)target)->conf.pcap, e);
}

#define FLAG(field) .flag = offsetof(struct run_options, field)

static const struct cli_option options[] = {
	{"dry-run", 'n', NULL, "print what would be started, and start nothing", FLAG(dry_run)},
	{"mtu", 0, "BYTES", "576 to 65520: the MTU that DHCP tells the guest", set_mtu},
	{"busy-poll-us", 0, "N", "look into vhost-user rings for N us before sleep [0]", set_busy_poll},
	{"pcap", 0, "FILE", "write all frames to FILE (of a 2nd network to FILE.1)", set_pcap},
	{"no-vhost-user", 0, NULL, "leave the guest's memory alone: frames pass a socket", FLAG(no_vhost_user)},
	{"stats", 0, NULL, "print counters at the end", FLAG(conf.stats)},
	{"no-host-loopback", 0, NULL, "the router's address does not lead to the host's own",
		FLAG(conf.no_host_loopback)},
	{"no-host", 0, NULL, "nor does any other address of the host", FLAG(conf.no_host)},
	{"debug", 0, NULL, "say what is going on", FLAG(conf.debug)},
	{"no-peek-off", 0, NULL, "do without SO_PEEK_OFF (for tests)", FLAG(conf.no_peek_off)},
	{"no-sandbox", 0, NULL, "do not confine the engine (for tests)", FLAG(conf.no_sandbox)},
};

static void run_done(struct run *r)
{
	for (unsigned int i = 0; r->networks && i < r->line.plan.n_networks; i++)
		guest_cable_done(&r->networks[i]);
	for (unsigned int i = 0; r->taps && i < r->line.plan.n_taps; i++)
		guest_tap_close(&r->taps[i]);
	free(r->networks);
	free(r->taps);
	guest_monitor_done(&r->monitor);
	qemu_opts_done(&r->name);
	r->new_argv = qemu_argv_free(r->new_argv);
	cli_line_done(&r->line);
	cli_args_done(&r->args);
}

/* What was said for all networks, in each. */
static bool apply_options(const struct run_options *o, unsigned int i, struct user_conf *c)
{
	int n;

	guest_network_inherit(c, &o->conf);
	if (!o->conf.pcap[0])
		return true;
	n = i ? snprintf(c->pcap, sizeof(c->pcap), "%s.%u", o->conf.pcap, i)
	      : snprintf(c->pcap, sizeof(c->pcap), "%s", o->conf.pcap);
	return n > 0 && (size_t)n < sizeof(c->pcap);
}

/* Cables to all networks. fds: QEMU's ends. 0 or -errno. */
static int make_cables(struct run *r, int *fds)
{
	unsigned int n = r->line.plan.n_networks;

	r->networks = calloc((size_t)n + 1, sizeof(*r->networks));
	if (!r->networks)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++) {
		r->networks[i] = GUEST_NETWORK_NONE;
		r->networks[i].conf = &r->line.plan.networks[i].conf;
		r->networks[i].hub = r->line.plan.networks[i].hub;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct guest_network *g = &r->networks[i];
		int x;

		g->name = r->line.plan.networks[i].name;
		g->by_vhost = r->line.plan.networks[i].by_vhost;
		if (!apply_options(&r->options, i, g->conf))
			return -ENAMETOOLONG;
		x = guest_cable_new(g);
		if (x < 0)
			return x;
		fds[i] = g->guest_fd;
	}
	return 0;
}

/* All taps; of a dry run only their numbers. 0, or the exit status. */
static int make_taps(struct run *r)
{
	unsigned int n = r->line.plan.n_taps;

	r->taps = calloc((size_t)n + 1, sizeof(*r->taps));
	if (!r->taps) {
		log_error("no memory");
		return CLI_FAILED;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct qemu_tap *t = &r->line.plan.taps[i];

		if ((r->options.dry_run  ? guest_tap_pretend(t, &r->taps[i])
			    : t->bridge[0] ? guest_bridge_make(t, &r->taps[i])
					   : guest_tap_make(t, &r->taps[i])) < 0)
			return CLI_FAILED;
	}
	return 0;
}

/* "-readconfig PATH" at the end of the new line. 0 or -errno. */
static int add_monitor(struct run *r)
{
	char **argv;
	unsigned int n = 0;
	int x;

	/* Before, a chardev took no descriptor. */
	if (!qemu_version_is_at_least(&r->line.version, 2, 12))
		return 0;
	x = guest_monitor_new(&r->monitor);
	if (x < 0)
		return x;
	(void)snprintf(r->monitor_path, sizeof(r->monitor_path), "/proc/self/fd/%d", r->monitor.config_fd);
	while (r->new_argv[n])
		n++;
	argv = reallocarray(r->new_argv, (size_t)n + 3, sizeof(*argv));
	if (!argv)
		return -ENOMEM;
	r->new_argv = argv;
	argv[n] = strdup("-readconfig");
	argv[n + 1] = argv[n] ? strdup(r->monitor_path) : NULL;
	argv[n + 2] = NULL;
	return argv[n] && argv[n + 1] ? 0 : -ENOMEM;
}

/* What -name calls the guest, or NULL. */
static const char *name_of(struct run *r)
{
	for (unsigned int i = 0; i < r->line.line.n_parts; i++) {
		const struct qemu_part *p = &r->line.line.parts[i];

		if (!p->name || strcmp(p->name, "name") != 0 || !p->value)
			continue;
		qemu_opts_done(&r->name);
		if (qemu_opts_parse(p->value, "guest", &r->name) < 0)
			return NULL;
	}
	return qemu_opts_value(&r->name, "guest");
}

/* Everything that QEMU inherits, and the line with its numbers. 0, or the exit status. */
static int prepare(struct run *r)
{
	_cleanup_free_ int *fds = calloc((size_t)r->line.plan.n_networks + 1, sizeof(*fds));
	int x = fds ? make_cables(r, fds) : -ENOMEM;

	if (x < 0) {
		log_error("cannot prepare the networks: %s", strerror(-x));
		return CLI_FAILED;
	}
	x = make_taps(r);
	if (x != 0)
		return x;
	r->new_argv = qemu_plan_argv(&r->line.plan, fds);
	x = r->new_argv ? add_monitor(r) : -ENOMEM;
	if (x == 0)
		return 0;
	log_error("cannot prepare QEMU's line: %s", strerror(-x));
	return CLI_FAILED;
}

static void print_addr(const char *before, uint32_t a_be)
{
	char a[INET_ADDRSTRLEN];

	(void)printf("%s%s", before, inet_ntop(AF_INET, &a_be, a, sizeof(a)));
}

static void print_forward(const struct user_conf *c, const struct user_forward *f)
{
	(void)printf("#   %s ", f->proto == IPPROTO_UDP ? "udp" : "tcp");
	print_addr("", f->host_be);
	(void)printf(":%u", f->host_port);
	print_addr(" leads to ", f->guest_be ? f->guest_be : c->dhcp_start_be);
	(void)printf(":%u\n", f->guest_port);
}

static void print_network(const struct guest_network *n, const char *why_stream)
{
	const struct user_conf *c = n->conf;

	(void)printf("# network %s: QEMU's descriptor %d, %s%s%s\n", n->name, n->guest_fd,
		n->by_vhost ? "for vhost-user" : "a socket", *why_stream ? " rather than vhost-user: " : "", why_stream);
	print_addr("#   ", c->net_be);
	(void)printf("/%d", __builtin_popcount(c->mask_be));
	print_addr(", router ", c->host_be);
	print_addr(", name server ", c->dns_be);
	print_addr(", guests from ", c->dhcp_start_be);
	(void)printf("%s\n", c->restricted ? ", restricted" : "");
	if (c->pcap[0])
		(void)printf("#   capture to %s\n", c->pcap);
	for (unsigned int i = 0; i < c->n_forwards; i++)
		print_forward(c, &c->forwards[i]);
}

static void print_tap(const struct guest_tap *t)
{
	const struct qemu_tap *s = t->spec;
	struct network_error e = {0};
	struct guest_bridge b = {0};

	if (s->bridge[0])
		(void)guest_bridge_find(s, &b, &e);
	(void)printf("# tap %s: make interface %s%s%s", s->name, t->ifname,
		s->n_queues > 1 ? " with several queues" : "", s->vnet_hdr ? "" : " without offloads");
	if (s->bridge[0])
		(void)printf(" on the bridge %s%s", b.name[0] ? b.name : s->is_network ? "of its network" : s->bridge,
			b.isolated ? ", isolated" : "");
	(void)printf(", QEMU's descriptor %d", s->fds[0]);
	(void)printf(s->n_queues > 1 ? " and the next %u\n" : "\n", s->n_queues - 1);
	if (e.text[0])
		(void)printf("#   which would fail now: %s; to mend it: %s\n", e.text, e.mend);
	if (s->script)
		(void)printf("#   run %s %s\n", s->script, t->ifname);
	if (s->downscript)
		(void)printf("#   when QEMU has ended, run %s %s\n", s->downscript, t->ifname);
}

static int dry_run(const struct run *r)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};

	for (unsigned int i = 0; i < r->line.plan.n_networks; i++)
		print_network(&r->networks[i], r->line.plan.networks[i].why_stream);
	for (unsigned int i = 0; i < r->line.plan.n_taps; i++)
		print_tap(&r->taps[i]);
	if (r->monitor.guest_fd >= 0)
		(void)printf("# control: a monitor for vmlan info, hostfwd and nic, QEMU's descriptor %d, said in %s\n",
			r->monitor.guest_fd, r->monitor_path);
	for (char **a = r->new_argv; *a; a++) {
		qemu_text_add_quoted(&t, *a);
		qemu_text_add(&t, a[1] ? " " : "\n");
	}
	if (t.bad || fputs(t.p, stdout) < 0)
		return CLI_FAILED;
	return fflush(stdout) != 0 || ferror(stdout) ? CLI_FAILED : 0;
}

static int go(struct run *r)
{
	int x = prepare(r);

	if (x != 0)
		return x;
	if (r->options.dry_run)
		return dry_run(r);
	return guest_run(&(struct guest_config){
		.argv = r->new_argv,
		.version = &r->line.version,
		.name = name_of(r),
		.default_model = qemu_line_default_model(&r->line.line),
		.common = &r->options.conf,
		.networks = r->networks,
		.n_networks = r->line.plan.n_networks,
		.taps = r->taps,
		.n_taps = r->line.plan.n_taps,
		.monitor = &r->monitor,
		.daemonizes = r->line.line.daemonizes,
	});
}

/* A line that asks for a list starts nothing. */
static int just_run(char **argv)
{
	(void)execvp(argv[0], argv);
	log_error("cannot run %s: %s", argv[0], strerror(errno));
	return CLI_NO_COMMAND - 1;
}

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(run_done) struct run r = {.monitor = {.our_fd = -1, .guest_fd = -1, .config_fd = -1}};
	int status;

	if (!cli_parse(v, argc, argv, &r.options, &r.args))
		return CLI_USAGE;
	if (r.args.help) {
		cli_verb_print_help(v);
		return fflush(stdout) != 0 ? CLI_FAILED : 0;
	}
	if (r.options.conf.debug)
		log_set_level(LOG_LEVEL_DEBUG);
	status = cli_line_make(v, r.args.command, false, !r.options.no_vhost_user, &r.line);
	if (status != 0)
		return status;
	for (unsigned int i = 0; i < r.line.plan.n_notes; i++)
		log_info("%s", r.line.plan.notes[i]);
	for (unsigned int i = 0; i < r.line.plan.n_networks && !r.options.dry_run; i++)
		if (r.line.plan.networks[i].why_stream[0])
			log_info("network %s: by a socket rather than vhost-user: %s", r.line.plan.networks[i].name,
				r.line.plan.networks[i].why_stream);
	return r.line.line.informs && !r.options.dry_run ? just_run(r.line.argv) : go(&r);
}

const struct cli_verb cli_verb_run = {
	.name = "run",
	.synopsis = "[OPTION]... [--] QEMU [ARGUMENT]...",
	.summary = "run a QEMU line as it is, its user networks served by vmlan",
	.details = "  The options -net user, -netdev user and -nic user, or none at all, become\n"
		   "  cables to vmlan's networks; taps are made for QEMU, of -net lan=NETWORK and\n"
		   "  -net bridge,br=BRIDGE on a bridge; words of old become those of today; all\n"
		   "  else passes as it is. 'vmlan explain' says it at length.",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.words_are_command = true,
	.run = run,
};
