/* SPDX-License-Identifier: BSD-2-Clause */
/* A simulated host behind `struct sock_ops`: its kernel's sockets and, at their far ends, applications.
 *
 * TCP. Each connection is two pipes with a delay and a limit at both ends, as Linux has them: bytes wait
 * in the send buffer until the far end has room, travel, and wait in the receive queue until they are
 * read. Since bytes follow from a seed (rng.h), a pipe holds only counts; what the gateway sends is
 * checked where it hands it over, what it reads is made where it reads it. Kept of Linux, since the
 * gateway rests on it: MSG_PEEK with SO_PEEK_OFF (a peek advances the offset, a consuming read moves it
 * back), MSG_TRUNC that discards; close() with unread data, or with SO_LINGER 0, is a reset and loses
 * what was on its way; data behind a FIN or a reset can still be read; an error is reported once; the
 * write-space event comes only to one who has met a full buffer, and when a third of it is free.
 *
 * UDP and ping sockets carry whole datagrams, that the test's own function answers; errors are queued for
 * MSG_ERRQUEUE.
 *
 * Events are collected in a batch and then delivered, as epoll does: one that names a descriptor closed
 * (and given out again) meanwhile is delivered all the same. */
#pragma once

#include "app.h"
#include "sim.h"
#include "sock.h"

#define SOCK_FAKE_FDS_MAX 4096
#define SOCK_FAKE_FD_BASE 100

enum fake_outcome {
	FAKE_ACCEPTED,
	FAKE_REFUSED,     /* ECONNREFUSED */
	FAKE_UNREACHABLE, /* EHOSTUNREACH */
	FAKE_TIMED_OUT,   /* ETIMEDOUT */
	FAKE_NO_ROUTE,    /* ENETUNREACH, by connect() itself */
	FAKE_NO_PORT,     /* EADDRNOTAVAIL, by connect() itself */
	FAKE_OUTCOME_MAX,
};

/* How a connection will go. */
struct fake_plan {
	enum fake_outcome outcome;
	uint32_t connect_ms;                 /* 0: connect() itself says how it ended */
	uint32_t delay_ms;                   /* of each pipe */
	uint32_t sndbuf_bytes, rcvbuf_bytes; /* of the gateway's socket; 0: 256 KiB */
	uint32_t far_rcvbuf_bytes;           /* 0: 256 KiB */
	unsigned int partial, again;         /* per mille of sends: cut short anywhere, refused */
	struct app_config app;
};

struct fake_flight;

struct fake_conn {
	struct fake_conn *next;
	struct fake_socket *s; /* NULL: not yet accepted, or closed by the gateway */
	bool orphan;           /* closed by the gateway; the kernel goes on */
	union sock_addr to;
	bool inbound;
	struct fake_plan plan;
	struct app app;
	enum { FAKE_CONNECTING, FAKE_OPEN, FAKE_DEAD } state;
	uint64_t connect_due_ms;

	/* Up: from the gateway to the application. */
	uint64_t up_written, up_sent, up_arrived;
	bool up_fin_wanted, up_fin_sent, up_fin_arrived;
	struct fake_flight *up, **up_last;
	/* Down. */
	uint64_t down_sent, down_arrived, down_read;
	bool down_fin_sent, down_fin_arrived;
	struct fake_flight *down, **down_last;

	int64_t peek_off; /* -1: none */
	int error;        /* sk_err */
	bool rd_shut, wr_shut;
	bool nospace;            /* somebody waits for room to send */
	uint64_t nospace_due_ms; /* a cut send: when there will be room */
	bool reset_by_us, reset_by_far;
	bool closed_unread;    /* ... because data was left unread */
	uint64_t n_lost_bytes; /* accepted from the gateway, and never arrived */
};

struct fake_datagram {
	struct fake_datagram *next;
	union sock_addr from;
	uint32_t local_be; /* the address it was sent to */
	uint8_t ttl;
	int gro_size; /* 0: one datagram */
	/* Of the error queue. */
	int ee_errno;
	uint8_t ee_type, ee_code;
	uint32_t ee_info;
	uint32_t offender_be;
	size_t n_bytes;
	uint8_t bytes[];
};

enum fake_kind {
	FAKE_TCP,
	FAKE_LISTEN,
	FAKE_UDP,
	FAKE_PING,
};

