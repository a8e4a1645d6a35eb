/* SPDX-License-Identifier: BSD-2-Clause */
/* A listening unix socket without a name: whoever inherits *ret_place can connect to it as often as it likes,
 * by the path /proc/self/fd/PLACE, and nobody else can; nothing stays in the file system. */
#pragma once

/* Both are closed on exec. 0 or -errno. */
int nameless_listen(int *ret_listener, int *ret_place);
