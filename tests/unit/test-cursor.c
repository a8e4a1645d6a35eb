/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cursor.h"

static const uint8_t bytes[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0xff};

static void test_reads_in_network_order(void **state)
{
	struct rd r = rd_of(bytes, sizeof(bytes));
	uint8_t last = 0;

	assert_int_equal(rd_u8(&r), 0x01);
	assert_int_equal(rd_u16(&r), 0x0203);
	assert_int_equal(rd_u32(&r), 0x04050607);
	rd_copy(&r, &last, 1);
	assert_int_equal(last, 0xff);
	assert_int_equal(r.left, 0);
	assert_false(r.bad);
}

static void test_reader_that_ran_out_stays_bad(void **state)
{
	struct rd r = rd_of(bytes, 3);
	uint8_t copy[4] = {9, 9, 9, 9};

	assert_int_equal(rd_u32(&r), 0);
	assert_true(r.bad);
	/* Three bytes are left, and none of them is given out any more. */
	assert_int_equal(r.left, 3);
	assert_int_equal(rd_u8(&r), 0);
	assert_null(rd_bytes(&r, 0));
	rd_copy(&r, copy, sizeof(copy));
	assert_int_equal(copy[0] | copy[1] | copy[2] | copy[3], 0);
}

static void test_lengths_cannot_wrap(void **state)
{
	struct rd r = rd_of(bytes, sizeof(bytes));
	uint8_t buffer[4];
	struct wr w = wr_of(buffer, sizeof(buffer));

	assert_null(rd_bytes(&r, SIZE_MAX));
	assert_true(r.bad);
	assert_null(wr_room(&w, SIZE_MAX));
	assert_true(w.bad);
}

static void test_nothing_may_be_read_from_nothing(void **state)
{
	struct rd r = rd_of(bytes, 0);

	assert_non_null(rd_bytes(&r, 0));
	assert_false(r.bad);
	assert_int_equal(rd_u8(&r), 0);
	assert_true(r.bad);
}

static void test_writes_what_is_read(void **state)
{
	uint8_t buffer[sizeof(bytes)];
	struct wr w = wr_of(buffer, sizeof(buffer));

	wr_u8(&w, 0x01);
	wr_u16(&w, 0x0203);
	wr_u32(&w, 0x04050607);
	wr_copy(&w, &bytes[7], 1);
	assert_false(w.bad);
	assert_int_equal(w.left, 0);
	assert_memory_equal(buffer, bytes, sizeof(bytes));
}

static void test_writer_that_ran_out_writes_nothing_more(void **state)
{
	uint8_t buffer[4] = {0xaa, 0xaa, 0xaa, 0xaa};
	struct wr w = wr_of(buffer, 3);

	wr_u16(&w, 0x0102);
	wr_u16(&w, 0x0304);
	assert_true(w.bad);
	wr_u8(&w, 0x05); /* would fit, and comes too late */
	wr_copy(&w, bytes, 1);
	assert_int_equal(buffer[0], 0x01);
	assert_int_equal(buffer[1], 0x02);
	assert_int_equal(buffer[2], 0xaa);
	assert_int_equal(buffer[3], 0xaa);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_in_network_order),
		cmocka_unit_test(test_reader_that_ran_out_stays_bad),
		cmocka_unit_test(test_lengths_cannot_wrap),
		cmocka_unit_test(test_nothing_may_be_read_from_nothing),
		cmocka_unit_test(test_writes_what_is_read),
		cmocka_unit_test(test_writer_that_ran_out_writes_nothing_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
