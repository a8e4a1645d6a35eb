/* SPDX-License-Identifier: BSD-2-Clause */
/* What the reference peer makes of a segment: RFC 9293, 3.10.7, in its order. */
#include "peer_internal.h"

static uint64_t now_of(const struct peer_conn *c)
{
	return c->peer->sim->now_ms;
}

void peer_close(struct peer_conn *c, int error)
{
	c->state = PEER_CLOSED;
	c->rto_due_ms = c->persist_due_ms = c->delack_due_ms = c->timewait_due_ms = 0;
	if (error)
		app_error(&c->app, error);
}

static void set_window(struct peer_conn *c, uint64_t window, uint64_t position, uint64_t ack)
{
	c->snd_wnd = window;
	c->max_wnd = MAX(c->max_wnd, window);
	c->wl1 = position;
	c->wl2 = ack;
}

static void take_syn(struct peer_conn *c, const struct tcp *t)
{
	c->irs = t->seq;
	c->rcv_edge = c->rcv_edge ? c->rcv_edge + 1 : 0; /* it was counted from 0: the SYN's place */
	c->rcv_nxt = 1;
	c->mss = MIN(t->mss ? t->mss : (uint16_t)TCP_DEFAULT_MSS, (uint16_t)(c->peer->c.mtu - 40));
	if (t->wscale >= 0 && !c->c.no_wscale) {
		c->snd_scale = (uint8_t)t->wscale;
		c->rcv_scale = c->c.wscale;
	}
	c->scale_offered = t->wscale >= 0;
}

static void established(struct peer_conn *c, const struct peer_packet *k, bool syn)
{
	c->state = PEER_ESTABLISHED;
	c->una = 1;
	c->nxt = c->max = 1;
	c->rto_due_ms = 0;
	c->n_retries = 0;
	c->cwnd = 10ull * c->mss; /* RFC 6928 */
	set_window(c, (uint64_t)k->tcp.window << (syn ? 0 : c->snd_scale), c->rcv_nxt, 1);
	app_start(&c->app, &c->c.app, now_of(c));
}

static void in_listen(struct peer_conn *c, const struct peer_packet *k)
{
	if (k->tcp.flags & TCP_RST)
		return;
	if (k->tcp.flags & TCP_ACK) {
		peer_out_refuse(c->peer, k);
	} else if (k->tcp.flags & TCP_SYN) {
		take_syn(c, &k->tcp);
		c->state = PEER_SYN_RCVD;
		peer_out_syn(c);
	}
}

static void in_syn_sent(struct peer_conn *c, const struct peer_packet *k)
{
	const struct tcp *t = &k->tcp;
	bool ack_right = (t->flags & TCP_ACK) && t->ack == peer_seq(c, 1);

	if ((t->flags & TCP_ACK) && !ack_right) {
		peer_out_refuse(c->peer, k);
		return;
	}
	if (t->flags & TCP_RST) {
		if (ack_right)
			peer_close(c, ECONNREFUSED);
		return;
	}
	if (!(t->flags & TCP_SYN))
		return;
	take_syn(c, t);
	if (ack_right) {
		established(c, k, true);
		peer_out_ack(c);
	} else {
		c->state = PEER_SYN_RCVD;
		peer_out_syn(c);
	}
}

/* RFC 6298, 2 */
static void sample_rtt(struct peer_conn *c, uint64_t ack)
{
	if (!c->rtt_at || ack < c->rtt_at)
		return;
	uint32_t rtt_ms = (uint32_t)(now_of(c) - c->rtt_start_ms);
	uint32_t off = rtt_ms > c->srtt_ms ? rtt_ms - c->srtt_ms : c->srtt_ms - rtt_ms;

	if (!c->srtt_ms) {
		c->srtt_ms = rtt_ms;
		c->rttvar_ms = rtt_ms / 2;
	} else {
		c->rttvar_ms = (3 * c->rttvar_ms + off) / 4;
		c->srtt_ms = (7 * c->srtt_ms + rtt_ms) / 8;
	}
	c->base_rto_ms = MAX(c->srtt_ms + 4 * c->rttvar_ms, (uint32_t)PEER_RTO_MIN_MS);
	c->base_rto_ms = MIN(c->base_rto_ms, (uint32_t)PEER_RTO_MAX_MS);
	c->rtt_at = 0;
}

