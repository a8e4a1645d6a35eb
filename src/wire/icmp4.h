/* SPDX-License-Identifier: BSD-2-Clause */
/* ICMP for IPv4 (RFC 792, 1191, 1812). */
#pragma once

#include "cursor.h"
#include "drop.h"

#define ICMP4_HEADER_BYTES 8

enum icmp4_type {
	ICMP4_ECHO_REPLY = 0,
	ICMP4_UNREACHABLE = 3,
	ICMP4_ECHO_REQUEST = 8,
	ICMP4_TIME_EXCEEDED = 11,
	ICMP4_PARAMETER = 12,
};

enum icmp4_unreachable_code {
	ICMP4_UNREACH_NET = 0,
	ICMP4_UNREACH_HOST = 1,
	ICMP4_UNREACH_PROTOCOL = 2,
	ICMP4_UNREACH_PORT = 3,
	ICMP4_UNREACH_FRAG_NEEDED = 4,
	ICMP4_UNREACH_PROHIBITED = 13,
};

/* The first eight bytes. rest is the second word: identifier and sequence number of an echo (host
 * order, identifier in the high half), or next-hop MTU in the low half of "fragmentation needed". */
struct icmp4 {
	uint8_t type, code;
	uint16_t checksum; /* as it lies in the packet */
	uint32_t rest;
};

enum drop_reason icmp4_parse(struct rd *r, struct icmp4 *ret);

/* Checksum over the header and the payload, which is not written. */
void icmp4_emit(struct wr *w, const struct icmp4 *icmp, const void *payload, size_t n_bytes);
