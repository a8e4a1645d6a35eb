/* SPDX-License-Identifier: BSD-2-Clause */
#include "udp.h"

enum drop_reason udp_parse(struct rd *r, size_t l4_bytes, struct udp *ret)
{
	ret->src_port = rd_u16(r);
	ret->dst_port = rd_u16(r);
	uint16_t length = rd_u16(r);
	rd_copy(r, &ret->checksum, 2);
	if (r->bad)
		return DROP_TRUNCATED;
	if (length < UDP_HEADER_BYTES)
		return DROP_BAD_HEADER;
	if (length > l4_bytes)
		return DROP_TRUNCATED;
	ret->payload_bytes = (uint16_t)(length - UDP_HEADER_BYTES);
	return DROP_NONE;
}

void udp_emit(struct wr *w, const struct udp *udp)
{
	wr_u16(w, udp->src_port);
	wr_u16(w, udp->dst_port);
	wr_u16(w, (uint16_t)(UDP_HEADER_BYTES + udp->payload_bytes));
	wr_copy(w, &udp->checksum, 2);
}
