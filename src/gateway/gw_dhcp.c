/* SPDX-License-Identifier: BSD-2-Clause */
/* Theory of operation
 *
 * The table has one entry for each address of the pool. An entry is live while it is OFFERED, BOUND or
 * DECLINED and its time has not run out; nothing runs when the time ends, each message compares with
 * now_ms. An entry that is not live but has an owner is remembered: the owner gets the same address
 * again, until nothing else is left for somebody new. An owner (port and chaddr) has one entry at most.
 *
 * A new owner gets, in this order: the address it asks for if that is not live; the lowest that was
 * never given out; the remembered one longest unused. There is no fourth: live entries are never taken
 * away, the client hears nothing (RFC 2131, 4.3.1) and the caller counts DROP_NO_LEASE.
 *
 * Guests may make up MAC addresses. What that gets them is bounded by n_port_leases live entries, those
 * they declined included, and an offer that is not taken up lives for a minute only. A message reaches
 * entries of its own port only, so that nobody releases or declines what another port holds.
 *
 * The server is the only one of its network, and knows it: to a REQUEST for an address that it can not
 * give it says NAK rather than nothing, also when it has no record of the client, so that a guest that
 * comes from another network or outlived its server's table starts over at once. For the same reason a
 * REQUEST for an address that is not live is granted without an offer before it.
 *
 * BOOTP clients get what DHCP clients get, for as long; since they do not renew, theirs are merely
 * remembered after that time, and are lost only when the pool runs out (RFC 1534, 2 would give them away
 * for ever, which in a pool of 16 is an invitation).
 *
 * Relay agents are not served: giaddr would send our answer to an address that the guest chose. */
#include "gw_dhcp.h"

#define IP_UDP_BYTES   28
#define MAX_SIZE_LEAST 576 /* RFC 2132, 9.10 */
#define MAX_SIZE_USUAL 576 /* RFC 2131, 2: what every client takes */
#define LABEL_MAX      63
#define NO_ENTRY       (-1)

/* One message and what belongs to it. */
struct exchange {
	struct dhcp_server *s;
	uint64_t now_ms;
	const struct mac *frame_src;
	uint16_t port_id;
	const struct dhcp4 *m;
	size_t request_bytes;
	struct dhcp_reply *reply;
};

/* A reply under way: options go in while they fit, so the ones that matter most go first. */
struct draft {
	struct dhcp4 m;
	size_t n_bytes, max_bytes;
};

static const struct mac broadcast_mac = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

/* --- Addresses ------------------------------------------------------------------------------------- */

static uint32_t addr_of(const struct dhcp_server *s, unsigned int i)
{
	return htonl(ntohl(s->table.dhcp_start_be) + i);
}

static bool in_net(const struct dhcp_server *s, uint32_t addr_be)
{
	return (addr_be & s->mask_be) == s->net_be;
}

/* The entry of an address, or NO_ENTRY if it is not ours to give. That the pool lies within the net, and
 * ends before its broadcast address, is seen to by init_addresses(). */
static int index_of(const struct dhcp_server *s, uint32_t addr_be)
{
	uint32_t i = ntohl(addr_be) - ntohl(s->table.dhcp_start_be);

	if (i >= s->table.n_leases || addr_be == s->host_be || addr_be == s->dns_be)
		return NO_ENTRY;
	return (int)i;
}

/* --- The table ------------------------------------------------------------------------------------- */

static bool lease_is_live(const struct dhcp_lease *l, uint64_t now_ms)
{
	switch (l->state) {
	case DHCP_LEASE_OFFERED:
	case DHCP_LEASE_BOUND:
	case DHCP_LEASE_DECLINED:
		return now_ms < l->expires_ms;
	default:
		return false;
	}
}

static bool lease_has_owner(const struct dhcp_lease *l)
{
	return l->state == DHCP_LEASE_OFFERED || l->state == DHCP_LEASE_BOUND ||
			l->state == DHCP_LEASE_RELEASED;
}

static int find_own(const struct dhcp_server *s, const struct mac *mac, uint16_t port_id)
{
	for (unsigned int i = 0; i < s->table.n_leases; i++) {
		const struct dhcp_lease *l = &s->table.lease[i];

		if (lease_has_owner(l) && l->port_id == port_id && mac_eq(&l->mac, mac))
			return (int)i;
	}
	return NO_ENTRY;
}

