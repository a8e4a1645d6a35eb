/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's stack at the other end of a tap device.
 *
 * Every read() yields one frame with its 12-byte offload header; frames are read one behind the other
 * into an area of a few super-frames, and handed up in one batch, so that what is above can join small
 * datagrams. There is no end-of-batch from the kernel but EAGAIN; the descriptor is watched
 * level-triggered, and a pass takes at most one batch, so that sockets get their turn.
 *
 * To the guest, a frame is laid out in one buffer (offload header, headers, data received in place) and
 * written with one write(): the kernel's receive path runs inside that call. A tap never has no room;
 * what the kernel drops inside (interface down, out of memory) counts as lost on the wire. */
/* seccomp: read write writev ioctl fcntl close */
#include "tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define RX_AREA_BYTES (4 * 65536 + 4096)
#define RX_ALIGN      64u
#define TX_HEADROOM   192 /* offload header and headers, data behind it aligned */

struct tap_port {
	struct port port;
	struct loop *loop;
	int fd, source;
	uint64_t n_write_failed;
	struct iovec iov[PORT_BATCH];
	struct frame frames[PORT_BATCH];
	uint8_t rx[RX_AREA_BYTES];
	uint8_t tx[TX_HEADROOM + FRAME_MAX_BYTES];
};

static struct tap_port *tap_of(struct port *p)
{
	return container_of(p, struct tap_port, port);
}

/* One frame at `at`; its place taken, 0 if it was malformed, -EAGAIN when there is none. */
static ssize_t read_frame(struct tap_port *t, size_t at, unsigned int i)
{
	ssize_t n = read(t->fd, t->rx + at, OFFLOAD_VNET_BYTES + FRAME_MAX_BYTES);

	if (n < 0)
		return -errno;
	if (n < OFFLOAD_VNET_BYTES + 14)
		return 0;
	struct rd r = rd_of(t->rx + at, OFFLOAD_VNET_BYTES);
	struct frame *f = &t->frames[i];

	f->n_bytes = (size_t)n - OFFLOAD_VNET_BYTES;
	if (offload_parse(&r, f->n_bytes, &f->offload))
		return 0;
	f->head = t->rx + at + OFFLOAD_VNET_BYTES;
	f->head_bytes = f->n_bytes;
	t->iov[i] = (struct iovec){t->rx + at + OFFLOAD_VNET_BYTES, f->n_bytes};
	f->iov = &t->iov[i];
	f->n_iov = 1;
	return n;
}

static void tap_readable(void *ctx, uint32_t arg, uint32_t events)
{
	struct tap_port *t = ctx;
	size_t at = 0;
	unsigned int n_frames = 0;
	int error = 0;

	/* A batch of reads, malformed frames included: they must not keep us here. */
	for (unsigned int n_reads = 0; n_reads < PORT_BATCH; n_reads++) {
		if (at + OFFLOAD_VNET_BYTES + FRAME_MAX_BYTES > sizeof(t->rx))
			break;
		ssize_t n = read_frame(t, at, n_frames);

		if (n < 0) {
			error = (int)n;
			break;
		}
		if (n == 0) {
			t->port.n.rx_bad++;
			continue;
		}
		at += ((size_t)n + RX_ALIGN - 1) & ~(size_t)(RX_ALIGN - 1);
		n_frames++;
	}
	if (n_frames)
		port_input(&t->port, t->frames, n_frames, loop_now_ms(t->loop));
	if (error && error != -EAGAIN && error != -EINTR) {
		/* EBADFD: the device was deleted, or its namespace ended. */
		(void)loop_unwatch(t->loop, t->fd);
		t->port.n.n_closed++;
		t->port.owner->closed(t->port.owner->ctx, &t->port, error, true);
	}
}

static int write_result(struct tap_port *t, ssize_t n)
{
	if (unlikely(n < 0)) {
		if (errno == EBADFD)
			return -ENOTCONN;
		t->n_write_failed++;
	}
	return 0;
}

