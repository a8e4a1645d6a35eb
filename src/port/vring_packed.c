/* SPDX-License-Identifier: BSD-2-Clause */
/* Packed rings (virtio 1.2, 2.8): one ring of descriptors that both sides write. Two bits of each say whose
 * it is: available when the AVAIL bit is the driver's wrap counter and USED is not; used when both are the
 * device's. A buffer of several descriptors has them side by side, its number in the last; used, it takes
 * one descriptor, and both sides go on by as many as it had. */
#include <endian.h>

#include "vring.h"

#define DESC_BYTES     16
#define FLAGS_AT       14
#define DESC_AVAIL     (1u << 7)
#define DESC_USED      (1u << 15)
#define EVENT_BYTES    4 /* either area: offset and wrap, flags */
#define EVENT_ENABLE   0u
#define EVENT_DISABLE  1u
#define EVENT_DESC     2u
#define EVENT_WRAP     (1u << 15)
#define BASE_WRAP      (1u << 15)

static uint16_t load(const uint8_t *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_RELAXED));
}

static void store(struct vring *v, uint8_t *p, uint16_t value)
{
	__atomic_store_n((uint16_t *)(void *)p, htole16(value), __ATOMIC_RELAXED);
	vhost_mem_wrote(v->mem, p, sizeof(value));
}

static void packed_sizes(uint16_t num, size_t *ret_desc, size_t *ret_driver, size_t *ret_device)
{
	*ret_desc = (size_t)num * DESC_BYTES;
	*ret_driver = EVENT_BYTES;
	*ret_device = EVENT_BYTES;
}

static uint8_t *desc_of(const struct vring *v, unsigned int index)
{
	return v->at.desc + (size_t)index * DESC_BYTES;
}

static void advance(const struct vring *v, struct vring_pos *p, unsigned int n)
{
	unsigned int index = p->index + n;

	if (index >= v->num) {
		index -= v->num;
		p->wrap = !p->wrap;
	}
	p->index = (uint16_t)index;
}

static struct vring_pos pos_of(uint32_t half)
{
	return (struct vring_pos){.index = (uint16_t)(half & ~BASE_WRAP & 0xffff), .wrap = half & BASE_WRAP};
}

static uint32_t half_of(const struct vring_pos *p)
{
	return p->index | (p->wrap ? BASE_WRAP : 0);
}

/* Available in the low half, used in the high one. In order as we are, nothing behind `used` was written:
 * what an earlier device took and did not use is still there. */
static int packed_start(struct vring *v, uint32_t base)
{
	v->avail = v->used = pos_of(base >> 16);
	return v->avail.index < v->num ? 0 : -EINVAL;
}

static uint32_t packed_base(const struct vring *v)
{
	return half_of(&v->used) << 16 | half_of(&v->used);
}

static bool is_available(const struct vring *v, const struct vring_pos *p)
{
	uint16_t flags = load(desc_of(v, p->index) + FLAGS_AT);

	return !!(flags & DESC_AVAIL) == p->wrap && !!(flags & DESC_USED) != p->wrap;
}

static void desc_at(const uint8_t *at, struct vring_desc *ret)
{
	struct {
		uint64_t addr;
		uint32_t n_bytes;
		uint16_t id, flags;
	} d;

	vring_copy(&d, at, DESC_BYTES);
	*ret = (struct vring_desc){
		.addr = le64toh(d.addr),
		.n_bytes = le32toh(d.n_bytes),
		.flags = le16toh(d.flags),
		.extra = le16toh(d.id),
	};
}

/* A table is read from its first descriptor to its last; NEXT means nothing in it. */
static int walk_table(struct vring *v, const struct vring_desc *d, bool writable, struct iovec *iov,
	unsigned int n_room, struct vring_chain *ret)
{
	unsigned int n;
	const uint8_t *table = vring_table(v, d, &n);
	struct vring_desc e;

	if (!table)
		return -EPROTO;
	for (unsigned int i = 0; i < n; i++) {
		desc_at(table + (size_t)i * DESC_BYTES, &e);
		if (e.flags & VRING_DESC_INDIRECT || vring_add_piece(v, &e, writable, iov, n_room, ret) < 0)
			return -EPROTO;
	}
	return 1;
}

