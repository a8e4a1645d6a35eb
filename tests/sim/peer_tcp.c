/* SPDX-License-Identifier: BSD-2-Clause */
#include "peer_internal.h"

#include <assert.h>

#include "arp.h"
#include "csum.h"
#include "eth.h"
#include "icmp4.h"
#include "ip4.h"

const char *peer_state_name(enum peer_state s)
{
	static const char *const names[] = {
		[PEER_CLOSED] = "closed",
		[PEER_LISTEN] = "listen",
		[PEER_SYN_SENT] = "syn-sent",
		[PEER_SYN_RCVD] = "syn-received",
		[PEER_ESTABLISHED] = "established",
		[PEER_FIN_WAIT_1] = "fin-wait-1",
		[PEER_FIN_WAIT_2] = "fin-wait-2",
		[PEER_CLOSING] = "closing",
		[PEER_TIME_WAIT] = "time-wait",
		[PEER_CLOSE_WAIT] = "close-wait",
		[PEER_LAST_ACK] = "last-ack",
	};
	static_assert(ARRAY_SIZE(names) == PEER_STATE_MAX, "name each state");

	return names[s];
}

void peer_init(struct peer *p, const struct peer_config *c)
{
	*p = (struct peer){.sim = c->sim, .c = *c, .gateway_mac = c->gateway_mac};
	p->have_gateway = !mac_is_zero(&c->gateway_mac);
}

void peer_done(struct peer *p)
{
	while (p->conns)
		peer_forget(p, p->conns);
}

static struct wr frame_start(struct peer *p, struct mem_frame *f, const struct mac *to, uint16_t type)
{
	struct wr w = wr_of(f->bytes, f->n_bytes);

	eth_emit(&w, &(struct eth){.dst = *to, .src = p->c.mac, .type = type});
	return w;
}

static void send_arp(struct peer *p, const struct mac *to, const struct arp *a)
{
	struct mem_frame *f = sim_frame_new(ETH_HEADER_BYTES + ARP_BYTES);
	struct wr w = frame_start(p, f, to, ETH_TYPE_ARP);

	arp_emit(&w, a);
	p->c.out(p->c.ctx, f);
}

void peer_arp(struct peer *p)
{
	struct mac all = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

	send_arp(p, &all,
		&(struct arp){.op = ARP_OP_REQUEST,
			.sender_mac = p->c.mac,
			.sender_be = p->c.ip_be,
			.target_be = p->c.gateway_be});
}

/* The IPv4 header at w; the frame's addresses are the peer's and the gateway's. */
static struct wr packet_start(
	struct peer *p, struct mem_frame *f, uint8_t proto, uint32_t dst_be, uint8_t ttl)
{
	struct wr w = frame_start(p, f, &p->gateway_mac, ETH_TYPE_IP4);

	ip4_emit(&w, &(struct ip4){.ttl = ttl,
			     .proto = proto,
			     .payload_bytes = (uint16_t)(f->n_bytes - ETH_HEADER_BYTES - IP4_HEADER_BYTES),
			     .id = p->ip_id++,
			     .frag = IP4_DONT_FRAG,
			     .src_be = p->c.ip_be,
			     .dst_be = dst_be});
	return w;
}

void peer_send_ip(struct peer *p, uint8_t proto, uint32_t dst_be, const void *l4, size_t n, uint8_t ttl)
{
	struct mem_frame *f = sim_frame_new(ETH_HEADER_BYTES + IP4_HEADER_BYTES + n);
	struct wr w = packet_start(p, f, proto, dst_be, ttl);

	wr_copy(&w, l4, n);
	p->c.out(p->c.ctx, f);
}

void peer_send_tcp(struct peer *p, uint32_t dst_be, const struct tcp *t, uint64_t seed, uint64_t offset,
	size_t n, const void *data, uint16_t gso_size)
{
	size_t n_header = TCP_HEADER_BYTES + (t->mss ? 4u : 0) + (t->wscale >= 0 ? 4u : 0);
	struct mem_frame *f = sim_frame_new(ETH_HEADER_BYTES + IP4_HEADER_BYTES + n_header + n);
	struct wr w = packet_start(p, f, IP_PROTO_TCP, dst_be, IP4_TTL_DEFAULT);
	uint8_t *l4 = w.p;
	struct ip_addr src = ip_addr_from4(p->c.ip_be), dst = ip_addr_from4(dst_be);
	uint64_t sum = csum_pseudo(&src, &dst, IP_PROTO_TCP, (uint32_t)(n_header + n));
	uint16_t check;

	tcp_emit(&w, t);
	if (data)
		memcpy(w.p, data, n);
	else
		stream_fill(seed, offset, w.p, n);
	if (p->c.tx_csum || gso_size) {
		check = csum_fold_partial(sum);
		f->offload = (struct offload){
			.csum_needed = true,
			.csum_start = ETH_HEADER_BYTES + IP4_HEADER_BYTES,
			.csum_offset = TCP_CSUM_OFFSET,
			.gso = gso_size ? OFFLOAD_GSO_TCP4 : OFFLOAD_GSO_NONE,
			.gso_size = gso_size,
			.header_len =
				gso_size ? (uint16_t)(ETH_HEADER_BYTES + IP4_HEADER_BYTES + n_header) : 0,
		};
	} else {
		check = csum_fold(csum_add(l4, n_header + n, sum));
	}
	memcpy(l4 + TCP_CSUM_OFFSET, &check, 2);
	p->c.out(p->c.ctx, f);
}

