/* SPDX-License-Identifier: BSD-2-Clause */
/* The whole gateway between two hostile guests and a simulated host that misbehaves, under a fake clock.
 *
 * The input is four bytes of configuration and a list of operations, a byte each with parameters of its
 * own: frames, made from a template with fields a little or entirely wrong, or raw; events of the host's
 * sockets; time; room in the ports. Frames wait for the next operation of another kind, so that they
 * come in batches. Segments keep near what the gateway expects, for the fuzzer learns its numbers from
 * the frames that it takes, as a guest does.
 *
 * What must hold: every frame to a guest parses, has right checksums or right offload fields, comes from
 * an address that may send it, and carries the bytes that the host sent, at their place. What the host
 * is sent is in order. The policy holds for every socket that is connected. No descriptor is lost, none
 * used after its end, and when time stands still the gateway comes to rest. */
#include "fuzz.h"

#include "arp.h"
#include "csum.h"
#include "gw_tcp.h"
#include "mem.h"
#include "sock_fake.h"
#include "udp.h"

#define OPS_MAX     192
#define PORTS       2
#define SLOTS       12
#define SLOTS_OUT   8 /* connections of the guest; the rest are inbound */
#define PENDING_MAX 12
#define ROUNDS_MAX  10000
#define FRAME_ROOM  6000
#define PAYLOAD_MAX 5000
#define DOWN_SEED   7u
#define NET         0x0a000200u
#define HOST        (NET + 2)
#define DNS         (NET + 3)
#define GUEST       (NET + 15)
#define SERVER      0xcb007101u
#define RESOLVER    0x7f000035u /* 127.0.0.53, as systemd's */
#define RESOLVER_2  0xc6336435u

enum {
	CONF_RESTRICTED = 1,
	CONF_NO_LOOPBACK = 2,
	CONF_NO_PEEK_OFF = 4,
	CONF_CAPS = 8,
	CONF_SHORT_QUEUE = 16,
	CONF_NO_SEGMENT = 32,
	CONF_FEW_FLOWS = 64,
	CONF_NO_PING = 128,
};

/* A TCP connection as a guest sees it. */
struct slot {
	unsigned int port;
	uint32_t guest, remote;
	uint16_t guest_port, remote_port;
	uint32_t iss;      /* ours, of the next SYN */
	uint32_t expected; /* by the gateway */
	bool open;         /* its SYN was seen */
	uint32_t peer_iss, next;
};

struct pending {
	struct frame frame;
	struct iovec iov[2];
};

static struct {
	struct sim sim;
	struct sock_fake *host;
	struct loop *loop;
	struct gateway *gw;
	struct port *ports[PORTS];
	uint8_t conf;
	uint32_t caps;
	uint16_t mtu;
	unsigned int n_queue;
	int listeners[2], binds[2];
	struct fake_plan plan;
	struct slot slots[SLOTS];
	unsigned int next_inbound;
	struct pending pending[PENDING_MAX];
	unsigned int n_pending, pending_port;
	bool any_bytes; /* a raw segment went in: what the host is sent need not be in order */
	struct rd in;
} z;

static uint64_t now_ms(void *ctx)
{
	return z.sim.now_ms;
}

/* --- The host -------------------------------------------------------------------------------------- */

static bool no_host(void)
{
	return (z.conf & CONF_NO_LOOPBACK) && (z.conf & CONF_CAPS);
}

static void check_destination(const union sock_addr *to)
{
	struct ip_addr a;
	uint16_t port;

	must(sock_addr_get(to, &a, &port));
	must(!(z.conf & CONF_RESTRICTED));
	if (!ip_addr_is4(&a))
		return; /* a resolver */
	uint32_t to4 = ntohl(ip_addr_4(&a));

	if (to4 == RESOLVER && port == 53)
		return;
	must(to4 >> 24 != 0 && to4 < 0xe0000000 && (to4 & 0xffffff00) != NET);
	if (to4 >> 24 == 127)
		must(to4 == INADDR_LOOPBACK && !(z.conf & CONF_NO_LOOPBACK));
	must(!no_host() || to4 != ntohl(z.host->c.addr_be));
}

static void plan_connection(void *ctx, const union sock_addr *to, struct fake_plan *plan)
{
	check_destination(to);
	*plan = z.plan;
}

static void on_datagram(void *ctx, struct fake_socket *s, const union sock_addr *to, const void *data, size_t n)
{
	if (s->connected)
		check_destination(to);
}

/* The templates' text counts up with its sequence number: a byte that does not follow the last one was
 * taken twice, or left out. */
static void on_sent(void *ctx, struct fake_conn *c, const struct msghdr *m, size_t n)
{
	bool first = c->up_written == 0;

	for (size_t i = 0; i < m->msg_iovlen && n; i++) {
		const uint8_t *p = m->msg_iov[i].iov_base;
		size_t take = MIN(m->msg_iov[i].iov_len, n);

		for (size_t k = 0; k < take; k++, first = false) {
			must(z.any_bytes || first || p[k] == (uint8_t)(c->app.c.recv_seed + 1));
			c->app.c.recv_seed = p[k];
		}
		n -= take;
	}
}

/* --- Frames to the guests -------------------------------------------------------------------------- */

