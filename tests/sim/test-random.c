/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything at once, from a seed: several guests and connections of every kind at random times, over a
 * bad cable, with resets, pauses, stalls and cut sends. Whatever happens, each connection ends with all
 * its bytes at both ends or with an error at both, no rule is broken, and nothing is left behind.
 * VMLAN_SIM_RUNS says how many (default 1000). */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define MINUTE_MS 60000u
#define CONNS_MAX 12

static bool one_in(struct rng *r, uint32_t n)
{
	return rng_below(r, n) == 0;
}

static uint32_t up_to(struct rng *r, uint32_t n)
{
	return 1 + rng_below(r, n);
}

static struct app_pace random_pace(struct rng *r)
{
	struct app_pace p = {};

	if (one_in(r, 4))
		p.rate = 10 + rng_below(r, 2000);
	if (one_in(r, 6))
		p = (struct app_pace){.stop_at = up_to(r, 50000), .resume_ms = up_to(r, 5 * MINUTE_MS)};
	if (one_in(r, 6)) {
		p.pause_every = 1000 + rng_below(r, 20000);
		p.pause_ms = up_to(r, 2000);
	}
	return p;
}

static void random_app(struct rng *r, struct app_config *a)
{
	a->send = random_pace(r);
	a->recv = random_pace(r);
	if (one_in(r, 5))
		a->fin_delay_ms = up_to(r, 20000);
	if (one_in(r, 10))
		a->rst_at_ms = up_to(r, one_in(r, 2) ? 100 : 20000);
	else if (one_in(r, 15))
		a->rst_after_received = up_to(r, 50000);
	else if (one_in(r, 15))
		a->rst_after_sent = true;
}

static struct peer_tcp_config random_guest(struct rng *r)
{
	struct peer_tcp_config c = {.rcvbuf_bytes = 500 + rng_below(r, one_in(r, 3) ? 3000 : 300000),
		.sndbuf_bytes = 500 + rng_below(r, 300000),
		.no_wscale = one_in(r, 6),
		.wscale = (uint8_t)rng_below(r, 15),
		.mss = one_in(r, 4) ? (uint16_t)(88 + rng_below(r, 1373)) : 0,
		.no_mss = one_in(r, 10),
		.delack_ms = one_in(r, 2) ? 40 : 0,
		.congestion = one_in(r, 2),
		.recut = one_in(r, 2),
		.urgent = one_in(r, 10)};

	random_app(r, &c.app);
	return c;
}

static struct fake_plan random_plan(struct rng *r)
{
	struct fake_plan p = {.connect_ms = one_in(r, 2) ? 0 : up_to(r, 500),
		.delay_ms = one_in(r, 2) ? 0 : up_to(r, 100),
		.sndbuf_bytes = 8000 + rng_below(r, 300000),
		.rcvbuf_bytes = 4000 + rng_below(r, 300000),
		.far_rcvbuf_bytes = 500 + rng_below(r, 300000),
		.partial = one_in(r, 4) ? rng_below(r, 300) : 0,
		.again = one_in(r, 4) ? rng_below(r, 100) : 0};

	if (one_in(r, 15))
		p.outcome = (enum fake_outcome)rng_below(r, FAKE_OUTCOME_MAX);
	random_app(r, &p.app);
	/* Both waiting for the other's FIN would be no end. */
	p.app.fin_after_fin = one_in(r, 5);
	return p;
}

static struct line_config random_line(struct rng *r)
{
	struct line_config l = {.delay_ms = one_in(r, 2) ? 0 : rng_below(r, 50)};

	if (one_in(r, 3)) {
		l.lose = rng_below(r, 80);
		l.repeat = rng_below(r, 50);
	}
	if (one_in(r, 6))
		l.jitter_ms = rng_below(r, 20);
	return l;
}

/* The host's end may not exist: refused, or never reached. */
static bool is_over(void *ctx)
{
	struct world_conn *x = ctx;

	world_find(x);
	if (!x->guest)
		return x->host->app.error || x->host->app.fin_received || x->host->orphan;
	if (x->guest->state == PEER_CLOSED || x->guest->state == PEER_TIME_WAIT)
		return !x->host || x->host->app.error || x->host->app.reset_sent ||
		       x->host->app.fin_received || x->host->state == FAKE_DEAD;
	/* A RST that is lost is not sent again. */
	return x->guest->seen.rst && x->host &&
	       (x->host->app.error || x->host->app.reset_sent || x->host->state == FAKE_DEAD);
}