void peer_send_raw(struct peer_conn *c, const struct peer_raw *r)
{
	struct tcp t = {.src_port = c->c.local_port,
		.dst_port = c->c.remote_port,
		.seq = r->seq,
		.ack = r->ack,
		.flags = r->flags,
		.window = r->window,
		.urgent = r->urgent,
		.wscale = -1};
	struct ip_addr src = ip_addr_from4(c->peer->c.ip_be), dst = ip_addr_from4(c->c.remote_be);
	size_t n_head = TCP_HEADER_BYTES + r->n_options, n = n_head + r->n_bytes;
	_cleanup_free_ uint8_t *l4 = calloc(1, n);
	struct wr w = wr_of(l4, n);

	if (!l4)
		abort();
	tcp_emit(&w, &t);
	wr_copy(&w, r->options, r->n_options);
	wr_copy(&w, r->data, r->n_bytes);
	l4[12] = (uint8_t)(n_head / 4 << 4);
	uint16_t check = csum_fold(csum_add(l4, n, csum_pseudo(&src, &dst, IP_PROTO_TCP, (uint32_t)n)));
	check = (uint16_t)(check + r->csum_error);
	memcpy(l4 + TCP_CSUM_OFFSET, &check, 2);
	peer_send_ip(c->peer, IP_PROTO_TCP, c->c.remote_be, l4, n, IP4_TTL_DEFAULT);
}

struct peer_conn *peer_find(struct peer *p, uint16_t local_port, uint32_t remote_be, uint16_t remote_port)
{
	for (struct peer_conn *c = p->conns; c; c = c->next)
		if (c->c.local_port == local_port && c->c.remote_port == remote_port &&
			c->c.remote_be == remote_be && c->state != PEER_CLOSED)
			return c;
	return NULL;
}

struct peer_conn *peer_new_conn(struct peer *p, const struct peer_tcp_config *config, enum peer_state state)
{
	struct peer_conn *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->peer = p;
	c->c = *config;
	if (!c->c.rcvbuf_bytes)
		c->c.rcvbuf_bytes = 256 * 1024;
	if (!c->c.sndbuf_bytes)
		c->c.sndbuf_bytes = 256 * 1024;
	if (!c->c.mss)
		c->c.mss = (uint16_t)(p->c.mtu - 40);
	if (!c->c.timewait_ms)
		c->c.timewait_ms = 60000;
	if (!c->c.n_retries)
		c->c.n_retries = 15;
	c->state = state;
	c->icmp_type = c->icmp_code = -1;
	c->mss = TCP_DEFAULT_MSS;
	c->end = 1;
	c->rto_ms = c->base_rto_ms = 1000;
	c->ssthresh = UINT32_MAX;
	c->next = p->conns;
	p->conns = c;
	return c;
}

struct peer_conn *peer_connect(struct peer *p, const struct peer_tcp_config *config)
{
	struct peer_conn *c = peer_new_conn(p, config, PEER_SYN_SENT);

	peer_out_syn(c);
	return c;
}

void peer_listen(struct peer *p, uint16_t port, const struct peer_tcp_config *c)
{
	p->listener = *c;
	p->listen_port = port;
	p->listening = true;
}

