/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP of the simulated host. See sock_fake.h. */
#include "sock_fake_internal.h"

#include <linux/sock_diag.h>
#include <linux/tcp.h>

#define BUFFER_BYTES (256u * 1024)
#define ALL_EVENTS   (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLERR | EPOLLHUP)

static struct fake_conn *conn_new(struct sock_fake *f, const struct fake_plan *plan)
{
	struct fake_conn *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->plan = *plan;
	if (!c->plan.sndbuf_bytes)
		c->plan.sndbuf_bytes = BUFFER_BYTES;
	if (!c->plan.rcvbuf_bytes)
		c->plan.rcvbuf_bytes = BUFFER_BYTES;
	if (!c->plan.far_rcvbuf_bytes)
		c->plan.far_rcvbuf_bytes = BUFFER_BYTES;
	c->up_last = &c->up;
	c->down_last = &c->down;
	c->peek_off = -1;
	c->next = f->conns;
	f->conns = c;
	return c;
}

static void flights_free(struct fake_flight **first, struct fake_flight ***last)
{
	struct fake_flight *next;

	for (struct fake_flight *e = *first; e; e = next) {
		next = e->next;
		free(e);
	}
	*first = NULL;
	*last = first;
}

void fake_tcp_free(struct fake_conn *c)
{
	flights_free(&c->up, &c->up_last);
	flights_free(&c->down, &c->down_last);
	free(c);
}

static void fly(struct sock_fake *f, struct fake_conn *c, struct fake_flight ***last, struct fake_flight what)
{
	struct fake_flight *e = malloc(sizeof(*e));

	if (!e)
		abort();
	*e = what;
	e->next = NULL;
	e->due_ms = f->sim->now_ms + c->plan.delay_ms;
	**last = e;
	*last = &e->next;
}

static bool land(
	struct sock_fake *f, struct fake_flight **first, struct fake_flight ***last, struct fake_flight *ret)
{
	struct fake_flight *e = *first;

	if (!e || e->due_ms > f->sim->now_ms)
		return false;
	*ret = *e;
	*first = e->next;
	if (!*first)
		*last = first;
	free(e);
	return true;
}

static uint64_t unacked(const struct fake_conn *c)
{
	/* tcp_reset() empties the write queue. */
	return c->state == FAKE_DEAD ? 0 : c->up_written - c->up_arrived;
}

/* sk_stream_is_writeable() */
static bool writable(const struct fake_conn *c)
{
	uint64_t used = unacked(c);

	return !c->nospace_due_ms && used + used / 2 <= c->plan.sndbuf_bytes;
}

uint32_t fake_tcp_poll(struct fake_socket *s)
{
	struct fake_conn *c = s->conn;
	uint32_t events = 0;

	if (!c)
		return EPOLLOUT | EPOLLHUP;
	if (c->state == FAKE_CONNECTING)
		return 0;
	if (c->state == FAKE_DEAD || (c->rd_shut && c->wr_shut))
		events |= EPOLLHUP;
	if (c->state == FAKE_DEAD || c->rd_shut)
		events |= EPOLLIN | EPOLLRDHUP;
	if (c->down_arrived > c->down_read)
		events |= EPOLLIN;
	if (c->state == FAKE_DEAD || c->wr_shut || writable(c))
		events |= EPOLLOUT;
	else
		c->nospace = true;
	if (c->error)
		events |= EPOLLERR;
	return events;
}

static void die(struct sock_fake *f, struct fake_conn *c, int error)
{
	c->state = FAKE_DEAD;
	c->error = error;
	c->n_lost_bytes = c->up_written - c->up_arrived;
	fake_wake(f, c->s, ALL_EVENTS);
}

static int outcome_error(enum fake_outcome o)
{
	static const int errors[FAKE_OUTCOME_MAX] = {
		[FAKE_REFUSED] = ECONNREFUSED,
		[FAKE_UNREACHABLE] = EHOSTUNREACH,
		[FAKE_TIMED_OUT] = ETIMEDOUT,
		[FAKE_NO_ROUTE] = ENETUNREACH,
		[FAKE_NO_PORT] = EADDRNOTAVAIL,
	};

	return errors[o];
}

