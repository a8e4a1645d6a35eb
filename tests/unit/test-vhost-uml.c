/* SPDX-License-Identifier: BSD-2-Clause */
/* The vhost-user port against a front end that says and does what User Mode Linux does: SET_OWNER first, the
 * memory in one table, base 0 even for a packed ring, rings that are disabled and never asked for their base; and,
 * where it is offered them, notifications that are messages. */
#include "cmocka-all.h"

#include "front-end.h"
#include "vhost_user.h"

#include "owner.h"
#include "packets.h"

#define PROTOCOL (BIT(VHOST_PROTOCOL_REPLY_ACK) | BIT(VHOST_PROTOCOL_BACKEND_REQ))

static struct loop *loop;
static struct owner owner;
static struct port *port;
static struct front_end fe;
static int requests; /* our end of SET_BACKEND_REQ_FD */
static uint8_t bytes[PACKET_MAX_BYTES + 64];
static uint64_t time_ms;

static uint64_t now_ms(void *ctx)
{
	return time_ms;
}

static void step(void)
{
	assert_int_equal(loop_run_once(loop, 0), 0);
	assert_int_equal(loop_run_once(loop, 0), 0);
}

static void start(bool in_band)
{
	struct vhost_user_config c = {.owner = &owner.ops, .listen_fd = -1, .in_band = in_band};
	uint64_t wanted = PROTOCOL | (in_band ? BIT(VHOST_PROTOCOL_IN_BAND) : 0);
	int fds[2], pair[2];

	owner_init(&owner);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	c.loop = loop;
	c.connected_fd = fds[0];
	assert_int_equal(vhost_user_port_new(&c, &port), 0);
	front_end_new(&fe, fds[1]);
	say(fe.sock, VHOST_SET_OWNER, 0, NULL, 0, NULL, 0);
	say(fe.sock, VHOST_GET_FEATURES, 0, NULL, 0, NULL, 0);
	step();
	uint64_t offered = hear_u64(&fe, VHOST_GET_FEATURES);
	assert_false(offered & (BIT(VHOST_F_MTU) | BIT(VHOST_F_STATUS))); /* it would ask us for their values */
	say(fe.sock, VHOST_GET_PROTOCOL_FEATURES, 0, NULL, 0, NULL, 0);
	step();
	uint64_t protocol = hear_u64(&fe, VHOST_GET_PROTOCOL_FEATURES);
	assert_true((protocol & (PROTOCOL | BIT(VHOST_PROTOCOL_IN_BAND))) == wanted);
	say_u64(&fe, VHOST_SET_PROTOCOL_FEATURES, wanted);
	say(fe.sock, VHOST_SET_BACKEND_REQ_FD, FLAG_NEED, NULL, 0, &pair[1], 1);
	util_close(&pair[1]);
	requests = pair[0];
	step();
	assert_int_equal(hear_u64(&fe, VHOST_SET_BACKEND_REQ_FD), 0);
	assert_int_equal(recv(requests, bytes, 1, MSG_DONTWAIT), -1); /* kept open: its end would be ours */
	assert_int_equal(errno, EAGAIN);
}

static void finish(void)
{
	assert_true(is_silent(&fe));
	assert_int_equal(port->n.rx_bad, 0);
	front_end_done(&fe);
	util_close(&requests);
	step();
	assert_int_equal(owner.n_closed, 1);
	port = port_free(port);
}

static void say_memory_table(void)
{
	uint64_t table[5] = {1, GUEST_AT, GUEST_BYTES, USER_AT, 0};

	say_u64(&fe, VHOST_SET_FEATURES, fe.features);
	say(fe.sock, VHOST_SET_MEM_TABLE, FLAG_NEED, table, sizeof(table), &fe.mem.fd, 1);
	step();
	assert_int_equal(hear_u64(&fe, VHOST_SET_MEM_TABLE), 0);
}

static void enable(bool on)
{
	for (uint32_t i = 0; i < 2; i++)
		say_state(&fe, VHOST_SET_VRING_ENABLE, i, on);
	step();
}

