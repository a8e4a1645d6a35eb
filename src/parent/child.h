/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine as a child process. */
#pragma once

#include "forwards.h"
#include "msg.h"
#include "user_conf.h"

#define CHILD_RESTARTS_MAX   5 /* in CHILD_RESTARTS_MS */
#define CHILD_RESTARTS_MS    60000
#define CHILD_SEND_TIMEOUT_S 5

struct child {
	pid_t pid;  /* 0: none */
	int msg_fd; /* -1: none */
	unsigned int n_started;
	uint64_t restart_ms[CHILD_RESTARTS_MAX]; /* the last ones; 0: not so many yet */
};

/* The descriptors that the engine needs at least: all of its own, and some for connections. */
unsigned int child_descriptors_least(const struct user_conf *conf);
/* Forks the engine, with nothing open but the standard descriptors, its end of the socket pair and the
 * capture file (pcap_fd, -1: none). 0 or -errno. */
int child_start(struct child *c, const struct user_conf *conf, uint16_t mtu, int pcap_fd);
/* Whether it may be started again; counts it. */
bool child_may_restart(struct child *c, uint64_t now_ms);
/* 0 or -errno: the engine is going, which its end will tell; one that does not read for
 * CHILD_SEND_TIMEOUT_S is killed. */
int child_tell(struct child *c, const struct msg *m);
/* Hands over the forward of a place. */
int child_tell_forward(struct child *c, const struct forwards *f, unsigned int place);