void peer_forget(struct peer *p, struct peer_conn *c)
{
	for (struct peer_conn **at = &p->conns; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	free(c);
}

static void input_arp(struct peer *p, struct rd *r)
{
	struct arp a;

	if (arp_parse(r, &a))
		return;
	if (a.op == ARP_OP_REPLY && a.sender_be == p->c.gateway_be) {
		p->gateway_mac = a.sender_mac;
		p->have_gateway = true;
	} else if (a.op == ARP_OP_REQUEST && a.target_be == p->c.ip_be) {
		send_arp(p, &a.sender_mac,
			&(struct arp){.op = ARP_OP_REPLY,
				.sender_mac = p->c.mac,
				.sender_be = p->c.ip_be,
				.target_mac = a.sender_mac,
				.target_be = a.sender_be});
	}
}

/* An error about one of our own segments: soft, for it to show; a connection in SYN-SENT ends (RFC
 * 5461, 4.1). */
static void input_icmp(struct peer *p, struct rd *r, size_t left)
{
	struct icmp4 icmp;
	struct ip4 ip;

	if (icmp4_parse(r, &icmp) || (icmp.type != ICMP4_UNREACHABLE && icmp.type != ICMP4_TIME_EXCEEDED))
		return;
	const uint8_t *inner = r->p;
	struct rd quoted = rd_of(inner, r->left);
	/* The quoted packet may be cut short: its length is what it says. */
	if (ip4_parse(&quoted, 65535, &ip) || ip.proto != IP_PROTO_TCP)
		return;
	uint16_t local = rd_u16(&quoted), remote = rd_u16(&quoted);
	struct peer_conn *c = quoted.bad ? NULL : peer_find(p, local, ip.dst_be, remote);
	if (!c)
		return;
	c->icmp_type = icmp.type;
	c->icmp_code = icmp.code;
	if (c->state == PEER_SYN_SENT)
		peer_close(c, EHOSTUNREACH);
}

static bool checksum_right(const struct mem_frame *f, const struct ip4 *ip, const uint8_t *l4)
{
	struct ip_addr src = ip_addr_from4(ip->src_be), dst = ip_addr_from4(ip->dst_be);
	uint64_t sum = csum_pseudo(&src, &dst, ip->proto, ip->payload_bytes);

	return f->offload.csum_needed || csum_fold(csum_add(l4, ip->payload_bytes, sum)) == 0;
}

static void input_tcp(struct peer *p, const struct mem_frame *f, struct rd *r, const struct ip4 *ip)
{
	struct peer_packet k = {.src_be = ip->src_be};
	const uint8_t *l4 = r->p;

	if (!checksum_right(f, ip, l4) || tcp_parse(r, &k.tcp)) {
		p->n_bad++;
		return;
	}
	k.data = r->p;
	k.n_bytes = r->left;
	struct peer_conn *c = peer_find(p, k.tcp.dst_port, ip->src_be, k.tcp.src_port);
	if (c)
		peer_in(c, &k);
	else
		peer_out_refuse(p, &k);
}

void peer_input(struct peer *p, const struct mem_frame *f)
{
	struct rd r = rd_of(f->bytes, f->n_bytes);
	struct eth eth;
	struct ip4 ip;

	if (eth_parse(&r, &eth) || !(mac_eq(&eth.dst, &p->c.mac) || mac_is_group(&eth.dst)))
		return;
	if (eth.type == ETH_TYPE_ARP) {
		input_arp(p, &r);
		return;
	}
	if (eth.type != ETH_TYPE_IP4 || ip4_parse(&r, r.left, &ip) || ip.dst_be != p->c.ip_be) {
		p->n_bad++;
		return;
	}
	if (p->other && ip.proto != IP_PROTO_TCP)
		p->other(p->other_ctx, f);
	if (ip.proto == IP_PROTO_TCP)
		input_tcp(p, f, &r, &ip);
	else if (ip.proto == IP_PROTO_ICMP)
		input_icmp(p, &r, r.left);
}

static void run_conn(struct peer_conn *c)
{
	struct app *a = &c->app;
	uint64_t now_ms = c->peer->sim->now_ms;
	uint64_t n = MIN(c->n_unread, app_recv_room(a, now_ms));

	if (n) {
		c->n_unread -= n;
		app_received(a, n, now_ms);
	}
	if (c->rcv_fin && c->rcv_nxt > c->rcv_fin && !c->n_unread && !a->fin_received)
		app_fin(a, now_ms);
	if (c->state >= PEER_ESTABLISHED && app_wants_rst(a, now_ms)) {
		a->reset_sent = true;
		peer_out_segment(c, c->max, 0, TCP_RST | TCP_ACK);
		peer_close(c, 0);
		return;
	}
	peer_out_timers(c);
	peer_out(c);
}

void peer_run(struct peer *p)
{
	for (struct peer_conn *c = p->conns; c; c = c->next)
		if (c->state != PEER_CLOSED)
			run_conn(c);
}

uint64_t peer_next_ms(struct peer *p)
{
	uint64_t next_ms = UINT64_MAX;

	for (struct peer_conn *c = p->conns; c; c = c->next) {
		uint64_t due[] = {c->rto_due_ms, c->persist_due_ms, c->delack_due_ms, c->timewait_due_ms};

		if (c->state == PEER_CLOSED)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(due); i++)
			if (due[i])
				next_ms = MIN(next_ms, due[i]);
		if (c->state >= PEER_ESTABLISHED) {
			uint64_t app_ms = app_next_ms(&c->app, p->sim->now_ms, c->n_unread);

			next_ms = MIN(next_ms, app_ms);
		}
	}
	return next_ms;
}
