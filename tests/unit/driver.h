/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtqueue as a guest's driver has it, split or packed, written after the same chapters as the device's
 * side (virtio 1.2, 2.7 and 2.8) but sharing nothing with it: for tests.
 *
 * A guest's memory is one file. Its bytes have three addresses: the test's own, the guest's (GUEST_AT) and
 * the front end's (USER_AT). */
#pragma once

#include <stdlib.h>
#include <sys/mman.h>

#include "util.h"

#define GUEST_AT    0x40000000u
#define USER_AT     0x7f0000000000u
#define GUEST_BYTES (4u << 20)

#define DRIVER_NUM_MAX 256

struct guest_memory {
	uint8_t *at;
	int fd;
};

static inline void guest_memory_new(struct guest_memory *g)
{
	g->fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(g->fd >= 0);
	assert_int_equal(ftruncate(g->fd, GUEST_BYTES), 0);
	g->at = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	assert_true(g->at != MAP_FAILED);
}

static inline void guest_memory_done(struct guest_memory *g)
{
	(void)munmap(g->at, GUEST_BYTES);
	util_close(&g->fd);
}

/* A piece of a buffer: offset in the guest's memory. */
struct piece {
	uint32_t at, n;
};

struct driver {
	uint8_t *mem;
	bool packed, event_idx, indirect;
	uint16_t num;
	uint32_t desc, avail, used; /* areas, as offsets: of a packed ring the last two are the events */
	uint32_t tables;            /* of DRIVER_NUM_MAX * 32 descriptors */
	uint16_t n_free;            /* descriptors of the ring */
	uint16_t next;              /* where the next is made available */
	bool wrap;
	uint16_t seen; /* used entries that were taken back: split an index, packed a place */
	bool seen_wrap;
	uint16_t kicked;         /* `next` at the last look whether a kick is wanted */
	uint16_t n_slots[DRIVER_NUM_MAX]; /* of each buffer, by id; 0: the id is free */
	uint16_t head[DRIVER_NUM_MAX];    /* split: where free descriptors start */
};

static inline void put16(uint8_t *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)p, v, __ATOMIC_SEQ_CST);
}

static inline uint16_t get16(const uint8_t *p)
{
	return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_SEQ_CST);
}

static inline void put_desc(uint8_t *p, uint64_t addr, uint32_t n, uint16_t a, uint16_t b)
{
	memcpy(p, &addr, 8);
	memcpy(p + 8, &n, 4);
	memcpy(p + 12, &a, 2);
	put16(p + 14, b);
}

/* The ring lies at offset `at` and takes up to 160 KiB there. */
static inline void driver_init(struct driver *d, uint8_t *mem, uint32_t at, uint16_t num, bool packed, bool event_idx,
	bool indirect)
{
	*d = (struct driver){.mem = mem,
		.packed = packed,
		.event_idx = event_idx,
		.indirect = indirect,
		.num = num,
		.n_free = num,
		.desc = at,
		.avail = at + 8192,
		.used = at + 12288,
		.tables = at + 16384,
		.wrap = true,
		.seen_wrap = true};
	memset(mem + at, 0, 16384);
}

static inline uint8_t *driver_desc(const struct driver *d, unsigned int i)
{
	return d->mem + d->desc + (size_t)i * 16;
}

static inline unsigned int driver_put_table(struct driver *d, unsigned int id, const struct piece *pieces, unsigned int n,
	uint16_t write)
{
	uint8_t *t = d->mem + d->tables + (size_t)id * 512;

	assert_true(n <= 32);
	for (unsigned int i = 0; i < n; i++) {
		uint16_t flags = (uint16_t)(write | (!d->packed && i + 1 < n ? 1 : 0));

		put_desc(t + (size_t)i * 16, GUEST_AT + pieces[i].at, pieces[i].n, d->packed ? 0 : flags,
			d->packed ? flags : (uint16_t)(i + 1));
	}
	return d->tables + id * 512;
}

static inline void driver_add_split(struct driver *d, unsigned int id, const struct piece *pieces, unsigned int n,
	uint16_t write)
{
	if (d->indirect) {
		unsigned int table = driver_put_table(d, id, pieces, n, write);

		put_desc(driver_desc(d, id), GUEST_AT + table, n * 16, 4, 0);
	} else {
		for (unsigned int i = 0; i < n; i++)
			put_desc(driver_desc(d, (id + i) % d->num), GUEST_AT + pieces[i].at, pieces[i].n,
				(uint16_t)(write | (i + 1 < n ? 1 : 0)), (uint16_t)((id + i + 1) % d->num));
	}
	put16(d->mem + d->avail + 4 + 2 * (d->next % d->num), (uint16_t)id);
	put16(d->mem + d->avail + 2, ++d->next);
}