static int packed_take(struct vring *v, bool writable, struct iovec *iov, unsigned int n_room, struct vring_chain *ret)
{
	struct vring_pos at = v->avail;
	struct vring_desc d;

	if (!is_available(v, &at))
		return 0;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (v->n_taken == v->num)
		return -EPROTO;
	*ret = (struct vring_chain){};
	do {
		if (ret->n_slots++ == v->num)
			return -EPROTO;
		desc_at(desc_of(v, at.index), &d);
		advance(v, &at, 1);
		if (d.flags & VRING_DESC_INDIRECT) {
			if (ret->n_slots > 1 || walk_table(v, &d, writable, iov, n_room, ret) < 0)
				return -EPROTO;
		} else if (vring_add_piece(v, &d, writable, iov, n_room, ret) < 0) {
			return -EPROTO;
		}
	} while (d.flags & VRING_DESC_NEXT);
	ret->id = d.extra;
	v->avail = at;
	v->n_taken++;
	return 1;
}

static uint16_t used_flags(bool wrap, uint32_t n_bytes)
{
	return (uint16_t)((wrap ? DESC_AVAIL | DESC_USED : 0) | (n_bytes ? VRING_DESC_WRITE : 0));
}

/* The flags of the first are written last: until then the driver sees none of them. */
static void packed_publish(struct vring *v)
{
	struct vring_pos first = v->used;

	for (unsigned int i = 0; i < v->n_used; i++) {
		const struct vring_used *u = &v->used_list[i];
		uint8_t *at = desc_of(v, v->used.index);
		uint32_t n_bytes = htole32(u->n_bytes);
		uint16_t id = htole16(u->id);

		memcpy(at + 8, &n_bytes, sizeof(n_bytes));
		memcpy(at + 12, &id, sizeof(id));
		vhost_mem_wrote(v->mem, at + 8, 6);
		if (i > 0)
			store(v, at + FLAGS_AT, used_flags(v->used.wrap, u->n_bytes));
		advance(v, &v->used, u->n_slots);
	}
	__atomic_thread_fence(__ATOMIC_RELEASE);
	store(v, desc_of(v, first.index) + FLAGS_AT, used_flags(first.wrap, v->used_list[0].n_bytes));
}

/* Moves on over what is available, at most limit descriptors. */
static unsigned int skip_available(const struct vring *v, struct vring_pos *at, unsigned int limit)
{
	unsigned int n = 0;

	while (n < MIN(limit, (unsigned int)v->num) && is_available(v, at)) {
		advance(v, at, 1);
		n++;
	}
	return n;
}

static unsigned int packed_n_avail(struct vring *v, unsigned int limit)
{
	struct vring_pos at = v->avail;

	return skip_available(v, &at, limit);
}

static uint16_t packed_event(const struct vring *v)
{
	return load(v->at.driver);
}

static bool packed_wants_call(struct vring *v)
{
	uint16_t before = v->signalled, now = v->used.index;
	bool first = !v->has_signalled;

	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* what is used is out before the driver's wish is read */
	uint16_t flags = load(v->at.driver + 2);

	v->signalled = now;
	v->has_signalled = true;
	if (flags != EVENT_DESC || !v->event_idx)
		return flags != EVENT_DISABLE;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	uint16_t event = v->asked = packed_event(v);
	uint16_t index = event & (uint16_t)~EVENT_WRAP;

	/* All three on one line that does not wrap: a lap earlier is num less. */
	if (now <= before)
		before = (uint16_t)(before - v->num);
	if (!!(event & EVENT_WRAP) != v->used.wrap)
		index = (uint16_t)(index - v->num);
	return first || (uint16_t)(now - index - 1) < (uint16_t)(now - before);
}

static void packed_want_kicks(struct vring *v)
{
	struct vring_pos end = v->avail;

	(void)skip_available(v, &end, v->num);
	if (v->event_idx) {
		store(v, v->at.device, (uint16_t)(end.index | (end.wrap ? EVENT_WRAP : 0)));
		__atomic_thread_fence(__ATOMIC_RELEASE);
		store(v, v->at.device + 2, EVENT_DESC);
	} else {
		store(v, v->at.device + 2, EVENT_ENABLE);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void packed_refuse_kicks(struct vring *v)
{
	store(v, v->at.device + 2, EVENT_DISABLE);
}

const struct vring_ops vring_packed_ops = {
	.sizes = packed_sizes,
	.start = packed_start,
	.base = packed_base,
	.take = packed_take,
	.publish = packed_publish,
	.n_avail = packed_n_avail,
	.wants_call = packed_wants_call,
	.event = packed_event,
	.want_kicks = packed_want_kicks,
	.refuse_kicks = packed_refuse_kicks,
};
