/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP: how connections begin and end, events of their sockets, timers. See gw_tcp.h. */
#include "gw_tcp.h"

#include <netinet/tcp.h>

#define ACCEPT_BURST       64
#define ACCEPT_AGAIN_MS    200
#define RESOLVE_TRIES      10
#define RESOLVE_FIRST_MS   20
#define EVICT_LOOK         16 /* how many of the oldest are looked at for one that may go */
#define REMOTE_PORT_TRIES  128 /* of several gateways most are another's */
#define FILL_BURST         4
#define POOL_LOW           8
#define KEEP_TRIES         9
#define KEEP_AGAIN_MS      75000
#define RTO_WHOLE_MS       2000 /* from here on all that the window allows is sent again: a NIC may take notice of no less */
#define SOCKET_EVENTS      (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)

/* Options of every TCP socket. Listeners pass most on to what they accept; the rest is set here. */
static void set_options(struct gateway *g, int fd, bool peek_off)
{
	const int on = 1, zero = 0;

	(void)g->sock.ops->setsockopt(g->sock.ctx, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* Out-of-band data would be read twice under SO_PEEK_OFF: it travels in line. */
	(void)g->sock.ops->setsockopt(g->sock.ctx, fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	/* The guest's own keep-alives end here: a dead server must be noticed on its behalf. */
	(void)g->sock.ops->setsockopt(g->sock.ctx, fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (peek_off)
		(void)g->sock.ops->setsockopt(g->sock.ctx, fd, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero));
}

static bool probe_peek_off(struct gateway *g, int family)
{
	const int zero = 0;
	int fd = g->sock.ops->open(g->sock.ctx, family, SOCK_STREAM, 0);

	if (fd < 0)
		return false;
	int r = g->sock.ops->setsockopt(g->sock.ctx, fd, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero));
	(void)g->sock.ops->close(g->sock.ctx, fd);
	return r == 0;
}

int gw_tcp_init(struct gateway *g)
{
	if (!g->c.no_peek_off) {
		g->peek_off4 = probe_peek_off(g, AF_INET);
		g->peek_off6 = probe_peek_off(g, AF_INET6);
	}
	return 0;
}

bool gw_tcp_fill_pool(struct gateway *g)
{
	if (g->n_pool >= GW_SOCK_POOL || g->pool_failed)
		return false;
	if (!loop_is_idle(g->loop))
		return g->n_pool < POOL_LOW;
	for (int i = 0; i < FILL_BURST && g->n_pool < GW_SOCK_POOL; i++) {
		int fd = g->sock.ops->open(g->sock.ctx, AF_INET, SOCK_STREAM, 0);

		if (fd < 0) {
			g->pool_failed = true; /* no descriptor left: each flow asks for its own, and says so */
			return false;
		}
		set_options(g, fd, g->peek_off4);
		g->pool[g->n_pool++] = fd;
	}
	return g->n_pool < GW_SOCK_POOL;
}

static int open_socket(struct gateway *g, int family)
{
	if (family == AF_INET && g->n_pool)
		return g->pool[--g->n_pool];
	int fd = g->sock.ops->open(g->sock.ctx, family, SOCK_STREAM, 0);
	if (fd >= 0)
		set_options(g, fd, family == AF_INET ? g->peek_off4 : g->peek_off6);
	return fd;
}

static void close_socket(struct gateway *g, struct flow *f, bool reset)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	if (f->fd < 0)
		return;
	if (reset)
		(void)g->sock.ops->setsockopt(g->sock.ctx, f->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)g->sock.ops->close(g->sock.ctx, f->fd);
	f->fd = -1;
}

void gw_tcp_abort(struct gateway *g, struct flow *f)
{
	close_socket(g, f, true);
	flow_free(g->flows, f);
}