static int tap_send(struct port *p, const struct iovec *iov, unsigned int n_iov, size_t n_bytes,
		const struct offload *o)
{
	struct tap_port *t = tap_of(p);
	uint8_t header[OFFLOAD_VNET_BYTES];
	struct wr w = wr_of(header, sizeof(header));
	struct iovec v[1 + 2 * PORT_ROOM_IOV];

	if (n_iov > 2 * PORT_ROOM_IOV || n_bytes > FRAME_MAX_BYTES)
		return -EMSGSIZE;
	offload_emit(&w, o);
	v[0] = (struct iovec){header, sizeof(header)};
	memcpy(v + 1, iov, n_iov * sizeof(*iov));
	return write_result(t, writev(t->fd, v, (int)n_iov + 1));
}

static int tap_reserve(struct port *p, size_t n_head, size_t max_bytes, struct room *ret)
{
	struct tap_port *t = tap_of(p);

	ret->head = t->tx + TX_HEADROOM - n_head;
	ret->n_head = n_head;
	ret->n_bytes = MIN(max_bytes, (size_t)FRAME_MAX_BYTES - n_head);
	ret->iov[0] = (struct iovec){t->tx + TX_HEADROOM, ret->n_bytes};
	ret->n_iov = 1;
	return 0;
}

static int tap_commit(struct port *p, struct room *r, size_t n_bytes, const struct offload *o)
{
	struct tap_port *t = tap_of(p);
	uint8_t *start = r->head - OFFLOAD_VNET_BYTES;
	struct wr w = wr_of(start, OFFLOAD_VNET_BYTES);

	offload_emit(&w, o);
	return write_result(t, write(t->fd, start, OFFLOAD_VNET_BYTES + r->n_head + n_bytes));
}

static void tap_cancel(struct port *p, struct room *r)
{
	(void)p;
	(void)r;
}

static void tap_free(struct port *p)
{
	struct tap_port *t = tap_of(p);

	loop_source_del(t->loop, t->source);
	util_close(&t->fd);
	free(t);
}

static const struct port_ops tap_ops = {
	.kind = "tap",
	.send = tap_send,
	.reserve = tap_reserve,
	.commit = tap_commit,
	.cancel = tap_cancel,
	.free = tap_free,
};

static int set_offloads(int fd, uint32_t *ret_caps)
{
	const unsigned int base = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int header_bytes = OFFLOAD_VNET_BYTES, little_endian = 1;

	if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) < 0 || ioctl(fd, TUNSETVNETLE, &little_endian) < 0)
		return -errno;
	*ret_caps = PORT_CAP_CSUM | PORT_CAP_TSO4 | PORT_CAP_TSO6;
	/* USO came with Linux 6.2, both families in one. */
	if (ioctl(fd, TUNSETOFFLOAD, base | TUN_F_USO4 | TUN_F_USO6) == 0) {
		*ret_caps |= PORT_CAP_USO;
		return 0;
	}
	return ioctl(fd, TUNSETOFFLOAD, base) < 0 ? -errno : 0;
}

int tap_port_new(struct loop *l, const struct port_owner *owner, int fd, const char *name, struct port **ret)
{
	struct tap_port *t = calloc(1, sizeof(*t));
	int r, flags = fcntl(fd, F_GETFL);

	if (!t)
		return -ENOMEM;
	r = set_offloads(fd, &t->port.caps);
	if (r == 0 && (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
		r = -errno;
	t->source = r < 0 ? r : loop_source_add(l, tap_readable, t);
	r = t->source < 0 ? t->source : loop_watch(l, fd, EPOLLIN, t->source, 0);
	if (r < 0) {
		if (t->source >= 0)
			loop_source_del(l, t->source);
		free(t);
		return r;
	}
	t->port.ops = &tap_ops;
	t->port.owner = owner;
	t->loop = l;
	t->fd = fd;
	(void)snprintf(t->port.name, sizeof(t->port.name), "%s", name);
	*ret = &t->port;
	return 0;
}
