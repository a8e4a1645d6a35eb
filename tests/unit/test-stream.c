/* SPDX-License-Identifier: BSD-2-Clause */
/* The stream port against peers that behave, stall, lie and die. The peer is the other end of a socket
 * that the test reads and writes itself. */
#include "cmocka-all.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/un.h>

#include "clock.h"
#include "stream.h"
#include "util.h"

#include "owner.h"
#include "packets.h"

#define PEER_BYTES (4 * 1024 * 1024)
/* What a stalled reader may cost: the kernel's buffer and ours. */
#define STALL_MAX_BYTES (1024 * 1024)

static struct loop *loop;
static struct owner owner;
static uint8_t bytes[PACKET_MAX_BYTES];
static uint8_t got[PEER_BYTES]; /* what the peer has read and not yet looked at */
static size_t n_got;

static struct port *make_connected(int *ret_peer)
{
	struct port *p;
	int fds[2];

	owner_init(&owner);
	n_got = 0;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	struct stream_port_config c = {
		.loop = loop,
		.owner = &owner.ops,
		.name = "guest",
		.listen_fd = -1,
		.connected_fd = fds[0],
	};
	assert_int_equal(stream_port_new(&c, &p), 0);
	*ret_peer = fds[1];
	return p;
}

static void run(unsigned int n)
{
	while (n--)
		assert_int_equal(loop_run_once(loop, 0), 0);
}

static void peer_write(int fd, const void *data, size_t n)
{
	assert_int_equal(send(fd, data, n, MSG_NOSIGNAL), n);
}

static size_t put_frame(uint8_t *to, size_t n_bytes, uint8_t mark)
{
	struct wr w = wr_of(to, 4 + n_bytes);

	wr_u32(&w, (uint32_t)n_bytes);
	memset(to + 4, mark, n_bytes);
	return 4 + n_bytes;
}

/* Reads at most max bytes, as far as there are any. Returns how many. */
static size_t peer_read(int fd, size_t max)
{
	size_t sum = 0;

	while (sum < max) {
		assert_true(n_got < PEER_BYTES);
		ssize_t n = recv(fd, got + n_got, MIN(max - sum, PEER_BYTES - n_got), MSG_DONTWAIT);

		if (n <= 0)
			break;
		n_got += (size_t)n;
		sum += (size_t)n;
	}
	return sum;
}

/* Takes the next whole frame out of what was read; 0 if there is none. */
static size_t peer_frame(uint8_t *ret)
{
	if (n_got < 4)
		return 0;
	size_t n = packet_be32(got);

	assert_in_range(n, 14, FRAME_MAX_BYTES);
	if (n_got < 4 + n)
		return 0;
	memcpy(ret, got + 4, n);
	memmove(got, got + 4 + n, n_got - 4 - n);
	n_got -= 4 + n;
	return n;
}

static int send_plain(struct port *p, size_t n_bytes, uint8_t mark)
{
	static const struct offload none;
	struct iovec iov[2] = {{bytes, 14}, {bytes + 14, n_bytes - 14}};

	memset(bytes, mark, n_bytes);
	return port_send(p, iov, 2, n_bytes, &none);
}

/* From the guest. */

static uint8_t marks[4096];
static unsigned int n_marks;

static void note_mark(void *ctx, struct port *p, const struct frame *f)
{
	for (size_t i = 0; i < f->n_bytes; i++)
		assert_int_equal(owner.last[i], owner.last[0]);
	assert_false(f->offload.csum_needed || f->offload.csum_valid || f->offload.gso);
	marks[n_marks++ % ARRAY_SIZE(marks)] = owner.last[0];
}

static void test_many_frames_of_one_write(void **state)
{
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);
	static uint8_t out[200 * 1600];
	size_t n = 0;

	owner.each = note_mark;
	n_marks = 0;
	for (unsigned int i = 0; i < 200; i++)
		n += put_frame(out + n, 14 + i % 500, (uint8_t)i);
	peer_write(peer, out, n);
	run(2);
	assert_int_equal(owner.n_frames, 200);
	assert_int_equal(owner.longest_batch, PORT_BATCH);
	assert_int_equal(owner.n_calls, 4);
	for (unsigned int i = 0; i < 200; i++)
		assert_int_equal(marks[i], i);
	assert_int_equal(p->n.rx_frames, 200);
	assert_int_equal(p->n.rx_bytes, n - 200 * 4);
	port_free(p);
}

