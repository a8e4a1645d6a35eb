/* SPDX-License-Identifier: BSD-2-Clause */
/* UDP: one connected socket for each pair of guest socket and destination.
 *
 * Small datagrams cost a system call each at both edges unless they are joined. Up: datagrams of one
 * flow that came in one batch and have one size go out with one sendmsg() and UDP_SEGMENT; frames that a
 * guest joined itself (USO) go the same way. Down: what one recvmmsg() brings, or the kernel joined
 * (UDP_GRO), goes to the guest as one USO frame, which the port takes apart if the guest cannot.
 * Datagrams stay datagrams: nothing is ever merged or cut that the receiver would see.
 *
 * A flow is forgotten 10 s after a DNS answer, 30 s while nothing has come back, 180 s otherwise. At the
 * cap of its guest the one longest idle goes first; flows that clients begin through forwards count apart,
 * so that a flood from outside does not cost the guest its own.
 *
 * Inbound forwards have no socket of a flow's own: answers leave through the forward's socket, from the
 * address that the client spoke to. One client that speaks to two forwards of one guest port, or two whose
 * addresses are one to the guest, get ports apart: the guest sees the second with another than its own. */
#include "gw.h"

#include <netinet/udp.h>
#include <sys/mman.h>

#include "csum.h"
#include "segment.h"
#include "udp.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define UDP_JOIN_MAX      64 /* UDP_MAX_SEGMENTS of kernels before 6.9 */
#define UDP_BYTES_MAX     (65535 - IP4_HEADER_BYTES - UDP_HEADER_BYTES)
#define UDP_BURST         4
#define UDP_SLOT_BYTES    65536u
#define UDP_CONTROL_BYTES 64
#define IDLE_DNS_MS       10000
#define DNS_RETRY_MS      1000 /* longer than recursion takes, shorter than clients wait */
#define IDLE_UNREPLIED_MS 30000
#define IDLE_STREAM_MS    180000
#define ASK_AGAIN_MS      1000
#define CLIENT_PORT_TRIES 4
#define DNS_PORT          53
#define DHCP_SERVER_PORT  67
#define DHCP_CLIENT_PORT  68

enum udp_flag {
	UDP_DNS = 1 << 0,
	UDP_MOVES = 1 << 1, /* to another resolver, with its next query */
};

struct gw_udp_batch {
	/* Held back from the guest's batch, to be joined. */
	struct flow *flow;
	unsigned int n;      /* datagrams */
	unsigned int n_iov;
	size_t size;         /* of each, the last may be smaller */
	size_t n_bytes;
	struct iovec iov[UDP_JOIN_MAX * 2];
	/* What a recvmmsg() brings. */
	struct mmsghdr msgs[UDP_JOIN_MAX];
	struct iovec slots[UDP_JOIN_MAX];
	union sock_addr names[UDP_JOIN_MAX];
	uint8_t control[UDP_JOIN_MAX][UDP_CONTROL_BYTES] __attribute__((aligned(16)));
	uint8_t data[UDP_JOIN_MAX][UDP_SLOT_BYTES];
};

