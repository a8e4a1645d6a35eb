/* SPDX-License-Identifier: BSD-2-Clause */
/* The reference peer against itself: what it is used to judge others by must hold between two of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "line.h"
#include "peer_internal.h"

#define A_BE htonl(0x0a000001)
#define B_BE htonl(0x0a000002)

struct pair {
	struct sim sim;
	struct peer a, b;
	struct line ab, ba;
};

static void out_a(void *ctx, struct mem_frame *f)
{
	struct pair *x = ctx;

	sim_trace_frame(&x->sim, "a>b", f);
	peer_inspect(&x->b, f);
	line_put(&x->ab, f);
}

static void out_b(void *ctx, struct mem_frame *f)
{
	struct pair *x = ctx;

	sim_trace_frame(&x->sim, "b>a", f);
	peer_inspect(&x->a, f);
	line_put(&x->ba, f);
}

static struct pair *pair_new(uint64_t seed, const char *what, const struct line_config *line, bool tso)
{
	struct pair *x = calloc(1, sizeof(*x));
	struct peer_config c = {.mac = {{2, 0, 0, 0, 0, 1}},
		.gateway_mac = {{2, 0, 0, 0, 0, 2}},
		.ip_be = A_BE,
		.gateway_be = B_BE,
		.mtu = 1500,
		.rx_tso = tso,
		.rx_csum = tso,
		.tx_tso = tso,
		.tx_csum = tso,
		.out = out_a,
		.ctx = x};

	assert_non_null(x);
	sim_init(&x->sim, seed, what);
	c.sim = &x->sim;
	peer_init(&x->a, &c);
	c.mac.b[5] = 2;
	c.gateway_mac.b[5] = 1;
	c.ip_be = B_BE;
	c.gateway_be = A_BE;
	c.out = out_b;
	peer_init(&x->b, &c);
	line_init(&x->ab, &x->sim, line);
	line_init(&x->ba, &x->sim, line);
	return x;
}

static void pair_free(struct pair *x)
{
	peer_done(&x->a);
	peer_done(&x->b);
	line_done(&x->ab);
	line_done(&x->ba);
	free(x);
}

static bool deliver(struct line *l, struct peer *p)
{
	bool any = false;
	struct mem_frame *f;

	while ((f = line_take(l))) {
		peer_input(p, f);
		free(f);
		any = true;
	}
	return any;
}

static void pair_run(struct pair *x, uint64_t limit_ms)
{
	uint64_t end_ms = x->sim.now_ms + limit_ms;

	for (unsigned int n_spin = 0; x->sim.now_ms < end_ms; n_spin++) {
		peer_run(&x->a);
		peer_run(&x->b);
		if ((int)deliver(&x->ab, &x->b) | (int)deliver(&x->ba, &x->a)) /* both, always */
			continue;
		uint64_t t[] = {
			peer_next_ms(&x->a), peer_next_ms(&x->b), line_next_ms(&x->ab), line_next_ms(&x->ba)};
		uint64_t next_ms = UINT64_MAX;

		for (size_t i = 0; i < ARRAY_SIZE(t); i++)
			next_ms = MIN(next_ms, t[i]);
		if (next_ms == UINT64_MAX)
			return;
		sim_check(&x->sim, next_ms > x->sim.now_ms || n_spin < 100000, "time stands still");
		if (next_ms > x->sim.now_ms)
			n_spin = 0;
		x->sim.now_ms = MAX(next_ms, x->sim.now_ms);
	}
}

static struct peer_tcp_config config_a(uint64_t n_a, uint64_t n_b)
{
	return (struct peer_tcp_config){.remote_be = B_BE,
		.remote_port = 80,
		.local_port = 40000,
		.iss = 0xffffff00,
		.wscale = 3,
		.delack_ms = 40,
		.congestion = true,
		.recut = true,
		.app = {.send_seed = 11, .recv_seed = 22, .send_bytes = n_a}};
}

static struct peer_conn *start(struct pair *x, struct peer_tcp_config *ca, struct peer_tcp_config *cb)
{
	peer_listen(&x->b, 80, cb);
	return peer_connect(&x->a, ca);
}

