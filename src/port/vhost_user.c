/* SPDX-License-Identifier: BSD-2-Clause */
/* The back end of a vhost-user network device.
 *
 * The front end (QEMU, User Mode Linux) says over a stream socket where the guest's memory is and where in
 * it the device's rings lie (vhost_ctl.c); from then on frames pass through that memory (vhost_data.c), and
 * the socket is silent. What is told besides goes through eventfds: the guest "kicks" us, we "call" it.
 *
 * Kicks are watched edge-triggered and never read: each write is an event of its own. They are suppressed
 * while a ring is worked on; with busy_poll also for as long as the loop is awake, which then looks into the
 * rings itself, and a last time after it has asked for kicks again. A pass over a ring is bounded; what is left waits for the hook, which comes
 * again after everybody else had a turn.
 *
 * Calls are made in a hook at the end of the loop's pass, so that a batch costs one at most, and none while
 * the guest is busy with the ring anyhow. That buffers from the guest are free again is no news that it
 * waits for, where they are few: it is told together with the next frame to it, which in a dialogue is a
 * moment away, or else after SILENT_MS.
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
#define SILENT_MS        1 /* the longest that the guest is not told that its buffers are free */
#define SILENT_MAX       4u /* and the most of them */
#define SILENT_BYTES_MAX (16u << 10)
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

void vhost_warn(struct vhost_port *p, enum vhost_warning what)
{
	uint64_t now_ms = loop_now_ms(p->loop);

	if (!p->config.warn || p->warned[what] ||
		(p->warned_ms[what] && now_ms - p->warned_ms[what] < WARN_AGAIN_MS))
		return;
	p->warned[what] = true;
	p->warned_ms[what] = MAX(now_ms, (uint64_t)1);
	p->config.warn(p->config.warn_ctx, &p->port, warnings[what]);
}

/* Rings. */

void vhost_signal(struct vhost_port *p, struct vhost_ring *r)
{
	vring_publish(&r->v);
	r->to_signal = false;
	r->n_silent = 0;
	r->n_silent_bytes = 0;
	if (vring_wants_call(&r->v))
		vhost_fd_notify(r->call_fd);
}

static uint32_t ring_arg(const struct vhost_port *p, const struct vhost_ring *r)
{
	return p->generation << 8 | (uint32_t)(r - p->rings);
}

void vhost_ring_break(struct vhost_port *p, struct vhost_ring *r)
{
	(void)loop_unwatch(p->loop, r->kick_fd);
	r->running = r->more = false;
	r->broken = true;
	p->port.n.rx_bad++;
	vhost_fd_notify(r->err_fd);
	if (!p->mem.lost)
		vhost_warn(p, VHOST_WARN_RING);
}

int vhost_ring_start(struct vhost_port *p, struct vhost_ring *r)
{
	if (r->running || r->broken || r->kick_fd < 0 || !r->has_addr || r->config.num == 0)
		return 0;
	int e = vring_start(&r->v, &r->config);

	if (e < 0) {
		/* The front end may still send the memory that is missing. */
		if (e == -EFAULT && p->mem.n == 0)
			vhost_warn(p, VHOST_WARN_NO_MEMORY);
		return e == -EFAULT ? 0 : e;
	}
	e = loop_watch(p->loop, r->kick_fd, EPOLLIN | EPOLLET, p->source, ring_arg(p, r));
	if (e < 0)
		return e;
	r->running = true;
	r->to_signal = false;
	p->n_posted_max = p->n_refused = 0; /* perhaps another driver: a boot loader has few buffers */
	loop_timer_set(p->loop, &p->look, loop_now_ms(p->loop));
	return 0;
}

void vhost_ring_stop(struct vhost_port *p, struct vhost_ring *r)
{
	if (r->running) {
		(void)loop_unwatch(p->loop, r->kick_fd);
		if (r->to_signal)
			vhost_signal(p, r);
		r->config.base = vring_base(&r->v);
	}
	r->running = r->broken = r->more = false;
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

	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++)
		ring_work(p, &p->rings[i]);
}

/* The connection. */

static void listener_watch(struct vhost_port *p)
{
	if (p->listen_fd < 0)
		return;
	if (loop_watch(p->loop, p->listen_fd, EPOLLIN, p->source, ARG_LISTENER) < 0)
		loop_timer_set(p->loop, &p->accept_retry, loop_now_ms(p->loop) + ACCEPT_RETRY_MS);
}

