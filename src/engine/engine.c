/* SPDX-License-Identifier: BSD-2-Clause */
/* A life: make the loop and the router, enter the sandbox, and only then look at the parent's messages,
 * which bring the ports. So no guest's byte is ever read outside the sandbox, and what the ports and
 * forwards call when they are made is on the sandbox's list like everything else.
 *
 * The parent names a port by a number of its own (msg id), which is kept here beside the port; the lan's
 * number (port.id) is another. A port that is closed for good is freed by the lan, after the call that
 * says so; here only the pointer is forgotten.
 *
 * Messages to the parent are few and small, and sent without waiting for it: a parent that does not read
 * loses text, never its guests' frames. */
/* seccomp: recvmsg sendmsg close fcntl socket exit_group */
#include "engine.h"

#include <assert.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "capture.h"
#include "log.h"
#include "msg.h"
#include "sandbox.h"
#include "stream.h"
#include "tap.h"
#include "vhost_mem.h"
#include "vhost_user.h"

#define POLL_US 50u /* about what falling asleep and being woken takes */

static_assert(MSG_PORT_ID_MAX == PORT_MAX, "the parent's port numbers");
static_assert(MSG_PORT_NAME_BYTES == PORT_NAME_BYTES, "names pass unchanged");
static_assert(MSG_RESOLVERS_MAX == GATEWAY_DNS_MAX, "resolvers pass unchanged");
static_assert(MSG_FORWARD_ID_MAX == GATEWAY_FORWARDS_MAX, "a number for each forward");

struct engine_port {
	struct port *port;  /* as the lan knows it: the capture, if there is one; NULL: none */
	struct port *inner; /* the port itself; of several pairs of queues the first, like port */
	enum msg_port_kind kind;
};

struct engine {
	const struct engine_config *config;
	struct workers *workers;
	struct loop *loop;       /* of the first, like all below */
	struct gateway *gateway;
	const struct port_owner *owner; /* of ports: the lan */
	struct capture_file *capture;   /* of all ports; NULL: none */
	struct engine_port ports[PORT_MAX];
	unsigned int n_ports;
};

static int say(struct engine *e, const struct msg *m)
{
	int r = msg_send(e->config->msg_fd, m);

	if (r < 0)
		log_debug("engine: message %d lost: %s", m->type, strerror(-r));
	return r;
}

static _printf_(2, 3) void warn(struct engine *e, const char *format, ...)
{
	struct msg m = {.type = MSG_WARNING, .fd = -1};
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(m.text.bytes, sizeof(m.text.bytes), format, ap);
	va_end(ap);
	m.text.n_bytes = MIN((size_t)MAX(n, 0), sizeof(m.text.bytes) - 1);
	(void)say(e, &m);
}

static void say_closed(struct engine *e, uint8_t id, int error, bool final)
{
	struct msg m = {.type = MSG_PORT_CLOSED, .fd = -1};

	m.closed = (struct msg_closed){.id = id, .final = final, .error = error};
	(void)say(e, &m);
}

/* By the lan, through the gateway. */
static void port_closed(void *ctx, struct port *p, int error, bool final)
{
	struct engine *e = ctx;

	for (uint8_t id = 0; id < PORT_MAX; id++) {
		struct engine_port *ep = &e->ports[id];

		if (ep->port != p)
			continue;
		say_closed(e, id, error, final);
		if (final) {
			*ep = (struct engine_port){0};
			if (--e->n_ports == 0)
				loop_stop(e->loop, 0);
		}
		return;
	}
}

/* Making ports. */

static void port_warning(void *ctx, struct port *p, const char *text)
{
	warn(ctx, "port %s: %s", p->name, text);
}

/* A port on its way into the network. One of several pairs of queues is a port to each worker. */
struct newcomer {
	unsigned int n;                   /* pairs */
	struct port *outer[WORKERS_MAX];  /* as the lan will know it */
	struct port *inner[WORKERS_MAX];  /* what it is */
	const struct port_owner *owners[WORKERS_MAX];
};

