/* SPDX-License-Identifier: BSD-2-Clause */
/* A frame on its way through the engine: a view of bytes that somebody else owns, and what still needs
 * doing to them. */
#pragma once

#include <sys/uio.h>

#include "offload.h"

/* Ethernet, IPv4 or IPv6 with options, TCP with options: every header we read fits. */
#define FRAME_HEAD_BYTES 256
/* The longest frame: a 64 KiB super-frame with its Ethernet header and one VLAN tag. */
#define FRAME_MAX_BYTES  (65535 + 18)

struct frame {
	/* The first head_bytes bytes, contiguous and private: they do not change while they are read.
	 * head_bytes is at least MIN(n_bytes, FRAME_HEAD_BYTES). */
	const uint8_t *head;
	size_t head_bytes;
	/* The whole frame, head included. What lies beyond the head may be guest memory that changes
	 * at any time: it is only ever handed to the kernel or copied, never parsed. */
	const struct iovec *iov;
	unsigned int n_iov;
	size_t n_bytes;
	/* As the sender gave it, bounded by n_bytes but not yet compared with the headers. */
	struct offload offload;
};

/* The vector of bytes [offset, offset + n_bytes) of a frame, head bytes from the private copy. Returns
 * the number of pieces, 0 if the frame is shorter or ret has too little room. */
unsigned int frame_slice(const struct frame *f, size_t offset, size_t n_bytes, struct iovec *ret, unsigned int n_ret);

/* Copies those bytes out; false if the frame is shorter. */
bool frame_copy(const struct frame *f, size_t offset, size_t n_bytes, void *ret);
