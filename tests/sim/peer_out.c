/* SPDX-License-Identifier: BSD-2-Clause */
/* What the reference peer sends, and when it sends it again.
 *
 * nxt is where new output begins; a retransmission timeout moves it back to una, and what lies between is
 * cut anew, so that segments overlap those sent before. */
#include "peer_internal.h"

#define TSO_MAX_BYTES (65535 - 60)

static uint64_t now_of(const struct peer_conn *c)
{
	return c->peer->sim->now_ms;
}

/* The window field of a segment that leaves now. The right edge moves only by a worthwhile amount
 * (RFC 9293, 3.8.6.2.2), and never back. */
static uint16_t window_field(struct peer_conn *c, bool syn)
{
	uint64_t used = MIN(c->n_unread, (uint64_t)c->c.rcvbuf_bytes);
	uint64_t edge = c->rcv_nxt + c->c.rcvbuf_bytes - used;
	unsigned int scale = syn ? 0 : c->rcv_scale;
	uint64_t least = MIN(c->c.rcvbuf_bytes / 2, (uint32_t)c->c.mss);

	if (edge < c->rcv_edge + least)
		edge = MAX(c->rcv_edge, c->rcv_nxt);
	/* Rounded up: rounding down would move an edge back that was shown before. */
	uint64_t window = (edge - c->rcv_nxt + (1u << scale) - 1) >> scale;
	window = MIN(window, (uint64_t)UINT16_MAX);
	c->rcv_edge = MAX(c->rcv_edge, c->rcv_nxt + (window << scale));
	return (uint16_t)window;
}

static struct tcp header(struct peer_conn *c, uint64_t position, uint8_t flags)
{
	return (struct tcp){.src_port = c->c.local_port,
		.dst_port = c->c.remote_port,
		.seq = peer_seq(c, position),
		.ack = flags & TCP_ACK ? peer_ack(c, c->rcv_nxt) : 0,
		.flags = flags,
		.wscale = -1};
}

void peer_out_segment(struct peer_conn *c, uint64_t position, size_t n, uint8_t flags)
{
	struct tcp t = header(c, position, flags);
	uint64_t behind = position + n + (flags & TCP_FIN ? 1 : 0);
	bool tso = c->peer->c.tx_tso && n > c->mss;

	t.window = flags & TCP_RST ? 0 : window_field(c, false);
	if (c->c.urgent && n && rng_below(&c->peer->sim->rng, 4) == 0) {
		t.flags |= TCP_URG;
		t.urgent = (uint16_t)rng_below(&c->peer->sim->rng, 2000);
	}
	c->n_out_segments++;
	if (position < c->max && n)
		c->n_out_again_bytes += MIN(behind, c->max) - position;
	peer_send_tcp(c->peer, c->c.remote_be, &t, app_seed_of_sent(&c->app), peer_offset(position), n, NULL,
		tso ? (uint16_t)c->mss : 0);
	if (behind > c->max) {
		if (!c->rtt_at) {
			c->rtt_at = behind;
			c->rtt_start_ms = now_of(c);
		}
		c->max = behind;
	} else if (n && c->rtt_at > position) {
		c->rtt_at = 0; /* Karn: ambiguous */
	}
	if (flags & TCP_ACK) {
		c->ack_now = false;
		c->n_unacked = 0;
		c->delack_due_ms = 0;
	}
}

void peer_out_ack(struct peer_conn *c)
{
	peer_out_segment(c, c->max, 0, TCP_ACK);
}

void peer_out_syn(struct peer_conn *c)
{
	bool answer = c->state == PEER_SYN_RCVD;
	struct tcp t = header(c, 0, answer ? TCP_SYN | TCP_ACK : TCP_SYN);
	bool scale = !c->c.no_wscale && (!answer || c->scale_offered);

	t.mss = c->c.no_mss ? 0 : c->c.mss;
	t.wscale = scale ? (int8_t)c->c.wscale : -1;
	t.window = window_field(c, true);
	c->max = MAX(c->max, (uint64_t)1);
	c->nxt = c->max;
	c->rto_due_ms = now_of(c) + c->rto_ms;
	peer_send_tcp(c->peer, c->c.remote_be, &t, 0, 0, 0, NULL, 0);
}

void peer_out_refuse(struct peer *p, const struct peer_packet *k)
{
	const struct tcp *in = &k->tcp;
	struct tcp t = {.src_port = in->dst_port, .dst_port = in->src_port, .flags = TCP_RST, .wscale = -1};

	if (in->flags & TCP_RST)
		return;
	if (in->flags & TCP_ACK) {
		t.seq = in->ack;
	} else {
		t.flags |= TCP_ACK;
		t.ack = in->seq + (uint32_t)k->n_bytes + (in->flags & TCP_SYN ? 1 : 0) +
			(in->flags & TCP_FIN ? 1 : 0);
	}
	p->n_rst_unknown++;
	peer_send_tcp(p, k->src_be, &t, 0, 0, 0, NULL, 0);
}

/* How long a segment at position may be; a retransmission is cut at random places if that is wanted. */
static size_t segment_bytes(struct peer_conn *c, uint64_t position)
{
	size_t most = c->peer->c.tx_tso ? TSO_MAX_BYTES / c->mss * c->mss : c->mss;

	if (c->c.recut && position < c->max)
		return 1 + rng_below(&c->peer->sim->rng, c->mss);
	return MAX(most, (size_t)c->mss);
}

