/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of `info usernet`, as QEMU prints it. */
#pragma once

#include "flow_info.h"
#include "forwards.h"

/* Heap; NULL: no memory. n_max: of flows, how many were asked for at most. */
char *usernet_table(const struct user_conf *c, const struct forwards *fw, const struct flow_info *flows,
	size_t n, size_t n_max);
