/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP towards the guest: segments, acknowledgements, windows, retransmission. See gw_tcp.h. */
#include "gw_tcp.h"

#include <assert.h>
#include <linux/sock_diag.h>

#include "csum.h"

#define PUSH_BURST        4     /* super-frames of one flow in one batch */
#define PAYLOAD_MAX       (65535u - IP4_HEADER_BYTES - TCP_HEADER_BYTES)
#define LOOK_AGAIN_BYTES  16384 /* from the guest, until the socket's room is looked at anew */
#define FIRST_WINDOW_BYTES 32768u
#define ACK_BYTES         32768u /* from the guest, acknowledged at once */
#define MEM_OVERHEAD      4096  /* of the socket's room, not offered */

/* The window field. Scaled, it is rounded up: what was offered once must not seem to be taken back
 * because rcv_nxt has moved by less than the scale's unit (RFC 7323, 2.4). */
static uint16_t window_field(struct flow_tcp *t, bool syn)
{
	uint32_t window = t->rcv_adv - t->rcv_nxt;

	if (syn)
		return (uint16_t)MIN(window, 65535u);
	uint32_t units = (window + (1u << t->our_wscale) - 1) >> t->our_wscale;
	if (units > 65535)
		return 65535;
	t->rcv_adv = t->rcv_nxt + (units << t->our_wscale);
	return (uint16_t)units;
}

/* Ethernet to TCP header of a segment, its checksum left to be completed. opt: MSS and window scale. */
static void emit_head(struct gateway *g, struct flow *f, struct wr *w, uint32_t seq, uint8_t flags,
		size_t n_payload)
{
	struct flow_tcp *t = &f->tcp;
	bool syn = flags & TCP_SYN;
	struct tcp tcp = {
		.src_port = f->key.remote_port,
		.dst_port = f->key.guest_port,
		.seq = seq,
		.ack = flags & TCP_ACK ? t->rcv_nxt : 0,
		.flags = flags,
		.window = window_field(t, syn),
		.mss = syn ? (uint16_t)(g->c.mtu - IP4_HEADER_BYTES - TCP_HEADER_BYTES) : 0,
		.wscale = syn && t->our_wscale ? (int8_t)t->our_wscale : -1,
	};
	size_t l4_bytes = TCP_HEADER_BYTES + (tcp.mss ? 4u : 0) + (tcp.wscale >= 0 ? 4u : 0) + n_payload;
	struct ip4 ip = {
		.ttl = IP4_TTL_DEFAULT,
		.proto = IP_PROTO_TCP,
		.id = g->ip_id++,
		.frag = IP4_DONT_FRAG,
		.payload_bytes = (uint16_t)l4_bytes,
		.src_be = ip_addr_4(&f->key.remote),
		.dst_be = ip_addr_4(&f->key.guest),
	};

	tcp.checksum = csum_fold_partial(csum_pseudo(&f->key.remote, &f->key.guest, IP_PROTO_TCP, (uint32_t)l4_bytes));
	gw_emit_ip4(g, w, &f->guest_mac, &ip);
	tcp_emit(w, &tcp);
}

static const struct offload plain_tcp = {
	.csum_needed = true,
	.csum_start = ETH_HEADER_BYTES + IP4_HEADER_BYTES,
	.csum_offset = TCP_CSUM_OFFSET,
};

static bool send_bare(struct gateway *g, struct flow *f, uint32_t seq, uint8_t flags)
{
	uint8_t head[GW_TCP_HEAD_BYTES + 8];
	struct wr w = wr_of(head, sizeof(head));
	struct port *p = gw_port(g, f);

	if (!p)
		return false;
	emit_head(g, f, &w, seq, flags, 0);
	struct iovec v = {head, sizeof(head) - w.left};
	return port_send(p, &v, 1, v.iov_len, &plain_tcp) == 0;
}

static void acknowledged(struct flow_tcp *t)
{
	t->rcv_acked = t->rcv_nxt;
	t->flags &= ~(uint32_t)(GW_TCP_ACK_DUE | GW_TCP_ACK_SOON);
}

void gw_tcp_send_flags(struct gateway *g, struct flow *f, uint8_t flags)
{
	if (send_bare(g, f, flags & TCP_SYN ? f->tcp.iss : f->tcp.snd_nxt, flags) && (flags & TCP_ACK))
		acknowledged(&f->tcp);
}

