/* SPDX-License-Identifier: BSD-2-Clause */
/* See loop.h.
 *
 * Waiting. To fall asleep and be woken on another processor costs tens of microseconds, more than most
 * batches; in a dialogue (a request, its answer, the next request) that is the whole time of a round trip.
 * So the loop asks for events for a moment (loop_set_poll) before it sleeps. That is wasted where nothing
 * comes: each moment that brought nothing doubles the number of waits that sleep at once, up to
 * POLL_SKIP_MAX, and each that brought an event halves it. Sparse traffic thus pays one moment in a few
 * hundred waits, and a silent network none. Whoever has work that shows without an event is asked too. */
/* seccomp: epoll_wait epoll_pwait epoll_ctl clock_gettime close */
#include "loop.h"

#include "clock.h"

#define LOOP_SOURCES_MAX 256
#define LOOP_HOOKS_MAX   80 /* a few, and one of each port */
#define LOOP_BATCH       256
#define POLL_SKIP_MAX    256u

struct loop_source {
	void (*fn)(void *ctx, uint32_t arg, uint32_t events);
	void *ctx;
};

struct loop_hooks {
	struct {
		bool (*fn)(void *ctx);
		void *ctx;
	} at[LOOP_HOOKS_MAX];
	int n;
};

struct loop {
	int epoll_fd;
	struct loop_clock clock;
	uint64_t now_ms;
	struct loop_source sources[LOOP_SOURCES_MAX];
	int n_sources;
	struct loop_hooks hooks, looks;
	struct loop_timer *timers; /* by due_ms */
	uint32_t poll_us;          /* 0: sleep at once */
	unsigned int poll_penalty, poll_skip;
	bool busy;                 /* a hook has more to do */
	bool held;                 /* a batch comes before the next sleep */
	bool last;                 /* this one */
	bool asked;                /* nothing came while it asked: sleep at once */
	bool idle;                 /* no event in this batch */
	bool stopped;
	int code;
	struct epoll_event batch[LOOP_BATCH];
	int n_batch; /* while handlers run */
};

static uint64_t real_now_ms(void *ctx)
{
	return clock_now_ms();
}

int loop_new(const struct loop_clock *clock, struct loop **ret)
{
	_cleanup_free_ struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->clock = clock ? *clock : (struct loop_clock){.now_ms = real_now_ms};
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0)
		return -errno;
	l->now_ms = l->clock.now_ms(l->clock.ctx);
	*ret = TAKE_PTR(l);
	return 0;
}

struct loop *loop_free(struct loop *l)
{
	if (l) {
		util_close(&l->epoll_fd);
		free(l);
	}
	return NULL;
}

int loop_source_add(struct loop *l, void (*fn)(void *ctx, uint32_t arg, uint32_t events), void *ctx)
{
	int i = 0;

	while (i < l->n_sources && l->sources[i].fn)
		i++;
	if (i == LOOP_SOURCES_MAX)
		return -ENOSPC;
	l->sources[i] = (struct loop_source){fn, ctx};
	l->n_sources = MAX(l->n_sources, i + 1);
	return i;
}

void loop_source_del(struct loop *l, int source)
{
	if (source < 0)
		return;
	l->sources[source] = (struct loop_source){};
	for (int i = 0; i < l->n_batch; i++)
		if (l->batch[i].data.u64 >> 32 == (uint64_t)source)
			l->batch[i].events = 0;
}

static int control(struct loop *l, int op, int fd, uint32_t events, int source, uint32_t arg)
{
	struct epoll_event e = {.events = events, .data.u64 = (uint64_t)(uint32_t)source << 32 | arg};

	return epoll_ctl(l->epoll_fd, op, fd, &e) < 0 ? -errno : 0;
}

int loop_watch(struct loop *l, int fd, uint32_t events, int source, uint32_t arg)
{
	return control(l, EPOLL_CTL_ADD, fd, events, source, arg);
}

int loop_rewatch(struct loop *l, int fd, uint32_t events, int source, uint32_t arg)
{
	return control(l, EPOLL_CTL_MOD, fd, events, source, arg);
}

int loop_unwatch(struct loop *l, int fd)
{
	return control(l, EPOLL_CTL_DEL, fd, 0, 0, 0);
}

static int hooks_add(struct loop_hooks *h, bool (*fn)(void *ctx), void *ctx)
{
	if (h->n == LOOP_HOOKS_MAX)
		return -ENOSPC;
	h->at[h->n].fn = fn;
	h->at[h->n++].ctx = ctx;
	return 0;
}

static void hooks_del(struct loop_hooks *h, bool (*fn)(void *ctx), void *ctx)
{
	for (int i = 0; i < h->n; i++)
		if (h->at[i].fn == fn && h->at[i].ctx == ctx) {
			h->n--;
			memmove(&h->at[i], &h->at[i + 1], (size_t)(h->n - i) * sizeof(*h->at));
			return;
		}
}

/* Every one of them, whatever the others answered. */
static bool hooks_run(const struct loop_hooks *h)
{
	bool any = false;

	for (int i = 0; i < h->n; i++)
		any |= h->at[i].fn(h->at[i].ctx);
	return any;
}

int loop_hook_add(struct loop *l, bool (*fn)(void *ctx), void *ctx)
{
	return hooks_add(&l->hooks, fn, ctx);
}

