/* SPDX-License-Identifier: BSD-2-Clause */
/* seccomp: recvmsg sendmsg close */
#include "vhost_msg.h"

#include <sys/socket.h>

#include "vhost_fd.h"

#define VERSION         1u
#define FLAG_VERSION    3u
#define FLAG_REPLY      (1u << 2)
#define FLAG_NEED_REPLY (1u << 3)
#define REGION_BYTES    32

enum fds {
	FDS_NONE,
	FDS_ONE,
	FDS_OPTIONAL,     /* none or one */
	FDS_BY_FLAG,      /* one, unless VHOST_VRING_NO_FD is set */
	FDS_EACH_REGION,
};

enum body {
	BODY_UNKNOWN, /* not a request of ours */
	BODY_NONE,
	BODY_U64,
	BODY_STATE,
	BODY_ADDR,
	BODY_LOG,
	BODY_TABLE,
	BODY_REGION,
	BODY_ANY, /* not looked at */
};

static const struct rule {
	enum body body;
	enum fds fds;
} rules[VHOST_REQUEST_MAX] = {
	[VHOST_GET_FEATURES] = {BODY_NONE, FDS_NONE},
	[VHOST_SET_FEATURES] = {BODY_U64, FDS_NONE},
	[VHOST_SET_OWNER] = {BODY_NONE, FDS_NONE},
	[VHOST_RESET_OWNER] = {BODY_NONE, FDS_NONE},
	[VHOST_SET_MEM_TABLE] = {BODY_TABLE, FDS_EACH_REGION},
	[VHOST_SET_LOG_BASE] = {BODY_LOG, FDS_ONE},
	[VHOST_SET_LOG_FD] = {BODY_ANY, FDS_ONE},
	[VHOST_SET_VRING_NUM] = {BODY_STATE, FDS_NONE},
	[VHOST_SET_VRING_ADDR] = {BODY_ADDR, FDS_NONE},
	[VHOST_SET_VRING_BASE] = {BODY_STATE, FDS_NONE},
	[VHOST_GET_VRING_BASE] = {BODY_STATE, FDS_NONE},
	[VHOST_SET_VRING_KICK] = {BODY_U64, FDS_BY_FLAG},
	[VHOST_SET_VRING_CALL] = {BODY_U64, FDS_BY_FLAG},
	[VHOST_SET_VRING_ERR] = {BODY_U64, FDS_BY_FLAG},
	[VHOST_GET_PROTOCOL_FEATURES] = {BODY_NONE, FDS_NONE},
	[VHOST_SET_PROTOCOL_FEATURES] = {BODY_U64, FDS_NONE},
	[VHOST_GET_QUEUE_NUM] = {BODY_NONE, FDS_NONE},
	[VHOST_SET_VRING_ENABLE] = {BODY_STATE, FDS_NONE},
	[VHOST_SEND_RARP] = {BODY_U64, FDS_NONE},
	[VHOST_NET_SET_MTU] = {BODY_U64, FDS_NONE},
	[VHOST_SET_BACKEND_REQ_FD] = {BODY_ANY, FDS_ONE},
	[VHOST_VRING_KICK] = {BODY_STATE, FDS_NONE},
	[VHOST_GET_MAX_MEM_SLOTS] = {BODY_NONE, FDS_NONE},
	[VHOST_ADD_MEM_REG] = {BODY_REGION, FDS_ONE},
	[VHOST_REM_MEM_REG] = {BODY_REGION, FDS_OPTIONAL}, /* older front ends send one */
	[VHOST_SET_STATUS] = {BODY_U64, FDS_NONE},
	[VHOST_GET_STATUS] = {BODY_NONE, FDS_NONE},
};

static uint32_t host_u32(struct rd *r)
{
	uint32_t v;

	rd_copy(r, &v, sizeof(v));
	return v;
}

static uint64_t host_u64(struct rd *r)
{
	uint64_t v;

	rd_copy(r, &v, sizeof(v));
	return v;
}

static void parse_region(struct rd *r, struct vhost_msg_region *ret)
{
	ret->guest = host_u64(r);
	ret->n_bytes = host_u64(r);
	ret->user = host_u64(r);
	ret->offset = host_u64(r);
}

static void parse_regions(struct rd *r, bool table, struct vhost_msg *ret)
{
	ret->regions.n = table ? host_u32(r) : 1;
	(void)host_u32(r);
	if (!table)
		(void)host_u32(r);
	if (ret->regions.n > VHOST_MSG_REGIONS_MAX)
		r->bad = true;
	for (unsigned int i = 0; i < ret->regions.n && !r->bad; i++)
		parse_region(r, &ret->regions.r[i]);
}

static void parse_body(struct rd *r, enum body body, struct vhost_msg *ret)
{
	switch (body) {
	case BODY_U64:
		ret->u64 = host_u64(r);
		break;
	case BODY_STATE:
		ret->state.ring = host_u32(r);
		ret->state.value = host_u32(r);
		break;
	case BODY_ADDR:
		ret->addr.ring = host_u32(r);
		ret->addr.flags = host_u32(r);
		ret->addr.desc = host_u64(r);
		ret->addr.device = host_u64(r);
		ret->addr.driver = host_u64(r);
		(void)host_u64(r); /* where the log has the used ring: we know that from the regions */
		break;
	case BODY_LOG:
		ret->log.n_bytes = host_u64(r);
		ret->log.offset = host_u64(r);
		break;
	case BODY_TABLE:
	case BODY_REGION:
		parse_regions(r, body == BODY_TABLE, ret);
		break;
	case BODY_ANY:
		(void)rd_bytes(r, r->left);
		break;
	case BODY_UNKNOWN:
	case BODY_NONE:
		break;
	}
}

