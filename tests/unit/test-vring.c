/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's side of split and packed rings against a driver of the test's own (driver.h), and against
 * drivers that lie. */
#include "cmocka-all.h"

#include "vring.h"

#include "driver.h"

#define RING_AT 0x10000u
#define DATA_AT 0x100000u
#define QUEUE   (2 * DRIVER_NUM_MAX)

static struct guest_memory guest;
static struct vhost_mem mem;
static struct vring ring;
static struct driver driver;

/* The shapes that every test is run with. */
static const struct shape {
	bool packed, event_idx, indirect;
} shapes[] = {
	{false, false, false},
	{false, true, false},
	{false, false, true},
	{false, true, true},
	{true, false, false},
	{true, true, false},
	{true, false, true},
	{true, true, true},
};

static void begin(const struct shape *s, uint16_t num)
{
	driver_init(&driver, guest.at, RING_AT, num, s->packed, s->event_idx, s->indirect);
	struct vring_config c = {
		.mem = &mem,
		.packed = s->packed,
		.event_idx = s->event_idx,
		.indirect = s->indirect,
		.num = num,
		.desc_user = USER_AT + driver.desc,
		.driver_user = USER_AT + driver.avail,
		.device_user = USER_AT + driver.used,
		.base = s->packed ? 0x80008000 : 0,
	};
	memset(&ring, 0x5a, sizeof(ring));
	assert_int_equal(vring_start(&ring, &c), 0);
}

static int setup(void **state)
{
	guest_memory_new(&guest);
	vhost_mem_init(&mem);
	return vhost_mem_add(&mem, guest.fd, GUEST_AT, USER_AT, GUEST_BYTES, 0);
}

static int teardown(void **state)
{
	vhost_mem_done(&mem);
	guest_memory_done(&guest);
	return 0;
}

static uint32_t random_below(uint32_t *seed, uint32_t n)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 8) % n;
}

static unsigned int make_pieces(uint32_t *seed, struct piece *ret)
{
	unsigned int n = 1 + random_below(seed, 5);

	for (unsigned int i = 0; i < n; i++)
		ret[i] = (struct piece){DATA_AT + random_below(seed, 1 << 20), 1 + random_below(seed, 4000)};
	return n;
}

/* One buffer there and back, whose pieces must be the same bytes. */
struct expected {
	unsigned int n;
	int id;
	struct piece pieces[8];
	uint32_t n_bytes;
};

static void check_chain(const struct expected *e, const struct vring_chain *c, const struct iovec *iov)
{
	size_t n_bytes = 0;

	assert_int_equal(c->id, e->id);
	assert_int_equal(c->n_iov, e->n);
	for (unsigned int i = 0; i < e->n; i++) {
		assert_int_equal((uint8_t *)iov[i].iov_base - mem.regions[0].at, e->pieces[i].at);
		assert_int_equal(iov[i].iov_len, e->pieces[i].n);
		n_bytes += e->pieces[i].n;
	}
	assert_int_equal(c->n_bytes, n_bytes);
}

/* Random fills and drains, past many wraps of the ring. */
static void play(uint16_t num, uint32_t seed)
{
	struct expected queue[QUEUE];
	unsigned int n_added = 0, n_taken = 0, n_back = 0;
	bool write = seed & 1;

	for (int round = 0; round < 600; round++) {
		for (uint32_t k = random_below(&seed, num + 1u); k; k--) {
			struct expected *e = &queue[n_added % QUEUE];

			e->n = make_pieces(&seed, e->pieces);
			e->n = MIN(e->n, (unsigned int)num);
			e->id = driver_add(&driver, e->pieces, e->n, write);
			if (e->id < 0)
				break;
			n_added++;
		}
		assert_true(vring_n_avail(&ring, 1) == (n_added > n_taken));
		for (uint32_t k = random_below(&seed, num + 1u); k; k--) {
			struct iovec iov[8];
			struct vring_chain c;
			struct vring_mark mark = vring_mark(&ring);
			int r = vring_take(&ring, write, iov, 8, &c);

			assert_int_equal(r, n_added > n_taken);
			if (!r)
				break;
			if (random_below(&seed, 4) == 0) {
				vring_undo(&ring, &mark);
				assert_int_equal(vring_take(&ring, write, iov, 8, &c), 1);
			}
			struct expected *e = &queue[n_taken++ % QUEUE];
			check_chain(e, &c, iov);
			e->n_bytes = write ? random_below(&seed, 5000) : 0;
			vring_use(&ring, &c, e->n_bytes);
			if (random_below(&seed, 3) == 0)
				vring_publish(&ring);
		}
		if (random_below(&seed, 2))
			vring_publish(&ring);
		while (n_back < n_taken - ring.n_used) {
			const struct expected *e = &queue[n_back++ % QUEUE];
			uint32_t n_bytes;

			assert_int_equal(driver_used(&driver, &n_bytes), e->id);
			assert_int_equal(n_bytes, e->n_bytes);
		}
		assert_int_equal(driver_used(&driver, NULL), -1);
	}
	assert_true(n_back > 4u * num);
}

