/* SPDX-License-Identifier: BSD-2-Clause */
/* The vhost-user port against a front end and a driver of the test's own: in QEMU's order of requests, with
 * what drivers negotiate, and where either of them goes wrong. */
#include "cmocka-all.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/un.h>

#include "clock.h"
#include "front-end.h"
#include "segment.h"
#include "vhost_user.h"

#include "owner.h"
#include "packets.h"

static struct loop *loop;
static struct owner owner;
static struct port *port;
static struct front_end fe;
static unsigned int n_warnings;
static char warning[256];
static uint64_t frozen_ms; /* the loop's time; 0: as it is */
static bool busy_poll;
static uint8_t bytes[PACKET_MAX_BYTES + 64], other[PACKET_MAX_BYTES + VHOST_HEADER_BYTES];

static void on_warning(void *ctx, struct port *p, const char *text)
{
	n_warnings++;
	(void)snprintf(warning, sizeof(warning), "%s", text);
}

static uint64_t now_ms(void *ctx)
{
	return frozen_ms ? frozen_ms : clock_now_ms();
}

static void step(void)
{
	assert_int_equal(loop_run_once(loop, 0), 0);
	assert_int_equal(loop_run_once(loop, 0), 0);
}

static struct vhost_user_config config(void)
{
	return (struct vhost_user_config){
		.loop = loop,
		.owner = &owner.ops,
		.name = "guest",
		.listen_fd = -1,
		.connected_fd = -1,
		.warn = on_warning,
		.busy_poll = busy_poll,
	};
}

/* A connection, no word said. */
static void connect_pair(void)
{
	int fds[2];

	owner_init(&owner);
	n_warnings = 0;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	struct vhost_user_config c = config();
	c.connected_fd = fds[0];
	assert_int_equal(vhost_user_port_new(&c, &port), 0);
	front_end_new(&fe, fds[1]);
}

static void start(uint64_t features)
{
	connect_pair();
	fe.features = F_BASE | features;
	say_hello(&fe, step);
	say_driver_ok(&fe, step);
}

static void finish(void)
{
	front_end_done(&fe);
	step();
	assert_int_equal(owner.n_closed, 1);
	assert_true(owner.final);
	port = port_free(port);
}

static struct vhost_port *inside(void)
{
	return container_of(port, struct vhost_port, port);
}

/* The driver. */

static void kick(unsigned int ring)
{
	uint64_t one = 1;

	if (driver_wants_kick(&fe.rings[ring]))
		assert_int_equal(write(fe.kick[ring], &one, sizeof(one)), sizeof(one));
}

/* Sends header and frame in pieces that break at the offsets given (ascending, ended by 0). */
static void guest_send(const struct offload *o, const void *frame, size_t n, const uint32_t *cuts)
{
	struct piece pieces[8];
	unsigned int n_pieces = 0;
	uint32_t at = BUFFERS_AT + 0x80000, from = 0, total = (uint32_t)(n + VHOST_HEADER_BYTES);
	struct wr w = wr_of(fe.mem.at + at, VHOST_HEADER_BYTES);

	offload_emit(&w, o);
	memcpy(fe.mem.at + at + VHOST_HEADER_BYTES, frame, n);
	for (; *cuts; cuts++) {
		pieces[n_pieces++] = (struct piece){at + from, *cuts - from};
		from = *cuts;
	}
	pieces[n_pieces++] = (struct piece){at + from, total - from};
	assert_true(driver_add(&fe.rings[1], pieces, n_pieces, false) >= 0);
	kick(1);
}

static uint32_t buffer_at(unsigned int i, uint32_t n_bytes)
{
	return BUFFERS_AT + i * n_bytes;
}

/* Offers n buffers to receive into, numbered from first. */
static void guest_offer(unsigned int first, unsigned int n, uint32_t n_bytes)
{
	for (unsigned int i = first; i < first + n; i++) {
		struct piece p = {buffer_at(i, n_bytes), n_bytes};

		assert_true(driver_add(&fe.rings[0], &p, 1, true) >= 0);
	}
	kick(0);
}

/* The next frame that arrived, of buffers offered in order from `first` on; its buffers in *ret_n. */
static size_t guest_receive(unsigned int first, uint32_t n_bytes, unsigned int *ret_n, struct offload *ret)
{
	uint32_t used;
	size_t n = 0;
	unsigned int k = 0, n_buffers = 1;

	do {
		if (driver_used(&fe.rings[0], &used) < 0) {
			assert_int_equal(k, 0); /* a frame is there as a whole */
			return 0;
		}
		const uint8_t *at = fe.mem.at + buffer_at(first + k, n_bytes);
		assert_true(used <= n_bytes);
		if (k == 0) {
			assert_true(used > VHOST_HEADER_BYTES);
			n_buffers = at[10] | at[11] << 8;
			assert_true(n_buffers >= 1);
		}
		memcpy(other + n, at, used);
		n += used;
		k++;
	} while (k < n_buffers);
	struct rd r = rd_of(other, VHOST_HEADER_BYTES);
	assert_int_equal(offload_parse(&r, n - VHOST_HEADER_BYTES, ret), DROP_NONE);
	*ret_n = n_buffers;
	memmove(bytes, other + VHOST_HEADER_BYTES, n - VHOST_HEADER_BYTES);
	return n - VHOST_HEADER_BYTES;
}

static const uint64_t shapes[] = {
	0,
	BIT(VHOST_F_EVENT_IDX),
	BIT(VHOST_F_INDIRECT_DESC) | BIT(VHOST_F_EVENT_IDX),
	BIT(VHOST_F_RING_PACKED),
	BIT(VHOST_F_RING_PACKED) | BIT(VHOST_F_EVENT_IDX) | BIT(VHOST_F_INDIRECT_DESC),
};

/* The protocol. */

static void test_offers(void **state)
{
	start(F_CSUM_TSO | F_MERGE);
	uint64_t p = fe.protocol;

	assert_true(p & BIT(VHOST_PROTOCOL_REPLY_ACK) && p & BIT(VHOST_PROTOCOL_LOG_SHMFD));
	assert_true(p & BIT(VHOST_PROTOCOL_MEM_SLOTS) && p & BIT(VHOST_PROTOCOL_STATUS));
	assert_true(p & BIT(VHOST_PROTOCOL_RARP) && p & BIT(VHOST_PROTOCOL_NET_MTU));
	assert_false(p & BIT(14)); /* in-band notifications: QEMU takes them blindly */
	assert_false(p & BIT(9));  /* CONFIG: QEMU warns of it */
	assert_false(p & BIT(VHOST_PROTOCOL_BACKEND_REQ));
	assert_int_equal(port->caps, PORT_CAP_CSUM | PORT_CAP_TSO4 | PORT_CAP_TSO6);
	finish();
}

