/* SPDX-License-Identifier: BSD-2-Clause */
/* Putting the gateway together, and the way of a packet through it. See gw.h. */
#include "gw.h"

#include <stdio.h>
#include <sys/resource.h>

#include "csum.h"
#include "tcp.h"
#include "udp.h"

#define FLOWS_DEFAULT    16384u
#define WINDOW_CAP_LEAST (128u << 10)

void gw_timer_arm(struct gateway *g, struct flow *f, uint64_t due_ms)
{
	flow_timer_set(g->flows, f, due_ms);
	if (due_ms && (!g->timer.armed || g->timer.due_ms > due_ms))
		loop_timer_set(g->loop, &g->timer, due_ms);
}

struct port *gw_port(struct gateway *g, const struct flow *f)
{
	return lan_port(g->lan, f->key.port_id);
}

static void timer_due(void *ctx, struct flow *f)
{
	struct gateway *g = ctx;

	switch (f->key.kind) {
	case FLOW_TCP:
		gw_tcp_timer_due(g, f);
		break;
	case FLOW_UDP:
	case FLOW_UDP_IN:
		gw_udp_timer_due(g, f);
		break;
	default:
		gw_ping_end(g, f);
		break;
	}
}

static void wheel_due(void *ctx, uint64_t now_ms)
{
	struct gateway *g = ctx;
	uint64_t next_ms = flow_timer_run(g->flows, now_ms, timer_due, g);

	if (next_ms)
		loop_timer_set(g->loop, &g->timer, next_ms);
}

enum drop_reason gw_check_l4(const struct gw_pkt *k, uint16_t csum_offset, enum offload_gso gso, size_t l4_bytes)
{
	const struct offload *o = &k->frame->offload;
	struct iovec v[1 + PORT_ROOM_IOV];

	if (o->csum_needed) {
		if (o->csum_start != k->l4 || o->csum_offset != csum_offset || csum_offset + 2u > l4_bytes)
			return DROP_BAD_OFFLOAD;
		if (o->gso != OFFLOAD_GSO_NONE && o->gso != gso)
			return DROP_BAD_OFFLOAD;
		return DROP_NONE;
	}
	if (o->csum_valid)
		return DROP_NONE;
	unsigned int n = frame_slice(k->frame, k->l4, l4_bytes, v, ARRAY_SIZE(v));
	if (n == 0)
		return DROP_TRUNCATED;
	uint64_t sum = 0;
	if (k->ip.proto != IP_PROTO_ICMP) {
		struct ip_addr src = ip_addr_from4(k->ip.src_be), dst = ip_addr_from4(k->ip.dst_be);

		sum = csum_pseudo(&src, &dst, k->ip.proto, (uint32_t)l4_bytes);
	}
	return csum_fold(csum_add_iov(v, n, 0, l4_bytes, sum)) ? DROP_BAD_CHECKSUM : DROP_NONE;
}

void gw_emit_ip4(struct gateway *g, struct wr *w, const struct mac *dst, struct ip4 *ip)
{
	eth_emit(w, &(struct eth){.dst = *dst, .src = g->c.mac, .type = ETH_TYPE_IP4});
	ip4_emit(w, ip);
}

struct fragment {
	struct gateway *g;
	struct port *port;
	const struct mac *dst;
};

static int send_piece(void *ctx, const struct ip4 *ip, const struct iovec *piece, unsigned int n, size_t n_bytes)
{
	struct fragment *x = ctx;
	uint8_t head[ETH_HEADER_BYTES + IP4_HEADER_BYTES];
	struct wr w = wr_of(head, sizeof(head));
	struct iovec v[1 + 2 * PORT_ROOM_IOV - 1];
	struct ip4 copy = *ip;

	if (n > ARRAY_SIZE(v) - 1)
		return -EMSGSIZE;
	copy.payload_bytes = (uint16_t)n_bytes;
	gw_emit_ip4(x->g, &w, x->dst, &copy);
	v[0] = (struct iovec){head, sizeof(head)};
	memcpy(v + 1, piece, n * sizeof(*piece));
	return port_send(x->port, v, n + 1, sizeof(head) + n_bytes, &(struct offload){});
}

