/* SPDX-License-Identifier: BSD-2-Clause */
/* What can be asked of a user-mode network while it runs, and changed. */
#pragma once

#include "child.h"
#include "loop.h"

struct monitor;

struct monitor_config {
	const struct user_conf *conf;
	struct loop *loop;
	struct child *child;
	struct forwards *forwards;
	void (*read_engine)(void *ctx); /* takes what the engine has said */
	void (*end)(void *ctx);         /* the network is to end */
	void *ctx;
};

/* 0 or -errno. A control socket that cannot be made is warned of. */
int monitor_new(const struct monitor_config *c, struct monitor **ret);
struct monitor *monitor_free(struct monitor *m);
/* The engine's answer. m may be NULL. */
void monitor_take_flows(struct monitor *m, const struct msg_flows *f);