static int connection_begin(struct vhost_port *p, int fd)
{
	p->generation = p->generation % 0xffffff + 1; /* 24 bits, never 0 */
	int r = loop_watch(p->loop, fd, EPOLLIN, p->source, p->generation << 8 | ARG_SOCKET);

	if (r < 0)
		return r;
	p->fd = fd;
	memset(p->warned, 0, sizeof(p->warned));
	return 0;
}

static void connection_end(struct vhost_port *p)
{
	(void)loop_unwatch(p->loop, p->fd);
	util_close(&p->fd);
	loop_timer_clear(p->loop, &p->look);
	loop_timer_clear(p->loop, &p->tell_used);
	vhost_device_reset(p);
}

static void connection_drop(struct vhost_port *p, int error)
{
	connection_end(p);
	p->port.n.n_closed++;
	listener_watch(p);
	p->port.owner->closed(p->port.owner->ctx, &p->port, error, p->once);
}

static void on_requests(struct vhost_port *p)
{
	uint32_t generation = p->generation;

	for (int i = 0; i < REQUESTS_MAX && p->fd >= 0 && p->generation == generation; i++) {
		struct vhost_msg m;
		int r = vhost_msg_recv(&p->reader, p->fd, &m);

		if (r == -EAGAIN)
			return;
		if (r > 0) {
			r = vhost_request(p, &m);
			vhost_msg_done(&m);
			if (r == 0)
				continue;
		}
		if (r < 0 && r != -ECONNRESET) {
			p->port.n.rx_bad++;
			vhost_warn(p, VHOST_WARN_PROTOCOL);
		}
		connection_drop(p, r);
	}
}

static void on_accept_retry(void *ctx, uint64_t now_ms)
{
	struct vhost_port *p = ctx;

	if (p->fd < 0)
		listener_watch(p);
}

static void on_client(struct vhost_port *p)
{
	_cleanup_close_ int fd = accept4(p->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	(void)loop_unwatch(p->loop, p->listen_fd);
	if (fd < 0 || connection_begin(p, fd) < 0) {
		/* No descriptors left: the client waits, and the loop must not spin meanwhile. */
		loop_timer_set(p->loop, &p->accept_retry, loop_now_ms(p->loop) + ACCEPT_RETRY_MS);
		return;
	}
	(void)TAKE_FD(fd);
	p->port.owner->opened(p->port.owner->ctx, &p->port);
}

static void on_event(void *ctx, uint32_t arg, uint32_t events)
{
	struct vhost_port *p = ctx;

	if (arg == ARG_LISTENER) {
		if (p->fd < 0)
			on_client(p);
		return;
	}
	if (p->fd < 0 || arg >> 8 != p->generation)
		return;
	if ((arg & 0xff) == ARG_SOCKET)
		on_requests(p);
	else
		ring_work(p, &p->rings[arg & 0xff]);
}

/* Of a pair: what came from the guest can wait for what goes to it. */
static void signal_pair(struct vhost_port *p, struct vhost_ring *to, struct vhost_ring *from)
{
	bool now = from->n_silent > MIN(SILENT_MAX, from->v.num / 4u) || from->n_silent_bytes > SILENT_BYTES_MAX;

	if (to->running && to->to_signal) {
		vhost_signal(p, to);
		now = true;
	}
	if (!from->running || !from->to_signal)
		return;
	if (now)
		vhost_signal(p, from);
	else if (!p->tell_used.armed)
		loop_timer_set(p->loop, &p->tell_used, loop_now_ms(p->loop) + SILENT_MS);
}

static void on_tell_used(void *ctx, uint64_t now_ms)
{
	struct vhost_port *p = ctx;

	for (unsigned int i = 1; i < VHOST_RINGS_MAX; i += 2)
		if (p->rings[i].running && p->rings[i].to_signal)
			vhost_signal(p, &p->rings[i]);
}

/* While the loop asks for events: whether on_pass() has something to do. */
static bool on_busy_poll(void *ctx)
{
	struct vhost_port *p = ctx;
	bool work = p->mem.lost;

	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++) {
		struct vhost_ring *r = &p->rings[i];

		if (i % 2 && r->running && r->watched && vring_n_avail(&r->v, 1))
			r->more = work = true;
	}
	return work || (p->refused && vhost_has_room(p));
}

