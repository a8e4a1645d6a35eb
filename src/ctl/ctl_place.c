/* SPDX-License-Identifier: BSD-2-Clause */
/* A socket is called KIND.PID.NAME, so that a look into the folder says what there is. The folder is ours and
 * closed to others:
 *
 *   $VMLAN_RUN_DIR, and no other, if that is set
 *   of root  /run/vmlan-guests
 *   else     $XDG_RUNTIME_DIR/vmlan
 *   else     /tmp/vmlan-UID
 *
 * A socket gets its name when it listens already: a socket that refuses a connection therefore is of a
 * process that has ended, whatever way, and whoever meets it removes it. Only that user does: in another's
 * folder, which root may look into, names may be made to mean anything between two steps. */
#include "ctl_place.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "unixsock.h"

#define FOLDERS_MAX 3
#define TRIES       8
#define LETTERS     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+@" /* of names */

const char *const ctl_kind_names[] = {[CTL_GUEST] = "guest", [CTL_USER] = "user"};
static_assert(ARRAY_SIZE(ctl_kind_names) == CTL_KIND_MAX, "every kind has a name");

/* NULL-terminated as far as there are fewer. */
static unsigned int list_folders(char ret[FOLDERS_MAX][PATH_MAX])
{
	const char *own = getenv("VMLAN_RUN_DIR"), *run = getenv("XDG_RUNTIME_DIR");
	unsigned int n = 0;

	if (own && *own) {
		(void)snprintf(ret[0], PATH_MAX, "%s", own);
		return 1;
	}
	if (geteuid() == 0)
		(void)snprintf(ret[n++], PATH_MAX, "/run/vmlan-guests");
	else if (run && run[0] == '/')
		(void)snprintf(ret[n++], PATH_MAX, "%s/vmlan", run);
	(void)snprintf(ret[n++], PATH_MAX, "/tmp/vmlan-%u", (unsigned int)geteuid());
	return n;
}

/* 1: it is ours; 0: another's that root has named, to look into; -EPERM, -ENOTDIR or another -errno. */
static int check_folder(const char *path)
{
	const char *own = getenv("VMLAN_RUN_DIR");
	struct stat st;

	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if ((st.st_mode & 077) != 0)
		return -EPERM;
	if (st.st_uid == geteuid())
		return 1;
	return geteuid() == 0 && own && *own ? 0 : -EPERM;
}

/* Letters that no shell and no listing has trouble with. */
static void copy_name(const char *name, pid_t pid, char ret[CTL_NAME_BYTES])
{
	if (!name || !*name)
		(void)snprintf(ret, CTL_NAME_BYTES, "%d", (int)pid);
	else
		(void)snprintf(ret, CTL_NAME_BYTES - 4, "%s", name); /* and room for a number */
	for (char *c = ret; *c; c++)
		if (!strchr(LETTERS, *c))
			*c = '_';
}

bool ctl_place_is(const struct ctl_place *p, const char *name)
{
	char clean[CTL_NAME_BYTES], number[16];

	copy_name(name, 0, clean);
	(void)snprintf(number, sizeof(number), "%d", (int)p->pid);
	return strcmp(p->name, clean) == 0 || strcmp(number, name) == 0;
}

static int compose(const char *folder, struct ctl_place *p)
{
	int n = snprintf(p->path, sizeof(p->path), "%s/%s.%d.%s", folder, ctl_kind_names[p->kind],
		(int)p->pid, p->name);

	return n < (int)sizeof(p->path) ? 0 : -ENAMETOOLONG;
}

/* What is no socket refuses a connection too. */
static bool is_dead(const char *path)
{
	_cleanup_close_ int fd = unixsock_connect(path);
	struct stat st;

	return fd == -ECONNREFUSED && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* From the name that it listens under to its own. One that is taken is another's of the same number, in
 * another process namespace: ours gets a number more. */
static int give_name(const char *folder, const char *from, struct ctl_place *p)
{
	size_t n = strlen(p->name);
	int r = -EEXIST;

	for (unsigned int i = 1; i <= TRIES && r == -EEXIST; i++) {
		if (i > 1)
			(void)snprintf(p->name + n, sizeof(p->name) - n, ".%u", i);
		r = compose(folder, p);
		if (r == 0 && is_dead(p->path))
			(void)unlink(p->path);
		if (r == 0 && renameat2(AT_FDCWD, from, AT_FDCWD, p->path, RENAME_NOREPLACE) < 0)
			r = -errno;
	}
	return r;
}

static int listen_in(const char *folder, struct ctl_place *p, struct stat *ret_made)
{
	_cleanup_close_ int fd = -1;
	char first[CTL_PATH_BYTES];
	int r;

	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	r = check_folder(folder);
	if (r <= 0)
		return r < 0 ? r : -EPERM;
	if (snprintf(first, sizeof(first), "%s/.%s-%d", folder, p->name, (int)getpid()) >= (int)sizeof(first))
		return -ENAMETOOLONG;
	fd = unixsock_listen(first, ret_made);
	if (fd < 0)
		return fd;
	r = give_name(folder, first, p);
	if (r < 0)
		(void)unlink(first);
	return r < 0 ? r : TAKE_FD(fd);
}

void ctl_place_remove(const struct ctl_place *p, const struct stat *made)
{
	char folder[CTL_PATH_BYTES];
	const char *slash = strrchr(p->path, '/');

	unixsock_remove(p->path, made);
	(void)snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - p->path) : 0, p->path);
	(void)rmdir(folder);
}