static void test_any_fragmentation(void **state)
{
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);
	static uint8_t out[3 * (4 + FRAME_MAX_BYTES)];
	size_t n = 0;

	owner.each = note_mark;
	n_marks = 0;
	n += put_frame(out + n, 14, 1);
	n += put_frame(out + n, 300, 2);
	for (size_t i = 0; i < n; i++) {
		peer_write(peer, out + i, 1);
		run(1);
	}
	assert_int_equal(n_marks, 2);
	n = put_frame(out, FRAME_MAX_BYTES, 3);
	n += put_frame(out + n, FRAME_MAX_BYTES, 4);
	n += put_frame(out + n, 60, 5);
	for (size_t i = 0; i < n; i += MIN((size_t)9999, n - i)) {
		peer_write(peer, out + i, MIN((size_t)9999, n - i));
		run(1);
	}
	assert_int_equal(n_marks, 5);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(marks[i], i + 1);
	assert_int_equal(p->n.rx_bad, 0);
	port_free(p);
}

static void test_lying_lengths(void **state)
{
	static const uint32_t lies[] = {0, 1, 13, FRAME_MAX_BYTES + 1, 0x7fffffff, 0x80000000, 0xffffffff};

	for (unsigned int i = 0; i < ARRAY_SIZE(lies); i++) {
		_cleanup_close_ int peer = -1;
		struct port *p = make_connected(&peer);
		uint8_t out[200];
		size_t n = put_frame(out, 60, 1);
		struct wr w = wr_of(out + n, 100);

		wr_u32(&w, lies[i]);
		wr_u32(&w, 99);
		peer_write(peer, out, n + 8);
		run(3);
		assert_int_equal(owner.n_frames, 1); /* what came before the lie counts */
		assert_int_equal(owner.n_closed, 1);
		assert_int_equal(owner.error, -EPROTO);
		assert_true(owner.final);
		assert_int_equal(p->n.rx_bad, 1);
		assert_int_equal(p->n.n_closed, 1);
		assert_int_equal(send_plain(p, 60, 1), -ENOTCONN);
		assert_int_equal(recv(peer, out, sizeof(out), MSG_DONTWAIT), 0);
		port_free(p);
	}
}

static void test_orderly_end(void **state)
{
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);
	uint8_t out[100];

	peer_write(peer, out, put_frame(out, 60, 1));
	util_close(&peer);
	run(3);
	assert_int_equal(owner.n_frames, 1);
	assert_int_equal(owner.n_closed, 1);
	assert_int_equal(owner.error, 0);
	assert_true(owner.final);
	assert_int_equal(p->n.rx_bad, 0);
	port_free(p);
}

static void test_death_within_a_frame(void **state)
{
	for (size_t cut = 1; cut < 64; cut++) {
		_cleanup_close_ int peer = -1;
		struct port *p = make_connected(&peer);
		uint8_t out[100];

		(void)put_frame(out, 60, 1);
		peer_write(peer, out, cut);
		util_close(&peer);
		run(3);
		assert_int_equal(owner.n_frames, 0);
		assert_int_equal(owner.n_closed, 1);
		assert_int_equal(owner.error, -ECONNRESET);
		assert_int_equal(p->n.rx_bad, 1);
		port_free(p);
	}
}

/* To the guest. */

