/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan hostfwd and vmlan reserve: forwards and reservations of a network that is up. */
#include <stdio.h>

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

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	struct rules_options o = {0};
	struct network_error e;
	const char *what, *name;
	int status = net_cmd_parse(v, argc, argv, &o, 2, 3, 1, &a), r;

	if (status >= 0 || !h)
		return h ? status : CLI_FAILED;
	what = a.words[0];
	name = a.words[1];
	if (strcmp(what, "list") == 0 && a.n_words == 2)
		return list(v, h, name, o.json);
	if (strcmp(what, "add") == 0 && a.n_words == 3)
		r = network_add_option(h, name, v->name, a.words[2], &e);
	else if (strcmp(what, "remove") == 0 && a.n_words == 3)
		r = network_del_option(h, name, v->name, a.words[2], &e);
	else {
		cli_usage_error(v, "it is vmlan %s %s", v->name, v->synopsis);
		return CLI_USAGE;
	}
	return r < 0 ? net_cmd_error(v, name, &e, r) : 0;
}

const struct cli_verb cli_verb_hostfwd = {
	.name = "hostfwd",
	.synopsis = "add|remove|list NETWORK [RULE]",
	.summary = "change the forwards of a network while it is up",
	.details = "  RULE: [tcp|udp]:[hostaddr]:port[-last]-[guestaddr]:port",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run,
};

const struct cli_verb cli_verb_reserve = {
	.name = "reserve",
	.synopsis = "add|remove|list NETWORK [RULE]",
	.summary = "change who always gets which address of a network",
	.details = "  RULE: MAC=ADDR[,NAME]; to remove one, its MAC is enough",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run,
};
