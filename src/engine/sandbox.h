/* SPDX-License-Identifier: BSD-2-Clause */
/* What the engine gives up before it reads a guest's first byte: privileges, files, and every system
 * call that its data path does not make. */
#pragma once

#include <sys/types.h>

#include "util.h"

#define SANDBOX_TEXT_BYTES 512

/* Never undone. Call it with one thread, holding every descriptor that a path had to be opened for. The
 * process then dies with the parent.
 * 0: no capability is left and the system calls are filtered; what this host would not give beyond that
 * (an empty file system, mostly), and what can be done about it, is in ret_missing, one line, else "".
 * -errno: one of the two failed; no guest's byte may be read. */
int sandbox_enter(pid_t parent, char ret_missing[SANDBOX_TEXT_BYTES]);

/* What would let this host give a user namespace that is of use; reads /proc. */
const char *sandbox_namespace_remedy(void);

/* The system calls that are allowed: the i-th one's name and who makes it, NULL after the last. */
const char *sandbox_call(unsigned int i, const char **ret_users);