static void test_there_and_back(void **state)
{
	static const uint16_t sizes[] = {8, 16, 256};

	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++)
		for (unsigned int k = 0; k < ARRAY_SIZE(sizes); k++) {
			begin(&shapes[s], sizes[k]);
			play(sizes[k], 77 + s);
			begin(&shapes[s], sizes[k]);
			play(sizes[k], 78 + s);
		}
	struct shape odd = {.packed = true, .event_idx = true};

	begin(&odd, 7);
	play(7, 3);
}

/* The split index passes 65535. */
static void test_index_wraps(void **state)
{
	struct piece one = {DATA_AT, 100};
	struct vring_chain c;
	struct iovec iov[1];

	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		begin(&shapes[s], 4);
		for (unsigned int i = 0; i < 70000; i++) {
			int id = driver_add(&driver, &one, 1, true);

			assert_int_equal(vring_take(&ring, true, iov, 1, &c), 1);
			vring_use(&ring, &c, i % 100);
			vring_publish(&ring);
			assert_int_equal(driver_used(&driver, NULL), id);
		}
		assert_int_equal(vring_take(&ring, true, iov, 1, &c), 0);
	}
}

/* Nothing is seen of what is not published, nor of what was taken back. */
static void test_all_or_nothing(void **state)
{
	struct piece one = {DATA_AT, 100};
	struct vring_chain c;
	struct iovec iov[1];

	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		begin(&shapes[s], 8);
		for (int i = 0; i < 8; i++)
			assert_true(driver_add(&driver, &one, 1, true) >= 0);
		assert_int_equal(driver_add(&driver, &one, 1, true), -1);
		assert_int_equal(vring_take(&ring, true, iov, 1, &c), 1);
		vring_use(&ring, &c, 1);
		struct vring_mark mark = vring_mark(&ring);
		for (int i = 0; i < 7; i++) {
			assert_int_equal(vring_take(&ring, true, iov, 1, &c), 1);
			vring_use(&ring, &c, 2);
		}
		assert_int_equal(vring_take(&ring, true, iov, 1, &c), 0);
		assert_int_equal(driver_used(&driver, NULL), -1);
		vring_undo(&ring, &mark);
		vring_publish(&ring);
		uint32_t n;
		assert_int_equal(driver_used(&driver, &n), 0);
		assert_int_equal(n, 1);
		assert_int_equal(driver_used(&driver, NULL), -1);
		for (int i = 0; i < 7; i++) {
			assert_int_equal(vring_take(&ring, true, iov, 1, &c), 1);
			vring_use(&ring, &c, 3);
		}
		vring_publish(&ring);
		for (int i = 0; i < 7; i++)
			assert_int_equal(driver_used(&driver, &n), i + 1);
		assert_int_equal(n, 3);
	}
}

/* What was taken and not used, a later device takes again. */
static void test_resume(void **state)
{
	struct piece one = {DATA_AT, 100};
	struct vring_chain c;
	struct iovec iov[1];

	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		begin(&shapes[s], 8);
		for (int lap = 0; lap < 5; lap++) {
			int ids[6];

			for (int i = 0; i < 6; i++)
				ids[i] = driver_add(&driver, &one, 1, true);
			for (int i = 0; i < 3; i++) {
				assert_int_equal(vring_take(&ring, true, iov, 1, &c), 1);
				vring_use(&ring, &c, 1);
			}
			vring_publish(&ring);
			assert_int_equal(vring_take(&ring, true, iov, 1, &c), 1);
			vring_use(&ring, &c, 1);
			struct vring_config again = {
				.mem = &mem,
				.packed = shapes[s].packed,
				.event_idx = shapes[s].event_idx,
				.indirect = shapes[s].indirect,
				.num = 8,
				.desc_user = USER_AT + driver.desc,
				.driver_user = USER_AT + driver.avail,
				.device_user = USER_AT + driver.used,
				.base = vring_base(&ring),
			};
			assert_int_equal(vring_start(&ring, &again), 0);
			for (int i = 3; i < 6; i++) {
				assert_int_equal(vring_take(&ring, true, iov, 1, &c), 1);
				assert_int_equal(c.id, ids[i]);
				vring_use(&ring, &c, 1);
			}
			assert_int_equal(vring_take(&ring, true, iov, 1, &c), 0);
			vring_publish(&ring);
			for (int i = 0; i < 6; i++)
				assert_int_equal(driver_used(&driver, NULL), ids[i]);
		}
	}
}

