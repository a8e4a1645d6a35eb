/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections that fail, are reset, or are attacked: each outcome of connect(), a RST in every state from
 * either side, handshakes of which segments are lost, and segments of somebody who guesses. */
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

static bool is_refused(void *ctx)
{
	struct world_conn *x = ctx;

	return x->guest->state == PEER_CLOSED;
}

static void test_outcomes(void **state)
{
	static const struct {
		enum fake_outcome outcome;
		uint32_t ms;
		int error, icmp_code; /* -1: a RST */
	} cases[] = {
		{FAKE_REFUSED, 0, ECONNREFUSED, -1},
		{FAKE_REFUSED, 50, ECONNREFUSED, -1},
		{FAKE_UNREACHABLE, 3000, EHOSTUNREACH, 1},
		{FAKE_TIMED_OUT, 120000, EHOSTUNREACH, 1},
		{FAKE_NO_ROUTE, 0, EHOSTUNREACH, 0},
		{FAKE_NO_PORT, 0, EHOSTUNREACH, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world *w = make(100 + i, "outcomes", 1);
		struct world_conn x;

		world_open(w, 0, guest_default,
			(struct fake_plan){.outcome = cases[i].outcome, .connect_ms = cases[i].ms}, 100, 100,
			&x);
		sim_check(&w->sim, world_run(w, is_refused, &x, 5 * MINUTE_MS), "%s",
			peer_state_name(x.guest->state));
		sim_check(&w->sim,
			x.guest->app.error == cases[i].error && x.guest->icmp_code == cases[i].icmp_code,
			"case %zu: error %d, code %d", i, x.guest->app.error, x.guest->icmp_code);
		sim_check(&w->sim, w->sim.now_ms - SIM_START_MS - 1000 < cases[i].ms + 100, "late");
		world_expect_idle(w);
		world_free(w);
	}
}

/* The host has no descriptor left: the guest hears of it, and later connections work again. */
static void test_no_descriptors(void **state)
{
	struct world *w = make(110, "no descriptors", 1);
	struct world_conn x[60], y;

	w->host->fail_open = -EMFILE;
	/* The gateway has some sockets ahead. */
	for (size_t i = 0; i < ARRAY_SIZE(x); i++)
		world_open(w, 0, guest_default, (struct fake_plan){}, 100, 100, &x[i]);
	world_pass(w, 100);
	sim_check(&w->sim, x[59].guest->app.error, "the last was not refused: %s",
		peer_state_name(x[59].guest->state));
	sim_check(&w->sim, !x[0].guest->app.error, "the first was refused");
	w->host->fail_open = 0;
	world_open(w, 0, guest_default, (struct fake_plan){}, 100, 100, &y);
	world_finish(&y, MINUTE_MS);
	world_expect_idle(w);
	world_free(w);
}

/* A RST at any time in the life of a connection, from either side: both ends learn of it, or had ended. */
static bool is_over(void *ctx)
{
	struct world_conn *x = ctx;

	world_find(x);
	return x->guest->state == PEER_CLOSED || x->guest->state == PEER_TIME_WAIT;
}

static void reset_at(bool guest, uint32_t at_ms, bool tso)
{
	struct line_config line = {.delay_ms = 7};
	struct world *w = world_new(&(struct world_config){.seed = 200 + at_ms,
		.what = guest ? "guest resets" : "host resets",
		.tso = tso,
		.to_guest = line,
		.from_guest = line});
	struct peer_tcp_config config = guest_default;
	struct fake_plan plan = {
		.delay_ms = 5, .connect_ms = 10, .sndbuf_bytes = 30000, .rcvbuf_bytes = 30000};
	struct world_conn x;

	if (guest)
		config.app.rst_at_ms = at_ms;
	else
		plan.app.rst_at_ms = at_ms;
	world_open(w, 0, config, plan, 100000, 200000, &x);
	sim_check(&w->sim, world_run(w, is_over, &x, 5 * MINUTE_MS), "%s", peer_state_name(x.guest->state));
	world_pass(w, 5000);
	const struct app *g = &x.guest->app, *h = &x.host->app;
	bool finished =
		g->fin_received && h->fin_received && g->n_received == x.n_down && h->n_received == x.n_up;

	sim_check(&w->sim, finished || ((g->error || g->reset_sent) && (h->error || h->reset_sent)),
		"at %u ms: guest error %d reset %d, host error %d reset %d", at_ms, g->error, g->reset_sent,
		h->error, h->reset_sent);
	world_expect_idle(w);
	world_free(w);
}

static void test_reset_any_time(void **state)
{
	for (uint32_t at_ms = 1; at_ms < 400; at_ms += 3)
		for (unsigned int bits = 0; bits < 4; bits++)
			reset_at(bits & 1, at_ms, bits & 2);
}

/* What the host sent before its RST is in its socket, and arrives first. */
static void test_data_before_reset(void **state)
{
	for (unsigned int bits = 0; bits < 4; bits++) {
		struct world *w = world_new(&(struct world_config){
			.seed = 300 + bits, .what = "data before RST", .no_peek_off = bits & 1});
		struct peer_tcp_config config = guest_default;
		struct world_conn x;

		config.app.no_fin = true;
		config.app.recv.rate = bits & 2 ? 100 : 0;
		world_open(w, 0, config, (struct fake_plan){.delay_ms = 5, .app = {.rst_after_sent = true}},
			1000, 150000, &x);
		world_expect_reset(&x, MINUTE_MS);
		sim_check(&w->sim, x.guest->app.error == ECONNRESET, "error %d", x.guest->app.error);
		sim_check(&w->sim, x.guest->app.n_received + x.guest->n_unread == 150000, "received %llu",
			(unsigned long long)(x.guest->app.n_received + x.guest->n_unread));
		world_expect_idle(w);
		world_free(w);
	}
}

static void raw(struct world_conn *x, uint8_t flags, uint32_t seq, uint32_t ack)
{
	peer_send_raw(x->guest, &(struct peer_raw){.flags = flags, .seq = seq, .ack = ack, .window = 1000});
}

/* A guest that gives up before the host has answered. */
static void test_reset_while_connecting(void **state)
{
	struct world *w = make(310, "RST while connecting", 1);
	struct world_conn x;

	world_open(w, 0, guest_default, (struct fake_plan){.connect_ms = 10000}, 100, 100, &x);
	world_pass(w, 100);
	world_find(&x);
	/* A guess beside the SYN's number is nothing. */
	raw(&x, TCP_RST, peer_seq(x.guest, 1000), 0);
	world_pass(w, 10);
	sim_check(&w->sim, x.host->state == FAKE_CONNECTING && !x.host->orphan, "ended by a guess");
	raw(&x, TCP_RST, peer_seq(x.guest, 1), 0);
	world_pass(w, 10);
	sim_check(&w->sim, x.host->orphan, "the host's end goes on");
	world_free(w);
}

/* The same when the SYN-ACK is on its way. */
static void test_reset_in_syn_received(void **state)
{
	struct world *w = make(311, "RST in SYN-RECEIVED", 100);
	struct world_conn x;

	world_open(w, 0, guest_default, (struct fake_plan){.app = {.no_fin = true}}, 100, 100, &x);
	world_pass(w, 50);
	raw(&x, TCP_RST, peer_seq(x.guest, 1), 0);
	peer_forget(&w->guests[0].peer, x.guest);
	x.guest = NULL;
	world_pass(w, 1000);
	world_find(&x);
	sim_check(&w->sim, x.host->app.error == ECONNRESET, "the host was not told");
	world_expect_idle(w);
	world_free(w);
}

/* n segments of the handshake are lost, either way. */
static void lose_handshake(bool to_guest, uint8_t mask, uint8_t flags, unsigned int n, bool inbound)
{
	static struct loser loser;
	struct line_config line = {.delay_ms = 2}, bad = {.delay_ms = 2, .lost = loser_lost, .ctx = &loser};
	char what[100];
	struct world_conn x;

	(void)snprintf(what, sizeof(what), "%u of %x/%x to %s lost%s", n, flags, mask,
		to_guest ? "guest" : "gateway", inbound ? ", inbound" : "");
	loser = (struct loser){.mask = mask, .flags = flags, .first = 1, .last = n};
	struct world *w = world_new(&(struct world_config){.seed = 320 + n,
		.what = what,
		.to_guest = to_guest ? bad : line,
		.from_guest = to_guest ? line : bad});

	if (inbound)
		world_dial(w, 0, guest_default, (struct fake_plan){}, 1000, 1000, &x);
	else
		world_open(w, 0, guest_default, (struct fake_plan){}, 1000, 1000, &x);
	world_finish(&x, 5 * MINUTE_MS);
	sim_check(&w->sim, loser.n_lost == n, "%u were lost", loser.n_lost);
	world_expect_idle(w);
	world_free(w);
}

static void test_lost_handshake(void **state)
{
	uint8_t mask = TCP_SYN | TCP_ACK | TCP_RST;

	for (unsigned int n = 1; n <= 4; n++) {
		lose_handshake(false, mask, TCP_SYN, n, false);
		lose_handshake(true, mask, TCP_SYN | TCP_ACK, n, false);
		lose_handshake(false, TCP_SYN | TCP_RST, 0, n, false);
		lose_handshake(true, mask, TCP_SYN, n, true);
		lose_handshake(false, mask, TCP_SYN | TCP_ACK, n, true);
		lose_handshake(true, TCP_SYN | TCP_RST, 0, n, true);
	}
}

/* A guest that is there and never completes the handshake: it is given three minutes (RFC 9293, MUST-23);
 * one that never acknowledges data, 100 seconds (SHLD-11). */
static void unanswered(uint8_t mask, uint8_t flags, unsigned int from, uint32_t least_ms)
{
	static struct loser loser;
	struct world *w = world_new(&(struct world_config){
		.seed = 334, .what = "unanswered", .from_guest = {.lost = loser_lost, .ctx = &loser}});
	struct world_conn x;
	uint64_t start_ms = w->sim.now_ms;

	loser = (struct loser){.mask = mask, .flags = flags, .first = from, .last = UINT32_MAX};
	world_open(w, 0, guest_default, (struct fake_plan){.app = {.send = {.rate = 1}}}, 0, 100000, &x);
	while (!x.guest->seen.n_rst && w->sim.now_ms - start_ms < 30 * MINUTE_MS) {
		peer_arp(&w->guests[0].peer);
		world_pass(w, 2000);
	}
	sim_check(&w->sim, x.guest->seen.n_rst, "never given up");
	sim_check(&w->sim, w->sim.now_ms - start_ms >= least_ms && w->sim.now_ms - start_ms < 10 * MINUTE_MS,
		"given up after %llu ms", (unsigned long long)(w->sim.now_ms - start_ms));
	world_find(&x);
	sim_check(&w->sim, x.host->app.error == ECONNRESET, "the host was not told");
	world_expect_idle(w);
	world_free(w);
}

static void test_unanswered(void **state)
{
	unanswered(TCP_SYN, 0, 1, 180000);
	unanswered(TCP_SYN, 0, 20, 100000);
}

/* Both ends open at once: one connection (RFC 9293, 3.5, figure 8). */
static void test_simultaneous_open(void **state)
{
	for (unsigned int lost = 0; lost < 4; lost++) {
		static struct loser loser;
		struct line_config line = {.delay_ms = 50},
				   bad = {.delay_ms = 50, .lost = loser_lost, .ctx = &loser};
		struct world_conn x;

		loser = (struct loser){.mask = TCP_SYN | TCP_ACK | TCP_RST,
			.flags = TCP_SYN | TCP_ACK,
			.first = 1,
			.last = lost};
		struct world *w = world_new(&(struct world_config){.seed = 335 + lost,
			.what = "simultaneous open",
			.to_guest = line,
			.from_guest = bad});

		world_dial(w, 0, guest_default, (struct fake_plan){}, 10000, 10000, &x);
		struct peer *p = &w->guests[0].peer;
		struct peer_tcp_config config = p->listener;

		p->listening = false;
		world_pass(w, 10);
		config.local_port = x.port;
		config.remote_be = htonl(WORLD_SERVER);
		config.remote_port = (uint16_t)(50000 + x.port);
		(void)peer_connect(p, &config);
		world_finish(&x, MINUTE_MS);
		sim_check(&w->sim, w->host->conns && !w->host->conns->next, "more than one connection");
		world_expect_idle(w);
		world_free(w);
	}
}

/* A SYN that comes twice while the host is asked is one connection. */
static void test_syn_repeated(void **state)
{
	struct world *w = make(330, "SYN repeated", 1);
	struct world_conn x;

	world_open(w, 0, guest_default, (struct fake_plan){.connect_ms = 20000}, 1000, 1000, &x);
	world_finish(&x, 5 * MINUTE_MS);
	unsigned int n = 0;
	for (struct fake_conn *c = w->host->conns; c; c = c->next)
		n++;
	assert_int_equal(n, 1);
	world_free(w);
}

/* Segments that somebody else might have sent: each is refused or challenged, none does harm (RFC 5961). */
struct blind {
	const char *what;
	uint8_t flags;
	int64_t seq, ack; /* from the next one expected; of the window's edge where edge is set */
	bool edge;
	unsigned int n_answers;
};

static const struct blind blinds[] = {
	{"RST inside the window", TCP_RST, 1, 0, false, 1},
	{"RST and ACK inside the window", TCP_RST | TCP_ACK, 1000, 0, false, 1},
	{"RST at the end of the window", TCP_RST, -1, 0, true, 1},
	{"RST beyond the window", TCP_RST, 10, 0, true, 0},
	{"RST of the past", TCP_RST, -1, 0, false, 0},
	{"SYN inside the window", TCP_SYN, 100, 0, false, 1},
	{"SYN at the next number", TCP_SYN, 0, 0, false, 1},
	{"SYN beyond the window", TCP_SYN, 1000, 0, true, 1},
	{"SYN of the past", TCP_SYN, -100000, 0, false, 1},
	{"SYN and ACK", TCP_SYN | TCP_ACK, 0, 0, false, 1},
	{"ACK of the future", TCP_ACK, 0, 100000, false, 1},
	{"ACK of the next byte", TCP_ACK, 0, 1, false, 1},
	{"ACK of long ago", TCP_ACK, 0, -0x40000000, false, 1},
	{"FIN beyond a gap", TCP_FIN | TCP_ACK, 500, 0, false, 1},
	{"no flags", 0, 0, 0, false, 0},
	{"FIN without ACK", TCP_FIN, 0, 0, false, 0},
	{"keep-alive", TCP_ACK, -1, 0, false, 1},
};

static void test_blind(void **state)
{
	struct world *w = make(340, "blind", 0);
	struct peer_tcp_config config = guest_default;
	struct fake_plan plan = {.app = {.send = {.stop_at = 5000, .resume_ms = 100000}}};
	struct world_conn x;

	config.app.send = (struct app_pace){.stop_at = 5000, .resume_ms = 100000};
	world_open(w, 0, config, plan, 10000, 10000, &x);
	world_pass(w, 1000);
	for (size_t i = 0; i < ARRAY_SIZE(blinds); i++) {
		const struct blind *b = &blinds[i];
		uint64_t before = x.guest->seen.n_segments;
		uint64_t from = b->edge ? x.guest->seen.edge : x.guest->max;

		(void)snprintf(w->sim.what, sizeof(w->sim.what), "blind: %s", b->what);
		raw(&x, b->flags, peer_seq(x.guest, from) + (uint32_t)b->seq,
			peer_ack(x.guest, x.guest->rcv_nxt) + (uint32_t)b->ack);
		world_pass(w, 100);
		sim_check(&w->sim, x.guest->seen.n_segments - before == b->n_answers, "%llu answers",
			(unsigned long long)(x.guest->seen.n_segments - before));
		sim_check(&w->sim, x.guest->seen.n_rst == 0, "a RST");
	}
	world_finish(&x, 5 * MINUTE_MS);
	world_expect_idle(w);
	world_free(w);
}

/* Old duplicates, overlaps with other bytes in them, garbage behind an ACK that is not acceptable: what
 * was taken stays as it was. The host's side checks each byte. */
static void test_old_data(void **state)
{
	struct world *w = make(350, "old data", 0);
	struct peer_tcp_config config = guest_default;
	uint8_t garbage[1460], part[1460];
	struct world_conn x;

	memset(garbage, 0xdb, sizeof(garbage));
	config.app.send = (struct app_pace){.stop_at = 5000, .resume_ms = 100000};
	world_open(w, 0, config, (struct fake_plan){.app = {.no_fin = true, .send = {.stop_at = 1}}}, 10000,
		10, &x);
	world_pass(w, 1000);
	struct peer_conn *c = x.guest;
	uint32_t next = peer_seq(c, c->max), ack = peer_ack(c, c->rcv_nxt);
	struct peer_raw r = {.flags = TCP_ACK, .ack = ack, .window = 1000, .data = garbage};

	for (uint32_t back = 1; back < 5000; back = back * 2 + 17) {
		r.seq = next - back;
		r.n_bytes = MIN(back, (uint32_t)sizeof(garbage));
		peer_send_raw(c, &r);
	}
	/* From the past into the future: only what lies ahead is new. The connection is told of it, so that
	 * it knows the acknowledgement. */
	c->end = c->nxt = c->max = c->max + 400;
	app_sent(&c->app, 400, w->sim.now_ms);
	for (uint32_t back = 0; back < 1000; back += 100) {
		memset(part, 0xdb, sizeof(part));
		stream_fill(c->c.app.send_seed, 5000 + back / 100 * 40, part + back, 40);
		r = (struct peer_raw){.flags = TCP_ACK,
			.ack = ack,
			.window = 1000,
			.data = part,
			.n_bytes = back + 40,
			.seq = next + back / 100 * 40 - back};
		peer_send_raw(c, &r);
	}
	world_pass(w, 100);
	world_find(&x);
	sim_check(&w->sim, x.host->app.n_received == 5400, "the host has %llu",
		(unsigned long long)x.host->app.n_received);
	/* Garbage with an acknowledgement of what was never sent, or without any. */
	r = (struct peer_raw){.flags = TCP_ACK,
		.ack = ack + 1000,
		.window = 1000,
		.data = garbage,
		.n_bytes = 100,
		.seq = next + 400};
	peer_send_raw(c, &r);
	r.flags = 0;
	peer_send_raw(c, &r);
	r.flags = TCP_SYN | TCP_ACK;
	r.ack = ack;
	peer_send_raw(c, &r);
	/* ... with a checksum that is wrong, ... */
	r.flags = TCP_ACK;
	r.csum_error = 1;
	peer_send_raw(c, &r);
	r.csum_error = 0;
	/* ... and a gap before it. */
	r.flags = TCP_ACK;
	r.seq = next + 401;
	peer_send_raw(c, &r);
	world_pass(w, 100);
	sim_check(&w->sim, x.host->app.n_received == 5400, "the host has %llu",
		(unsigned long long)x.host->app.n_received);
	world_free(w);
}

/* A guest that sends more than the window, and a FIN behind it: what fits is taken, the FIN is not. */
static void test_beyond_window(void **state)
{
	for (uint64_t beyond = 1; beyond < 3000; beyond += 700) {
		struct world *w = make(355 + beyond, "beyond the window", 0);
		struct peer_tcp_config config = guest_default;
		struct fake_plan plan = {.sndbuf_bytes = 40000};
		struct world_conn x;

		config.app.send = (struct app_pace){.stop_at = 1, .resume_ms = 1000};
		world_open(w, 0, config, plan, 100000, 0, &x);
		world_pass(w, 500);
		struct peer_conn *c = x.guest;
		uint64_t position = c->max, fits = c->seen.edge - c->max;
		size_t n = (size_t)(fits + beyond);
		uint8_t *data = malloc(n);

		assert_non_null(data);
		assert_in_range(n, 2, 60000);
		stream_fill(c->c.app.send_seed, position - 1, data, n);
		c->end = c->nxt = c->max = position + fits;
		app_sent(&c->app, fits, w->sim.now_ms);
		peer_send_raw(c, &(struct peer_raw){.flags = TCP_ACK | TCP_FIN,
					 .seq = peer_seq(c, position),
					 .ack = peer_ack(c, c->rcv_nxt),
					 .window = 1000,
					 .data = data,
					 .n_bytes = n});
		free(data);
		world_pass(w, 10);
		world_find(&x);
		sim_check(&w->sim, x.host->app.n_received == fits + 1 && !x.host->app.fin_received,
			"the host has %llu of %llu, FIN %d", (unsigned long long)x.host->app.n_received,
			(unsigned long long)fits + 1, x.host->app.fin_received);
		world_finish(&x, MINUTE_MS);
		world_free(w);
	}
}

/* To a port where nobody listens, in every way that RFC 9293, 3.10.7.1 knows. */
static void test_no_connection(void **state)
{
	struct world *w = make(360, "no connection", 0);
	struct peer_tcp_config config = guest_default;
	struct world_conn x;

	config.app.no_fin = true;
	world_open(w, 0, config, (struct fake_plan){.outcome = FAKE_REFUSED}, 0, 0, &x);
	world_pass(w, 100);
	static const uint8_t flags[] = {
		TCP_ACK, TCP_FIN | TCP_ACK, TCP_SYN | TCP_ACK, TCP_FIN, 0, TCP_RST, TCP_RST | TCP_ACK};
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		uint64_t before = w->guests[0].mem->n.tx_frames;

		raw(&x, flags[i], 12345, 67890);
		world_pass(w, 10);
		sim_check(&w->sim, w->guests[0].mem->n.tx_frames - before == (flags[i] & TCP_RST ? 0 : 1),
			"flags %x: %llu answers", flags[i],
			(unsigned long long)(w->guests[0].mem->n.tx_frames - before));
	}
	world_expect_idle(w);
	world_free(w);
}

