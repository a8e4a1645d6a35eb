/* SPDX-License-Identifier: BSD-2-Clause */
/* Capturing to a file.
 *
 * One writev() a frame, straight from where its bytes are. Frames to the guest are written once they
 * were accepted; those received straight into their place just before, for afterwards the place is the
 * guest's. A file that takes nothing (a full disk) costs the capture that frame, and the next is tried
 * again; a block written in part ends the capture, for all its ports, since nothing behind it could be
 * read. So does an interface that could not be written for its port. The guest's traffic goes on in any
 * case. */
/* seccomp: writev clock_gettime close */
#include "capture.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "pcapng.h"
#include "segment.h"

struct capture_file {
	int fd;
	uint32_t snap_bytes;
	uint32_t n_interfaces;
	bool ended; /* by a block written in part */
	uint64_t n_failures;
	int error; /* -errno of the last failure */
	void (*failed)(void *ctx, int error);
	void *ctx;
};

struct capture_port {
	struct port port;
	struct loop *loop;
	struct port_owner owner; /* the inner port's */
	struct port *inner;
	struct capture_file *file;
	uint32_t interface;
	bool has_interface;
};

static struct capture_port *capture_of(struct port *port)
{
	return container_of(port, struct capture_port, port);
}

static uint64_t wall_clock_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* 0, or -errno; the file has ended if something was written, but not all. */
static int file_write(struct capture_file *f, const struct iovec *iov, unsigned int n_iov, size_t n_bytes)
{
	ssize_t n;

	if (f->ended)
		return -EIO;
	do
		n = writev(f->fd, iov, (int)n_iov);
	while (n < 0 && errno == EINTR);
	f->error = n < 0 ? -errno : -ENOSPC;
	if (n < 0)
		return f->error;
	f->ended = (size_t)n != n_bytes;
	return f->ended ? -EIO : 0;
}

static void count_failure(struct capture_file *f)
{
	if (f->n_failures++ == 0 && f->failed)
		f->failed(f->ctx, f->error);
}

static int file_write_bytes(struct capture_file *f, const uint8_t *bytes, const struct wr *end)
{
	size_t n_bytes = (size_t)(end->p - bytes);
	struct iovec iov = {(void *)(uintptr_t)bytes, n_bytes};

	assert(!end->bad);
	return file_write(f, &iov, 1, n_bytes);
}

int capture_file_new(int fd, uint32_t snap_bytes, struct capture_file **ret)
{
	_cleanup_free_ struct capture_file *f = calloc(1, sizeof(*f));
	uint8_t start[PCAPNG_SECTION_BYTES];
	struct wr w = wr_of(start, sizeof(start));

	if (!f)
		return -ENOMEM;
	f->fd = fd;
	f->snap_bytes = snap_bytes;
	pcapng_emit_section(&w);
	int r = file_write_bytes(f, start, &w);

	if (r < 0)
		return r;
	*ret = TAKE_PTR(f);
	return 0;
}

struct capture_file *capture_file_free(struct capture_file *f)
{
	if (f) {
		util_close(&f->fd);
		free(f);
	}
	return NULL;
}

uint64_t capture_file_n_failures(const struct capture_file *f)
{
	return f->n_failures;
}

void capture_file_on_failure(struct capture_file *f, void (*failed)(void *ctx, int error), void *ctx)
{
	f->failed = failed;
	f->ctx = ctx;
}

struct record {
	struct capture_port *capture;
	enum pcapng_direction direction;
};

static int write_block(void *ctx, const uint8_t *head, size_t n_head, const struct iovec *payload,
	unsigned int n_payload, size_t n_payload_bytes)
{
	const struct record *r = ctx;
	struct capture_file *file = r->capture->file;
	size_t n_bytes = n_head + n_payload_bytes;
	size_t left = file->snap_bytes ? MIN(n_bytes, (size_t)file->snap_bytes) : n_bytes;
	struct pcapng_packet packet = {
		.interface = r->capture->interface,
		.time_ns = wall_clock_ns(),
		.n_captured_bytes = (uint32_t)left,
		.n_wire_bytes = (uint32_t)n_bytes,
		.direction = r->direction,
	};
	uint8_t before[PCAPNG_PACKET_HEAD_BYTES], after[3 + PCAPNG_PACKET_TAIL_BYTES] = {};
	struct wr w = wr_of(before, sizeof(before));
	size_t pad = pcapng_pad(left);
	struct wr w_after = wr_of(after + pad, sizeof(after) - pad);
	struct iovec iov[3 + SEGMENT_IOV_MAX] = {{before, sizeof(before)}};
	unsigned int n_iov = 1;

	pcapng_emit_packet_head(&w, &packet);
	pcapng_emit_packet_tail(&w_after, &packet);
	size_t total = sizeof(before) + left + pad + PCAPNG_PACKET_TAIL_BYTES;
	iov[n_iov++] = (struct iovec){(void *)(uintptr_t)head, MIN(n_head, left)};
	left -= MIN(n_head, left);
	for (unsigned int i = 0; i < n_payload && left; i++) {
		iov[n_iov++] = (struct iovec){payload[i].iov_base, MIN(payload[i].iov_len, left)};
		left -= MIN(payload[i].iov_len, left);
	}
	iov[n_iov++] = (struct iovec){after, pad + PCAPNG_PACKET_TAIL_BYTES};
	if (file_write(file, iov, n_iov, total) < 0)
		count_failure(file);
	return 0;
}

