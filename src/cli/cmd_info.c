/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan info: what QEMU's monitor says of a guest's networks. */
#include <stdio.h>

#include "ctl_cmd.h"
#include "net_cmd.h"

#define AT_NO_NETWORK 9 /* no word is a kernel network's name */

struct info_options {
	bool unused;
};

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	struct info_options o = {0};
	int status = net_cmd_parse(v, argc, argv, &o, 1, 2, AT_NO_NETWORK, &a);
	const char *name = a.n_words > 1 ? a.words[1] : NULL;

	if (status >= 0)
		return status;
	if (strcmp(a.words[0], "network") == 0)
		return ctl_cmd_print(v, name, CTL_INFO_NETWORK, NULL, NULL);
	if (strcmp(a.words[0], "usernet") == 0)
		return ctl_cmd_print(v, name, CTL_INFO_USERNET, NULL, NULL);
	cli_usage_error(v, "there is info network and info usernet, not info %.40s", a.words[0]);
	return CLI_USAGE;
}

const struct cli_verb cli_verb_info = {
	.name = "info",
	.synopsis = "network|usernet [GUEST]",
	.summary = "show a running guest's networks as QEMU's monitor does",
	.details = "  network: NICs and what they are joined to\n"
		   "  usernet: forwards and connections of user-mode networks\n"
		   "  GUEST: the -name of its QEMU, or of a vmlan user, or their number (vmlan ls)",
	.run = run,
};
