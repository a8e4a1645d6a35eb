/* SPDX-License-Identifier: BSD-2-Clause */
/* The process of one user-mode network of a guest. */
#pragma once

#include <signal.h>

#include "user_conf.h"

/* Its configuration, and both ends of the cable. */
struct guest_network {
	const char *name;
	struct user_conf *conf; /* gets the engine's end as its port */
	int hub;                /* of QEMU's, that it is joined to; -1: none */
	bool by_vhost;          /* the engine's end listens, and QEMU's is where to connect */
	int guest_fd;           /* QEMU's end: closed on exec until QEMU's own */
	int guest_number;       /* what it is in QEMU, also when ours is closed */
	int guest_life_fd;      /* by_vhost: QEMU has it for as long as it runs; else -1 */
	int engine_fd;
	int control_fd; /* where to ask it */
	pid_t pid;      /* 0: not running */
	int ready_fd;   /* a byte comes when it serves, or the end when it does not */
};

#define GUEST_NETWORK_NONE                                                                                   \
	(struct guest_network)                                                                               \
	{                                                                                                    \
		.hub = -1, .guest_fd = -1, .guest_number = -1, .guest_life_fd = -1, .engine_fd = -1,         \
		.control_fd = -1, .ready_fd = -1                                                             \
	}

/* Takes over what goes for all networks of a guest. */
void guest_network_inherit(struct user_conf *c, const struct user_conf *common);

/* 0 or -errno. */
int guest_cable_new(struct guest_network *n);
/* Closes all descriptors. */
void guest_cable_done(struct guest_network *n);
/* mask: the signals that it finds blocked; relay_fd: where its output goes; -1: where ours does. 0 or -errno.
 */
int guest_network_start(struct guest_network *n, const sigset_t *mask, int relay_fd);

/* In a process of ours that outlives its terminal: no input, and that output. 0 or -errno. */
int guest_redirect(int relay_fd);
