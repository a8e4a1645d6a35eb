/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan up: a network of the kernel's, set up or mended. What it is like says its file, if there is one, and
 * over that the options. */
#include <arpa/inet.h>
#include <stdio.h>

#include "log.h"
#include "net_cmd.h"
#include "net_file.h"
#include "notify.h"
#include "step.h"
#include "store.h"

struct up_options {
	struct net_conf conf;
	bool dry_run, no_ipv6, isolated, restricted, stp;
};

#define SETTER(name, key)                                                                                    \
	static bool set_##name(void *target, const char *value, struct conf_error *e)                        \
	{                                                                                                    \
		return net_conf_set(&((struct up_options *)target)->conf, key, value, e);                    \
	}
SETTER(mode, "mode")
SETTER(bridge, "bridge")
SETTER(net, "net")
SETTER(host, "host")
SETTER(dhcpstart, "dhcpstart")
SETTER(dhcpend, "dhcpend")
SETTER(dns, "dns")
SETTER(domainname, "domainname")
SETTER(tftp, "tftp")
SETTER(bootfile, "bootfile")
SETTER(mtu, "mtu")
SETTER(hostfwd, "hostfwd")
SETTER(reserve, "reserve")
SETTER(net6, "ipv6-net")

#define FLAG(field) .flag = offsetof(struct up_options, field)

static const struct cli_option options[] = {
	{"mode", 0, "MODE", "nat: a private LAN behind this host's addresses [nat]", set_mode},
	{"net", 0, "ADDR[/BITS]", "the guests' network [a free one]", set_net},
	{"subnet", 0, "ADDR[/BITS]", NULL, set_net},
	{"host", 0, "ADDR", "this host, as guests see it [.1]", set_host},
	{"dhcpstart", 0, "ADDR", "the first guest's address [.2]", set_dhcpstart},
	{"dhcpend", 0, "ADDR", "the last guest's address [the last]", set_dhcpend},
	{"dns", 0, "ADDR", "the name server that guests are told [this host]", set_dns},
	{"domainname", 0, "DOMAIN", "the guests' domain [NETWORK.internal]", set_domainname},
	{"ipv6-net", 0, "ADDR/64", "the IPv6 network [a private one, behind NAT]", set_net6},
	{"no-ipv6", 0, NULL, "IPv4 only", FLAG(no_ipv6)},
	{"tftp", 0, "FOLDER", "serve its files by TFTP", set_tftp},
	{"bootfile", 0, "FILE", "what guests boot by PXE: a file of --tftp, or a URL", set_bootfile},
	{"mtu", 0, "BYTES", "576 to 65520 [1500]", set_mtu},
	{"bridge", 0, "NAME", "the bridge's name [the network's]", set_bridge},
	{"stp", 0, NULL, "take part in the spanning tree protocol", FLAG(stp)},
	{"hostfwd", 0, "RULE", "[tcp|udp]:[hostaddr]:port[-last]-[guestaddr]:port", set_hostfwd},
	{"reserve", 0, "RULE", "MAC=ADDR[,NAME] (again for more, like hostfwd)", set_reserve},
	{"isolated", 0, NULL, "guests do not reach each other", FLAG(isolated)},
	{"restrict", 0, NULL, "guests reach nothing beyond their network", FLAG(restricted)},
	{"dry-run", 'n', NULL, "print what would be done, and do nothing", FLAG(dry_run)},
};

static void print_network(const struct network *n)
{
	char a[INET6_ADDRSTRLEN], b[INET_ADDRSTRLEN];

	(void)printf("%s: %s/%u", n->conf.name, inet_ntop(AF_INET, &n->conf.net_be, a, sizeof(a)),
		net_conf_prefix(&n->conf));
	if (!n->conf.no_ipv6)
		(void)printf(", %s/64", inet_ntop(AF_INET6, &n->conf.net6, a, sizeof(a)));
	(void)printf(" on bridge %s; this host is %s\n", n->conf.bridge,
		inet_ntop(AF_INET, &n->conf.host_be, b, sizeof(b)));
}

static int print_plan(const struct network *n)
{
	print_network(n);
	for (unsigned int i = 0; i < n->n_steps; i++) {
		char text[STEP_TEXT_BYTES];

		n->steps[i].kind->describe(&n->steps[i], text);
		(void)printf("  %s\n", text);
	}
	return net_cmd_finish();
}

/* How this host itself gets at guests' names, where nothing does it by itself. */
static void print_names(const struct network *n)
{
	char a[INET_ADDRSTRLEN];

	for (unsigned int i = 0; i < n->n_steps; i++)
		if (n->steps[i].kind == &step_resolved)
			return;
	(void)printf("%s: guests are NAME.%s; this host has not been told so: nslookup NAME.%s %s\n",
		n->conf.name, n->conf.domainname, n->conf.domainname,
		inet_ntop(AF_INET, &n->conf.host_be, a, sizeof(a)));
}

