/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan user: one user-mode network with its ports, until it ends. */
#include <stdio.h>

#include "cli.h"
#include "log.h"
#include "parent.h"

static bool set_net(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_net(value, target, e);
}

static bool set_host(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_addr(value, &((struct user_conf *)target)->host_be, e);
}

static bool set_dns(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_addr(value, &((struct user_conf *)target)->dns_be, e);
}

static bool set_dhcpstart(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_addr(value, &((struct user_conf *)target)->dhcp_start_be, e);
}

static bool set_hostname(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_name(value, ((struct user_conf *)target)->hostname, e);
}

static bool set_domainname(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_name(value, ((struct user_conf *)target)->domainname, e);
}

static bool fail(struct conf_error *e, const char *format, unsigned int max)
{
	*e = (struct conf_error){0};
	(void)snprintf(e->text, sizeof(e->text), format, max);
	return false;
}

static bool set_dnssearch(void *target, const char *value, struct conf_error *e)
{
	char name[USER_NAME_BYTES];

	if (!user_conf_parse_domain(value, name, e))
		return false;
	return user_conf_add_search(target, name) == 0 ||
	       fail(e, "there can be %u search domains, and DHCP has room for some 500 characters", USER_SEARCH_MAX);
}

static bool set_mtu(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_mtu(value, &((struct user_conf *)target)->mtu, e);
}

static bool set_busy_poll(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_busy_poll(value, &((struct user_conf *)target)->busy_poll_us, e);
}

static bool set_queues(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_queues(value, &((struct user_conf *)target)->n_queues, e);
}

static bool set_name(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_name(value, ((struct user_conf *)target)->name, e);
}

static bool set_pcap(void *target, const char *value, struct conf_error *e)
{
	return user_conf_parse_path(value, ((struct user_conf *)target)->pcap, e);
}

static bool set_hostfwd(void *target, const char *value, struct conf_error *e)
{
	struct user_forward f;

	if (!user_conf_parse_hostfwd(value, false, &f, e))
		return false;
	return user_conf_add_forward(target, &f) == 0 ||
	       fail(e, "there can be %u forwards", USER_FORWARDS_MAX);
}

#define FLAG(field) .flag = offsetof(struct user_conf, field)

static const struct cli_option options[] = {
	{"name", 0, "NAME", "for info and hostfwd [the process's number]", set_name},
	{"net", 0, "ADDR[/BITS]", "the guests' network [10.0.2.0/24]", set_net},
	{"host", 0, "ADDR", "the router: the host, as guests see it [.2]", set_host},
	{"dns", 0, "ADDR", "the name server that guests are told [.3]", set_dns},
	{"dhcpstart", 0, "ADDR", "the first guest's address [.15]", set_dhcpstart},
	{"hostname", 0, "NAME", "the name that DHCP gives the guest", set_hostname},
	{"dnssearch", 0, "DOMAIN", "a search domain (again for more)", set_dnssearch},
	{"domainname", 0, "DOMAIN", "the guest's domain", set_domainname},
	{"mtu", 0, "BYTES", "576 to 65520 [what each port carries]", set_mtu},
	{"queues", 0, "N", "queue pairs of a vhost-user port, a thread each [1]", set_queues},
	{"hostfwd", 0, "RULE", "[tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport", set_hostfwd},
	{"restrict", 0, NULL, "guests reach nothing beyond their network", FLAG(restricted)},
	{"no-host-loopback", 0, NULL, "the router's address does not lead to the host's own",
		FLAG(no_host_loopback)},
	{"no-host", 0, NULL, "nor does any other address of the host", FLAG(no_host)},
	{"isolated", 0, NULL, "guests do not reach each other", FLAG(isolated)},
	{"guest-servers", 0, NULL, "guests may be DHCP servers and IPv6 routers of others", FLAG(guest_servers)},
	{"busy-poll-us", 0, "N", "look into vhost-user rings for N us before sleep [0]", set_busy_poll},
	{"in-band", 0, NULL, NULL, FLAG(in_band)}, /* of time travel, which few have: the manual tells of it */
	{"pcap", 0, "FILE", "write all frames to FILE (pcapng)", set_pcap},
	{"stats", 0, NULL, "print counters at the end", FLAG(stats)},
	{"debug", 0, NULL, "say what is going on", FLAG(debug)},
	{"no-peek-off", 0, NULL, NULL, FLAG(no_peek_off)}, /* for tests */
	{"no-sandbox", 0, NULL, "do not confine the engine (for tests)", FLAG(no_sandbox)},
};

/* The value that was given for an option, for an error that was found after all were read. */
static const char *value_of(const char *option, int argc, char **argv)
{
	const char *found = NULL;
	size_t n = strlen(option);

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strncmp(argv[i], "--", 2) != 0 || strncmp(argv[i] + 2, option, n) != 0)
			continue;
		if (argv[i][2 + n] == '=')
			found = argv[i] + 2 + n + 1;
		else if (argv[i][2 + n] == '\0' && i + 1 < argc)
			found = argv[i + 1];
	}
	return found;
}

static bool add_ports(const struct cli_verb *v, const struct cli_args *a, struct user_conf *c)
{
	bool fresh = false;

	for (unsigned int i = 0; i < a->n_words; i++) {
		struct user_port p;
		struct conf_error e;

		if (!user_conf_parse_port(a->words[i], &p, &e)) {
			cli_print_error(v, NULL, a->words[i], &e);
			return false;
		}
		if (p.fresh && fresh) {
			cli_usage_error(v, "one port can be a bare netns, for there is one command");
			return false;
		}
		if (user_conf_add_port(c, &p) < 0) {
			cli_usage_error(v, "there can be %d ports", USER_PORTS_MAX);
			return false;
		}
		fresh = fresh || p.fresh;
	}
	if (!c->n_ports) {
		cli_usage_error(v, "a port is missing, such as stream:/tmp/vm.sock");
		return false;
	}
	if (fresh && (!a->command || !a->command[0])) {
		cli_usage_error(v, "a bare netns needs a command to run in it: netns -- COMMAND");
		return false;
	}
	if (a->command && !fresh) {
		cli_usage_error(v, "a command needs a port to run in: netns -- COMMAND");
		return false;
	}
	c->command = a->command;
	return true;
}

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(user_conf_done) struct user_conf c;
	struct conf_error e;
	char what[32];

	user_conf_init(&c);
	if (!cli_parse(v, argc, argv, &c, &a))
		return CLI_USAGE;
	if (a.help) {
		cli_verb_print_help(v);
		return fflush(stdout) != 0 ? CLI_FAILED : 0;
	}
	if (!add_ports(v, &a, &c))
		return CLI_USAGE;
	if (!user_conf_check(&c, &e)) {
		(void)snprintf(what, sizeof(what), "--%s", e.option);
		cli_print_error(v, what, value_of(e.option, argc, argv), &e);
		return CLI_USAGE;
	}
	if (c.debug)
		log_set_level(LOG_LEVEL_DEBUG);
	c.control = true;
	if (!c.name[0])
		(void)snprintf(c.name, sizeof(c.name), "%d", (int)getpid());
	return parent_run(&c, -1);
}

const struct cli_verb cli_verb_user = {
	.name = "user",
	.synopsis = "[OPTION]... PORT... [-- COMMAND]",
	.summary = "serve a user-mode network: a LAN behind a NAT made of sockets",
	.details = "  PORT: stream:PATH[,connect] | vhost-user:PATH[,connect] | fd:N[,vhost-user]\n"
		   "        | netns[:PID|PATH][,ifname=NAME][,noconfig]; bare, it runs COMMAND there",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run,
};