int gw_udp_init(struct gateway *g)
{
	/* Address space: a slot's later pages are touched only by datagrams that large. */
	g->udp = mmap(NULL, sizeof(*g->udp), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (g->udp == MAP_FAILED) {
		g->udp = NULL;
		return -errno;
	}
	(void)madvise(g->udp, sizeof(*g->udp), MADV_NOHUGEPAGE);
	for (unsigned int i = 0; i < UDP_JOIN_MAX; i++)
		g->udp->slots[i] = (struct iovec){g->udp->data[i], UDP_SLOT_BYTES};
	g->udp_segment = true; /* since Linux 4.18; switched off at the first refusal */
	return 0;
}

void gw_udp_done(struct gateway *g)
{
	if (g->udp)
		(void)munmap(g->udp, sizeof(*g->udp));
	g->udp = NULL;
}

void gw_udp_end(struct gateway *g, struct flow *f)
{
	if (g->udp->flow == f)
		g->udp->flow = NULL;
	if (f->fd >= 0)
		(void)g->sock.ops->close(g->sock.ctx, f->fd);
	flow_free(g->flows, f);
}

static uint64_t idle_ms(const struct flow *f)
{
	if (f->udp.n_to_guest == 0 || f->udp.n_to_host == 0)
		return IDLE_UNREPLIED_MS;
	return f->udp.flags & UDP_DNS ? IDLE_DNS_MS : IDLE_STREAM_MS;
}

uint64_t gw_udp_due_ms(const struct flow *f)
{
	return f->used_ms + idle_ms(f);
}

void gw_udp_timer_due(struct gateway *g, struct flow *f)
{
	uint64_t due_ms = gw_udp_due_ms(f);

	if (due_ms > gw_now(g))
		gw_timer_arm(g, f, due_ms);
	else
		gw_udp_end(g, f);
}

/* A flow of the guest's own, or one that came in by a forward. */
static struct flow *find_flow(struct gateway *g, const struct flow_key *key)
{
	struct flow *f = flow_find(g->flows, key);
	struct flow_key in = *key;

	if (f || flow_count(g->flows, key->port_id, FLOW_UDP_IN) == 0)
		return f;
	in.kind = FLOW_UDP_IN;
	return flow_find(g->flows, &in);
}

/* The flow of a key that was not found, its age list's oldest sacrificed at the cap. */
static struct flow *new_flow(struct gateway *g, const struct flow_key *key)
{
	struct flow *f = flow_alloc(g->flows, key);

	if (!f) {
		struct flow *oldest = flow_oldest(g->flows, key->port_id, key->kind);

		if (!oldest)
			return NULL;
		gw_udp_end(g, oldest);
		g->n.evicted[key->kind]++;
		f = flow_alloc(g->flows, key);
	}
	if (f) {
		flow_touch(g->flows, f, gw_now(g));
		gw_timer_arm(g, f, gw_now(g) + IDLE_UNREPLIED_MS);
	}
	return f;
}

static int open_socket(struct gateway *g, struct flow *f)
{
	const int on = 1;
	union sock_addr sa;
	socklen_t n = gw_host_addr(f, &sa);
	int r = g->sock.ops->open(g->sock.ctx, sa.sa.sa_family, SOCK_DGRAM, IPPROTO_UDP);

	if (r < 0)
		return r;
	f->fd = r;
	if (sa.sa.sa_family == AF_INET)
		(void)g->sock.ops->setsockopt(g->sock.ctx, f->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	else
		(void)g->sock.ops->setsockopt(g->sock.ctx, f->fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
	(void)g->sock.ops->setsockopt(g->sock.ctx, f->fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
	r = g->sock.ops->connect(g->sock.ctx, f->fd, &sa.sa, n);
	if (r < 0)
		return r;
	return g->sock.ops->watch(g->sock.ctx, f->fd, EPOLLIN | EPOLLET, g->source_udp, flow_number(g->flows, f));
}

static enum drop_reason refuse(struct gateway *g, const struct gw_pkt *k, int error)
{
	uint8_t code;

	g->n.udp_errors++;
	if (!gw_icmp_of_errno(error, &code))
		return error == EMFILE || error == ENFILE ? DROP_NO_SOCKET : DROP_SOCKET_FULL;
	gw_icmp_error(g, k, ICMP4_UNREACHABLE, code, 0);
	return DROP_NO_ROUTE;
}

static struct flow *open_flow(struct gateway *g, struct gw_pkt *k, const struct flow_key *key, enum drop_reason *ret)
{
	union sock_addr host;

	switch (gw_map(g, IP_PROTO_UDP, k->ip.dst_be, key->remote_port, &host)) {
	case GW_ALLOW:
		break;
	case GW_REFUSE:
		gw_icmp_error(g, k, ICMP4_UNREACHABLE, ICMP4_UNREACH_PORT, 0);
		*ret = DROP_POLICY;
		return NULL;
	case GW_UNREACHABLE:
		gw_icmp_error(g, k, ICMP4_UNREACHABLE, ICMP4_UNREACH_HOST, 0);
		*ret = DROP_NO_ROUTE;
		return NULL;
	default:
		*ret = DROP_POLICY;
		return NULL;
	}
	struct flow *f = new_flow(g, key);
	if (!f) {
		*ret = DROP_FLOW_CAP;
		return NULL;
	}
	gw_host_set(f, &host);
	if (gw_is_dns(g, k->ip.dst_be))
		f->udp.flags |= UDP_DNS;
	int r = open_socket(g, f);
	if (r < 0) {
		*ret = refuse(g, k, -r);
		gw_udp_end(g, f);
		return NULL;
	}
	gw_neigh_learn(g, k->port, k->ip.src_be, &k->eth.src);
	return f;
}

static bool asks_resolver(const struct gateway *g, const struct flow *f, unsigned int i)
{
	struct flow of = {};

	if (!(f->udp.flags & UDP_DNS) || i >= g->n_resolvers)
		return false;
	gw_host_set(&of, &g->resolvers[i]);
	return ip_addr_eq(&of.host, &f->host) && of.host_port == f->host_port && of.host_scope == f->host_scope;
}

static bool asks_resolver_in_use(const struct gateway *g, const struct flow *f)
{
	return asks_resolver(g, f, g->resolver);
}

/* An answer that is on its way still gets through; the next query goes to a resolver of now. */
void gw_udp_resolvers_changed(struct gateway *g, struct flow *f)
{
	for (unsigned int i = 0; i < g->n_resolvers; i++)
		if (asks_resolver(g, f, i))
			return;
	if ((f->udp.flags & UDP_DNS) && g->n_resolvers)
		f->udp.flags |= UDP_MOVES;
	else if (f->udp.flags & UDP_DNS)
		gw_udp_end(g, f);
}

/* The resolver in use has refused, or been silent since it was first asked: the next one, for all. A
 * client may ask again from the same port or, as most do now, from a new one. */
static void resolver_failed(struct gateway *g)
{
	if (g->n_resolvers > 1)
		gw_next_resolver(g);
	g->dns_asked_ms = 0;
}

/* Before a query is sent. */
static void resolver_asked(struct gateway *g)
{
	if (g->dns_asked_ms && gw_now(g) - g->dns_asked_ms >= DNS_RETRY_MS)
		resolver_failed(g);
	if (!g->dns_asked_ms)
		g->dns_asked_ms = gw_now(g);
}

/* A flow whose query went unanswered, or whose resolver is none any more, follows to the one in use. NULL: it
 * could not, and has ended, so that the next query begins anew. */
static struct flow *dns_retry(struct gateway *g, const struct gw_pkt *k, struct flow *f, enum drop_reason *ret)
{
	if (!(f->udp.flags & UDP_DNS) || asks_resolver_in_use(g, f))
		return f;
	if (f->udp.n_to_guest && !(f->udp.flags & UDP_MOVES))
		return f;
	if (g->n_resolvers == 0)
		return f;
	gw_host_set(f, &g->resolvers[g->resolver]);
	gw_udp_flush(g); /* what is held back belongs to the old socket */
	(void)g->sock.ops->close(g->sock.ctx, f->fd); /* the family may change: connect() again is not enough */
	f->fd = -1;
	f->udp.ttl = 0;
	f->udp.n_to_guest = 0;
	f->udp.flags &= (uint8_t)~UDP_MOVES;
	int r = open_socket(g, f);
	if (r < 0) {
		*ret = refuse(g, k, -r);
		gw_udp_end(g, f);
		return NULL;
	}
	return f;
}

static void set_ttl(struct gateway *g, struct flow *f, uint8_t guest_ttl)
{
	/* Senders start at 64, 128 or 255; less than 64 is meant (traceroute), and one hop is ours. */
	uint8_t ttl = guest_ttl < IP4_TTL_DEFAULT ? (uint8_t)(guest_ttl - 1) : 0;
	int value = ttl ? ttl : -1;

	if (ttl == f->udp.ttl || f->udp.forward)
		return;
	(void)g->sock.ops->setsockopt(g->sock.ctx, f->fd, IPPROTO_IP, IP_TTL, &value, sizeof(value));
	f->udp.ttl = ttl;
}

/* One sendmsg() for `n` datagrams of `size` bytes (the last may be smaller). */
static ssize_t send_joined(struct gateway *g, struct flow *f, struct iovec *iov, unsigned int n_iov, size_t size,
		bool joined)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control = {};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = n_iov};
	union sock_addr sa;
	size_t n_control = 0;
	int fd = f->fd;

	m.msg_control = control.bytes;
	m.msg_controllen = sizeof(control.bytes);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (joined) {
		*c = (struct cmsghdr){.cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof(uint16_t))};
		uint16_t segment = (uint16_t)size;
		memcpy(CMSG_DATA(c), &segment, sizeof(segment));
		n_control += CMSG_SPACE(sizeof(uint16_t));
		c = (struct cmsghdr *)(void *)(control.bytes + n_control);
	}
	if (f->udp.forward) {
		struct in_pktinfo info = {.ipi_spec_dst.s_addr = f->udp.local_be};

		fd = g->forwards[f->udp.forward - 1].c.fd;
		m.msg_namelen = sock_addr_set(&sa, &f->host, f->host_port);
		m.msg_name = &sa;
		if (f->udp.local_be) {
			*c = (struct cmsghdr){
				.cmsg_level = IPPROTO_IP,
				.cmsg_type = IP_PKTINFO,
				.cmsg_len = CMSG_LEN(sizeof(info)),
			};
			memcpy(CMSG_DATA(c), &info, sizeof(info));
			n_control += CMSG_SPACE(sizeof(info));
		}
	}
	m.msg_controllen = n_control;
	return g->sock.ops->sendmsg(g->sock.ctx, fd, &m, 0);
}

/* What goes wrong with a datagram is known only to its flow by now. */
static void send_failed(struct gateway *g, struct flow *f, int error)
{
	struct port *p = gw_port(g, f);
	uint8_t code;

	g->n.udp_errors++;
	if (f->fd >= 0)
		gw_drain_errors(g, f);
	if (p)
		gw_drop(g, p, error == EAGAIN || error == ENOBUFS ? DROP_SOCKET_FULL : DROP_NO_ROUTE);
	/* ECONNREFUSED is the report of an earlier datagram, which the error queue has just explained. */
	if (error != ECONNREFUSED && error != EMSGSIZE && gw_icmp_of_errno(error, &code))
		gw_icmp_error_flow(g, f, g->c.host_be, ICMP4_UNREACHABLE, code, 0);
}

/* Cuts the vector where a datagram ends, and sends each alone. */
static void send_singly(struct gateway *g, struct flow *f, const struct iovec *iov, unsigned int n_iov, size_t size)
{
	struct frame all = {.iov = iov, .n_iov = n_iov};
	struct iovec one[UDP_JOIN_MAX];

	for (unsigned int i = 0; i < n_iov; i++)
		all.n_bytes += iov[i].iov_len;
	for (size_t at = 0; at < all.n_bytes; at += size) {
		unsigned int n = frame_slice(&all, at, MIN(size, all.n_bytes - at), one, ARRAY_SIZE(one));
		ssize_t r = send_joined(g, f, one, n, size, false);

		/* A pending error is reported once in place of a send: then it goes. */
		if (r == -ECONNREFUSED)
			r = send_joined(g, f, one, n, size, false);
		if (r < 0)
			send_failed(g, f, (int)-r);
	}
}

static void send_datagrams(struct gateway *g, struct flow *f, struct iovec *iov, unsigned int n_iov, size_t size,
		unsigned int n)
{
	bool joined = n > 1;

	g->n.udp_from_guest += n;
	f->udp.n_to_host = MIN(f->udp.n_to_host + n, 1u << 30);
	if (joined && !g->udp_segment) {
		send_singly(g, f, iov, n_iov, size);
		return;
	}
	ssize_t r = send_joined(g, f, iov, n_iov, size, joined);
	if (r == -ECONNREFUSED) {
		gw_drain_errors(g, f);
		r = send_joined(g, f, iov, n_iov, size, joined);
	}
	if (likely(r >= 0)) {
		if (joined)
			g->n.udp_joined += n;
		return;
	}
	if (joined && r != -EAGAIN) {
		if (r == -ENOPROTOOPT || r == -EOPNOTSUPP)
			g->udp_segment = false;
		send_singly(g, f, iov, n_iov, size); /* path MTU, no checksum offload on the device, ... */
		return;
	}
	send_failed(g, f, (int)-r);
}

void gw_udp_flush(struct gateway *g)
{
	struct gw_udp_batch *b = g->udp;
	struct flow *f = b->flow;

	b->flow = NULL;
	if (f)
		send_datagrams(g, f, b->iov, b->n_iov, b->size, b->n);
}

static enum drop_reason hold_datagram(struct gateway *g, struct flow *f, const struct gw_pkt *k, size_t n_bytes)
{
	struct gw_udp_batch *b = g->udp;
	size_t at = k->l4 + UDP_HEADER_BYTES;

	/* UDP_SEGMENT cuts by length: an empty datagram would vanish behind another. */
	if (b->flow && (b->flow != f || n_bytes > b->size || n_bytes == 0 || b->n == UDP_JOIN_MAX ||
			b->n_bytes + n_bytes > UDP_BYTES_MAX || b->n_iov + k->frame->n_iov + 1 > ARRAY_SIZE(b->iov)))
		gw_udp_flush(g);
	if (!b->flow) {
		b->flow = f;
		b->n = b->n_iov = 0;
		b->n_bytes = 0;
		b->size = n_bytes;
	}
	unsigned int n = frame_slice(k->frame, at, n_bytes, b->iov + b->n_iov, (unsigned int)ARRAY_SIZE(b->iov) - b->n_iov);
	if (n == 0 && n_bytes) {
		if (b->n == 0)
			b->flow = NULL;
		gw_udp_flush(g);
		return DROP_TRUNCATED;
	}
	b->n_iov += n;
	b->n++;
	b->n_bytes += n_bytes;
	if (n_bytes < b->size || n_bytes == 0)
		gw_udp_flush(g);
	return DROP_NONE;
}

static enum drop_reason send_uso(struct gateway *g, struct flow *f, const struct gw_pkt *k, size_t n_bytes)
{
	struct iovec v[PORT_ROOM_IOV];
	size_t size = k->frame->offload.gso_size;
	unsigned int n = frame_slice(k->frame, k->l4 + UDP_HEADER_BYTES, n_bytes, v, ARRAY_SIZE(v));

	if (n == 0)
		return DROP_TRUNCATED;
	if (n_bytes > size * SEGMENT_FRAMES_MAX)
		return DROP_BAD_OFFLOAD; /* one frame must not stand for tens of thousands of sends */
	gw_udp_flush(g);
	for (size_t at = 0; at < n_bytes; at += size * UDP_JOIN_MAX) {
		size_t part = MIN(size * UDP_JOIN_MAX, n_bytes - at);

		n = frame_slice(k->frame, k->l4 + UDP_HEADER_BYTES + at, part, v, ARRAY_SIZE(v));
		send_datagrams(g, f, v, n, size, (unsigned int)((part + size - 1) / size));
	}
	return DROP_NONE;
}

static enum drop_reason dhcp_input(struct gateway *g, struct gw_pkt *k, size_t n_bytes)
{
	uint8_t message[1500], head[ETH_HEADER_BYTES + IP4_HEADER_BYTES + UDP_HEADER_BYTES];
	struct dhcp_reply reply = {};
	struct wr w = wr_of(head, sizeof(head));

	g->n.dhcp_messages++;
	if (n_bytes > sizeof(message) || !frame_copy(k->frame, k->l4 + UDP_HEADER_BYTES, n_bytes, message))
		return DROP_TRUNCATED;
	dhcp_server_share(&g->dhcp, lan_n_ports(g->lan));
	enum drop_reason reason = dhcp_server_handle(&g->dhcp, gw_now(g), &k->eth.src, k->port->id, message, n_bytes, &reply);
	if (reason || reply.n_bytes == 0)
		return reason;
	uint32_t leased_be;
	if (dhcp_server_find_addr(&g->dhcp, &k->eth.src, k->port->id, &leased_be))
		gw_neigh_learn(g, k->port, leased_be, &k->eth.src);

	struct udp udp = {.src_port = DHCP_SERVER_PORT, .dst_port = DHCP_CLIENT_PORT, .payload_bytes = (uint16_t)reply.n_bytes};
	struct ip4 ip = {.ttl = IP4_TTL_DEFAULT, .proto = IP_PROTO_UDP, .src_be = g->c.host_be, .dst_be = reply.dst_be,
		.id = g->ip_id++, .payload_bytes = (uint16_t)(UDP_HEADER_BYTES + reply.n_bytes)};
	struct ip_addr src = ip_addr_from4(ip.src_be), dst = ip_addr_from4(ip.dst_be);
	uint8_t *l4 = head + ETH_HEADER_BYTES + IP4_HEADER_BYTES;

	/* Complete at once: clients read raw frames, and some look at the checksum. */
	gw_emit_ip4(g, &w, &reply.dst_mac, &ip);
	udp_emit(&w, &udp);
	uint64_t sum = csum_pseudo(&src, &dst, IP_PROTO_UDP, ip.payload_bytes);
	sum = csum_add(l4, UDP_HEADER_BYTES, sum);
	uint16_t folded = csum_fold(csum_add(reply.bytes, reply.n_bytes, sum));
	folded = folded ? folded : 0xffff;
	memcpy(l4 + UDP_CSUM_OFFSET, &folded, 2);

	struct iovec v[2] = {{head, sizeof(head)}, {reply.bytes, reply.n_bytes}};
	if (port_send(k->port, v, 2, sizeof(head) + reply.n_bytes, &(struct offload){}))
		return DROP_NO_ROOM;
	return DROP_NONE;
}

enum drop_reason gw_udp_input(struct gateway *g, struct gw_pkt *k)
{
	struct udp udp;
	struct rd r = k->r;
	enum drop_reason reason = udp_parse(&r, k->ip.payload_bytes, &udp);

	if (!reason && (udp.checksum || k->frame->offload.csum_needed))
		reason = gw_check_l4(k, UDP_CSUM_OFFSET, OFFLOAD_GSO_UDP, UDP_HEADER_BYTES + (size_t)udp.payload_bytes);
	if (reason)
		return reason;
	if (udp.dst_port == DHCP_SERVER_PORT && !g->c.no_dhcp &&
			(k->ip.dst_be == INADDR_BROADCAST || k->ip.dst_be == g->c.host_be))
		return dhcp_input(g, k, udp.payload_bytes);
	if (k->ip.src_be == 0)
		return DROP_FORGED_SOURCE;
	if (k->ip.ttl <= 1 && !gw_is_ours(g, k->ip.dst_be)) {
		gw_icmp_error(g, k, ICMP4_TIME_EXCEEDED, 0, 0);
		return DROP_TTL;
	}

	struct flow_key key = {
		.guest = ip_addr_from4(k->ip.src_be),
		.remote = ip_addr_from4(k->ip.dst_be),
		.guest_port = udp.src_port,
		.remote_port = udp.dst_port,
		.port_id = k->port->id,
		.kind = FLOW_UDP,
	};
	struct flow *f = find_flow(g, &key);
	if (gw_is_dns(g, k->ip.dst_be) && udp.dst_port == DNS_PORT)
		resolver_asked(g);
	if (!f)
		f = open_flow(g, k, &key, &reason);
	else
		f = dns_retry(g, k, f, &reason);
	if (!f)
		return reason;
	f->guest_mac = k->eth.src;
	flow_touch(g->flows, f, gw_now(g));
	set_ttl(g, f, k->ip.ttl);
	if (k->frame->offload.gso != OFFLOAD_GSO_NONE)
		return send_uso(g, f, k, udp.payload_bytes);
	return hold_datagram(g, f, k, udp.payload_bytes);
}

/* One datagram, or several of one size in one USO frame, to the guest. */
static void send_to_guest(struct gateway *g, struct flow *f, struct port *p, const struct iovec *payload,
		unsigned int n, size_t n_bytes, size_t size)
{
	uint8_t head[ETH_HEADER_BYTES + IP4_HEADER_BYTES + UDP_HEADER_BYTES];
	struct wr w = wr_of(head, sizeof(head)), w4 = wr_of(head + ETH_HEADER_BYTES + IP4_HEADER_BYTES, UDP_HEADER_BYTES);
	struct udp udp = {.src_port = f->key.remote_port, .dst_port = f->key.guest_port, .payload_bytes = (uint16_t)n_bytes};
	struct ip4 ip = {.ttl = IP4_TTL_DEFAULT, .proto = IP_PROTO_UDP, .src_be = ip_addr_4(&f->key.remote),
		.dst_be = ip_addr_4(&f->key.guest)};
	struct offload o = {
		.csum_needed = true,
		.csum_start = ETH_HEADER_BYTES + IP4_HEADER_BYTES,
		.csum_offset = UDP_CSUM_OFFSET,
	};
	struct iovec v[1 + UDP_JOIN_MAX];
	bool whole = size + UDP_HEADER_BYTES + IP4_HEADER_BYTES > g->c.mtu;
	uint64_t sum = csum_pseudo(&f->key.remote, &f->key.guest, IP_PROTO_UDP, (uint32_t)(UDP_HEADER_BYTES + n_bytes));

	memcpy(v + 1, payload, n * sizeof(*payload));
	if (whole) { /* larger than the link: in fragments, its checksum complete */
		udp_emit(&w4, &udp);
		sum = csum_add_iov(payload, n, 0, n_bytes, csum_add(w4.p - UDP_HEADER_BYTES, UDP_HEADER_BYTES, sum));
		udp.checksum = csum_fold(sum) ? csum_fold(sum) : 0xffff;
		memcpy(w4.p - UDP_HEADER_BYTES + UDP_CSUM_OFFSET, &udp.checksum, 2);
		v[0] = (struct iovec){w4.p - UDP_HEADER_BYTES, UDP_HEADER_BYTES};
		if (gw_send_ip4(g, p, &f->guest_mac, &ip, v, n + 1, UDP_HEADER_BYTES + n_bytes))
			gw_drop(g, p, DROP_NO_ROOM);
		return;
	}
	udp.checksum = csum_fold_partial(sum);
	ip.payload_bytes = (uint16_t)(UDP_HEADER_BYTES + n_bytes);
	ip.id = g->ip_id++;
	gw_emit_ip4(g, &w, &f->guest_mac, &ip);
	udp_emit(&w, &udp);
	if (n_bytes > size) {
		o.gso = OFFLOAD_GSO_UDP;
		o.gso_size = (uint16_t)size;
		o.header_len = sizeof(head);
	}
	v[0] = (struct iovec){head, sizeof(head)};
	if (port_send(p, v, n + 1, sizeof(head) + n_bytes, &o))
		gw_drop(g, p, DROP_NO_ROOM);
}

/* The size of the datagrams that the kernel joined in one message; the message's own if it did not. */
static size_t joined_size(struct msghdr *m, size_t n_bytes)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			int size;

			memcpy(&size, CMSG_DATA(c), sizeof(size));
			return size > 0 && (size_t)size < n_bytes ? (size_t)size : n_bytes;
		}
	return n_bytes;
}