static inline void driver_add_packed(struct driver *d, unsigned int id, const struct piece *pieces, unsigned int n,
	uint16_t write)
{
	uint16_t first_flags = 0, first = d->next;
	unsigned int slots = d->indirect ? 1 : n;

	for (unsigned int i = 0; i < slots; i++) {
		uint16_t flags = (uint16_t)((d->wrap ? 1 << 7 : 1 << 15) | (d->indirect ? 4 : write) |
					    (i + 1 < slots ? 1 : 0));
		uint64_t addr = GUEST_AT + pieces[i].at;
		uint32_t n_bytes = pieces[i].n;

		if (d->indirect) {
			addr = GUEST_AT + driver_put_table(d, id, pieces, n, write);
			n_bytes = n * 16;
		}
		put_desc(driver_desc(d, d->next), addr, n_bytes, (uint16_t)id,
			i ? flags : (uint16_t)(flags ^ (1 << 7 | 1 << 15)));
		if (i == 0)
			first_flags = flags;
		if (++d->next == d->num) {
			d->next = 0;
			d->wrap = !d->wrap;
		}
	}
	put16(driver_desc(d, first) + 14, first_flags);
}

/* Makes a buffer available; its id, or -1 when the ring is full. Buffers come back in order. */
static inline int driver_add(struct driver *d, const struct piece *pieces, unsigned int n, bool write)
{
	unsigned int slots = d->indirect ? 1 : n;
	/* The place it takes serves as its number. */
	unsigned int id = d->packed ? d->next : (unsigned int)(uint16_t)(d->head[0]) % d->num;

	if (slots > d->n_free)
		return -1;
	assert_int_equal(d->n_slots[id], 0);
	if (d->packed)
		driver_add_packed(d, id, pieces, n, write ? 2 : 0);
	else
		driver_add_split(d, id, pieces, n, write ? 2 : 0);
	d->head[0] = (uint16_t)((id + slots) % d->num);
	d->n_slots[id] = (uint16_t)slots;
	d->n_free = (uint16_t)(d->n_free - slots);
	return (int)id;
}

/* The next used buffer, or -1. */
static inline int driver_used(struct driver *d, uint32_t *ret_n)
{
	uint32_t id, n;

	if (d->packed) {
		const uint8_t *p = driver_desc(d, d->seen);
		uint16_t flags = get16(p + 14), id16;

		if (!!(flags & 1 << 7) != d->seen_wrap || !!(flags & 1 << 15) != d->seen_wrap)
			return -1;
		memcpy(&n, p + 8, 4);
		memcpy(&id16, p + 12, 2);
		id = id16;
		assert_true(id < d->num && d->n_slots[id]);
		assert_int_equal(!!(flags & 2), n != 0);
		d->seen = (uint16_t)(d->seen + d->n_slots[id]);
		if (d->seen >= d->num) {
			d->seen = (uint16_t)(d->seen - d->num);
			d->seen_wrap = !d->seen_wrap;
		}
	} else {
		if (get16(d->mem + d->used + 2) == d->seen)
			return -1;
		const uint8_t *p = d->mem + d->used + 4 + (size_t)(d->seen % d->num) * 8;

		memcpy(&id, p, 4);
		memcpy(&n, p + 4, 4);
		assert_true(id < d->num && d->n_slots[id]);
		d->seen++;
	}
	d->n_free = (uint16_t)(d->n_free + d->n_slots[id]);
	d->n_slots[id] = 0;
	if (ret_n)
		*ret_n = n;
	return (int)id;
}

/* Whether the device is to be told of what was added since the last time this was asked. */
static inline bool driver_wants_kick(struct driver *d)
{
	uint16_t before = d->kicked, now = d->next;

	d->kicked = now;
	if (!d->packed && d->event_idx) {
		uint16_t event = get16(d->mem + d->used + 4 + 8 * d->num);

		return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
	}
	if (!d->packed)
		return !(get16(d->mem + d->used) & 1);
	uint16_t flags = get16(d->mem + d->used + 2), event = get16(d->mem + d->used);

	if (flags != 2)
		return flags == 0;
	int end = now, start = before, at = event & 0x7fff;

	if (end <= start)
		start -= d->num;
	if (!!(event & 0x8000) != d->wrap)
		at -= d->num;
	return at >= start && at < end;
}

/* Asks to be told of the next used buffer, or not to be told. */
static inline void driver_want_calls(struct driver *d, bool want)
{
	if (d->packed) {
		put16(d->mem + d->avail, (uint16_t)(d->seen | (d->seen_wrap ? 0x8000 : 0)));
		put16(d->mem + d->avail + 2, want ? (d->event_idx ? 2 : 0) : 1);
	} else if (d->event_idx) {
		/* Without a wish the event lies behind. */
		put16(d->mem + d->avail + 4 + 2 * d->num, want ? d->seen : (uint16_t)(d->seen - 1));
	} else {
		put16(d->mem + d->avail, want ? 0 : 1);
	}
}
