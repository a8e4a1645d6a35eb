/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the gateway share; nobody outside this folder includes it.
 *
 * A frame from a guest comes in by gw_input(), which checks Ethernet and IP headers, and goes on to one
 * of gw_arp, gw_dhcp, gw_icmp, gw_udp, gw_tcp as a `struct gw_pkt`. Each answers with a drop_reason,
 * which gw_input() counts. Events of sockets come straight to the file that owns the flow. After each
 * batch gateway_work() runs once over the flows that were marked. */
#pragma once

#include "eth.h"
#include "gateway.h"
#include "icmp4.h"
#include "ip4.h"
#include "gw_dhcp.h"
#include "reass.h"

#define GW_NEIGH_PORT    32   /* of one port */
#define GW_NEIGH_MAX     (PORT_MAX * GW_NEIGH_PORT)
#define GW_WINDOW_CAP_BYTES (4u << 20)
#define GW_WINDOWS_BYTES    (8u << 20) /* of all busy flows: what a queue of 8192 frames surely holds */
#define GW_SOCK_POOL     32   /* TCP sockets opened ahead */
#define GW_ACKS_MAX      1024 /* acknowledgements that wait for data to go with */
#define GW_HEAD_MAX      (ETH_HEADER_BYTES + IP4_HEADER_BYTES + 60)
#define GW_SCRATCH_BYTES 65536u
#define GW_SILENCE_MS    2000 /* a guest not heard for so long may have been paused */

/* An IPv4 packet from a guest, or the whole datagram after reassembly. */
struct gw_pkt {
	struct port *port;
	const struct frame *frame;
	struct eth eth;
	struct ip4 ip;
	size_t l4;   /* of the L4 header, in the frame */
	struct rd r; /* at the L4 header; ends with the head copy or the packet, whichever is first */
};

/* Where an IPv4 address of this network was last heard. */
struct gw_neigh {
	uint32_t addr_be; /* 0: free */
	uint16_t port_id;
	struct mac mac;
	uint64_t used_ms;
};

struct gw_forward {
	struct gateway_forward c;
	bool used; /* else the place is free, and whatever names it is stale */
	bool waiting; /* datagrams lie in its socket until the guest is resolved */
	bool paused;  /* not watched: accept() failed, and is tried again by and by */
	uint64_t asked_ms;
};

struct gw_counters {
	uint64_t tcp_opened, tcp_refused, tcp_failed, tcp_reset;
	uint64_t tcp_retransmits, tcp_partial, tcp_watchdog;
	uint64_t tcp_from_guest_bytes, tcp_to_guest_bytes;
	uint64_t udp_from_guest, udp_to_guest, udp_joined, udp_errors;
	uint64_t ping_requests, ping_replies, ping_forbidden;
	uint64_t arp_requests, dhcp_messages, fragments_in, fragments_out, icmp_errors;
	uint64_t evicted[FLOW_KIND_MAX];
};

struct gw_udp_batch; /* gw_udp.c */

struct gateway {
	struct gateway_config c;
	struct loop *loop;
	struct sock_host sock;
	struct lan *lan;
	struct flow_table *flows;
	struct dhcp_server dhcp;
	struct reass *reass;
	struct loop_timer timer; /* of the flow table's wheel */
	struct loop_timer accept_timer; /* of forwards that are paused */
	struct loop_timer ack_timer;
	uint32_t acks[GW_ACKS_MAX]; /* numbers of flows whose acknowledgement waits; some may be gone */
	unsigned int n_acks;

	int source_tcp, source_udp, source_ping, source_tcp_listen, source_udp_listen;
	struct gw_forward forwards[GATEWAY_FORWARDS_MAX];
	unsigned int n_forwards; /* places ever used */
	struct gw_neigh neigh[GW_NEIGH_MAX];
	unsigned int n_neigh; /* entries ever used: those above were never */
	uint32_t source_be; /* of the last IPv4 packet of the batch that is being handled; 0: none */
	struct mac source_mac;

	union sock_addr resolvers[GATEWAY_DNS_MAX];
	unsigned int n_resolvers, resolver; /* the one in use */
	uint64_t dns_asked_ms;              /* the first query that it has not answered; 0: none */

