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
	uint32_t window, far_window, sndbuf;
	unsigned int partial, again;
	bool no_peek_off, tso, csum, congestion;
	uint64_t n_up, n_down;
	uint16_t mtu;
	bool inbound;
};

static uint64_t seed = 1000;

static void transfer(const struct setting *s)
{
	char what[200];
	struct world_conn x;

	(void)snprintf(what, sizeof(what),
			"lose %u repeat %u delay %u jitter %u window %u far %u sndbuf %u partial %u again %u %s%s%s%s up %llu down %llu mtu %u%s",
			s->lose, s->repeat, s->delay_ms, s->jitter_ms, s->window, s->far_window, s->sndbuf, s->partial,
			s->again, s->no_peek_off ? "no-peek-off " : "", s->tso ? "tso " : "", s->csum ? "csum " : "",
			s->congestion ? "cc" : "", (unsigned long long)s->n_up, (unsigned long long)s->n_down, s->mtu,
			s->inbound ? " inbound" : "");
	struct line_config line = {.delay_ms = s->delay_ms, .jitter_ms = s->jitter_ms, .lose = s->lose, .repeat = s->repeat};
	struct world *w = world_new(&(struct world_config){.seed = seed++,
			.what = what,
			.mtu = s->mtu,
			.tso = s->tso,
			.csum = s->csum,
			.no_peek_off = s->no_peek_off,
			.to_guest = line,
			.from_guest = line});
	struct peer_tcp_config config = {.rcvbuf_bytes = s->window, .wscale = 7, .delack_ms = 40, .congestion = s->congestion, .recut = true};
	struct fake_plan plan = {.delay_ms = s->delay_ms,
			.connect_ms = s->delay_ms * 2,
			.sndbuf_bytes = s->sndbuf,
			.far_rcvbuf_bytes = s->far_window,
			.partial = s->partial,
			.again = s->again};

	if (s->inbound)
		world_dial(w, 0, config, plan, s->n_up, s->n_down, &x);
	else
		world_open(w, 0, config, plan, s->n_up, s->n_down, &x);
	world_finish(&x, 10 * HOUR_MS);
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
				for (unsigned int bits = 0; bits < 16; bits++) {
					bool tso = bits & 1, both = bits & 8;

					transfer(&(struct setting){.lose = lose[l],
							.repeat = lose[l] / 3,
							.delay_ms = delay[d],
							.jitter_ms = l == 2 ? delay[d] / 2 : 0,
							.window = window[i],
							.partial = bits & 2 ? 300 : 0,
							.again = bits & 2 ? 50 : 0,
							.no_peek_off = bits & 4,
							.tso = tso,
							.congestion = tso,
							.n_up = both ? 50000 : tso ? 300000 : 0,
							.n_down = both ? 70000 : tso ? 0 : 300000});
				}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