int gw_send_ip4(struct gateway *g, struct port *p, const struct mac *dst, struct ip4 *ip,
		const struct iovec *payload, unsigned int n, size_t n_bytes)
{
	struct fragment x = {g, p, dst};

	if (n_bytes > 65535 - IP4_HEADER_BYTES)
		return -EMSGSIZE;
	ip->id = g->ip_id++;
	ip->payload_bytes = (uint16_t)n_bytes;
	if (n_bytes + IP4_HEADER_BYTES <= g->c.mtu)
		return send_piece(&x, ip, payload, n, n_bytes);
	g->n.fragments_out++;
	return frag_send(ip, payload, n, n_bytes, g->c.mtu, send_piece, &x);
}

static enum drop_reason input_l4(struct gateway *g, struct gw_pkt *k)
{
	switch (k->ip.proto) {
	case IP_PROTO_TCP:
		return gw_tcp_input(g, k);
	case IP_PROTO_UDP:
		return gw_udp_input(g, k);
	case IP_PROTO_ICMP:
		return gw_icmp_input(g, k);
	default:
		gw_icmp_error(g, k, ICMP4_UNREACHABLE, ICMP4_UNREACH_PROTOCOL, 0);
		return DROP_NOT_FOR_US;
	}
}

static enum drop_reason input_fragment(struct gateway *g, struct gw_pkt *k)
{
	struct frame whole = {};
	struct iovec v;
	const uint8_t *payload = NULL;
	size_t n = 0;

	/* Out of memory that may change, and into one piece. */
	if (!frame_copy(k->frame, k->l4, k->ip.payload_bytes, g->scratch))
		return DROP_TRUNCATED;
	g->n.fragments_in++;
	enum drop_reason reason = reass_input(
			g->reass, gw_now(g), k->port->id, &k->ip, g->scratch, k->ip.payload_bytes, &payload, &n);
	if (reason || !payload)
		return reason;
	if (g->c.share && k->ip.proto == IP_PROTO_TCP && gw_pass_on(g, k, payload, n))
		return DROP_NONE;
	v = (struct iovec){(void *)(uintptr_t)payload, n};
	whole = (struct frame){.head = payload, .head_bytes = n, .iov = &v, .n_iov = 1, .n_bytes = n};
	k->frame = &whole;
	k->l4 = 0;
	k->r = rd_of(payload, n);
	k->ip.frag = 0;
	k->ip.payload_bytes = (uint16_t)n;
	reason = input_l4(g, k);
	gw_udp_flush(g); /* the buffer is used again */
	k->frame = NULL;
	return reason;
}

/* A guest may use any address of the network but the gateway's own; none before it has a lease. */
static bool source_ok(const struct gateway *g, const struct ip4 *ip)
{
	if (ip->src_be == 0)
		return ip->proto == IP_PROTO_UDP && ip->dst_be == INADDR_BROADCAST;
	return (ip->src_be & g->c.mask_be) == g->c.net_be && !gw_is_ours(g, ip->src_be) &&
			(ip->src_be & ~g->c.mask_be) != 0 && (ip->src_be | g->c.mask_be) != INADDR_BROADCAST;
}

static enum drop_reason input_ip4(struct gateway *g, struct gw_pkt *k)
{
	k->r = rd_of(k->frame->head + ETH_HEADER_BYTES, k->frame->head_bytes - ETH_HEADER_BYTES);
	enum drop_reason reason = ip4_parse(&k->r, k->frame->n_bytes - ETH_HEADER_BYTES, &k->ip);

	if (reason)
		return reason;
	if (!source_ok(g, &k->ip) || mac_is_group(&k->eth.src))
		return DROP_FORGED_SOURCE;
	g->source_be = k->ip.src_be;
	g->source_mac = k->eth.src;
	k->l4 = ETH_HEADER_BYTES + (size_t)k->ip.header_bytes;
	if (unlikely(ip4_is_fragment(&k->ip)))
		return input_fragment(g, k);
	return input_l4(g, k);
}

