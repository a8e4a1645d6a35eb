/* SPDX-License-Identifier: BSD-2-Clause */
/* The sandboxed role of a user-mode network: reads what guests send. */
#pragma once

#include <sys/types.h>

#include "workers.h"

struct engine_config {
	struct gateway_config gateway; /* loop, sock and key are filled in by the engine */
	unsigned int n_queues;         /* pairs of queues of a vhost-user port, a thread each; 1 to WORKERS_MAX */
	int msg_fd;                    /* to the parent (msg.h) */
	pid_t parent;                  /* whose end is the engine's end */
	int pcap_fd;                   /* -1: none */
	uint32_t pcap_snap_bytes;
	uint32_t busy_poll_us; /* 0: rings are not looked at unasked */
	bool in_band;      /* struct vhost_user_config */
	bool no_sandbox;   /* for debugging only */
	bool quiet;        /* started again: what is missing on this host has been said */
	bool stats_at_end; /* a last MSG_STATS before it exits */
};

/* In a process of its own that holds no descriptor but standard ones and the config's. Returns the exit
 * status: 0 when told to quit, when the parent is gone, and when every port is closed for good. */
int engine_run(const struct engine_config *c);
