/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "reass.h"

#define GUEST_BE  0x0f02000au
#define REMOTE_BE 0x08080808u

static uint8_t data[REASS_LENGTH_MAX]; /* what every datagram below is made of */
static uint32_t seed = 7;

static uint32_t random_u32(void)
{
	seed = seed * 1664525u + 1013904223u;
	return seed >> 8 | seed << 24;
}

/* One test's table, and what the last fragment brought. */
struct bench {
	struct reass *r;
	uint64_t now_ms;
	const uint8_t *whole;
	size_t n_whole;
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	if (!b || reass_new(&b->r) < 0)
		return -1;
	b->now_ms = 1000000;
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	reass_free(b->r);
	free(b);
	return 0;
}

static enum drop_reason feed(struct bench *b, uint16_t port_id, uint16_t id, size_t at, size_t n, bool more,
		const uint8_t *from)
{
	struct ip4 ip = {
		.ttl = 64,
		.proto = IP_PROTO_UDP,
		.header_bytes = IP4_HEADER_BYTES,
		.payload_bytes = (uint16_t)n,
		.id = id,
		.frag = (uint16_t)(at / 8 | (more ? IP4_MORE_FRAG : 0)),
		.src_be = GUEST_BE,
		.dst_be = REMOTE_BE,
	};

	return reass_input(b->r, b->now_ms, port_id, &ip, from, n, &b->whole, &b->n_whole);
}

static enum drop_reason piece(struct bench *b, uint16_t id, size_t at, size_t n, bool more)
{
	return feed(b, 0, id, at, n, more, data + at);
}

static void assert_whole(const struct bench *b, size_t n)
{
	assert_non_null(b->whole);
	assert_int_equal(b->n_whole, n);
	assert_memory_equal(b->whole, data, n);
}

static void test_in_order(void **state)
{
	struct bench *b = *state;

	assert_int_equal(piece(b, 1, 0, 1480, true), DROP_NONE);
	assert_null(b->whole);
	assert_int_equal(piece(b, 1, 1480, 1480, true), DROP_NONE);
	assert_null(b->whole);
	assert_int_equal(reass_count(b->r, 0), 1);
	assert_int_equal(piece(b, 1, 2960, 41, false), DROP_NONE);
	assert_whole(b, 3001);
	assert_int_equal(reass_count(b->r, UINT16_MAX), 0);
}

static void test_last_first(void **state)
{
	struct bench *b = *state;

	assert_int_equal(piece(b, 1, 2960, 41, false), DROP_NONE);
	assert_int_equal(piece(b, 1, 1480, 1480, true), DROP_NONE);
	assert_null(b->whole);
	assert_int_equal(piece(b, 1, 0, 1480, true), DROP_NONE);
	assert_whole(b, 3001);
}

static void test_a_whole_datagram_comes_back_as_it_is(void **state)
{
	struct bench *b = *state;

	assert_int_equal(piece(b, 1, 0, 100, false), DROP_NONE);
	assert_ptr_equal(b->whole, data);
	assert_int_equal(b->n_whole, 100);
	assert_int_equal(reass_count(b->r, UINT16_MAX), 0);
}

/* Every order and cut of a datagram, with duplicates, gives the same bytes. */
static void test_random_orders(void **state)
{
	struct bench *b = *state;

	for (int round = 0; round < 500; round++) {
		size_t total = 17 + random_u32() % 5000;
		size_t cuts[64], ends[64], at = 0;
		unsigned int n = 0;

		while (at < total && n < 64) {
			size_t take = n == 63 ? total - at : 8 * (1 + random_u32() % 40);
			cuts[n] = at;
			at = MIN(at + take, total);
			ends[n++] = at;
		}
		if (n < 2)
			continue;
		bool done = false;
		unsigned int left = n;
		bool sent[64] = {};
		while (!done) {
			unsigned int i = random_u32() % n;
			enum drop_reason reason =
				piece(b, (uint16_t)round, cuts[i], ends[i] - cuts[i], ends[i] < total);

			assert_int_equal(reason, DROP_NONE);
			left -= !sent[i];
			sent[i] = true;
			done = b->whole != NULL;
			assert_int_equal(done, left == 0);
		}
		assert_whole(b, total);
	}
	assert_int_equal(reass_count(b->r, UINT16_MAX), 0);
}

