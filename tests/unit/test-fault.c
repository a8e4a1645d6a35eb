/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmocka-all.h"

#include "fault.h"
#include "mem.h"
#include "util.h"

#include "owner.h"

#define N_FRAMES 2000

static uint64_t now_ms;
static struct loop *loop;
static struct owner owner;
static struct port *port, *inner;
static unsigned int seen[N_FRAMES], order[3 * N_FRAMES], n_order, n_short;

static uint64_t fake_clock(void *ctx)
{
	return now_ms;
}

static void note(const uint8_t *bytes, size_t n_bytes)
{
	unsigned int number;

	assert_true(n_bytes >= 14 && n_bytes <= 100);
	n_short += n_bytes < 100;
	memcpy(&number, bytes, sizeof(number));
	assert_true(number < N_FRAMES);
	seen[number]++;
	order[n_order++] = number;
}

static void note_frame(void *ctx, struct port *p, const struct frame *f)
{
	note(owner.last, f->n_bytes);
}

static void begin(const struct fault_config *c)
{
	memset(seen, 0, sizeof(seen));
	n_order = n_short = 0;
	owner_init(&owner);
	owner.each = note_frame;
	assert_int_equal(fault_port_new(loop, &owner.ops, c, &port), 0);
	assert_int_equal(mem_port_new(loop, fault_owner(port), 0, 100, &inner), 0);
	assert_int_equal(fault_port_wrap(port, inner), 0);
}

static void tick(void)
{
	now_ms += 5;
	assert_int_equal(loop_run_once(loop, 0), 0);
}

static void drain(void)
{
	for (struct mem_frame *f; (f = mem_port_take(inner)); free(f))
		note(f->bytes, f->n_bytes);
}

enum way {
	WAY_INJECT,
	WAY_SEND,
	WAY_ROOM,
	WAY_MAX,
};

static int pass(enum way way, unsigned int number)
{
	static const struct offload none;
	uint8_t bytes[100] = {};
	struct iovec iov = {bytes, sizeof(bytes)};
	struct room room;
	int r = 0;

	memcpy(bytes, &number, sizeof(number));
	switch (way) {
	case WAY_INJECT:
		mem_port_inject(inner, bytes, sizeof(bytes), &none);
		break;
	case WAY_SEND:
		r = port_send(port, &iov, 1, sizeof(bytes), &none);
		drain();
		break;
	case WAY_ROOM:
		r = port_reserve(port, 14, 86, &room);
		if (r < 0)
			break;
		memcpy(room.head, bytes, 14);
		r = port_commit(port, &room, 86, &none);
		drain();
		break;
	case WAY_MAX:
		break;
	}
	return r;
}

static void pass_all(enum way way)
{
	for (unsigned int i = 0; i < N_FRAMES; i++)
		assert_int_equal(pass(way, i), 0);
	tick();
	drain();
}

static unsigned int n_seen(unsigned int times)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < N_FRAMES; i++)
		n += seen[i] == times;
	return n;
}

static void test_no_fault(void **state)
{
	for (enum way way = 0; way < WAY_MAX; way++) {
		begin(&(struct fault_config){.seed = 1});
		pass_all(way);
		assert_int_equal(n_seen(1), N_FRAMES);
		for (unsigned int i = 0; i < N_FRAMES; i++)
			assert_int_equal(order[i], i);
		port_free(port);
	}
}

/* One frame in ten, give or take what chance allows for 2,000. */
static void assert_a_tenth(unsigned int n)
{
	assert_in_range(n, 150, 250);
}

static void test_lose(void **state)
{
	for (enum way way = 0; way < WAY_MAX; way++) {
		begin(&(struct fault_config){.seed = 2, .lose = 100});
		pass_all(way);
		assert_a_tenth(n_seen(0));
		assert_int_equal(n_seen(0) + n_seen(1), N_FRAMES);
		port_free(port);
	}
}

static void test_repeat(void **state)
{
	for (enum way way = 0; way < WAY_MAX; way++) {
		begin(&(struct fault_config){.seed = 3, .repeat = 100});
		pass_all(way);
		assert_a_tenth(n_seen(2));
		assert_int_equal(n_seen(1) + n_seen(2), N_FRAMES);
		port_free(port);
	}
}

static void test_swap(void **state)
{
	for (enum way way = 0; way < WAY_MAX; way++) {
		unsigned int n_swapped = 0;

		begin(&(struct fault_config){.seed = 4, .swap = 100});
		pass_all(way);
		assert_int_equal(n_seen(1), N_FRAMES); /* none is lost, the last one included */
		for (unsigned int i = 1; i < N_FRAMES; i++)
			n_swapped += order[i] < order[i - 1];
		assert_a_tenth(n_swapped);
		port_free(port);
	}
}

static void test_truncate(void **state)
{
	for (enum way way = 0; way < WAY_MAX; way++) {
		begin(&(struct fault_config){.seed = 5, .truncate = 100});
		pass_all(way);
		assert_int_equal(n_seen(1), N_FRAMES);
		assert_a_tenth(n_short);
		port_free(port);
	}
}

static void test_no_room(void **state)
{
	for (enum way way = WAY_SEND; way < WAY_MAX; way++) {
		unsigned int refused = 0;

		begin(&(struct fault_config){.seed = 6, .no_room = 100});
		for (unsigned int i = 0; i < N_FRAMES; i++) {
			unsigned int before = owner.n_room;

			if (pass(way, i) == 0)
				continue;
			refused++;
			assert_int_equal(owner.n_room, before);
			tick();
			assert_int_equal(owner.n_room, before + 1);
		}
		assert_a_tenth(refused);
		assert_int_equal(n_seen(0), refused);
		port_free(port);
	}
}

static void test_same_seed_same_faults(void **state)
{
	static unsigned int first[ARRAY_SIZE(order)];
	struct fault_config c = {.seed = 7, .lose = 50, .repeat = 50, .swap = 50, .truncate = 50};
	unsigned int n_first;

	begin(&c);
	pass_all(WAY_SEND);
	memcpy(first, order, sizeof(order));
	n_first = n_order;
	port_free(port);
	begin(&c);
	pass_all(WAY_SEND);
	assert_int_equal(n_order, n_first);
	assert_memory_equal(order, first, n_order * sizeof(*order));
	port_free(port);
	c.seed++;
	begin(&c);
	pass_all(WAY_SEND);
	assert_true(n_order != n_first || memcmp(order, first, n_order * sizeof(*order)) != 0);
	port_free(port);
}

static int setup(void **state)
{
	return loop_new(&(struct loop_clock){.now_ms = fake_clock}, &loop);
}

static int teardown(void **state)
{
	loop_free(loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_fault),
		cmocka_unit_test(test_lose),
		cmocka_unit_test(test_repeat),
		cmocka_unit_test(test_swap),
		cmocka_unit_test(test_truncate),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_same_seed_same_faults),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
