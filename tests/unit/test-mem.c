/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmocka-all.h"

#include "mem.h"
#include "util.h"

#include "owner.h"
#include "packets.h"

#define ALL_CAPS (PORT_CAP_CSUM | PORT_CAP_TSO4 | PORT_CAP_TSO6 | PORT_CAP_USO)

static struct loop *loop;
static struct owner owner;
static uint8_t bytes[PACKET_MAX_BYTES];

static struct port *make(uint32_t caps, unsigned int n_queue)
{
	struct port *p;

	owner_init(&owner);
	assert_int_equal(mem_port_new(loop, &owner.ops, caps, n_queue, &p), 0);
	return p;
}

static int send_bytes(struct port *p, size_t n_bytes, const struct offload *o)
{
	struct iovec iov[2] = {{bytes, n_bytes / 3}, {bytes + n_bytes / 3, n_bytes - n_bytes / 3}};

	return port_send(p, iov, 2, n_bytes, o);
}

static void test_queue_and_room(void **state)
{
	struct port *p = make(ALL_CAPS, 2);
	struct offload none = {};

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 5);
	assert_int_equal(send_bytes(p, 60, &none), 0);
	assert_int_equal(send_bytes(p, 61, &none), 0);
	assert_int_equal(send_bytes(p, 62, &none), -ENOBUFS);
	assert_int_equal(p->n.tx_no_room, 1);
	for (size_t n = 60; n < 62; n++) {
		_cleanup_free_ struct mem_frame *f = mem_port_take(p);

		assert_int_equal(f->n_bytes, n);
		assert_memory_equal(f->bytes, bytes, n);
	}
	assert_null(mem_port_take(p));
	assert_int_equal(send_bytes(p, FRAME_MAX_BYTES + 1, &none), -EMSGSIZE);
	port_free(p);
}

static void test_room_is_told_once(void **state)
{
	struct port *p = make(ALL_CAPS, 1);
	struct offload none = {};
	struct room room;

	assert_int_equal(send_bytes(p, 60, &none), 0);
	assert_int_equal(port_reserve(p, 54, 100, &room), -ENOBUFS);
	assert_int_equal(owner.n_room, 0);
	free(mem_port_take(p));
	assert_int_equal(owner.n_room, 1);
	assert_int_equal(send_bytes(p, 60, &none), 0);
	free(mem_port_take(p));
	assert_int_equal(owner.n_room, 1); /* nobody was refused since */
	port_free(p);
}

static void test_reserve(void **state)
{
	struct port *p = make(ALL_CAPS, 4);
	struct offload none = {};
	struct room room;
	size_t at = 0;

	assert_int_equal(port_reserve(p, 54, 1000, &room), 0);
	assert_int_equal(room.n_head, 54);
	assert_int_equal(room.n_bytes, 1000);
	assert_true(room.n_iov > 1);
	memset(room.head, 0xaa, 54);
	for (unsigned int i = 0; i < room.n_iov; i++)
		for (size_t b = 0; b < room.iov[i].iov_len; b++)
			((uint8_t *)room.iov[i].iov_base)[b] = (uint8_t)at++;
	assert_int_equal(at, 1000);
	assert_int_equal(port_commit(p, &room, 700, &none), 0);
	_cleanup_free_ struct mem_frame *f = mem_port_take(p);
	assert_int_equal(f->n_bytes, 754);
	for (size_t i = 0; i < 700; i++)
		assert_int_equal(f->bytes[54 + i], (uint8_t)i);
	assert_int_equal(port_reserve(p, 54, SIZE_MAX, &room), 0); /* cut to what a frame may be */
	assert_int_equal(room.n_bytes, FRAME_MAX_BYTES - 54);
	port_cancel(p, &room);
	assert_null(mem_port_take(p));
	port_free(p);
}

/* The caps decide what arrives whole. */
static void test_caps(void **state)
{
	struct packet k = {.n_payload = 4000, .flags = TCP_ACK, .gso_size = 1000};
	struct offload o;
	size_t n = packet_build(&k, bytes, &o);
	struct port *p = make(ALL_CAPS, 1);
	struct mem_frame *f;

	assert_int_equal(send_bytes(p, n, &o), 0);
	f = mem_port_take(p);
	assert_int_equal(f->n_bytes, n);
	assert_int_equal(f->offload.gso, OFFLOAD_GSO_TCP4);
	free(f);
	port_free(p);

	p = make(PORT_CAP_CSUM | PORT_CAP_TSO6 | PORT_CAP_USO, 1);
	assert_int_equal(send_bytes(p, n, &o), 0);
	for (int i = 0; i < 4; i++) {
		f = mem_port_take(p);
		assert_int_equal(f->n_bytes, 1054);
		assert_false(f->offload.csum_needed);
		(void)packet_verify(f->bytes, f->n_bytes);
		free(f);
	}
	assert_null(mem_port_take(p));
	port_free(p);

	k.gso_size = 0;
	n = packet_build(&k, bytes, &o);
	p = make(PORT_CAP_CSUM, 1);
	assert_int_equal(send_bytes(p, n, &o), 0);
	f = mem_port_take(p);
	assert_true(f->offload.csum_needed);
	free(f);
	port_free(p);
	p = make(0, 1);
	assert_int_equal(send_bytes(p, n, &o), 0);
	f = mem_port_take(p);
	assert_false(f->offload.csum_needed);
	(void)packet_verify(f->bytes, f->n_bytes);
	free(f);
	port_free(p);
}

/* Whoever reads the head from the vector instead of the private copy gets nonsense. */
static void check_head(void *ctx, struct port *p, const struct frame *f)
{
	assert_memory_equal(f->head, bytes, MIN(f->n_bytes, (size_t)FRAME_HEAD_BYTES));
	if (f->n_bytes > 3)
		assert_int_equal(*(uint8_t *)f->iov[f->n_iov > 1 && !f->iov[0].iov_len].iov_base, 0xee);
}

static void test_inject(void **state)
{
	struct port *p = make(ALL_CAPS, 1);
	struct offload o = {.csum_needed = true, .csum_start = 34, .csum_offset = 16};

	owner.each = check_head;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 11 + 1);
	for (size_t n = 0; n < 2000; n += 37) {
		mem_port_inject(p, bytes, n, &o);
		assert_int_equal(owner.last_bytes, n);
		assert_memory_equal(owner.last, bytes, n);
		assert_int_equal(owner.last_offload.csum_start, 34);
	}
	assert_int_equal(p->n.rx_frames, owner.n_frames);
	port_free(p);
}

static int setup(void **state)
{
	return loop_new(NULL, &loop);
}

static int teardown(void **state)
{
	loop_free(loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_queue_and_room),
		cmocka_unit_test(test_room_is_told_once),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_inject),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