static void test_super_frame_between_small_ones(void **state)
{
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);
	struct packet k = {.n_payload = 65000, .flags = TCP_ACK | TCP_PSH, .seq = 5, .gso_size = 1448};
	struct offload o;
	static uint8_t super[PACKET_MAX_BYTES];
	size_t n = packet_build(&k, super, &o), done = 0;
	struct iovec iov[3] = {{super, 54}, {super + 54, 30000}, {super + 30054, n - 30054}};

	assert_int_equal(send_plain(p, 60, 1), 0);
	assert_int_equal(send_plain(p, 61, 2), 0);
	assert_int_equal(port_send(p, iov, 3, n, &o), 0);
	assert_int_equal(send_plain(p, 62, 3), 0);
	run(1);
	(void)peer_read(peer, SIZE_MAX);
	assert_int_equal(peer_frame(bytes), 60);
	assert_int_equal(bytes[0], 1);
	assert_int_equal(peer_frame(bytes), 61);
	for (int i = 0; i < 45; i++) {
		size_t f = peer_frame(bytes);
		struct verified v = packet_verify(bytes, f);

		assert_int_equal(packet_be32(v.l4 + 4), 5 + done);
		for (size_t b = 0; b < v.n_payload; b++)
			assert_int_equal(v.payload[b], packet_payload(done + b));
		done += v.n_payload;
	}
	assert_int_equal(done, 65000);
	assert_int_equal(peer_frame(bytes), 62);
	assert_int_equal(bytes[0], 3);
	assert_int_equal(n_got, 0);
	assert_int_equal(p->n.tx_frames, 4);
	port_free(p);
}

static void expect_padded(size_t n_bytes, uint8_t mark)
{
	assert_int_equal(peer_frame(bytes), MAX(n_bytes, (size_t)60));
	for (size_t i = 0; i < MAX(n_bytes, (size_t)60); i++)
		assert_int_equal(bytes[i], i < n_bytes ? mark : 0);
}

/* Short frames get Ethernet's least length, on their own and as segments, however they are written. */
static void test_short_frames_are_padded(void **state)
{
	static const size_t sizes[] = {14, 42, 59, 60, 61};
	struct packet k = {.n_payload = 1000, .flags = TCP_ACK, .seq = 5, .gso_size = 1};
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);
	struct offload o;

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
		assert_int_equal(send_plain(p, sizes[i], (uint8_t)(i + 1)), 0);
	size_t n = packet_build(&k, bytes, &o);
	struct iovec iov = {bytes, n};

	assert_int_equal(port_send(p, &iov, 1, n, &o), 0);
	run(1);
	(void)peer_read(peer, SIZE_MAX);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
		expect_padded(sizes[i], (uint8_t)(i + 1));
	for (unsigned int i = 0; i < 1000; i++) {
		assert_int_equal(peer_frame(bytes), 60);
		assert_int_equal(packet_verify(bytes, 55).payload[0], packet_payload(i));
		for (unsigned int b = 55; b < 60; b++)
			assert_int_equal(bytes[b], 0);
	}
	assert_int_equal(n_got, 0);
	port_free(p);
}

static void test_sizes_refused(void **state)
{
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);
	struct packet k = {.n_payload = 4000, .flags = TCP_ACK, .gso_size = 1};
	struct offload o, none = {};
	struct iovec iov = {bytes, FRAME_MAX_BYTES + 1};

	assert_int_equal(port_send(p, &iov, 1, FRAME_MAX_BYTES + 1, &none), -EMSGSIZE);
	assert_int_equal(port_send(p, &iov, 1, 13, &none), -EMSGSIZE);
	size_t n = packet_build(&k, bytes, &o);
	assert_int_equal(port_send(p, &iov, 1, n, &o), -EMSGSIZE);
	o.gso_size = 100;
	o.header_len--;
	assert_int_equal(port_send(p, &iov, 1, n, &o), -EINVAL);
	run(2);
	assert_int_equal(peer_read(peer, SIZE_MAX), 0);
	port_free(p);
}

/* Frames numbered by their sequence number, so that the peer can tell which it got. */
static int send_numbered(struct port *p, uint32_t number, size_t n_payload, uint16_t gso_size)
{
	struct packet k = {.n_payload = n_payload, .flags = TCP_ACK, .seq = number, .gso_size = gso_size};
	struct offload o;
	size_t n = packet_build(&k, bytes, &o);
	struct iovec iov = {bytes, n};

	return port_send(p, &iov, 1, n, &o);
}