/* A guest does not look at the acknowledgement and the window of what begins before the octet that it expects
 * (RFC 9293, 3.10.7.4), and after a rewind snd_nxt may: it would not hear that its window has opened. What it expects
 * is at most snd_max; if its window has shrunk since, what lies behind that is not looked at either. */
void gw_tcp_send_ack(struct gateway *g, struct flow *f)
{
	struct flow_tcp *t = &f->tcp;
	uint32_t edge = t->snd_una + t->snd_wnd;

	if (send_bare(g, f, tcp_seq_lt(edge, t->snd_max) ? edge : t->snd_max, TCP_ACK))
		acknowledged(t);
}

/* Whether an acknowledgement may wait: less than two segments are not acknowledged yet (RFC 5681, 4.2), and data of
 * the host's may still come. */
static bool may_wait(const struct flow_tcp *t)
{
	return !(t->flags & (GW_TCP_ACK_DUE | GW_TCP_HOST_EOF)) &&
	       t->rcv_nxt - t->rcv_acked < MIN(2u * t->mss, ACK_BYTES);
}

void gw_tcp_ack(struct gateway *g, struct flow *f)
{
	struct flow_tcp *t = &f->tcp;

	if (!(t->flags & (GW_TCP_ACK_DUE | GW_TCP_ACK_SOON)))
		return;
	if (!may_wait(t) || (!(t->flags & GW_TCP_ACK_WAITS) && g->n_acks == GW_ACKS_MAX)) {
		gw_tcp_send_ack(g, f);
		return;
	}
	if (t->flags & GW_TCP_ACK_WAITS)
		return;
	if (g->n_acks == 0)
		loop_timer_set(g->loop, &g->ack_timer, gw_now(g) + GW_TCP_ACK_MS);
	g->acks[g->n_acks++] = flow_number(g->flows, f);
	t->flags |= GW_TCP_ACK_WAITS;
}

/* The oldest has waited long enough, and the others go with it. */
void gw_tcp_acks_due(void *ctx, uint64_t now_ms)
{
	struct gateway *g = ctx;

	for (unsigned int i = 0; i < g->n_acks; i++) {
		struct flow *f = flow_get(g->flows, g->acks[i]);

		if (f->dying || f->key.kind != FLOW_TCP || f->fd < 0 || !(f->tcp.flags & GW_TCP_ACK_WAITS))
			continue; /* or another flow has its number */
		f->tcp.flags &= ~(uint32_t)GW_TCP_ACK_WAITS;
		if (f->tcp.flags & GW_TCP_ACK_SOON) {
			f->tcp.flags |= GW_TCP_ACK_DUE;
			flow_mark(g->flows, f);
		}
	}
	g->n_acks = 0;
}

void gw_tcp_probe(struct gateway *g, struct flow *f)
{
	/* An old sequence number: the guest must answer with an acknowledgement (RFC 9293, 3.10.7.4), and
	 * says its window in it. */
	(void)send_bare(g, f, f->tcp.snd_una - 1, TCP_ACK);
}

void gw_tcp_refuse(struct gateway *g, const struct gw_pkt *k, const struct tcp *t)
{
	struct flow f = {
		.key = {
			.guest = ip_addr_from4(k->ip.src_be),
			.remote = ip_addr_from4(k->ip.dst_be),
			.guest_port = t->src_port,
			.remote_port = t->dst_port,
			.port_id = k->port->id,
			.kind = FLOW_TCP,
		},
		.guest_mac = k->eth.src,
	};
	uint32_t n = k->ip.payload_bytes - (uint32_t)t->header_bytes + !!(t->flags & TCP_SYN) + !!(t->flags & TCP_FIN);

	if (t->flags & TCP_RST)
		return;
	/* RFC 9293, 3.10.7.1 */
	f.tcp.rcv_nxt = f.tcp.rcv_adv = t->seq + n;
	if (t->flags & TCP_ACK)
		(void)send_bare(g, &f, t->ack, TCP_RST);
	else
		(void)send_bare(g, &f, 0, TCP_RST | TCP_ACK);
}

/* Of a socket's room, what may be offered: each buffer of its queue costs more than its bytes. */
static uint32_t usable(uint32_t limit, uint32_t room)
{
	uint32_t overhead = MIN(limit / 8, (uint32_t)MEM_OVERHEAD);

	room -= room / 16;
	return room > overhead ? room - overhead : 0;
}

