/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that a front end gave us. It has them too: what they are, and whether they wait, may change at
 * any time, and it may have given us the last one of something whose end takes long. */
#pragma once

#include <stdbool.h>

/* Whether it can serve as a kick, a call or an error: an eventfd, or a pipe. A socket cannot: our own
 * connection's other end, held by us, would keep us from hearing that the front end has gone. */
bool vhost_fd_notifies(int fd);
/* Whether it is a Unix socket whose peer has no name, one of a pair, by which User Mode Linux is called. So it
 * is no client's end of a socket that we listen at. */
bool vhost_fd_is_pair(int fd);
/* Tells it, unless it is -1 or takes no more. It is made to return at once each time: the flag is the file's,
 * not the descriptor's, and a front end that clears it would stop everybody. */
void vhost_fd_notify(int fd);
/* Closes what may be anything, a socket that would wait for its peer (SO_LINGER) too, and sets it to -1. */
void vhost_fd_close(int *fd);
