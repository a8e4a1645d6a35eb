/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU is a child in our process group: a key such as Ctrl-C reaches it from the terminal, once; a signal that a
 * process sends to us is passed on. Its networks (guest_network.c) end by themselves when it has ended, and so
 * outlive us with a QEMU that daemonizes; so does the keeper (keeper.c), which answers for the guest, and looks
 * after its taps.
 *
 * What a network prints goes where our own output goes. Only of a QEMU that daemonizes it is relayed, for a
 * shell waits for the end of our output: after QEMU has gone to the background nobody hears it. */
#include "guest.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "clock.h"
#include "cli.h"
#include "keeper.h"
#include "log.h"

#define VERSION_TIMEOUT_MS 5000
#define END_TIMEOUT_MS     2000 /* for a network to end by itself, and again after SIGTERM */

struct guest {
	const struct guest_config *config;
	char **argv;
	struct guest_network *networks;
	unsigned int n;
	struct guest_tap *taps;
	unsigned int n_taps;
	pid_t keeper; /* 0: not running */
	int life_fd;  /* write end of the keeper's pipe, for QEMU; -1: none */
	bool daemonizes;
	int relay_fd; /* read end of what networks print, or -1 */
	int signal_fd;
	sigset_t mask; /* as we found it */
	pid_t pid;     /* QEMU; 0 when it has not started, or has ended */
	int status;    /* of waitpid() */
	int stopped;   /* the signal that came before QEMU had started, or 0 */
};

int guest_find_command(const char *name, char ret[PATH_MAX])
{
	const char *path = getenv("PATH");
	int r = -ENOENT;

	if (strchr(name, '/')) {
		if (strlen(name) >= PATH_MAX)
			return -ENAMETOOLONG;
		(void)strcpy(ret, name);
		return access(name, X_OK) < 0 ? -errno : 0;
	}
	for (const char *p = path ? path : "/usr/bin:/bin"; p;) {
		size_t n = strcspn(p, ":");

		if (snprintf(ret, PATH_MAX, "%.*s%s%s", (int)n, p, n ? "/" : "./", name) < PATH_MAX) {
			if (access(ret, X_OK) == 0)
				return 0;
			if (errno == EACCES)
				r = -EACCES;
		}
		p = p[n] ? p + n + 1 : NULL;
	}
	return r;
}

/* Reads to the end, or to the end of the time. */
static int read_all(int fd, char *ret, size_t n, uint64_t timeout_ms)
{
	uint64_t end_ms = clock_now_ms() + timeout_ms;
	size_t at = 0;

	while (at + 1 < n) {
		uint64_t now_ms = clock_now_ms();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t x;

		if (now_ms >= end_ms || poll(&p, 1, (int)(end_ms - now_ms)) == 0)
			return -ETIMEDOUT;
		x = read(fd, ret + at, n - 1 - at);
		if (x < 0 && errno != EINTR)
			return -errno;
		if (x == 0)
			break;
		at += x > 0 ? (size_t)x : 0;
	}
	ret[at] = '\0';
	return 0;
}

int guest_ask_version(const char *path, char *ret, size_t n)
{
	_cleanup_close_ int from = -1, to = -1;
	int fds[2], r, status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	from = fds[0];
	to = fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (null < 0 || dup2(null, 0) < 0 || dup2(to, 1) < 0 || dup2(null, 2) < 0)
			_exit(CLI_NO_COMMAND);
		(void)execl(path, path, "--version", (char *)NULL);
		_exit(CLI_NO_COMMAND);
	}
	util_close(&to);
	r = read_all(from, ret, n, VERSION_TIMEOUT_MS);
	if (r < 0)
		(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	return r;
}

