/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of descriptors, their options, and epoll. */
#include "sock_fake_internal.h"

#include <linux/udp.h>
#include <netinet/tcp.h>

#ifndef SO_PEEK_OFF
#define SO_PEEK_OFF 42
#endif

struct sock_fake *sock_fake_new(const struct sock_fake_config *c)
{
	struct sock_fake *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->c = *c;
	f->sim = c->sim;
	if (!f->c.addr_be)
		f->c.addr_be = htonl(0xc6336401);
	if (!f->c.mtu)
		f->c.mtu = 1500;
	f->next_port = 32768;
	return f;
}

static void free_conns(struct sock_fake *f)
{
	struct fake_conn *next;

	for (struct fake_conn *c = f->conns; c; c = next) {
		next = c->next;
		fake_tcp_free(c);
	}
	f->conns = NULL;
}

void sock_fake_reset(struct sock_fake *f)
{
	sim_check(f->sim, f->n_open == 0, "%u descriptors are open", f->n_open);
	free_conns(f);
	f->n_open_max = f->n_ready = 0;
	f->next_port = 32768;
	f->fail_open = 0;
	f->n_bad_calls = 0;
}

struct sock_fake *sock_fake_free(struct sock_fake *f)
{
	if (!f)
		return NULL;
	free_conns(f);
	for (int i = 0; i < SOCK_FAKE_FDS_MAX; i++)
		fake_udp_free(&f->sockets[i]);
	free(f);
	return NULL;
}

struct fake_socket *sock_fake_get(struct sock_fake *f, int fd)
{
	int i = fd - SOCK_FAKE_FD_BASE;

	if (i < 0 || i >= SOCK_FAKE_FDS_MAX || !f->sockets[i].used) {
		f->n_bad_calls++;
		return NULL;
	}
	return &f->sockets[i];
}

struct fake_socket *fake_socket_new(struct sock_fake *f, int family, enum fake_kind kind)
{
	for (int i = 0; i < SOCK_FAKE_FDS_MAX; i++) {
		struct fake_socket *s = &f->sockets[i];

		if (s->used)
			continue;
		/* The lowest free number, as always: numbers come back soon. */
		*s = (struct fake_socket){.used = true,
			.fd = SOCK_FAKE_FD_BASE + i,
			.family = family,
			.kind = kind,
			.ttl = 64,
			.peek_off = -1};
		f->n_open++;
		f->n_open_max = MAX(f->n_open_max, f->n_open);
		return s;
	}
	return NULL;
}

void fake_release(struct sock_fake *f, struct fake_socket *s)
{
	fake_udp_free(s);
	for (unsigned int i = 0; i < f->n_ready; i++)
		if (f->ready[i] == s->fd) {
			f->ready[i] = f->ready[--f->n_ready];
			break;
		}
	s->used = false;
	f->n_open--;
}

static uint32_t poll_of(struct fake_socket *s)
{
	switch (s->kind) {
	case FAKE_TCP:
		return fake_tcp_poll(s);
	case FAKE_LISTEN:
		return s->n_pending ? EPOLLIN : 0;
	default:
		return fake_udp_poll(s);
	}
}

void fake_wake(struct sock_fake *f, struct fake_socket *s, uint32_t events)
{
	if (!s || !s->watched || s->queued)
		return;
	if (!(events & (s->events | EPOLLERR | EPOLLHUP)))
		return;
	s->queued = true;
	f->ready[f->n_ready++] = s->fd;
}

struct fake_event {
	int source;
	uint32_t arg, events;
};

static bool deliver_events(struct sock_fake *f)
{
	static struct fake_event batch[SOCK_FAKE_FDS_MAX];
	unsigned int n = 0, n_ready = f->n_ready;
	int again[64];
	unsigned int n_again = 0;

	for (unsigned int i = 0; i < n_ready; i++) {
		struct fake_socket *s = &f->sockets[f->ready[i] - SOCK_FAKE_FD_BASE];
		uint32_t events = poll_of(s) & (s->events | EPOLLERR | EPOLLHUP);

		s->queued = false;
		if (!events)
			continue;
		batch[n++] = (struct fake_event){s->source, s->arg, events};
		if (!(s->events & EPOLLET) && n_again < ARRAY_SIZE(again))
			again[n_again++] = s->fd;
	}
	f->n_ready = 0;
	for (unsigned int i = 0; i < n_again; i++) {
		f->sockets[again[i] - SOCK_FAKE_FD_BASE].queued = true;
		f->ready[f->n_ready++] = again[i];
	}
	for (unsigned int i = 0; i < n; i++) {
		f->n_events++;
		loop_dispatch(f->c.loop, batch[i].source, batch[i].arg, batch[i].events);
	}
	return n > 0;
}

bool sock_fake_run(struct sock_fake *f)
{
	bool any = false;

	for (struct fake_conn *c = f->conns; c; c = c->next)
		any |= fake_tcp_run(f, c);
	return deliver_events(f) || any;
}

