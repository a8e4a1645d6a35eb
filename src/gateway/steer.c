/* SPDX-License-Identifier: BSD-2-Clause */
/* See steer.h. Frames are looked at, not judged: what is malformed is somebody's, who drops and counts it. */
#include "steer.h"

#include "eth.h"
#include "ip4.h"

#define DHCP_SERVER_PORT 67

static bool is_first(const struct steer *s, uint32_t guest_be)
{
	for (unsigned int i = 0; i < s->n_first; i++)
		if (s->first_be[i] == guest_be)
			return true;
	return false;
}

void steer_add_first(struct steer *s, uint32_t guest_be)
{
	if (!is_first(s, guest_be) && s->n_first < STEER_FIRST_MAX)
		s->first_be[s->n_first++] = guest_be;
}

unsigned int steer_flow(const struct steer *s, const struct flow_key *key)
{
	unsigned int n = s->n_active[key->port_id];
	struct flow_key k = *key;

	if (n <= 1 || (s->dns_be && ip_addr_4(&k.remote) == s->dns_be))
		return 0;
	if ((k.kind == FLOW_UDP || k.kind == FLOW_UDP_IN) &&
		(k.remote_port == DHCP_SERVER_PORT || is_first(s, ip_addr_4(&k.guest))))
		return 0;
	if (k.kind != FLOW_TCP) {
		k.kind = FLOW_FREE;
		k.guest_port = k.remote_port = 0;
	}
	return (unsigned int)(siphash(&s->key, &k, sizeof(k)) % n);
}

/* Of TCP and UDP; a fragment, and what is too short, counts as having none. */
static bool read_ports(struct rd r, const struct ip4 *ip, struct flow_key *key)
{
	if (ip4_is_fragment(ip))
		return false;
	(void)rd_bytes(&r, ip->header_bytes);
	key->guest_port = rd_u16(&r);
	key->remote_port = rd_u16(&r);
	return !r.bad;
}

static unsigned int steer_ip4(const struct steer *s, uint16_t port_id, const struct rd *packet)
{
	struct rd r = *packet;
	struct ip4 ip = {.header_bytes = (uint8_t)(4 * (rd_u8(&r) & 0xf))};
	struct flow_key key = {.port_id = port_id, .kind = FLOW_FREE};

	(void)rd_bytes(&r, 5);
	ip.frag = rd_u16(&r);
	(void)rd_u8(&r);
	ip.proto = rd_u8(&r);
	(void)rd_u16(&r);
	rd_copy(&r, &ip.src_be, sizeof(ip.src_be));
	rd_copy(&r, &ip.dst_be, sizeof(ip.dst_be));
	if (r.bad)
		return 0;
	key.guest = ip_addr_from4(ip.src_be);
	key.remote = ip_addr_from4(ip.dst_be);
	if (ip.proto == IP_PROTO_UDP) {
		key.kind = FLOW_UDP;
		(void)read_ports(*packet, &ip, &key);
	} else if (ip.proto == IP_PROTO_TCP && read_ports(*packet, &ip, &key)) {
		key.kind = FLOW_TCP;
	}
	return steer_flow(s, &key);
}

unsigned int steer_frame(const struct steer *s, uint16_t port_id, const struct frame *f)
{
	struct rd r = rd_of(f->head, f->head_bytes);
	struct mac dst = {};

	if (s->n_active[port_id] <= 1)
		return 0;
	rd_copy(&r, &dst, sizeof(dst));
	(void)rd_bytes(&r, MAC_BYTES);
	uint16_t type = rd_u16(&r);
	if (r.bad || type != ETH_TYPE_IP4 || !mac_eq(&dst, &s->gateway_mac))
		return 0;
	return steer_ip4(s, port_id, &r);
}
