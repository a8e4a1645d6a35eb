/* SPDX-License-Identifier: BSD-2-Clause */
/* Split rings (virtio 1.2, 2.7): a table of descriptors linked by number, a ring of the heads that the driver
 * made available, and a ring of those that were used. Indexes run over 16 bits and are taken modulo the
 * size. */
#include <endian.h>

#include "vring.h"

#define DESC_BYTES      16
#define AVAIL_NO_CALL   1u /* avail.flags */
#define USED_NO_KICK    1u /* used.flags */
#define RING_HEAD_BYTES 4  /* flags and index, before the entries of either ring */
#define AVAIL_BYTES     2
#define USED_BYTES      8

static uint16_t load(const uint8_t *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_RELAXED));
}

static void store(struct vring *v, uint8_t *p, uint16_t value)
{
	__atomic_store_n((uint16_t *)(void *)p, htole16(value), __ATOMIC_RELAXED);
	vhost_mem_wrote(v->mem, p, sizeof(value));
}

static const uint8_t *used_event(const struct vring *v)
{
	return v->at.driver + RING_HEAD_BYTES + (size_t)v->num * AVAIL_BYTES;
}

static uint8_t *avail_event(const struct vring *v)
{
	return v->at.device + RING_HEAD_BYTES + (size_t)v->num * USED_BYTES;
}

/* The last two bytes of either ring are there only with EVENT_IDX, but every driver lays them out. */
static void split_sizes(uint16_t num, size_t *ret_desc, size_t *ret_driver, size_t *ret_device)
{
	*ret_desc = (size_t)num * DESC_BYTES;
	*ret_driver = RING_HEAD_BYTES + (size_t)num * AVAIL_BYTES + 2;
	*ret_device = RING_HEAD_BYTES + (size_t)num * USED_BYTES + 2;
}

/* What an earlier device took and did not use is taken again: the used index says how far it came. */
static int split_start(struct vring *v, uint32_t base)
{
	(void)base;
	v->used = v->avail = (struct vring_pos){.index = load(v->at.device + 2)};
	v->avail_end = v->avail.index;
	return 0;
}

static uint32_t split_base(const struct vring *v)
{
	return v->used.index;
}

/* Looks how far the driver has come: not beyond what the ring holds besides the buffers that were taken. */
static int refresh(struct vring *v)
{
	uint16_t end = load(v->at.driver + 2);

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if ((uint16_t)(end - v->avail.index) > v->num - v->n_taken)
		return -EPROTO;
	v->avail_end = end;
	return 0;
}

static void desc_at(const uint8_t *table, unsigned int i, struct vring_desc *ret)
{
	vring_copy(ret, table + (size_t)i * DESC_BYTES, DESC_BYTES);
	ret->addr = le64toh(ret->addr);
	ret->n_bytes = le32toh(ret->n_bytes);
	ret->flags = le16toh(ret->flags);
	ret->extra = le16toh(ret->extra);
}

static int walk(struct vring *v, uint16_t head, bool writable, struct iovec *iov, unsigned int n_room,
	struct vring_chain *ret)
{
	const uint8_t *table = v->at.desc;
	unsigned int i = head, n_table = v->num, n_left = v->num;
	bool in_table = false;
	struct vring_desc d;

	for (;;) {
		if (i >= n_table || n_left-- == 0)
			return -EPROTO; /* a number out of range, or a loop */
		desc_at(table, i, &d);
		if (d.flags & VRING_DESC_INDIRECT) {
			if (in_table)
				return -EPROTO;
			in_table = true; /* and not by its place: it may lie over the ring itself */
			table = vring_table(v, &d, &n_table);
			if (!table)
				return -EPROTO;
			n_left = n_table;
			i = 0;
			continue;
		}
		if (vring_add_piece(v, &d, writable, iov, n_room, ret) < 0)
			return -EPROTO;
		if (!(d.flags & VRING_DESC_NEXT))
			return 1;
		i = d.extra;
	}
}

static int split_take(struct vring *v, bool writable, struct iovec *iov, unsigned int n_room, struct vring_chain *ret)
{
	if (v->avail.index == v->avail_end) {
		int r = refresh(v);

		if (r < 0 || v->avail.index == v->avail_end)
			return r;
	}
	uint16_t head = load(v->at.driver + RING_HEAD_BYTES + (size_t)(v->avail.index & (v->num - 1)) * AVAIL_BYTES);

	*ret = (struct vring_chain){.id = head, .n_slots = 1};
	int r = walk(v, head, writable, iov, n_room, ret);
	if (r > 0) {
		v->avail.index++;
		v->n_taken++;
	}
	return r;
}

static void split_publish(struct vring *v)
{
	for (unsigned int i = 0; i < v->n_used; i++) {
		uint8_t *at = v->at.device + RING_HEAD_BYTES + (size_t)(v->used.index & (v->num - 1)) * USED_BYTES;
		uint32_t entry[2] = {htole32(v->used_list[i].id), htole32(v->used_list[i].n_bytes)};

		memcpy(at, entry, sizeof(entry));
		vhost_mem_wrote(v->mem, at, sizeof(entry));
		v->used.index++;
	}
	__atomic_thread_fence(__ATOMIC_RELEASE);
	store(v, v->at.device + 2, v->used.index);
}

static unsigned int split_n_avail(struct vring *v, unsigned int limit)
{
	if ((uint16_t)(v->avail_end - v->avail.index) < limit)
		(void)refresh(v);
	return MIN((unsigned int)(uint16_t)(v->avail_end - v->avail.index), limit);
}

/* Whether going from before to now passed the event. */
static bool passed(uint16_t event, uint16_t now, uint16_t before)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

static uint16_t split_event(const struct vring *v)
{
	return load(used_event(v));
}

static bool split_wants_call(struct vring *v)
{
	uint16_t before = v->signalled;
	bool first = !v->has_signalled;

	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* the used index is out before the driver's wish is read */
	v->signalled = v->used.index;
	v->has_signalled = true;
	if (v->event_idx) {
		v->asked = split_event(v);
		return first || passed(v->asked, v->used.index, before);
	}
	return !(load(v->at.driver) & AVAIL_NO_CALL);
}

static void split_want_kicks(struct vring *v)
{
	(void)refresh(v); /* a driver that is beyond repair is found out by the next take */
	if (v->event_idx)
		store(v, avail_event(v), v->avail_end);
	else
		store(v, v->at.device, 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* With EVENT_IDX the event lies behind from now on, and is not passed again. */
static void split_refuse_kicks(struct vring *v)
{
	if (!v->event_idx)
		store(v, v->at.device, USED_NO_KICK);
}

const struct vring_ops vring_split_ops = {
	.sizes = split_sizes,
	.start = split_start,
	.base = split_base,
	.take = split_take,
	.publish = split_publish,
	.n_avail = split_n_avail,
	.wants_call = split_wants_call,
	.event = split_event,
	.want_kicks = split_want_kicks,
	.refuse_kicks = split_refuse_kicks,
};
