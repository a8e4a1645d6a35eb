/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmocka-all.h"

#include "segment.h"
#include "util.h"

#include "packets.h"

#define PIECES_MAX 64

static uint8_t super[PACKET_MAX_BYTES];

struct collected {
	unsigned int n, fail_at; /* fail_at: emit() answers -EPIPE at this one; 0: never */
	size_t n_bytes, n_payload;
	struct verified first, last;
	uint8_t *frames[SEGMENT_FRAMES_MAX];
	size_t lengths[SEGMENT_FRAMES_MAX];
};

static int collect(void *ctx, const uint8_t *head, size_t n_head, const struct iovec *payload,
	unsigned int n_payload, size_t n_payload_bytes)
{
	struct collected *c = ctx;
	uint8_t *f = malloc(n_head + n_payload_bytes); /* exactly as long: a sanitizer sees the rest */
	size_t at = n_head;

	assert_true(c->n < SEGMENT_FRAMES_MAX);
	if (c->fail_at && c->n + 1 == c->fail_at) {
		free(f);
		return -EPIPE;
	}
	memcpy(f, head, n_head);
	for (unsigned int i = 0; i < n_payload; i++) {
		memcpy(f + at, payload[i].iov_base, payload[i].iov_len);
		at += payload[i].iov_len;
	}
	assert_int_equal(at, n_head + n_payload_bytes);
	c->frames[c->n] = f;
	c->lengths[c->n++] = at;
	c->n_bytes += at;
	return 0;
}

static void collected_done(struct collected *c)
{
	for (unsigned int i = 0; i < c->n; i++)
		free(c->frames[i]);
}

/* In pieces of uneven length, the first cutting through the headers. */
static unsigned int cut(uint8_t *bytes, size_t n_bytes, size_t step, struct iovec *ret)
{
	unsigned int k = 0;

	for (size_t at = 0; at < n_bytes;) {
		size_t n = k == PIECES_MAX - 1 ? n_bytes - at : MIN(step + k % 3, n_bytes - at);

		ret[k++] = (struct iovec){bytes + at, n};
		at += n;
	}
	return k;
}

static int run(const struct packet *k, size_t step, struct collected *ret)
{
	struct offload o, checked;
	struct iovec iov[PIECES_MAX];
	size_t n_bytes = packet_build(k, super, &o), all_bytes;

	memset(ret, 0, sizeof(*ret));
	assert_int_equal(segment_check(super, MIN(n_bytes, (size_t)FRAME_HEAD_BYTES), n_bytes, &o, &checked),
		DROP_NONE);
	unsigned int count = segment_count(n_bytes, &checked, &all_bytes);
	int r = segment_frame(iov, cut(super, n_bytes, step, iov), n_bytes, &checked, collect, ret);

	if (r == 0) {
		assert_int_equal(ret->n, count);
		assert_int_equal(ret->n_bytes, all_bytes);
		assert_true(
			all_bytes <= n_bytes + segment_bytes_max(o.header_len, n_bytes - o.header_len, 0));
	}
	return r;
}

/* Everything that must hold of the segments of a TCP super-frame, and of the datagrams of a UDP one. */
static void check_all(const struct packet *k, const struct collected *c)
{
	size_t done = 0;

	for (unsigned int i = 0; i < c->n; i++) {
		struct verified v = packet_verify(c->frames[i], c->lengths[i]);
		bool last = i == c->n - 1;

		if (!last && k->gso_size)
			assert_int_equal(v.n_payload, k->gso_size);
		for (size_t b = 0; b < v.n_payload; b++)
			assert_int_equal(v.payload[b], packet_payload(done + b));
		if (!k->is6)
			assert_int_equal(v.ip[4] << 8 | v.ip[5], (uint16_t)(k->id + i));
		if (!k->udp) {
			uint8_t flags = k->flags;

			assert_int_equal(packet_be32(v.l4 + 4), (uint32_t)(k->seq + done));
			assert_int_equal(packet_be32(v.l4 + 8), 77);
			flags &= (uint8_t) ~((last ? 0 : TCP_FIN | TCP_PSH) | (i ? 0x80 : 0));
			assert_int_equal(v.l4[13], flags);
			for (size_t b = 0; b < k->n_options; b++)
				assert_int_equal(v.l4[20 + b], 1);
		}
		done += v.n_payload;
	}
	assert_int_equal(done, k->n_payload);
}

