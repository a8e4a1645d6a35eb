/* SPDX-License-Identifier: BSD-2-Clause */
/* A frame behind a guest's offload header (12 bytes), cut into pieces of a length that the first byte
 * gives: whatever is accepted must come out as frames that add up. */
#include <assert.h>

#include "segment.h"
#include "util.h"

#define PIECES_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
	unsigned int n;
	size_t n_bytes;
	uint8_t byte; /* reads everything, for the sanitizer to see */
};

static int add(void *ctx, const uint8_t *head, size_t n_head, const struct iovec *payload,
	unsigned int n_payload, size_t n_payload_bytes)
{
	struct sum *s = ctx;
	size_t n_bytes = 0;

	for (size_t i = 0; i < n_head; i++)
		s->byte ^= head[i];
	for (unsigned int i = 0; i < n_payload; i++) {
		for (size_t b = 0; b < payload[i].iov_len; b++)
			s->byte ^= ((const uint8_t *)payload[i].iov_base)[b];
		n_bytes += payload[i].iov_len;
	}
	assert(n_bytes == n_payload_bytes);
	s->n++;
	s->n_bytes += n_head + n_bytes;
	return 0;
}

static unsigned int cut(uint8_t *frame, size_t n_bytes, size_t step, struct iovec *ret)
{
	unsigned int k = 0;

	for (size_t at = 0; at < n_bytes;) {
		size_t n = k == PIECES_MAX - 1 ? n_bytes - at : MIN(step, n_bytes - at);

		ret[k++] = (struct iovec){frame + at, n};
		at += n;
	}
	return k;
}

static void check(const struct iovec *iov, unsigned int n_iov, const uint8_t *frame, size_t n_bytes,
	const struct offload *o)
{
	struct sum got = {};
	struct offload own;
	size_t all_bytes;

	if (segment_check(frame, MIN(n_bytes, (size_t)FRAME_HEAD_BYTES), n_bytes, o, &own))
		return;
	unsigned int n = segment_count(n_bytes, &own, &all_bytes);

	assert(n >= 1 && n <= SEGMENT_FRAMES_MAX && !own.csum_valid);
	assert(segment_frame(iov, n_iov, n_bytes, &own, add, &got) == 0);
	assert(got.n == n && got.n_bytes == all_bytes);
	if (own.gso != OFFLOAD_GSO_NONE)
		assert(all_bytes <= segment_bytes_max(own.header_len, n_bytes - own.header_len, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_of(data, size);
	size_t step = rd_u8(&r) + (size_t)1;
	struct iovec iov[PIECES_MAX];
	struct offload o;
	struct sum got = {};

	if (size < 1 + OFFLOAD_VNET_BYTES || size > FRAME_MAX_BYTES)
		return 0;
	size_t n_bytes = size - 1 - OFFLOAD_VNET_BYTES;
	if (offload_parse(&r, n_bytes, &o))
		return 0;
	uint8_t *frame = malloc(MAX(n_bytes, (size_t)1)); /* its own: reads past its end are seen */

	if (!frame)
		return 0;
	memcpy(frame, r.p, n_bytes);
	unsigned int n_iov = cut(frame, n_bytes, step, iov);

	check(iov, n_iov, frame, n_bytes, &o);
	(void)segment_frame(iov, n_iov, n_bytes, &o, add, &got); /* unchecked: may refuse, must survive */
	free(frame);
	return 0;
}
