/* SPDX-License-Identifier: BSD-2-Clause */
/* The flow table: one entry for each connection, UDP association or echo stream of a guest.
 *
 * Entries are plain data of fixed size, hold no pointers and live in one memfd, so that another process
 * can go on with them. A flow is named by its number; lists (hash chain, age, timers, work) are numbers
 * too, and 0 is no flow. The key names the guest's port first: two guests with the same addresses on
 * separate ports are never confused.
 *
 * What a guest can grow is capped per port and kind. The table does not choose a victim by itself:
 * flow_alloc() answers NULL at the cap, flow_oldest() names the one longest idle, and the owner of that
 * kind ends it properly or refuses the newcomer. */
#pragma once

#include <assert.h>

#include "addr.h"
#include "siphash.h"

#define FLOW_NONE      0u
#define FLOW_PORTS_MAX 64

enum flow_kind {
	FLOW_FREE,
	FLOW_TCP,
	FLOW_UDP,
	FLOW_UDP_IN, /* begun by a client from outside, through a forward: has a cap of its own */
	FLOW_PING,
	FLOW_KIND_MAX,
};

/* As the guest sees the connection. Ports in host order; of a ping, guest_port is its identifier. */
struct flow_key {
	struct ip_addr guest, remote;
	uint16_t guest_port, remote_port;
	uint16_t port_id; /* of the lan */
	uint16_t kind;    /* enum flow_kind */
};

/* What each field means, and who may write it when: gateway/gw_tcp.h. */
struct flow_tcp {
	uint8_t state;
	uint8_t guest_wscale, our_wscale;
	uint8_t n_dup_acks;
	uint8_t n_retries;
	uint8_t timer;
	uint16_t mss;                       /* payload bytes of a segment to the guest */
	uint32_t flags;
	uint32_t iss;
	uint32_t snd_una, snd_nxt, snd_max; /* towards the guest */
	uint32_t snd_wnd, snd_wl1;          /* the guest's window in bytes, and the segment it came in */
	uint32_t cwnd, ssthresh;            /* bytes that may be in flight since some were lost; 0: as snd_wnd says */
	uint32_t recover;                   /* rewound up to here */
	uint32_t rcv_nxt, rcv_adv;          /* from the guest; right edge advertised */
	uint32_t rcv_acked;                 /* rcv_nxt when the guest was last told of it */
	uint32_t rcv_looked;                /* rcv_nxt when the socket's room was last looked at */
	uint32_t n_discard;                 /* acknowledged by the guest, still in the socket */
	uint32_t peek_off;                  /* where the kernel will peek next */
	uint32_t rto_ms, srtt8_ms, rttvar4_ms; /* scaled as RFC 6298's reference code does */
	uint32_t rtt_seq;                   /* being timed, if flags say so */
	uint64_t rtt_at_ms;
	uint64_t heard_ms;                  /* when the guest was last heard, at the last timeout */
};

struct flow_udp {
	uint8_t flags;
	uint8_t ttl; /* set on the socket; 0: the host's own */
	uint16_t forward; /* number of the forward it came in by, plus one; 0: none */
	uint32_t local_be; /* of such a flow: the address of ours that the client spoke to */
	uint32_t n_to_host, n_to_guest; /* saturating */
};

struct flow {
	struct flow_key key;
	uint32_t hash_next;
	uint32_t age_prev, age_next;
	uint32_t timer_prev, timer_next;
	uint32_t work_next;
	int32_t fd;            /* -1: none */
	uint64_t timer_tick;   /* of the wheel slot it waits in; 0: none */
	uint64_t timer_due_ms; /* 0: not set */
	uint64_t used_ms;      /* last traffic */
	struct ip_addr host;   /* the real destination, after the policy mapped it */
	uint32_t host_scope;   /* the interface of an IPv6 link-local one; else 0 */
	uint16_t host_port;
	struct mac guest_mac;
	bool in_work;
	bool dying;            /* freed in this batch: events that still name it are stale */
	union {
		struct flow_tcp tcp;
		struct flow_udp udp; /* and of a ping */
	};
};
static_assert(sizeof(struct flow) <= 256, "ten thousand flows are 2.5 MB");

struct flow_config {
	uint32_t n_max;                    /* entries in all */
	uint32_t n_port_max[FLOW_KIND_MAX]; /* of one port */
	struct siphash_key key;
};

struct flow_table;

/* Reserves address space only; memory is taken as flows come. 0 or -errno. */
int flow_table_new(const struct flow_config *c, struct flow_table **ret);
struct flow_table *flow_table_free(struct flow_table *t);

struct flow *flow_get(struct flow_table *t, uint32_t number); /* must exist; may be dying or free */
uint32_t flow_number(const struct flow_table *t, const struct flow *f);
struct flow *flow_find(struct flow_table *t, const struct flow_key *key);

/* Zeroed but for its key, fd -1. NULL at the port's cap or the table's. The key must not exist. */
struct flow *flow_alloc(struct flow_table *t, const struct flow_key *key);
/* The descriptor is the caller's to close first. The number is given out again only after flow_reap(). */
void flow_free(struct flow_table *t, struct flow *f);
/* Between two batches of events. */
void flow_reap(struct flow_table *t);

/* Most recently used of its port and kind from now on. */
void flow_touch(struct flow_table *t, struct flow *f, uint64_t now_ms);
/* Counts as the one longest idle from now on, until it is touched: it is the first to go. */
void flow_retire(struct flow_table *t, struct flow *f);
struct flow *flow_oldest(struct flow_table *t, uint16_t port_id, enum flow_kind kind);
uint32_t flow_count(const struct flow_table *t, uint16_t port_id, enum flow_kind kind);

/* Timers have a grain of 10 ms, and may be up to one grain late. due_ms 0 clears. */
void flow_timer_set(struct flow_table *t, struct flow *f, uint64_t due_ms);
/* Calls fn for each that is due (it is cleared first); returns when to call again, 0 if none is set. */
uint64_t flow_timer_run(struct flow_table *t, uint64_t now_ms, void (*fn)(void *ctx, struct flow *f), void *ctx);

/* The next one less long idle, or NULL. */
struct flow *flow_newer(struct flow_table *t, struct flow *f);

/* The work list: flows that this batch gave something to do. Marking twice is marking once. */
void flow_mark(struct flow_table *t, struct flow *f);
/* Takes one off, NULL when empty. */
struct flow *flow_take_work(struct flow_table *t);
/* How many are on it: a round is as many takes as there were at its beginning. */
uint32_t flow_n_work(const struct flow_table *t);

/* Each live flow of a port (or all, port_id UINT16_MAX); fn may free the one it is given. */
void flow_for_each(struct flow_table *t, uint16_t port_id, void (*fn)(void *ctx, struct flow *f), void *ctx);

/* The number of the next live flow above this one (FLOW_NONE: the first), or FLOW_NONE. */
uint32_t flow_next(const struct flow_table *t, uint32_t number);

/* The cap of one port. */
uint32_t flow_max(const struct flow_table *t, enum flow_kind kind);
