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

struct engine_port {
	struct port *port;  /* as the lan knows it: the capture, if there is one; NULL: none */
	struct port *inner; /* the port itself */
	enum msg_port_kind kind;
};

struct engine {
	const struct engine_config *config;
	struct loop *loop;
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

static int new_vhost(struct engine *e, const struct msg *m, const struct port_owner *owner, struct port **ret)
{
	struct vhost_user_config c = {
		.loop = e->loop,
		.owner = owner,
		.name = m->port.name,
		.listen_fd = m->port.kind == MSG_PORT_VHOST_LISTENING ? m->fd : -1,
		.connected_fd = m->port.kind == MSG_PORT_VHOST_CONNECTED ? m->fd : -1,
		.busy_poll = e->config->busy_poll_us != 0,
		.warn = port_warning,
		.warn_ctx = e,
	};

	return vhost_user_port_new(&c, ret);
}

static int new_inner(struct engine *e, const struct msg *m, const struct port_owner *owner, struct port **ret)
{
	struct stream_port_config c = {
		.loop = e->loop, .owner = owner, .name = m->port.name, .listen_fd = -1, .connected_fd = -1};

	switch (m->port.kind) {
	case MSG_PORT_TAP:
		return tap_port_new(e->loop, owner, m->fd, m->port.name, ret);
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
		return new_vhost(e, m, owner, ret);
	case MSG_PORT_KIND_MAX:
		return -EINVAL;
	}
	return stream_port_new(&c, ret);
}

static void free_port_p(struct port **p)
{
	*p = port_free(*p);
}

/* On success m's descriptor is the port's. */
static int add_port(struct engine *e, struct msg *m)
{
	struct engine_port *ep = &e->ports[m->port.id];
	_cleanup_(free_port_p) struct port *outer = NULL;
	struct port *inner;
	int r;

	if (ep->port)
		return -EEXIST;
	if (e->capture) {
		r = capture_port_new(e->loop, e->owner, e->capture, &outer);
		if (r < 0)
			return r;
	}
	r = new_inner(e, m, outer ? capture_owner(outer) : e->owner, &inner);
	if (r < 0)
		return r;
	(void)TAKE_FD(m->fd);
	if (outer) {
		capture_port_wrap(outer, inner);
	} else {
		outer = inner;
	}
	r = lan_add_port(gateway_lan(e->gateway), outer);
	if (r < 0)
		return r;
	*ep = (struct engine_port){.port = TAKE_PTR(outer), .inner = inner, .kind = m->port.kind};
	e->n_ports++;
	return 0;
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
		.guest_port = m->forward.guest_port};
	int r = gateway_add_forward(e->gateway, &f);

	if (r == 0)
		(void)TAKE_FD(m->fd);
	return r;
}

static void say_stats(struct engine *e)
{
	struct msg m = {.type = MSG_STATS, .fd = -1};
	int n = gateway_stats(e->gateway, m.text.bytes, sizeof(m.text.bytes));

	m.text.n_bytes = MIN((size_t)MAX(n, 0), sizeof(m.text.bytes) - 1);
	if (e->capture) {
		n = snprintf(m.text.bytes + m.text.n_bytes, sizeof(m.text.bytes) - m.text.n_bytes,
			"capture %llu frames not written\n", (unsigned long long)capture_file_n_failures(e->capture));
		m.text.n_bytes += MIN((size_t)MAX(n, 0), sizeof(m.text.bytes) - m.text.n_bytes - 1);
	}
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
		if (e->ports[m->port.id].port)
			e->owner->closed(e->owner->ctx, e->ports[m->port.id].port, 0, true);
		break;
	case MSG_ADD_FORWARD:
		r = add_forward(e, m);
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

static void on_parent(void *ctx, uint32_t arg, uint32_t events)
{
	struct engine *e = ctx;
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

static int enter(struct engine *e)
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

static void capture_failed(void *ctx, int error)
{
	warn(ctx, "the capture is not complete: frames cannot be written (%s), and are left out", strerror(-error));
}

static int init(struct engine *e)
{
	struct gateway_config gc = e->config->gateway;
	int r = loop_new(NULL, &e->loop);

	if (r == 0)
		r = vhost_mem_guard();
	if (r == 0)
		r = siphash_key_init(&gc.key);
	if (r < 0)
		return r;
	cpu_set_t cpus;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0 || CPU_COUNT(&cpus) > 1)
		loop_set_poll(e->loop, MAX(e->config->busy_poll_us, POLL_US)); /* on a single processor only interrupts would come meanwhile */
	gc.loop = e->loop;
	gc.port_closed = port_closed;
	gc.ctx = e;
	gc.sock = sock_linux(e->loop);
	r = gateway_new(&gc, &e->gateway);
	if (r < 0)
		return r;
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
	e->gateway = gateway_free(e->gateway);
	e->capture = capture_file_free(e->capture);
	e->loop = loop_free(e->loop);
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
	r = loop_run(e.loop);
	if (r < 0)
		warn(&e, "the engine's event loop failed: %s", strerror(-r));
	if (c->stats_at_end)
		say_stats(&e);
	return r == 0 ? 0 : 1;
}