/* The most to offer at once. A guest holds its data back until the window is a segment or half of the
 * largest that it has seen (RFC 9293, 3.8.6.2.1), and its segments may be as large as a small socket's
 * buffer. What opens when the kernel says that there is room, a third of the buffer, must be enough for one
 * or the other: nothing would make us look again, and the guest's persist timer alone would go on. */
static uint32_t most_at_once(const struct gateway *g, uint32_t limit)
{
	uint32_t opens = usable(limit, limit / 3);
	uint32_t mss = g->c.mtu - (uint32_t)(IP4_HEADER_BYTES + TCP_HEADER_BYTES);

	return opens >= mss ? UINT32_MAX : 2 * opens;
}

uint32_t gw_tcp_first_window(struct gateway *g, struct flow *f)
{
	uint32_t mem[SK_MEMINFO_VARS] = {};
	socklen_t n = sizeof(mem);

	if (g->sock.ops->getsockopt(g->sock.ctx, f->fd, SOL_SOCKET, SO_MEMINFO, mem, &n) < 0)
		return FIRST_WINDOW_BYTES;
	return MIN(FIRST_WINDOW_BYTES, most_at_once(g, mem[SK_MEMINFO_SNDBUF]));
}

/* Offers what the socket has room for. Looking costs a system call, so a flow of small requests looks
 * only now and then. */
void gw_tcp_update_window(struct gateway *g, struct flow *f)
{
	struct flow_tcp *t = &f->tcp;
	uint32_t mem[SK_MEMINFO_VARS] = {};
	socklen_t n = sizeof(mem);

	t->rcv_looked = t->rcv_nxt;
	if (g->sock.ops->getsockopt(g->sock.ctx, f->fd, SOL_SOCKET, SO_MEMINFO, mem, &n) < 0)
		return;
	uint32_t limit = mem[SK_MEMINFO_SNDBUF], queued = mem[SK_MEMINFO_WMEM_QUEUED];
	uint32_t room = limit > queued ? limit - queued : 0;
	/* Less than the kernel calls writable: it is told that we wait, so that it says when there is
	 * more, and grows the buffer meanwhile (tcp_new_space). */
	if (room < queued / 2 && !(t->flags & GW_TCP_OUT_ARMED) &&
			g->sock.ops->rewatch(g->sock.ctx, f->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
					g->source_tcp, flow_number(g->flows, f)) == 0)
		t->flags |= GW_TCP_OUT_ARMED;
	uint32_t most = MIN(t->our_wscale ? g->window_cap : 65535u, most_at_once(g, limit));
	room = MIN(usable(limit, room), most);
	uint32_t edge = t->rcv_nxt + room;
	/* Never back, and not by crumbs (RFC 9293, 3.8.6.2.2). A third of the buffer, at which the kernel says
	 * that there is room, is always enough to open a closed window. */
	uint32_t least = MIN(MIN((uint32_t)t->mss, limit / 8), most / 2);
	/* Nor may a crumb be held back that a guest waits for with a segment larger than what is open. */
	uint32_t enough = MIN((uint32_t)g->c.mtu - (IP4_HEADER_BYTES + TCP_HEADER_BYTES), most / 2);
	bool waited_for = t->rcv_adv - t->rcv_nxt < enough && room >= enough;
	if (tcp_seq_lt(t->rcv_adv, edge) && (edge - t->rcv_adv >= least || waited_for))
		t->rcv_adv = edge;
}

static void discard(struct gateway *g, struct flow *f)
{
	struct flow_tcp *t = &f->tcp;

	while (t->n_discard) {
		/* MSG_TRUNC on TCP: thrown away in the kernel, the pointer not looked at (tcp(7)). The
		 * sanitizer does not know this, and takes it for a write. */
#ifdef VMLAN_SANITIZED
		struct iovec v = {g->scratch, MIN(t->n_discard, GW_SCRATCH_BYTES)};
#else
		struct iovec v = {g->scratch, t->n_discard};
#endif
		struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
		ssize_t n = g->sock.ops->recvmsg(g->sock.ctx, f->fd, &m, MSG_TRUNC);

		if (n <= 0)
			return;
		t->n_discard -= (uint32_t)n;
		t->peek_off -= MIN(t->peek_off, (uint32_t)n);
	}
}

static bool has_peek_off(const struct gateway *g, const struct flow *f)
{
	return ip_addr_is4(&f->host) ? g->peek_off4 : g->peek_off6;
}