static void test_peer_that_never_reads(void **state)
{
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);
	uint32_t sent = 0, read = 0;
	uint64_t held_bytes = 0;
	int r;

	while ((r = send_numbered(p, sent * 100000, sent % 3 ? 1000 : 60000, sent % 3 ? 0 : 1448)) == 0) {
		held_bytes += sent++ % 3 ? 1058 : 60000 + 42 * 58;
		assert_true(held_bytes < STALL_MAX_BYTES);
		run(1);
	}
	assert_int_equal(r, -ENOBUFS);
	assert_int_equal(owner.n_room, 0);

	/* It costs no processor time either: the loop sleeps. */
	uint64_t start_ms = clock_now_ms();
	for (int i = 0; i < 5; i++)
		assert_int_equal(loop_run_once(loop, 40), 0);
	assert_true(clock_now_ms() - start_ms >= 190);

	/* And it is still heard. */
	uint8_t out[100];
	peer_write(peer, out, put_frame(out, 60, 1));
	run(1);
	assert_int_equal(owner.n_frames, 1);

	/* Once it reads, all that was accepted arrives, whole and in order, and room() is called. */
	size_t expect_bytes = 0;
	while (read < sent) {
		(void)peer_read(peer, SIZE_MAX);
		run(1);
		for (size_t n; (n = peer_frame(bytes));) {
			struct verified v = packet_verify(bytes, n);

			assert_int_equal(packet_be32(v.l4 + 4), read * 100000 + expect_bytes);
			expect_bytes += v.n_payload;
			if (expect_bytes == (read % 3 ? 1000 : 60000)) {
				expect_bytes = 0;
				read++;
			}
		}
	}
	assert_int_equal(n_got, 0);
	assert_int_equal(owner.n_room, 1);
	assert_int_equal(send_numbered(p, 0, 60000, 1448), 0);
	port_free(p);
}

/* Small frames that are still gathered go out with the large one behind them, however little of it the
 * socket takes. Every third frame is a super-frame. */
static size_t payload_of(uint32_t number)
{
	return number % 3 ? 100 + number : 50000;
}

static void test_slow_reader(void **state)
{
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);
	uint32_t sent = 0, read = 0;
	size_t expect_bytes = 0;

	srandom(3);
	while (read < 300) {
		for (long n = random() % 6; n && sent < 300; n--) {
			uint16_t gso_size = sent % 3 ? 0 : (uint16_t)(500 + sent * 7);

			if (send_numbered(p, sent * 100000, payload_of(sent), gso_size) < 0)
				break;
			sent++;
		}
		run(random() & 1);
		(void)peer_read(peer, (size_t)random() % 60000);
		for (size_t n; (n = peer_frame(bytes));) {
			struct verified v = packet_verify(bytes, n);

			assert_int_equal(packet_be32(v.l4 + 4), read * 100000 + expect_bytes);
			for (size_t b = 0; b < v.n_payload; b++)
				assert_int_equal(v.payload[b], packet_payload(expect_bytes + b));
			expect_bytes += v.n_payload;
			if (expect_bytes == payload_of(read)) {
				expect_bytes = 0;
				read++;
			}
		}
	}
	assert_int_equal(sent, 300);
	assert_true(p->n.tx_no_room > 0); /* it was slow indeed */
	assert_true(owner.n_room > 0);
	port_free(p);
}

/* After a reserve() that succeeded a commit() cannot fail for want of room, however small the segments
 * are and though the peer reads nothing; sends in between do not eat what was reserved. */
