/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames of a vhost-user port.
 *
 * From the guest: up to PORT_BATCH buffers are taken; of each the offload header and the first
 * FRAME_HEAD_BYTES are copied out, once; what lies behind stays in guest memory, and is handed up as
 * pieces of it. They are the guest's again when the owner's input() has returned for all. With several
 * workers a frame may go to another; its buffer then stays taken until that one is done with it, and so do
 * those behind it, since buffers are given back in order. Reading stops while too many are out.
 *
 * To the guest there are three ways:
 *   direct   The driver takes checksums and TCP super-frames as they are: reserve() yields its own buffers,
 *            and commit() writes the headers before the data. Without MRG_RXBUF a frame is one buffer, and
 *            such drivers offer buffers of 64 KiB; with it, as many as it needs, and commit() gives back
 *            those that it did not.
 *   staged   The driver takes less than that: reserve() yields a private buffer, and commit() makes plain
 *            frames of what was received, each copied into buffers of the guest.
 *   copied   send(), either as it is or as plain frames.
 *
 * All of a frame is used or nothing. There is one exception: where a driver offers few buffers in all (boot
 * loaders: eight), a super-frame that needs more of them than it ever offers would wait for ever; it loses
 * its tail instead, as on any wire.
 *
 * How much room is room enough? A ring that is nearly spent would be fed crumbs if any were; so the whole of
 * what is asked for must fit, or half of the most buffers that this driver was ever seen to offer. And whatever
 * was refused once, because what there was ran out, is not tried again before there is more, or it would be
 * tried for ever: how much a buffer holds is only known when it is taken. */
#include "vhost_dev.h"

#include <assert.h>

#include "eth.h"
#include "segment.h"

#define RX_PASS       4    /* batches, before others have their turn */
#define FRAME_GUESS   1400 /* bytes of a plain frame */
#define ENOUGH        64   /* buffers: a super-frame of 1 KiB each, as many as reserve() can yield */
#define PUBLISH_AT    32   /* buffers used, before the loop's pass is over */
#define NUM_BUFFERS_AT 10

static_assert(VHOST_RX_IOV >= SEGMENT_IOV_MAX, "a frame that others can carry is not refused here");
static_assert(VHOST_RX_POOL >= 2 * (VHOST_RX_IOV + 1), "a batch has a frame, wherever its place begins");

static struct vhost_port *vhost_of(struct port *port)
{
	return container_of(port, struct vhost_port, port);
}

/* From the guest. */

/* Copies n bytes out of the pieces, which must have them, and drops what was copied. Returns the number of
 * pieces that are dropped as a whole. */
static unsigned int take_bytes(struct iovec *iov, size_t n, uint8_t *ret)
{
	unsigned int i = 0;

	while (n) {
		size_t take = MIN(iov[i].iov_len, n);

		vring_copy(ret, iov[i].iov_base, take);
		ret += take;
		n -= take;
		iov[i].iov_base = (uint8_t *)iov[i].iov_base + take;
		iov[i].iov_len -= take;
		if (iov[i].iov_len == 0)
			i++;
	}
	return i;
}

/* iov: the pieces of the buffer, with a free place before them. False: it is no frame. */
static bool make_frame(struct vhost_port *p, unsigned int slot, struct iovec *iov, struct frame *f)
{
	const struct vring_chain *c = &p->slots[slot].chain;
	struct vhost_head *h = &p->heads[slot];
	struct rd r = rd_of(h->header, sizeof(h->header));

	if (c->n_iov > VHOST_RX_IOV || c->n_bytes < p->header_bytes + ETH_HEADER_BYTES ||
		c->n_bytes > p->header_bytes + FRAME_MAX_BYTES)
		return false;
	f->n_bytes = c->n_bytes - p->header_bytes;
	f->head = h->bytes;
	f->head_bytes = MIN(f->n_bytes, (size_t)FRAME_HEAD_BYTES);
	memset(h->header, 0, sizeof(h->header));
	unsigned int gone = take_bytes(iov, p->header_bytes, h->header);
	gone += take_bytes(iov + gone, f->head_bytes, h->bytes);
	iov += gone;
	iov[-1] = (struct iovec){h->bytes, f->head_bytes};
	f->iov = iov - 1;
	f->n_iov = c->n_iov - gone + 1;
	return offload_parse(&r, f->n_bytes, &f->offload) == DROP_NONE;
}

