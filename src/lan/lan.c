/* SPDX-License-Identifier: BSD-2-Clause */
/* A learning switch whose uplink is the gateway.
 *
 * Frames of a batch that go to the gateway, nearly all, are handed up together: the batch is split only
 * where a frame goes elsewhere, so that order is kept. Group and unknown destinations belong to such a
 * run too; they are first copied to the other ports.
 *
 * Stations: LAN_FDB_PER_PORT entries for each port, found through one hash (keyed: guests choose MACs).
 * An entry is a MAC behind a port; two guests with one MAC have an entry each, and the one heard last
 * gets the frames, as on any switch. A port's last source is remembered so that a guest of one address
 * costs no lookup; that memory is void once another port claims the address, so the rightful owner's
 * next frame wins it back.
 *
 * From guest to guest the headers come from the private copy and the payload straight from the sender's
 * memory. The offload header is made anew by segment_check(). A checksum request that fits no header of
 * ours (that of a tunnelled packet, say) is carried out here instead of being passed on.
 *
 * A port that closed for good is freed from a timer: it is still on the call stack when it says so. */
#include "lan.h"

#include "eth.h"
#include "rogue.h"
#include "segment.h"
#include "siphash.h"

#define N_STATIONS (PORT_MAX * LAN_FDB_PER_PORT)
#define N_BUCKETS  1024
#define LAN_IOV    128 /* pieces of a frame that is forwarded */

struct station {
	struct mac mac;
	uint16_t next;  /* in its bucket: number + 1; 0: the last */
	uint64_t heard; /* the lan's tick when it became its port's source; 0: the entry is free */
};

struct lan_port {
	struct port *port;
	bool closed; /* to be freed */
	bool has_source;
	struct mac source;
};

struct lan {
	struct lan_config config;
	struct port_owner owner;
	struct siphash_key key;
	struct loop_timer reaper;
	unsigned int n_ports;
	uint64_t tick;
	struct lan_port ports[PORT_MAX];
	struct station stations[N_STATIONS]; /* those of port i from i * LAN_FDB_PER_PORT on */
	uint16_t buckets[N_BUCKETS];         /* number + 1; 0: empty */
};

static unsigned int bucket_of(const struct lan *l, const struct mac *m)
{
	return (unsigned int)(siphash(&l->key, m, sizeof(*m)) % N_BUCKETS);
}

static unsigned int port_of(const struct lan *l, const struct station *s)
{
	return (unsigned int)(s - l->stations) / LAN_FDB_PER_PORT;
}

static void station_unlink(struct lan *l, struct station *s)
{
	uint16_t number = (uint16_t)(s - l->stations + 1);
	uint16_t *at = &l->buckets[bucket_of(l, &s->mac)];

	while (*at != number)
		at = &l->stations[*at - 1].next;
	*at = s->next;
	s->heard = 0;
}

/* An entry of that port to be filled: a free one, or that of the station silent for longest. */
static struct station *station_evict(struct lan *l, unsigned int port)
{
	struct station *oldest = &l->stations[port * LAN_FDB_PER_PORT];

	for (unsigned int i = 1; i < LAN_FDB_PER_PORT; i++) {
		struct station *s = &l->stations[port * LAN_FDB_PER_PORT + i];

		if (s->heard < oldest->heard)
			oldest = s;
	}
	if (oldest->heard)
		station_unlink(l, oldest);
	return oldest;
}

static void station_learn(struct lan *l, unsigned int port, const struct mac *m)
{
	unsigned int bucket = bucket_of(l, m);
	struct station *own = NULL;

	for (uint16_t n = l->buckets[bucket]; n; n = l->stations[n - 1].next) {
		struct station *s = &l->stations[n - 1];

		if (!mac_eq(&s->mac, m))
			continue;
		if (port_of(l, s) == port)
			own = s;
		else
			l->ports[port_of(l, s)].has_source = false;
	}
	if (!own) {
		own = station_evict(l, port);
		own->mac = *m;
		own->next = l->buckets[bucket];
		l->buckets[bucket] = (uint16_t)(own - l->stations + 1);
	}
	own->heard = ++l->tick;
	l->ports[port].source = *m;
	l->ports[port].has_source = true;
}

static void station_forget_all(struct lan *l, unsigned int port)
{
	for (unsigned int i = 0; i < LAN_FDB_PER_PORT; i++) {
		struct station *s = &l->stations[port * LAN_FDB_PER_PORT + i];

		if (s->heard)
			station_unlink(l, s);
	}
	l->ports[port].has_source = false;
}

struct port *lan_find_station(struct lan *l, const struct mac *m)
{
	const struct station *found = NULL;