/* A message larger than a USO frame may be, or whose datagrams are larger than the link's MTU. */
static void send_cut(struct gateway *g, struct flow *f, struct port *p, uint8_t *data, size_t n_bytes, size_t size)
{
	for (size_t at = 0; at < n_bytes; at += size) {
		struct iovec v = {data + at, MIN(size, n_bytes - at)};

		send_to_guest(g, f, p, &v, 1, v.iov_len, v.iov_len);
	}
}

/* msgs[first..] of one flow; joins as many as have one size; returns how many were taken. */
static unsigned int send_run(struct gateway *g, struct flow *f, struct port *p, unsigned int first, unsigned int end)
{
	struct gw_udp_batch *b = g->udp;
	struct iovec v[UDP_JOIN_MAX];
	size_t n_bytes = b->msgs[first].msg_len;
	size_t size = joined_size(&b->msgs[first].msg_hdr, n_bytes);
	unsigned int n = 1;

	v[0] = (struct iovec){b->data[first], n_bytes};
	if (size != n_bytes) {
		if (size + UDP_HEADER_BYTES + IP4_HEADER_BYTES > g->c.mtu || n_bytes > UDP_BYTES_MAX)
			send_cut(g, f, p, b->data[first], n_bytes, size);
		else
			send_to_guest(g, f, p, v, 1, n_bytes, size);
		return 1;
	}
	if (size + UDP_HEADER_BYTES + IP4_HEADER_BYTES <= g->c.mtu && size > 0)
		for (; first + n < end; n++) {
			size_t more = b->msgs[first + n].msg_len;

			if (more == 0 || more > size || n_bytes + more > UDP_BYTES_MAX)
				break;
			if (joined_size(&b->msgs[first + n].msg_hdr, more) != more)
				break;
			v[n] = (struct iovec){b->data[first + n], more};
			n_bytes += more;
			if (more < size) {
				n++;
				break;
			}
		}
	send_to_guest(g, f, p, v, n, n_bytes, size);
	return n;
}

