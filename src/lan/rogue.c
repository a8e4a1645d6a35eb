/* SPDX-License-Identifier: BSD-2-Clause */
/* Both ports are looked at: clients go by the port that an answer is for, and not all by the one that it is
 * from. Of fragments the first is enough, since without it the others are nothing. */
#include "rogue.h"

#include "eth.h"
#include "ip4.h"

#define TYPE_VLAN          0x8100
#define TYPE_VLAN_SERVICE  0x88a8
#define PROTO_HOP_BY_HOP   0
#define PROTO_ROUTING      43
#define PROTO_FRAGMENT     44
#define PROTO_AUTH         51
#define PROTO_ICMP6        58
#define PROTO_DESTINATION  60
#define PROTO_MOBILITY     135
#define IP6_HEADER_BYTES   40
#define EXTENSIONS_MAX     8
#define DHCP4_SERVER       67
#define DHCP4_CLIENT       68
#define DHCP6_SERVER       547
#define DHCP6_CLIENT       546
#define ROUTER_ADVERTISEMENT 134

uint16_t rogue_eth_type(struct rd *r)
{
	(void)rd_bytes(r, (size_t)2 * MAC_BYTES);
	uint16_t type = rd_u16(r);

	for (int i = 0; i < 2 && (type == TYPE_VLAN || type == TYPE_VLAN_SERVICE); i++) {
		(void)rd_u16(r);
		type = rd_u16(r);
	}
	return type;
}

static bool is_server_udp(struct rd *r, uint16_t server, uint16_t client)
{
	uint16_t from = rd_u16(r), to = rd_u16(r);

	return r->bad || from == server || to == client;
}

static bool is_rogue4(struct rd *r)
{
	size_t n_header = (size_t)(rd_u8(r) & 15) * 4;

	(void)rd_bytes(r, 5);
	uint16_t frag = rd_u16(r);
	(void)rd_u8(r);
	uint8_t proto = rd_u8(r);
	if (r->bad || n_header < IP4_HEADER_BYTES || proto != IP_PROTO_UDP || (frag & IP4_FRAG_MASK))
		return false;
	(void)rd_bytes(r, n_header - 10);
	return is_server_udp(r, DHCP4_SERVER, DHCP4_CLIENT);
}

static bool is_rogue6(struct rd *r)
{
	(void)rd_bytes(r, 6);
	uint8_t next = rd_u8(r);

	(void)rd_bytes(r, IP6_HEADER_BYTES - 7);
	for (int i = 0; i < EXTENSIONS_MAX && !r->bad; i++) {
		size_t n = 8;
		uint8_t following, length;
		uint16_t word;

		switch (next) {
		case IP_PROTO_UDP:
			return is_server_udp(r, DHCP6_SERVER, DHCP6_CLIENT);
		case PROTO_ICMP6:
			return rd_u8(r) == ROUTER_ADVERTISEMENT || r->bad;
		case PROTO_HOP_BY_HOP:
		case PROTO_ROUTING:
		case PROTO_DESTINATION:
		case PROTO_MOBILITY:
		case PROTO_AUTH:
		case PROTO_FRAGMENT:
			following = rd_u8(r);
			length = rd_u8(r);
			word = rd_u16(r);
			if (next == PROTO_FRAGMENT && (word & ~7u))
				return false;
			if (next == PROTO_AUTH)
				n = ((size_t)length + 2) * 4;
			else if (next != PROTO_FRAGMENT)
				n = ((size_t)length + 1) * 8;
			(void)rd_bytes(r, n - 4);
			next = following;
			break;
		default:
			return false;
		}
	}
	return true;
}

bool rogue_server(struct rd head)
{
	switch (rogue_eth_type(&head)) {
	case ETH_TYPE_IP4:
		return is_rogue4(&head);
	case ETH_TYPE_IP6:
		return is_rogue6(&head);
	default:
		return false;
	}
}