static void test_no_protocol_features(void **state)
{
	connect_pair();
	fe.features = BIT(VHOST_F_VERSION_1);
	say(fe.sock, VHOST_GET_FEATURES, 0, NULL, 0, NULL, 0);
	step();
	(void)hear_u64(&fe, VHOST_GET_FEATURES);
	say(fe.sock, VHOST_SET_OWNER, 0, NULL, 0, NULL, 0);
	say_u64(&fe, VHOST_SET_FEATURES, fe.features);
	uint64_t table[5] = {1, GUEST_AT, GUEST_BYTES, USER_AT, 0};
	say(fe.sock, VHOST_SET_MEM_TABLE, 0, table, sizeof(table), &fe.mem.fd, 1);
	for (uint32_t i = 0; i < 2; i++) {
		driver_of(&fe, i);
		say_ring(&fe, i, 0);
	}
	step();
	guest_send(&(struct offload){}, bytes, 100, (uint32_t[]){0}); /* enabled from the start */
	step();
	assert_int_equal(owner.n_frames, 1);
	finish();
}

static void test_messages_in_crumbs(void **state)
{
	connect_pair();
	struct {
		uint32_t head[3];
		uint64_t body;
	} __attribute__((packed)) m = {{VHOST_SET_PROTOCOL_FEATURES, FLAG_VERSION, 8}, BIT(VHOST_PROTOCOL_REPLY_ACK)};
	for (size_t i = 0; i < sizeof(m); i++) {
		assert_int_equal(send(fe.sock, (uint8_t *)&m + i, 1, 0), 1);
		step();
	}
	assert_true(inside()->dev->protocol == BIT(VHOST_PROTOCOL_REPLY_ACK));
	finish();
}

/* From the guest. */

static void test_from_guest(void **state)
{
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		static const uint32_t cuts[][6] = {{0}, {12, 0}, {5, 11, 13, 30, 0}, {12, 26, 300, 1000, 0}};

		start(shapes[s] | F_CSUM_TSO);
		for (unsigned int i = 0; i < 600; i++) {
			size_t n = 1100 + i;

			for (size_t k = 0; k < n; k++)
				bytes[k] = (uint8_t)(k * 7 + i);
			guest_send(&(struct offload){}, bytes, n, cuts[i % 4]);
			step();
			assert_int_equal(owner.n_frames, i + 1);
			assert_int_equal(owner.last_bytes, n);
			assert_memory_equal(owner.last, bytes, n);
			uint32_t used;
			assert_true(driver_used(&fe.rings[1], &used) >= 0);
			assert_int_equal(used, 0);
		}
		assert_int_equal(port->n.rx_bad, 0);
		finish();
	}
}

static void test_super_frame_from_guest(void **state)
{
	struct packet k = {.dst = {{2}}, .src = {{4}}, .n_payload = 60000, .gso_size = 1448, .flags = TCP_ACK};
	struct offload o;

	start(F_CSUM_TSO);
	size_t n = packet_build(&k, bytes, &o);
	guest_send(&o, bytes, n, (uint32_t[]){12, 100, 20000, 40000, 0});
	step();
	assert_int_equal(owner.last_bytes, n);
	assert_memory_equal(owner.last, bytes, n);
	/* As a guest reads them: the bytes between a structure's fields have no value. */
	uint8_t got[OFFLOAD_VNET_BYTES], want[OFFLOAD_VNET_BYTES];
	offload_emit(&(struct wr){.p = got, .left = sizeof(got)}, &owner.last_offload);
	offload_emit(&(struct wr){.p = want, .left = sizeof(want)}, &o);
	assert_memory_equal(got, want, sizeof(want));
	assert_int_equal(owner.last_offload.gso, o.gso);
	finish();
}

/* The head is a copy: what the guest writes later does not show in it. */
static void head_is_private(void *ctx, struct port *p, const struct frame *f)
{
	memset(fe.mem.at + BUFFERS_AT + 0x80000, 0xee, 0x10000);
	assert_int_equal(f->head[20], 1);
	assert_int_equal(((uint8_t *)f->iov[0].iov_base)[20], 1);
	assert_int_equal(((uint8_t *)f->iov[f->n_iov - 1].iov_base)[0], 0xee);
}

static void test_head_is_private(void **state)
{
	start(0);
	owner.each = head_is_private;
	memset(bytes, 1, 1000);
	guest_send(&(struct offload){}, bytes, 1000, (uint32_t[]){0});
	step();
	assert_int_equal(owner.n_frames, 1);
	finish();
}

static void test_frames_that_are_none(void **state)
{
	struct offload o = {};

	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		start(shapes[s]);
		guest_send(&o, bytes, 13, (uint32_t[]){0});    /* less than Ethernet */
		guest_send(&o, bytes, FRAME_MAX_BYTES + 1, (uint32_t[]){0});
		struct piece p = {BUFFERS_AT, 5};              /* less than the header */
		assert_true(driver_add(&fe.rings[1], &p, 1, false) >= 0);
		memset(fe.mem.at + BUFFERS_AT, 0xff, 200);     /* a header of nonsense */
		p.n = 200;
		assert_true(driver_add(&fe.rings[1], &p, 1, false) >= 0);
		guest_send(&o, bytes, 14, (uint32_t[]){0});
		step();
		assert_int_equal(port->n.rx_bad, 4);
		assert_int_equal(owner.n_frames, 1);
		for (int i = 0; i < 5; i++)
			assert_true(driver_used(&fe.rings[1], NULL) >= 0);
		assert_true(inside()->rings[1].running);
		finish();
	}
}

/* More than a pass takes is not left lying, though no kick comes for it. */
static void test_a_full_ring(void **state)
{
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		struct piece p = {BUFFERS_AT, 100};

		start(shapes[s]);
		memset(fe.mem.at + BUFFERS_AT, 0, 100);
		for (int lap = 0; lap < 20; lap++) {
			unsigned int n = 0;

			while (driver_add(&fe.rings[1], &p, 1, false) >= 0)
				n++;
			kick(1);
			for (int i = 0; i < 3; i++)
				step();
			while (driver_used(&fe.rings[1], NULL) >= 0)
				n--;
			assert_int_equal(n, 0);
		}
		assert_int_equal(owner.n_frames, 20 * 256);
		assert_int_equal(owner.longest_batch, PORT_BATCH);
		finish();
	}
}

/* To the guest. */

