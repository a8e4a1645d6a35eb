/* SPDX-License-Identifier: BSD-2-Clause */
/* Every fixed-format parser: nothing is read beyond the input, what it yields keeps the promises of its
 * header, and what is emitted from it parses to the same again.
 *
 * The first byte says which parser. */
#include "fuzz.h"

#include "arp.h"
#include "csum.h"
#include "eth.h"
#include "icmp4.h"
#include "ip4.h"
#include "offload.h"
#include "tcp.h"
#include "udp.h"

#define same(field) must(a.field == b.field)

/* A reader whose input is gone from where the parser stopped must not have been given back. */
static void check_left(const struct rd *r, const uint8_t *data, size_t n)
{
	must(r->p >= data && r->p <= data + n && r->left <= (size_t)(data + n - r->p));
}

static void fuzz_eth(const uint8_t *data, size_t n)
{
	struct rd r = rd_of(data, n);
	uint8_t bytes[ETH_HEADER_BYTES];
	struct wr w = wr_of(bytes, sizeof(bytes));
	struct eth a;

	enum drop_reason reason = eth_parse(&r, &a);
	check_left(&r, data, n);
	must((reason == DROP_NONE) == (n >= ETH_HEADER_BYTES));
	if (reason)
		return;
	eth_emit(&w, &a);
	must(!w.bad && w.left == 0 && memcmp(bytes, data, sizeof(bytes)) == 0);
}

static void fuzz_arp(const uint8_t *data, size_t n)
{
	struct rd r = rd_of(data, n);
	uint8_t bytes[ARP_BYTES];
	struct wr w = wr_of(bytes, sizeof(bytes));
	struct arp a;

	enum drop_reason reason = arp_parse(&r, &a);
	check_left(&r, data, n);
	if (reason)
		return;
	must(a.op == ARP_OP_REQUEST || a.op == ARP_OP_REPLY);
	arp_emit(&w, &a);
	must(!w.bad && w.left == 0 && memcmp(bytes, data, sizeof(bytes)) == 0);
}

/* The checksum is set right in a copy, else no input would pass it. */
static void fuzz_ip4(const uint8_t *data, size_t n)
{
	uint8_t head[60] = {}, bytes[IP4_HEADER_BYTES];
	size_t n_head = MIN(n, sizeof(head));
	struct wr w = wr_of(bytes, sizeof(bytes));
	struct ip4 a, b;

	if (n)
		memcpy(head, data, n_head);
	size_t n_sum = MIN((size_t)(head[0] & 15) * 4, sizeof(head));
	memset(head + 10, 0, 2);
	uint16_t sum = csum_fold(csum_add(head, n_sum, 0));
	memcpy(head + 10, &sum, 2);

	struct rd r = rd_of(data, n);
	(void)ip4_parse(&r, n, &a);
	check_left(&r, data, n);
	/* The frame may be longer than its head. */
	size_t left_bytes = n_head + (n > n_head ? 256u * data[n_head] : 0);
	r = rd_of(head, n_head);
	enum drop_reason reason = ip4_parse(&r, left_bytes, &a);
	check_left(&r, head, n_head);
	must(reason != DROP_BAD_CHECKSUM || n_head < n_sum);
	if (reason)
		return;
	must(a.header_bytes >= IP4_HEADER_BYTES && a.header_bytes <= 60 && a.header_bytes <= n_head);
	must((size_t)a.header_bytes + a.payload_bytes <= left_bytes);
	must(r.p == head + a.header_bytes && r.left <= a.payload_bytes);
	ip4_emit(&w, &a);
	must(!w.bad);
	r = rd_of(bytes, sizeof(bytes));
	must(ip4_parse(&r, IP4_HEADER_BYTES + (size_t)a.payload_bytes, &b) == DROP_NONE);
	same(tos);
	same(ttl);
	same(proto);
	same(payload_bytes);
	same(id);
	same(frag);
	same(src_be);
	same(dst_be);
}

static void fuzz_icmp4(const uint8_t *data, size_t n)
{
	struct rd r = rd_of(data, n);
	uint8_t bytes[ICMP4_HEADER_BYTES];
	struct wr w = wr_of(bytes, sizeof(bytes));
	struct icmp4 a, b;

	enum drop_reason reason = icmp4_parse(&r, &a);
	check_left(&r, data, n);
	if (reason)
		return;
	icmp4_emit(&w, &a, r.p, r.left);
	must(!w.bad);
	must(csum_fold(csum_add(r.p, r.left, csum_add(bytes, sizeof(bytes), 0))) == 0);
	r = rd_of(bytes, sizeof(bytes));
	must(icmp4_parse(&r, &b) == DROP_NONE);
	same(type);
	same(code);
	same(rest);
}

