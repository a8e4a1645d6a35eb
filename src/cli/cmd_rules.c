/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan hostfwd and vmlan reserve: forwards and reservations of a network that is up, and forwards of a
 * running guest. */
#include <stdio.h>

#include "ctl_cmd.h"
#include "net_cmd.h"

struct lister {
	const char *key;
	json_t *list;
};

static int list_one(void *ctx, const char *key, const char *value)
{
	const struct lister *l = ctx;

	if (strcmp(key, l->key) != 0)
		return 0;
	if (l->list)
		return json_array_append_new(l->list, json_string(value));
	(void)printf("%s\n", value);
	return 0;
}

static int list(const struct cli_verb *v, struct host *h, const char *name, bool json)
{
	struct lister l = {.key = v->name, .list = json ? json_array() : NULL};
	struct network_error e;
	struct network n;
	int r = network_load(h, name, &n, &e);

	if (r < 0) {
		json_decref(l.list);
		return net_cmd_error(v, name, &e, r);
	}
	(void)net_conf_each(&n.conf, list_one, &l);
	network_done(&n);
	return l.list ? net_cmd_print_json(l.list) : net_cmd_finish();
}

struct rules_options {
	bool json;
};

static const struct cli_option options[] = {
	{"json", 0, NULL, "for programs", .flag = offsetof(struct rules_options, json)},
};

static int usage(const struct cli_verb *v)
{
	cli_usage_error(v, "it is vmlan %s %s", v->name, v->synopsis);
	return CLI_USAGE;
}

/* Of a network of the kernel's. rule: NULL of a list. */
static int of_network(const struct cli_verb *v, struct host *h, const char *what, const char *name,
	const char *rule, bool json)
{
	struct network_error e;
	int r;

	if (strcmp(what, "list") == 0 && !rule)
		return list(v, h, name, json);
	if (strcmp(what, "add") == 0 && rule)
		r = network_add_option(h, name, v->name, rule, &e);
	else if (strcmp(what, "remove") == 0 && rule)
		r = network_del_option(h, name, v->name, rule, &e);
	else
		return usage(v);
	return r < 0 ? net_cmd_error(v, name, &e, r) : 0;
}

static int run_reserve(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	struct rules_options o = {0};
	int status = net_cmd_parse(v, argc, argv, &o, 2, 3, 1, &a);

	if (status >= 0 || !h)
		return h ? status : CLI_FAILED;
	return of_network(v, h, a.words[0], a.words[1], a.n_words > 2 ? a.words[2] : NULL, o.json);
}

/* The kernel's networks have names of their own kind, and come first. */
static bool is_network(struct host *h, const char *name)
{
	struct network_error e;
	struct conf_error ce;
	struct net_conf c;
	struct network n;
	int r = net_conf_init(name, &c, &ce) ? network_load(h, name, &n, &e) : -ENOENT;

	if (r == 0)
		network_done(&n);
	return r != -ENOENT;
}

/* The lines of a text as a list. */
static int print_lines(char *text)
{
	json_t *l = json_array();
	char *next;

	for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next))
		(void)json_array_append_new(l, json_string(line));
	return net_cmd_print_json(l);
}

static int list_of_guest(const struct cli_verb *v, const char *name, bool json)
{
	_cleanup_(ctl_reply_done) struct ctl_reply reply = {0};
	struct ctl_place p;
	int status;

	if (!json)
		return ctl_cmd_print(v, name, CTL_HOSTFWD_LIST, NULL, NULL);
	status = ctl_cmd_find(v, name, &p);
	if (status == 0)
		status = ctl_cmd_ask(v, &p, CTL_HOSTFWD_LIST, NULL, NULL, &reply);
	return status == 0 ? print_lines(reply.text) : status;
}

/* add|remove [NAME [ID]] RULE, list [NAME] */
static int run_hostfwd(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	struct rules_options o = {0};
	int status = net_cmd_parse(v, argc, argv, &o, 1, 4, 9, &a);
	const char *name, *rule = NULL, *id;
	bool is_list;

	if (status >= 0 || !h)
		return h ? status : CLI_FAILED;
	is_list = strcmp(a.words[0], "list") == 0;
	if (is_list ? a.n_words > 2 : a.n_words < 2)
		return usage(v);
	if (!is_list)
		rule = a.words[a.n_words - 1];
	name = a.n_words > (is_list ? 1 : 2) ? a.words[1] : NULL;
	id = a.n_words > 3 ? a.words[2] : NULL;
	if (name && !id && is_network(h, name)) {
		if (!ctl_cmd_exists(name))
			return of_network(v, h, a.words[0], name, rule, o.json);
		(void)fprintf(stderr,
			"vmlan %s: '%s' is a network and a guest: say the guest's number (vmlan ls)\n",
			v->name, name);
		return CLI_FAILED;
	}
	if (is_list)
		return list_of_guest(v, name, o.json);
	if (strcmp(a.words[0], "add") == 0)
		return ctl_cmd_print(v, name, CTL_HOSTFWD_ADD, id, rule);
	return strcmp(a.words[0], "remove") == 0 ? ctl_cmd_print(v, name, CTL_HOSTFWD_REMOVE, id, rule)
						 : usage(v);
}

const struct cli_verb cli_verb_hostfwd = {
	.name = "hostfwd",
	.synopsis = "add|remove|list NETWORK|[GUEST [ID]] [RULE]",
	.summary = "change the forwards of a network or a guest that is up",
	.details = "  RULE: [tcp|udp]:[hostaddr]:port[-last]-[guestaddr]:port; -last: not of guests;\n"
		   "        to remove one of a guest: [tcp|udp]:[hostaddr]:port\n"
		   "  GUEST: the -name of its QEMU, or of a vmlan user, or their number (vmlan ls)\n"
		   "  ID: of one of its back ends, else the first user-mode one is meant",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run_hostfwd,
};

const struct cli_verb cli_verb_reserve = {
	.name = "reserve",
	.synopsis = "add|remove|list NETWORK [RULE]",
	.summary = "change who always gets which address of a network",
	.details = "  RULE: MAC=ADDR[,NAME]; to remove one, its MAC is enough",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run_reserve,
};
