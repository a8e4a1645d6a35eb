/* SPDX-License-Identifier: BSD-2-Clause */
/* A port in memory, for tests.
 *
 * Frames to the guest become heap copies in a list. The list is full at n_queue frames; a super-frame
 * that the caps do not cover is taken whole and may overshoot by its segments. Room to receive into is
 * given in three unequal pieces, as guest memory would be, with bytes around them that commit() and
 * cancel() find unharmed, so that a writer beyond its room fails the test. */
#include "mem.h"

#include <assert.h>

#include "segment.h"

#define ROOM_PIECES 3
#define GUARD_BYTES 16
#define GUARD       0xa5
#define AREA_BYTES  (PORT_ROOM_HEADROOM + FRAME_MAX_BYTES + (ROOM_PIECES + 2) * GUARD_BYTES)
#define INJECT_IOV  3

struct queued {
	struct queued *next;
	struct mem_frame frame; /* last: bytes follow */
};

struct mem_port {
	struct port port;
	struct loop *loop;
	struct queued *first, **last;
	unsigned int n_queue, n_held;
	bool refused;  /* somebody waits for room() */
	bool reserved; /* a reservation is open */
	size_t area_bytes;
	uint8_t area[AREA_BYTES];
};

static int keep(struct mem_port *p, const uint8_t *head, size_t n_head, const struct iovec *iov,
	unsigned int n_iov, size_t n_iov_bytes, const struct offload *o)
{
	struct queued *q = calloc(1, sizeof(*q) + n_head + n_iov_bytes);

	if (!q)
		return -ENOMEM;
	q->frame.offload = *o;
	q->frame.n_bytes = n_head + n_iov_bytes;
	struct wr w = wr_of(q->frame.bytes, q->frame.n_bytes);

	wr_copy(&w, head, n_head);
	for (unsigned int i = 0; i < n_iov; i++)
		wr_copy(&w, iov[i].iov_base, MIN(iov[i].iov_len, w.left));
	assert(w.left == 0);
	*p->last = q;
	p->last = &q->next;
	p->n_held++;
	return 0;
}

static int keep_plain(void *ctx, const uint8_t *head, size_t n_head, const struct iovec *payload,
	unsigned int n_payload, size_t n_payload_bytes)
{
	static const struct offload none;

	return keep(ctx, head, n_head, payload, n_payload, n_payload_bytes, &none);
}

static int mem_send(struct port *port, const struct iovec *iov, unsigned int n_iov, size_t n_bytes,
	const struct offload *o)
{
	struct mem_port *p = container_of(port, struct mem_port, port);

	if (n_bytes > FRAME_MAX_BYTES)
		return -EMSGSIZE;
	if (p->n_held >= p->n_queue) {
		p->refused = true;
		return -ENOBUFS;
	}
	if (port_takes(port, o))
		return keep(p, NULL, 0, iov, n_iov, n_bytes, o);
	return segment_frame(iov, n_iov, n_bytes, o, keep_plain, p);
}

static int mem_reserve(struct port *port, size_t n_head, size_t max_bytes, struct room *ret)
{
	struct mem_port *p = container_of(port, struct mem_port, port);

	assert(!p->reserved && n_head <= PORT_ROOM_HEADROOM);
	if (max_bytes == 0)
		return -EMSGSIZE;
	max_bytes = MIN(max_bytes, FRAME_MAX_BYTES - n_head);
	if (p->n_held >= p->n_queue) {
		p->refused = true;
		return -ENOBUFS;
	}
	uint8_t *at = p->area + GUARD_BYTES;
	size_t left = max_bytes;

	p->area_bytes = n_head + max_bytes + (ROOM_PIECES + 2) * GUARD_BYTES;
	memset(p->area, GUARD, p->area_bytes);
	*ret = (struct room){.head = at, .n_head = n_head, .n_bytes = max_bytes};
	at += n_head + GUARD_BYTES;
	for (unsigned int i = 0; i < ROOM_PIECES && left; i++) {
		size_t n = i == ROOM_PIECES - 1 ? left : (left + 2) / 3;

		ret->iov[ret->n_iov++] = (struct iovec){at, n};
		at += n + GUARD_BYTES;
		left -= n;
	}
	p->reserved = true;
	return 0;
}

static void check_guard(const uint8_t *p)
{
	for (int i = 0; i < GUARD_BYTES; i++)
		assert(p[i] == GUARD);
}