static int send_whole(size_t n, const struct offload *o)
{
	struct iovec iov[2] = {{bytes, MIN(n, (size_t)54)}, {bytes + 54, n - MIN(n, (size_t)54)}};

	return port_send(port, iov, n > 54 ? 2 : 1, n, o);
}

static void test_to_guest(void **state)
{
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		unsigned int n_buffers, first = 0;
		struct offload o;

		start(shapes[s] | F_CSUM_TSO | F_MERGE);
		assert_int_equal(send_whole(100, &(struct offload){}), -ENOBUFS);
		for (unsigned int i = 0; i < 1000; i++) {
			size_t n = 60 + i;

			first = i % 200;
			guest_offer(first, 1, 1526);
			for (size_t k = 0; k < n; k++)
				bytes[k] = (uint8_t)(k + i);
			assert_int_equal(send_whole(n, &(struct offload){}), 0);
			step();
			assert_true(fd_was_told(fe.call[0]));
			assert_int_equal(guest_receive(first, 1526, &n_buffers, &o), n);
			driver_want_calls(&fe.rings[0], true);
			assert_int_equal(n_buffers, 1);
			for (size_t k = 0; k < n; k++)
				assert_int_equal(bytes[k], (uint8_t)(k + i));
		}
		finish();
	}
}

static void test_super_frame_to_guest(void **state)
{
	struct packet k = {.dst = {{2}}, .src = {{4}}, .n_payload = 60000, .gso_size = 1448, .flags = TCP_ACK};

	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++)
		for (int merged = 0; merged < 2; merged++) {
			uint32_t size = merged ? 1526 : 66000;
			unsigned int n_buffers, total = merged ? 100 : 3;
			struct offload o, got;

			start(shapes[s] | F_CSUM_TSO | (merged ? F_MERGE : 0));
			guest_offer(0, total, size);
			size_t n = packet_build(&k, bytes, &o);
			assert_int_equal(send_whole(n, &o), 0);
			step();
			assert_int_equal(guest_receive(0, size, &n_buffers, &got), n);
			assert_int_equal(n_buffers, merged ? (n + 12 + size - 1) / size : 1);
			assert_memory_equal(&got, &o, sizeof(o));
			size_t again = packet_build(&k, other, &o);
			assert_int_equal(again, n);
			assert_memory_equal(bytes, other, n);
			/* The rest of the buffers is still the port's. */
			assert_int_equal(vring_n_avail(&inside()->rings[0].v, 256), total - n_buffers);
			finish();
		}
}

/* reserve(), as the gateway receives into it. */
static size_t fill_room(struct room *r, const uint8_t *frame, size_t n)
{
	size_t at = r->n_head, sum = 0;

	memcpy(r->head, frame, r->n_head);
	for (unsigned int i = 0; i < r->n_iov; i++) {
		size_t take = MIN(r->iov[i].iov_len, n - at);

		memcpy(r->iov[i].iov_base, frame + at, take);
		at += take;
		sum += r->iov[i].iov_len;
	}
	assert_int_equal(sum, r->n_bytes);
	assert_int_equal(at, n);
	return n - r->n_head;
}

static void test_reserve_direct(void **state)
{
	struct packet k = {.dst = {{2}}, .src = {{4}}, .n_payload = 20000, .gso_size = 1448, .flags = TCP_ACK};

	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++)
		for (int merged = 0; merged < 2; merged++) {
			uint32_t size = merged ? 1526 : 66000;
			unsigned int n_buffers, total = merged ? 100 : 3;
			struct offload o, got;
			struct room r;

			start(shapes[s] | F_CSUM_TSO | (merged ? F_MERGE : 0));
			guest_offer(0, total, size);
			for (int lap = 0; lap < 2; lap++) {
				unsigned int before = vring_n_avail(&inside()->rings[0].v, 256);

				assert_int_equal(port_reserve(port, 54, 65000, &r), 0);
				assert_int_equal(r.n_bytes, 65000);
				assert_true((uint8_t *)r.iov[0].iov_base >= inside()->mem.regions[0].at);
				assert_int_equal(port_reserve(port, 54, 65000, &r), -EINVAL); /* one at a time */
				port_cancel(port, &r);
				assert_int_equal(vring_n_avail(&inside()->rings[0].v, 256), before);
				size_t n = packet_build(&k, other, &o);
				assert_int_equal(port_reserve(port, 54, 65000, &r), 0);
				size_t filled = fill_room(&r, other, n);
				assert_int_equal(port_commit(port, &r, filled, &o), 0);
				step();
				unsigned int used_before = total - before;
				assert_int_equal(guest_receive(used_before, size, &n_buffers, &got), n);
				assert_memory_equal(&got, &o, sizeof(o));
				(void)packet_build(&k, other, &o);
				assert_memory_equal(bytes, other, n);
				assert_int_equal(vring_n_avail(&inside()->rings[0].v, 256), before - n_buffers);
			}
			finish();
		}
}

/* A frame that the driver did not ask for as it is comes as plain ones, whichever way it took. */
static void test_plain_drivers(void **state)
{
	static const uint64_t features[] = {
		0,
		F_MERGE,
		BIT(VHOST_F_GUEST_CSUM),
		BIT(VHOST_F_GUEST_CSUM) | BIT(VHOST_F_GUEST_TSO4) | F_MERGE, /* IPv4 only, and the frame is IPv6 */
		F_CSUM_TSO | F_MERGE,                                        /* no UDP */
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++)
		for (int reserved = 0; reserved < 2; reserved++) {
			struct packet k = {.dst = {{2}}, .src = {{4}}, .n_payload = 20000, .gso_size = 1448,
				.flags = TCP_ACK, .is6 = i == 3, .udp = i == 4};
			unsigned int n_buffers, n_frames = 0, first = 0;
			size_t n_head = i == 3 ? 74 : i == 4 ? 42 : 54, payload = 0, n;
			struct offload o, got;
			struct room r;

			start(features[i] | BIT(VHOST_F_EVENT_IDX));
			guest_offer(0, 200, 1526);
			n = packet_build(&k, bytes, &o);
			if (reserved) {
				memcpy(other, bytes, n);
				assert_int_equal(port_reserve(port, n_head, 30000, &r), 0);
				assert_int_equal(r.n_bytes, 30000);
				size_t filled = fill_room(&r, other, n);
				assert_int_equal(port_commit(port, &r, filled, &o), 0);
			} else {
				assert_int_equal(send_whole(n, &o), 0);
			}
			step();
			while ((n = guest_receive(first, 1526, &n_buffers, &got)) > 0) {
				first += n_buffers;
				assert_false(got.csum_needed || got.gso);
				struct verified v = packet_verify(bytes, n);
				for (size_t at = 0; at < v.n_payload; at++)
					assert_int_equal(v.payload[at], packet_payload(payload + at));
				payload += v.n_payload;
				n_frames++;
			}
			assert_int_equal(payload, 20000);
			assert_int_equal(n_frames, (20000 + 1447) / 1448);
			finish();
		}
}

