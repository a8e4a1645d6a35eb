/* SPDX-License-Identifier: BSD-2-Clause */
#include "msg.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>

#include "cursor.h"

/* Whether a message of the type brings a descriptor. That of MSG_ADD_PORT depends on the port's kind. */
enum fd_rule { FD_NEVER, FD_ALWAYS, FD_BY_KIND };

static const enum fd_rule fd_rules[] = {
	[MSG_ADD_PORT] = FD_BY_KIND,
	[MSG_ATTACH_PORT] = FD_ALWAYS,
	[MSG_DEL_PORT] = FD_NEVER,
	[MSG_ADD_FORWARD] = FD_ALWAYS,
	[MSG_DEL_FORWARD] = FD_NEVER,
	[MSG_SET_RESOLVERS] = FD_NEVER,
	[MSG_START] = FD_NEVER,
	[MSG_GET_STATS] = FD_NEVER,
	[MSG_GET_FLOWS] = FD_NEVER,
	[MSG_QUIT] = FD_NEVER,
	[MSG_READY] = FD_NEVER,
	[MSG_PORT_CLOSED] = FD_NEVER,
	[MSG_STATS] = FD_NEVER,
	[MSG_FLOWS] = FD_NEVER,
	[MSG_WARNING] = FD_NEVER,
};
static_assert(ARRAY_SIZE(fd_rules) == MSG_TYPE_MAX, "every type has a rule");

static bool wants_fd(const struct msg *m)
{
	if (fd_rules[m->type] == FD_BY_KIND)
		return !msg_port_is_dialled(m->port.kind);
	return fd_rules[m->type] == FD_ALWAYS;
}

static bool is_printable(char c)
{
	return c >= ' ' && c <= '~';
}

static bool name_is_ok(const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_printable(name[i]))
			return false;
	return n < MSG_PORT_NAME_BYTES;
}

static bool port_is_ok(const struct msg_port *p)
{
	return p->id < MSG_PORT_ID_MAX && p->kind < MSG_PORT_KIND_MAX &&
	       name_is_ok(p->name, strnlen(p->name, MSG_PORT_NAME_BYTES));
}

static bool forward_is_ok(const struct msg_forward *f)
{
	return (f->proto == IPPROTO_TCP || f->proto == IPPROTO_UDP) && f->guest_port != 0 && f->id < MSG_FORWARD_ID_MAX;
}

static bool parse_port(struct rd *r, struct msg_port *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->id = rd_u8(r);
	ret->kind = rd_u8(r);
	size_t n = rd_u8(r);
	const uint8_t *name = rd_bytes(r, n);

	if (r->bad || !name_is_ok((const char *)name, n))
		return false;
	memcpy(ret->name, name, n);
	return port_is_ok(ret);
}

static void emit_port(struct wr *w, const struct msg_port *p)
{
	size_t n = strnlen(p->name, MSG_PORT_NAME_BYTES - 1);

	wr_u8(w, p->id);
	wr_u8(w, (uint8_t)p->kind);
	wr_u8(w, (uint8_t)n);
	wr_copy(w, p->name, n);
}

static bool parse_forward(struct rd *r, struct msg_forward *ret)
{
	ret->id = rd_u16(r);
	ret->proto = rd_u8(r);
	rd_copy(r, &ret->guest_be, sizeof(ret->guest_be));
	ret->guest_port = rd_u16(r);
	return !r->bad && forward_is_ok(ret);
}

static void emit_forward(struct wr *w, const struct msg_forward *f)
{
	wr_u16(w, f->id);
	wr_u8(w, f->proto);
	wr_copy(w, &f->guest_be, sizeof(f->guest_be));
	wr_u16(w, f->guest_port);
}

