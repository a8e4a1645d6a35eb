/* SPDX-License-Identifier: BSD-2-Clause */
/* ICMP: real echo, and errors both ways.
 *
 * The gateway answers echo requests to its own addresses. Others go out through ping sockets (SOCK_DGRAM,
 * IPPROTO_ICMP): one flow for each identifier and destination, which the kernel gives an identifier of
 * its own; replies come back with the guest's. Nothing is answered on behalf of a host that did not.
 *
 * ICMP errors that the host's sockets collect (IP_RECVERR) are passed on with their real sender, so that
 * traceroute and path MTU discovery work: the packet that an error quotes is rebuilt from the flow. Those of
 * IPv6 sockets (to an IPv6 resolver) are translated first. */
#include "gw.h"

#include <linux/errqueue.h>
#include <netinet/icmp6.h>

#include "csum.h"
#include "tcp.h"
#include "udp.h"

#define PING_IDLE_MS    10000
#define PING_BYTES_MAX  (65535 - IP4_HEADER_BYTES)
#define PING_BURST      32
#define ERROR_BURST     16
#define QUOTE_BYTES     (IP4_HEADER_BYTES + 8)
#define IP6_MORE_BYTES  20 /* that an IPv6 header has */

bool gw_icmp_of_errno(int error, uint8_t *ret_code)
{
	switch (error) {
	case ENETUNREACH:
	case ENETDOWN:
		*ret_code = ICMP4_UNREACH_NET;
		return true;
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ETIMEDOUT:
	case EADDRNOTAVAIL:
		*ret_code = ICMP4_UNREACH_HOST;
		return true;
	case ECONNREFUSED:
		*ret_code = ICMP4_UNREACH_PORT;
		return true;
	case ENOPROTOOPT:
		*ret_code = ICMP4_UNREACH_PROTOCOL;
		return true;
	case EACCES:
	case EPERM:
		*ret_code = ICMP4_UNREACH_PROHIBITED;
		return true;
	default:
		return false;
	}
}

static void send_error(struct gateway *g, struct port *p, const struct mac *mac, uint32_t from_be, uint32_t to_be,
		const struct icmp4 *icmp, const uint8_t *quote, size_t n_quote)
{
	uint8_t head[ICMP4_HEADER_BYTES];
	struct wr w = wr_of(head, sizeof(head));
	struct ip4 ip = {.ttl = IP4_TTL_DEFAULT, .proto = IP_PROTO_ICMP, .src_be = from_be, .dst_be = to_be, .tos = 0xc0};
	struct iovec v[2] = {{head, sizeof(head)}, {(void *)(uintptr_t)quote, n_quote}};

	icmp4_emit(&w, icmp, quote, n_quote);
	g->n.icmp_errors++;
	(void)gw_send_ip4(g, p, mac, &ip, v, 2, sizeof(head) + n_quote); /* ICMP errors may be lost */
}

void gw_icmp_error(struct gateway *g, const struct gw_pkt *k, uint8_t type, uint8_t code, uint32_t rest)
{
	uint8_t quote[QUOTE_BYTES];
	struct wr w = wr_of(quote, sizeof(quote));
	struct icmp4 icmp = {.type = type, .code = code, .rest = rest};

	/* Never about what went to many, a fragment but the first, nor an ICMP error (RFC 1812, 4.3.2.7). */
	if (mac_is_group(&k->eth.dst) || ntohl(k->ip.dst_be) >= 0xe0000000 || (k->ip.dst_be | g->c.mask_be) == INADDR_BROADCAST)
		return;
	if ((k->ip.frag & IP4_FRAG_MASK) || k->r.left < 8)
		return;
	if (k->ip.proto == IP_PROTO_ICMP && k->r.p[0] != ICMP4_ECHO_REQUEST)
		return;
	ip4_emit(&w, &k->ip);
	wr_copy(&w, k->r.p, 8);
	send_error(g, k->port, &k->eth.src, g->c.host_be, k->ip.src_be, &icmp, quote, sizeof(quote));
}