static enum drop_reason input_frame(struct gateway *g, struct port *p, const struct frame *f)
{
	struct gw_pkt k = {.port = p, .frame = f};
	struct rd r = rd_of(f->head, f->head_bytes);
	enum drop_reason reason = eth_parse(&r, &k.eth);

	if (reason)
		return reason;
	switch (k.eth.type) {
	case ETH_TYPE_IP4:
		return input_ip4(g, &k);
	case ETH_TYPE_ARP:
		return gw_arp_input(g, p, f, &k.eth);
	default:
		return DROP_NOT_FOR_US;
	}
}

static void wake_flow(void *ctx, struct flow *f)
{
	if (f->key.kind == FLOW_TCP)
		gw_tcp_wake(ctx, f);
}

static void gw_input(void *ctx, struct port *p, const struct frame *frames, unsigned int n)
{
	struct gateway *g = ctx;
	uint64_t now_ms = gw_now(g);

	if (unlikely(now_ms - g->heard_ms[p->id] > GW_SILENCE_MS))
		flow_for_each(g->flows, p->id, wake_flow, g);
	g->heard_ms[p->id] = now_ms;
	for (unsigned int i = 0; i < n; i++) {
		enum drop_reason reason = input_frame(g, p, &frames[i]);

		if (unlikely(reason))
			gw_drop(g, p, reason);
	}
	gw_udp_flush(g);
	if (g->source_be) {
		gw_neigh_learn(g, p, g->source_be, &g->source_mac);
		g->source_be = 0;
	}
}

static void mark_flow(void *ctx, struct flow *f)
{
	struct gateway *g = ctx;

	if (f->key.kind != FLOW_PING)
		flow_mark(g->flows, f);
}

static void gw_room(void *ctx, struct port *p)
{
	struct gateway *g = ctx;

	flow_for_each(g->flows, p->id, mark_flow, g);
	for (unsigned int i = 0; i < g->n_forwards; i++)
		if (g->forwards[i].waiting) {
			g->forwards[i].waiting = false;
			gw_udp_listen_event(g, i, EPOLLIN);
		}
}

static void abort_flow(void *ctx, struct flow *f)
{
	struct gateway *g = ctx;

	switch (f->key.kind) {
	case FLOW_TCP:
		gw_tcp_abort(g, f);
		break;
	case FLOW_UDP:
	case FLOW_UDP_IN:
		gw_udp_end(g, f);
		break;
	default:
		gw_ping_end(g, f);
		break;
	}
}

static void gw_port_closed(void *ctx, struct port *p, int error, bool final)
{
	struct gateway *g = ctx;

	/* A guest that comes back has booted anew, or was restarted with its QEMU: its connections are gone. */
	flow_for_each(g->flows, p->id, abort_flow, g);
	gw_neigh_forget_port(g, p->id);
	reass_forget_port(g->reass, p->id);
	if (g->c.port_closed)
		g->c.port_closed(g->c.ctx, p, error, final);
}

static void lan_drop(void *ctx, struct port *p, enum drop_reason reason)
{
	gw_drop(ctx, p, reason);
}

static bool work_flows(struct gateway *g)
{
	uint32_t n_round = flow_n_work(g->flows);

	/* A tap's queue drops in silence: the windows of those that are busy together stay within it. */
	g->n_busy = MAX(n_round, g->n_busy - (g->n_busy + 15) / 16);
	g->window_cap = MAX(WINDOW_CAP_LEAST, MIN(GW_WINDOW_CAP_BYTES, GW_WINDOWS_BYTES / MAX(g->n_busy, 1u)));
	for (uint32_t n = n_round; n; n--) {
		struct flow *f = flow_take_work(g->flows);

		if (!f)
			break;
		if (f->key.kind == FLOW_TCP)
			gw_tcp_work(g, f);
		else
			gw_udp_work(g, f);
	}
	return flow_n_work(g->flows) > 0;
}

