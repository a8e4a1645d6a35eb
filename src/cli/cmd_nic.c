/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan nic: NICs of a running guest come and go. */
#include <stdio.h>

#include "ctl_cmd.h"
#include "net_cmd.h"

#define AT_NO_NETWORK 9 /* no word is a kernel network's name */

struct nic_options {
	bool unused;
};

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	struct nic_options o = {0};
	int status = net_cmd_parse(v, argc, argv, &o, 2, 3, AT_NO_NETWORK, &a);
	const char *name;

	if (status >= 0)
		return status;
	name = a.n_words > 2 ? a.words[1] : NULL;
	if (strcmp(a.words[0], "add") == 0)
		return ctl_cmd_print(v, name, CTL_NIC_ADD, NULL, a.words[a.n_words - 1]);
	if (strcmp(a.words[0], "remove") == 0)
		return ctl_cmd_print(v, name, CTL_NIC_REMOVE, NULL, a.words[a.n_words - 1]);
	cli_usage_error(v, "it is vmlan %s %s", v->name, v->synopsis);
	return CLI_USAGE;
}

const struct cli_verb cli_verb_nic = {
	.name = "nic",
	.synopsis = "add [GUEST] SPEC | remove [GUEST] ID",
	.summary = "add a NIC to a running guest, or remove one",
	.details = "  SPEC: as of QEMU's -nic: user,model=virtio-net-pci,id=n1,mac=...,hostfwd=...\n"
		   "  ID: of the NIC or its back end, as vmlan info network shows it\n"
		   "  GUEST: the -name of its QEMU or its number; not needed if it is the only one",
	.run = run,
};