static int new_vhost(struct engine *e, const struct msg *m, struct newcomer *x)
{
	struct vhost_user_workers workers;
	struct vhost_user_config c = {
		.loop = e->loop,
		.owner = x->owners[0],
		.name = m->port.name,
		.listen_fd = m->port.kind == MSG_PORT_VHOST_LISTENING ? m->fd : -1,
		.connected_fd = m->port.kind == MSG_PORT_VHOST_CONNECTED ? m->fd : -1,
		.busy_poll = e->config->busy_poll_us != 0,
		.in_band = e->config->in_band,
		.warn = port_warning,
		.warn_ctx = e,
		.workers = &workers,
	};

	workers_of_port(e->workers, &workers);
	memcpy(workers.owners, x->owners, sizeof(workers.owners));
	int r = vhost_user_port_new(&c, &x->inner[0]);
	for (unsigned int i = 1; i < x->n && r == 0; i++)
		x->inner[i] = vhost_user_port_of_pair(x->inner[0], i);
	return r;
}

static int new_inner(struct engine *e, const struct msg *m, struct newcomer *x)
{
	struct stream_port_config c = {
		.loop = e->loop, .owner = x->owners[0], .name = m->port.name, .listen_fd = -1, .connected_fd = -1};

	switch (m->port.kind) {
	case MSG_PORT_TAP:
		return tap_port_new(e->loop, x->owners[0], m->fd, m->port.name, &x->inner[0]);
	case MSG_PORT_STREAM_LISTENING:
		c.listen_fd = m->fd;
		break;
	case MSG_PORT_STREAM_CONNECTED:
		c.connected_fd = m->fd;
		break;
	case MSG_PORT_STREAM_DIALLED:
		break;
	case MSG_PORT_VHOST_LISTENING:
	case MSG_PORT_VHOST_CONNECTED:
	case MSG_PORT_VHOST_DIALLED:
		return new_vhost(e, m, x);
	case MSG_PORT_KIND_MAX:
		return -EINVAL;
	}
	return stream_port_new(&c, &x->inner[0]);
}

static struct lan *lan_of(struct engine *e, unsigned int worker)
{
	return gateway_lan(workers_gateways(e->workers)[worker]);
}

/* Who is told of frames: the lan, or the capture before it. */
static int choose_owners(struct engine *e, struct newcomer *x)
{
	for (unsigned int i = 0; i < x->n; i++) {
		const struct port_owner *owner = lan_owner(lan_of(e, i));
		int r = e->capture ? capture_port_new(workers_loop(e->workers, i), owner, e->capture, &x->outer[i]) : 0;

		if (r < 0)
			return r;
		x->owners[i] = e->capture ? capture_owner(x->outer[i]) : owner;
	}
	return 0;
}

static void wrap(struct newcomer *x, bool captured)
{
	for (unsigned int i = 0; i < x->n; i++)
		if (!captured)
			x->outer[i] = x->inner[i];
		else if (i == 0)
			capture_port_wrap(x->outer[0], x->inner[0]);
		else
			capture_port_wrap_as(x->outer[i], x->inner[i], x->outer[0]);
}

/* All under one number. */
static int join_lans(struct engine *e, struct newcomer *x)
{
	int r = lan_add_port(lan_of(e, 0), x->outer[0]);

	for (unsigned int i = 0; i < x->n && r == 0; i++) {
		if (i > 0) {
			lan_reap(lan_of(e, i));
			r = lan_add_port_as(lan_of(e, i), x->outer[i], x->outer[0]->id);
			assert(r == 0); /* it has none that the first has not */
			x->outer[i]->lead = x->outer[0];
		}
		x->inner[i]->id = x->outer[i]->id;
	}
	return r;
}

static void newcomer_free(struct newcomer *x)
{
	for (unsigned int i = 0; i < x->n; i++)
		(void)port_free(x->outer[i]); /* with the inner one, if there is one by now */
}

/* On success m's descriptor is the port's. */
static int add_port(struct engine *e, struct msg *m)
{
	struct engine_port *ep = &e->ports[m->port.id];
	struct newcomer x = {.n = msg_port_is_vhost(m->port.kind) ? workers_n(e->workers) : 1};

	if (ep->port)
		return -EEXIST;
	int r = choose_owners(e, &x);
	if (r == 0)
		r = new_inner(e, m, &x);
	if (r == 0) {
		(void)TAKE_FD(m->fd);
		wrap(&x, e->capture);
		r = join_lans(e, &x);
	}
	if (r < 0) {
		newcomer_free(&x);
		return r;
	}
	*ep = (struct engine_port){.port = x.outer[0], .inner = x.inner[0], .kind = m->port.kind};
	e->n_ports++;
	return 0;
}

