/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulated host by itself: each behaviour of Linux that the gateway's tests rest on. */
#include "sock_fake.h"

#include <linux/errqueue.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <cmocka.h>

#define ALL_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

struct host {
	struct sim sim;
	struct loop *loop;
	struct sock_fake *fake;
	const struct sock_ops *ops;
	struct fake_plan plan;
	int source;
	uint32_t events[64]; /* by arg: what came */
	unsigned int n_events;
	int close_at_event; /* -1: none */
	uint8_t sent[64];
	size_t n_sent;
	unsigned int n_datagrams;
};

static uint64_t now_ms(void *ctx)
{
	struct host *h = ctx;

	return h->sim.now_ms;
}

static void on_event(void *ctx, uint32_t arg, uint32_t events)
{
	struct host *h = ctx;

	h->events[arg] |= events;
	h->n_events++;
	if (h->close_at_event >= 0)
		(void)h->ops->close(h->fake, h->close_at_event);
	h->close_at_event = -1;
}

static void give_plan(void *ctx, const union sock_addr *to, struct fake_plan *plan)
{
	struct host *h = ctx;

	*plan = h->plan;
}

static void on_datagram(
	void *ctx, struct fake_socket *s, const union sock_addr *to, const void *data, size_t n)
{
	struct host *h = ctx;

	h->n_datagrams++;
	h->n_sent = MIN(n, sizeof(h->sent));
	memcpy(h->sent, data, h->n_sent);
}

static struct host *host_new(const struct fake_plan *plan)
{
	struct host *h = calloc(1, sizeof(*h));
	struct loop_clock clock = {now_ms, h};

	assert_non_null(h);
	sim_init(&h->sim, 1, "sock_fake");
	assert_int_equal(loop_new(&clock, &h->loop), 0);
	h->fake = sock_fake_new(&(struct sock_fake_config){.sim = &h->sim,
		.loop = h->loop,
		.plan = give_plan,
		.datagram = on_datagram,
		.ctx = h,
		.datagram_ctx = h});
	h->ops = sock_fake_host(h->fake).ops;
	h->source = loop_source_add(h->loop, on_event, h);
	h->plan = *plan;
	h->close_at_event = -1;
	return h;
}

static void host_free(struct host *h)
{
	sock_fake_free(h->fake);
	loop_free(h->loop);
	free(h);
}

static void run(struct host *h, uint64_t for_ms)
{
	for (uint64_t end_ms = h->sim.now_ms + for_ms;; h->sim.now_ms++) {
		while (sock_fake_run(h->fake))
			;
		if (h->sim.now_ms >= end_ms)
			return;
	}
}