static void test_longest_datagram(void **state)
{
	struct bench *b = *state;
	const size_t longest = REASS_LENGTH_MAX - IP4_HEADER_BYTES;

	assert_int_equal(piece(b, 1, 32768, longest - 32768, false), DROP_NONE);
	assert_int_equal(piece(b, 1, 0, 32768, true), DROP_NONE);
	assert_whole(b, longest);
}

static void test_tiny_fragments(void **state)
{
	struct bench *b = *state;

	for (size_t at = 65504; at > 0; at -= 8) {
		assert_int_equal(piece(b, 1, at, 8, at < 65504), DROP_NONE);
		assert_null(b->whole);
	}
	assert_int_equal(piece(b, 1, 0, 8, true), DROP_NONE);
	assert_whole(b, 65512);
}

static void test_beyond_the_longest_datagram(void **state)
{
	struct bench *b = *state;
	const size_t longest = REASS_LENGTH_MAX - IP4_HEADER_BYTES;

	/* One byte too many, and the classic: the last offset with a full frame. */
	assert_int_equal(feed(b, 0, 1, 65504, longest - 65504 + 1, false, data), DROP_FRAGMENT);
	assert_int_equal(feed(b, 0, 1, 65528, 1480, false, data), DROP_FRAGMENT);
	assert_int_equal(feed(b, 0, 1, 65528, 1, false, data), DROP_FRAGMENT);
	assert_int_equal(reass_count(b->r, UINT16_MAX), 0);
	/* Options in the header leave less. */
	struct ip4 ip = {.proto = 17, .header_bytes = 60, .payload_bytes = 11, .frag = 65464 / 8};
	assert_int_equal(reass_input(b->r, 0, 0, &ip, data, 11, &b->whole, &b->n_whole), DROP_NONE);
	ip.id = 2;
	ip.payload_bytes = 12;
	assert_int_equal(reass_input(b->r, 0, 0, &ip, data, 12, &b->whole, &b->n_whole), DROP_FRAGMENT);
}

static void test_such_a_lie_ends_its_datagram(void **state)
{
	struct bench *b = *state;

	assert_int_equal(piece(b, 1, 0, 1480, true), DROP_NONE);
	assert_int_equal(feed(b, 0, 1, 65528, 1480, false, data), DROP_FRAGMENT);
	assert_int_equal(piece(b, 1, 1480, 100, false), DROP_FRAGMENT);
	assert_null(b->whole);
	assert_int_equal(reass_count(b->r, 0), 0);
}

static void test_empty_and_uneven_pieces(void **state)
{
	struct bench *b = *state;

	assert_int_equal(piece(b, 1, 0, 0, true), DROP_FRAGMENT);
	assert_int_equal(piece(b, 2, 1480, 0, false), DROP_FRAGMENT);
	assert_int_equal(piece(b, 3, 0, 1479, true), DROP_FRAGMENT);
	assert_int_equal(reass_count(b->r, UINT16_MAX), 0);
}

static void test_payload_that_is_not_what_the_header_says(void **state)
{
	struct bench *b = *state;
	struct ip4 ip = {.proto = 17, .header_bytes = 20, .payload_bytes = 16, .frag = IP4_MORE_FRAG};

	assert_int_equal(reass_input(b->r, 0, 0, &ip, data, 8, &b->whole, &b->n_whole), DROP_TRUNCATED);
	assert_int_equal(reass_input(b->r, 0, 0, &ip, data, 24, &b->whole, &b->n_whole), DROP_TRUNCATED);
}