int guest_monitor_new(struct guest_monitor *ret)
{
	int fds[2];

	*ret = (struct guest_monitor){.our_fd = -1, .guest_fd = -1, .config_fd = memfd_create("vmlan-monitor", MFD_CLOEXEC)};
	if (ret->config_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	ret->our_fd = fds[0];
	ret->guest_fd = fds[1];
	/* Not by -mon: QEMU makes no monitor of its own accord where there is one on the line. */
	return dprintf(ret->config_fd,
		       "[chardev \"vmlan-monitor\"]\n  backend = \"socket\"\n  fd = \"%d\"\n"
		       "[mon \"vmlan-monitor\"]\n  chardev = \"vmlan-monitor\"\n  mode = \"control\"\n",
		       ret->guest_fd) < 0
		       ? -errno
		       : 0;
}

void guest_monitor_done(struct guest_monitor *m)
{
	util_close(&m->our_fd);
	util_close(&m->guest_fd);
	util_close(&m->config_fd);
}

static void relay(const struct guest *g)
{
	char buf[4096];
	ssize_t n;

	while (g->relay_fd >= 0 && (n = read(g->relay_fd, buf, sizeof(buf))) > 0)
		(void)!write(STDERR_FILENO, buf, (size_t)n);
}

static int exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void network_ended(struct guest *g, pid_t pid, int status)
{
	if (pid == g->keeper) {
		g->keeper = 0;
		if (g->pid && status != 0)
			log_warn("the guest's control process ended with status %d: vmlan info, hostfwd and nic do not "
				 "reach it any more",
				exit_status(status));
	}
	for (unsigned int i = 0; i < g->n; i++) {
		if (g->networks[i].pid != pid)
			continue;
		g->networks[i].pid = 0;
		if (g->pid && status != 0)
			log_warn("network %s ended with status %d: the guest has none now",
				g->networks[i].name, exit_status(status));
	}
}

static void reap(struct guest *g)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != g->pid) {
			network_ended(g, pid, status);
			continue;
		}
		g->pid = 0;
		g->status = status;
	}
}

static unsigned int n_running(const struct guest *g)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < g->n; i++)
		n += g->networks[i].pid > 0;
	return n;
}

/* A signal that comes from the kernel is one of the terminal's: QEMU has it too. */
static void take_signal(struct guest *g)
{
	struct signalfd_siginfo s;

	while (read(g->signal_fd, &s, sizeof(s)) == (ssize_t)sizeof(s)) {
		if (s.ssi_signo == SIGCHLD)
			continue;
		if (!g->pid)
			g->stopped = (int)s.ssi_signo;
		else if (s.ssi_code <= 0)
			(void)kill(g->pid, (int)s.ssi_signo);
	}
	reap(g);
}

/* Until something happens, or at most until the time. Is there something to read from fd (may be -1)? */
static bool wait_event(struct guest *g, int fd, int timeout_ms)
{
	struct pollfd p[] = {{.fd = g->signal_fd, .events = POLLIN}, {.fd = g->relay_fd, .events = POLLIN},
		{.fd = fd, .events = POLLIN}};

	if (poll(p, ARRAY_SIZE(p), timeout_ms) <= 0)
		return false;
	if (p[1].revents) {
		relay(g);
		if (p[1].revents & POLLHUP)
			util_close(&g->relay_fd);
	}
	if (p[0].revents)
		take_signal(g);
	return p[2].revents;
}

/* Its one byte; false if it failed (then it has said why), or if a signal came. */
static bool wait_ready(struct guest *g, struct guest_network *n)
{
	char byte;

	while (!wait_event(g, n->ready_fd, -1))
		if (g->stopped)
			return false;
	return read(n->ready_fd, &byte, 1) == 1;
}

/* Waits for the networks to end, for each lets its guest's end of the cable go; then makes them. */
static void end_networks(struct guest *g)
{
	static const int signals[] = {0, SIGTERM, SIGKILL};

	for (unsigned int step = 0; step < ARRAY_SIZE(signals) && n_running(g); step++) {
		uint64_t end_ms = clock_now_ms() + END_TIMEOUT_MS;

		for (unsigned int i = 0; i < g->n && signals[step]; i++)
			if (g->networks[i].pid > 0)
				(void)kill(g->networks[i].pid, signals[step]);
		for (uint64_t now_ms; n_running(g) && (now_ms = clock_now_ms()) < end_ms;)
			(void)wait_event(g, -1, (int)(end_ms - now_ms));
	}
	/* Downscripts take the time that they take. */
	while (g->keeper)
		(void)wait_event(g, -1, -1);
	relay(g);
}

