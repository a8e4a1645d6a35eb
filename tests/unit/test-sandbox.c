/* SPDX-License-Identifier: BSD-2-Clause */
/* Each test is a child that enters the sandbox and does one thing; its end says how that went. Seen from
 * outside, where /proc still is, the child has no capability and an empty root. Run by root, the children
 * go once as root and once as an ordinary user, which takes the two ways through namespaces. */
#include "cmocka-all.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "sandbox.h"
#include "util.h"

#define EXIT_ENTER_FAILED 90
#define EXIT_INCOMPLETE   91 /* this host gives no namespaces */
#define EXIT_SURVIVED     92
#define ORDINARY_USER     1000

/* A sanitised build may ask for files, in vain, and map memory as it likes. */
#ifdef VMLAN_SANITIZED
static const bool shipped_list = false;
#else
static const bool shipped_list = true;
#endif

static bool as_user;
static void (*in_between)(void); /* after the rest, before the filter */

static bool become_ordinary(void)
{
	return setgroups(0, NULL) == 0 && setresgid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER) == 0 &&
	       setresuid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER) == 0;
}

/* In the child. */
static void enter(pid_t parent)
{
	char missing[SANDBOX_TEXT_BYTES];

	if (as_user && !become_ordinary())
		_exit(EXIT_ENTER_FAILED);
	if (sandbox_enter(parent, missing) < 0)
		_exit(EXIT_ENTER_FAILED);
	if (missing[0]) {
		(void)!write(STDERR_FILENO, missing, strlen(missing));
		(void)!write(STDERR_FILENO, "\n", 1);
		_exit(EXIT_INCOMPLETE);
	}
	if (in_between)
		in_between();
	if (sandbox_filter() < 0)
		_exit(EXIT_ENTER_FAILED);
}

/* before, if any, runs outside the sandbox. */
static int status_of(void (*before)(void), void (*act)(void))
{
	pid_t parent = getpid(), pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (before)
			before();
		enter(parent);
		act();
		_exit(EXIT_SURVIVED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_INCOMPLETE)
		skip(); /* said by the child */
	return status;
}

static void assert_killed(void (*act)(void))
{
	int status = status_of(NULL, act);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void assert_survives(void (*act)(void))
{
	int status = status_of(NULL, act);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EXIT_SURVIVED);
}

static void do_open(void)
{
	if (open("/", O_RDONLY) >= 0)
		_exit(1);
}

static void do_exec(void)
{
	char *argv[] = {NULL};

	(void)execve("/bin/true", argv, argv);
}

static void do_ptrace(void)
{
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void do_fork(void)
{
	(void)syscall(SYS_vfork);
}

static void do_setuid(void)
{
	(void)syscall(SYS_setuid, 0);
}

static void do_packet_socket(void)
{
	(void)socket(AF_PACKET, SOCK_RAW, 0);
}

static void do_raw_socket(void)
{
	(void)socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static void do_unix_socket(void)
{
	(void)socket(AF_UNIX, SOCK_STREAM, 0);
}

static void do_terminal_ioctl(void)
{
	char c = '\n';

	(void)ioctl(STDERR_FILENO, TIOCSTI, &c);
}

static void do_executable_memory(void)
{
	(void)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void do_filter_option(void)
{
	(void)setsockopt(STDERR_FILENO, 263 /* SOL_PACKET */, 1, NULL, 0);
}

static void test_forbidden(void **state)
{
	if (shipped_list) {
		assert_killed(do_open);
		assert_killed(do_executable_memory);
	} else {
		assert_survives(do_open);
	}
	assert_killed(do_exec);
	assert_killed(do_ptrace);
	assert_killed(do_fork);
	assert_killed(do_setuid);
	assert_killed(do_packet_socket);
	assert_killed(do_raw_socket);
	assert_killed(do_unix_socket);
	assert_killed(do_terminal_ioctl);
	assert_killed(do_filter_option);
}

/* A thread that was there before the filter, and one that comes after it. */
static int go[2];

static void *open_later(void *arg)
{
	char byte;

	if (read(go[0], &byte, 1) == 1)
		(void)syscall(SYS_setuid, 0);
	return NULL;
}

static void begin_thread(void)
{
	pthread_t thread;

	if (pipe(go) < 0 || pthread_create(&thread, NULL, open_later, NULL))
		_exit(1);
}

static void do_in_thread(void)
{
	struct epoll_event none;

	(void)!write(go[1], "", 1);
	for (;;)
		(void)epoll_wait(-1, &none, 1, -1);
}

static void do_thread(void)
{
	(void)syscall(SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, NULL, NULL, NULL, 0);
}

static void test_threads(void **state)
{
	in_between = begin_thread;
	assert_killed(do_in_thread);
	in_between = NULL;
	if (shipped_list)
		assert_killed(do_thread);
}

/* What the data path does. */
static void do_work(void)
{
	int one = 1;
	int tcp = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event e;
	int copy = fcntl(udp, F_DUPFD_CLOEXEC, 0);
	char *p = malloc(1 << 24);

	if (tcp < 0 || udp < 0 || copy < 0 || !p)
		_exit(1);
	p[0] = p[(1 << 24) - 1] = 1;
	free(p);
	if (setsockopt(tcp, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) < 0 || close(copy) < 0)
		_exit(2);
	if (epoll_wait(-1, &e, 1, 0) != -1 || errno != EBADF)
		_exit(3);
	(void)socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP); /* allowed or not, it must not be fatal */
}

static void test_allowed(void **state)
{
	assert_survives(do_work);
}

/* A user namespace without powers, as AppArmor of Ubuntu 24.04 makes it: mounts and capabilities are denied. */
static void deny_capabilities(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

	if (!f || seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 1,
			  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWNS, CLONE_NEWNS)) < 0 ||
		seccomp_rule_add(f, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(mount), 0) < 0 ||
		seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 1,
			SCMP_A0(SCMP_CMP_EQ, PR_CAPBSET_DROP)) < 0 ||
		seccomp_load(f) < 0)
		_exit(EXIT_ENTER_FAILED);
	seccomp_release(f);
}

