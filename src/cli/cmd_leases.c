/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan leases: who has which address. */
#include <stdio.h>

#include "net_cmd.h"
#include "net_show.h"

struct leases_options {
	bool json;
};

static const struct cli_option options[] = {
	{"json", 0, NULL, "for programs", .flag = offsetof(struct leases_options, json)},
};

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	struct leases_options o = {0};
	struct network_error e;
	struct network n;
	char path[HOST_PATH_BYTES];
	int status = net_cmd_parse(v, argc, argv, &o, 1, 1, 0, &a), r;
	json_t *list;

	if (status >= 0 || !h)
		return h ? status : CLI_FAILED;
	r = network_load(h, a.words[0], &n, &e);
	if (r < 0)
		return net_cmd_error(v, a.words[0], &e, r);
	network_done(&n);
	list = o.json ? json_array() : NULL;
	r = net_show_leases(h, a.words[0], list);
	if (r < 0) {
		json_decref(list);
		net_show_leases_path(a.words[0], path);
		(void)fprintf(stderr, "vmlan leases: cannot read %s: %s\n", path, strerror(-r));
		return CLI_FAILED;
	}
	return list ? net_cmd_print_json(list) : net_cmd_finish();
}

const struct cli_verb cli_verb_leases = {
	.name = "leases",
	.synopsis = "[OPTION]... NETWORK",
	.summary = "list who has which address of a network",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run,
};
