/* SPDX-License-Identifier: BSD-2-Clause */
/* The back end of a vhost-user network device.
 *
 * The front end (QEMU, User Mode Linux) says over a stream socket where the guest's memory is and where in
 * it the device's rings lie (vhost_ctl.c); from then on frames pass through that memory (vhost_data.c), and
 * the socket is silent. What is told besides goes through eventfds: the guest "kicks" us, we "call" it.
 *
 * Kicks are watched edge-triggered and never read: each write is an event of its own. They are suppressed
 * while a ring is worked on; with busy_poll also for as long as the loop is awake, which then looks into the
 * rings itself, and a last time after it has asked for kicks again. A pass over a ring is bounded; what is
 * left waits for the hook, which comes again after everybody else had a turn.
 *
 * Calls are made in a hook at the end of the loop's pass, so that a batch costs one at most, and none while
 * the guest is busy with the ring anyhow.
 *
 * Of the calls that the gateway makes into this port (send, reserve, commit, cancel) none ever calls back
 * into it, nor ends the connection: they only mark what is wrong, and the hook does the rest.
 *
 * A ring in which the guest wrote what no driver may is stopped, counted, and stays so until the front end
 * starts it again; the other ring, and the connection, go on.
 *
 * States: listening (fd < 0, listener watched), connected, closed (fd < 0, no listener: for good if `once`,
 * else until vhost_user_port_attach()). */
/* seccomp: accept4 close */
#include "vhost_dev.h"

#include <stdio.h>
#include <sys/socket.h>

#include "vhost_fd.h"

#define ACCEPT_RETRY_MS  1000
#define WARN_AGAIN_MS    10000
#define CALL_RETRY_MS    1
#define NUDGE_MS         1
#define NUDGES_MAX       8
#define REQUESTS_MAX     64 /* of the front end in a pass */
#define ARG_LISTENER     0u
#define ARG_SOCKET       0xffu

#define SHARED_MEMORY "-object memory-backend-memfd,id=m,size=SIZE,share=on -machine memory-backend=m"

static const char *const warnings[VHOST_WARN_MAX] = {
	[VHOST_WARN_NO_MEMORY] = ("no memory of the guest is shared: start QEMU with share=on (" SHARED_MEMORY ")"),
	[VHOST_WARN_RING] = "the guest's driver broke the rules of its ring, which is stopped",
	[VHOST_WARN_LOST] = "the front end cut the guest's memory short; the connection is closed",
	[VHOST_WARN_PROTOCOL] = "the front end said what vhost-user does not know; the connection is closed",
};

static struct vhost_port *vhost_of(struct port *port)
{
	return container_of(port, struct vhost_port, port);
}

static struct port *first_of(struct vhost_device *d)
{
	return &d->ports[0]->port;
}

static uint64_t device_now_ms(const struct vhost_device *d)
{
	return loop_now_ms(d->config.loop);
}

void vhost_warn(struct vhost_device *d, enum vhost_warning what)
{
	uint64_t now_ms = device_now_ms(d);

	if (!d->config.warn || d->warned[what] ||
		(d->warned_ms[what] && now_ms - d->warned_ms[what] < WARN_AGAIN_MS))
		return;
	d->warned[what] = true;
	d->warned_ms[what] = MAX(now_ms, (uint64_t)1);
	d->config.warn(d->config.warn_ctx, first_of(d), warnings[what]);
}

/* Rings. */

/* fd: for it, if the front end gave one. False: later. */
static bool tell(struct vhost_port *p, struct vhost_ring *r, int fd, enum vhost_own_request request)
{
	const struct vhost_device *d = p->dev;

	if (fd >= 0)
		vhost_fd_notify(fd);
	else if (vhost_is_in_band(d) && d->backend_fd >= 0)
		return vhost_msg_tell(d->backend_fd, request, 2 * p->index + (uint32_t)(r - p->rings)) != -EAGAIN;
	return true;
}

