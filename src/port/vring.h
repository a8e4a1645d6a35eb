/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's side of one virtqueue in guest memory, split or packed (virtio 1.2, 2.7 and 2.8).
 *
 * The driver is hostile, and changes what it likes while we read: each descriptor is copied out once, and
 * each address looked up in the regions once. What no driver may do is -EPROTO, and nothing of the ring may
 * be used after that but vring_base().
 *
 * Buffers are taken in the ring's order and given back in that order too (`used`), which is what lets a ring
 * be taken up again after a device was lost: what was taken and not used is taken once more.
 *
 * vring_use() and vring_undo() concern this side only; the driver sees nothing before vring_publish(). So a
 * frame of many buffers, or of many frames, is either there as a whole or not at all. */
#pragma once

#include "vhost_mem.h"

#define VRING_NUM_MAX   1024 /* QEMU's limit too */
#define VRING_CHAIN_MAX 1024 /* descriptors of one buffer, those of its table included */

/* Where the next buffer is taken. */
struct vring_pos {
	uint16_t index;
	bool wrap; /* of a packed ring */
};

/* A buffer that was taken: the bytes of one chain of descriptors. */
struct vring_chain {
	uint16_t id;
	uint16_t n_slots; /* of the ring */
	unsigned int n_iov; /* pieces; more than there was room for: those beyond were not stored */
	size_t n_bytes;
};

struct vring_used {
	uint16_t id, n_slots;
	uint32_t n_bytes; /* written into it */
};

struct vring_addrs {
	uint8_t *desc, *driver, *device; /* the last two: avail and used ring, or event suppression */
};

struct vring;

struct vring_ops {
	/* Bytes of each area. */
	void (*sizes)(uint16_t num, size_t *ret_desc, size_t *ret_driver, size_t *ret_device);
	int (*start)(struct vring *v, uint32_t base);
	uint32_t (*base)(const struct vring *v);
	int (*take)(struct vring *v, bool writable, struct iovec *iov, unsigned int n_room, struct vring_chain *ret);
	void (*publish)(struct vring *v);
	unsigned int (*n_avail)(struct vring *v, unsigned int limit);
	bool (*wants_call)(struct vring *v);
	uint16_t (*event)(const struct vring *v); /* the driver's, as it stands */
	void (*want_kicks)(struct vring *v);
	void (*refuse_kicks)(struct vring *v);
};

extern const struct vring_ops vring_split_ops, vring_packed_ops;

struct vring {
	const struct vring_ops *ops;
	struct vhost_mem *mem;
	struct vring_addrs at;
	uint16_t num;
	bool event_idx, indirect;
	bool kicks;           /* the driver was asked to notify us */
	bool has_signalled;   /* else the first notification is sent in any case */
	uint16_t signalled;   /* `used` at the last */
	uint16_t asked;       /* the driver's event then */
	struct vring_pos avail;
	struct vring_pos used; /* what is published */
	uint16_t avail_end;   /* split: the driver's index as last read */
	unsigned int n_taken; /* and not published */
	unsigned int n_used;  /* of those, used */
	struct vring_used used_list[VRING_NUM_MAX];
};

struct vring_config {
	struct vhost_mem *mem;
	bool packed, event_idx, indirect;
	uint16_t num;
	uint64_t desc_user, driver_user, device_user; /* addresses of the front end */
	uint32_t base; /* as in SET_VRING_BASE */
};

/* 0; -EINVAL: a size or an alignment that no ring has; -EFAULT: not in memory. The config's memory stays
 * where it is as long as the ring is used. */
int vring_start(struct vring *v, const struct vring_config *c);
/* The regions have changed: looks the areas up again. 0 or as vring_start(), and then the ring is over. */
int vring_remap(struct vring *v, const struct vring_config *c);

/* Where a later device goes on, as in SET_VRING_BASE. Nothing may be taken and not published. */
static inline uint32_t vring_base(const struct vring *v)
{
	return v->ops->base(v);
}