static bool port_has_room(const struct exchange *x, int own)
{
	const struct dhcp_server *s = x->s;
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->table.n_leases; i++) {
		const struct dhcp_lease *l = &s->table.lease[i];

		if ((int)i != own && l->port_id == x->port_id && lease_is_live(l, x->now_ms))
			n++;
	}
	return n < s->n_port_leases;
}

/* Whether the client may have entry i; own is the one it has, if any. */
static bool may_take(const struct exchange *x, int i, int own)
{
	if (lease_is_live(&x->s->table.lease[i], x->now_ms))
		return i == own;
	return port_has_room(x, own);
}

/* What a neighbour says it uses is avoided, not believed: when nothing else is left, it is given out. */
static bool is_taken(const struct exchange *x, int i)
{
	return x->s->taken &&
		x->s->taken(x->s->ctx, addr_of(x->s, (unsigned int)i), &x->m->chaddr, x->port_id);
}

/* The entry to offer to a client that has none: in the order told at the head of this file. */
static int pick_new(const struct exchange *x, uint32_t wanted_be)
{
	const struct dhcp_server *s = x->s;
	int wanted = index_of(s, wanted_be);
	int oldest = NO_ENTRY, taken = NO_ENTRY;

	if (!port_has_room(x, NO_ENTRY))
		return NO_ENTRY;
	if (wanted >= 0 && !lease_is_live(&s->table.lease[wanted], x->now_ms) && !is_taken(x, wanted))
		return wanted;
	for (unsigned int i = 0; i < s->table.n_leases; i++) {
		const struct dhcp_lease *l = &s->table.lease[i];

		if (index_of(s, addr_of(s, i)) < 0 || lease_is_live(l, x->now_ms))
			continue;
		if (is_taken(x, (int)i))
			taken = taken < 0 ? (int)i : taken;
		else if (l->state == DHCP_LEASE_FREE)
			return (int)i;
		else if (oldest < 0 || l->used_ms < s->table.lease[oldest].used_ms)
			oldest = (int)i;
	}
	return oldest >= 0 ? oldest : taken;
}

static int pick(const struct exchange *x, uint32_t wanted_be)
{
	int own = find_own(x->s, &x->m->chaddr, x->port_id);

	if (own < 0 || is_taken(x, own))
		return pick_new(x, wanted_be);
	return may_take(x, own, own) ? own : NO_ENTRY;
}

/* Entry i is the client's from now on, and no other is. */
static void give(const struct exchange *x, int i, enum dhcp_lease_state state, uint64_t time_ms)
{
	struct dhcp_lease *l = &x->s->table.lease[i];
	int own = find_own(x->s, &x->m->chaddr, x->port_id);

	if (own >= 0 && own != i)
		x->s->table.lease[own] = (struct dhcp_lease){};
	*l = (struct dhcp_lease){
		.expires_ms = x->now_ms + time_ms,
		.used_ms = x->now_ms,
		.mac = x->m->chaddr,
		.port_id = x->port_id,
		.state = (uint8_t)state,
	};
}

static void give_for_lease_time(const struct exchange *x, int i)
{
	give(x, i, DHCP_LEASE_BOUND, (uint64_t)x->s->lease_s * 1000);
}

/* --- Replies --------------------------------------------------------------------------------------- */

/* As long as the client takes and the link carries (RFC 2131, 2; RFC 951 for BOOTP, whose clients may
 * have room for no more than they sent). */
static size_t reply_max_bytes(const struct exchange *x)
{
	size_t max = MAX_SIZE_USUAL - IP_UDP_BYTES;

	if (dhcp4_type(x->m) == DHCP4_BOOTP)
		return MAX(MIN(x->request_bytes, max), (size_t)DHCP4_MIN_BYTES);

	const struct dhcp4_option *o = dhcp4_find(x->m, DHCP4_OPT_MAX_SIZE);
	if (o) {
		size_t size = (size_t)(o->data[0] << 8 | o->data[1]);

		max = MAX(size, (size_t)MAX_SIZE_LEAST) - IP_UDP_BYTES;
	}
	if (x->s->mtu)
		max = MIN(max, MAX((size_t)x->s->mtu, (size_t)MAX_SIZE_LEAST) - IP_UDP_BYTES);
	return MIN(max, (size_t)DHCP_REPLY_BYTES);
}

