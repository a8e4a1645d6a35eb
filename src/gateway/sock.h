/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's sockets, as the gateway reaches them: one table of operations, so that a test puts a
 * simulated host (sock_fake) in the place of Linux (sock_linux). Each call has the meaning and the
 * errors of the system call it is named after, with -errno in place of -1; sockets are non-blocking and
 * close-on-exec. */
#pragma once

#include <sys/socket.h>

#include "addr.h"
#include "loop.h"

struct sock_ops {
	int (*open)(void *ctx, int family, int type, int proto);
	int (*bind)(void *ctx, int fd, const struct sockaddr *sa, socklen_t n);
	int (*connect)(void *ctx, int fd, const struct sockaddr *sa, socklen_t n);
	int (*accept)(void *ctx, int fd, struct sockaddr *ret, socklen_t *n);
	int (*getsockname)(void *ctx, int fd, struct sockaddr *ret, socklen_t *n);
	int (*setsockopt)(void *ctx, int fd, int level, int name, const void *value, socklen_t n);
	int (*getsockopt)(void *ctx, int fd, int level, int name, void *ret, socklen_t *n);
	ssize_t (*sendmsg)(void *ctx, int fd, const struct msghdr *m, int flags);
	ssize_t (*recvmsg)(void *ctx, int fd, struct msghdr *m, int flags);
	int (*recvmmsg)(void *ctx, int fd, struct mmsghdr *m, unsigned int n, int flags);
	int (*shutdown)(void *ctx, int fd, int how);
	int (*close)(void *ctx, int fd);
	/* Events of fd go to the source, with arg; EPOLL* flags. First call adds, rewatch changes. */
	int (*watch)(void *ctx, int fd, uint32_t events, int source, uint32_t arg);
	int (*rewatch)(void *ctx, int fd, uint32_t events, int source, uint32_t arg);
	/* No events any more: somebody else will watch it. close() needs no unwatch. */
	int (*unwatch)(void *ctx, int fd);
};

struct sock_host {
	const struct sock_ops *ops;
	void *ctx;
};

/* The kernel's; ctx is the loop. */
struct sock_host sock_linux(struct loop *l);