static bool parse_name(const char *folder, const char *file, struct ctl_place *ret)
{
	const char *dot = strchr(file, '.');
	char *end;
	long pid;

	*ret = (struct ctl_place){.kind = CTL_KIND_MAX};
	for (int i = 0; i < CTL_KIND_MAX && dot; i++)
		if (strlen(ctl_kind_names[i]) == (size_t)(dot - file) &&
			strncmp(file, ctl_kind_names[i], (size_t)(dot - file)) == 0)
			ret->kind = (enum ctl_kind)i;
	if (ret->kind == CTL_KIND_MAX)
		return false;
	pid = strtol(dot + 1, &end, 10);
	if (pid <= 0 || pid > INT_MAX || *end != '.' || !end[1] || strlen(end + 1) >= sizeof(ret->name) ||
		end[1 + strspn(end + 1, LETTERS)])
		return false;
	ret->pid = (pid_t)pid;
	(void)snprintf(ret->name, sizeof(ret->name), "%s", end + 1);
	return compose(folder, ret) == 0;
}

/* One that has not got its name yet begins with a dot. If it is not listening yet either, its maker makes
 * another. */
static void sweep_unnamed(const char *folder, const char *file)
{
	char path[CTL_PATH_BYTES];

	if (file[0] == '.' && strcmp(file, ".") != 0 && strcmp(file, "..") != 0 &&
		snprintf(path, sizeof(path), "%s/%s", folder, file) < (int)sizeof(path) && is_dead(path))
		(void)unlink(path);
}

static int list_folder(const char *folder, struct ctl_place **list, unsigned int *n)
{
	int r = check_folder(folder);
	DIR *d = r < 0 ? NULL : opendir(folder);
	bool is_ours = r > 0;
	const struct dirent *e;

	if (!d)
		return r == -ENOENT ? 0 : MIN(r, 0);
	r = 0;
	while (r == 0 && (e = readdir(d))) {
		struct ctl_place p;
		void *grown;

		if (!parse_name(folder, e->d_name, &p)) {
			if (is_ours)
				sweep_unnamed(folder, e->d_name);
			continue;
		}
		if (is_dead(p.path)) {
			if (is_ours)
				(void)unlink(p.path);
			continue;
		}
		grown = reallocarray(*list, (size_t)*n + 1, sizeof(p));
		if (!grown) {
			r = -ENOMEM;
			continue;
		}
		*list = grown;
		(*list)[(*n)++] = p;
	}
	(void)closedir(d);
	if (is_ours && *n == 0)
		(void)rmdir(folder);
	return r;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct ctl_place *)a)->name, ((const struct ctl_place *)b)->name);
}

int ctl_place_list(struct ctl_place **ret, unsigned int *ret_n)
{
	char folders[FOLDERS_MAX][PATH_MAX];
	unsigned int n_folders = list_folders(folders);
	int r = 0;

	*ret = NULL;
	*ret_n = 0;
	for (unsigned int i = 0; i < n_folders; i++) {
		int x = list_folder(folders[i], ret, ret_n);

		/* Anybody may make the last one, in /tmp: nothing of ours is in it then. */
		if (r == 0 && !(i > 0 && (x == -EPERM || x == -ENOTDIR)))
			r = x;
	}
	if (*ret)
		qsort(*ret, *ret_n, sizeof(**ret), compare);
	if (r == 0)
		return 0;
	free(*ret);
	*ret = NULL;
	return r;
}

int ctl_place_listen(
	enum ctl_kind kind, const char *name, pid_t pid, struct ctl_place *ret, struct stat *ret_made)
{
	char folders[FOLDERS_MAX][PATH_MAX];
	_cleanup_free_ struct ctl_place *others = NULL;
	unsigned int n = list_folders(folders), n_others;
	int r = -ENOENT;

	(void)ctl_place_list(&others, &n_others); /* which sweeps */

	for (unsigned int i = 0; i < n && r < 0; i++)
		/* Somebody may remove the folder between two steps, because it was empty. */
		for (unsigned int try = 0; try < TRIES && (try == 0 || r == -ENOENT); try++) {
			*ret = (struct ctl_place){.kind = kind, .pid = pid};
			copy_name(name, pid, ret->name);
			r = listen_in(folders[i], ret, ret_made);
		}
	return r;
}
