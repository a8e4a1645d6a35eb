/* SPDX-License-Identifier: BSD-2-Clause */
/* What stands above a port in tests: remembers what it was told. */
#pragma once

#include "port.h"

struct owner {
	struct port_owner ops;
	unsigned int n_calls, n_frames, n_room, n_closed, n_opened;
	unsigned int longest_batch;
	int error;
	bool final;
	uint8_t last[FRAME_MAX_BYTES];
	size_t last_bytes;
	struct offload last_offload;
	/* May be NULL: called for each frame. */
	void (*each)(void *ctx, struct port *p, const struct frame *f);
	void (*on_room)(void *ctx, struct port *p);
	void *ctx;
};

static void owner_input(void *ctx, struct port *p, const struct frame *frames, unsigned int n)
{
	struct owner *o = ctx;

	o->n_calls++;
	o->longest_batch = MAX(o->longest_batch, n);
	for (unsigned int i = 0; i < n; i++) {
		const struct frame *f = &frames[i];

		assert_true(f->head_bytes >= MIN(f->n_bytes, (size_t)FRAME_HEAD_BYTES));
		assert_true(frame_copy(f, 0, f->n_bytes, o->last));
		o->last_bytes = f->n_bytes;
		o->last_offload = f->offload;
		o->n_frames++;
		if (o->each)
			o->each(o->ctx, p, f);
	}
}

static void owner_room(void *ctx, struct port *p)
{
	struct owner *o = ctx;

	o->n_room++;
	if (o->on_room)
		o->on_room(o->ctx, p);
}

static void owner_closed(void *ctx, struct port *p, int error, bool final)
{
	struct owner *o = ctx;

	o->n_closed++;
	o->error = error;
	o->final = final;
}

static void owner_opened(void *ctx, struct port *p)
{
	struct owner *o = ctx;

	o->n_opened++;
}

static inline void owner_init(struct owner *o)
{
	memset(o, 0, sizeof(*o));
	o->ops = (struct port_owner){
		.input = owner_input,
		.room = owner_room,
		.closed = owner_closed,
		.opened = owner_opened,
		.ctx = o,
	};
}
