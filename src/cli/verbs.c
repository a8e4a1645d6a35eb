/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"

const struct cli_verb *const cli_verbs[] = {&cli_verb_run, &cli_verb_user, &cli_verb_explain, &cli_verb_up,
	&cli_verb_adopt, &cli_verb_down, &cli_verb_ls, &cli_verb_show, &cli_verb_status, &cli_verb_doctor,
	&cli_verb_leases, &cli_verb_hostfwd, &cli_verb_reserve, &cli_verb_info, &cli_verb_nic, &cli_verb_help,
	&cli_verb_version, &cli_verb_supervise};
const unsigned int cli_n_verbs = ARRAY_SIZE(cli_verbs);
