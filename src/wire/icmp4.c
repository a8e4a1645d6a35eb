/* SPDX-License-Identifier: BSD-2-Clause */
#include "icmp4.h"

#include "csum.h"

enum drop_reason icmp4_parse(struct rd *r, struct icmp4 *ret)
{
	ret->type = rd_u8(r);
	ret->code = rd_u8(r);
	rd_copy(r, &ret->checksum, 2);
	ret->rest = rd_u32(r);
	return r->bad ? DROP_TRUNCATED : DROP_NONE;
}

void icmp4_emit(struct wr *w, const struct icmp4 *icmp, const void *payload, size_t n_bytes)
{
	uint8_t *start = w->p;

	wr_u8(w, icmp->type);
	wr_u8(w, icmp->code);
	wr_u16(w, 0);
	wr_u32(w, icmp->rest);
	if (w->bad)
		return;
	uint16_t sum = csum_fold(csum_add(payload, n_bytes, csum_add(start, ICMP4_HEADER_BYTES, 0)));
	memcpy(start + 2, &sum, 2);
}
