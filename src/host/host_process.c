/* SPDX-License-Identifier: BSD-2-Clause */
/* Processes: the supervisor of a network, and commands that run to their end.
 *
 * A supervisor is known by a POSIX lock that it holds for as long as it lives. The kernel says whose lock it
 * is, so that there is no number on disk that could have become another process's, and no moment between a
 * start and its record. Who stops one takes hold of it by a pidfd, and asks for the lock's owner again after:
 * had it ended in between, and its number been given out anew, the answer would differ.
 *
 * It is nobody's child when it begins: orphaned at once, so that a service manager, which is told of it
 * before `up` ends, finds its own child and hears of its end.
 *
 * A supervisor that is told to start and finds its lock file gone, or the lock taken, ends at once
 * (host_supervisor_lock()): so one that was forked by an `up` that was killed cannot outlive a `down`. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "clock.h"
#include "host_internal.h"
#include "supervisor_lock.h"

#define STOP_TIMEOUT_MS 5000
#define RUN_TIMEOUT_MS  30000 /* what waits for a service that hangs must not hold up all networks with it */

static int owner_of(int fd, pid_t *ret)
{
	struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	*ret = 0;
	if (fcntl(fd, F_GETLK, &f) < 0)
		return errno ? -errno : -EIO;
	if (f.l_type == F_UNLCK)
		return -ENOENT;
	*ret = f.l_pid;
	return 0;
}

