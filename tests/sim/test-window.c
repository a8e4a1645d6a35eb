/* SPDX-License-Identifier: BSD-2-Clause */
/* Ends that stop reading, windows that close and open, guests that stand still: nothing is lost, nothing
 * grows, nobody else waits, and the gateway does next to nothing meanwhile. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define MINUTE_MS 60000u
#define HOUR_MS   (60 * MINUTE_MS)

static const struct peer_tcp_config guest_default = {.rcvbuf_bytes = 100000, .wscale = 4, .delack_ms = 40};

static struct world *make(uint64_t seed, const char *what, bool no_peek_off, bool tso)
{
	struct line_config line = {.delay_ms = 2};

	return world_new(&(struct world_config){.seed = seed,
		.what = what,
		.no_peek_off = no_peek_off,
		.tso = tso,
		.to_guest = line,
		.from_guest = line});
}

/* What the gateway does in ten minutes in which nothing can move. */
static void check_quiet(struct world *w, unsigned int n_conns)
{
	uint64_t n_calls = w->host->n_calls, n_events = w->host->n_events, n_steps = w->n_steps;
	uint64_t n_frames = w->guests[0].mem->n.tx_frames;

	world_pass(w, 10 * MINUTE_MS);
	n_frames = w->guests[0].mem->n.tx_frames - n_frames;
	sim_check(&w->sim, w->host->n_calls - n_calls < 400 * n_conns, "%llu calls",
		(unsigned long long)(w->host->n_calls - n_calls));
	sim_check(&w->sim, w->host->n_events - n_events < 20 * n_conns, "%llu events",
		(unsigned long long)(w->host->n_events - n_events));
	sim_check(&w->sim, n_frames < 100 * n_conns, "%llu frames", (unsigned long long)n_frames);
	sim_check(&w->sim, w->n_steps - n_steps < 2000 * n_conns, "%llu steps",
		(unsigned long long)(w->n_steps - n_steps));
}

/* The guest reads nothing of one connection: the host's sender is held back by its own window, another
 * connection is served as if nothing was, and after ten minutes it all goes on. */
static void guest_stops(bool no_peek_off, bool tso)
{
	struct world *w = make(400, "the guest stops reading", no_peek_off, tso);
	struct peer_tcp_config config = guest_default;
	struct world_conn x, y;

	config.app.recv = (struct app_pace){.stop_at = 50000, .resume_ms = 11 * MINUTE_MS};
	world_open(w, 0, config, (struct fake_plan){}, 1000, 3000000, &x);
	world_pass(w, 10000);
	sim_check(&w->sim, x.guest->app.n_received == 50000, "received %llu",
		(unsigned long long)x.guest->app.n_received);
	sim_check(&w->sim, x.guest->n_unread <= 100000 + 2048, "%llu unread",
		(unsigned long long)x.guest->n_unread);
	world_open(w, 0, guest_default, (struct fake_plan){}, 1000000, 1000000, &y);
	uint64_t start_ms = w->sim.now_ms;
	world_finish(&y, MINUTE_MS);
	sim_check(&w->sim, w->sim.now_ms - start_ms < 2000, "the other took %llu ms",
		(unsigned long long)(w->sim.now_ms - start_ms));
	check_quiet(w, 1);
	/* In the host's kernel, the rest with the sender. */
	sim_check(&w->sim, w->max_held_bytes <= 4 * 262144, "%llu bytes held",
		(unsigned long long)w->max_held_bytes);
	world_finish(&x, 10 * MINUTE_MS);
	world_expect_idle(w);
	world_free(w);
}

static void test_guest_stops(void **state)
{
	for (unsigned int bits = 0; bits < 4; bits++)
		guest_stops(bits & 1, bits & 2);
}