static void test_overlaps_end_the_datagram(void **state)
{
	static const struct {
		size_t at, n;
		bool more;
	} overlaps[] = {
		{0, 24, true},    /* begins before */
		{24, 24, true},   /* ends after */
		{8, 64, true},    /* around it */
		{24, 17, false},  /* the last one, into it */
	};
	struct bench *b = *state;

	for (unsigned int i = 0; i < ARRAY_SIZE(overlaps); i++) {
		uint16_t id = (uint16_t)i;

		assert_int_equal(piece(b, id, 16, 16, true), DROP_NONE);
		assert_int_equal(
			piece(b, id, overlaps[i].at, overlaps[i].n, overlaps[i].more), DROP_FRAGMENT);
		/* What still comes of it is swallowed, also what would have made it whole. */
		assert_int_equal(piece(b, id, 0, 16, true), DROP_FRAGMENT);
		assert_int_equal(piece(b, id, 32, 16, false), DROP_FRAGMENT);
		assert_null(b->whole);
	}
	assert_int_equal(reass_count(b->r, UINT16_MAX), 0);
}

static void test_other_bytes_at_the_same_place(void **state)
{
	struct bench *b = *state;
	uint8_t other[16];

	memcpy(other, data, sizeof(other));
	other[15] ^= 1;
	assert_int_equal(piece(b, 1, 0, 16, true), DROP_NONE);
	assert_int_equal(piece(b, 1, 0, 16, true), DROP_NONE); /* a true copy is harmless */
	assert_int_equal(feed(b, 0, 1, 0, 16, true, other), DROP_FRAGMENT);
	assert_int_equal(piece(b, 1, 16, 16, false), DROP_FRAGMENT);
}

/* What has not come reads as zeroes: that is not the same as having come. */
static void test_overlap_of_zeroes(void **state)
{
	static const uint8_t zeroes[32];
	struct bench *b = *state;

	assert_int_equal(feed(b, 0, 1, 0, 16, true, zeroes), DROP_NONE);
	assert_int_equal(feed(b, 0, 1, 8, 16, true, zeroes), DROP_FRAGMENT);
}

static void test_contradictions_about_the_end(void **state)
{
	struct bench *b = *state;

	/* Two ends. */
	assert_int_equal(piece(b, 1, 160, 16, false), DROP_NONE);
	assert_int_equal(piece(b, 1, 80, 16, false), DROP_FRAGMENT);
	/* Data behind the end. */
	assert_int_equal(piece(b, 2, 160, 16, false), DROP_NONE);
	assert_int_equal(piece(b, 2, 176, 16, true), DROP_FRAGMENT);
	/* An end before data that has come. */
	assert_int_equal(piece(b, 3, 160, 16, true), DROP_NONE);
	assert_int_equal(piece(b, 3, 80, 16, false), DROP_FRAGMENT);
	/* The same bytes, once with more to come and once without. */
	assert_int_equal(piece(b, 4, 160, 16, true), DROP_NONE);
	assert_int_equal(piece(b, 4, 160, 16, false), DROP_FRAGMENT);
	assert_int_equal(piece(b, 5, 160, 16, false), DROP_NONE);
	assert_int_equal(piece(b, 5, 160, 16, true), DROP_FRAGMENT);
}

static void test_keys_are_not_mixed(void **state)
{
	struct bench *b = *state;

	assert_int_equal(feed(b, 0, 1, 0, 16, true, data), DROP_NONE);
	assert_int_equal(feed(b, 1, 1, 16, 16, false, data + 16), DROP_NONE); /* another port */
	assert_null(b->whole);
	assert_int_equal(feed(b, 0, 2, 16, 16, false, data + 16), DROP_NONE); /* another identification */
	assert_null(b->whole);
	struct ip4 ip = {.proto = IP_PROTO_ICMP, .header_bytes = 20, .payload_bytes = 16, .id = 1, .frag = 2,
			.src_be = GUEST_BE, .dst_be = REMOTE_BE};
	assert_int_equal(reass_input(b->r, b->now_ms, 0, &ip, data, 16, &b->whole, &b->n_whole), DROP_NONE);
	assert_null(b->whole);
	assert_int_equal(reass_count(b->r, UINT16_MAX), 4);
	assert_int_equal(feed(b, 0, 1, 16, 16, false, data + 16), DROP_NONE);
	assert_whole(b, 32);
}

