/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's framing over a stream socket.
 *
 * From the guest: one read of up to RX_BYTES an event, all whole frames in it handed up in batches, the
 * last frame's beginning kept for the next read. A length that no frame has ends the connection: there
 * is no way to find the next frame after it.
 *
 * To the guest: a frame becomes one plain frame, or the segments of a super-frame, each behind its
 * length. Large ones are written at once, all segments of a super-frame by one sendmsg() straight from
 * the caller's memory. Small ones are gathered in the out-buffer and written at the end of the loop's
 * pass, so that a burst of them costs one system call too. What the socket does not take waits in the
 * out-buffer; while anything waits (`blocked`), everything goes there, so that order is kept. A frame is
 * accepted only if all of it would fit, whatever the socket takes: a reader that stalls costs OUT_BYTES
 * and never half a frame. reserve() looks ahead for the worst that segmentation can make of the data.
 *
 * A frame shorter than Ethernet's least is filled up with zeros: since 8.1 QEMU's NICs expect that of whoever
 * sends, and some, or their drivers, drop a shorter one.
 *
 * A write that fails never ends the connection itself, for it happens below callers who hold frames of
 * this very port: it is noted, and the flush timer, which nobody stands above, reads what is left and
 * closes. Nor do the calls of this file that the gateway makes ever call back into it.
 *
 * States: listening (fd < 0, listener watched), connected (fd >= 0, listener not watched, so that the
 * next client waits in the backlog), failed (connected, with send_error set: sends answer -ENOTCONN),
 * closed (fd < 0, no listener: for good if `once`, else until stream_port_attach()). */
/* seccomp: recvfrom sendmsg accept4 setsockopt close */
#include "stream.h"

#include <assert.h>
#include <netinet/tcp.h>
#include <stdio.h>

#include "eth.h"
#include "segment.h"

#define LENGTH_BYTES    4
#define FRAME_MIN_BYTES 60 /* Ethernet's, without the checksum */
#define RX_BYTES        (256 * 1024)
#define OUT_BYTES       (256 * 1024)
#define OUT_FLUSH_BYTES (64 * 1024) /* gathered small frames are written when there are so many */
#define OUT_LOW_BYTES   (OUT_BYTES / 4)
#define SMALL_BYTES     4096 /* frames up to this length are gathered */
#define GATHER_IOV      512
#define GATHER_HEAD_MAX (LENGTH_BYTES + FRAME_HEAD_BYTES)
#define GATHER_HEADS    (16 * 1024)
#define LAST_READS      4 /* of a connection that cannot be written to any more */
#define ACCEPT_RETRY_MS 1000
#define ARG_LISTENER    0

/* Room for the worst that a reservation can lead to, when the out-buffer is empty. */
static_assert(OUT_BYTES >= FRAME_MAX_BYTES + SEGMENT_FRAMES_MAX * (LENGTH_BYTES + PORT_ROOM_HEADROOM),
	"reserve() would always fail");
static_assert(FRAME_MIN_BYTES <= PORT_ROOM_HEADROOM, "the worst is a frame's, not its padding's");
static_assert(RX_BYTES >= 2 * (LENGTH_BYTES + FRAME_MAX_BYTES), "a read must be able to finish a frame");

struct stream_port {
	struct port port;
	struct loop *loop;
	struct loop_timer flush, accept_retry;
	int source, listen_fd, fd;
	uint32_t generation; /* of fd, in its events */
	bool once;           /* closed for good when fd ends */
	bool blocked;        /* the socket is full; EPOLLOUT is watched */
	bool refused;        /* somebody waits for room() */
	int send_error;

	size_t rx_have;
	size_t out_start, out_end;
	size_t reserved_bytes; /* of the out-buffer, for the open reservation */

	/* A write being put together. */
	struct iovec gather[GATHER_IOV];
	unsigned int n_gather;
	size_t n_heads;

	struct iovec frame_iov[PORT_BATCH];
	struct frame frames[PORT_BATCH];
	uint8_t heads[GATHER_HEADS];
	uint8_t room[FRAME_MAX_BYTES];
	uint8_t out[OUT_BYTES];
	uint8_t rx[RX_BYTES];
};

