/* SPDX-License-Identifier: BSD-2-Clause */
/* A bridge that somebody else made, such as a br0 of the administrator's or a virbr0 whose libvirt has gone,
 * under a network of ours. It is neither made nor removed: its alias becomes our mark, what it has of
 * addresses is what the network has, and what it lacks is added and taken away again (the steps remember
 * which).
 *
 * Refused are bridges on which a DHCP server of ours would do harm: those with a NIC as a port, which are on
 * a LAN that is somebody's, and those that a name server serves already, as libvirt's dnsmasq does. */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

#include "plan.h"

#define MTU_DEFAULT 1500

static _printf_(4, 5) int refuse(
	struct network_error *e, const char *mend, const char *option, const char *format, ...)
{
	char text[NETWORK_TEXT_BYTES];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	(void)snprintf(e->mend, sizeof(e->mend), "%s", mend);
	return plan_fail(e, -EBUSY, option, "%s", text);
}

static int look_at_ports(struct host *h, const struct host_link *bridge, struct network_error *e)
{
	_cleanup_free_ struct host_link *links = NULL;
	char mend[NETWORK_TEXT_BYTES];
	unsigned int n = 0;
	int r = h->ops->link_list(h, &links, &n);

	for (unsigned int i = 0; r == 0 && i < n; i++) {
		if (links[i].master != bridge->index || strcmp(links[i].kind, "tun") == 0 ||
			strcmp(links[i].kind, "veth") == 0 || strcmp(links[i].kind, "dummy") == 0)
			continue;
		(void)snprintf(
			mend, sizeof(mend), "guests join it as it is, by -net bridge,br=%s", bridge->name);
		return refuse(e, mend, "bridge",
			"%s leads to a LAN by its port %s: DHCP of ours would disturb it", bridge->name,
			links[i].name);
	}
	return r;
}

/* The IPv4 network is the bridge's, if it has one. */
static int take_ipv4(const struct host_addr *a, struct net_conf *c, struct network_error *e)
{
	uint32_t addr_be, mask_be = htonl(UINT32_MAX << (32 - a->prefix));
	char text[INET_ADDRSTRLEN];

	memcpy(&addr_be, a->addr, sizeof(addr_be));
	(void)inet_ntop(AF_INET, &addr_be, text, sizeof(text));
	if (c->net_be && (c->net_be != (addr_be & mask_be) || c->mask_be != mask_be))
		return refuse(
			e, "leave --net out", "net", "is not the bridge's, which has %s/%u", text, a->prefix);
	if (c->host_be && c->host_be != addr_be)
		return refuse(
			e, "leave --host out", "host", "is not the bridge's address, which is %s", text);
	c->net_be = addr_be & mask_be;
	c->mask_be = mask_be;
	c->host_be = addr_be;
	return 0;
}

static int take_addresses(
	struct host *h, const struct host_link *bridge, struct net_conf *c, struct network_error *e)
{
	_cleanup_free_ struct host_addr *all = NULL;
	unsigned int n = 0, n_ipv4 = 0;
	int r = h->ops->addr_list(h, &all, &n);

	for (unsigned int i = 0; r == 0 && i < n; i++) {
		const uint8_t *a = all[i].addr;

		if (all[i].ifindex != bridge->index)
			continue;
		if (all[i].family == AF_INET && n_ipv4++)
			return refuse(e, "", "bridge", "%s has several IPv4 addresses, and a network one",
				bridge->name);
		if (all[i].family == AF_INET && (all[i].prefix < 8 || all[i].prefix > 30))
			return refuse(
				e, "", "bridge", "%s has an address of a /%u", bridge->name, all[i].prefix);
		if (all[i].family == AF_INET)
			r = take_ipv4(&all[i], c, e);
		else if (all[i].prefix == 64 && !(a[0] == 0xfe && (a[1] & 0xc0) == 0x80) &&
			 IN6_IS_ADDR_UNSPECIFIED(&c->net6))
			memcpy(c->net6.s6_addr, a, 8);
	}
	return r;
}

