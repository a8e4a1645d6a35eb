/* SPDX-License-Identifier: BSD-2-Clause */
/* The role of a user-mode network that opens paths, binds listening ports and starts the engine. */
#pragma once

#include "user_conf.h"

/* Binds the forwards, starts the engine and serves the network until it ends: every port closed for good,
 * the command over, or a signal. Returns an exit status. When the network serves, one byte is written to
 * ready_fd (if >= 0); it is closed unwritten on failure, and then an error has been printed. */
int parent_run(const struct user_conf *c, int ready_fd);