uint64_t sock_fake_next_ms(struct sock_fake *f)
{
	uint64_t next_ms = f->n_ready ? f->sim->now_ms : UINT64_MAX;

	for (struct fake_conn *c = f->conns; c; c = c->next) {
		uint64_t at_ms = fake_tcp_next_ms(f, c);

		next_ms = MIN(next_ms, at_ms);
	}
	return next_ms;
}

/* Each operation counts as a system call. */
static struct fake_socket *call(void *ctx, int fd)
{
	struct sock_fake *f = ctx;

	f->n_calls++;
	return sock_fake_get(f, fd);
}

static int op_open(void *ctx, int family, int type, int proto)
{
	struct sock_fake *f = ctx;
	enum fake_kind kind = type == SOCK_STREAM ? FAKE_TCP : proto == IPPROTO_ICMP ? FAKE_PING : FAKE_UDP;

	f->n_calls++;
	if (f->fail_open)
		return f->fail_open;
	if (kind == FAKE_PING && f->c.no_ping)
		return -EACCES;
	struct fake_socket *s = fake_socket_new(f, family, kind);
	return s ? s->fd : -EMFILE;
}

static int op_bind(void *ctx, int fd, const struct sockaddr *sa, socklen_t n)
{
	struct fake_socket *s = call(ctx, fd);

	if (!s)
		return -EBADF;
	memcpy(&s->local, sa, MIN((size_t)n, sizeof(s->local)));
	if (s->family == AF_INET && s->local.in4.sin_addr.s_addr != ((struct sock_fake *)ctx)->c.addr_be &&
			ntohl(s->local.in4.sin_addr.s_addr) >> 24 != 127 && s->local.in4.sin_addr.s_addr != INADDR_ANY)
		return -EADDRNOTAVAIL;
	s->bound = true;
	return 0;
}

static int op_connect(void *ctx, int fd, const struct sockaddr *sa, socklen_t n)
{
	struct sock_fake *f = ctx;
	struct fake_socket *s = call(ctx, fd);

	if (!s)
		return -EBADF;
	if (s->kind == FAKE_TCP)
		return fake_tcp_connect(f, s, sa, n);
	memcpy(&s->peer, sa, MIN((size_t)n, sizeof(s->peer)));
	s->connected = true;
	if (!s->bound) {
		struct ip_addr host = ip_addr_from4(f->c.addr_be);

		(void)sock_addr_set(&s->local, &host, f->next_port++);
		s->bound = true;
	}
	return 0;
}

static int op_accept(void *ctx, int fd, struct sockaddr *ret, socklen_t *n)
{
	struct fake_socket *s = call(ctx, fd);

	return !s ? -EBADF : s->kind != FAKE_LISTEN ? -EINVAL : fake_tcp_accept(ctx, s, ret, n);
}

static int op_getsockname(void *ctx, int fd, struct sockaddr *ret, socklen_t *n)
{
	struct fake_socket *s = call(ctx, fd);

	if (!s)
		return -EBADF;
	memcpy(ret, &s->local, MIN((size_t)*n, sizeof(s->local)));
	*n = sizeof(struct sockaddr_in);
	return 0;
}

static int set_socket_option(struct sock_fake *f, struct fake_socket *s, int name, const void *value, int v)
{
	const struct linger *linger = value;

	switch (name) {
	case SO_PEEK_OFF:
		if (f->c.no_peek_off)
			return -EOPNOTSUPP;
		s->peek_off = v;
		if (s->conn) {
			f->n_peek_off_set++;
			s->conn->peek_off = v;
		}
		return 0;
	case SO_LINGER:
		s->linger0 = linger->l_onoff && !linger->l_linger;
		return 0;
	case SO_OOBINLINE:
		s->oobinline = v;
		return 0;
	case SO_KEEPALIVE:
		s->keepalive = v;
		return 0;
	case SO_REUSEADDR:
	case SO_RCVLOWAT:
		return 0;
	case SO_SNDBUF:
	case SO_RCVBUF:
		sim_fail(f->sim, "a buffer size was set: that ends the kernel's own tuning");
	default:
		return -ENOPROTOOPT;
	}
}

static int op_setsockopt(void *ctx, int fd, int level, int name, const void *value, socklen_t n)
{
	struct sock_fake *f = ctx;
	struct fake_socket *s = call(ctx, fd);
	int v = 0;

	if (!s)
		return -EBADF;
	if (n < sizeof(v))
		return -EINVAL;
	memcpy(&v, value, sizeof(v));
	if (level == SOL_SOCKET)
		return set_socket_option(f, s, name, value, v);
	if (level == IPPROTO_TCP && s->kind == FAKE_TCP) {
		s->nodelay |= name == TCP_NODELAY && v;
		return 0;
	}
	if (level == IPPROTO_UDP && s->kind == FAKE_UDP) {
		if (name == UDP_SEGMENT)
			return f->c.no_udp_segment ? -ENOPROTOOPT : 0;
		s->gro = v;
		return 0;
	}
	if (level != IPPROTO_IP && level != IPPROTO_IPV6)
		return -ENOPROTOOPT;
	if (level == IPPROTO_IP && name == IP_TTL)
		s->ttl = v < 0 ? 64 : v;
	else if (level == IPPROTO_IP && name == IP_TOS)
		s->tos = v;
	else if (level == IPPROTO_IP && name == IP_RECVERR)
		s->recverr = v;
	else if (level == IPPROTO_IP && name == IP_PKTINFO)
		s->pktinfo = v;
	return 0;
}

