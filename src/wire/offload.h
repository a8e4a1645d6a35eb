/* SPDX-License-Identifier: BSD-2-Clause */
/* What a frame still needs done to it: the checked, host-order form of virtio_net_hdr (virtio 1.2,
 * 5.1.6). It travels with the frame through every layer, so that a super-frame of up to 64 KiB crosses
 * the engine as one unit, its checksum not computed. */
#pragma once

#include "cursor.h"
#include "drop.h"

enum offload_gso {
	OFFLOAD_GSO_NONE,
	OFFLOAD_GSO_TCP4,
	OFFLOAD_GSO_TCP6,
	OFFLOAD_GSO_UDP, /* UDP_L4: equal datagrams, not fragments (virtio 1.2 calls it USO) */
	OFFLOAD_GSO_MAX,
};

struct offload {
	bool csum_needed;     /* the L4 checksum field holds the pseudo-header sum only; frames to a guest,
	                         and frames from one */
	bool csum_valid;      /* known to be right: need not be verified */
	uint8_t gso;          /* enum offload_gso; anything but NONE implies csum_needed */
	uint16_t gso_size;    /* payload bytes of each segment, but the last */
	uint16_t header_len;  /* bytes before the payload that is cut up */
	uint16_t csum_start;  /* of the L4 header, from the first byte of the frame */
	uint16_t csum_offset; /* of the checksum field, from csum_start */
};

#define OFFLOAD_VNET_BYTES 12 /* struct virtio_net_hdr_v1 */

/* From the 12 bytes a guest or the tap wrote (little-endian, VIRTIO_NET_F_MRG_RXBUF form) to a value
 * whose fields are bounded by the frame's length. DROP_NONE, DROP_TRUNCATED or DROP_BAD_OFFLOAD. */
enum drop_reason offload_parse(struct rd *r, size_t frame_bytes, struct offload *ret);

/* The reverse; num_buffers is written as 1. */
void offload_emit(struct wr *w, const struct offload *o);
