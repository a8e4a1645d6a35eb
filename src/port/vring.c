/* SPDX-License-Identifier: BSD-2-Clause */
/* What split and packed rings have in common. */
#include "vring.h"

#define DESC_BYTES 16

static bool is_aligned(const void *p, uintptr_t n)
{
	return ((uintptr_t)p & (n - 1)) == 0;
}

int vring_remap(struct vring *v, const struct vring_config *c)
{
	size_t n_desc, n_driver, n_device;

	v->ops->sizes(v->num, &n_desc, &n_driver, &n_device);
	struct vring_addrs at = {
		.desc = vhost_mem_at_user(c->mem, c->desc_user, n_desc),
		.driver = vhost_mem_at_user(c->mem, c->driver_user, n_driver),
		.device = vhost_mem_at_user(c->mem, c->device_user, n_device),
	};
	if (!at.desc || !at.driver || !at.device)
		return -EFAULT;
	/* virtio 1.2, 2.7 and 2.8.10.1; the weakest of both that we rely on. */
	if (!is_aligned(at.desc, 16) || !is_aligned(at.driver, c->packed ? 4 : 2) || !is_aligned(at.device, 4))
		return -EINVAL;
	v->at = at;
	return 0;
}

int vring_start(struct vring *v, const struct vring_config *c)
{
	if (c->num == 0 || c->num > VRING_NUM_MAX || (!c->packed && (c->num & (c->num - 1))))
		return -EINVAL;
	v->ops = c->packed ? &vring_packed_ops : &vring_split_ops;
	v->mem = c->mem;
	v->num = c->num;
	v->event_idx = c->event_idx;
	v->indirect = c->indirect;
	v->has_signalled = false;
	v->n_taken = v->n_used = 0;
	int r = vring_remap(v, c);

	if (r == 0)
		r = v->ops->start(v, c->base);
	if (r == 0) {
		v->kicks = true; /* whatever the memory says: it is written now */
		vring_refuse_kicks(v);
	}
	return r;
}

int vring_add_piece(struct vring *v, const struct vring_desc *d, bool writable, struct iovec *iov,
	unsigned int n_room, struct vring_chain *c)
{
	if (d->n_bytes == 0 || !!(d->flags & VRING_DESC_WRITE) != writable)
		return -EPROTO;
	if (!vhost_mem_iov(v->mem, d->addr, d->n_bytes, iov, n_room, &c->n_iov))
		return -EPROTO;
	c->n_bytes += d->n_bytes;
	return 0;
}

const uint8_t *vring_table(struct vring *v, const struct vring_desc *d, unsigned int *ret_n)
{
	if (!v->indirect || d->flags & VRING_DESC_NEXT || d->n_bytes == 0 || d->n_bytes % DESC_BYTES ||
		d->n_bytes / DESC_BYTES > VRING_CHAIN_MAX)
		return NULL;
	*ret_n = d->n_bytes / DESC_BYTES;
	return vhost_mem_at(v->mem, d->addr, d->n_bytes);
}
