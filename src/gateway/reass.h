/* SPDX-License-Identifier: BSD-2-Clause */
/* IPv4 fragments (RFC 791, 3.2): putting together what guests send in pieces, and cutting up what is too
 * long for a guest's link. No system calls after reass_new(), no frames. */
#pragma once

#include <sys/uio.h>

#include "ip4.h"

#define REASS_MAX        64 /* unfinished datagrams in all */
#define REASS_PORT_MAX   16 /* of one port */
#define REASS_TIMEOUT_MS 30000
#define REASS_LENGTH_MAX 65535 /* of a whole datagram, header included */
#define FRAG_IOV_MAX     64    /* pieces of memory of one fragment */

struct reass;

/* 4 MiB of address space, of which only what fragments fill is ever touched. 0 or -ENOMEM. */
int reass_new(struct reass **ret);
struct reass *reass_free(struct reass *r);

/* payload: the n_bytes that this fragment carries, all of them; read once, into a private copy. port_id
 * is below PORT_MAX.
 *
 * DROP_NONE with *ret_payload set: the datagram is complete. It stays valid until the next call of any
 * function here but reass_count(). With NULL: kept, or a harmless duplicate; more is to come.
 * DROP_FRAGMENT: this fragment was dropped, and what there was of its datagram with it.
 * DROP_FRAGMENT_CAP: this fragment was kept, but an older unfinished datagram was dropped for it.
 * DROP_TRUNCATED: n_bytes is not what the header says.
 *
 * What is no fragment comes back as it is. */
enum drop_reason reass_input(struct reass *r, uint64_t now_ms, uint16_t port_id, const struct ip4 *ip,
		const uint8_t *payload, size_t n_bytes, const uint8_t **ret_payload, size_t *ret_bytes);

/* Lets go of what has timed out; returns how many datagrams. reass_input() does so by itself: this is
 * for counting, and for giving a quiet gateway its slots back. */
unsigned int reass_expire(struct reass *r, uint64_t now_ms);

/* The guest of this port has gone. */
void reass_forget_port(struct reass *r, uint16_t port_id);

/* Unfinished datagrams of a port; UINT16_MAX: of all. */
unsigned int reass_count(const struct reass *r, uint16_t port_id);

/* Emits an IPv4 payload as one datagram if it fits into mtu, else as fragments, in order. Each gets its
 * own header, with payload_bytes, header_bytes and frag set (the rest is ip's), and the pieces of
 * payload that it carries. ip may be a fragment itself. n_bytes may be 0.
 *
 * 0, what emit() returned if that was negative (the rest is not emitted), -EMSGSIZE: don't-fragment is
 * set, or no fragment fits into mtu, or the end lies beyond what IPv4 can say, -E2BIG: more than
 * FRAG_IOV_MAX pieces in a fragment, -EINVAL: payload holds fewer than n_bytes. */
int frag_send(const struct ip4 *ip, const struct iovec *payload, unsigned int n, size_t n_bytes, uint16_t mtu,
		int (*emit)(void *ctx, const struct ip4 *ip, const struct iovec *piece, unsigned int n_piece,
				size_t n_bytes),
		void *ctx);