/* Whether there is a slot, and a place for the pieces of any frame; *ret_skip pieces are left out before it. */
static bool has_place(const struct vhost_port *p, unsigned int *ret_skip)
{
	unsigned int n = VHOST_RX_IOV + 1;

	*ret_skip = p->pool_next + n > VHOST_RX_POOL ? VHOST_RX_POOL - p->pool_next : 0;
	return p->n_slots < VHOST_RX_SLOTS && p->n_pool + *ret_skip + n <= VHOST_RX_POOL;
}

bool vhost_retire(struct vhost_port *p)
{
	struct vhost_ring *r = &p->rings[1];
	unsigned int n = 0;

	for (; p->n_slots && !p->slots[p->slot_first].away; n++) {
		const struct vhost_slot *s = &p->slots[p->slot_first];

		if (r->running)
			vring_use(&r->v, &s->chain, 0);
		p->n_pool -= s->n_pool;
		p->slot_first = (p->slot_first + 1) % VHOST_RX_SLOTS;
		p->n_slots--;
	}
	if (p->n_slots == 0)
		p->slot_first = p->pool_next = p->n_pool = 0;
	if (n && r->running) {
		vring_publish(&r->v);
		r->to_signal = true;
	}
	return n > 0;
}

/* The next buffer, and the frame in it to *f. As vring_take(); *ret_slot: VHOST_RX_SLOTS if it is no frame. */
static int take_frame(struct vhost_port *p, struct vhost_ring *r, unsigned int skip, struct frame *f,
	unsigned int *ret_slot)
{
	unsigned int slot = (p->slot_first + p->n_slots) % VHOST_RX_SLOTS;
	unsigned int at = (p->pool_next + skip) % VHOST_RX_POOL;
	struct vhost_slot *s = &p->slots[slot];
	int taken = vring_take(&r->v, false, p->rx_iov + at + 1, VHOST_RX_IOV, &s->chain);

	*ret_slot = VHOST_RX_SLOTS;
	if (taken <= 0)
		return taken;
	p->n_slots++;
	s->n_pool = 0;
	s->away = false;
	if (!r->enabled)
		return taken;
	if (!make_frame(p, slot, p->rx_iov + at + 1, f)) {
		p->port.n.rx_bad++;
		return taken;
	}
	s->n_pool = skip + s->chain.n_iov + 1;
	p->n_pool += s->n_pool;
	p->pool_next = at + s->chain.n_iov + 1;
	*ret_slot = slot;
	return taken;
}

/* One batch; returns what vring_take() last did. */
static int read_batch(struct vhost_port *p, struct vhost_ring *r)
{
	unsigned int n_max = vhost_spreads(p) ? MIN(vhost_cross_room(p), (unsigned int)PORT_BATCH) : PORT_BATCH;
	unsigned int n_frames = 0, n, skip, slot;
	int taken = 1;

	for (n = 0; n < n_max && has_place(p, &skip); n++) {
		taken = take_frame(p, r, skip, &p->frames[n_frames], &slot);
		if (taken <= 0)
			break;
		if (slot == VHOST_RX_SLOTS)
			continue;
		if (vhost_spreads(p) && vhost_cross(p, &p->frames[n_frames], slot))
			p->slots[slot].away = true;
		else
			n_frames++;
	}
	if (n_frames)
		port_input(&p->port, p->frames, n_frames, loop_now_ms(p->loop));
	bool retired = vhost_retire(p);

	p->held = n == 0 && taken > 0 && !retired;
	return taken;
}

bool vhost_read(struct vhost_port *p, struct vhost_ring *r)
{
	if (!r->enabled && !r->was_enabled)
		return false;
	vring_refuse_kicks(&r->v);
	for (int i = 0; i < RX_PASS; i++) {
		int taken = read_batch(p, r);

		if (taken < 0) {
			vhost_ring_break(p, r);
			return false;
		}
		if (p->held)
			return false;
		if (taken > 0)
			continue;
		r->watched = p->dev->config.busy_poll && !loop_would_sleep(p->loop);
		if (r->watched) {
			loop_hold(p->loop);
			return false;
		}
		vring_want_kicks(&r->v);
		if (vring_n_avail(&r->v, 1) == 0)
			return false;
		vring_refuse_kicks(&r->v);
	}
	return true;
}

/* To the guest. */

struct vhost_ring *vhost_to_guest(struct vhost_port *p)
{
	struct vhost_ring *r = &p->rings[0];

	return r->running && r->enabled ? r : NULL;
}

static int refuse(struct vhost_port *p, int error)
{
	p->refused = true;
	return error;
}

