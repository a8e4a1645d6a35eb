/* SPDX-License-Identifier: BSD-2-Clause */
/* UDP and ping sockets of the simulated host: whole datagrams, an error queue. */
#include "sock_fake_internal.h"

#include <linux/errqueue.h>
#include <linux/udp.h>
#include <netinet/in.h>

#define DATAGRAM_MAX 65507
#define RCVBUF_BYTES 212992 /* net.core.rmem_default */
#define SEGMENTS_MAX 64

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

static struct fake_datagram *datagram_new(const void *data, size_t n)
{
	struct fake_datagram *d = calloc(1, sizeof(*d) + n);

	if (!d)
		abort();
	d->n_bytes = n;
	if (n)
		memcpy(d->bytes, data, n);
	return d;
}

static void append(struct fake_datagram **at, struct fake_datagram *d)
{
	while (*at)
		at = &(*at)->next;
	*at = d;
}

static void list_free(struct fake_datagram **at)
{
	struct fake_datagram *next;

	for (struct fake_datagram *d = *at; d; d = next) {
		next = d->next;
		free(d);
	}
	*at = NULL;
}

void fake_udp_free(struct fake_socket *s)
{
	list_free(&s->rx);
	list_free(&s->errors);
	s->n_rx = 0;
	s->rx_bytes = 0;
}

uint32_t fake_udp_poll(const struct fake_socket *s)
{
	return EPOLLOUT | (s->rx ? EPOLLIN : 0u) | (s->errors || s->error ? EPOLLERR : 0u);
}

static void deliver(struct sock_fake *f, struct fake_socket *s, const union sock_addr *from, const void *data, size_t n,
		size_t gro_size)
{
	if (!s->used || s->rx_bytes + n > RCVBUF_BYTES)
		return;
	struct fake_datagram *d = datagram_new(data, n);

	d->gro_size = (int)gro_size;
	d->from = *from;
	d->local_be = f->c.addr_be;
	d->ttl = 60;
	append(&s->rx, d);
	s->n_rx++;
	s->rx_bytes += n;
	fake_wake(f, s, EPOLLIN);
}

void sock_fake_deliver(struct sock_fake *f, struct fake_socket *s, const union sock_addr *from, const void *data, size_t n)
{
	deliver(f, s, from, data, n, 0);
}

void sock_fake_deliver_joined(struct sock_fake *f, struct fake_socket *s, const union sock_addr *from, const void *data,
		size_t n, size_t size)
{
	if (s->gro) {
		deliver(f, s, from, data, n, size);
		return;
	}
	for (size_t at = 0; at < n; at += size)
		deliver(f, s, from, (const uint8_t *)data + at, MIN(size, n - at), 0);
}

void sock_fake_icmp_error(struct sock_fake *f, struct fake_socket *s, int error, uint8_t type, uint8_t code,
	uint32_t offender_be, const void *data, size_t n)
{
	if (!s->used)
		return;
	if (s->connected)
		s->error = error;
	if (s->recverr) {
		struct fake_datagram *d = datagram_new(data, n);

		d->from = s->peer;
		d->ee_errno = error;
		d->ee_type = type;
		d->ee_code = code;
		d->offender_be = offender_be;
		append(&s->errors, d);
	}
	fake_wake(f, s, EPOLLERR);
}

static int take_error(struct fake_socket *s)
{
	int error = s->error;

	s->error = 0;
	return -error;
}

static size_t segment_size(const struct msghdr *m)
{
	struct msghdr copy = *m;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&copy); c; c = CMSG_NXTHDR(&copy, c))
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT) {
			uint16_t size;

			memcpy(&size, CMSG_DATA(c), sizeof(size));
			return size;
		}
	return 0;
}

static ssize_t check_segments(const struct sock_fake *f, size_t n, size_t size)
{
	if (f->c.no_udp_segment)
		return -ENOPROTOOPT;
	if (size + 28 > f->c.mtu || (n + size - 1) / size > SEGMENTS_MAX)
		return -EINVAL;
	return 0;
}

