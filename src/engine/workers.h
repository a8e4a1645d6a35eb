/* SPDX-License-Identifier: BSD-2-Clause */
/* The threads of an engine that serves several pairs of queues: each a worker with a loop, a gateway and a flow
 * table of its own. Worker 0 is the engine's own thread, and has what there is only one of. With one worker
 * there is no thread, and nothing here is on a frame's way. */
#pragma once

#include "gateway.h"
#include "vhost_user.h"

#define WORKERS_MAX VHOST_PAIRS_MAX

struct workers;

struct workers_config {
	unsigned int n;                /* 1 to WORKERS_MAX */
	struct gateway_config gateway; /* loop, sock and share are filled in */
	uint32_t poll_us;              /* of each loop */
};

/* Everything but the threads. 0 or -errno. */
int workers_new(const struct workers_config *c, struct workers **ret);
/* Ends the threads; then the gateways, their ports, and the loops are freed. */
struct workers *workers_free(struct workers *ws);

unsigned int workers_n(const struct workers *ws);
struct loop *workers_loop(struct workers *ws, unsigned int i);
struct gateway *const *workers_gateways(struct workers *ws);

/* Makes the threads, paused (as after workers_pause()): once what they are to have inherited is done. 0 or
 * -errno. */
int workers_start(struct workers *ws);

/* By worker 0, not from within a gateway's call: until workers_resume() no other worker does anything, whatever
 * was on its way between two of them has arrived, and worker 0 may use what is theirs. Nest. */
void workers_pause(struct workers *ws);
void workers_resume(struct workers *ws);

/* What a vhost-user port needs in order to have a pair of queues for each; the owners are the lans'. */
void workers_of_port(struct workers *ws, struct vhost_user_workers *ret);

/* gateway_add_forward() and its reverse, of the gateway that listens. Paused. */
int workers_add_forward(struct workers *ws, const struct gateway_forward *f);
int workers_del_forward(struct workers *ws, uint16_t id);
