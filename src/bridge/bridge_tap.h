/* SPDX-License-Identifier: BSD-2-Clause */
/* A tap for a guest, as a port of a bridge: it lives for as long as somebody has a descriptor of it. */
#pragma once

#include "host.h"

#define BRIDGE_TAP_QUEUES_MAX 253 /* as many descriptors as one message carries */
#define BRIDGE_TAP_WHY_BYTES  200

/* A network of ours has this file beside its record if its guests do not reach each other (store.h). */
#define BRIDGE_ISOLATED_PATH "/run/vmlan/%s/isolated"

struct bridge_tap_options {
	const char *bridge;
	unsigned int n_queues;
	bool vnet_hdr; /* frames carry offloads */
};

/* Makes it: with the bridge's MTU and a MAC that never becomes the bridge's, isolated where the bridge's network
 * is, and up. fds: n_queues of them. 0, or -errno and the reason for a person. -EPERM, -EACCES: it needs
 * CAP_NET_ADMIN, or what opens /dev/net/tun. */
int bridge_tap_make(const struct bridge_tap_options *o, int *fds, char ret_why[BRIDGE_TAP_WHY_BYTES]);

/* Are guests on it kept apart? Of a bridge that is not ours: no. */
bool bridge_is_isolated(const struct host_link *bridge);
