/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole transfers through the gateway, in both directions at once and one at a time, over good and bad
 * cables, with small and large windows, sockets that take less than they are given, with and without
 * SO_PEEK_OFF, with and without super-frames. What every case must show: each byte arrives once, in
 * order; both ends learn the end; no rule of peer_check.c is broken on the way. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define HOUR_MS 3600000u

struct setting {
	unsigned int lose, repeat;
	uint32_t delay_ms, jitter_ms;
	uint32_t window, far_window, sndbuf, rcvbuf;
	unsigned int partial, again;
	bool no_peek_off, tso, csum, congestion;
	uint64_t n_up, n_down;
	uint16_t mtu, mss;
	bool no_mss, no_wscale, urgent, inbound, echo;
	uint8_t wscale;
	unsigned int n_queue, take_per_ms;
	uint32_t limit_ms; /* 0: ten hours */
};

static uint64_t seed = 1000;

static void describe(const struct setting *s, char *ret, size_t n)
{
	(void)snprintf(ret, n,
		"lose %u delay %u+%u window %u<<%u far %u bufs %u %u partial %u %u %s%s%s%s up %llu down "
		"%llu mtu %u mss %u queue %u",
		s->lose, s->delay_ms, s->jitter_ms, s->window, s->wscale, s->far_window, s->sndbuf, s->rcvbuf,
		s->partial, s->again, s->no_peek_off ? "no-peek-off " : "", s->tso ? "tso " : "",
		s->csum ? "csum " : "", s->inbound ? "inbound" : "", (unsigned long long)s->n_up,
		(unsigned long long)s->n_down, s->mtu, s->mss, s->n_queue);
}

static struct world *start(const struct setting *s, struct world_conn *x)
{
	char what[160];
	struct line_config line = {
		.delay_ms = s->delay_ms, .jitter_ms = s->jitter_ms, .lose = s->lose, .repeat = s->repeat};
	struct peer_tcp_config config = {.rcvbuf_bytes = s->window,
		.wscale = s->wscale,
		.no_wscale = s->no_wscale,
		.mss = s->mss,
		.no_mss = s->no_mss,
		.urgent = s->urgent,
		.delack_ms = 40,
		.congestion = s->congestion,
		.recut = true};
	struct fake_plan plan = {.delay_ms = s->delay_ms,
		.connect_ms = s->delay_ms * 2,
		.sndbuf_bytes = s->sndbuf,
		.rcvbuf_bytes = s->rcvbuf,
		.far_rcvbuf_bytes = s->far_window,
		.partial = s->partial,
		.again = s->again,
		.app = {.echo = s->echo}};

	describe(s, what, sizeof(what));
	struct world *w = world_new(&(struct world_config){.seed = seed++,
		.what = what,
		.mtu = s->mtu,
		.tso = s->tso,
		.csum = s->csum,
		.no_peek_off = s->no_peek_off,
		.n_queue = s->n_queue,
		.take_per_ms = s->take_per_ms,
		.to_guest = line,
		.from_guest = line});
	if (s->inbound)
		world_dial(w, 0, config, plan, s->n_up, s->n_down, x);
	else
		world_open(w, 0, config, plan, s->n_up, s->n_down, x);
	return w;
}

static void transfer(const struct setting *s)
{
	struct world_conn x;
	struct world *w = start(s, &x);

	world_finish(&x, s->limit_ms ? s->limit_ms : 10 * HOUR_MS);
	world_expect_idle(w);
	world_free(w);
}

static void test_matrix(void **state)
{
	static const unsigned int lose[] = {0, 10, 100};
	static const uint32_t delay[] = {0, 5, 100}, window[] = {4000, 65535, 1000000};

	for (size_t l = 0; l < ARRAY_SIZE(lose); l++)
		for (size_t d = 0; d < ARRAY_SIZE(delay); d++)
			for (size_t i = 0; i < ARRAY_SIZE(window); i++)
				for (unsigned int bits = 0; bits < 32; bits++) {
					bool both = bits & 8, up = bits & 16;

					transfer(&(struct setting){.lose = lose[l],
						.repeat = lose[l] / 3,
						.delay_ms = delay[d],
						.jitter_ms = l == 2 ? delay[d] / 2 : 0,
						.window = window[i],
						.wscale = 7,
						.partial = bits & 2 ? 300 : 0,
						.again = bits & 2 ? 50 : 0,
						.no_peek_off = bits & 4,
						.tso = bits & 1,
						.congestion = both,
						.n_up = both ? 50000
							: up ? 300000
							     : 0,
						.n_down = both ? 70000
							  : up ? 0
							       : 300000});
				}
}

