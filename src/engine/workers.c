/* SPDX-License-Identifier: BSD-2-Clause */
/* Engines side by side that share their guests.
 *
 * Worker k polls the queues of pair k of each vhost-user port. A frame belongs to the worker that its flow
 * does, by a hash (steer.h); mostly that is the one that found it, since a guest's driver keeps a flow on one
 * queue, and sends on the queue on which it receives. A frame of another's crosses: there is a channel from
 * each worker to each other, a ring with one producer and one consumer (spsc.h), and no lock. What crosses is
 * the view of the frame; its bytes stay where they are, its head in the giver's slot and the rest in guest
 * memory, until the taker has handled it. That a place of the ring was taken tells the giver that the buffer is
 * done with: the ring is its own way back. A giver whose channel is full reads no more of its queue.
 *
 * So order is kept: frames of a flow from one queue cross in one channel, and a driver that moves a flow to
 * another queue once its buffers have come back (as Linux does) knows that they were handled.
 *
 * Besides frames the channels carry what other workers tell worker 0 (where a guest was heard) and what it tells
 * them (a connection that came in by a forward).
 *
 * A worker that has nothing to do says so (asleep) before it waits, and looks once more; whoever gives it
 * something, or takes what it gave, wakes it only then.
 *
 * Whatever several workers use is changed by worker 0, while the others are paused. They park in a hook, where
 * none has anything in hand; worker 0 then does what is left in the channels in their stead. */
/* seccomp: futex write */
/* The end of a thread: */
/* seccomp: exit rt_sigprocmask madvise munmap */
#include "workers.h"

#include <assert.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#include "ip4.h"
#include "spsc.h"
#include "steer.h"

#define CHANNEL_SIZE   256u
#define CHANNEL_PASS   64u /* entries, before others have their turn */
#define LEARN_AGAIN_MS 1000

enum crossing_kind {
	CROSS_FRAME,
	CROSS_COPY, /* of a frame: in the channel's buffer */
	CROSS_INBOUND,
	CROSS_LEARNT,
};

struct crossing {
	enum crossing_kind kind;
	union {
		struct {
			struct port *from, *to;
			uint32_t buffer;
		} frame;
		uint16_t port_id; /* of a copy */
		struct gateway_inbound inbound;
		struct {
			uint32_t addr_be;
			uint16_t port_id;
			struct mac mac;
		} learnt;
	};
};

struct channel {
	struct spsc q;
	struct crossing entries[CHANNEL_SIZE];
	struct frame frames[CHANNEL_SIZE]; /* of those entries that are frames, so that many go up at once */
	/* The producer's. */
	bool copy_out;
	struct iovec copy_iov;
	uint8_t copy[FRAME_MAX_BYTES];
};

struct worker {
	struct workers *all;
	struct gateway_share share;
	struct loop *loop;
	pthread_t thread;
	int wake_fd;
	bool asleep; /* (atomic) it is about to wait, or waits */
	/* What it last told worker 0. */
	uint32_t learnt_be;
	uint16_t learnt_port;
	struct mac learnt_mac;
	uint64_t learnt_ms;
	struct channel *to[WORKERS_MAX]; /* NULL: itself */
};

struct workers {
	unsigned int n;
	unsigned int depth; /* of pauses: worker 0's */
	unsigned int n_threads;
	bool ending;
	uint32_t dhcp_start_be;
	bool pausing;          /* (atomic) written under the lock */
	unsigned int n_parked; /* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t parked, resumed;
	struct steer steer;
	struct gateway *gateways[WORKERS_MAX];
	struct worker workers[WORKERS_MAX];
};

static void signal_fd(int fd)
{
	static const uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

/* After something was put or taken that concerns it. */
static void wake(struct worker *w)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* what was put is there before we look whether it sleeps */
	if (__atomic_load_n(&w->asleep, __ATOMIC_RELAXED) &&
		__atomic_exchange_n(&w->asleep, false, __ATOMIC_RELAXED))
		signal_fd(w->wake_fd);
}

