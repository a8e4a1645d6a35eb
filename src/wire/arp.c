/* SPDX-License-Identifier: BSD-2-Clause */
#include "arp.h"

#include "eth.h"

#define ARP_HARDWARE_ETHERNET 1

enum drop_reason arp_parse(struct rd *r, struct arp *ret)
{
	uint16_t hardware = rd_u16(r);
	uint16_t protocol = rd_u16(r);
	uint8_t hardware_bytes = rd_u8(r);
	uint8_t protocol_bytes = rd_u8(r);

	ret->op = rd_u16(r);
	rd_copy(r, &ret->sender_mac, MAC_BYTES);
	rd_copy(r, &ret->sender_be, 4);
	rd_copy(r, &ret->target_mac, MAC_BYTES);
	rd_copy(r, &ret->target_be, 4);
	if (r->bad)
		return DROP_TRUNCATED;
	if (hardware != ARP_HARDWARE_ETHERNET || protocol != ETH_TYPE_IP4 || hardware_bytes != MAC_BYTES ||
			protocol_bytes != 4)
		return DROP_BAD_HEADER;
	if (ret->op != ARP_OP_REQUEST && ret->op != ARP_OP_REPLY)
		return DROP_BAD_HEADER;
	return DROP_NONE;
}

void arp_emit(struct wr *w, const struct arp *a)
{
	wr_u16(w, ARP_HARDWARE_ETHERNET);
	wr_u16(w, ETH_TYPE_IP4);
	wr_u8(w, MAC_BYTES);
	wr_u8(w, 4);
	wr_u16(w, a->op);
	wr_copy(w, &a->sender_mac, MAC_BYTES);
	wr_copy(w, &a->sender_be, 4);
	wr_copy(w, &a->target_mac, MAC_BYTES);
	wr_copy(w, &a->target_be, 4);
}
