/* SPDX-License-Identifier: BSD-2-Clause */
/* The sockets behind hostfwd: bound by the parent, which may hold the privilege for low ports, and kept by it
 * for an engine that is started again. */
#pragma once

#include "user_conf.h"

#define FORWARD_TEXT_BYTES 64
#define FORWARD_RULE_BYTES 64

/* A listening (TCP) or bound (UDP) socket, non-blocking, with the options that what is accepted from it
 * inherits. Returns it, or -errno. */
int forward_open(const struct user_forward *f);
/* "tcp 127.0.0.1:5022", for a message. */
void forward_text(const struct user_forward *f, char ret[FORWARD_TEXT_BYTES]);
/* "tcp:127.0.0.1:5022-10.0.2.15:22", as it could be given. */
void forward_rule(const struct user_conf *c, const struct user_forward *f, char ret[FORWARD_RULE_BYTES]);
/* What an error of forward_open() means, for a person. */
const char *forward_why(int error);

/* One of them; its place in the table is its number for the engine. */
struct forward {
	struct user_forward rule; /* its host port: the one that it has, also where the kernel chose it */
	int fd;                   /* -1: a free place */
};

struct forwards {
	struct forward *v; /* heap */
	unsigned int n, n_max;
};

/* Room for those of the configuration and some that come later. 0 or -ENOMEM. */
int forwards_init(struct forwards *f, const struct user_conf *c);
void forwards_done(struct forwards *f);
/* Opens one: its place, or -errno (-ENOSPC: there are as many as there may be). */
int forwards_add(struct forwards *f, const struct user_forward *rule);
void forwards_del(struct forwards *f, unsigned int place);
/* The one of that protocol, host address and port: its place, or -ENOENT. */
int forwards_find(const struct forwards *f, const struct user_forward *like);
