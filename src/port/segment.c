/* SPDX-License-Identifier: BSD-2-Clause */
/* Segmentation and checksums in software.
 *
 * The first FRAME_HEAD_BYTES of a frame are copied out once; headers are parsed and changed in that copy
 * only. Payload is walked once, in place, by a cursor over the caller's vector, to be summed and to be
 * handed on; it may be guest memory that changes meanwhile, which can spoil a checksum and nothing else.
 *
 * What changes from segment to segment:
 *   IPv4  total length, identification (one more each; RFC 6864 wants them distinct where fragments may
 *         arise), header checksum
 *   IPv6  payload length
 *   TCP   sequence number; FIN and PSH only on the last; CWR only on the first (RFC 3168, 6.1.2);
 *         checksum
 *   UDP   length, checksum
 * Everything else, options and extension headers included, is repeated as it is. */
#include "segment.h"

#include "csum.h"
#include "eth.h"
#include "ip4.h"
#include "tcp.h"
#include "udp.h"

#define ETH_TYPE_VLAN        0x8100
#define VLAN_TAG_BYTES       4
#define IP6_FIXED_BYTES      40
#define IP6_PROTO_HOP_BY_HOP 0
#define IP6_PROTO_DEST_OPTS  60
#define IP6_EXTENSIONS_MAX   4
#define TCP_SEQ_OFFSET       4
#define TCP_FLAGS_OFFSET     13
#define TCP_CWR              0x80

/* Where the headers of a TCP or UDP frame lie, from its first byte. */
struct layout {
	bool is4;
	uint8_t proto;
	size_t ip, l4, end; /* end: of the IP packet; Ethernet padding lies beyond */
	size_t l4_bytes;
	struct ip_addr src, dst;
};

/* A place in a vector, which only moves forward. */
struct place {
	const struct iovec *iov;
	size_t offset; /* into *iov */
};

static enum drop_reason parse_ip4(struct rd *r, size_t left_bytes, struct layout *ret)
{
	struct ip4 ip;

	if (ip4_parse(r, left_bytes, &ip) || ip4_is_fragment(&ip))
		return DROP_BAD_OFFLOAD;
	ret->is4 = true;
	ret->proto = ip.proto;
	ret->src = ip_addr_from4(ip.src_be);
	ret->dst = ip_addr_from4(ip.dst_be);
	ret->l4 = ret->ip + ip.header_bytes;
	ret->l4_bytes = ip.payload_bytes;
	return DROP_NONE;
}

/* RFC 8200, 3 and 4. Of the extension headers, those that leave the pseudo-header alone. */
static enum drop_reason parse_ip6(struct rd *r, size_t left_bytes, struct layout *ret)
{
	uint8_t version = rd_u8(r) >> 4;

	(void)rd_bytes(r, 3);
	size_t payload_bytes = rd_u16(r);
	ret->proto = rd_u8(r);
	(void)rd_u8(r);
	rd_copy(r, &ret->src, sizeof(ret->src));
	rd_copy(r, &ret->dst, sizeof(ret->dst));
	if (r->bad || version != 6 || payload_bytes > left_bytes - IP6_FIXED_BYTES)
		return DROP_BAD_OFFLOAD;
	size_t extension_bytes = 0;
	for (int i = 0; ret->proto == IP6_PROTO_HOP_BY_HOP || ret->proto == IP6_PROTO_DEST_OPTS; i++) {
		ret->proto = rd_u8(r);
		size_t n_bytes = (rd_u8(r) + 1u) * 8u;
		if (i == IP6_EXTENSIONS_MAX || !rd_bytes(r, n_bytes - 2))
			return DROP_BAD_OFFLOAD;
		extension_bytes += n_bytes;
	}
	if (extension_bytes > payload_bytes)
		return DROP_BAD_OFFLOAD;
	ret->is4 = false;
	ret->l4 = ret->ip + IP6_FIXED_BYTES + extension_bytes;
	ret->l4_bytes = payload_bytes - extension_bytes;
	return DROP_NONE;
}