static void new_ack(struct peer_conn *c, uint64_t ack)
{
	uint64_t n = ack - c->una;

	sample_rtt(c, ack);
	c->rto_ms = c->base_rto_ms; /* no longer backed off, as Linux does it */
	c->una = ack;
	c->nxt = MAX(c->nxt, ack);
	c->n_retries = 0;
	c->n_dup = 0;
	c->rto_due_ms = c->una < c->max ? now_of(c) + c->rto_ms : 0;
	if (c->recovering && ack >= c->recover) {
		c->recovering = false;
		c->cwnd = c->ssthresh;
	} else if (c->recovering) {
		peer_out_again(c); /* RFC 6582: a partial acknowledgement */
	} else if (c->cwnd < c->ssthresh) {
		c->cwnd += n;
	} else {
		c->cwnd += MAX((uint64_t)c->mss * c->mss / c->cwnd, (uint64_t)1);
	}
}

static void duplicate_ack(struct peer_conn *c)
{
	c->n_dup++;
	if (c->recovering) {
		c->cwnd += c->mss;
	} else if (c->n_dup == 3) {
		c->n_fast++;
		c->recovering = true;
		c->recover = c->max;
		c->ssthresh = MAX((c->max - c->una) / 2, 2ull * c->mss);
		c->cwnd = c->ssthresh + 3ull * c->mss;
		peer_out_again(c);
	}
}

static void fin_acked(struct peer_conn *c)
{
	if (c->state == PEER_FIN_WAIT_1) {
		c->state = PEER_FIN_WAIT_2;
	} else if (c->state == PEER_CLOSING) {
		c->state = PEER_TIME_WAIT;
		c->timewait_due_ms = now_of(c) + c->c.timewait_ms;
	} else if (c->state == PEER_LAST_ACK) {
		peer_close(c, 0);
	}
}

static void in_ack(struct peer_conn *c, const struct peer_packet *k, uint64_t position, uint64_t ack)
{
	uint64_t window = (uint64_t)k->tcp.window << c->snd_scale;
	/* As Linux: an acknowledgement of more is newer, whatever its sequence number. */
	bool update = ack > c->una || c->wl1 < position || (c->wl1 == position && c->wl2 <= ack);

	if (ack > c->una) {
		new_ack(c, ack);
	} else if (ack == c->una && !k->n_bytes && !(k->tcp.flags & TCP_FIN) && window == c->snd_wnd &&
		   c->una < c->max && !c->persist_due_ms) {
		duplicate_ack(c);
	}
	if (ack >= c->una && update)
		set_window(c, window, position, ack);
	if (c->persist_due_ms && (c->snd_wnd >= c->mss || c->snd_wnd >= c->max_wnd / 2)) {
		c->persist_due_ms = 0;
		c->n_probes = 0;
	}
	if (c->fin_at && c->una > c->fin_at)
		fin_acked(c);
}

/* Keeps [from, to) and moves rcv_nxt over all that is now complete. */
static void keep_range(struct peer_conn *c, uint64_t from, uint64_t to)
{
	unsigned int i = 0;

	while (i < c->n_ranges) {
		struct peer_range *r = &c->ranges[i];

		if (r->from > to || r->to < from) {
			i++;
			continue;
		}
		from = MIN(from, r->from);
		to = MAX(to, r->to);
		*r = c->ranges[--c->n_ranges];
		i = 0;
	}
	if (from <= c->rcv_nxt) {
		uint64_t n = to - c->rcv_nxt;

		c->n_unread += n;
		c->rcv_nxt = to;
	} else if (c->n_ranges < PEER_RANGES_MAX) {
		c->ranges[c->n_ranges++] = (struct peer_range){from, to};
	}
}

static void in_data(struct peer_conn *c, const struct peer_packet *k, uint64_t position)
{
	uint64_t from = MAX(position, c->rcv_nxt), to = MIN(position + k->n_bytes, c->rcv_edge);
	uint64_t before = c->rcv_nxt;

	if (from >= to) {
		c->ack_now = true;
		return;
	}
	size_t right =
		stream_match(c->c.app.recv_seed, peer_offset(from), k->data + (from - position), to - from);
	sim_check(c->peer->sim, right == to - from, "received a wrong byte at %llu",
		(unsigned long long)(peer_offset(from) + right));
	bool hole = c->n_ranges || from > c->rcv_nxt;
	keep_range(c, from, to);
	c->n_unacked += (unsigned int)((c->rcv_nxt - before + c->c.mss - 1) / c->c.mss);
	if (hole || !c->c.delack_ms || c->n_unacked >= 2)
		c->ack_now = true;
	else if (!c->delack_due_ms)
		c->delack_due_ms = now_of(c) + c->c.delack_ms;
}

