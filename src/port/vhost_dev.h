/* SPDX-License-Identifier: BSD-2-Clause */
/* Within the vhost-user port only: its state, and what its parts ask of each other.
 *
 *   vhost_user.c   the connection, the loop, the port's operations
 *   vhost_ctl.c    the front end's requests
 *   vhost_data.c   frames
 *   vhost_queues.c what several queues add to that
 *
 * A device has one connection and one memory, and a pair of queues for each worker. Each pair is a port of its
 * own to the layers above, and belongs to the thread of its loop: `struct vhost_port`. What they share is
 * `struct vhost_device`, which belongs to the thread of the first, and is changed only while the others are
 * paused. */
#pragma once

#include <assert.h>

#include "vhost_msg.h"
#include "vhost_user.h"
#include "vring.h"

#define VHOST_HEADER_BYTES OFFLOAD_VNET_BYTES
#define VHOST_RX_IOV       192  /* pieces of a frame from the guest: SEGMENT_IOV_MAX */
#define VHOST_RX_POOL      2048 /* pieces of a batch of them */
#define VHOST_RX_SLOTS     256  /* buffers from the guest that are not yet given back */
#define VHOST_PUT_IOV      256  /* pieces, and buffers, of a frame to the guest */

static_assert((VHOST_RX_SLOTS & (VHOST_RX_SLOTS - 1)) == 0 && VHOST_RX_SLOTS >= PORT_BATCH, "slots go round");

/* Bits of the virtio features (virtio 1.2, 5.1.3 and 6); the headers of older kernels lack some. */
enum vhost_feature {
	VHOST_F_CSUM = 0,
	VHOST_F_GUEST_CSUM = 1,
	VHOST_F_MTU = 3,
	VHOST_F_GUEST_TSO4 = 7,
	VHOST_F_GUEST_TSO6 = 8,
	VHOST_F_HOST_TSO4 = 11,
	VHOST_F_HOST_TSO6 = 12,
	VHOST_F_HOST_ECN = 13,
	VHOST_F_MRG_RXBUF = 15,
	VHOST_F_STATUS = 16,
	VHOST_F_MQ = 22,
	VHOST_F_LOG_ALL = 26,
	VHOST_F_ANY_LAYOUT = 27,
	VHOST_F_INDIRECT_DESC = 28,
	VHOST_F_EVENT_IDX = 29,
	VHOST_F_PROTOCOL_FEATURES = 30,
	VHOST_F_VERSION_1 = 32,
	VHOST_F_RING_PACKED = 34,
	VHOST_F_GUEST_USO4 = 54,
	VHOST_F_GUEST_USO6 = 55,
	VHOST_F_HOST_USO = 56,
};

/* Rings come in pairs: the even one to the guest, the odd one from it. */
struct vhost_ring {
	struct vring v;
	struct vring_config config; /* as far as the front end has said */
	int kick_fd, call_fd, err_fd;
	bool has_addr;
	bool enabled;     /* while it is not, what comes from the guest is dropped */
	bool was_enabled; /* but before it ever was, nothing is touched */
	bool running;
	bool broken;    /* by the guest: until the front end starts it again */
	bool call_due;  /* a message that the socket did not take */
	bool to_signal; /* something was used since the last notification */
	bool more;      /* a pass ended before the ring did */
	bool watched;   /* it is looked at, and kicks are not wanted before the loop sleeps */
};

/* What a person is told. */
enum vhost_warning {
	VHOST_WARN_NO_MEMORY,
	VHOST_WARN_RING,
	VHOST_WARN_LOST,
	VHOST_WARN_PROTOCOL,
	VHOST_WARN_MAX,
};

/* Buffers taken for one frame to the guest. */
struct vhost_put {
	size_t n_bytes; /* all of them */
	unsigned int n_chains, n_iov;
	struct vring_chain chains[VHOST_PUT_IOV];
	struct vring_mark before[VHOST_PUT_IOV]; /* each was taken */
	struct iovec iov[VHOST_PUT_IOV];
};

struct vhost_head {
	uint8_t header[VHOST_HEADER_BYTES];
	uint8_t bytes[FRAME_HEAD_BYTES];
};

/* A buffer from the guest until it is given back. */
struct vhost_slot {
	struct vring_chain chain;
	unsigned int n_pool; /* pieces of the pool that it and what was left out before it take */
	bool away;           /* another worker has the frame */
};

struct vhost_device;

/* A pair of queues. */
struct vhost_port {
	struct port port;
	struct vhost_device *dev;
	unsigned int index; /* of the pair */
	struct loop *loop;
	struct loop_timer look; /* rings that were just started: there may be buffers without a kick */
	struct loop_timer nudge; /* the guest, about frames that it does not come for */
	unsigned int n_nudges;   /* about the same ones */
	int source;
	struct vhost_ring rings[2]; /* to the guest, from it */

	/* The device's, for all pairs alike. */
	uint64_t features;
	size_t header_bytes;
	bool mergeable; /* a frame may take several buffers */
	bool direct;    /* data may be received straight into buffers */
	struct vhost_mem mem;