/* Takes back what others are done with. */
static void reap(struct worker *w)
{
	for (unsigned int i = 0; i < w->all->n; i++) {
		struct channel *c = w->to[i];
		uint32_t n = c ? spsc_n_back(&c->q) : 0;

		for (uint32_t k = 0; k < n; k++) {
			const struct crossing *x = &c->entries[spsc_place(&c->q, c->q.reaped + k)];

			if (x->kind == CROSS_FRAME)
				vhost_user_port_returned(x->frame.from, x->frame.buffer);
			else if (x->kind == CROSS_COPY)
				c->copy_out = false;
		}
		if (n)
			spsc_reap(&c->q, n);
	}
}

/* The place of the next entry, or NULL when there is none. */
static struct crossing *next_entry(struct worker *w, unsigned int to)
{
	struct channel *c = w->to[to];

	return spsc_room(&c->q) ? &c->entries[spsc_next(&c->q)] : NULL;
}

static void put_entry(struct worker *w, unsigned int to)
{
	spsc_put(&w->to[to]->q);
	wake(&w->all->workers[to]);
}

/* Frames of one port go up together. Returns how many entries, of at most n, were done. */
static uint32_t take_frames(const struct channel *c, uint32_t at, uint32_t n)
{
	struct port *to = c->entries[at].frame.to;
	uint32_t k = 1;

	while (k < n && at + k < CHANNEL_SIZE && c->entries[at + k].kind == CROSS_FRAME &&
		c->entries[at + k].frame.to == to)
		k++;
	vhost_user_port_input(to, &c->frames[at], k);
	return k;
}

static void take_copy(struct gateway *g, const struct channel *c, uint32_t at)
{
	struct port *p = lan_port(gateway_lan(g), c->entries[at].port_id);

	if (p)
		p->owner->input(p->owner->ctx, p, &c->frames[at], 1);
}

static uint32_t take_entries(struct gateway *g, const struct channel *c, uint32_t at, uint32_t n)
{
	const struct crossing *x = &c->entries[at];

	switch (x->kind) {
	case CROSS_FRAME:
		return take_frames(c, at, n);
	case CROSS_COPY:
		take_copy(g, c, at);
		break;
	case CROSS_INBOUND:
		gateway_take_over(g, &x->inbound);
		break;
	case CROSS_LEARNT:
		gateway_learn(g, x->learnt.port_id, x->learnt.addr_be, &x->learnt.mac);
		break;
	}
	return 1;
}

/* What others have given it. True if there was something. */
static bool deliver(struct worker *w)
{
	struct workers *ws = w->all;
	bool any = false;

	for (unsigned int i = 0; i < ws->n; i++) {
		struct channel *c = ws->workers[i].to[w->share.index];
		uint32_t n = c ? MIN(spsc_n(&c->q), CHANNEL_PASS) : 0;

		for (uint32_t done = 0; done < n;) {
			uint32_t k = take_entries(
				ws->gateways[w->share.index], c, spsc_place(&c->q, c->q.taken), n - done);

			spsc_take(&c->q, k);
			done += k;
		}
		if (n) {
			wake(&ws->workers[i]);
			any = true;
		}
	}
	return any;
}

static bool has_work(struct worker *w)
{
	for (unsigned int i = 0; i < w->all->n; i++) {
		const struct channel *in = w->all->workers[i].to[w->share.index], *out = w->to[i];

		if ((in && spsc_n(&in->q)) || (out && spsc_n_back(&out->q)))
			return true;
	}
	return false;
}

static void park(struct worker *w)
{
	struct workers *ws = w->all;

	(void)pthread_mutex_lock(&ws->lock);
	ws->n_parked++;
	(void)pthread_cond_signal(&ws->parked);
	while (ws->pausing)
		(void)pthread_cond_wait(&ws->resumed, &ws->lock);
	ws->n_parked--;
	if (ws->ending)
		loop_stop(w->loop, 0);
	(void)pthread_mutex_unlock(&ws->lock);
}

