/* SPDX-License-Identifier: BSD-2-Clause */
/* What is asked of a running guest or user-mode network, and answered: one JSON object a line.
 *
 *   {"n": 7, "op": "hostfwd-add", "id": "n0", "arg": "tcp::5022-:22"}
 *   {"n": 7, "text": "", "error": "Invalid host forwarding rule ..."}
 *
 * n is the asker's, who tells by it an answer that came too late from the one that it waits for.
 *
 * Both sides are processes of one user; yet each checks what it reads, and no control character passes, since
 * an argument may go on to QEMU's monitor, and a text to a terminal. */
#pragma once

#include "util.h"

#define CTL_REQUEST_BYTES 16384u
#define CTL_REPLY_BYTES   (4u << 20)
#define CTL_ID_BYTES      128
#define CTL_ARG_BYTES     4096

enum ctl_op {
	CTL_INFO_NETWORK,
	CTL_INFO_USERNET,
	CTL_HOSTFWD_ADD,    /* arg: the rule; id: of which network, empty: the first */
	CTL_HOSTFWD_REMOVE, /* the same */
	CTL_HOSTFWD_LIST,   /* a line each: the network's id, a blank, the rule */
	CTL_NIC_ADD,        /* arg: as of QEMU's -nic */
	CTL_NIC_REMOVE,     /* arg: the id of the back end or of the device */
	CTL_END,            /* the network ends; by whoever started it alone */
	CTL_OP_MAX,
};

struct ctl_request {
	uint32_t number;
	enum ctl_op op;
	char id[CTL_ID_BYTES];
	char arg[CTL_ARG_BYTES];
};

/* text may be there with an error: what was found all the same. */
struct ctl_reply {
	uint32_t number; /* of the request */
	char *text;      /* heap; NULL: none */
	char *error;     /* heap; NULL: none */
};

void ctl_reply_done(struct ctl_reply *r);
/* Sets the error, once: the first one is told. */
void ctl_reply_fail(struct ctl_reply *r, const char *format, ...) _printf_(2, 3);
/* Appends to the text. */
void ctl_reply_add(struct ctl_reply *r, const char *format, ...) _printf_(2, 3);

/* 0, -EBADMSG or -ENOMEM. */
int ctl_request_parse(const char *line, struct ctl_request *ret);
int ctl_reply_parse(const char *line, struct ctl_reply *ret);
/* A line with its end: heap, or NULL: no memory, or not a request. */
char *ctl_request_emit(const struct ctl_request *q);
char *ctl_reply_emit(const struct ctl_reply *r);