static void test_tcp4(void **state)
{
	/* Sequence number and identification both wrap. CWR, ECE, FIN, PSH, ACK. */
	struct packet k = {.n_payload = 65000,
		.n_options = 12,
		.flags = 0x80 | 0x40 | TCP_FIN | TCP_PSH | TCP_ACK,
		.seq = 0xffff8000,
		.id = 0xfff0,
		.gso_size = 1448};
	struct collected c;

	assert_int_equal(run(&k, 3000, &c), 0);
	assert_int_equal(c.n, 45);
	check_all(&k, &c);
	collected_done(&c);
}

static void test_tcp6_with_extension_and_vlan(void **state)
{
	struct packet k = {.is6 = true,
		.vlan = true,
		.n_extensions = 1,
		.n_payload = 5001,
		.flags = TCP_ACK | TCP_PSH,
		.gso_size = 1001};
	struct collected c;

	assert_int_equal(run(&k, 97, &c), 0);
	assert_int_equal(c.n, 5);
	check_all(&k, &c);
	collected_done(&c);
}

static void test_udp(void **state)
{
	for (int is6 = 0; is6 < 2; is6++) {
		struct packet k = {.is6 = is6, .udp = true, .n_payload = 10 * 333 + 1, .gso_size = 333};
		struct collected c;

		assert_int_equal(run(&k, 101, &c), 0);
		assert_int_equal(c.n, 11);
		check_all(&k, &c);
		collected_done(&c);
	}
}

static void test_any_shape(void **state)
{
	srandom(7);
	for (int i = 0; i < 2000; i++) {
		struct packet k = {
			.is6 = random() & 1,
			.udp = random() & 1,
			.vlan = random() & 1,
			.n_extensions = (unsigned int)random() % 5,
			.n_payload = 1 + (size_t)random() % 4000,
			.n_options = (size_t)random() % 11 * 4,
			.flags = (uint8_t)(random() & (0xff & ~(TCP_SYN | TCP_RST))),
			.seq = (uint32_t)random(),
			.id = (uint16_t)random(),
			.gso_size = (uint16_t)(random() % 1500),
		};
		struct collected c;

		if ((size_t)k.gso_size * SEGMENT_FRAMES_MAX < k.n_payload)
			k.gso_size = 4;
		assert_int_equal(run(&k, 1 + (size_t)random() % 200, &c), 0);
		check_all(&k, &c);
		collected_done(&c);
	}
}

static void test_checksum_anywhere(void **state)
{
	uint8_t f[601];
	struct offload o = {.csum_needed = true, .csum_start = 101, .csum_offset = 30};

	for (size_t i = 0; i < sizeof(f); i++)
		f[i] = (uint8_t)(i * i);
	struct iovec iov[2] = {{f, 300}, {f + 300, 301}};
	struct collected c = {};

	assert_int_equal(segment_frame(iov, 2, sizeof(f), &o, collect, &c), 0);
	assert_int_equal(c.n, 1);
	/* What the field held was part of the sum. */
	uint32_t sum = packet_sum(f + 131, 2, packet_sum(c.frames[0] + 101, 500, 0));
	assert_int_equal(sum, 0xffff);
	memcpy(f + 131, c.frames[0] + 131, 2);
	assert_memory_equal(f, c.frames[0], sizeof(f));
	collected_done(&c);

	o.csum_offset = FRAME_HEAD_BYTES;
	memset(&c, 0, sizeof(c));
	assert_int_equal(segment_frame(iov, 2, sizeof(f), &o, collect, &c), -EINVAL);
	assert_int_equal(c.n, 0);
	iov[0].iov_len = 110;
	o.csum_offset = 8; /* one byte of the field in the frame */
	assert_int_equal(segment_frame(iov, 1, 110, &o, collect, &c), -EINVAL);
	o.csum_start = 200;
	o.csum_offset = 0;
	assert_int_equal(segment_frame(iov, 1, 110, &o, collect, &c), -EINVAL);
}

