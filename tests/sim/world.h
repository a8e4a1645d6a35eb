/* SPDX-License-Identifier: BSD-2-Clause */
/* A whole simulated network: guests (peer_tcp) on cables (line) at ports in memory, the gateway, and a
 * host with applications (sock_fake), under one clock that jumps from event to event. */
#pragma once

#include "fault.h"
#include "gateway.h"
#include "line.h"
#include "peer_tcp.h"
#include "sock_fake.h"

#define WORLD_GUESTS_MAX 4
#define WORLD_PLANS_MAX  64
#define WORLD_NET        0x0a000200u
#define WORLD_HOST       (WORLD_NET + 2)
#define WORLD_GUEST      (WORLD_NET + 15)
#define WORLD_SERVER     0xcb007101u /* 203.0.113.1 */

struct world_config {
	uint64_t seed;
	const char *what;
	unsigned int n_guests; /* 0: 1 */
	uint16_t mtu;          /* 0: 1500 */
	bool tso;              /* super-frames and partial checksums both ways */
	bool csum;             /* partial checksums both ways */
	bool no_peek_off;
	unsigned int n_queue;     /* frames that the port holds; 0: 512 */
	unsigned int take_per_ms; /* frames that the guest takes from it; 0: all */
	struct line_config to_guest, from_guest;
	bool faulty;
	struct fault_config fault;
	uint32_t n_flows_max;
	bool restricted;
};

struct world_guest {
	struct port *mem, *outer;
	struct peer peer;
	struct line to_guest, from_guest;
	bool paused;      /* takes no frame, and its time stands still */
	uint64_t take_ms; /* when it took n_taken */
	unsigned int n_taken;
};

struct world {
	struct sim sim;
	struct world_config c;
	struct loop *loop;
	struct gateway *gateway;
	struct sock_fake *host;
	struct world_guest guests[WORLD_GUESTS_MAX];
	unsigned int n_guests;
	struct {
		uint16_t port;
		struct fake_plan plan;
	} plans[WORLD_PLANS_MAX];
	unsigned int n_plans;
	uint16_t next_port;
	uint64_t n_steps, n_spin, max_held_bytes;
};

struct world *world_new(const struct world_config *c);
/* Also checks that the gateway let go of every descriptor. */
void world_free(struct world *w);

/* How connections to this port of any server go. */
void world_plan(struct world *w, uint16_t port, const struct fake_plan *plan);

/* Until the predicate is true (true), nothing is left to happen, or so much time has passed (false). */
bool world_run(struct world *w, bool (*until)(void *ctx), void *ctx, uint64_t limit_ms);
/* Just that time. */
void world_pass(struct world *w, uint64_t ms);

/* For line_config.lost: loses the segments from the first-th to the last-th (from 1) of those whose flags,
 * under the mask, are these. */
struct loser {
	uint8_t mask, flags;
	unsigned int first, last, n_seen, n_lost;
};
bool loser_lost(void *ctx, const struct mem_frame *f);

/* One connection and both its ends. */
struct world_conn {
	struct world *w;
	struct peer_conn *guest;
	struct fake_conn *host; /* NULL until the gateway has connected */
	uint16_t port;
	uint64_t n_up, n_down;
};

/* Fills in seeds, addresses and ports for n_up bytes from the guest and n_down to it, plans the server,
 * and opens the connection. config and plan may hold more. */
void world_open(struct world *w, unsigned int guest, struct peer_tcp_config config, struct fake_plan plan,
	uint64_t n_up, uint64_t n_down, struct world_conn *ret);
/* The same from outside, through a forward that this makes; the guest listens. */
void world_dial(struct world *w, unsigned int guest, struct peer_tcp_config config, struct fake_plan plan,
	uint64_t n_up, uint64_t n_down, struct world_conn *ret);
/* Looks for the ends that did not exist yet. */
void world_find(struct world_conn *x);

/* Both ends have had their FIN and all bytes, without an error; within the time. */
void world_finish(struct world_conn *x, uint64_t limit_ms);
/* Both ends know that the connection was reset, or were the ones to reset it. */
void world_expect_reset(struct world_conn *x, uint64_t limit_ms);
/* After the gateway's own time of waiting every descriptor but its pool's is closed. */
void world_expect_idle(struct world *w);
