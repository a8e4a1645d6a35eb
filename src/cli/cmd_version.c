/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "cli.h"

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};

	if (!cli_parse(v, argc, argv, NULL, &a))
		return CLI_USAGE;
	if (a.help) {
		cli_verb_print_help(v);
		return 0;
	}
	if (a.n_words || a.command) {
		cli_usage_error(v, "takes no arguments");
		return CLI_USAGE;
	}
	return printf("vmlan %s\n", VMLAN_VERSION) < 0 || fflush(stdout) != 0 ? CLI_FAILED : 0;
}

const struct cli_verb cli_verb_version = {
	.name = "version",
	.synopsis = "",
	.summary = "print the version",
	.run = run,
};
