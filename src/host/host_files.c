/* SPDX-License-Identifier: BSD-2-Clause */
/* Files, sysctls and the lock.
 *
 * A file is replaced by rename() after its bytes are on disk, and its folder is synced after that: what was
 * written is there after any crash, and what was there before is never half gone. Temporary names begin with
 * a dot, and a later write of the same file goes over one that a crash left.
 *
 * The lock's file is removed by who holds it, so that no trace is left. Therefore who has got a lock looks
 * whether its file is still the one of that name, and begins again if it is not. */
#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "host_internal.h"

#define FILE_BYTES_MAX ((size_t)16 << 20)

static int read_all(int fd, char **ret)
{
	size_t n = 0, room = 4096;
	_cleanup_free_ char *text = malloc(room);

	while (text) {
		ssize_t got = read(fd, text + n, room - n - 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		n += (size_t)got;
		if (got == 0) {
			text[n] = '\0';
			*ret = TAKE_PTR(text);
			return 0;
		}
		if (n + 1 < room)
			continue;
		if (room >= FILE_BYTES_MAX)
			return -EFBIG;
		char *more = realloc(text, room * 2);

		if (!more)
			return -ENOMEM;
		text = more;
		room *= 2;
	}
	return -ENOMEM;
}

static int write_all(int fd, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t put = write(fd, text, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		text += put;
		n -= (size_t)put;
	}
	return 0;
}

int host_sysctl_get(struct host *h, const char *path, char ret[HOST_SYSCTL_BYTES])
{
	char full[HOST_PATH_BYTES];
	_cleanup_close_ int fd = -1;
	ssize_t n;

	(void)snprintf(full, sizeof(full), "/proc/sys/%s", path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, ret, HOST_SYSCTL_BYTES - 1);
	if (n < 0)
		return -errno;
	ret[n] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

int host_sysctl_set(struct host *h, const char *path, const char *value)
{
	char full[HOST_PATH_BYTES];
	_cleanup_close_ int fd = -1;
	int r;

	(void)snprintf(full, sizeof(full), "/proc/sys/%s", path);
	fd = open(full, O_WRONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : write_all(fd, value, strlen(value));
	return host_failed(h, r, "cannot write %s to %s", value, full);
}

int host_device_probe(struct host *h, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	return fd < 0 ? -errno : 0;
}

int host_file_read(struct host *h, const char *path, char **ret)
{
	/* Only root writes in /etc, and much there are links: resolv.conf, a network's file. */
	int follow = strncmp(path, "/etc/", 5) == 0 ? 0 : O_NOFOLLOW;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | follow);

	return fd < 0 ? -errno : read_all(fd, ret);
}

/* The folder that a path lies in. */
static void folder_of(const char *path, char ret[HOST_PATH_BYTES])
{
	const char *slash = strrchr(path, '/');

	(void)snprintf(ret, HOST_PATH_BYTES, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
}

static void temporary_of(const char *path, char ret_folder[HOST_PATH_BYTES], char ret[HOST_PATH_BYTES + 16])
{
	folder_of(path, ret_folder);
	(void)snprintf(ret, HOST_PATH_BYTES + 16, "%s/.%s.new", ret_folder, path + strlen(ret_folder) + 1);
}

static int sync_folder_of(const char *path)
{
	char folder[HOST_PATH_BYTES];

	folder_of(path, folder);
	_cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int host_file_write(struct host *h, const char *path, const char *text)
{
	char folder[HOST_PATH_BYTES], temporary[HOST_PATH_BYTES + 16];
	int r;

	temporary_of(path, folder, temporary);
	_cleanup_close_ int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	r = fd < 0 ? -errno : write_all(fd, text, strlen(text));
	if (r == 0 && (fsync(fd) < 0 || rename(temporary, path) < 0))
		r = -errno;
	if (r == 0)
		r = sync_folder_of(path);
	else if (fd >= 0)
		(void)unlink(temporary);
	return host_failed(h, r, "cannot write %s", path);
}

/* With what a crash may have left of a write of it. */
int host_file_del(struct host *h, const char *path)
{
	char folder[HOST_PATH_BYTES], temporary[HOST_PATH_BYTES + 16];

	temporary_of(path, folder, temporary);
	(void)unlink(temporary);
	return unlink(path) < 0 ? -errno : 0;
}

int host_dir_add(struct host *h, const char *path)
{
	char part[HOST_PATH_BYTES];
	int r = 0;

	for (const char *p = strchr(path + 1, '/'); r == 0; p = p ? strchr(p + 1, '/') : NULL) {
		(void)snprintf(part, sizeof(part), "%.*s", p ? (int)(p - path) : (int)strlen(path), path);
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			r = -errno;
		if (!p)
			break;
	}
	return host_failed(h, r, "cannot make the folder %s", path);
}

int host_dir_del(struct host *h, const char *path)
{
	return rmdir(path) < 0 ? -errno : 0;
}

int host_dir_list(struct host *h, const char *path, char **ret)
{
	DIR *d = opendir(path);
	_cleanup_free_ char *list = calloc(1, 1);
	size_t n = 0;
	int r = !d ? -errno : list ? 0 : -ENOMEM;

	for (struct dirent *e = d && r == 0 ? readdir(d) : NULL; e; e = readdir(d)) {
		size_t more = strlen(e->d_name) + 1;
		char *grown;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		grown = realloc(list, n + more + 1);
		if (!grown) {
			r = -ENOMEM;
			break;
		}
		list = grown;
		memcpy(list + n, e->d_name, more);
		n += more;
		list[n] = '\0';
	}
	if (d)
		(void)closedir(d);
	if (r == 0)
		*ret = TAKE_PTR(list);
	return r;
}

static bool is_file_at(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

int host_lock_take(struct host *h, const char *path, bool wait)
{
	struct host_linux *l = host_linux_of(h);
	char folder[HOST_PATH_BYTES];

	folder_of(path, folder);
	for (;;) {
		_cleanup_close_ int fd = -1;
		int r = host_dir_add(h, folder);

		if (r < 0)
			return r;
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0 && errno == ENOENT)
			continue; /* who let it go removed the folder between the two calls */
		if (fd < 0)
			return host_failed(h, -errno, "cannot open the lock %s", path);
		r = flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
		if (r < 0 && r != -EINTR)
			return r;
		if (r < 0 || !is_file_at(fd, path))
			continue;
		l->lock_fd = TAKE_FD(fd);
		(void)snprintf(l->lock_path, sizeof(l->lock_path), "%s", path);
		return 0;
	}
}

void host_lock_release(struct host *h)
{
	struct host_linux *l = host_linux_of(h);
	char folder[HOST_PATH_BYTES];

	if (l->lock_fd < 0)
		return;
	(void)unlink(l->lock_path);
	folder_of(l->lock_path, folder);
	(void)rmdir(folder); /* goes if nothing else is in it */
	util_close(&l->lock_fd);
}
