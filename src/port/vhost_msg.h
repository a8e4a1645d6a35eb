/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of the vhost-user protocol (QEMU, docs/interop/vhost-user.rst), as a back end reads them: a
 * 12-byte header (request, flags, size) and a body, all in the host's byte order, descriptors beside it in
 * SCM_RIGHTS. A body of another length than its request has, or descriptors too many or too few, is no
 * message. */
#pragma once

#include "cursor.h"

#define VHOST_MSG_FDS_MAX     8
#define VHOST_MSG_REGIONS_MAX 8 /* of one SET_MEM_TABLE */
#define VHOST_MSG_HEAD_BYTES  12
#define VHOST_MSG_BODY_MAX    (8 + VHOST_MSG_REGIONS_MAX * 32)

enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_RESET_OWNER = 4,
	VHOST_SET_MEM_TABLE = 5,
	VHOST_SET_LOG_BASE = 6,
	VHOST_SET_LOG_FD = 7,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_SET_VRING_ERR = 14,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,
	VHOST_SEND_RARP = 19,
	VHOST_NET_SET_MTU = 20,
	VHOST_SET_BACKEND_REQ_FD = 21,
	VHOST_VRING_KICK = 35,
	VHOST_GET_MAX_MEM_SLOTS = 36,
	VHOST_ADD_MEM_REG = 37,
	VHOST_REM_MEM_REG = 38,
	VHOST_SET_STATUS = 39,
	VHOST_GET_STATUS = 40,
	VHOST_REQUEST_MAX,
};

/* Bits of GET_PROTOCOL_FEATURES that we speak. */
enum vhost_protocol_bit {
	VHOST_PROTOCOL_MQ = 0,
	VHOST_PROTOCOL_LOG_SHMFD = 1,
	VHOST_PROTOCOL_RARP = 2,
	VHOST_PROTOCOL_REPLY_ACK = 3,
	VHOST_PROTOCOL_NET_MTU = 4,
	VHOST_PROTOCOL_BACKEND_REQ = 5,
	VHOST_PROTOCOL_IN_BAND = 14,
	VHOST_PROTOCOL_MEM_SLOTS = 15,
	VHOST_PROTOCOL_STATUS = 16,
};

/* Requests of ours, on the socket that SET_BACKEND_REQ_FD brings. */
enum vhost_own_request {
	VHOST_OWN_VRING_CALL = 4,
	VHOST_OWN_VRING_ERR = 5,
};

/* In SET_VRING_KICK, CALL and ERR: the ring's number, and "there is no descriptor". */
#define VHOST_VRING_NUMBER_MASK 0xffu
#define VHOST_VRING_NO_FD       0x100u

struct vhost_msg_region {
	uint64_t guest;  /* guest-physical address */
	uint64_t n_bytes;
	uint64_t user;   /* where the front end has it: ring addresses are given so */
	uint64_t offset; /* in the descriptor */
};

struct vhost_msg {
	uint32_t request; /* enum vhost_request, or one that we do not know: then nothing below is set */
	bool need_reply;  /* the front end waits for 0 or 1 */
	bool known;
	unsigned int n_fds;
	int fds[VHOST_MSG_FDS_MAX]; /* the message's own, until somebody takes one out (-1) */
	union {
		uint64_t u64;
		struct {
			uint32_t ring, value;
		} state;
		struct {
			uint32_t ring, flags;
			uint64_t desc, device, driver; /* user addresses: descriptors, used, avail */
		} addr;
		struct {
			uint64_t n_bytes, offset;
		} log;
		struct {
			unsigned int n;
			struct vhost_msg_region r[VHOST_MSG_REGIONS_MAX];
		} regions; /* SET_MEM_TABLE; of ADD_MEM_REG and REM_MEM_REG one */
	};
};

/* A message on its way in. */
struct vhost_reader {
	size_t have;
	unsigned int n_fds;
	int fds[VHOST_MSG_FDS_MAX];
	uint8_t bytes[VHOST_MSG_HEAD_BYTES + VHOST_MSG_BODY_MAX];
};

/* Of a whole message with n_fds descriptors beside it, which are not touched. 0 or -EBADMSG. */
int vhost_msg_parse(const void *bytes, size_t n, unsigned int n_fds, struct vhost_msg *ret);

/* Without waiting. 1: *ret is a message, with its descriptors; 0: the other end is gone; -EAGAIN: not
 * whole yet; -EBADMSG or another -errno. */
int vhost_msg_recv(struct vhost_reader *r, int sock, struct vhost_msg *ret);
/* Closes what nobody took. */
void vhost_msg_done(struct vhost_msg *m);
void vhost_reader_done(struct vhost_reader *r);

/* 0 or -errno; a socket that takes no answer is -EAGAIN. */
int vhost_msg_reply(int sock, uint32_t request, const void *body, size_t n_bytes);
/* The same of a request that wants no answer. */
int vhost_msg_tell(int sock, enum vhost_own_request request, uint32_t ring);