void loop_hook_del(struct loop *l, bool (*fn)(void *ctx), void *ctx)
{
	hooks_del(&l->hooks, fn, ctx);
}

int loop_look_add(struct loop *l, bool (*fn)(void *ctx), void *ctx)
{
	return hooks_add(&l->looks, fn, ctx);
}

void loop_look_del(struct loop *l, bool (*fn)(void *ctx), void *ctx)
{
	hooks_del(&l->looks, fn, ctx);
}

void loop_timer_clear(struct loop *l, struct loop_timer *t)
{
	if (!t->armed)
		return;
	for (struct loop_timer **at = &l->timers; *at; at = &(*at)->next)
		if (*at == t) {
			*at = t->next;
			break;
		}
	t->armed = false;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t due_ms)
{
	struct loop_timer **at = &l->timers;

	if (t->armed && t->due_ms == due_ms)
		return;
	loop_timer_clear(l, t);
	while (*at && (*at)->due_ms <= due_ms)
		at = &(*at)->next;
	t->due_ms = due_ms;
	t->armed = true;
	t->next = *at;
	*at = t;
}

void loop_set_poll(struct loop *l, uint32_t max_us)
{
	l->poll_us = max_us;
}

uint64_t loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

void loop_dispatch(struct loop *l, int source, uint32_t arg, uint32_t events)
{
	const struct loop_source *s = &l->sources[source];

	s->fn(s->ctx, arg, events);
}

uint64_t loop_next_ms(const struct loop *l)
{
	if (l->busy || l->held)
		return 0;
	return l->timers ? l->timers->due_ms : UINT64_MAX;
}

bool loop_is_idle(const struct loop *l)
{
	return l->idle;
}

void loop_hold(struct loop *l)
{
	l->held = true;
}

bool loop_would_sleep(const struct loop *l)
{
	return l->last;
}

static void run_timers(struct loop *l)
{
	while (l->timers && l->timers->due_ms <= l->now_ms) {
		struct loop_timer *t = l->timers;

		l->timers = t->next;
		t->armed = false;
		t->fn(t->ctx, l->now_ms);
	}
}

static int wait_ms(const struct loop *l, int max_wait_ms)
{
	if (l->busy)
		return 0;
	if (!l->timers)
		return max_wait_ms;
	uint64_t now_ms = l->clock.now_ms(l->clock.ctx);
	uint64_t left_ms = l->timers->due_ms > now_ms ? l->timers->due_ms - now_ms : 0;

	if (max_wait_ms >= 0)
		left_ms = MIN(left_ms, (uint64_t)max_wait_ms);
	return (int)MIN(left_ms, (uint64_t)INT32_MAX);
}

/* Asks for events for a moment without sleeping, if that was worth it of late. *ret_work: there is work
 * without one. */
static int poll_events(struct loop *l, int timeout_ms, bool *ret_work)
{
	uint64_t poll_ns = l->poll_us * (uint64_t)1000;

	if (l->poll_skip) {
		l->poll_skip--;
		return 0;
	}
	if (timeout_ms > 0)
		poll_ns = MIN(poll_ns, (uint64_t)timeout_ms * 1000000);
	uint64_t end_ns = clock_now_ns() + poll_ns;
	do {
		int n = epoll_wait(l->epoll_fd, l->batch, LOOP_BATCH, 0);

		*ret_work = n == 0 && hooks_run(&l->looks);
		if (n || *ret_work) {
			l->poll_penalty /= 2;
			return n;
		}
	} while (clock_now_ns() < end_ns);
	l->poll_penalty = MIN(2 * l->poll_penalty + 1, POLL_SKIP_MAX);
	l->poll_skip = l->poll_penalty;
	return 0;
}

int loop_run_once(struct loop *l, int max_wait_ms)
{
	int timeout_ms = wait_ms(l, max_wait_ms);
	bool work = false;
	int n = timeout_ms && l->poll_us && !l->asked ? poll_events(l, timeout_ms, &work) : 0;

	l->asked = n == 0 && !work && l->held && !l->busy;
	if (n == 0 && !work)
		n = epoll_wait(l->epoll_fd, l->batch, LOOP_BATCH, l->held ? 0 : timeout_ms);
	if (n < 0 && errno != EINTR)
		return -errno;
	l->now_ms = l->clock.now_ms(l->clock.ctx);
	l->n_batch = MAX(n, 0);
	l->idle = n <= 0 && !work;
	l->last = l->idle && !l->busy;
	if (l->last)
		l->held = false;
	for (int i = 0; i < n; i++) {
		uint64_t data = l->batch[i].data.u64;
		const struct loop_source *s = &l->sources[data >> 32];

		if (likely(l->batch[i].events))
			s->fn(s->ctx, (uint32_t)data, l->batch[i].events);
	}
	l->n_batch = 0;
	run_timers(l);
	l->busy = hooks_run(&l->hooks);
	return 0;
}

int loop_run(struct loop *l)
{
	while (!l->stopped) {
		int r = loop_run_once(l, -1);

		if (r < 0)
			return r;
	}
	return l->code;
}

void loop_stop(struct loop *l, int code)
{
	l->stopped = true;
	l->code = code;
}