/* The first eight bytes after the IP header of a packet that the flow sent. */
static void quote_l4(const struct flow *f, struct wr *w, struct ip4 *ip, const uint8_t *ping)
{
	switch (f->key.kind) {
	case FLOW_TCP:
		ip->proto = IP_PROTO_TCP;
		wr_u16(w, f->key.guest_port);
		wr_u16(w, f->key.remote_port);
		wr_u32(w, f->tcp.rcv_nxt - 1);
		break;
	case FLOW_UDP:
	case FLOW_UDP_IN:
		ip->proto = IP_PROTO_UDP;
		udp_emit(w, &(struct udp){.src_port = f->key.guest_port, .dst_port = f->key.remote_port});
		break;
	default:
		ip->proto = IP_PROTO_ICMP;
		wr_copy(w, ping, 4);
		wr_u16(w, f->key.guest_port);
		wr_copy(w, ping + 6, 2);
		break;
	}
}

static void error_flow(struct gateway *g, struct flow *f, uint32_t from_be, const struct icmp4 *icmp,
		const uint8_t *ping)
{
	uint8_t quote[QUOTE_BYTES], l4[8];
	struct wr w = wr_of(quote, sizeof(quote)), w4 = wr_of(l4, sizeof(l4));
	struct port *p = gw_port(g, f);
	uint32_t guest_be = ip_addr_4(&f->key.guest);
	struct ip4 ip = {.ttl = 1, .src_be = guest_be, .dst_be = ip_addr_4(&f->key.remote), .payload_bytes = 8};

	if (!p)
		return;
	quote_l4(f, &w4, &ip, ping);
	ip4_emit(&w, &ip);
	wr_copy(&w, l4, sizeof(l4));
	send_error(g, p, &f->guest_mac, from_be, guest_be, icmp, quote, sizeof(quote));
}

void gw_icmp_error_flow(struct gateway *g, struct flow *f, uint32_t from_be, uint8_t type, uint8_t code,
		uint32_t rest)
{
	static const uint8_t echo[8] = {ICMP4_ECHO_REQUEST};

	error_flow(g, f, from_be, &(struct icmp4){.type = type, .code = code, .rest = rest}, echo);
}

/* The ICMPv4 message for an ICMPv6 one (RFC 7915, 5.2); false: there is none. */
static bool translate_icmp6(const struct sock_extended_err *e, struct icmp4 *ret)
{
	switch (e->ee_type) {
	case ICMP6_DST_UNREACH:
		ret->type = ICMP4_UNREACHABLE;
		ret->code = e->ee_code == ICMP6_DST_UNREACH_ADMIN ? ICMP4_UNREACH_PROHIBITED
				: e->ee_code == ICMP6_DST_UNREACH_NOPORT ? ICMP4_UNREACH_PORT
									 : ICMP4_UNREACH_HOST;
		return true;
	case ICMP6_PACKET_TOO_BIG:
		ret->type = ICMP4_UNREACHABLE;
		ret->code = ICMP4_UNREACH_FRAG_NEEDED;
		ret->rest = MIN(MAX(e->ee_info, 1280u), 65535u) - IP6_MORE_BYTES;
		return true;
	case ICMP6_TIME_EXCEEDED:
		ret->type = ICMP4_TIME_EXCEEDED;
		ret->code = e->ee_code;
		return true;
	case ICMP6_PARAM_PROB:
		ret->type = ICMP4_UNREACHABLE;
		ret->code = ICMP4_UNREACH_PROTOCOL;
		return e->ee_code == ICMP6_PARAMPROB_NEXTHEADER;
	default:
		return false;
	}
}

