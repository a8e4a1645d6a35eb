/* SPDX-License-Identifier: BSD-2-Clause */
/* UDP header (RFC 768). */
#pragma once

#include "cursor.h"
#include "drop.h"

#define UDP_HEADER_BYTES 8
#define UDP_CSUM_OFFSET  6

struct udp {
	uint16_t src_port, dst_port; /* host order */
	uint16_t payload_bytes;
	uint16_t checksum; /* as it lies in the packet; 0 means none (IPv4) */
};

/* l4_bytes: what the IP layer carries. A length that says more is refused; one that says less leaves
 * the rest unread. */
enum drop_reason udp_parse(struct rd *r, size_t l4_bytes, struct udp *ret);
void udp_emit(struct wr *w, const struct udp *udp);