/* data stays the caller's until the reply is emitted. More than 255 bytes go in several instances, which
 * the client joins (RFC 3396, 5); all go in, or none. */
static void draft_add(struct draft *d, uint8_t code, const void *data, size_t n_bytes)
{
	size_t n_instances = (n_bytes + UINT8_MAX - 1) / UINT8_MAX;
	size_t need = n_bytes + 2 * n_instances;
	const uint8_t *p = data;

	if (need > d->max_bytes - d->n_bytes || n_instances > DHCP4_OPTIONS_MAX - d->m.n_options)
		return;
	d->n_bytes += need;
	while (n_bytes) {
		size_t take = MIN(n_bytes, (size_t)UINT8_MAX);

		d->m.options[d->m.n_options++] =
				(struct dhcp4_option){.code = code, .n_bytes = (uint8_t)take, .data = p};
		p += take;
		n_bytes -= take;
	}
}

static void draft_add_text(struct draft *d, uint8_t code, const char *text)
{
	draft_add(d, code, text, strlen(text));
}

static void draft_init(struct draft *ret, const struct exchange *x, uint32_t yiaddr_be)
{
	const struct dhcp4 *m = x->m;

	*ret = (struct draft){
		.m = {
			.op = DHCP4_OP_REPLY,
			.broadcast = m->broadcast,
			.has_cookie = true,
			.xid = m->xid,
			.yiaddr_be = yiaddr_be,
			.chaddr = m->chaddr,
		},
		.n_bytes = DHCP4_FIXED_BYTES + DHCP4_COOKIE_BYTES + 1, /* END */
		.max_bytes = reply_max_bytes(x),
	};
}

static bool wants(const struct dhcp4 *m, uint8_t code)
{
	const struct dhcp4_option *o = dhcp4_find(m, DHCP4_OPT_PARAMETERS);

	return o && memchr(o->data, code, o->n_bytes);
}

static void draft_add_boot(struct draft *d, const struct exchange *x)
{
	const struct dhcp_server *s = x->s;
	size_t n = strlen(s->bootfile);

	draft_add_text(d, DHCP4_OPT_TFTP_SERVER, s->tftp_server_name);
	if (!n)
		return;
	/* The field holds a terminated string; a longer name goes in the option alone. */
	if (n < sizeof(d->m.file))
		memcpy(d->m.file, s->bootfile, n);
	if (n >= sizeof(d->m.file) || wants(x->m, DHCP4_OPT_BOOTFILE))
		draft_add_text(d, DHCP4_OPT_BOOTFILE, s->bootfile);
	/* UEFI's HTTP boot takes only offers that say so (UEFI 2.10, 24.7.3.1). */
	if (strncmp(s->bootfile, "http://", 7) == 0 || strncmp(s->bootfile, "https://", 8) == 0)
		draft_add_text(d, DHCP4_OPT_VENDOR_CLASS, "HTTPClient");
}

/* The client identifier comes back as it was sent (RFC 6842, 3). */
static void draft_add_client_id(struct draft *d, const struct exchange *x)
{
	const struct dhcp4_option *o = dhcp4_find(x->m, DHCP4_OPT_CLIENT_ID);

	if (o)
		draft_add(d, DHCP4_OPT_CLIENT_ID, o->data, o->n_bytes);
}

static void draft_add_settings(struct draft *d, const struct exchange *x, const uint8_t *mtu)
{
	const struct dhcp_server *s = x->s;

	draft_add(d, DHCP4_OPT_MASK, &s->mask_be, 4);
	if (!s->restricted)
		draft_add(d, DHCP4_OPT_ROUTER, &s->host_be, 4);
	if (s->dns_be)
		draft_add(d, DHCP4_OPT_DNS, &s->dns_be, 4);
	if (s->mtu && (s->mtu_unasked || wants(x->m, DHCP4_OPT_MTU)))
		draft_add(d, DHCP4_OPT_MTU, mtu, 2);
	draft_add_text(d, DHCP4_OPT_HOSTNAME, s->hostname);
	draft_add_text(d, DHCP4_OPT_DOMAIN, s->domainname);
	draft_add_boot(d, x);
	draft_add(d, DHCP4_OPT_SEARCH, s->search, s->n_search_bytes);
}

