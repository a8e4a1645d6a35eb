/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP from the guest: the segment processing of RFC 9293, 3.10.7, with the stricter checks of RFC 5961.
 * See gw_tcp.h. */
#include "gw_tcp.h"

#define MAX_ACK_AGE (1u << 20) /* RFC 5961, 5: older acknowledgements are challenged */

static void measure_rtt(struct gateway *g, struct flow_tcp *t)
{
	uint32_t rtt = (uint32_t)MIN(gw_now(g) - t->rtt_at_ms, (uint64_t)GW_TCP_RTO_MAX_MS);

	/* RFC 6298, 2.2 and 2.3, in the scaled form */
	if (t->srtt8_ms == 0) {
		t->srtt8_ms = rtt * 8 + 1;
		t->rttvar4_ms = rtt * 2;
	} else {
		uint32_t srtt = t->srtt8_ms / 8, delta = rtt > srtt ? rtt - srtt : srtt - rtt;

		t->rttvar4_ms += delta - t->rttvar4_ms / 4;
		t->srtt8_ms += rtt - srtt;
	}
	t->flags &= ~(uint32_t)GW_TCP_TIMING;
}

static void set_rto(struct flow_tcp *t)
{
	uint32_t rto = t->srtt8_ms ? t->srtt8_ms / 8 + t->rttvar4_ms : GW_TCP_RTO_INIT_MS;

	t->rto_ms = MIN(MAX(rto, (uint32_t)GW_TCP_RTO_MIN_MS), (uint32_t)GW_TCP_RTO_MAX_MS);
}

/* After a loss: for each flight that arrived whole twice as much in flight, then a segment more (RFC 5681, 3.1). */
static void open_cwnd(struct flow_tcp *t, uint32_t n_acked)
{
	uint32_t n = MIN(n_acked, t->cwnd);

	if (t->cwnd == 0 || t->cwnd >= t->snd_wnd)
		return;
	if (t->cwnd < t->ssthresh)
		t->cwnd = MIN(t->cwnd + n, t->ssthresh);
	else
		t->cwnd += MAX((uint32_t)((uint64_t)t->mss * n / t->cwnd), 1u);
}

/* snd_una < ack <= snd_max */
static void take_ack(struct gateway *g, struct flow *f, uint32_t ack)
{
	struct flow_tcp *t = &f->tcp;
	uint32_t n = ack - t->snd_una;

	if ((t->flags & GW_TCP_FIN_SENT) && ack == t->snd_max) {
		t->flags |= GW_TCP_FIN_ACKED | GW_TCP_HOST_EOF; /* EOF also if the FIN was about to be sent again */
		n--;
	}
	if ((t->flags & GW_TCP_TIMING) && tcp_seq_lt(t->rtt_seq, ack))
		measure_rtt(g, t);
	open_cwnd(t, n);
	t->n_discard += n;
	t->snd_una = ack;
	if (tcp_seq_lt(t->snd_nxt, ack))
		t->snd_nxt = ack; /* it had what was about to be sent again */
	if ((t->flags & GW_TCP_REWOUND) && tcp_seq_le(t->recover, ack))
		t->flags &= ~(uint32_t)GW_TCP_REWOUND;
	t->n_dup_acks = 0;
	t->n_retries = 0;
	set_rto(t);
	gw_tcp_arm(g, f, true);
}

/* Whether the acknowledgement lets the segment's text be looked at. */
static enum drop_reason process_ack(struct gateway *g, struct flow *f, const struct tcp *t, size_t n_payload)
{
	struct flow_tcp *s = &f->tcp;
	uint32_t window = (uint32_t)t->window << s->guest_wscale;

