/* SPDX-License-Identifier: BSD-2-Clause */
/* Interfaces, addresses and routes, by rtnetlink(7).
 *
 * A new bridge gets its MAC in the message that makes it: an alias is not taken there (measured on Linux
 * 6.18), so that the MAC is what tells an unfinished bridge of ours from another's.
 *
 * It gets its MTU after that: one that comes with the bridge is forgotten when a port comes or goes, one that is
 * set is kept (measured on 6.18). */
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>

#include "host_internal.h"

#define DUMP_TRIES           10
#define STP_FORWARD_DELAY_CS 200 /* the least that the kernel takes with STP on, in 1/100 s */

/* A list that grows by doubling. */
struct list {
	void *items; /* heap */
	unsigned int n, room;
	size_t size;
	bool failed;
};

static void *list_add(struct list *l)
{
	if (l->n == l->room) {
		unsigned int room = l->room ? l->room * 2 : 16;
		void *p = reallocarray(l->items, room, l->size);

		if (!p) {
			l->failed = true;
			return NULL;
		}
		l->items = p;
		l->room = room;
	}
	void *item = (char *)l->items + l->size * l->n++;
	memset(item, 0, l->size);
	return item;
}

int host_links_open(struct host_linux *l)
{
	return l->nl.sock ? 0 : netlink_open(&l->nl);
}

/* A dump, begun again when what it tells of changes meanwhile. */
static int dump(struct host *h, uint16_t type, uint8_t family, size_t size, mnl_cb_t fn, struct list *ret)
{
	struct host_linux *l = host_linux_of(h);
	int r = host_links_open(l);

	for (unsigned int i = 0; r == 0 && i < DUMP_TRIES; i++) {
		union netlink_request q;
		struct nlmsghdr *m = netlink_begin(&l->nl, &q, type, NLM_F_DUMP);

		/* The family is the first byte of each of ifinfomsg, ifaddrmsg and rtmsg. */
		*(uint8_t *)mnl_nlmsg_put_extra_header(m, size) = family;
		ret->n = 0;
		r = netlink_talk(&l->nl, &q, fn, ret);
		if (r == 0 && ret->failed)
			r = -ENOMEM;
		if (r != -EINTR)
			break;
		netlink_close(&l->nl); /* the rest of the broken dump may still be on its way */
		r = netlink_open(&l->nl);
	}
	if (r < 0) {
		free(ret->items);
		ret->items = NULL;
		ret->n = 0;
	}
	return r;
}

static int on_link(const struct nlmsghdr *m, void *ctx)
{
	struct host_link *l = m->nlmsg_type == RTM_NEWLINK ? list_add(ctx) : NULL;

	if (l)
		netlink_link_parse(m, l);
	return MNL_CB_OK;
}

int host_link_list(struct host *h, struct host_link **ret, unsigned int *ret_n)
{
	struct list list = {.size = sizeof(struct host_link)};
	int r = dump(h, RTM_GETLINK, AF_UNSPEC, sizeof(struct ifinfomsg), on_link, &list);

	*ret = list.items;
	*ret_n = list.n;
	return r;
}

/* Begins a request about an interface. index 0: a new one, or one that a name among the attributes says. */
static struct nlmsghdr *begin_link(
	struct host_linux *l, union netlink_request *q, uint16_t type, uint16_t flags, unsigned int index)
{
	struct nlmsghdr *m = netlink_begin(&l->nl, q, type, flags);
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(m, sizeof(*i));

	i->ifi_family = AF_UNSPEC;
	i->ifi_index = (int)index;
	return m;
}

int host_link_find(struct host *h, const char *name, struct host_link *ret)
{
	struct host_linux *l = host_linux_of(h);
	int r = host_links_open(l);

	return r < 0 ? r : netlink_link_find(&l->nl, name, ret);
}

