/* SPDX-License-Identifier: BSD-2-Clause */
/* Doing in software what a port's other end cannot: checksums and segmentation of a frame whose offload
 * header asks for them; and comparing such a header with the frame's own. Nothing here allocates. */
#pragma once

#include "frame.h"

/* The most frames that one super-frame may stand for: 64 KiB in segments of 48 bytes, the smallest that
 * Linux's TCP makes. It bounds the work and the room that a guest can ask for with one frame. */
#define SEGMENT_FRAMES_MAX 1366
/* The most pieces in the vector of a frame that is worked upon. */
#define SEGMENT_IOV_MAX 192

/* The offload header that the frame's own headers give, for what `in` asks. head: the first head_bytes
 * bytes of a frame of n_bytes (as in struct frame). Nothing is taken from `in` but the wish and
 * gso_size; csum_valid is never passed on. A super-frame of one segment becomes a plain one.
 * DROP_NONE, or DROP_BAD_OFFLOAD if `in` does not fit the headers. */
enum drop_reason segment_check(const uint8_t *head, size_t head_bytes, size_t n_bytes,
	const struct offload *in, struct offload *ret);

/* Makes the plain frames that the frame in iov stands for and hands each to emit(): its own headers
 * (head, n_head bytes, checksums complete) and the vector of its payload, both valid during the call.
 * emit() returns 0 or -errno; an error ends the work. A super-frame's offload fields must be those of
 * segment_check(): -EINVAL otherwise, before the first emit(). A checksum alone is completed wherever
 * csum_start points within the first FRAME_HEAD_BYTES (-EINVAL beyond). -EMSGSIZE: too many pieces. */
int segment_frame(const struct iovec *iov, unsigned int n_iov, size_t n_bytes, const struct offload *o,
	int (*emit)(void *ctx, const uint8_t *head, size_t n_head, const struct iovec *payload,
		unsigned int n_payload, size_t n_payload_bytes),
	void *ctx);

/* The number of frames that segment_frame() will make, and their bytes in all. */
unsigned int segment_count(size_t n_bytes, const struct offload *o, size_t *ret_bytes);

/* The most bytes that segment_frame() makes of a super-frame of n_head header bytes and n_bytes of
 * payload, whatever its gso_size; each frame costing extra_bytes on top. */
static inline size_t segment_bytes_max(size_t n_head, size_t n_bytes, size_t extra_bytes)
{
	size_t n = n_bytes < SEGMENT_FRAMES_MAX ? n_bytes + 1 : SEGMENT_FRAMES_MAX;

	return n_bytes + n * (n_head + extra_bytes);
}
