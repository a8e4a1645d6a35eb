/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections that the kernel translates, by ctnetlink. An entry outlives the rule that made it, for five
 * days if it is a TCP connection: whoever has one goes on past a forward that is gone.
 *
 * What is to end is collected from a dump and then ended one by one, by its original tuple as the kernel told
 * it; again until a dump has none, since a dump may miss what moves in the table meanwhile. */
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>

#include "host_internal.h"

#define ROUNDS      8
#define TUPLE_BYTES 160 /* an original tuple with its attribute's header; IPv6 takes 84 */

struct tuple {
	uint8_t addr[2][16]; /* source, destination */
	uint16_t port[2];    /* host order */
	uint8_t proto;
};

struct victims {
	const struct host_dnat *d;
	struct {
		char tuple[TUPLE_BYTES];
		uint16_t n_bytes;
	} * items; /* heap */
	unsigned int n;
	bool failed;
};

static void take_addrs(const struct nlattr *ip, struct tuple *ret)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, ip)
	{
		uint16_t type = mnl_attr_get_type(a), n = mnl_attr_get_payload_len(a);
		bool is4 = type == CTA_IP_V4_SRC || type == CTA_IP_V4_DST;
		bool is_dst = type == CTA_IP_V4_DST || type == CTA_IP_V6_DST;

		if (n >= (is4 ? 4 : 16))
			memcpy(ret->addr[is_dst], mnl_attr_get_payload(a), is4 ? 4 : 16);
	}
}

static void take_ports(const struct nlattr *proto, struct tuple *ret)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, proto)
	{
		uint16_t type = mnl_attr_get_type(a), n = mnl_attr_get_payload_len(a);

		if (type == CTA_PROTO_NUM && n >= 1)
			ret->proto = mnl_attr_get_u8(a);
		else if ((type == CTA_PROTO_SRC_PORT || type == CTA_PROTO_DST_PORT) && n >= 2)
			ret->port[type == CTA_PROTO_DST_PORT] = ntohs(mnl_attr_get_u16(a));
	}
}

static struct tuple parse_tuple(const struct nlattr *tuple)
{
	struct tuple t = {0};
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, tuple)
	{
		if (mnl_attr_get_type(a) == CTA_TUPLE_IP)
			take_addrs(a, &t);
		else if (mnl_attr_get_type(a) == CTA_TUPLE_PROTO)
			take_ports(a, &t);
	}
	return t;
}

/* It came to a port of ours, and the guest's port answers. */
static bool is_led(const struct host_dnat *d, const struct tuple *to, const struct tuple *back)
{
	unsigned int i = (unsigned int)to->port[1] - d->port;

	return to->proto == d->proto && to->port[1] >= d->port && i < d->n_ports &&
	       back->port[0] == d->to_port + i &&
	       memcmp(back->addr[0], d->to, d->family == AF_INET ? 4 : 16) == 0;
}

static void add_victim(struct victims *v, const struct nlattr *tuple)
{
	void *grown = reallocarray(v->items, v->n + 1u, sizeof(*v->items));

	if (!grown || tuple->nla_len > TUPLE_BYTES) {
		v->items = grown ? grown : v->items;
		v->failed = true;
		return;
	}
	v->items = grown;
	memcpy(v->items[v->n].tuple, tuple, tuple->nla_len);
	v->items[v->n++].n_bytes = tuple->nla_len;
}

static int on_entry(const struct nlmsghdr *m, void *ctx)
{
	const struct nlattr *a, *tuple = NULL;
	struct tuple to = {0}, back = {0};
	struct victims *v = ctx;
	uint32_t status = 0;

	mnl_attr_for_each(a, m, sizeof(struct nfgenmsg))
	{
		switch (mnl_attr_get_type(a)) {
		case CTA_TUPLE_ORIG:
			tuple = a;
			to = parse_tuple(a);
			break;
		case CTA_TUPLE_REPLY:
			back = parse_tuple(a);
			break;
		case CTA_STATUS:
			status = ntohl(mnl_attr_get_u32(a));
			break;
		default:
			break;
		}
	}
	if (tuple && (status & IPS_DST_NAT) && is_led(v->d, &to, &back))
		add_victim(v, tuple);
	return MNL_CB_OK;
}

static struct nlmsghdr *begin(
	struct netlink *nl, union netlink_request *q, uint16_t type, uint16_t flags, int family)
{
	struct nlmsghdr *m = netlink_begin(nl, q, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), flags);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(m, sizeof(*g));

	g->nfgen_family = (uint8_t)family;
	g->version = NFNETLINK_V0;
	return m;
}

static int end_one(struct netlink *nl, const struct victims *v, unsigned int i)
{
	const char *tuple = v->items[i].tuple;
	union netlink_request q;
	struct nlmsghdr *m = begin(nl, &q, IPCTNL_MSG_CT_DELETE, 0, v->d->family);
	int r;

	memcpy(mnl_nlmsg_get_payload_tail(m), tuple, v->items[i].n_bytes);
	m->nlmsg_len += MNL_ALIGN(v->items[i].n_bytes);
	r = netlink_talk(nl, &q, NULL, NULL);
	return r == -ENOENT ? 0 : r; /* it has ended by itself */
}

int host_dnat_end(struct host *h, const struct host_dnat *d)
{
	struct netlink nl = {0};
	int r = netlink_open_protocol(&nl, NETLINK_NETFILTER);

	for (unsigned int i = 0; r == 0 && i < ROUNDS; i++) {
		struct victims v = {.d = d};
		union netlink_request q;

		(void)begin(&nl, &q, IPCTNL_MSG_CT_GET, NLM_F_DUMP, d->family);
		r = netlink_talk(&nl, &q, on_entry, &v);
		r = r == 0 && v.failed ? -ENOMEM : r;
		for (unsigned int k = 0; r == 0 && k < v.n; k++)
			r = end_one(&nl, &v, k);
		free(v.items);
		if (r ==
			-EINTR) { /* the table changed; the rest of the broken dump may still be on its way */
			netlink_close(&nl);
			r = netlink_open_protocol(&nl, NETLINK_NETFILTER);
		} else if (v.n == 0) {
			break;
		}
	}
	netlink_close(&nl);
	return host_failed(h, r, "cannot end the connections of a forward");
}
