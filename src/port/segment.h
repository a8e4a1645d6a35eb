/* SPDX-License-Identifier: BSD-2-Clause */
/* Doing in software what a port's other end cannot: checksums and segmentation of a frame whose offload
 * header asks for them. */
#pragma once

#include "frame.h"

/* Makes the plain frames that the frame in iov stands for and hands each to emit(): its own headers
 * (head, n_head bytes, checksums complete) and the vector of its payload. emit() returns 0 or -errno;
 * an error ends the work. caps: offloads (enum port_cap) that need not be done. The offload fields must
 * match the headers: -EINVAL otherwise. */
int segment_frame(const struct iovec *iov, unsigned int n_iov, size_t n_bytes, const struct offload *o,
		int (*emit)(void *ctx, const uint8_t *head, size_t n_head, const struct iovec *payload,
				unsigned int n_payload, size_t n_payload_bytes),
		void *ctx);

/* The number of frames that segment_frame() will make, and their bytes in all. */
unsigned int segment_count(size_t n_bytes, const struct offload *o, size_t *ret_bytes);