/* What concerns a person who has just brought the network up. */
static void print_notes(const struct network *n)
{
	for (unsigned int i = 0; i < n->n_notes; i++)
		log_warn("%s: %s", n->conf.name, n->notes[i]);
}

static int set_option(void *ctx, const char *key, const char *value)
{
	struct conf_error e;

	return net_conf_set(ctx, key, value, &e) ? 0 : -EINVAL;
}

/* The options of its file, if there is one. -1: go on; else the exit status, and the error has been printed.
 */
static int read_file(const struct cli_verb *v, struct host *h, const char *name, struct net_conf *c)
{
	_cleanup_free_ char *text = NULL;
	char path[HOST_PATH_BYTES], what[HOST_PATH_BYTES + 64];
	struct net_file_error e;
	int r;

	network_file_path(name, path);
	r = h->ops->file_read(h, path, &text);
	if (r < 0 && r != -ENOENT)
		(void)fprintf(stderr, "vmlan %s: cannot read %s: %s\n", v->name, path, strerror(-r));
	if (r < 0)
		return r == -ENOENT ? -1 : CLI_FAILED;
	if (net_file_parse(text, c, &e))
		return -1;
	(void)snprintf(what, sizeof(what), "%s:%u%s%s", path, e.line, e.e.option ? ": " : "",
		e.e.option ? e.e.option : "");
	cli_print_error(v, what, e.text, &e.e);
	return CLI_USAGE;
}

/* -1: *ret is what the file and the options say together; else the exit status. */
static int take_conf(const struct cli_verb *v, struct host *h, const char *name, struct up_options *o,
	struct net_conf *ret)
{
	struct conf_error e;
	int status;

	(void)net_conf_init(name, ret, &e); /* the name has been checked */
	status = read_file(v, h, name, ret);
	if (status >= 0)
		return status;
	(void)snprintf(o->conf.name, sizeof(o->conf.name), "%s", name);
	if (!o->conf.bridge[0])
		(void)snprintf(o->conf.bridge, sizeof(o->conf.bridge), "%s", name);
	o->conf.no_ipv6 = o->no_ipv6;
	o->conf.isolated = o->isolated;
	o->conf.restricted = o->restricted;
	o->conf.stp = o->stp;
	if (net_conf_each(&o->conf, set_option, ret) == 0)
		return -1;
	/* Each was good by itself: so it is one that the file has already. */
	cli_usage_error(v, "a forward or a reservation on the line is one that the network's file has too");
	return CLI_USAGE;
}

static int bring_up(const struct cli_verb *v, struct host *h, const struct net_conf *c, bool dry_run)
{
	struct network_error e;
	struct network n;
	int r = dry_run ? network_plan(h, c, &n, &e) : network_up(h, c, &n, &e), status;
	char path[HOST_PATH_BYTES];
	pid_t supervisor = 0;

	if (r < 0)
		return net_cmd_error(v, c->name, &e, r);
	if (dry_run) {
		status = print_plan(&n);
	} else {
		print_network(&n);
		print_names(&n);
		status = net_cmd_finish();
		store_path(c->name, STORE_SUPERVISOR, path);
		if (h->ops->supervisor_find(h, path, &supervisor) == 0)
			notify_ready(supervisor);
	}
	print_notes(&n);
	network_done(&n);
	return status;
}

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	unsigned int at_name = v == &cli_verb_adopt; /* behind the bridge's */
	struct up_options o = {0};
	struct net_conf c = {0};
	struct conf_error e;
	int status = net_cmd_parse(v, argc, argv, &o, at_name + 1, at_name + 1, at_name, &a);

	if (status < 0 && at_name && !net_conf_set(&o.conf, "bridge", a.words[0], &e)) {
		cli_print_error(v, NULL, a.words[0], &e);
		status = CLI_USAGE;
	}
	o.conf.adopted = at_name;
	if (status < 0)
		status = h ? take_conf(v, h, a.words[at_name], &o, &c) : CLI_FAILED;
	if (status < 0)
		status = bring_up(v, h, &c, o.dry_run);
	net_conf_done(&o.conf);
	net_conf_done(&c);
	return status;
}

const struct cli_verb cli_verb_up = {
	.name = "up",
	.synopsis = "[OPTION]... NETWORK",
	.summary = "set up a network of the kernel's, or mend it",
	.details = "  Options add to those of /etc/vmlan/NETWORK.net, and prevail over them.",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run,
};

const struct cli_verb cli_verb_adopt = {
	.name = "adopt",
	.synopsis = "[OPTION]... BRIDGE NETWORK",
	.summary = "set up a network on a bridge that is there, and stays",
	.details = "  The options are those of up; the bridge's addresses are the network's.",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run,
};
