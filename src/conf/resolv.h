/* SPDX-License-Identifier: BSD-2-Clause */
/* The name servers in a resolv.conf(5). */
#pragma once

#include <netinet/in.h>

#include "util.h"

#define RESOLV_SERVERS_MAX 8
#define RESOLV_SCOPE_BYTES 16 /* an interface's name, or its number in decimal */

struct resolv_server {
	int family; /* AF_INET or AF_INET6 */
	union {
		struct in_addr in4;
		struct in6_addr in6;
	};
	char scope[RESOLV_SCOPE_BYTES]; /* after %, of a link-local address; "": none */
};

/* The usable servers in the order of the text; returns how many. Lines that are not understood are
 * skipped, as the C library does. Where none is named, the C library asks the host itself, and so
 * 127.0.0.1 is the answer here. */
unsigned int resolv_parse(const char *text, size_t n_bytes, struct resolv_server ret[RESOLV_SERVERS_MAX]);
