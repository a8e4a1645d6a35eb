/* SPDX-License-Identifier: BSD-2-Clause */
/* A port over guest memory: the back end of a vhost-user network device (QEMU's -netdev vhost-user, User
 * Mode Linux, and others). Frames are read and written where the guest has them, with every offload that the
 * guest's driver takes. */
#pragma once

#include "port.h"

struct vhost_user_config {
	struct loop *loop;
	const struct port_owner *owner;
	const char *name;
	int listen_fd;    /* >= 0: a listening socket; one front end at a time, the next after it has gone */
	bool busy_poll;   /* look into the rings while the loop asks for events (loop_set_poll) */
	int connected_fd; /* >= 0: a connected one; when it ends the port is closed for good */
	/* May be NULL. What a person should know, a line without a full stop, of each kind at most once
	 * a connection, and not more often than every few seconds. */
	void (*warn)(void *ctx, struct port *p, const char *text);
	void *warn_ctx;
};

/* Takes the descriptors over on success. 0 or -errno. A process that uses such ports calls
 * vhost_mem_guard() first. */
int vhost_user_port_new(const struct vhost_user_config *c, struct port **ret);

/* For a port whose socket somebody else connects (the parent redials a path): a new connected
 * descriptor, or the first. Any present connection is closed. */
int vhost_user_port_attach(struct port *p, int connected_fd);