static int receive(struct gateway *g, int fd, bool named)
{
	struct gw_udp_batch *b = g->udp;

	for (unsigned int i = 0; i < UDP_JOIN_MAX; i++)
		b->msgs[i].msg_hdr = (struct msghdr){
			.msg_iov = &b->slots[i],
			.msg_iovlen = 1,
			.msg_control = b->control[i],
			.msg_controllen = UDP_CONTROL_BYTES,
			.msg_name = named ? &b->names[i] : NULL,
			.msg_namelen = named ? sizeof(b->names[i]) : 0,
		};
	return g->sock.ops->recvmmsg(g->sock.ctx, fd, b->msgs, UDP_JOIN_MAX, 0);
}

static bool has_room(struct port *p)
{
	struct room room;

	if (port_reserve(p, ETH_HEADER_BYTES + IP4_HEADER_BYTES + UDP_HEADER_BYTES, UDP_BYTES_MAX, &room) < 0)
		return false;
	port_cancel(p, &room);
	return true;
}

void gw_udp_work(struct gateway *g, struct flow *f)
{
	struct port *p = gw_port(g, f);

	if (f->fd < 0 || !p)
		return;
	for (int i = 0; i < UDP_BURST; i++) {
		if (!has_room(p))
			return; /* gw_room() marks it again */
		int n = receive(g, f->fd, false);
		if (n == -ECONNREFUSED || n == -EHOSTUNREACH || n == -ENETUNREACH) {
			gw_drain_errors(g, f);
			continue;
		}
		if (n <= 0)
			return;
		f->udp.n_to_guest = MIN(f->udp.n_to_guest + (unsigned int)n, 1u << 30);
		if (asks_resolver_in_use(g, f))
			g->dns_asked_ms = 0;
		g->n.udp_to_guest += (unsigned int)n;
		flow_touch(g->flows, f, gw_now(g));
		for (unsigned int k = 0; k < (unsigned int)n;)
			k += send_run(g, f, p, k, (unsigned int)n);
		if (n < UDP_JOIN_MAX)
			return;
	}
	flow_mark(g->flows, f);
}