/* Where to (RFC 2131, 4.1; RFC 951, 4). known_be: where the client already answers ARP, 0 if it does
 * not. A unicast to a chaddr that did not send the frame might not find its way back. */
static void reply_address(const struct exchange *x, uint32_t known_be, uint32_t yiaddr_be)
{
	struct dhcp_reply *reply = x->reply;
	bool unicast = known_be || (yiaddr_be && !x->m->broadcast);

	reply->dst_be = unicast ? (known_be ? known_be : yiaddr_be) : INADDR_BROADCAST;
	reply->dst_mac = unicast && mac_eq(x->frame_src, &x->m->chaddr) ? x->m->chaddr : broadcast_mac;
}

static void reply_emit(const struct exchange *x, const struct draft *d)
{
	struct wr w = wr_of(x->reply->bytes, d->max_bytes);

	dhcp4_emit(&w, &d->m);
	x->reply->n_bytes = w.bad ? 0 : d->max_bytes - w.left;
}

/* OFFER, ACK, or a BOOTP reply. yiaddr_be 0: settings only, no address (INFORM; BOOTP with ciaddr). */
static void reply_grant(const struct exchange *x, uint8_t type, uint32_t yiaddr_be)
{
	const struct dhcp_server *s = x->s;
	uint32_t lease_be = htonl(s->lease_s);
	uint16_t mtu_be = htons(s->mtu);
	uint32_t known_be = type != DHCP4_OFFER && in_net(s, x->m->ciaddr_be) ? x->m->ciaddr_be : 0;
	struct draft d;

	draft_init(&d, x, yiaddr_be);
	d.m.siaddr_be = s->host_be;
	if (type != DHCP4_OFFER)
		d.m.ciaddr_be = x->m->ciaddr_be;
	if (type != DHCP4_BOOTP) {
		draft_add(&d, DHCP4_OPT_TYPE, &type, 1);
		draft_add(&d, DHCP4_OPT_SERVER_ID, &s->host_be, 4);
		if (yiaddr_be)
			draft_add(&d, DHCP4_OPT_LEASE_TIME, &lease_be, 4);
		draft_add_client_id(&d, x);
	}
	draft_add_settings(&d, x, (const uint8_t *)&mtu_be);
	reply_address(x, known_be, yiaddr_be);
	reply_emit(x, &d);
}

static void reply_nak(const struct exchange *x, const char *why)
{
	const uint8_t type = DHCP4_NAK;
	struct draft d;

	draft_init(&d, x, 0);
	draft_add(&d, DHCP4_OPT_TYPE, &type, 1);
	draft_add(&d, DHCP4_OPT_SERVER_ID, &x->s->host_be, 4);
	draft_add_client_id(&d, x);
	draft_add_text(&d, DHCP4_OPT_MESSAGE, why);
	reply_address(x, 0, 0); /* the client has no address now, whatever it thinks */
	reply_emit(x, &d);
}

/* --- Messages -------------------------------------------------------------------------------------- */

static enum drop_reason handle_discover(const struct exchange *x)
{
	uint32_t wanted_be = 0;

	(void)dhcp4_find_addr(x->m, DHCP4_OPT_REQUESTED, &wanted_be);
	int i = pick(x, wanted_be);
	if (i < 0)
		return DROP_NO_LEASE;

	const struct dhcp_lease *l = &x->s->table.lease[i];
	/* A client that starts over keeps the time it has. */
	if (l->state != DHCP_LEASE_BOUND || !lease_is_live(l, x->now_ms))
		give(x, i, DHCP_LEASE_OFFERED, DHCP_OFFER_MS);
	reply_grant(x, DHCP4_OFFER, addr_of(x->s, (unsigned int)i));
	return DROP_NONE;
}

/* SELECTING and INIT-REBOOT name the address in option 50, RENEWING and REBINDING in ciaddr (RFC 2131,
 * 4.3.2). All are granted alike, see the head of this file. */
static enum drop_reason handle_request(const struct exchange *x)
{
	uint32_t server_be, addr_be;
	bool selecting = dhcp4_find_addr(x->m, DHCP4_OPT_SERVER_ID, &server_be);
	bool requested = dhcp4_find_addr(x->m, DHCP4_OPT_REQUESTED, &addr_be);

