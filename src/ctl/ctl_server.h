/* SPDX-License-Identifier: BSD-2-Clause */
/* The answering side: a control socket, and connections that were inherited from whoever started us. */
#pragma once

#include "ctl_msg.h"
#include "ctl_place.h"
#include "loop.h"

struct ctl_server;

struct ctl_server_config {
	struct loop *loop;
	/* Answers a request at once. is_parent: it came over an inherited connection. */
	void (*handle)(void *ctx, const struct ctl_request *q, bool is_parent, struct ctl_reply *ret);
	void *ctx;
};

/* 0 or -errno. */
int ctl_server_new(const struct ctl_server_config *c, struct ctl_server **ret);
struct ctl_server *ctl_server_free(struct ctl_server *s);

/* Makes the socket (ctl_place_listen()), once: 0 or -errno. */
int ctl_server_listen(struct ctl_server *s, enum ctl_kind kind, const char *name, pid_t pid);
/* Serves a connection, which becomes the server's: 0 or -errno. */
int ctl_server_add(struct ctl_server *s, int fd);