	for (uint16_t n = l->buckets[bucket_of(l, m)]; n; n = l->stations[n - 1].next) {
		const struct station *s = &l->stations[n - 1];

		if (mac_eq(&s->mac, m) && (!found || s->heard > found->heard))
			found = s;
	}
	return found ? l->ports[port_of(l, found)].port : NULL;
}

struct port *lan_port(struct lan *l, uint16_t id)
{
	return id < PORT_MAX && !l->ports[id].closed ? l->ports[id].port : NULL;
}

unsigned int lan_n_ports(const struct lan *l)
{
	return l->n_ports;
}

static void drop(struct lan *l, struct port *p, enum drop_reason reason)
{
	l->config.drop(l->config.ctx, p, reason);
}

/* Where a frame goes: to one port, or to all but the one it came from. */
struct target {
	struct lan *lan;
	struct port *from;
	struct port *to; /* NULL: all */
	const struct offload *offload;
};

static void send_to(const struct target *t, const struct iovec *iov, unsigned int n_iov, size_t n_bytes)
{
	if (!t->to) {
		lan_flood(t->lan, t->from, iov, n_iov, n_bytes, t->offload);
		return;
	}
	int r = port_send(t->to, iov, n_iov, n_bytes, t->offload);

	if (r < 0)
		drop(t->lan, t->from, r == -EMSGSIZE ? DROP_TOO_BIG : DROP_NO_ROOM);
}

static int send_completed(void *ctx, const uint8_t *head, size_t n_head, const struct iovec *payload,
	unsigned int n_payload, size_t n_payload_bytes)
{
	const struct target *t = ctx;
	struct iovec iov[1 + LAN_IOV];

	if (n_payload > LAN_IOV)
		return -EMSGSIZE;
	iov[0] = (struct iovec){(void *)(uintptr_t)head, n_head};
	if (n_payload)
		memcpy(iov + 1, payload, n_payload * sizeof(*payload));
	send_to(t, iov, 1 + n_payload, n_head + n_payload_bytes);
	return 0;
}

static void forward(struct lan *l, struct port *from, struct port *to, const struct frame *f)
{
	struct offload offload = {};
	struct target t = {.lan = l, .from = from, .to = to, .offload = &offload};
	struct iovec iov[LAN_IOV];
	unsigned int n_iov = frame_slice(f, 0, f->n_bytes, iov, LAN_IOV);

	if (n_iov == 0) {
		drop(l, from, DROP_TOO_BIG);
		return;
	}
	if (segment_check(f->head, f->head_bytes, f->n_bytes, &f->offload, &offload) == DROP_NONE) {
		send_to(&t, iov, n_iov, f->n_bytes);
		return;
	}
	offload = (struct offload){};
	if (f->offload.gso != OFFLOAD_GSO_NONE ||
		segment_frame(iov, n_iov, f->n_bytes, &f->offload, send_completed, &t) < 0)
		drop(l, from, DROP_BAD_OFFLOAD);
}

void lan_flood(struct lan *l, const struct port *except, const struct iovec *iov, unsigned int n_iov,
	size_t n_bytes, const struct offload *o)
{
	for (unsigned int i = 0; i < PORT_MAX; i++) {
		struct port *p = lan_port(l, (uint16_t)i);

		if (p && p != except)
			(void)port_send(p, iov, n_iov, n_bytes, o); /* the port counts what it refuses */
	}
}

/* 01:80:c2:00:00:0x, which no bridge passes on (IEEE 802.1Q, 8.6.3): pause frames, spanning tree. */
static bool is_link_local_group(const struct mac *m)
{
	static const uint8_t prefix[] = {0x01, 0x80, 0xc2, 0x00, 0x00};

	return memcmp(m->b, prefix, sizeof(prefix)) == 0 && m->b[5] < 0x10;
}

/* False for a source that no frame may have; else the station is known from now on. */
static inline bool accept_source(struct lan *l, struct port *p, const struct mac *source)
{
	struct lan_port *lp = &l->ports[p->id];

	if (likely(lp->has_source && mac_eq(&lp->source, source)))
		return true;
	if (mac_eq(source, &l->config.gateway_mac)) {
		drop(l, p, DROP_FORGED_SOURCE);
		return false;
	}
	if (mac_is_group(source) || mac_is_zero(source)) {
		drop(l, p, DROP_BAD_HEADER);
		return false;
	}
	station_learn(l, p->id, source);
	return true;
}

/* ARP of a guest whose sender is the gateway's address (RFC 826). */
static bool claims_gateway(const struct lan *l, const struct frame *f)
{
	struct rd r = rd_of(f->head, f->head_bytes);
	uint32_t sender_be;

	if (rogue_eth_type(&r) != ETH_TYPE_ARP)
		return false;
	(void)rd_bytes(&r, 8 + MAC_BYTES);
	rd_copy(&r, &sender_be, sizeof(sender_be));
	return sender_be != 0 && (sender_be == l->config.gateway_be[0] || sender_be == l->config.gateway_be[1]);
}