	if (!requested || (!selecting && x->m->ciaddr_be))
		addr_be = x->m->ciaddr_be;
	if (!addr_be)
		return DROP_BAD_HEADER;

	int i = index_of(x->s, addr_be);
	int own = find_own(x->s, &x->m->chaddr, x->port_id);
	if (!in_net(x->s, addr_be)) {
		reply_nak(x, "address is not of this network");
	} else if (i < 0 || !may_take(x, i, own)) {
		reply_nak(x, "address is not available");
	} else {
		give_for_lease_time(x, i);
		reply_grant(x, DHCP4_ACK, addr_be);
	}
	return DROP_NONE;
}

static enum drop_reason handle_bootp(const struct exchange *x)
{
	uint32_t yiaddr_be = 0;

	if (!x->m->ciaddr_be) {
		int i = pick(x, 0);
		if (i < 0)
			return DROP_NO_LEASE;
		give_for_lease_time(x, i);
		yiaddr_be = addr_of(x->s, (unsigned int)i);
	} else if (!in_net(x->s, x->m->ciaddr_be)) {
		return DROP_NOT_FOR_US;
	}
	reply_grant(x, DHCP4_BOOTP, yiaddr_be);
	return DROP_NONE;
}

/* The client has an address by other means and wants the settings; the table is not touched. */
static enum drop_reason handle_inform(const struct exchange *x)
{
	if (!x->m->ciaddr_be)
		return DROP_BAD_HEADER;
	if (!in_net(x->s, x->m->ciaddr_be))
		return DROP_NOT_FOR_US;
	reply_grant(x, DHCP4_ACK, 0);
	return DROP_NONE;
}

/* The client's own entry, if it is live and of the address that the message names. */
static struct dhcp_lease *named_lease(const struct exchange *x, uint32_t addr_be)
{
	int own = find_own(x->s, &x->m->chaddr, x->port_id);

	if (own < 0 || addr_of(x->s, (unsigned int)own) != addr_be)
		return NULL;
	struct dhcp_lease *l = &x->s->table.lease[own];
	return lease_is_live(l, x->now_ms) ? l : NULL;
}

static enum drop_reason handle_release(const struct exchange *x)
{
	struct dhcp_lease *l = named_lease(x, x->m->ciaddr_be);

	if (!l)
		return DROP_NOT_FOR_US;
	l->state = DHCP_LEASE_RELEASED;
	l->expires_ms = l->used_ms = x->now_ms;
	return DROP_NONE;
}

static enum drop_reason handle_decline(const struct exchange *x)
{
	uint32_t addr_be = 0;

	(void)dhcp4_find_addr(x->m, DHCP4_OPT_REQUESTED, &addr_be);
	struct dhcp_lease *l = named_lease(x, addr_be);
	if (!l)
		return DROP_NOT_FOR_US;
	*l = (struct dhcp_lease){
		.expires_ms = x->now_ms + DHCP_DECLINE_MS,
		.used_ms = x->now_ms,
		.port_id = x->port_id,
		.state = DHCP_LEASE_DECLINED,
	};
	return DROP_NONE;
}

/* A message for another server; a REQUEST among them turns our offer down. */
static enum drop_reason handle_foreign(const struct exchange *x)
{
	int own = find_own(x->s, &x->m->chaddr, x->port_id);

	if (own >= 0 && dhcp4_type(x->m) == DHCP4_REQUEST &&
			x->s->table.lease[own].state == DHCP_LEASE_OFFERED)
		x->s->table.lease[own].state = DHCP_LEASE_RELEASED;
	return DROP_NOT_FOR_US;
}

static enum drop_reason handle(const struct exchange *x)
{
	uint32_t server_be;

	if (dhcp4_find_addr(x->m, DHCP4_OPT_SERVER_ID, &server_be) && server_be != x->s->host_be)
		return handle_foreign(x);
	switch (dhcp4_type(x->m)) {
	case DHCP4_BOOTP:
		return handle_bootp(x);
	case DHCP4_DISCOVER:
		return handle_discover(x);
	case DHCP4_REQUEST:
		return handle_request(x);
	case DHCP4_DECLINE:
		return handle_decline(x);
	case DHCP4_RELEASE:
		return handle_release(x);
	case DHCP4_INFORM:
		return handle_inform(x);
	default:
		return DROP_NOT_FOR_US;
	}
}

