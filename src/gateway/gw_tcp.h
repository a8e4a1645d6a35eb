/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP: a connection of the guest, ended here, and a socket of the host, joined.
 *
 * Towards the host the kernel does TCP; towards the guest this does, over a link that keeps order and
 * loses next to nothing. What the guest's peer does not see of it: sequence numbers, windows and
 * retransmission are each side's own.
 *
 * From the guest. A segment that is next in order is handed to sendmsg() where it lies. What the socket
 * took is acknowledged, exactly, in the middle of a segment if need be: an acknowledgement means that
 * this host's kernel has taken the bytes, as it means that a peer's kernel has; whether an application
 * ever reads them no TCP says. Less than two segments wait a moment for data of the host's that takes
 * their acknowledgement along (RFC 5681, 4.2): in a dialogue a guest is interrupted once for an answer.
 * The window offered is the room that the socket has left; its right edge never moves back. When it is
 * spent, EPOLLOUT says when to open it again. What does not come in order is dropped and answered with an
 * acknowledgement, so that the guest retransmits.
 *
 * To the guest. Data is peeked (MSG_PEEK) from the socket straight into a frame, and stays in the
 * socket's receive queue until the guest acknowledges it: then it is discarded (MSG_TRUNC), once a
 * batch. Retransmitting is peeking again: snd_nxt goes back to snd_una, and what may be in flight is bounded by
 * cwnd from then on, for emulated NICs with few receive buffers lose what is more. Where SO_PEEK_OFF is missing,
 * what was peeked before is peeked over (GW_TCP_PEEK_OVER bytes at most are in flight then).
 *
 *  state        fd   what has happened              what is awaited
 *  CONNECTING   yes  SYN from the guest             connect() to end
 *  RESOLVING    yes  accepted from a forward        the guest's MAC
 *  SYN_SENT     yes  SYN to the guest               its SYN
 *  SYN_RCVD     yes  SYN,ACK to the guest           its ACK
 *  ESTABLISHED  yes  both are open; FINs are flags  data, FINs
 *  LINGER       no   both FINs acknowledged         two segment life times (RFC 9293, 3.3.2 TIME-WAIT)
 *
 * Only in ESTABLISHED may data be sent either way; GUEST_FIN ends it from the guest, FIN_SENT to it.
 * The host's socket is closed in order only when the guest has acknowledged everything and the queue
 * has been discarded to its end: closing it earlier would reset the connection and destroy what the
 * other direction had accepted. */
#pragma once

#include "gw.h"
#include "tcp.h"

#define GW_TCP_MSL_MS      5000   /* on a link without routers */
#define GW_TCP_RTO_MIN_MS  250
#define GW_TCP_RTO_INIT_MS 1000   /* RFC 6298, 2.1 */
#define GW_TCP_RTO_MAX_MS  60000
#define GW_TCP_SYN_RETRIES 7      /* 183 s: RFC 9293, MUST-23, wants three minutes */
#define GW_TCP_RETRIES     12     /* of a guest that is alive; a silent one may be paused */
#define GW_TCP_KEEP_MS     7200000
#define GW_TCP_WATCH_MS    5000
#define GW_TCP_ACK_MS      4 /* that an acknowledgement waits for data to go with; RFC 9293, 3.8.6.3 allows 500 */
#define GW_TCP_GONE_MS     86400000 /* a port silent for so long has no guest any more, not a paused one */
#define GW_TCP_PEEK_OVER   (256u << 10)
#define GW_TCP_WSCALE      8
#define GW_TCP_HEAD_BYTES  (ETH_HEADER_BYTES + IP4_HEADER_BYTES + TCP_HEADER_BYTES)

enum gw_tcp_state {
	GW_TCP_CONNECTING,
	GW_TCP_RESOLVING,
	GW_TCP_SYN_SENT,
	GW_TCP_SYN_RCVD,
	GW_TCP_ESTABLISHED,
	GW_TCP_LINGER,
	GW_TCP_STATE_MAX,
};

