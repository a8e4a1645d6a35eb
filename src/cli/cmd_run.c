/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan run: a QEMU line as it is, its user networks served by us. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>

#include "cli.h"
#include "guest.h"
#include "log.h"
#include "qemu_plan.h"

struct run_options {
	struct user_conf conf; /* what goes for each network */
	bool dry_run;
};

/* A run under way. */
struct run {
	struct run_options options;
	struct cli_args args;
	char **argv; /* heap, its strings are others': the line to rewrite */
	int argc;
	struct qemu_line line;
	struct qemu_plan plan;
	struct guest_network *networks; /* heap; plan.n_networks */
	char **new_argv;                /* heap */
};

static bool set_mtu(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_mtu(value, &((struct run_options *)target)->conf.mtu, e);
}

static bool set_pcap(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_path(value, ((struct run_options *)target)->conf.pcap, e);
}

#define FLAG(field) .flag = offsetof(struct run_options, field)

static const struct cli_option options[] = {
	{"dry-run", 'n', NULL, "print what would be started, and start nothing", FLAG(dry_run)},
	{"mtu", 0, "BYTES", "576 to 65520: the MTU that DHCP tells the guest", set_mtu},
	{"pcap", 0, "FILE", "write all frames to FILE (of a 2nd network to FILE.1)", set_pcap},
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
	for (unsigned int i = 0; r->networks && i < r->plan.n_networks; i++)
		guest_cable_done(&r->networks[i]);
	free(r->networks);
	r->new_argv = qemu_argv_free(r->new_argv);
	qemu_plan_done(&r->plan);
	qemu_line_done(&r->line);
	free(r->argv);
	cli_args_done(&r->args);
}

/* Where there is no `kvm`, it is qemu-system-x86_64, with KVM if that can be used. */
static bool replace_kvm(struct run *r)
{
	_cleanup_close_ int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	static char name[] = "qemu-system-x86_64", option[] = "-enable-kvm";
	char path[PATH_MAX];

	if (guest_find_command(name, path) < 0)
		return false;
	log_info("there is no command 'kvm' here: running %s %s", name,
		fd >= 0 ? option : "without KVM, for /dev/kvm cannot be used");
	r->argv[0] = name;
	if (fd >= 0) {
		memmove(r->argv + 2, r->argv + 1, (size_t)r->argc * sizeof(*r->argv));
		r->argv[1] = option;
		r->argc++;
	}
	return true;
}

/* 0, or the exit status. ret_path: where QEMU is. */
static int find_guest(struct run *r, char ret_path[PATH_MAX])
{
	int x = guest_find_command(r->argv[0], ret_path);

	if (x == -ENOENT && strcmp(r->argv[0], "kvm") == 0 && replace_kvm(r))
		x = guest_find_command(r->argv[0], ret_path);
	if (x == 0)
		return 0;
	log_error("cannot run %s: %s", r->argv[0], strerror(-x));
	return x == -ENOENT ? CLI_NO_COMMAND : CLI_NO_COMMAND - 1;
}

/* An argument and the place in it. */
static void print_line_error(const struct cli_verb *v, const struct run *r, const struct qemu_error *q)
{
	struct conf_error e = {.at = q->at, .n_bytes = q->n_bytes};

	(void)snprintf(e.text, sizeof(e.text), "%s", q->text);
	cli_print_error(v, NULL, q->arg >= 0 && q->arg < r->argc ? r->argv[q->arg] : NULL, &e);
}

/* 0, or the exit status. */
static int make_plan(const struct cli_verb *v, struct run *r, const char *path)
{
	struct qemu_version version = {0};
	struct qemu_error e = {.arg = -1};
	char text[4096];
	int x;

	x = qemu_line_parse(r->argc, r->argv, &r->line, &e);
	if (x == 0) {
		if (!r->line.informs && (guest_ask_version(path, text, sizeof(text)) < 0 ||
						!qemu_version_parse(text, &version)))
			log_warn("%s does not say its version; it is joined as QEMU of any age", path);
		x = qemu_plan_make(&r->line, &version, &r->plan, &e);
	}
	if (x == -ENOMEM) {
		log_error("no memory");
		return CLI_FAILED;
	}
	if (x < 0) {
		print_line_error(v, r, &e);
		return CLI_USAGE;
	}
	for (unsigned int i = 0; i < r->plan.n_notes; i++)
		log_info("%s", r->plan.notes[i]);
	return 0;
}

