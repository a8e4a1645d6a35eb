/* SPDX-License-Identifier: BSD-2-Clause */
/* ARP for IPv4 over Ethernet (RFC 826). */
#pragma once

#include "addr.h"
#include "cursor.h"
#include "drop.h"

#define ARP_BYTES 28

enum arp_op {
	ARP_OP_REQUEST = 1,
	ARP_OP_REPLY = 2,
};

struct arp {
	uint16_t op; /* enum arp_op, nothing else passes arp_parse */
	struct mac sender_mac, target_mac;
	uint32_t sender_be, target_be;
};

enum drop_reason arp_parse(struct rd *r, struct arp *ret);
void arp_emit(struct wr *w, const struct arp *a);