static void test_time_runs_from_the_first_fragment(void **state)
{
	struct bench *b = *state;

	assert_int_equal(piece(b, 1, 0, 16, true), DROP_NONE);
	b->now_ms += REASS_TIMEOUT_MS - 1;
	assert_int_equal(piece(b, 1, 16, 16, true), DROP_NONE);
	assert_int_equal(reass_expire(b->r, b->now_ms), 0);
	b->now_ms += 1;
	/* The end comes too late: it starts a datagram of its own. */
	assert_int_equal(piece(b, 1, 32, 16, false), DROP_NONE);
	assert_null(b->whole);
	assert_int_equal(reass_count(b->r, 0), 1);
	b->now_ms += REASS_TIMEOUT_MS;
	assert_int_equal(reass_expire(b->r, b->now_ms), 1);
	assert_int_equal(reass_count(b->r, 0), 0);
}

static void test_a_dead_datagram_is_forgotten_in_time(void **state)
{
	struct bench *b = *state;

	assert_int_equal(piece(b, 1, 0, 16, true), DROP_NONE);
	assert_int_equal(piece(b, 1, 8, 16, true), DROP_FRAGMENT);
	b->now_ms += REASS_TIMEOUT_MS;
	assert_int_equal(piece(b, 1, 0, 16, true), DROP_NONE);
	assert_int_equal(piece(b, 1, 16, 16, false), DROP_NONE);
	assert_whole(b, 32);
}

static void test_cap_of_a_port(void **state)
{
	struct bench *b = *state;

	for (uint16_t id = 0; id < REASS_PORT_MAX; id++, b->now_ms++)
		assert_int_equal(piece(b, id, 0, 16, true), DROP_NONE);
	assert_int_equal(piece(b, REASS_PORT_MAX, 0, 16, true), DROP_FRAGMENT_CAP);
	assert_int_equal(reass_count(b->r, 0), REASS_PORT_MAX);
	/* The oldest has gone, the second oldest and the newcomer are there. */
	assert_int_equal(piece(b, 1, 16, 16, false), DROP_NONE);
	assert_whole(b, 32);
	assert_int_equal(piece(b, REASS_PORT_MAX, 16, 16, false), DROP_NONE);
	assert_whole(b, 32);
	assert_int_equal(piece(b, 0, 16, 16, false), DROP_NONE);
	assert_null(b->whole);
}

/* Four ports fill the table; a fifth takes from one of them, and never more than it may. */
static void test_cap_of_the_table(void **state)
{
	struct bench *b = *state;

	for (uint16_t port = 0; port < 4; port++)
		for (uint16_t id = 0; id < REASS_PORT_MAX; id++, b->now_ms++)
			assert_int_equal(feed(b, port, id, 0, 16, true, data), DROP_NONE);
	assert_int_equal(reass_count(b->r, UINT16_MAX), REASS_MAX);
	assert_int_equal(feed(b, 4, 0, 0, 16, true, data), DROP_FRAGMENT_CAP);
	assert_int_equal(reass_count(b->r, UINT16_MAX), REASS_MAX);
	for (uint16_t id = 1; id < 200; id++, b->now_ms++)
		assert_int_equal(feed(b, 4, id, 0, 16, true, data), DROP_FRAGMENT_CAP);
	/* The flood levelled the ports, and then ate itself: nobody is below his share of 64 / 5. */
	for (uint16_t port = 0; port < 4; port++)
		assert_in_range(reass_count(b->r, port), REASS_MAX / 5, REASS_PORT_MAX);
	assert_int_equal(feed(b, 3, REASS_PORT_MAX - 1, 16, 16, false, data + 16), DROP_NONE);
	assert_whole(b, 32);
}