static void open_conn(struct sock_fake *f, struct fake_conn *c)
{
	c->state = FAKE_OPEN;
	app_start(&c->app, &c->plan.app, f->sim->now_ms);
}

int fake_tcp_connect(struct sock_fake *f, struct fake_socket *s, const struct sockaddr *sa, socklen_t n)
{
	struct fake_plan plan = {};
	union sock_addr to = {};

	if (s->conn)
		return s->conn->state == FAKE_CONNECTING ? -EALREADY : -EISCONN;
	if (!s->nodelay || !s->oobinline)
		sim_fail(f->sim, "connect() without TCP_NODELAY and SO_OOBINLINE");
	memcpy(&to, sa, MIN((size_t)n, sizeof(to)));
	if (f->c.plan)
		f->c.plan(f->c.ctx, &to, &plan);
	int error = outcome_error(plan.outcome);
	if (plan.outcome == FAKE_NO_ROUTE || plan.outcome == FAKE_NO_PORT)
		return -error;
	struct fake_conn *c = conn_new(f, &plan);
	struct ip_addr host = ip_addr_from4(f->c.addr_be);
	(void)sock_addr_set(&s->local, &host, f->next_port++);
	c->to = s->peer = to;
	c->s = s;
	c->peek_off = s->peek_off;
	s->conn = c;
	if (plan.connect_ms) {
		c->state = FAKE_CONNECTING;
		c->connect_due_ms = f->sim->now_ms + plan.connect_ms;
		return -EINPROGRESS;
	}
	if (error) {
		c->state = FAKE_DEAD;
		return -error;
	}
	open_conn(f, c);
	return 0;
}

struct fake_conn *sock_fake_dial(struct sock_fake *f, int listen_fd, uint32_t from_be, uint16_t from_port,
	const struct fake_plan *plan)
{
	struct fake_socket *s = sock_fake_get(f, listen_fd);
	struct ip_addr from = ip_addr_from4(from_be);

	if (!s || s->kind != FAKE_LISTEN || s->n_pending == ARRAY_SIZE(s->pending))
		return NULL;
	struct fake_conn *c = conn_new(f, plan);

	c->inbound = true;
	(void)sock_addr_set(&c->to, &from, from_port);
	open_conn(f, c);
	s->pending[s->n_pending++] = c;
	fake_wake(f, s, EPOLLIN);
	return c;
}

int fake_tcp_accept(struct sock_fake *f, struct fake_socket *s, struct sockaddr *ret, socklen_t *n)
{
	if (!s->n_pending)
		return -EAGAIN;
	if (f->fail_open)
		return f->fail_open;
	struct fake_socket *a = fake_socket_new(f, s->family, FAKE_TCP);
	if (!a)
		return -EMFILE;
	struct fake_conn *c = s->pending[0];

	memmove(s->pending, s->pending + 1, --s->n_pending * sizeof(s->pending[0]));
	a->conn = c;
	a->peer = c->to;
	a->local = s->local;
	c->s = a;
	memcpy(ret, &c->to, MIN((size_t)*n, sizeof(c->to)));
	*n = sizeof(struct sockaddr_in);
	return a->fd;
}

/* Not -1: what the call answers at once, in place of its work. */
static int take_error(struct fake_conn *c)
{
	int error = c->error;

	c->error = 0;
	return -error;
}

static ssize_t no_space(struct fake_conn *c)
{
	c->nospace = true;
	return -EAGAIN;
}

/* How much of n bytes is taken now; a cut that the plan wants looks like memory that ran out. */
static size_t send_room(struct sock_fake *f, struct fake_conn *c, size_t n)
{
	struct rng *r = &f->sim->rng;
	uint64_t used = unacked(c);
	size_t room = used < c->plan.sndbuf_bytes ? (size_t)MIN((uint64_t)n, c->plan.sndbuf_bytes - used) : 0;

	if (c->nospace_due_ms)
		return 0;
	if (room && rng_chance(r, c->plan.again))
		room = 0;
	else if (room > 1 && rng_chance(r, c->plan.partial))
		room = 1 + rng_below(r, (uint32_t)room - 1);
	else
		return room;
	c->nospace_due_ms = f->sim->now_ms + 1 + rng_below(r, 5);
	return room;
}

