/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames for tests, and their verification by a second, plain implementation of checksums. */
#pragma once

#include "eth.h"
#include "ip4.h"
#include "offload.h"
#include "tcp.h"
#include "udp.h"

#define PACKET_MAX_BYTES (65535 + 18)

/* What is not set is zero. */
struct packet {
	bool is6, udp, vlan;
	unsigned int n_extensions; /* IPv6: destination options headers of 8 bytes */
	struct mac dst, src;
	size_t n_payload, n_options; /* TCP options: a multiple of 4 */
	uint8_t flags;
	uint32_t seq;
	uint16_t id;
	uint16_t gso_size; /* 0: not a super-frame */
};

static inline uint8_t packet_payload(size_t i)
{
	return (uint8_t)(i * 7 + (i >> 8));
}

/* One's complement sum of big-endian words, byte by byte. */
static inline uint32_t packet_sum(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static inline uint32_t packet_pseudo(const uint8_t *ip, size_t l4_bytes, uint8_t proto)
{
	uint32_t sum = ip[0] >> 4 == 4 ? packet_sum(ip + 12, 8, 0) : packet_sum(ip + 8, 32, 0);

	sum += (uint32_t)l4_bytes + proto;
	return (sum & 0xffff) + (sum >> 16);
}

/* With an offload header that asks for the checksum, and for segmentation if gso_size is set. */
static inline size_t packet_build(const struct packet *k, uint8_t *ret, struct offload *ret_offload)
{
	struct wr w = wr_of(ret, PACKET_MAX_BYTES);
	size_t l4_header = k->udp ? UDP_HEADER_BYTES : TCP_HEADER_BYTES + k->n_options;
	size_t l4_bytes = l4_header + k->n_payload;
	uint8_t proto = k->udp ? IP_PROTO_UDP : IP_PROTO_TCP;

	wr_copy(&w, &k->dst, 6);
	wr_copy(&w, &k->src, 6);
	if (k->vlan) {
		wr_u16(&w, 0x8100);
		wr_u16(&w, 7);
	}
	wr_u16(&w, k->is6 ? ETH_TYPE_IP6 : ETH_TYPE_IP4);
	uint8_t *ip = w.p;
	if (k->is6) {
		wr_u32(&w, 0x60000000);
		wr_u16(&w, (uint16_t)(l4_bytes + k->n_extensions * 8));
		wr_u8(&w, k->n_extensions ? 60 : proto);
		wr_u8(&w, 64);
		for (int i = 0; i < 32; i++)
			wr_u8(&w, (uint8_t)(i * 9));
		for (unsigned int i = 1; i <= k->n_extensions; i++) {
			wr_u8(&w, i == k->n_extensions ? proto : 60);
			wr_u8(&w, 0);
			wr_u8(&w, 1); /* PadN */
			wr_u8(&w, 4);
			wr_u32(&w, 0);
		}
	} else {
		ip4_emit(&w, &(struct ip4){
				     .ttl = 64,
				     .proto = proto,
				     .payload_bytes = (uint16_t)l4_bytes,
				     .id = k->id,
				     .src_be = htonl(0x0a00020f),
				     .dst_be = htonl(0x0a000202),
			     });
	}
	uint8_t *l4 = w.p;
	size_t field = k->udp ? UDP_CSUM_OFFSET : TCP_CSUM_OFFSET;
	if (k->udp) {
		udp_emit(&w,
			&(struct udp){
				.src_port = 1000, .dst_port = 53, .payload_bytes = (uint16_t)k->n_payload});
	} else {
		tcp_emit(&w, &(struct tcp){.src_port = 1000,
				     .dst_port = 80,
				     .seq = k->seq,
				     .ack = 77,
				     .flags = k->flags,
				     .window = 500,
				     .wscale = -1});
		for (size_t i = 0; i < k->n_options; i++)
			wr_u8(&w, 1);
		l4[12] = (uint8_t)(l4_header / 4 << 4);
	}
	for (size_t i = 0; i < k->n_payload; i++)
		wr_u8(&w, packet_payload(i));
	uint32_t pseudo = packet_pseudo(ip, l4_bytes, proto);
	l4[field] = (uint8_t)(pseudo >> 8);
	l4[field + 1] = (uint8_t)pseudo;
	*ret_offload = (struct offload){
		.csum_needed = true,
		.csum_start = (uint16_t)(l4 - ret),
		.csum_offset = (uint16_t)field,
	};
	if (k->gso_size) {
		ret_offload->gso = k->udp ? OFFLOAD_GSO_UDP : k->is6 ? OFFLOAD_GSO_TCP6 : OFFLOAD_GSO_TCP4;
		ret_offload->gso_size = k->gso_size;
		ret_offload->header_len = (uint16_t)(l4 - ret + (ptrdiff_t)l4_header);
	}
	assert_false(w.bad);
	return (size_t)(w.p - ret);
}

/* Where things are in a plain frame, all lengths and checksums found right. */
struct verified {
	const uint8_t *ip, *l4, *payload;
	size_t n_payload;
};

static inline struct verified packet_verify(const uint8_t *frame, size_t n_bytes)
{
	struct verified v = {.ip = frame + 14};
	uint8_t proto;

	if (frame[12] == 0x81)
		v.ip += 4;
	size_t ip_bytes = n_bytes - (size_t)(v.ip - frame);

	if (v.ip[0] >> 4 == 4) {
		size_t header = (v.ip[0] & 15u) * 4u;

		assert_int_equal(v.ip[2] << 8 | v.ip[3], ip_bytes);
		assert_int_equal(packet_sum(v.ip, header, 0), 0xffff);
		proto = v.ip[9];
		v.l4 = v.ip + header;
	} else {
		assert_int_equal((v.ip[4] << 8 | v.ip[5]) + 40, ip_bytes);
		proto = v.ip[6];
		v.l4 = v.ip + 40;
		for (; proto == 60 || proto == 0; v.l4 += 8)
			proto = v.l4[0];
	}
	size_t l4_bytes = n_bytes - (size_t)(v.l4 - frame);

	assert_int_equal(packet_sum(v.l4, l4_bytes, packet_pseudo(v.ip, l4_bytes, proto)), 0xffff);
	if (proto == IP_PROTO_UDP) {
		assert_int_equal(v.l4[4] << 8 | v.l4[5], l4_bytes);
		assert_int_not_equal(v.l4[6] << 8 | v.l4[7], 0);
		v.payload = v.l4 + 8;
	} else {
		assert_int_equal(proto, IP_PROTO_TCP);
		v.payload = v.l4 + (v.l4[12] >> 4) * 4;
	}
	v.n_payload = n_bytes - (size_t)(v.payload - frame);
	return v;
}

static inline uint32_t packet_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