/* Older drivers have a header of 10 bytes unless they merge. */
static void test_legacy_header(void **state)
{
	static uint8_t frame[100];

	connect_pair();
	fe.features = BIT(VHOST_F_PROTOCOL_FEATURES);
	say_hello(&fe, step);
	say_driver_ok(&fe, step);
	memset(frame, 9, sizeof(frame));
	struct piece p = {BUFFERS_AT, 110};
	memset(fe.mem.at + BUFFERS_AT, 0, 10);
	memcpy(fe.mem.at + BUFFERS_AT + 10, frame, 100);
	assert_true(driver_add(&fe.rings[1], &p, 1, false) >= 0);
	kick(1);
	step();
	assert_int_equal(owner.last_bytes, 100);
	assert_memory_equal(owner.last, frame, 100);
	p.at += 4096;
	p.n = 1514 + 10;
	assert_true(driver_add(&fe.rings[0], &p, 1, true) >= 0);
	memcpy(bytes, frame, 100);
	assert_int_equal(send_whole(100, &(struct offload){}), 0);
	step();
	uint32_t used;
	assert_int_equal(driver_used(&fe.rings[0], &used), 0);
	assert_int_equal(used, 110);
	assert_memory_equal(fe.mem.at + BUFFERS_AT + 4096 + 10, frame, 100);
	finish();
}

/* What waits is told when the guest has added buffers, and not before. */
static void test_room(void **state)
{
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		unsigned int n_buffers, n = 0;
		struct offload o;

		start(shapes[s] | F_CSUM_TSO | F_MERGE);
		guest_offer(0, 100, 1526);
		memset(bytes, 0, 1400);
		step();
		while (send_whole(1400, &(struct offload){}) == 0)
			n++;
		assert_int_equal(n, 100);
		for (int i = 0; i < 3; i++)
			step();
		assert_int_equal(owner.n_room, 0);
		for (unsigned int i = 0; i < n; i++)
			assert_int_equal(guest_receive(i, 1526, &n_buffers, &o), 1400);
		step();
		assert_int_equal(owner.n_room, 0);
		assert_true(fe.rings[0].event_idx || fe.rings[0].packed ||
			    !(get16(fe.mem.at + fe.rings[0].used) & 1));
		guest_offer(0, 100, 1526);
		step();
		assert_int_equal(owner.n_room, 1);
		struct room r;
		assert_int_equal(port_reserve(port, 54, 60000, &r), 0);
		port_cancel(port, &r);
		finish();
	}
}

/* A driver that offers eight buffers in all is served, though a super-frame would want 45 of them. */
static void test_few_buffers(void **state)
{
	static const uint64_t features[] = {0, F_CSUM_TSO | F_MERGE};
	struct packet k = {.dst = {{2}}, .src = {{4}}, .n_payload = 60000, .gso_size = 1448, .flags = TCP_ACK};

	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++) {
		struct room r;
		struct offload o;
		unsigned int n = 0;

		start(features[i]);
		guest_offer(0, 8, 1526);
		assert_int_equal(port_reserve(port, 54, 65000, &r), 0);
		assert_in_range(r.n_bytes, 4 * 1400, 8 * 1526);
		port_cancel(port, &r);
		step();
		(void)packet_build(&k, bytes, &o);
		if (i == 0) {
			/* The tail is lost. */
			assert_int_equal(send_whole(54 + 60000, &o), 0);
			step();
			while (driver_used(&fe.rings[0], NULL) >= 0)
				n++;
			assert_int_equal(n, 8);
		}
		finish();
	}
}

/* One call a pass at most, and none while the driver does not want it. */
/* Buffers that look like room and are none: each try would fail, and none is made before there are more. */
static void test_room_that_is_none(void **state)
{
	struct packet k = {.dst = {{2}}, .src = {{4}}, .n_payload = 1400, .flags = TCP_ACK};
	struct piece chain[35];
	struct offload o;
	struct room r;

	start(BIT(VHOST_F_RING_PACKED) | F_MERGE);
	assert_int_equal(send_whole(100, &(struct offload){}), -ENOBUFS);
	guest_offer(0, 200, 1526);
	step();
	assert_int_equal(owner.n_room, 1);
	memset(bytes, 0, 100);
	for (int i = 0; i < 200; i++)
		assert_int_equal(send_whole(100, &(struct offload){}), 0);
	step();
	for (int i = 0; i < 200; i++)
		assert_true(driver_used(&fe.rings[0], NULL) >= 0);
	/* 70 descriptors, in which no frame of 1454 bytes has a place. */
	for (unsigned int i = 0; i < 70; i++)
		chain[i % 35] = (struct piece){buffer_at(i, 16), 16};
	assert_true(driver_add(&fe.rings[0], chain, 35, true) >= 0);
	assert_true(driver_add(&fe.rings[0], chain, 35, true) >= 0);
	kick(0);
	assert_int_equal(port_reserve(port, 54, 65000, &r), 0);
	(void)packet_build(&k, bytes, &o);
	memcpy(r.head, bytes, 54);
	assert_int_equal(port_commit(port, &r, 1400, &o), -ENOBUFS);
	for (int i = 0; i < 5; i++)
		step();
	assert_int_equal(owner.n_room, 1);
	guest_offer(0, 100, 1526);
	step();
	assert_int_equal(owner.n_room, 2);
	finish();
}

/* The guest starts again, and what it starts with has eight buffers, as boot loaders have. */
static void test_another_driver(void **state)
{
	uint32_t body[2];
	struct room r;

	start(F_CSUM_TSO | F_MERGE);
	assert_int_equal(send_whole(100, &(struct offload){}), -ENOBUFS);
	guest_offer(0, 200, 1526);
	step();
	assert_int_equal(owner.n_room, 1);
	say(fe.sock, VHOST_GET_VRING_BASE, 0, (uint32_t[]){0, 0}, 8, NULL, 0);
	step();
	assert_int_equal(hear(&fe, VHOST_GET_VRING_BASE, body, sizeof(body)), 8);
	driver_of(&fe, 0);
	say_ring(&fe, 0, 0);
	step();
	guest_offer(0, 8, 1526);
	assert_int_equal(port_reserve(port, 54, 65000, &r), 0);
	assert_true(r.n_bytes > 4 * 1400);
	port_cancel(port, &r);
	finish();
}

