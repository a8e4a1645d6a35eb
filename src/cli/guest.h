/* SPDX-License-Identifier: BSD-2-Clause */
/* The processes of `vmlan run`: QEMU, one network for each of its user back ends, and who looks after its
 * taps. */
#pragma once

#include <limits.h>

#include "guest_tap.h"
#include "user_conf.h"

/* Where execvp() would find a command: 0 and the path, or -errno (-ENOENT: nowhere). */
int guest_find_command(const char *name, char ret[PATH_MAX]);

/* What `path --version` prints, at most n - 1 bytes of it. 0 or -errno; it is given five seconds. */
int guest_ask_version(const char *path, char *ret, size_t n);

/* One network: its configuration, and both ends of the cable. */
struct guest_network {
	const char *name;
	struct user_conf *conf; /* gets the engine's end as its port */
	bool by_vhost;          /* the engine's end listens, and QEMU's is where to connect */
	int guest_fd;           /* QEMU's end: closed on exec until QEMU's own */
	int guest_life_fd;      /* by_vhost: QEMU has it for as long as it runs; else -1 */
	int engine_fd;
	pid_t pid; /* 0: not running */
	int ready_fd;
};

/* 0 or -errno. */
int guest_cable_new(struct guest_network *n);
void guest_cable_done(struct guest_network *n);

/* What QEMU gets. */
struct guest_config {
	char **argv;
	struct guest_network *networks;
	unsigned int n_networks;
	struct guest_tap *taps; /* made, and their scripts not run yet */
	unsigned int n_taps;
	bool daemonizes;
};

/* Starts the networks, then QEMU, and stays until that ends. An exit status: QEMU's own, 128 + n for a
 * signal, 127 or 126 if it could not be run; 1 when a network could not be started. */
int guest_run(const struct guest_config *c);