static void add_one(void)
{
	struct piece one = {DATA_AT, 100};

	assert_true(driver_add(&driver, &one, 1, true) >= 0);
}

static void use_one(bool drain)
{
	struct vring_chain c;
	struct iovec iov[1];

	assert_int_equal(vring_take(&ring, true, iov, 1, &c), 1);
	vring_use(&ring, &c, 1);
	vring_publish(&ring);
	if (drain)
		assert_true(driver_used(&driver, NULL) >= 0);
}

/* Neither side is told while it does not want to be, and each is when it does. */
static void test_kicks(void **state)
{
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		begin(&shapes[s], 8);
		vring_want_kicks(&ring);
		for (int lap = 0; lap < 20; lap++) {
			add_one();
			assert_true(driver_wants_kick(&driver));
			vring_refuse_kicks(&ring);
			add_one();
			assert_false(driver_wants_kick(&driver));
			use_one(true);
			add_one();
			assert_false(driver_wants_kick(&driver));
			use_one(true);
			/* Of those that are there nothing need be said, only of a next. */
			vring_want_kicks(&ring);
			assert_false(driver_wants_kick(&driver) && shapes[s].event_idx);
			add_one();
			assert_true(driver_wants_kick(&driver));
			vring_refuse_kicks(&ring);
			use_one(true);
			use_one(true);
			vring_want_kicks(&ring);
		}
	}
}

/* A buffer added between the last look and the wish is there to be seen after it, though nothing is said. */
static void test_kick_race(void **state)
{
	struct vring_chain c;
	struct iovec iov[1];

	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		begin(&shapes[s], 8);
		for (int lap = 0; lap < 20; lap++) {
			assert_int_equal(vring_take(&ring, true, iov, 1, &c), 0);
			add_one();
			(void)driver_wants_kick(&driver);
			vring_want_kicks(&ring);
			assert_int_equal(vring_n_avail(&ring, 1), 1);
			vring_refuse_kicks(&ring);
			use_one(true);
		}
	}
}

static void test_calls(void **state)
{
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		begin(&shapes[s], 8);
		add_one();
		driver_want_calls(&driver, true);
		use_one(true);
		assert_true(vring_wants_call(&ring)); /* the first */
		for (int lap = 0; lap < 50; lap++) {
			driver_want_calls(&driver, true);
			add_one();
			add_one();
			use_one(false);
			assert_true(vring_wants_call(&ring));
			if (!shapes[s].event_idx)
				driver_want_calls(&driver, false);
			use_one(false);
			assert_false(vring_wants_call(&ring)); /* the event is behind, or it was asked not to */
			assert_true(driver_used(&driver, NULL) >= 0);
			assert_true(driver_used(&driver, NULL) >= 0);
			driver_want_calls(&driver, false);
			add_one();
			use_one(true);
			assert_false(vring_wants_call(&ring));
			/* Several at once: the event lies within. */
			driver_want_calls(&driver, true);
			for (int i = 0; i < 3; i++)
				add_one();
			for (int i = 0; i < 3; i++)
				use_one(true);
			assert_true(vring_wants_call(&ring));
		}
	}
}

/* Drivers that lie. */

static void expect_broken(void)
{
	struct vring_chain c;
	struct iovec iov[4];
	int r;

	do
		r = vring_take(&ring, true, iov, 4, &c);
	while (r > 0);
	assert_int_equal(r, -EPROTO);
}

