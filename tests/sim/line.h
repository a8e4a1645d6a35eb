/* SPDX-License-Identifier: BSD-2-Clause */
/* One direction of a cable: frames come out after a delay, or never, or twice. Frames are lost whole. */
#pragma once

#include "sim.h"

struct line_config {
	uint32_t delay_ms, jitter_ms; /* jitter puts frames out of order */
	unsigned int lose, repeat;    /* per mille */
	unsigned int n_max;           /* frames under way: what comes while there are so many is lost; 0: any */
	/* Loses the frames that a test names; may be NULL. */
	bool (*lost)(void *ctx, const struct mem_frame *f);
	void *ctx;
};

struct line_frame {
	struct line_frame *prev, *next;
	uint64_t due_ms;
	struct mem_frame *f;
};

struct line {
	struct sim *sim;
	struct line_config c;
	struct line_frame *first, *last; /* by due_ms */
	unsigned int n;
	uint64_t n_put, n_lost;
};

void line_init(struct line *l, struct sim *sim, const struct line_config *c);
void line_done(struct line *l);

/* Takes the frame over. */
void line_put(struct line *l, struct mem_frame *f);
/* The next that is due, the caller's to free; NULL if none is. */
struct mem_frame *line_take(struct line *l);
uint64_t line_next_ms(const struct line *l);
