/* SPDX-License-Identifier: BSD-2-Clause */
/* The Internet checksum (RFC 1071): partial sums in any order, folded once. Sums are of 16-bit words as
 * they lie in memory, so a folded sum is stored as it is, without a byte swap. */
#pragma once

#include <sys/uio.h>

#include "addr.h"

/* Adds n bytes to a partial sum; all pieces but the last must be of even length. */
uint64_t csum_add(const void *p, size_t n_bytes, uint64_t sum);

/* Adds n_bytes of a vector, beginning offset bytes into it; pieces may be of any length. */
uint64_t csum_add_iov(const struct iovec *iov, unsigned int n_iov, size_t offset, size_t n_bytes, uint64_t sum);

/* The pseudo-header of RFC 9293, 3.1 (IPv4) or RFC 8200, 8.1 (IPv6). */
uint64_t csum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint8_t proto, uint32_t l4_bytes);

/* Folded but not inverted: what CHECKSUM_PARTIAL leaves in the checksum field. */
static inline uint16_t csum_fold_partial(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline uint16_t csum_fold(uint64_t sum)
{
	return (uint16_t)~csum_fold_partial(sum);
}
