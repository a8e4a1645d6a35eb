/* SPDX-License-Identifier: BSD-2-Clause */
/* One interface by rtnetlink(7): what it is, and its place in a bridge. */
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/socket.h>

#include "netlink.h"

static void copy_text(const struct nlattr *a, char *ret, size_t size)
{
	(void)snprintf(
		ret, size, "%.*s", (int)mnl_attr_get_payload_len(a), (const char *)mnl_attr_get_payload(a));
}

static void take_kind(const struct nlattr *info, struct host_link *ret)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, info)
	{
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			copy_text(a, ret->kind, sizeof(ret->kind));
	}
}

void netlink_link_parse(const struct nlmsghdr *m, struct host_link *ret)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(m);
	const struct nlattr *a;

	*ret = (struct host_link){.index = (unsigned int)i->ifi_index,
		.up = i->ifi_flags & IFF_UP,
		.loopback = i->ifi_flags & IFF_LOOPBACK};
	mnl_attr_for_each(a, m, sizeof(*i))
	{
		uint16_t n = mnl_attr_get_payload_len(a);

		switch (mnl_attr_get_type(a)) {
		case IFLA_IFNAME:
			copy_text(a, ret->name, sizeof(ret->name));
			break;
		case IFLA_IFALIAS:
			copy_text(a, ret->alias, sizeof(ret->alias));
			break;
		case IFLA_ADDRESS:
			memcpy(ret->mac, mnl_attr_get_payload(a), MIN((size_t)n, sizeof(ret->mac)));
			break;
		case IFLA_MTU:
			ret->mtu = mnl_attr_get_u32(a);
			break;
		case IFLA_MASTER:
			ret->master = mnl_attr_get_u32(a);
			break;
		case IFLA_LINKINFO:
			take_kind(a, ret);
			break;
		default:
			break;
		}
	}
}

static int on_link(const struct nlmsghdr *m, void *ctx)
{
	if (m->nlmsg_type == RTM_NEWLINK)
		netlink_link_parse(m, ctx);
	return MNL_CB_OK;
}

static struct nlmsghdr *begin(
	struct netlink *nl, union netlink_request *q, uint16_t type, uint8_t family, unsigned int ifindex)
{
	struct nlmsghdr *m = netlink_begin(nl, q, type, 0);
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(m, sizeof(*i));

	i->ifi_family = family;
	i->ifi_index = (int)ifindex;
	return m;
}

int netlink_link_find(struct netlink *nl, const char *name, struct host_link *ret)
{
	union netlink_request q;

	*ret = (struct host_link){0};
	mnl_attr_put_strz(begin(nl, &q, RTM_GETLINK, AF_UNSPEC, 0), IFLA_IFNAME, name);
	return netlink_talk(nl, &q, on_link, ret);
}

int netlink_link_set_mtu(struct netlink *nl, unsigned int ifindex, uint32_t mtu)
{
	union netlink_request q;

	mnl_attr_put_u32(begin(nl, &q, RTM_NEWLINK, AF_UNSPEC, ifindex), IFLA_MTU, mtu);
	return netlink_talk(nl, &q, NULL, NULL);
}

int netlink_port_join(
	struct netlink *nl, unsigned int ifindex, unsigned int bridge, uint32_t mtu, const uint8_t mac[6])
{
	union netlink_request q;
	struct nlmsghdr *m = begin(nl, &q, RTM_NEWLINK, AF_UNSPEC, ifindex);

	mnl_attr_put_u32(m, IFLA_MTU, mtu);
	mnl_attr_put(m, IFLA_ADDRESS, 6, mac);
	mnl_attr_put_u32(m, IFLA_MASTER, bridge);
	return netlink_talk(nl, &q, NULL, NULL);
}

int netlink_port_set_isolated(struct netlink *nl, unsigned int ifindex, bool isolated)
{
	union netlink_request q;
	struct nlmsghdr *m = begin(nl, &q, RTM_SETLINK, PF_BRIDGE, ifindex);
	struct nlattr *port = mnl_attr_nest_start(m, IFLA_PROTINFO);

	mnl_attr_put_u8(m, IFLA_BRPORT_ISOLATED, isolated);
	mnl_attr_nest_end(m, port);
	return netlink_talk(nl, &q, NULL, NULL);
}