static int op_getsockopt(void *ctx, int fd, int level, int name, void *ret, socklen_t *n)
{
	struct fake_socket *s = call(ctx, fd);

	if (!s)
		return -EBADF;
	if (s->kind == FAKE_TCP)
		return fake_tcp_getsockopt(s, level, name, ret, n);
	if (level != SOL_SOCKET || name != SO_ERROR || *n < sizeof(int))
		return -ENOPROTOOPT;
	memcpy(ret, &s->error, sizeof(int));
	s->error = 0;
	return 0;
}

static ssize_t op_sendmsg(void *ctx, int fd, const struct msghdr *m, int flags)
{
	struct sock_fake *f = ctx;
	struct fake_socket *s = call(ctx, fd);

	if (!s)
		return -EBADF;
	f->n_send++;
	return s->kind == FAKE_TCP ? fake_tcp_send(f, s, m) : fake_udp_send(f, s, m);
}

static ssize_t op_recvmsg(void *ctx, int fd, struct msghdr *m, int flags)
{
	struct sock_fake *f = ctx;
	struct fake_socket *s = call(ctx, fd);

	if (!s)
		return -EBADF;
	f->n_recv++;
	return s->kind == FAKE_TCP ? fake_tcp_recv(f, s, m, flags) : fake_udp_recv(f, s, m, flags);
}

static int op_recvmmsg(void *ctx, int fd, struct mmsghdr *m, unsigned int n, int flags)
{
	struct sock_fake *f = ctx;
	struct fake_socket *s = call(ctx, fd);
	unsigned int i = 0;

	if (!s)
		return -EBADF;
	f->n_recv++;
	for (; i < n; i++) {
		ssize_t r = fake_udp_recv(f, s, &m[i].msg_hdr, flags);

		if (r < 0)
			return i ? (int)i : (int)r;
		m[i].msg_len = (unsigned int)r;
	}
	return (int)i;
}

static int op_shutdown(void *ctx, int fd, int how)
{
	struct fake_socket *s = call(ctx, fd);

	return s && s->kind == FAKE_TCP ? fake_tcp_shutdown(ctx, s, how) : -EBADF;
}

static int op_close(void *ctx, int fd)
{
	struct sock_fake *f = ctx;
	struct fake_socket *s = call(ctx, fd);

	if (!s)
		return -EBADF;
	if (s->kind == FAKE_TCP)
		fake_tcp_close(f, s);
	fake_release(f, s);
	return 0;
}

static int op_rewatch(void *ctx, int fd, uint32_t events, int source, uint32_t arg)
{
	struct sock_fake *f = ctx;
	struct fake_socket *s = call(ctx, fd);

	if (!s)
		return -EBADF;
	if (!s->watched)
		return -ENOENT;
	s->events = events;
	s->source = source;
	s->arg = arg;
	fake_wake(f, s, poll_of(s));
	return 0;
}

static int op_watch(void *ctx, int fd, uint32_t events, int source, uint32_t arg)
{
	struct fake_socket *s = sock_fake_get(ctx, fd);

	if (!s)
		return -EBADF;
	if (s->watched)
		return -EEXIST;
	s->watched = true;
	return op_rewatch(ctx, fd, events, source, arg);
}

static const struct sock_ops fake_ops = {
	.open = op_open,
	.bind = op_bind,
	.connect = op_connect,
	.accept = op_accept,
	.getsockname = op_getsockname,
	.setsockopt = op_setsockopt,
	.getsockopt = op_getsockopt,
	.sendmsg = op_sendmsg,
	.recvmsg = op_recvmsg,
	.recvmmsg = op_recvmmsg,
	.shutdown = op_shutdown,
	.close = op_close,
	.watch = op_watch,
	.rewatch = op_rewatch,
};

struct sock_host sock_fake_host(struct sock_fake *f)
{
	return (struct sock_host){.ops = &fake_ops, .ctx = f};
}

static int bound_socket(struct sock_fake *f, enum fake_kind kind, uint16_t port)
{
	struct fake_socket *s = fake_socket_new(f, AF_INET, kind);
	struct ip_addr any = ip_addr_from4(0);

	if (!s)
		return -EMFILE;
	(void)sock_addr_set(&s->local, &any, port);
	s->bound = true;
	return s->fd;
}

int sock_fake_listen(struct sock_fake *f, uint16_t port)
{
	return bound_socket(f, FAKE_LISTEN, port);
}

int sock_fake_bind_udp(struct sock_fake *f, uint16_t port)
{
	return bound_socket(f, FAKE_UDP, port);
}

uint64_t sock_fake_held_bytes(const struct sock_fake *f)
{
	uint64_t n = 0;

	for (const struct fake_conn *c = f->conns; c; c = c->next)
		if (c->state != FAKE_DEAD)
			n += (c->up_written - c->up_arrived) + (c->down_arrived - c->down_read);
	return n;
}