/* A descriptor of a split ring, and of a packed one (available in its first lap). */
static void raw(unsigned int i, uint64_t addr, uint32_t n, uint16_t flags, uint16_t next)
{
	if (driver.packed)
		put_desc(driver_desc(&driver, i), addr, n, (uint16_t)i, (uint16_t)(flags | 1 << 7));
	else
		put_desc(driver_desc(&driver, i), addr, n, flags, next);
}

static void offer(uint16_t head, uint16_t index)
{
	put16(driver.mem + driver.avail + 4, head);
	put16(driver.mem + driver.avail + 2, index);
}

#define NEXT     1
#define WRITE    2
#define INDIRECT 4

static void test_bad_descriptors(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t n;
		uint16_t flags;
		bool split_only;
	} bad[] = {
		{GUEST_AT, 0, WRITE, false},                         /* nothing */
		{GUEST_AT, 10, 0, false},                            /* ours to read, in a ring to write */
		{GUEST_AT - 1, 10, WRITE, false},                    /* before the memory */
		{GUEST_AT + GUEST_BYTES, 10, WRITE, false},          /* behind it */
		{GUEST_AT + GUEST_BYTES - 9, 10, WRITE, false},      /* over its end */
		{GUEST_AT, 0xffffffff, WRITE, false},                /* longer than all */
		{UINT64_MAX - 4, 10, WRITE, false},                  /* wraps */
		{0, 10, WRITE, false},                               /* of no region */
		{USER_AT, 10, WRITE, false},                         /* an address of the front end */
		{GUEST_AT + 0x8000, 16, INDIRECT | NEXT, false},     /* a table in a chain */
		{GUEST_AT + 0x8000, 15, INDIRECT, false},            /* half a table */
		{GUEST_AT + 0x8000, 0, INDIRECT, false},             /* an empty table */
		{GUEST_AT + 0x8000, 16 * 1025, INDIRECT, false},     /* too long a table */
		{GUEST_AT + GUEST_BYTES - 16, 32, INDIRECT, false},  /* over the end */
		{GUEST_AT + 0x8000, 16, INDIRECT, false},            /* all zeros: a piece of nothing */
		{GUEST_AT, 10, WRITE | NEXT, true},                  /* next is itself */
	};

	memset(guest.at + 0x8000, 0, 0x4000);
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++)
		for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
			if (shapes[s].packed && bad[i].split_only)
				continue;
			begin(&shapes[s], 8);
			raw(0, bad[i].addr, bad[i].n, bad[i].flags, 0);
			if (!shapes[s].packed)
				offer(0, 1);
			expect_broken();
		}
}

static void test_bad_tables(void **state)
{
	uint8_t *table = guest.at + 0x8000;

	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		/* A table within a table. */
		begin(&shapes[s], 8);
		put_desc(table, GUEST_AT + 0x8000, 16, shapes[s].packed ? 0 : INDIRECT,
			shapes[s].packed ? INDIRECT : 0);
		raw(0, GUEST_AT + 0x8000, 16, INDIRECT, 0);
		if (!shapes[s].packed)
			offer(0, 1);
		expect_broken();
		if (shapes[s].packed)
			continue;
		/* A table that is the ring's own: it names itself for ever. */
		begin(&shapes[s], 8);
		raw(0, GUEST_AT + driver.desc, 8 * 16, INDIRECT, 0);
		offer(0, 1);
		expect_broken();
		/* A loop within a table, and a number out of it. */
		for (uint16_t next = 0; next < 4; next++) {
			begin(&shapes[s], 8);
			put_desc(table, GUEST_AT, 10, WRITE | NEXT, 1);
			put_desc(table + 16, GUEST_AT, 10, WRITE | NEXT, next);
			raw(0, GUEST_AT + 0x8000, 32, INDIRECT, 0);
			offer(0, 1);
			expect_broken();
		}
	}
}