void gw_tcp_reset(struct gateway *g, struct flow *f)
{
	if (f->tcp.state == GW_TCP_CONNECTING)
		gw_tcp_send_flags(g, f, TCP_RST | TCP_ACK);
	else if (f->tcp.state != GW_TCP_RESOLVING && f->tcp.state != GW_TCP_LINGER)
		gw_tcp_send_flags(g, f, TCP_RST | TCP_ACK);
	gw_tcp_abort(g, f);
}

void gw_tcp_finish(struct gateway *g, struct flow *f)
{
	close_socket(g, f, false);
	if (!(f->tcp.flags & GW_TCP_CLOSED_FIRST)) {
		flow_free(g->flows, f);
		return;
	}
	f->tcp.state = GW_TCP_LINGER;
	flow_retire(g->flows, f);
	gw_timer_arm(g, f, gw_now(g) + 2 * GW_TCP_MSL_MS);
}

/* At the cap: of the flows longest idle the first that has not begun or has ended goes; an established
 * connection never does, the newcomer is refused instead. */
static struct flow *new_flow(struct gateway *g, const struct flow_key *key)
{
	struct flow *f = flow_alloc(g->flows, key);

	if (f)
		return f;
	struct flow *old = flow_oldest(g->flows, key->port_id, FLOW_TCP);
	for (int i = 0; old && i < EVICT_LOOK; i++, old = flow_newer(g->flows, old))
		if (old->tcp.state != GW_TCP_ESTABLISHED) {
			gw_tcp_abort(g, old);
			g->n.evicted[FLOW_TCP]++;
			return flow_alloc(g->flows, key);
		}
	return NULL;
}

static uint32_t initial_seq(const struct gateway *g, const struct flow_key *key)
{
	/* RFC 6528: a clock of 4 us and a keyed hash of the connection */
	return (uint32_t)(gw_now(g) * 250) + (uint32_t)siphash(&g->c.key, key, sizeof(*key));
}

static void init_flow(struct gateway *g, struct flow *f, const struct mac *guest_mac)
{
	struct flow_tcp *s = &f->tcp;

	f->guest_mac = *guest_mac;
	s->iss = initial_seq(g, &f->key);
	s->snd_una = s->snd_nxt = s->snd_max = s->iss;
	s->rto_ms = GW_TCP_RTO_INIT_MS;
	flow_touch(g->flows, f, gw_now(g));
	g->n.tcp_opened++;
}

/* Errors of connect(), at once or later. */
static void connect_failed(struct gateway *g, struct flow *f, int error)
{
	uint8_t code;

	g->n.tcp_failed++;
	if (error != ECONNREFUSED && gw_icmp_of_errno(error, &code))
		gw_icmp_error_flow(g, f, g->c.host_be, ICMP4_UNREACHABLE, code, 0);
	else
		gw_tcp_send_flags(g, f, TCP_RST | TCP_ACK);
	gw_tcp_abort(g, f);
}

int gw_tcp_watch(struct gateway *g, struct flow *f)
{
	return g->sock.ops->watch(g->sock.ctx, f->fd, SOCKET_EVENTS, g->source_tcp, flow_number(g->flows, f));
}

static int start_connect(struct gateway *g, struct flow *f)
{
	union sock_addr sa;
	socklen_t n = gw_host_addr(f, &sa);
	int r = open_socket(g, sa.sa.sa_family);

	if (r < 0)
		return r;
	f->fd = r;
	r = g->sock.ops->connect(g->sock.ctx, f->fd, &sa.sa, n);
	return r < 0 && r != -EINPROGRESS ? r : gw_tcp_watch(g, f);
}

static enum drop_reason refuse_verdict(struct gateway *g, struct gw_pkt *k, const struct tcp *t, enum gw_verdict v)
{
	if (v == GW_REFUSE)
		gw_tcp_refuse(g, k, t);
	if (v == GW_UNREACHABLE)
		gw_icmp_error(g, k, ICMP4_UNREACHABLE, ICMP4_UNREACH_HOST, 0);
	return v == GW_UNREACHABLE ? DROP_NO_ROUTE : DROP_POLICY;
}