	if (tcp_seq_lt(s->snd_max, t->ack) || tcp_seq_lt(t->ack, s->snd_una - MAX_ACK_AGE)) {
		gw_tcp_send_ack(g, f);
		return DROP_OUT_OF_WINDOW;
	}
	bool newer = tcp_seq_lt(s->snd_una, t->ack);
	if (newer) {
		take_ack(g, f, t->ack);
		flow_mark(g->flows, f);
	} else if (t->ack == s->snd_una && n_payload == 0 && !(t->flags & TCP_FIN) && window == s->snd_wnd &&
			s->snd_una != s->snd_max) {
		if (++s->n_dup_acks == 3 && !(s->flags & GW_TCP_REWOUND)) {
			gw_tcp_rewind(g, f);
			flow_mark(g->flows, f);
		}
	}
	/* RFC 9293, 3.10.7.4: the window of the newest segment. One that acknowledges more is newer, though
	 * what a guest sends again has lower numbers than its last: left out, its window would be counted
	 * from the new snd_una, beyond what the guest has room for. */
	if (newer || (t->ack == s->snd_una && !tcp_seq_lt(t->seq, s->snd_wl1))) {
		s->snd_wl1 = t->seq;
		if (window != s->snd_wnd) {
			s->snd_wnd = window;
			flow_mark(g->flows, f);
		}
	}
	return DROP_NONE;
}

/* Hands n bytes at frame offset `at` to the socket; how many it took, or -errno. */
static ssize_t hand_over(struct gateway *g, struct flow *f, const struct gw_pkt *k, size_t at, size_t n)
{
	struct iovec v[1 + PORT_ROOM_IOV];
	struct msghdr m = {.msg_iov = v};

	m.msg_iovlen = frame_slice(k->frame, at, n, v, ARRAY_SIZE(v));
	if (m.msg_iovlen == 0)
		return -EMSGSIZE;
	return g->sock.ops->sendmsg(g->sock.ctx, f->fd, &m, 0);
}

static enum drop_reason take_text(struct gateway *g, struct flow *f, const struct gw_pkt *k, size_t at, size_t n)
{
	struct flow_tcp *s = &f->tcp;
	ssize_t taken = hand_over(g, f, k, at, n);

	s->flags |= taken == (ssize_t)n ? GW_TCP_ACK_SOON : GW_TCP_ACK_DUE;
	flow_mark(g->flows, f);
	if (taken < 0 && taken != -EAGAIN && taken != -ENOBUFS && taken != -ENOMEM) {
		/* What the socket still holds for the guest comes first, then its RST. */
		s->flags |= GW_TCP_HOST_ERROR | GW_TCP_HOST_HUP | GW_TCP_READABLE;
		return DROP_SOCKET_FULL;
	}
	if (taken > 0) {
		s->rcv_nxt += (uint32_t)taken;
		g->n.tcp_from_guest_bytes += (uint64_t)taken;
	}
	if (taken == (ssize_t)n)
		return DROP_NONE;
	g->n.tcp_partial++;
	/* The kernel knows that we wait (SOCK_NOSPACE) and will say EPOLLOUT. */
	s->flags |= GW_TCP_SOCKET_FULL | GW_TCP_OUT_ARMED;
	return DROP_SOCKET_FULL;
}

static void take_fin(struct gateway *g, struct flow *f)
{
	struct flow_tcp *s = &f->tcp;

	s->rcv_nxt++;
	s->rcv_adv = tcp_seq_lt(s->rcv_adv, s->rcv_nxt) ? s->rcv_nxt : s->rcv_adv;
	s->flags |= GW_TCP_GUEST_FIN | GW_TCP_ACK_SOON;
	(void)g->sock.ops->shutdown(g->sock.ctx, f->fd, SHUT_WR); /* ENOTCONN: its RST is about to be seen */
	flow_mark(g->flows, f);
}

