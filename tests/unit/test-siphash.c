/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "siphash.h"
#include "util.h"

/* From "SipHash: a fast short-input PRF", appendix A, and the table that its authors publish with the
 * reference code: key 00 01 .. 0f, input 00 01 .. n-1, output as the eight bytes of vectors_sip64. */
static const struct {
	size_t n_bytes;
	uint8_t hash[8];
} vectors[] = {
	{0, {0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72}},
	{1, {0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74}},
	{2, {0x5a, 0x4f, 0xa9, 0xd9, 0x09, 0x80, 0x6c, 0x0d}},
	{3, {0x2d, 0x7e, 0xfb, 0xd7, 0x96, 0x66, 0x67, 0x85}},
	{4, {0xb7, 0x87, 0x71, 0x27, 0xe0, 0x94, 0x27, 0xcf}},
	{5, {0x8d, 0xa6, 0x99, 0xcd, 0x64, 0x55, 0x76, 0x18}},
	{6, {0xce, 0xe3, 0xfe, 0x58, 0x6e, 0x46, 0xc9, 0xcb}},
	{7, {0x37, 0xd1, 0x01, 0x8b, 0xf5, 0x00, 0x02, 0xab}},
	{8, {0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93}},
	{9, {0xb0, 0xe4, 0xa9, 0x0b, 0xdf, 0x82, 0x00, 0x9e}},
	{15, {0xe5, 0x45, 0xbe, 0x49, 0x61, 0xca, 0x29, 0xa1}},
	{63, {0x72, 0x45, 0x06, 0xeb, 0x4c, 0x32, 0x8a, 0x95}},
};

static void test_published_vectors(void **state)
{
	struct siphash_key key;
	uint8_t input[64];

	for (unsigned int i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t)i;
	memcpy(&key, input, sizeof(key));
	for (unsigned int i = 0; i < ARRAY_SIZE(vectors); i++) {
		uint64_t hash = siphash(&key, input, vectors[i].n_bytes);

		assert_memory_equal(&hash, vectors[i].hash, 8);
	}
}

static void test_key_and_alignment_matter_as_they_should(void **state)
{
	struct siphash_key a = {{1, 2}}, b = {{1, 3}};
	uint8_t input[32] = {};

	assert_int_not_equal(siphash(&a, input, 16), siphash(&b, input, 16));
	assert_int_not_equal(siphash(&a, input, 16), siphash(&a, input, 17));
	for (unsigned int i = 1; i < 8; i++)
		assert_int_equal(siphash(&a, input, 16), siphash(&a, input + i, 16));
}

static void test_random_keys_differ(void **state)
{
	struct siphash_key a, b;

	assert_int_equal(siphash_key_init(&a), 0);
	assert_int_equal(siphash_key_init(&b), 0);
	assert_memory_not_equal(&a, &b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_vectors),
		cmocka_unit_test(test_key_and_alignment_matter_as_they_should),
		cmocka_unit_test(test_random_keys_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
