/* SPDX-License-Identifier: BSD-2-Clause */
/* A reference guest: one IPv4 station with a TCP of its own (RFC 9293, with the retransmission timer of
 * RFC 6298, fast retransmit and congestion control of RFC 5681 and 6582, window scale of RFC 7323, and
 * challenge ACKs of RFC 5961), to hold the gateway's against. It shares only the wire formats with it.
 *
 * Positions in either stream are 64-bit and count from the SYN: 0 is the SYN, byte k of the data is at
 * k + 1, the FIN behind the last byte. They become sequence numbers when a segment is made, so that
 * wrapping is not an event. Data is made from the stream's seed and checked against it where it arrives;
 * neither buffer holds bytes, only how many there are.
 *
 * peer_inspect() sees each frame as the other end sent it, before a line delays or loses it, and ends the
 * test at the first that breaks a rule; peer_input() sees what arrives. */
#pragma once

#include "addr.h"
#include "app.h"
#include "sim.h"
#include "tcp.h"

#define PEER_RANGES_MAX 256
#define PEER_RTO_MIN_MS 200
#define PEER_LEAST_MSS  88
#define PEER_RTO_MAX_MS 60000

enum peer_state {
	PEER_CLOSED,
	PEER_LISTEN,
	PEER_SYN_SENT,
	PEER_SYN_RCVD,
	PEER_ESTABLISHED,
	PEER_FIN_WAIT_1,
	PEER_FIN_WAIT_2,
	PEER_CLOSING,
	PEER_TIME_WAIT,
	PEER_CLOSE_WAIT,
	PEER_LAST_ACK,
	PEER_STATE_MAX,
};

struct peer_tcp_config {
	uint32_t remote_be;
	uint16_t remote_port, local_port;
	uint32_t iss;
	uint32_t rcvbuf_bytes; /* 0: 256 KiB */
	uint32_t sndbuf_bytes; /* 0: 256 KiB */
	bool no_wscale;
	uint8_t wscale;
	uint16_t mss;         /* announced; 0: MTU - 40 */
	bool no_mss;          /* announces none */
	uint32_t delack_ms;   /* 0: acknowledges at once */
	bool congestion;      /* slow start and so on; else the window alone limits it */
	bool recut;           /* cuts what it sends again at other places */
	bool urgent;          /* marks some of its data as urgent */
	uint32_t timewait_ms; /* 0: 60 s */
	uint32_t n_retries;   /* 0: 15 */
	struct app_config app;
};

struct peer_range {
	uint64_t from, to;
};

/* What the other end has shown on the wire. */
struct peer_seen {
	bool syn, ack, fin, rst;
	uint32_t irs;
	uint8_t scale;
	uint64_t edge;  /* the furthest right edge of its window: our positions */
	uint64_t acked; /* the highest acknowledgement: our positions */
	uint64_t max;   /* behind the last position that it used: its positions */
	uint64_t fin_at;
	uint64_t n_segments, n_data_bytes, n_pure_acks, n_again_bytes;
	uint64_t n_challenges; /* acknowledgements that say nothing new */
	uint64_t n_zero_windows, n_rst, n_syn, n_fin;
	uint64_t n_crumbs; /* a window smaller than a segment opened by less than half of one */
};

struct peer_conn {
	struct peer *peer;
	struct peer_conn *next;
	struct peer_tcp_config c;
	enum peer_state state;
	struct app app;
	int icmp_type, icmp_code; /* of the last ICMP error; -1: none */

	uint64_t una, nxt, max, end; /* end: behind the last byte that the application wrote */
	uint64_t fin_at;             /* 0: no FIN yet */
	uint64_t snd_wnd, max_wnd, wl1, wl2;
	uint8_t snd_scale, rcv_scale;
	bool scale_offered; /* by the other end's SYN */
	uint32_t mss;
	uint64_t cwnd, ssthresh, recover;
	unsigned int n_dup;
	bool recovering;
	uint32_t rto_ms, base_rto_ms, srtt_ms, rttvar_ms;
	uint64_t rtt_at, rtt_start_ms;
	uint32_t n_retries, n_probes;

	uint32_t irs;
	uint64_t rcv_nxt, rcv_edge, rcv_fin, n_unread;
	struct peer_range ranges[PEER_RANGES_MAX];
	unsigned int n_ranges;
	bool ack_now;
	unsigned int n_unacked;

	/* When; 0: not set. */
	uint64_t rto_due_ms, persist_due_ms, delack_due_ms, timewait_due_ms;

	struct peer_seen seen;
	uint64_t n_rto, n_fast, n_persist, n_out_segments, n_out_again_bytes;
};

struct peer_config {
	struct sim *sim;
	struct mac mac;
	uint32_t ip_be;
	struct mac gateway_mac; /* zero: asked for with ARP */
	uint32_t gateway_be;
	uint16_t mtu;
	bool rx_tso, rx_csum; /* takes super-frames, frames without a checksum */
	bool tx_tso, tx_csum; /* sends such */
	bool faulty;          /* the cable may cut frames short: what is broken is dropped, not a failure */
	void (*out)(void *ctx, struct mem_frame *f); /* takes it over */
	void *ctx;
};

struct peer {
	struct sim *sim;
	struct peer_config c;
	struct mac gateway_mac;
	bool have_gateway;
	struct peer_conn *conns;
	struct peer_tcp_config listener;
	bool listening;
	uint16_t listen_port;
	uint16_t ip_id;
	uint64_t n_rst_unknown; /* RSTs that we sent for want of a connection */
	uint64_t n_bad;
	/* Frames that are not TCP or ARP (the whole frame); may be NULL. */
	void (*other)(void *ctx, const struct mem_frame *f);
	void *other_ctx;
};

void peer_init(struct peer *p, const struct peer_config *c);
void peer_done(struct peer *p);

/* A request for the gateway's address. */
void peer_arp(struct peer *p);
/* Active open. */
struct peer_conn *peer_connect(struct peer *p, const struct peer_tcp_config *c);
/* Each SYN to port makes a connection after this pattern. */
void peer_listen(struct peer *p, uint16_t port, const struct peer_tcp_config *c);
struct peer_conn *peer_find(struct peer *p, uint16_t local_port, uint32_t remote_be, uint16_t remote_port);
/* Forgets it without a word, as a guest does that was restored from a snapshot. */
void peer_forget(struct peer *p, struct peer_conn *c);

void peer_inspect(struct peer *p, const struct mem_frame *f);
void peer_input(struct peer *p, const struct mem_frame *f);
/* Timers, applications, output. */
void peer_run(struct peer *p);
uint64_t peer_next_ms(struct peer *p);

/* A segment of the test's own, between this connection's addresses, with no effect on it. */
struct peer_raw {
	uint8_t flags;
	uint32_t seq, ack;
	uint16_t window, urgent;
	const void *data;
	size_t n_bytes;
	const void *options; /* of whatever form; n_options is a multiple of 4, up to 40 */
	size_t n_options;
	uint16_t csum_error; /* added to the checksum */
};
void peer_send_raw(struct peer_conn *c, const struct peer_raw *r);
/* An IPv4 packet to the gateway. */
void peer_send_ip(
	struct peer *p, uint8_t proto, uint32_t dst_be, const void *l4, size_t n_bytes, uint8_t ttl);

static inline uint32_t peer_seq(const struct peer_conn *c, uint64_t position)
{
	return c->c.iss + (uint32_t)position;
}

static inline uint32_t peer_ack(const struct peer_conn *c, uint64_t position)
{
	return c->irs + (uint32_t)position;
}

const char *peer_state_name(enum peer_state s);