static void test_calls(void **state)
{
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		uint64_t n = 0;

		start(shapes[s] | F_CSUM_TSO | F_MERGE);
		guest_offer(0, 200, 1526);
		step();
		memset(bytes, 0, 100);
		for (int i = 0; i < 50; i++)
			assert_int_equal(send_whole(100, &(struct offload){}), 0);
		step();
		assert_int_equal(read(fe.call[0], &n, sizeof(n)), sizeof(n));
		assert_int_equal(n, 1);
		driver_want_calls(&fe.rings[0], false);
		for (int i = 0; i < 50; i++)
			assert_int_equal(send_whole(100, &(struct offload){}), 0);
		step();
		assert_int_equal(read(fe.call[0], &n, sizeof(n)), -1);
		finish();
	}
}

/* What the old descriptor was told is told the new one again: nobody may have read it. */
static void test_another_call(void **state)
{
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		start(shapes[s] | F_CSUM_TSO | F_MERGE);
		guest_offer(0, 10, 1526);
		step();
		assert_int_equal(send_whole(100, &(struct offload){}), 0);
		step();
		int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		assert_true(fd >= 0);
		say_fd(&fe, VHOST_SET_VRING_CALL, 0, fd);
		step();
		assert_true(fd_was_told(fd));
		assert_int_equal(send_whole(100, &(struct offload){}), 0);
		step();
		close(fd);
		finish();
	}
}

/* While the loop asks for events no kick is wanted, and none is needed; when it sleeps it is. */
static void test_busy_poll(void **state)
{
	static const uint32_t cut[] = {12, 0};

	busy_poll = true;
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		start(shapes[s] | F_CSUM_TSO | F_MERGE);
		frozen_ms = clock_now_ms(); /* no timer comes between */
		loop_set_poll(loop, 1000000);
		memset(bytes, 0, 100);
		guest_send(&(struct offload){}, bytes, 100, cut);
		assert_int_equal(loop_run_once(loop, 0), 0);
		assert_int_equal(owner.n_frames, 1);
		for (unsigned int i = 0; i < 10; i++) {
			uint64_t n;

			guest_send(&(struct offload){}, bytes, 100, cut);
			assert_int_equal(read(fe.kick[1], &n, sizeof(n)) < 0 || i == 0, 1);
			for (int k = 0; k < 2 && owner.n_frames < 2 + i; k++)
				assert_int_equal(loop_run_once(loop, 1000), 0);
			assert_int_equal(owner.n_frames, 2 + i);
		}
		loop_set_poll(loop, 0);
		frozen_ms = 0;
		step();
		guest_send(&(struct offload){}, bytes, 100, cut);
		assert_true(fd_was_told(fe.kick[1]));
		step();
		finish();
	}
	busy_poll = false;
}

/* Stops, resumption, reconnection. */

static void test_stop_and_go_on(void **state)
{
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		start(shapes[s]);
		for (uint32_t lap = 0; lap < 40; lap++) {
			uint32_t body[2];

			memset(bytes, (int)lap, 100);
			for (int i = 0; i < 10; i++)
				guest_send(&(struct offload){}, bytes, 100, (uint32_t[]){0});
			step();
			for (int i = 0; i < 10; i++)
				assert_true(driver_used(&fe.rings[1], NULL) >= 0);
			assert_int_equal(owner.n_frames, 10 * (lap + 1));
			say_u64(&fe, VHOST_SET_STATUS, 0);
			say(fe.sock, VHOST_GET_VRING_BASE, 0, (uint32_t[]){1, 0}, 8, NULL, 0);
			step();
			assert_int_equal(hear(&fe, VHOST_GET_VRING_BASE, body, sizeof(body)), 8);
			assert_int_equal(body[0], 1);
			if (!fe.rings[1].packed)
				assert_int_equal(body[1], 10 + 11 * lap);
			/* Stopped: nothing is read. */
			guest_send(&(struct offload){}, bytes, 100, (uint32_t[]){0});
			step();
			assert_int_equal(owner.n_frames, 10 * (lap + 1));
			assert_int_equal(driver_used(&fe.rings[1], NULL), -1);
			say_ring(&fe, 1, body[1]);
			step();
			assert_true(driver_used(&fe.rings[1], NULL) >= 0);
			assert_int_equal(owner.n_frames, 10 * (lap + 1) + 1);
			owner.n_frames--;
		}
		finish();
	}
}

static void test_disabled(void **state)
{
	start(0);
	say_state(&fe, VHOST_SET_VRING_ENABLE, 1, 0);
	say_state(&fe, VHOST_SET_VRING_ENABLE, 0, 0);
	step();
	guest_send(&(struct offload){}, bytes, 100, (uint32_t[]){0});
	guest_offer(0, 4, 1526);
	step();
	assert_int_equal(owner.n_frames, 0);
	assert_int_equal(driver_used(&fe.rings[1], NULL), 0); /* dropped */
	assert_int_equal(send_whole(100, &(struct offload){}), -ENOTCONN);
	say_state(&fe, VHOST_SET_VRING_ENABLE, 0, 1);
	say_state(&fe, VHOST_SET_VRING_ENABLE, 1, 1);
	step();
	assert_int_equal(owner.n_room, 1);
	assert_int_equal(send_whole(100, &(struct offload){}), 0);
	finish();
}

static int dial(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)a, sizeof(*a)), 0);
	return fd;
}

static void test_listener(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct vhost_user_config c = config();

	(void)snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "vmlan-test-%d", (int)getpid());
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 4), 0);
	owner_init(&owner);
	c.listen_fd = listener;
	assert_int_equal(vhost_user_port_new(&c, &port), 0);
	assert_int_equal(send_whole(100, &(struct offload){}), -ENOTCONN);
	for (unsigned int i = 0; i < 3; i++) {
		front_end_new(&fe, dial(&a));
		fe.features = F_BASE | shapes[i];
		step();
		assert_int_equal(owner.n_opened, i + 1);
		say_hello(&fe, step);
		say_driver_ok(&fe, step);
		guest_send(&(struct offload){}, bytes, 100, (uint32_t[]){0});
		step();
		assert_int_equal(owner.n_frames, i + 1);
		front_end_done(&fe);
		step();
		assert_int_equal(owner.n_closed, i + 1);
		assert_false(owner.final);
		assert_int_equal(inside()->mem.n, 0);
	}
	port = port_free(port);
}