static void pass_error(struct gateway *g, struct flow *f, const struct sock_extended_err *e, const uint8_t *data)
{
	struct icmp4 icmp = {.type = ICMP4_UNREACHABLE};
	uint32_t from_be = g->c.host_be;

	if (e->ee_origin == SO_EE_ORIGIN_ICMP6) {
		if (!translate_icmp6(e, &icmp))
			return;
		/* A router on the way has no address that the guest knows. */
		if (icmp.type == ICMP4_UNREACHABLE && icmp.code == ICMP4_UNREACH_PORT)
			from_be = ip_addr_4(&f->key.remote);
	} else if (e->ee_origin == SO_EE_ORIGIN_ICMP) {
		const struct sockaddr_in *offender = (const struct sockaddr_in *)(const void *)SO_EE_OFFENDER(e);

		icmp.type = e->ee_type;
		icmp.code = e->ee_code;
		if (offender->sin_family == AF_INET && offender->sin_addr.s_addr != ip_addr_4(&f->host))
			from_be = gw_unmap(g, offender->sin_addr.s_addr);
		else
			from_be = ip_addr_4(&f->key.remote);
		if (icmp.type == ICMP4_UNREACHABLE && icmp.code == ICMP4_UNREACH_FRAG_NEEDED)
			icmp.rest = e->ee_info & 0xffff;
	} else if (e->ee_errno == EMSGSIZE) {
		icmp.code = ICMP4_UNREACH_FRAG_NEEDED;
		icmp.rest = e->ee_info & 0xffff;
	} else if (!gw_icmp_of_errno((int)e->ee_errno, &icmp.code)) {
		return;
	}
	if (icmp.type != ICMP4_UNREACHABLE && icmp.type != ICMP4_TIME_EXCEEDED && icmp.type != ICMP4_PARAMETER)
		return;
	error_flow(g, f, from_be, &icmp, data);
}