int adopt_look(struct host *h, struct net_conf *c, struct network_error *e)
{
	struct host_link l;
	int r = h->ops->link_find(h, c->bridge, &l);

	if (r == -ENODEV || (r == 0 && strcmp(l.kind, "bridge") != 0))
		return plan_fail(e, -ENODEV, "bridge", "there is no bridge %s to adopt", c->bridge);
	if (r == 0 && strncmp(l.alias, NETWORK_MARK_PREFIX, strlen(NETWORK_MARK_PREFIX)) == 0)
		return plan_fail(
			e, -EEXIST, "bridge", "%s is a network of ours already (%s)", c->bridge, l.alias);
	if (r == 0 && c->mtu && c->mtu != l.mtu)
		return refuse(e, "leave --mtu out", "mtu", "is not the bridge's, which is %u", l.mtu);
	if (r == 0 && c->stp)
		return refuse(e, "leave --stp out", "stp", "is up to whoever made the bridge");
	if (r == 0 && c->isolated) /* of ports, which stay */
		return refuse(e, "leave --isolated out", "isolated",
			"is up to whoever made the bridge and its ports");
	if (r == 0 && l.mtu != MTU_DEFAULT)
		c->mtu = (uint16_t)MIN(l.mtu, 65520u);
	if (r == 0)
		r = look_at_ports(h, &l, e);
	if (r == 0)
		r = take_addresses(h, &l, c, e);
	if (r == 0 && c->host_be && plan_port_taken(h, "udp", c->host_be, 53))
		return refuse(e, "end that one first, without its bridge", "bridge",
			"%s has a name server of its own (libvirt's?), and so a DHCP server: two contradict "
			"each other",
			c->bridge);
	return r < 0 && !e->text[0] ? plan_fail(e, r, NULL, "cannot look at the bridge %s", c->bridge) : r;
}

/* ------------------------------------------------------------------ the step: our mark on it */

static void describe(const struct step *s, char ret[STEP_TEXT_BYTES])
{
	(void)snprintf(ret, STEP_TEXT_BYTES, "the bridge %s, adopted", step_text(s, "name"));
}

static int probe(struct step_ctx *c, struct step *s)
{
	struct host_link l;
	int r = c->host->ops->link_find(c->host, step_text(s, "name"), &l);

	if (r < 0)
		return step_failed(c, r, "there is no bridge %s", step_text(s, "name"));
	s->before = json_pack("{ss}", "alias", l.alias);
	return s->before ? 0 : -ENOMEM;
}

static const char *alias_before(const struct step *s)
{
	const char *alias = json_string_value(json_object_get(s->before, "alias"));

	return alias ? alias : "";
}

static int check(struct step_ctx *c, const struct step *s)
{
	struct host_link l;
	int r = c->host->ops->link_find(c->host, step_text(s, "name"), &l);

	if (r < 0 || strcmp(l.alias, c->mark) == 0)
		(void)step_failed(c, r, "there is no bridge %s any more", step_text(s, "name"));
	else
		(void)snprintf(c->why, sizeof(c->why), "it does not bear our mark");
	return r == -ENODEV ? (int)STEP_MISSING
	       : r < 0      ? r
			    : (strcmp(l.alias, c->mark) == 0 ? (int)STEP_OK : (int)STEP_CHANGED);
}

static int apply(struct step_ctx *c, struct step *s)
{
	const char *name = step_text(s, "name");
	struct host_link l;
	int r = c->host->ops->link_find(c->host, name, &l);

	if (r == 0 && strcmp(l.kind, "bridge") != 0)
		r = -ENODEV;
	if (r == 0 && strcmp(l.alias, c->mark) != 0)
		r = c->host->ops->link_set_alias(c->host, l.index, c->mark);
	return step_failed(
		c, r, r == -ENODEV ? "there is no bridge %s any more" : "cannot mark the bridge %s", name);
}

static int undo(struct step_ctx *c, const struct step *s)
{
	struct host_link l;
	int r = c->host->ops->link_find(c->host, step_text(s, "name"), &l);

	if (r == 0 && strcmp(l.alias, c->mark) == 0)
		r = c->host->ops->link_set_alias(c->host, l.index, alias_before(s));
	return step_failed(
		c, r == -ENODEV ? 0 : r, "cannot give the bridge %s its alias back", step_text(s, "name"));
}

const struct step_kind step_adopt = {
	.name = "adopt",
	.describe = describe,
	.probe = probe,
	.apply = apply,
	.check = check,
	.undo = undo,
};
