/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan supervise NETWORK [FD]: what `up` leaves running; not for people. */
#include <sys/prctl.h>

#include "net_cmd.h"
#include "supervisor.h"

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	int status = net_cmd_parse(v, argc, argv, NULL, 1, 2, 0, &a);

	if (status >= 0 || !h)
		return h ? status : CLI_FAILED;
	/* In place of "exe", which it was started by. */
	(void)prctl(PR_SET_NAME, "vmlan-supervise");
	return supervisor_run(h, a.words[0], a.n_words > 1 ? atoi(a.words[1]) : -1);
}

const struct cli_verb cli_verb_supervise = {
	.name = "supervise",
	.synopsis = "NETWORK",
	.run = run,
};
