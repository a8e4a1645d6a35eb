/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "csum.h"

static uint32_t seed = 1;

static uint32_t random_u32(void)
{
	seed = seed * 1664525u + 1013904223u;
	return seed >> 8 | seed << 24;
}

static void fill_random(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(random_u32() >> 16);
}

/* RFC 1071, 1, to the letter: 16-bit big-endian words, the carry added at once. */
static uint16_t slow_sum(const uint8_t *p, size_t n, uint16_t start)
{
	uint32_t sum = start;

	for (size_t i = 0; i < n; i += 2) {
		sum += (uint32_t)(p[i] << 8 | (i + 1 < n ? p[i + 1] : 0));
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

/* 0 and 0xffff are the same number in ones' complement. */
static void assert_sum_equal(uint16_t a, uint16_t b)
{
	assert_int_equal(a % 0xffff, b % 0xffff);
}

static void test_example_of_rfc1071(void **state)
{
	const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	assert_int_equal(ntohs(csum_fold_partial(csum_add(bytes, sizeof(bytes), 0))), 0xddf2);
	assert_int_equal(ntohs(csum_fold(csum_add(bytes, sizeof(bytes), 0))), (uint16_t)~0xddf2);
}

static void test_every_length_and_alignment(void **state)
{
	uint8_t bytes[600];

	fill_random(bytes, sizeof(bytes));
	for (size_t n = 0; n < 550; n++)
		for (size_t at = 0; at < 8; at++)
			assert_sum_equal(ntohs(csum_fold_partial(csum_add(bytes + at, n, 0))),
					slow_sum(bytes + at, n, 0));
}

static void test_carries_are_kept(void **state)
{
	static uint8_t ones[65536];
	uint64_t sum = 0;

	memset(ones, 0xff, sizeof(ones));
	/* Far more than a super-frame: a carry out of 32 bits would be lost here. */
	for (int i = 0; i < 100; i++)
		sum = csum_add(ones, sizeof(ones), sum);
	assert_int_equal(csum_fold_partial(sum), 0xffff);
	assert_int_equal(csum_fold_partial(UINT64_MAX), 0xffff);
	sum = csum_add(ones, 1, csum_add(ones, 65534, UINT32_MAX));
	assert_sum_equal(ntohs(csum_fold_partial(sum)), 0xff00);
}

static void test_a_right_checksum_folds_to_zero(void **state)
{
	uint8_t bytes[64];

	fill_random(bytes, sizeof(bytes));
	memset(bytes + 10, 0, 2);
	uint16_t sum = csum_fold(csum_add(bytes, sizeof(bytes), 0));
	memcpy(bytes + 10, &sum, 2);
	assert_int_equal(csum_fold(csum_add(bytes, sizeof(bytes), 0)), 0);
	bytes[20] ^= 1;
	assert_int_not_equal(csum_fold(csum_add(bytes, sizeof(bytes), 0)), 0);
}

static void test_vectors_of_odd_pieces(void **state)
{
	uint8_t bytes[512];

	fill_random(bytes, sizeof(bytes));
	for (int round = 0; round < 2000; round++) {
		struct iovec iov[16];
		size_t at = 0;
		unsigned int n = 0;

		while (n < ARRAY_SIZE(iov) && at < sizeof(bytes)) {
			size_t take = MIN((size_t)(random_u32() % 70), sizeof(bytes) - at);
			iov[n++] = (struct iovec){bytes + at, take};
			at += take;
		}
		size_t offset = random_u32() % (at + 1);
		size_t length = random_u32() % (at - offset + 1);
		uint16_t start = (uint16_t)random_u32();
		uint16_t sum = csum_fold_partial(csum_add_iov(iov, n, offset, length, htons(start)));
		assert_sum_equal(ntohs(sum), slow_sum(bytes + offset, length, start));
	}
}

static void test_pseudo_header_of_ip4(void **state)
{
	struct ip_addr src = ip_addr_from4(inet_addr("10.0.2.15"));
	struct ip_addr dst = ip_addr_from4(inet_addr("192.168.255.1"));
	const uint8_t header[] = {10, 0, 2, 15, 192, 168, 255, 1, 0, 6, 0x12, 0x34};

	uint16_t sum = csum_fold_partial(csum_pseudo(&src, &dst, 6, 0x1234));
	assert_sum_equal(ntohs(sum), slow_sum(header, sizeof(header), 0));
}

static void test_pseudo_header_of_ip6(void **state)
{
	struct ip_addr src, dst;
	uint8_t header[40] = {};

	fill_random(header, 32);
	memcpy(&src, header, 16);
	memcpy(&dst, header + 16, 16);
	/* RFC 8200, 8.1: a length of four bytes, three zeroes, the next header. */
	header[33] = 0x01;
	header[35] = 0x07;
	header[39] = 17;
	uint16_t sum = csum_fold_partial(csum_pseudo(&src, &dst, 17, 0x10007));
	assert_sum_equal(ntohs(sum), slow_sum(header, sizeof(header), 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example_of_rfc1071),
		cmocka_unit_test(test_every_length_and_alignment),
		cmocka_unit_test(test_carries_are_kept),
		cmocka_unit_test(test_a_right_checksum_folds_to_zero),
		cmocka_unit_test(test_vectors_of_odd_pieces),
		cmocka_unit_test(test_pseudo_header_of_ip4),
		cmocka_unit_test(test_pseudo_header_of_ip6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
