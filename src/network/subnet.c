/* SPDX-License-Identifier: BSD-2-Clause */
/* Which addresses are free. A network overlaps another if either holds the other's first address: a nested
 * one, a larger one and an equal one alike. Looked at are the host's addresses, the routes of all its tables
 * but default ones (and those that stand for one), and networks of ours that are on record, whether their
 * bridges are there or not. */
#include <arpa/inet.h>
#include <stdio.h>

#include "plan.h"
#include "siphash.h"
#include "store.h"

/* Choices, in order: 192.168.150.0/24 up to .254, then 172.30.0.0/24 up to 172.31.255.0. */
#define FIRST_16 0xc0a89600u
#define N_16     105u
#define FIRST_12 0xac1e0000u
#define N_12     512u
#define SIZE_24  256u
/* Wider routes are defaults by other names, such as a VPN's 0.0.0.0/1 or 2000::/3. */
#define NARROW_BITS 4
#define TEXT_SIZE   160

/* The bits in front are equal? */
static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int whole = bits / 8, rest = bits % 8;

	return memcmp(a, b, whole) == 0 && (!rest || ((a[whole] ^ b[whole]) & (0xff00 >> rest) & 0xff) == 0);
}

struct taken {
	int family;
	uint8_t addr[16];
	uint8_t prefix;
	char what[TEXT_SIZE];
};

struct taken_list {
	struct taken *items; /* heap */
	unsigned int n;
};

static void taken_done(struct taken_list *l)
{
	free(l->items);
}

static int take(struct taken_list *l, int family, const uint8_t *addr, uint8_t prefix, const char *kind,
	const char *where)
{
	struct taken *t = reallocarray(l->items, l->n + 1u, sizeof(*t));
	char text[INET6_ADDRSTRLEN];

	if (!t)
		return -ENOMEM;
	l->items = t;
	t += l->n++;
	*t = (struct taken){.family = family, .prefix = prefix};
	memcpy(t->addr, addr, family == AF_INET ? 4 : 16);
	(void)snprintf(t->what, sizeof(t->what), "%s %s/%u%s%s", kind,
		inet_ntop(family, addr, text, sizeof(text)), prefix, where[0] ? " of " : "", where);
	return 0;
}

static const char *name_of(const struct host_link *links, unsigned int n, unsigned int index)
{
	for (unsigned int i = 0; i < n; i++)
		if (links[i].index == index)
			return links[i].name;
	return "";
}

/* Addresses and routes; not those of a bridge of the network's own. */
static int take_host(struct host *h, const char *bridge, struct taken_list *l)
{
	_cleanup_free_ struct host_link *links = NULL;
	_cleanup_free_ struct host_addr *addrs = NULL;
	_cleanup_free_ struct host_route *routes = NULL;
	unsigned int n_links = 0, n_addrs = 0, n_routes = 0;
	int r = h->ops->link_list(h, &links, &n_links);

	if (r == 0)
		r = h->ops->addr_list(h, &addrs, &n_addrs);
	if (r == 0)
		r = h->ops->route_list(h, &routes, &n_routes);
	for (unsigned int i = 0; r == 0 && i < n_addrs; i++) {
		const char *dev = name_of(links, n_links, addrs[i].ifindex);

		if (strcmp(dev, bridge) != 0)
			r = take(l, addrs[i].family, addrs[i].addr, addrs[i].prefix, "the address", dev);
	}
	for (unsigned int i = 0; r == 0 && i < n_routes; i++) {
		const char *dev = name_of(links, n_links, routes[i].ifindex);

		if (routes[i].prefix >= NARROW_BITS && strcmp(dev, bridge) != 0)
			r = take(l, routes[i].family, routes[i].dst, routes[i].prefix, "the route", dev);
	}
	return r;
}

