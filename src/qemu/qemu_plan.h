/* SPDX-License-Identifier: BSD-2-Clause */
/* From a QEMU line to the networks that we serve for it, the taps that we make for it, and the line that
 * joins QEMU to them. */
#pragma once

#include "qemu_memory.h"
#include "qemu_net.h"
#include "qemu_tap.h"
#include "qemu_user.h"

struct qemu_version {
	unsigned int major, minor; /* 0, 0: not known */
};

/* From what `qemu --version` prints; false if it does not say. */
bool qemu_version_parse(const char *text, struct qemu_version *ret);
bool qemu_version_is_at_least(const struct qemu_version *v, unsigned int major, unsigned int minor);

struct qemu_network {
	struct user_conf conf; /* no ports yet */
	int hub;               /* of QEMU's, that it is joined to; -1: none */
	char *name;            /* heap: the id of the back end, or what stands for it */
	bool by_vhost;         /* qemu_vhost.h: QEMU connects to the descriptor, rather than to have it */
	char why_stream[QEMU_WHY_BYTES]; /* for a person; empty: nobody asked for more */
};

/* An argument of the new line. Between its parts stand QEMU's descriptors: the number of a network's, or
 * those of a tap with colons between. */
struct qemu_arg {
	char *before; /* heap */
	int network;  /* -1: none */
	int tap;      /* -1: none */
	char *after;  /* heap; NULL without either */
	int part;     /* of the line, that it comes from; -1: none of them */
};

struct qemu_plan {
	struct qemu_network *networks; /* heap */
	unsigned int n_networks;
	struct qemu_tap *taps; /* heap */
	unsigned int n_taps;
	struct qemu_arg *args; /* heap; the first is the program */
	unsigned int n_args;
	char **notes; /* heap: lines for a person, without full stop */
	unsigned int n_notes;
};

/* 0, -ENOMEM, or -EINVAL and *e. The line need not outlive the call. */
int qemu_plan_make(
	const struct qemu_line *l, const struct qemu_version *v, struct qemu_plan *ret, struct qemu_error *e);
void qemu_plan_done(struct qemu_plan *p);

/* The new line, NULL-terminated: heap, to be freed by qemu_argv_free(); NULL: no memory. fds: QEMU's
 * descriptor of each network; those of taps are the plan's. */
char **qemu_plan_argv(const struct qemu_plan *p, const int *fds);
char **qemu_argv_free(char **argv);
