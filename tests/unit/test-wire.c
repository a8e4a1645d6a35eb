/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arp.h"
#include "csum.h"
#include "eth.h"
#include "icmp4.h"
#include "ip4.h"
#include "offload.h"
#include "tcp.h"
#include "udp.h"

#define ROUNDS 5000
#define assert_same(field) assert_int_equal(a.field, b.field)

static uint32_t seed = 5;

static uint32_t random_u32(void)
{
	seed = seed * 1664525u + 1013904223u;
	return seed >> 8 | seed << 24;
}

static struct mac random_mac(void)
{
	struct mac m;

	for (unsigned int i = 0; i < MAC_BYTES; i++)
		m.b[i] = (uint8_t)random_u32();
	return m;
}

/* --- Ethernet and ARP ------------------------------------------------------------------------------ */

static void test_eth(void **state)
{
	static const uint8_t bytes[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 6};
	uint8_t again[sizeof(bytes)];
	struct rd r = rd_of(bytes, sizeof(bytes));
	struct wr w = wr_of(again, sizeof(again));
	struct eth e;

	assert_int_equal(eth_parse(&r, &e), DROP_NONE);
	assert_true(mac_is_group(&e.dst));
	assert_int_equal(e.src.b[5], 0x56);
	assert_int_equal(e.type, ETH_TYPE_ARP);
	eth_emit(&w, &e);
	assert_false(w.bad);
	assert_memory_equal(again, bytes, sizeof(bytes));
	for (size_t n = 0; n < sizeof(bytes); n++) {
		r = rd_of(bytes, n);
		assert_int_equal(eth_parse(&r, &e), DROP_TRUNCATED);
	}
}

static void test_arp(void **state)
{
	uint8_t bytes[ARP_BYTES];

	for (int round = 0; round < ROUNDS; round++) {
		struct arp a = {
			.op = (uint16_t)(1 + random_u32() % 2),
			.sender_mac = random_mac(),
			.target_mac = random_mac(),
			.sender_be = random_u32(),
			.target_be = random_u32(),
		};
		struct arp b = {};
		struct wr w = wr_of(bytes, sizeof(bytes));

		arp_emit(&w, &a);
		assert_false(w.bad);
		assert_int_equal(w.left, 0);
		struct rd r = rd_of(bytes, sizeof(bytes));
		assert_int_equal(arp_parse(&r, &b), DROP_NONE);
		assert_same(op);
		assert_same(sender_be);
		assert_same(target_be);
		assert_true(mac_eq(&a.sender_mac, &b.sender_mac));
		assert_true(mac_eq(&a.target_mac, &b.target_mac));
	}
	for (size_t n = 0; n < sizeof(bytes); n++) {
		struct rd r = rd_of(bytes, n);
		struct arp a;
		assert_int_equal(arp_parse(&r, &a), DROP_TRUNCATED);
	}
	/* Hardware, protocol, their lengths, operation: each byte matters. */
	for (size_t at = 0; at < 8; at++) {
		uint8_t wrong[ARP_BYTES];
		struct arp a;

		memcpy(wrong, bytes, sizeof(wrong));
		wrong[at] ^= 0x40;
		struct rd r = rd_of(wrong, sizeof(wrong));
		assert_int_equal(arp_parse(&r, &a), DROP_BAD_HEADER);
	}
}

/* --- IPv4 ------------------------------------------------------------------------------------------ */

static void test_ip4_round_trip(void **state)
{
	static uint8_t bytes[65535];

	for (int round = 0; round < ROUNDS; round++) {
		struct ip4 a = {
			.tos = (uint8_t)random_u32(),
			.ttl = (uint8_t)random_u32(),
			.proto = (uint8_t)random_u32(),
			.header_bytes = IP4_HEADER_BYTES,
			.payload_bytes = (uint16_t)(random_u32() % (65535 - IP4_HEADER_BYTES + 1)),
			.id = (uint16_t)random_u32(),
			.frag = (uint16_t)random_u32(),
			.src_be = random_u32(),
			.dst_be = random_u32(),
		};
		struct ip4 b = {};
		struct wr w = wr_of(bytes, sizeof(bytes));

		ip4_emit(&w, &a);
		assert_false(w.bad);
		struct rd r = rd_of(bytes, sizeof(bytes));
		assert_int_equal(ip4_parse(&r, sizeof(bytes), &b), DROP_NONE);
		assert_same(tos);
		assert_same(ttl);
		assert_same(proto);
		assert_same(header_bytes);
		assert_same(payload_bytes);
		assert_same(id);
		assert_same(frag);
		assert_same(src_be);
		assert_same(dst_be);
		assert_int_equal(r.left, a.payload_bytes); /* padding is cut off */
	}
}