/* The parent knows its other end to be gone. The first is told last, as it is for it that we speak. */
static void close_port(struct engine *e, const struct engine_port *ep)
{
	uint16_t id = ep->port ? ep->port->id : 0;

	if (!ep->port)
		return;
	for (unsigned int i = workers_n(e->workers); i-- > 0;) {
		const struct port_owner *owner = lan_owner(lan_of(e, i));
		struct port *p = lan_port(lan_of(e, i), id);

		if (p)
			owner->closed(owner->ctx, p, 0, true);
	}
}

static int attach_port(struct engine *e, struct msg *m)
{
	const struct engine_port *ep = &e->ports[m->port.id];

	if (!ep->port || !msg_port_is_dialled(ep->kind))
		return -ENOENT;
	int r = ep->kind == MSG_PORT_VHOST_DIALLED ? vhost_user_port_attach(ep->inner, m->fd)
						   : stream_port_attach(ep->inner, m->fd);
	if (r == 0)
		(void)TAKE_FD(m->fd);
	return r;
}

/* Messages. */

static int add_forward(struct engine *e, struct msg *m)
{
	struct gateway_forward f = {.fd = m->fd,
		.proto = m->forward.proto,
		.guest_be = m->forward.guest_be,
		.guest_port = m->forward.guest_port,
		.id = m->forward.id};
	int r = workers_add_forward(e->workers, &f);

	if (r == 0)
		(void)TAKE_FD(m->fd);
	return r;
}

static void say_stats(struct engine *e)
{
	struct msg m = {.type = MSG_STATS, .fd = -1};
	int n = gateway_stats(
		workers_gateways(e->workers), workers_n(e->workers), m.text.bytes, sizeof(m.text.bytes));

	m.text.n_bytes = MIN((size_t)MAX(n, 0), sizeof(m.text.bytes) - 1);
	if (e->capture) {
		n = snprintf(m.text.bytes + m.text.n_bytes, sizeof(m.text.bytes) - m.text.n_bytes,
			"capture %llu frames not written\n", (unsigned long long)capture_file_n_failures(e->capture));
		m.text.n_bytes += MIN((size_t)MAX(n, 0), sizeof(m.text.bytes) - m.text.n_bytes - 1);
	}
	(void)say(e, &m);
}

static void say_flows(struct engine *e, uint64_t at)
{
	struct msg m = {.type = MSG_FLOWS, .fd = -1, .flows.at = at};

	m.flows.n = gateway_flows(
		workers_gateways(e->workers), workers_n(e->workers), &m.flows.at, m.flows.v, MSG_FLOWS_MAX);
	(void)say(e, &m);
}

static void on_msg(struct engine *e, struct msg *m)
{
	int r = 0;

	switch (m->type) {
	case MSG_ADD_PORT:
		r = add_port(e, m);
		if (r < 0) {
			warn(e, "port %s cannot be used: %s", m->port.name, strerror(-r));
			say_closed(e, m->port.id, r, true);
			r = 0;
		}
		break;
	case MSG_ATTACH_PORT:
		r = attach_port(e, m);
		if (r < 0)
			say_closed(e, m->port.id, r, false);
		break;
	case MSG_DEL_PORT:
		close_port(e, &e->ports[m->port.id]);
		break;
	case MSG_ADD_FORWARD:
		r = add_forward(e, m);
		break;
	case MSG_DEL_FORWARD:
		r = workers_del_forward(e->workers, m->forward.id);
		break;
	case MSG_SET_RESOLVERS:
		gateway_set_resolvers(e->gateway, m->resolvers.a, m->resolvers.n);
		break;
	case MSG_START:
		if (e->n_ports == 0)
			loop_stop(e->loop, 1);
		else
			(void)say(e, &(struct msg){.type = MSG_READY, .fd = -1});
		break;
	case MSG_GET_STATS:
		say_stats(e);
		break;
	case MSG_GET_FLOWS:
		say_flows(e, m->flows.at);
		break;
	case MSG_QUIT:
		loop_stop(e->loop, 0);
		break;
	default:
		r = -EBADMSG; /* ours, sent back */
	}
	if (r < 0)
		warn(e, "a request of the parent failed (%d): %s", m->type, strerror(-r));
	util_close(&m->fd);
}