static bool gateway_work(void *ctx)
{
	struct gateway *g = ctx;
	bool more = work_flows(g);

	flow_reap(g->flows);
	return gw_tcp_fill_pool(g) || more;
}

/* Flows need descriptors: as many in all as the limit leaves, so that the engine itself never runs out. */
static int make_flows(struct gateway *g)
{
	struct flow_config fc = {.key = g->c.key, .n_max = 4 * FLOWS_DEFAULT};
	uint32_t n_other = g->c.n_descriptors ? g->c.n_descriptors : GATEWAY_DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		if (limit.rlim_cur < (rlim_t)n_other + GATEWAY_FLOWS_LEAST)
			return -EMFILE;
		fc.n_max = (uint32_t)MIN(limit.rlim_cur - n_other, (rlim_t)fc.n_max);
	}
	/* One port never takes everything: the others keep a quarter. */
	uint32_t n = MIN(g->c.n_flows_max ? g->c.n_flows_max : FLOWS_DEFAULT, fc.n_max - fc.n_max / 4);
	uint32_t n_shares = g->c.share ? g->c.share->n : 1;

	fc.n_max /= n_shares;
	fc.n_port_max[FLOW_TCP] = n / n_shares;
	fc.n_port_max[FLOW_UDP] = MAX(n / 4, 64u) / n_shares;
	fc.n_port_max[FLOW_UDP_IN] = fc.n_port_max[FLOW_UDP]; /* these hold no descriptor */
	fc.n_port_max[FLOW_PING] = MIN(MAX(n / 4, 16u), 256u) / n_shares;
	return flow_table_new(&fc, &g->flows);
}

static bool address_taken(void *ctx, uint32_t addr_be, const struct mac *mac, uint16_t port_id)
{
	const struct gw_neigh *n = gw_neigh_find(ctx, addr_be);

	return n && n->port_id != port_id; /* behind one port, addresses are that guest's own affair */
}

static int make_tables(struct gateway *g)
{
	struct dhcp_config dc = {
		.net_be = g->c.net_be,
		.mask_be = g->c.mask_be,
		.host_be = g->c.host_be,
		.dns_be = g->c.dns_be,
		.dhcp_start_be = g->c.dhcp_start_be,
		.n_leases = g->c.n_leases ? g->c.n_leases : GATEWAY_LEASES,
		.mtu = g->c.mtu,
		.mtu_unasked = g->c.tell_mtu,
		.restricted = g->c.restricted,
		.hostname = g->c.hostname,
		.domainname = g->c.domainname,
		.search = g->c.search,
		.n_search = g->c.n_search,
		.bootfile = g->c.bootfile,
		.taken = address_taken,
		.ctx = g,
	};
	int r = make_flows(g);

	if (r == 0)
		r = dhcp_server_init(&g->dhcp, &dc);
	return r < 0 ? r : reass_new(&g->reass);
}

static int make_sources(struct gateway *g)
{
	g->source_tcp = loop_source_add(g->loop, gw_tcp_event, g);
	g->source_udp = loop_source_add(g->loop, gw_udp_event, g);
	g->source_ping = loop_source_add(g->loop, gw_ping_event, g);
	g->source_tcp_listen = loop_source_add(g->loop, gw_tcp_listen_event, g);
	g->source_udp_listen = loop_source_add(g->loop, gw_udp_listen_event, g);
	if (g->source_udp_listen < 0)
		return g->source_udp_listen;
	return loop_hook_add(g->loop, gateway_work, g);
}

