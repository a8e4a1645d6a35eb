/* SPDX-License-Identifier: BSD-2-Clause */
/* Parts of a network as people and programs see them. Each prints a list, or appends to a JSON array if there
 * is one. */
#pragma once

#include "network.h"

/* Each step and its state, and notes. false: one is not as it was made. */
bool net_show_steps(struct host *h, const struct network *n, json_t *list);
/* The notes alone, as a JSON array. */
json_t *net_show_notes(const struct network *n);
/* dnsmasq's leases, with a line of headings before them. 0 or -errno: the file cannot be read. */
int net_show_leases(struct host *h, const char *name, json_t *list);
/* Where they are kept. */
void net_show_leases_path(const char *name, char ret[HOST_PATH_BYTES]);