/* Reads at snd_nxt into the room, without taking it from the socket. */
static ssize_t peek(struct gateway *g, struct flow *f, struct room *room)
{
	struct flow_tcp *t = &f->tcp;
	uint32_t offset = t->n_discard + (t->snd_nxt - t->snd_una);
	struct iovec v[GW_TCP_PEEK_OVER / GW_SCRATCH_BYTES + 2 + PORT_ROOM_IOV];
	struct msghdr m = {.msg_iov = room->iov, .msg_iovlen = room->n_iov};

	if (likely(has_peek_off(g, f))) {
		if (unlikely(offset != t->peek_off)) {
			int value = (int)offset;

			int r = g->sock.ops->setsockopt(g->sock.ctx, f->fd, SOL_SOCKET, SO_PEEK_OFF, &value, sizeof(value));
			if (r < 0)
				return r;
			t->peek_off = offset;
		}
		ssize_t n = g->sock.ops->recvmsg(g->sock.ctx, f->fd, &m, MSG_PEEK);
		if (n > 0)
			t->peek_off += (uint32_t)n;
		return n;
	}
	unsigned int n_v = 0;
	for (uint32_t left = offset; left; n_v++) {
		v[n_v] = (struct iovec){g->scratch, MIN(left, GW_SCRATCH_BYTES)};
		left -= (uint32_t)v[n_v].iov_len;
	}
	memcpy(v + n_v, room->iov, room->n_iov * sizeof(*v));
	m.msg_iov = v;
	m.msg_iovlen = n_v + room->n_iov;
	ssize_t n = g->sock.ops->recvmsg(g->sock.ctx, f->fd, &m, MSG_PEEK);
	if (n <= 0)
		return n;
	return n > (ssize_t)offset ? n - (ssize_t)offset : -EAGAIN;
}

/* How much may go out in one frame now; 0: nothing. */
static uint32_t sendable(const struct gateway *g, const struct flow *f)
{
	const struct flow_tcp *t = &f->tcp;
	uint32_t in_flight = t->snd_nxt - t->snd_una;
	uint32_t window = t->cwnd ? MIN(t->cwnd, t->snd_wnd) : t->snd_wnd;
	uint32_t room = window > in_flight ? window - in_flight : 0;

	if (!has_peek_off(g, f)) {
		uint32_t over = in_flight + t->n_discard;

		room = over < GW_TCP_PEEK_OVER ? MIN(room, GW_TCP_PEEK_OVER - over) : 0;
	}
	assert(t->mss);
	if (room < t->mss)
		return in_flight ? 0 : room; /* sender's silly window (RFC 9293, 3.8.6.2.1) */
	room = MIN(room, PAYLOAD_MAX);
	return room - room % t->mss;
}

static void send_fin(struct gateway *g, struct flow *f)
{
	struct flow_tcp *t = &f->tcp;

	if (!(t->flags & (GW_TCP_GUEST_FIN | GW_TCP_FIN_SENT)))
		t->flags |= GW_TCP_CLOSED_FIRST;
	t->flags |= GW_TCP_HOST_EOF | GW_TCP_FIN_SENT;
	if (send_bare(g, f, t->snd_nxt, TCP_FIN | TCP_ACK) && t->snd_nxt == t->snd_max)
		acknowledged(t);
	t->snd_nxt++;
	t->snd_max = tcp_seq_lt(t->snd_max, t->snd_nxt) ? t->snd_nxt : t->snd_max;
}

/* One frame of n bytes that lies in the room. */
static bool commit(struct gateway *g, struct flow *f, struct port *p, struct room *room, size_t n, bool push)
{
	struct flow_tcp *t = &f->tcp;
	struct wr w = wr_of(room->head, room->n_head);
	struct offload o = plain_tcp;

	emit_head(g, f, &w, t->snd_nxt, push ? TCP_ACK | TCP_PSH : TCP_ACK, n);
	if (n > t->mss) {
		o.gso = OFFLOAD_GSO_TCP4;
		o.gso_size = t->mss;
		o.header_len = GW_TCP_HEAD_BYTES;
	}
	int r = port_commit(p, room, n, &o);
	if (r == -ENOBUFS || r == -ENOTCONN) {
		t->flags |= GW_TCP_NO_ROOM;
		return false;
	}
	if (tcp_seq_lt(t->snd_nxt, t->snd_max)) {
		g->n.tcp_retransmits++;
	} else {
		/* Of what is sent again the guest may look at nothing. */
		acknowledged(t);
		if (!(t->flags & GW_TCP_TIMING)) {
			t->flags |= GW_TCP_TIMING;
			t->rtt_seq = t->snd_nxt;
			t->rtt_at_ms = gw_now(g);
		}
	}
	t->snd_nxt += (uint32_t)n;
	t->snd_max = tcp_seq_lt(t->snd_max, t->snd_nxt) ? t->snd_nxt : t->snd_max;
	g->n.tcp_to_guest_bytes += n;
	return true;
}