static enum drop_reason find_headers(
	const uint8_t *head, size_t head_bytes, size_t n_bytes, struct layout *ret)
{
	struct rd r = rd_of(head, head_bytes);
	struct eth eth;
	enum drop_reason bad;

	if (eth_parse(&r, &eth))
		return DROP_BAD_OFFLOAD;
	ret->ip = ETH_HEADER_BYTES;
	if (eth.type == ETH_TYPE_VLAN) {
		(void)rd_u16(&r);
		eth.type = rd_u16(&r);
		ret->ip += VLAN_TAG_BYTES;
	}
	if (r.bad)
		return DROP_BAD_OFFLOAD;
	if (eth.type == ETH_TYPE_IP4)
		bad = parse_ip4(&r, n_bytes - ret->ip, ret);
	else if (eth.type == ETH_TYPE_IP6)
		bad = parse_ip6(&r, n_bytes - ret->ip, ret);
	else
		bad = DROP_BAD_OFFLOAD;
	if (bad)
		return bad;
	ret->end = ret->l4 + ret->l4_bytes;
	return DROP_NONE;
}

static uint8_t gso_of(const struct layout *l)
{
	if (l->proto == IP_PROTO_UDP)
		return OFFLOAD_GSO_UDP;
	return l->is4 ? OFFLOAD_GSO_TCP4 : OFFLOAD_GSO_TCP6;
}

/* The bytes before the payload that is cut up, or 0 if this cannot be a super-frame. */
static size_t payload_offset(const uint8_t *head, size_t head_bytes, const struct layout *l)
{
	struct rd r = rd_of(head + l->l4, MIN(head_bytes - l->l4, l->l4_bytes));

	if (l->proto == IP_PROTO_UDP) {
		struct udp udp;

		if (udp_parse(&r, l->l4_bytes, &udp) ||
			udp.payload_bytes + (size_t)UDP_HEADER_BYTES != l->l4_bytes)
			return 0;
		return l->l4 + UDP_HEADER_BYTES;
	}
	struct tcp tcp;

	if (tcp_parse(&r, &tcp) || tcp.flags & (TCP_SYN | TCP_RST))
		return 0;
	return l->l4 + tcp.header_bytes;
}

static enum drop_reason check_gso(const uint8_t *head, size_t head_bytes, size_t n_bytes,
	const struct offload *in, const struct layout *l, struct offload *ret)
{
	size_t header_bytes = payload_offset(head, head_bytes, l);

	if (header_bytes == 0 || in->gso != gso_of(l) || in->gso_size == 0 || l->end != n_bytes)
		return DROP_BAD_OFFLOAD;
	if (n_bytes - header_bytes <= in->gso_size)
		return DROP_NONE; /* one segment: plain */
	if (n_bytes - header_bytes > (size_t)in->gso_size * SEGMENT_FRAMES_MAX)
		return DROP_BAD_OFFLOAD;
	ret->gso = in->gso;
	ret->gso_size = in->gso_size;
	ret->header_len = (uint16_t)header_bytes;
	return DROP_NONE;
}

static enum drop_reason check_layout(const uint8_t *head, size_t head_bytes, size_t n_bytes,
	const struct offload *in, struct layout *l, struct offload *ret)
{
	size_t csum_offset;

	head_bytes = MIN(head_bytes, (size_t)FRAME_HEAD_BYTES); /* all that segment_frame() looks at */
	if (find_headers(head, head_bytes, n_bytes, l))
		return DROP_BAD_OFFLOAD;
	if (l->proto == IP_PROTO_TCP && l->l4_bytes >= TCP_HEADER_BYTES)
		csum_offset = TCP_CSUM_OFFSET;
	else if (l->proto == IP_PROTO_UDP && l->l4_bytes >= UDP_HEADER_BYTES)
		csum_offset = UDP_CSUM_OFFSET;
	else
		return DROP_BAD_OFFLOAD;
	if (!in->csum_needed || in->csum_start != l->l4 || in->csum_offset != csum_offset ||
		csum_offset + 2 > head_bytes - l->l4)
		return DROP_BAD_OFFLOAD;
	*ret = (struct offload){
		.csum_needed = true,
		.csum_start = in->csum_start,
		.csum_offset = in->csum_offset,
	};
	return in->gso == OFFLOAD_GSO_NONE ? DROP_NONE : check_gso(head, head_bytes, n_bytes, in, l, ret);
}