/* A SYN from the guest. */
enum drop_reason gw_tcp_open(struct gateway *g, struct gw_pkt *k, const struct tcp *t, const struct flow_key *key)
{
	union sock_addr host;
	enum gw_verdict verdict = gw_map(g, IP_PROTO_TCP, k->ip.dst_be, t->dst_port, &host);

	if (verdict != GW_ALLOW)
		return refuse_verdict(g, k, t, verdict);
	struct flow *f = new_flow(g, key);
	if (!f) {
		gw_tcp_refuse(g, k, t);
		return DROP_FLOW_CAP;
	}
	init_flow(g, f, &k->eth.src);
	gw_neigh_learn(g, k->port, k->ip.src_be, &k->eth.src);
	gw_host_set(f, &host);

	struct flow_tcp *s = &f->tcp;
	s->state = GW_TCP_CONNECTING;
	s->rcv_nxt = s->rcv_adv = s->rcv_looked = t->seq + 1;
	s->snd_wl1 = t->seq;
	s->snd_wnd = t->window;
	s->mss = (uint16_t)MIN(t->mss ? t->mss : TCP_DEFAULT_MSS, g->c.mtu - IP4_HEADER_BYTES - TCP_HEADER_BYTES);
	s->mss = MAX(s->mss, (uint16_t)88);
	if (t->wscale >= 0) {
		s->guest_wscale = (uint8_t)t->wscale;
		s->our_wscale = GW_TCP_WSCALE;
	}
	int r = start_connect(g, f);
	if (r < 0) {
		connect_failed(g, f, -r);
		return r == -EMFILE || r == -ENFILE || r == -EADDRNOTAVAIL ? DROP_NO_SOCKET : DROP_NO_ROUTE;
	}
	return DROP_NONE;
}

void gw_tcp_established(struct gateway *g, struct flow *f, const struct tcp *t)
{
	struct flow_tcp *s = &f->tcp;

	s->state = GW_TCP_ESTABLISHED;
	s->snd_una = s->snd_nxt = s->snd_max = s->iss + 1;
	s->snd_wnd = t->flags & TCP_SYN ? t->window : (uint32_t)t->window << s->guest_wscale;
	s->n_retries = 0;
	flow_mark(g->flows, f);
}

enum drop_reason gw_tcp_input(struct gateway *g, struct gw_pkt *k)
{
	struct tcp t;
	struct rd r = k->r;
	enum drop_reason reason = tcp_parse(&r, &t);