/* A frame of 100 bytes, in the driver's ring; nobody is told. */
static void put_frame(void)
{
	struct piece p = {BUFFERS_AT, 100 + VHOST_HEADER_BYTES};

	memset(fe.mem.at + BUFFERS_AT, 0, VHOST_HEADER_BYTES);
	memset(fe.mem.at + BUFFERS_AT + VHOST_HEADER_BYTES, 7, 100);
	assert_true(driver_add(&fe.rings[1], &p, 1, false) >= 0);
}

static void offer(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct piece p = {BUFFERS_AT + 0x10000 + i * 2048, 1526};

		assert_true(driver_add(&fe.rings[0], &p, 1, true) >= 0);
	}
}

static void write_kick(unsigned int ring)
{
	assert_int_equal(write(fe.kick[ring], &(uint64_t){1}, 8), 8);
}

static void send_to_guest(void)
{
	struct iovec iov = {bytes, 100};

	assert_int_equal(port_send(port, &iov, 1, 100, &(struct offload){}), 0);
}

/* A driver comes, is suspended, and goes. While its rings are disabled their memory is the guest's own. */
static void driver_life(unsigned int n_before, bool packed)
{
	static uint8_t was[BUFFERS_AT];

	fe.features = F_BASE | F_CSUM_TSO | F_MERGE | (packed ? BIT(VHOST_F_RING_PACKED) : 0);
	say_memory_table();
	for (uint32_t i = 0; i < 2; i++) {
		driver_of(&fe, i);
		say_ring(&fe, i, 0);
	}
	enable(true);
	for (unsigned int round = 0; round < 2; round++) {
		put_frame();
		write_kick(1);
		step();
		assert_int_equal(owner.n_frames, 2 * n_before + round + 1);
		assert_true(driver_used(&fe.rings[1], NULL) >= 0);
		enable(false);
		memcpy(was, fe.mem.at, sizeof(was));
		write_kick(0);
		write_kick(1);
		step();
		assert_memory_equal(was, fe.mem.at, sizeof(was));
		if (round == 0)
			enable(true);
	}
}

static void test_drivers_come_and_go(void **state)
{
	start(false);
	driver_life(0, true);
	driver_life(1, true);
	driver_life(2, false);
	finish();
}

/* In-band notifications. */

/* Says that a ring has something new, and hears that it was understood. */
static void say_kick(uint32_t ring)
{
	uint32_t body[2] = {ring, 0};

	say(fe.sock, VHOST_VRING_KICK, FLAG_NEED, body, sizeof(body), NULL, 0);
	step();
	assert_int_equal(hear_u64(&fe, VHOST_VRING_KICK), 0);
}

/* Whether we were told something of a ring. */
static bool was_told(enum vhost_own_request request, uint32_t ring)
{
	uint32_t m[5];
	ssize_t n = recv(requests, m, sizeof(m), MSG_DONTWAIT);

	if (n < 0)
		return false;
	assert_int_equal(n, sizeof(m));
	assert_int_equal(m[0], request);
	assert_int_equal(m[1], FLAG_VERSION);
	assert_int_equal(m[2], 8);
	assert_int_equal(m[3], ring);
	return true;
}

static void start_in_band(bool packed, uint64_t more_features)
{
	start(true);
	fe.features = F_BASE | (packed ? BIT(VHOST_F_RING_PACKED) : 0) | more_features;
	say_memory_table();
	for (uint32_t i = 0; i < 2; i++) {
		driver_of(&fe, i);
		say_state(&fe, VHOST_SET_VRING_NUM, i, fe.num);
		say_state(&fe, VHOST_SET_VRING_BASE, i, 0);
		say_addr(&fe, i);
	}
	enable(true);
}

static void test_messages_notify(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		start_in_band(packed, 0);
		for (unsigned int i = 0; i < 400; i++) {
			put_frame();
			step();
			assert_int_equal(owner.n_frames, i);
			say_kick(1);
			assert_int_equal(owner.n_frames, i + 1);
			assert_true(was_told(VHOST_OWN_VRING_CALL, 1));
			assert_true(driver_used(&fe.rings[1], NULL) >= 0);
		}
		offer(4);
		say_kick(0);
		send_to_guest();
		assert_false(was_told(VHOST_OWN_VRING_CALL, 0));
		step();
		assert_true(was_told(VHOST_OWN_VRING_CALL, 0));
		assert_true(driver_used(&fe.rings[0], NULL) >= 0);
		assert_false(was_told(VHOST_OWN_VRING_CALL, 0));
		finish();
	}
}