int host_supervisor_lock(const char *lock_path, int *ret_fd)
{
	struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	_cleanup_close_ int fd = open(lock_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || fcntl(fd, F_SETLK, &f) < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_nlink == 0)
		return -ENOENT;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int host_supervisor_find(struct host *h, const char *lock_path, pid_t *ret)
{
	_cleanup_close_ int fd = open(lock_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : owner_of(fd, ret);
}

/* A pidfd of whoever holds the lock; -ENOENT: nobody. */
static int open_owner(int lock_fd)
{
	for (;;) {
		pid_t pid, again;
		int r = owner_of(lock_fd, &pid);

		if (r < 0)
			return r;
		_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (fd < 0 && errno != ESRCH)
			return -errno;
		if (fd >= 0 && owner_of(lock_fd, &again) == 0 && again == pid)
			return TAKE_FD(fd);
	}
}

static int wait_end(int pid_fd, int timeout_ms)
{
	struct pollfd p = {.fd = pid_fd, .events = POLLIN};
	int r = poll(&p, 1, timeout_ms);

	return r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
}

int host_supervisor_stop(struct host *h, const char *lock_path)
{
	struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	_cleanup_close_ int lock = open(lock_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (lock < 0)
		return errno == ENOENT ? 0 : -errno;
	/* With the lock in our hands no supervisor that is only starting can get it any more. */
	while (fcntl(lock, F_SETLK, &f) < 0) {
		if (errno != EACCES && errno != EAGAIN)
			return -errno;
		_cleanup_close_ int pid_fd = open_owner(lock);

		if (pid_fd == -ENOENT)
			continue;
		if (pid_fd < 0)
			return pid_fd;
		(void)syscall(SYS_pidfd_send_signal, pid_fd, SIGTERM, NULL, 0);
		if (wait_end(pid_fd, STOP_TIMEOUT_MS) == -ETIMEDOUT) {
			(void)syscall(SYS_pidfd_send_signal, pid_fd, SIGKILL, NULL, 0);
			(void)wait_end(pid_fd, STOP_TIMEOUT_MS);
		}
	}
	return unlink(lock_path) < 0 && errno != ENOENT ? -errno : 0;
}

int host_supervisor_reload(struct host *h, const char *lock_path)
{
	_cleanup_close_ int lock = open(lock_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (lock < 0)
		return -errno;
	_cleanup_close_ int pid_fd = open_owner(lock);
	if (pid_fd < 0)
		return pid_fd;
	return syscall(SYS_pidfd_send_signal, pid_fd, SIGHUP, NULL, 0) < 0 ? -errno : 0;
}

/* In the child: a session of its own, and nothing of ours, lest somebody wait for the end of our output. */
static void become_supervisor(const char *network, int ready_fd)
{
	char number[16], program[] = "vmlan", verb[] = "supervise", name[IFNAMSIZ];
	char *argv[] = {program, verb, name, number, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd;
	sigset_t none;

	(void)snprintf(name, sizeof(name), "%s", network);
	fd = dup(ready_fd); /* without close-on-exec */
	(void)snprintf(number, sizeof(number), "%d", fd);
	sigemptyset(&none);
	if (fd < 0 || null < 0 || setsid() < 0 || chdir("/") < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
		dup2(null, 2) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		_exit(1);
	(void)execv("/proc/self/exe", argv);
	_exit(1);
}

/* What the supervisor says until it is ready ("ready"), or ends: an error, in a line. */
static int await_ready(struct host *h, int fd)
{
	size_t n = 0;

	while (n + 1 < sizeof(h->error)) {
		ssize_t got = read(fd, h->error + n, sizeof(h->error) - n - 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
		if (h->error[n - 1] == '\n')
			break;
	}
	h->error[n] = '\0';
	h->error[strcspn(h->error, "\n")] = '\0';
	if (strcmp(h->error, "ready") == 0) {
		h->error[0] = '\0';
		return 0;
	}
	if (n == 0)
		(void)snprintf(h->error, sizeof(h->error), "the supervisor ended before it was ready");
	return -EPIPE;
}

int host_supervisor_start(struct host *h, const char *network, const char *lock_path)
{
	_cleanup_close_ int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int fds[2], status = 0, r;
	pid_t pid;

	if (lock < 0)
		return -errno;
	if (owner_of(lock, &pid) == 0)
		return 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	_cleanup_close_ int from = fds[0];
	_cleanup_close_ int to = fds[1];

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			become_supervisor(network, to);
		_exit(pid < 0);
	}
	util_close(&to);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	r = status == 0 ? await_ready(h, from) : -EAGAIN;
	if (r < 0)
		(void)host_supervisor_stop(h, lock_path);
	return r;
}

static void become_command(char *const argv[], int to)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	if (null < 0 || dup2(null, 0) < 0 || dup2(to, 1) < 0 || dup2(to, 2) < 0 ||
		sigprocmask(SIG_SETMASK, &none, NULL) < 0 || signal(SIGPIPE, SIG_DFL) == SIG_ERR)
		_exit(126);
	(void)execvp(argv[0], argv);
	_exit(127);
}

/* Reads what it says to the end, so that it can end, and keeps the beginning. -ETIMEDOUT: there is no end. */
static int read_words(struct host *h, int from, unsigned int timeout_ms)
{
	uint64_t now_ms = clock_now_ms(), end_ms = now_ms + timeout_ms;
	size_t n = 0;

	for (; now_ms < end_ms; now_ms = clock_now_ms()) {
		struct pollfd p = {.fd = from, .events = POLLIN};
		size_t room = sizeof(h->error) - 1 - n;
		char rest[512];
		ssize_t got;

		if (poll(&p, 1, (int)(end_ms - now_ms)) <= 0)
			continue;
		got = room ? read(from, h->error + n, room) : read(from, rest, sizeof(rest));
		if (got <= 0 && !(got < 0 && errno == EINTR)) {
			h->error[n] = '\0';
			return 0;
		}
		if (room && got > 0)
			n += (size_t)got;
	}
	return -ETIMEDOUT;
}

int host_run_within(struct host *h, char *const argv[], unsigned int timeout_ms)
{
	int fds[2], status, r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	_cleanup_close_ int from = fds[0];
	_cleanup_close_ int to = fds[1];

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become_command(argv, to);
	util_close(&to);
	r = read_words(h, from, timeout_ms);
	if (r < 0)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (r < 0)
		(void)snprintf(h->error, sizeof(h->error), "%s did not end within %u s", argv[0], timeout_ms / 1000);
	return r < 0 ? r : WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

int host_run(struct host *h, char *const argv[])
{
	return host_run_within(h, argv, RUN_TIMEOUT_MS);
}
