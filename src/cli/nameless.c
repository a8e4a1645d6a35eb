/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket is bound in a folder of our own, opened as a mere place (O_PATH), and folder and name are removed.
 * The kernel finds a listener by its inode, and the place still is that. */
#include "nameless.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "util.h"

#define BACKLOG 4

static int listen_at(const char *path, int *ret_listener, int *ret_place)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	_cleanup_close_ int place = -1;

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	(void)strcpy(a.sun_path, path);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	place = open(path, O_PATH | O_CLOEXEC);
	/* A QEMU that changes its user id (-runas) connects again as that; the folder kept others out. */
	if (place < 0 || chmod(path, 0666) < 0 || listen(fd, BACKLOG) < 0) {
		int r = -errno;

		(void)unlink(path);
		return r;
	}
	if (unlink(path) < 0)
		return -errno;
	*ret_listener = TAKE_FD(fd);
	*ret_place = TAKE_FD(place);
	return 0;
}

static int listen_below(const char *folder, int *ret_listener, int *ret_place)
{
	char own[PATH_MAX], path[PATH_MAX + 2];
	int r;

	if (snprintf(own, sizeof(own), "%s/vmlan-XXXXXX", folder) >= (int)sizeof(own))
		return -ENAMETOOLONG;
	if (!mkdtemp(own))
		return -errno;
	(void)snprintf(path, sizeof(path), "%s/s", own);
	r = listen_at(path, ret_listener, ret_place);
	(void)rmdir(own);
	return r;
}

int nameless_listen(int *ret_listener, int *ret_place)
{
	const char *folders[] = {getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp", "/run", "/dev/shm"};
	int r = -ENOENT;

	for (unsigned int i = 0; i < ARRAY_SIZE(folders) && r < 0; i++)
		if (folders[i] && folders[i][0] == '/')
			r = listen_below(folders[i], ret_listener, ret_place);
	return r;
}