/* From RFC 1071-style practice: a header whose checksum is known. */
static void test_ip4_known_header(void **state)
{
	static const uint8_t bytes[] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8,
		0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
	struct rd r = rd_of(bytes, sizeof(bytes));
	struct ip4 ip;

	/* Only the head is at hand; the frame goes on. */
	assert_int_equal(ip4_parse(&r, 0x73, &ip), DROP_NONE);
	assert_int_equal(ip.payload_bytes, 0x73 - 20);
	assert_int_equal(ip.proto, IP_PROTO_UDP);
	assert_false(ip4_is_fragment(&ip));
	r = rd_of(bytes, sizeof(bytes));
	assert_int_equal(ip4_parse(&r, 0x72, &ip), DROP_TRUNCATED);
	for (size_t at = 0; at < sizeof(bytes); at++) {
		uint8_t wrong[sizeof(bytes)];

		memcpy(wrong, bytes, sizeof(wrong));
		wrong[at] ^= 0x20;
		r = rd_of(wrong, sizeof(wrong));
		assert_int_not_equal(ip4_parse(&r, 65535, &ip), DROP_NONE);
		r = rd_of(bytes, at);
		assert_int_equal(ip4_parse(&r, at, &ip), DROP_TRUNCATED);
	}
}

static void set_ip4_csum(uint8_t *header, size_t n_bytes)
{
	memset(header + 10, 0, 2);
	uint16_t sum = csum_fold(csum_add(header, n_bytes, 0));
	memcpy(header + 10, &sum, 2);
}

static void test_ip4_lengths(void **state)
{
	uint8_t bytes[100] = {0x46, 0, 0, 40, 0, 1, 0, 0, 64, 17};
	struct ip4 ip;

	/* Options are stepped over. */
	set_ip4_csum(bytes, 24);
	struct rd r = rd_of(bytes, sizeof(bytes));
	assert_int_equal(ip4_parse(&r, sizeof(bytes), &ip), DROP_NONE);
	assert_int_equal(ip.header_bytes, 24);
	assert_int_equal(ip.payload_bytes, 16);
	assert_ptr_equal(r.p, bytes + 24);
	assert_int_equal(r.left, 16);
	/* A total length shorter than the header. */
	bytes[3] = 23;
	set_ip4_csum(bytes, 24);
	r = rd_of(bytes, sizeof(bytes));
	assert_int_equal(ip4_parse(&r, sizeof(bytes), &ip), DROP_BAD_HEADER);
	/* A header shorter than the least. */
	bytes[0] = 0x44;
	bytes[3] = 40;
	set_ip4_csum(bytes, 20);
	r = rd_of(bytes, sizeof(bytes));
	assert_int_equal(ip4_parse(&r, sizeof(bytes), &ip), DROP_BAD_HEADER);
	/* Options that go beyond what is there. */
	bytes[0] = 0x4f;
	bytes[3] = 60;
	r = rd_of(bytes, 59);
	assert_int_equal(ip4_parse(&r, 60, &ip), DROP_TRUNCATED);
}

/* --- ICMP and UDP ---------------------------------------------------------------------------------- */

static void test_icmp4(void **state)
{
	uint8_t bytes[ICMP4_HEADER_BYTES + 33];

	for (int round = 0; round < ROUNDS; round++) {
		struct icmp4 a = {
			.type = (uint8_t)random_u32(), .code = (uint8_t)random_u32(), .rest = random_u32()};
		size_t n = random_u32() % 34;
		struct icmp4 b;
		struct wr w = wr_of(bytes, sizeof(bytes));

		for (size_t i = 0; i < n; i++)
			bytes[ICMP4_HEADER_BYTES + i] = (uint8_t)random_u32();
		icmp4_emit(&w, &a, bytes + ICMP4_HEADER_BYTES, n);
		assert_false(w.bad);
		assert_int_equal(csum_fold(csum_add(bytes, ICMP4_HEADER_BYTES + n, 0)), 0);
		struct rd r = rd_of(bytes, ICMP4_HEADER_BYTES);
		assert_int_equal(icmp4_parse(&r, &b), DROP_NONE);
		assert_int_equal(b.type, a.type);
		assert_int_equal(b.code, a.code);
		assert_int_equal(b.rest, a.rest);
	}
	for (size_t n = 0; n < ICMP4_HEADER_BYTES; n++) {
		struct rd r = rd_of(bytes, n);
		struct icmp4 icmp;
		assert_int_equal(icmp4_parse(&r, &icmp), DROP_TRUNCATED);
	}
}

