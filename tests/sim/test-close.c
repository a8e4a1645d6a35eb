/* SPDX-License-Identifier: BSD-2-Clause */
/* How connections end: each end first, both at once, one end long after the other, with any of the last
 * segments lost, and what comes after. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define MINUTE_MS 60000u

static const struct peer_tcp_config guest_default = {.rcvbuf_bytes = 100000, .wscale = 4, .delack_ms = 40};

static struct world *make(uint64_t seed, const char *what, uint32_t delay_ms)
{
	struct line_config line = {.delay_ms = delay_ms};

	return world_new(
		&(struct world_config){.seed = seed, .what = what, .to_guest = line, .from_guest = line});
}

/* One end finishes; the other goes on for ten seconds, and only then sends most of its data. */
static void half_close(bool guest_first, bool inbound, bool no_peek_off)
{
	struct world *w = world_new(&(struct world_config){
		.seed = 10, .what = guest_first ? "guest first" : "host first", .no_peek_off = no_peek_off});
	struct app_pace late = {.stop_at = 1, .resume_ms = 10000};
	struct peer_tcp_config config = guest_default;
	struct fake_plan plan = {};
	struct world_conn x;

	if (guest_first)
		plan.app.send = late;
	else
		config.app.send = late;
	if (inbound)
		world_dial(w, 0, config, plan, 300000, 300000, &x);
	else
		world_open(w, 0, config, plan, 300000, 300000, &x);
	world_pass(w, 5000);
	world_find(&x);
	/* The FIN has gone through, and the connection is half open. */
	sim_check(&w->sim, (guest_first ? &x.host->app : &x.guest->app)->fin_received,
		"the FIN did not arrive");
	sim_check(
		&w->sim, !(guest_first ? &x.guest->app : &x.host->app)->fin_received, "a FIN came too soon");
	sim_check(&w->sim, x.guest->state == (guest_first ? PEER_FIN_WAIT_2 : PEER_CLOSE_WAIT), "%s",
		peer_state_name(x.guest->state));
	world_finish(&x, MINUTE_MS);
	world_expect_idle(w);
	world_free(w);
}

static void test_half_close(void **state)
{
	for (unsigned int bits = 0; bits < 8; bits++)
		half_close(bits & 1, bits & 2, bits & 4);
}

static bool is_closing(void *ctx)
{
	struct world_conn *x = ctx;

	return x->guest->state == PEER_CLOSING;
}

/* RFC 9293, 3.6, case 3: both FINs cross on the way. */
static void test_simultaneous_close(void **state)
{
	struct world *w = make(11, "simultaneous close", 50);
	struct peer_tcp_config config = guest_default;
	struct fake_plan plan = {.app = {.fin_delay_ms = 1000}};
	struct world_conn x;

	/* The guest is established 50 ms after its SYN-ACK left; the host at once. */
	config.app.fin_delay_ms = 940;
	world_open(w, 0, config, plan, 100, 100, &x);
	sim_check(&w->sim, world_run(w, is_closing, &x, MINUTE_MS), "they did not cross");
	world_finish(&x, MINUTE_MS);
	sim_check(&w->sim, x.guest->n_rto == 0, "a FIN was not acknowledged");
	world_expect_idle(w);
	world_free(w);
}

static bool is_closed(void *ctx)
{
	struct world_conn *x = ctx;

	return x->guest->state == PEER_CLOSED && x->w->host->n_open <= 40;
}

/* The n-th segment with a FIN is lost, or the n-th acknowledgement after it; either way, either side. */
static void lose_end(bool to_guest, bool ack, bool guest_first, unsigned int n)
{
	static struct loser loser;
	char what[100];
	struct line_config line = {.delay_ms = 5}, bad = {.delay_ms = 5, .lost = loser_lost, .ctx = &loser};

	(void)snprintf(what, sizeof(what), "%s %s %u lost, %s first", to_guest ? "gateway's" : "guest's",
		ack ? "ACK" : "FIN", n, guest_first ? "guest" : "host");
	loser = (struct loser){
		.mask = TCP_FIN | TCP_SYN | TCP_RST, .flags = ack ? 0 : TCP_FIN, .first = UINT32_MAX};
	struct world *w = world_new(&(struct world_config){.seed = 12,
		.what = what,
		.to_guest = to_guest ? bad : line,
		.from_guest = to_guest ? line : bad});
	struct peer_tcp_config config = guest_default;
	struct fake_plan plan = {};
	struct world_conn x;

	if (guest_first)
		plan.app.fin_after_fin = true;
	else
		config.app.fin_after_fin = true;
	/* Data is through long before the FINs. */
	config.app.fin_delay_ms = plan.app.fin_delay_ms = 1000;
	world_open(w, 0, config, plan, 20000, 20000, &x);
	world_pass(w, 900);
	loser.n_seen = 0;
	loser.first = n;
	loser.last = n + 1;
	world_finish(&x, MINUTE_MS);
	/* To the end, the guest's waiting included: a lost last ACK shows only later. */
	sim_check(&w->sim, world_run(w, is_closed, &x, 5 * MINUTE_MS), "guest %s, %u descriptors",
		peer_state_name(x.guest->state), w->host->n_open);
	sim_check(&w->sim, !x.guest->app.error && !x.guest->seen.rst, "the guest was reset");
	world_expect_idle(w);
	world_free(w);
}

static void test_lost_ends(void **state)
{
	for (unsigned int bits = 0; bits < 8; bits++)
		for (unsigned int n = 1; n <= 2; n++)
			lose_end(bits & 1, bits & 2, bits & 4, n);
}

/* What the gateway has accepted from the guest arrives, however slowly the host reads, and although the
 * guest has finished and there is data the other way (kernel: a close() too soon would lose it). */