/* Whether the frame goes up, after it was sent to the other ports it is for. */
static bool classify(struct lan *l, struct port *p, const struct frame *f)
{
	struct mac dst, src;

	if (unlikely(f->n_bytes < ETH_HEADER_BYTES)) {
		drop(l, p, DROP_TRUNCATED);
		return false;
	}
	memcpy(&dst, f->head, MAC_BYTES);
	memcpy(&src, f->head + MAC_BYTES, MAC_BYTES);
	if (unlikely(!accept_source(l, p, &src)))
		return false;
	if (likely(mac_eq(&dst, &l->config.gateway_mac)))
		return true;
	if (is_link_local_group(&dst)) {
		drop(l, p, DROP_NOT_FOR_US);
		return false;
	}
	if (unlikely(claims_gateway(l, f))) {
		drop(l, p, DROP_FORGED_SOURCE);
		return false;
	}
	struct port *to = mac_is_group(&dst) ? NULL : lan_find_station(l, &dst);

	if (to == p || (to && l->config.isolated)) {
		drop(l, p, to == p ? DROP_NOT_FOR_US : DROP_POLICY);
		return false;
	}
	if (l->n_ports == 1 || l->config.isolated)
		return !to;
	if (!l->config.guest_servers && unlikely(rogue_server(rd_of(f->head, f->head_bytes)))) {
		drop(l, p, DROP_ROGUE_SERVER);
		return false;
	}
	forward(l, p, to, f);
	return !to;
}

static void lan_input(void *ctx, struct port *p, const struct frame *frames, unsigned int n)
{
	struct lan *l = ctx;
	unsigned int start = 0;

	if (lan_port(l, p->id) != p)
		return; /* not added yet, or closed */
	for (unsigned int i = 0; i < n; i++) {
		if (likely(classify(l, p, &frames[i])))
			continue;
		if (i > start)
			l->config.input(l->config.ctx, p, frames + start, i - start);
		start = i + 1;
	}
	if (n > start)
		l->config.input(l->config.ctx, p, frames + start, n - start);
}

static void lan_room(void *ctx, struct port *p)
{
	struct lan *l = ctx;

	if (lan_port(l, p->id) == p)
		l->config.room(l->config.ctx, p);
}

static void reap(void *ctx, uint64_t now_ms)
{
	struct lan *l = ctx;

	for (unsigned int i = 0; i < PORT_MAX; i++) {
		struct lan_port *lp = &l->ports[i];

		if (lp->closed) {
			port_free(lp->port);
			*lp = (struct lan_port){};
		}
	}
}

static void lan_closed(void *ctx, struct port *p, int error, bool final)
{
	struct lan *l = ctx;

	if (lan_port(l, p->id) != p)
		return;
	station_forget_all(l, p->id);
	if (final) {
		l->ports[p->id].closed = true;
		l->n_ports--;
		loop_timer_set(l->config.loop, &l->reaper, loop_now_ms(l->config.loop));
	}
	l->config.port_closed(l->config.ctx, p, error, final);
}

static void lan_opened(void *ctx, struct port *p)
{
	/* The next guest on this cable is learned as it speaks. */
}

const struct port_owner *lan_owner(struct lan *l)
{
	return &l->owner;
}

int lan_new(const struct lan_config *c, struct lan **ret)
{
	_cleanup_free_ struct lan *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	int r = siphash_key_init(&l->key);

	if (r < 0)
		return r;
	l->config = *c;
	l->owner = (struct port_owner){
		.input = lan_input,
		.room = lan_room,
		.closed = lan_closed,
		.opened = lan_opened,
		.ctx = l,
	};
	l->reaper = (struct loop_timer){.fn = reap, .ctx = l};
	*ret = TAKE_PTR(l);
	return 0;
}

struct lan *lan_free(struct lan *l)
{
	if (!l)
		return NULL;
	loop_timer_clear(l->config.loop, &l->reaper);
	for (unsigned int i = 0; i < PORT_MAX; i++)
		port_free(l->ports[i].port);
	free(l);
	return NULL;
}

int lan_add_port(struct lan *l, struct port *p)
{
	for (unsigned int i = 0; i < PORT_MAX; i++) {
		if (l->ports[i].port)
			continue;
		l->ports[i] = (struct lan_port){.port = p};
		p->id = (uint16_t)i;
		l->n_ports++;
		return 0;
	}
	return -ENOSPC;
}
