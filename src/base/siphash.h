/* SPDX-License-Identifier: BSD-2-Clause */
/* SipHash-2-4 (Aumasson, Bernstein 2012): a keyed hash for tables whose keys a guest chooses, and for
 * initial sequence numbers (RFC 9293, 3.4.1). */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k[2];
};

/* A key from the kernel's random source; must be called before a sandbox forbids it. 0 or -errno. */
int siphash_key_init(struct siphash_key *ret);

uint64_t siphash(const struct siphash_key *key, const void *data, size_t n_bytes);