enum gw_tcp_flag {
	GW_TCP_GUEST_FIN = 1 << 0,   /* taken; the socket is shut for writing */
	GW_TCP_HOST_EOF = 1 << 1,    /* the socket's data ends at snd_max, or before our FIN */
	GW_TCP_FIN_SENT = 1 << 2,    /* snd_max is one past our FIN */
	GW_TCP_FIN_ACKED = 1 << 3,
	GW_TCP_ACK_DUE = 1 << 4,     /* at the end of the batch */
	GW_TCP_READABLE = 1 << 5,    /* the socket may hold what was not peeked */
	GW_TCP_HOST_HUP = 1 << 6,    /* end of file, error or urgent data lies behind: read until EAGAIN */
	GW_TCP_SOCKET_FULL = 1 << 7, /* data was dropped: the socket did not take it */
	GW_TCP_NO_ROOM = 1 << 8,     /* the guest's port had none */
	GW_TCP_REWOUND = 1 << 9,     /* until recover is acknowledged, duplicate ACKs count no more */
	GW_TCP_TIMING = 1 << 10,     /* rtt_seq is being timed */
	GW_TCP_INBOUND = 1 << 11,
	GW_TCP_ACK_SOON = 1 << 12,     /* due, but may wait a moment for data to go with */
	GW_TCP_ACK_WAITS = 1 << 13,    /* does so: it is in the gateway's list */
	GW_TCP_CLOSED_FIRST = 1 << 14, /* our FIN went out before the guest's came: TIME-WAIT is ours */
	GW_TCP_OUT_ARMED = 1 << 15,    /* EPOLLOUT will come when the socket has room */
	GW_TCP_OUT_READY = 1 << 16,    /* it came: look at the window */
	GW_TCP_HOST_ERROR = 1 << 17,   /* the socket is broken: what it still holds, then RST */
};

/* What a flow's timer is for, in ESTABLISHED. */
enum gw_tcp_timer {
	GW_TCP_TIMER_NONE,
	GW_TCP_TIMER_RTO,     /* something is in flight: send it again */
	GW_TCP_TIMER_PERSIST, /* the guest's window is shut: ask */
	GW_TCP_TIMER_WATCH,   /* idle since a moment: look once whether an event was missed */
	GW_TCP_TIMER_KEEP,    /* idle for long: is the guest there? */
};

/* gw_tcp.c */
void gw_tcp_reset(struct gateway *g, struct flow *f); /* RST to both ends; the flow is gone */
void gw_tcp_finish(struct gateway *g, struct flow *f); /* both FINs are acknowledged */
enum drop_reason gw_tcp_open(struct gateway *g, struct gw_pkt *k, const struct tcp *t, const struct flow_key *key);
void gw_tcp_established(struct gateway *g, struct flow *f, const struct tcp *t);

/* gw_tcp_in.c */
enum drop_reason gw_tcp_segment(struct gateway *g, struct flow *f, struct gw_pkt *k, const struct tcp *t);

/* gw_tcp_out.c */
void gw_tcp_send_flags(struct gateway *g, struct flow *f, uint8_t flags); /* SYN, ACK, RST: no data */
void gw_tcp_send_ack(struct gateway *g, struct flow *f);                  /* now, with the window as it is */
void gw_tcp_ack(struct gateway *g, struct flow *f); /* if one is due, now or in a moment, as RFC 5681, 4.2 wants it */
void gw_tcp_refuse(struct gateway *g, const struct gw_pkt *k, const struct tcp *t); /* RST, no flow */
/* Sends what window and port allow; ends with an ACK if one is due. false: the flow is gone. */
bool gw_tcp_push(struct gateway *g, struct flow *f);
void gw_tcp_update_window(struct gateway *g, struct flow *f);
/* What a new socket has room for; how much more is looked at when that has come. */
uint32_t gw_tcp_first_window(struct gateway *g, struct flow *f);
void gw_tcp_rewind(struct gateway *g, struct flow *f);
void gw_tcp_probe(struct gateway *g, struct flow *f); /* zero window, keep-alive */
/* Sets the timer for what is outstanding; one that already runs for that goes on unless restarted. */
void gw_tcp_arm(struct gateway *g, struct flow *f, bool restart);
