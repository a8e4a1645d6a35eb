/* SPDX-License-Identifier: BSD-2-Clause */
/* The processes of `vmlan run`: QEMU, one network for each of its user back ends, and who looks after its
 * taps and answers for it. */
#pragma once

#include <limits.h>

#include "guest_network.h"
#include "guest_tap.h"
#include "qemu_plan.h"

/* Where execvp() would find a command: 0 and the path, or -errno (-ENOENT: nowhere). */
int guest_find_command(const char *name, char ret[PATH_MAX]);

/* What `path --version` prints, at most n - 1 bytes of it. 0 or -errno; it is given five seconds. */
int guest_ask_version(const char *path, char *ret, size_t n);

/* QEMU's monitor for us: a socket that QEMU inherits, and what tells it so. */
struct guest_monitor {
	int our_fd, guest_fd; /* -1: none */
	int config_fd;        /* QEMU reads it as -readconfig /proc/self/fd/N */
};

/* 0 or -errno. */
int guest_monitor_new(struct guest_monitor *ret);
void guest_monitor_done(struct guest_monitor *m);

/* What QEMU gets. */
struct guest_config {
	char **argv;
	const struct qemu_version *version;
	const char *name;          /* of the guest; NULL: it has none */
	const char *default_model; /* of a NIC */
	const struct user_conf *common; /* what goes for each network, also for those to come */
	struct guest_network *networks;
	unsigned int n_networks;
	struct guest_tap *taps; /* made, and their scripts not run yet */
	unsigned int n_taps;
	struct guest_monitor *monitor;
	bool daemonizes;
};

/* Starts the networks, then QEMU, and stays until that ends. An exit status: QEMU's own, 128 + n for a
 * signal, 127 or 126 if it could not be run; 1 when a network could not be started. */
int guest_run(const struct guest_config *c);
