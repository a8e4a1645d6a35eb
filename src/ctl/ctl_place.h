/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the control sockets of running guests and user-mode networks are, and whose each is. */
#pragma once

#include <limits.h>
#include <sys/stat.h>

#include "util.h"

#define CTL_NAME_BYTES 64
#define CTL_PATH_BYTES 108 /* of a socket's address */

enum ctl_kind {
	CTL_GUEST, /* vmlan run */
	CTL_USER,  /* vmlan user */
	CTL_KIND_MAX,
};

extern const char *const ctl_kind_names[];

struct ctl_place {
	enum ctl_kind kind;
	pid_t pid;                 /* of vmlan run, or vmlan user */
	char name[CTL_NAME_BYTES]; /* the number, if it has none */
	char path[CTL_PATH_BYTES];
};

/* A listening socket in our folder, which is made if need be. name: NULL or empty: none. *ret: what it is
 * called. The socket, or -errno. */
int ctl_place_listen(
	enum ctl_kind kind, const char *name, pid_t pid, struct ctl_place *ret, struct stat *ret_made);
/* Removes it, if it still is the one that was made, and the folder, if nothing else is in it. */
void ctl_place_remove(const struct ctl_place *p, const struct stat *made);

/* Is that what it is called, or its number? */
bool ctl_place_is(const struct ctl_place *p, const char *name);

/* All on which somebody listens, heap; what the dead left behind is removed. 0 or -errno. */
int ctl_place_list(struct ctl_place **ret, unsigned int *ret_n);
