/* SPDX-License-Identifier: BSD-2-Clause */
/* A port over guest memory: the back end of a vhost-user network device (QEMU's -netdev vhost-user, User
 * Mode Linux, and others). Frames are read and written where the guest has them, with every offload that the
 * guest's driver takes. */
#pragma once

#include "port.h"

#define VHOST_PAIRS_MAX 8

/* Several pairs of queues, each served by a worker: a thread with a loop and an owner of its own. Pair 0 is that
 * of the config's loop and owner, whose thread also has the connection, and makes every call here that is not
 * said to be another's.
 *
 * Worker k reads the queue of pair k, and the frames that it finds belong to whom steer() says. One that is
 * another's is given away by cross(), with the number of its buffer, and comes in at that worker's port by
 * vhost_user_port_input(); when the giver learns that it is done with, vhost_user_port_returned(). */
struct vhost_user_workers {
	unsigned int n; /* 2 to VHOST_PAIRS_MAX; less: none of this is used */
	struct loop *loops[VHOST_PAIRS_MAX];
	const struct port_owner *owners[VHOST_PAIRS_MAX];
	/* From pause() to resume() no worker but the caller's does anything, and no frame is away. Nest. */
	void (*pause)(void *ctx);
	void (*resume)(void *ctx);
	/* While paused: the guest listens on the first n pairs only, and frames belong to those workers. */
	void (*active)(void *ctx, struct port *first, unsigned int n);
	/* By any worker: the first one's loop makes a pass. */
	void (*wake)(void *ctx);
	/* By worker `from`: */
	unsigned int (*steer)(void *ctx, const struct port *p, const struct frame *f);
	unsigned int (*room)(void *ctx, unsigned int from); /* how many frames it can give away for certain */
	void (*cross)(void *ctx, unsigned int from, struct port *p, unsigned int to, struct port *p_to,
		const struct frame *f, uint32_t buffer);
	void *ctx;
};

struct vhost_user_config {
	struct loop *loop;
	const struct port_owner *owner;
	const char *name;
	int listen_fd;    /* >= 0: a listening socket; one front end at a time, the next after it has gone */
	bool busy_poll;   /* look into the rings while the loop asks for events (loop_set_poll) */
	bool in_band;     /* kicks and calls may be messages: slow, and some front ends want nothing else */
	int connected_fd; /* >= 0: a connected one; when it ends the port is closed for good */
	/* May be NULL. What a person should know, a line without a full stop, of each kind at most once
	 * a connection, and not more often than every few seconds. */
	void (*warn)(void *ctx, struct port *p, const char *text);
	void *warn_ctx;
	const struct vhost_user_workers *workers; /* NULL: one pair of queues; read during the call */
};

/* Takes the descriptors over on success. 0 or -errno. A process that uses such ports calls
 * vhost_mem_guard() first. */
int vhost_user_port_new(const struct vhost_user_config *c, struct port **ret);

/* The port of another pair: that owner's to add, and to free. It closes and opens with the first, each owner
 * being told; all are freed by their owners' threads (or while those are paused), in any order. */
struct port *vhost_user_port_of_pair(struct port *first, unsigned int pair);

/* By the worker that frames were brought to, and by the one that gave a frame away. */
void vhost_user_port_input(struct port *p, const struct frame *frames, unsigned int n);
void vhost_user_port_returned(struct port *p, uint32_t buffer);

/* For a port whose socket somebody else connects (the parent redials a path): a new connected
 * descriptor, or the first. Any present connection is closed. */
int vhost_user_port_attach(struct port *p, int connected_fd);