static void end_reservation(struct mem_port *p, const struct room *r)
{
	assert(p->reserved);
	check_guard(p->area);
	check_guard(r->head + r->n_head);
	for (unsigned int i = 0; i < r->n_iov; i++)
		check_guard((uint8_t *)r->iov[i].iov_base + r->iov[i].iov_len);
	p->reserved = false;
}

static int mem_commit(struct port *port, struct room *r, size_t n_bytes, const struct offload *o)
{
	struct mem_port *p = container_of(port, struct mem_port, port);
	struct iovec iov[1 + ROOM_PIECES] = {{r->head, r->n_head}};
	unsigned int n_iov = 1;
	size_t left = n_bytes;

	assert(n_bytes <= r->n_bytes);
	end_reservation(p, r);
	for (unsigned int i = 0; i < r->n_iov && left; i++) {
		size_t n = MIN(r->iov[i].iov_len, left);

		iov[n_iov++] = (struct iovec){r->iov[i].iov_base, n};
		left -= n;
	}
	if (port_takes(port, o))
		return keep(p, NULL, 0, iov, n_iov, r->n_head + n_bytes, o);
	return segment_frame(iov, n_iov, r->n_head + n_bytes, o, keep_plain, p);
}

static void mem_cancel(struct port *port, struct room *r)
{
	end_reservation(container_of(port, struct mem_port, port), r);
}

static struct queued *unlink_first(struct mem_port *p)
{
	struct queued *q = p->first;

	if (q) {
		p->first = q->next;
		if (!p->first)
			p->last = &p->first;
		p->n_held--;
	}
	return q;
}

static void mem_free(struct port *port)
{
	struct mem_port *p = container_of(port, struct mem_port, port);
	struct queued *q;

	while ((q = unlink_first(p)))
		free(q);
	free(p);
}

static const struct port_ops mem_ops = {
	.kind = "mem",
	.send = mem_send,
	.reserve = mem_reserve,
	.commit = mem_commit,
	.cancel = mem_cancel,
	.free = mem_free,
};

int mem_port_new(struct loop *l, const struct port_owner *owner, uint32_t caps, unsigned int n_queue,
	struct port **ret)
{
	struct mem_port *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->port = (struct port){.ops = &mem_ops, .owner = owner, .caps = caps, .name = "mem"};
	p->loop = l;
	p->last = &p->first;
	p->n_queue = n_queue;
	*ret = &p->port;
	return 0;
}

struct mem_frame *mem_port_take(struct port *port)
{
	struct mem_port *p = container_of(port, struct mem_port, port);
	_cleanup_free_ struct queued *q = unlink_first(p);

	if (!q)
		return NULL;
	struct mem_frame *f = malloc(sizeof(*f) + q->frame.n_bytes);

	if (!f)
		abort(); /* a test without memory has nothing to say */
	memcpy(f, &q->frame, sizeof(*f) + q->frame.n_bytes);
	if (p->refused && p->n_held < p->n_queue) {
		p->refused = false;
		port->owner->room(port->owner->ctx, port);
	}
	return f;
}

/* An allocation of its own for each part, so that a sanitizer sees every read past its end. */
static uint8_t *part_of(const void *frame, size_t n_bytes)
{
	uint8_t *copy = malloc(MAX(n_bytes, (size_t)1));

	if (!copy)
		abort();
	if (n_bytes)
		memcpy(copy, frame, n_bytes);
	return copy;
}

void mem_port_inject(struct port *port, const void *frame, size_t n_bytes, const struct offload *o)
{
	struct mem_port *p = container_of(port, struct mem_port, port);
	size_t head_bytes = MIN(n_bytes, (size_t)FRAME_HEAD_BYTES);
	_cleanup_free_ uint8_t *head = part_of(frame, head_bytes);
	struct iovec iov[INJECT_IOV];
	struct frame f = {
		.head = head,
		.head_bytes = head_bytes,
		.iov = iov,
		.n_iov = INJECT_IOV,
		.n_bytes = n_bytes,
		.offload = *o,
	};
	size_t done = 0;

	/* The head as the guest may have changed it since: whoever reads it there reads nonsense. */
	for (unsigned int i = 0; i < INJECT_IOV; i++) {
		size_t n = i == INJECT_IOV - 1 ? n_bytes - done : (n_bytes - done) / 3;

		iov[i] = (struct iovec){part_of((const uint8_t *)frame + done, n), n};
		if (done < head_bytes)
			memset(iov[i].iov_base, 0xee, MIN(n, head_bytes - done));
		done += n;
	}
	port_input(port, &f, 1, loop_now_ms(p->loop));
	for (unsigned int i = 0; i < INJECT_IOV; i++)
		free(iov[i].iov_base);
}