/* What was said for all networks, in each. */
static bool apply_options(const struct run_options *o, unsigned int i, struct user_conf *c)
{
	int n;

	c->mtu = o->conf.mtu;
	c->stats = o->conf.stats;
	c->debug = o->conf.debug;
	c->no_host_loopback = o->conf.no_host_loopback;
	c->no_host = o->conf.no_host;
	c->no_peek_off = o->conf.no_peek_off;
	c->no_sandbox = o->conf.no_sandbox;
	if (!o->conf.pcap[0])
		return true;
	n = i ? snprintf(c->pcap, sizeof(c->pcap), "%s.%u", o->conf.pcap, i)
	      : snprintf(c->pcap, sizeof(c->pcap), "%s", o->conf.pcap);
	return n > 0 && (size_t)n < sizeof(c->pcap);
}

/* Cables to all networks, and the line with their numbers. 0 or -errno. */
static int make_cables(struct run *r)
{
	unsigned int n = r->plan.n_networks;
	_cleanup_free_ int *fds = calloc((size_t)n + 1, sizeof(*fds));
	int x;

	r->networks = calloc((size_t)n + 1, sizeof(*r->networks));
	if (!fds || !r->networks)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++)
		r->networks[i] = (struct guest_network){.guest_fd = -1, .engine_fd = -1, .ready_fd = -1};
	for (unsigned int i = 0; i < n; i++) {
		struct guest_network *g = &r->networks[i];

		g->name = r->plan.networks[i].name;
		g->conf = &r->plan.networks[i].conf;
		if (!apply_options(&r->options, i, g->conf))
			return -ENAMETOOLONG;
		x = guest_cable_new(g);
		if (x < 0)
			return x;
		fds[i] = g->guest_fd;
	}
	r->new_argv = qemu_plan_argv(&r->plan, fds);
	return r->new_argv ? 0 : -ENOMEM;
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

static void print_network(const struct guest_network *n)
{
	const struct user_conf *c = n->conf;

	(void)printf("# network %s: QEMU's descriptor %d\n", n->name, n->guest_fd);
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

/* As a shell reads it back. */
static void print_quoted(const char *s)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,+@%";

	if (*s && s[strspn(s, plain)] == '\0') {
		(void)fputs(s, stdout);
		return;
	}
	(void)fputc('\'', stdout);
	for (; *s; s++)
		if (*s == '\'')
			(void)fputs("'\\''", stdout);
		else
			(void)fputc(*s, stdout);
	(void)fputc('\'', stdout);
}

static int dry_run(const struct run *r)
{
	for (unsigned int i = 0; i < r->plan.n_networks; i++)
		print_network(&r->networks[i]);
	for (char **a = r->new_argv; *a; a++) {
		print_quoted(*a);
		(void)fputc(a[1] ? ' ' : '\n', stdout);
	}
	return fflush(stdout) != 0 || ferror(stdout) ? CLI_FAILED : 0;
}

static int go(struct run *r)
{
	int x = make_cables(r);

	if (x < 0) {
		log_error("cannot prepare the networks: %s", strerror(-x));
		return CLI_FAILED;
	}
	if (r->options.dry_run)
		return dry_run(r);
	if (r->plan.n_networks)
		return guest_run(r->new_argv, r->networks, r->plan.n_networks, r->line.daemonizes);
	(void)execvp(r->new_argv[0], r->new_argv);
	log_error("cannot run %s: %s", r->new_argv[0], strerror(errno));
	return CLI_NO_COMMAND - 1;
}

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(run_done) struct run r = {0};
	char path[PATH_MAX];
	int status;

	if (!cli_parse(v, argc, argv, &r.options, &r.args))
		return CLI_USAGE;
	if (r.args.help) {
		cli_verb_print_help(v);
		return fflush(stdout) != 0 ? CLI_FAILED : 0;
	}
	if (!r.args.command || !r.args.command[0]) {
		cli_usage_error(v, "the QEMU line is missing: vmlan run [OPTION]... -- QEMU ARGS");
		return CLI_USAGE;
	}
	if (r.options.conf.debug)
		log_set_level(LOG_LEVEL_DEBUG);
	while (r.args.command[r.argc])
		r.argc++;
	r.argv = calloc((size_t)r.argc + 2, sizeof(*r.argv)); /* one more for -enable-kvm */
	if (!r.argv) {
		log_error("no memory");
		return CLI_FAILED;
	}
	memcpy(r.argv, r.args.command, (size_t)r.argc * sizeof(*r.argv));
	status = find_guest(&r, path);
	if (status == 0)
		status = make_plan(v, &r, path);
	return status != 0 ? status : go(&r);
}

const struct cli_verb cli_verb_run = {
	.name = "run",
	.synopsis = "[OPTION]... [--] QEMU [ARGUMENT]...",
	.summary = "run a QEMU line as it is, its user networks served by vmlan",
	.details = "  The options -net user, -netdev user and -nic user, or none at all, become\n"
		   "  cables to vmlan's networks; all else passes as it is, and what stays with\n"
		   "  QEMU's own user back end is named.",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.words_are_command = true,
	.run = run,
};