static const uint8_t options_odd[] = {
	1, 2, 4, 0x03, 0xe8, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 2, 253, 5, 9, 9, 9, 0, 0};
static const uint8_t options_zero[] = {2, 4, 0x03, 0xe8, 30, 0, 3, 3, 3, 3, 3, 3};
static const uint8_t options_long[] = {2, 4, 0x03, 0xe8, 8, 40, 1, 1};
static const uint8_t options_short[] = {2, 4, 0x03, 0xe8, 30, 1, 1, 1};
static const uint8_t options_mss[] = {2, 3, 1, 1, 2, 4, 0x03, 0xe8};

/* RFC 9293, MUST-5, -6, -7, -64: options that are unknown, not aligned, malformed, or in any segment. A
 * thousand is the MSS before the harm is done. */
static void test_options(void **state)
{
	static const struct {
		const uint8_t *p;
		size_t n;
	} sets[] = {
		{options_odd, sizeof(options_odd)},
		{options_zero, sizeof(options_zero)},
		{options_long, sizeof(options_long)},
		{options_short, sizeof(options_short)},
		{options_mss, sizeof(options_mss)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		static struct loser loser;
		struct world *w = world_new(&(struct world_config){.seed = 365 + i,
			.what = "options",
			.from_guest = {.lost = loser_lost, .ctx = &loser}});
		struct peer_tcp_config config = guest_default;
		struct world_conn x;

		/* The SYN that the peer makes is lost, and this one goes in its place. */
		config.no_wscale = true;
		config.mss = 1000;
		loser = (struct loser){.mask = TCP_SYN, .flags = TCP_SYN, .first = 1, .last = 1};
		config.app.send = (struct app_pace){.stop_at = 100, .resume_ms = 500};
		world_open(w, 0, config, (struct fake_plan){}, 5000, 5000, &x);
		world_pass(w, 10);
		struct peer_raw r = {.flags = TCP_SYN,
			.seq = x.guest->c.iss,
			.window = 1000,
			.options = sets[i].p,
			.n_options = sets[i].n};
		x.guest->c.no_wscale = i != 0; /* the first offers one */
		x.guest->c.wscale = 2;
		peer_send_raw(x.guest, &r);
		world_pass(w, 100);
		sim_check(&w->sim, x.guest->state >= PEER_ESTABLISHED, "%s", peer_state_name(x.guest->state));
		/* The same in a segment with data. */
		uint8_t data[10];
		stream_fill(x.guest->c.app.send_seed, 100, data, sizeof(data));
		r = (struct peer_raw){.flags = TCP_ACK,
			.seq = peer_seq(x.guest, 101),
			.ack = peer_ack(x.guest, x.guest->rcv_nxt),
			.window = 1000,
			.data = data,
			.n_bytes = sizeof(data),
			.options = sets[i].p,
			.n_options = sets[i].n};
		x.guest->end = x.guest->nxt = x.guest->max = 111;
		app_sent(&x.guest->app, 10, w->sim.now_ms);
		peer_send_raw(x.guest, &r);
		world_pass(w, 10);
		world_find(&x);
		sim_check(&w->sim, x.host->app.n_received == 110, "the host has %llu",
			(unsigned long long)x.host->app.n_received);
		world_finish(&x, MINUTE_MS);
		world_free(w);
	}
}

/* RFC 9293, MUST-46, -57, -63: addresses that are nobody's. */
static void test_addresses(void **state)
{
	static const uint32_t nobody[] = {
		0x7f000001, 0x00000001, 0xe0000001, 0xffffffff, 0x0a0002ff, 0xf0000001, 0x0a000200};

	for (size_t i = 0; i < ARRAY_SIZE(nobody); i++) {
		struct world *w = make(375 + i, "addresses", 0);
		struct peer_tcp_config config = guest_default;
		struct world_conn x;
		uint64_t before = w->guests[0].mem->n.tx_frames;

		config.remote_be = htonl(nobody[i]);
		config.n_retries = 1;
		world_open(w, 0, config, (struct fake_plan){}, 10, 10, &x);
		world_pass(w, MINUTE_MS);
		sim_check(&w->sim, !w->host->conns, "%x: a connection", nobody[i]);
		sim_check(&w->sim, w->guests[0].mem->n.tx_frames == before, "%x: an answer", nobody[i]);
		world_free(w);
	}
	/* And as a source. */
	for (size_t i = 0; i < ARRAY_SIZE(nobody); i++) {
		struct world *w = make(385 + i, "sources", 0);
		struct world_conn x;
		uint64_t before = w->guests[0].mem->n.tx_frames;

		w->guests[0].peer.c.ip_be = htonl(nobody[i]);
		world_open(w, 0, guest_default, (struct fake_plan){}, 10, 10, &x);
		world_pass(w, 100);
		sim_check(&w->sim, !w->host->conns, "from %x: a connection", nobody[i]);
		sim_check(&w->sim, w->guests[0].mem->n.tx_frames == before, "from %x: an answer", nobody[i]);
		world_free(w);
	}
}

/* RFC 9293, MUST-66: a closed window does not keep a RST out. */
static void test_reset_at_zero_window(void **state)
{
	struct world *w = make(395, "RST at a zero window", 0);
	struct fake_plan plan = {.sndbuf_bytes = 20000,
		.far_rcvbuf_bytes = 20000,
		.app = {.recv = {.stop_at = 1}, .no_fin = true}};
	struct world_conn x;

	world_open(w, 0, guest_default, plan, 1000000, 0, &x);
	world_pass(w, 10000);
	world_find(&x);
	sim_check(&w->sim, x.guest->n_persist, "the window did not close");
	raw(&x, TCP_RST, x.guest->c.iss + (uint32_t)x.guest->seen.acked, 0);
	peer_forget(&w->guests[0].peer, x.guest);
	world_pass(w, 10);
	sim_check(&w->sim, x.host->app.error == ECONNRESET, "the host was not told");
	world_free(w);
}

/* Inbound, to a guest that refuses, or that nobody has ever heard. */
static void test_inbound_refused(void **state)
{
	struct world *w = make(370, "inbound refused", 1);
	struct world_conn x;

	world_dial(w, 0, guest_default, (struct fake_plan){}, 0, 1000, &x);
	w->guests[0].peer.listening = false;
	world_pass(w, 1000);
	sim_check(&w->sim, x.host->app.error == ECONNRESET, "refused: error %d", x.host->app.error);
	world_dial(w, 7, guest_default, (struct fake_plan){.app = {.no_fin = true}}, 0, 1000, &x);
	world_pass(w, 5 * MINUTE_MS);
	sim_check(&w->sim, x.host->app.error == ECONNRESET || x.host->app.fin_received, "nobody: still open");
	world_expect_idle(w);
	world_free(w);
}

/* A client that goes away before the guest has answered. */
static void test_inbound_gone(void **state)
{
	for (unsigned int how = 0; how < 2; how++) {
		struct world *w = make(380, "inbound gone", 50);
		struct fake_plan plan = {.app = {.rst_at_ms = how ? 20 : 0}};
		struct world_conn x;

		world_dial(w, 0, guest_default, plan, 500, how ? 500 : 0, &x);
		if (how)
			world_expect_reset(&x, MINUTE_MS);
		else
			world_finish(&x, MINUTE_MS);
		world_expect_idle(w);
		world_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_reset_any_time),
		cmocka_unit_test(test_data_before_reset),
		cmocka_unit_test(test_reset_while_connecting),
		cmocka_unit_test(test_reset_in_syn_received),
		cmocka_unit_test(test_lost_handshake),
		cmocka_unit_test(test_unanswered),
		cmocka_unit_test(test_simultaneous_open),
		cmocka_unit_test(test_syn_repeated),
		cmocka_unit_test(test_blind),
		cmocka_unit_test(test_old_data),
		cmocka_unit_test(test_beyond_window),
		cmocka_unit_test(test_no_connection),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_reset_at_zero_window),
		cmocka_unit_test(test_inbound_refused),
		cmocka_unit_test(test_inbound_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