static struct slot *slot_of(unsigned int port, const struct ip4 *ip, const struct tcp *t)
{
	uint32_t guest = ntohl(ip->dst_be), remote = ntohl(ip->src_be);

	for (unsigned int i = 0; i < SLOTS; i++) {
		struct slot *s = &z.slots[i];

		if (s->port == port && s->guest == guest && s->remote == remote && s->guest_port == t->dst_port &&
				s->remote_port == t->src_port)
			return s;
	}
	if ((t->flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return NULL;
	struct slot *s = &z.slots[SLOTS_OUT + z.next_inbound++ % (SLOTS - SLOTS_OUT)];

	*s = (struct slot){.port = port, .guest = guest, .remote = remote, .guest_port = t->dst_port,
		.remote_port = t->src_port, .iss = s->iss + 0x10000};
	return s;
}

static void learn_segment(unsigned int port, const struct ip4 *ip, const struct tcp *t, const uint8_t *text, size_t n)
{
	struct slot *s = slot_of(port, ip, t);

	if (!s)
		return;
	if (t->flags & TCP_SYN) {
		s->open = true;
		s->peer_iss = t->seq;
		s->next = t->seq + 1;
	}
	if (t->flags & TCP_ACK)
		s->expected = t->ack;
	if (!s->open)
		return;
	if (n)
		must(stream_match(DOWN_SEED, t->seq - s->peer_iss - 1, text, n) == n);
	if (t->seq == s->next)
		s->next += (uint32_t)n + !!(t->flags & TCP_FIN);
}

static void check_tcp(unsigned int port, const struct mem_frame *f, const struct ip4 *ip, size_t l4)
{
	struct rd r = rd_of(f->bytes + l4, ip->payload_bytes);
	struct tcp t;

	must(tcp_parse(&r, &t) == DROP_NONE);
	must(!(t.flags & TCP_SYN) || (t.mss && t.mss + 40u <= z.mtu && r.left == 0));
	if (f->offload.gso) {
		must(f->offload.gso == OFFLOAD_GSO_TCP4 && (z.caps & PORT_CAP_TSO4));
		must(f->offload.header_len == l4 + t.header_bytes && r.left > f->offload.gso_size);
		must(f->offload.gso_size + 40u <= z.mtu);
	}
	learn_segment(port, ip, &t, r.p, r.left);
}

static void check_udp(const struct mem_frame *f, const struct ip4 *ip, size_t l4)
{
	struct rd r = rd_of(f->bytes + l4, ip->payload_bytes);
	struct udp u;

	must(udp_parse(&r, ip->payload_bytes, &u) == DROP_NONE);
	must(u.payload_bytes + UDP_HEADER_BYTES == ip->payload_bytes);
	if (f->offload.gso) {
		must(f->offload.gso == OFFLOAD_GSO_UDP && (z.caps & PORT_CAP_USO));
		must(f->offload.header_len == l4 + UDP_HEADER_BYTES && r.left > f->offload.gso_size);
		must(f->offload.gso_size + 28u <= z.mtu);
	}
}

static void check_icmp(const uint8_t *l4, const struct ip4 *ip)
{
	struct rd r = rd_of(l4, ip->payload_bytes);
	struct icmp4 icmp;
	struct ip4 quoted;

	must(csum_fold(csum_add(l4, ip->payload_bytes, 0)) == 0);
	must(icmp4_parse(&r, &icmp) == DROP_NONE);
	if (icmp.type == ICMP4_ECHO_REPLY)
		return;
	must(icmp.type == ICMP4_UNREACHABLE || icmp.type == ICMP4_TIME_EXCEEDED || icmp.type == ICMP4_PARAMETER);
	must(ip4_parse(&r, SIZE_MAX, &quoted) == DROP_NONE);
	must(quoted.src_be == ip->dst_be && ntohl(quoted.dst_be) < 0xe0000000 && r.left == 8);
}

static void check_checksum(const struct mem_frame *f, const struct ip4 *ip, size_t l4)
{
	const struct offload *o = &f->offload;
	struct ip_addr src = ip_addr_from4(ip->src_be), dst = ip_addr_from4(ip->dst_be);
	uint64_t pseudo = csum_pseudo(&src, &dst, ip->proto, ip->payload_bytes);
	uint16_t at = ip->proto == IP_PROTO_TCP ? TCP_CSUM_OFFSET : UDP_CSUM_OFFSET, field;

	must(at + 2u <= ip->payload_bytes);
	memcpy(&field, f->bytes + l4 + at, 2);
	must(!o->csum_valid && (!o->gso || o->csum_needed));
	if (o->csum_needed) {
		must((z.caps & PORT_CAP_CSUM) && o->csum_start == l4 && o->csum_offset == at);
		must(field == csum_fold_partial(pseudo));
	} else {
		must(csum_fold(csum_add(f->bytes + l4, ip->payload_bytes, pseudo)) == 0);
	}
}

static void check_ip4(unsigned int port, const struct mem_frame *f)
{
	struct rd r = rd_of(f->bytes + ETH_HEADER_BYTES, f->n_bytes - ETH_HEADER_BYTES);
	size_t l4 = ETH_HEADER_BYTES + IP4_HEADER_BYTES;
	struct ip4 ip;

	must(ip4_parse(&r, r.left, &ip) == DROP_NONE && ip.header_bytes == IP4_HEADER_BYTES && ip.ttl > 0);
	must(f->n_bytes == l4 + ip.payload_bytes);
	must(f->offload.gso || f->n_bytes - ETH_HEADER_BYTES <= z.mtu);
	uint32_t src = ntohl(ip.src_be), dst = ntohl(ip.dst_be);

	must(src >> 24 != 127 && src >> 24 != 0 && src < 0xe0000000);
	must((src & 0xffffff00) != NET || src == HOST || src == DNS);
	must(dst == INADDR_BROADCAST || ((dst & 0xffffff00) == NET && dst != HOST && dst != DNS && (dst & 255) != 255));
	if (ip4_is_fragment(&ip)) {
		must(!f->offload.csum_needed && !f->offload.gso);
		return;
	}
	must(ip.proto == IP_PROTO_TCP || ip.proto == IP_PROTO_UDP || ip.proto == IP_PROTO_ICMP);
	if (ip.proto == IP_PROTO_ICMP) {
		must(!f->offload.csum_needed && !f->offload.gso);
		check_icmp(f->bytes + l4, &ip);
		return;
	}
	check_checksum(f, &ip, l4);
	if (ip.proto == IP_PROTO_TCP)
		check_tcp(port, f, &ip, l4);
	else
		check_udp(f, &ip, l4);
}

static void check_frame(unsigned int port, const struct mem_frame *f)
{
	struct rd r = rd_of(f->bytes, f->n_bytes);
	struct eth e;
	struct arp a;

	must(eth_parse(&r, &e) == DROP_NONE);
	if (!mac_eq(&e.src, &z.gw->c.mac))
		return; /* the other guest's: the lan passes on what it is given (fuzz-lan) */
	must(!mac_eq(&e.dst, &z.gw->c.mac) && !mac_is_zero(&e.dst));
	if (e.type == ETH_TYPE_IP4) {
		check_ip4(port, f);
		return;
	}
	must(e.type == ETH_TYPE_ARP && arp_parse(&r, &a) == DROP_NONE);
	must(a.sender_be == htonl(HOST) || a.sender_be == htonl(DNS));
	must(mac_eq(&a.sender_mac, &z.gw->c.mac));
}

static void take(unsigned int port, unsigned int n)
{
	struct mem_frame *f;

	while (n-- && z.ports[port] && (f = mem_port_take(z.ports[port]))) {
		check_frame(port, f);
		free(f);
	}
}

/* --- Running --------------------------------------------------------------------------------------- */

struct census {
	unsigned int n_fds;
};

static void count_flow(void *ctx, struct flow *f)
{
	struct census *c = ctx;

	must(!f->dying && f->key.port_id < PORT_MAX && gw_port(z.gw, f));
	if (f->fd >= 0)
		c->n_fds++;
	if (f->key.kind == FLOW_TCP) {
		must(f->tcp.state < GW_TCP_STATE_MAX && (f->fd >= 0) == (f->tcp.state != GW_TCP_LINGER));
		must((int32_t)(f->tcp.rcv_adv - f->tcp.rcv_nxt) >= 0);
		must((int32_t)(f->tcp.snd_max - f->tcp.snd_nxt) >= 0 && (int32_t)(f->tcp.snd_nxt - f->tcp.snd_una) >= 0);
	}
}

/* Every descriptor is somebody's, and nobody has more than its share. */
static void check_gateway(void)
{
	struct census c = {};
	unsigned int n_neigh[PORT_MAX] = {};

	flow_for_each(z.gw->flows, UINT16_MAX, count_flow, &c);
	must(z.host->n_open == c.n_fds + z.gw->n_pool + z.gw->n_forwards);
	must(z.host->n_bad_calls == 0);
	for (uint16_t i = 0; i < PORTS; i++) {
		must(reass_count(z.gw->reass, i) <= REASS_PORT_MAX);
		for (int kind = FLOW_TCP; kind < FLOW_KIND_MAX; kind++)
			must(flow_count(z.gw->flows, i, kind) <= flow_max(z.gw->flows, kind));
	}
	for (unsigned int i = 0; i < z.gw->n_neigh; i++)
		if (z.gw->neigh[i].addr_be)
			must(++n_neigh[z.gw->neigh[i].port_id] <= GW_NEIGH_PORT);
}

static void step(void)
{
	(void)sock_fake_run(z.host);
	must(loop_run_once(z.loop, 0) == 0);
}

static void settle(void)
{
	unsigned int n = 0;

	do {
		step();
		must(++n < ROUNDS_MAX);
	} while (loop_next_ms(z.loop) <= z.sim.now_ms || z.host->n_ready);
}

static void flush_pending(void)
{
	struct frame frames[PENDING_MAX];

	for (unsigned int i = 0; i < z.n_pending; i++)
		frames[i] = z.pending[i].frame;
	if (z.n_pending && z.ports[z.pending_port])
		port_input(z.ports[z.pending_port], frames, z.n_pending, loop_now_ms(z.loop));
	for (unsigned int i = 0; i < z.n_pending; i++) {
		free(z.pending[i].iov[0].iov_base);
		free(z.pending[i].iov[1].iov_base);
		free((void *)(uintptr_t)z.pending[i].frame.head);
	}
	z.n_pending = 0;
}

/* Memory of its own for each part, as in mem_port_inject(); the head lies in the guest's memory as the
 * guest may have changed it since. */
static uint8_t *part(const uint8_t *from, size_t n)
{
	uint8_t *copy = malloc(MAX(n, (size_t)1));

	if (!copy)
		abort();
	memcpy(copy, from, n);
	return copy;
}

static void put_frame(unsigned int port, const uint8_t *bytes, size_t n, const struct offload *o)
{
	size_t n_head = MIN(n, (size_t)FRAME_HEAD_BYTES), cut = n / 2;

	if (z.n_pending && (z.pending_port != port || z.n_pending == PENDING_MAX))
		flush_pending();
	struct pending *p = &z.pending[z.n_pending++];

	z.pending_port = port;
	p->iov[0] = (struct iovec){part(bytes, cut), cut};
	p->iov[1] = (struct iovec){part(bytes + cut, n - cut), n - cut};
	memset(p->iov[0].iov_base, 0xee, MIN(cut, n_head));
	if (n_head > cut)
		memset(p->iov[1].iov_base, 0xee, n_head - cut);
	p->frame = (struct frame){.head = part(bytes, n_head), .head_bytes = n_head, .iov = p->iov, .n_iov = 2,
		.n_bytes = n, .offload = *o};
}

/* --- Frames from the guests ------------------------------------------------------------------------ */

static struct mac mac_of(unsigned int port)
{
	return (struct mac){{0x52, 0x54, 0, 0x12, 0x34, (uint8_t)(0x56 + port)}};
}

static uint32_t address(uint8_t choice)
{
	static const uint32_t addresses[] = {HOST, DNS, SERVER, SERVER + 1, 0x7f000001, GUEST + 1, INADDR_BROADCAST,
		0xe00000fb, NET + 255, 0, 0xc6336401, SERVER + 2, NET, 0x7f000035, SERVER + 3, 0xc0a80101};

	return addresses[choice % ARRAY_SIZE(addresses)];
}

/* Whom the host may hear from: its kernel lets no martian through. */
static uint32_t client_address(uint8_t choice)
{
	static const uint32_t clients[] = {SERVER, SERVER + 1, 0x7f000001, 0xc6336401, GUEST + 1, HOST, 0xc0a80101, SERVER + 2};

	return clients[choice % ARRAY_SIZE(clients)];
}

/* Bits of the byte that says how a frame is spoilt. */
enum {
	BAD_L4_CSUM = 1,
	BAD_IP_CSUM = 2,
	BAD_LENGTH = 4,
	BAD_MAC = 8,
	USE_CSUM = 16, /* the checksum is left to the offload */
	USE_GSO = 32,
	BAD_OFFLOAD = 64,
	SHORT = 128,
};

struct draft {
	unsigned int port;
	uint32_t src, dst;
	uint8_t proto, ttl, spoilt;
	uint16_t frag, id, gso_size;
	uint8_t *l4;
	size_t n;
};

static uint8_t frame_bytes[FRAME_ROOM];

static uint8_t *draft_begin(struct draft *d, unsigned int port, uint32_t src, uint32_t dst, uint8_t proto, uint8_t spoilt)
{
	*d = (struct draft){.port = port % PORTS, .src = src, .dst = dst, .proto = proto, .ttl = 64, .spoilt = spoilt,
		.id = (uint16_t)(src + dst), .l4 = frame_bytes + ETH_HEADER_BYTES + IP4_HEADER_BYTES};
	return d->l4;
}

static void finish_l4(const struct draft *d, struct offload *o)
{
	struct ip_addr src = ip_addr_from4(htonl(d->src)), dst = ip_addr_from4(htonl(d->dst));
	uint16_t at = d->proto == IP_PROTO_TCP ? TCP_CSUM_OFFSET : d->proto == IP_PROTO_UDP ? UDP_CSUM_OFFSET : 2;
	uint64_t sum = d->proto == IP_PROTO_ICMP ? 0 : csum_pseudo(&src, &dst, d->proto, (uint32_t)d->n);
	uint16_t field = 0;

	if (at + 2u > d->n || d->frag)
		return;
	memcpy(d->l4 + at, &field, 2);
	if (d->spoilt & USE_CSUM) {
		field = csum_fold_partial(sum);
		*o = (struct offload){.csum_needed = true, .csum_start = ETH_HEADER_BYTES + IP4_HEADER_BYTES, .csum_offset = at};
		if (d->spoilt & USE_GSO) {
			o->gso = d->proto == IP_PROTO_TCP ? OFFLOAD_GSO_TCP4 : OFFLOAD_GSO_UDP;
			o->gso_size = MAX(d->gso_size, (uint16_t)1);
			o->header_len = (uint16_t)(d->l4 - frame_bytes) + (d->proto == IP_PROTO_TCP ? 20 : 8);
		}
	} else {
		field = csum_fold(csum_add(d->l4, d->n, sum));
		if (d->proto == IP_PROTO_UDP && !field)
			field = 0xffff;
	}
	if (d->spoilt & BAD_L4_CSUM)
		field ^= 0x0101;
	memcpy(d->l4 + at, &field, 2);
}

static void draft_put(struct draft *d)
{
	struct wr w = wr_of(frame_bytes, ETH_HEADER_BYTES + IP4_HEADER_BYTES);
	struct mac src = mac_of(d->port + (d->spoilt & BAD_MAC ? 1 : 0));
	struct offload o = {};
	struct ip4 ip = {.ttl = d->ttl, .proto = d->proto, .id = d->id, .frag = d->frag, .src_be = htonl(d->src),
		.dst_be = htonl(d->dst), .payload_bytes = (uint16_t)(d->n + (d->spoilt & BAD_LENGTH ? 9 : 0))};
	size_t n = ETH_HEADER_BYTES + IP4_HEADER_BYTES + d->n;

	eth_emit(&w, &(struct eth){.dst = z.gw->c.mac, .src = src, .type = ETH_TYPE_IP4});
	ip4_emit(&w, &ip);
	if (d->spoilt & BAD_IP_CSUM)
		frame_bytes[ETH_HEADER_BYTES + 10] ^= 1;
	finish_l4(d, &o);
	if (d->spoilt & BAD_OFFLOAD) { /* as much as a port lets through */
		uint8_t bytes[OFFLOAD_VNET_BYTES];
		struct rd r = rd_of(bytes, sizeof(bytes));

		rd_copy(&z.in, bytes, sizeof(bytes));
		if (offload_parse(&r, n, &o))
			return;
	}
	if (d->spoilt & SHORT)
		n -= MIN(n, (size_t)rd_u8(&z.in));
	put_frame(d->port, frame_bytes, n, &o);
}

static void op_raw(void)
{
	unsigned int port = rd_u8(&z.in) % PORTS;
	uint8_t vnet[OFFLOAD_VNET_BYTES];
	struct rd r = rd_of(vnet, sizeof(vnet));
	struct offload o;

	rd_copy(&z.in, vnet, sizeof(vnet));
	size_t n = MIN((size_t)rd_u16(&z.in) % 2048, z.in.left);
	const uint8_t *bytes = rd_bytes(&z.in, n);

	if (!bytes || offload_parse(&r, n, &o))
		return;
	z.any_bytes = true;
	put_frame(port, bytes, n, &o);
}

static void op_arp(void)
{
	unsigned int port = rd_u8(&z.in) % PORTS;
	uint8_t who = rd_u8(&z.in), target = rd_u8(&z.in), how = rd_u8(&z.in);
	struct wr w = wr_of(frame_bytes, ETH_HEADER_BYTES + ARP_BYTES);
	struct mac src = mac_of(port + (how & BAD_MAC ? who : 0));
	struct arp a = {.op = how & 1 ? ARP_OP_REPLY : ARP_OP_REQUEST, .sender_mac = src, .sender_be = htonl(NET + who),
		.target_be = htonl(address(target))};

	eth_emit(&w, &(struct eth){.dst = how & 2 ? mac_of(1 - port) : z.gw->c.mac, .src = src, .type = ETH_TYPE_ARP});
	arp_emit(&w, &a);
	put_frame(port, frame_bytes, ETH_HEADER_BYTES + ARP_BYTES, &(struct offload){});
}

static void op_dhcp(void)
{
	unsigned int port = rd_u8(&z.in);
	uint8_t type = rd_u8(&z.in), who = rd_u8(&z.in), addr = rd_u8(&z.in), spoilt = rd_u8(&z.in) & 0x8f;
	uint8_t options[] = {0x63, 0x82, 0x53, 0x63, 53, 1, type, 50, 4, 10, 0, 2, addr, 57, 2, 0xff, 0xff, 255};
	struct mac mac = mac_of(who);
	struct draft d;
	uint8_t *l4 = draft_begin(&d, port, who & 64 ? GUEST : 0, who & 128 ? HOST : INADDR_BROADCAST, IP_PROTO_UDP, spoilt);
	struct wr w = wr_of(l4, UDP_HEADER_BYTES + 300);

	memset(l4, 0, UDP_HEADER_BYTES + 300);
	udp_emit(&w, &(struct udp){.src_port = 68, .dst_port = 67, .payload_bytes = 300});
	memcpy(w.p, "\1\1\6", 3);
	memcpy(w.p + 28, &mac, sizeof(mac));
	memcpy(w.p + 236, options, sizeof(options));
	d.n = UDP_HEADER_BYTES + 300;
	draft_put(&d);
}

static void op_ping(void)
{
	unsigned int port = rd_u8(&z.in);
	uint8_t dst = rd_u8(&z.in), id = rd_u8(&z.in), ttl = rd_u8(&z.in), spoilt = rd_u8(&z.in);
	struct draft d;
	uint8_t *l4 = draft_begin(&d, port, GUEST + port % PORTS, address(dst), IP_PROTO_ICMP, spoilt);
	struct wr w = wr_of(l4, ICMP4_HEADER_BYTES);

	d.n = ICMP4_HEADER_BYTES + (size_t)rd_u16(&z.in) % PAYLOAD_MAX;
	d.ttl = ttl;
	memset(l4, 0x55, d.n);
	wr_u32(&w, (uint32_t)ICMP4_ECHO_REQUEST << 24);
	wr_u32(&w, (uint32_t)id << 16 | 1);
	draft_put(&d);
}

static void op_udp(void)
{
	unsigned int port = rd_u8(&z.in);
	uint8_t who = rd_u8(&z.in), dst = rd_u8(&z.in), ttl = rd_u8(&z.in), spoilt = rd_u8(&z.in);
	struct draft d;
	uint8_t *l4 = draft_begin(&d, port, GUEST + port % PORTS + (who >> 5) * 8u, address(dst), IP_PROTO_UDP, spoilt);
	struct wr w = wr_of(l4, UDP_HEADER_BYTES);
	size_t n = rd_u16(&z.in) % PAYLOAD_MAX;
	uint16_t dst_port = dst & 16 ? 53 : (uint16_t)(5000 + (dst >> 5));

	d.gso_size = spoilt & USE_GSO ? rd_u16(&z.in) : 0;
	d.ttl = ttl;
	d.n = UDP_HEADER_BYTES + n;
	udp_emit(&w, &(struct udp){.src_port = (uint16_t)(9000 + who % 32), .dst_port = dst_port, .payload_bytes = (uint16_t)n});
	memset(w.p, who, n);
	for (int copies = dst == 2 ? 3 : 1; copies; copies--)
		draft_put(&d);
}

static void op_fragment(void)
{
	unsigned int port = rd_u8(&z.in);
	uint8_t dst = rd_u8(&z.in), proto = rd_u8(&z.in);
	struct draft d;
	uint8_t *l4 = draft_begin(&d, port, GUEST + port % PORTS, address(dst), proto & 1 ? IP_PROTO_UDP : IP_PROTO_ICMP, 0);

	d.frag = rd_u16(&z.in);
	d.id = rd_u8(&z.in);
	d.n = rd_u8(&z.in) % 200 + 1u;
	memset(l4, 0, d.n);
	if (!(d.frag & IP4_FRAG_MASK) && d.n >= UDP_HEADER_BYTES) { /* UDP without a checksum; an echo request of zeroes */
		struct wr w = wr_of(l4, UDP_HEADER_BYTES);

		if (d.proto == IP_PROTO_UDP)
			udp_emit(&w, &(struct udp){.src_port = 9000, .dst_port = 5000, .payload_bytes = (uint16_t)rd_u8(&z.in)});
		else
			wr_u32(&w, (uint32_t)ICMP4_ECHO_REQUEST << 24 | 0xf7ff);
	}
	draft_put(&d);
}

static void put_segment(struct slot *s, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t window, size_t n, uint8_t spoilt)
{
	struct draft d;
	uint8_t *l4 = draft_begin(&d, s->port, s->guest, s->remote, IP_PROTO_TCP, spoilt);
	bool syn = flags & TCP_SYN;
	struct tcp t = {.src_port = s->guest_port, .dst_port = s->remote_port, .seq = seq, .ack = ack, .window = window,
		.flags = flags, .mss = syn && window & 1 ? window : 0, .wscale = syn ? (int8_t)(window >> 12) : -1};
	struct wr w = wr_of(l4, 60 + PAYLOAD_MAX);

	tcp_emit(&w, &t);
	for (size_t i = 0; i < n; i++)
		w.p[i] = (uint8_t)(seq + syn + i);
	d.n = (size_t)(w.p - l4) + n;
	d.gso_size = 1000;
	draft_put(&d);
}

static void op_syn(void)
{
	uint8_t i = rd_u8(&z.in), spoilt = rd_u8(&z.in), ack = rd_u8(&z.in);
	struct slot *s = &z.slots[i % SLOTS];
	uint16_t window = rd_u16(&z.in);

	if (i & 64) /* a new connection in place of the old one */
		s->iss += 0x01000000;
	if (i % SLOTS >= SLOTS_OUT)
		put_segment(s, TCP_SYN | (i & 128 ? 0 : TCP_ACK), s->iss, s->next + (uint32_t)(int8_t)ack, window, 0, spoilt);
	else
		put_segment(s, TCP_SYN, s->iss, 0, window, ack, spoilt);
}

static void op_segment(void)
{
	uint8_t i = rd_u8(&z.in), flags = rd_u8(&z.in), spoilt = rd_u8(&z.in);
	int8_t seq_off = (int8_t)rd_u8(&z.in), ack_off = (int8_t)rd_u8(&z.in);
	struct slot *s = &z.slots[i % SLOTS];
	uint16_t window = rd_u16(&z.in);
	size_t n = flags & 0x40 ? rd_u16(&z.in) % PAYLOAD_MAX : 0;
	uint32_t scale = flags & 0x80 ? 4096 : 1;

	put_segment(s, flags & 0x3f, s->expected + (uint32_t)seq_off * scale, s->next + (uint32_t)ack_off * scale, window, n,
			spoilt);
}

/* --- The host's events ----------------------------------------------------------------------------- */

static void op_time(void)
{
	static const uint32_t pauses_ms[] = {1, 10, 50, 300, 1000, 2500, 10000, 31000, 61000, 200000, 7300000};

	z.sim.now_ms += pauses_ms[rd_u8(&z.in) % ARRAY_SIZE(pauses_ms)];
	settle();
}

static void op_plan(void)
{
	uint8_t outcome = rd_u8(&z.in), buffers = rd_u8(&z.in), faults = rd_u8(&z.in);

	z.plan.outcome = outcome & 8 ? outcome % FAKE_OUTCOME_MAX : FAKE_ACCEPTED;
	z.plan.connect_ms = outcome >> 4;
	z.plan.delay_ms = faults >> 6;
	z.plan.sndbuf_bytes = buffers & 15 ? (buffers & 15u) * 1000 : 0;
	z.plan.far_rcvbuf_bytes = buffers >> 4 ? (buffers >> 4) * 500u : 0;
	z.plan.partial = faults & 1 ? 300 : 0;
	z.plan.again = faults & 2 ? 300 : 0;
}

static void op_connection(void)
{
	uint8_t i = rd_u8(&z.in), what = rd_u8(&z.in);
	struct fake_conn *c = z.host->conns;

	for (; c && i; i--)
		c = c->next;
	if (!c)
		return;
	switch (what % 4) {
	case 0:
		c->app.c.no_fin = false;
		break;
	case 1:
		c->app.c.rst_at_ms = 1;
		break;
	default:
		if (c->app.c.no_fin)
			c->app.c.send_bytes += (what >> 2) * 100u + 1;
		break;
	}
}

static struct fake_socket *pick_socket(uint8_t i)
{
	struct fake_socket *found = NULL;

	for (unsigned int k = 0; k < z.host->n_open_max; k++) {
		struct fake_socket *s = &z.host->sockets[k];

		if (!s->used || (s->kind != FAKE_UDP && s->kind != FAKE_PING))
			continue;
		found = s;
		if (i-- == 0)
			break;
	}
	return found;
}

static void op_error(void)
{
	static const int errors[] = {ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EMSGSIZE, EPROTO, EACCES};
	struct fake_socket *s = pick_socket(rd_u8(&z.in));
	uint8_t error = rd_u8(&z.in), type = rd_u8(&z.in), code = rd_u8(&z.in), from = rd_u8(&z.in);
	uint8_t data[64] = {ICMP4_ECHO_REQUEST};

	if (s)
		sock_fake_icmp_error(z.host, s, errors[error % ARRAY_SIZE(errors)], type % 16, code, htonl(client_address(from)), data,
				from % sizeof(data));
}

static void op_datagram(void)
{
	static uint8_t bytes[60000];
	struct fake_socket *s = pick_socket(rd_u8(&z.in));
	uint8_t from = rd_u8(&z.in), copies = rd_u8(&z.in);
	size_t n = MIN((size_t)rd_u16(&z.in), sizeof(bytes)), size = rd_u16(&z.in);
	struct ip_addr a = ip_addr_from4(htonl(client_address(from)));
	union sock_addr client;

	if (!s)
		return;
	client = s->peer;
	if (!s->connected)
		(void)sock_addr_set(&client, &a, (uint16_t)(6000 + (from >> 4)));
	for (unsigned int i = 0; i <= copies % 80u; i++) {
		if (copies & 128 && size > n / 64)
			sock_fake_deliver_joined(z.host, s, &client, bytes, n, size);
		else
			sock_fake_deliver(z.host, s, &client, bytes, n);
	}
}

static void op_dial(void)
{
	uint8_t which = rd_u8(&z.in), from = rd_u8(&z.in);

	(void)sock_fake_dial(z.host, z.listeners[which % 2], htonl(client_address(from)), (uint16_t)(7000 + (from >> 4)), &z.plan);
}

/* --- Ports, resolvers ------------------------------------------------------------------------------ */

static void add_port(unsigned int i)
{
	struct lan *lan = gateway_lan(z.gw);

	must(mem_port_new(z.loop, lan_owner(lan), z.caps, z.n_queue, &z.ports[i]) == 0);
	must(lan_add_port(lan, z.ports[i]) == 0);
}

static void op_port(void)
{
	uint8_t what = rd_u8(&z.in);
	unsigned int i = what % PORTS;
	bool final = what & 2;

	if (what & 4)
		return;
	const struct port_owner *owner = lan_owner(gateway_lan(z.gw));
	struct port *p = z.ports[i];

	owner->closed(owner->ctx, p, -EPIPE, final);
	if (!final) {
		owner->opened(owner->ctx, p);
		return;
	}
	z.ports[i] = NULL;
	step(); /* it is freed, and its number too */
	add_port(i);
	must(z.ports[i]->id == i);
}

static void set_resolvers(uint8_t which)
{
	struct ip_addr six = {{htonl(0x20010db8), 0, 0, htonl(53)}};
	struct ip_addr all[] = {ip_addr_from4(htonl(RESOLVER)), six, ip_addr_from4(htonl(RESOLVER_2))};
	union sock_addr servers[3];
	unsigned int n = 0;

	for (unsigned int i = 0; i < 3; i++)
		if (which & 1 << i)
			(void)sock_addr_set(&servers[n++], &all[i], 53);
	gateway_set_resolvers(z.gw, servers, n);
}

static void op_descriptors(void)
{
	z.host->fail_open = rd_u8(&z.in) & 1 ? -EMFILE : 0;
}

/* --- The life of a gateway ------------------------------------------------------------------------- */

static void add_forward(int fd, uint8_t proto, uint32_t guest, uint16_t port)
{
	struct gateway_forward f = {.fd = fd, .proto = proto, .guest_be = htonl(guest), .guest_port = port};

	must(gateway_add_forward(z.gw, &f) == 0);
	sock_fake_get(z.host, fd)->pktinfo = proto == IP_PROTO_UDP;
}

static void add_forwards(void)
{
	for (int i = 0; i < 2; i++) {
		z.listeners[i] = sock_fake_listen(z.host, (uint16_t)(8080 + i));
		z.binds[i] = sock_fake_bind_udp(z.host, (uint16_t)(8080 + i));
		add_forward(z.listeners[i], IP_PROTO_TCP, i ? GUEST + 1 : 0, 80);
		add_forward(z.binds[i], IP_PROTO_UDP, i ? GUEST + 1 : 0, 80);
	}
}

static void make_slots(void)
{
	memset(z.slots, 0, sizeof(z.slots));
	for (unsigned int i = 0; i < SLOTS; i++) {
		z.slots[i] = (struct slot){.port = i / 4 % PORTS, .guest = GUEST + i / 4 % PORTS, .remote = address((uint8_t)(i % 4)),
			.guest_port = (uint16_t)(40000 + i), .remote_port = i % 4 == 1 ? 53 : 80, .iss = 0xfffff000 + i};
		z.slots[i].expected = z.slots[i].iss + 1;
	}
	z.next_inbound = 0;
}

static void begin(void)
{
	static const uint16_t mtus[] = {1500, 576, 9000, 65520};
	static const struct loop_clock clock = {.now_ms = now_ms};

	z.conf = rd_u8(&z.in);
	z.mtu = mtus[rd_u8(&z.in) % ARRAY_SIZE(mtus)];
	z.caps = z.conf & CONF_CAPS ? PORT_CAP_CSUM | PORT_CAP_TSO4 | PORT_CAP_USO : 0;
	z.n_queue = z.conf & CONF_SHORT_QUEUE ? 3 : 4096;
	z.plan = (struct fake_plan){.app = {.no_fin = true, .send_seed = DOWN_SEED}};
	z.any_bytes = false;
	if (!z.host) {
		sim_init(&z.sim, 1, "fuzz-gateway");
		z.host = sock_fake_new(&(struct sock_fake_config){
				.sim = &z.sim, .plan = plan_connection, .datagram = on_datagram, .sent = on_sent});
	}
	z.sim.now_ms = SIM_START_MS;
	z.sim.rng.state = 1;
	must(loop_new(&clock, &z.loop) == 0);
	z.host->c.loop = z.loop;
	z.host->c.no_peek_off = z.conf & CONF_NO_PEEK_OFF;
	z.host->c.no_udp_segment = z.conf & CONF_NO_SEGMENT;
	z.host->c.no_ping = z.conf & CONF_NO_PING;
	struct gateway_config c = {
		.loop = z.loop, .sock = sock_fake_host(z.host), .net_be = htonl(NET), .mask_be = htonl(0xffffff00),
		.host_be = htonl(HOST), .dns_be = htonl(DNS), .dhcp_start_be = htonl(GUEST),
		.mac = {{0x52, 0x55, 10, 0, 2, 2}}, .mtu = z.mtu,
		.restricted = z.conf & CONF_RESTRICTED, .no_host_loopback = z.conf & CONF_NO_LOOPBACK,
		.no_host = no_host(),
		.n_flows_max = z.conf & CONF_FEW_FLOWS ? 3 : 0, .key = {{1, 2}},
	};
	must(gateway_new(&c, &z.gw) == 0);
	for (unsigned int i = 0; i < PORTS; i++)
		add_port(i);
	add_forwards();
	set_resolvers(rd_u8(&z.in));
	make_slots();
	(void)rd_u8(&z.in);
	settle();
}

static void end(void)
{
	char text[4096];

	flush_pending();
	settle();
	z.sim.now_ms += 500;
	settle();
	take(0, UINT32_MAX);
	take(1, UINT32_MAX);
	settle();
	check_gateway();
	must(gateway_stats(z.gw, text, sizeof(text)) > 0);
	z.gw = gateway_free(z.gw);
	must(z.host->n_open == 0 && z.host->n_bad_calls == 0);
	sock_fake_reset(z.host);
	z.loop = loop_free(z.loop);
}

static void op_take(void)
{
	uint8_t what = rd_u8(&z.in);

	take(what % PORTS, (what >> 1) + 1u);
}

static const struct {
	void (*run)(void);
	bool frame;
} ops[] = {
	{op_raw, true}, {op_arp, true}, {op_dhcp, true}, {op_ping, true}, {op_udp, true}, {op_fragment, true},
	{op_syn, true}, {op_segment, true}, {op_segment, true}, {op_take, false}, {op_time, false}, {op_plan, false},
	{op_connection, false}, {op_error, false}, {op_datagram, false}, {op_dial, false}, {op_port, false},
	{op_descriptors, false},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	z.in = rd_of(data, n_bytes);
	begin();
	for (unsigned int i = 0; i < OPS_MAX && z.in.left; i++) {
		uint8_t op = rd_u8(&z.in);

		if (op >= 128 && op < 136) {
			set_resolvers(op);
			continue;
		}
		op %= ARRAY_SIZE(ops);
		if (!ops[op].frame)
			flush_pending();
		ops[op].run();
		if (!ops[op].frame) {
			step();
			if (i % 8 == 0)
				check_gateway();
		}
	}
	end();
	return 0;
}
