/* SPDX-License-Identifier: BSD-2-Clause */
#include "ip4.h"

#include "csum.h"

enum drop_reason ip4_parse(struct rd *r, size_t left_bytes, struct ip4 *ret)
{
	const uint8_t *start = r->p;
	uint8_t version = rd_u8(r);

	ret->tos = rd_u8(r);
	uint16_t total = rd_u16(r);
	ret->id = rd_u16(r);
	ret->frag = rd_u16(r);
	ret->ttl = rd_u8(r);
	ret->proto = rd_u8(r);
	(void)rd_u16(r); /* checksum: summed below */
	rd_copy(r, &ret->src_be, 4);
	rd_copy(r, &ret->dst_be, 4);
	if (r->bad)
		return DROP_TRUNCATED;

	ret->header_bytes = (uint8_t)((version & 15) * 4);
	if (version >> 4 != 4 || ret->header_bytes < IP4_HEADER_BYTES || total < ret->header_bytes)
		return DROP_BAD_HEADER;
	(void)rd_bytes(r, ret->header_bytes - (size_t)IP4_HEADER_BYTES);
	if (r->bad || total > left_bytes)
		return DROP_TRUNCATED;
	if (csum_fold(csum_add(start, ret->header_bytes, 0)) != 0)
		return DROP_BAD_CHECKSUM;
	ret->payload_bytes = (uint16_t)(total - ret->header_bytes);
	r->left = MIN(r->left, (size_t)ret->payload_bytes);
	return DROP_NONE;
}

void ip4_emit(struct wr *w, const struct ip4 *ip)
{
	uint8_t *start = w->p;

	wr_u8(w, 0x45);
	wr_u8(w, ip->tos);
	wr_u16(w, (uint16_t)(IP4_HEADER_BYTES + ip->payload_bytes));
	wr_u16(w, ip->id);
	wr_u16(w, ip->frag);
	wr_u8(w, ip->ttl);
	wr_u8(w, ip->proto);
	wr_u16(w, 0);
	wr_copy(w, &ip->src_be, 4);
	wr_copy(w, &ip->dst_be, 4);
	if (w->bad)
		return;
	uint16_t sum = csum_fold(csum_add(start, IP4_HEADER_BYTES, 0));
	memcpy(start + 10, &sum, 2);
}