/* The host reads nothing: the guest's window closes, and it probes. */
static void host_stops(bool tso, uint32_t sndbuf)
{
	struct world *w = make(410, "the host stops reading", false, tso);
	struct fake_plan plan = {.sndbuf_bytes = sndbuf,
		.far_rcvbuf_bytes = 30000,
		.app = {.recv = {.stop_at = 5000, .resume_ms = 12 * MINUTE_MS}}};
	struct world_conn x, y;

	world_open(w, 0, guest_default, plan, 3000000, 1000, &x);
	world_pass(w, 10000);
	world_open(w, 0, guest_default, (struct fake_plan){}, 1000000, 1000000, &y);
	world_finish(&y, MINUTE_MS);
	check_quiet(w, 1);
	sim_check(&w->sim, w->max_held_bytes <= sndbuf + 4 * 262144, "%llu bytes held",
		(unsigned long long)w->max_held_bytes);
	world_find(&x);
	sim_check(&w->sim, x.guest->app.fin_received || x.guest->rcv_nxt > 1000,
		"the other direction stood still too");
	world_finish(&x, 20 * MINUTE_MS);
	/* The window says how much the socket takes: next to nothing was sent in vain. */
	sim_check(&w->sim, x.guest->n_out_again_bytes < 100000, "%llu bytes sent again",
		(unsigned long long)x.guest->n_out_again_bytes);
	world_expect_idle(w);
	world_free(w);
}

static void test_host_stops(void **state)
{
	for (unsigned int tso = 0; tso < 2; tso++) {
		host_stops(tso, 16384);
		host_stops(tso, 100000);
		host_stops(tso, 1000000);
	}
}

/* Both at once: neither end reads, each has much to send. */
static void test_both_stop(void **state)
{
	for (unsigned int bits = 0; bits < 8; bits++) {
		struct world *w = make(420 + bits, "both stop reading", bits & 1, bits & 2);
		struct app_pace slow = {.stop_at = 5000, .resume_ms = 12 * MINUTE_MS};
		struct peer_tcp_config config = guest_default;
		struct fake_plan plan = {
			.sndbuf_bytes = 30000, .far_rcvbuf_bytes = 30000, .app = {.recv = slow}};
		struct world_conn x;

		config.app.recv = slow;
		if (bits & 4) /* one side earlier */
			config.app.recv.resume_ms = 11 * MINUTE_MS;
		world_open(w, 0, config, plan, 1000000, 1000000, &x);
		world_pass(w, 10000);
		check_quiet(w, 1);
		world_finish(&x, 20 * MINUTE_MS);
		world_expect_idle(w);
		world_free(w);
	}
}

/* While the window from the guest is closed, and the guest has a byte outstanding that it probes with,
 * its acknowledgements for the other direction count. */
static void test_acks_at_zero_window(void **state)
{
	for (uint64_t i = 0; i < 10; i++) {
		struct world *w = make(430 + i, "ACKs at a zero window", false, false);
		struct fake_plan plan = {.sndbuf_bytes = 20000,
			.far_rcvbuf_bytes = 20000,
			.app = {.recv = {.stop_at = 1, .resume_ms = 12 * MINUTE_MS},
				.send = {.stop_at = 1, .resume_ms = 2 * MINUTE_MS}}};
		struct world_conn x;

		world_open(w, 0, guest_default, plan, 1000000, 500000, &x);
		world_pass(w, 3 * MINUTE_MS);
		world_find(&x);
		sim_check(&w->sim, x.host->app.n_received == 1 && x.guest->n_persist > 3,
			"the window did not close");
		sim_check(&w->sim, x.guest->app.n_received == 500000, "received %llu",
			(unsigned long long)x.guest->app.n_received);
		world_finish(&x, 30 * MINUTE_MS);
		world_free(w);
	}
}

/* The window update that opens a closed window is lost. */
static void test_lost_update(void **state)
{
	for (unsigned int to_guest = 0; to_guest < 2; to_guest++) {
		static struct loser loser;
		struct line_config line = {.delay_ms = 2},
				   bad = {.delay_ms = 2, .lost = loser_lost, .ctx = &loser};
		struct app_pace slow = {.stop_at = 5000, .resume_ms = 30000};
		struct peer_tcp_config config = guest_default;
		struct fake_plan plan = {.sndbuf_bytes = 30000, .far_rcvbuf_bytes = 30000};
		struct world_conn x;

		loser = (struct loser){.mask = TCP_SYN, .flags = 0, .first = UINT32_MAX};
		struct world *w = world_new(&(struct world_config){.seed = 440,
			.what = "lost window update",
			.to_guest = to_guest ? bad : line,
			.from_guest = to_guest ? line : bad});
		if (to_guest)
			plan.app.recv = slow;
		else
			config.app.recv = slow;
		world_open(w, 0, config, plan, to_guest ? 500000 : 0, to_guest ? 0 : 500000, &x);
		world_pass(w, 29500);
		loser.n_seen = 0;
		loser.first = 1;
		loser.last = 3;
		world_finish(&x, 10 * MINUTE_MS);
		sim_check(&w->sim, loser.n_lost == 3, "%u were lost", loser.n_lost);
		world_expect_idle(w);
		world_free(w);
	}
}

