/* SPDX-License-Identifier: BSD-2-Clause */
/* The tap port on a socket pair in place of a device: one datagram is one frame. */
#include "cmocka-all.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "owner.h"
#include "tap.h"

/* In place of the C library's: a socket takes every offload. */
int ioctl(int fd, unsigned long request, ...)
{
	return 0;
}

struct bench {
	struct loop *loop;
	struct owner owner;
	struct port *port;
	int device; /* the other end */
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	int pair[2];

	if (!b || loop_new(NULL, &b->loop) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		return -1;
	owner_init(&b->owner);
	b->device = pair[1];
	if (tap_port_new(b->loop, &b->owner.ops, pair[0], "tap", &b->port) < 0)
		return -1;
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	port_free(b->port);
	util_close(&b->device);
	loop_free(b->loop);
	free(b);
	return 0;
}

static void put(struct bench *b, const void *frame, size_t n)
{
	assert_int_equal(send(b->device, frame, n, MSG_DONTWAIT), (ssize_t)n);
}

/* Frames that are no frames, as many as the queue holds: each is counted, a batch at most at a time, and
 * what comes behind them arrives. */
static void test_malformed_frames(void **state)
{
	static const uint8_t frame[OFFLOAD_VNET_BYTES + 60] = {[OFFLOAD_VNET_BYTES] = 0x52};
	static const uint8_t gso[OFFLOAD_VNET_BYTES + 60] = {0, 0x7f};
	struct bench *b = *state;
	unsigned int n_bad = 3 * PORT_BATCH + 7;

	for (unsigned int i = 0; i < n_bad; i++)
		put(b, i % 2 ? gso : frame, i % 2 ? sizeof(gso) : OFFLOAD_VNET_BYTES + 13);
	put(b, frame, sizeof(frame));
	for (uint64_t seen = 0; seen < n_bad; seen = b->port->n.rx_bad) {
		assert_int_equal(b->owner.n_frames, 0);
		assert_int_equal(loop_run_once(b->loop, 0), 0);
		assert_int_equal(b->port->n.rx_bad, MIN(seen + PORT_BATCH, (uint64_t)n_bad));
	}
	assert_int_equal(loop_run_once(b->loop, 0), 0);
	assert_int_equal(b->owner.n_frames, 1);
	assert_int_equal(b->owner.last_bytes, 60);
	assert_memory_equal(b->owner.last, frame + OFFLOAD_VNET_BYTES, 60);
}

static void test_batches(void **state)
{
	uint8_t frame[OFFLOAD_VNET_BYTES + 60] = {};
	struct bench *b = *state;

	for (unsigned int i = 0; i < 100; i++)
		put(b, frame, sizeof(frame));
	assert_int_equal(loop_run_once(b->loop, 0), 0);
	assert_int_equal(b->owner.longest_batch, PORT_BATCH);
	assert_int_equal(loop_run_once(b->loop, 0), 0);
	assert_int_equal(b->owner.n_frames, 100);
	assert_int_equal(b->port->n.rx_bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_malformed_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batches, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