/* The next buffer, for us to write or to read. Its first n_room pieces are stored to iov.
 * 1; 0: there is none; -EPROTO. */
static inline int vring_take(
	struct vring *v, bool writable, struct iovec *iov, unsigned int n_room, struct vring_chain *ret)
{
	return v->ops->take(v, writable, iov, n_room, ret);
}

/* A point to which vring_undo() goes back. Not across vring_publish(). */
struct vring_mark {
	struct vring_pos avail;
	unsigned int n_taken, n_used;
};

static inline struct vring_mark vring_mark(const struct vring *v)
{
	return (struct vring_mark){v->avail, v->n_taken, v->n_used};
}

/* Places of the ring that were taken since, in the unit of vring_n_avail(). */
static inline unsigned int vring_n_since(const struct vring *v, const struct vring_mark *m)
{
	uint16_t n = (uint16_t)(v->avail.index - m->avail.index);

	return v->avail.wrap == m->avail.wrap ? n : (uint16_t)(n + v->num);
}

static inline void vring_undo(struct vring *v, const struct vring_mark *m)
{
	v->avail = m->avail;
	v->n_taken = m->n_taken;
	v->n_used = m->n_used;
}

/* The oldest buffer that was taken is done with; n_bytes were written to it. */
static inline void vring_use(struct vring *v, const struct vring_chain *c, size_t n_bytes)
{
	v->used_list[v->n_used++] = (struct vring_used){c->id, c->n_slots, (uint32_t)n_bytes};
}

/* Shows the driver what was used since. */
static inline void vring_publish(struct vring *v)
{
	if (v->n_used) {
		v->ops->publish(v);
		v->n_taken -= v->n_used;
		v->n_used = 0;
	}
}

/* How many buffers there are to take, as far as that can be told without looking into them; counts up to
 * limit. For a packed ring descriptors are counted. */
static inline unsigned int vring_n_avail(struct vring *v, unsigned int limit)
{
	return v->ops->n_avail(v, limit);
}

/* Whether the driver wants to hear of what was published since this last said so. */
static inline bool vring_wants_call(struct vring *v)
{
	return v->ops->wants_call(v);
}

/* Whether the driver has looked since vring_wants_call() last said so, as far as that shows: it then asks for the next
 * notification at another place. */
static inline bool vring_has_looked(const struct vring *v)
{
	return !v->event_idx || v->ops->event(v) != v->asked;
}

/* Asks for a notification when a buffer is added to those there are now. Which those are is to be looked at
 * after it: of what came since an earlier look nothing is said. */
static inline void vring_want_kicks(struct vring *v)
{
	v->kicks = true;
	v->ops->want_kicks(v);
}

static inline void vring_refuse_kicks(struct vring *v)
{
	if (v->kicks)
		v->ops->refuse_kicks(v);
	v->kicks = false;
}

/* For vring_split.c and vring_packed.c. */

#define VRING_DESC_NEXT     1u
#define VRING_DESC_WRITE    2u
#define VRING_DESC_INDIRECT 4u

struct vring_desc {
	uint64_t addr;
	uint32_t n_bytes;
	uint16_t flags;
	uint16_t extra; /* split: next; packed: id */
};

/* One descriptor that is no table. 0 or -EPROTO. */
int vring_add_piece(struct vring *v, const struct vring_desc *d, bool writable, struct iovec *iov,
	unsigned int n_room, struct vring_chain *c);
/* The table that d names: where, and the number of its descriptors. NULL: none that a driver may give. */
const uint8_t *vring_table(struct vring *v, const struct vring_desc *d, unsigned int *ret_n);

/* Bytes of the guest's, copied once: nothing is read again through the pointer. */
static inline void vring_copy(void *to, const void *from, size_t n)
{
	__asm__ volatile("" : : : "memory");
	memcpy(to, from, n);
	__asm__ volatile("" : : : "memory");
}
