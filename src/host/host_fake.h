/* SPDX-License-Identifier: BSD-2-Clause */
/* A host in memory, for tests: interfaces, addresses, routes, sysctls, tables, files and supervisors, with
 * those effects of the kernel that undoing has to reckon with (a new interface takes the values of `default`;
 * what belongs to an interface goes with it). Any call can be made to fail, or to be the last that a process
 * makes. */
#pragma once

#include "host.h"

struct host *host_fake_new(void);
void host_fake_free(struct host *h);

/* How many calls were made since the start, or since this was last set to 0. */
unsigned int *host_fake_calls(struct host *h);
/* The Nth call fails with -EIO, having done nothing. 0: none. */
void host_fake_fail_at(struct host *h, unsigned int n);
/* The process ends before or after the Nth call takes effect: it and all later ones return -EOWNERDEAD and do
 * nothing, until the next life begins. 0: none. */
void host_fake_die_at(struct host *h, unsigned int n, bool after);
void host_fake_revive(struct host *h);

/* Somebody else's doings; none counts as a call. */
unsigned int host_fake_add_link(struct host *h, const char *name, const char *kind);
void host_fake_del_link(struct host *h, const char *name);
void host_fake_set_master(struct host *h, const char *name, const char *bridge); /* NULL: none */
void host_fake_set_alias(struct host *h, const char *name, const char *alias);
void host_fake_add_addr(struct host *h, const char *name, const char *addr, uint8_t prefix);
void host_fake_add_route(struct host *h, const char *name, const char *dst, uint8_t prefix);
/* NULL: it is not there. */
const char *host_fake_get(struct host *h, const char *kind, const char *key);
void host_fake_set(
	struct host *h, const char *kind, const char *key, const char *value); /* NULL: removes it */
/* Ends the supervisor of that lock file. */
void host_fake_kill(struct host *h, const char *lock_path);
/* The next table that is put is changed by somebody before anybody looks at it. */
void host_fake_meddle(struct host *h);
void host_fake_listen(struct host *h, uint16_t port);
void host_fake_ruleset(struct host *h, const char *json);

/* All of it as sorted lines; heap. Kinds: "link", "addr", "sysctl", "table", "file", "supervisor". Not among
 * them: "ended", key PROTO:FIRST-LAST, for connections of a forward that were ended. */
char *host_fake_dump(struct host *h);