static struct stream_port *stream_of(struct port *port)
{
	return container_of(port, struct stream_port, port);
}

static void listener_watch(struct stream_port *p)
{
	if (p->listen_fd < 0)
		return;
	if (loop_watch(p->loop, p->listen_fd, EPOLLIN, p->source, ARG_LISTENER) < 0)
		loop_timer_set(p->loop, &p->accept_retry, loop_now_ms(p->loop) + ACCEPT_RETRY_MS);
}

static int connection_begin(struct stream_port *p, int fd)
{
	int one = 1;

	if (++p->generation == ARG_LISTENER)
		p->generation++;
	int r = loop_watch(p->loop, fd, EPOLLIN, p->source, p->generation);

	if (r < 0)
		return r;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* not every socket is TCP */
	p->fd = fd;
	return 0;
}

static void connection_end(struct stream_port *p)
{
	(void)loop_unwatch(p->loop, p->fd);
	util_close(&p->fd);
	loop_timer_clear(p->loop, &p->flush);
	p->rx_have = p->out_start = p->out_end = 0;
	p->blocked = p->refused = false;
	p->send_error = 0;
}

static void connection_drop(struct stream_port *p, int error)
{
	connection_end(p);
	p->port.n.n_closed++;
	listener_watch(p);
	p->port.owner->closed(p->port.owner->ctx, &p->port, error, p->once);
}

/* Frames to the guest. */

static size_t out_pending(const struct stream_port *p)
{
	return p->out_end - p->out_start;
}

static size_t out_free(const struct stream_port *p)
{
	return OUT_BYTES - out_pending(p);
}

/* There must be room. */
static void out_append(struct stream_port *p, const void *data, size_t n)
{
	if (n > OUT_BYTES - p->out_end) {
		memmove(p->out, p->out + p->out_start, out_pending(p));
		p->out_end -= p->out_start;
		p->out_start = 0;
	}
	memcpy(p->out + p->out_end, data, n);
	p->out_end += n;
}

static void out_take(struct stream_port *p, size_t n)
{
	p->out_start += n;
	if (p->out_start == p->out_end)
		p->out_start = p->out_end = 0;
}

static void flush_later(struct stream_port *p)
{
	loop_timer_set(p->loop, &p->flush, loop_now_ms(p->loop));
}

static void set_blocked(struct stream_port *p, bool blocked)
{
	if (p->blocked == blocked)
		return;
	p->blocked = blocked;
	(void)loop_rewatch(
		p->loop, p->fd, EPOLLIN | (blocked ? (uint32_t)EPOLLOUT : 0), p->source, p->generation);
}

/* Bytes written: all, fewer (then blocked), or none because the connection failed. */
static size_t write_some(struct stream_port *p, struct iovec *iov, unsigned int n_iov, size_t n_bytes)
{
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = n_iov};
	ssize_t n;

	do
		n = sendmsg(p->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
		p->send_error = -errno;
		set_blocked(p, false);
		p->out_start = p->out_end = 0;
		flush_later(p);
		return 0;
	}
	set_blocked(p, n < 0 || (size_t)n < n_bytes);
	return n < 0 ? 0 : (size_t)n;
}

static void out_write(struct stream_port *p)
{
	size_t n_bytes = out_pending(p);
	struct iovec iov = {p->out + p->out_start, n_bytes};

	if (n_bytes) {
		size_t n = write_some(p, &iov, 1, n_bytes);

		if (!p->send_error)
			out_take(p, n);
	} else {
		set_blocked(p, false);
	}
}

/* Writes what was put together, behind what waits; the rest waits too. */
static void gather_write(struct stream_port *p)
{
	size_t pending = out_pending(p), n_bytes = 0;
	unsigned int i = 1;

	p->gather[0] = (struct iovec){p->out + p->out_start, pending};
	for (unsigned int k = 0; k < p->n_gather; k++)
		n_bytes += p->gather[k].iov_len;
	size_t n = write_some(p, p->gather, p->n_gather, n_bytes);

	if (!p->send_error && n < n_bytes) {
		out_take(p, MIN(n, pending));
		n -= MIN(n, pending);
		for (; i < p->n_gather && n >= p->gather[i].iov_len; i++)
			n -= p->gather[i].iov_len;
		for (; i < p->n_gather; i++, n = 0)
			out_append(p, (uint8_t *)p->gather[i].iov_base + n, p->gather[i].iov_len - n);
	} else if (!p->send_error) {
		out_take(p, pending);
	}
	p->n_gather = 1; /* the first is kept for what waits */
	p->n_heads = 0;
}