static void fuzz_udp(const uint8_t *data, size_t n)
{
	struct rd r = rd_of(data, n);
	uint8_t bytes[UDP_HEADER_BYTES];
	struct wr w = wr_of(bytes, sizeof(bytes));
	struct udp a;

	enum drop_reason reason = udp_parse(&r, n, &a);
	check_left(&r, data, n);
	if (reason)
		return;
	must((size_t)a.payload_bytes + UDP_HEADER_BYTES <= n);
	udp_emit(&w, &a);
	must(!w.bad && memcmp(bytes, data, sizeof(bytes)) == 0);
}

static void fuzz_tcp(const uint8_t *data, size_t n)
{
	struct rd r = rd_of(data, n);
	uint8_t bytes[60];
	struct wr w = wr_of(bytes, sizeof(bytes));
	struct tcp a, b;

	enum drop_reason reason = tcp_parse(&r, &a);
	check_left(&r, data, n);
	if (reason)
		return;
	must(a.header_bytes >= TCP_HEADER_BYTES && a.header_bytes <= n && a.wscale >= -1);
	must(a.wscale <= TCP_WSCALE_MAX && r.p == data + a.header_bytes);
	must((a.flags & TCP_SYN) || (a.mss == 0 && a.wscale == -1));
	tcp_emit(&w, &a);
	must(!w.bad);
	r = rd_of(bytes, sizeof(bytes) - w.left);
	must(tcp_parse(&r, &b) == DROP_NONE && r.left == 0);
	same(src_port);
	same(dst_port);
	same(seq);
	same(ack);
	same(window);
	same(urgent);
	same(checksum);
	same(flags);
	same(mss);
	same(wscale);
}

/* Two bytes of frame length, then the header. */
static void fuzz_offload(const uint8_t *data, size_t n)
{
	uint8_t bytes[OFFLOAD_VNET_BYTES];
	struct wr w = wr_of(bytes, sizeof(bytes));
	struct rd r = rd_of(data, n);
	struct offload a, b;

	size_t frame_bytes = rd_u16(&r);
	enum drop_reason reason = offload_parse(&r, frame_bytes, &a);
	check_left(&r, data, n);
	if (reason)
		return;
	must(a.gso < OFFLOAD_GSO_MAX);
	if (a.csum_needed)
		must((size_t)a.csum_start + a.csum_offset + 2 <= frame_bytes);
	if (a.gso)
		must(a.csum_needed && a.gso_size && a.header_len <= frame_bytes);
	else
		must(!a.gso_size && !a.header_len);
	offload_emit(&w, &a);
	must(!w.bad && w.left == 0);
	r = rd_of(bytes, sizeof(bytes));
	must(offload_parse(&r, frame_bytes, &b) == DROP_NONE);
	same(csum_needed);
	same(csum_valid);
	same(gso);
	same(gso_size);
	same(header_len);
	same(csum_start);
	same(csum_offset);
}

/* Against the definition in RFC 1071, with the input cut in three. */
static void fuzz_csum(const uint8_t *data, size_t n)
{
	uint32_t slow = 0;
	size_t first = n ? MIN((size_t)data[0], n) : 0;
	size_t second = n > first ? MIN((size_t)data[first], n - first) : 0;
	struct iovec iov[3] = {
		{(void *)data, first},
		{(void *)(data + first), second},
		{(void *)(data + first + second), n - first - second},
	};

	for (size_t i = 0; i < n; i++)
		slow += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (slow >> 16)
		slow = (slow & 0xffff) + (slow >> 16);
	must(ntohs(csum_fold_partial(csum_add(data, n, 0))) % 0xffff == slow % 0xffff);
	must(ntohs(csum_fold_partial(csum_add_iov(iov, 3, 0, n, 0))) % 0xffff == slow % 0xffff);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	static void (*const fuzz[])(const uint8_t *data, size_t n) = {
		fuzz_eth, fuzz_arp, fuzz_ip4, fuzz_icmp4, fuzz_udp, fuzz_tcp, fuzz_offload, fuzz_csum};

	/* The checksum of more than 64 KiB is nobody's. */
	if (n_bytes == 0 || n_bytes > 65536)
		return 0;
	fuzz[data[0] % ARRAY_SIZE(fuzz)](data + 1, n_bytes - 1);
	return 0;
}