/* It goes on with what it has, and says what is missing. */
static void test_powerless_namespace(void **state)
{
	char missing[SANDBOX_TEXT_BYTES];
	pid_t parent = getpid(), pid;
	int status;

	if (!as_user)
		skip(); /* root needs no user namespace */
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		deny_capabilities();
		if (!become_ordinary() || sandbox_enter(parent, missing) < 0 || sandbox_filter() < 0)
			_exit(EXIT_ENTER_FAILED);
		if (!strstr(missing, "file system is not hidden") || strchr(missing, '\n'))
			_exit(EXIT_INCOMPLETE);
		do_work();
		do_setuid(); /* the filter is there */
		_exit(EXIT_SURVIVED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* In a network namespace of the child's own, since the range is one's. */
static void set_ping_range(const char *range)
{
	int fd = unshare(CLONE_NEWNET) < 0 ? -1 : open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY);

	if (fd < 0 || write(fd, range, strlen(range)) < 0)
		_exit(EXIT_ENTER_FAILED);
	(void)close(fd);
}

static void allow_group_5(void)
{
	set_ping_range("5 5");
}

static void allow_nobody(void)
{
	set_ping_range("65534 65534");
}

static void allow_none(void)
{
	set_ping_range("1 0");
}

static void do_ping_socket(void)
{
	_exit(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP) < 0 ? errno : 0);
}

/* Root gave up every group but the one that a ping socket needs, if there is one. */
static void test_ping_group(void **state)
{
	if (geteuid() != 0 || as_user)
		skip();
	assert_int_equal(WEXITSTATUS(status_of(allow_group_5, do_ping_socket)), 0);
	assert_int_equal(WEXITSTATUS(status_of(allow_nobody, do_ping_socket)), 0);
	assert_int_equal(WEXITSTATUS(status_of(allow_none, do_ping_socket)), EACCES);
}

static bool line_is_zero(const char *line, const char *key)
{
	size_t n = strlen(key);

	return strncmp(line, key, n) != 0 || strtoull(line + n, NULL, 16) == 0;
}

static void check_status_file(pid_t pid)
{
	char path[64], line[512];
	unsigned int n_caps = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		assert_true(line_is_zero(line, "CapInh:") && line_is_zero(line, "CapPrm:") &&
			    line_is_zero(line, "CapEff:") && line_is_zero(line, "CapBnd:") &&
			    line_is_zero(line, "CapAmb:"));
		n_caps += strncmp(line, "Cap", 3) == 0;
		if (strncmp(line, "NoNewPrivs:", 11) == 0)
			assert_int_equal(atoi(line + 11), 1);
		if (strncmp(line, "Seccomp:", 8) == 0)
			assert_int_equal(atoi(line + 8), 2);
		if (strncmp(line, "Uid:", 4) == 0)
			assert_int_not_equal(atoi(line + 4), 0);
		if (strncmp(line, "Gid:", 4) == 0)
			assert_int_not_equal(atoi(line + 4), 0);
	}
	(void)fclose(f);
	assert_int_equal(n_caps, 5);
}

