/* SPDX-License-Identifier: BSD-2-Clause */
/* The user-mode router: what stands at .2 (the host) and .3 (the name server) of a guest's network, and
 * reaches the rest of the world through ordinary sockets. */
#pragma once

#include "flow.h"
#include "flow_info.h"
#include "lan.h"
#include "sock.h"

#define GATEWAY_DNS_MAX       8
#define GATEWAY_SEARCH_MAX    8
#define GATEWAY_NAME_BYTES    256
#define GATEWAY_FORWARDS_MAX  1024
#define GATEWAY_FLOWS_LEAST   256
#define GATEWAY_DESCRIPTORS   128 /* sockets opened ahead, and some */
#define GATEWAY_LEASES        16 /* as QEMU's */
#define GATEWAY_LEASES_MAX    256

/* A connection that came in by a forward, on its way to the worker that its flow belongs to. */
struct gateway_inbound {
	int fd;
	struct flow_key key; /* as the guest will see it */
	struct mac mac;      /* of the guest */
	struct ip_addr host; /* the client, and its port */
	uint16_t host_port;
};

/* One of several gateways that serve the same guests, each in a thread of its own. Worker 0 has what there is
 * only one of: the neighbours, leases, forwards and resolvers. */
struct gateway_share {
	unsigned int index, n; /* of this one; each may have an n-th of what is capped */
	/* The worker that a flow belongs to. */
	unsigned int (*owner)(void *ctx, const struct flow_key *key);
	/* A frame from the guest that only now is whole: true if it is another's, who has been given a copy. */
	bool (*pass_on)(void *ctx, struct port *p, const struct frame *f);
	/* By worker 0: gives a connection to its owner, descriptor and all. false: not now. */
	bool (*hand_over)(void *ctx, unsigned int to, const struct gateway_inbound *c);
	/* By the others: where a guest was heard. */
	void (*learnt)(void *ctx, const struct port *p, uint32_t addr_be, const struct mac *m);
	void *ctx;
};

struct gateway_config {
	struct loop *loop;
	struct sock_host sock;

	/* Network order. QEMU's defaults are 10.0.2.0/24, .2, .3, .15. */
	uint32_t net_be, mask_be, host_be, dns_be, dhcp_start_be;
	unsigned int n_leases; /* 0: GATEWAY_LEASES; at most GATEWAY_LEASES_MAX */
	struct mac mac;
	uint16_t mtu; /* of the guest's link: 576 to 65520 */
	bool tell_mtu; /* by DHCP, also to guests that do not ask for it */

	char hostname[GATEWAY_NAME_BYTES]; /* option 12; empty: none */
	char domainname[GATEWAY_NAME_BYTES];
	char search[GATEWAY_SEARCH_MAX][GATEWAY_NAME_BYTES];
	unsigned int n_search;
	char bootfile[GATEWAY_NAME_BYTES];

	bool restricted;       /* QEMU's restrict=on */
	bool no_host_loopback; /* .2 is not the host's loopback */
	bool no_host;          /* nor do other addresses of the host lead to it */
	bool no_dhcp;          /* the interface is configured by other means */
	bool no_peek_off;      /* as on kernels before 6.9 */
	bool isolated;
	bool guest_servers;    /* guests may be DHCP servers and routers for each other */

	uint32_t n_flows_max;      /* of one port, of each kind; 0: a default that fits the descriptors */
	uint32_t n_descriptors;    /* of the process, besides those of flows; 0: GATEWAY_DESCRIPTORS */
	struct siphash_key key;

	const struct gateway_share *share; /* NULL: there is one gateway */

	/* A port's other end went away; final: for good. May be NULL. */
	void (*port_closed)(void *ctx, struct port *p, int error, bool final);
	void *ctx;
};

/* An inbound forward: connections to a listening socket (TCP), or datagrams to a bound one (UDP), are
 * taken to a guest. The socket is the gateway's from then on. */
struct gateway_forward {
	int fd;
	uint8_t proto;          /* IPPROTO_TCP or IPPROTO_UDP */
	uint32_t guest_be;      /* 0: dhcp_start */
	uint16_t guest_port;    /* host order */
	uint16_t id;            /* the caller's, for gateway_del_forward() */
};

struct gateway;

/* 0 or -errno; -EMFILE: RLIMIT_NOFILE leaves fewer than GATEWAY_FLOWS_LEAST for flows. */
int gateway_new(const struct gateway_config *c, struct gateway **ret);
struct gateway *gateway_free(struct gateway *g);

/* The segment whose router it is; ports are added to it. */
struct lan *gateway_lan(struct gateway *g);

/* 0 or -errno; on error the descriptor is still the caller's. */
int gateway_add_forward(struct gateway *g, const struct gateway_forward *f);
/* Closes its socket. Connections that came in by it go on; its UDP clients, who were answered by that socket,
 * are forgotten. -ENOENT: there is none. */
int gateway_del_forward(struct gateway *g, uint16_t id);

/* The host's resolvers, in order of preference, whenever they change. Queries on their way to one that is
 * not among them are dropped. With none, a guest that asks is refused at once (ICMP port unreachable,
 * RST) and so does not wait: the old ones are of a network that the host has left. */
void gateway_set_resolvers(struct gateway *g, const union sock_addr *servers, unsigned int n);

/* Human-readable counters and limits (--stats) of n gateways that share their guests, summed; written to buf.
 * Returns the length as snprintf() does. */
int gateway_stats(struct gateway *const *g, unsigned int n, char *buf, size_t n_bytes);

/* Flows of n gateways that share their guests, in no order, at most n_max: returns how many. *at: 0, then left as it
 * is for the next ones, until it is GATEWAY_FLOWS_END. */
#define GATEWAY_FLOWS_END UINT64_MAX
unsigned int gateway_flows(
	struct gateway *const *g, unsigned int n, uint64_t *at, struct flow_info *ret, unsigned int n_max);

/* For gateways that share their guests. */

/* What another was told by hand_over(), and by learnt(). */
void gateway_take_over(struct gateway *g, const struct gateway_inbound *c);
void gateway_learn(struct gateway *g, uint16_t port_id, uint32_t addr_be, const struct mac *m);
/* Owners have changed, and none of the gateways is running: moves those flows of g (all[share->index]) that are
 * another's to that one, where they go on. One that finds no place is reset. */
void gateway_move_flows(struct gateway *g, struct gateway *const *all);
