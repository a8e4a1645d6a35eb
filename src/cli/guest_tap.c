/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest_tap.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "log.h"
#include "tun.h"

#define VHOST        "/dev/vhost-net"
#define OUTPUT_BYTES 4096 /* of what a script prints, the last of it */

bool guest_tap_is_possible(void)
{
	return access(TUN_PATH, R_OK | W_OK) == 0;
}

bool guest_tap_has_vhost(void)
{
	_cleanup_close_ int fd = open(VHOST, O_RDWR | O_CLOEXEC);

	return fd >= 0;
}

/* What a person can do about it. */
static void report(const struct qemu_tap *t, int error)
{
	const char *name = t->ifname[0] ? t->ifname : "tap%d";

	if (error == EPERM || error == EACCES)
		log_error(
			"tap %s: %s: making one needs CAP_NET_ADMIN. Run vmlan as root; or let root make it "
			"once (ip tuntap add tap0 mode tap user NAME) and say ifname=tap0; or use -net user, "
			"which needs no privilege",
			name, strerror(error));
	else if (error == EBUSY)
		log_error("tap %s: another process has it open", name);
	else if (error == EINVAL)
		log_error("tap %s: there is an interface of that name that is no such tap%s", name,
			t->n_queues > 1 ? ", or has one queue only (ip tuntap add ... multi_queue)" : "");
	else
		log_error("tap %s: %s", name, strerror(error));
}

int guest_tap_make(struct qemu_tap *spec, struct guest_tap *ret)
{
	struct tun_options o = {.vnet_hdr = spec->vnet_hdr,
		.vnet_hdr_required = spec->vnet_hdr_required,
		.multi_queue = spec->n_queues > 1};

	*ret = (struct guest_tap){.spec = spec};
	(void)snprintf(ret->ifname, sizeof(ret->ifname), "%s", spec->ifname[0] ? spec->ifname : "tap%d");
	for (unsigned int i = 0; i < spec->n_queues; i++) {
		int fd = tun_open_queue(ret->ifname, &o);

		if (fd < 0) {
			report(spec, -fd);
			guest_tap_close(ret);
			return fd;
		}
		spec->fds[i] = fd;
	}
	return 0;
}

int guest_tap_pretend(struct qemu_tap *spec, struct guest_tap *ret)
{
	*ret = (struct guest_tap){.spec = spec};
	(void)snprintf(ret->ifname, sizeof(ret->ifname), "%s", spec->ifname[0] ? spec->ifname : "tap%d");
	for (unsigned int i = 0; i < spec->n_queues; i++) {
		spec->fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (spec->fds[i] < 0)
			return -errno;
	}
	return 0;
}

void guest_tap_close(struct guest_tap *t)
{
	for (unsigned int i = 0; t->spec && i < t->spec->n_queues; i++)
		util_close(&t->spec->fds[i]);
}

/* The end of what came out of a pipe. */
struct output {
	char bytes[OUTPUT_BYTES];
	size_t n;
};

/* Takes what there is: false at the end. */
static bool collect(int fd, struct output *o)
{
	char buf[OUTPUT_BYTES];
	ssize_t n = read(fd, buf, sizeof(buf));
	size_t keep;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	keep = MIN(o->n, sizeof(o->bytes) - (size_t)n);
	memmove(o->bytes, o->bytes + o->n - keep, keep);
	memcpy(o->bytes + keep, buf, (size_t)n);
	o->n = keep + (size_t)n;
	return true;
}

static void exec_script(const char *path, const char *ifname, int to, const sigset_t *mask)
{
	if (sigprocmask(SIG_SETMASK, mask, NULL) == 0 && dup2(to, 1) >= 0 && dup2(to, 2) >= 0) {
		(void)signal(SIGPIPE, SIG_DFL);
		(void)close_range(STDERR_FILENO + 1, ~0u, 0);
		(void)execl(path, path, ifname, (char *)NULL);
	}
	(void)dprintf(STDERR_FILENO, "%s: %s\n", path, strerror(errno));
	_exit(1);
}

/* What it leaves running may hold the pipe: its own end is what counts. */
static int wait_script(pid_t pid, int from, struct output *o)
{
	_cleanup_close_ int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p[] = {{.fd = pid_fd, .events = POLLIN}, {.fd = from, .events = POLLIN}};
	int status = 0;

	/* Without pid_fd (before Linux 5.3) the end of its output has to do. */
	while (p[1].fd >= 0 || pid_fd >= 0) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			break;
		if (p[1].fd >= 0 && p[1].revents && !collect(from, o))
			p[1].fd = -1;
		if (pid_fd >= 0 && p[0].revents)
			break;
	}
	while (p[1].fd >= 0 && poll(&p[1], 1, 0) > 0 && collect(from, o))
		continue;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return status;
}

/* 0, or what waitpid() says; -1: it could not be run. */
static int run_script(const char *path, const char *ifname, const sigset_t *mask, struct output *o)
{
	_cleanup_close_ int from = -1, to = -1;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	from = fds[0];
	to = fds[1];
	(void)fcntl(from, F_SETFL, O_NONBLOCK);
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0)
		exec_script(path, ifname, to, mask);
	util_close(&to);
	return wait_script(pid, from, o);
}

static bool run(const char *path, const char *ifname, const sigset_t *mask)
{
	struct output o = {.n = 0};
	int status = run_script(path, ifname, mask, &o);
	const char *what = o.n ? "; it printed:" : ", and printed nothing";

	if (status < 0)
		log_error("network script %s %s could not be run: %s", path, ifname, strerror(errno));
	else if (WIFSIGNALED(status))
		log_error("network script %s %s was ended by signal %d%s", path, ifname, WTERMSIG(status),
			what);
	else if (status != 0)
		log_error("network script %s %s ended with status %d%s", path, ifname, WEXITSTATUS(status),
			what);
	(void)fwrite(o.bytes, 1, o.n, stderr);
	if (o.n && o.bytes[o.n - 1] != '\n')
		(void)fputc('\n', stderr);
	return status == 0;
}

bool guest_tap_up(struct guest_tap *t, const sigset_t *mask)
{
	t->is_up = !t->spec->script || run(t->spec->script, t->ifname, mask);
	return t->is_up;
}

bool guest_tap_down(struct guest_tap *t, const sigset_t *mask)
{
	bool due = t->is_up && t->spec->downscript;

	t->is_up = false;
	return !due || run(t->spec->downscript, t->ifname, mask);
}
