/* SPDX-License-Identifier: BSD-2-Clause */
/* What the verbs about running guests and user-mode networks share. */
#pragma once

#include "cli.h"
#include "ctl_msg.h"
#include "ctl_place.h"

/* Is there one of that name or number? */
bool ctl_cmd_exists(const char *name);
/* The one of that name or number, or, without a name, the only one: 0, or the exit status after it was said.
 */
int ctl_cmd_find(const struct cli_verb *v, const char *name, struct ctl_place *ret);
/* Fills in a request, and asks. 0, or the exit status after it was said what went wrong; ret is filled in
 * anyway. */
int ctl_cmd_ask(const struct cli_verb *v, const struct ctl_place *p, enum ctl_op op, const char *id,
	const char *arg, struct ctl_reply *ret);
/* The same, and prints the text. Returns an exit status. */
int ctl_cmd_print(
	const struct cli_verb *v, const char *name, enum ctl_op op, const char *id, const char *arg);
