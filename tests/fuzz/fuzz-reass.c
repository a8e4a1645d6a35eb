/* SPDX-License-Identifier: BSD-2-Clause */
/* Fragments of several guests in any order, cut and overlapped in any way: what comes out whole is made
 * of bytes that were sent for just that datagram, each at its place, and no cap is exceeded.
 *
 * A record is eight bytes: what (one of four ports, one of 64 identifications), flags, the fragment
 * field, the length, and the time that passes. The payload is a pattern that follows from key and
 * place, or, if a flag says so, its complement. */
#include "fuzz.h"

#include "reass.h"

#define RECORDS_MAX   128
#define BYTES_MAX     (256 * 1024) /* of payload; more of it only takes time */
#define PORTS         4
#define FLAG_OTHER    1 /* the complement of the pattern */
#define FLAG_OPTIONS  2 /* a header of 60 bytes */
#define FLAG_LIE      4 /* a payload_bytes that is not so */
#define FLAG_SEND     8 /* cut up by frag_send(), and put together */

static uint8_t pattern[2][65536 + 65536];
static struct reass *table;
static uint64_t now_ms;

/* The bytes of a datagram; a different part of the pattern for each port and identification. */
static const uint8_t *bytes_of(uint16_t port_id, uint16_t id, bool other)
{
	return pattern[other] + (port_id * 64u + id % 64u) * 131u;
}

static void set_up(void)
{
	if (!table) {
		uint32_t x = 1;

		must(reass_new(&table) == 0);
		for (size_t i = 0; i < sizeof(pattern[0]); i++) {
			x = x * 1664525u + 1013904223u;
			pattern[0][i] = (uint8_t)(x >> 24);
			pattern[1][i] = (uint8_t)~pattern[0][i];
		}
	}
	for (uint16_t port = 0; port < PORTS; port++)
		reass_forget_port(table, port);
	must(reass_count(table, UINT16_MAX) == 0);
	now_ms = 0;
}

static void check_whole(uint16_t port_id, uint16_t id, const uint8_t *whole, size_t n)
{
	const uint8_t *a = bytes_of(port_id, id, false), *b = bytes_of(port_id, id, true);

	must(n <= REASS_LENGTH_MAX - IP4_HEADER_BYTES);
	if (memcmp(whole, a, n) == 0)
		return;
	for (size_t i = 0; i < n; i++)
		must(whole[i] == a[i] || whole[i] == b[i]);
}

static void check_caps(void)
{
	unsigned int n = 0;

	for (uint16_t port = 0; port < PORTS; port++) {
		must(reass_count(table, port) <= REASS_PORT_MAX);
		n += reass_count(table, port);
	}
	must(n == reass_count(table, UINT16_MAX) && n <= REASS_MAX);
}

static void one_fragment(uint8_t what, uint8_t flags, uint16_t frag, uint16_t n_bytes)
{
	uint16_t port_id = what % PORTS, id = what / PORTS;
	/* Where the place is a lie, the bytes are from the start. */
	size_t at = (size_t)(frag & IP4_FRAG_MASK) * 8;
	const uint8_t *from = bytes_of(port_id, id, flags & FLAG_OTHER) + (at + n_bytes > 65535 ? 0 : at);
	struct ip4 ip = {
		.proto = IP_PROTO_UDP,
		.header_bytes = flags & FLAG_OPTIONS ? 60 : IP4_HEADER_BYTES,
		.payload_bytes = (uint16_t)(n_bytes + !!(flags & FLAG_LIE)),
		.id = id,
		.frag = frag,
	};
	const uint8_t *whole;
	size_t n_whole;

	enum drop_reason reason = reass_input(table, now_ms, port_id, &ip, from, n_bytes, &whole, &n_whole);
	must(reason == DROP_NONE || reason == DROP_FRAGMENT || reason == DROP_FRAGMENT_CAP ||
			reason == DROP_TRUNCATED);
	must(!(flags & FLAG_LIE) || reason == DROP_TRUNCATED);
	must(!whole || reason == DROP_NONE);
	if (whole && ip4_is_fragment(&ip))
		check_whole(port_id, id, whole, n_whole);
	else
		must(!whole || (whole == from && n_whole == n_bytes));
	check_caps();
}

struct sink {
	uint16_t port_id, mtu;
	unsigned int n;
	const uint8_t *whole;
	size_t n_whole;
};

static int sink_emit(
	void *ctx, const struct ip4 *ip, const struct iovec *iov, unsigned int n_iov, size_t n_bytes)
{
	struct sink *s = ctx;

	must(n_iov <= 1 && (n_iov == 0 || iov->iov_len == n_bytes) && ip->payload_bytes == n_bytes);
	must(IP4_HEADER_BYTES + n_bytes <= s->mtu || n_bytes == 0);
	s->n++;
	enum drop_reason reason = reass_input(table, now_ms, s->port_id, ip,
		n_iov ? iov->iov_base : pattern[0], n_bytes, &s->whole, &s->n_whole);
	must(reason == DROP_NONE || reason == DROP_FRAGMENT_CAP);
	return 0;
}

/* On a port of its own, so that no fragment of the others gets in between. */
static void one_datagram(uint8_t what, uint16_t n_bytes, uint16_t mtu)
{
	struct sink s = {.port_id = PORTS, .mtu = mtu};
	struct ip4 ip = {.proto = IP_PROTO_UDP, .id = what};
	struct iovec iov = {(void *)bytes_of(0, what, false), n_bytes};

	/* Some fragments are enough; thousands only take time. */
	n_bytes = (uint16_t)MIN(n_bytes, 16u * MAX(mtu, (uint16_t)IP4_HEADER_BYTES));
	iov.iov_len = n_bytes;
	reass_forget_port(table, PORTS);
	int r = frag_send(&ip, &iov, 1, n_bytes, mtu, sink_emit, &s);
	must(r == 0 || (r == -EMSGSIZE && s.n == 0));
	if (r < 0)
		must(mtu < IP4_HEADER_BYTES + 8 || n_bytes > REASS_LENGTH_MAX - IP4_HEADER_BYTES);
	else
		must(s.whole && s.n_whole == n_bytes && memcmp(s.whole, iov.iov_base, n_bytes) == 0);
	reass_forget_port(table, PORTS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	struct rd r = rd_of(data, n_bytes);
	size_t n_payload = 0;

	set_up();
	for (unsigned int i = 0; i < RECORDS_MAX && n_payload < BYTES_MAX && r.left >= 8; i++) {
		uint8_t what = rd_u8(&r), flags = rd_u8(&r);
		uint16_t frag = rd_u16(&r), n = rd_u16(&r), pause = rd_u16(&r);

		n_payload += n;
		if (flags & FLAG_SEND) {
			one_datagram(what, n, frag);
		} else {
			one_fragment(what, flags, frag, n);
			now_ms += pause;
		}
	}
	return 0;
}
