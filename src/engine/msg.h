/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parent and the engine say to each other, over a SOCK_SEQPACKET socket pair.
 *
 * One message is one datagram: a type byte and that type's fields in network order, of exactly the
 * length that they need; a message with a byte too few or too many is refused. A message carries at most
 * one descriptor (SCM_RIGHTS), and each type says whether it does. The engine reads guests' bytes and may
 * have been taken over by one: the parent takes no descriptor from it, and prints no byte of its text
 * that is not printable. */
#pragma once

#include "flow_info.h"

#define MSG_PORT_NAME_BYTES 32 /* with its terminating zero */
#define MSG_PORT_ID_MAX     64 /* ids are below it */
#define MSG_RESOLVERS_MAX   8
#define MSG_TEXT_BYTES      16384
#define MSG_FORWARD_ID_MAX  1024 /* ids are below it */
#define MSG_FLOWS_MAX       256  /* in one message */
#define MSG_MAX_BYTES       (1 + MSG_TEXT_BYTES)

enum msg_type {
	/* To the engine. */
	MSG_ADD_PORT,      /* fd: see enum msg_port_kind */
	MSG_ATTACH_PORT,   /* fd: the new connection of a dialled port */
	MSG_DEL_PORT,      /* its other end is known to be gone */
	MSG_ADD_FORWARD,   /* fd: a listening or bound socket */
	MSG_DEL_FORWARD,
	MSG_SET_RESOLVERS, /* all of them, in order of preference */
	MSG_START,         /* what there is at the start has been sent: answer with MSG_READY */
	MSG_GET_STATS,     /* answer with MSG_STATS */
	MSG_GET_FLOWS,     /* answer with MSG_FLOWS: some of them, from a place on */
	MSG_QUIT,
	/* To the parent. */
	MSG_READY,
	MSG_PORT_CLOSED,
	MSG_STATS,
	MSG_FLOWS,
	MSG_WARNING,
	MSG_TYPE_MAX,
};

enum msg_port_kind {
	MSG_PORT_TAP,
	MSG_PORT_STREAM_LISTENING,
	MSG_PORT_STREAM_CONNECTED, /* ends for good with its connection */
	MSG_PORT_STREAM_DIALLED,   /* no fd: each connection comes with MSG_ATTACH_PORT */
	MSG_PORT_VHOST_LISTENING,  /* vhost-user, in the same three ways */
	MSG_PORT_VHOST_CONNECTED,
	MSG_PORT_VHOST_DIALLED,
	MSG_PORT_KIND_MAX,
};

/* Whether the parent dials, and brings each connection. */
static inline bool msg_port_is_dialled(enum msg_port_kind k)
{
	return k == MSG_PORT_STREAM_DIALLED || k == MSG_PORT_VHOST_DIALLED;
}

static inline bool msg_port_is_vhost(enum msg_port_kind k)
{
	return k == MSG_PORT_VHOST_LISTENING || k == MSG_PORT_VHOST_CONNECTED || k == MSG_PORT_VHOST_DIALLED;
}

struct msg_port {
	uint8_t id;
	enum msg_port_kind kind;
	char name[MSG_PORT_NAME_BYTES]; /* printable */
};

struct msg_forward {
	uint16_t id;         /* the parent's */
	uint8_t proto;       /* IPPROTO_TCP or IPPROTO_UDP */
	uint32_t guest_be;   /* 0: dhcp_start */
	uint16_t guest_port; /* host order, not 0 */
};

struct msg_resolvers {
	unsigned int n;
	union sock_addr a[MSG_RESOLVERS_MAX];
};

struct msg_closed {
	uint8_t id;
	bool final;
	int32_t error; /* 0 or -errno */
};

/* Of MSG_GET_FLOWS only the place: gateway_flows(). */
struct msg_flows {
	uint64_t at;
	unsigned int n;
	struct flow_info v[MSG_FLOWS_MAX];
};

struct msg_text {
	size_t n_bytes;
	char bytes[MSG_TEXT_BYTES + 1]; /* and a terminating zero */
};

struct msg {
	enum msg_type type;
	int fd; /* -1: none; msg_send() leaves it open, msg_recv() makes it the caller's */
	union {
		struct msg_port port; /* MSG_ADD_PORT; of MSG_ATTACH_PORT and MSG_DEL_PORT only the id */
		struct msg_forward forward; /* of MSG_DEL_FORWARD only the id */
		struct msg_resolvers resolvers;
		struct msg_closed closed;
		struct msg_flows flows;
		struct msg_text text;
	};
};

/* Of n bytes that came with or without a descriptor. 0, or -EBADMSG: not a message. Does not set fd. */
int msg_parse(const void *bytes, size_t n, bool has_fd, struct msg *ret);
/* Returns the length, 0 if m is not a message or does not fit. */
size_t msg_emit(const struct msg *m, void *ret, size_t n_room);

/* 0 or -errno. */
int msg_send(int sock, const struct msg *m);
/* Without waiting. 1; 0 at the end (the other side is gone); -EAGAIN, -EBADMSG or another -errno.
 * take_fd: accept a descriptor; without it, a message of a kind that needs one is -EBADMSG. */
int msg_recv(int sock, bool take_fd, struct msg *ret);

/* One datagram with at most one descriptor (fd -1: none), for any pair of processes of ours. */
int msg_send_raw(int sock, const void *bytes, size_t n, int fd);
/* ret_fd may be NULL: none is taken. Returns the length or -errno; -EBADMSG if bytes or descriptors were
 * cut off. flags as of recvmsg(). */
ssize_t msg_recv_raw(int sock, void *bytes, size_t n, int *ret_fd, int flags);

/* Makes text that may be hostile fit to print: everything but line ends and printable ASCII becomes '?'. */
void msg_text_clean(struct msg_text *t);
