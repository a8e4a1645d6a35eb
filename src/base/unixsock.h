/* SPDX-License-Identifier: BSD-2-Clause */
/* Stream sockets in the file system. */
#pragma once

#include <sys/stat.h>

#include "util.h"

/* A listening socket at path, for this user only. A socket file that nobody listens on is replaced; one
 * that somebody does is -EADDRINUSE; any other file -EEXIST; a path that no socket address holds
 * -ENAMETOOLONG. ret_made: what was made, for unixsock_remove(). */
int unixsock_listen(const char *path, struct stat *ret_made);
/* Removes the socket file if it is still the one that was made. */
void unixsock_remove(const char *path, const struct stat *made);
/* Connected, or -errno at once: -ENOENT, -ECONNREFUSED, -EAGAIN if its backlog is full. */
int unixsock_connect(const char *path);