void gw_drain_errors(struct gateway *g, struct flow *f)
{
	for (int i = 0; i < ERROR_BURST; i++) {
		uint8_t data[8] = {ICMP4_ECHO_REQUEST}, control[256] __attribute__((aligned(8)));
		struct iovec v = {data, sizeof(data)};
		struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};

		if (g->sock.ops->recvmsg(g->sock.ctx, f->fd, &m, MSG_ERRQUEUE) < 0)
			return;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
			if (((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
					(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) &&
					c->cmsg_len >= CMSG_LEN(sizeof(struct sock_extended_err) + sizeof(struct sockaddr_in)))
				pass_error(g, f, (const struct sock_extended_err *)(const void *)CMSG_DATA(c), data);
	}
}

static enum drop_reason answer_echo(struct gateway *g, struct gw_pkt *k, const struct icmp4 *request)
{
	uint8_t head[ICMP4_HEADER_BYTES];
	struct wr w = wr_of(head, sizeof(head));
	size_t n_data = k->ip.payload_bytes - (size_t)ICMP4_HEADER_BYTES;
	struct iovec v[2 + PORT_ROOM_IOV];
	struct ip4 ip = {.ttl = IP4_TTL_DEFAULT, .proto = IP_PROTO_ICMP, .src_be = k->ip.dst_be, .dst_be = k->ip.src_be};
	unsigned int n = frame_slice(k->frame, k->l4 + ICMP4_HEADER_BYTES, n_data, v + 1, ARRAY_SIZE(v) - 1);

	if (n == 0 && n_data)
		return DROP_TRUNCATED;
	wr_u32(&w, ICMP4_ECHO_REPLY << 24); /* type, code 0, checksum 0 for now */
	wr_u32(&w, request->rest);
	uint16_t sum = csum_fold(csum_add_iov(v + 1, n, 0, n_data, csum_add(head, sizeof(head), 0)));
	memcpy(head + 2, &sum, 2);
	v[0] = (struct iovec){head, sizeof(head)};
	return gw_send_ip4(g, k->port, &k->eth.src, &ip, v, n + 1, sizeof(head) + n_data) ? DROP_NO_ROOM : DROP_NONE;
}

void gw_ping_end(struct gateway *g, struct flow *f)
{
	if (f->fd >= 0)
		(void)g->sock.ops->close(g->sock.ctx, f->fd);
	flow_free(g->flows, f);
}

static int open_ping(struct gateway *g, struct flow *f)
{
	const int on = 1;
	union sock_addr sa;
	socklen_t n = gw_host_addr(f, &sa);
	int r = g->sock.ops->open(g->sock.ctx, AF_INET, SOCK_DGRAM, IPPROTO_ICMP);

	if (r < 0)
		return r;
	f->fd = r;
	(void)g->sock.ops->setsockopt(g->sock.ctx, f->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	r = g->sock.ops->connect(g->sock.ctx, f->fd, &sa.sa, n);
	if (r < 0)
		return r;
	return g->sock.ops->watch(g->sock.ctx, f->fd, EPOLLIN | EPOLLET, g->source_ping, flow_number(g->flows, f));
}

static enum drop_reason ping_failed(struct gateway *g, const struct gw_pkt *k, int error)
{
	uint8_t code;

	if (error == EACCES || error == EPERM)
		g->n.ping_forbidden++;
	if (gw_icmp_of_errno(error, &code)) {
		gw_icmp_error(g, k, ICMP4_UNREACHABLE, code, 0);
		return DROP_NO_ROUTE;
	}
	return DROP_NO_SOCKET;
}

static struct flow *ping_flow(struct gateway *g, struct gw_pkt *k, uint16_t id, enum drop_reason *ret)
{
	struct flow_key key = {
		.guest = ip_addr_from4(k->ip.src_be),
		.remote = ip_addr_from4(k->ip.dst_be),
		.guest_port = id,
		.port_id = k->port->id,
		.kind = FLOW_PING,
	};
	struct flow *f = flow_find(g->flows, &key);
	union sock_addr host;

	if (f)
		return f;
	enum gw_verdict verdict = gw_map(g, IP_PROTO_ICMP, k->ip.dst_be, 0, &host);
	*ret = verdict == GW_UNREACHABLE ? DROP_NO_ROUTE : DROP_POLICY;
	if (verdict == GW_UNREACHABLE)
		gw_icmp_error(g, k, ICMP4_UNREACHABLE, ICMP4_UNREACH_HOST, 0);
	if (verdict != GW_ALLOW)
		return NULL;
	f = flow_alloc(g->flows, &key);
	if (!f) {
		struct flow *oldest = flow_oldest(g->flows, k->port->id, FLOW_PING);

		*ret = DROP_FLOW_CAP;
		if (!oldest)
			return NULL;
		gw_ping_end(g, oldest);
		g->n.evicted[FLOW_PING]++;
		f = flow_alloc(g->flows, &key);
		if (!f)
			return NULL;
	}
	gw_host_set(f, &host);
	int r = open_ping(g, f);
	if (r < 0) {
		*ret = ping_failed(g, k, -r);
		gw_ping_end(g, f);
		return NULL;
	}
	return f;
}

static enum drop_reason forward_echo(struct gateway *g, struct gw_pkt *k, const struct icmp4 *request)
{
	enum drop_reason reason = DROP_NONE;
	struct flow *f = ping_flow(g, k, (uint16_t)(request->rest >> 16), &reason);
	uint8_t head[ICMP4_HEADER_BYTES];
	struct wr w = wr_of(head, sizeof(head));
	size_t n_data = k->ip.payload_bytes - (size_t)ICMP4_HEADER_BYTES;
	struct iovec v[1 + PORT_ROOM_IOV];

	if (!f)
		return reason;
	f->guest_mac = k->eth.src;
	flow_touch(g->flows, f, gw_now(g));
	gw_timer_arm(g, f, gw_now(g) + PING_IDLE_MS);

	uint8_t ttl = k->ip.ttl < IP4_TTL_DEFAULT ? (uint8_t)(k->ip.ttl - 1) : 0;
	if (ttl != f->udp.ttl) {
		int value = ttl ? ttl : -1;

		(void)g->sock.ops->setsockopt(g->sock.ctx, f->fd, IPPROTO_IP, IP_TTL, &value, sizeof(value));
		f->udp.ttl = ttl;
	}
	unsigned int n = frame_slice(k->frame, k->l4 + ICMP4_HEADER_BYTES, n_data, v + 1, ARRAY_SIZE(v) - 1);
	if (n == 0 && n_data)
		return DROP_TRUNCATED;
	icmp4_emit(&w, &(struct icmp4){.type = ICMP4_ECHO_REQUEST, .rest = request->rest}, NULL, 0);
	v[0] = (struct iovec){head, sizeof(head)};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = n + 1};
	ssize_t r = g->sock.ops->sendmsg(g->sock.ctx, f->fd, &m, 0);
	if (r < 0) {
		gw_drain_errors(g, f);
		return r == -EAGAIN || r == -ENOBUFS ? DROP_SOCKET_FULL : ping_failed(g, k, (int)-r);
	}
	g->n.ping_requests++;
	return DROP_NONE;
}

enum drop_reason gw_icmp_input(struct gateway *g, struct gw_pkt *k)
{
	struct icmp4 icmp;
	struct rd r = k->r;
	enum drop_reason reason = icmp4_parse(&r, &icmp);

	if (!reason)
		reason = gw_check_l4(k, 2, OFFLOAD_GSO_NONE, k->ip.payload_bytes);
	if (reason)
		return reason;
	if (icmp.type != ICMP4_ECHO_REQUEST || icmp.code != 0)
		return DROP_NOT_FOR_US; /* errors about our packets: TCP and UDP towards guests need none */
	if (gw_is_ours(g, k->ip.dst_be))
		return answer_echo(g, k, &icmp);
	if (k->ip.ttl <= 1) {
		gw_icmp_error(g, k, ICMP4_TIME_EXCEEDED, 0, 0);
		return DROP_TTL;
	}
	return forward_echo(g, k, &icmp);
}

static void ping_reply(struct gateway *g, struct flow *f, uint8_t *data, size_t n)
{
	struct rd r = rd_of(data, n);
	struct icmp4 icmp;
	struct port *p = gw_port(g, f);
	struct ip4 ip = {.ttl = IP4_TTL_DEFAULT, .proto = IP_PROTO_ICMP, .src_be = ip_addr_4(&f->key.remote),
		.dst_be = ip_addr_4(&f->key.guest)};
	struct wr w = wr_of(data, ICMP4_HEADER_BYTES);
	struct iovec v = {data, n};

	if (!p || icmp4_parse(&r, &icmp) || icmp.type != ICMP4_ECHO_REPLY)
		return;
	icmp.rest = (uint32_t)f->key.guest_port << 16 | (icmp.rest & 0xffff);
	icmp4_emit(&w, &icmp, r.p, r.left);
	if (gw_send_ip4(g, p, &f->guest_mac, &ip, &v, 1, n))
		gw_drop(g, p, DROP_NO_ROOM);
	else
		g->n.ping_replies++;
}

void gw_ping_event(void *ctx, uint32_t number, uint32_t events)
{
	struct gateway *g = ctx;
	struct flow *f = flow_get(g->flows, number);
	if (f->dying || f->key.kind != FLOW_PING)
		return;
	if (events & EPOLLERR)
		gw_drain_errors(g, f);
	for (int i = 0; i < PING_BURST; i++) {
		struct iovec v = {g->scratch, PING_BYTES_MAX};
		struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
		ssize_t n = g->sock.ops->recvmsg(g->sock.ctx, f->fd, &m, 0);

		if (n == -EAGAIN)
			return;
		if (n > 0)
			ping_reply(g, f, g->scratch, (size_t)n);
	}
	/* More than a burst at once is more than one identifier can have asked for. */
	(void)g->sock.ops->rewatch(g->sock.ctx, f->fd, EPOLLIN | EPOLLET, g->source_ping, number);
}
