/* SPDX-License-Identifier: BSD-2-Clause */
/* A port in memory, for tests: frames to the guest are kept in a queue that the test reads, frames from
 * the guest are put in by the test. */
#pragma once

#include "port.h"

struct mem_frame {
	struct offload offload;
	size_t n_bytes;
	uint8_t bytes[]; /* n_bytes of them */
};

/* caps: enum port_cap, as the test's guest would negotiate. n_queue: frames held before -ENOBUFS. */
int mem_port_new(struct loop *l, const struct port_owner *owner, uint32_t caps, unsigned int n_queue,
		struct port **ret);

/* The oldest frame to the guest, which is the caller's to free, or NULL. Calls owner->room() if the
 * queue had been full. */
struct mem_frame *mem_port_take(struct port *p);
/* A frame from the guest, as if its first head_bytes bytes were copied out and the rest lay in guest
 * memory. */
void mem_port_inject(struct port *p, const void *frame, size_t n_bytes, const struct offload *o);