static void test_attach(void **state)
{
	struct vhost_user_config c = config();
	int fds[2];

	owner_init(&owner);
	assert_int_equal(vhost_user_port_new(&c, &port), 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		assert_int_equal(vhost_user_port_attach(port, fds[0]), 0);
		front_end_new(&fe, fds[1]);
		fe.features = F_BASE;
		say_hello(&fe, step);
		say_driver_ok(&fe, step);
		guest_send(&(struct offload){}, bytes, 100, (uint32_t[]){0});
		step();
		assert_int_equal(owner.n_frames, i + 1);
		if (i == 1) { /* the next comes before this one has gone */
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
			assert_int_equal(vhost_user_port_attach(port, fds[0]), 0);
			assert_true(is_closed(&fe));
			util_close(&fds[1]);
		}
		front_end_done(&fe);
		step();
		assert_false(owner.final);
	}
	assert_int_equal(owner.n_closed, 4);
	port = port_free(port);
}

/* Where it goes wrong. */

static void test_memory_is_missing(void **state)
{
	connect_pair();
	fe.features = F_BASE;
	say_hello(&fe, step);
	say_u64(&fe, VHOST_SET_FEATURES, fe.features);
	driver_of(&fe, 0);
	driver_of(&fe, 1);
	say_ring(&fe, 0, 0);
	say_ring(&fe, 1, 0);
	step();
	assert_int_equal(n_warnings, 1);
	assert_non_null(strstr(warning, "share=on"));
	assert_true(is_silent(&fe));
	/* Once; but another matter is another warning. */
	say_fd(&fe, VHOST_SET_VRING_KICK, 0, fe.kick[0]);
	step();
	assert_int_equal(n_warnings, 1);
	vhost_warn(inside()->dev, VHOST_WARN_RING);
	assert_int_equal(n_warnings, 2);
	/* Late, but there. */
	say_memory(&fe, step);
	guest_send(&(struct offload){}, bytes, 100, (uint32_t[]){0});
	step();
	assert_int_equal(owner.n_frames, 1);
	finish();
}

static void test_bad_regions(void **state)
{
	static const struct {
		uint64_t guest, n, user, offset;
	} bad[] = {
		{GUEST_AT, 0, USER_AT, 0},
		{GUEST_AT, GUEST_BYTES + 1, USER_AT, 0},
		{GUEST_AT, GUEST_BYTES, USER_AT, 4096},
		{GUEST_AT, 4096, USER_AT, GUEST_BYTES},
		{GUEST_AT, 4096, USER_AT, UINT64_MAX - 100},
		{UINT64_MAX - 100, 4096, USER_AT, 0},
		{GUEST_AT, 4096, UINT64_MAX - 100, 0},
		{GUEST_AT, UINT64_MAX, USER_AT, 0},
		{0x100000000 + 4000, 8192, USER_AT, 0}, /* overlaps the one that is there */
		{0x100000000 - 4096, 4097, USER_AT, 0},
		{GUEST_AT, 8192, 4096, 0}, /* at the front end */
	};

	connect_pair();
	fe.features = F_BASE;
	say_hello(&fe, step);
	say_region(&fe, VHOST_ADD_MEM_REG, FLAG_NEED, fe.mem.fd, 0x100000000, 4096, 4096, 0);
	step();
	assert_int_equal(hear_u64(&fe, VHOST_ADD_MEM_REG), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		uint64_t guest = bad[i].guest;

		if (i == 8)
			guest = 0x100000000 + 4000;
		say_region(&fe, VHOST_ADD_MEM_REG, FLAG_NEED, fe.mem.fd, guest, bad[i].n, bad[i].user, bad[i].offset);
		step();
		assert_int_equal(hear_u64(&fe, VHOST_ADD_MEM_REG), 1);
		assert_int_equal(inside()->mem.n, 1);
	}
	/* No file with a length. */
	say_region(&fe, VHOST_ADD_MEM_REG, FLAG_NEED, fe.kick[0], GUEST_AT, 4096, USER_AT, 0);
	step();
	assert_int_equal(hear_u64(&fe, VHOST_ADD_MEM_REG), 1);
	/* More than there are slots. */
	for (unsigned int i = 1; i < VHOST_REGIONS_MAX; i++) {
		say_region(&fe, VHOST_ADD_MEM_REG, FLAG_NEED, fe.mem.fd, i * 4096, 4096, USER_AT + i * 4096, 0);
		step();
		assert_int_equal(hear_u64(&fe, VHOST_ADD_MEM_REG), 0);
	}
	say_region(&fe, VHOST_ADD_MEM_REG, FLAG_NEED, fe.mem.fd, GUEST_AT, 4096, USER_AT - 4096, 0);
	step();
	assert_int_equal(hear_u64(&fe, VHOST_ADD_MEM_REG), 1);
	/* Taken away: it was there, and now is not. */
	for (uint64_t again = 0; again < 2; again++) {
		uint64_t body[5] = {0, 4096, 4096, USER_AT + 4096, 0};

		say(fe.sock, VHOST_REM_MEM_REG, FLAG_NEED, body, sizeof(body), NULL, 0);
		step();
		assert_int_equal(hear_u64(&fe, VHOST_REM_MEM_REG), again);
	}
	finish();
}

/* A ring whose memory goes away stops; nothing is touched that is gone. */
static void test_region_taken_away(void **state)
{
	uint64_t half = GUEST_BYTES / 2, body[5] = {0, GUEST_AT, half, USER_AT, 0};

	start(0);
	guest_send(&(struct offload){}, bytes, 100, (uint32_t[]){0});
	step();
	assert_int_equal(owner.n_frames, 1);
	say(fe.sock, VHOST_REM_MEM_REG, FLAG_NEED, body, sizeof(body), NULL, 0);
	guest_send(&(struct offload){}, bytes, 100, (uint32_t[]){0});
	step();
	assert_int_equal(hear_u64(&fe, VHOST_REM_MEM_REG), 0);
	assert_int_equal(owner.n_frames, 1);
	assert_false(inside()->rings[0].running || inside()->rings[1].running);
	assert_int_equal(send_whole(100, &(struct offload){}), -ENOTCONN);
	finish();
}

