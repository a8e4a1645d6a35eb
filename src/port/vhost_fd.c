/* SPDX-License-Identifier: BSD-2-Clause */
/* seccomp: fcntl write fstat getsockopt setsockopt close */
#include "vhost_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "util.h"

bool vhost_fd_notifies(int fd)
{
	struct stat st;

	/* As a plain system call: the C library's fstat() may be newfstatat, which also takes paths. */
	if (syscall(SYS_fstat, fd, &st) < 0)
		return false;
	return (st.st_mode & S_IFMT) == 0 || S_ISFIFO(st.st_mode);
}

bool vhost_fd_is_pair(int fd)
{
	char name[sizeof(sa_family_t) + 1];
	socklen_t n = sizeof(name), n_domain = sizeof(int);
	int domain;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n_domain) < 0 || domain != AF_UNIX)
		return false;
	/* A peer with a name has more than its family, one without has nothing more to give. */
	return getsockopt(fd, SOL_SOCKET, SO_PEERNAME, name, &n) < 0 && errno == EINVAL;
}

void vhost_fd_notify(int fd)
{
	static const uint64_t one = 1;

	if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return;
	(void)!write(fd, &one, sizeof(one)); /* a full counter has told it already */
}

void vhost_fd_close(int *fd)
{
	static const struct linger at_once;

	if (*fd >= 0)
		(void)setsockopt(*fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	util_close(fd);
}
