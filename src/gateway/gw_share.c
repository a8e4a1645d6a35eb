/* SPDX-License-Identifier: BSD-2-Clause */
/* Several gateways that serve the same guests (gateway_share): each owns some of the flows, by a hash (steer.h),
 * and knows nothing of the others'. The first alone has what there is only one of: it answers ARP and DHCP,
 * accepts connections, asks resolvers. Frames come to a flow's owner; what else passes between gateways is in
 * this file. */
#include "gw_tcp.h"

bool gw_pass_on(struct gateway *g, const struct gw_pkt *k, const uint8_t *payload, size_t n)
{
	uint8_t head[FRAME_HEAD_BYTES];
	struct wr w = wr_of(head, sizeof(head));
	struct ip4 ip = k->ip;

	eth_emit(&w, &k->eth);
	ip.frag = 0;
	ip.payload_bytes = (uint16_t)n;
	ip4_emit(&w, &ip);
	size_t n_headers = sizeof(head) - w.left, n_more = MIN(w.left, n);
	wr_copy(&w, payload, n_more);
	struct iovec v[2] = {{head, n_headers}, {(void *)(uintptr_t)payload, n}};
	struct frame f = {
		.head = head, .head_bytes = n_headers + n_more, .iov = v, .n_iov = 2, .n_bytes = n_headers + n};

	return g->c.share->pass_on(g->c.share->ctx, k->port, &f);
}

void gateway_learn(struct gateway *g, uint16_t port_id, uint32_t addr_be, const struct mac *m)
{
	const struct port *p = lan_port(g->lan, port_id);

	if (p)
		gw_neigh_learn(g, p, addr_be, m);
}

static int watch_socket(struct gateway *g, struct flow *f)
{
	uint32_t number = flow_number(g->flows, f);

	if (f->fd < 0)
		return 0;
	if (f->key.kind == FLOW_TCP)
		return gw_tcp_watch(g, f);
	return g->sock.ops->watch(g->sock.ctx, f->fd, EPOLLIN | EPOLLET,
			f->key.kind == FLOW_PING ? g->source_ping : g->source_udp, number);
}

static void reset_flow(struct gateway *g, struct flow *f)
{
	if (f->key.kind == FLOW_TCP)
		gw_tcp_reset(g, f);
	else if (f->key.kind == FLOW_UDP || f->key.kind == FLOW_UDP_IN)
		gw_udp_end(g, f);
	else
		gw_ping_end(g, f);
}

/* The flow is data and a descriptor: both go over. What its socket has to say it says again when it is
 * watched, and work that was due is due there. */
static void move_flow(struct gateway *from, struct gateway *to, struct flow *f)
{
	struct flow *moved = flow_find(to->flows, &f->key) ? NULL : flow_alloc(to->flows, &f->key);

	if (!moved) {
		reset_flow(from, f);
		return;
	}
	moved->host = f->host;
	moved->host_scope = f->host_scope;
	moved->host_port = f->host_port;
	moved->guest_mac = f->guest_mac;
	if (f->key.kind == FLOW_TCP)
		moved->tcp = f->tcp;
	else
		moved->udp = f->udp;
	uint64_t due_ms = f->timer_due_ms, used_ms = f->used_ms;
	if (f->fd >= 0)
		(void)from->sock.ops->unwatch(from->sock.ctx, f->fd);
	moved->fd = TAKE_FD(f->fd);
	flow_free(from->flows, f);
	flow_touch(to->flows, moved, used_ms);
	if (watch_socket(to, moved) < 0) {
		reset_flow(to, moved);
		return;
	}
	if (due_ms)
		gw_timer_arm(to, moved, due_ms);
	if (moved->key.kind == FLOW_TCP && moved->tcp.state == GW_TCP_LINGER)
		flow_retire(to->flows, moved);
	else if (moved->key.kind != FLOW_PING)
		flow_mark(to->flows, moved);
}

struct move {
	struct gateway *from;
	struct gateway *const *all;
};

static void move_if_due(void *ctx, struct flow *f)
{
	const struct move *m = ctx;
	const struct gateway_share *s = m->from->c.share;

	/* Until its guest is found, a connection is not yet what its key says. */
	if (f->key.kind == FLOW_TCP && f->tcp.state == GW_TCP_RESOLVING)
		return;
	unsigned int to = s->owner(s->ctx, &f->key);
	if (to != s->index)
		move_flow(m->from, m->all[to], f);
}

void gateway_move_flows(struct gateway *g, struct gateway *const *all)
{
	flow_for_each(g->flows, UINT16_MAX, move_if_due, &(struct move){g, all});
}