static void put_length(uint8_t *to, size_t n_bytes)
{
	struct wr w = wr_of(to, LENGTH_BYTES);

	wr_u32(&w, (uint32_t)n_bytes);
}

static const uint8_t padding[FRAME_MIN_BYTES];

static size_t padding_bytes(size_t n_bytes)
{
	return n_bytes < FRAME_MIN_BYTES ? FRAME_MIN_BYTES - n_bytes : 0;
}

/* At most so much for the n frames of total_bytes that a frame of n_bytes becomes. */
static size_t padding_bytes_max(size_t n_bytes, unsigned int n, size_t total_bytes)
{
	return n < 2 ? padding_bytes(n_bytes) : n * padding_bytes((total_bytes - n_bytes) / (n - 1));
}

static void out_frame(struct stream_port *p, const uint8_t *head, size_t n_head, const struct iovec *payload,
	unsigned int n_payload, size_t n_payload_bytes)
{
	size_t n_padding = padding_bytes(n_head + n_payload_bytes);
	uint8_t length[LENGTH_BYTES];

	put_length(length, n_head + n_payload_bytes + n_padding);
	out_append(p, length, LENGTH_BYTES);
	out_append(p, head, n_head);
	for (unsigned int i = 0; i < n_payload; i++)
		out_append(p, payload[i].iov_base, payload[i].iov_len);
	out_append(p, padding, n_padding);
}

static int out_emit(void *ctx, const uint8_t *head, size_t n_head, const struct iovec *payload,
	unsigned int n_payload, size_t n_payload_bytes)
{
	out_frame(ctx, head, n_head, payload, n_payload, n_payload_bytes);
	return 0;
}

static int gather_emit(void *ctx, const uint8_t *head, size_t n_head, const struct iovec *payload,
	unsigned int n_payload, size_t n_payload_bytes)
{
	size_t n_padding = padding_bytes(n_head + n_payload_bytes);
	struct stream_port *p = ctx;

	if (p->n_gather + 2 + n_payload > GATHER_IOV || p->n_heads + GATHER_HEAD_MAX > GATHER_HEADS)
		gather_write(p);
	if (p->send_error)
		return -ENOTCONN;
	if (p->blocked) {
		out_frame(p, head, n_head, payload, n_payload, n_payload_bytes);
		return 0;
	}
	uint8_t *own = p->heads + p->n_heads;

	put_length(own, n_head + n_payload_bytes + n_padding);
	memcpy(own + LENGTH_BYTES, head, n_head);
	p->n_heads += LENGTH_BYTES + n_head;
	p->gather[p->n_gather++] = (struct iovec){own, LENGTH_BYTES + n_head};
	if (n_payload)
		memcpy(p->gather + p->n_gather, payload, n_payload * sizeof(*payload));
	p->n_gather += n_payload;
	if (n_padding)
		p->gather[p->n_gather++] = (struct iovec){(void *)(uintptr_t)padding, n_padding};
	return 0;
}

/* The out-buffer has room for all of it. */
static int put_frame(struct stream_port *p, const struct iovec *iov, unsigned int n_iov, size_t n_bytes,
	const struct offload *o)
{
	bool small = n_bytes <= SMALL_BYTES && o->gso == OFFLOAD_GSO_NONE;

	if (small || p->blocked) {
		int r = segment_frame(iov, n_iov, n_bytes, o, out_emit, p);

		if (!p->blocked && out_pending(p) >= OUT_FLUSH_BYTES)
			out_write(p);
		if (!p->blocked && out_pending(p))
			flush_later(p);
		return r;
	}
	p->n_gather = 1;
	p->n_heads = 0;
	int r = segment_frame(iov, n_iov, n_bytes, o, gather_emit, p);

	if (p->n_gather > 1 && !p->send_error)
		gather_write(p);
	return p->send_error ? -ENOTCONN : r;
}

