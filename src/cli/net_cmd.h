/* SPDX-License-Identifier: BSD-2-Clause */
/* What the verbs about networks share. */
#pragma once

#include "cli.h"
#include "network.h"

/* "vmlan VERB: NETWORK: --OPTION text", and how to mend it. Returns CLI_FAILED, or CLI_USAGE if it is about
 * an option's value. */
int net_cmd_error(const struct cli_verb *v, const char *name, const struct network_error *e, int r);

/* Parses the line, which has to have n_min to n_max words; at_name is which of them is a network's name, if
 * it is there. -1: go on; else the exit status. */
int net_cmd_parse(const struct cli_verb *v, int argc, char **argv, void *target, unsigned int n_min,
	unsigned int n_max, unsigned int at_name, struct cli_args *ret);

/* Prints an object and lets go of it; an exit status. */
int net_cmd_print_json(json_t *o);
/* 0, or CLI_FAILED if standard output could not be written. */
int net_cmd_finish(void);
