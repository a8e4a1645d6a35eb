/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan down: a network is taken away, and the host is as it was. */
#include "net_cmd.h"

struct down_options {
	bool force;
};

static const struct cli_option options[] = {
	{"force", 'f', NULL, "although guests are attached", .flag = offsetof(struct down_options, force)},
};

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	struct down_options o = {0};
	struct network_error e;
	int status = net_cmd_parse(v, argc, argv, &o, 1, 1, 0, &a), r;

	if (status >= 0 || !h)
		return h ? status : CLI_FAILED;
	r = network_down(h, a.words[0], o.force, &e);
	return r < 0 ? net_cmd_error(v, a.words[0], &e, r) : 0;
}

const struct cli_verb cli_verb_down = {
	.name = "down",
	.synopsis = "[OPTION]... NETWORK",
	.summary = "take a network away, and leave the host as it was",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run,
};
