/* SPDX-License-Identifier: BSD-2-Clause */
/* The flow table: keys, caps, age, timers, work, and that a number is not given out within a batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "flow.h"

#define N_MAX  64
#define N_PORT 16

static struct flow_table *make(void)
{
	struct flow_config c = {.n_max = N_MAX, .key = {{1, 2}}};
	struct flow_table *t;

	for (int i = 0; i < FLOW_KIND_MAX; i++)
		c.n_port_max[i] = N_PORT;
	assert_int_equal(flow_table_new(&c, &t), 0);
	return t;
}

static struct flow_key key_of(uint16_t port_id, uint16_t guest_port)
{
	return (struct flow_key){
		.guest = ip_addr_from4(htonl(0x0a00020f)),
		.remote = ip_addr_from4(htonl(0xc0000201)),
		.guest_port = guest_port,
		.remote_port = 80,
		.port_id = port_id,
		.kind = FLOW_TCP,
	};
}

static void test_clones_are_two(void **state)
{
	struct flow_table *t = make();
	struct flow_key a = key_of(0, 1000), b = key_of(1, 1000);
	struct flow *fa = flow_alloc(t, &a);

	assert_null(flow_find(t, &b));
	struct flow *fb = flow_alloc(t, &b);
	assert_ptr_equal(flow_find(t, &a), fa);
	assert_ptr_equal(flow_find(t, &b), fb);
	assert_ptr_equal(flow_get(t, flow_number(t, fb)), fb);
	flow_table_free(t);
}

static void test_port_cap_leaves_room_for_others(void **state)
{
	struct flow_table *t = make();
	struct flow *first = NULL;

	for (uint16_t i = 0; i < N_PORT; i++) {
		struct flow_key k = key_of(0, i);
		struct flow *f = flow_alloc(t, &k);

		assert_non_null(f);
		flow_touch(t, f, 100u + i);
		first = first ? first : f;
	}
	struct flow_key over = key_of(0, 999), other = key_of(1, 999);
	assert_null(flow_alloc(t, &over));
	assert_non_null(flow_alloc(t, &other));
	assert_ptr_equal(flow_oldest(t, 0, FLOW_TCP), first);
	flow_touch(t, first, 1000);
	assert_int_equal(flow_oldest(t, 0, FLOW_TCP)->key.guest_port, 1);
	assert_int_equal(flow_newer(t, flow_oldest(t, 0, FLOW_TCP))->key.guest_port, 2);
	flow_free(t, first);
	assert_int_equal(flow_count(t, 0, FLOW_TCP), N_PORT - 1);
	assert_non_null(flow_alloc(t, &over));
	flow_table_free(t);
}

static void test_number_rests_until_reap(void **state)
{
	struct flow_table *t = make();
	struct flow_key a = key_of(0, 1), b = key_of(0, 2), c = key_of(0, 3);
	struct flow *f = flow_alloc(t, &a);
	uint32_t number = flow_number(t, f);

	flow_mark(t, f);
	flow_free(t, f);
	assert_null(flow_find(t, &a));
	assert_true(flow_get(t, number)->dying);
	assert_int_not_equal(flow_number(t, flow_alloc(t, &b)), number);
	flow_reap(t); /* still on the work list: kept */
	assert_true(flow_get(t, number)->dying);
	assert_null(flow_take_work(t)); /* a dead flow has no work */
	flow_reap(t);
	assert_int_equal(flow_number(t, flow_alloc(t, &c)), number);
	flow_table_free(t);
}

struct fired {
	struct flow_table *t;
	unsigned int n;
	uint16_t last;
	bool again, free;
};

static void fire(void *ctx, struct flow *f)
{
	struct fired *x = ctx;

	x->n++;
	x->last = f->key.guest_port;
	if (x->again)
		flow_timer_set(x->t, f, 1);
	if (x->free)
		flow_free(x->t, f);
}

static void test_timers(void **state)
{
	struct flow_table *t = make();
	struct flow_key a = key_of(0, 1), b = key_of(0, 2);
	struct flow *fa = flow_alloc(t, &a), *fb = flow_alloc(t, &b);
	struct fired x = {.t = t};

	assert_int_equal(flow_timer_run(t, 100000, fire, &x), 0);
	flow_timer_set(t, fa, 100250);
	flow_timer_set(t, fb, 280000); /* many turns of the wheel away */
	assert_in_range(flow_timer_run(t, 100000, fire, &x), 100001, 100260);
	(void)flow_timer_run(t, 100240, fire, &x);
	assert_int_equal(x.n, 0);
	flow_timer_set(t, fa, 100500); /* later: stays in its slot */
	(void)flow_timer_run(t, 100300, fire, &x);
	assert_int_equal(x.n, 0);
	(void)flow_timer_run(t, 100510, fire, &x);
	assert_int_equal(x.n, 1);
	assert_int_equal(x.last, 1);
	assert_int_equal(fa->timer_due_ms, 0);
	flow_timer_set(t, fb, 100600); /* earlier: moves */
	(void)flow_timer_run(t, 100610, fire, &x);
	assert_int_equal(x.n, 2);
	flow_timer_set(t, fa, 100700);
	flow_timer_set(t, fa, 0);
	assert_int_equal(flow_timer_run(t, 200000, fire, &x), 0);
	assert_int_equal(x.n, 2);
	flow_table_free(t);
}

