/* SPDX-License-Identifier: BSD-2-Clause */
/* The forked process makes its namespaces itself, and the tap in them; sends the tap's descriptor to the
 * parent; waits for a byte, which comes once the engine serves the other end; and becomes the command. If
 * the parent dies before, the read ends and so does the process; if after, it is told by SIGTERM.
 *
 * A user namespace is made only where a network namespace is refused without one: real root keeps its
 * real privileges. */
#include "command.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "log.h"
#include "msg.h"
#include "sandbox.h"

#define STATUS_NOT_FOUND 127
#define STATUS_NOT_RUN   126

struct answer {
	int r;
	char what[NETNS_WHAT_BYTES];
};

static int write_file(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int map_root_to(uid_t uid, gid_t gid)
{
	char map[64];

	(void)prctl(PR_SET_DUMPABLE, 1); /* or the files below are the real root's */
	int r = write_file("/proc/self/setgroups", "deny");
	(void)snprintf(map, sizeof(map), "0 %u 1", gid);
	if (r == 0)
		r = write_file("/proc/self/gid_map", map);
	(void)snprintf(map, sizeof(map), "0 %u 1", uid);
	return r < 0 ? r : write_file("/proc/self/uid_map", map);
}

static int make_namespaces(struct answer *a)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) == 0)
		return 0;
	if (errno == EPERM && unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) == 0) {
		a->r = map_root_to(uid, gid);
		if (a->r < 0)
			(void)snprintf(a->what, sizeof(a->what), "cannot map root to user %u; %s", uid,
				sandbox_namespace_remedy());
		return a->r;
	}
	a->r = -errno;
	(void)snprintf(a->what, sizeof(a->what), "cannot make namespaces; %s", sandbox_namespace_remedy());
	return a->r;
}

/* A tmpfs to write the file on, put away once the file is mounted where it belongs. The link that
 * /etc/resolv.conf may be is followed. */
static int mount_resolv_conf(const struct command_config *c)
{
	char addr[INET_ADDRSTRLEN], text[2400];

	(void)inet_ntop(AF_INET, &c->dns_be, addr, sizeof(addr));
	(void)snprintf(text, sizeof(text), "nameserver %s\n%s%s%s", addr, c->search[0] ? "search " : "",
		c->search, c->search[0] ? "\n" : "");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
		mount("none", "/tmp", "tmpfs", MS_NODEV | MS_NOEXEC | MS_NOSUID, "mode=0755,size=64k") < 0)
		return -errno;
	int fd = open("/tmp/resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : 0;
	util_close(&fd);
	if (r == 0)
		r = write_file("/tmp/resolv.conf", text);
	if (r == 0 && mount("/tmp/resolv.conf", "/etc/resolv.conf", NULL, MS_BIND, NULL) < 0)
		r = -errno;
	return umount2("/tmp", MNT_DETACH) < 0 && r == 0 ? -errno : r;
}

/* Signals as a program expects them at its start. */
static void reset_signals(void)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become_command(const struct command_config *c, int sock)
{
	char go;

	(void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* only now: new ids and capabilities would have cleared it */
	if (msg_recv_raw(sock, &go, 1, NULL, 0) != 1)
		_exit(STATUS_NOT_RUN);
	(void)setrlimit(RLIMIT_NOFILE, &c->n_files);
	reset_signals();
	(void)execvp(c->argv[0], c->argv);
	log_error("%s: %s", c->argv[0], strerror(errno));
	_exit(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_RUN);
}

static void child(const struct command_config *c, int sock)
{
	struct answer a = {0};
	int fd = -1;

	if (make_namespaces(&a) == 0) {
		int r = mount_resolv_conf(c);

		if (r < 0)
			log_warn("the command keeps the host's /etc/resolv.conf: %s", strerror(-r));
		fd = netns_make_tap(&c->tap, a.what);
		a.r = MIN(fd, 0);
	}
	if (msg_send_raw(sock, &a, sizeof(a), fd) < 0 || a.r < 0)
		_exit(STATUS_NOT_RUN);
	util_close(&fd);
	become_command(c, sock);
}

int command_prepare(const struct command_config *c, struct command *ret, char ret_what[NETNS_WHAT_BYTES])
{
	int pair[2];
	struct answer a;

	(void)snprintf(ret_what, NETNS_WHAT_BYTES, "cannot start a process");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	_cleanup_close_ int ours = pair[0];
	_cleanup_close_ int theirs = pair[1];
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		util_close(&ours);
		child(c, theirs);
	}
	util_close(&theirs);
	_cleanup_close_ int fd = -1;
	ssize_t n = msg_recv_raw(ours, &a, sizeof(a), &fd, 0);
	if (n == (ssize_t)sizeof(a) && a.r == 0 && fd >= 0) {
		*ret = (struct command){.pid = pid, .go_fd = TAKE_FD(ours)};
		return TAKE_FD(fd);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (n == (ssize_t)sizeof(a))
		memcpy(ret_what, a.what, NETNS_WHAT_BYTES);
	return n == (ssize_t)sizeof(a) && a.r < 0 ? a.r : -EPIPE;
}

void command_begin(struct command *c)
{
	if (c->go_fd >= 0)
		(void)msg_send_raw(c->go_fd, "", 1, -1);
	util_close(&c->go_fd);
}

int command_exit_status(int wait_status)
{
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
