/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmocka-all.h"

#include "frame.h"
#include "util.h"

#define N_BYTES 1000
#define N_HEAD  300

/* The head is private and true; the same bytes in the vector have been changed by the guest. */
static struct frame make(uint8_t *head, uint8_t *bytes, struct iovec iov[3])
{
	for (size_t i = 0; i < N_BYTES; i++)
		bytes[i] = (uint8_t)(i * 3);
	memcpy(head, bytes, N_HEAD);
	memset(bytes, 0xee, N_HEAD);
	iov[0] = (struct iovec){bytes, 10};
	iov[1] = (struct iovec){bytes + 10, 500};
	iov[2] = (struct iovec){bytes + 510, 490};
	return (struct frame){.head = head, .head_bytes = N_HEAD, .iov = iov, .n_iov = 3, .n_bytes = N_BYTES};
}

static void test_every_range(void **state)
{
	uint8_t head[N_HEAD], bytes[N_BYTES], out[N_BYTES], copy[N_BYTES];
	struct iovec iov[3], slice[4];
	struct frame f = make(head, bytes, iov);

	for (size_t offset = 0; offset <= N_BYTES; offset += 7)
		for (size_t n = 0; n <= N_BYTES - offset; n += 13) {
			unsigned int k = frame_slice(&f, offset, n, slice, ARRAY_SIZE(slice));
			size_t at = 0;

			for (unsigned int i = 0; i < k; i++) {
				memcpy(out + at, slice[i].iov_base, slice[i].iov_len);
				at += slice[i].iov_len;
			}
			assert_int_equal(at, n);
			assert_true(frame_copy(&f, offset, n, copy));
			for (size_t i = 0; i < n; i++) {
				assert_int_equal(out[i], (uint8_t)((offset + i) * 3));
				assert_int_equal(copy[i], out[i]);
			}
		}
}

static void test_beyond_the_end(void **state)
{
	uint8_t head[N_HEAD], bytes[N_BYTES], copy[N_BYTES];
	struct iovec iov[3], slice[4];
	struct frame f = make(head, bytes, iov);

	assert_int_equal(frame_slice(&f, 0, N_BYTES + 1, slice, 4), 0);
	assert_int_equal(frame_slice(&f, N_BYTES, 1, slice, 4), 0);
	assert_int_equal(frame_slice(&f, SIZE_MAX, 2, slice, 4), 0);
	assert_int_equal(frame_slice(&f, 2, SIZE_MAX, slice, 4), 0);
	assert_false(frame_copy(&f, 1, N_BYTES, copy));
	assert_false(frame_copy(&f, 2, SIZE_MAX, copy));
	assert_true(frame_copy(&f, N_BYTES, 0, copy));
}

static void test_too_few_pieces(void **state)
{
	uint8_t head[N_HEAD], bytes[N_BYTES];
	struct iovec iov[3], slice[4];
	struct frame f = make(head, bytes, iov);

	assert_int_equal(frame_slice(&f, 0, N_BYTES, slice, 3), 3);
	assert_int_equal(frame_slice(&f, 0, N_BYTES, slice, 2), 0);
	assert_int_equal(frame_slice(&f, 0, 10, slice, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_range),
		cmocka_unit_test(test_beyond_the_end),
		cmocka_unit_test(test_too_few_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
