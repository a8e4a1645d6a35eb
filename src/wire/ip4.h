/* SPDX-License-Identifier: BSD-2-Clause */
/* IPv4 header (RFC 791). */
#pragma once

#include "addr.h"
#include "cursor.h"
#include "drop.h"

#define IP4_HEADER_BYTES 20
#define IP4_TTL_DEFAULT  64
#define IP4_DONT_FRAG    0x4000
#define IP4_MORE_FRAG    0x2000
#define IP4_FRAG_MASK    0x1fff /* offset in units of 8 bytes */

#define IP_PROTO_ICMP 1
#define IP_PROTO_TCP  6
#define IP_PROTO_UDP  17

struct ip4 {
	uint8_t tos, ttl, proto;
	uint8_t header_bytes;    /* 20 to 60, options included; options are skipped, never acted upon */
	uint16_t payload_bytes;  /* after the header, within the frame */
	uint16_t id, frag;       /* flags and offset */
	uint32_t src_be, dst_be;
};

static inline bool ip4_is_fragment(const struct ip4 *ip)
{
	return ip->frag & (IP4_MORE_FRAG | IP4_FRAG_MASK);
}

/* Verifies lengths and the header checksum; leaves the reader at the payload, cut to payload_bytes
 * (Ethernet padding is left off). r may hold only the head of a frame of which left_bytes remain. */
enum drop_reason ip4_parse(struct rd *r, size_t left_bytes, struct ip4 *ret);

/* A 20-byte header with its checksum; header_bytes is not looked at. */
void ip4_emit(struct wr *w, const struct ip4 *ip);