static void test_broken_ring(void **state)
{
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		struct piece bad = {GUEST_BYTES - 10, 100}, good = {BUFFERS_AT, 1526};

		start(shapes[s] | F_CSUM_TSO | F_MERGE);
		assert_true(driver_add(&fe.rings[1], &bad, 1, false) >= 0);
		kick(1);
		step();
		assert_int_equal(port->n.rx_bad, 1);
		assert_int_equal(owner.n_frames, 0);
		assert_int_equal(n_warnings, 1);
		assert_true(fd_was_told(fe.err[1]));
		assert_false(inside()->rings[1].running);
		/* The other goes on, until it breaks itself: below a caller. */
		assert_true(driver_add(&fe.rings[0], &good, 1, true) >= 0);
		assert_int_equal(send_whole(100, &(struct offload){}), 0);
		assert_true(driver_add(&fe.rings[0], &bad, 1, true) >= 0);
		assert_int_equal(send_whole(100, &(struct offload){}), -ENOTCONN);
		assert_true(fd_was_told(fe.err[0]));
		assert_int_equal(send_whole(100, &(struct offload){}), -ENOTCONN);
		assert_true(is_silent(&fe));
		/* Started again, as after the driver reset its device. */
		for (uint32_t i = 0; i < 2; i++) {
			say(fe.sock, VHOST_GET_VRING_BASE, 0, (uint32_t[]){i, 0}, 8, NULL, 0);
			step();
			uint32_t body[2];
			(void)hear(&fe, VHOST_GET_VRING_BASE, body, sizeof(body));
			driver_of(&fe, i);
			say_ring(&fe, i, fe.rings[i].packed ? 0x80008000 : 0);
		}
		step();
		assert_int_equal(owner.n_room, 0);
		guest_offer(0, 100, 1526);
		step();
		assert_int_equal(owner.n_room, 1);
		guest_send(&(struct offload){}, bytes, 100, (uint32_t[]){0});
		step();
		assert_int_equal(owner.n_frames, 1);
		finish();
	}
}

/* The file is cut short behind our back: this guest's connection ends, and nothing else does. */
static void test_memory_is_cut_short(void **state)
{
	assert_int_equal(vhost_mem_guard(), 0); /* in place of cmocka's handler */
	for (int way = 0; way < 3; way++) {
		start(way == 2 ? F_CSUM_TSO | F_MERGE : 0);
		guest_offer(0, 100, 1526);
		step();
		if (way == 0)
			guest_send(&(struct offload){}, bytes, 100, (uint32_t[]){0});
		assert_int_equal(ftruncate(fe.mem.fd, 0), 0);
		if (way == 0) {
			uint64_t one = 1;

			assert_int_equal(write(fe.kick[1], &one, sizeof(one)), sizeof(one));
			step();
		} else {
			(void)send_whole(100, &(struct offload){});
		}
		step();
		assert_int_equal(owner.n_closed, 1);
		assert_int_equal(owner.error, -EFAULT);
		assert_non_null(strstr(warning, "cut"));
		assert_true(is_closed(&fe));
		front_end_done(&fe);
		port = port_free(port);
	}
}

static bool logged(const uint8_t *log, uint32_t at)
{
	uint64_t page = (GUEST_AT + at) / VHOST_LOG_PAGE_BYTES;

	return log[page / 8] >> page % 8 & 1;
}

static unsigned int n_logged(const uint8_t *log, size_t n)
{
	unsigned int k = 0;

	for (size_t i = 0; i < n; i++)
		k += (unsigned int)__builtin_popcount(log[i]);
	return k;
}

/* A migration: every page that was written is told, and no other. */
static void test_dirty_log(void **state)
{
	const size_t n_log = (GUEST_AT + (size_t)GUEST_BYTES) / VHOST_LOG_PAGE_BYTES / 8;

	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		int fd = memfd_create("log", MFD_CLOEXEC);
		uint64_t body[2] = {n_log, 0};

		assert_int_equal(ftruncate(fd, (off_t)n_log), 0);
		uint8_t *log = mmap(NULL, n_log, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		start(shapes[s] | F_CSUM_TSO | F_MERGE);
		guest_offer(0, 100, 4096);
		step();
		say(fe.sock, VHOST_SET_LOG_BASE, 0, body, sizeof(body), &fd, 1);
		step();
		assert_int_equal(hear_u64(&fe, VHOST_SET_LOG_BASE), 0);
		memset(bytes, 0, sizeof(bytes));
		assert_int_equal(send_whole(100, &(struct offload){}), 0);
		step();
		assert_int_equal(n_logged(log, n_log), 0); /* not yet asked for */
		say_u64(&fe, VHOST_SET_FEATURES, fe.features | BIT(VHOST_F_LOG_ALL));
		say_addr(&fe, 0);
		say_addr(&fe, 1);
		step();
		assert_true(inside()->rings[0].running);
		assert_int_equal(send_whole(6000, &(struct offload){}), 0);
		struct room r;
		assert_int_equal(port_reserve(port, 54, 9000, &r), 0);
		assert_int_equal(port_commit(port, &r, 5000, &(struct offload){}), 0);
		step();
		for (unsigned int i = 0; i < 100; i++)
			assert_int_equal(logged(log, buffer_at(i, 4096)), i >= 1 && i <= 4);
		assert_true(logged(log, fe.rings[0].packed ? fe.rings[0].desc : fe.rings[0].used));
		guest_send(&(struct offload){}, bytes, 100, (uint32_t[]){0});
		step();
		assert_true(logged(log, fe.rings[1].packed ? fe.rings[1].desc : fe.rings[1].used));
		assert_false(logged(log, BUFFERS_AT + 0x80000));
		assert_in_range(n_logged(log, n_log), 6, 8); /* and where kicks are asked for */
		(void)munmap(log, n_log);
		util_close(&fd);
		finish();
	}
}

static void test_rarp(void **state)
{
	static const uint8_t mac[8] = {0x52, 0x54, 0, 1, 2, 3};
	uint64_t value;

	start(0);
	memcpy(&value, mac, 8);
	say_u64(&fe, VHOST_SEND_RARP, value);
	step();
	assert_int_equal(owner.n_frames, 1);
	assert_int_equal(owner.last_bytes, 60);
	assert_memory_equal(owner.last + 6, mac, 6);
	assert_int_equal(owner.last[12] << 8 | owner.last[13], 0x8035);
	finish();
}