static void test_reserved_room_is_there(void **state)
{
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);
	struct packet k = {.n_payload = 65000, .flags = TCP_ACK, .gso_size = 48};
	struct offload o;
	static uint8_t super[PACKET_MAX_BYTES];
	size_t n = packet_build(&k, super, &o);
	unsigned int taken = 0, between = 0, frames = 0;
	struct room room;
	int r;

	while ((r = port_reserve(p, 54, 65000, &room)) == 0) {
		assert_int_equal(room.n_bytes, 65000);
		assert_int_equal(room.n_iov, 1);
		memcpy(room.head, super, 54);
		memcpy(room.iov[0].iov_base, super + 54, n - 54);
		while (send_plain(p, 4000, 7) == 0)
			between++;
		assert_int_equal(port_commit(p, &room, n - 54, &o), 0);
		taken++;
		assert_true(taken < 10);
		run(1);
	}
	assert_int_equal(r, -ENOBUFS);
	assert_true(taken >= 1);
	do {
		run(1);
		for (size_t f; (f = peer_frame(bytes)); frames++)
			if (bytes[0] != 7)
				(void)packet_verify(bytes, f);
	} while (peer_read(peer, SIZE_MAX));
	assert_int_equal(n_got, 0);
	assert_int_equal(frames, between + taken * ((65000 + 47) / 48));
	assert_true(owner.n_room > 0);
	assert_int_equal(port_reserve(p, 54, SIZE_MAX, &room), 0);
	assert_int_equal(room.n_bytes, FRAME_MAX_BYTES - 54);
	port_cancel(p, &room);
	assert_int_equal(port_reserve(p, PORT_ROOM_HEADROOM, 1, &room), 0);
	port_cancel(p, &room);
	assert_int_equal(port_reserve(p, PORT_ROOM_HEADROOM + 1, 1, &room), -EINVAL);
	port_free(p);
}

/* A send refused only because of an open reservation is told of room once that is over. */
static void test_room_after_reservation(void **state)
{
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);
	struct room room;
	int r = 0;

	assert_int_equal(port_reserve(p, 128, 65000, &room), 0);
	for (int i = 0; i < 100 && r == 0; i++)
		r = send_numbered(p, 0, 60000, 48);
	assert_int_equal(r, -ENOBUFS);
	port_cancel(p, &room);
	(void)peer_read(peer, SIZE_MAX);
	run(2);
	assert_int_equal(owner.n_room, 1);
	port_free(p);
}

/* The peer goes while data waits for it; its last words are heard first. */
static void test_death_while_writing(void **state)
{
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);
	uint8_t out[100];
	int r;

	while (send_numbered(p, 0, 60000, 1448) == 0)
		;
	peer_write(peer, out, put_frame(out, 60, 9));
	util_close(&peer);
	r = send_numbered(p, 0, 60, 0);
	assert_true(r == -ENOTCONN || r == -ENOBUFS || r == 0);
	assert_int_equal(owner.n_closed, 0); /* never from within a send */
	run(3);
	assert_int_equal(owner.n_closed, 1);
	assert_int_equal(send_numbered(p, 0, 60, 0), -ENOTCONN);
	port_free(p);

	p = make_connected(&peer);
	peer_write(peer, out, put_frame(out, 60, 9));
	util_close(&peer);
	assert_int_equal(send_numbered(p, 0, 60000, 1448), -ENOTCONN);
	assert_int_equal(owner.n_closed, 0);
	run(3);
	assert_int_equal(owner.n_frames, 1);
	assert_int_equal(owner.last[0], 9);
	assert_int_equal(owner.n_closed, 1);
	port_free(p);
}

/* A peer that only shuts its reading side, and talks on. */
static void test_half_deaf_peer(void **state)
{
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);
	uint8_t out[100];

	assert_int_equal(shutdown(peer, SHUT_RD), 0);
	assert_int_equal(send_numbered(p, 0, 60000, 1448), -ENOTCONN);
	assert_int_equal(send(peer, out, put_frame(out, 60, 9), MSG_NOSIGNAL), 64);
	run(3);
	assert_int_equal(owner.n_frames, 1);
	assert_int_equal(owner.n_closed, 1);
	assert_int_equal(owner.error, -EPIPE);
	port_free(p);
}

/* Answers from within input(), to a peer that floods and never reads: the worst re-entrancy there is. */
static void answer(void *ctx, struct port *p, const struct frame *f)
{
	(void)send_numbered(p, 0, 20000, 1448);
}