/* Four hours: where the RST was lost, a keep-alive after two finds out. */
static void check_end(struct world *w, struct world_conn *x, unsigned int i)
{
	sim_check(&w->sim, world_run(w, is_over, x, 240 * MINUTE_MS),
		"connection %u: guest %s sent %llu received %llu", i,
		x->guest ? peer_state_name(x->guest->state) : "none",
		x->guest ? (unsigned long long)x->guest->app.n_sent : 0,
		x->guest ? (unsigned long long)x->guest->app.n_received : 0);
	if (!x->guest || !x->host)
		return;
	const struct app *g = &x->guest->app, *h = &x->host->app;
	bool disturbed =
		g->error || h->error || g->reset_sent || h->reset_sent || x->host->state == FAKE_DEAD;

	world_pass(w, 1000);
	/* An error at one end is one at the other, unless that had finished. */
	if (disturbed) {
		sim_check(&w->sim,
			g->error || g->reset_sent || g->fin_received || x->guest->seen.rst ||
				x->guest->state == PEER_CLOSED || x->guest->state == PEER_TIME_WAIT,
			"connection %u, port %u: the guest knows nothing: %s, host error %d reset %d", i,
			x->port, peer_state_name(x->guest->state), h->error, h->reset_sent);
		return;
	}
	/* Arrived; read at leisure. */
	uint64_t n_down = g->n_received + x->guest->n_unread, n_up = x->host->up_arrived;

	sim_check(&w->sim, n_down == x->n_down && n_up == x->n_up,
		"connection %u: the guest has %llu of %llu, the host %llu of %llu", i,
		(unsigned long long)n_down, (unsigned long long)x->n_down, (unsigned long long)n_up,
		(unsigned long long)x->n_up);
}

static void random_world(uint64_t seed)
{
	struct rng r = {seed};
	char what[32];
	struct world_conn x[CONNS_MAX];
	struct world_config c = {.seed = seed,
		.what = what,
		.n_guests = up_to(&r, 2),
		.mtu = one_in(&r, 3) ? (uint16_t)(576 + rng_below(&r, 64000)) : 1500,
		.tso = one_in(&r, 2),
		.csum = one_in(&r, 2),
		.no_peek_off = one_in(&r, 3),
		.n_queue = one_in(&r, 3) ? up_to(&r, 10) : 512,
		.take_per_ms = one_in(&r, 5) ? up_to(&r, 20) : 0,
		.to_guest = random_line(&r),
		.from_guest = random_line(&r)};

	(void)snprintf(what, sizeof(what), "random %llu", (unsigned long long)seed);
	struct world *w = world_new(&c);
	unsigned int n = up_to(&r, CONNS_MAX);

	for (unsigned int i = 0; i < n; i++) {
		unsigned int guest = rng_below(&r, w->n_guests);
		uint32_t most = one_in(&r, 4) ? 300000 : 5000;

		if (i == 0 && one_in(&r, 2)) /* one listener */
			world_dial(w, guest, random_guest(&r), random_plan(&r), rng_below(&r, most),
				rng_below(&r, most), &x[i]);
		else
			world_open(w, guest, random_guest(&r), random_plan(&r), rng_below(&r, most),
				rng_below(&r, most), &x[i]);
		world_pass(w, one_in(&r, 2) ? 0 : rng_below(&r, 3000));
		if (one_in(&r, 10))
			w->guests[guest].paused = true;
	}
	world_pass(w, rng_below(&r, 10 * MINUTE_MS));
	for (unsigned int i = 0; i < w->n_guests; i++)
		w->guests[i].paused = false;
	for (unsigned int i = 0; i < n; i++)
		check_end(w, &x[i], i);
	world_expect_idle(w);
	world_free(w);
}

static void test_random(void **state)
{
	const char *runs = getenv("VMLAN_SIM_RUNS"), *given = getenv("VMLAN_SIM_SEED");
	uint64_t n = runs ? strtoull(runs, NULL, 0) : 1000;

	if (given) {
		random_world(strtoull(given, NULL, 0));
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		random_world(1 + i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
