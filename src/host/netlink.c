/* SPDX-License-Identifier: BSD-2-Clause */
#include "netlink.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#define ANSWER_BYTES 32768 /* what the kernel fills at most with one message of a dump */

int netlink_open(struct netlink *ret)
{
	return netlink_open_protocol(ret, NETLINK_ROUTE);
}

int netlink_open_protocol(struct netlink *ret, int protocol)
{
	ret->sock = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	if (!ret->sock)
		return -errno;
	if (mnl_socket_bind(ret->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int error = -errno;
		netlink_close(ret);
		return error;
	}
	ret->seq = 0;
	return 0;
}

void netlink_close(struct netlink *nl)
{
	if (nl->sock)
		(void)mnl_socket_close(nl->sock);
	nl->sock = NULL;
}

struct nlmsghdr *netlink_begin(struct netlink *nl, union netlink_request *q, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(q);

	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	h->nlmsg_seq = ++nl->seq;
	return h;
}

int netlink_talk(struct netlink *nl, const union netlink_request *q, mnl_cb_t cb, void *ctx)
{
	char answer[ANSWER_BYTES];
	int r;

	if (mnl_socket_sendto(nl->sock, q, q->h.nlmsg_len) < 0)
		return -errno;
	/* A dump goes on until its end is told; any other request until it is acknowledged. */
	do {
		ssize_t n = mnl_socket_recvfrom(nl->sock, answer, sizeof(answer));

		if (n < 0)
			return -errno;
		r = mnl_cb_run(answer, (size_t)n, nl->seq, mnl_socket_get_portid(nl->sock), cb, ctx);
	} while (r > 0);
	return r < 0 ? -errno : 0;
}

static struct nlmsghdr *begin_link(
	struct netlink *nl, union netlink_request *q, unsigned int ifindex, unsigned int flags)
{
	struct nlmsghdr *h = netlink_begin(nl, q, RTM_NEWLINK, 0);
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));

	i->ifi_family = AF_UNSPEC;
	i->ifi_index = (int)ifindex;
	i->ifi_flags = flags;
	i->ifi_change = flags;
	return h;
}

int netlink_link_set(
	struct netlink *nl, unsigned int ifindex, uint32_t txqueue_frames, uint32_t mtu, const uint8_t mac[6])
{
	union netlink_request q;
	struct nlmsghdr *h = begin_link(nl, &q, ifindex, 0);

	mnl_attr_put_u32(h, IFLA_TXQLEN, txqueue_frames);
	mnl_attr_put_u32(h, IFLA_MTU, mtu);
	mnl_attr_put(h, IFLA_ADDRESS, 6, mac);
	return netlink_talk(nl, &q, NULL, NULL);
}

static int take_stats(const struct nlmsghdr *h, void *ctx)
{
	const struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(struct ifinfomsg))
	{
		struct rtnl_link_stats64 stats;

		if (mnl_attr_get_type(a) != IFLA_STATS64 || mnl_attr_get_payload_len(a) < sizeof(stats))
			continue;
		memcpy(&stats, mnl_attr_get_payload(a), sizeof(stats));
		*(uint64_t *)ctx = stats.tx_dropped;
	}
	return MNL_CB_OK;
}

int netlink_link_tx_dropped(struct netlink *nl, unsigned int ifindex, uint64_t *ret_frames)
{
	union netlink_request q;
	struct nlmsghdr *h = netlink_begin(nl, &q, RTM_GETLINK, 0);
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));

	i->ifi_family = AF_UNSPEC;
	i->ifi_index = (int)ifindex;
	*ret_frames = 0;
	return netlink_talk(nl, &q, take_stats, ret_frames);
}

int netlink_link_up(struct netlink *nl, unsigned int ifindex)
{
	union netlink_request q;

	(void)begin_link(nl, &q, ifindex, IFF_UP);
	return netlink_talk(nl, &q, NULL, NULL);
}

int netlink_addr_add(struct netlink *nl, unsigned int ifindex, uint32_t addr_be, unsigned int prefix)
{
	union netlink_request q;
	struct nlmsghdr *h = netlink_begin(nl, &q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *a = mnl_nlmsg_put_extra_header(h, sizeof(*a));

	a->ifa_family = AF_INET;
	a->ifa_prefixlen = (uint8_t)prefix;
	a->ifa_scope = RT_SCOPE_UNIVERSE;
	a->ifa_index = ifindex;
	mnl_attr_put_u32(h, IFA_LOCAL, addr_be);
	mnl_attr_put_u32(h, IFA_ADDRESS, addr_be);
	if (prefix < 31) {
		uint32_t host_bits_be = htonl(UINT32_MAX >> prefix);

		mnl_attr_put_u32(h, IFA_BROADCAST, addr_be | host_bits_be);
	}
	return netlink_talk(nl, &q, NULL, NULL);
}

int netlink_default_route_add(struct netlink *nl, unsigned int ifindex, uint32_t gateway_be)
{
	union netlink_request q;
	struct nlmsghdr *h = netlink_begin(nl, &q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
	struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof(*r));

	r->rtm_family = AF_INET;
	r->rtm_table = RT_TABLE_MAIN;
	r->rtm_protocol = RTPROT_STATIC;
	r->rtm_scope = RT_SCOPE_UNIVERSE;
	r->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(h, RTA_GATEWAY, gateway_be);
	mnl_attr_put_u32(h, RTA_OIF, ifindex);
	return netlink_talk(nl, &q, NULL, NULL);
}
