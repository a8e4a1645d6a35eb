/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring between two threads: order, nothing lost, what was lent comes back, positions that wrap. */
#include "cmocka-all.h"

#include <pthread.h>
#include <sched.h>

#include "spsc.h"

#define SIZE 16

static struct {
	struct spsc q;
	uint64_t entries[SIZE];
} ring;

static void test_fills_and_empties(void **state)
{
	spsc_init(&ring.q, SIZE);
	ring.q.put = ring.q.reaped = ring.q.taken = UINT32_MAX - 7; /* wraps soon */
	for (uint64_t round = 0; round < 5; round++) {
		assert_int_equal(spsc_room(&ring.q), SIZE);
		for (uint64_t i = 0; i < SIZE; i++) {
			assert_int_equal(spsc_n(&ring.q), i);
			ring.entries[spsc_next(&ring.q)] = round * SIZE + i;
			spsc_put(&ring.q);
		}
		assert_int_equal(spsc_room(&ring.q), 0);
		assert_int_equal(spsc_n_back(&ring.q), 0);
		for (uint64_t i = 0; i < SIZE; i++) {
			assert_int_equal(ring.entries[spsc_place(&ring.q, ring.q.taken)], round * SIZE + i);
			spsc_take(&ring.q, 1);
			assert_int_equal(spsc_n_back(&ring.q), i + 1);
			assert_int_equal(spsc_room(&ring.q), 0); /* until it is reaped */
		}
		spsc_reap(&ring.q, SIZE - 1);
		assert_int_equal(spsc_room(&ring.q), SIZE - 1);
		spsc_reap(&ring.q, 1);
	}
}

#define N_PASSED 200000u

/* Lends numbers and has them back, each doubled. */
static void *produce(void *arg)
{
	uint64_t made = 0, back = 0;
	bool *good = arg;

	*good = true;
	while (back < N_PASSED) {
		uint32_t n = spsc_n_back(&ring.q);

		for (uint32_t i = 0; i < n; i++)
			*good = *good && ring.entries[spsc_place(&ring.q, ring.q.reaped + i)] == 2 * (back + i);
		back += n;
		spsc_reap(&ring.q, n);
		if (made < N_PASSED && spsc_room(&ring.q)) {
			ring.entries[spsc_next(&ring.q)] = made++;
			spsc_put(&ring.q);
		} else if (n == 0) {
			(void)sched_yield();
		}
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	uint64_t expected = 0;
	pthread_t thread;
	bool good = false;

	spsc_init(&ring.q, SIZE);
	assert_int_equal(pthread_create(&thread, NULL, produce, &good), 0);
	while (expected < N_PASSED) {
		uint32_t n = MIN(spsc_n(&ring.q), (uint32_t)(1 + expected % 5));

		for (uint32_t i = 0; i < n; i++) {
			uint64_t *entry = &ring.entries[spsc_place(&ring.q, ring.q.taken + i)];

			assert_int_equal(*entry, expected++);
			*entry *= 2;
		}
		spsc_take(&ring.q, n);
		if (n == 0)
			(void)sched_yield();
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(good);
	assert_int_equal(spsc_room(&ring.q), SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fills_and_empties),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