static void slow_reader(bool no_peek_off, uint32_t guest_rate)
{
	struct world *w = world_new(
		&(struct world_config){.seed = 13, .what = "slow reader", .no_peek_off = no_peek_off});
	struct peer_tcp_config config = guest_default;
	struct fake_plan plan = {
		.sndbuf_bytes = 400000, .far_rcvbuf_bytes = 20000, .app = {.recv = {.rate = 50}}};
	struct world_conn x;

	config.app.recv.rate = guest_rate;
	world_open(w, 0, config, plan, 500000, 300000, &x);
	world_finish(&x, 10 * MINUTE_MS);
	world_expect_idle(w);
	world_free(w);
}

static void test_slow_reader(void **state)
{
	for (unsigned int no_peek_off = 0; no_peek_off < 2; no_peek_off++) {
		slow_reader(no_peek_off, 0);
		slow_reader(no_peek_off, 20);
		slow_reader(no_peek_off, 1000);
	}
}

/* The guest's application is gone: it resets in the middle of its own half close. */
static void test_reset_after_fin(void **state)
{
	for (unsigned int guest = 0; guest < 2; guest++) {
		struct world *w = make(14, "reset after FIN", 3);
		struct peer_tcp_config config = guest_default;
		struct fake_plan plan = {.app = {.no_fin = true}};
		struct world_conn x;

		if (guest) {
			config.app.rst_at_ms = 5000;
		} else {
			config.app.no_fin = true;
			plan.app = (struct app_config){.rst_at_ms = 5000};
		}
		world_open(w, 0, config, plan, 1000, 1000, &x);
		world_pass(w, 4000);
		world_find(&x);
		sim_check(&w->sim, (guest ? &x.host->app : &x.guest->app)->fin_received, "no FIN");
		world_expect_reset(&x, MINUTE_MS);
		world_expect_idle(w);
		world_free(w);
	}
}

static struct world_conn again(
	struct world *w, const struct world_conn *old, struct peer_tcp_config config, uint32_t iss)
{
	struct world_conn x;

	config.local_port = old->guest->c.local_port;
	config.remote_port = old->guest->c.remote_port;
	config.iss = iss;
	peer_forget(&w->guests[0].peer, old->guest);
	world_open(w, 0, config, (struct fake_plan){}, 1000, 1000, &x);
	return x;
}

static bool is_new(void *ctx)
{
	struct world_conn *x = ctx;

	return x->guest->app.fin_received;
}

/* A SYN for a pair of sockets whose last connection has just ended is a new connection, at once. */
static void test_syn_in_linger(void **state)
{
	for (unsigned int host_first = 0; host_first < 2; host_first++) {
		struct world *w = make(15, "SYN on a closing pair", 3);
		struct peer_tcp_config config = guest_default;
		struct fake_plan plan = {};
		struct world_conn x;

		if (host_first)
			config.app.fin_after_fin = true;
		else
			plan.app.fin_after_fin = true;
		world_open(w, 0, config, plan, 1000, 1000, &x);
		world_finish(&x, MINUTE_MS);
		world_pass(w, 10);
		uint64_t start_ms = w->sim.now_ms;
		struct world_conn y = again(w, &x, guest_default, peer_seq(x.guest, x.guest->max) + 100000);
		sim_check(&w->sim, world_run(w, is_new, &y, 1000), "%s after a second",
			peer_state_name(y.guest->state));
		sim_check(&w->sim, w->sim.now_ms - start_ms < 100, "%llu ms",
			(unsigned long long)(w->sim.now_ms - start_ms));
		world_expect_idle(w);
		world_free(w);
	}
}

/* A guest that has started anew knows nothing of its connections and uses their ports again. */
static void test_guest_restarted(void **state)
{
	static const uint32_t distance[] = {100, 100000, 0x40000000, 0x80000000, 0xfffffff0};

	for (size_t i = 0; i < ARRAY_SIZE(distance); i++) {
		struct world *w = make(16 + i, "guest restarted", 3);
		struct peer_tcp_config config = guest_default;
		struct world_conn x;

		config.app.no_fin = true;
		world_open(w, 0, config, (struct fake_plan){.app = {.no_fin = true}}, 1000, 1000, &x);
		world_pass(w, 1000);
		world_find(&x);
		struct fake_conn *old = x.host;
		struct world_conn y =
			again(w, &x, guest_default, peer_seq(x.guest, x.guest->max) + distance[i]);
		sim_check(&w->sim, world_run(w, is_new, &y, MINUTE_MS), "%s after a minute",
			peer_state_name(y.guest->state));
		sim_check(&w->sim, old->app.error == ECONNRESET, "the old connection was not reset");
		world_expect_idle(w);
		world_free(w);
	}
}

/* Connections that the guest has forgotten, found by what the host still sends. */
static void test_guest_forgot(void **state)
{
	struct world *w = make(20, "guest forgot", 3);
	struct peer_tcp_config config = guest_default;
	struct world_conn x;

	config.app.no_fin = true;
	world_open(w, 0, config, (struct fake_plan){.app = {.send = {.stop_at = 500, .resume_ms = 10000}}},
		1000, 100000, &x);
	world_pass(w, 1000);
	world_find(&x);
	peer_forget(&w->guests[0].peer, x.guest);
	world_pass(w, 12000);
	sim_check(&w->sim, x.host->app.error == ECONNRESET, "the host was not told");
	world_expect_idle(w);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_simultaneous_close),
		cmocka_unit_test(test_lost_ends),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_reset_after_fin),
		cmocka_unit_test(test_syn_in_linger),
		cmocka_unit_test(test_guest_restarted),
		cmocka_unit_test(test_guest_forgot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
