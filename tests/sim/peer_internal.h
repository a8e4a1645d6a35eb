/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the reference peer. */
#pragma once

#include "peer_tcp.h"

struct peer_packet {
	struct tcp tcp;
	const uint8_t *data;
	size_t n_bytes;
	uint32_t src_be;
};

/* peer_out.c */
void peer_out_segment(struct peer_conn *c, uint64_t position, size_t n_bytes, uint8_t flags);
void peer_out_syn(struct peer_conn *c);
void peer_out_ack(struct peer_conn *c);
void peer_out_refuse(struct peer *p, const struct peer_packet *k);
/* One segment at una again. */
void peer_out_again(struct peer_conn *c);
void peer_out(struct peer_conn *c);
void peer_out_timers(struct peer_conn *c);

/* peer_in.c */
void peer_in(struct peer_conn *c, const struct peer_packet *k);
void peer_close(struct peer_conn *c, int error);

/* peer_tcp.c */
void peer_send_tcp(struct peer *p, uint32_t dst_be, const struct tcp *t, uint64_t seed, uint64_t offset,
	size_t n_bytes, const void *data, uint16_t gso_size);
struct peer_conn *peer_new_conn(struct peer *p, const struct peer_tcp_config *config, enum peer_state state);

static inline uint64_t peer_offset(uint64_t position)
{
	return position - 1;
}
