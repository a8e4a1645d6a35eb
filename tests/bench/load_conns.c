/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many connections: `idle` opens N and holds them, `rate` opens R a second and closes each after its echo.
 *
 * Both open by the clock, whether or not earlier ones were answered, so that a slow back end shows as
 * failures and not as a lower rate. Every connection sends a nonce of its own and must get the same bytes
 * back; what does not is reported with its number, address and reason, and counted: losses are a result, not a
 * failure of this program. In `rate` the client closes first.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ECHO_TIMEOUT_US 10000000ull
#define SLOW_US         900000ull /* a lost SYN is sent again after a second */
#define MAX_TOLD        50        /* losses printed one by one */

enum conn_state {
	CONN_FREE,
	CONN_CONNECTING,
	CONN_ECHO, /* nonce sent, echo awaited */
	CONN_HELD, /* nothing may arrive */
};

struct conn {
	int fd;
	enum conn_state state;
	uint32_t number; /* in order of opening */
	uint32_t n_got;
	uint64_t nonce[2];
	uint64_t start_us;
};

struct conns {
	const struct load_config *conf;
	bool hold;
	int ep;
	struct conn *slot;
	unsigned int n_slots, n_free;
	unsigned int *free;
	uint64_t n_opened, n_ok, n_lost, n_slow, n_late;
	unsigned int n_pending, n_held;
	uint64_t last_sweep_us;
	struct samples latency;
};

static void conns_init(struct conns *cs, const struct load_config *conf, bool hold, unsigned int n_slots)
{
	*cs = (struct conns){.conf = conf, .hold = hold, .n_slots = n_slots, .n_free = n_slots};
	cs->ep = epoll_create1(EPOLL_CLOEXEC);
	cs->slot = calloc(n_slots, sizeof(*cs->slot));
	cs->free = calloc(n_slots, sizeof(*cs->free));
	if (cs->ep < 0 || !cs->slot || !cs->free)
		die("conns");
	for (unsigned int i = 0; i < n_slots; i++)
		cs->free[i] = n_slots - 1 - i;
}

static void conns_done(struct conns *cs)
{
	samples_done(&cs->latency);
	for (unsigned int i = 0; i < cs->n_slots; i++) {
		if (cs->slot[i].state != CONN_FREE)
			close(cs->slot[i].fd);
	}
	free(cs->slot);
	free(cs->free);
	close(cs->ep);
}

static void conn_close(struct conns *cs, struct conn *c)
{
	if (c->state == CONN_CONNECTING || c->state == CONN_ECHO)
		cs->n_pending--;
	else if (c->state == CONN_HELD)
		cs->n_held--;
	close(c->fd);
	c->state = CONN_FREE;
	cs->free[cs->n_free++] = (unsigned int)(c - cs->slot);
}

static void conn_lost(struct conns *cs, struct conn *c, const char *why)
{
	char addr[INET_ADDRSTRLEN];
	struct sockaddr_in to = sockaddr_of(cs->conf, c->number, PORT_ECHO);
	static const char *const where[] = {"free", "connecting", "waiting for its echo", "held"};

	if (cs->n_lost++ < MAX_TOLD)
		fprintf(stderr, "lost: connection %u to %s, %s, after %llu ms: %s\n", c->number,
			inet_ntop(AF_INET, &to.sin_addr, addr, sizeof(addr)), where[c->state],
			(unsigned long long)(now_us() - c->start_us) / 1000, why);
	conn_close(cs, c);
}

static void conn_send_nonce(struct conns *cs, struct conn *c)
{
	c->nonce[0] = now_ns();
	c->nonce[1] = c->number * 0x9e3779b97f4a7c15ull;
	c->n_got = 0;
	if (c->state != CONN_ECHO) {
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

		if (epoll_ctl(cs->ep, EPOLL_CTL_MOD, c->fd, &ev))
			die("epoll_ctl");
		if (c->state == CONN_HELD) {
			cs->n_held--;
			cs->n_pending++;
		}
	}
	c->state = CONN_ECHO;
	if (send(c->fd, c->nonce, sizeof(c->nonce), MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof(c->nonce))
		conn_lost(cs, c, strerror(errno));
}

static void conn_open(struct conns *cs)
{
	struct conn *c = &cs->slot[cs->free[--cs->n_free]];
	struct sockaddr_in to;
	struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = c};
	int one = 1;

	*c = (struct conn){
		.state = CONN_CONNECTING, .number = (uint32_t)cs->n_opened++, .start_us = now_us()};
	cs->n_pending++;
	to = sockaddr_of(cs->conf, c->number, PORT_ECHO);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		die("socket");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(cs->ep, EPOLL_CTL_ADD, c->fd, &ev))
		die("epoll_ctl");
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS)
		conn_lost(cs, c, strerror(errno));
}

static void conn_verified(struct conns *cs, struct conn *c)
{
	uint64_t took_us = now_us() - c->start_us;

	cs->n_ok++;
	if (took_us > SLOW_US)
		cs->n_slow++;
	samples_add(&cs->latency, took_us * 1000);
	if (!cs->hold) {
		conn_close(cs, c);
		return;
	}
	c->state = CONN_HELD;
	cs->n_pending--;
	cs->n_held++;
}