static void test_udp(void **state)
{
	uint8_t bytes[UDP_HEADER_BYTES];
	struct udp a, b;

	for (int round = 0; round < ROUNDS; round++) {
		a = (struct udp){
			.src_port = (uint16_t)random_u32(),
			.dst_port = (uint16_t)random_u32(),
			.payload_bytes = (uint16_t)(random_u32() % (65535 - UDP_HEADER_BYTES + 1)),
			.checksum = (uint16_t)random_u32(),
		};
		struct wr w = wr_of(bytes, sizeof(bytes));

		udp_emit(&w, &a);
		assert_false(w.bad);
		struct rd r = rd_of(bytes, sizeof(bytes));
		assert_int_equal(udp_parse(&r, UDP_HEADER_BYTES + (size_t)a.payload_bytes, &b), DROP_NONE);
		assert_same(src_port);
		assert_same(dst_port);
		assert_same(payload_bytes);
		assert_same(checksum);
		r = rd_of(bytes, sizeof(bytes));
		assert_int_equal(
			udp_parse(&r, UDP_HEADER_BYTES + (size_t)a.payload_bytes - 1, &b), DROP_TRUNCATED);
	}
	for (uint8_t length = 0; length < UDP_HEADER_BYTES; length++) {
		memcpy(bytes + 4, (uint8_t[]){0, length}, 2);
		struct rd r = rd_of(bytes, sizeof(bytes));
		assert_int_equal(udp_parse(&r, 1000, &b), DROP_BAD_HEADER);
	}
	for (size_t n = 0; n < sizeof(bytes); n++) {
		struct rd r = rd_of(bytes, n);
		assert_int_equal(udp_parse(&r, 1000, &b), DROP_TRUNCATED);
	}
}

/* --- TCP ------------------------------------------------------------------------------------------- */

static void test_tcp_round_trip(void **state)
{
	uint8_t bytes[60];

	for (int round = 0; round < ROUNDS; round++) {
		struct tcp a = {
			.src_port = (uint16_t)random_u32(),
			.dst_port = (uint16_t)random_u32(),
			.seq = random_u32(),
			.ack = random_u32(),
			.window = (uint16_t)random_u32(),
			.urgent = (uint16_t)random_u32(),
			.checksum = (uint16_t)random_u32(),
			.flags = (uint8_t)random_u32(),
			.wscale = -1,
		};
		struct tcp b = {};
		struct wr w = wr_of(bytes, sizeof(bytes));

		if (a.flags & TCP_SYN) {
			a.mss = (uint16_t)random_u32();
			a.wscale = (int8_t)((int)(random_u32() % (TCP_WSCALE_MAX + 2)) - 1);
		}
		tcp_emit(&w, &a);
		assert_false(w.bad);
		a.header_bytes = (uint8_t)(sizeof(bytes) - w.left);
		struct rd r = rd_of(bytes, sizeof(bytes));
		assert_int_equal(tcp_parse(&r, &b), DROP_NONE);
		assert_same(src_port);
		assert_same(dst_port);
		assert_same(seq);
		assert_same(ack);
		assert_same(window);
		assert_same(urgent);
		assert_same(checksum);
		assert_same(flags);
		assert_same(header_bytes);
		assert_same(mss);
		assert_same(wscale);
		assert_int_equal(r.left, sizeof(bytes) - a.header_bytes);
		for (size_t n = 0; n < a.header_bytes; n++) {
			r = rd_of(bytes, n);
			assert_int_equal(tcp_parse(&r, &b), DROP_TRUNCATED);
		}
	}
}

/* A SYN with the given options, padded with END. */
static void parse_syn(const void *options, size_t n, struct tcp *ret)
{
	uint8_t bytes[60] = {};
	size_t words = 5 + (n + 3) / 4;

	bytes[12] = (uint8_t)(words << 4);
	bytes[13] = TCP_SYN;
	memcpy(bytes + 20, options, n);
	struct rd r = rd_of(bytes, words * 4);
	assert_int_equal(tcp_parse(&r, ret), DROP_NONE);
}