static void test_bad_split_ring(void **state)
{
	begin(&shapes[0], 8);
	offer(8, 1); /* no such descriptor */
	expect_broken();
	begin(&shapes[0], 8);
	offer(0xffff, 1);
	expect_broken();
	begin(&shapes[0], 8);
	offer(0, 9); /* more than the ring has */
	expect_broken();
	begin(&shapes[0], 8);
	offer(0, 0xffff); /* backwards */
	expect_broken();
	/* A chain of all eight that ends where it began, and one that leads out. */
	begin(&shapes[0], 8);
	for (unsigned int i = 0; i < 8; i++)
		raw(i, GUEST_AT, 10, WRITE | NEXT, (uint16_t)((i + 1) % 8));
	offer(0, 1);
	expect_broken();
	begin(&shapes[0], 8);
	raw(0, GUEST_AT, 10, WRITE | NEXT, 8);
	offer(0, 1);
	expect_broken();
	/* New buffers again and again, while none was given back. */
	begin(&shapes[0], 8);
	raw(0, GUEST_AT, 10, WRITE, 0);
	memset(driver.mem + driver.avail + 4, 0, 16);
	offer(0, 8);
	struct vring_chain c;
	struct iovec iov[1];
	for (int i = 0; i < 8; i++)
		assert_int_equal(vring_take(&ring, true, iov, 1, &c), 1);
	offer(0, 16);
	expect_broken();
}

/* A packed chain that never ends, and buffers without end. */
static void test_bad_packed_ring(void **state)
{
	struct shape packed = {.packed = true};
	struct vring_chain c;
	struct iovec iov[1];

	begin(&packed, 8);
	for (unsigned int i = 0; i < 8; i++)
		raw(i, GUEST_AT, 10, WRITE | NEXT, 0);
	expect_broken();
	begin(&packed, 8);
	for (unsigned int i = 0; i < 8; i++)
		raw(i, GUEST_AT, 10, WRITE, 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(vring_take(&ring, true, iov, 1, &c), 1);
	for (unsigned int i = 0; i < 8; i++) /* as if in the next lap */
		put16(driver_desc(&driver, i) + 14, WRITE | 1 << 15);
	expect_broken();
}

static void test_more_pieces_than_room(void **state)
{
	struct piece pieces[5] = {
		{DATA_AT, 10}, {DATA_AT + 100, 20}, {DATA_AT + 200, 30}, {DATA_AT + 300, 40}, {DATA_AT + 400, 50}};

	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		struct vring_chain c;
		struct iovec iov[3] = {};

		begin(&shapes[s], 8);
		assert_true(driver_add(&driver, pieces, 5, false) >= 0);
		assert_int_equal(vring_take(&ring, false, iov, 2, &c), 1);
		assert_int_equal(c.n_iov, 5);
		assert_int_equal(c.n_bytes, 150);
		assert_int_equal(iov[1].iov_len, 20);
		assert_null(iov[2].iov_base);
	}
}

/* Where a ring may lie. */
static void test_bad_places(void **state)
{
	struct vring_config good = {
		.mem = &mem,
		.num = 8,
		.desc_user = USER_AT + RING_AT,
		.driver_user = USER_AT + RING_AT + 4096,
		.device_user = USER_AT + RING_AT + 8192,
		.base = 0,
	};
	struct vring_config c = good;

	assert_int_equal(vring_start(&ring, &c), 0);
	c.num = 0;
	assert_int_equal(vring_start(&ring, &c), -EINVAL);
	c.num = 12;
	assert_int_equal(vring_start(&ring, &c), -EINVAL);
	c.num = 2048;
	assert_int_equal(vring_start(&ring, &c), -EINVAL);
	c = good;
	c.desc_user += 8;
	assert_int_equal(vring_start(&ring, &c), -EINVAL);
	c = good;
	c.driver_user += 1;
	assert_int_equal(vring_start(&ring, &c), -EINVAL);
	c = good;
	c.device_user += 2;
	assert_int_equal(vring_start(&ring, &c), -EINVAL);
	c = good;
	c.desc_user = USER_AT + GUEST_BYTES - 112;
	assert_int_equal(vring_start(&ring, &c), -EFAULT);
	c.desc_user = USER_AT - 16;
	assert_int_equal(vring_start(&ring, &c), -EFAULT);
	c.desc_user = GUEST_AT;
	assert_int_equal(vring_start(&ring, &c), -EFAULT);
	c = good;
	c.packed = true;
	c.base = 0x80088008; /* beyond the ring */
	assert_int_equal(vring_start(&ring, &c), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_index_wraps),
		cmocka_unit_test(test_all_or_nothing),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_kicks),
		cmocka_unit_test(test_kick_race),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_bad_descriptors),
		cmocka_unit_test(test_bad_tables),
		cmocka_unit_test(test_bad_split_ring),
		cmocka_unit_test(test_bad_packed_ring),
		cmocka_unit_test(test_more_pieces_than_room),
		cmocka_unit_test(test_bad_places),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
