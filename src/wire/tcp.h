/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP header (RFC 9293, 3.1) and the options we take part in: MSS (3.7.1) and window scale (RFC 7323). */
#pragma once

#include "cursor.h"
#include "drop.h"

#define TCP_HEADER_BYTES 20
#define TCP_CSUM_OFFSET  16
#define TCP_WSCALE_MAX   14
#define TCP_DEFAULT_MSS  536 /* RFC 9293, MUST-15 */

enum tcp_flag {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_URG = 0x20,
};

struct tcp {
	uint16_t src_port, dst_port; /* host order */
	uint32_t seq, ack;
	uint16_t window; /* not scaled */
	uint16_t urgent;
	uint16_t checksum;    /* as it lies in the packet */
	uint8_t flags;        /* enum tcp_flag */
	uint8_t header_bytes; /* 20 to 60 */
	uint16_t mss;         /* 0: no option. Options are read from SYNs only. */
	int8_t wscale;        /* -1: no option; else 0 to 14 */
};

/* Leaves the reader behind the header. A malformed option list ends the reading of options, not the
 * segment (RFC 9293, MUST-7). */
enum drop_reason tcp_parse(struct rd *r, struct tcp *ret);

/* Writes MSS and window scale if set; the checksum as given; header_bytes is not looked at. */
void tcp_emit(struct wr *w, const struct tcp *t);

/* Sequence arithmetic modulo 2^32 (RFC 9293, 3.4). */
static inline bool tcp_seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool tcp_seq_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}