bool vhost_has_room(struct vhost_port *p)
{
	struct vhost_ring *r = vhost_to_guest(p);

	if (!r || p->reserved)
		return false;
	unsigned int n = vring_n_avail(&r->v, VRING_NUM_MAX);

	p->n_posted_max = MAX(p->n_posted_max, n);
	if (n <= p->n_refused)
		return false;
	if (p->direct && !p->mergeable)
		return n > 0;
	return n >= MIN((unsigned int)ENOUGH, MAX(p->n_posted_max / 2, 1u));
}

/* Takes buffers into p->put until they have n_bytes or n_room pieces, one buffer only unless they are merged.
 * 1; 0 when the ring ran out; -EPROTO. */
static int take_room(struct vhost_port *p, struct vhost_ring *r, size_t n_bytes, unsigned int n_room)
{
	struct vhost_put *put = &p->put;

	put->n_bytes = 0;
	put->n_chains = put->n_iov = 0;
	while (put->n_bytes < n_bytes) {
		struct vring_chain *c = &put->chains[put->n_chains];

		put->before[put->n_chains] = vring_mark(&r->v);
		int taken = vring_take(&r->v, true, put->iov + put->n_iov, n_room - put->n_iov, c);
		if (taken <= 0)
			return taken;
		if (c->n_iov > n_room - put->n_iov && put->n_chains) {
			vring_undo(&r->v, &put->before[put->n_chains]);
			return 1;
		}
		if (c->n_iov > n_room) {
			/* More pieces than can be named: the first of them serve. */
			c->n_iov = n_room;
			c->n_bytes = 0;
			for (unsigned int i = 0; i < n_room; i++)
				c->n_bytes += put->iov[i].iov_len;
		}
		put->n_iov += c->n_iov;
		put->n_bytes += c->n_bytes;
		put->n_chains++;
		if (!p->mergeable || put->n_iov == n_room)
			return 1;
	}
	return 1;
}

/* A place in the pieces of the guest, which only moves forward. */
struct place {
	struct vhost_mem *mem;
	const struct iovec *iov;
	size_t offset;
};

/* Writes n bytes, or moves over them where they are already (from NULL). They must fit. */
static void place_write(struct place *to, const uint8_t *from, size_t n)
{
	while (n) {
		size_t take = MIN(to->iov->iov_len - to->offset, n);
		uint8_t *at = (uint8_t *)to->iov->iov_base + to->offset;

		if (from) {
			memmove(at, from, take); /* a frame that came from this guest may lie over it */
			from += take;
		}
		vhost_mem_wrote(to->mem, at, take);
		n -= take;
		to->offset += take;
		if (to->offset == to->iov->iov_len) {
			to->iov++;
			to->offset = 0;
		}
	}
}

static void put_header(const struct vhost_port *p, const struct offload *o, unsigned int n_buffers, uint8_t *ret)
{
	struct wr w = wr_of(ret, VHOST_HEADER_BYTES);
	struct offload own = *o;

	if (!vhost_has(p, VHOST_F_GUEST_CSUM))
		own.csum_valid = false;
	offload_emit(&w, &own);
	ret[NUM_BUFFERS_AT] = (uint8_t)n_buffers;
	ret[NUM_BUFFERS_AT + 1] = (uint8_t)(n_buffers >> 8);
}

/* Uses the first n_bytes of the buffers in p->put; gives back those that are not needed. Returns how many
 * were. */
static unsigned int use_buffers(struct vhost_port *p, struct vhost_ring *r, size_t n_bytes)
{
	struct vhost_put *put = &p->put;
	unsigned int n = 0;

	for (; n_bytes; n++) {
		size_t take = MIN(put->chains[n].n_bytes, n_bytes);

		put->chains[n].n_bytes = take;
		n_bytes -= take;
	}
	if (n < put->n_chains)
		vring_undo(&r->v, &put->before[n]);
	for (unsigned int i = 0; i < n; i++)
		vring_use(&r->v, &put->chains[i], put->chains[i].n_bytes);
	return n;
}

static void used(struct vhost_port *p, struct vhost_ring *r)
{
	r->to_signal = true;
	p->n_refused = 0;
	if (r->v.n_used >= PUBLISH_AT)
		vring_publish(&r->v);
}

static int broken(struct vhost_port *p, struct vhost_ring *r)
{
	vhost_ring_break(p, r);
	return refuse(p, -ENOTCONN);
}

