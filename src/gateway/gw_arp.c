/* SPDX-License-Identifier: BSD-2-Clause */
/* ARP, and which guest has which address.
 *
 * The gateway answers for its own two addresses, and for no other: a guest that asks for another guest
 * is answered by it. Addresses are learnt from ARP, from the first packet of a flow, and from one packet of
 * each batch, which keeps those in use fresh at next to no cost; at most GW_NEIGH_PORT behind one port (the
 * longest unused goes first), so that a guest with invented addresses displaces only its own. An address
 * that another port holds is not taken over while that one is in use: of two clones the first keeps the
 * inbound forwards. */
#include "gw.h"

#include "arp.h"

#define NEIGH_FRESH_MS 60000

static bool is_guest_addr(const struct gateway *g, uint32_t a_be)
{
	return (a_be & g->c.mask_be) == g->c.net_be && !gw_is_ours(g, a_be) &&
			a_be != g->c.net_be && a_be != (g->c.net_be | ~g->c.mask_be);
}

static void neigh_resolved(struct gateway *g, uint32_t addr_be)
{
	for (unsigned int i = 0; i < g->n_forwards; i++) {
		struct gw_forward *f = &g->forwards[i];
		uint32_t guest_be = f->c.guest_be ? f->c.guest_be : g->c.dhcp_start_be;

		if (f->used && f->waiting && guest_be == addr_be) {
			f->waiting = false;
			f->asked_ms = 0;
			gw_udp_listen_event(g, i, EPOLLIN);
		}
	}
}

void gw_neigh_learn(struct gateway *g, const struct port *p, uint32_t addr_be, const struct mac *m)
{
	struct gw_neigh *free_one = NULL, *oldest = NULL, *own = NULL;
	unsigned int n_own = 0;
	uint64_t now_ms = gw_now(g);

	if (!is_guest_addr(g, addr_be) || mac_is_group(m) || mac_is_zero(m))
		return;
	for (unsigned int i = 0; i < g->n_neigh; i++) {
		struct gw_neigh *e = &g->neigh[i];

		if (!e->addr_be) {
			free_one = free_one ? free_one : e;
			continue;
		}
		if (e->addr_be == addr_be && e->port_id != p->id) {
			if (now_ms - e->used_ms < NEIGH_FRESH_MS)
				return;
			*e = (struct gw_neigh){}; /* taken over, and counted like a new one */
			free_one = free_one ? free_one : e;
			continue;
		}
		if (e->addr_be == addr_be) {
			own = e;
			break;
		}
		if (e->port_id != p->id)
			continue;
		n_own++;
		if (!oldest || e->used_ms < oldest->used_ms)
			oldest = e;
	}
	bool known = own != NULL;

	if (!own && n_own >= GW_NEIGH_PORT)
		own = oldest;
	else if (!own) /* as many as all ports may have fit */
		own = free_one ? free_one : &g->neigh[g->n_neigh++];
	*own = (struct gw_neigh){.addr_be = addr_be, .port_id = p->id, .mac = *m, .used_ms = now_ms};
	if (!known)
		neigh_resolved(g, addr_be);
}

const struct gw_neigh *gw_neigh_find(struct gateway *g, uint32_t addr_be)
{
	for (unsigned int i = 0; i < g->n_neigh; i++)
		if (g->neigh[i].addr_be == addr_be)
			return &g->neigh[i];
	return NULL;
}

void gw_neigh_forget_port(struct gateway *g, uint16_t port_id)
{
	for (unsigned int i = 0; i < g->n_neigh; i++)
		if (g->neigh[i].addr_be && g->neigh[i].port_id == port_id)
			g->neigh[i] = (struct gw_neigh){};
}

static void emit_arp(struct gateway *g, uint8_t *frame, const struct mac *dst, const struct arp *a)
{
	struct wr w = wr_of(frame, ETH_HEADER_BYTES + ARP_BYTES);

	eth_emit(&w, &(struct eth){.dst = *dst, .src = g->c.mac, .type = ETH_TYPE_ARP});
	arp_emit(&w, a);
}

void gw_arp_ask(struct gateway *g, uint32_t addr_be)
{
	static const struct mac broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	uint8_t frame[ETH_HEADER_BYTES + ARP_BYTES];
	struct arp a = {.op = ARP_OP_REQUEST, .sender_mac = g->c.mac, .sender_be = g->c.host_be, .target_be = addr_be};
	struct iovec v = {frame, sizeof(frame)};

	emit_arp(g, frame, &broadcast, &a);
	lan_flood(g->lan, NULL, &v, 1, sizeof(frame), &(struct offload){});
}

enum drop_reason gw_arp_input(struct gateway *g, struct port *p, const struct frame *f, const struct eth *e)
{
	struct rd r = rd_of(f->head + ETH_HEADER_BYTES, f->head_bytes - ETH_HEADER_BYTES);
	uint8_t frame[ETH_HEADER_BYTES + ARP_BYTES];
	struct iovec v = {frame, sizeof(frame)};
	struct arp a;
	enum drop_reason reason = arp_parse(&r, &a);

	if (reason)
		return reason;
	if (!mac_eq(&a.sender_mac, &e->src) || gw_is_ours(g, a.sender_be))
		return DROP_FORGED_SOURCE;
	gw_neigh_learn(g, p, a.sender_be, &a.sender_mac);
	if (a.op != ARP_OP_REQUEST || !gw_is_ours(g, a.target_be))
		return DROP_NONE;
	g->n.arp_requests++;

	struct arp reply = {
		.op = ARP_OP_REPLY,
		.sender_mac = g->c.mac,
		.sender_be = a.target_be,
		.target_mac = a.sender_mac,
		.target_be = a.sender_be,
	};
	emit_arp(g, frame, &e->src, &reply);
	(void)port_send(p, &v, 1, sizeof(frame), &(struct offload){}); /* a lost reply is asked for again */
	return DROP_NONE;
}