static int need_room(struct stream_port *p, size_t n_bytes)
{
	if (p->fd < 0 || p->send_error)
		return -ENOTCONN;
	if (n_bytes > OUT_BYTES)
		return -EMSGSIZE;
	if (n_bytes + p->reserved_bytes > out_free(p) && !p->blocked)
		out_write(p);
	if (p->send_error)
		return -ENOTCONN;
	if (n_bytes + p->reserved_bytes <= out_free(p))
		return 0;
	p->refused = true;
	if (!p->blocked)
		flush_later(p); /* the reservation stands in the way: room() after it */
	return -ENOBUFS;
}

static int stream_send(struct port *port, const struct iovec *iov, unsigned int n_iov, size_t n_bytes,
	const struct offload *o)
{
	struct stream_port *p = stream_of(port);
	size_t total_bytes;

	if (n_bytes < ETH_HEADER_BYTES || n_bytes > FRAME_MAX_BYTES)
		return -EMSGSIZE;
	unsigned int n = segment_count(n_bytes, o, &total_bytes);
	if (n > SEGMENT_FRAMES_MAX)
		return -EMSGSIZE;
	size_t n_padding = padding_bytes_max(n_bytes, n, total_bytes);
	int r = need_room(p, total_bytes + n_padding + (size_t)n * LENGTH_BYTES);

	return r < 0 ? r : put_frame(p, iov, n_iov, n_bytes, o);
}

static int stream_reserve(struct port *port, size_t n_head, size_t max_bytes, struct room *ret)
{
	struct stream_port *p = stream_of(port);

	if (n_head < ETH_HEADER_BYTES || n_head > PORT_ROOM_HEADROOM || max_bytes == 0 || p->reserved_bytes)
		return -EINVAL;
	max_bytes = MIN(max_bytes, FRAME_MAX_BYTES - n_head);
	size_t worst_bytes = segment_bytes_max(MAX(n_head, (size_t)FRAME_MIN_BYTES), max_bytes, LENGTH_BYTES);
	int r = need_room(p, worst_bytes);

	if (r < 0)
		return r;
	p->reserved_bytes = worst_bytes;
	*ret = (struct room){
		.head = p->room,
		.n_head = n_head,
		.iov = {{p->room + n_head, max_bytes}},
		.n_iov = 1,
		.n_bytes = max_bytes,
	};
	return 0;
}

static int stream_commit(struct port *port, struct room *r, size_t n_bytes, const struct offload *o)
{
	struct stream_port *p = stream_of(port);
	struct iovec iov = {p->room, r->n_head + n_bytes};

	p->reserved_bytes = 0;
	return stream_send(port, &iov, 1, iov.iov_len, o);
}

static void stream_cancel(struct port *port, struct room *r)
{
	stream_of(port)->reserved_bytes = 0;
}

static void tell_room(struct stream_port *p)
{
	if (p->refused && !p->reserved_bytes && out_pending(p) <= OUT_LOW_BYTES) {
		p->refused = false;
		p->port.owner->room(p->port.owner->ctx, &p->port);
	}
}

/* Frames from the guest. */

/* Hands up the whole frames in the buffer; false if a length is bad. */
static bool parse_frames(struct stream_port *p)
{
	struct rd r = rd_of(p->rx, p->rx_have);
	unsigned int n = 0;
	bool good = true;

	while (r.left >= LENGTH_BYTES) {
		struct rd ahead = r;
		size_t n_bytes = rd_u32(&ahead);

		if (n_bytes < ETH_HEADER_BYTES || n_bytes > FRAME_MAX_BYTES) {
			good = false;
			break;
		}
		const uint8_t *bytes = rd_bytes(&ahead, n_bytes);
		if (!bytes)
			break;
		r = ahead;
		p->frame_iov[n] = (struct iovec){(void *)(uintptr_t)bytes, n_bytes};
		p->frames[n] = (struct frame){
			.head = bytes,
			.head_bytes = n_bytes,
			.iov = &p->frame_iov[n],
			.n_iov = 1,
			.n_bytes = n_bytes,
		};
		if (++n == PORT_BATCH) {
			port_input(&p->port, p->frames, n, loop_now_ms(p->loop));
			n = 0;
		}
	}
	if (n)
		port_input(&p->port, p->frames, n, loop_now_ms(p->loop));
	if (r.left && r.p != p->rx)
		memmove(p->rx, r.p, r.left);
	p->rx_have = r.left;
	return good;
}