static void test_answers_from_within_input(void **state)
{
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);
	uint8_t out[64];

	owner.each = answer;
	for (int i = 0; i < 300; i++) {
		peer_write(peer, out, put_frame(out, 60, (uint8_t)i));
		if (i % 10 == 0)
			run(1);
	}
	run(3);
	assert_int_equal(owner.n_frames, 300);
	assert_true(p->n.tx_no_room > 0);
	for (int i = 0; i < 10; i++)
		peer_write(peer, out, put_frame(out, 60, (uint8_t)i));
	util_close(&peer);
	run(4);
	assert_int_equal(owner.n_frames, 310);
	assert_int_equal(owner.n_closed, 1);
	port_free(p);
}

static void free_in_time(void *ctx, struct port *p)
{
	assert_int_equal(send_plain(p, 60, 1), 0);
}

static void test_room_callback_may_send(void **state)
{
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);

	owner.on_room = free_in_time;
	while (send_numbered(p, 0, 60000, 1448) == 0)
		;
	while (peer_read(peer, SIZE_MAX))
		run(1);
	assert_int_equal(owner.n_room, 1);
	port_free(p);
}

/* Listening. */

static int listen_unix(struct sockaddr_un *ret)
{
	socklen_t n = sizeof(*ret);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_un any = {.sun_family = AF_UNIX};

	assert_true(fd >= 0);
	assert_int_equal(
		bind(fd, (struct sockaddr *)&any, sizeof(sa_family_t)), 0); /* a free abstract name */
	assert_int_equal(listen(fd, 4), 0);
	memset(ret, 0, sizeof(*ret));
	assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &n), 0);
	return fd;
}

static int dial(const struct sockaddr_un *to)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	/* An abstract name made by the kernel: a zero byte and five digits. */
	assert_int_equal(connect(fd, (const struct sockaddr *)to, sizeof(sa_family_t) + 6), 0);
	return fd;
}

static void test_one_client_after_the_other(void **state)
{
	struct sockaddr_un name;
	struct stream_port_config c = {
		.loop = loop,
		.owner = &owner.ops,
		.listen_fd = listen_unix(&name),
		.connected_fd = -1,
	};
	struct port *p;
	uint8_t out[100];

	owner_init(&owner);
	assert_int_equal(stream_port_new(&c, &p), 0);
	assert_int_equal(send_plain(p, 60, 1), -ENOTCONN);
	_cleanup_close_ int first = dial(&name);
	_cleanup_close_ int second = dial(&name);
	peer_write(second, out, put_frame(out, 60, 2));
	peer_write(first, out, put_frame(out, 60, 1));
	run(4);
	assert_int_equal(owner.n_opened, 1);
	assert_int_equal(owner.n_frames, 1); /* the second waits */
	assert_int_equal(owner.last[0], 1);

	/* The waiting client makes the loop neither spin nor speak to it. */
	uint64_t start_ms = clock_now_ms();
	assert_int_equal(loop_run_once(loop, 50), 0);
	assert_true(clock_now_ms() - start_ms >= 45);

	while (send_numbered(p, 0, 60000, 1448) == 0)
		;
	peer_write(first, out, 10); /* dies within a frame, with data waiting for it */
	util_close(&first);
	run(4);
	assert_int_equal(owner.n_closed, 1);
	assert_false(owner.final);
	assert_int_equal(p->n.rx_bad, 1);
	assert_int_equal(owner.n_opened, 2);
	assert_int_equal(owner.n_frames, 2);
	assert_int_equal(owner.last[0], 2);

	/* Nothing of the first's is left over for the second. */
	n_got = 0;
	assert_int_equal(send_plain(p, 60, 5), 0);
	run(1);
	assert_int_equal(peer_read(second, SIZE_MAX), 64);
	assert_int_equal(peer_frame(bytes), 60);
	assert_int_equal(bytes[0], 5);
	util_close(&second);
	run(3);
	assert_int_equal(owner.n_closed, 2);
	for (unsigned int i = 0; i < 20; i++) {
		_cleanup_close_ int next = dial(&name);

		run(2);
		assert_int_equal(owner.n_opened, 3 + i);
		util_close(&next);
		run(2);
		assert_int_equal(owner.n_closed, 3 + i);
	}
	port_free(p);
}

