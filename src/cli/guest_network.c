/* SPDX-License-Identifier: BSD-2-Clause */
/* Each network is a process of its own, in a session of its own, so that what a terminal sends to QEMU does
 * not end the network under it. It ends by itself when nobody has QEMU's end of its cable open any more, or,
 * where QEMU connects and may connect again, of a pipe beside it. No other process may hold that end,
 * therefore: all descriptors are closed on exec, QEMU's copies excepted, and each network closes everything
 * that is not its own.
 *
 * A pair of sockets stays between it and whoever started it, for requests (ctl_msg.h). */
#include "guest_network.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "cli.h"
#include "log.h"
#include "nameless.h"
#include "parent.h"

void guest_network_inherit(struct user_conf *c, const struct user_conf *common)
{
	c->any_host = true;
	c->mtu = common->mtu;
	c->busy_poll_us = common->busy_poll_us;
	c->stats = common->stats;
	c->debug = common->debug;
	c->no_host_loopback = common->no_host_loopback;
	c->no_host = common->no_host;
	c->no_peek_off = common->no_peek_off;
	c->no_sandbox = common->no_sandbox;
}

int guest_cable_new(struct guest_network *n)
{
	int fds[2];

	if (n->by_vhost) {
		int r;

		if (pipe2(fds, O_CLOEXEC) < 0)
			return -errno;
		n->conf->life_fd = fds[0];
		n->guest_life_fd = fds[1];
		r = nameless_listen(&n->engine_fd, &n->guest_fd);
		n->guest_number = n->guest_fd;
		return r;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	n->guest_fd = n->guest_number = fds[0];
	n->engine_fd = fds[1];
	return 0;
}

void guest_cable_done(struct guest_network *n)
{
	util_close(&n->guest_fd);
	util_close(&n->guest_life_fd);
	util_close(&n->engine_fd);
	util_close(&n->ready_fd);
	util_close(&n->control_fd);
	util_close(&n->conf->life_fd);
	util_close(&n->conf->control_fd);
}

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes all but the first three and four more (-1: none). */
static int close_others(int a, int b, int c, int d)
{
	int keep[] = {2, MAX(a, 2), MAX(b, 2), MAX(c, 2), MAX(d, 2)};

	qsort(keep, ARRAY_SIZE(keep), sizeof(keep[0]), compare_ints);
	for (unsigned int i = 0; i < ARRAY_SIZE(keep); i++) {
		unsigned int first = (unsigned int)keep[i] + 1;
		unsigned int last = i + 1 < ARRAY_SIZE(keep) ? (unsigned int)keep[i + 1] - 1 : ~0u;

		if (first <= last && close_range(first, last, 0) < 0)
			return -errno;
	}
	return 0;
}

int guest_redirect(int relay_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0)
		return -errno;
	if (relay_fd >= 0 && (dup2(relay_fd, 1) < 0 || dup2(relay_fd, 2) < 0))
		return -errno;
	return 0;
}

/* In a process of its own. */
static int serve(struct guest_network *n, const sigset_t *mask, int ready_fd, int relay_fd)
{
	int r = guest_redirect(relay_fd);

	if (r == 0)
		r = close_others(n->engine_fd, n->conf->life_fd, n->conf->control_fd, ready_fd);
	if (r == 0 && (setsid() < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
			      sigprocmask(SIG_SETMASK, mask, NULL) < 0))
		r = -errno;
	if (r < 0) {
		log_error("network %s: %s", n->name, strerror(-r));
		return CLI_FAILED;
	}
	return parent_run(n->conf, ready_fd);
}

static int open_pair(struct guest_network *n)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	n->control_fd = fds[0];
	n->conf->control_fd = fds[1];
	return 0;
}

int guest_network_start(struct guest_network *n, const sigset_t *mask, int relay_fd)
{
	struct user_port p = {.kind = USER_PORT_FD, .fd = n->engine_fd, .vhost = n->by_vhost};
	_cleanup_close_ int ready = -1;
	int fds[2], r = user_conf_add_port(n->conf, &p);

	if (r == 0)
		r = open_pair(n);
	if (r < 0)
		return r;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	n->ready_fd = fds[0];
	ready = fds[1];
	(void)fflush(NULL);
	n->pid = fork();
	if (n->pid < 0) {
		n->pid = 0;
		return -errno;
	}
	if (n->pid == 0)
		exit(serve(n, mask, TAKE_FD(ready), relay_fd));
	util_close(&n->engine_fd);
	util_close(&n->conf->life_fd);
	util_close(&n->conf->control_fd);
	return 0;
}
