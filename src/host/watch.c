/* SPDX-License-Identifier: BSD-2-Clause */
#include "watch.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#define READ_BYTES 32768

static int open_group(int protocol, int group)
{
	struct sockaddr_nl a = {.nl_family = AF_NETLINK};
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int watch_rules_open(void)
{
	return open_group(NETLINK_NETFILTER, NFNLGRP_NFTABLES);
}

int watch_links_open(void)
{
	return open_group(NETLINK_ROUTE, RTNLGRP_LINK);
}

struct rules {
	const char *ours, *own;
	bool told;
};

/* The first attribute of every message about a table, or what is in one, is the table's name. */
static int on_rule(const struct nlmsghdr *m, void *ctx)
{
	struct rules *r = ctx;
	const struct nlattr *a;

	if ((m->nlmsg_type & 0xff) == NFT_MSG_NEWGEN)
		return MNL_CB_OK;
	mnl_attr_for_each(a, m, sizeof(struct nfgenmsg))
	{
		const char *name = mnl_attr_get_payload(a);

		if (mnl_attr_get_type(a) == NFTA_TABLE_NAME &&
			mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0 &&
			strncmp(name, r->ours, strlen(r->ours)) == 0 && strcmp(name, r->own) != 0)
			return MNL_CB_OK;
	}
	r->told = true;
	return MNL_CB_OK;
}

int watch_rules_read(int fd, const char *ours, const char *own)
{
	struct rules r = {ours, own, false};
	char room[READ_BYTES];

	for (;;) {
		ssize_t n = recv(fd, room, sizeof(room), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != ENOBUFS)
			return r.told;
		if (n < 0 || mnl_cb_run(room, (size_t)n, 0, 0, on_rule, &r) < 0)
			r.told = true;
	}
}

struct ports {
	unsigned int bridge;
	void (*fn)(void *ctx, unsigned int index);
	void *ctx;
};

/* What a bridge tells of its ports' settings is of another family, and would have us answer ourselves. */
static int on_link(const struct nlmsghdr *m, void *ctx)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(m);
	const struct ports *p = ctx;
	const struct nlattr *a;

	if (m->nlmsg_type != RTM_NEWLINK || i->ifi_family != AF_UNSPEC)
		return MNL_CB_OK;
	mnl_attr_for_each(a, m, sizeof(*i))
	{
		if (mnl_attr_get_type(a) == IFLA_MASTER && mnl_attr_get_u32(a) == p->bridge)
			p->fn(p->ctx, (unsigned int)i->ifi_index);
	}
	return MNL_CB_OK;
}

int watch_links_read(int fd, unsigned int bridge, void (*fn)(void *ctx, unsigned int index), void *ctx)
{
	struct ports p = {bridge, fn, ctx};
	char room[READ_BYTES];

	for (;;) {
		ssize_t n = recv(fd, room, sizeof(room), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ENOBUFS ? 1 : 0;
		(void)mnl_cb_run(room, (size_t)n, 0, 0, on_link, &p);
	}
}
