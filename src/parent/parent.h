/* SPDX-License-Identifier: BSD-2-Clause */
/* The role of a user-mode network that opens paths, binds ports, and keeps the engine running. */
#pragma once

#include "user_conf.h"

/* Until the network ends: told by a signal, all ports closed for good, or the command ended. c has been
 * checked (user_conf_check()). ready_fd: a byte is written to it once guests are served, then it is
 * closed, without the byte if that fails, and then an error has been printed; -1: none. Returns the exit
 * status: the command's, if there is one; 0; or 1, with the reason on stderr. SIGUSR1 prints the counters.
 * Blocks signals and reaps children: call it with one thread. */
int parent_run(const struct user_conf *c, int ready_fd);
