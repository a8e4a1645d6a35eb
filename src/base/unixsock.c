/* SPDX-License-Identifier: BSD-2-Clause */
#include "unixsock.h"

#include <sys/socket.h>
#include <sys/un.h>

#define BACKLOG 4

static int address(const char *path, struct sockaddr_un *ret)
{
	size_t n = strlen(path);

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (n >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	memcpy(ret->sun_path, path, n);
	return 0;
}

static int open_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int unixsock_connect(const char *path)
{
	struct sockaddr_un a;
	int r = address(path, &a);

	if (r < 0)
		return r;
	_cleanup_close_ int fd = open_socket();
	if (fd < 0)
		return fd;
	return connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : TAKE_FD(fd);
}

/* 0 when nothing stands at path any more. */
static int clear_stale(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	_cleanup_close_ int fd = unixsock_connect(path);
	if (fd != -ECONNREFUSED)
		return fd == -ENOENT ? 0 : -EADDRINUSE;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int unixsock_listen(const char *path, struct stat *ret_made)
{
	struct sockaddr_un a;
	int r = address(path, &a);

	if (r == 0)
		r = clear_stale(path);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = open_socket();
	if (fd < 0)
		return fd;
	mode_t before = umask(0177);
	r = bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
	(void)umask(before);
	if (r == 0 && (listen(fd, BACKLOG) < 0 || lstat(path, ret_made) < 0))
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

void unixsock_remove(const char *path, const struct stat *made)
{
	struct stat st;

	if (lstat(path, &st) == 0 && st.st_dev == made->st_dev && st.st_ino == made->st_ino)
		(void)unlink(path);
}