	if (!reason && t.header_bytes > k->ip.payload_bytes)
		reason = DROP_TRUNCATED;
	if (!reason)
		reason = gw_check_l4(k, TCP_CSUM_OFFSET, OFFLOAD_GSO_TCP4, k->ip.payload_bytes);
	if (reason)
		return reason;
	struct flow_key key = {
		.guest = ip_addr_from4(k->ip.src_be),
		.remote = ip_addr_from4(k->ip.dst_be),
		.guest_port = t.src_port,
		.remote_port = t.dst_port,
		.port_id = k->port->id,
		.kind = FLOW_TCP,
	};
	struct flow *f = flow_find(g->flows, &key);
	if (f) {
		flow_touch(g->flows, f, gw_now(g));
		f->guest_mac = k->eth.src;
		return gw_tcp_segment(g, f, k, &t);
	}
	if ((t.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
		return gw_tcp_open(g, k, &t, &key);
	gw_tcp_refuse(g, k, &t);
	return t.flags & TCP_RST ? DROP_NONE : DROP_NOT_FOR_US;
}

static void send_syn(struct gateway *g, struct flow *f)
{
	f->tcp.state = GW_TCP_SYN_SENT;
	f->tcp.our_wscale = GW_TCP_WSCALE;
	f->tcp.rcv_adv = f->tcp.rcv_nxt + gw_tcp_first_window(g, f);
	f->tcp.n_retries = 0;
	f->tcp.snd_nxt = f->tcp.snd_max = f->tcp.iss + 1;
	gw_tcp_send_flags(g, f, TCP_SYN);
	gw_timer_arm(g, f, gw_now(g) + f->tcp.rto_ms);
}

/* A key for a client; where its port is taken (two host addresses are one to the guest), another. */
static struct flow *inbound_flow(struct gateway *g, struct flow_key *key)
{
	for (int i = 0; i < REMOTE_PORT_TRIES; i++) {
		bool owned = i == 0 || gw_owns(g, key);
		struct flow *f = owned ? flow_find(g->flows, key) : NULL;

		if (f && f->tcp.state == GW_TCP_LINGER) {
			flow_free(g->flows, f);
			f = NULL;
		}
		if (owned && !f)
			return new_flow(g, key);
		key->remote_port = (uint16_t)(32768 + siphash(&g->c.key, key, sizeof(*key)) % 28232);
	}
	return NULL;
}

/* A flow of a connection that came in, watched. NULL: it was closed. */
static struct flow *begin_inbound(struct gateway *g, const struct gateway_inbound *c)
{
	struct flow_key key = c->key;
	struct flow *f = inbound_flow(g, &key);

	if (!f) {
		(void)g->sock.ops->close(g->sock.ctx, c->fd);
		return NULL;
	}
	init_flow(g, f, &c->mac);
	f->fd = c->fd;
	f->host = c->host;
	f->host_port = c->host_port;
	f->tcp.state = GW_TCP_RESOLVING;
	f->tcp.flags = GW_TCP_INBOUND;
	if (gw_tcp_watch(g, f) == 0)
		return f;
	gw_tcp_abort(g, f);
	return NULL;
}

void gateway_take_over(struct gateway *g, const struct gateway_inbound *c)
{
	struct flow *f = begin_inbound(g, c);

	if (f)
		send_syn(g, f);
}

/* To the gateway that its flow belongs to, which is another. false: not now. */
static bool hand_over(struct gateway *g, const struct gateway_inbound *c)
{
	const struct gateway_share *s = g->c.share;

	return s->hand_over(s->ctx, s->owner(s->ctx, &c->key), c);
}

/* Looks the guest up; asks for it if nobody has been heard by that address. */
static void resolve(struct gateway *g, struct flow *f)
{
	uint32_t guest_be = ip_addr_4(&f->key.guest);
	const struct gw_neigh *n = gw_neigh_find(g, guest_be);

	if (!n) {
		if (f->tcp.n_retries++ >= RESOLVE_TRIES) {
			gw_tcp_abort(g, f);
			return;
		}
		gw_arp_ask(g, guest_be);
		gw_timer_arm(g, f, gw_now(g) + MIN(1000u, (uint32_t)RESOLVE_FIRST_MS << f->tcp.n_retries));
		return;
	}
	if (n->port_id == f->key.port_id && gw_owns(g, &f->key)) {
		f->guest_mac = n->mac;
		send_syn(g, f);
		return;
	}
	/* It is behind another port than was assumed, or another gateway's: the flow begins anew. */
	struct gateway_inbound c = {f->fd, f->key, n->mac, f->host, f->host_port};

	c.key.port_id = n->port_id;
	bool owned = gw_owns(g, &c.key);
	if (!owned && !hand_over(g, &c)) {
		gw_timer_arm(g, f, gw_now(g) + RESOLVE_FIRST_MS);
		return;
	}
	(void)g->sock.ops->unwatch(g->sock.ctx, c.fd);
	f->fd = -1;
	g->n.tcp_opened--;
	gw_tcp_abort(g, f);
	if (owned)
		gateway_take_over(g, &c);
}

static void accepted(struct gateway *g, const struct gateway_forward *w, int fd, const union sock_addr *peer)
{
	uint32_t guest_be = w->guest_be ? w->guest_be : g->c.dhcp_start_be;
	const struct gw_neigh *n = gw_neigh_find(g, guest_be);
	struct gateway_inbound c = {.fd = fd};

	if (!sock_addr_get(peer, &c.host, &c.host_port) || !ip_addr_is4(&c.host)) {
		(void)g->sock.ops->close(g->sock.ctx, fd);
		return;
	}
	set_options(g, fd, g->peek_off4);
	c.key = (struct flow_key){
		.guest = ip_addr_from4(guest_be),
		.remote = ip_addr_from4(gw_unmap(g, ip_addr_4(&c.host))),
		.guest_port = w->guest_port,
		.remote_port = c.host_port,
		.port_id = n ? n->port_id : 0,
		.kind = FLOW_TCP,
	};
	if (n) {
		c.mac = n->mac;
		if (!gw_owns(g, &c.key) && hand_over(g, &c))
			return;
	}
	struct flow *f = begin_inbound(g, &c);
	if (f)
		resolve(g, f);
}

void gw_tcp_listen_event(void *ctx, uint32_t number, uint32_t events)
{
	struct gateway *g = ctx;
	struct gw_forward *w = &g->forwards[number];

	/* Level-triggered: what is left over comes with the next batch. */
	for (int i = 0; i < ACCEPT_BURST && w->used; i++) {
		union sock_addr peer;
		socklen_t n = sizeof(peer);
		int fd = g->sock.ops->accept(g->sock.ctx, w->c.fd, &peer.sa, &n);

		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
			/* Who waits stays in the backlog, and the event would come back at once. */
			w->paused = g->sock.ops->rewatch(g->sock.ctx, w->c.fd, 0, g->source_tcp_listen, number) == 0;
			loop_timer_set(g->loop, &g->accept_timer, gw_now(g) + ACCEPT_AGAIN_MS);
			return;
		}
		if (fd < 0)
			return;
		accepted(g, &w->c, fd, &peer);
	}
}

void gw_tcp_listen_again(void *ctx, uint64_t now_ms)
{
	struct gateway *g = ctx;

	for (unsigned int i = 0; i < g->n_forwards; i++)
		if (g->forwards[i].paused) {
			g->forwards[i].paused = false;
			(void)g->sock.ops->rewatch(g->sock.ctx, g->forwards[i].c.fd, EPOLLIN, g->source_tcp_listen, i);
		}
}

static void connected(struct gateway *g, struct flow *f, uint32_t events)
{
	struct flow_tcp *s = &f->tcp;

	if (events & (EPOLLERR | EPOLLHUP)) {
		int error = 0;
		socklen_t n = sizeof(error);

		if (g->sock.ops->getsockopt(g->sock.ctx, f->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error) {
			connect_failed(g, f, error);
			return;
		}
	}
	if (events & EPOLLIN)
		s->flags |= GW_TCP_READABLE;
	if (!(events & EPOLLOUT))
		return;
	s->state = GW_TCP_SYN_RCVD;
	s->snd_nxt = s->snd_max = s->iss + 1;
	s->rcv_adv = s->rcv_nxt + gw_tcp_first_window(g, f);
	gw_tcp_send_flags(g, f, TCP_SYN | TCP_ACK);
	gw_timer_arm(g, f, gw_now(g) + s->rto_ms);
}

void gw_tcp_event(void *ctx, uint32_t number, uint32_t events)
{
	struct gateway *g = ctx;
	struct flow *f = flow_get(g->flows, number);

	if (f->dying || f->key.kind != FLOW_TCP || f->fd < 0)
		return;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLPRI | EPOLLERR))
		f->tcp.flags |= GW_TCP_HOST_HUP | GW_TCP_READABLE;
	if (f->tcp.state == GW_TCP_CONNECTING) {
		connected(g, f, events);
		return;
	}
	if (events & EPOLLIN)
		f->tcp.flags |= GW_TCP_READABLE;
	/* Before the end of file the error comes by reading; behind it nobody reads. */
	if ((events & EPOLLERR) && (f->tcp.flags & GW_TCP_HOST_EOF))
		f->tcp.flags |= GW_TCP_HOST_ERROR;
	if ((events & EPOLLOUT) && (f->tcp.flags & GW_TCP_OUT_ARMED)) {
		f->tcp.flags &= ~(uint32_t)GW_TCP_OUT_ARMED;
		f->tcp.flags |= GW_TCP_OUT_READY;
	}
	if (f->tcp.state == GW_TCP_ESTABLISHED)
		flow_mark(g->flows, f);
}

