/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan ls: the networks of this host, and what runs with networks of its own. */
#include <arpa/inet.h>
#include <stdio.h>

#include "ctl_place.h"
#include "net_cmd.h"

struct ls_options {
	bool json;
};

static const struct cli_option options[] = {
	{"json", 0, NULL, "for programs", .flag = offsetof(struct ls_options, json)},
};

/* net and bridge NULL: it is not up, and they may be chosen anew each time. */
static void print_row(
	const char *name, const char *net, const char *bridge, const char *state, int n_ports, json_t *list)
{
	if (list)
		(void)json_array_append_new(
			list, json_pack("{ssssss?ss?sssi}", "name", name, "mode", "nat", "net", net, "bridge",
				      bridge, "phase", state, "ports", n_ports));
	else
		(void)printf("%-16s%-6s%-20s%-16s%-9s%d\n", name, "nat", net ? net : "-",
			bridge ? bridge : "-", state, n_ports);
}

/* What cannot be read is said, and has no row. */
static void list_one(struct host *h, const char *name, json_t *list)
{
	_cleanup_free_ char *ports = NULL;
	struct network_error e;
	struct network n;
	char net[INET_ADDRSTRLEN + 4], a[INET_ADDRSTRLEN];
	int n_ports = 0;

	if (network_load(h, name, &n, &e) < 0) {
		(void)fprintf(stderr, "vmlan ls: %s\n", e.text);
		return;
	}
	if (network_ports(h, &n, &ports) == 0)
		for (const char *p = ports; *p; p += strlen(p) + 1)
			n_ports++;
	(void)snprintf(net, sizeof(net), "%s/%u", inet_ntop(AF_INET, &n.conf.net_be, a, sizeof(a)),
		net_conf_prefix(&n.conf));
	print_row(n.conf.name, net, n.conf.bridge, network_phase_names[n.phase], n_ports, list);
	network_done(&n);
}

/* Guests of vmlan run, and networks of vmlan user. */
static void list_running(json_t *list, const struct ctl_place *p)
{
	if (list)
		(void)json_array_append_new(list, json_pack("{sssssssi}", "name", p->name, "mode",
							 ctl_kind_names[p->kind], "phase", "up", "pid", (int)p->pid));
	else
		(void)printf("%-16s%-6sprocess %-12d%-16s%-9s-\n", p->name, ctl_kind_names[p->kind], (int)p->pid, "-",
			"up");
}

static bool is_in(const char *names, const char *name)
{
	for (; names && *names; names += strlen(names) + 1)
		if (strcmp(names, name) == 0)
			return true;
	return false;
}

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	_cleanup_free_ char *names = NULL, *files = NULL;
	_cleanup_free_ struct ctl_place *running = NULL;
	unsigned int n_running = 0;
	struct ls_options o = {0};
	int status = net_cmd_parse(v, argc, argv, &o, 0, 0, 0, &a), r;
	json_t *list;

	if (status >= 0 || !h)
		return h ? status : CLI_FAILED;
	r = network_names(h, &names);
	if (r == 0)
		r = network_file_names(h, &files);
	if (r < 0) {
		(void)fprintf(stderr, "vmlan ls: cannot read %s: %s\n",
			names ? NETWORK_ETC_DIR : NETWORK_RUN_DIR, strerror(-r));
		return CLI_FAILED;
	}
	(void)ctl_place_list(&running, &n_running);
	list = o.json ? json_array() : NULL;
	if (!list && ((names && *names) || (files && *files) || n_running))
		(void)printf(
			"%-16s%-6s%-20s%-16s%-9s%s\n", "NETWORK", "MODE", "NET", "BRIDGE", "STATE", "PORTS");
	for (const char *name = names; name && *name; name += strlen(name) + 1)
		list_one(h, name, list);
	for (const char *name = files; name && *name; name += strlen(name) + 1)
		if (!is_in(names, name))
			print_row(name, NULL, NULL, "down", 0, list);
	for (unsigned int i = 0; i < n_running; i++)
		list_running(list, &running[i]);
	return list ? net_cmd_print_json(list) : net_cmd_finish();
}

const struct cli_verb cli_verb_ls = {
	.name = "ls",
	.synopsis = "[OPTION]...",
	.summary = "list networks, up or with a file, and running guests",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run,
};