/* The end of the loop's pass. */
static bool on_pass(void *ctx)
{
	struct vhost_port *p = ctx;

	if (p->fd < 0)
		return false;
	if (p->mem.lost) {
		vhost_warn(p, VHOST_WARN_LOST);
		connection_drop(p, -EFAULT);
		return true;
	}
	bool busy = false;

	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i++) {
		struct vhost_ring *r = &p->rings[i];

		if (r->more || (r->watched && loop_would_sleep(p->loop))) {
			ring_work(p, r);
			busy = true; /* what is above has work of it */
		}
	}
	for (unsigned int i = 0; i < VHOST_RINGS_MAX; i += 2)
		signal_pair(p, &p->rings[i], &p->rings[i + 1]);
	return tell_room(p) || busy;
}

static void vhost_free(struct port *port)
{
	struct vhost_port *p = vhost_of(port);

	if (p->fd >= 0)
		connection_end(p);
	loop_hook_del(p->loop, on_pass, p);
	loop_look_del(p->loop, on_busy_poll, p);
	loop_timer_clear(p->loop, &p->accept_retry);
	if (p->listen_fd >= 0) {
		(void)loop_unwatch(p->loop, p->listen_fd);
		util_close(&p->listen_fd);
	}
	loop_source_del(p->loop, p->source);
	vhost_mem_done(&p->mem);
	free(p);
}

static const struct port_ops vhost_ops = {
	.kind = "vhost-user",
	.send = vhost_send,
	.reserve = vhost_reserve,
	.commit = vhost_commit,
	.cancel = vhost_cancel,
	.free = vhost_free,
};

static int join_loop(struct vhost_port *p, const struct vhost_user_config *c)
{
	int r = loop_hook_add(p->loop, on_pass, p);

	if (r < 0)
		return r;
	if (c->busy_poll)
		(void)loop_look_add(p->loop, on_busy_poll, p); /* as many fit as hooks */
	p->source = loop_source_add(p->loop, on_event, p);
	r = MIN(p->source, 0);
	if (r == 0 && c->connected_fd >= 0)
		r = connection_begin(p, c->connected_fd);
	else if (r == 0 && c->listen_fd >= 0)
		r = loop_watch(p->loop, c->listen_fd, EPOLLIN, p->source, ARG_LISTENER);
	if (r < 0) {
		loop_source_del(p->loop, p->source);
		loop_hook_del(p->loop, on_pass, p);
		loop_look_del(p->loop, on_busy_poll, p);
	}
	return r;
}

int vhost_user_port_new(const struct vhost_user_config *c, struct port **ret)
{
	_cleanup_free_ struct vhost_port *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->port = (struct port){.ops = &vhost_ops, .owner = c->owner};
	(void)snprintf(p->port.name, sizeof(p->port.name), "%s", c->name ? c->name : "vhost-user");
	p->config = *c;
	p->loop = c->loop;
	p->look = (struct loop_timer){.fn = on_look, .ctx = p};
	p->tell_used = (struct loop_timer){.fn = on_tell_used, .ctx = p};
	p->accept_retry = (struct loop_timer){.fn = on_accept_retry, .ctx = p};
	p->listen_fd = p->fd = p->backend_fd = -1;
	p->once = c->listen_fd < 0 && c->connected_fd >= 0;
	vhost_device_init(p);
	int r = join_loop(p, c);
	if (r < 0)
		return r;
	vhost_mem_init(&p->mem);
	p->listen_fd = c->listen_fd;
	*ret = &TAKE_PTR(p)->port;
	return 0;
}

int vhost_user_port_attach(struct port *port, int connected_fd)
{
	struct vhost_port *p = vhost_of(port);

	if (p->fd >= 0) {
		connection_end(p);
		p->port.n.n_closed++;
		p->port.owner->closed(p->port.owner->ctx, port, 0, false);
	} else if (p->listen_fd >= 0) {
		(void)loop_unwatch(p->loop, p->listen_fd);
	}
	p->once = false;
	int r = connection_begin(p, connected_fd);

	if (r < 0) {
		listener_watch(p);
		return r;
	}
	p->port.owner->opened(p->port.owner->ctx, port);
	return 0;
}
