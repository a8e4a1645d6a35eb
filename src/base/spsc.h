/* SPDX-License-Identifier: BSD-2-Clause */
/* The indexes of a ring with one producer and one consumer, each a thread of its own, without a lock: its
 * entries are arrays of the caller's (spsc_place() says where).
 *
 * An entry is the producer's until it is put, the consumer's until it is taken, and then the producer's again,
 * who may look at it before its place is used anew (reap): so what was lent in it comes back on the same ring,
 * in order. Positions run over 32 bits. */
#pragma once

#include "util.h"

#define SPSC_LINE_BYTES 64 /* so that neither side's stores disturb the other's */

struct spsc {
	/* The producer's. */
	uint32_t put __attribute__((aligned(SPSC_LINE_BYTES)));
	uint32_t reaped;
	/* The consumer's. */
	uint32_t taken __attribute__((aligned(SPSC_LINE_BYTES)));
	uint32_t size; /* power of two, and never changes */
};

static inline void spsc_init(struct spsc *q, uint32_t size)
{
	*q = (struct spsc){.size = size};
}

static inline uint32_t spsc_place(const struct spsc *q, uint32_t position)
{
	return position & (q->size - 1);
}

/* The producer's side. */

static inline uint32_t spsc_room(const struct spsc *q)
{
	return q->size - (q->put - q->reaped);
}

/* The place of the next entry; there must be room. It is put once it is filled. */
static inline uint32_t spsc_next(const struct spsc *q)
{
	return spsc_place(q, q->put);
}

static inline void spsc_put(struct spsc *q)
{
	__atomic_store_n(&q->put, q->put + 1, __ATOMIC_RELEASE);
}

/* How many entries have been taken and not been reaped; they begin at q->reaped. */
static inline uint32_t spsc_n_back(const struct spsc *q)
{
	return __atomic_load_n(&q->taken, __ATOMIC_ACQUIRE) - q->reaped;
}

static inline void spsc_reap(struct spsc *q, uint32_t n)
{
	q->reaped += n;
}

/* The consumer's side. */

/* How many entries there are; they begin at q->taken. */
static inline uint32_t spsc_n(const struct spsc *q)
{
	return __atomic_load_n(&q->put, __ATOMIC_ACQUIRE) - q->taken;
}

static inline void spsc_take(struct spsc *q, uint32_t n)
{
	__atomic_store_n(&q->taken, q->taken + n, __ATOMIC_RELEASE);
}