/* Room in the socket, perhaps again. If data was dropped for want of it, the guest is told four times,
 * which makes the guest send it again at once (RFC 5681, 3.2). */
static void reopen_window(struct gateway *g, struct flow *f)
{
	struct flow_tcp *s = &f->tcp;

	s->flags &= ~(uint32_t)GW_TCP_OUT_READY;
	/* A socket shut for writing is always writable: asking again would answer at once, again and again. */
	if (s->flags & GW_TCP_GUEST_FIN)
		return;
	gw_tcp_update_window(g, f);
	if (!(s->flags & GW_TCP_SOCKET_FULL) || (s->flags & GW_TCP_OUT_ARMED))
		return; /* nothing was dropped; or not yet: EPOLLOUT comes first */
	s->flags &= ~(uint32_t)GW_TCP_SOCKET_FULL;
	for (int i = 0; i < 3; i++)
		gw_tcp_send_ack(g, f);
	s->flags |= GW_TCP_ACK_DUE;
}

void gw_tcp_work(struct gateway *g, struct flow *f)
{
	struct flow_tcp *s = &f->tcp;
	uint32_t before = s->rcv_adv;

	if (s->state != GW_TCP_ESTABLISHED)
		return;
	if (s->flags & GW_TCP_OUT_READY)
		reopen_window(g, f);
	else if ((s->flags & (GW_TCP_ACK_DUE | GW_TCP_ACK_SOON)) && !(s->flags & GW_TCP_GUEST_FIN) &&
			(s->rcv_nxt - s->rcv_looked >= 16384 || s->rcv_adv - s->rcv_nxt < MAX(16384u, (uint32_t)g->c.mtu)))
		gw_tcp_update_window(g, f);
	if (s->rcv_adv != before)
		s->flags |= GW_TCP_ACK_DUE; /* the guest may have waited for it */
	if (!gw_tcp_push(g, f))
		return;
	gw_tcp_ack(g, f);
	if ((s->flags & GW_TCP_GUEST_FIN) && (s->flags & GW_TCP_FIN_ACKED) && s->n_discard == 0) {
		gw_tcp_finish(g, f);
		return;
	}
	gw_tcp_arm(g, f, false);
}

