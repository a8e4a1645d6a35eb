/* SPDX-License-Identifier: BSD-2-Clause */
#include "frame.h"

#include "util.h"

unsigned int frame_slice(const struct frame *f, size_t offset, size_t n, struct iovec *ret, unsigned int n_ret)
{
	unsigned int k = 0;

	if (offset > f->n_bytes || n > f->n_bytes - offset)
		return 0;
	if (n && offset < f->head_bytes) {
		size_t take = MIN(f->head_bytes - offset, n);

		if (k == n_ret)
			return 0;
		ret[k++] = (struct iovec){(void *)(uintptr_t)(f->head + offset), take};
		offset += take;
		n -= take;
	}
	for (unsigned int i = 0; i < f->n_iov && n; i++) {
		if (offset >= f->iov[i].iov_len) {
			offset -= f->iov[i].iov_len;
			continue;
		}
		size_t take = MIN(f->iov[i].iov_len - offset, n);

		if (k == n_ret)
			return 0;
		ret[k++] = (struct iovec){(uint8_t *)f->iov[i].iov_base + offset, take};
		offset = 0;
		n -= take;
	}
	return k;
}

bool frame_copy(const struct frame *f, size_t offset, size_t n, void *ret)
{
	uint8_t *to = ret;

	if (offset > f->n_bytes || n > f->n_bytes - offset)
		return false;
	if (n && offset < f->head_bytes) {
		size_t take = MIN(f->head_bytes - offset, n);

		memcpy(to, f->head + offset, take);
		to += take;
		offset += take;
		n -= take;
	}
	for (unsigned int i = 0; i < f->n_iov && n; i++) {
		if (offset >= f->iov[i].iov_len) {
			offset -= f->iov[i].iov_len;
			continue;
		}
		size_t take = MIN(f->iov[i].iov_len - offset, n);

		memcpy(to, (const uint8_t *)f->iov[i].iov_base + offset, take);
		to += take;
		offset = 0;
		n -= take;
	}
	return true;
}