void vhost_signal(struct vhost_port *p, struct vhost_ring *r)
{
	vring_publish(&r->v);
	r->call_due |= vring_wants_call(&r->v);
	if (r->call_due && p->dev->owner_first && r == &p->rings[0]) {
		p->n_nudges = 0;
		loop_timer_set(p->loop, &p->nudge, loop_now_ms(p->loop) + NUDGE_MS);
	}
	r->call_due = r->call_due && !tell(p, r, r->call_fd, VHOST_OWN_VRING_CALL);
	r->to_signal = r->call_due;
	if (r->call_due)
		loop_timer_set(p->loop, &p->look, loop_now_ms(p->loop) + CALL_RETRY_MS);
}

/* User Mode Linux that goes to sleep sleeps on when an interrupt comes between its last look and that: until its next
 * tick, 10 ms later, or the next interrupt. It gets one more. */
static void on_nudge(void *ctx, uint64_t now_ms)
{
	struct vhost_port *p = ctx;
	struct vhost_ring *r = &p->rings[0];

	if (!r->running || vring_has_looked(&r->v) || p->n_nudges++ == NUDGES_MAX)
		return;
	(void)tell(p, r, r->call_fd, VHOST_OWN_VRING_CALL);
	loop_timer_set(p->loop, &p->nudge, now_ms + NUDGE_MS);
}

static uint32_t ring_arg(const struct vhost_port *p, const struct vhost_ring *r)
{
	return p->dev->generation << 8 | (uint32_t)(r - p->rings);
}

static void ring_unwatch(struct vhost_port *p, struct vhost_ring *r)
{
	if (r->kick_fd >= 0)
		(void)loop_unwatch(p->loop, r->kick_fd);
}

void vhost_ring_break(struct vhost_port *p, struct vhost_ring *r)
{
	ring_unwatch(p, r);
	r->running = r->more = false;
	r->broken = true;
	p->port.n.rx_bad++;
	(void)tell(p, r, r->err_fd, VHOST_OWN_VRING_ERR);
	if (vhost_is_lost(p->dev))
		return;
	if (p->index == 0) {
		vhost_warn(p->dev, VHOST_WARN_RING);
	} else {
		__atomic_or_fetch(&p->dev->to_warn, 1u << VHOST_WARN_RING, __ATOMIC_RELAXED);
		p->dev->workers.wake(p->dev->workers.ctx);
	}
}

int vhost_ring_start(struct vhost_port *p, struct vhost_ring *r)
{
	if (r->running || r->broken || (r->kick_fd < 0 && !vhost_is_in_band(p->dev)) || !r->has_addr ||
		r->config.num == 0 || (p->dev->owner_first && !r->enabled))
		return 0;
	int e = vring_start(&r->v, &r->config);

	if (e < 0) {
		/* The front end may still send the memory that is missing. */
		if (e == -EFAULT && p->mem.n == 0)
			vhost_warn(p->dev, VHOST_WARN_NO_MEMORY);
		return e == -EFAULT ? 0 : e;
	}
	if (r->kick_fd >= 0)
		e = loop_watch(p->loop, r->kick_fd, EPOLLIN | EPOLLET, p->source, ring_arg(p, r));
	if (e < 0)
		return e;
	r->running = true;
	r->to_signal = r->call_due = false;
	p->n_posted_max = p->n_refused = 0; /* perhaps another driver: a boot loader has few buffers */
	loop_timer_set(p->loop, &p->look, loop_now_ms(p->loop));
	return 0;
}

void vhost_ring_rest(struct vhost_port *p, struct vhost_ring *r)
{
	if (r->running) {
		ring_unwatch(p, r);
		if (r->to_signal)
			vhost_signal(p, r);
		r->config.base = vring_base(&r->v);
	}
	r->running = r->more = false;
}

void vhost_ring_stop(struct vhost_port *p, struct vhost_ring *r)
{
	vhost_ring_rest(p, r);
	r->broken = false;
	util_close(&r->kick_fd);
}

/* Somebody who was refused may try again; or else the guest is to say when it has added buffers. */
static bool tell_room(struct vhost_port *p)
{
	struct vhost_ring *r = vhost_to_guest(p);

	if (!p->refused || !r)
		return false;
	if (!vhost_has_room(p)) {
		vring_want_kicks(&r->v);
		if (!vhost_has_room(p))
			return false;
	}
	vring_refuse_kicks(&r->v);
	p->refused = false;
	p->port.owner->room(p->port.owner->ctx, &p->port);
	return true;
}

