/* SPDX-License-Identifier: BSD-2-Clause */
/* A bad cable, for tests. Each frame meets at most one fault, chosen from the seed. A frame to be swapped
 * is held until the next of its direction has passed, at most HOLD_MS. "No room" answers -ENOBUFS and
 * calls room() HOLD_MS later, as a port that has drained would. */
#include "fault.h"

#include "eth.h"

#define HOLD_MS 1

enum fault {
	FAULT_NONE,
	FAULT_LOSE,
	FAULT_REPEAT,
	FAULT_SWAP,
	FAULT_TRUNCATE,
};

struct held {
	bool full;
	size_t n_bytes;
	struct offload offload;
	uint8_t bytes[FRAME_MAX_BYTES];
};

struct fault_port {
	struct port port;
	struct loop *loop;
	struct port_owner owner; /* the inner port's */
	struct port *inner;
	struct fault_config config;
	uint64_t random;
	struct loop_timer timer;
	bool refused;
	struct held to_guest, from_guest;
	/* One for each direction: frames are sent while others are handed up. */
	uint8_t copy_to_guest[FRAME_MAX_BYTES], copy_from_guest[FRAME_MAX_BYTES];
};

static struct fault_port *fault_of(struct port *port)
{
	return container_of(port, struct fault_port, port);
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t draw(struct fault_port *p)
{
	uint64_t z = p->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static enum fault draw_fault(struct fault_port *p)
{
	const struct fault_config *c = &p->config;
	unsigned int v = (unsigned int)(draw(p) % 1000);

	if (v < c->lose)
		return FAULT_LOSE;
	v -= c->lose;
	if (v < c->repeat)
		return FAULT_REPEAT;
	v -= c->repeat;
	if (v < c->swap)
		return FAULT_SWAP;
	v -= c->swap;
	return v < c->truncate ? FAULT_TRUNCATE : FAULT_NONE;
}

static bool draw_no_room(struct fault_port *p)
{
	if (draw(p) % 1000 >= p->config.no_room)
		return false;
	p->refused = true;
	loop_timer_set(p->loop, &p->timer, loop_now_ms(p->loop) + HOLD_MS);
	return true;
}

static size_t draw_length(struct fault_port *p, size_t n_bytes)
{
	return n_bytes <= ETH_HEADER_BYTES ? n_bytes
					   : ETH_HEADER_BYTES + draw(p) % (n_bytes - ETH_HEADER_BYTES);
}

static size_t gather(const struct iovec *iov, unsigned int n_iov, uint8_t *ret)
{
	struct wr w = wr_of(ret, FRAME_MAX_BYTES);

	for (unsigned int i = 0; i < n_iov; i++)
		wr_copy(&w, iov[i].iov_base, iov[i].iov_len);
	return FRAME_MAX_BYTES - w.left;
}

static int send_bytes(struct fault_port *p, uint8_t *bytes, size_t n_bytes, const struct offload *o)
{
	struct iovec iov = {bytes, n_bytes};

	return port_send(p->inner, &iov, 1, n_bytes, o);
}

/* To the guest. */

static void release_to_guest(struct fault_port *p)
{
	struct held *h = &p->to_guest;

	if (h->full)
		(void)send_bytes(p, h->bytes, h->n_bytes, &h->offload); /* no room: lost on the way */
	h->full = false;
}

static void hold_to_guest(
	struct fault_port *p, const struct iovec *iov, unsigned int n_iov, const struct offload *o)
{
	release_to_guest(p);
	p->to_guest.n_bytes = gather(iov, n_iov, p->to_guest.bytes);
	p->to_guest.offload = *o;
	p->to_guest.full = true;
	loop_timer_set(p->loop, &p->timer, loop_now_ms(p->loop) + HOLD_MS);
}

static int fault_send(struct port *port, const struct iovec *iov, unsigned int n_iov, size_t n_bytes,
	const struct offload *o)
{
	static const struct offload none;
	struct fault_port *p = fault_of(port);

	if (n_bytes > FRAME_MAX_BYTES)
		return -EMSGSIZE;
	if (draw_no_room(p))
		return -ENOBUFS;
	enum fault fault = draw_fault(p);

	if (fault == FAULT_LOSE)
		return 0;
	if (fault == FAULT_SWAP) {
		hold_to_guest(p, iov, n_iov, o);
		return 0;
	}
	int r;

	if (fault == FAULT_TRUNCATE) {
		(void)gather(iov, n_iov, p->copy_to_guest);
		r = send_bytes(p, p->copy_to_guest, draw_length(p, n_bytes), &none);
	} else {
		r = port_send(p->inner, iov, n_iov, n_bytes, o);
	}
	if (r == 0 && fault == FAULT_REPEAT)
		(void)port_send(p->inner, iov, n_iov, n_bytes, o);
	if (r == 0)
		release_to_guest(p);
	return r;
}

static int fault_reserve(struct port *port, size_t n_head, size_t max_bytes, struct room *ret)
{
	struct fault_port *p = fault_of(port);

	return draw_no_room(p) ? -ENOBUFS : port_reserve(p->inner, n_head, max_bytes, ret);
}

static unsigned int room_iov(const struct room *r, size_t n_bytes, struct iovec *ret)
{
	unsigned int n = 0;

	ret[n++] = (struct iovec){r->head, r->n_head};
	for (unsigned int i = 0; i < r->n_iov && n_bytes; i++) {
		ret[n++] = (struct iovec){r->iov[i].iov_base, MIN(r->iov[i].iov_len, n_bytes)};
		n_bytes -= MIN(r->iov[i].iov_len, n_bytes);
	}
	return n;
}

static int fault_commit(struct port *port, struct room *r, size_t n_bytes, const struct offload *o)
{
	static const struct offload none;
	struct fault_port *p = fault_of(port);
	struct iovec iov[1 + PORT_ROOM_IOV];
	unsigned int n_iov = room_iov(r, n_bytes, iov);
	enum fault fault = draw_fault(p);
	size_t copy_bytes = fault == FAULT_REPEAT ? gather(iov, n_iov, p->copy_to_guest) : 0;

	if (fault == FAULT_LOSE || fault == FAULT_SWAP) {
		struct offload offload = *o;
		size_t held_bytes = fault == FAULT_SWAP ? gather(iov, n_iov, p->copy_to_guest) : 0;

		port_cancel(p->inner, r);
		if (held_bytes)
			hold_to_guest(p, &(struct iovec){p->copy_to_guest, held_bytes}, 1, &offload);
		return 0;
	}
	if (fault == FAULT_TRUNCATE && n_bytes) {
		n_bytes = draw(p) % n_bytes;
		o = &none;
	}
	int e = port_commit(p->inner, r, n_bytes, o);

	if (e == 0 && copy_bytes)
		(void)send_bytes(p, p->copy_to_guest, copy_bytes, o);
	if (e == 0)
		release_to_guest(p);
	return e;
}

static void fault_cancel(struct port *port, struct room *r)
{
	port_cancel(fault_of(port)->inner, r);
}

/* From the guest. */

static void hand_up(struct fault_port *p, const struct frame *frames, unsigned int n)
{
	if (n)
		port_input(&p->port, frames, n, loop_now_ms(p->loop));
}

static void hand_up_bytes(struct fault_port *p, uint8_t *bytes, size_t n_bytes, const struct offload *o)
{
	struct iovec iov = {bytes, n_bytes};
	struct frame f = {
		.head = bytes,
		.head_bytes = n_bytes,
		.iov = &iov,
		.n_iov = 1,
		.n_bytes = n_bytes,
		.offload = *o,
	};

	hand_up(p, &f, 1);
}

static void release_from_guest(struct fault_port *p)
{
	struct held *h = &p->from_guest;

	if (h->full) {
		h->full = false;
		hand_up_bytes(p, h->bytes, h->n_bytes, &h->offload);
	}
}

static void hand_up_faulty(struct fault_port *p, const struct frame *f, enum fault fault)
{
	static const struct offload none;
	struct held *h = &p->from_guest;

	switch (fault) {
	case FAULT_REPEAT:
		hand_up(p, f, 1);
		hand_up(p, f, 1);
		release_from_guest(p);
		break;
	case FAULT_SWAP:
		release_from_guest(p);
		h->n_bytes = f->n_bytes;
		h->offload = f->offload;
		h->full = frame_copy(f, 0, f->n_bytes, h->bytes);
		loop_timer_set(p->loop, &p->timer, loop_now_ms(p->loop) + HOLD_MS);
		break;
	case FAULT_TRUNCATE:
		if (frame_copy(f, 0, f->n_bytes, p->copy_from_guest))
			hand_up_bytes(p, p->copy_from_guest, draw_length(p, f->n_bytes), &none);
		break;
	case FAULT_LOSE:
	case FAULT_NONE:
		break;
	}
}

static void on_input(void *ctx, struct port *inner, const struct frame *frames, unsigned int n)
{
	struct fault_port *p = ctx;
	unsigned int start = 0;

	p->port.caps = inner->caps;
	for (unsigned int i = 0; i < n; i++) {
		enum fault fault = frames[i].n_bytes > FRAME_MAX_BYTES ? FAULT_LOSE : draw_fault(p);

		if (fault == FAULT_NONE && !p->from_guest.full)
			continue;
		hand_up(p, frames + start, i - start);
		start = i + 1;
		if (fault != FAULT_NONE) {
			hand_up_faulty(p, &frames[i], fault);
		} else {
			hand_up(p, &frames[i], 1);
			release_from_guest(p);
		}
	}
	hand_up(p, frames + start, n - start);
}

static void on_room(void *ctx, struct port *inner)
{
	struct fault_port *p = ctx;

	p->port.owner->room(p->port.owner->ctx, &p->port);
}

static void on_closed(void *ctx, struct port *inner, int error, bool final)
{
	struct fault_port *p = ctx;

	p->port.n.n_closed++;
	p->to_guest.full = p->from_guest.full = false;
	p->port.owner->closed(p->port.owner->ctx, &p->port, error, final);
}

static void on_opened(void *ctx, struct port *inner)
{
	struct fault_port *p = ctx;

	p->port.caps = inner->caps;
	p->port.owner->opened(p->port.owner->ctx, &p->port);
}

static void on_timer(void *ctx, uint64_t now_ms)
{
	struct fault_port *p = ctx;

	release_from_guest(p);
	release_to_guest(p);
	if (p->refused) {
		p->refused = false;
		p->port.owner->room(p->port.owner->ctx, &p->port);
	}
}

static void fault_free(struct port *port)
{
	struct fault_port *p = fault_of(port);

	loop_timer_clear(p->loop, &p->timer);
	port_free(p->inner);
	free(p);
}

static const struct port_ops fault_ops = {
	.kind = "fault",
	.send = fault_send,
	.reserve = fault_reserve,
	.commit = fault_commit,
	.cancel = fault_cancel,
	.free = fault_free,
};

int fault_port_new(
	struct loop *l, const struct port_owner *owner, const struct fault_config *c, struct port **ret)
{
	struct fault_port *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->port = (struct port){.ops = &fault_ops, .owner = owner, .name = "fault"};
	p->loop = l;
	p->config = *c;
	p->random = c->seed;
	p->timer = (struct loop_timer){.fn = on_timer, .ctx = p};
	p->owner = (struct port_owner){
		.input = on_input,
		.room = on_room,
		.closed = on_closed,
		.opened = on_opened,
		.ctx = p,
	};
	*ret = &p->port;
	return 0;
}

const struct port_owner *fault_owner(struct port *fault)
{
	return &fault_of(fault)->owner;
}

int fault_port_wrap(struct port *fault, struct port *inner)
{
	struct fault_port *p = fault_of(fault);

	p->inner = inner;
	p->port.caps = inner->caps;
	return 0;
}
