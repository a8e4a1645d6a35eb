/* SPDX-License-Identifier: BSD-2-Clause */
/* Ethernet II header (RFC 894). */
#pragma once

#include "addr.h"
#include "cursor.h"
#include "drop.h"

#define ETH_HEADER_BYTES 14
#define ETH_TYPE_IP4     0x0800
#define ETH_TYPE_ARP     0x0806
#define ETH_TYPE_IP6     0x86dd

struct eth {
	struct mac dst, src;
	uint16_t type; /* host order */
};

static inline enum drop_reason eth_parse(struct rd *r, struct eth *ret)
{
	rd_copy(r, &ret->dst, MAC_BYTES);
	rd_copy(r, &ret->src, MAC_BYTES);
	ret->type = rd_u16(r);
	return r->bad ? DROP_TRUNCATED : DROP_NONE;
}

static inline void eth_emit(struct wr *w, const struct eth *e)
{
	wr_copy(w, &e->dst, MAC_BYTES);
	wr_copy(w, &e->src, MAC_BYTES);
	wr_u16(w, e->type);
}
