/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside of qemu_plan.c and qemu_emit.c: a plan while it is made. First it is decided what becomes of each
 * part of the line, then each is written in its place. */
#pragma once

#include "qemu_plan.h"

#define QEMU_ID_BYTES 32

/* How a part on a hub is joined to the others there. */
enum qemu_join {
	QEMU_JOIN_KEEP,  /* as the line says: QEMU's own hub */
	QEMU_JOIN_CABLE, /* one NIC and one back end, or a back end alone: no hub between */
	QEMU_JOIN_PORTS, /* -netdev hubport: each on a port of the hub */
	QEMU_JOIN_MAX,
};

/* What becomes of one part. */
struct qemu_decision {
	int network, tap; /* that its back end became; -1: none */
	enum qemu_join join;
	const char *id; /* of the netdev that the back end is, or that the NIC names; NULL: none */
	char made_id[QEMU_ID_BYTES],
		port_id[QEMU_ID_BYTES]; /* that we made up: of the back end, of its hub port */
};

struct qemu_maker {
	const struct qemu_line *line;
	const struct qemu_version *version;
	struct qemu_plan *plan;
	struct qemu_error *error;
	struct qemu_decision *decisions; /* heap; of each part */
	struct qemu_decision implied;    /* of the user back end that the line leaves to QEMU's default */
	unsigned int n_ids;              /* made up so far */
	int part;                        /* that is being written */
};

/* An id of our own that nothing on the line has. */
void qemu_maker_id(struct qemu_maker *m, char ret[QEMU_ID_BYTES]);
/* hubport and filter-dump take the place of vlan= and -net dump. */
bool qemu_maker_has_no_vlans(const struct qemu_maker *m);
/* -net nic does not place its NIC in the slot that addr= says. */
bool qemu_maker_ignores_addr(const struct qemu_maker *m);

/* Writes the line that the decisions make. 0 or -ENOMEM. */
int qemu_emit(struct qemu_maker *m);
/* Grows an array of the plan by one: 0 or -ENOMEM. */
int qemu_grow(void **array, unsigned int n, size_t size);