/* A frame that goes as it is. Not published yet. */
static int put_frame(struct vhost_port *p, struct vhost_ring *r, const struct iovec *iov, unsigned int n_iov,
	size_t n_bytes, const struct offload *o)
{
	struct place to = {.mem = &p->mem, .iov = p->put.iov};
	struct vring_mark before = vring_mark(&r->v);
	uint8_t header[VHOST_HEADER_BYTES];
	int taken = take_room(p, r, p->header_bytes + n_bytes, VHOST_PUT_IOV);

	if (taken <= 0 || p->put.n_bytes < p->header_bytes + n_bytes) {
		if (taken == 0)
			p->n_refused = vring_n_since(&r->v, &before);
		vring_undo(&r->v, &before);
		return taken < 0 ? -EPROTO : taken == 0 ? -ENOBUFS : -EMSGSIZE;
	}
	unsigned int n = use_buffers(p, r, p->header_bytes + n_bytes);
	put_header(p, o, n, header);
	place_write(&to, header, p->header_bytes);
	for (unsigned int i = 0; i < n_iov; i++)
		place_write(&to, iov[i].iov_base, iov[i].iov_len);
	return 0;
}

struct segments {
	struct vhost_port *p;
	struct vhost_ring *r;
	unsigned int n; /* put so far */
};

static int put_segment(void *ctx, const uint8_t *head, size_t n_head, const struct iovec *payload,
	unsigned int n_payload, size_t n_payload_bytes)
{
	static const struct offload plain;
	struct segments *s = ctx;
	struct iovec iov[1 + SEGMENT_IOV_MAX];

	iov[0] = (struct iovec){(void *)(uintptr_t)head, n_head};
	if (n_payload)
		memcpy(iov + 1, payload, n_payload * sizeof(*payload));
	int e = put_frame(s->p, s->r, iov, n_payload + 1, n_head + n_payload_bytes, &plain);
	if (e == 0)
		s->n++;
	return e;
}

static int put_segments(struct vhost_port *p, struct vhost_ring *r, const struct iovec *iov, unsigned int n_iov,
	size_t n_bytes, const struct offload *o)
{
	struct vring_mark before = vring_mark(&r->v);
	struct segments s = {p, r, 0};
	int e = segment_frame(iov, n_iov, n_bytes, o, put_segment, &s);

	if (e == -ENOBUFS)
		p->n_refused += vring_n_since(&r->v, &before);
	if (e == -ENOBUFS && s.n && 2 * p->n_refused >= p->n_posted_max)
		return 0; /* all that this driver ever offers: the tail is lost */
	return e;
}

int vhost_send(struct port *port, const struct iovec *iov, unsigned int n_iov, size_t n_bytes,
	const struct offload *o)
{
	struct vhost_port *p = vhost_of(port);
	struct vhost_ring *r = vhost_to_guest(p);

	if (n_bytes < ETH_HEADER_BYTES || n_bytes > FRAME_MAX_BYTES)
		return -EMSGSIZE;
	if (!r)
		return refuse(p, -ENOTCONN);
	if (p->reserved && !p->staged)
		return refuse(p, -ENOBUFS); /* buffers are used in the order in which they were taken */
	struct vring_mark before = vring_mark(&r->v);
	int e = port_takes(port, o) ? put_frame(p, r, iov, n_iov, n_bytes, o)
				    : put_segments(p, r, iov, n_iov, n_bytes, o);
	if (e == 0) {
		used(p, r);
		return 0;
	}
	vring_undo(&r->v, &before);
	if (e == -EPROTO)
		return broken(p, r);
	return e == -ENOBUFS ? refuse(p, e) : e;
}

static int reserve_staged(struct vhost_port *p, struct vhost_ring *r, size_t n_head, size_t max_bytes,
	struct room *ret)
{
	unsigned int wanted = (unsigned int)(max_bytes / FRAME_GUESS) + 1;
	unsigned int n = vring_n_avail(&r->v, wanted);

	if (n == 0 || (n < wanted && 2 * n < p->n_posted_max)) {
		p->n_refused = n;
		return refuse(p, -ENOBUFS);
	}
	if (n < wanted)
		max_bytes = MIN(max_bytes, (size_t)n * FRAME_GUESS);
	p->reserved = p->staged = true;
	*ret = (struct room){
		.head = p->room,
		.n_head = n_head,
		.iov = {{p->room + n_head, max_bytes}},
		.n_iov = 1,
		.n_bytes = max_bytes,
	};
	return 0;
}