static void test_nothing_asked(void **state)
{
	uint8_t f[1000];
	struct offload o = {};
	struct collected c = {};

	for (size_t i = 0; i < sizeof(f); i++)
		f[i] = (uint8_t)i;
	struct iovec iov[3] = {{f, 1}, {f + 1, 0}, {f + 1, 999}};

	assert_int_equal(segment_frame(iov, 3, sizeof(f), &o, collect, &c), 0);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.lengths[0], sizeof(f));
	assert_memory_equal(c.frames[0], f, sizeof(f));
	collected_done(&c);
}

/* RFC 768: a computed zero is sent as all ones. */
static void test_udp_zero(void **state)
{
	struct packet k = {.udp = true, .n_payload = 2};
	struct offload o;
	size_t n = packet_build(&k, super, &o);
	uint8_t *l4 = super + o.csum_start;

	/* Make the whole sum 0xffff by way of the payload. */
	l4[8] = l4[9] = 0;
	uint32_t rest = 0xffff - packet_sum(l4, n - o.csum_start, 0);
	l4[8] = (uint8_t)(rest >> 8);
	l4[9] = (uint8_t)rest;
	struct iovec iov = {super, n};
	struct collected c = {};

	assert_int_equal(segment_frame(&iov, 1, n, &o, collect, &c), 0);
	assert_int_equal(c.frames[0][o.csum_start + 6], 0xff);
	assert_int_equal(c.frames[0][o.csum_start + 7], 0xff);
	(void)packet_verify(c.frames[0], n);
	collected_done(&c);
}

/* The wish and gso_size are taken; every other field comes from the headers. */
static void test_check_rebuilds(void **state)
{
	struct packet k = {.n_payload = 4000, .n_options = 4, .flags = TCP_ACK, .gso_size = 1000};
	struct offload o, checked;
	size_t n = packet_build(&k, super, &o);

	o.header_len = 200;
	o.csum_valid = true;
	assert_int_equal(segment_check(super, FRAME_HEAD_BYTES, n, &o, &checked), DROP_NONE);
	assert_int_equal(checked.header_len, 14 + 20 + 24);
	assert_int_equal(checked.gso, OFFLOAD_GSO_TCP4);
	assert_int_equal(checked.gso_size, 1000);
	assert_false(checked.csum_valid);

	o.gso_size = 4000;
	assert_int_equal(segment_check(super, FRAME_HEAD_BYTES, n, &o, &checked), DROP_NONE);
	assert_int_equal(checked.gso, OFFLOAD_GSO_NONE);
	assert_int_equal(checked.gso_size, 0);
	assert_true(checked.csum_needed);

	o = (struct offload){.csum_valid = true, .csum_start = 9, .header_len = 8};
	assert_int_equal(segment_check(super, FRAME_HEAD_BYTES, n, &o, &checked), DROP_NONE);
	assert_false(checked.csum_valid);
	assert_false(checked.csum_needed);
	assert_int_equal(checked.csum_start, 0);
	assert_int_equal(checked.header_len, 0);
}

static struct offload lie_o;
static size_t lie_n;

static void lie_begin(const struct packet *k)
{
	lie_n = packet_build(k, super, &lie_o);
}

/* Both refuse, and not one segment is made. */
static void lie_refused(void)
{
	struct offload checked;
	struct collected c = {};
	struct iovec iov = {super, lie_n};

	assert_int_equal(segment_check(super, MIN(lie_n, (size_t)FRAME_HEAD_BYTES), lie_n, &lie_o, &checked),
		DROP_BAD_OFFLOAD);
	assert_int_equal(segment_frame(&iov, 1, lie_n, &lie_o, collect, &c), -EINVAL);
	assert_int_equal(c.n, 0);
}

static void ip4_resum(void)
{
	memset(super + 24, 0, 2);
	uint32_t sum = ~packet_sum(super + 14, 20, 0);

	super[24] = (uint8_t)(sum >> 8);
	super[25] = (uint8_t)sum;
}

