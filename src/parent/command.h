/* SPDX-License-Identifier: BSD-2-Clause */
/* A command in network and mount namespaces of its own (bare `netns`): as root there, where the caller is
 * not root, in a user namespace that maps root to the caller. */
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include "netns.h"

struct command {
	pid_t pid; /* 0: none, or it has ended */
	int go_fd; /* closed to let it not begin; a byte lets it */
};

struct command_config {
	char **argv;
	struct netns_tap tap;
	uint32_t dns_be;       /* in its /etc/resolv.conf */
	const char *search;    /* of resolv.conf: "a.example b.example"; "": none */
	struct rlimit n_files; /* to be given back before it starts */
};

/* Starts the process, which waits. Returns the tap in its namespace, or -errno with ret_what. */
int command_prepare(const struct command_config *c, struct command *ret, char ret_what[NETNS_WHAT_BYTES]);
/* Its network works: it begins. */
void command_begin(struct command *c);
/* waitpid()'s status as an exit status, as shells do. */
int command_exit_status(int wait_status);
