/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of QEMU's tap back end, as a tap that the caller makes in QEMU's place. */
#pragma once

#include "qemu_net.h"

#define QEMU_TAP_QUEUES_MAX 1024 /* QEMU's */
#define QEMU_TAP_NAME_BYTES 16   /* the kernel's IFNAMSIZ */

enum qemu_tap_outcome {
	QEMU_TAP_MADE = 0,
	QEMU_TAP_LEFT, /* it exists already (fd, fds), a helper makes it, or it is for QEMU to refuse */
	QEMU_TAP_OUTCOME_MAX,
};

struct qemu_tap {
	char ifname[QEMU_TAP_NAME_BYTES]; /* "" or a pattern (tap%d): the kernel chooses */
	char *script, *downscript;        /* heap; NULL: none */
	unsigned int n_queues;
	bool vnet_hdr, vnet_hdr_required;
	/* Of a tap on a bridge (qemu_lan.h): its name, or its network's. */
	char bridge[QEMU_TAP_NAME_BYTES];
	bool is_network; /* lan=: it has to be a network's */
	bool vhost;      /* QEMU is told vhost=on, which the line leaves open */
	char *name; /* heap: the id of the back end */
	int *fds;   /* heap: QEMU's descriptors, n_queues of them; the caller's to fill in */
};

void qemu_tap_done(struct qemu_tap *t);
/* Is this an option that goes into the making, and that QEMU does not take beside fd=? */
bool qemu_tap_owns(const char *key);
/* Has it several queues, which no hub carries? */
bool qemu_tap_is_multiqueue(const struct qemu_part *p);
/* An outcome, -ENOMEM, or -EINVAL and *e where QEMU would refuse the line too. ret is to be done with after
 * QEMU_TAP_MADE only; its name is not set. */
int qemu_tap_parse(const struct qemu_part *p, struct qemu_tap *ret, struct qemu_error *e);
/* queues=, and room for as many descriptors. 0, -ENOMEM, or -EINVAL and *e. */
int qemu_tap_read_queues(const struct qemu_part *p, struct qemu_tap *ret, struct qemu_error *e);