static int open_tcp(struct host *h, int *ret_connect)
{
	const int on = 1;
	struct ip_addr to = ip_addr_from4(htonl(0xcb007101));
	union sock_addr sa;
	socklen_t n = sock_addr_set(&sa, &to, 80);
	int fd = h->ops->open(h->fake, AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(h->ops->setsockopt(h->fake, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	assert_int_equal(h->ops->setsockopt(h->fake, fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)), 0);
	*ret_connect = h->ops->connect(h->fake, fd, &sa.sa, n);
	return fd;
}

static int open_connected(struct host *h)
{
	int r, fd = open_tcp(h, &r);

	assert_int_equal(r, 0);
	return fd;
}

static ssize_t receive(struct host *h, int fd, void *to, size_t n, int flags)
{
	struct iovec v = {to, n};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	return h->ops->recvmsg(h->fake, fd, &m, flags);
}

static ssize_t transmit(struct host *h, int fd, uint64_t seed, uint64_t at, size_t n)
{
	uint8_t *bytes = malloc(n);
	struct iovec v = {bytes, n};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	assert_non_null(bytes);
	stream_fill(seed, at, bytes, n);
	ssize_t r = h->ops->sendmsg(h->fake, fd, &m, 0);

	free(bytes);
	return r;
}

static int peek_off(struct host *h, int fd)
{
	return (int)sock_fake_get(h->fake, fd)->conn->peek_off;
}

static void test_peek(void **state)
{
	struct host *h = host_new(&(struct fake_plan){.app = {.send_seed = 5, .send_bytes = 1000}});
	int fd = open_connected(h), zero = 0;
	uint8_t b[1000];

	assert_int_equal(receive(h, fd, b, 10, 0), -EAGAIN);
	run(h, 1);
	/* Without the option every peek begins at the head of the queue. */
	assert_int_equal(receive(h, fd, b, 100, MSG_PEEK), 100);
	assert_int_equal(receive(h, fd, b, 100, MSG_PEEK), 100);
	assert_int_equal(stream_match(5, 0, b, 100), 100);
	assert_int_equal(h->ops->setsockopt(h->fake, fd, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero)), 0);
	assert_int_equal(receive(h, fd, b, 100, MSG_PEEK), 100);
	assert_int_equal(receive(h, fd, b, 100, MSG_PEEK), 100);
	assert_int_equal(stream_match(5, 100, b, 100), 100);
	/* A read moves the offset back, and not below the head. */
	assert_int_equal(receive(h, fd, NULL, 150, MSG_TRUNC), 150);
	assert_int_equal(peek_off(h, fd), 50);
	assert_int_equal(receive(h, fd, b, 100, MSG_PEEK), 100);
	assert_int_equal(stream_match(5, 200, b, 100), 100);
	assert_int_equal(receive(h, fd, b, 300, 0), 300);
	assert_int_equal(stream_match(5, 150, b, 300), 300);
	assert_int_equal(peek_off(h, fd), 0);
	/* The FIN shows behind the last byte, for a peek as for a read. */
	assert_int_equal(receive(h, fd, b, 1000, MSG_PEEK), 550);
	assert_int_equal(receive(h, fd, b, 1000, MSG_PEEK), 0);
	assert_int_equal(receive(h, fd, NULL, 1000, MSG_TRUNC), 550);
	assert_int_equal(receive(h, fd, b, 1000, 0), 0);
	host_free(h);
}

static void test_send_buffer(void **state)
{
	struct host *h = host_new(&(struct fake_plan){.delay_ms = 5,
		.sndbuf_bytes = 9000,
		.far_rcvbuf_bytes = 4000,
		.app = {.recv_seed = 7, .no_fin = true, .recv = {.stop_at = 1, .resume_ms = 100}}});
	int fd = open_connected(h);
	uint32_t mem[SK_MEMINFO_VARS];
	socklen_t n = sizeof(mem);

	assert_int_equal(h->ops->watch(h->fake, fd, ALL_EVENTS, h->source, 3), 0);
	run(h, 0);
	assert_true(h->events[3] & EPOLLOUT);
	h->events[3] = 0;
	assert_int_equal(transmit(h, fd, 7, 0, 20000), 9000);
	assert_int_equal(transmit(h, fd, 7, 9000, 1), -EAGAIN);
	run(h, 50);
	/* 4,001 have arrived (one was read), which makes the socket writable again. */
	assert_int_equal(h->ops->getsockopt(h->fake, fd, SOL_SOCKET, SO_MEMINFO, mem, &n), 0);
	assert_int_equal(mem[SK_MEMINFO_WMEM_QUEUED], 4999);
	assert_int_equal(mem[SK_MEMINFO_SNDBUF], 9000);
	assert_true(h->events[3] & EPOLLOUT);
	h->events[3] = 0;
	run(h, 200);
	assert_false(h->events[3] & EPOLLOUT); /* once: nobody has met a full buffer since */
	assert_int_equal(sock_fake_get(h->fake, fd)->conn->app.n_received, 9000);
	host_free(h);
}

static void test_partial(void **state)
{
	struct host *h = host_new(
		&(struct fake_plan){.partial = 600, .again = 200, .app = {.recv_seed = 7, .no_fin = true}});
	int fd = open_connected(h);
	uint64_t at = 0;
	unsigned int n_cut = 0, n_again = 0;

	assert_int_equal(h->ops->watch(h->fake, fd, ALL_EVENTS, h->source, 3), 0);
	while (at < 200000) {
		ssize_t r = transmit(h, fd, 7, at, 3000);

		at += r > 0 ? (uint64_t)r : 0;
		if (r == 3000)
			continue;
		n_cut += r > 0;
		n_again += r == -EAGAIN;
		/* Whatever is refused is followed by an event. */
		run(h, 0);
		h->events[3] = 0;
		run(h, 10);
		assert_true(h->events[3] & EPOLLOUT);
	}
	run(h, 10);
	assert_true(n_cut > 10 && n_again > 5);
	assert_int_equal(sock_fake_get(h->fake, fd)->conn->app.n_received, at);
	host_free(h);
}

/* kernel: tcp_close() with data unread resets, and what was on its way is lost. */
static void test_close_unread(void **state)
{
	struct host *h = host_new(&(struct fake_plan){.delay_ms = 5,
		.far_rcvbuf_bytes = 1000,
		.app = {.send_seed = 5, .send_bytes = 100, .recv_seed = 7, .recv = {.rate = 10}}});
	int fd = open_connected(h);
	uint8_t b[100];

	run(h, 10);
	assert_int_equal(transmit(h, fd, 7, 0, 50000), 50000);
	assert_int_equal(receive(h, fd, b, 100, MSG_PEEK), 100);
	struct fake_conn *c = sock_fake_get(h->fake, fd)->conn;

	assert_int_equal(h->ops->close(h->fake, fd), 0);
	run(h, 20000);
	assert_true(c->closed_unread && c->reset_by_us);
	assert_int_equal(c->app.error, ECONNRESET);
	assert_true(c->app.n_received <= 1000 && c->n_lost_bytes >= 49000);
	host_free(h);
}

static void test_close_in_order(void **state)
{
	struct host *h = host_new(&(struct fake_plan){.delay_ms = 5,
		.far_rcvbuf_bytes = 1000,
		.app = {.send_seed = 5, .send_bytes = 100, .recv_seed = 7, .recv = {.rate = 10}}});
	int fd = open_connected(h);
	uint8_t b[100];

	run(h, 10);
	assert_int_equal(transmit(h, fd, 7, 0, 50000), 50000);
	assert_int_equal(receive(h, fd, b, 100, 0), 100);
	struct fake_conn *c = sock_fake_get(h->fake, fd)->conn;

	assert_int_equal(h->ops->close(h->fake, fd), 0);
	run(h, 20000);
	assert_int_equal(c->app.error, 0);
	assert_int_equal(c->app.n_received, 50000);
	assert_true(c->app.fin_received);
	host_free(h);
}

static void test_linger(void **state)
{
	struct linger now = {1, 0};
	struct host *h = host_new(&(struct fake_plan){.delay_ms = 5, .app = {.no_fin = true}});
	int fd = open_connected(h);
	struct fake_conn *c = sock_fake_get(h->fake, fd)->conn;

	assert_int_equal(h->ops->setsockopt(h->fake, fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	assert_int_equal(h->ops->close(h->fake, fd), 0);
	run(h, 10);
	assert_int_equal(c->app.error, ECONNRESET);
	assert_int_equal(h->ops->close(h->fake, fd), -EBADF);
	host_free(h);
}

static void test_far_reset(void **state)
{
	struct host *h = host_new(&(struct fake_plan){
		.delay_ms = 5, .app = {.send_seed = 5, .send_bytes = 100, .rst_after_sent = true}});
	int fd = open_connected(h), error = 0;
	socklen_t n = sizeof(error);
	uint8_t b[200];

	assert_int_equal(h->ops->watch(h->fake, fd, ALL_EVENTS, h->source, 1), 0);
	run(h, 10);
	assert_true((h->events[1] & (EPOLLERR | EPOLLHUP | EPOLLIN)) == (EPOLLERR | EPOLLHUP | EPOLLIN));
	/* Data first, then the error, once, then the end. */
	assert_int_equal(receive(h, fd, b, 200, 0), 100);
	assert_int_equal(receive(h, fd, b, 200, 0), -ECONNRESET);
	assert_int_equal(receive(h, fd, b, 200, 0), 0);
	assert_int_equal(transmit(h, fd, 0, 0, 10), -EPIPE);
	assert_int_equal(h->ops->getsockopt(h->fake, fd, SOL_SOCKET, SO_ERROR, &error, &n), 0);
	assert_int_equal(error, 0);
	host_free(h);
}

static void test_half_close(void **state)
{
	struct host *h = host_new(&(struct fake_plan){.delay_ms = 5,
		.app = {.send_seed = 5, .send_bytes = 100, .fin_after_fin = true, .fin_delay_ms = 50}});
	int fd = open_connected(h);
	uint8_t b[200];
	struct fake_conn *c = sock_fake_get(h->fake, fd)->conn;

	assert_int_equal(h->ops->watch(h->fake, fd, ALL_EVENTS, h->source, 1), 0);
	run(h, 20);
	assert_false(h->events[1] & EPOLLRDHUP);
	assert_int_equal(h->ops->shutdown(h->fake, fd, SHUT_WR), 0);
	assert_int_equal(transmit(h, fd, 0, 0, 10), -EPIPE);
	run(h, 30);
	assert_true(c->app.fin_received);
	assert_int_equal(receive(h, fd, b, 200, 0), 100);
	assert_int_equal(receive(h, fd, b, 200, 0), -EAGAIN);
	run(h, 100);
	assert_true((h->events[1] & (EPOLLRDHUP | EPOLLHUP)) == (EPOLLRDHUP | EPOLLHUP));
	assert_int_equal(receive(h, fd, b, 200, 0), 0);
	host_free(h);
}

static void test_connect(void **state)
{
	static const struct {
		enum fake_outcome outcome;
		uint32_t ms;
		int at_once, later;
	} cases[] = {
		{FAKE_ACCEPTED, 0, 0, 0},
		{FAKE_ACCEPTED, 10, -EINPROGRESS, 0},
		{FAKE_REFUSED, 0, -ECONNREFUSED, 0},
		{FAKE_REFUSED, 10, -EINPROGRESS, ECONNREFUSED},
		{FAKE_UNREACHABLE, 10, -EINPROGRESS, EHOSTUNREACH},
		{FAKE_TIMED_OUT, 10, -EINPROGRESS, ETIMEDOUT},
		{FAKE_NO_ROUTE, 0, -ENETUNREACH, 0},
		{FAKE_NO_PORT, 0, -EADDRNOTAVAIL, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct host *h =
			host_new(&(struct fake_plan){.outcome = cases[i].outcome, .connect_ms = cases[i].ms});
		int r, error = -1, fd = open_tcp(h, &r);
		socklen_t n = sizeof(error);

		assert_int_equal(r, cases[i].at_once);
		if (r == -EINPROGRESS) {
			assert_int_equal(h->ops->watch(h->fake, fd, ALL_EVENTS, h->source, 1), 0);
			run(h, 5);
			assert_int_equal(h->n_events, 0);
			run(h, 10);
			assert_true(h->events[1] & EPOLLOUT);
			assert_true(!(h->events[1] & EPOLLERR) == !cases[i].later);
			assert_int_equal(
				h->ops->getsockopt(h->fake, fd, SOL_SOCKET, SO_ERROR, &error, &n), 0);
			assert_int_equal(error, cases[i].later);
		}
		host_free(h);
	}
}

/* Two events in one batch, the first closes the second's descriptor: the second comes all the same. */
static void test_stale_event(void **state)
{
	struct host *h = host_new(&(struct fake_plan){.app = {.send_bytes = 10, .no_fin = true}});
	int a = open_connected(h), b = open_connected(h);

	assert_int_equal(h->ops->watch(h->fake, a, EPOLLIN | EPOLLET, h->source, 1), 0);
	assert_int_equal(h->ops->watch(h->fake, b, EPOLLIN | EPOLLET, h->source, 2), 0);
	h->close_at_event = b;
	run(h, 1);
	assert_int_equal(h->n_events, 2);
	assert_int_equal(h->fake->n_open, 1);
	/* A level-triggered watch comes back until it is served, an edge-triggered one does not. */
	run(h, 1);
	assert_int_equal(h->n_events, 2);
	host_free(h);
}

static void test_listen(void **state)
{
	struct fake_plan plan = {.app = {.send_seed = 9, .send_bytes = 10}};
	struct host *h = host_new(&plan);
	int fd = sock_fake_listen(h->fake, 5022);
	union sock_addr from;
	socklen_t n = sizeof(from);
	uint8_t b[20];

	assert_int_equal(h->ops->accept(h->fake, fd, &from.sa, &n), -EAGAIN);
	assert_int_equal(h->ops->watch(h->fake, fd, EPOLLIN, h->source, 5), 0);
	assert_non_null(sock_fake_dial(h->fake, fd, htonl(0x7f000001), 4711, &plan));
	assert_true(sock_fake_run(h->fake));
	assert_int_equal(h->events[5], EPOLLIN);
	assert_true(sock_fake_run(h->fake));
	assert_int_equal(h->n_events, 2);
	int a = h->ops->accept(h->fake, fd, &from.sa, &n);
	assert_true(a >= 0);
	assert_int_equal(ntohs(from.in4.sin_port), 4711);
	run(h, 1);
	assert_int_equal(receive(h, a, b, 20, 0), 10);
	assert_int_equal(h->ops->accept(h->fake, fd, &from.sa, &n), -EAGAIN);
	host_free(h);
}

static void test_udp(void **state)
{
	struct host *h = host_new(&(struct fake_plan){});
	int fd = h->ops->open(h->fake, AF_INET, SOCK_DGRAM, IPPROTO_UDP), on = 1;
	struct ip_addr to = ip_addr_from4(htonl(0xcb007101));
	uint8_t control[200] __attribute__((aligned(16))), b[100];
	struct iovec v = {(void *)(uintptr_t) "abcdef", 6};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	union sock_addr sa;
	socklen_t n = sock_addr_set(&sa, &to, 53);

	assert_int_equal(h->ops->setsockopt(h->fake, fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)), 0);
	assert_int_equal(h->ops->connect(h->fake, fd, &sa.sa, n), 0);
	assert_int_equal(h->ops->watch(h->fake, fd, EPOLLIN | EPOLLET, h->source, 1), 0);
	assert_int_equal(h->ops->sendmsg(h->fake, fd, &m, 0), 6);
	assert_int_equal(h->n_datagrams, 1);
	assert_memory_equal(h->sent, "abcdef", 6);

	struct fake_socket *s = sock_fake_get(h->fake, fd);
	sock_fake_deliver(h->fake, s, &sa, "xyz", 3);
	run(h, 0);
	assert_true(h->events[1] & EPOLLIN);
	assert_int_equal(receive(h, fd, b, 100, 0), 3);
	sock_fake_icmp_error(h->fake, s, ECONNREFUSED, 3, 3, htonl(0xcb007101), "abcdef", 6);
	run(h, 0);
	assert_true(h->events[1] & EPOLLERR);
	assert_int_equal(receive(h, fd, b, 100, 0), -ECONNREFUSED);
	v = (struct iovec){b, sizeof(b)};
	m = (struct msghdr){
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	assert_int_equal(h->ops->recvmsg(h->fake, fd, &m, MSG_ERRQUEUE), 6);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	struct sock_extended_err e;

	assert_non_null(c);
	memcpy(&e, CMSG_DATA(c), sizeof(e));
	assert_int_equal(e.ee_errno, ECONNREFUSED);
	assert_int_equal(e.ee_code, 3);
	assert_int_equal(h->ops->recvmsg(h->fake, fd, &m, MSG_ERRQUEUE), -EAGAIN);
	host_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peek),
		cmocka_unit_test(test_send_buffer),
		cmocka_unit_test(test_partial),
		cmocka_unit_test(test_close_unread),
		cmocka_unit_test(test_close_in_order),
		cmocka_unit_test(test_linger),
		cmocka_unit_test(test_far_reset),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_stale_event),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_udp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
