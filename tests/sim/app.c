/* SPDX-License-Identifier: BSD-2-Clause */
#include "app.h"

static bool pace_stopped(const struct app_pace *p, uint64_t done, uint64_t age_ms)
{
	return p->stop_at && done >= p->stop_at && (!p->resume_ms || age_ms < p->resume_ms);
}

static uint64_t pace_room(const struct app *a, const struct app_pace *p, struct app_pace_state *s,
	uint64_t done, uint64_t now_ms)
{
	uint64_t age_ms = now_ms - a->start_ms;
	uint64_t room = UINT64_MAX;

	if (pace_stopped(p, done, age_ms) || now_ms < s->pause_until_ms)
		return 0;
	if (p->stop_at && done < p->stop_at && (!p->resume_ms || age_ms < p->resume_ms))
		room = p->stop_at - done;
	if (p->pause_every)
		room = MIN(room, s->next_pause_at - done);
	if (p->rate) {
		if (s->stamp_ms != now_ms) {
			s->stamp_ms = now_ms;
			s->tokens = p->rate;
		}
		room = MIN(room, s->tokens);
	}
	return room;
}

static void pace_spend(
	const struct app_pace *p, struct app_pace_state *s, uint64_t done, uint64_t n, uint64_t now_ms)
{
	if (p->rate)
		s->tokens -= n;
	if (p->pause_every && done >= s->next_pause_at) {
		s->next_pause_at = done + p->pause_every;
		s->pause_until_ms = now_ms + p->pause_ms;
	}
}

/* When there will be room again; now if there is. */
static uint64_t pace_next(const struct app *a, const struct app_pace *p, struct app_pace_state *s,
	uint64_t done, uint64_t now_ms)
{
	if (pace_room(a, p, s, done, now_ms))
		return now_ms;
	if (pace_stopped(p, done, now_ms - a->start_ms))
		return p->resume_ms ? a->start_ms + p->resume_ms : UINT64_MAX;
	return MAX(now_ms + 1, s->pause_until_ms);
}

void app_start(struct app *a, const struct app_config *c, uint64_t now_ms)
{
	*a = (struct app){.c = *c, .started = true, .start_ms = now_ms};
	a->send.next_pause_at = c->send.pause_every;
	a->recv.next_pause_at = c->recv.pause_every;
}

static uint64_t left_to_send(const struct app *a)
{
	return (a->c.echo ? a->n_received : a->c.send_bytes) - a->n_sent;
}

uint64_t app_send_room(struct app *a, uint64_t now_ms)
{
	if (!a->started || a->error || a->fin_sent || a->reset_sent)
		return 0;
	return MIN(left_to_send(a), pace_room(a, &a->c.send, &a->send, a->n_sent, now_ms));
}

uint64_t app_recv_room(struct app *a, uint64_t now_ms)
{
	if (!a->started || a->reset_sent)
		return 0;
	uint64_t room = pace_room(a, &a->c.recv, &a->recv, a->n_received, now_ms);

	if (a->c.rst_after_received)
		room = MIN(room, a->c.rst_after_received - a->n_received);
	return room;
}

void app_sent(struct app *a, uint64_t n, uint64_t now_ms)
{
	a->n_sent += n;
	pace_spend(&a->c.send, &a->send, a->n_sent, n, now_ms);
}

void app_received(struct app *a, uint64_t n, uint64_t now_ms)
{
	a->n_received += n;
	pace_spend(&a->c.recv, &a->recv, a->n_received, n, now_ms);
}

void app_fin(struct app *a, uint64_t now_ms)
{
	a->fin_received = true;
}

void app_error(struct app *a, int error)
{
	if (!a->error)
		a->error = error;
}

/* It has nothing more to send, but for the FIN. */
static bool finished(const struct app *a)
{
	if (!a->started || a->error || a->fin_sent)
		return false;
	return left_to_send(a) == 0 && (a->fin_received || !(a->c.fin_after_fin || a->c.echo));
}

bool app_wants_fin(struct app *a, uint64_t now_ms)
{
	if (!finished(a) || a->c.no_fin || a->c.rst_after_sent)
		return false;
	if (!a->fin_due_ms)
		a->fin_due_ms = now_ms + a->c.fin_delay_ms;
	return now_ms >= a->fin_due_ms;
}

bool app_wants_rst(const struct app *a, uint64_t now_ms)
{
	if (!a->started || a->error || a->reset_sent)
		return false;
	if (a->c.rst_after_received && a->n_received >= a->c.rst_after_received)
		return true;
	if (a->c.rst_at_ms && now_ms >= a->start_ms + a->c.rst_at_ms)
		return true;
	return (a->c.rst_after_sent && finished(a)) || (a->c.rst_at_fin && a->fin_received);
}

uint64_t app_next_ms(struct app *a, uint64_t now_ms, uint64_t n_readable)
{
	uint64_t next_ms = UINT64_MAX, at_ms;

	if (!a->started || a->error || a->reset_sent)
		return UINT64_MAX;
	if (left_to_send(a) && !a->fin_sent && !app_send_room(a, now_ms))
		next_ms = pace_next(a, &a->c.send, &a->send, a->n_sent, now_ms);
	if (n_readable) {
		at_ms = pace_next(a, &a->c.recv, &a->recv, a->n_received, now_ms);
		next_ms = MIN(next_ms, at_ms);
	}
	if (a->fin_due_ms > now_ms && !a->fin_sent)
		next_ms = MIN(next_ms, a->fin_due_ms);
	at_ms = a->start_ms + a->c.rst_at_ms;
	if (a->c.rst_at_ms && at_ms > now_ms)
		next_ms = MIN(next_ms, at_ms);
	return next_ms;
}