static bool guest_heard(struct gateway *g, struct flow *f)
{
	const struct port *p = gw_port(g, f);
	uint64_t heard_ms = p ? port_heard_ms(p) : 0;
	bool heard = p && heard_ms != f->tcp.heard_ms;

	f->tcp.heard_ms = heard_ms;
	return heard;
}

static void back_off(struct flow_tcp *s)
{
	s->rto_ms = MIN(s->rto_ms * 2, (uint32_t)GW_TCP_RTO_MAX_MS);
}

static void handshake_timer(struct gateway *g, struct flow *f)
{
	struct flow_tcp *s = &f->tcp;

	/* A guest that says nothing at all may be paused: that does not count. */
	if (guest_heard(g, f) && s->n_retries++ >= GW_TCP_SYN_RETRIES) {
		g->n.tcp_failed++;
		gw_tcp_reset(g, f);
		return;
	}
	gw_tcp_send_flags(g, f, s->state == GW_TCP_SYN_SENT ? TCP_SYN : TCP_SYN | TCP_ACK);
	back_off(s);
	gw_timer_arm(g, f, gw_now(g) + s->rto_ms);
}

/* Nothing outstanding: a look whether an event was missed. */
static void watch_timer(struct gateway *g, struct flow *f)
{
	uint32_t before = f->tcp.snd_max;

	f->tcp.flags |= GW_TCP_READABLE;
	f->tcp.timer = GW_TCP_TIMER_KEEP;
	if (!gw_tcp_push(g, f))
		return;
	if (f->tcp.snd_max != before)
		g->n.tcp_watchdog++;
	gw_tcp_arm(g, f, true);
}

