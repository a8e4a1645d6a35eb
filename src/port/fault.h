/* SPDX-License-Identifier: BSD-2-Clause */
/* A port around another, for tests: loses, repeats, delays, reorders and cuts short what passes, from a
 * seed. */
#pragma once

#include "port.h"

struct fault_config {
	uint64_t seed;
	/* Per mille of frames, each way. */
	unsigned int lose, repeat, swap, truncate, no_room;
};

/* inner must have been made with fault_owner() as its owner. Takes inner over. */
int fault_port_new(struct loop *l, const struct port_owner *owner, const struct fault_config *c,
		struct port **ret);
const struct port_owner *fault_owner(struct port *fault);
int fault_port_wrap(struct port *fault, struct port *inner);