	int pool[GW_SOCK_POOL]; /* unconnected IPv4 TCP sockets, options set */
	unsigned int n_pool;
	bool pool_failed;
	bool peek_off4, peek_off6; /* the kernel has SO_PEEK_OFF for TCP */
	bool udp_segment;
	bool ping_hinted;
	uint16_t ip_id;
	uint32_t n_busy;     /* flows that had work in one batch, of late */
	uint32_t window_cap; /* bytes a TCP flow may have on the way from its guest */

	struct gw_udp_batch *udp;
	uint8_t *scratch; /* GW_SCRATCH_BYTES, used within one call */
	uint64_t heard_ms[PORT_MAX];
	uint64_t drops[PORT_MAX][DROP_REASON_MAX];
	struct gw_counters n;
};

static inline uint64_t gw_now(const struct gateway *g)
{
	return loop_now_ms(g->loop);
}

/* The name server is ours only within the network; elsewhere (QEMU's dns=8.8.8.8) it is a destination
 * like any other, which DHCP tells. */
static inline bool gw_is_dns(const struct gateway *g, uint32_t addr_be)
{
	return addr_be == g->c.dns_be && (addr_be & g->c.mask_be) == g->c.net_be;
}

static inline bool gw_is_ours(const struct gateway *g, uint32_t addr_be)
{
	return addr_be == g->c.host_be || gw_is_dns(g, addr_be);
}

/* Whether a flow belongs here, of several gateways. */
static inline bool gw_owns(const struct gateway *g, const struct flow_key *key)
{
	const struct gateway_share *s = g->c.share;

	return likely(!s) || s->owner(s->ctx, key) == s->index;
}

/* The host's end of a flow as a socket address, and back. */
static inline socklen_t gw_host_addr(const struct flow *f, union sock_addr *ret)
{
	socklen_t n = sock_addr_set(ret, &f->host, f->host_port);

	if (ret->sa.sa_family == AF_INET6)
		ret->in6.sin6_scope_id = f->host_scope;
	return n;
}

static inline void gw_host_set(struct flow *f, const union sock_addr *a)
{
	(void)sock_addr_get(a, &f->host, &f->host_port);
	f->host_scope = a->sa.sa_family == AF_INET6 ? a->in6.sin6_scope_id : 0;
}

static inline void gw_drop(struct gateway *g, const struct port *p, enum drop_reason reason)
{
	g->drops[p->id][reason]++;
}

/* gateway.c */
void gw_timer_arm(struct gateway *g, struct flow *f, uint64_t due_ms);
/* The port of a flow; NULL once it was taken away. */
struct port *gw_port(struct gateway *g, const struct flow *f);
/* Whether the checksum of a TCP, UDP or ICMP message is right, or the offload header excuses it and
 * fits. gso: the segmentation that this protocol may ask for. l4_bytes with its header. */
enum drop_reason gw_check_l4(const struct gw_pkt *k, uint16_t csum_offset, enum offload_gso gso, size_t l4_bytes);

/* Ethernet and IPv4 headers of a packet to a guest; ip->payload_bytes and id set. */
void gw_emit_ip4(struct gateway *g, struct wr *w, const struct mac *dst, struct ip4 *ip);
/* An IPv4 payload (L4 header included, checksum complete) to a guest, in fragments if it must be. */
int gw_send_ip4(struct gateway *g, struct port *p, const struct mac *dst, struct ip4 *ip,
		const struct iovec *payload, unsigned int n, size_t n_bytes);

/* gw_share.c */
/* Fragments come by their addresses, but TCP flows are somebody's by their ports too: true if this packet, whole
 * again, is another gateway's, who has it now. */
bool gw_pass_on(struct gateway *g, const struct gw_pkt *k, const uint8_t *payload, size_t n);