/* What of the pieces in p->put lies behind the headers, at most max_bytes of it. */
static void room_of(struct vhost_port *p, size_t n_skip, size_t max_bytes, struct room *ret)
{
	ret->n_bytes = ret->n_iov = 0;
	for (unsigned int i = 0; i < p->put.n_iov && ret->n_bytes < max_bytes; i++) {
		size_t n = p->put.iov[i].iov_len, skip = MIN(n, n_skip);

		n_skip -= skip;
		n = MIN(n - skip, max_bytes - ret->n_bytes);
		if (n == 0)
			continue;
		ret->iov[ret->n_iov++] = (struct iovec){(uint8_t *)p->put.iov[i].iov_base + skip, n};
		ret->n_bytes += n;
	}
}

static int reserve_direct(struct vhost_port *p, struct vhost_ring *r, size_t n_head, size_t max_bytes,
	struct room *ret)
{
	struct vring_mark before = vring_mark(&r->v);
	size_t n_skip = p->header_bytes + n_head;
	int taken = take_room(p, r, n_skip + max_bytes, PORT_ROOM_IOV);

	if (taken < 0) {
		vring_undo(&r->v, &before);
		return broken(p, r);
	}
	unsigned int n = vring_n_since(&r->v, &before);

	ret->n_bytes = 0;
	if (taken > 0 || 2 * n >= p->n_posted_max)
		room_of(p, n_skip, max_bytes, ret);
	if (ret->n_bytes == 0) {
		vring_undo(&r->v, &before);
		if (taken > 0)
			return -EMSGSIZE;
		p->n_refused = n;
		return refuse(p, -ENOBUFS);
	}
	p->reserved = true;
	p->staged = false;
	ret->head = p->head;
	ret->n_head = n_head;
	return 0;
}

int vhost_reserve(struct port *port, size_t n_head, size_t max_bytes, struct room *ret)
{
	struct vhost_port *p = vhost_of(port);
	struct vhost_ring *r = vhost_to_guest(p);

	if (n_head < ETH_HEADER_BYTES || n_head > PORT_ROOM_HEADROOM || max_bytes == 0 || p->reserved)
		return -EINVAL;
	if (!r)
		return refuse(p, -ENOTCONN);
	max_bytes = MIN(max_bytes, FRAME_MAX_BYTES - n_head);
	return p->direct ? reserve_direct(p, r, n_head, max_bytes, ret)
			 : reserve_staged(p, r, n_head, max_bytes, ret);
}

void vhost_cancel(struct port *port, struct room *room)
{
	struct vhost_port *p = vhost_of(port);
	struct vhost_ring *r = vhost_to_guest(p);

	if (p->reserved && !p->staged && r)
		vring_undo(&r->v, &p->put.before[0]);
	p->reserved = false;
}

/* The driver does not take such a frame after all: out of its buffers, and in again as plain ones. */
static int restage(struct vhost_port *p, struct room *room, size_t n_bytes, const struct offload *o)
{
	struct iovec iov = {p->room, room->n_head + n_bytes};
	uint8_t *to = p->room;

	memcpy(to, room->head, room->n_head);
	to += room->n_head;
	for (unsigned int i = 0; n_bytes; i++) {
		size_t take = MIN(room->iov[i].iov_len, n_bytes);

		memcpy(to, room->iov[i].iov_base, take);
		to += take;
		n_bytes -= take;
	}
	vhost_cancel(&p->port, room);
	return vhost_send(&p->port, &iov, 1, iov.iov_len, o);
}

int vhost_commit(struct port *port, struct room *room, size_t n_bytes, const struct offload *o)
{
	struct vhost_port *p = vhost_of(port);
	struct vhost_ring *r = vhost_to_guest(p);
	struct place to = {.mem = &p->mem, .iov = p->put.iov};
	uint8_t header[VHOST_HEADER_BYTES];

	if (!p->reserved || n_bytes > room->n_bytes)
		return -EINVAL;
	if (p->staged) {
		struct iovec iov = {p->room, room->n_head + n_bytes};

		p->reserved = false;
		return vhost_send(port, &iov, 1, iov.iov_len, o);
	}
	if (!port_takes(port, o))
		return restage(p, room, n_bytes, o);
	p->reserved = false;
	if (!r)
		return refuse(p, -ENOTCONN);
	unsigned int n = use_buffers(p, r, p->header_bytes + room->n_head + n_bytes);
	put_header(p, o, n, header);
	place_write(&to, header, p->header_bytes);
	place_write(&to, room->head, room->n_head);
	if (p->mem.logging)
		place_write(&to, NULL, n_bytes);
	used(p, r);
	return 0;
}
