/* SPDX-License-Identifier: BSD-2-Clause */
/* The few requests of rtnetlink(7) that configure an interface, each waited for until it is done. All
 * return 0 or -errno. */
#pragma once

#include "util.h"

struct mnl_socket;

struct netlink {
	struct mnl_socket *sock;
	unsigned int seq;
};

/* In the network namespace that the caller is in. */
int netlink_open(struct netlink *ret);
void netlink_close(struct netlink *nl);

int netlink_link_set(struct netlink *nl, unsigned int ifindex, uint32_t txqueue_frames, uint32_t mtu,
	const uint8_t mac[6]);
/* Frames that the interface dropped on their way out. */
int netlink_link_tx_dropped(struct netlink *nl, unsigned int ifindex, uint64_t *ret_frames);
int netlink_link_up(struct netlink *nl, unsigned int ifindex);
int netlink_addr_add(struct netlink *nl, unsigned int ifindex, uint32_t addr_be, unsigned int prefix);
/* -EEXIST: there is one. */
int netlink_default_route_add(struct netlink *nl, unsigned int ifindex, uint32_t gateway_be);