static void check_sent(struct sock_fake *f, struct fake_conn *c, const struct msghdr *m, size_t n)
{
	uint64_t at = c->up_written;

	if (f->c.sent) {
		f->c.sent(f->c.ctx, c, m, n);
		return;
	}
	for (size_t i = 0; i < m->msg_iovlen && n; i++) {
		size_t take = MIN(m->msg_iov[i].iov_len, n);
		size_t right = stream_match(c->app.c.recv_seed, at, m->msg_iov[i].iov_base, take);

		sim_check(f->sim, right == take, "the host was sent a wrong byte at %llu",
			(unsigned long long)(at + right));
		at += take;
		n -= take;
	}
}

static size_t iov_bytes(const struct msghdr *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->msg_iovlen; i++)
		n += m->msg_iov[i].iov_len;
	return n;
}

ssize_t fake_tcp_send(struct sock_fake *f, struct fake_socket *s, const struct msghdr *m)
{
	struct fake_conn *c = s->conn;
	size_t want = iov_bytes(m);

	if (!c)
		return -EPIPE;
	if (c->error)
		return take_error(c);
	if (c->wr_shut || c->state == FAKE_DEAD)
		return -EPIPE;
	if (c->state == FAKE_CONNECTING)
		return no_space(c);
	size_t n = send_room(f, c, want);
	if (n < want)
		c->nospace = true;
	if (!n && want)
		return -EAGAIN;
	check_sent(f, c, m, n);
	c->up_written += n;
	return (ssize_t)n;
}

static void fill(struct fake_conn *c, struct msghdr *m, uint64_t at, size_t n)
{
	for (size_t i = 0; i < m->msg_iovlen && n; i++) {
		size_t take = MIN(m->msg_iov[i].iov_len, n);

		stream_fill(app_seed_of_sent(&c->app), at, m->msg_iov[i].iov_base, take);
		at += take;
		n -= take;
	}
}

ssize_t fake_tcp_recv(struct sock_fake *f, struct fake_socket *s, struct msghdr *m, int flags)
{
	struct fake_conn *c = s->conn;

	if (!c || c->state == FAKE_CONNECTING)
		return c ? -EAGAIN : -ENOTCONN;
	uint64_t held = c->down_arrived - c->down_read;
	uint64_t offset = flags & MSG_PEEK && c->peek_off > 0 ? (uint64_t)c->peek_off : 0;
	size_t n = iov_bytes(m);

	if (!n)
		return 0;
	if (offset >= held) {
		if (c->down_fin_arrived)
			return 0;
		if (c->error)
			return take_error(c);
		return c->rd_shut || c->state == FAKE_DEAD ? 0 : -EAGAIN;
	}
	n = (size_t)MIN((uint64_t)n, held - offset);
	if (!(flags & MSG_TRUNC))
		fill(c, m, c->down_read + offset, n);
	if (flags & MSG_PEEK) {
		f->n_peek++;
		f->n_peeked_bytes += n;
		if (c->peek_off >= 0)
			c->peek_off += (int64_t)n;
		return (ssize_t)n;
	}
	f->n_discard++;
	*(flags & MSG_TRUNC ? &f->n_discarded_bytes : &f->n_read_bytes) += n;
	c->down_read += n;
	if (c->peek_off >= 0)
		c->peek_off = MAX(c->peek_off - (int64_t)n, (int64_t)0);
	return (ssize_t)n;
}

int fake_tcp_shutdown(struct sock_fake *f, struct fake_socket *s, int how)
{
	struct fake_conn *c = s->conn;

	if (!c || c->state != FAKE_OPEN)
		return -ENOTCONN;
	if (how != SHUT_RD) {
		c->wr_shut = true;
		c->up_fin_wanted = true;
	}
	if (how != SHUT_WR)
		c->rd_shut = true;
	fake_wake(f, s, ALL_EVENTS);
	return 0;
}

static void send_rst(struct sock_fake *f, struct fake_conn *c)
{
	c->reset_by_us = true;
	c->state = FAKE_DEAD;
	fly(f, c, &c->up_last, (struct fake_flight){.rst = true});
}

