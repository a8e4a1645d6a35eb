/* SPDX-License-Identifier: BSD-2-Clause */
/* A tap in a network namespace, made and configured by netlink. */
#pragma once

#include <net/if.h>
#include <netinet/in.h>

#include "util.h"

#define NETNS_WHAT_BYTES 200

struct netns_tap {
	char ifname[IFNAMSIZ];
	uint8_t mac[6];
	uint16_t mtu;
	bool noconfig;       /* leave it down and without addresses */
	uint32_t addr_be;    /* network order, as the next ones */
	unsigned int prefix; /* bits of the network's mask */
	uint32_t gateway_be; /* 0: no default route */
};

/* Each returns a descriptor of the tap (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR), or -errno and in ret_what
 * what failed, for people. */

/* In the namespace that the caller is in. */
int netns_make_tap(const struct netns_tap *t, char ret_what[NETNS_WHAT_BYTES]);
/* In the namespace that a path names (/proc/PID/ns/net, /run/netns/NAME), by a helper process. Where the
 * caller has no privilege over it, the helper enters the user namespace that owns it first. */
int netns_make_tap_in(const char *path, const struct netns_tap *t, char ret_what[NETNS_WHAT_BYTES]);

/* Frames of the namespace that the tap dropped because its queue was full: nobody else is told of them.
 * By a helper process; 0 or -errno. */
int netns_tap_dropped(const char *path, const char *ifname, uint64_t *ret_frames);

/* A locally administered address that is the same each time for the same namespace path and name on the
 * same host, so that guests keep their leases and neighbours their caches. */
void netns_stable_mac(const char *path, const char *ifname, uint8_t ret[6]);
