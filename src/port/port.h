/* SPDX-License-Identifier: BSD-2-Clause */
/* How frames come and go: one guest's cable. One file per kind implements the operations below; the
 * engine above sees no difference between them but their capabilities.
 *
 * From the guest: the port watches its own descriptor and calls owner->input() with batches of frames,
 * which stay valid until that call returns.
 *
 * To the guest: either send(), for a frame that is complete in memory; or reserve(), fill, and then
 * commit() or cancel(), for data that is received straight into its place. One reservation at a time.
 * A frame is taken whole or not at all. A port that has no room answers -ENOBUFS to send() and
 * reserve(), and calls owner->room() once it has some again. Room is secured before any read that
 * consumes what it reads.
 *
 * Offload: the port accepts every offload in its caps as it is, and does the rest itself, at its own
 * edge (segment.h): a caller never segments and never computes an L4 checksum. */
#pragma once

#include "addr.h"
#include "frame.h"
#include "loop.h"

#define PORT_BATCH         64
#define PORT_MAX           64 /* ports of one network */
#define PORT_NAME_BYTES    32
#define PORT_ROOM_IOV      64
#define PORT_ROOM_HEADROOM 128 /* the most that reserve() gives for headers */

struct port;

/* Offloads that the other end of the port takes as they are. */
enum port_cap {
	PORT_CAP_CSUM = 1 << 0,
	PORT_CAP_TSO4 = 1 << 1,
	PORT_CAP_TSO6 = 1 << 2,
	PORT_CAP_USO = 1 << 3,
};

/* Room to receive into: headers go to head (exactly n_head bytes), data to iov. */
struct room {
	uint8_t *head;
	size_t n_head;
	struct iovec iov[PORT_ROOM_IOV];
	unsigned int n_iov;
	size_t n_bytes; /* sum of iov: at least 1, at most what was asked for */
};

struct port_ops {
	const char *kind;
	int (*send)(struct port *p, const struct iovec *iov, unsigned int n_iov, size_t n_bytes,
			const struct offload *o);
	int (*reserve)(struct port *p, size_t n_head, size_t max_bytes, struct room *ret);
	int (*commit)(struct port *p, struct room *r, size_t n_bytes, const struct offload *o);
	void (*cancel)(struct port *p, struct room *r);
	/* Lets go of everything, the port itself included. */
	void (*free)(struct port *p);
};

/* What stands above: the lan, or a test. */
struct port_owner {
	void (*input)(void *ctx, struct port *p, const struct frame *frames, unsigned int n);
	void (*room)(void *ctx, struct port *p);
	/* The other end is gone; error is 0 or -errno. A port that reconnects calls opened() later; one
	 * that does not has final set, and is freed by its owner (not inside the call). */
	void (*closed)(void *ctx, struct port *p, int error, bool final);
	void (*opened)(void *ctx, struct port *p);
	void *ctx;
};

struct port_counters {
	uint64_t rx_frames, rx_bytes; /* from the guest */
	uint64_t tx_frames, tx_bytes; /* to the guest */
	uint64_t tx_no_room;          /* refused for want of room */
	uint64_t rx_bad;              /* malformed at this layer */
	uint64_t n_closed;            /* times the other end went away */
};

/* Embedded first in every kind of port. */
struct port {
	const struct port_ops *ops;
	const struct port_owner *owner;
	uint16_t id; /* set by the lan: below PORT_MAX */
	uint32_t caps;
	uint64_t last_rx_ms; /* when the guest was last heard; 0: never (port_heard_ms()) */
	struct port *lead;   /* of several ports of one guest, each in a thread of its own: the first; else NULL */
	struct port_counters n;
	char name[PORT_NAME_BYTES];
};

/* Whether the port's other end takes a frame with this offload header as it is. */
static inline bool port_takes(const struct port *p, const struct offload *o)
{
	static const uint32_t needed[OFFLOAD_GSO_MAX] = {
		[OFFLOAD_GSO_TCP4] = PORT_CAP_TSO4,
		[OFFLOAD_GSO_TCP6] = PORT_CAP_TSO6,
		[OFFLOAD_GSO_UDP] = PORT_CAP_USO,
	};
	uint32_t caps = needed[o->gso] | (o->csum_needed ? (uint32_t)PORT_CAP_CSUM : 0);

	return (p->caps & caps) == caps;
}

/* 0, -ENOBUFS: no room now; -EMSGSIZE: never will fit; -ENOTCONN: nobody there. */
static inline int port_send(struct port *p, const struct iovec *iov, unsigned int n_iov, size_t n_bytes,
		const struct offload *o)
{
	int r = p->ops->send(p, iov, n_iov, n_bytes, o);

	if (likely(r == 0)) {
		p->n.tx_frames++;
		p->n.tx_bytes += n_bytes;
	} else {
		p->n.tx_no_room++;
	}
	return r;
}

/* n_head <= PORT_ROOM_HEADROOM. 0 or as port_send(). */
static inline int port_reserve(struct port *p, size_t n_head, size_t max_bytes, struct room *ret)
{
	int r = p->ops->reserve(p, n_head, max_bytes, ret);

	if (unlikely(r < 0))
		p->n.tx_no_room++;
	return r;
}

/* n_bytes: how much of iov was filled. After it the room is gone, whatever it answers. */
static inline int port_commit(struct port *p, struct room *r, size_t n_bytes, const struct offload *o)
{
	int e = p->ops->commit(p, r, n_bytes, o);

	if (likely(e == 0)) {
		p->n.tx_frames++;
		p->n.tx_bytes += r->n_head + n_bytes;
	} else {
		p->n.tx_no_room++;
	}
	return e;
}

static inline void port_cancel(struct port *p, struct room *r)
{
	p->ops->cancel(p, r);
}

/* When the guest was last heard, by whichever of its ports. */
static inline uint64_t port_heard_ms(const struct port *p)
{
	return __atomic_load_n(p->lead ? &p->lead->last_rx_ms : &p->last_rx_ms, __ATOMIC_RELAXED);
}

/* Called by implementations with what they received. */
static inline void port_input(struct port *p, const struct frame *frames, unsigned int n, uint64_t now_ms)
{
	if (unlikely(port_heard_ms(p) != now_ms))
		__atomic_store_n(p->lead ? &p->lead->last_rx_ms : &p->last_rx_ms, now_ms, __ATOMIC_RELAXED);
	p->n.rx_frames += n;
	for (unsigned int i = 0; i < n; i++)
		p->n.rx_bytes += frames[i].n_bytes;
	p->owner->input(p->owner->ctx, p, frames, n);
}

static inline struct port *port_free(struct port *p)
{
	if (p)
		p->ops->free(p);
	return NULL;
}