int host_bridge_add(struct host *h, const struct host_bridge *b)
{
	struct host_linux *l = host_linux_of(h);
	union netlink_request q;
	struct nlmsghdr *m;
	struct nlattr *info, *data;
	struct host_link made;
	int r = host_links_open(l);

	if (r < 0)
		return r;
	m = begin_link(l, &q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
	mnl_attr_put_strz(m, IFLA_IFNAME, b->name);
	mnl_attr_put(m, IFLA_ADDRESS, sizeof(b->mac), b->mac);
	info = mnl_attr_nest_start(m, IFLA_LINKINFO);
	mnl_attr_put_strz(m, IFLA_INFO_KIND, "bridge");
	data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
	mnl_attr_put_u32(m, IFLA_BR_FORWARD_DELAY, b->stp ? STP_FORWARD_DELAY_CS : 0);
	mnl_attr_put_u32(m, IFLA_BR_STP_STATE, b->stp);
	mnl_attr_nest_end(m, data);
	mnl_attr_nest_end(m, info);
	r = netlink_talk(&l->nl, &q, NULL, NULL);
	if (r == 0)
		r = netlink_link_find(&l->nl, b->name, &made);
	if (r == 0)
		r = netlink_link_set_mtu(&l->nl, made.index, b->mtu);
	return host_failed(h, r, "cannot make the bridge %s", b->name);
}

int host_link_set_alias(struct host *h, unsigned int index, const char *alias)
{
	struct host_linux *l = host_linux_of(h);
	union netlink_request q;
	int r = host_links_open(l);

	if (r < 0)
		return r;
	/* Without an end: an empty one takes the alias away. */
	mnl_attr_put_str(begin_link(l, &q, RTM_NEWLINK, 0, index), IFLA_IFALIAS, alias);
	return netlink_talk(&l->nl, &q, NULL, NULL);
}

int host_link_set_up(struct host *h, unsigned int index, bool up)
{
	struct host_linux *l = host_linux_of(h);
	union netlink_request q;
	int r = host_links_open(l);
	struct ifinfomsg *i;

	if (r < 0)
		return r;
	i = mnl_nlmsg_get_payload(begin_link(l, &q, RTM_NEWLINK, 0, index));
	i->ifi_flags = up ? IFF_UP : 0;
	i->ifi_change = IFF_UP;
	return netlink_talk(&l->nl, &q, NULL, NULL);
}

int host_link_del(struct host *h, unsigned int index)
{
	struct host_linux *l = host_linux_of(h);
	union netlink_request q;
	int r = host_links_open(l);

	if (r < 0)
		return r;
	(void)begin_link(l, &q, RTM_DELLINK, 0, index);
	return netlink_talk(&l->nl, &q, NULL, NULL);
}

int host_port_set_isolated(struct host *h, unsigned int index, bool isolated)
{
	struct host_linux *l = host_linux_of(h);
	int r = host_links_open(l);

	return r < 0 ? r : netlink_port_set_isolated(&l->nl, index, isolated);
}

static size_t addr_bytes(int family)
{
	return family == AF_INET ? 4 : 16;
}

static int on_addr(const struct nlmsghdr *m, void *ctx)
{
	const struct ifaddrmsg *i = mnl_nlmsg_get_payload(m);
	const struct nlattr *a;
	struct host_addr *ret;

	if (m->nlmsg_type != RTM_NEWADDR || (i->ifa_family != AF_INET && i->ifa_family != AF_INET6))
		return MNL_CB_OK;
	ret = list_add(ctx);
	if (!ret)
		return MNL_CB_OK;
	*ret = (struct host_addr){
		.ifindex = i->ifa_index, .family = i->ifa_family, .prefix = i->ifa_prefixlen};
	mnl_attr_for_each(a, m, sizeof(*i))
	{
		uint16_t type = mnl_attr_get_type(a);

		/* IFA_ADDRESS is the other end of a point-to-point link, which IFA_LOCAL tells apart. */
		if ((type == IFA_LOCAL || (type == IFA_ADDRESS && i->ifa_family == AF_INET6)) &&
			mnl_attr_get_payload_len(a) >= addr_bytes(i->ifa_family))
			memcpy(ret->addr, mnl_attr_get_payload(a), addr_bytes(i->ifa_family));
	}
	return MNL_CB_OK;
}

int host_addr_list(struct host *h, struct host_addr **ret, unsigned int *ret_n)
{
	struct list list = {.size = sizeof(struct host_addr)};
	int r = dump(h, RTM_GETADDR, AF_UNSPEC, sizeof(struct ifaddrmsg), on_addr, &list);

	*ret = list.items;
	*ret_n = list.n;
	return r;
}

static int talk_addr(struct host *h, uint16_t type, uint16_t flags, const struct host_addr *a)
{
	struct host_linux *l = host_linux_of(h);
	union netlink_request q;
	struct nlmsghdr *m;
	struct ifaddrmsg *i;
	int r = host_links_open(l);

	if (r < 0)
		return r;
	m = netlink_begin(&l->nl, &q, type, flags);
	i = mnl_nlmsg_put_extra_header(m, sizeof(*i));
	i->ifa_family = (uint8_t)a->family;
	i->ifa_prefixlen = a->prefix;
	i->ifa_index = a->ifindex;
	i->ifa_flags = a->nodad ? IFA_F_NODAD : 0;
	i->ifa_scope = RT_SCOPE_UNIVERSE;
	mnl_attr_put(m, IFA_LOCAL, addr_bytes(a->family), a->addr);
	mnl_attr_put(m, IFA_ADDRESS, addr_bytes(a->family), a->addr);
	if (a->family == AF_INET && a->prefix < 31) {
		uint32_t broadcast_be;

		memcpy(&broadcast_be, a->addr, sizeof(broadcast_be));
		broadcast_be |= htonl(a->prefix ? UINT32_MAX >> a->prefix : UINT32_MAX);
		mnl_attr_put_u32(m, IFA_BROADCAST, broadcast_be);
	}
	return netlink_talk(&l->nl, &q, NULL, NULL);
}

int host_addr_add(struct host *h, const struct host_addr *a)
{
	return talk_addr(h, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, a);
}

int host_addr_del(struct host *h, const struct host_addr *a)
{
	return talk_addr(h, RTM_DELADDR, 0, a);
}

static int on_route(const struct nlmsghdr *m, void *ctx)
{
	const struct rtmsg *i = mnl_nlmsg_get_payload(m);
	const struct nlattr *a;
	struct host_route *ret;

	if (m->nlmsg_type != RTM_NEWROUTE || (i->rtm_family != AF_INET && i->rtm_family != AF_INET6) ||
		(i->rtm_flags & RTM_F_CLONED) || i->rtm_type == RTN_LOCAL || i->rtm_type == RTN_BROADCAST ||
		i->rtm_type == RTN_MULTICAST || i->rtm_type == RTN_ANYCAST)
		return MNL_CB_OK;
	ret = list_add(ctx);
	if (!ret)
		return MNL_CB_OK;
	*ret = (struct host_route){.family = i->rtm_family,
		.prefix = i->rtm_dst_len,
		.table = i->rtm_table,
		.type = i->rtm_type};
	mnl_attr_for_each(a, m, sizeof(*i))
	{
		uint16_t type = mnl_attr_get_type(a), n = mnl_attr_get_payload_len(a);

		if (type == RTA_DST && n >= addr_bytes(i->rtm_family))
			memcpy(ret->dst, mnl_attr_get_payload(a), addr_bytes(i->rtm_family));
		else if (type == RTA_OIF && n >= sizeof(uint32_t))
			ret->ifindex = mnl_attr_get_u32(a);
		else if (type == RTA_TABLE && n >= sizeof(uint32_t))
			ret->table = mnl_attr_get_u32(a);
	}
	return MNL_CB_OK;
}

int host_route_list(struct host *h, struct host_route **ret, unsigned int *ret_n)
{
	struct list list = {.size = sizeof(struct host_route)};
	int r = dump(h, RTM_GETROUTE, AF_UNSPEC, sizeof(struct rtmsg), on_route, &list);

	*ret = list.items;
	*ret_n = list.n;
	return r;
}
