/* SPDX-License-Identifier: BSD-2-Clause */
/* Which of several workers a flow belongs to, whatever queue its frames come on: a keyed hash of the connection,
 * so that no guest can aim at one of them. TCP goes by addresses and ports. UDP and ICMP go by addresses only,
 * so that fragments, of which only the first has ports, meet the rest of their flow; and so do fragments of
 * TCP, which are passed on once they are whole.
 *
 * Worker 0 has everything else, and what there is only one of: ARP, DHCP, the name server, frames to other
 * guests, and the UDP of guests that a UDP forward leads to (their answers leave by the forward's socket). */
#pragma once

#include "flow.h"
#include "frame.h"

#define STEER_FIRST_MAX 1024

struct steer {
	struct siphash_key key;
	struct mac gateway_mac;
	uint32_t dns_be;                  /* the gateway's own; 0: none */
	uint8_t n_active[FLOW_PORTS_MAX]; /* workers 0 to n - 1 serve the port; 0: only the first */
	unsigned int n_first;
	uint32_t first_be[STEER_FIRST_MAX]; /* guests whose UDP is worker 0's */
};

/* A UDP forward leads to that guest. */
void steer_add_first(struct steer *s, uint32_t guest_be);

unsigned int steer_flow(const struct steer *s, const struct flow_key *key);
unsigned int steer_frame(const struct steer *s, uint16_t port_id, const struct frame *f);