/* The window opens while what the guest has, and whose acknowledgement was lost, waits to be sent again in part: the
 * guest hears of it at once, and not by asking when its persist timer has gone. */
static void test_update_after_rewind(void **state)
{
	for (unsigned int no_peek_off = 0; no_peek_off < 2; no_peek_off++) {
		static struct loser loser;
		struct peer_tcp_config config = guest_default;
		struct fake_plan plan = {.sndbuf_bytes = 30000,
			.far_rcvbuf_bytes = 30000,
			.app = {.recv = {.stop_at = 5000, .resume_ms = 30500},
				.send = {.stop_at = 1, .resume_ms = 29900, .rate = 1400}}};
		struct world_conn x;

		loser = (struct loser){.mask = TCP_SYN, .flags = 0, .first = UINT32_MAX};
		struct world *w = world_new(&(struct world_config){.seed = 445,
			.what = "window update after a rewind",
			.no_peek_off = no_peek_off,
			.to_guest = {.delay_ms = 1},
			.from_guest = {.delay_ms = 1, .lost = loser_lost, .ctx = &loser}});
		config.rcvbuf_bytes = 10000;
		config.no_wscale = true;
		config.app.recv = (struct app_pace){.stop_at = 1, .resume_ms = 32000};
		world_open(w, 0, config, plan, 200000, 9801, &x);
		world_pass(w, 29500);
		loser.n_seen = 0;
		loser.first = 1;
		loser.last = UINT32_MAX;
		world_pass(w, 1500);
		world_find(&x);
		sim_check(&w->sim, x.guest->rcv_nxt == 9802 && x.guest->seen.n_again_bytes > 2000, "%llu, %llu again",
			(unsigned long long)x.guest->rcv_nxt, (unsigned long long)x.guest->seen.n_again_bytes);
		sim_check(&w->sim, x.guest->snd_wnd > 0, "the guest has not heard of the window");
		loser.first = UINT32_MAX;
		world_finish(&x, MINUTE_MS);
		world_free(w);
	}
}

/* A guest that stands still in the middle of everything: its frames are not taken, its clock stops. */
static void pause_guest(bool up, bool down, bool no_peek_off, unsigned int n_queue, uint64_t for_ms)
{
	struct world *w = world_new(&(struct world_config){.seed = 450 + n_queue,
		.what = "paused guest",
		.n_guests = 2,
		.no_peek_off = no_peek_off,
		.n_queue = n_queue,
		.to_guest = {.delay_ms = 2},
		.from_guest = {.delay_ms = 2}});
	struct fake_plan plan = {.app = {.send.rate = 1000, .recv.rate = 1000}};
	struct world_conn x, y, idle;
	struct peer_tcp_config config = guest_default;

	config.app.no_fin = true;
	world_open(w, 0, config, (struct fake_plan){.app = {.no_fin = true}}, 100, 100, &idle);
	world_open(w, 0, guest_default, plan, up ? 2000000 : 0, down ? 2000000 : 0, &x);
	world_pass(w, 700);
	w->guests[0].paused = true;
	uint64_t frames = w->guests[0].mem->n.tx_frames;
	uint64_t n_calls = w->host->n_calls;
	world_pass(w, for_ms);
	sim_check(&w->sim, w->host->n_calls - n_calls < 5000, "%llu calls",
		(unsigned long long)(w->host->n_calls - n_calls));
	sim_check(&w->sim, w->guests[0].mem->n.tx_frames - frames <= n_queue + 64, "%llu frames",
		(unsigned long long)(w->guests[0].mem->n.tx_frames - frames));
	sim_check(&w->sim, w->max_held_bytes < 2000000, "%llu bytes held",
		(unsigned long long)w->max_held_bytes);
	world_open(w, 1, guest_default, (struct fake_plan){}, 200000, 200000, &y);
	world_finish(&y, MINUTE_MS);
	w->guests[0].paused = false;
	uint64_t start_ms = w->sim.now_ms;
	world_finish(&x, 5 * MINUTE_MS);
	/* Two seconds of data each way, and what it takes to notice. */
	sim_check(&w->sim, w->sim.now_ms - start_ms < 15000, "it took %llu ms to go on",
		(unsigned long long)(w->sim.now_ms - start_ms));
	sim_check(&w->sim, idle.guest->state == PEER_ESTABLISHED && !idle.guest->app.error,
		"the idle one: %s", peer_state_name(idle.guest->state));
	world_free(w);
}