static void check_all(struct pair *x, struct peer_conn *a, uint64_t n_a, uint64_t n_b)
{
	struct peer_conn *b = x->b.conns;

	sim_check(&x->sim, b && !b->next, "b has not one connection");
	sim_check(&x->sim, a->app.n_received == n_b && b->app.n_received == n_a,
		"received %llu of %llu, %llu of %llu", (unsigned long long)a->app.n_received,
		(unsigned long long)n_b, (unsigned long long)b->app.n_received, (unsigned long long)n_a);
	sim_check(&x->sim, a->app.fin_received && b->app.fin_received, "a FIN is missing");
	sim_check(&x->sim, a->state == PEER_CLOSED && b->state == PEER_CLOSED, "%s, %s",
		peer_state_name(a->state), peer_state_name(b->state));
	sim_check(&x->sim, !a->app.error && !b->app.error, "errors %d, %d", a->app.error, b->app.error);
}

static void transfer(
	uint64_t seed, unsigned int lose, uint32_t delay_ms, uint32_t jitter_ms, uint32_t window, bool tso)
{
	struct line_config line = {
		.delay_ms = delay_ms, .jitter_ms = jitter_ms, .lose = lose, .repeat = lose / 2};
	uint64_t n_a = 300000, n_b = 70001;
	struct peer_tcp_config ca = config_a(n_a, n_b), cb = ca;
	char what[100];

	(void)snprintf(what, sizeof(what), "lose %u delay %u jitter %u window %u tso %d", lose, delay_ms,
		jitter_ms, window, tso);
	struct pair *x = pair_new(seed, what, &line, tso);
	ca.rcvbuf_bytes = cb.rcvbuf_bytes = window;
	cb.iss = 0x7fffff00;
	cb.app = (struct app_config){.send_seed = 22, .recv_seed = 11, .send_bytes = n_b};
	struct peer_conn *a = start(x, &ca, &cb);

	pair_run(x, 24 * 3600000ull);
	check_all(x, a, n_a, n_b);
	pair_free(x);
}

static void test_transfers(void **state)
{
	static const unsigned int lose[] = {0, 10, 100};
	static const uint32_t delay[] = {0, 5, 100}, window[] = {1000, 65535, 300000};
	uint64_t seed = 1;

	for (size_t i = 0; i < ARRAY_SIZE(lose); i++)
		for (size_t k = 0; k < ARRAY_SIZE(delay); k++)
			for (size_t w = 0; w < ARRAY_SIZE(window); w++)
				for (unsigned int tso = 0; tso < 2; tso++)
					transfer(seed++, lose[i], delay[k], i == 2 ? delay[k] : 0, window[w],
						tso);
}

/* What the receiver does not read stays out: the window closes, probes keep the connection alive, and it
 * opens again. */
static void test_zero_window(void **state)
{
	struct line_config line = {.delay_ms = 2};
	struct pair *x = pair_new(5, "zero window", &line, false);
	struct peer_tcp_config ca = config_a(400000, 0), cb = ca;

	cb.rcvbuf_bytes = 50000;
	cb.app = (struct app_config){
		.recv_seed = 11, .send_seed = 22, .recv = {.stop_at = 10000, .resume_ms = 300000}};
	struct peer_conn *a = start(x, &ca, &cb);

	pair_run(x, 200000);
	assert_int_equal(x->b.conns->app.n_received, 10000);
	assert_true(a->snd_wnd < 1460);
	assert_true(a->n_persist >= 5);
	pair_run(x, 3600000);
	check_all(x, a, 400000, 0);
	pair_free(x);
}

static void test_reset(void **state)
{
	struct line_config line = {.delay_ms = 2};
	struct pair *x = pair_new(6, "reset", &line, false);
	struct peer_tcp_config ca = config_a(400000, 0), cb = ca;

	cb.app = (struct app_config){.recv_seed = 11, .rst_after_received = 20000};
	struct peer_conn *a = start(x, &ca, &cb);

	pair_run(x, 100000);
	assert_int_equal(a->app.error, ECONNRESET);
	assert_int_equal(x->b.conns->app.n_received, 20000);
	assert_int_equal(a->state, PEER_CLOSED);
	pair_free(x);
}

