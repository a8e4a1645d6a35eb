/* SPDX-License-Identifier: BSD-2-Clause */
/* One L2 segment: a learning switch between the guests' ports and the gateway.
 *
 * A frame to the gateway's own MAC, the common case, goes straight up. A frame to a known station goes
 * to its port with its offload header rebuilt; group and unknown destinations go to every other port
 * and to the gateway. The forwarding table is capped per port (the entry longest unused goes first), so
 * that a guest with many addresses ages only its own. The gateway's MAC as a source is refused, and ARP
 * from a guest that claims one of the gateway's addresses: it would turn the others' traffic to it. So
 * would a guest that answers the others' DHCP or calls itself their router: that does not pass either
 * (rogue.h). */
#pragma once

#include "port.h"

#define LAN_FDB_PER_PORT 64

struct lan;

struct lan_config {
	struct loop *loop;
	struct mac gateway_mac;
	uint32_t gateway_be[2]; /* its addresses, which no guest may claim by ARP; 0: none */
	bool isolated; /* guests reach the gateway only */
	bool guest_servers; /* guests may be DHCP servers and routers for each other */
	/* The gateway's side; frames that are for it, valid during the call. */
	void (*input)(void *ctx, struct port *p, const struct frame *frames, unsigned int n);
	void (*room)(void *ctx, struct port *p);
	void (*port_closed)(void *ctx, struct port *p, int error, bool final);
	void (*drop)(void *ctx, struct port *p, enum drop_reason reason);
	void *ctx;
};

int lan_new(const struct lan_config *c, struct lan **ret);
struct lan *lan_free(struct lan *l); /* frees its ports too */

/* What a port that is being made should name as its owner. */
const struct port_owner *lan_owner(struct lan *l);
/* Takes the port over; sets its id. 0 or -ENOSPC. */
int lan_add_port(struct lan *l, struct port *p);
/* NULL if there is none of that number. */
struct port *lan_port(struct lan *l, uint16_t id);
unsigned int lan_n_ports(const struct lan *l);
/* The port behind which a station was last heard, or NULL. */
struct port *lan_find_station(struct lan *l, const struct mac *m);
/* To every port but `except` (may be NULL). */
void lan_flood(struct lan *l, const struct port *except, const struct iovec *iov, unsigned int n_iov,
		size_t n_bytes, const struct offload *o);
