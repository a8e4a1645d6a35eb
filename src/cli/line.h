/* SPDX-License-Identifier: BSD-2-Clause */
/* The QEMU line on our own command line: where QEMU is, how old it is, and the plan for it. */
#pragma once

#include <limits.h>

#include "cli.h"
#include "qemu_plan.h"

struct cli_line {
	char **argv; /* heap, its strings are others' */
	int argc;
	struct qemu_line line;
	struct qemu_version version;
	struct qemu_plan plan;
};

/* command: NULL-terminated, its first word QEMU; NULL or empty: that is an error of the caller's user.
 * may_lack: a QEMU that is not there is taken to be of today. by_vhost: networks are joined by vhost-user
 * where they can be. 0, or the exit status after the error was printed. */
int cli_line_make(const struct cli_verb *v, char **command, bool may_lack, bool by_vhost, struct cli_line *ret);
void cli_line_done(struct cli_line *l);
