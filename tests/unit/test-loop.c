/* SPDX-License-Identifier: BSD-2-Clause */
#include "loop.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmocka-all.h"

static struct loop *loop;
static unsigned int n_events, n_fired, n_hooked;
static uint32_t last_arg;

static int setup(void **state)
{
	n_events = n_fired = n_hooked = 0;
	return loop_new(NULL, &loop);
}

static int teardown(void **state)
{
	loop = loop_free(loop);
	return 0;
}

static void event(void *ctx, uint32_t arg, uint32_t events)
{
	uint64_t n;

	n_events++;
	last_arg = arg;
	assert_int_equal(read(*(int *)ctx, &n, sizeof(n)), sizeof(n));
}

static void fired(void *ctx, uint64_t now_ms)
{
	*(unsigned int *)ctx = ++n_fired;
}

static bool hook(void *ctx)
{
	return ++n_hooked < 3;
}

static uint64_t cpu_us(void)
{
	struct rusage u;

	assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
			(uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void test_events(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK), source = loop_source_add(loop, event, &fd);

	assert_true(source >= 0);
	assert_int_equal(loop_watch(loop, fd, EPOLLIN, source, 77), 0);
	for (unsigned int poll_us = 0; poll_us <= 50; poll_us += 50) {
		loop_set_poll(loop, poll_us);
		n_events = 0;
		for (unsigned int i = 0; i < 300; i++) {
			assert_int_equal(eventfd_write(fd, 1), 0);
			assert_int_equal(loop_run_once(loop, 1000), 0);
			assert_false(loop_is_idle(loop));
			assert_int_equal(loop_run_once(loop, 0), 0);
			assert_true(loop_is_idle(loop));
		}
		assert_int_equal(n_events, 300);
		assert_int_equal(last_arg, 77);
	}
	close(fd);
}

/* Asking without sleeping ends where it brings nothing, and is never longer than the wait itself. */
static void test_polling_backs_off(void **state)
{
	loop_set_poll(loop, 1000000);
	uint64_t before_us = cpu_us();
	for (unsigned int i = 0; i < 500; i++)
		assert_int_equal(loop_run_once(loop, 1), 0);
	/* All of it would be half a second. */
	assert_true(cpu_us() - before_us < 100000);
}

static void test_timers_in_order(void **state)
{
	unsigned int at[3] = {};
	struct loop_timer t[3];
	uint64_t now_ms = loop_now_ms(loop);
	static const unsigned int after_ms[] = {9, 3, 6};

	loop_set_poll(loop, 50);
	for (unsigned int i = 0; i < 3; i++) {
		t[i] = (struct loop_timer){.fn = fired, .ctx = &at[i]};
		loop_timer_set(loop, &t[i], now_ms + 1000);
		loop_timer_set(loop, &t[i], now_ms + after_ms[i]);
	}
	assert_int_equal(loop_next_ms(loop), now_ms + 3);
	loop_timer_clear(loop, &t[2]);
	while (n_fired < 2)
		assert_int_equal(loop_run_once(loop, -1), 0);
	assert_true(loop_now_ms(loop) >= now_ms + 9);
	assert_int_equal(at[1], 1);
	assert_int_equal(at[0], 2);
	assert_int_equal(at[2], 0);
	assert_true(loop_next_ms(loop) == UINT64_MAX);
}

static void test_a_hook_keeps_it_awake(void **state)
{
	assert_int_equal(loop_hook_add(loop, hook, NULL), 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(loop_run_once(loop, i ? -1 : 0), 0); /* -1 would hang */
	assert_int_equal(n_hooked, 3);
	loop_hook_del(loop, hook, NULL);
	assert_int_equal(loop_run_once(loop, 0), 0);
	assert_int_equal(n_hooked, 3);
}

static bool holding(void *ctx)
{
	if (!loop_would_sleep(loop) && n_hooked++ == 0)
		loop_hold(loop);
	return false;
}

/* An idle batch comes before the next sleep, and only then; an event may come first. */
static void test_hold(void **state)
{
	int fd = eventfd(1, EFD_NONBLOCK), source = loop_source_add(loop, event, &fd);

	for (unsigned int poll_us = 0; poll_us <= 50; poll_us += 50) {
		loop_set_poll(loop, poll_us);
		n_hooked = 0;
		assert_int_equal(loop_hook_add(loop, holding, NULL), 0);
		assert_int_equal(eventfd_write(fd, 1), 0);
		assert_int_equal(poll_us ? loop_rewatch(loop, fd, EPOLLIN, source, 0) :
					   loop_watch(loop, fd, EPOLLIN, source, 0), 0);
		assert_int_equal(loop_run_once(loop, -1), 0);
		assert_int_equal(n_hooked, 1);
		assert_true(loop_next_ms(loop) == 0);
		assert_int_equal(eventfd_write(fd, 1), 0);
		assert_int_equal(loop_run_once(loop, -1), 0);
		assert_false(loop_would_sleep(loop));
		assert_true(loop_next_ms(loop) == 0);
		assert_int_equal(loop_run_once(loop, -1), 0); /* would hang */
		assert_true(loop_would_sleep(loop));
		assert_true(loop_next_ms(loop) == UINT64_MAX);
		loop_hook_del(loop, holding, NULL);
	}
	close(fd);
}

static unsigned int n_looks, n_work;

static bool look(void *ctx)
{
	return ++n_looks == 3;
}

static bool worker(void *ctx)
{
	n_work += !loop_is_idle(loop);
	return false;
}

/* Work that shows without an event ends the wait, as an event does. */
static void test_look(void **state)
{
	n_looks = n_work = 0;
	loop_set_poll(loop, 1000000);
	assert_int_equal(loop_look_add(loop, look, NULL), 0);
	assert_int_equal(loop_hook_add(loop, worker, NULL), 0);
	assert_int_equal(loop_run_once(loop, -1), 0);
	assert_int_equal(n_looks, 3);
	assert_int_equal(n_work, 1);
	loop_look_del(loop, look, NULL);
	assert_int_equal(loop_run_once(loop, 1), 0);
	assert_int_equal(n_looks, 3);
	loop_hook_del(loop, worker, NULL);
}

static void nobody(void *ctx, uint32_t arg, uint32_t events)
{
	fail();
}

/* The first of two ready sources takes the other away: its event, already fetched, is not delivered. */
static int victim_source, victim_fd;

static void takes_away(void *ctx, uint32_t arg, uint32_t events)
{
	event(ctx, arg, events);
	assert_int_equal(loop_unwatch(loop, victim_fd), 0);
	loop_source_del(loop, victim_source);
}

static void test_source_taken_away(void **state)
{
	int fd = eventfd(1, EFD_NONBLOCK);

	victim_fd = eventfd(0, EFD_NONBLOCK);
	int source = loop_source_add(loop, takes_away, &fd);
	victim_source = loop_source_add(loop, nobody, NULL);
	assert_int_equal(loop_watch(loop, fd, EPOLLIN, source, 0), 0);
	assert_int_equal(loop_watch(loop, victim_fd, EPOLLIN, victim_source, 0), 0);
	assert_int_equal(eventfd_write(victim_fd, 1), 0);
	assert_int_equal(loop_run_once(loop, 0), 0);
	assert_int_equal(n_events, 1);
	assert_int_equal(loop_source_add(loop, event, &fd), victim_source);
	close(fd);
	close(victim_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_polling_backs_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timers_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_hook_keeps_it_awake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(test_look, setup, teardown),
		cmocka_unit_test_setup_teardown(test_source_taken_away, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
