/* SPDX-License-Identifier: BSD-2-Clause */
/* One thread's event loop: epoll, a few timers, hooks after each batch, and a clock that tests replace.
 *
 * A source is a kind of descriptor ("TCP flows", "the tap"): a function, its context, and 32 bits of the
 * caller's own per descriptor, so that plain data (flow numbers) can be watched without pointers.
 * After every batch of events each hook runs once: it does what a batch made necessary (acknowledge,
 * discard, flush) and says whether it has more to do; while one has, the loop does not sleep. */
#pragma once

#include <sys/epoll.h>

#include "util.h"

struct loop;

struct loop_clock {
	uint64_t (*now_ms)(void *ctx);
	void *ctx;
};

/* Lives in its owner. Few per loop: per-flow time is kept by the flow table. */
struct loop_timer {
	uint64_t due_ms;
	void (*fn)(void *ctx, uint64_t now_ms);
	void *ctx;
	struct loop_timer *next;
	bool armed;
};

/* clock may be NULL: CLOCK_BOOTTIME. 0 or -errno. */
int loop_new(const struct loop_clock *clock, struct loop **ret);
struct loop *loop_free(struct loop *l);

/* Returns the source's number, or -ENOSPC. */
int loop_source_add(struct loop *l, void (*fn)(void *ctx, uint32_t arg, uint32_t events), void *ctx);
/* Its descriptors must be unwatched already; events of theirs that were fetched are not delivered. The
 * number may be given out again. Nothing for a negative number. */
void loop_source_del(struct loop *l, int source);

/* events as for epoll_ctl, EPOLLET included where wanted. 0 or -errno. close() ends a watch. */
int loop_watch(struct loop *l, int fd, uint32_t events, int source, uint32_t arg);
/* Changes the events; also makes an edge-triggered watch report again what is ready now. */
int loop_rewatch(struct loop *l, int fd, uint32_t events, int source, uint32_t arg);
int loop_unwatch(struct loop *l, int fd);

/* fn returns true while it has more to do at once. Hooks run in the order they were added. 0 or -ENOSPC. */
int loop_hook_add(struct loop *l, bool (*fn)(void *ctx), void *ctx);
/* Not from within a hook. */
void loop_hook_del(struct loop *l, bool (*fn)(void *ctx), void *ctx);

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t due_ms);
void loop_timer_clear(struct loop *l, struct loop_timer *t);

/* Calls a source as an event would: for simulated sockets, that no epoll knows. */
void loop_dispatch(struct loop *l, int source, uint32_t arg, uint32_t events);
/* When the loop has something to do by itself: 0 at once (a hook said so), else the first timer's time;
 * UINT64_MAX: never. For whoever drives a simulated clock. */
uint64_t loop_next_ms(const struct loop *l);

/* The time at which the current batch began. */
uint64_t loop_now_ms(const struct loop *l);

/* How long to ask for events before the loop sleeps, where asking has been worth it of late; 0 (as a new
 * loop has it): not at all. The time is the processor's, whatever the loop's clock. */
void loop_set_poll(struct loop *l, uint32_t max_us);

/* Work that shows without an event, such as a ring in shared memory: fn is called while the loop asks, and
 * answers whether there is some for a hook. */
int loop_look_add(struct loop *l, bool (*fn)(void *ctx), void *ctx);
void loop_look_del(struct loop *l, bool (*fn)(void *ctx), void *ctx);

/* Whether the current batch brought no event: for hooks that have something to do while nobody waits. */
bool loop_is_idle(const struct loop *l);
/* For a hook that has something to do only before the loop sleeps: then there is a batch of which
 * loop_would_sleep() is true. */
void loop_hold(struct loop *l);
bool loop_would_sleep(const struct loop *l);

/* One batch: waits at most max_wait_ms (-1: for ever), runs handlers, timers, hooks. 0 or -errno. */
int loop_run_once(struct loop *l, int max_wait_ms);
/* Until loop_stop(); returns its code, or -errno. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int code);