static void test_pause(void **state)
{
	static const unsigned int queue[] = {4, 64, 1024};

	for (size_t i = 0; i < ARRAY_SIZE(queue); i++)
		for (unsigned int bits = 0; bits < 8; bits++)
			pause_guest(bits & 1, bits & 2, bits & 4, queue[i], 10 * MINUTE_MS);
	pause_guest(true, true, false, 64, 10 * HOUR_MS);
}

/* A guest that is not heard for more than a day does not come back: its connections end, idle or busy, the other
 * way closed or not. */
static void test_gone(void **state)
{
	for (unsigned int i = 0; i < 8; i++) {
		struct world *w = make(470 + i, "gone", i & 4, false);
		struct peer_tcp_config config = guest_default;
		struct fake_plan plan = {.app = {.no_fin = true, .send.rate = 1000}};
		struct world_conn x;

		config.app.no_fin = true;
		if (i & 2)
			config.app.recv = (struct app_pace){.stop_at = 10, .resume_ms = 1000 * HOUR_MS};
		world_open(w, 0, config, plan, 100, i & 1 ? 2000000 : 100, &x);
		world_pass(w, 700);
		unsigned int n_open = w->host->n_open;
		w->guests[0].paused = true;
		world_pass(w, 20 * HOUR_MS);
		sim_check(&w->sim, w->host->n_open == n_open, "%u of %u are open", w->host->n_open, n_open);
		world_pass(w, 7 * HOUR_MS);
		sim_check(&w->sim, w->host->n_open < n_open, "%u of %u are open", w->host->n_open, n_open);
		world_expect_idle(w);
		world_free(w);
	}
}

/* A guest paused in its handshakes, in its ends. */
static void test_pause_any_time(void **state)
{
	for (uint64_t at_ms = 0; at_ms < 130; at_ms += 5)
		for (unsigned int inbound = 0; inbound < 2; inbound++) {
			struct world *w = world_new(&(struct world_config){.seed = 480 + at_ms,
				.what = "paused any time",
				.to_guest = {.delay_ms = 7},
				.from_guest = {.delay_ms = 7}});
			struct fake_plan plan = {.delay_ms = 5, .connect_ms = inbound ? 0 : 10};
			struct world_conn x;

			if (inbound)
				world_dial(w, 0, guest_default, plan, 50000, 50000, &x);
			else
				world_open(w, 0, guest_default, plan, 50000, 50000, &x);
			world_pass(w, at_ms);
			w->guests[0].paused = true;
			world_pass(w, 10 * MINUTE_MS);
			w->guests[0].paused = false;
			world_finish(&x, 5 * MINUTE_MS);
			world_expect_idle(w);
			world_free(w);
		}
}

/* An idle connection stays for days, with keep-alives that the guest answers. */
static void test_idle(void **state)
{
	struct world *w = make(500, "idle", false, false);
	struct app_pace late = {.stop_at = 10, .resume_ms = 50 * HOUR_MS};
	struct peer_tcp_config config = guest_default;
	struct world_conn x;

	config.app.send = late;
	world_open(w, 0, config, (struct fake_plan){.app = {.send = late}}, 10000, 10000, &x);
	world_pass(w, 49 * HOUR_MS);
	sim_check(&w->sim, x.guest->state == PEER_ESTABLISHED, "%s", peer_state_name(x.guest->state));
	sim_check(&w->sim, x.guest->seen.n_segments >= 20 && x.guest->seen.n_segments < 200, "%llu segments",
		(unsigned long long)x.guest->seen.n_segments);
	world_finish(&x, 2 * HOUR_MS);
	world_expect_idle(w);
	world_free(w);
}