static void exec_guest(struct guest *g, pid_t parent, int error_fd)
{
	int error;

	/* Should we be killed, QEMU is told, and its networks end with it. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent &&
		sigprocmask(SIG_SETMASK, &g->mask, NULL) == 0) {
		for (unsigned int i = 0; i < g->n; i++) {
			(void)fcntl(g->networks[i].guest_fd, F_SETFD, 0);
			(void)fcntl(g->networks[i].guest_life_fd, F_SETFD, 0);
		}
		for (unsigned int i = 0; i < g->n_taps; i++)
			for (unsigned int k = 0; k < g->taps[i].spec->n_queues; k++)
				(void)fcntl(g->taps[i].spec->fds[k], F_SETFD, 0);
		(void)fcntl(g->life_fd, F_SETFD, 0);
		(void)fcntl(g->config->monitor->guest_fd, F_SETFD, 0);
		(void)fcntl(g->config->monitor->config_fd, F_SETFD, 0);
		(void)execvp(g->argv[0], g->argv);
	}
	error = errno;
	(void)!write(error_fd, &error, sizeof(error));
	_exit(CLI_NO_COMMAND);
}

/* What is QEMU's and the keeper's, once they have it. */
static void let_go(struct guest *g)
{
	for (unsigned int i = 0; i < g->n; i++)
		guest_cable_done(&g->networks[i]);
	for (unsigned int i = 0; i < g->n_taps; i++)
		guest_tap_close(&g->taps[i]);
	guest_monitor_done(g->config->monitor);
	util_close(&g->life_fd);
}

/* 0 or -errno, also that of exec. */
static int start_guest(struct guest *g)
{
	_cleanup_close_ int from = -1;
	pid_t self = getpid();
	int fds[2], error = 0;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	from = fds[0];
	g->pid = fork();
	if (g->pid == 0)
		exec_guest(g, self, fds[1]);
	(void)close(fds[1]);
	if (g->pid < 0) {
		g->pid = 0;
		return -errno;
	}
	let_go(g);
	if (read(from, &error, sizeof(error)) != (ssize_t)sizeof(error))
		return 0;
	(void)waitpid(g->pid, &g->status, 0);
	g->pid = 0;
	return -error;
}

/* Blocks what is passed on, and hears of it by descriptor. */
static int watch_signals(struct guest *g)
{
	static const int signals[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
	sigset_t set;

	(void)sigemptyset(&set);
	for (unsigned int i = 0; i < ARRAY_SIZE(signals); i++)
		(void)sigaddset(&set, signals[i]);
	if (sigprocmask(SIG_BLOCK, &set, &g->mask) < 0)
		return -errno;
	g->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return g->signal_fd < 0 ? -errno : 0;
}

static void take_down(struct guest *g)
{
	for (unsigned int i = 0; i < g->n_taps; i++)
		(void)guest_tap_down(&g->taps[i], &g->mask);
}

/* In a process of its own: runs the scripts of taps, says so by a byte, and looks after the guest until it has
 * ended. Whoever is killed while a script runs, what came up is taken down. */
static void keep(struct guest *g, int life_fd, int ready_fd, int relay_fd)
{
	const struct keeper_config c = {
		.guest = g->config,
		.mask = &g->mask,
		.life_fd = life_fd,
		.parent = getppid(),
	};
	char byte = 0;

	(void)prctl(PR_SET_NAME, "vmlan-keeper");
	util_close(&g->life_fd);
	util_close(&g->relay_fd);
	util_close(&g->signal_fd);
	for (unsigned int i = 0; i < g->n_taps; i++)
		if (!guest_tap_up(&g->taps[i], &g->mask)) {
			take_down(g);
			_exit(CLI_FAILED);
		}
	if (signal(SIGPIPE, SIG_IGN) != SIG_ERR && guest_redirect(relay_fd) == 0 && (!g->daemonizes || setsid() >= 0))
		(void)!write(ready_fd, &byte, 1);
	(void)close(ready_fd);
	_exit(keeper_run(&c));
}

/* 0 or -errno. ret_ready_fd: the keeper's byte comes from it. */
static int fork_keeper(struct guest *g, int relay_fd, int *ret_ready_fd)
{
	_cleanup_close_ int from = -1, ready = -1, to = -1;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	from = fds[0];
	g->life_fd = fds[1];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	ready = fds[0];
	to = fds[1];
	(void)fflush(NULL);
	g->keeper = fork();
	if (g->keeper < 0) {
		g->keeper = 0;
		return -errno;
	}
	if (g->keeper == 0) {
		util_close(&ready);
		keep(g, from, to, relay_fd);
	}
	*ret_ready_fd = TAKE_FD(ready);
	return 0;
}

/* 0, or the exit status. */
static int start_keeper(struct guest *g, int relay_fd)
{
	_cleanup_close_ int ready = -1;
	char byte;
	int r = fork_keeper(g, relay_fd, &ready);

	if (r < 0) {
		log_error("cannot start the guest's control process: %s", strerror(-r));
		return CLI_FAILED;
	}
	while (!wait_event(g, ready, -1))
		if (g->stopped)
			return 128 + g->stopped;
	return read(ready, &byte, 1) == 1 ? 0 : CLI_FAILED; /* it has said what failed */
}

/* 0, or the exit status. */
static int wait_networks(struct guest *g)
{
	for (unsigned int i = 0; i < g->n; i++) {
		if (wait_ready(g, &g->networks[i]))
			continue;
		if (g->stopped)
			return 128 + g->stopped;
		relay(g);
		log_error("network %s did not start", g->networks[i].name);
		return CLI_FAILED;
	}
	return 0;
}

/* Where the output of what outlives us goes, of a QEMU that daemonizes. ret_to: its write end, or -1. */
static int open_relay(struct guest *g, int *ret_to)
{
	int fds[2];

	*ret_to = -1;
	if (!g->daemonizes)
		return 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	g->relay_fd = fds[0];
	*ret_to = fds[1];
	return fcntl(g->relay_fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

/* Everything up, and QEMU started: 0, or the exit status. */
static int start(struct guest *g)
{
	_cleanup_close_ int to = -1;
	int r = watch_signals(g);

	if (r == 0)
		r = open_relay(g, &to);
	for (unsigned int i = 0; i < g->n && r == 0; i++)
		r = guest_network_start(&g->networks[i], &g->mask, to);
	if (r < 0) {
		log_error("cannot start a network: %s", strerror(-r));
		return CLI_FAILED;
	}
	r = wait_networks(g);
	if (r == 0)
		r = start_keeper(g, to);
	if (r != 0)
		return r;
	util_close(&to);
	r = start_guest(g);
	if (r < 0) {
		log_error("cannot run %s: %s", g->argv[0], strerror(-r));
		return r == -ENOENT ? CLI_NO_COMMAND : CLI_NO_COMMAND - 1;
	}
	return 0;
}

int guest_run(const struct guest_config *c)
{
	struct guest g = {.config = c,
		.argv = c->argv,
		.networks = c->networks,
		.n = c->n_networks,
		.taps = c->taps,
		.n_taps = c->n_taps,
		.life_fd = -1,
		.daemonizes = c->daemonizes,
		.relay_fd = -1,
		.signal_fd = -1};
	int status;

	(void)fflush(NULL);
	status = start(&g);
	let_go(&g);
	while (status == 0 && g.pid)
		(void)wait_event(&g, -1, -1);
	if (status == 0)
		status = exit_status(g.status);
	relay(&g);
	/* After a good start in the background, the networks stay for as long as QEMU does. */
	if (!g.daemonizes || status != 0)
		end_networks(&g);
	util_close(&g.relay_fd);
	util_close(&g.signal_fd);
	return status;
}