static void keep_timer(struct gateway *g, struct flow *f)
{
	uint64_t due_ms = f->used_ms + GW_TCP_KEEP_MS;

	if (due_ms > gw_now(g)) {
		f->tcp.n_retries = 0;
		gw_timer_arm(g, f, due_ms);
		return;
	}
	if (guest_heard(g, f) && f->tcp.n_retries++ >= KEEP_TRIES) {
		gw_tcp_reset(g, f);
		return;
	}
	gw_tcp_probe(g, f);
	gw_timer_arm(g, f, gw_now(g) + KEEP_AGAIN_MS);
}

static void rto_timer(struct gateway *g, struct flow *f)
{
	struct flow_tcp *s = &f->tcp;

	if (guest_heard(g, f) && s->n_retries++ >= GW_TCP_RETRIES) {
		g->n.tcp_failed++;
		gw_tcp_reset(g, f);
		return;
	}
	back_off(s);
	gw_tcp_rewind(g, f);
	if (s->rto_ms >= RTO_WHOLE_MS)
		s->cwnd = 0;
	if (s->snd_wnd == 0)
		gw_tcp_probe(g, f); /* it shrank to nothing: what was sent is asked about, not sent again */
	else if (!gw_tcp_push(g, f))
		return;
	gw_tcp_arm(g, f, true);
}

static void established_timer(struct gateway *g, struct flow *f)
{
	switch (f->tcp.timer) {
	case GW_TCP_TIMER_RTO:
		rto_timer(g, f);
		break;
	case GW_TCP_TIMER_PERSIST:
		gw_tcp_probe(g, f);
		back_off(&f->tcp);
		gw_tcp_arm(g, f, true);
		break;
	case GW_TCP_TIMER_KEEP:
		keep_timer(g, f);
		break;
	default:
		watch_timer(g, f);
		break;
	}
}

static bool is_abandoned(struct gateway *g, struct flow *f)
{
	const struct port *p = gw_port(g, f);

	return p && p->last_rx_ms && gw_now(g) > p->last_rx_ms + GW_TCP_GONE_MS;
}

void gw_tcp_timer_due(struct gateway *g, struct flow *f)
{
	if (f->tcp.state == GW_TCP_ESTABLISHED && is_abandoned(g, f)) {
		gw_tcp_reset(g, f);
		return;
	}
	switch (f->tcp.state) {
	case GW_TCP_RESOLVING:
		resolve(g, f);
		break;
	case GW_TCP_SYN_SENT:
	case GW_TCP_SYN_RCVD:
		handshake_timer(g, f);
		break;
	case GW_TCP_ESTABLISHED:
		established_timer(g, f);
		break;
	case GW_TCP_LINGER:
		flow_free(g->flows, f);
		break;
	default:
		break;
	}
}

void gw_tcp_wake(struct gateway *g, struct flow *f)
{
	struct flow_tcp *s = &f->tcp;

	if (s->state == GW_TCP_LINGER || s->state == GW_TCP_CONNECTING || s->state == GW_TCP_RESOLVING)
		return;
	s->n_retries = 0;
	if (s->snd_una == s->snd_max)
		return;
	s->rto_ms = GW_TCP_RTO_INIT_MS;
	gw_timer_arm(g, f, gw_now(g) + GW_TCP_RTO_MIN_MS);
}