enum drop_reason segment_check(
	const uint8_t *head, size_t head_bytes, size_t n_bytes, const struct offload *in, struct offload *ret)
{
	struct layout l;

	if (in->csum_needed || in->gso != OFFLOAD_GSO_NONE)
		return check_layout(head, head_bytes, n_bytes, in, &l, ret);
	*ret = (struct offload){};
	return DROP_NONE;
}

unsigned int segment_count(size_t n_bytes, const struct offload *o, size_t *ret_bytes)
{
	*ret_bytes = n_bytes;
	if (o->gso == OFFLOAD_GSO_NONE || o->gso_size == 0 || n_bytes <= o->header_len)
		return 1;
	unsigned int n = (unsigned int)((n_bytes - o->header_len + o->gso_size - 1) / o->gso_size);

	*ret_bytes += (size_t)(n - 1) * o->header_len;
	return n;
}

/* The next n bytes of the vector, which must be there. Returns the number of pieces, 0 for too many. */
static unsigned int place_take(struct place *at, size_t n, struct iovec *ret, unsigned int n_ret)
{
	unsigned int k = 0;

	while (n) {
		size_t left = at->iov->iov_len - at->offset;
		size_t take = MIN(left, n);

		if (take) {
			if (k == n_ret)
				return 0;
			ret[k++] = (struct iovec){(uint8_t *)at->iov->iov_base + at->offset, take};
		}
		n -= take;
		at->offset += take;
		if (at->offset == at->iov->iov_len) {
			at->iov++;
			at->offset = 0;
		}
	}
	return k;
}

/* Moves on by n bytes, which must be there, and copies them out unless ret is NULL. */
static void place_move(struct place *at, size_t n, uint8_t *ret)
{
	while (n) {
		size_t take = MIN(at->iov->iov_len - at->offset, n);

		if (take && ret) {
			memcpy(ret, (uint8_t *)at->iov->iov_base + at->offset, take);
			ret += take;
		}
		n -= take;
		at->offset += take;
		if (at->offset == at->iov->iov_len) {
			at->iov++;
			at->offset = 0;
		}
	}
}

static void store16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint16_t load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t load32(const uint8_t *p)
{
	return (uint32_t)load16(p) << 16 | load16(p + 2);
}

/* A computed zero is sent as all ones: zero means "no checksum" to UDP (RFC 768), and to TCP both are
 * the same number. */
static void store_csum(uint8_t *p, uint64_t sum)
{
	uint16_t folded = csum_fold(sum);

	if (folded == 0)
		folded = 0xffff;
	memcpy(p, &folded, 2);
}

/* Sums from csum_start to the frame's end, the field holding the pseudo-header's part. */
static int complete_csum(uint8_t *head, size_t n_head, const struct iovec *payload, unsigned int n_payload,
	size_t n_payload_bytes, const struct offload *o)
{
	size_t field = (size_t)o->csum_start + o->csum_offset;
	struct iovec pieces[1 + SEGMENT_IOV_MAX];

	if (n_head < 2 || field > n_head - 2)
		return -EINVAL;
	pieces[0] = (struct iovec){head + o->csum_start, n_head - o->csum_start};
	if (n_payload)
		memcpy(pieces + 1, payload, n_payload * sizeof(*payload));
	uint64_t sum = csum_add_iov(pieces, n_payload + 1, 0, n_head - o->csum_start + n_payload_bytes, 0);
	store_csum(head + field, sum);
	return 0;
}