static void conn_event(struct conns *cs, struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);
	char buf[64];
	ssize_t n;

	if (c->state == CONN_CONNECTING) {
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) || error)
			conn_lost(cs, c, strerror(error));
		else
			conn_send_nonce(cs, c);
		return;
	}
	n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		conn_lost(cs, c, n < 0 ? strerror(errno) : "closed by the other end");
	} else if (c->state == CONN_HELD || (size_t)n > sizeof(c->nonce) - c->n_got ||
		   memcmp(buf, (char *)c->nonce + c->n_got, (size_t)n)) {
		conn_lost(cs, c, "bytes that were never sent");
	} else {
		c->n_got += (uint32_t)n;
		if (c->n_got == sizeof(c->nonce))
			conn_verified(cs, c);
	}
}

static void conns_sweep(struct conns *cs)
{
	uint64_t now = now_us();

	if (now - cs->last_sweep_us < 200000)
		return;
	cs->last_sweep_us = now;
	for (unsigned int i = 0; i < cs->n_slots; i++) {
		struct conn *c = &cs->slot[i];

		if ((c->state == CONN_CONNECTING || c->state == CONN_ECHO) &&
			now - c->start_us > ECHO_TIMEOUT_US)
			conn_lost(cs, c, "no answer in time");
	}
}

static void conns_poll(struct conns *cs, int timeout_ms)
{
	struct epoll_event ev[256];
	int n = epoll_wait(cs->ep, ev, 256, timeout_ms);

	if (n < 0 && errno != EINTR)
		die("epoll_wait");
	for (int i = 0; i < n; i++)
		conn_event(cs, ev[i].data.ptr);
	conns_sweep(cs);
}

/* Opens n_total by the clock at conf->rate, then waits for those still on their way. */
static void conns_open_all(struct conns *cs, uint64_t n_total)
{
	uint64_t start_us = now_us();

	while (cs->n_opened < n_total) {
		uint64_t due = (now_us() - start_us) * cs->conf->rate / 1000000 + 1;

		if (due > n_total)
			due = n_total;
		/* Without a slot it opens late: ten seconds' worth of connections are unanswered. */
		for (; cs->n_opened < due && cs->n_free; conn_open(cs)) {
			if (due - cs->n_opened > cs->conf->rate / 10 + 16)
				cs->n_late++;
		}
		conns_poll(cs, cs->n_opened < n_total ? 1 : 50);
	}
	while (cs->n_pending)
		conns_poll(cs, 50);
}

static void conns_print(struct conns *cs, uint64_t us)
{
	samples_sort(&cs->latency);
	printf("{\"opened\":%llu,\"ok\":%llu,\"lost\":%llu,\"held\":%u,\"slow\":%llu,\"late\":%llu,"
	       "\"seconds\":%.3f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
		(unsigned long long)cs->n_opened, (unsigned long long)cs->n_ok,
		(unsigned long long)cs->n_lost, cs->n_held, (unsigned long long)cs->n_slow,
		(unsigned long long)cs->n_late, (double)us / 1e6, samples_quantile_us(&cs->latency, 0.5),
		samples_quantile_us(&cs->latency, 0.99), samples_quantile_us(&cs->latency, 1));
}

int rate_main(const struct load_config *conf)
{
	uint64_t n_total = (uint64_t)conf->rate * conf->run_ms / 1000, start_us = now_us();
	uint64_t n_slots = conf->rate * (ECHO_TIMEOUT_US / 1000000) + 1;
	struct conns cs;

	conns_init(&cs, conf, false, (unsigned int)(n_slots < n_total ? n_slots : n_total));
	conns_open_all(&cs, n_total);
	conns_print(&cs, now_us() - start_us);
	conns_done(&cs);
	return 0;
}

/* Every held connection is asked again, in waves small enough for any queue on the way. */
static void idle_check(struct conns *cs)
{
	cs->n_opened = cs->n_held;
	cs->n_ok = cs->n_slow = cs->latency.n = 0;
	for (unsigned int i = 0; i < cs->n_slots; i++) {
		if (cs->slot[i].state == CONN_HELD) {
			cs->slot[i].start_us = now_us();
			conn_send_nonce(cs, &cs->slot[i]);
		}
		while (cs->n_pending >= 64)
			conns_poll(cs, 50);
	}
	while (cs->n_pending)
		conns_poll(cs, 50);
}

int idle_main(const struct load_config *conf)
{
	uint64_t start_us = now_us();
	struct conns cs;
	char line[64];

	conns_init(&cs, conf, true, conf->n);
	conns_open_all(&cs, conf->n);
	conns_print(&cs, now_us() - start_us);
	for (;;) {
		struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = cs.ep, .events = POLLIN}};

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			die("poll");
		if (p[1].revents)
			conns_poll(&cs, 0); /* a held connection died */
		if (!p[0].revents)
			continue;
		if (!fgets(line, sizeof(line), stdin) || !strcmp(line, "quit\n"))
			break;
		start_us = now_us();
		idle_check(&cs);
		conns_print(&cs, now_us() - start_us);
	}
	conns_done(&cs);
	return 0;
}