static void test_forgetting_a_port(void **state)
{
	struct bench *b = *state;

	assert_int_equal(feed(b, 1, 1, 0, 16, true, data), DROP_NONE);
	assert_int_equal(feed(b, 2, 1, 0, 16, true, data), DROP_NONE);
	reass_forget_port(b->r, 1);
	assert_int_equal(reass_count(b->r, 1), 0);
	assert_int_equal(reass_count(b->r, 2), 1);
	/* The next guest behind this port does not get the first one's bytes. */
	assert_int_equal(feed(b, 1, 1, 16, 16, false, data + 16), DROP_NONE);
	assert_null(b->whole);
}

/* --- Sending --------------------------------------------------------------------------------------- */

struct sink {
	struct bench *b; /* fragments are fed to its table */
	unsigned int n;
	uint16_t mtu;
	int fail_at; /* 1: the first; 0: none */
	struct ip4 last;
};

static int sink_emit(
	void *ctx, const struct ip4 *ip, const struct iovec *iov, unsigned int n_iov, size_t n_bytes)
{
	static uint8_t flat[REASS_LENGTH_MAX];
	struct sink *s = ctx;
	size_t at = 0;

	for (unsigned int i = 0; i < n_iov; i++) {
		memcpy(flat + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	assert_int_equal(at, n_bytes);
	assert_int_equal(ip->payload_bytes, n_bytes);
	assert_int_equal(ip->header_bytes, IP4_HEADER_BYTES);
	assert_true(IP4_HEADER_BYTES + n_bytes <= s->mtu);
	s->last = *ip;
	if (++s->n == (unsigned int)s->fail_at)
		return -ENOBUFS;
	if (s->b)
		assert_int_equal(reass_input(s->b->r, s->b->now_ms, 0, ip, flat, n_bytes, &s->b->whole,
						 &s->b->n_whole),
				DROP_NONE);
	return 0;
}

static void test_what_is_cut_up_can_be_put_together(void **state)
{
	struct bench *b = *state;

	for (int round = 0; round < 300; round++) {
		size_t total = 1 + random_u32() % (REASS_LENGTH_MAX - IP4_HEADER_BYTES);
		struct sink s = {.b = b, .mtu = (uint16_t)(68 + random_u32() % 9000)};
		struct ip4 ip = {
			.ttl = 3, .proto = 17, .id = (uint16_t)round, .src_be = 1, .dst_be = 2, .tos = 4};
		struct iovec iov[8];
		size_t at = 0;

		for (unsigned int i = 0; i < ARRAY_SIZE(iov); i++) {
			size_t take = i + 1 == ARRAY_SIZE(iov) ? total - at : random_u32() % (total - at + 1);
			iov[i] = (struct iovec){data + at, take};
			at += take;
		}
		assert_int_equal(frag_send(&ip, iov, ARRAY_SIZE(iov), total, s.mtu, sink_emit, &s), 0);
		size_t per = total + 20 <= s.mtu ? total : (s.mtu - 20u) / 8 * 8;
		assert_int_equal(s.n, (total + per - 1) / per);
		assert_int_equal(s.last.ttl, 3);
		assert_int_equal(s.last.tos, 4);
		if (s.n > 1)
			assert_whole(b, total);
	}
}

static void test_cutting_a_fragment(void **state)
{
	struct bench *b = *state;
	struct sink s = {.b = b, .mtu = 100};
	struct ip4 ip = {.proto = 17, .id = 9, .frag = IP4_MORE_FRAG | 2};
	struct iovec iov = {data + 16, 800};

	assert_int_equal(frag_send(&ip, &iov, 1, 800, 100, sink_emit, &s), 0);
	assert_int_equal(s.n, 10);
	assert_true(s.last.frag & IP4_MORE_FRAG);
	ip.frag = 816 / 8;
	iov = (struct iovec){data + 816, 50};
	assert_int_equal(frag_send(&ip, &iov, 1, 50, 100, sink_emit, &s), 0);
	assert_false(s.last.frag & IP4_MORE_FRAG);
	ip.frag = IP4_MORE_FRAG;
	iov = (struct iovec){data, 16};
	assert_int_equal(frag_send(&ip, &iov, 1, 16, 100, sink_emit, &s), 0);
	assert_whole(b, 866);
}

static void test_what_is_not_cut(void **state)
{
	struct sink s = {.mtu = 1500};
	struct ip4 ip = {.frag = IP4_DONT_FRAG, .header_bytes = 60};
	struct iovec iov = {data, 1480};

	assert_int_equal(frag_send(&ip, &iov, 1, 1480, 1500, sink_emit, &s), 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.last.frag, IP4_DONT_FRAG);
	assert_int_equal(frag_send(&ip, NULL, 0, 0, 1500, sink_emit, &s), 0);
	assert_int_equal(s.n, 2);
	iov.iov_len = 1481;
	assert_int_equal(frag_send(&ip, &iov, 1, 1481, 1500, sink_emit, &s), -EMSGSIZE);
	ip.frag = 0;
	assert_int_equal(frag_send(&ip, &iov, 1, 1481, 27, sink_emit, &s), -EMSGSIZE);
	assert_int_equal(frag_send(&ip, &iov, 1, 1481, 0, sink_emit, &s), -EMSGSIZE);
	ip.frag = IP4_FRAG_MASK;
	assert_int_equal(frag_send(&ip, &iov, 1, 1481, 1500, sink_emit, &s), -EMSGSIZE);
	assert_int_equal(s.n, 2);
}

static void test_sending_stops_at_an_error(void **state)
{
	struct sink s = {.mtu = 100, .fail_at = 3};
	struct ip4 ip = {};
	struct iovec iov = {data, 1000};
	struct iovec crumbs[FRAG_IOV_MAX + 1];

	assert_int_equal(frag_send(&ip, &iov, 1, 1000, 100, sink_emit, &s), -ENOBUFS);
	assert_int_equal(s.n, 3);
	s = (struct sink){.mtu = 100};
	assert_int_equal(frag_send(&ip, &iov, 1, 1001, 100, sink_emit, &s), -EINVAL);
	for (unsigned int i = 0; i < ARRAY_SIZE(crumbs); i++)
		crumbs[i] = (struct iovec){data, 1};
	assert_int_equal(
		frag_send(&ip, crumbs, ARRAY_SIZE(crumbs), ARRAY_SIZE(crumbs), 1500, sink_emit, &s), -E2BIG);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_in_order),
		T(test_last_first),
		T(test_a_whole_datagram_comes_back_as_it_is),
		T(test_random_orders),
		T(test_longest_datagram),
		T(test_tiny_fragments),
		T(test_beyond_the_longest_datagram),
		T(test_such_a_lie_ends_its_datagram),
		T(test_empty_and_uneven_pieces),
		T(test_payload_that_is_not_what_the_header_says),
		T(test_overlaps_end_the_datagram),
		T(test_other_bytes_at_the_same_place),
		T(test_overlap_of_zeroes),
		T(test_contradictions_about_the_end),
		T(test_keys_are_not_mixed),
		T(test_time_runs_from_the_first_fragment),
		T(test_a_dead_datagram_is_forgotten_in_time),
		T(test_cap_of_a_port),
		T(test_cap_of_the_table),
		T(test_forgetting_a_port),
		T(test_what_is_cut_up_can_be_put_together),
		T(test_cutting_a_fragment),
		T(test_what_is_not_cut),
		T(test_sending_stops_at_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
