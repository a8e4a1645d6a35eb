/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses as flows and tables hold them: plain bytes in network order, IPv4 as ::ffff:a.b.c.d
 * (RFC 4291, 2.5.5.2), so that one key serves both families. */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "util.h"

#define MAC_BYTES 6

struct mac {
	uint8_t b[MAC_BYTES];
};

struct ip_addr {
	uint32_t w_be[4];
};

/* Room for the address of an IPv4 or IPv6 socket. */
union sock_addr {
	struct sockaddr sa;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
};

static inline bool mac_eq(const struct mac *a, const struct mac *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool mac_is_group(const struct mac *m)
{
	return m->b[0] & 1;
}

static inline bool mac_is_zero(const struct mac *m)
{
	return !(m->b[0] | m->b[1] | m->b[2] | m->b[3] | m->b[4] | m->b[5]);
}

static inline struct ip_addr ip_addr_from4(uint32_t addr_be)
{
	return (struct ip_addr){{0, 0, htonl(0xffff), addr_be}};
}

static inline bool ip_addr_is4(const struct ip_addr *a)
{
	return a->w_be[0] == 0 && a->w_be[1] == 0 && a->w_be[2] == htonl(0xffff);
}

/* The IPv4 address in a; meaningless unless ip_addr_is4(). Network order. */
static inline uint32_t ip_addr_4(const struct ip_addr *a)
{
	return a->w_be[3];
}

static inline bool ip_addr_eq(const struct ip_addr *a, const struct ip_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* port in host order. Returns the length to pass to bind() and connect(). */
static inline socklen_t sock_addr_set(union sock_addr *ret, const struct ip_addr *a, uint16_t port)
{
	memset(ret, 0, sizeof(*ret));
	if (ip_addr_is4(a)) {
		ret->in4.sin_family = AF_INET;
		ret->in4.sin_port = htons(port);
		ret->in4.sin_addr.s_addr = ip_addr_4(a);
		return sizeof(ret->in4);
	}
	ret->in6.sin6_family = AF_INET6;
	ret->in6.sin6_port = htons(port);
	memcpy(&ret->in6.sin6_addr, a, sizeof(*a));
	return sizeof(ret->in6);
}

/* The address and the port (host order) of a socket address; false for other families. */
static inline bool sock_addr_get(const union sock_addr *s, struct ip_addr *ret, uint16_t *ret_port)
{
	if (s->sa.sa_family == AF_INET) {
		*ret = ip_addr_from4(s->in4.sin_addr.s_addr);
		*ret_port = ntohs(s->in4.sin_port);
		return true;
	}
	if (s->sa.sa_family == AF_INET6) {
		memcpy(ret, &s->in6.sin6_addr, sizeof(*ret));
		*ret_port = ntohs(s->in6.sin6_port);
		return true;
	}
	return false;
}