/* Text and FIN of a segment whose acknowledgement was good; from the first octet not yet taken. */
static enum drop_reason process_text(struct gateway *g, struct flow *f, const struct gw_pkt *k, const struct tcp *t,
		size_t n_payload)
{
	struct flow_tcp *s = &f->tcp;
	size_t at = k->l4 + t->header_bytes, n = n_payload;
	uint32_t skip = s->rcv_nxt - t->seq;
	bool fin = t->flags & TCP_FIN;

	if (n == 0 && !fin)
		return DROP_NONE;
	if (tcp_seq_lt(s->rcv_nxt, t->seq)) {
		gw_tcp_send_ack(g, f); /* a gap: at once, each counts (RFC 5681, 4.2) */
		return DROP_OUT_OF_WINDOW;
	}
	if (s->flags & GW_TCP_GUEST_FIN || skip > n) {
		s->flags |= GW_TCP_ACK_DUE;
		flow_mark(g->flows, f);
		return DROP_NONE; /* all of it is old */
	}
	at += skip;
	n -= skip;
	uint32_t window = s->rcv_adv - s->rcv_nxt;
	if (n > window) {
		n = window;
		fin = false;
	}
	if (n) {
		enum drop_reason reason = take_text(g, f, k, at, n);

		if (reason)
			return reason;
	} else if (!fin) {
		s->flags |= GW_TCP_ACK_DUE;
		flow_mark(g->flows, f);
		return n_payload ? DROP_OUT_OF_WINDOW : DROP_NONE;
	}
	if (fin)
		take_fin(g, f);
	return DROP_NONE;
}

/* RFC 9293, 3.10.7.4, first: is any of it in the window? */
static bool acceptable(const struct flow_tcp *s, uint32_t seq, uint32_t n)
{
	uint32_t window = s->rcv_adv - s->rcv_nxt;

	/* One that has filled the window, with what we have not taken, acknowledges from its right edge. If that
	 * were answered, and the answer in turn was an old one to the guest, the two would go on for ever. */
	if (n == 0)
		return seq - s->rcv_nxt <= window;
	if (tcp_seq_le(seq, s->rcv_nxt)) /* begins at or before: good if it ends behind */
		return tcp_seq_lt(s->rcv_nxt, seq + n) || seq == s->rcv_nxt;
	return seq - s->rcv_nxt < window;
}

/* The third message of the handshake, either way round. */
static enum drop_reason segment_syn_sent(struct gateway *g, struct flow *f, const struct gw_pkt *k, const struct tcp *t)
{
	struct flow_tcp *s = &f->tcp;

	if ((t->flags & TCP_ACK) && t->ack != s->iss + 1) {
		gw_tcp_refuse(g, k, t);
		return DROP_OUT_OF_WINDOW;
	}
	if (t->flags & TCP_RST) {
		if (t->flags & TCP_ACK) {
			g->n.tcp_refused++;
			gw_tcp_abort(g, f);
		}
		return DROP_NONE;
	}
	if (!(t->flags & TCP_SYN))
		return DROP_OUT_OF_WINDOW;
	s->rcv_nxt = t->seq + 1;
	s->rcv_adv = s->rcv_looked = s->rcv_nxt;
	s->snd_wl1 = t->seq;
	s->mss = (uint16_t)MIN(t->mss ? t->mss : TCP_DEFAULT_MSS, g->c.mtu - IP4_HEADER_BYTES - TCP_HEADER_BYTES);
	s->mss = MAX(s->mss, (uint16_t)88); /* nobody needs frames of a few bytes each */
	s->guest_wscale = t->wscale >= 0 ? (uint8_t)t->wscale : 0;
	s->our_wscale = t->wscale >= 0 ? GW_TCP_WSCALE : 0;
	s->snd_wnd = t->window;
	gw_tcp_update_window(g, f);
	if (!(t->flags & TCP_ACK)) { /* both at once (RFC 9293, MUST-10) */
		s->state = GW_TCP_SYN_RCVD;
		gw_tcp_send_flags(g, f, TCP_SYN | TCP_ACK);
		return DROP_NONE;
	}
	s->snd_una = t->ack;
	s->flags |= GW_TCP_ACK_DUE;
	gw_tcp_established(g, f, t);
	gw_tcp_send_ack(g, f);
	return DROP_NONE;
}

