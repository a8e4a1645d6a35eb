/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything that a simulation leaves to chance comes from one seed (splitmix64, Steele and others 2014),
 * and so do the bytes that it transfers: byte n of a stream is a function of the stream's seed and n, so
 * that either end can make or check any part of it without keeping any. */
#pragma once

#include "util.h"

struct rng {
	uint64_t state;
};

static inline uint64_t rng_mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline uint64_t rng_next(struct rng *r)
{
	r->state += 0x9e3779b97f4a7c15u;
	return rng_mix(r->state);
}

/* 0 to n - 1; n is not 0. */
static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)(((rng_next(r) >> 32) * n) >> 32);
}

static inline bool rng_chance(struct rng *r, unsigned int per_mille)
{
	return per_mille && rng_below(r, 1000) < per_mille;
}

static inline uint64_t stream_word(uint64_t seed, uint64_t i)
{
	return rng_mix(seed + i * 0x9e3779b97f4a7c15u);
}

static inline uint8_t stream_byte(uint64_t seed, uint64_t offset)
{
	return (uint8_t)(stream_word(seed, offset / 8) >> (offset % 8 * 8));
}

static inline void stream_fill(uint64_t seed, uint64_t offset, void *ret, size_t n)
{
	uint8_t *p = ret;

	for (; n && offset % 8; n--)
		*p++ = stream_byte(seed, offset++);
	for (; n >= 8; n -= 8, p += 8, offset += 8) {
		uint64_t w = stream_word(seed, offset / 8);

		memcpy(p, &w, 8);
	}
	for (; n; n--)
		*p++ = stream_byte(seed, offset++);
}

/* How many of the n bytes are those of the stream from offset on, before the first that is not. */
static inline size_t stream_match(uint64_t seed, uint64_t offset, const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t i = 0;

	for (; i < n && (offset + i) % 8; i++)
		if (p[i] != stream_byte(seed, offset + i))
			return i;
	for (; n - i >= 8; i += 8) {
		uint64_t w = stream_word(seed, (offset + i) / 8);

		if (memcmp(p + i, &w, 8))
			break;
	}
	while (i < n && p[i] == stream_byte(seed, offset + i))
		i++;
	return i;
}
