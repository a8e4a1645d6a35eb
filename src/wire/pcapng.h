/* SPDX-License-Identifier: BSD-2-Clause */
/* The pcapng capture file format (draft-ietf-opsawg-pcapng), version 1.0, in this machine's byte order,
 * as readers expect: section header, Ethernet interfaces with nanosecond time, enhanced packets.
 *
 * A packet block is its head, the packet's bytes, padding to 32 bits, and its tail; pcapng_pad() says
 * how much padding, which is of zeroes. */
#pragma once

#include "cursor.h"

#define PCAPNG_SECTION_BYTES     28
#define PCAPNG_PACKET_HEAD_BYTES 28
#define PCAPNG_PACKET_TAIL_BYTES 16 /* options and the closing length */
#define PCAPNG_NAME_MAX          64 /* of an interface; longer ones are cut */
#define PCAPNG_INTERFACE_MAX     (16 + 4 + PCAPNG_NAME_MAX + 8 + 4 + 4)

enum pcapng_direction {
	PCAPNG_INBOUND = 1, /* epb_flags, bits 0 and 1 */
	PCAPNG_OUTBOUND = 2,
};

struct pcapng_packet {
	uint32_t interface; /* interfaces count from 0, in the order of their blocks */
	uint64_t time_ns;   /* since 1970 */
	uint32_t n_captured_bytes;
	uint32_t n_wire_bytes;
	enum pcapng_direction direction;
};

static inline size_t pcapng_pad(size_t n_bytes)
{
	return -n_bytes & 3;
}

void pcapng_emit_section(struct wr *w);
/* name may be empty. snap_bytes: 0 means no limit. */
void pcapng_emit_interface(struct wr *w, const char *name, uint32_t snap_bytes);
void pcapng_emit_packet_head(struct wr *w, const struct pcapng_packet *p);
void pcapng_emit_packet_tail(struct wr *w, const struct pcapng_packet *p);