static void test_attach(void **state)
{
	struct stream_port_config c = {
		.loop = loop, .owner = &owner.ops, .listen_fd = -1, .connected_fd = -1};
	struct port *p;
	int fds[2], next[2];
	uint8_t out[100];

	owner_init(&owner);
	assert_int_equal(stream_port_new(&c, &p), 0);
	assert_int_equal(send_plain(p, 60, 1), -ENOTCONN);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		assert_int_equal(stream_port_attach(p, fds[0]), 0);
		assert_int_equal(owner.n_opened, 2 * i + 1);
		peer_write(fds[1], out, put_frame(out, 60, 1));
		run(2);
		assert_int_equal(owner.n_frames, 2 * i + 1);
		/* Half a frame, and one not yet written: the next connection must see neither. */
		peer_write(fds[1], out, 9);
		run(1);
		assert_int_equal(send_plain(p, 60, 1), 0);

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, next), 0);
		assert_int_equal(stream_port_attach(p, next[0]), 0); /* over a live one */
		assert_int_equal(recv(fds[1], out, 1, MSG_DONTWAIT), 0);
		peer_write(next[1], out, put_frame(out, 60, 1));
		run(2);
		n_got = 0;
		assert_int_equal(send_plain(p, 61, 2), 0);
		run(2);
		assert_int_equal(peer_read(next[1], SIZE_MAX), 65);
		assert_int_equal(owner.n_frames, 2 * i + 2);
		util_close(&fds[1]);
		util_close(&next[1]);
		run(3);
		assert_int_equal(owner.n_closed, 2 * i + 2);
		assert_false(owner.final);
	}
	port_free(p);
}

/* Ports may come and go for as long as the engine runs, descriptors and the loop's sources too. */
static void test_nothing_is_leaked(void **state)
{
	int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC), again;

	assert_true(lowest >= 0);
	assert_int_equal(close(lowest), 0);
	for (int i = 0; i < 1000; i++) {
		_cleanup_close_ int peer = -1;
		struct port *p = make_connected(&peer);

		assert_int_equal(send_plain(p, 60, 1), 0);
		port_free(p);
	}
	again = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(again, lowest);
	assert_int_equal(close(again), 0);
}

/* Two ports with events in one batch; handling the first frees the second. */
static struct port *victim;

static void free_victim(void *ctx, struct port *p, const struct frame *f)
{
	victim = port_free(victim);
}

static void test_freed_with_events_fetched(void **state)
{
	static struct owner other;
	_cleanup_close_ int peer = -1;
	struct port *p = make_connected(&peer);
	int fds[2];
	uint8_t out[100];

	owner_init(&other);
	other.each = free_victim;
	owner.each = NULL;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	struct stream_port_config c = {
		.loop = loop, .owner = &other.ops, .listen_fd = -1, .connected_fd = fds[0]};
	struct port *killer;
	assert_int_equal(stream_port_new(&c, &killer), 0);
	victim = p;
	peer_write(fds[1], out, put_frame(out, 60, 1)); /* ready first, so handled first */
	peer_write(peer, out, put_frame(out, 60, 1));
	run(2);
	assert_null(victim);
	assert_int_equal(owner.n_frames, 0);
	port_free(killer);
	util_close(&fds[1]);
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
		cmocka_unit_test(test_many_frames_of_one_write),
		cmocka_unit_test(test_any_fragmentation),
		cmocka_unit_test(test_lying_lengths),
		cmocka_unit_test(test_orderly_end),
		cmocka_unit_test(test_death_within_a_frame),
		cmocka_unit_test(test_super_frame_between_small_ones),
		cmocka_unit_test(test_short_frames_are_padded),
		cmocka_unit_test(test_sizes_refused),
		cmocka_unit_test(test_peer_that_never_reads),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_reserved_room_is_there),
		cmocka_unit_test(test_room_after_reservation),
		cmocka_unit_test(test_death_while_writing),
		cmocka_unit_test(test_half_deaf_peer),
		cmocka_unit_test(test_answers_from_within_input),
		cmocka_unit_test(test_room_callback_may_send),
		cmocka_unit_test(test_one_client_after_the_other),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_nothing_is_leaked),
		cmocka_unit_test(test_freed_with_events_fetched),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
