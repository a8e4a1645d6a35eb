/* SPDX-License-Identifier: BSD-2-Clause */
/* To be told when somebody changes rules or interfaces. */
#pragma once

#include "util.h"

/* Readable when a rule, chain or table was changed, added or removed; or -errno. */
int watch_rules_open(void);
/* Readable when an interface was; or -errno. */
int watch_links_open(void);

/* Reads what has come. 1: something was told, or was lost; 0: nothing of interest. What is told of tables
 * whose names begin with `ours` is of no interest, but for the one called `own`. */
int watch_rules_read(int fd, const char *ours, const char *own);
/* For each interface that is, or has become, a port of that bridge. */
int watch_links_read(int fd, unsigned int bridge, void (*fn)(void *ctx, unsigned int index), void *ctx);