enum drop_reason dhcp_server_handle(struct dhcp_server *s, uint64_t now_ms, const struct mac *frame_src,
		uint16_t port_id, const uint8_t *msg, size_t n_bytes, struct dhcp_reply *ret)
{
	struct dhcp4 m;
	struct rd r = rd_of(msg, n_bytes);

	ret->n_bytes = 0;
	enum drop_reason reason = dhcp4_parse(&r, &m);
	if (reason)
		return reason;
	if (m.op != DHCP4_OP_REQUEST || mac_is_group(&m.chaddr) || mac_is_zero(&m.chaddr))
		return DROP_BAD_HEADER;
	if (m.giaddr_be)
		return DROP_NOT_FOR_US;
	return handle(&(struct exchange){
			.s = s,
			.now_ms = now_ms,
			.frame_src = frame_src,
			.port_id = port_id,
			.m = &m,
			.request_bytes = n_bytes,
			.reply = ret,
	});
}

/* --- What others ask ------------------------------------------------------------------------------- */

bool dhcp_server_find_mac(const struct dhcp_server *s, uint32_t addr_be, struct mac *ret, uint16_t *ret_port)
{
	int i = index_of(s, addr_be);

	if (i < 0)
		return false;
	const struct dhcp_lease *l = &s->table.lease[i];
	if (l->state != DHCP_LEASE_BOUND && l->state != DHCP_LEASE_RELEASED)
		return false;
	*ret = l->mac;
	*ret_port = l->port_id;
	return true;
}

bool dhcp_server_find_addr(const struct dhcp_server *s, const struct mac *mac, uint16_t port_id,
		uint32_t *ret_be)
{
	int i = find_own(s, mac, port_id);

	if (i < 0 || s->table.lease[i].state == DHCP_LEASE_OFFERED)
		return false;
	*ret_be = addr_of(s, (unsigned int)i);
	return true;
}

bool dhcp_server_next(const struct dhcp_server *s, uint64_t now_ms, unsigned int *cursor,
		struct dhcp_lease_info *ret)
{
	for (; *cursor < s->table.n_leases; (*cursor)++) {
		const struct dhcp_lease *l = &s->table.lease[*cursor];
		bool live = lease_is_live(l, now_ms);

		if (l->state == DHCP_LEASE_FREE || (l->state == DHCP_LEASE_DECLINED && !live))
			continue;
		*ret = (struct dhcp_lease_info){
			.addr_be = addr_of(s, *cursor),
			.mac = l->mac,
			.port_id = l->port_id,
			.state = live ? l->state : DHCP_LEASE_RELEASED,
			.left_ms = live ? l->expires_ms - now_ms : 0,
		};
		(*cursor)++;
		return true;
	}
	return false;
}

/* The longest that a lease in this state may have left; 0 for states that are not carried over. */
static uint64_t longest_ms(const struct dhcp_server *s, uint8_t state)
{
	switch (state) {
	case DHCP_LEASE_OFFERED:
		return DHCP_OFFER_MS;
	case DHCP_LEASE_BOUND:
	case DHCP_LEASE_RELEASED:
		return (uint64_t)s->lease_s * 1000;
	case DHCP_LEASE_DECLINED:
		return DHCP_DECLINE_MS;
	default:
		return 0;
	}
}

static bool adopt_lease(struct dhcp_server *s, uint64_t now_ms, uint32_t addr_be,
		const struct dhcp_lease *from)
{
	int i = index_of(s, addr_be);
	uint64_t longest = longest_ms(s, from->state);

	if (i < 0 || !longest || s->table.lease[i].state != DHCP_LEASE_FREE)
		return false;
	if (from->state != DHCP_LEASE_DECLINED &&
			(mac_is_zero(&from->mac) || mac_is_group(&from->mac) ||
					find_own(s, &from->mac, from->port_id) >= 0))
		return false;
	s->table.lease[i] = (struct dhcp_lease){
		.expires_ms = MIN(from->expires_ms, now_ms + longest),
		.used_ms = MIN(from->used_ms, now_ms),
		.mac = from->state != DHCP_LEASE_DECLINED ? from->mac : (struct mac){},
		.port_id = from->port_id,
		.state = from->state,
	};
	return true;
}