static void test_tcp_options(void **state)
{
	struct tcp t;

	/* Unknown ones are stepped over; what follows END is not read. */
	parse_syn("\x04\x02\x08\x0a" "aaaabbbb" "\x01\x02\x04\x05\xb4\x03\x03\x07", 20, &t);
	assert_int_equal(t.mss, 1460);
	assert_int_equal(t.wscale, 7);
	parse_syn("\x00\x02\x04\x05\xb4", 5, &t);
	assert_int_equal(t.mss, 0);
	/* RFC 7323, 2.3: more than 14 is taken as 14. */
	parse_syn("\x03\x03\xff", 3, &t);
	assert_int_equal(t.wscale, TCP_WSCALE_MAX);
	/* Lengths of 0 and 1, one that leaves the header, a wrong one: reading ends, the segment stays. */
	parse_syn("\x09\x00\x02\x04\x05\xb4", 6, &t);
	assert_int_equal(t.mss, 0);
	parse_syn("\x09\x01\x02\x04\x05\xb4", 6, &t);
	assert_int_equal(t.mss, 0);
	parse_syn("\x02\x04\x05\xb4\x03\x80", 6, &t);
	assert_int_equal(t.mss, 1460);
	assert_int_equal(t.wscale, -1);
	parse_syn("\x02\x03\x05\x01", 4, &t);
	assert_int_equal(t.mss, 0);
}

static void test_tcp_header_lengths(void **state)
{
	uint8_t bytes[60] = {};
	struct tcp t;

	for (unsigned int words = 0; words < 16; words++) {
		bytes[12] = (uint8_t)(words << 4);
		struct rd r = rd_of(bytes, 40);
		enum drop_reason want = words < 5 ? DROP_BAD_HEADER : words > 10 ? DROP_TRUNCATED : DROP_NONE;
		assert_int_equal(tcp_parse(&r, &t), want);
	}
	/* Options are of SYNs only. */
	memcpy(bytes + 20, "\x02\x04\x05\xb4", 4);
	bytes[12] = 6 << 4;
	bytes[13] = TCP_ACK;
	struct rd r = rd_of(bytes, 24);
	assert_int_equal(tcp_parse(&r, &t), DROP_NONE);
	assert_int_equal(t.mss, 0);
}

static void test_tcp_sequence_arithmetic(void **state)
{
	assert_true(tcp_seq_lt(0xffffffff, 0));
	assert_true(tcp_seq_lt(0xfffffff0, 0x10));
	assert_false(tcp_seq_lt(0x10, 0xfffffff0));
	assert_false(tcp_seq_lt(5, 5));
	assert_true(tcp_seq_le(5, 5));
	assert_true(tcp_seq_le(0xffffffff, 0x7ffffffe));
}

/* --- Offload header -------------------------------------------------------------------------------- */

static void test_offload_round_trip(void **state)
{
	uint8_t bytes[OFFLOAD_VNET_BYTES];

	for (int round = 0; round < ROUNDS; round++) {
		struct offload a = {.csum_needed = random_u32() & 1};
		struct offload b = {};
		struct wr w = wr_of(bytes, sizeof(bytes));

		if (a.csum_needed) {
			a.csum_start = (uint16_t)(random_u32() % 100);
			a.csum_offset = (uint16_t)(random_u32() % 20);
			a.gso = (uint8_t)(random_u32() % OFFLOAD_GSO_MAX);
		} else {
			a.csum_valid = random_u32() & 1;
		}
		if (a.gso) {
			a.gso_size = (uint16_t)(1 + random_u32() % 65535);
			a.header_len = (uint16_t)(random_u32() % 200);
		}
		offload_emit(&w, &a);
		assert_false(w.bad);
		assert_int_equal(w.left, 0);
		struct rd r = rd_of(bytes, sizeof(bytes));
		assert_int_equal(offload_parse(&r, 1000, &b), DROP_NONE);
		assert_same(csum_needed);
		assert_same(csum_valid);
		assert_same(gso);
		assert_same(gso_size);
		assert_same(header_len);
		assert_same(csum_start);
		assert_same(csum_offset);
	}
}

static enum drop_reason parse_offload(const char bytes[OFFLOAD_VNET_BYTES], size_t frame_bytes)
{
	struct rd r = rd_of(bytes, OFFLOAD_VNET_BYTES);
	struct offload o;

	return offload_parse(&r, frame_bytes, &o);
}

/* A checksum that is still to be computed is not right as well, whatever the header claims. */
static void test_offload_with_both_flags(void **state)
{
	struct rd r = rd_of("\3\0\0\0\0\0\42\0\20\0\0", OFFLOAD_VNET_BYTES);
	struct offload o;

	assert_int_equal(offload_parse(&r, 60, &o), DROP_NONE);
	assert_true(o.csum_needed);
	assert_false(o.csum_valid);
}

