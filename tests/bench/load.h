/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load: the traffic of the benchmarks. One program, two roles: `load server` in the namespace behind the
 * network under test, and one client role per measurement in the guest's namespace.
 *
 * Every throughput is counted where the bytes arrive, in a window that opens after a warm-up, so that
 * neither the sender's socket buffer nor slow start nor the drain at the end is part of the figure.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define PORT_SINK       7001 /* TCP: reads, reports what arrived in the window */
#define PORT_SOURCE     7002 /* TCP: writes until the client has enough */
#define PORT_ECHO       7003 /* TCP: every byte comes back */
#define PORT_UDP_SINK   7004 /* UDP answers leave from the server's first address: ask that one */
#define PORT_UDP_SOURCE 7005

#define LOAD_MAGIC  0x766d6c64u
#define MAX_ADDRS   64
#define MAX_THREADS 256

/* First bytes of a TCP stream from the client. Both ends are one machine: host byte order throughout. */
struct stream_hello {
	uint32_t magic;
	uint32_t warm_ms;
	uint32_t run_ms;
	uint32_t buf_bytes;
};

/* What the sink saw: the bytes of the window, its length, and all bytes from the first on. */
struct stream_report {
	uint64_t bytes;
	uint64_t us;
	uint64_t total_bytes;
};

enum udp_kind {
	UDP_DATA = 1, /* seq counts up */
	UDP_QUERY,    /* client to sink: how many of this cookie came? */
	UDP_ANSWER,   /* sink to client: seq is the count */
	UDP_HELLO,    /* client to source: flood me for run_ms */
	UDP_END,      /* source to client: seq is how many were sent */
};

/* Head of every UDP payload; the rest is padding. */
struct udp_head {
	uint32_t magic;
	uint32_t kind;
	uint32_t cookie;
	uint32_t run_ms;
	uint64_t seq;
};

struct load_config {
	struct in_addr addrs[MAX_ADDRS];
	unsigned int n_addrs;
	unsigned int n;    /* streams, workers or connections */
	unsigned int rate; /* connections a second */
	unsigned int run_ms;
	unsigned int warm_ms;
	unsigned int buf_bytes;
	unsigned int size_bytes; /* UDP payload */
	const char *cc;          /* congestion control of our streams, or NULL */
};

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline uint64_t now_us(void)
{
	return now_ns() / 1000;
}

/* load.c */
_Noreturn void die(const char *what);
struct sockaddr_in sockaddr_of(const struct load_config *conf, unsigned int i, uint16_t port);
/*
 * Negative errno on failure. The timeout bounds connect, send and receive. The congestion control (or NULL)
 * is set before the connection exists: what bbr does to a socket outlasts a change to another.
 */
int tcp_connect(const struct sockaddr_in *to, unsigned int timeout_ms, const char *cc);
int send_all(int fd, const void *buf, size_t n_bytes);
int recv_all(int fd, void *buf, size_t n_bytes);
void set_timeouts(int fd, unsigned int timeout_ms);
void close_rst(int fd);
void raise_nofile(void);

/* A growing list of nanosecond samples, sorted when asked for a quantile. */
struct samples {
	uint32_t *v;
	size_t n;
	size_t cap;
};

void samples_add(struct samples *s, uint64_t ns);
void samples_done(struct samples *s);
void samples_sort(struct samples *s);
double samples_quantile_us(const struct samples *s, double q);

/* One function a role; the exit status. */
int server_main(void);
int up_main(const struct load_config *conf);
int down_main(const struct load_config *conf);
int rr_main(const struct load_config *conf);
int crr_main(const struct load_config *conf);
int udp_up_main(const struct load_config *conf);
int udp_down_main(const struct load_config *conf);
int ping_main(const struct load_config *conf);
int probe_main(const struct load_config *conf);
int idle_main(const struct load_config *conf);
int rate_main(const struct load_config *conf);
