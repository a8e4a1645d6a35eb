/* SPDX-License-Identifier: BSD-2-Clause */
/* dnsmasq never runs as root here: it is started as another user, with no_new_privs and only what it needs of
 * the network (packet sockets, ARP entries, ports below 1024) as ambient capabilities.
 *
 * The checksum of a DHCP reply. A frame that a bridge passes to a tap with checksum offload has its UDP
 * checksum left for the hardware to fill in. Guests that read DHCP from packet sockets see it unfilled, and
 * some drop it. A rule that zeroes the field breaks taps without offload, whose checksum is completed later
 * on top of it. So the socket itself is told to send none, which IPv4 allows and every client takes: the
 * kernel then marks the frame as finished. The socket is dnsmasq's; it is reached by pidfd_getfd(2). */
#include "dnsmasq.h"

#include <cap-ng.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define DHCP_SERVER_PORT 67
#define DESCRIPTORS_MAX  1024 /* it closes each number up to its limit when it starts */
#define STOP_TIMEOUT_MS  2000 /* before SIGKILL */

int dnsmasq_user(uid_t *ret_uid, gid_t *ret_gid)
{
	const struct passwd *p = getpwnam("dnsmasq");

	if (!p)
		p = getpwnam("nobody");
	if (!p)
		return -ENOENT;
	*ret_uid = p->pw_uid;
	*ret_gid = p->pw_gid;
	return 0;
}

static bool drop_privileges(uid_t uid, gid_t gid)
{
	static const unsigned int kept[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE};

	capng_clear(CAPNG_SELECT_ALL);
	for (unsigned int i = 0; i < ARRAY_SIZE(kept); i++)
		if (capng_update(CAPNG_ADD,
			    CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE | CAPNG_AMBIENT |
				    CAPNG_BOUNDING_SET,
			    kept[i]) < 0)
			return false;
	if (capng_change_id((int)uid, (int)gid, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING) != 0)
		return false;
	return capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT) == 0 &&
	       prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

static void become_dnsmasq(const char *conf_path, uid_t uid, gid_t gid, int log_fd, pid_t parent)
{
	struct rlimit descriptors = {DESCRIPTORS_MAX, DESCRIPTORS_MAX};
	char option[256], program[] = "dnsmasq", foreground[] = "--keep-in-foreground";
	char *argv[] = {program, foreground, option, NULL}, locale[] = "LC_ALL=C";
	char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char *environment[] = {locale, path, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	(void)snprintf(option, sizeof(option), "--conf-file=%s", conf_path);
	sigemptyset(&none);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(log_fd, 2) < 0 ||
		setrlimit(RLIMIT_NOFILE, &descriptors) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		_exit(126);
	if (!drop_privileges(uid, gid)) {
		static const char text[] = "cannot give up privileges\n";

		(void)!write(2, text, sizeof(text) - 1);
		_exit(126);
	}
	/* After the change of user, which clears it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(126);
	(void)execvpe(program, argv, environment);
	_exit(127);
}

int dnsmasq_start(const char *conf_path, struct dnsmasq *ret)
{
	pid_t parent = getpid(), pid;
	uid_t uid;
	gid_t gid;
	int fds[2];
	int r = dnsmasq_user(&uid, &gid);

	if (r < 0)
		return r;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	_cleanup_close_ int from = fds[0];
	_cleanup_close_ int to = fds[1];

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become_dnsmasq(conf_path, uid, gid, to, parent);
	ret->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (ret->pid_fd < 0) {
		r = -errno;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return r;
	}
	ret->pid = pid;
	ret->log_fd = TAKE_FD(from);
	return 0;
}

static bool is_dhcp_socket(int fd)
{
	struct sockaddr_in a = {0};
	socklen_t n = sizeof(a);
	int type = 0;
	socklen_t n_type = sizeof(type);

	return getsockname(fd, (struct sockaddr *)&a, &n) == 0 && a.sin_family == AF_INET &&
	       ntohs(a.sin_port) == DHCP_SERVER_PORT &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n_type) == 0 && type == SOCK_DGRAM;
}

int dnsmasq_set_no_checksum(const struct dnsmasq *d)
{
	int on = 1, r = -ENOENT;

	/* It opens few files, and the DHCP socket among the first. */
	for (int i = 3; i < 64 && r == -ENOENT; i++) {
		_cleanup_close_ int fd = (int)syscall(SYS_pidfd_getfd, d->pid_fd, i, 0);

		if (fd < 0 && errno != EBADF)
			return -errno;
		if (fd >= 0 && is_dhcp_socket(fd))
			r = setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)) < 0 ? -errno : 0;
	}
	return r;
}

void dnsmasq_reload(const struct dnsmasq *d)
{
	if (d->pid)
		(void)syscall(SYS_pidfd_send_signal, d->pid_fd, SIGHUP, NULL, 0);
}

void dnsmasq_stop(struct dnsmasq *d)
{
	struct pollfd p = {.fd = d->pid_fd, .events = POLLIN};

	if (!d->pid)
		return;
	(void)syscall(SYS_pidfd_send_signal, d->pid_fd, SIGTERM, NULL, 0);
	if (poll(&p, 1, STOP_TIMEOUT_MS) == 0)
		(void)syscall(SYS_pidfd_send_signal, d->pid_fd, SIGKILL, NULL, 0);
	while (waitpid(d->pid, NULL, 0) < 0 && errno == EINTR)
		;
	d->pid = 0;
	util_close(&d->pid_fd);
	util_close(&d->log_fd);
}