struct fake_socket {
	bool used;
	int fd;
	enum fake_kind kind;
	int family;
	bool linger0, recverr, pktinfo, gro, oobinline, nodelay, keepalive;
	int ttl, tos;
	int64_t peek_off;
	union sock_addr local, peer;
	bool bound, connected;
	struct fake_conn *conn;        /* TCP */
	struct fake_conn *pending[64]; /* a listener's */
	unsigned int n_pending;
	struct fake_datagram *rx, *errors;
	unsigned int n_rx;
	size_t rx_bytes;
	int error;
	/* The watch. */
	bool watched, queued;
	uint32_t events;
	int source;
	uint32_t arg;
};

struct sock_fake_config {
	struct sim *sim;
	struct loop *loop;
	bool no_peek_off; /* a kernel before 6.9 */
	bool no_udp_segment;
	bool no_ping;     /* ping_group_range is shut */
	uint32_t addr_be; /* of the host; 0: 198.51.100.1 */
	uint16_t mtu;     /* of its link; 0: 1500 */
	/* How a connection to this address goes; *plan holds the defaults. NULL: all are accepted. */
	void (*plan)(void *ctx, const union sock_addr *to, struct fake_plan *plan);
	/* A datagram has left socket s. May be NULL. */
	void (*datagram)(void *ctx, struct fake_socket *s, const union sock_addr *to, const void *data, size_t n);
	/* The first n bytes of m were taken from the gateway. NULL: they are compared with the seeded stream. */
	void (*sent)(void *ctx, struct fake_conn *c, const struct msghdr *m, size_t n);
	void *ctx, *datagram_ctx;
};

struct sock_fake {
	struct sock_fake_config c;
	struct sim *sim;
	struct fake_socket sockets[SOCK_FAKE_FDS_MAX];
	unsigned int n_open, n_open_max;
	int ready[SOCK_FAKE_FDS_MAX];
	unsigned int n_ready;
	struct fake_conn *conns; /* newest first; kept until sock_fake_free() */
	uint16_t next_port;
	int fail_open; /* -errno of every open() and accept() from now on; 0: none */
	/* What the gateway did. */
	uint64_t n_peek_off_set; /* on connected sockets */
	uint64_t n_events, n_calls, n_recv, n_peek, n_discard, n_send;
	uint64_t n_peeked_bytes, n_discarded_bytes, n_read_bytes;
	uint64_t n_datagrams, n_bad_calls;
};

struct sock_fake *sock_fake_new(const struct sock_fake_config *c);
struct sock_fake *sock_fake_free(struct sock_fake *f);
/* As new, with no socket open; for a test that makes thousands. */
void sock_fake_reset(struct sock_fake *f);
struct sock_host sock_fake_host(struct sock_fake *f);

/* Whatever is due: pipes, applications, and one batch of events. false: nothing happened. */
bool sock_fake_run(struct sock_fake *f);
uint64_t sock_fake_next_ms(struct sock_fake *f);

/* A listening or bound socket, as the parent process would hand it over: a descriptor. */
int sock_fake_listen(struct sock_fake *f, uint16_t port);
int sock_fake_bind_udp(struct sock_fake *f, uint16_t port);
/* A client connects to it. */
struct fake_conn *sock_fake_dial(struct sock_fake *f, int listen_fd, uint32_t from_be, uint16_t from_port,
	const struct fake_plan *plan);

struct fake_socket *sock_fake_get(struct sock_fake *f, int fd);
/* A datagram for a socket, an error about one that it sent. */
void sock_fake_deliver(struct sock_fake *f, struct fake_socket *s, const union sock_addr *from, const void *data, size_t n);
/* Several of `size` bytes (the last may be smaller) that the kernel has joined, if the socket takes them so. */
void sock_fake_deliver_joined(struct sock_fake *f, struct fake_socket *s, const union sock_addr *from, const void *data,
		size_t n, size_t size);
void sock_fake_icmp_error(struct sock_fake *f, struct fake_socket *s, int error, uint8_t type, uint8_t code,
	uint32_t offender_be, const void *data, size_t n);

/* Bytes that lie in this host's kernel for the gateway's connections. */
uint64_t sock_fake_held_bytes(const struct sock_fake *f);