static void test_offload_refusals(void **state)
{
	struct offload o;
	uint8_t bytes[OFFLOAD_VNET_BYTES] = {};

	for (size_t n = 0; n < sizeof(bytes); n++) {
		struct rd r = rd_of(bytes, n);
		assert_int_equal(offload_parse(&r, 1000, &o), DROP_TRUNCATED);
	}
	/* Fields: flags, type, header length, gso size, checksum start, offset. */
	assert_int_equal(parse_offload("\1\0\0\0\0\0\42\0\20\0\0", 52), DROP_NONE);
	assert_int_equal(
		parse_offload("\1\0\0\0\0\0\42\0\20\0\0", 51), DROP_BAD_OFFLOAD); /* outside the frame */
	assert_int_equal(parse_offload("\1\0\0\0\0\0\xff\xff\x01\0\0", 65535), DROP_BAD_OFFLOAD);
	assert_int_equal(parse_offload("\1\0\0\0\0\0\0\0\xff\xff\0", 65535), DROP_BAD_OFFLOAD);
	assert_int_equal(parse_offload("\1\1\66\0\0\0\42\0\20\0\0", 3000), DROP_BAD_OFFLOAD); /* no size */
	assert_int_equal(
		parse_offload("\0\1\66\0\xb4\5\42\0\20\0\0", 3000), DROP_BAD_OFFLOAD); /* no checksum */
	assert_int_equal(parse_offload("\1\1\66\0\xb4\5\42\0\20\0\0", 3000), DROP_NONE);
	/* Headers longer than the frame. */
	assert_int_equal(parse_offload("\1\1\66\0\xb4\5\42\0\20\0\0", 54), DROP_NONE);
	assert_int_equal(parse_offload("\1\1\66\0\xb4\5\42\0\20\0\0", 53), DROP_BAD_OFFLOAD);
	assert_int_equal(parse_offload("\1\3\66\0\xb4\5\42\0\20\0\0", 3000), DROP_BAD_OFFLOAD); /* UFO */
	assert_int_equal(parse_offload("\1\2\66\0\xb4\5\42\0\20\0\0", 3000), DROP_BAD_OFFLOAD);
	assert_int_equal(parse_offload("\1\x40\66\0\xb4\5\42\0\20\0\0", 3000), DROP_BAD_OFFLOAD);
}

/* --- Addresses and names --------------------------------------------------------------------------- */

static void test_socket_addresses(void **state)
{
	struct ip_addr a4 = ip_addr_from4(inet_addr("192.0.2.1")), a6, b;
	union sock_addr s;
	uint16_t port = 0;

	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &a6), 1);
	assert_true(ip_addr_is4(&a4));
	assert_false(ip_addr_is4(&a6));
	assert_int_equal(sock_addr_set(&s, &a4, 5022), sizeof(struct sockaddr_in));
	assert_int_equal(s.in4.sin_port, htons(5022));
	assert_true(sock_addr_get(&s, &b, &port));
	assert_true(ip_addr_eq(&a4, &b));
	assert_int_equal(port, 5022);
	assert_int_equal(sock_addr_set(&s, &a6, 53), sizeof(struct sockaddr_in6));
	assert_true(sock_addr_get(&s, &b, &port));
	assert_true(ip_addr_eq(&a6, &b));
	assert_int_equal(port, 53);
	s.sa.sa_family = AF_UNIX;
	assert_false(sock_addr_get(&s, &b, &port));
}

static void test_drop_reasons_have_names(void **state)
{
	for (unsigned int i = 0; i < DROP_REASON_MAX; i++) {
		assert_non_null(drop_reason_name(i));
		for (unsigned int k = 0; k < i; k++)
			assert_string_not_equal(drop_reason_name(i), drop_reason_name(k));
	}
	assert_string_equal(drop_reason_name(DROP_REASON_MAX), "unknown");
	assert_string_equal(drop_reason_name(-1), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_eth),
		cmocka_unit_test(test_arp),
		cmocka_unit_test(test_ip4_round_trip),
		cmocka_unit_test(test_ip4_known_header),
		cmocka_unit_test(test_ip4_lengths),
		cmocka_unit_test(test_icmp4),
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_tcp_round_trip),
		cmocka_unit_test(test_tcp_options),
		cmocka_unit_test(test_tcp_header_lengths),
		cmocka_unit_test(test_tcp_sequence_arithmetic),
		cmocka_unit_test(test_offload_round_trip),
		cmocka_unit_test(test_offload_with_both_flags),
		cmocka_unit_test(test_offload_refusals),
		cmocka_unit_test(test_socket_addresses),
		cmocka_unit_test(test_drop_reasons_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