/* Of another user's process that is not dumpable, only root may look at the root. */
static void check_root(pid_t pid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	DIR *d = opendir(path);
	if (!d && errno == EACCES && geteuid() != 0)
		return;
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		assert_true(strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
	assert_true(faccessat(dirfd(d), "x", W_OK, 0) < 0);
	assert_int_equal(mkdirat(dirfd(d), "x", 0700), -1);
	assert_int_equal(errno, EROFS);
	(void)closedir(d);
}

static bool same_namespace(pid_t pid, const char *name)
{
	char path[64], ours[64], theirs[64];

	(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	ssize_t n = readlink(path, ours, sizeof(ours));
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, name);
	ssize_t m = readlink(path, theirs, sizeof(theirs));
	assert_true(n > 0 && m > 0);
	return n == m && memcmp(ours, theirs, (size_t)n) == 0;
}

/* Says that it is inside, and stays until the other end closes. */
static _Noreturn void enter_and_wait(pid_t parent, int sock)
{
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	enter(parent);
	(void)sendmsg(sock, &h, 0);
	(void)recvmsg(sock, &h, 0);
	_exit(EXIT_SURVIVED);
}

static void test_seen_from_outside(void **state)
{
	pid_t parent = getpid();
	int pair[2], status;
	char byte;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(pair[0]);
		enter_and_wait(parent, pair[1]);
	}
	(void)close(pair[1]);
	bool entered = recv(pair[0], &byte, 1, 0) == 1;
	if (entered) {
		check_status_file(pid);
		check_root(pid);
		if (geteuid() == 0) {
			assert_true(same_namespace(pid, "net"));
			assert_false(same_namespace(pid, "mnt"));
			assert_int_equal(same_namespace(pid, "user"), !as_user);
		}
	}
	(void)close(pair[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_INCOMPLETE)
		skip();
	assert_true(entered);
	assert_int_equal(WEXITSTATUS(status), EXIT_SURVIVED);
}

static void test_dies_with_its_parent(void **state)
{
	struct timeval limit = {.tv_sec = 5};
	int pair[2];
	char byte;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	pid_t middle = fork();
	assert_true(middle >= 0);
	if (middle == 0) {
		pid_t self = getpid(), pid = fork();

		(void)close(pair[0]);
		if (pid == 0)
			enter_and_wait(self, pair[1]);
		(void)close(pair[1]);
		(void)waitpid(pid, NULL, 0);
		_exit(0);
	}
	(void)close(pair[1]);
	bool entered = recv(pair[0], &byte, 1, 0) == 1;
	(void)kill(middle, SIGKILL);
	assert_int_equal(waitpid(middle, NULL, 0), middle);
	ssize_t n = recv(pair[0], &byte, 1, 0); /* 0: its end has closed; else the limit */
	(void)close(pair[0]);
	if (!entered)
		skip();
	assert_int_equal(n, 0);
}

/* Few calls, each named and each with somebody who needs it. */
static void test_list(void **state)
{
	const char *name, *users;
	unsigned int n = 0;

	for (; (name = sandbox_call(n, &users)); n++) {
		assert_true(users[0] != '\0');
		assert_int_not_equal(seccomp_syscall_resolve_name(name), __NR_SCMP_ERROR);
	}
	assert_in_range(n, 10, 34);
}

static int set_user(void **state)
{
	as_user = true;
	return 0;
}

static int set_root(void **state)
{
	as_user = false;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_forbidden),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_powerless_namespace),
		cmocka_unit_test(test_ping_group),
		cmocka_unit_test(test_seen_from_outside),
		cmocka_unit_test(test_dies_with_its_parent),
	};
	int n_failed = cmocka_run_group_tests_name("as the caller", tests, set_root, NULL);

	if (geteuid() == 0)
		n_failed += cmocka_run_group_tests_name("as an ordinary user", tests, set_user, NULL);
	return n_failed;
}
