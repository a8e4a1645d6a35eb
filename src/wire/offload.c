/* SPDX-License-Identifier: BSD-2-Clause */
#include "offload.h"

#include <linux/virtio_net.h>
#include <string.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define OFFLOAD_HEADER_MAX 256 /* no L2 to L4 header that we carry is longer */

static uint16_t rd_le16(struct rd *r)
{
	uint16_t v = rd_u16(r);

	return (uint16_t)(v >> 8 | v << 8);
}

static void wr_le16(struct wr *w, uint16_t v)
{
	wr_u16(w, (uint16_t)(v >> 8 | v << 8));
}

static enum drop_reason parse_gso(uint8_t type, struct offload *o)
{
	switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		o->gso = OFFLOAD_GSO_NONE;
		return DROP_NONE;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		o->gso = OFFLOAD_GSO_TCP4;
		return DROP_NONE;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		o->gso = OFFLOAD_GSO_TCP6;
		return DROP_NONE;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		o->gso = OFFLOAD_GSO_UDP;
		return DROP_NONE;
	default:
		return DROP_BAD_OFFLOAD; /* UFO among them: never offered */
	}
}

enum drop_reason offload_parse(struct rd *r, size_t frame_bytes, struct offload *ret)
{
	struct offload o = {};
	uint8_t flags = rd_u8(r);
	uint8_t type = rd_u8(r);

	o.header_len = rd_le16(r);
	o.gso_size = rd_le16(r);
	o.csum_start = rd_le16(r);
	o.csum_offset = rd_le16(r);
	(void)rd_le16(r); /* num_buffers: for frames to the guest only */
	if (r->bad)
		return DROP_TRUNCATED;

	o.csum_needed = flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	o.csum_valid = !o.csum_needed && (flags & VIRTIO_NET_HDR_F_DATA_VALID);
	if (parse_gso(type, &o))
		return DROP_BAD_OFFLOAD;
	if (!o.csum_needed)
		o.csum_start = o.csum_offset = 0;
	else if (o.csum_start > OFFLOAD_HEADER_MAX || o.csum_offset > OFFLOAD_HEADER_MAX ||
			(size_t)o.csum_start + o.csum_offset + 2 > frame_bytes)
		return DROP_BAD_OFFLOAD;
	if (o.gso == OFFLOAD_GSO_NONE)
		o.gso_size = o.header_len = 0;
	else if (!o.csum_needed || o.gso_size == 0 || o.header_len > frame_bytes)
		return DROP_BAD_OFFLOAD;
	*ret = o;
	return DROP_NONE;
}

void offload_emit(struct wr *w, const struct offload *o)
{
	static const uint8_t types[OFFLOAD_GSO_MAX] = {
		[OFFLOAD_GSO_NONE] = VIRTIO_NET_HDR_GSO_NONE,
		[OFFLOAD_GSO_TCP4] = VIRTIO_NET_HDR_GSO_TCPV4,
		[OFFLOAD_GSO_TCP6] = VIRTIO_NET_HDR_GSO_TCPV6,
		[OFFLOAD_GSO_UDP] = VIRTIO_NET_HDR_GSO_UDP_L4,
	};

	wr_u8(w, o->csum_needed ? VIRTIO_NET_HDR_F_NEEDS_CSUM : o->csum_valid ? VIRTIO_NET_HDR_F_DATA_VALID : 0);
	wr_u8(w, types[o->gso]);
	wr_le16(w, o->header_len);
	wr_le16(w, o->gso_size);
	wr_le16(w, o->csum_start);
	wr_le16(w, o->csum_offset);
	wr_le16(w, 1);
}