/* The first hook of each loop: what it brings, the gateway's then works on. */
static bool on_pass(void *ctx)
{
	struct worker *w = ctx;

	__atomic_store_n(&w->asleep, false, __ATOMIC_RELAXED);
	bool busy = deliver(w);
	reap(w);
	if (w->share.index && __atomic_load_n(&w->all->pausing, __ATOMIC_ACQUIRE)) {
		park(w);
		return true;
	}
	if (busy)
		return true;
	__atomic_store_n(&w->asleep, true, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return has_work(w);
}

static void on_wake(void *ctx, uint32_t arg, uint32_t events)
{
	/* The pass is what it is for. Edge-triggered: each write is an event, and nothing is read. */
}

/* Pausing. */

/* In the stead of those that are parked, until nothing is on its way. */
static void settle(struct workers *ws)
{
	bool more;

	do {
		more = false;
		for (unsigned int i = 0; i < ws->n; i++)
			more |= deliver(&ws->workers[i]);
	} while (more);
	for (unsigned int i = 0; i < ws->n; i++)
		reap(&ws->workers[i]);
}

static void set_pausing(struct workers *ws, bool pausing)
{
	(void)pthread_mutex_lock(&ws->lock);
	__atomic_store_n(&ws->pausing, pausing, __ATOMIC_RELEASE);
	if (!pausing)
		(void)pthread_cond_broadcast(&ws->resumed);
	(void)pthread_mutex_unlock(&ws->lock);
}

static void await_parked(struct workers *ws)
{
	(void)pthread_mutex_lock(&ws->lock);
	while (ws->n_parked < ws->n_threads)
		(void)pthread_cond_wait(&ws->parked, &ws->lock);
	(void)pthread_mutex_unlock(&ws->lock);
}

void workers_pause(struct workers *ws)
{
	if (ws->depth++ || !ws->n_threads)
		return;
	set_pausing(ws, true);
	for (unsigned int i = 1; i < ws->n; i++)
		signal_fd(ws->workers[i].wake_fd);
	await_parked(ws);
	settle(ws);
}

void workers_resume(struct workers *ws)
{
	assert(ws->depth);
	if (--ws->depth || !ws->n_threads)
		return;
	set_pausing(ws, false);
}

/* What ports and gateways ask. */

static void port_pause(void *ctx)
{
	workers_pause(ctx);
}

static void port_resume(void *ctx)
{
	workers_resume(ctx);
}

static void move_flows(struct workers *ws)
{
	for (unsigned int i = 0; i < ws->n; i++)
		gateway_move_flows(ws->gateways[i], ws->gateways);
}

static void port_active(void *ctx, struct port *first, unsigned int n)
{
	struct workers *ws = ctx;

	ws->steer.n_active[first->id] = (uint8_t)n;
	if (!ws->ending)
		move_flows(ws);
}

static void port_wake(void *ctx)
{
	wake(&((struct workers *)ctx)->workers[0]);
}

static unsigned int port_steer(void *ctx, const struct port *p, const struct frame *f)
{
	return steer_frame(&((struct workers *)ctx)->steer, p->id, f);
}

static unsigned int port_room(void *ctx, unsigned int from)
{
	struct workers *ws = ctx;
	struct worker *w = &ws->workers[from];
	uint32_t room = CHANNEL_SIZE;

	reap(w);
	for (unsigned int i = 0; i < ws->n; i++)
		if (w->to[i])
			room = MIN(room, spsc_room(&w->to[i]->q));
	return room;
}

static void port_cross(void *ctx, unsigned int from, struct port *p, unsigned int to, struct port *p_to,
	const struct frame *f, uint32_t buffer)
{
	struct worker *w = &((struct workers *)ctx)->workers[from];
	struct channel *c = w->to[to];
	struct crossing *x = next_entry(w, to);

	assert(x); /* port_room() said so */
	*x = (struct crossing){.kind = CROSS_FRAME, .frame = {p, p_to, buffer}};
	c->frames[spsc_next(&c->q)] = *f;
	put_entry(w, to);
}

static unsigned int flow_owner(void *ctx, const struct flow_key *key)
{
	return steer_flow(&((struct worker *)ctx)->all->steer, key);
}

/* One at a time: what finds the buffer in use is lost, as on any wire, and sent again. */
static bool pass_on(void *ctx, struct port *p, const struct frame *f)
{
	struct worker *w = ctx;
	unsigned int to = steer_frame(&w->all->steer, p->id, f);
	struct channel *c = w->to[to];

	if (!c)
		return false;
	reap(w);
	struct crossing *x = next_entry(w, to);
	if (!x || c->copy_out || f->n_bytes > sizeof(c->copy) || !frame_copy(f, 0, f->n_bytes, c->copy))
		return true;
	*x = (struct crossing){.kind = CROSS_COPY, .port_id = p->id};
	c->copy_out = true;
	c->copy_iov = (struct iovec){c->copy, f->n_bytes};
	c->frames[spsc_next(&c->q)] = (struct frame){
		.head = c->copy, .head_bytes = f->n_bytes, .iov = &c->copy_iov, .n_iov = 1, .n_bytes = f->n_bytes};
	put_entry(w, to);
	return true;
}

static bool hand_over(void *ctx, unsigned int to, const struct gateway_inbound *inbound)
{
	struct worker *w = ctx;
	struct crossing *x = next_entry(w, to);

	if (!x)
		return false;
	*x = (struct crossing){.kind = CROSS_INBOUND, .inbound = *inbound};
	put_entry(w, to);
	return true;
}

/* Each flow that begins says where its guest is: once a second is enough. */
static void learnt(void *ctx, const struct port *p, uint32_t addr_be, const struct mac *m)
{
	struct worker *w = ctx;
	uint64_t now_ms = loop_now_ms(w->loop);
	struct crossing *x = next_entry(w, 0);

	if (!x || (w->learnt_be == addr_be && w->learnt_port == p->id && mac_eq(&w->learnt_mac, m) &&
			  now_ms - w->learnt_ms < LEARN_AGAIN_MS))
		return;
	w->learnt_be = addr_be;
	w->learnt_port = p->id;
	w->learnt_mac = *m;
	w->learnt_ms = now_ms;
	*x = (struct crossing){.kind = CROSS_LEARNT, .learnt = {addr_be, p->id, *m}};
	put_entry(w, 0);
}

void workers_of_port(struct workers *ws, struct vhost_user_workers *ret)
{
	*ret = (struct vhost_user_workers){
		.n = ws->n,
		.pause = port_pause,
		.resume = port_resume,
		.active = port_active,
		.wake = port_wake,
		.steer = port_steer,
		.room = port_room,
		.cross = port_cross,
		.ctx = ws,
	};
	for (unsigned int i = 0; i < ws->n; i++) {
		ret->loops[i] = ws->workers[i].loop;
		ret->owners[i] = lan_owner(gateway_lan(ws->gateways[i]));
	}
}

int workers_add_forward(struct workers *ws, const struct gateway_forward *f)
{
	int r = gateway_add_forward(ws->gateways[0], f);

	if (r < 0 || f->proto != IP_PROTO_UDP || ws->n == 1)
		return r;
	steer_add_first(&ws->steer, f->guest_be ? f->guest_be : ws->dhcp_start_be);
	move_flows(ws);
	return 0;
}

int workers_del_forward(struct workers *ws, uint16_t id)
{
	/* Its guest's UDP stays worker 0's: that costs less than to move it again. */
	return gateway_del_forward(ws->gateways[0], id);
}

/* Beginning and end. */

static int add_channels(struct worker *w)
{
	for (unsigned int i = 0; i < w->all->n; i++) {
		if (i == w->share.index)
			continue;
		w->to[i] = aligned_alloc(SPSC_LINE_BYTES,
			(sizeof(struct channel) + SPSC_LINE_BYTES - 1) / SPSC_LINE_BYTES * SPSC_LINE_BYTES);
		if (!w->to[i])
			return -ENOMEM;
		spsc_init(&w->to[i]->q, CHANNEL_SIZE);
		w->to[i]->copy_out = false;
	}
	return 0;
}

/* Before the gateway, whose hook is to come behind. */
static int join_loop(struct worker *w)
{
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->wake_fd < 0)
		return -errno;
	int source = loop_source_add(w->loop, on_wake, w);
	if (source < 0)
		return source;
	int r = loop_watch(w->loop, w->wake_fd, EPOLLIN | EPOLLET, source, 0);
	return r < 0 ? r : loop_hook_add(w->loop, on_pass, w);
}