static void read_parent(struct engine *e)
{
	struct msg m;

	for (;;) {
		int r = msg_recv(e->config->msg_fd, true, &m);

		if (r == -EAGAIN)
			return;
		if (r > 0) {
			on_msg(e, &m);
			continue;
		}
		if (r < 0)
			log_error("engine: messages of the parent: %s", strerror(-r));
		loop_stop(e->loop, r < 0 ? 1 : 0);
		return;
	}
}

static void on_parent(void *ctx, uint32_t arg, uint32_t events)
{
	struct engine *e = ctx;

	workers_pause(e->workers);
	read_parent(e);
	workers_resume(e->workers);
}

/* The start. */

static void raise_descriptor_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

/* After the ids have changed, as it is then that the engine's groups decide. */
static void check_ping(struct engine *e)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);

	if (fd < 0 && (errno == EACCES || errno == EPERM) && !e->config->quiet)
		warn(e, "guests cannot ping beyond the gateway; to allow it: "
			"sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"");
}

static int confine(struct engine *e)
{
	char missing[SANDBOX_TEXT_BYTES];

	if (e->config->no_sandbox) {
		warn(e, "no sandbox: for debugging only, never with guests that are not trusted");
		return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
	}
	int r = sandbox_enter(e->config->parent, missing);
	if (r < 0)
		warn(e, "the sandbox cannot be set up: %s", strerror(-r));
	else if (missing[0] && !e->config->quiet)
		warn(e, "sandbox: %s", missing);
	return r;
}

/* Threads inherit what was given up before; the filter is for all. */
static int enter(struct engine *e)
{
	int r = confine(e);

	if (r < 0)
		return r;
	r = workers_start(e->workers);
	if (r == 0 && !e->config->no_sandbox)
		r = sandbox_filter();
	if (r < 0)
		warn(e, "the engine's threads or the sandbox cannot be set up: %s", strerror(-r));
	return r;
}

static int make_workers(struct engine *e)
{
	struct workers_config wc = {.n = e->config->n_queues, .gateway = e->config->gateway};
	cpu_set_t cpus;
	int r = siphash_key_init(&wc.gateway.key);

	if (r < 0)
		return r;
	/* On too few processors only interrupts would come meanwhile. */
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0 || (unsigned int)CPU_COUNT(&cpus) > wc.n)
		wc.poll_us = MAX(e->config->busy_poll_us, POLL_US);
	wc.gateway.port_closed = port_closed;
	wc.gateway.ctx = e;
	return workers_new(&wc, &e->workers);
}

/* By any of the workers. */
static void capture_failed(void *ctx, int error)
{
	warn(ctx, "the capture is not complete: frames cannot be written (%s), and are left out", strerror(-error));
}

static int init(struct engine *e)
{
	int r = vhost_mem_guard();

	if (r == 0)
		r = make_workers(e);
	if (r < 0)
		return r;
	e->loop = workers_loop(e->workers, 0);
	e->gateway = workers_gateways(e->workers)[0];
	e->owner = lan_owner(gateway_lan(e->gateway));
	if (e->config->pcap_fd >= 0) {
		r = capture_file_new(e->config->pcap_fd, e->config->pcap_snap_bytes, &e->capture);
		if (r < 0) {
			warn(e, "the capture cannot be written: %s", strerror(-r));
			return r;
		}
		capture_file_on_failure(e->capture, capture_failed, e);
	}
	int source = loop_source_add(e->loop, on_parent, e);
	if (source < 0)
		return source;
	return loop_watch(e->loop, e->config->msg_fd, EPOLLIN, source, 0);
}

static void done(struct engine *e)
{
	e->workers = workers_free(e->workers);
	e->capture = capture_file_free(e->capture);
}

int engine_run(const struct engine_config *c)
{
	_cleanup_(done) struct engine e = {.config = c};

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a capture at the limit of ulimit -f */
	raise_descriptor_limit();
	if (fcntl(c->msg_fd, F_SETFL, O_NONBLOCK) < 0)
		return 1;
	int r = init(&e);
	if (r < 0) {
		warn(&e, "the engine cannot start: %s", strerror(-r));
		return 1;
	}
	if (enter(&e) < 0)
		return 1;
	check_ping(&e);
	workers_resume(e.workers);
	r = loop_run(e.loop);
	if (r < 0)
		warn(&e, "the engine's event loop failed: %s", strerror(-r));
	workers_pause(e.workers);
	if (c->stats_at_end)
		say_stats(&e);
	return r == 0 ? 0 : 1;
}
