/* SPDX-License-Identifier: BSD-2-Clause */
/* The few requests of rtnetlink(7) that configure an interface, each waited for until it is done. All
 * return 0 or -errno. */
#pragma once

#include <libmnl/libmnl.h>

#include "host.h"

#define NETLINK_REQUEST_BYTES 1024

struct netlink {
	struct mnl_socket *sock;
	unsigned int seq;
};

union netlink_request {
	struct nlmsghdr h;
	char room[NETLINK_REQUEST_BYTES];
};

/* In the network namespace that the caller is in. */
int netlink_open(struct netlink *ret);
int netlink_open_protocol(struct netlink *ret, int protocol); /* NETLINK_... */
void netlink_close(struct netlink *nl);

/* Any request: begin, put attributes, talk. fn: for each message of the answer. */
struct nlmsghdr *netlink_begin(struct netlink *nl, union netlink_request *q, uint16_t type, uint16_t flags);
int netlink_talk(struct netlink *nl, const union netlink_request *q, mnl_cb_t fn, void *ctx);

int netlink_link_set(struct netlink *nl, unsigned int ifindex, uint32_t txqueue_frames, uint32_t mtu,
	const uint8_t mac[6]);
/* Frames that the interface dropped on their way out. */
int netlink_link_tx_dropped(struct netlink *nl, unsigned int ifindex, uint64_t *ret_frames);
int netlink_link_up(struct netlink *nl, unsigned int ifindex);
int netlink_addr_add(struct netlink *nl, unsigned int ifindex, uint32_t addr_be, unsigned int prefix);
/* -EEXIST: there is one. */
int netlink_default_route_add(struct netlink *nl, unsigned int ifindex, uint32_t gateway_be);

/* Of a message about an interface. */
void netlink_link_parse(const struct nlmsghdr *m, struct host_link *ret);
/* -ENODEV: there is none. */
int netlink_link_find(struct netlink *nl, const char *name, struct host_link *ret);
int netlink_link_set_mtu(struct netlink *nl, unsigned int ifindex, uint32_t mtu);
/* Makes an interface a port of a bridge, with that MTU and MAC of its own. */
int netlink_port_join(
	struct netlink *nl, unsigned int ifindex, unsigned int bridge, uint32_t mtu, const uint8_t mac[6]);
/* Isolated ports of a bridge do not reach each other. */
int netlink_port_set_isolated(struct netlink *nl, unsigned int ifindex, bool isolated);