/* A front end that does not read what it is told is told when it does. */
static void test_a_full_socket(void **state)
{
	static const char junk[1000];
	size_t n_junk = 0, n_read = 0;
	int ours = -1;

	start_in_band(false, 0);
	ours = container_of(port, struct vhost_port, port)->dev->backend_fd;
	while (send(ours, junk, sizeof(junk), MSG_DONTWAIT) > 0 || send(ours, junk, 1, MSG_DONTWAIT) > 0)
		n_junk++;
	put_frame();
	say_kick(1);
	assert_int_equal(owner.n_frames, 1);
	assert_true(driver_used(&fe.rings[1], NULL) >= 0);
	assert_true(n_junk > 0);
	while (recv(requests, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		n_read++;
	assert_true(n_read > 0);
	time_ms++;
	step(); /* by a timer */
	assert_true(was_told(VHOST_OWN_VRING_CALL, 1));
	time_ms++;
	step();
	assert_false(was_told(VHOST_OWN_VRING_CALL, 1));
	finish();
}

/* One millisecond later: whether we were told of the ring once more. */
static bool was_nudged(void)
{
	time_ms++;
	step();
	return was_told(VHOST_OWN_VRING_CALL, 0);
}

/* A guest that does not come for what it was told of is told again, for it may have fallen asleep in between; not for
 * ever, and not once it has come. */
static void test_nudges(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		start_in_band(packed, BIT(VHOST_F_EVENT_IDX));
		offer(4);
		driver_want_calls(&fe.rings[0], true);
		say_kick(0);
		send_to_guest();
		step();
		assert_true(was_told(VHOST_OWN_VRING_CALL, 0));
		assert_true(was_nudged());
		assert_true(was_nudged());
		assert_true(driver_used(&fe.rings[0], NULL) >= 0);
		driver_want_calls(&fe.rings[0], true);
		assert_false(was_nudged());
		assert_false(was_nudged());
		send_to_guest();
		step();
		assert_true(was_told(VHOST_OWN_VRING_CALL, 0));
		unsigned int n = 0;
		while (n < 100 && was_nudged())
			n++;
		assert_in_range(n, 5, 20);
		finish();
	}
}

static void test_broken_ring(void **state)
{
	start_in_band(false, 0);
	fe.mem.at[fe.rings[1].avail + 3] = 0x7f; /* the index: more than there are places */
	say_kick(1);
	assert_true(was_told(VHOST_OWN_VRING_ERR, 1));
	assert_int_equal(port->n.rx_bad, 1);
	port->n.rx_bad = 0;
	finish();
}

static void test_only_where_told(void **state)
{
	start(false);
	say(fe.sock, VHOST_VRING_KICK, FLAG_NEED, (uint32_t[]){0, 0}, 8, NULL, 0);
	step();
	assert_int_equal(hear_u64(&fe, VHOST_VRING_KICK), 1);
	say(fe.sock, VHOST_SET_VRING_KICK, FLAG_NEED, &(uint64_t){VHOST_VRING_NO_FD}, 8, NULL, 0);
	step();
	assert_int_equal(hear_u64(&fe, VHOST_SET_VRING_KICK), 1);
	finish();
}

static int setup(void **state)
{
	time_ms = 1000;
	return loop_new(&(struct loop_clock){.now_ms = now_ms}, &loop) < 0 || vhost_mem_guard() < 0;
}

static int teardown(void **state)
{
	loop = loop_free(loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drivers_come_and_go),
		cmocka_unit_test(test_messages_notify),
		cmocka_unit_test(test_a_full_socket),
		cmocka_unit_test(test_nudges),
		cmocka_unit_test(test_broken_ring),
		cmocka_unit_test(test_only_where_told),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
