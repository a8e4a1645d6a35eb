/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may join which bridge, as QEMU's bridge helper has it: /etc/qemu/bridge.conf. A line each:
 *
 *   # a comment
 *   allow BRIDGE|all
 *   deny BRIDGE|all
 *   include PATH
 *
 * What is not allowed is denied, and one "deny" outweighs every "allow", whichever comes first. Who may read an
 * included file is whom it speaks of, which is how rules for single users are made: a file that the caller may
 * not read, or that is not there, says nothing. */
#pragma once

#include "util.h"

#define BRIDGE_ACL_NAME_BYTES    16   /* an interface's, with its NUL */
#define BRIDGE_ACL_PATH_BYTES    1024 /* an included file's */
#define BRIDGE_ACL_FILE_BYTES    65536
#define BRIDGE_ACL_INCLUDES_MAX  64 /* of one answer: files that include each other come to an end */
#define BRIDGE_ACL_WHY_BYTES     160

/* The answer for one bridge, while files are read. */
struct bridge_acl {
	const char *bridge;
	bool allowed, denied;
	/* Reads an included file into the same answer. 0 or -errno; it says why itself. */
	int (*include)(struct bridge_acl *a, const char *path);
};

/* One file's text. 0, what include() returned, or -EINVAL; *ret_line: which line of this text it was, and for
 * -EINVAL ret_why: what is wrong with it. */
int bridge_acl_parse(struct bridge_acl *a, const char *text, size_t n, unsigned int *ret_line,
	char ret_why[BRIDGE_ACL_WHY_BYTES]);

static inline bool bridge_acl_allows(const struct bridge_acl *a)
{
	return a->allowed && !a->denied;
}
