/* SPDX-License-Identifier: BSD-2-Clause */
/* What all parts of one simulation share: the seed, the clock, and a trace of the last frames, which is
 * printed when something is found wrong. */
#pragma once

#include <setjmp.h>

#include "mem.h"
#include "rng.h"
#include "tcp.h"

#define SIM_TRACE_FRAMES 200
#define SIM_TRACE_HEAD   80
#define SIM_START_MS     1000000

struct sim_trace {
	uint64_t ms;
	char tag[16];
	char note[96]; /* not empty: a remark in place of a frame */
	struct offload offload;
	size_t n_bytes;
	uint8_t head[SIM_TRACE_HEAD];
};

struct sim {
	uint64_t seed;
	struct rng rng;
	uint64_t now_ms;
	char what[160];    /* the case under test */
	jmp_buf *expected; /* where to go in place of failing: a test of the rules themselves */
	uint64_t n_traced;
	struct sim_trace trace[SIM_TRACE_FRAMES];
};

/* VMLAN_SIM_SEED in the environment takes the place of the seed. */
void sim_init(struct sim *s, uint64_t seed, const char *what);
void sim_trace_frame(struct sim *s, const char *tag, const struct mem_frame *f);
void sim_note(struct sim *s, const char *format, ...) _printf_(2, 3);

/* Prints seed, case and trace, and ends the test. */
_Noreturn void sim_fail(struct sim *s, const char *format, ...) _printf_(2, 3);

#define sim_check(s, condition, ...)                                                                         \
	do {                                                                                                 \
		if (unlikely(!(condition)))                                                                  \
			sim_fail(s, __VA_ARGS__);                                                            \
	} while (0)

/* Its TCP header and how much data it has; false if it is no TCP segment. */
bool sim_frame_tcp(const struct mem_frame *f, struct tcp *ret, size_t *ret_n_bytes);

/* Frames on the heap. */
struct mem_frame *sim_frame_new(size_t n_bytes);
struct mem_frame *sim_frame_copy(const struct mem_frame *f);