	/* To the guest. */
	bool refused;        /* somebody waits for room() */
	bool reserved, staged;
	unsigned int n_posted_max; /* the most buffers that this guest was seen to offer */
	unsigned int n_refused;    /* as many were not enough: with no more than these nobody tries again */
	struct vhost_put put;
	uint8_t head[PORT_ROOM_HEADROOM];
	uint8_t room[FRAME_MAX_BYTES];

	/* From the guest: slots and pieces are taken and given back in order, and start at 0 when none is
	 * taken, which is after each batch unless frames went to other workers. */
	unsigned int slot_first, n_slots;
	unsigned int pool_next, n_pool; /* the next free piece; those taken before it */
	bool held;                      /* reading goes on when slots have come back */
	struct vhost_slot slots[VHOST_RX_SLOTS];
	struct frame frames[PORT_BATCH];
	struct vhost_head heads[VHOST_RX_SLOTS];
	struct iovec rx_iov[VHOST_RX_POOL];
};

struct vhost_device {
	struct vhost_user_config config;
	struct vhost_user_workers workers;
	struct loop_timer accept_retry;
	int listen_fd, fd;
	int backend_fd; /* of SET_BACKEND_REQ_FD */
	uint32_t generation; /* of fd, in its events */
	bool once;           /* closed for good when fd ends */
	bool owner_first;    /* SET_OWNER came before anything else: not QEMU */
	bool has_request;
	bool warned[VHOST_WARN_MAX];
	uint64_t warned_ms[VHOST_WARN_MAX];

	uint64_t features, protocol;
	uint8_t status;
	struct vhost_mem mem; /* the ports' are copies */
	struct vhost_reader reader;

	/* Of several pairs. */
	uint32_t to_warn;      /* bits of enum vhost_warning */
	unsigned int n_active; /* leading pairs that the guest receives on, at least 1 */
	unsigned int n_refs;   /* ports that are not freed yet */
	unsigned int n_ports;
	struct vhost_port *ports[VHOST_PAIRS_MAX];
};

static inline bool vhost_has(const struct vhost_port *p, enum vhost_feature bit)
{
	return p->features >> bit & 1;
}

/* The front end has taken memory away. */
static inline bool vhost_is_lost(const struct vhost_device *d)
{
	return __atomic_load_n(&d->mem.lost, __ATOMIC_RELAXED);
}

/* Kicks and calls are messages where there is no descriptor for them. */
static inline bool vhost_is_in_band(const struct vhost_device *d)
{
	return d->protocol >> VHOST_PROTOCOL_IN_BAND & 1;
}

static inline bool vhost_spreads(const struct vhost_port *p)
{
	return p->dev->n_ports > 1;
}

/* vhost_user.c */
void vhost_warn(struct vhost_device *d, enum vhost_warning what);
/* Tells the guest of what was used. */
void vhost_signal(struct vhost_port *p, struct vhost_ring *r);
/* The guest has written what no driver may. */
void vhost_ring_break(struct vhost_port *p, struct vhost_ring *r);
/* If all is known that it takes. 0, started or not; or -errno. */
int vhost_ring_start(struct vhost_port *p, struct vhost_ring *r);
/* Until it is started again, where it is now. */
void vhost_ring_rest(struct vhost_port *p, struct vhost_ring *r);
/* The same, and what the front end gave for it is let go of. */
void vhost_ring_stop(struct vhost_port *p, struct vhost_ring *r);

/* vhost_ctl.c: 0, or -errno: the connection is to be ended. */
int vhost_request(struct vhost_device *d, struct vhost_msg *m);
/* As it is when a connection begins. */
void vhost_device_init(struct vhost_device *d);
/* Lets go of everything that the front end gave. */
void vhost_device_reset(struct vhost_device *d);

/* vhost_data.c */
/* Reads frames; true when there may be more at once. */
bool vhost_read(struct vhost_port *p, struct vhost_ring *r);
/* Gives back the buffers that are done with, as far as the order allows. True if there were some. */
bool vhost_retire(struct vhost_port *p);
/* Whether somebody who was refused may try again. */
bool vhost_has_room(struct vhost_port *p);
struct vhost_ring *vhost_to_guest(struct vhost_port *p);
int vhost_send(struct port *port, const struct iovec *iov, unsigned int n_iov, size_t n_bytes,
	const struct offload *o);
int vhost_reserve(struct port *port, size_t n_head, size_t max_bytes, struct room *ret);
int vhost_commit(struct port *port, struct room *r, size_t n_bytes, const struct offload *o);
void vhost_cancel(struct port *port, struct room *r);

/* vhost_queues.c */
/* Around every change of what the ports share. They nest; with one pair they do nothing. */
void vhost_pause(struct vhost_device *d);
void vhost_resume(struct vhost_device *d);
/* How many frames may be read now: each might go to another worker. */
unsigned int vhost_cross_room(struct vhost_port *p);
/* Takes a frame to its owner, if that is another worker; false: it is this one. slot: of its buffer. */
bool vhost_cross(struct vhost_port *p, const struct frame *f, unsigned int slot);
/* Rings were started, stopped, enabled: whom frames belong to may have changed. */
void vhost_look_active(struct vhost_device *d);
