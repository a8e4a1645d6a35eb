/* SPDX-License-Identifier: BSD-2-Clause */
/* seccomp: socket bind connect accept4 getsockname setsockopt getsockopt */
/* seccomp: sendmsg recvmsg recvmmsg shutdown close */
#include "sock.h"

static int result(int r)
{
	return r < 0 ? -errno : r;
}

static int linux_open(void *ctx, int family, int type, int proto)
{
	return result(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, proto));
}

static int linux_bind(void *ctx, int fd, const struct sockaddr *sa, socklen_t n)
{
	return result(bind(fd, sa, n));
}

static int linux_connect(void *ctx, int fd, const struct sockaddr *sa, socklen_t n)
{
	return result(connect(fd, sa, n));
}

static int linux_accept(void *ctx, int fd, struct sockaddr *ret, socklen_t *n)
{
	return result(accept4(fd, ret, n, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

static int linux_getsockname(void *ctx, int fd, struct sockaddr *ret, socklen_t *n)
{
	return result(getsockname(fd, ret, n));
}

static int linux_setsockopt(void *ctx, int fd, int level, int name, const void *value, socklen_t n)
{
	return result(setsockopt(fd, level, name, value, n));
}

static int linux_getsockopt(void *ctx, int fd, int level, int name, void *ret, socklen_t *n)
{
	return result(getsockopt(fd, level, name, ret, n));
}

static ssize_t linux_sendmsg(void *ctx, int fd, const struct msghdr *m, int flags)
{
	ssize_t n = sendmsg(fd, m, flags | MSG_NOSIGNAL | MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

static ssize_t linux_recvmsg(void *ctx, int fd, struct msghdr *m, int flags)
{
	ssize_t n = recvmsg(fd, m, flags | MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

static int linux_recvmmsg(void *ctx, int fd, struct mmsghdr *m, unsigned int n, int flags)
{
	return result(recvmmsg(fd, m, n, flags | MSG_DONTWAIT, NULL));
}

static int linux_shutdown(void *ctx, int fd, int how)
{
	return result(shutdown(fd, how));
}

static int linux_close(void *ctx, int fd)
{
	return result(close(fd));
}

static int linux_watch(void *ctx, int fd, uint32_t events, int source, uint32_t arg)
{
	return loop_watch(ctx, fd, events, source, arg);
}

static int linux_rewatch(void *ctx, int fd, uint32_t events, int source, uint32_t arg)
{
	return loop_rewatch(ctx, fd, events, source, arg);
}

static int linux_unwatch(void *ctx, int fd)
{
	return loop_unwatch(ctx, fd);
}

static const struct sock_ops linux_ops = {
	.open = linux_open,
	.bind = linux_bind,
	.connect = linux_connect,
	.accept = linux_accept,
	.getsockname = linux_getsockname,
	.setsockopt = linux_setsockopt,
	.getsockopt = linux_getsockopt,
	.sendmsg = linux_sendmsg,
	.recvmsg = linux_recvmsg,
	.recvmmsg = linux_recvmmsg,
	.shutdown = linux_shutdown,
	.close = linux_close,
	.watch = linux_watch,
	.rewatch = linux_rewatch,
	.unwatch = linux_unwatch,
};

struct sock_host sock_linux(struct loop *l)
{
	return (struct sock_host){.ops = &linux_ops, .ctx = l};
}