static void test_lies(void **state)
{
	struct packet k = {.n_payload = 4000, .flags = TCP_ACK, .gso_size = 1000};

	lie_begin(&k), lie_o.gso = OFFLOAD_GSO_TCP6, lie_refused();
	lie_begin(&k), lie_o.gso = OFFLOAD_GSO_UDP, lie_refused();
	lie_begin(&k), lie_o.gso_size = 0, lie_refused();
	lie_begin(&k), lie_o.gso_size = 2, lie_refused(); /* 2,000 frames */
	lie_begin(&k), lie_o.csum_start++, lie_refused();
	lie_begin(&k), lie_o.csum_offset = 6, lie_refused();
	lie_begin(&k), lie_o.csum_needed = false, lie_refused();
	lie_begin(&k), super[24]++, lie_refused();                   /* IPv4 header checksum */
	lie_begin(&k), super[20] = 0x20, ip4_resum(), lie_refused(); /* more fragments */
	lie_begin(&k), super[23] = IP_PROTO_ICMP, ip4_resum(), lie_refused();
	lie_begin(&k), super[12] = 0x88, lie_refused();           /* no IP */
	lie_begin(&k), super[14 + 20 + 12] = 0x40, lie_refused(); /* TCP header of 16 bytes */
	lie_begin(&k), super[14 + 20 + 13] |= TCP_SYN, lie_refused();
	lie_begin(&k), lie_n++, lie_refused(); /* bytes behind the packet */
	lie_begin(&k), lie_n--, lie_refused(); /* a packet longer than the frame */
	for (size_t n = 0; n < 54; n++)
		lie_begin(&k), lie_n = n, lie_refused();

	k = (struct packet){
		.is6 = true, .n_extensions = 1, .n_payload = 4000, .flags = TCP_ACK, .gso_size = 1000};
	lie_begin(&k), super[14 + 40 + 1] = 200, lie_refused(); /* an extension header longer than the head */
	lie_begin(&k), super[14 + 40] = 44, lie_refused();      /* a fragment header */
	lie_begin(&k), super[14] = 0x40, lie_refused();
	k.n_extensions = 5;
	lie_begin(&k), lie_refused();
	k.n_extensions = 1;
	for (size_t n = 0; n < 82; n++)
		lie_begin(&k), lie_n = n, lie_refused();

	k = (struct packet){.udp = true, .n_payload = 4000, .gso_size = 1000};
	lie_begin(&k), super[14 + 20 + 5]++, lie_refused(); /* UDP length */
	lie_begin(&k), lie_o.gso = OFFLOAD_GSO_TCP4, lie_refused();
}

/* segment_frame() itself wants what segment_check() gives. */
static void test_header_len_is_checked(void **state)
{
	struct packet k = {.n_payload = 4000, .flags = TCP_ACK, .gso_size = 1000};
	struct collected c = {};

	lie_begin(&k);
	struct iovec iov = {super, lie_n};

	lie_o.header_len++;
	assert_int_equal(segment_frame(&iov, 1, lie_n, &lie_o, collect, &c), -EINVAL);
	assert_int_equal(c.n, 0);
}

static void test_emit_error(void **state)
{
	struct packet k = {.n_payload = 4000, .flags = TCP_ACK, .gso_size = 1000};
	struct collected c = {.fail_at = 3};
	struct iovec iov;

	lie_begin(&k);
	iov = (struct iovec){super, lie_n};
	assert_int_equal(segment_frame(&iov, 1, lie_n, &lie_o, collect, &c), -EPIPE);
	assert_int_equal(c.n, 2);
	collected_done(&c);
}

static void test_too_many_pieces(void **state)
{
	struct iovec iov[SEGMENT_IOV_MAX + 1];
	uint8_t f[SEGMENT_IOV_MAX + 1] = {};
	struct collected c = {};
	struct offload o = {};

	for (unsigned int i = 0; i < ARRAY_SIZE(iov); i++)
		iov[i] = (struct iovec){f + i, 1};
	assert_int_equal(segment_frame(iov, ARRAY_SIZE(iov), sizeof(f), &o, collect, &c), -EMSGSIZE);
	assert_int_equal(c.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp4),
		cmocka_unit_test(test_tcp6_with_extension_and_vlan),
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_any_shape),
		cmocka_unit_test(test_checksum_anywhere),
		cmocka_unit_test(test_nothing_asked),
		cmocka_unit_test(test_udp_zero),
		cmocka_unit_test(test_check_rebuilds),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_header_len_is_checked),
		cmocka_unit_test(test_emit_error),
		cmocka_unit_test(test_too_many_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