void gw_udp_event(void *ctx, uint32_t number, uint32_t events)
{
	struct gateway *g = ctx;
	struct flow *f = flow_get(g->flows, number);

	if (f->dying || f->key.kind != FLOW_UDP || f->fd < 0)
		return;
	if (events & EPOLLERR) {
		gw_drain_errors(g, f);
		if (asks_resolver_in_use(g, f))
			resolver_failed(g);
	}
	gw_udp_work(g, f);
}

static uint32_t local_of(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			return info.ipi_spec_dst.s_addr;
		}
	return 0;
}

/* The flow that a client's datagram belongs to, made if need be. */
static struct flow *forward_flow(struct gateway *g, uint32_t number, const struct gw_neigh *guest, unsigned int i)
{
	const struct gw_forward *w = &g->forwards[number];
	uint16_t forward = (uint16_t)(number + 1), port;
	struct ip_addr client;

	if (!sock_addr_get(&g->udp->names[i], &client, &port) || !ip_addr_is4(&client))
		return NULL;
	struct flow_key key = {
		.guest = ip_addr_from4(guest->addr_be),
		.remote = ip_addr_from4(gw_unmap(g, ip_addr_4(&client))),
		.guest_port = w->c.guest_port,
		.remote_port = port,
		.port_id = guest->port_id,
		.kind = FLOW_UDP,
	};
	struct flow_key unused = {};
	struct flow *f;
	for (int try = 0; try < CLIENT_PORT_TRIES; try++) {
		f = find_flow(g, &key);
		/* The guest's own flow to that very client serves too: it speaks to one peer. */
		if (f && ip_addr_eq(&f->host, &client) && f->host_port == port &&
				(f->udp.forward == forward || !f->udp.forward))
			break;
		if (!f && unused.kind == FLOW_FREE)
			unused = key;
		f = NULL;
		key.remote_port = (uint16_t)(32768 + siphash(&g->c.key, &key, sizeof(key)) % 28232);
	}
	if (!f && unused.kind != FLOW_FREE) {
		unused.kind = FLOW_UDP_IN;
		f = new_flow(g, &unused);
		if (f) {
			f->host = client;
			f->host_port = port;
			f->udp.forward = forward;
		}
	}
	if (!f)
		return NULL;
	f->guest_mac = guest->mac;
	if (f->udp.forward)
		f->udp.local_be = local_of(&g->udp->msgs[i].msg_hdr);
	return f;
}

