/* SPDX-License-Identifier: BSD-2-Clause */
/* What `info usernet` shows of flows. Nothing of a flow is remembered for it but what it has anyway: of a
 * connection that came in, the address that the client spoke to is asked of its socket. */
#include "gw_tcp.h"

static enum flow_info_state state_of(const struct flow *f)
{
	bool guest_fin = f->tcp.flags & GW_TCP_GUEST_FIN, fin_sent = f->tcp.flags & GW_TCP_FIN_SENT;
	bool fin_acked = f->tcp.flags & GW_TCP_FIN_ACKED;

	switch ((enum gw_tcp_state)f->tcp.state) {
	case GW_TCP_CONNECTING:
	case GW_TCP_SYN_RCVD:
		return FLOW_INFO_SYN_RCVD;
	case GW_TCP_RESOLVING:
	case GW_TCP_SYN_SENT:
		return FLOW_INFO_SYN_SENT;
	case GW_TCP_LINGER:
		return FLOW_INFO_TIME_WAIT;
	case GW_TCP_ESTABLISHED:
	case GW_TCP_STATE_MAX:
		break;
	}
	if (guest_fin && fin_sent)
		return f->tcp.flags & GW_TCP_CLOSED_FIRST ? FLOW_INFO_CLOSING : FLOW_INFO_LAST_ACK;
	if (fin_sent)
		return fin_acked ? FLOW_INFO_FIN_WAIT_2 : FLOW_INFO_FIN_WAIT_1;
	return guest_fin ? FLOW_INFO_CLOSE_WAIT : FLOW_INFO_ESTABLISHED;
}

/* Where a client came in. */
static void find_local(struct gateway *g, const struct flow *f, struct flow_info *ret)
{
	int fd = f->key.kind == FLOW_UDP_IN && f->udp.forward ? g->forwards[f->udp.forward - 1].c.fd : f->fd;
	union sock_addr a = {0};
	socklen_t n = sizeof(a);

	ret->src = ip_addr_from4(0);
	ret->src_port = 0;
	if (fd >= 0 && g->sock.ops->getsockname(g->sock.ctx, fd, &a.sa, &n) >= 0)
		(void)sock_addr_get(&a, &ret->src, &ret->src_port);
	if (f->key.kind == FLOW_UDP_IN && f->udp.local_be)
		ret->src = ip_addr_from4(f->udp.local_be);
}

static void describe(struct gateway *g, const struct flow *f, struct flow_info *ret)
{
	bool inbound =
		f->key.kind == FLOW_UDP_IN || (f->key.kind == FLOW_TCP && (f->tcp.flags & GW_TCP_INBOUND));
	uint64_t due_ms = f->key.kind == FLOW_PING ? f->timer_due_ms : gw_udp_due_ms(f), now_ms = gw_now(g);

	*ret = (struct flow_info){.kind = FLOW_INFO_UDP,
		.fd = f->fd,
		.src = f->key.guest,
		.src_port = f->key.guest_port,
		.dst = f->key.remote,
		.dst_port = f->key.remote_port};
	if (inbound) {
		find_local(g, f, ret);
		ret->dst = f->key.guest;
		ret->dst_port = f->key.guest_port;
	}
	if (f->key.kind == FLOW_PING) {
		ret->kind = FLOW_INFO_ICMP;
		ret->src_port = ret->dst_port = 0;
	}
	if (f->key.kind == FLOW_TCP) {
		ret->kind = FLOW_INFO_TCP;
		ret->state = state_of(f);
		ret->n_send_bytes = f->tcp.snd_max - f->tcp.snd_una;
	} else if (due_ms > now_ms) {
		ret->expires_s = (uint16_t)MIN((due_ms - now_ms) / 1000, (uint64_t)UINT16_MAX);
	}
}

unsigned int gateway_flows(
	struct gateway *const *g, unsigned int n, uint64_t *at, struct flow_info *ret, unsigned int n_max)
{
	unsigned int n_done = 0;

	for (uint32_t w = (uint32_t)(*at >> 32), i = (uint32_t)*at; w < n; w++, i = FLOW_NONE) {
		while ((i = flow_next(g[w]->flows, i)) != FLOW_NONE) {
			if (n_done == n_max)
				return n_done;
			describe(g[w], flow_get(g[w]->flows, i), &ret[n_done++]);
			*at = (uint64_t)w << 32 | i;
		}
	}
	*at = GATEWAY_FLOWS_END;
	return n_done;
}