static void ring_work(struct vhost_port *p, struct vhost_ring *r)
{
	if (!r->running)
		return;
	if ((r - p->rings) % 2 == 0)
		(void)tell_room(p);
	else
		r->more = vhost_read(p, r);
}

/* Rings that were started may have had buffers before. */
static void on_look(void *ctx, uint64_t now_ms)
{
	struct vhost_port *p = ctx;

	for (unsigned int i = 0; i < 2; i++)
		ring_work(p, &p->rings[i]);
}

/* The connection. */

static void listener_watch(struct vhost_device *d)
{
	if (d->listen_fd < 0)
		return;
	if (loop_watch(d->config.loop, d->listen_fd, EPOLLIN, d->ports[0]->source, ARG_LISTENER) < 0)
		loop_timer_set(d->config.loop, &d->accept_retry, device_now_ms(d) + ACCEPT_RETRY_MS);
}

static int connection_begin(struct vhost_device *d, int fd)
{
	vhost_pause(d);
	d->generation = d->generation % 0xffffff + 1; /* 24 bits, never 0 */
	int r = loop_watch(d->config.loop, fd, EPOLLIN, d->ports[0]->source, d->generation << 8 | ARG_SOCKET);

	if (r == 0) {
		d->fd = fd;
		memset(d->warned, 0, sizeof(d->warned));
	}
	vhost_resume(d);
	return r;
}

static void connection_end(struct vhost_device *d)
{
	vhost_pause(d);
	(void)loop_unwatch(d->config.loop, d->fd);
	util_close(&d->fd);
	vhost_device_reset(d);
	for (unsigned int i = 0; i < d->n_ports; i++) {
		loop_timer_clear(d->ports[i]->loop, &d->ports[i]->look);
		loop_timer_clear(d->ports[i]->loop, &d->ports[i]->nudge);
	}
	vhost_resume(d);
}

/* Of all ports, the first last: it is for this one that people are told. */
static void say_closed(struct vhost_device *d, int error, bool final)
{
	d->ports[0]->port.n.n_closed++;
	vhost_pause(d);
	for (unsigned int i = d->n_ports; i-- > 0;) {
		struct port *p = &d->ports[i]->port;

		p->owner->closed(p->owner->ctx, p, error, final);
	}
	vhost_look_active(d);
	vhost_resume(d);
}

static void say_opened(struct vhost_device *d)
{
	vhost_pause(d);
	for (unsigned int i = d->n_ports; i-- > 0;) {
		struct port *p = &d->ports[i]->port;

		p->owner->opened(p->owner->ctx, p);
	}
	vhost_resume(d);
}

static void connection_drop(struct vhost_device *d, int error)
{
	connection_end(d);
	listener_watch(d);
	say_closed(d, error, d->once);
}

static void on_requests(struct vhost_device *d)
{
	uint32_t generation = d->generation;

	for (int i = 0; i < REQUESTS_MAX && d->fd >= 0 && d->generation == generation; i++) {
		struct vhost_msg m;
		int r = vhost_msg_recv(&d->reader, d->fd, &m);

		if (r == -EAGAIN)
			return;
		if (r > 0) {
			r = vhost_request(d, &m);
			vhost_msg_done(&m);
			if (r == 0)
				continue;
		}
		if (r < 0 && r != -ECONNRESET) {
			first_of(d)->n.rx_bad++;
			vhost_warn(d, VHOST_WARN_PROTOCOL);
		}
		connection_drop(d, r);
	}
}

static void on_accept_retry(void *ctx, uint64_t now_ms)
{
	struct vhost_device *d = ctx;

	if (d->fd < 0)
		listener_watch(d);
}

