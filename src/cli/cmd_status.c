/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan status: whether each step of a network is as it was made. Exit status 1 if one is not. */
#include <stdio.h>

#include "net_cmd.h"
#include "net_show.h"

struct status_options {
	bool json;
};

static const struct cli_option options[] = {
	{"json", 0, NULL, "for programs", .flag = offsetof(struct status_options, json)},
};

static int show_network(const struct cli_verb *v, struct host *h, const char *name, json_t *list)
{
	json_t *steps = list ? json_array() : NULL;
	struct network_error e;
	struct network n;
	bool good;
	int r = network_load(h, name, &n, &e);

	if (r == 0) { /* other firewalls as they are now */
		r = network_look(h, &n, &e);
		if (r < 0)
			network_done(&n);
	}

	if (r < 0) {
		json_decref(steps);
		return net_cmd_error(v, name, &e, r);
	}
	if (!list)
		(void)printf("%s: nat, %s\n", name, network_phase_names[n.phase]);
	good = net_show_steps(h, &n, steps) && n.phase == NETWORK_UP;
	if (list)
		(void)json_array_append_new(list,
			json_pack("{sssssssoso}", "name", name, "mode", "nat", "phase",
				network_phase_names[n.phase], "steps", steps, "notes", net_show_notes(&n)));
	else if (!good)
		(void)printf("To mend it: vmlan %s %s\n", n.phase == NETWORK_FALLING ? "down" : "up", name);
	network_done(&n);
	return good ? 0 : CLI_FAILED;
}

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	_cleanup_free_ char *names = NULL;
	struct status_options o = {0};
	int status = net_cmd_parse(v, argc, argv, &o, 0, 1, 0, &a), printed;
	json_t *list;

	if (status >= 0 || !h)
		return h ? status : CLI_FAILED;
	if (!a.n_words && network_names(h, &names) < 0)
		return CLI_FAILED;
	list = o.json ? json_array() : NULL;
	status = a.n_words ? show_network(v, h, a.words[0], list) : 0;
	for (const char *name = names; name && *name; name += strlen(name) + 1)
		status = MAX(status, show_network(v, h, name, list));
	printed = list ? net_cmd_print_json(list) : net_cmd_finish();
	return MAX(status, printed);
}

const struct cli_verb cli_verb_status = {
	.name = "status",
	.synopsis = "[OPTION]... [NETWORK]",
	.summary = "check each part of a network, and say how to mend it",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run,
};