bool gw_tcp_push(struct gateway *g, struct flow *f)
{
	struct flow_tcp *t = &f->tcp;
	struct port *p = gw_port(g, f);
	struct room room;

	t->flags &= ~(uint32_t)GW_TCP_NO_ROOM;
	discard(g, f);
	if ((t->flags & GW_TCP_HOST_ERROR) && (t->flags & GW_TCP_FIN_ACKED) && !(t->flags & GW_TCP_GUEST_FIN)) {
		gw_tcp_reset(g, f); /* the host finished, and was reset while the guest went on */
		return false;
	}
	for (int burst = 0; p && (t->flags & GW_TCP_READABLE) && !(t->flags & GW_TCP_HOST_EOF); burst++) {
		uint32_t want = sendable(g, f);

		if (want == 0)
			break;
		if (burst == PUSH_BURST) {
			flow_mark(g->flows, f);
			break;
		}
		if (port_reserve(p, GW_TCP_HEAD_BYTES, want, &room) < 0) {
			t->flags |= GW_TCP_NO_ROOM;
			break;
		}
		ssize_t n = peek(g, f, &room);
		if (n <= 0)
			port_cancel(p, &room);
		if (n == -EAGAIN || n == -EINTR) {
			/* An end or an error behind data not yet discarded shows when that has gone. */
			if (!(t->flags & GW_TCP_HOST_HUP) || t->snd_nxt == t->snd_una)
				t->flags &= ~(uint32_t)GW_TCP_READABLE;
			break;
		}
		if (n < 0 || (n == 0 && (t->flags & GW_TCP_HOST_ERROR))) {
			gw_tcp_reset(g, f);
			return false;
		}
		if (n == 0) {
			send_fin(g, f);
			break;
		}
		/* A short read is the end of what is there, and the next arrival is an event; but not
		 * where urgent data was, nor before an end of file. */
		bool short_read = (size_t)n < room.n_bytes;
		if (!commit(g, f, p, &room, (size_t)n, short_read))
			break;
		if (short_read && !(t->flags & GW_TCP_HOST_HUP)) {
			t->flags &= ~(uint32_t)GW_TCP_READABLE;
			break;
		}
	}
	return true;
}

void gw_tcp_rewind(struct gateway *g, struct flow *f)
{
	struct flow_tcp *t = &f->tcp;

	/* The guest's NIC had no place for so much: half of it from now on, and little at first, for what was sent
	 * may still lie there (RFC 5681, 3.1). */
	t->ssthresh = MAX((t->snd_nxt - t->snd_una) / 2, 2u * t->mss);
	t->cwnd = 2u * t->mss;
	t->snd_nxt = t->snd_una;
	t->recover = t->snd_max;
	t->flags |= GW_TCP_REWOUND | GW_TCP_READABLE;
	t->flags &= ~(uint32_t)(GW_TCP_HOST_EOF | GW_TCP_TIMING);
	t->n_dup_acks = 0;
}

void gw_tcp_arm(struct gateway *g, struct flow *f, bool restart)
{
	struct flow_tcp *t = &f->tcp;
	uint64_t wait_ms = t->rto_ms;
	enum gw_tcp_timer what = GW_TCP_TIMER_WATCH;

	if (t->snd_una != t->snd_max) {
		what = GW_TCP_TIMER_RTO;
	} else if ((t->flags & GW_TCP_READABLE) && t->snd_wnd == 0) {
		what = GW_TCP_TIMER_PERSIST;
	} else if (t->timer == GW_TCP_TIMER_KEEP) {
		what = GW_TCP_TIMER_KEEP;
		wait_ms = GW_TCP_KEEP_MS;
	} else {
		wait_ms = GW_TCP_WATCH_MS;
	}
	if (t->timer == what && f->timer_due_ms && !restart)
		return;
	t->timer = what;
	gw_timer_arm(g, f, gw_now(g) + wait_ms);
}