/* What no front end says: the connection ends, and nothing worse. */
static void test_bad_requests(void **state)
{
	static const struct {
		uint32_t request, flags, n, n_fds;
		uint64_t body[5];
		bool own_end; /* the descriptors: the front end's own socket, which we must not hold */
	} bad[] = {
		{0, 0, 0, 0, {}},
		{999, 0, 0, 0, {}},
		{24, 0, 12, 0, {}},                        /* GET_CONFIG: never offered */
		{31, 0, 16, 0, {}},                        /* GET_INFLIGHT_FD */
		{VHOST_GET_FEATURES, 2, 0, 0, {}},         /* version 3 */
		{VHOST_GET_FEATURES, FLAG_REPLY, 0, 0, {}},
		{VHOST_GET_FEATURES, 0, 8, 0, {}},         /* too long */
		{VHOST_SET_FEATURES, 0, 4, 0, {}},         /* too short */
		{VHOST_SET_FEATURES, 0, 8, 0, {UINT64_MAX}},
		{VHOST_SET_FEATURES, 0, 8, 1, {0}},        /* a descriptor that nobody wants */
		{VHOST_SET_PROTOCOL_FEATURES, 0, 8, 0, {UINT64_MAX}},
		{VHOST_SET_VRING_NUM, 0, 8, 0, {2}},       /* no such ring */
		{VHOST_SET_VRING_NUM, 0, 8, 0, {0xffffffff}},
		{VHOST_SET_VRING_NUM, 0, 8, 0, {0}},       /* of no size */
		{VHOST_SET_VRING_NUM, 0, 8, 0, {0x100000000000}},
		{VHOST_SET_VRING_ADDR, 0, 40, 0, {7}},
		{VHOST_SET_VRING_ENABLE, 0, 8, 0, {0x200000000}},
		{VHOST_SET_VRING_KICK, 0, 8, 0, {0}},      /* its descriptor is missing */
		{VHOST_SET_VRING_KICK, 0, 8, 0, {0x100}},  /* polling */
		{VHOST_SET_VRING_KICK, 0, 8, 1, {0x100}},
		{VHOST_SET_VRING_KICK, 0, 8, 2, {0}},
		{VHOST_SET_VRING_CALL, 0, 8, 1, {2}},
		{VHOST_SET_VRING_KICK, 0, 8, 1, {0}, true}, /* a socket */
		{VHOST_SET_VRING_ERR, 0, 8, 1, {1}, true},
		{VHOST_SET_MEM_TABLE, 0, 40, 0, {1}},
		{VHOST_SET_MEM_TABLE, 0, 40, 1, {9}},
		{VHOST_SET_MEM_TABLE, 0, 40, 1, {0xffffffff}},
		{VHOST_SET_MEM_TABLE, 0, 8, 1, {1}},
		{VHOST_ADD_MEM_REG, 0, 40, 0, {}},
		{VHOST_ADD_MEM_REG, 0, 40, 1, {0, 0, 0, 0, 0}},
		{VHOST_SET_LOG_BASE, 0, 16, 1, {UINT64_MAX, 0}},
		{VHOST_SET_LOG_BASE, 0, 16, 0, {4096, 0}},
		{VHOST_NET_SET_MTU, 0, 8, 0, {67}},
		{VHOST_SEND_RARP, 0, 8, 0, {0}},
		{VHOST_SEND_RARP, 0, 8, 0, {1}}, /* a group's address */
		{VHOST_GET_VRING_BASE, 0, 8, 0, {5}},
		{VHOST_GET_FEATURES, 0, 0, 9, {}}, /* more descriptors than a message has */
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		int fds[16];

		start(0);
		for (unsigned int k = 0; k < bad[i].n_fds; k++)
			fds[k] = bad[i].own_end ? fe.sock : fe.err[0];
		say(fe.sock, bad[i].request, bad[i].flags, bad[i].body, bad[i].n, fds, bad[i].n_fds);
		step();
		if (owner.n_closed != 1)
			print_message("request %u (%u)\n", bad[i].request, i);
		assert_int_equal(owner.n_closed, 1);
		assert_true(is_closed(&fe));
		front_end_done(&fe);
		step();
		port = port_free(port);
	}
	/* A length that no message has, a message that ends in its middle. */
	for (uint32_t n = 0; n < 2; n++) {
		uint32_t head[3] = {VHOST_SET_FEATURES, FLAG_VERSION, n ? 8 : 0xffffffff};

		start(0);
		assert_int_equal(send(fe.sock, head, sizeof(head), 0), sizeof(head));
		step();
		assert_int_equal(owner.n_closed, 1 - n);
		front_end_done(&fe);
		step();
		assert_int_equal(owner.n_closed, 1);
		port = port_free(port);
	}
}

/* While rings run, what they were made from does not change. */
static void test_requests_while_running(void **state)
{
	start(0);
	uint32_t num[2] = {1, 128};
	say(fe.sock, VHOST_SET_VRING_NUM, FLAG_NEED, num, sizeof(num), NULL, 0);
	step();
	assert_int_equal(hear_u64(&fe, VHOST_SET_VRING_NUM), 1);
	say(fe.sock, VHOST_SET_VRING_BASE, FLAG_NEED, num, sizeof(num), NULL, 0);
	step();
	assert_int_equal(hear_u64(&fe, VHOST_SET_VRING_BASE), 1);
	uint64_t features = F_BASE | BIT(VHOST_F_RING_PACKED);
	say(fe.sock, VHOST_SET_FEATURES, FLAG_NEED, &features, sizeof(features), NULL, 0);
	step();
	assert_int_equal(hear_u64(&fe, VHOST_SET_FEATURES), 1);
	guest_send(&(struct offload){}, bytes, 100, (uint32_t[]){0});
	step();
	assert_int_equal(owner.n_frames, 1);
	finish();
}

static unsigned int n_open(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_nothing_is_leaked(void **state)
{
	unsigned int before = n_open();

	test_bad_requests(NULL);
	test_bad_regions(NULL);
	test_listener(NULL);
	test_dirty_log(NULL);
	assert_int_equal(n_open(), before);
}

static int setup(void **state)
{
	return loop_new(&(struct loop_clock){.now_ms = now_ms}, &loop);
}

static int teardown(void **state)
{
	loop = loop_free(loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_no_protocol_features),
		cmocka_unit_test(test_messages_in_crumbs),
		cmocka_unit_test(test_from_guest),
		cmocka_unit_test(test_super_frame_from_guest),
		cmocka_unit_test(test_head_is_private),
		cmocka_unit_test(test_frames_that_are_none),
		cmocka_unit_test(test_a_full_ring),
		cmocka_unit_test(test_to_guest),
		cmocka_unit_test(test_super_frame_to_guest),
		cmocka_unit_test(test_reserve_direct),
		cmocka_unit_test(test_plain_drivers),
		cmocka_unit_test(test_legacy_header),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_few_buffers),
		cmocka_unit_test(test_room_that_is_none),
		cmocka_unit_test(test_another_driver),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_another_call),
		cmocka_unit_test(test_busy_poll),
		cmocka_unit_test(test_stop_and_go_on),
		cmocka_unit_test(test_disabled),
		cmocka_unit_test(test_listener),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_memory_is_missing),
		cmocka_unit_test(test_bad_regions),
		cmocka_unit_test(test_region_taken_away),
		cmocka_unit_test(test_broken_ring),
		cmocka_unit_test(test_memory_is_cut_short),
		cmocka_unit_test(test_dirty_log),
		cmocka_unit_test(test_rarp),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_requests_while_running),
		cmocka_unit_test(test_nothing_is_leaked),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