/* Sends data from position, up to limit; returns the position behind, which is position if nothing may go. */
static uint64_t out_data(struct peer_conn *c, uint64_t position, uint64_t limit, bool any)
{
	uint64_t left = c->end > position ? c->end - position : 0;
	uint64_t n = MIN(left, limit > position ? limit - position : 0);
	uint8_t flags = TCP_ACK;

	n = MIN(n, (uint64_t)segment_bytes(c, position));
	/* RFC 9293, 3.8.6.2.1 */
	if (!any && position >= c->max && n < left && n < c->mss && n < c->max_wnd / 2)
		return position;
	if (c->fin_at && position + n == c->fin_at && limit > position + n)
		flags |= TCP_FIN;
	if (!n && !(flags & TCP_FIN))
		return position;
	if (n == left)
		flags |= TCP_PSH;
	peer_out_segment(c, position, n, flags);
	return position + n + (flags & TCP_FIN ? 1 : 0);
}

void peer_out_again(struct peer_conn *c)
{
	uint64_t limit = MIN(c->max, c->una + c->mss);

	(void)out_data(c, c->una, MAX(limit, c->una + 1), true);
	c->rto_due_ms = now_of(c) + c->rto_ms;
}

/* The application writes into the send buffer, or ends its direction. */
static void take_from_app(struct peer_conn *c)
{
	uint64_t now_ms = now_of(c);
	uint64_t queued = c->end - MAX(c->una, (uint64_t)1);
	uint64_t room = queued < c->c.sndbuf_bytes ? c->c.sndbuf_bytes - queued : 0;
	uint64_t n = MIN(room, app_send_room(&c->app, now_ms));

	if (n) {
		c->end += n;
		app_sent(&c->app, n, now_ms);
	}
	if (!c->fin_at && (c->state == PEER_ESTABLISHED || c->state == PEER_CLOSE_WAIT) &&
		app_wants_fin(&c->app, now_ms)) {
		c->app.fin_sent = true;
		c->fin_at = c->end;
		c->state = c->state == PEER_ESTABLISHED ? PEER_FIN_WAIT_1 : PEER_LAST_ACK;
	}
}

static bool may_send_data(const struct peer_conn *c)
{
	return c->state >= PEER_ESTABLISHED && c->state != PEER_FIN_WAIT_2 && c->state != PEER_TIME_WAIT;
}

void peer_out(struct peer_conn *c)
{
	uint64_t now_ms = now_of(c);

	if (may_send_data(c)) {
		take_from_app(c);
		uint64_t window = c->snd_wnd;
		if (c->c.congestion)
			window = MIN(window, c->cwnd);
		for (;;) {
			uint64_t behind = out_data(c, c->nxt, c->una + window, false);

			if (behind == c->nxt)
				break;
			c->nxt = behind;
		}
		bool waiting = c->nxt < c->end || (c->fin_at && c->nxt <= c->fin_at);

		if (c->max > c->una && !c->rto_due_ms && !c->persist_due_ms)
			c->rto_due_ms = now_ms + c->rto_ms;
		else if (c->max <= c->una && waiting && !c->persist_due_ms)
			c->persist_due_ms = now_ms + c->rto_ms;
	}
	if (c->ack_now || (c->delack_due_ms && now_ms >= c->delack_due_ms))
		peer_out_ack(c);
	/* The application has read: an update, if the edge would move far enough. */
	if (c->state >= PEER_ESTABLISHED && !c->rcv_fin) {
		uint64_t edge =
			c->rcv_nxt + c->c.rcvbuf_bytes - MIN(c->n_unread, (uint64_t)c->c.rcvbuf_bytes);
		uint64_t shown = MAX(c->rcv_edge, c->rcv_nxt);
		uint64_t least = MIN(c->c.rcvbuf_bytes / 2, 2u * c->c.mss);
		bool fits = c->rcv_edge - c->rcv_nxt < (uint64_t)UINT16_MAX << c->rcv_scale;

		if (fits && edge >= shown + least && (c->rcv_edge <= c->rcv_nxt + least))
			peer_out_ack(c);
	}
}

static void retransmit(struct peer_conn *c)
{
	if (++c->n_retries > c->c.n_retries) {
		peer_close(c, ETIMEDOUT);
		return;
	}
	c->n_rto++;
	c->rto_ms = MIN(c->rto_ms * 2, (uint32_t)PEER_RTO_MAX_MS);
	c->rtt_at = 0;
	if (c->state == PEER_SYN_SENT || c->state == PEER_SYN_RCVD) {
		peer_out_syn(c);
		return;
	}
	c->ssthresh = MAX((c->max - c->una) / 2, 2ull * c->mss);
	c->cwnd = c->mss;
	c->recovering = false;
	c->n_dup = 0;
	c->nxt = c->una;
	peer_out_again(c);
	c->nxt = MIN(c->max, c->una + c->mss);
	if (c->c.recut)
		c->nxt = c->una;
}

/* RFC 9293, 3.8.6.1: a byte beyond the window, or as Linux does, an old sequence number and no data. */
static void probe(struct peer_conn *c)
{
	uint64_t wait_ms;

	c->n_persist++;
	c->n_probes = MIN(c->n_probes + 1, 10u);
	wait_ms = MIN((uint64_t)c->rto_ms << c->n_probes, (uint64_t)PEER_RTO_MAX_MS);
	c->persist_due_ms = now_of(c) + wait_ms;
	if (rng_below(&c->peer->sim->rng, 2))
		peer_out_segment(c, c->una - 1, 0, TCP_ACK);
	else
		(void)out_data(c, c->una, c->una + 1, true);
}

void peer_out_timers(struct peer_conn *c)
{
	uint64_t now_ms = now_of(c);

	if (c->rto_due_ms && now_ms >= c->rto_due_ms) {
		c->rto_due_ms = 0;
		if (c->max > c->una)
			retransmit(c);
	}
	if (c->persist_due_ms && now_ms >= c->persist_due_ms)
		probe(c);
	if (c->timewait_due_ms && now_ms >= c->timewait_due_ms)
		peer_close(c, 0);
}