ssize_t fake_udp_send(struct sock_fake *f, struct fake_socket *s, const struct msghdr *m)
{
	static uint8_t bytes[65536];
	union sock_addr to = s->peer;
	size_t n = 0, size = segment_size(m);

	if (s->error)
		return take_error(s);
	if (m->msg_namelen)
		memcpy(&to, m->msg_name, MIN((size_t)m->msg_namelen, sizeof(to)));
	else if (!s->connected)
		return -EDESTADDRREQ;
	for (size_t i = 0; i < m->msg_iovlen; i++) {
		if (m->msg_iov[i].iov_len > sizeof(bytes) - n)
			return -EMSGSIZE;
		memcpy(bytes + n, m->msg_iov[i].iov_base, m->msg_iov[i].iov_len);
		n += m->msg_iov[i].iov_len;
	}
	if (n > DATAGRAM_MAX)
		return -EMSGSIZE;
	ssize_t r = size ? check_segments(f, n, size) : 0;
	if (r < 0)
		return r;
	size = size ? size : n;
	for (size_t at = 0; at < n || at == 0; at += MAX(size, (size_t)1)) {
		f->n_datagrams++;
		if (f->c.datagram)
			f->c.datagram(f->c.datagram_ctx, s, &to, bytes + at, MIN(size, n - at));
	}
	return (ssize_t)n;
}

static void add_cmsg(
	struct msghdr *m, size_t *used, size_t room, int level, int type, const void *data, size_t n)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)((uint8_t *)m->msg_control + *used);

	if (!m->msg_control || CMSG_SPACE(n) > room - *used) {
		m->msg_flags |= MSG_CTRUNC;
		return;
	}
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), data, n);
	*used += CMSG_SPACE(n);
}

static ssize_t take(struct msghdr *m, const struct fake_datagram *d)
{
	size_t at = 0;

	for (size_t i = 0; i < m->msg_iovlen && at < d->n_bytes; i++) {
		size_t n = MIN(m->msg_iov[i].iov_len, d->n_bytes - at);

		memcpy(m->msg_iov[i].iov_base, d->bytes + at, n);
		at += n;
	}
	m->msg_flags = at < d->n_bytes ? MSG_TRUNC : 0;
	if (m->msg_name) {
		memcpy(m->msg_name, &d->from, MIN((size_t)m->msg_namelen, sizeof(d->from)));
		m->msg_namelen = sizeof(d->from.in4);
	}
	return (ssize_t)at;
}

static ssize_t recv_error(struct fake_socket *s, struct msghdr *m)
{
	_cleanup_free_ struct fake_datagram *d = s->errors;
	struct {
		struct sock_extended_err e;
		struct sockaddr_in offender;
	} x = {};
	size_t room = m->msg_controllen, used = 0;

	if (!d)
		return -EAGAIN;
	s->errors = d->next;
	ssize_t n = take(m, d);

	x.e.ee_errno = (uint32_t)d->ee_errno;
	x.e.ee_origin = SO_EE_ORIGIN_ICMP;
	x.e.ee_type = d->ee_type;
	x.e.ee_code = d->ee_code;
	x.e.ee_info = d->ee_info;
	x.offender.sin_family = AF_INET;
	x.offender.sin_addr.s_addr = d->offender_be;
	add_cmsg(m, &used, room, IPPROTO_IP, IP_RECVERR, &x, sizeof(x));
	m->msg_controllen = used;
	m->msg_flags |= MSG_ERRQUEUE;
	/* sock_dequeue_err_skb(): the next error in the queue becomes the socket's. */
	s->error = s->errors ? s->errors->ee_errno : 0;
	return n;
}

ssize_t fake_udp_recv(struct sock_fake *f, struct fake_socket *s, struct msghdr *m, int flags)
{
	size_t room = m->msg_controllen, used = 0;
	struct in_pktinfo info = {};

	if (flags & MSG_ERRQUEUE)
		return recv_error(s, m);
	if (s->error)
		return take_error(s);
	_cleanup_free_ struct fake_datagram *d = s->rx;
	if (!d)
		return -EAGAIN;
	s->rx = d->next;
	s->n_rx--;
	s->rx_bytes -= d->n_bytes;
	ssize_t n = take(m, d);

	if (s->pktinfo) {
		info.ipi_spec_dst.s_addr = info.ipi_addr.s_addr = d->local_be;
		add_cmsg(m, &used, room, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	}
	if (d->gro_size)
		add_cmsg(m, &used, room, IPPROTO_UDP, UDP_GRO, &d->gro_size, sizeof(d->gro_size));
	m->msg_controllen = used;
	return n;
}