static int take_networks(struct host *h, const char *except, struct taken_list *l)
{
	_cleanup_free_ char *names = NULL;
	int r = network_names(h, &names);

	for (const char *name = names; r == 0 && *name; name += strlen(name) + 1) {
		struct network n;

		if (strcmp(name, except) == 0 || store_load(h, name, &n) < 0)
			continue;
		r = take(l, AF_INET, (const uint8_t *)&n.conf.net_be, (uint8_t)net_conf_prefix(&n.conf),
			"the network", name);
		if (r == 0 && !n.conf.no_ipv6)
			r = take(l, AF_INET6, n.conf.net6.s6_addr, 64, "the network", name);
		network_done(&n);
	}
	return r;
}

static int take_all(struct host *h, const struct net_conf *c, struct taken_list *l)
{
	int r = take_host(h, c->bridge, l);

	return r < 0 ? r : take_networks(h, c->name, l);
}

static const struct taken *find_overlap(
	const struct taken_list *l, int family, const void *addr, unsigned int prefix)
{
	for (unsigned int i = 0; i < l->n; i++) {
		const struct taken *t = &l->items[i];

		if (t->family == family && same_prefix(t->addr, addr, MIN((unsigned int)t->prefix, prefix)))
			return t;
	}
	return NULL;
}

int subnet_check(struct host *h, const struct net_conf *c, struct network_error *e)
{
	_cleanup_(taken_done) struct taken_list l = {0};
	const struct taken *t;
	int r = take_all(h, c, &l);

	if (r < 0)
		return plan_fail(e, r, NULL, "cannot see what addresses the host has");
	t = find_overlap(&l, AF_INET, &c->net_be, net_conf_prefix(c));
	if (t) {
		(void)snprintf(
			e->mend, sizeof(e->mend), "choose another --net, or none: a free one is found then");
		return plan_fail(e, -EADDRINUSE, "net", "overlaps %s", t->what);
	}
	t = c->no_ipv6 ? NULL : find_overlap(&l, AF_INET6, &c->net6, 64);
	if (t)
		return plan_fail(e, -EADDRINUSE, "ipv6-net", "overlaps %s", t->what);
	return 0;
}

int subnet_stable(struct host *h, const char *network, const char *what, uint64_t *ret)
{
	static const struct siphash_key key = {{0x766d6c616e737461, 0x626c656e756d6265}};
	_cleanup_free_ char *id = NULL;
	char text[128];
	int r = h->ops->file_read(h, "/etc/machine-id", &id);

	if (r < 0 && r != -ENOENT)
		return r;
	(void)snprintf(text, sizeof(text), "%.64s|%s|%s", id ? id : "", network, what);
	*ret = siphash(&key, text, strlen(text));
	return 0;
}

/* fdXX:XXXX:XXXX::/64: RFC 4193, the 40 bits from a hash instead of the time, so that guests keep theirs. */
static int choose_ipv6(struct host *h, struct net_conf *c)
{
	uint64_t hash;
	int r = subnet_stable(h, c->name, "ula", &hash);

	c->net6 = (struct in6_addr){0};
	c->net6.s6_addr[0] = 0xfd;
	memcpy(c->net6.s6_addr + 1, &hash, 5);
	return r;
}

int subnet_choose(struct host *h, struct net_conf *c, struct network_error *e)
{
	_cleanup_(taken_done) struct taken_list l = {0};
	int r = take_all(h, c, &l);

	if (r == 0 && !c->no_ipv6 && IN6_IS_ADDR_UNSPECIFIED(&c->net6))
		r = choose_ipv6(h, c);
	if (r < 0)
		return plan_fail(e, r, NULL, "cannot see what addresses the host has");
	for (unsigned int i = 0; !c->net_be && i < N_16 + N_12; i++) {
		uint32_t a_be = htonl(i < N_16 ? FIRST_16 + i * SIZE_24 : FIRST_12 + (i - N_16) * SIZE_24);

		if (!find_overlap(&l, AF_INET, &a_be, 24)) {
			c->net_be = a_be;
			c->mask_be = htonl(0xffffff00u);
		}
	}
	if (!c->net_be)
		return plan_fail(e, -EADDRINUSE, "net", "must be given: no private network is free here");
	return 0;
}