/* 497 days after the host's start a count of ticks in 32 bits would begin anew. */
static void test_timers_of_a_host_long_up(void **state)
{
	struct flow_table *t = make();
	struct flow_key a = key_of(0, 1);
	struct flow *f = flow_alloc(t, &a);
	struct fired x = {.t = t};
	uint64_t now_ms = ((uint64_t)1 << 32) * 10 - 100;

	(void)flow_timer_run(t, now_ms, fire, &x);
	flow_timer_set(t, f, now_ms + 200);
	assert_in_range(flow_timer_run(t, now_ms + 50, fire, &x), now_ms + 190, now_ms + 210);
	(void)flow_timer_run(t, now_ms + 190, fire, &x);
	assert_int_equal(x.n, 0);
	(void)flow_timer_run(t, now_ms + 210, fire, &x);
	assert_int_equal(x.n, 1);
	flow_timer_set(t, f, now_ms + 300000);
	(void)flow_timer_run(t, now_ms + 299000, fire, &x);
	assert_int_equal(x.n, 1);
	(void)flow_timer_run(t, now_ms + 300010, fire, &x);
	assert_int_equal(x.n, 2);
	flow_table_free(t);
}

struct lone {
	struct flow_table *t;
	struct flow *neighbours[2];
};

static void end_neighbours(void *ctx, struct flow *f)
{
	struct lone *x = ctx;

	for (int i = 0; i < 2; i++)
		if (x->neighbours[i] && x->neighbours[i] != f) {
			flow_free(x->t, x->neighbours[i]);
			x->neighbours[i] = NULL;
		}
}

/* A handler may end the flows before and behind its own in the slot, the one to be run next too. */
static void test_timer_handler_may_free_neighbours(void **state)
{
	struct flow_table *t = make();
	struct lone x = {.t = t};
	struct flow_key a = key_of(0, 1), b = key_of(0, 2), c = key_of(0, 3);
	struct flow *fa = flow_alloc(t, &a), *fb = flow_alloc(t, &b), *fc = flow_alloc(t, &c);

	(void)flow_timer_run(t, 1000, end_neighbours, &x);
	flow_timer_set(t, fa, 1500);
	flow_timer_set(t, fb, 1500 + 512 * 10); /* the same slot, a turn later */
	flow_timer_set(t, fc, 1500);
	x.neighbours[0] = fa;
	x.neighbours[1] = fb;
	assert_int_equal(flow_timer_run(t, 1510, end_neighbours, &x), 0); /* fc's: the head */
	assert_int_equal(flow_count(t, 0, FLOW_TCP), 1);
	assert_false(fc->dying);
	flow_table_free(t);
}

static void test_timer_handler_may_set_and_free(void **state)
{
	struct flow_table *t = make();
	struct fired x = {.t = t, .again = true};

	(void)flow_timer_run(t, 1000, fire, &x);
	for (uint16_t i = 0; i < 8; i++) {
		struct flow_key k = key_of(0, i);

		flow_timer_set(t, flow_alloc(t, &k), 1500);
	}
	(void)flow_timer_run(t, 1510, fire, &x); /* each sets itself to the past: once a run, not for ever */
	assert_int_equal(x.n, 8);
	x.again = false;
	x.free = true;
	/* A jump of more than a turn of the wheel, as after suspend. */
	assert_int_equal(flow_timer_run(t, 900000, fire, &x), 0);
	assert_int_equal(x.n, 16);
	assert_int_equal(flow_count(t, 0, FLOW_TCP), 0);
	flow_table_free(t);
}

static void test_work_in_order_once(void **state)
{
	struct flow_table *t = make();
	struct flow_key a = key_of(0, 1), b = key_of(0, 2);
	struct flow *fa = flow_alloc(t, &a), *fb = flow_alloc(t, &b);

	flow_mark(t, fb);
	flow_mark(t, fa);
	flow_mark(t, fb);
	assert_int_equal(flow_n_work(t), 2);
	assert_ptr_equal(flow_take_work(t), fb);
	flow_mark(t, fb);
	assert_ptr_equal(flow_take_work(t), fa);
	assert_ptr_equal(flow_take_work(t), fb);
	assert_null(flow_take_work(t));
	flow_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clones_are_two),
		cmocka_unit_test(test_port_cap_leaves_room_for_others),
		cmocka_unit_test(test_number_rests_until_reap),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_timers_of_a_host_long_up),
		cmocka_unit_test(test_timer_handler_may_free_neighbours),
		cmocka_unit_test(test_timer_handler_may_set_and_free),
		cmocka_unit_test(test_work_in_order_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