static void on_client(struct vhost_device *d)
{
	_cleanup_close_ int fd = accept4(d->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	(void)loop_unwatch(d->config.loop, d->listen_fd);
	if (fd < 0 || connection_begin(d, fd) < 0) {
		/* No descriptors left: the client waits, and the loop must not spin meanwhile. */
		loop_timer_set(d->config.loop, &d->accept_retry, device_now_ms(d) + ACCEPT_RETRY_MS);
		return;
	}
	(void)TAKE_FD(fd);
	say_opened(d);
}

static void on_event(void *ctx, uint32_t arg, uint32_t events)
{
	struct vhost_port *p = ctx;
	struct vhost_device *d = p->dev;

	if (arg == ARG_LISTENER) {
		if (d->fd < 0)
			on_client(d);
		return;
	}
	if (d->fd < 0 || arg >> 8 != d->generation)
		return;
	if ((arg & 0xff) == ARG_SOCKET) {
		vhost_pause(d);
		on_requests(d);
		vhost_resume(d);
	} else {
		ring_work(p, &p->rings[arg & 0xff]);
	}
}

/* The first pair looks after what concerns all. True if the connection has ended. */
static bool device_pass(struct vhost_device *d)
{
	uint32_t warnings_due = __atomic_load_n(&d->to_warn, __ATOMIC_RELAXED);

	if (unlikely(warnings_due)) {
		__atomic_and_fetch(&d->to_warn, ~warnings_due, __ATOMIC_RELAXED);
		for (unsigned int i = 0; i < VHOST_WARN_MAX; i++)
			if (warnings_due >> i & 1)
				vhost_warn(d, (enum vhost_warning)i);
	}
	if (likely(!vhost_is_lost(d)))
		return false;
	vhost_warn(d, VHOST_WARN_LOST);
	connection_drop(d, -EFAULT);
	return true;
}

/* While the loop asks for events: whether on_pass() has something to do. */
static bool on_busy_poll(void *ctx)
{
	struct vhost_port *p = ctx;
	struct vhost_ring *r = &p->rings[1];

	if (r->running && r->watched && vring_n_avail(&r->v, 1))
		r->more = true;
	return r->more || vhost_is_lost(p->dev) || (p->refused && vhost_to_guest(p) && vhost_has_room(p));
}

/* The end of the loop's pass. */
static bool on_pass(void *ctx)
{
	struct vhost_port *p = ctx;

	if (p->dev->fd < 0)
		return false;
	if (p->index == 0) {
		if (device_pass(p->dev))
			return true;
	} else if (unlikely(vhost_is_lost(p->dev))) {
		p->dev->workers.wake(p->dev->workers.ctx);
		return false;
	}
	bool busy = false;

	if (p->n_slots)
		(void)vhost_retire(p);
	if (p->held)
		p->rings[1].more = vhost_cross_room(p) > 0 && p->n_slots < VHOST_RX_SLOTS / 2;
	for (unsigned int i = 0; i < 2; i++) {
		struct vhost_ring *r = &p->rings[i];

		if (r->more || (r->watched && loop_would_sleep(p->loop))) {
			ring_work(p, r);
			busy = true; /* what is above has work of it */
		}
	}
	for (unsigned int i = 0; i < 2; i++)
		if (p->rings[i].running && p->rings[i].to_signal)
			vhost_signal(p, &p->rings[i]);
	return tell_room(p) || busy;
}

/* Whoever frees the last lets go of the device. */
static void device_unref(struct vhost_device *d)
{
	if (__atomic_sub_fetch(&d->n_refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (unsigned int i = 0; i < d->n_ports; i++)
		free(d->ports[i]);
	free(d);
}

static void vhost_free(struct port *port)
{
	struct vhost_port *p = vhost_of(port);
	struct vhost_device *d = p->dev;

	if (p->index == 0) {
		if (d->fd >= 0)
			connection_end(d);
		loop_timer_clear(p->loop, &d->accept_retry);
		if (d->listen_fd >= 0)
			(void)loop_unwatch(p->loop, d->listen_fd);
		util_close(&d->listen_fd);
		vhost_pause(d);
		vhost_look_active(d);
		vhost_mem_done(&d->mem);
		vhost_resume(d);
	}
	loop_look_del(p->loop, on_busy_poll, p);
	loop_hook_del(p->loop, on_pass, p);
	loop_source_del(p->loop, p->source);
	device_unref(d);
}

static const struct port_ops vhost_ops = {
	.kind = "vhost-user",
	.send = vhost_send,
	.reserve = vhost_reserve,
	.commit = vhost_commit,
	.cancel = vhost_cancel,
	.free = vhost_free,
};

static int join_loop(struct vhost_port *p)
{
	int r = loop_hook_add(p->loop, on_pass, p);

	if (r < 0)
		return r;
	if (p->dev->config.busy_poll)
		(void)loop_look_add(p->loop, on_busy_poll, p); /* as many fit as hooks */
	p->source = loop_source_add(p->loop, on_event, p);
	if (p->source >= 0)
		return 0;
	loop_look_del(p->loop, on_busy_poll, p);
	loop_hook_del(p->loop, on_pass, p);
	return p->source;
}

static void leave_loop(struct vhost_port *p)
{
	loop_source_del(p->loop, p->source);
	loop_look_del(p->loop, on_busy_poll, p);
	loop_hook_del(p->loop, on_pass, p);
}

static int add_pair(struct vhost_device *d, struct loop *l, const struct port_owner *owner)
{
	struct vhost_port *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->port = (struct port){.ops = &vhost_ops, .owner = owner};
	(void)snprintf(p->port.name, sizeof(p->port.name), "%s", d->config.name ? d->config.name : "vhost-user");
	p->dev = d;
	p->index = d->n_ports;
	p->loop = l;
	p->look = (struct loop_timer){.fn = on_look, .ctx = p};
	p->nudge = (struct loop_timer){.fn = on_nudge, .ctx = p};
	int r = join_loop(p);
	if (r < 0) {
		free(p);
		return r;
	}
	d->ports[d->n_ports++] = p;
	d->n_refs = d->n_ports;
	return 0;
}

static int add_pairs(struct vhost_device *d)
{
	const struct vhost_user_workers *w = &d->workers;
	int r = add_pair(d, d->config.loop, d->config.owner);

	for (unsigned int i = 1; i < w->n && r == 0; i++)
		r = add_pair(d, w->loops[i], w->owners[i]);
	return r;
}

/* With everything but the sockets, which stay the caller's on failure. */
static int join_all(struct vhost_device *d, const struct vhost_user_config *c)
{
	int r = add_pairs(d);

	if (r < 0)
		return r;
	vhost_device_init(d);
	if (c->connected_fd >= 0)
		return connection_begin(d, c->connected_fd);
	if (c->listen_fd >= 0)
		return loop_watch(d->config.loop, c->listen_fd, EPOLLIN, d->ports[0]->source, ARG_LISTENER);
	return 0;
}

int vhost_user_port_new(const struct vhost_user_config *c, struct port **ret)
{
	struct vhost_device *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->config = *c;
	if (c->workers && c->workers->n > 1)
		d->workers = *c->workers;
	d->config.workers = NULL;
	d->accept_retry = (struct loop_timer){.fn = on_accept_retry, .ctx = d};
	d->listen_fd = d->fd = d->backend_fd = -1;
	d->once = c->listen_fd < 0 && c->connected_fd >= 0;
	d->n_active = 1;
	vhost_pause(d);
	int r = join_all(d, c);
	if (r == 0)
		vhost_mem_init(&d->mem);
	else
		for (unsigned int i = 0; i < d->n_ports; i++)
			leave_loop(d->ports[i]);
	vhost_resume(d);
	if (r < 0) {
		d->n_refs = 1;
		device_unref(d);
		return r;
	}
	d->listen_fd = c->listen_fd;
	*ret = first_of(d);
	return 0;
}

int vhost_user_port_attach(struct port *port, int connected_fd)
{
	struct vhost_device *d = vhost_of(port)->dev;

	if (d->fd >= 0) {
		connection_end(d);
		say_closed(d, 0, false);
	} else if (d->listen_fd >= 0) {
		(void)loop_unwatch(d->config.loop, d->listen_fd);
	}
	d->once = false;
	int r = connection_begin(d, connected_fd);

	if (r < 0) {
		listener_watch(d);
		return r;
	}
	say_opened(d);
	return 0;
}

struct port *vhost_user_port_of_pair(struct port *first, unsigned int pair)
{
	struct vhost_device *d = vhost_of(first)->dev;

	return pair < d->n_ports ? &d->ports[pair]->port : NULL;
}