/* A segment for a connection that has ended (TIME-WAIT). */
static enum drop_reason segment_linger(struct gateway *g, struct flow *f, struct gw_pkt *k, const struct tcp *t)
{
	if (t->flags & TCP_RST)
		return DROP_NONE; /* RFC 1337 */
	if ((t->flags & TCP_SYN) && !(t->flags & TCP_ACK) && tcp_seq_lt(f->tcp.rcv_nxt, t->seq)) {
		struct flow_key key = f->key;

		flow_free(g->flows, f);
		return gw_tcp_open(g, k, t, &key); /* RFC 9293, 3.10.7.4: MAY, for a newer connection */
	}
	gw_tcp_send_ack(g, f);
	if (t->flags & TCP_FIN)
		gw_timer_arm(g, f, gw_now(g) + 2 * GW_TCP_MSL_MS);
	return DROP_NONE;
}

enum drop_reason gw_tcp_segment(struct gateway *g, struct flow *f, struct gw_pkt *k, const struct tcp *t)
{
	struct flow_tcp *s = &f->tcp;
	size_t n_payload = k->ip.payload_bytes - (size_t)t->header_bytes;
	uint32_t n_seq = (uint32_t)n_payload + !!(t->flags & TCP_SYN) + !!(t->flags & TCP_FIN);

	switch (s->state) {
	case GW_TCP_CONNECTING:
		if ((t->flags & TCP_RST) && t->seq == s->rcv_nxt)
			gw_tcp_abort(g, f);
		return DROP_NONE; /* SYNs again: the answer is on its way */
	case GW_TCP_RESOLVING:
		return DROP_NOT_FOR_US;
	case GW_TCP_SYN_SENT:
		return segment_syn_sent(g, f, k, t);
	case GW_TCP_LINGER:
		return segment_linger(g, f, k, t);
	default:
		break;
	}
	if (!acceptable(s, t->seq, n_seq)) {
		/* A guest that probes a closed window with a byte acknowledges from behind that byte: "special
		 * allowance should be made to accept valid ACKs" (RFC 9293, 3.10.7.4). */
		if (s->state == GW_TCP_ESTABLISHED && s->rcv_adv == s->rcv_nxt && t->seq == s->rcv_nxt + 1 && n_seq == 0 &&
				(t->flags & (TCP_ACK | TCP_RST)) == TCP_ACK)
			return process_ack(g, f, t, 0);
		if (s->state == GW_TCP_SYN_RCVD && (t->flags & TCP_SYN) && t->seq + 1 == s->rcv_nxt && !(t->flags & TCP_ACK))
			gw_tcp_send_flags(g, f, TCP_SYN | TCP_ACK); /* ours was lost */
		else if (!(t->flags & TCP_RST))
			gw_tcp_send_ack(g, f);
		return t->flags & TCP_RST || n_seq ? DROP_OUT_OF_WINDOW : DROP_NONE;
	}
	if (t->flags & TCP_RST) {
		if (t->seq == s->rcv_nxt) {
			g->n.tcp_reset++;
			gw_tcp_abort(g, f);
		} else {
			gw_tcp_send_ack(g, f); /* RFC 5961, 3.2 */
		}
		return DROP_NONE;
	}
	if (t->flags & TCP_SYN) {
		if (s->state == GW_TCP_SYN_RCVD && (t->flags & TCP_ACK) && t->ack == s->iss + 1 && t->seq + 1 == s->rcv_nxt) {
			gw_tcp_established(g, f, t); /* the other half of both at once */
			return DROP_NONE;
		}
		gw_tcp_send_ack(g, f); /* RFC 5961, 4.2 */
		return DROP_OUT_OF_WINDOW;
	}
	if (!(t->flags & TCP_ACK))
		return DROP_OUT_OF_WINDOW;
	if (s->state == GW_TCP_SYN_RCVD) {
		if (t->ack != s->iss + 1) {
			gw_tcp_refuse(g, k, t);
			return DROP_OUT_OF_WINDOW;
		}
		gw_tcp_established(g, f, t);
	}
	enum drop_reason reason = process_ack(g, f, t, n_payload);
	return reason ? reason : process_text(g, f, k, t, n_payload);
}
