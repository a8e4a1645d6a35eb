/* SPDX-License-Identifier: BSD-2-Clause */
#include "csum.h"

uint64_t csum_add(const void *data, size_t n, uint64_t sum)
{
	const uint8_t *p = data;
	uint64_t a = 0, b = 0, c = 0, d = 0;

	/* 32-bit words into 64-bit sums: 2^32 words may be added before a carry is lost. */
	for (; n >= 16; n -= 16, p += 16) {
		uint32_t w[4];

		memcpy(w, p, 16);
		a += w[0];
		b += w[1];
		c += w[2];
		d += w[3];
	}
	for (; n >= 4; n -= 4, p += 4) {
		uint32_t w;

		memcpy(&w, p, 4);
		a += w;
	}
	if (n >= 2) {
		uint16_t w;

		memcpy(&w, p, 2);
		b += w;
		p += 2;
		n -= 2;
	}
	if (n) {
		uint16_t w = 0;

		memcpy(&w, p, 1);
		c += w;
	}
	a += b;
	c += d;
	a = (a & 0xffffffff) + (a >> 32) + (c & 0xffffffff) + (c >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return sum + a;
}

uint64_t csum_add_iov(const struct iovec *iov, unsigned int n_iov, size_t offset, size_t n, uint64_t sum)
{
	bool odd = false;

	for (unsigned int i = 0; i < n_iov && n; i++) {
		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		const uint8_t *p = (const uint8_t *)iov[i].iov_base + offset;
		size_t take = MIN(iov[i].iov_len - offset, n);
		uint16_t part = csum_fold_partial(csum_add(p, take, 0));

		sum += odd ? (uint16_t)(part << 8 | part >> 8) : part; /* RFC 1071, 2 (B) */
		odd ^= take & 1;
		n -= take;
		offset = 0;
	}
	return sum;
}

uint64_t csum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint8_t proto, uint32_t l4_bytes)
{
	uint64_t sum = (uint64_t)htons(proto) + htonl(l4_bytes);

	if (ip_addr_is4(src))
		return sum + src->w_be[3] + dst->w_be[3];
	for (int i = 0; i < 4; i++)
		sum += (uint64_t)src->w_be[i] + dst->w_be[i];
	return sum;
}