/* On a cable that loses nothing nothing is sent twice, and no time is lost. */
static void test_efficient(void **state)
{
	for (unsigned int bits = 0; bits < 16; bits++) {
		struct setting s = {.delay_ms = bits & 1 ? 10 : 0,
			.window = 1000000,
			.wscale = 7,
			.tso = bits & 2,
			.no_peek_off = bits & 4,
			.n_up = bits & 8 ? 4000000 : 0,
			.n_down = bits & 8 ? 0 : 4000000,
			.sndbuf = 1000000,
			.rcvbuf = 1000000,
			.far_window = 1000000};
		struct world_conn x;
		struct world *w = start(&s, &x);
		uint64_t start_ms = w->sim.now_ms;

		world_finish(&x, 60000);
		uint64_t took_ms = w->sim.now_ms - start_ms;
		/* Windows of 250 KB and more a round trip of 40 ms, the host's included. */
		sim_check(&w->sim, took_ms <= (bits & 1 ? 1500 : 10), "%llu ms", (unsigned long long)took_ms);
		sim_check(&w->sim, x.guest->seen.n_again_bytes == 0, "%llu bytes sent again",
			(unsigned long long)x.guest->seen.n_again_bytes);
		sim_check(&w->sim, x.guest->n_out_again_bytes == 0 && x.guest->n_rto == 0,
			"%llu bytes sent again by the guest, %llu timeouts",
			(unsigned long long)x.guest->n_out_again_bytes, (unsigned long long)x.guest->n_rto);
		sim_check(&w->sim, s.no_peek_off || w->host->n_peeked_bytes <= s.n_down, "%llu bytes peeked",
			(unsigned long long)w->host->n_peeked_bytes);
		/* The kernel keeps the offset: it need not be told. */
		sim_check(&w->sim, w->host->n_peek_off_set <= 2, "SO_PEEK_OFF was set %llu times",
			(unsigned long long)w->host->n_peek_off_set);
		world_free(w);
	}
}

/* A socket that cuts the last send of a burst short costs no retransmission timeout: the gateway says
 * when it has room again, in a way that makes the guest send at once. */
static void test_partial_prompt(void **state)
{
	struct setting s = {
		.delay_ms = 1, .window = 200000, .wscale = 7, .partial = 300, .again = 100, .tso = true};
	struct world_conn x;
	struct world *w = start(&s, &x);
	struct peer_tcp_config config = {
		.wscale = 7, .app = {.send = {.pause_every = 30000, .pause_ms = 300}}};
	struct fake_plan plan = {.delay_ms = 1, .partial = 60};

	world_finish(&x, 60000);
	world_open(w, 0, config, plan, 20000000, 0, &x);
	world_finish(&x, 1000000);
	assert_in_range(x.guest->n_fast, 20, 1000);
	assert_in_range(x.guest->n_rto, 0, x.guest->n_fast / 2);
	world_free(w);
}

static void test_links(void **state)
{
	static const uint16_t mtus[] = {576, 1280, 1500, 9000, 65520};

	for (size_t i = 0; i < ARRAY_SIZE(mtus); i++)
		for (unsigned int bits = 0; bits < 8; bits++)
			transfer(&(struct setting){.mtu = mtus[i],
				.window = 300000,
				.wscale = 4,
				.tso = bits & 1,
				.csum = bits & 2,
				.lose = bits & 4 ? 20 : 0,
				.delay_ms = 3,
				.n_up = 400000,
				.n_down = 400000});
}

static void test_mss(void **state)
{
	static const uint16_t mss[] = {1, 48, 88, 100, 536, 1459, 1460, 9000};

	for (size_t i = 0; i < ARRAY_SIZE(mss); i++)
		for (unsigned int tso = 0; tso < 2; tso++)
			transfer(&(struct setting){.mss = mss[i],
				.tso = tso,
				.window = 50000,
				.wscale = 2,
				.delay_ms = 3,
				.lose = 5,
				.n_up = 20000,
				.n_down = 20000});
	transfer(&(struct setting){.no_mss = true, .window = 50000, .n_up = 20000, .n_down = 20000});
	transfer(&(struct setting){
		.no_mss = true, .inbound = true, .window = 50000, .n_up = 20000, .n_down = 20000});
}