/* An address is its family as 4 or 6, the bytes, the port; IPv6 also the interface's number. */
static bool parse_sock_addr(struct rd *r, union sock_addr *ret)
{
	uint8_t family = rd_u8(r);

	memset(ret, 0, sizeof(*ret));
	if (family == 4) {
		ret->in4.sin_family = AF_INET;
		rd_copy(r, &ret->in4.sin_addr, sizeof(ret->in4.sin_addr));
		ret->in4.sin_port = htons(rd_u16(r));
		return true;
	}
	if (family == 6) {
		ret->in6.sin6_family = AF_INET6;
		rd_copy(r, &ret->in6.sin6_addr, sizeof(ret->in6.sin6_addr));
		ret->in6.sin6_port = htons(rd_u16(r));
		ret->in6.sin6_scope_id = rd_u32(r);
		return true;
	}
	return false;
}

static void emit_sock_addr(struct wr *w, const union sock_addr *a)
{
	if (a->sa.sa_family == AF_INET) {
		wr_u8(w, 4);
		wr_copy(w, &a->in4.sin_addr, sizeof(a->in4.sin_addr));
		wr_u16(w, ntohs(a->in4.sin_port));
	} else if (a->sa.sa_family == AF_INET6) {
		wr_u8(w, 6);
		wr_copy(w, &a->in6.sin6_addr, sizeof(a->in6.sin6_addr));
		wr_u16(w, ntohs(a->in6.sin6_port));
		wr_u32(w, a->in6.sin6_scope_id);
	} else {
		w->bad = true;
	}
}

static bool parse_resolvers(struct rd *r, struct msg_resolvers *ret)
{
	ret->n = rd_u8(r);
	if (ret->n > MSG_RESOLVERS_MAX)
		return false;
	for (unsigned int i = 0; i < ret->n; i++)
		if (!parse_sock_addr(r, &ret->a[i]))
			return false;
	return true;
}

static void emit_resolvers(struct wr *w, const struct msg_resolvers *s)
{
	if (s->n > MSG_RESOLVERS_MAX) {
		w->bad = true;
		return;
	}
	wr_u8(w, (uint8_t)s->n);
	for (unsigned int i = 0; i < s->n; i++)
		emit_sock_addr(w, &s->a[i]);
}

static bool parse_closed(struct rd *r, struct msg_closed *ret)
{
	ret->id = rd_u8(r);
	uint8_t final = rd_u8(r);
	ret->final = final != 0;
	ret->error = -(int32_t)rd_u16(r);
	return final <= 1 && ret->id < MSG_PORT_ID_MAX;
}

static void emit_closed(struct wr *w, const struct msg_closed *c)
{
	wr_u8(w, c->id);
	wr_u8(w, c->final);
	wr_u16(w, (uint16_t)-c->error);
}

static bool flow_is_ok(const struct flow_info *f)
{
	return f->kind < FLOW_INFO_KIND_MAX && f->state < FLOW_INFO_STATE_MAX && f->fd >= -1 &&
	       (f->kind == FLOW_INFO_TCP) == (f->state != FLOW_INFO_NONE);
}

static bool parse_flow(struct rd *r, struct flow_info *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->kind = rd_u8(r);
	ret->state = rd_u8(r);
	ret->fd = (int32_t)rd_u32(r);
	rd_copy(r, &ret->src, sizeof(ret->src));
	ret->src_port = rd_u16(r);
	rd_copy(r, &ret->dst, sizeof(ret->dst));
	ret->dst_port = rd_u16(r);
	ret->n_send_bytes = rd_u32(r);
	ret->expires_s = rd_u16(r);
	return !r->bad && flow_is_ok(ret);
}

static void emit_flow(struct wr *w, const struct flow_info *f)
{
	w->bad |= !flow_is_ok(f);
	wr_u8(w, (uint8_t)f->kind);
	wr_u8(w, (uint8_t)f->state);
	wr_u32(w, (uint32_t)f->fd);
	wr_copy(w, &f->src, sizeof(f->src));
	wr_u16(w, f->src_port);
	wr_copy(w, &f->dst, sizeof(f->dst));
	wr_u16(w, f->dst_port);
	wr_u32(w, f->n_send_bytes);
	wr_u16(w, f->expires_s);
}