/* gw_policy.c */
enum gw_verdict {
	GW_ALLOW,
	GW_REFUSE,      /* tell the guest: RST, port unreachable */
	GW_UNREACHABLE, /* tell the guest: no such host */
	GW_SILENT,      /* drop */
};
/* Where the guest's destination really is; *ret is set where that is allowed. */
enum gw_verdict gw_map(struct gateway *g, uint8_t proto, uint32_t dst_be, uint16_t dst_port, union sock_addr *ret);
/* The reverse, for a client that comes in by a forward: as which address the guest sees it. */
uint32_t gw_unmap(const struct gateway *g, uint32_t client_be);
/* A query went unanswered: the next resolver is used from now on. */
void gw_next_resolver(struct gateway *g);

/* gw_arp.c */
enum drop_reason gw_arp_input(struct gateway *g, struct port *p, const struct frame *f, const struct eth *e);
void gw_neigh_learn(struct gateway *g, const struct port *p, uint32_t addr_be, const struct mac *m);
const struct gw_neigh *gw_neigh_find(struct gateway *g, uint32_t addr_be);
void gw_neigh_forget_port(struct gateway *g, uint16_t port_id);
/* Asks every guest for an address. */
void gw_arp_ask(struct gateway *g, uint32_t addr_be);

/* gw_icmp.c */
enum drop_reason gw_icmp_input(struct gateway *g, struct gw_pkt *k);
void gw_ping_event(void *ctx, uint32_t number, uint32_t events);
void gw_ping_end(struct gateway *g, struct flow *f);
/* An ICMP error about the packet k to its sender, from the gateway's own address. */
void gw_icmp_error(struct gateway *g, const struct gw_pkt *k, uint8_t type, uint8_t code, uint32_t rest);
/* The same about a flow, of whose packet nothing is left but what the flow knows; from_be: who sent it. */
void gw_icmp_error_flow(struct gateway *g, struct flow *f, uint32_t from_be, uint8_t type, uint8_t code,
		uint32_t rest);
/* The ICMP error that a failed connect() or send stands for; false if none. */
bool gw_icmp_of_errno(int error, uint8_t *ret_code);
/* Reads a flow's error queue (IP_RECVERR) and passes ICMP errors on. */
void gw_drain_errors(struct gateway *g, struct flow *f);

/* gw_udp.c */
int gw_udp_init(struct gateway *g);
void gw_udp_done(struct gateway *g);
enum drop_reason gw_udp_input(struct gateway *g, struct gw_pkt *k);
/* Sends what gw_udp_input() held back to join it; before the frames of a batch are gone. */
void gw_udp_flush(struct gateway *g);
void gw_udp_event(void *ctx, uint32_t number, uint32_t events);
void gw_udp_listen_event(void *ctx, uint32_t forward, uint32_t events);
void gw_udp_end(struct gateway *g, struct flow *f);
/* Room on a port again, or a flow that had more: goes on reading. */
void gw_udp_work(struct gateway *g, struct flow *f);
void gw_udp_timer_due(struct gateway *g, struct flow *f);
/* When it ends without further traffic. */
uint64_t gw_udp_due_ms(const struct flow *f);
/* Ends a flow to a resolver that is one no more: the client asks again, and reaches one that is. */
void gw_udp_resolvers_changed(struct gateway *g, struct flow *f);

/* gw_tcp.c */
int gw_tcp_init(struct gateway *g);
enum drop_reason gw_tcp_input(struct gateway *g, struct gw_pkt *k);
void gw_tcp_event(void *ctx, uint32_t number, uint32_t events);
void gw_tcp_listen_event(void *ctx, uint32_t forward, uint32_t events);
void gw_tcp_listen_again(void *ctx, uint64_t now_ms); /* the accept_timer */
void gw_tcp_acks_due(void *ctx, uint64_t now_ms); /* the ack_timer */
void gw_tcp_work(struct gateway *g, struct flow *f);
void gw_tcp_timer_due(struct gateway *g, struct flow *f);
/* Watches its socket, as a flow of this gateway's from now on. 0 or -errno. */
int gw_tcp_watch(struct gateway *g, struct flow *f);
/* The guest is heard again after a silence. */
void gw_tcp_wake(struct gateway *g, struct flow *f);
/* The guest or its port is gone: the host's end is reset. */
void gw_tcp_abort(struct gateway *g, struct flow *f);
/* Opens sockets ahead, while nobody waits. true: it would like to, and asks for an idle moment. */
bool gw_tcp_fill_pool(struct gateway *g);