static int worker_init(struct workers *ws, unsigned int i, const struct workers_config *c)
{
	struct worker *w = &ws->workers[i];
	struct gateway_config gc = c->gateway;
	int r = loop_new(NULL, &w->loop);

	if (r < 0)
		return r;
	if (c->poll_us)
		loop_set_poll(w->loop, c->poll_us);
	w->all = ws;
	w->share = (struct gateway_share){
		.index = i, .n = ws->n, .owner = flow_owner, .pass_on = pass_on, .hand_over = hand_over, .ctx = w};
	if (i > 0) {
		w->share.learnt = learnt;
		gc.port_closed = NULL;
		gc.no_dhcp = true;
	}
	if (ws->n > 1) {
		gc.share = &w->share;
		r = add_channels(w);
		if (r == 0)
			r = join_loop(w);
		if (r < 0)
			return r;
	}
	gc.loop = w->loop;
	gc.sock = sock_linux(w->loop);
	return gateway_new(&gc, &ws->gateways[i]);
}

int workers_new(const struct workers_config *c, struct workers **ret)
{
	struct workers *ws = calloc(1, sizeof(*ws));

	if (!ws)
		return -ENOMEM;
	assert(c->n >= 1 && c->n <= WORKERS_MAX);
	ws->n = c->n;
	ws->dhcp_start_be = c->gateway.dhcp_start_be;
	ws->steer.gateway_mac = c->gateway.mac;
	if ((c->gateway.dns_be & c->gateway.mask_be) == c->gateway.net_be)
		ws->steer.dns_be = c->gateway.dns_be;
	for (unsigned int i = 0; i < ws->n; i++)
		ws->workers[i].wake_fd = -1;
	(void)pthread_mutex_init(&ws->lock, NULL);
	(void)pthread_cond_init(&ws->parked, NULL);
	(void)pthread_cond_init(&ws->resumed, NULL);
	int r = siphash_key_init(&ws->steer.key);
	for (unsigned int i = 0; i < ws->n && r == 0; i++)
		r = worker_init(ws, i, c);
	if (r < 0) {
		(void)workers_free(ws);
		return r;
	}
	*ret = ws;
	return 0;
}

