/* SPDX-License-Identifier: BSD-2-Clause */
/* Several pairs of queues on one device, each with a worker of its own.
 *
 * A pair's rings, buffers and port belong to its worker's thread. The connection and what it tells (features,
 * memory, where rings are) belong to the first worker's, which pauses the others around every change: then
 * nobody else runs, every frame that was away has come back, and it may touch the rings of all pairs. So
 * nothing here has a lock, and nothing on a frame's way looks at anything that could change under it. Guest
 * memory is looked up in a copy of the regions, since a lookup remembers where it found something.
 *
 * What another pair's worker finds wrong (a broken ring, memory that is gone) it notes, and wakes the first. */
#include "vhost_dev.h"

static struct vhost_port *vhost_of(struct port *port)
{
	return container_of(port, struct vhost_port, port);
}

void vhost_pause(struct vhost_device *d)
{
	if (!d->workers.n)
		return;
	d->workers.pause(d->workers.ctx);
	for (unsigned int i = 0; i < d->n_ports; i++)
		(void)vhost_retire(d->ports[i]);
}

void vhost_resume(struct vhost_device *d)
{
	if (d->workers.n)
		d->workers.resume(d->workers.ctx);
}

unsigned int vhost_cross_room(struct vhost_port *p)
{
	return p->dev->workers.room(p->dev->workers.ctx, p->index);
}

bool vhost_cross(struct vhost_port *p, const struct frame *f, unsigned int slot)
{
	const struct vhost_user_workers *w = &p->dev->workers;
	unsigned int to = w->steer(w->ctx, &p->port, f);

	if (to == p->index)
		return false;
	w->cross(w->ctx, p->index, &p->port, to, &p->dev->ports[to]->port, f, slot);
	return true;
}

void vhost_user_port_input(struct port *p, const struct frame *frames, unsigned int n)
{
	port_input(p, frames, n, loop_now_ms(vhost_of(p)->loop));
}

void vhost_user_port_returned(struct port *p, uint32_t buffer)
{
	assert(buffer < VHOST_RX_SLOTS);
	vhost_of(p)->slots[buffer].away = false;
}

/* Drivers use the first pairs, as many as they say (virtio 1.2, 5.1.6.5.5); of the others the front end
 * disables the rings. */
void vhost_look_active(struct vhost_device *d)
{
	unsigned int n = 0;

	while (n < d->n_ports && d->ports[n]->rings[0].running && d->ports[n]->rings[0].enabled)
		n++;
	n = MAX(n, 1u);
	if (n == d->n_active)
		return;
	d->n_active = n;
	d->workers.active(d->workers.ctx, &d->ports[0]->port, n);
}
