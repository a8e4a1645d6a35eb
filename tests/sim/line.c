/* SPDX-License-Identifier: BSD-2-Clause */
#include "line.h"

void line_init(struct line *l, struct sim *sim, const struct line_config *c)
{
	*l = (struct line){.sim = sim, .c = *c};
}

void line_done(struct line *l)
{
	struct line_frame *next;

	for (struct line_frame *e = l->first; e; e = next) {
		next = e->next;
		free(e->f);
		free(e);
	}
	l->first = l->last = NULL;
}

static void enqueue(struct line *l, struct mem_frame *f)
{
	struct line_frame *e = calloc(1, sizeof(*e));
	struct line_frame *after = l->last;

	if (!e)
		abort();
	e->f = f;
	e->due_ms = l->sim->now_ms + l->c.delay_ms;
	if (l->c.jitter_ms)
		e->due_ms += rng_below(&l->sim->rng, l->c.jitter_ms + 1);
	while (after && after->due_ms > e->due_ms)
		after = after->prev;
	e->prev = after;
	e->next = after ? after->next : l->first;
	*(after ? &after->next : &l->first) = e;
	*(e->next ? &e->next->prev : &l->last) = e;
	l->n++;
}

void line_put(struct line *l, struct mem_frame *f)
{
	l->n_put++;
	if ((l->c.n_max && l->n >= l->c.n_max) || (l->c.lost && l->c.lost(l->c.ctx, f)) || rng_chance(&l->sim->rng, l->c.lose)) {
		sim_trace_frame(l->sim, "lost", f);
		l->n_lost++;
		free(f);
		return;
	}
	if (rng_chance(&l->sim->rng, l->c.repeat))
		enqueue(l, sim_frame_copy(f));
	enqueue(l, f);
}

struct mem_frame *line_take(struct line *l)
{
	struct line_frame *e = l->first;

	if (!e || e->due_ms > l->sim->now_ms)
		return NULL;
	l->first = e->next;
	*(e->next ? &e->next->prev : &l->last) = NULL;
	l->n--;
	struct mem_frame *f = e->f;
	free(e);
	return f;
}

uint64_t line_next_ms(const struct line *l)
{
	return l->first ? l->first->due_ms : UINT64_MAX;
}