static void end_threads(struct workers *ws)
{
	workers_pause(ws);
	ws->ending = true;
	set_pausing(ws, false);
	for (; ws->n_threads; ws->n_threads--)
		(void)pthread_join(ws->workers[ws->n_threads].thread, NULL);
}

struct workers *workers_free(struct workers *ws)
{
	if (!ws)
		return NULL;
	end_threads(ws);
	for (unsigned int i = 0; i < ws->n; i++)
		ws->gateways[i] = gateway_free(ws->gateways[i]);
	for (unsigned int i = 0; i < ws->n; i++) {
		struct worker *w = &ws->workers[i];

		w->loop = loop_free(w->loop);
		util_close(&w->wake_fd);
		for (unsigned int k = 0; k < ws->n; k++)
			free(w->to[k]);
	}
	(void)pthread_cond_destroy(&ws->resumed);
	(void)pthread_cond_destroy(&ws->parked);
	(void)pthread_mutex_destroy(&ws->lock);
	free(ws);
	return NULL;
}

static void *run_worker(void *arg)
{
	struct worker *w = arg;
	char name[16];

	(void)snprintf(name, sizeof(name), "vmlan-worker%u", w->share.index);
	(void)prctl(PR_SET_NAME, name);
	park(w); /* until all are here */
	(void)loop_run(w->loop);
	return NULL;
}

int workers_start(struct workers *ws)
{
	ws->depth++;
	if (ws->n == 1)
		return 0;
	/* An allocator with a part for each thread would make system calls that nobody else needs. */
	(void)mallopt(M_ARENA_MAX, 1);
	set_pausing(ws, true);
	for (unsigned int i = 1; i < ws->n; i++) {
		int e = pthread_create(&ws->workers[i].thread, NULL, run_worker, &ws->workers[i]);

		if (e)
			return -e;
		ws->n_threads++;
	}
	await_parked(ws);
	return 0;
}

unsigned int workers_n(const struct workers *ws)
{
	return ws->n;
}

struct loop *workers_loop(struct workers *ws, unsigned int i)
{
	return ws->workers[i].loop;
}

struct gateway *const *workers_gateways(struct workers *ws)
{
	return ws->gateways;
}
