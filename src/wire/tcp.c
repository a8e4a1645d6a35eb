/* SPDX-License-Identifier: BSD-2-Clause */
#include "tcp.h"

enum {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_WSCALE = 3,
};

static void parse_options(struct rd r, struct tcp *ret)
{
	while (r.left) {
		uint8_t kind = rd_u8(&r);

		if (kind == OPTION_END)
			return;
		if (kind == OPTION_NOP)
			continue;
		uint8_t length = rd_u8(&r);
		const uint8_t *body = length >= 2 ? rd_bytes(&r, length - 2u) : NULL;
		if (!body)
			return;
		if (kind == OPTION_MSS && length == 4)
			ret->mss = (uint16_t)(body[0] << 8 | body[1]);
		else if (kind == OPTION_WSCALE && length == 3)
			ret->wscale = (int8_t)MIN(body[0], TCP_WSCALE_MAX);
	}
}

enum drop_reason tcp_parse(struct rd *r, struct tcp *ret)
{
	ret->src_port = rd_u16(r);
	ret->dst_port = rd_u16(r);
	ret->seq = rd_u32(r);
	ret->ack = rd_u32(r);
	ret->header_bytes = (uint8_t)((rd_u8(r) >> 4) * 4);
	ret->flags = rd_u8(r);
	ret->window = rd_u16(r);
	rd_copy(r, &ret->checksum, 2);
	ret->urgent = rd_u16(r);
	ret->mss = 0;
	ret->wscale = -1;
	if (r->bad)
		return DROP_TRUNCATED;
	if (ret->header_bytes < TCP_HEADER_BYTES)
		return DROP_BAD_HEADER;
	size_t n_options = ret->header_bytes - (size_t)TCP_HEADER_BYTES;
	const uint8_t *options = rd_bytes(r, n_options);
	if (!options)
		return DROP_TRUNCATED;
	if (ret->flags & TCP_SYN)
		parse_options(rd_of(options, n_options), ret);
	return DROP_NONE;
}

void tcp_emit(struct wr *w, const struct tcp *t)
{
	unsigned int words = TCP_HEADER_BYTES / 4 + (t->mss ? 1 : 0) + (t->wscale >= 0 ? 1 : 0);

	wr_u16(w, t->src_port);
	wr_u16(w, t->dst_port);
	wr_u32(w, t->seq);
	wr_u32(w, t->ack);
	wr_u8(w, (uint8_t)(words << 4));
	wr_u8(w, t->flags);
	wr_u16(w, t->window);
	wr_copy(w, &t->checksum, 2);
	wr_u16(w, t->urgent);
	if (t->mss) {
		wr_u8(w, OPTION_MSS);
		wr_u8(w, 4);
		wr_u16(w, t->mss);
	}
	if (t->wscale >= 0) {
		wr_u8(w, OPTION_NOP);
		wr_u8(w, OPTION_WSCALE);
		wr_u8(w, 3);
		wr_u8(w, (uint8_t)t->wscale);
	}
}