static void edit_ip(uint8_t *head, const struct layout *l, unsigned int index, size_t l4_bytes)
{
	uint8_t *ip = head + l->ip;
	size_t ip_bytes = l->l4 - l->ip;

	if (!l->is4) {
		store16(ip + 4, ip_bytes - IP6_FIXED_BYTES + l4_bytes);
		return;
	}
	store16(ip + 2, ip_bytes + l4_bytes);
	store16(ip + 4, load16(ip + 4) + index);
	memset(ip + 10, 0, 2);
	uint16_t sum = csum_fold(csum_add(ip, ip_bytes, 0));
	memcpy(ip + 10, &sum, 2);
}

/* done: payload bytes in the segments before this one. */
static void edit_l4(uint8_t *head, const struct layout *l, size_t done, bool last, size_t l4_bytes)
{
	uint8_t *l4 = head + l->l4;

	if (l->proto == IP_PROTO_UDP) {
		store16(l4 + 4, l4_bytes);
		return;
	}
	uint32_t seq = load32(l4 + TCP_SEQ_OFFSET) + (uint32_t)done;

	store16(l4 + TCP_SEQ_OFFSET, seq >> 16);
	store16(l4 + TCP_SEQ_OFFSET + 2, seq & 0xffff);
	if (!last)
		l4[TCP_FLAGS_OFFSET] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (done)
		l4[TCP_FLAGS_OFFSET] &= (uint8_t)~TCP_CWR;
}

typedef int segment_emit(void *ctx, const uint8_t *head, size_t n_head, const struct iovec *payload,
	unsigned int n_payload, size_t n_payload_bytes);

static int cut_up(const uint8_t *model, const struct layout *l, const struct offload *o, struct place at,
	size_t n_payload_bytes, segment_emit *emit, void *ctx)
{
	size_t n_head = o->header_len;
	struct iovec pieces[SEGMENT_IOV_MAX];

	for (size_t done = 0, index = 0; done < n_payload_bytes; index++) {
		uint8_t head[FRAME_HEAD_BYTES];
		size_t n = MIN(n_payload_bytes - done, (size_t)o->gso_size);
		size_t l4_bytes = n_head - l->l4 + n;
		unsigned int k = place_take(&at, n, pieces, SEGMENT_IOV_MAX);
		uint8_t *field = head + o->csum_start + o->csum_offset;

		memcpy(head, model, n_head);
		edit_ip(head, l, (unsigned int)index, l4_bytes);
		edit_l4(head, l, done, done + n == n_payload_bytes, l4_bytes);
		memset(field, 0, 2);
		uint64_t sum = csum_pseudo(&l->src, &l->dst, l->proto, (uint32_t)l4_bytes);
		sum = csum_add(head + l->l4, n_head - l->l4, sum);
		store_csum(field, csum_add_iov(pieces, k, 0, n, sum));
		int r = emit(ctx, head, n_head, pieces, k, n);
		if (r < 0)
			return r;
		done += n;
	}
	return 0;
}

int segment_frame(const struct iovec *iov, unsigned int n_iov, size_t n_bytes, const struct offload *o,
	segment_emit *emit, void *ctx)
{
	uint8_t head[FRAME_HEAD_BYTES];
	size_t n_head = MIN(n_bytes, sizeof(head));
	struct place at = {.iov = iov};
	struct iovec payload[SEGMENT_IOV_MAX];

	if (n_iov > SEGMENT_IOV_MAX)
		return -EMSGSIZE;
	place_move(&at, n_head, head);
	if (o->gso != OFFLOAD_GSO_NONE) {
		struct layout l;
		struct offload own;

		if (check_layout(head, n_head, n_bytes, o, &l, &own) || own.gso != o->gso ||
			own.header_len != o->header_len)
			return -EINVAL;
		at = (struct place){.iov = iov};
		place_move(&at, own.header_len, NULL); /* not read again: it may have changed */
		return cut_up(head, &l, &own, at, n_bytes - own.header_len, emit, ctx);
	}
	unsigned int k = place_take(&at, n_bytes - n_head, payload, SEGMENT_IOV_MAX);
	int r = o->csum_needed ? complete_csum(head, n_head, payload, k, n_bytes - n_head, o) : 0;

	return r < 0 ? r : emit(ctx, head, n_head, payload, k, n_bytes - n_head);
}