void fake_tcp_close(struct sock_fake *f, struct fake_socket *s)
{
	struct fake_conn *c = s->conn;

	for (unsigned int i = 0; i < s->n_pending; i++)
		send_rst(f, s->pending[i]);
	if (!c)
		return;
	c->s = NULL;
	c->orphan = true;
	if (c->state == FAKE_CONNECTING) {
		c->state = FAKE_DEAD;
	} else if (c->state == FAKE_OPEN) {
		c->closed_unread = c->down_arrived > c->down_read;
		if (s->linger0 || c->closed_unread)
			send_rst(f, c);
		else
			c->up_fin_wanted = c->wr_shut = true;
	}
}

static int put(void *ret, socklen_t *n, const void *value, size_t n_value)
{
	memcpy(ret, value, MIN((size_t)*n, n_value));
	*n = MIN(*n, (socklen_t)n_value);
	return 0;
}

static uint64_t far_window(const struct fake_conn *c)
{
	uint64_t held = c->up_sent - c->app.n_received;

	return held < c->plan.far_rcvbuf_bytes ? c->plan.far_rcvbuf_bytes - held : 0;
}

int fake_tcp_getsockopt(struct fake_socket *s, int level, int name, void *ret, socklen_t *n)
{
	struct fake_conn *c = s->conn;
	struct tcp_info info = {
		.tcpi_state = 1, .tcpi_snd_mss = 1448, .tcpi_rcv_mss = 1448, .tcpi_snd_cwnd = 10};
	uint32_t mem[SK_MEMINFO_VARS] = {
		[SK_MEMINFO_SNDBUF] = BUFFER_BYTES, [SK_MEMINFO_RCVBUF] = BUFFER_BYTES};

	if (level == SOL_SOCKET && name == SO_ERROR) {
		int error = c ? -take_error(c) : 0;

		return put(ret, n, &error, sizeof(error));
	}
	if (!c)
		return -ENOTCONN;
	if (level == SOL_SOCKET && name == SO_MEMINFO) {
		mem[SK_MEMINFO_SNDBUF] = c->plan.sndbuf_bytes;
		mem[SK_MEMINFO_RCVBUF] = c->plan.rcvbuf_bytes;
		mem[SK_MEMINFO_WMEM_QUEUED] = mem[SK_MEMINFO_WMEM_ALLOC] = (uint32_t)unacked(c);
		mem[SK_MEMINFO_RMEM_ALLOC] = (uint32_t)(c->down_arrived - c->down_read);
		return put(ret, n, mem, sizeof(mem));
	}
	if (level == IPPROTO_TCP && name == TCP_INFO) {
		uint64_t window = far_window(c);

		info.tcpi_snd_wnd = (uint32_t)(window + c->up_sent - c->up_arrived);
		info.tcpi_unacked = (uint32_t)((c->up_sent - c->up_arrived + 1447) / 1448);
		info.tcpi_notsent_bytes = (uint32_t)(c->up_written - c->up_sent);
		info.tcpi_bytes_acked = c->up_arrived;
		info.tcpi_bytes_received = c->down_arrived;
		info.tcpi_rtt = 2000 * c->plan.delay_ms;
		return put(ret, n, &info, sizeof(info));
	}
	return -ENOPROTOOPT;
}

/* What arrives at the application's end. */
static bool land_up(struct sock_fake *f, struct fake_conn *c)
{
	struct fake_flight e;

	if (!land(f, &c->up, &c->up_last, &e))
		return false;
	if (c->reset_by_far)
		return true;
	c->up_arrived += e.n_bytes;
	if (e.fin)
		c->up_fin_arrived = true;
	if (e.rst) {
		c->n_lost_bytes = c->up_written - c->up_arrived;
		app_error(&c->app, ECONNRESET);
	}
	return true;
}

/* What arrives at the gateway's socket. */
static bool land_down(struct sock_fake *f, struct fake_conn *c)
{
	struct fake_flight e;

	if (!land(f, &c->down, &c->down_last, &e))
		return false;
	if (c->state == FAKE_DEAD)
		return true;
	if (e.rst) {
		die(f, c, c->down_fin_arrived ? EPIPE : ECONNRESET);
	} else if (c->orphan && e.n_bytes) {
		send_rst(f, c); /* data that nobody will ever read */
	} else {
		c->down_arrived += e.n_bytes;
		if (e.fin)
			c->down_fin_arrived = c->rd_shut = true;
		fake_wake(f, c->s, e.fin ? EPOLLIN | EPOLLRDHUP | (c->wr_shut ? EPOLLHUP : 0u) : EPOLLIN);
	}
	return true;
}

