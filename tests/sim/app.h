/* SPDX-License-Identifier: BSD-2-Clause */
/* An application at one end of a simulated connection: it sends so many bytes of a seeded stream, reads
 * those of another, at its own pace, and ends the connection in its own way. It knows no transport: the
 * guest's TCP (peer_tcp) and the far host's (sock_fake) ask it what it wants and tell it what came. */
#pragma once

#include "rng.h"

/* How fast one direction is served. All zero: as fast as it can be. Times count from app_start(). */
struct app_pace {
	uint32_t rate;        /* bytes a millisecond */
	uint64_t stop_at;     /* having done so many bytes (0: never), it stops ... */
	uint64_t resume_ms;   /* ... until then; 0: for good */
	uint32_t pause_every; /* bytes between two pauses of ... */
	uint32_t pause_ms;
};

struct app_config {
	uint64_t send_seed, recv_seed;
	uint64_t send_bytes;
	struct app_pace send, recv;
	bool echo;                   /* sends what it receives; send_seed and send_bytes mean nothing */
	bool no_fin;                 /* keeps its direction open after the last byte */
	bool fin_after_fin;          /* ends only after the other end has */
	uint32_t fin_delay_ms;       /* after the last byte, or after the other end's FIN */
	bool rst_after_sent;         /* resets in place of the FIN */
	uint64_t rst_after_received; /* resets at so many bytes; 0: never */
	bool rst_at_fin;             /* resets when the other end has finished */
	uint32_t rst_at_ms;          /* resets then; 0: never */
};

struct app_pace_state {
	uint64_t stamp_ms, tokens, pause_until_ms, next_pause_at;
};

struct app {
	struct app_config c;
	bool started;
	uint64_t start_ms;
	uint64_t n_sent, n_received;
	struct app_pace_state send, recv;
	uint64_t fin_due_ms; /* 0: not yet known */
	bool fin_sent, fin_received;
	bool reset_sent;
	int error; /* 0, or what a system call would say: ECONNRESET, ECONNREFUSED, ETIMEDOUT */
};

void app_start(struct app *a, const struct app_config *c, uint64_t now_ms);

/* Bytes that it would write, or read, if there were room, or data. */
uint64_t app_send_room(struct app *a, uint64_t now_ms);
uint64_t app_recv_room(struct app *a, uint64_t now_ms);
/* It has done so; the transport has made, or checked, the bytes themselves. */
void app_sent(struct app *a, uint64_t n_bytes, uint64_t now_ms);
void app_received(struct app *a, uint64_t n_bytes, uint64_t now_ms);

/* The other end's FIN, behind all its data; or the connection's end by an error. */
void app_fin(struct app *a, uint64_t now_ms);
void app_error(struct app *a, int error);

bool app_wants_fin(struct app *a, uint64_t now_ms);
bool app_wants_rst(const struct app *a, uint64_t now_ms);

/* When it will want something that it does not want now; UINT64_MAX: nothing by itself. n_readable: what
 * the transport holds for it. Room to send that the transport could not take does not count. */
uint64_t app_next_ms(struct app *a, uint64_t now_ms, uint64_t n_readable);

static inline uint64_t app_seed_of_sent(const struct app *a)
{
	return a->c.echo ? a->c.recv_seed : a->c.send_seed;
}
