/* SPDX-License-Identifier: BSD-2-Clause */
/* What was once said beside the user back end, and is an option of it now:
 *
 *   -redir [tcp|udp]:HOSTPORT:[GUEST]:PORT    hostfwd=[tcp|udp]::HOSTPORT-[GUEST]:PORT   (until 3.0)
 *   -tftp DIR, -smb DIR, -bootp FILE          tftp=DIR, smb=DIR, bootfile=FILE          (until 3.0)
 *   -net channel,PORT:DEV                     guestfwd=tcp::PORT-DEV                    (until 2.11)
 *
 * A forward went to the first user back end; a folder or file to each that had none of its own. */
#pragma once

#include "qemu_net.h"

/* Adds to the options of the line's user back ends. 0, -ENOMEM, or -EINVAL and *e. Where there is no user
 * back end, nothing is added, as QEMU ignored it; qemu_moved_is_lost() tells. */
int qemu_moved_apply(struct qemu_line *l, struct qemu_error *e);
/* Does this part speak of a user back end that is not there? */
bool qemu_moved_is_lost(const struct qemu_line *l, const struct qemu_part *p);
/* The key of the option that it is today, and how that is written. */
const char *qemu_moved_key(const struct qemu_part *p, const char **ret_form);