int gateway_new(const struct gateway_config *c, struct gateway **ret)
{
	struct gateway *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	g->c = *c;
	g->loop = c->loop;
	g->sock = c->sock;
	g->window_cap = GW_WINDOW_CAP_BYTES;
	g->timer = (struct loop_timer){.fn = wheel_due, .ctx = g};
	g->accept_timer = (struct loop_timer){.fn = gw_tcp_listen_again, .ctx = g};
	g->ack_timer = (struct loop_timer){.fn = gw_tcp_acks_due, .ctx = g};
	g->scratch = malloc(GW_SCRATCH_BYTES);
	r = g->scratch ? make_tables(g) : -ENOMEM;
	if (r == 0)
		r = make_sources(g);
	if (r == 0) {
		struct lan_config lc = {
			.loop = c->loop,
			.gateway_mac = c->mac,
			.gateway_be = {c->host_be, gw_is_dns(g, c->dns_be) ? c->dns_be : c->host_be},
			.isolated = c->isolated,
			.guest_servers = c->guest_servers,
			.input = gw_input,
			.room = gw_room,
			.port_closed = gw_port_closed,
			.drop = lan_drop,
			.ctx = g,
		};
		r = lan_new(&lc, &g->lan);
	}
	if (r == 0)
		r = gw_udp_init(g);
	if (r == 0)
		r = gw_tcp_init(g);
	if (r < 0) {
		gateway_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

struct gateway *gateway_free(struct gateway *g)
{
	if (!g)
		return NULL;
	if (g->flows && g->lan)
		flow_for_each(g->flows, UINT16_MAX, abort_flow, g);
	for (unsigned int i = 0; i < g->n_forwards; i++)
		if (g->forwards[i].used)
			(void)g->sock.ops->close(g->sock.ctx, g->forwards[i].c.fd);
	while (g->n_pool)
		(void)g->sock.ops->close(g->sock.ctx, g->pool[--g->n_pool]);
	loop_timer_clear(g->loop, &g->timer);
	loop_timer_clear(g->loop, &g->accept_timer);
	loop_timer_clear(g->loop, &g->ack_timer);
	gw_udp_done(g);
	lan_free(g->lan);
	flow_table_free(g->flows);
	reass_free(g->reass);
	free(g->scratch);
	free(g);
	return NULL;
}

struct lan *gateway_lan(struct gateway *g)
{
	return g->lan;
}

int gateway_add_forward(struct gateway *g, const struct gateway_forward *f)
{
	bool tcp = f->proto == IP_PROTO_TCP;
	uint32_t number = 0;

	while (number < g->n_forwards && g->forwards[number].used)
		number++;
	if (number == GATEWAY_FORWARDS_MAX)
		return -ENOSPC;
	int r = g->sock.ops->watch(g->sock.ctx, f->fd, EPOLLIN | (tcp ? 0 : EPOLLET),
			tcp ? g->source_tcp_listen : g->source_udp_listen, number);
	if (r < 0)
		return r;
	g->forwards[number] = (struct gw_forward){.c = *f, .used = true};
	g->n_forwards = MAX(g->n_forwards, number + 1);
	return 0;
}

/* Answers of its clients leave by the forward's socket. */
static void end_client(void *ctx, struct flow *f)
{
	struct gateway *g = ctx;

	if (f->key.kind == FLOW_UDP_IN && f->udp.forward && !g->forwards[f->udp.forward - 1].used)
		gw_udp_end(g, f);
}

int gateway_del_forward(struct gateway *g, uint16_t id)
{
	for (unsigned int i = 0; i < g->n_forwards; i++) {
		struct gw_forward *f = &g->forwards[i];

		if (!f->used || f->c.id != id)
			continue;
		f->used = f->waiting = f->paused = false;
		flow_for_each(g->flows, UINT16_MAX, end_client, g);
		(void)g->sock.ops->close(g->sock.ctx, f->c.fd);
		f->c.fd = -1;
		return 0;
	}
	return -ENOENT;
}

static void resolvers_changed(void *ctx, struct flow *f)
{
	if (f->key.kind == FLOW_UDP)
		gw_udp_resolvers_changed(ctx, f);
}

void gateway_set_resolvers(struct gateway *g, const union sock_addr *servers, unsigned int n)
{
	memset(g->resolvers, 0, sizeof(g->resolvers));
	g->n_resolvers = MIN(n, (unsigned int)GATEWAY_DNS_MAX);
	memcpy(g->resolvers, servers, g->n_resolvers * sizeof(*servers));
	g->resolver = 0;
	g->dns_asked_ms = 0;
	flow_for_each(g->flows, UINT16_MAX, resolvers_changed, g);
}