static void test_wscale(void **state)
{
	for (unsigned int scale = 0; scale <= 14; scale++)
		for (unsigned int inbound = 0; inbound < 2; inbound++)
			transfer(&(struct setting){.window = 3000000,
				.wscale = (uint8_t)scale,
				.inbound = inbound,
				.delay_ms = 20,
				.rcvbuf = 2000000,
				.n_up = 300000,
				.n_down = 3000000,
				.lose = 1});
	transfer(&(struct setting){
		.window = 100000, .no_wscale = true, .delay_ms = 20, .n_up = 300000, .n_down = 300000});
	transfer(&(struct setting){.window = 100000,
		.no_wscale = true,
		.inbound = true,
		.delay_ms = 20,
		.n_up = 300000,
		.n_down = 300000});
}

static void test_inbound(void **state)
{
	for (unsigned int bits = 0; bits < 16; bits++)
		transfer(&(struct setting){.inbound = true,
			.lose = bits & 1 ? 50 : 0,
			.tso = bits & 2,
			.no_peek_off = bits & 4,
			.partial = bits & 8 ? 200 : 0,
			.delay_ms = 4,
			.window = 100000,
			.wscale = 5,
			.n_up = 100000,
			.n_down = 150000});
}

static void test_echo(void **state)
{
	for (unsigned int bits = 0; bits < 8; bits++)
		transfer(&(struct setting){.echo = true,
			.lose = bits & 1 ? 30 : 0,
			.tso = bits & 2,
			.no_peek_off = bits & 4,
			.delay_ms = 2,
			.window = 30000,
			.sndbuf = 20000,
			.rcvbuf = 20000,
			.n_up = 200000,
			.n_down = 200000});
}

/* Small requests, answered after two milliseconds (echo) or not at all. The answers carry the acknowledgements, unless
 * one tells of a larger window; where there is none, a request is acknowledged within five milliseconds. */
static void dialogue(bool echo, uint16_t mtu)
{
	struct peer_tcp_config config = {.app = {.send = {.rate = 1, .pause_every = 1, .pause_ms = 7}}};
	struct fake_plan plan = {.delay_ms = 1, .app = {.echo = echo, .fin_after_fin = true}};
	struct world *w = world_new(&(struct world_config){.seed = seed++, .what = "dialogue", .mtu = mtu});
	struct world_conn x;

	world_open(w, 0, config, plan, 200, echo ? 200 : 0, &x);
	world_pass(w, 20);
	for (unsigned int i = 0; i < 50; i++) {
		uint64_t nxt = x.guest->nxt;

		world_pass(w, 5);
		sim_check(&w->sim, x.guest->una >= nxt, "%llu of %llu acknowledged",
			(unsigned long long)x.guest->una, (unsigned long long)nxt);
	}
	world_finish(&x, 10000);
	sim_check(&w->sim, echo ? x.guest->seen.n_pure_acks <= 1 : x.guest->seen.n_pure_acks >= 199,
		"%llu acknowledgements", (unsigned long long)x.guest->seen.n_pure_acks);
	world_expect_idle(w);
	world_free(w);
}

static void test_dialogue(void **state)
{
	for (unsigned int bits = 0; bits < 4; bits++)
		dialogue(bits & 1, bits & 2 ? 65520 : 0);
}

/* Connect, a request, its answer, the end: the guest gets no segment that is but an acknowledgement. */
static void test_request(void **state)
{
	struct fake_plan plan = {.delay_ms = 1, .app = {.echo = true, .fin_after_fin = true}};
	struct world *w = world_new(&(struct world_config){.seed = seed++, .what = "a request"});
	struct world_conn x;

	world_open(w, 0, (struct peer_tcp_config){}, plan, 1, 1, &x);
	world_finish(&x, 1000);
	sim_check(&w->sim, x.guest->seen.n_segments == 3 && x.guest->n_rto == 0, "%llu segments to the guest",
		(unsigned long long)x.guest->seen.n_segments);
	world_expect_idle(w);
	world_free(w);
}

/* RFC 5681, 4.2: of every second full segment the guest is told at once. */
static void test_second_segment(void **state)
{
	struct fake_plan plan = {.app = {.fin_after_fin = true}};
	struct world *w = world_new(&(struct world_config){.seed = seed++, .what = "two segments"});
	struct world_conn x;

	world_open(w, 0, (struct peer_tcp_config){.app = {.no_fin = true}}, plan, 2 * 1460, 0, &x);
	world_pass(w, 1);
	sim_check(&w->sim, x.guest->nxt > 2 * 1460 && x.guest->una == x.guest->nxt, "%llu of %llu acknowledged",
		(unsigned long long)x.guest->una, (unsigned long long)x.guest->nxt);
	world_free(w);
}

