/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan down: a network is taken away, and the host is as it was. */
#include <stdio.h>

#include "net_cmd.h"

struct down_options {
	bool force, all;
};

static const struct cli_option options[] = {
	{"all", 'a', NULL, "every network that is up", .flag = offsetof(struct down_options, all)},
	{"force", 'f', NULL, "although guests are attached", .flag = offsetof(struct down_options, force)},
};

static int take_down(const struct cli_verb *v, struct host *h, const char *name, bool force)
{
	struct network_error e;
	int r = network_down(h, name, force, &e);

	return r < 0 ? net_cmd_error(v, name, &e, r) : 0;
}

/* Whatever goes wrong with one. */
static int take_all_down(const struct cli_verb *v, struct host *h, bool force)
{
	_cleanup_free_ char *names = NULL;
	int r = network_names(h, &names), status = 0;

	if (r < 0) {
		(void)fprintf(stderr, "vmlan down: cannot read %s: %s\n", NETWORK_RUN_DIR, strerror(-r));
		return CLI_FAILED;
	}
	for (const char *name = names; *name; name += strlen(name) + 1)
		status = MAX(status, take_down(v, h, name, force));
	return status;
}

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	struct down_options o = {0};
	int status = net_cmd_parse(v, argc, argv, &o, 0, 1, 0, &a);

	if (status >= 0 || !h)
		return h ? status : CLI_FAILED;
	if (o.all == (a.n_words == 1)) {
		cli_usage_error(
			v, o.all ? "it is either --all or a network" : "a network is missing, or --all");
		return CLI_USAGE;
	}
	return o.all ? take_all_down(v, h, o.force) : take_down(v, h, a.words[0], o.force);
}

const struct cli_verb cli_verb_down = {
	.name = "down",
	.synopsis = "[OPTION]... NETWORK | --all",
	.summary = "take a network away, and leave the host as it was",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run,
};