static bool run_app(struct sock_fake *f, struct fake_conn *c)
{
	struct app *a = &c->app;
	uint64_t now_ms = f->sim->now_ms;
	uint64_t n = MIN(c->up_arrived - a->n_received, app_recv_room(a, now_ms));
	bool any = n > 0;

	if (n)
		app_received(a, n, now_ms);
	if (c->up_fin_arrived && a->n_received == c->up_arrived && !a->fin_received) {
		app_fin(a, now_ms);
		any = true;
	}
	if (app_wants_rst(a, now_ms)) {
		a->reset_sent = c->reset_by_far = true;
		fly(f, c, &c->down_last, (struct fake_flight){.rst = true});
		return true;
	}
	uint64_t held = c->down_sent - c->down_read;
	uint64_t room = held < c->plan.rcvbuf_bytes ? c->plan.rcvbuf_bytes - held : 0;
	n = MIN(room, app_send_room(a, now_ms));
	if (n) {
		c->down_sent += n;
		app_sent(a, n, now_ms);
		fly(f, c, &c->down_last, (struct fake_flight){.n_bytes = n});
		any = true;
	}
	if (app_wants_fin(a, now_ms)) {
		a->fin_sent = c->down_fin_sent = true;
		fly(f, c, &c->down_last, (struct fake_flight){.fin = true});
		any = true;
	}
	return any;
}

static bool send_up(struct sock_fake *f, struct fake_conn *c)
{
	uint64_t n = MIN(c->up_written - c->up_sent, far_window(c));

	if (n) {
		c->up_sent += n;
		fly(f, c, &c->up_last, (struct fake_flight){.n_bytes = n});
		return true;
	}
	if (c->up_fin_wanted && !c->up_fin_sent && c->up_sent == c->up_written) {
		c->up_fin_sent = true;
		fly(f, c, &c->up_last, (struct fake_flight){.fin = true});
		return true;
	}
	return false;
}

static void end_connect(struct sock_fake *f, struct fake_conn *c)
{
	if (c->plan.outcome == FAKE_ACCEPTED) {
		open_conn(f, c);
		fake_wake(f, c->s, EPOLLOUT);
	} else {
		die(f, c, outcome_error(c->plan.outcome));
	}
}

bool fake_tcp_run(struct sock_fake *f, struct fake_conn *c)
{
	bool any = false, more;

	if (c->state == FAKE_CONNECTING) {
		if (f->sim->now_ms < c->connect_due_ms)
			return false;
		end_connect(f, c);
		any = true;
	}
	if (c->nospace_due_ms && f->sim->now_ms >= c->nospace_due_ms)
		c->nospace_due_ms = 0;
	do {
		more = land_up(f, c);
		if (!c->reset_by_far)
			more |= run_app(f, c);
		if (c->state == FAKE_OPEN)
			more |= send_up(f, c);
		more |= land_down(f, c);
		any |= more;
	} while (more);
	if (c->nospace && c->state == FAKE_OPEN && !c->wr_shut && writable(c)) {
		c->nospace = false;
		fake_wake(f, c->s, EPOLLOUT);
	}
	return any;
}

uint64_t fake_tcp_next_ms(struct sock_fake *f, struct fake_conn *c)
{
	uint64_t next_ms = UINT64_MAX, at_ms;

	if (c->state == FAKE_CONNECTING)
		return c->connect_due_ms;
	if (c->up)
		next_ms = MIN(next_ms, c->up->due_ms);
	if (c->down)
		next_ms = MIN(next_ms, c->down->due_ms);
	if (c->nospace_due_ms)
		next_ms = MIN(next_ms, c->nospace_due_ms);
	if (!c->reset_by_far) {
		at_ms = app_next_ms(&c->app, f->sim->now_ms, c->up_arrived - c->app.n_received);
		next_ms = MIN(next_ms, at_ms);
	}
	return next_ms;
}