static void record(struct capture_port *c, enum pcapng_direction direction, const struct iovec *iov,
	unsigned int n_iov, size_t n_bytes, const struct offload *o)
{
	struct record r = {c, direction};
	struct offload whole = *o;

	if (c->file->ended || !c->has_interface) {
		count_failure(c->file);
		return;
	}
	whole.gso = OFFLOAD_GSO_NONE;
	int e = segment_frame(iov, n_iov, n_bytes, &whole, write_block, &r);

	if (e == -EINVAL) { /* an offload header that fits nothing: the bytes as they came */
		whole = (struct offload){};
		e = segment_frame(iov, n_iov, n_bytes, &whole, write_block, &r);
	}
	if (e < 0)
		count_failure(c->file);
}

static void record_frame(struct capture_port *c, const struct frame *f)
{
	struct iovec iov[SEGMENT_IOV_MAX];
	unsigned int n_iov = frame_slice(f, 0, f->n_bytes, iov, SEGMENT_IOV_MAX);

	if (n_iov)
		record(c, PCAPNG_INBOUND, iov, n_iov, f->n_bytes, &f->offload);
	else
		count_failure(c->file);
}

/* What the layer above reads of a port, as the inner one has it now. */
static void copy_state(struct capture_port *c)
{
	c->port.caps = c->inner->caps;
	c->port.n.rx_bad = c->inner->n.rx_bad;
	c->port.n.n_closed = c->inner->n.n_closed;
}

static void on_input(void *ctx, struct port *inner, const struct frame *frames, unsigned int n)
{
	struct capture_port *c = ctx;

	copy_state(c);
	for (unsigned int i = 0; i < n; i++)
		record_frame(c, &frames[i]);
	port_input(&c->port, frames, n, loop_now_ms(c->loop));
}

static void on_room(void *ctx, struct port *inner)
{
	struct capture_port *c = ctx;

	c->port.owner->room(c->port.owner->ctx, &c->port);
}

static void on_closed(void *ctx, struct port *inner, int error, bool final)
{
	struct capture_port *c = ctx;

	copy_state(c);
	c->port.owner->closed(c->port.owner->ctx, &c->port, error, final);
}

static void on_opened(void *ctx, struct port *inner)
{
	struct capture_port *c = ctx;

	copy_state(c);
	c->port.owner->opened(c->port.owner->ctx, &c->port);
}

static int capture_send(struct port *port, const struct iovec *iov, unsigned int n_iov, size_t n_bytes,
	const struct offload *o)
{
	struct capture_port *c = capture_of(port);
	int r = port_send(c->inner, iov, n_iov, n_bytes, o);

	if (r == 0)
		record(c, PCAPNG_OUTBOUND, iov, n_iov, n_bytes, o);
	return r;
}

static int capture_reserve(struct port *port, size_t n_head, size_t max_bytes, struct room *ret)
{
	return port_reserve(capture_of(port)->inner, n_head, max_bytes, ret);
}

static int capture_commit(struct port *port, struct room *r, size_t n_bytes, const struct offload *o)
{
	struct capture_port *c = capture_of(port);
	struct iovec iov[1 + PORT_ROOM_IOV] = {{r->head, r->n_head}};
	unsigned int n_iov = 1;
	size_t left = n_bytes;

	for (unsigned int i = 0; i < r->n_iov && left; i++) {
		iov[n_iov++] = (struct iovec){r->iov[i].iov_base, MIN(r->iov[i].iov_len, left)};
		left -= MIN(r->iov[i].iov_len, left);
	}
	record(c, PCAPNG_OUTBOUND, iov, n_iov, r->n_head + n_bytes, o);
	return port_commit(c->inner, r, n_bytes, o);
}

static void capture_cancel(struct port *port, struct room *r)
{
	port_cancel(capture_of(port)->inner, r);
}

static void capture_free(struct port *port)
{
	struct capture_port *c = capture_of(port);

	port_free(c->inner);
	free(c);
}

static const struct port_ops capture_ops = {
	.kind = "capture",
	.send = capture_send,
	.reserve = capture_reserve,
	.commit = capture_commit,
	.cancel = capture_cancel,
	.free = capture_free,
};

int capture_port_new(
	struct loop *l, const struct port_owner *owner, struct capture_file *f, struct port **ret)
{
	struct capture_port *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->port = (struct port){.ops = &capture_ops, .owner = owner, .name = "capture"};
	c->loop = l;
	c->owner = (struct port_owner){
		.input = on_input,
		.room = on_room,
		.closed = on_closed,
		.opened = on_opened,
		.ctx = c,
	};
	c->file = f;
	*ret = &c->port;
	return 0;
}

const struct port_owner *capture_owner(struct port *capture)
{
	return &capture_of(capture)->owner;
}

void capture_port_wrap(struct port *capture, struct port *inner)
{
	struct capture_port *c = capture_of(capture);
	uint8_t block[PCAPNG_INTERFACE_MAX];
	struct wr w = wr_of(block, sizeof(block));

	pcapng_emit_interface(&w, inner->name, c->file->snap_bytes);
	c->has_interface = file_write_bytes(c->file, block, &w) == 0;
	if (c->has_interface)
		c->interface = c->file->n_interfaces++;
	c->inner = inner;
	copy_state(c);
	memcpy(c->port.name, inner->name, sizeof(c->port.name));
}
