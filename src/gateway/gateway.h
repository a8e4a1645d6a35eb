/* SPDX-License-Identifier: BSD-2-Clause */
/* The user-mode router: what stands at .2 (the host) and .3 (the name server) of a guest's network, and
 * reaches the rest of the world through ordinary sockets. */
#pragma once

#include "flow.h"
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
};

struct gateway;

/* 0 or -errno; -EMFILE: RLIMIT_NOFILE leaves fewer than GATEWAY_FLOWS_LEAST for flows. */
int gateway_new(const struct gateway_config *c, struct gateway **ret);
struct gateway *gateway_free(struct gateway *g);

/* The segment whose router it is; ports are added to it. */
struct lan *gateway_lan(struct gateway *g);

/* 0 or -errno; on error the descriptor is still the caller's. */
int gateway_add_forward(struct gateway *g, const struct gateway_forward *f);

/* The host's resolvers, in order of preference, whenever they change. Queries on their way to one that is
 * not among them are dropped. With none, a guest that asks is refused at once (ICMP port unreachable,
 * RST) and so does not wait: the old ones are of a network that the host has left. */
void gateway_set_resolvers(struct gateway *g, const union sock_addr *servers, unsigned int n);

/* Human-readable counters and limits (--stats), written to buf; returns the length as snprintf() does. */
int gateway_stats(struct gateway *g, char *buf, size_t n_bytes);