static bool fds_are_ok(const struct vhost_msg *m, enum fds rule, unsigned int n_fds)
{
	switch (rule) {
	case FDS_NONE:
		return n_fds == 0;
	case FDS_ONE:
		return n_fds == 1;
	case FDS_OPTIONAL:
		return n_fds <= 1;
	case FDS_BY_FLAG:
		return n_fds == (m->u64 & VHOST_VRING_NO_FD ? 0 : 1);
	case FDS_EACH_REGION:
		return n_fds == m->regions.n;
	}
	return false;
}

int vhost_msg_parse(const void *bytes, size_t n, unsigned int n_fds, struct vhost_msg *ret)
{
	struct rd r = rd_of(bytes, n);
	struct vhost_msg m = {.request = host_u32(&r)};
	uint32_t flags = host_u32(&r);
	uint32_t size = host_u32(&r);
	const struct rule *rule = &rules[m.request < VHOST_REQUEST_MAX ? m.request : 0];

	if (r.bad || size != r.left || (flags & (FLAG_VERSION | FLAG_REPLY)) != VERSION)
		return -EBADMSG;
	m.need_reply = flags & FLAG_NEED_REPLY;
	m.known = rule->body != BODY_UNKNOWN;
	if (m.known) {
		parse_body(&r, rule->body, &m);
		if (r.bad || r.left || !fds_are_ok(&m, rule->fds, n_fds))
			return -EBADMSG;
	}
	for (unsigned int i = 0; i < VHOST_MSG_FDS_MAX; i++)
		m.fds[i] = -1;
	*ret = m;
	return 0;
}

void vhost_msg_done(struct vhost_msg *m)
{
	for (unsigned int i = 0; i < m->n_fds; i++)
		vhost_fd_close(&m->fds[i]);
	m->n_fds = 0;
}

void vhost_reader_done(struct vhost_reader *r)
{
	for (unsigned int i = 0; i < r->n_fds; i++)
		vhost_fd_close(&r->fds[i]);
	*r = (struct vhost_reader){};
}

static uint32_t body_bytes(const struct vhost_reader *r)
{
	uint32_t size;

	memcpy(&size, r->bytes + 8, sizeof(size));
	return size;
}

/* What is still missing of the message, as far as it is known. */
static size_t wanted(const struct vhost_reader *r)
{
	if (r->have < VHOST_MSG_HEAD_BYTES)
		return VHOST_MSG_HEAD_BYTES - r->have;
	return VHOST_MSG_HEAD_BYTES + body_bytes(r) - r->have;
}

/* Takes the descriptors of one read over; -EBADMSG when there are too many. */
static int take_fds(struct vhost_reader *r, struct msghdr *h)
{
	int error = h->msg_flags & MSG_CTRUNC ? -EBADMSG : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (r->n_fds < VHOST_MSG_FDS_MAX) {
				r->fds[r->n_fds++] = fd;
			} else {
				vhost_fd_close(&fd);
				error = -EBADMSG;
			}
		}
	}
	return error;
}

static int read_some(struct vhost_reader *r, int sock, size_t n_bytes)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(VHOST_MSG_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {r->bytes + r->have, n_bytes};
	struct msghdr h = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t n;

	do
		n = recvmsg(sock, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	r->have += (size_t)n;
	int e = take_fds(r, &h);
	return e < 0 ? e : 1;
}

int vhost_msg_recv(struct vhost_reader *r, int sock, struct vhost_msg *ret)
{
	for (size_t n = wanted(r); n; n = wanted(r)) {
		int e = read_some(r, sock, n);

		if (e <= 0)
			return e == 0 && r->have ? -ECONNRESET : e;
		if (r->have >= VHOST_MSG_HEAD_BYTES && body_bytes(r) > VHOST_MSG_BODY_MAX)
			return -EBADMSG;
	}
	int e = vhost_msg_parse(r->bytes, r->have, r->n_fds, ret);
	if (e < 0)
		return e;
	ret->n_fds = r->n_fds;
	memcpy(ret->fds, r->fds, r->n_fds * sizeof(*r->fds));
	r->n_fds = 0;
	r->have = 0;
	return 1;
}

static int send_message(int sock, uint32_t request, uint32_t flags, const void *body, size_t n_bytes)
{
	uint32_t head[3] = {request, VERSION | flags, (uint32_t)n_bytes};
	struct iovec iov[2] = {{head, sizeof(head)}, {(void *)(uintptr_t)body, n_bytes}};
	struct msghdr h = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n;

	do
		n = sendmsg(sock, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == sizeof(head) + n_bytes ? 0 : -EAGAIN;
}

int vhost_msg_reply(int sock, uint32_t request, const void *body, size_t n_bytes)
{
	return send_message(sock, request, FLAG_REPLY, body, n_bytes);
}

int vhost_msg_tell(int sock, enum vhost_own_request request, uint32_t ring)
{
	uint32_t body[2] = {ring, 0};

	return send_message(sock, request, 0, body, sizeof(body));
}
