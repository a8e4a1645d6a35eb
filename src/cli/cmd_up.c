/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan up: a network of the kernel's, set up or mended. */
#include <arpa/inet.h>
#include <stdio.h>

#include "log.h"
#include "net_cmd.h"
#include "step.h"

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

static void take_name(struct net_conf *c, const char *name)
{
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	if (!c->bridge[0])
		(void)snprintf(c->bridge, sizeof(c->bridge), "%s", name);
}

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	struct up_options o = {0};
	struct network_error e;
	struct network n;
	int status = net_cmd_parse(v, argc, argv, &o, 1, 1, 0, &a), r;

	if (status >= 0 || !h) {
		net_conf_done(&o.conf);
		return h ? status : CLI_FAILED;
	}
	take_name(&o.conf, a.words[0]);
	o.conf.no_ipv6 = o.no_ipv6;
	o.conf.isolated = o.isolated;
	o.conf.restricted = o.restricted;
	o.conf.stp = o.stp;
	r = o.dry_run ? network_plan(h, &o.conf, &n, &e) : network_up(h, &o.conf, &n, &e);
	net_conf_done(&o.conf);
	if (r < 0)
		return net_cmd_error(v, a.words[0], &e, r);
	if (o.dry_run) {
		status = print_plan(&n);
	} else {
		print_network(&n);
		print_names(&n);
		status = net_cmd_finish();
	}
	print_notes(&n);
	network_done(&n);
	return status;
}

const struct cli_verb cli_verb_up = {
	.name = "up",
	.synopsis = "[OPTION]... NETWORK",
	.summary = "set up a network of the kernel's, or mend it",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run,
};
