/* SPDX-License-Identifier: BSD-2-Clause */
/* The keeper is forked before QEMU, and holds what QEMU's end must not take away: the taps, whose downscripts
 * it runs then; a connection to each of the guest's networks, which answer for themselves; and one to QEMU's
 * monitor, which says nothing unless it is asked.
 *
 * It knows of QEMU's end by a pipe that QEMU inherits: nobody has the other end of it any more. A QEMU that
 * was killed, or is in the background, or whose vmlan was killed, so leaves nothing behind.
 *
 * Requests (ctl_msg.h) are answered one at a time. Whoever does not answer us gets a while, and then the
 * caller is told; nobody else's life depends on the keeper, so that its waiting holds up callers alone. */
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "clock.h"
#include "keeper_internal.h"
#include "log.h"

#define END_MS 2000 /* for networks that were added to end by themselves, and again after SIGTERM */

struct keeper_network *keeper_find(struct keeper *k, const char *name)
{
	for (unsigned int i = 0; i < k->n_networks; i++)
		if (strcmp(k->networks[i].n.name, name) == 0)
			return &k->networks[i];
	return NULL;
}

static void network_done(struct keeper_network *n)
{
	guest_cable_done(&n->n);
	if (n->conf)
		user_conf_done(n->conf);
	free(n->conf);
	free(n->name);
}

void keeper_forget(struct keeper *k, struct keeper_network *n)
{
	unsigned int i = (unsigned int)(n - k->networks);

	network_done(n);
	k->n_networks--;
	memmove(n, n + 1, (k->n_networks - i) * sizeof(*n));
}

static void handle(void *ctx, const struct ctl_request *q, bool is_parent, struct ctl_reply *ret)
{
	struct keeper *k = ctx;

	switch (q->op) {
	case CTL_INFO_NETWORK:
		keeper_info_network(k, ret);
		break;
	case CTL_INFO_USERNET:
		keeper_info_usernet(k, ret);
		break;
	case CTL_HOSTFWD_ADD:
	case CTL_HOSTFWD_REMOVE:
		keeper_hostfwd(k, q, ret);
		break;
	case CTL_HOSTFWD_LIST:
		keeper_hostfwd_list(k, ret);
		break;
	case CTL_NIC_ADD:
		keeper_nic_add(k, q->arg, ret);
		break;
	case CTL_NIC_REMOVE:
		keeper_nic_remove(k, q->arg, ret);
		break;
	case CTL_END:
	case CTL_OP_MAX:
		ctl_reply_fail(ret, "the guest ends by its QEMU alone");
		break;
	}
}

static void on_life_end(void *ctx, uint32_t arg, uint32_t events)
{
	struct keeper *k = ctx;

	loop_stop(k->loop, 0);
}

static void on_qmp(void *ctx, uint32_t arg, uint32_t events)
{
	struct keeper *k = ctx;

	if (k->qmp.lines.fd >= 0 && qmp_drain(&k->qmp) < 0)
		qmp_done(&k->qmp);
}

/* Networks that were added. */
static void reap(struct keeper *k)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (unsigned int i = 0; i < k->n_networks; i++) {
			if (!k->networks[i].conf || k->networks[i].n.pid != pid)
				continue;
			k->networks[i].n.pid = 0;
			if (status != 0)
				log_warn("network %s has ended: its NIC has none now", k->networks[i].n.name);
		}
}

static void on_signal(void *ctx, uint32_t arg, uint32_t events)
{
	struct keeper *k = ctx;
	struct signalfd_siginfo s;

	while (read(k->signal_fd, &s, sizeof(s)) == (ssize_t)sizeof(s))
		continue;
	reap(k);
}

static int watch(struct keeper *k, int fd, void (*fn)(void *ctx, uint32_t arg, uint32_t events))
{
	int source = fd < 0 ? -EBADF : loop_source_add(k->loop, fn, k);

	return source < 0 ? source : loop_watch(k->loop, fd, EPOLLIN, source, 0);
}

/* What we were forked with, but for what is QEMU's alone. */
static void take_over(struct keeper *k)
{
	const struct guest_config *g = k->c->guest;

	for (unsigned int i = 0; i < g->n_networks && i < KEEPER_NETWORKS_MAX; i++) {
		struct guest_network *n = &k->networks[k->n_networks++].n;

		*n = g->networks[i];
		util_close(&n->guest_fd);
		util_close(&n->guest_life_fd);
		util_close(&n->ready_fd);
	}
	/* A tap that no script is run for goes with QEMU, or when the guest's NIC is removed. */
	for (unsigned int i = 0; i < g->n_taps; i++)
		if (!g->taps[i].spec->downscript)
			guest_tap_close(&g->taps[i]);
	util_close(&g->monitor->guest_fd);
	util_close(&g->monitor->config_fd);
	qmp_init(&k->qmp, TAKE_FD(g->monitor->our_fd));
}

static int start(struct keeper *k)
{
	struct ctl_server_config sc = {.handle = handle, .ctx = k};
	sigset_t set;
	int r = loop_new(NULL, &k->loop);

	if (r < 0)
		return r;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD); /* blocked already, like all others that would end us before QEMU */
	k->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	r = watch(k, k->c->life_fd, on_life_end);
	if (r == 0)
		r = watch(k, k->signal_fd, on_signal);
	if (r == 0 && k->qmp.lines.fd >= 0)
		r = watch(k, k->qmp.lines.fd, on_qmp);
	sc.loop = k->loop;
	if (r == 0)
		r = ctl_server_new(&sc, &k->server);
	if (r < 0)
		return r;
	r = ctl_server_listen(k->server, CTL_GUEST, k->c->guest->name, k->c->parent);
	if (r < 0)
		log_warn("no control socket (%s): vmlan info, hostfwd and nic cannot reach this guest",
			strerror(-r));
	return 0;
}

static unsigned int n_running(const struct keeper *k)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < k->n_networks; i++)
		n += k->networks[i].conf && k->networks[i].n.pid > 0;
	return n;
}

/* They end by themselves, now that QEMU has let go of their cables. */
static void end_networks(struct keeper *k)
{
	static const int signals[] = {0, SIGTERM, SIGKILL};

	for (unsigned int step = 0; step < ARRAY_SIZE(signals); step++) {
		uint64_t end_ms = clock_now_ms() + END_MS;

		for (unsigned int i = 0; i < k->n_networks && signals[step]; i++)
			if (k->networks[i].conf && k->networks[i].n.pid > 0)
				(void)kill(k->networks[i].n.pid, signals[step]);
		for (uint64_t now_ms; n_running(k) && (now_ms = clock_now_ms()) < end_ms;)
			(void)loop_run_once(k->loop, (int)(end_ms - now_ms));
	}
}

int keeper_run(const struct keeper_config *c)
{
	static struct keeper k;
	char byte;
	int r;

	k.c = c;
	k.signal_fd = -1;
	take_over(&k);
	r = start(&k);
	if (r == 0)
		r = loop_run(k.loop);
	if (r < 0) {
		log_warn("the guest has no control process: %s", strerror(-r));
		while (read(c->life_fd, &byte, 1) < 0 && errno == EINTR)
			continue;
	}
	k.server = ctl_server_free(k.server);
	for (unsigned int i = 0; i < c->guest->n_taps; i++)
		(void)guest_tap_down(&c->guest->taps[i], c->mask);
	if (k.loop) {
		(void)loop_unwatch(k.loop, c->life_fd);
		end_networks(&k);
	}
	while (k.n_networks)
		network_done(&k.networks[--k.n_networks]);
	qmp_done(&k.qmp);
	k.loop = loop_free(k.loop);
	return 0;
}