/* One read. False when there was nothing, or the connection has ended. */
static bool read_frames(struct stream_port *p)
{
	ssize_t n = recv(p->fd, p->rx + p->rx_have, RX_BYTES - p->rx_have, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		int error = n < 0 ? -errno : p->rx_have ? -ECONNRESET : 0;

		if (p->rx_have)
			p->port.n.rx_bad++; /* the frame that will never be whole */
		connection_drop(p, error);
		return false;
	}
	p->rx_have += (size_t)n;
	if (!parse_frames(p)) {
		p->port.n.rx_bad++;
		connection_drop(p, -EPROTO);
		return false;
	}
	return true;
}

static void on_flush(void *ctx, uint64_t now_ms)
{
	struct stream_port *p = ctx;

	if (!p->blocked && !p->send_error)
		out_write(p);
	if (!p->send_error) {
		tell_room(p);
		return;
	}
	int error = p->send_error;

	for (int i = 0; i < LAST_READS && read_frames(p); i++)
		;
	if (p->fd >= 0)
		connection_drop(p, error);
}

static void on_accept_retry(void *ctx, uint64_t now_ms)
{
	struct stream_port *p = ctx;

	if (p->fd < 0)
		listener_watch(p);
}

static void on_client(struct stream_port *p)
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
	struct stream_port *p = ctx;

	if (arg == ARG_LISTENER) {
		if (p->fd < 0)
			on_client(p);
		return;
	}
	if (p->fd < 0 || arg != p->generation)
		return;
	if (events & EPOLLOUT && !p->send_error) {
		out_write(p);
		tell_room(p);
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || read_frames(p))
		return;
	if (p->fd >= 0 && arg == p->generation && events & (EPOLLHUP | EPOLLERR))
		connection_drop(p, -ECONNRESET);
}

static void stream_free(struct port *port)
{
	struct stream_port *p = stream_of(port);

	if (p->fd >= 0)
		connection_end(p);
	loop_timer_clear(p->loop, &p->accept_retry);
	if (p->listen_fd >= 0) {
		(void)loop_unwatch(p->loop, p->listen_fd);
		util_close(&p->listen_fd);
	}
	loop_source_del(p->loop, p->source);
	free(p);
}

static const struct port_ops stream_ops = {
	.kind = "stream",
	.send = stream_send,
	.reserve = stream_reserve,
	.commit = stream_commit,
	.cancel = stream_cancel,
	.free = stream_free,
};

int stream_port_new(const struct stream_port_config *c, struct port **ret)
{
	_cleanup_free_ struct stream_port *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return -ENOMEM;
	p->port = (struct port){.ops = &stream_ops, .owner = c->owner};
	(void)snprintf(p->port.name, sizeof(p->port.name), "%s", c->name ? c->name : "stream");
	p->loop = c->loop;
	p->flush = (struct loop_timer){.fn = on_flush, .ctx = p};
	p->accept_retry = (struct loop_timer){.fn = on_accept_retry, .ctx = p};
	p->listen_fd = p->fd = -1;
	p->once = c->listen_fd < 0 && c->connected_fd >= 0;
	p->source = loop_source_add(c->loop, on_event, p);
	if (p->source < 0)
		return p->source;
	if (c->connected_fd >= 0)
		r = connection_begin(p, c->connected_fd);
	else if (c->listen_fd >= 0)
		r = loop_watch(c->loop, c->listen_fd, EPOLLIN, p->source, ARG_LISTENER);
	if (r < 0) {
		loop_source_del(c->loop, p->source);
		return r;
	}
	p->listen_fd = c->listen_fd;
	*ret = &TAKE_PTR(p)->port;
	return 0;
}

int stream_port_attach(struct port *port, int connected_fd)
{
	struct stream_port *p = stream_of(port);

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