static uint64_t parse_place(struct rd *r)
{
	uint64_t high = rd_u32(r);

	return high << 32 | rd_u32(r);
}

static void emit_place(struct wr *w, uint64_t at)
{
	wr_u32(w, (uint32_t)(at >> 32));
	wr_u32(w, (uint32_t)at);
}

static bool parse_flows(struct rd *r, struct msg_flows *ret)
{
	ret->at = parse_place(r);
	ret->n = rd_u16(r);
	if (r->bad || ret->n > MSG_FLOWS_MAX)
		return false;
	for (unsigned int i = 0; i < ret->n; i++)
		if (!parse_flow(r, &ret->v[i]))
			return false;
	return true;
}

static void emit_flows(struct wr *w, const struct msg_flows *f)
{
	if (f->n > MSG_FLOWS_MAX) {
		w->bad = true;
		return;
	}
	emit_place(w, f->at);
	wr_u16(w, (uint16_t)f->n);
	for (unsigned int i = 0; i < f->n; i++)
		emit_flow(w, &f->v[i]);
}

static bool parse_text(struct rd *r, struct msg_text *ret)
{
	if (r->left > MSG_TEXT_BYTES)
		return false;
	ret->n_bytes = r->left;
	rd_copy(r, ret->bytes, ret->n_bytes);
	ret->bytes[ret->n_bytes] = '\0';
	return true;
}

static bool parse_body(struct rd *r, struct msg *ret)
{
	switch (ret->type) {
	case MSG_ADD_PORT:
		return parse_port(r, &ret->port);
	case MSG_ATTACH_PORT:
	case MSG_DEL_PORT:
		ret->port.id = rd_u8(r);
		return ret->port.id < MSG_PORT_ID_MAX;
	case MSG_ADD_FORWARD:
		return parse_forward(r, &ret->forward);
	case MSG_DEL_FORWARD:
		ret->forward.id = rd_u16(r);
		return ret->forward.id < MSG_FORWARD_ID_MAX;
	case MSG_GET_FLOWS:
		ret->flows.at = parse_place(r);
		return true;
	case MSG_FLOWS:
		return parse_flows(r, &ret->flows);
	case MSG_SET_RESOLVERS:
		return parse_resolvers(r, &ret->resolvers);
	case MSG_PORT_CLOSED:
		return parse_closed(r, &ret->closed);
	case MSG_STATS:
	case MSG_WARNING:
		return parse_text(r, &ret->text);
	case MSG_START:
	case MSG_GET_STATS:
	case MSG_QUIT:
	case MSG_READY:
		return true;
	case MSG_TYPE_MAX:
		break;
	}
	return false;
}

int msg_parse(const void *bytes, size_t n, bool has_fd, struct msg *ret)
{
	struct rd r = rd_of(bytes, n);
	uint8_t type = rd_u8(&r);

	if (r.bad || type >= MSG_TYPE_MAX)
		return -EBADMSG;
	ret->type = type;
	if (!parse_body(&r, ret) || r.bad || r.left)
		return -EBADMSG;
	return wants_fd(ret) == has_fd ? 0 : -EBADMSG;
}