/* RFC 9293, 3.8.6: a peer that takes its window back must be borne with. */
static void test_shrunk_window(void **state)
{
	for (uint64_t i = 0; i < 20; i++) {
		struct world *w = make(510 + i, "shrunk window", i & 1, i & 2);
		struct peer_tcp_config config = guest_default;
		struct world_conn x;

		world_open(w, 0, config, (struct fake_plan){.app = {.send.rate = 2000}}, 100, 1000000, &x);
		for (int n = 0; n < 10; n++) {
			world_pass(w, 20 + rng_below(&w->sim.rng, 20));
			if (x.guest->state < PEER_ESTABLISHED)
				continue;
			peer_send_raw(x.guest,
				&(struct peer_raw){.flags = TCP_ACK,
					.seq = peer_seq(x.guest, x.guest->max),
					.ack = peer_ack(x.guest, x.guest->rcv_nxt),
					.window = (uint16_t)rng_below(&w->sim.rng, n & 1 ? 2 : 100)});
		}
		world_finish(&x, 5 * MINUTE_MS);
		world_expect_idle(w);
		world_free(w);
	}
}

/* RFC 9293, 3.8.6.2.2: a host that reads in small pieces does not make for small segments. */
static void test_silly_window(void **state)
{
	static const uint32_t sndbuf[] = {16384, 46080, 200000};

	for (size_t i = 0; i < ARRAY_SIZE(sndbuf); i++) {
		struct world *w = make(530 + i, "silly window", false, false);
		struct fake_plan plan = {.sndbuf_bytes = sndbuf[i],
			.far_rcvbuf_bytes = 20000,
			.app = {.recv = {.pause_every = 100, .pause_ms = 1}}};
		struct world_conn x;

		struct peer_tcp_config config = guest_default;

		config.app.send = (struct app_pace){.pause_every = 200, .pause_ms = 1};
		world_open(w, 0, config, plan, 1000000, 1000, &x);
		world_finish(&x, 10 * MINUTE_MS);
		/* 100 bytes a millisecond: the reader never waits. */
		sim_check(&w->sim, w->sim.now_ms - SIM_START_MS < 12500, "it took %llu ms",
			(unsigned long long)(w->sim.now_ms - SIM_START_MS));
		sim_check(&w->sim, x.guest->seen.n_crumbs == 0, "%llu crumbs",
			(unsigned long long)x.guest->seen.n_crumbs);
		sim_check(&w->sim, x.guest->n_rto <= 2, "%llu timeouts", (unsigned long long)x.guest->n_rto);
		world_free(w);
	}
}

/* Many connections of one guest, half of which nobody reads. */
static void test_many(void **state)
{
	struct world *w = world_new(&(struct world_config){.seed = 540,
		.what = "many",
		.n_queue = 64,
		.tso = true,
		.to_guest = {.delay_ms = 1},
		.from_guest = {.delay_ms = 1}});
	struct world_conn x[60];

	for (unsigned int i = 0; i < ARRAY_SIZE(x); i++) {
		struct app_pace stop = {.stop_at = 1000, .resume_ms = 5 * MINUTE_MS};
		struct peer_tcp_config config = guest_default;
		struct fake_plan plan = {};

		if (i % 2)
			config.app.recv = stop;
		else if (i % 4)
			plan.app.recv = stop;
		world_open(w, 0, config, plan, 300000, 300000, &x[i]);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(x); i += 4) {
		world_finish(&x[i], 10000);
		sim_check(&w->sim, w->sim.now_ms - SIM_START_MS < 2 * MINUTE_MS, "slow");
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(x); i++)
		world_finish(&x[i], 10 * MINUTE_MS);
	world_expect_idle(w);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guest_stops),
		cmocka_unit_test(test_host_stops),
		cmocka_unit_test(test_both_stop),
		cmocka_unit_test(test_acks_at_zero_window),
		cmocka_unit_test(test_lost_update),
		cmocka_unit_test(test_update_after_rewind),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_pause_any_time),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_shrunk_window),
		cmocka_unit_test(test_silly_window),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