void gw_udp_listen_event(void *ctx, uint32_t number, uint32_t events)
{
	struct gateway *g = ctx;
	struct gw_forward *w = &g->forwards[number];
	uint32_t guest_be = w->c.guest_be ? w->c.guest_be : g->c.dhcp_start_be;
	const struct gw_neigh *guest = gw_neigh_find(g, guest_be);

	if (!w->used) /* an event from before it was removed */
		return;
	if (!guest) {
		/* The datagrams wait in the socket, as many as its buffer holds. Asking fills the ports, which
		 * then say that they have room again: only time counts. */
		if (!w->asked_ms || gw_now(g) - w->asked_ms >= ASK_AGAIN_MS) {
			gw_arp_ask(g, guest_be);
			w->asked_ms = gw_now(g);
		}
		w->waiting = true;
		return;
	}
	struct port *p = lan_port(g->lan, guest->port_id);
	for (int burst = 0; burst < UDP_BURST; burst++) {
		if (!p || !has_room(p)) {
			w->waiting = true; /* gw_room() comes back to it */
			return;
		}
		int n = receive(g, w->c.fd, true);

		for (int i = 0; i < n; i++) {
			struct flow *f = forward_flow(g, number, guest, (unsigned int)i);

			if (!f) {
				gw_drop(g, p, DROP_FLOW_CAP);
				continue;
			}
			f->udp.n_to_guest = MIN(f->udp.n_to_guest + 1, 1u << 30);
			g->n.udp_to_guest++;
			flow_touch(g->flows, f, gw_now(g));
			(void)send_run(g, f, p, (unsigned int)i, (unsigned int)i + 1);
		}
		if (n < UDP_JOIN_MAX)
			return;
	}
	/* More may wait: look again at the next batch of events. */
	(void)g->sock.ops->rewatch(g->sock.ctx, w->c.fd, EPOLLIN | EPOLLET, g->source_udp_listen, number);
}