/* RFC 9293, 3.8.5: urgent data is data. */
static void test_urgent(void **state)
{
	transfer(&(struct setting){.urgent = true, .window = 50000, .n_up = 200000, .n_down = 1000});
	transfer(&(struct setting){
		.urgent = true, .window = 50000, .n_up = 200000, .n_down = 1000, .lose = 50, .partial = 100});
}

/* Ports that hold few frames, and a guest that takes few of them. */
static void test_no_room(void **state)
{
	static const unsigned int queue[] = {1, 2, 3, 8, 64};

	for (size_t i = 0; i < ARRAY_SIZE(queue); i++)
		for (unsigned int bits = 0; bits < 8; bits++)
			transfer(&(struct setting){.n_queue = queue[i],
				.take_per_ms = bits & 1 ? 1 : 0,
				.tso = bits & 2,
				.no_peek_off = bits & 4,
				.window = 200000,
				.wscale = 5,
				.n_up = 100000,
				.n_down = 200000});
}

/* A NIC with few receive buffers, which loses what else comes in a burst: the flight becomes what it can hold,
 * instead of the same burst being sent again and again. */
static void test_small_ring(void **state)
{
	static const unsigned int ring[] = {8, 24, 64};

	for (size_t i = 0; i < ARRAY_SIZE(ring); i++)
		for (unsigned int bits = 0; bits < 2; bits++) {
			struct world_conn x;
			struct world *w = world_new(&(struct world_config){.seed = seed++,
				.what = "small ring",
				.no_peek_off = bits & 1,
				.to_guest = {.delay_ms = 1, .n_max = ring[i]}});
			uint64_t start_ms = w->sim.now_ms;

			world_open(w, 0, (struct peer_tcp_config){.rcvbuf_bytes = 1000000, .wscale = 7},
				(struct fake_plan){.rcvbuf_bytes = 1000000}, 0, 2000000, &x);
			world_finish(&x, 60000);
			const struct line *line = &w->guests[0].to_guest;
			uint64_t took_ms = w->sim.now_ms - start_ms;
			sim_check(&w->sim, took_ms < 96000 / ring[i], "%llu ms", (unsigned long long)took_ms);
			sim_check(&w->sim, line->n_lost < line->n_put / 2, "%llu of %llu frames lost",
				(unsigned long long)line->n_lost, (unsigned long long)line->n_put);
			world_expect_idle(w);
			world_free(w);
		}
}

/* A NIC that stands still until it has seen a hundred frames, as one whose driver lost its place in the ring: a segment
 * or two at a time would never wake it. */
static void test_stuck_ring(void **state)
{
	struct loser stuck = {.first = 200, .last = 299};
	struct world *w = world_new(&(struct world_config){
		.seed = seed++, .what = "stuck ring", .to_guest = {.delay_ms = 1, .lost = loser_lost, .ctx = &stuck}});
	struct world_conn x;

	world_open(w, 0, (struct peer_tcp_config){.rcvbuf_bytes = 100000, .wscale = 7}, (struct fake_plan){0}, 0, 2000000,
		&x);
	world_finish(&x, 10000);
	assert_int_equal(stuck.n_lost, 100);
	world_expect_idle(w);
	world_free(w);
}

/* A cable that also cuts frames short, in the gateway's own fault port, and one without room. */
static void test_fault(void **state)
{
	for (unsigned int bits = 0; bits < 16; bits++) {
		struct peer_tcp_config config = {.wscale = 5, .delack_ms = 40, .recut = true};
		struct fault_config fault = {.seed = 700 + bits,
			.lose = 20,
			.repeat = 20,
			.swap = 20,
			.truncate = bits & 4 ? 20 : 0,
			.no_room = bits & 8 ? 200 : 0};
		struct world *w = world_new(&(struct world_config){.seed = 700 + bits,
			.what = "fault port",
			.tso = bits & 1,
			.no_peek_off = bits & 2,
			.faulty = true,
			.fault = fault});
		struct world_conn x;

		world_open(w, 0, config, (struct fake_plan){.delay_ms = 1}, 100000, 100000, &x);
		world_finish(&x, HOUR_MS);
		world_expect_idle(w);
		world_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_efficient),
		cmocka_unit_test(test_partial_prompt),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_mss),
		cmocka_unit_test(test_wscale),
		cmocka_unit_test(test_inbound),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_dialogue),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_second_segment),
		cmocka_unit_test(test_urgent),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_small_ring),
		cmocka_unit_test(test_stuck_ring),
		cmocka_unit_test(test_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