unsigned int dhcp_server_adopt(struct dhcp_server *s, uint64_t now_ms, const struct dhcp_table *t)
{
	uint32_t n_from = MIN(t->n_leases, (uint32_t)DHCP_LEASES_MAX);
	unsigned int n = 0;

	for (uint32_t i = 0; i < n_from; i++)
		n += adopt_lease(s, now_ms, htonl(ntohl(t->dhcp_start_be) + i), &t->lease[i]);
	return n;
}

/* --- Configuration --------------------------------------------------------------------------------- */

static int copy_text(char ret[DHCP_NAME_BYTES], const char *text)
{
	size_t n = text ? strlen(text) : 0;

	if (n >= DHCP_NAME_BYTES)
		return -E2BIG;
	if (n)
		memcpy(ret, text, n);
	return 0;
}

/* Labels with their lengths before them (RFC 1035, 3.1), without compression. A dot at the end is
 * allowed and means nothing. */
static int emit_name(struct wr *w, const char *name)
{
	if (!*name || strnlen(name, DHCP_NAME_BYTES) > DHCP_NAME_BYTES - 2)
		return -EINVAL;
	while (*name) {
		size_t n = strcspn(name, ".");

		if (n == 0 || n > LABEL_MAX)
			return -EINVAL;
		wr_u8(w, (uint8_t)n);
		wr_copy(w, name, n);
		name += n;
		if (*name == '.')
			name++;
	}
	wr_u8(w, 0);
	return w->bad ? -E2BIG : 0;
}

static int init_search(struct dhcp_server *s, const struct dhcp_config *c)
{
	struct wr w = wr_of(s->search, sizeof(s->search));

	for (unsigned int i = 0; i < c->n_search; i++) {
		int r = emit_name(&w, c->search[i]);
		if (r < 0)
			return r;
	}
	s->n_search_bytes = sizeof(s->search) - w.left;
	return 0;
}

static int init_addresses(struct dhcp_server *s, const struct dhcp_config *c)
{
	uint32_t hosts = ~ntohl(c->mask_be);
	uint32_t start = ntohl(c->dhcp_start_be) & hosts;

	/* A mask of leading ones that leaves room for two hosts at least. */
	if ((hosts & (hosts + 1)) || hosts < 3)
		return -EINVAL;
	s->net_be = c->net_be;
	s->mask_be = c->mask_be;
	s->host_be = c->host_be;
	s->dns_be = c->dns_be;
	if ((c->net_be & ~c->mask_be) || !in_net(s, c->host_be) || !in_net(s, c->dhcp_start_be))
		return -EINVAL;
	if (start == 0 || start >= hosts || c->n_leases == 0 || c->n_leases > DHCP_LEASES_MAX)
		return -EINVAL;
	s->table.dhcp_start_be = c->dhcp_start_be;
	s->table.n_leases = MIN((uint32_t)c->n_leases, hosts - start);
	s->n_port_leases = c->n_port_leases ? c->n_port_leases : s->table.n_leases;
	return 0;
}

void dhcp_server_share(struct dhcp_server *s, unsigned int n_ports)
{
	s->n_port_leases = MAX(1u, s->table.n_leases / MAX(n_ports, 1u));
}

int dhcp_server_init(struct dhcp_server *ret, const struct dhcp_config *c)
{
	*ret = (struct dhcp_server){
		.lease_s = c->lease_s ? c->lease_s : DHCP_LEASE_S,
		.mtu = c->mtu,
		.mtu_unasked = c->mtu_unasked,
		.restricted = c->restricted,
		.taken = c->taken,
		.ctx = c->ctx,
	};

	int r = init_addresses(ret, c);
	if (r < 0)
		return r;
	if ((r = copy_text(ret->hostname, c->hostname)) < 0 ||
			(r = copy_text(ret->domainname, c->domainname)) < 0 ||
			(r = copy_text(ret->bootfile, c->bootfile)) < 0 ||
			(r = copy_text(ret->tftp_server_name, c->tftp_server_name)) < 0)
		return r;
	return init_search(ret, c);
}