static void in_fin(struct peer_conn *c)
{
	if (!c->rcv_fin || c->rcv_nxt != c->rcv_fin)
		return;
	c->rcv_nxt++;
	c->rcv_edge = MAX(c->rcv_edge, c->rcv_nxt);
	c->ack_now = true;
	if (c->state == PEER_ESTABLISHED) {
		c->state = PEER_CLOSE_WAIT;
	} else if (c->state == PEER_FIN_WAIT_1) {
		c->state = PEER_CLOSING;
	} else if (c->state == PEER_FIN_WAIT_2) {
		c->state = PEER_TIME_WAIT;
		c->timewait_due_ms = now_of(c) + c->c.timewait_ms;
	}
}

/* RFC 9293, 3.10.7.4, first check; a window of zero lets acknowledgements through. */
static bool acceptable(const struct peer_conn *c, uint64_t position, uint64_t n)
{
	if (!n)
		return position >= c->rcv_nxt && position <= c->rcv_edge;
	return position < c->rcv_edge && position + n > c->rcv_nxt;
}

static void in_unacceptable(struct peer_conn *c, const struct peer_packet *k, uint64_t position, uint64_t ack)
{
	if (k->tcp.flags & TCP_RST)
		return;
	if (c->state == PEER_TIME_WAIT && (k->tcp.flags & TCP_FIN))
		c->timewait_due_ms = now_of(c) + c->c.timewait_ms;
	/* A probe of our zero window carries a valid acknowledgement. */
	if ((k->tcp.flags & TCP_ACK) && c->state != PEER_SYN_RCVD && position == c->rcv_nxt &&
		ack <= c->max && ack >= c->una)
		in_ack(c, k, position, ack);
	if (c->state != PEER_CLOSED)
		peer_out_ack(c);
}

static void in_synchronized(struct peer_conn *c, const struct peer_packet *k)
{
	const struct tcp *t = &k->tcp;
	uint64_t position = c->rcv_nxt + (uint64_t)(int64_t)(int32_t)(t->seq - peer_ack(c, c->rcv_nxt));
	uint64_t ack = c->una + (uint64_t)(int64_t)(int32_t)(t->ack - peer_seq(c, c->una));
	uint64_t n = k->n_bytes + (t->flags & TCP_FIN ? 1 : 0) + (t->flags & TCP_SYN ? 1 : 0);

	if ((int64_t)position < 0 || !acceptable(c, position, n)) {
		in_unacceptable(c, k, position, ack);
		return;
	}
	if (t->flags & TCP_RST) {
		if (position == c->rcv_nxt)
			peer_close(c, c->state == PEER_TIME_WAIT ? 0 : ECONNRESET);
		else
			peer_out_ack(c);
		return;
	}
	if (t->flags & TCP_SYN) {
		peer_out_ack(c);
		return;
	}
	if (!(t->flags & TCP_ACK))
		return;
	if (c->state == PEER_SYN_RCVD) {
		if (ack != 1) {
			peer_out_refuse(c->peer, k);
			return;
		}
		established(c, k, false);
	}
	if ((int64_t)ack < 0 || ack > c->max) {
		peer_out_ack(c);
		return;
	}
	in_ack(c, k, position, ack);
	if (c->state == PEER_CLOSED)
		return;
	if (k->n_bytes && (!c->rcv_fin || c->rcv_nxt <= c->rcv_fin))
		in_data(c, k, position);
	if ((t->flags & TCP_FIN) && position + k->n_bytes <= c->rcv_edge && !c->rcv_fin)
		c->rcv_fin = position + k->n_bytes;
	in_fin(c);
}

void peer_in(struct peer_conn *c, const struct peer_packet *k)
{
	if (c->state == PEER_LISTEN)
		in_listen(c, k);
	else if (c->state == PEER_SYN_SENT)
		in_syn_sent(c, k);
	else
		in_synchronized(c, k);
}