static void test_refused(void **state)
{
	struct line_config line = {.delay_ms = 2};
	struct pair *x = pair_new(7, "refused", &line, false);
	struct peer_tcp_config ca = config_a(4000, 0);
	struct peer_conn *a = peer_connect(&x->a, &ca);

	pair_run(x, 100000);
	assert_int_equal(a->app.error, ECONNREFUSED);
	pair_free(x);
}

static uint64_t n_lost;

static bool lose_all(void *ctx, const struct mem_frame *f)
{
	n_lost++;
	return true;
}

static void test_unanswered(void **state)
{
	struct line_config line = {.lost = lose_all};
	struct pair *x = pair_new(8, "nobody answers", &line, false);
	struct peer_tcp_config ca = config_a(4000, 0);

	ca.n_retries = 5;
	n_lost = 0;
	struct peer_conn *a = peer_connect(&x->a, &ca);
	pair_run(x, 1000000);
	assert_int_equal(a->app.error, ETIMEDOUT);
	assert_int_equal(n_lost, 6);
	pair_free(x);
}

static struct mem_frame *caught;

static void out_caught(void *ctx, struct mem_frame *f)
{
	free(caught);
	caught = f;
}

static bool is_refused(struct pair *x, const struct mem_frame *f)
{
	jmp_buf back;
	volatile bool refused = false;

	x->sim.expected = &back;
	if (setjmp(back) == 0)
		peer_inspect(&x->a, f);
	else
		refused = true;
	x->sim.expected = NULL;
	return refused;
}

/* What b might send to a wrongly, as differences from a segment that is right. */
struct wrong {
	int32_t seq, ack, window;
	uint8_t flags;
	size_t n_bytes;
	unsigned int flip; /* this byte of the frame */
	bool right;
};

static const struct wrong wrongs[] = {
	{.n_bytes = 100, .right = true},
	{.n_bytes = 1460, .right = true},
	{.n_bytes = 1461},             /* longer than the MSS */
	{.n_bytes = 100, .flip = 60},  /* checksum */
	{.n_bytes = 100, .flip = 20},  /* IPv4 checksum */
	{.seq = -1, .n_bytes = 100},   /* the stream's bytes elsewhere */
	{.seq = 1000, .n_bytes = 100}, /* a gap */
	{.ack = 1},                    /* never sent */
	{.ack = -1},                   /* behind an earlier one */
	{.window = -1},                /* the edge goes back */
	{.flags = TCP_URG, .n_bytes = 10},
	{.flags = TCP_SYN},
};

static void test_rules(void **state)
{
	struct line_config line = {};
	struct pair *x = pair_new(9, "rules", &line, false);
	struct peer_tcp_config ca = config_a(1000, 0), cb = ca;

	ca.app.no_fin = true;
	cb.app = (struct app_config){.send_seed = 22, .recv_seed = 11, .send_bytes = 5000, .no_fin = true};
	(void)start(x, &ca, &cb);
	pair_run(x, 10000);
	struct peer_conn *b = x->b.conns;

	x->b.c.out = out_caught;
	for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
		const struct wrong *w = &wrongs[i];
		struct peer_seen before = x->a.conns->seen;
		struct tcp t = {.src_port = 80, .dst_port = 40000, .wscale = -1, .flags = TCP_ACK | w->flags};

		t.seq = peer_seq(b, b->max) + (uint32_t)w->seq;
		t.ack = peer_ack(b, b->rcv_nxt) + (uint32_t)w->ack;
		t.window = (uint16_t)(((before.edge - before.acked) >> before.scale) +
				      (uint64_t)(int64_t)w->window);
		peer_send_tcp(&x->b, A_BE, &t, 22, 5000, w->n_bytes, NULL, 0);
		if (w->flip)
			caught->bytes[w->flip] ^= 1;
		if (is_refused(x, caught) == w->right)
			sim_fail(&x->sim, "rule %zu", i);
		x->a.conns->seen = before;
	}
	free(caught);
	caught = NULL;
	pair_free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transfers),
		cmocka_unit_test(test_zero_window),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_unanswered),
		cmocka_unit_test(test_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