static void emit_body(struct wr *w, const struct msg *m)
{
	switch (m->type) {
	case MSG_ADD_PORT:
		w->bad |= !port_is_ok(&m->port);
		emit_port(w, &m->port);
		break;
	case MSG_ATTACH_PORT:
	case MSG_DEL_PORT:
		w->bad |= m->port.id >= MSG_PORT_ID_MAX;
		wr_u8(w, m->port.id);
		break;
	case MSG_ADD_FORWARD:
		w->bad |= !forward_is_ok(&m->forward);
		emit_forward(w, &m->forward);
		break;
	case MSG_DEL_FORWARD:
		w->bad |= m->forward.id >= MSG_FORWARD_ID_MAX;
		wr_u16(w, m->forward.id);
		break;
	case MSG_GET_FLOWS:
		emit_place(w, m->flows.at);
		break;
	case MSG_FLOWS:
		emit_flows(w, &m->flows);
		break;
	case MSG_SET_RESOLVERS:
		emit_resolvers(w, &m->resolvers);
		break;
	case MSG_PORT_CLOSED:
		emit_closed(w, &m->closed);
		break;
	case MSG_STATS:
	case MSG_WARNING:
		w->bad |= m->text.n_bytes > MSG_TEXT_BYTES;
		wr_copy(w, m->text.bytes, m->text.n_bytes);
		break;
	case MSG_START:
	case MSG_GET_STATS:
	case MSG_QUIT:
	case MSG_READY:
		break;
	case MSG_TYPE_MAX:
		w->bad = true;
		break;
	}
}

size_t msg_emit(const struct msg *m, void *ret, size_t n_room)
{
	struct wr w = wr_of(ret, n_room);

	wr_u8(&w, (uint8_t)m->type);
	emit_body(&w, m);
	return w.bad ? 0 : n_room - w.left;
}

int msg_send_raw(int sock, const void *bytes, size_t n, int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = n};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t r;

	if (fd >= 0) {
		h.msg_control = &control;
		h.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do {
		r = sendmsg(sock, &h, MSG_NOSIGNAL);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int msg_send(int sock, const struct msg *m)
{
	uint8_t bytes[MSG_MAX_BYTES];
	size_t n = m->type < MSG_TYPE_MAX ? msg_emit(m, bytes, sizeof(bytes)) : 0;

	if (!n || wants_fd(m) != (m->fd >= 0))
		return -EINVAL;
	return msg_send_raw(sock, bytes, n, m->fd);
}

/* There is room for one descriptor only: the kernel closes what does not fit and says MSG_CTRUNC. */
static int take_fd_from(struct msghdr *h)
{
	int fd = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			util_close(&fd);
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		}
	}
	return fd;
}

ssize_t msg_recv_raw(int sock, void *bytes, size_t n, int *ret_fd, int flags)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = bytes, .iov_len = n};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t got;

	if (ret_fd) {
		*ret_fd = -1;
		h.msg_control = &control;
		h.msg_controllen = sizeof(control);
	}
	do {
		got = recvmsg(sock, &h, flags | MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	_cleanup_close_ int fd = ret_fd ? take_fd_from(&h) : -1;
	if (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return -EBADMSG;
	if (ret_fd)
		*ret_fd = TAKE_FD(fd);
	return got;
}

int msg_recv(int sock, bool take_fd, struct msg *ret)
{
	uint8_t bytes[MSG_MAX_BYTES];
	_cleanup_close_ int fd = -1;
	ssize_t n = msg_recv_raw(sock, bytes, sizeof(bytes), take_fd ? &fd : NULL, MSG_DONTWAIT);

	/* The other side went with messages of ours unread. That is told first, once; its last words follow. */
	if (n == -ECONNRESET)
		n = msg_recv_raw(sock, bytes, sizeof(bytes), take_fd ? &fd : NULL, MSG_DONTWAIT);
	if (n < 0)
		return n == -ECONNRESET ? 0 : (int)n;
	if (n == 0)
		return 0;
	int r = msg_parse(bytes, (size_t)n, fd >= 0, ret);
	if (r < 0)
		return r;
	ret->fd = TAKE_FD(fd);
	return 1;
}

void msg_text_clean(struct msg_text *t)
{
	for (size_t i = 0; i < t->n_bytes; i++)
		if (t->bytes[i] != '\n' && !is_printable(t->bytes[i]))
			t->bytes[i] = '?';
	t->bytes[t->n_bytes] = '\0';
}
