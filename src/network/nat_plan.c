/* SPDX-License-Identifier: BSD-2-Clause */
/* The plan of a nat network: what is left open is chosen, what clashes is refused, and the steps are listed.
 */
#include <arpa/inet.h>
#include <stdarg.h>

#include "plan.h"
#include "store.h"

#define DNS_PORT       53
#define DNS_PORT_ELSE  1053 /* and the next ones */
#define DNS_PORT_TRIES 64
#define MTU_DEFAULT    1500

int plan_fail(struct network_error *e, int r, const char *option, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(e->text, sizeof(e->text), format, ap);
	va_end(ap);
	(void)snprintf(e->option, sizeof(e->option), "%s", option ? option : "");
	return r;
}

/* Lines are "sl: ADDR:PORT REMOTE STATE ...", an address in hexadecimal as it lies in memory. */
bool plan_port_taken(struct host *h, const char *table, uint32_t addr_be, unsigned int port)
{
	_cleanup_free_ char *text = NULL;
	char path[HOST_PATH_BYTES], wanted[16], *next;

	(void)snprintf(path, sizeof(path), "/proc/net/%s", table);
	(void)snprintf(wanted, sizeof(wanted), "%08X", addr_be);
	if (h->ops->file_read(h, path, &text) < 0)
		return false;
	for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		unsigned int got = 0, state = 0;
		char addr[40] = "";

		/* 0A: listening; a UDP socket that is bound is 07. */
		if (sscanf(line, " %*[0-9]: %39[0-9A-F]:%x %*[0-9A-F]:%*x %x", addr, &got, &state) == 3 &&
			got == port && (state == 0x0a || state == 0x07) &&
			(addr_be ? strcmp(addr, wanted) == 0 : strspn(addr, "0") == strlen(addr)))
			return true;
	}
	return false;
}

static int choose(struct host *h, struct network *n, struct network_error *e)
{
	struct net_conf *c = &n->conf;
	char value[HOST_SYSCTL_BYTES];
	struct conf_error ce;
	int r;

	if (h->ops->sysctl_get(h, "net/ipv6/conf/all/disable_ipv6", value) < 0 || strcmp(value, "0") != 0) {
		if (!IN6_IS_ADDR_UNSPECIFIED(&c->net6))
			return plan_fail(
				e, -EAFNOSUPPORT, "ipv6-net", "cannot be: IPv6 is turned off on this host");
		c->no_ipv6 = true;
	}
	r = c->adopted ? adopt_look(h, c, e) : 0;
	if (r == 0)
		r = subnet_choose(h, c, e);
	if (r < 0)
		return r;
	if (!c->domainname[0])
		(void)snprintf(c->domainname, sizeof(c->domainname), "%s.internal", c->name);
	if (!net_conf_check(c, &ce))
		return plan_fail(e, -EINVAL, ce.option, "%s", ce.text);
	return subnet_check(h, c, e);
}

/* The bridge's name, and each port of the host that a forward takes. */
static int check_free(struct host *h, const struct net_conf *c, struct network_error *e)
{
	struct host_link l;
	int r = c->adopted ? -ENODEV : h->ops->link_find(h, c->bridge, &l);

	if (r == 0) {
		(void)snprintf(e->mend, sizeof(e->mend),
			"choose another name with --bridge, or take that one if it is a bridge: vmlan adopt "
			"%s %s",
			c->bridge, c->name);
		return plan_fail(e, -EEXIST, "bridge", "there is an interface %s already", c->bridge);
	}
	if (r != -ENODEV)
		return plan_fail(e, r, NULL, "cannot see what interfaces the host has");
	return 0;
}

static int choose_dns_port(struct host *h, const struct net_conf *c, uint16_t *ret, struct network_error *e)
{
	int r = h->ops->port_probe(h, 0, c->host_be, DNS_PORT);

	*ret = DNS_PORT;
	for (unsigned int i = 0; r == -EADDRINUSE && i < DNS_PORT_TRIES; i++) {
		*ret = (uint16_t)(DNS_PORT_ELSE + i);
		r = h->ops->port_probe(h, 0, c->host_be, *ret);
	}
	return r < 0 ? plan_fail(e, r, NULL, "cannot find a port for DNS: %s", strerror(-r)) : 0;
}

static int add_sysctl(
	struct host *h, struct network *n, const char *family, const char *what, const char *value)
{
	char path[HOST_PATH_BYTES], now[HOST_SYSCTL_BYTES];

	/* What this kernel does not know of any interface, it does not know of ours. */
	(void)snprintf(path, sizeof(path), "net/%s/conf/default/%s", family, what);
	if (h->ops->sysctl_get(h, path, now) == -ENOENT)
		return 0;
	(void)snprintf(path, sizeof(path), "net/%s/conf/%s/%s", family, n->conf.bridge, what);
	/* One of an interface that stays when the network goes is remembered and put back. */
	return network_add_step(n, &step_sysctl,
		json_pack("{ssssss}", "path", path, "value", value, "dev",
			n->conf.adopted ? "" : n->conf.bridge));
}

static int add_address(struct network *n, int family, const void *addr, int prefix)
{
	char text[INET6_ADDRSTRLEN];

	return network_add_step(n, &step_address,
		json_pack("{sssssisi}", "dev", n->conf.bridge, "addr",
			inet_ntop(family, addr, text, sizeof(text)), "prefix", prefix, "adopted",
			n->conf.adopted));
}

static int add_bridge(struct host *h, struct network *n)
{
	const struct net_conf *c = &n->conf;
	uint64_t hash = 0;
	char mac[18];
	int r = subnet_stable(h, c->name, "mac", &hash);

	if (r < 0)
		return r;
	(void)snprintf(mac, sizeof(mac), "02:%02x:%02x:%02x:%02x:%02x", (unsigned int)(hash & 0xff),
		(unsigned int)(hash >> 8 & 0xff), (unsigned int)(hash >> 16 & 0xff),
		(unsigned int)(hash >> 24 & 0xff), (unsigned int)(hash >> 32 & 0xff));
	return network_add_step(n, &step_bridge,
		json_pack("{sssssisi}", "name", c->bridge, "mac", mac, "mtu", c->mtu ? c->mtu : MTU_DEFAULT,
			"stp", c->stp));
}

/* The settings of a bridge of ours, before it is up. */
static int add_settings(struct host *h, struct network *n)
{
	bool ipv6 = !n->conf.no_ipv6;
	int r = add_bridge(h, n);

	if (r == 0)
		r = add_sysctl(h, n, "ipv4", "forwarding", "1");
	if (r == 0 && ipv6)
		r = add_sysctl(h, n, "ipv6", "addr_gen_mode", "1");
	if (r == 0 && ipv6)
		r = add_sysctl(h, n, "ipv6", "accept_ra", "0");
	if (r == 0 && ipv6)
		r = add_sysctl(h, n, "ipv6", "force_forwarding", "1");
	if (r == 0 && ipv6)
		r = add_sysctl(h, n, "ipv6", "forwarding", "1");
	return r < 0 || ipv6 ? r : add_sysctl(h, n, "ipv6", "disable_ipv6", "1");
}

/* Guests may be told an address of the link that is always the same: the kernel would wait for the first port
 * before it made one, and dnsmasq with it. */
static int add_link(struct host *h, struct network *n)
{
	static const struct in6_addr link_local = {.s6_addr = {0xfe, 0x80, [15] = 1}};
	const struct net_conf *c = &n->conf;
	struct in6_addr host6 = c->net6;
	int r;

	host6.s6_addr[15] = 1;
	/* An adopted one is as its owner has it; it forwards as all interfaces do (step_forwarding). */
	r = c->adopted ? network_add_step(n, &step_adopt, json_pack("{ss}", "name", c->bridge))
		       : add_settings(h, n);
	if (r == 0 && c->adopted) /* a guest is no router of ours */
		r = add_sysctl(h, n, "ipv6", "accept_ra", "0");
	/* for 127.0.0.1 as the host's side of a forward; the table drops what guests send there */
	if (r == 0)
		r = add_sysctl(h, n, "ipv4", "route_localnet", "1");
	if (r == 0)
		r = network_add_step(
			n, &step_link_up, json_pack("{sssi}", "dev", c->bridge, "adopted", c->adopted));
	if (r == 0)
		r = add_address(n, AF_INET, &c->host_be, (int)net_conf_prefix(c));
	if (r == 0 && !c->no_ipv6)
		r = add_address(n, AF_INET6, &link_local, 64);
	if (r == 0 && !c->no_ipv6)
		r = add_address(n, AF_INET6, &host6, 64);
	return r;
}

static int add_file(struct network *n, const char *file, char *text)
{
	char path[HOST_PATH_BYTES];
	int r;

	store_path(n->conf.name, file, path);
	r = text ? network_add_step(n, &step_file, json_pack("{ssss}", "path", path, "text", text)) : -ENOMEM;
	free(text);
	return r;
}

static int add_table(struct network *n, uint16_t dns_port)
{
	_cleanup_free_ char *rules = nat_rules(&n->conf, dns_port);
	char name[NETWORK_TABLE_BYTES];

	if (!rules)
		return -ENOMEM;
	(void)snprintf(name, sizeof(name), "%s%s", NETWORK_TABLE_PREFIX, n->conf.name);
	return network_add_step(
		n, &step_table, json_pack("{sssssi}", "name", name, "rules", rules, "dns_port", dns_port));
}

int nat_plan(struct host *h, struct network *n, struct network_error *e)
{
	bool added;
	uint16_t dns_port = DNS_PORT;
	char addr[INET_ADDRSTRLEN];
	int r = choose(h, n, e);

	if (r == 0)
		r = check_free(h, &n->conf, e);
	for (unsigned int i = 0; r == 0 && i < n->conf.n_forwards; i++)
		r = nat_check_forward(h, &n->conf.forwards[i], e);
	if (r == 0)
		r = choose_dns_port(h, &n->conf, &dns_port, e);
	if (r < 0)
		return r;
	r = network_add_step(n, &step_forwarding, json_pack("{si}", "ipv6", !n->conf.no_ipv6));
	if (r == 0 && n->conf.isolated) /* before there is a bridge that a guest could join */
		r = add_file(n, STORE_ISOLATED, strdup("yes\n"));
	if (r == 0)
		r = add_link(h, n);
	if (r == 0)
		r = add_table(n, dns_port);
	if (r == 0)
		r = add_file(n, STORE_DNSMASQ, nat_dnsmasq_conf(&n->conf, dns_port));
	if (r == 0)
		r = add_file(n, STORE_HOSTS, nat_hosts(&n->conf));
	if (r == 0 && !n->conf.adopted && resolved_is_there(h))
		r = network_add_step(n, &step_resolved,
			json_pack("{ssssss}", "dev", n->conf.bridge, "addr",
				inet_ntop(AF_INET, &n->conf.host_be, addr, sizeof(addr)), "domain",
				n->conf.domainname));
	if (r == 0)
		r = network_add_step(n, &step_supervisor, json_pack("{ss}", "dev", n->conf.bridge));
	if (r < 0)
		return plan_fail(e, r, NULL, "cannot plan the network: %s", strerror(-r));
	return firewall_plan(h, n, &added, e);
}

int nat_check_forward(struct host *h, const struct net_forward *f, struct network_error *e)
{
	uint32_t addr_be = f->host.family == AF_INET ? f->host.in4_be : 0;

	for (unsigned int i = 0; f->guest.family == AF_INET && i < f->n_ports; i++) {
		int r = h->ops->port_probe(h, f->proto, addr_be, (uint16_t)(f->host_port + i));

		if (r == -EADDRINUSE)
			return plan_fail(e, r, "hostfwd",
				"takes port %u, at which a program of this host listens", f->host_port + i);
		if (r < 0)
			return plan_fail(e, r, "hostfwd", "port %u cannot be looked at: %s", f->host_port + i,
				strerror(-r));
	}
	return 0;
}

static int set_text(struct step *s, const char *key, char *text)
{
	int r = text && json_object_set_new(s->args, key, json_string(text)) == 0 ? 0 : -ENOMEM;

	free(text);
	return r;
}

int nat_replan(struct host *h, struct network *n, struct network_error *e)
{
	char hosts[HOST_PATH_BYTES], dnsmasq[HOST_PATH_BYTES];
	uint16_t dns_port = DNS_PORT;
	int r = 0;

	store_path(n->conf.name, STORE_HOSTS, hosts);
	store_path(n->conf.name, STORE_DNSMASQ, dnsmasq);
	for (unsigned int i = 0; r == 0 && i < n->n_steps; i++) {
		struct step *s = &n->steps[i];

		if (s->kind == &step_table) { /* stands before the others */
			dns_port = (uint16_t)step_number(s, "dns_port");
			r = set_text(s, "rules", nat_rules(&n->conf, dns_port));
		} else if (s->kind == &step_file && strcmp(step_text(s, "path"), dnsmasq) == 0)
			r = set_text(s, "text", nat_dnsmasq_conf(&n->conf, dns_port));
		else if (s->kind == &step_file && strcmp(step_text(s, "path"), hosts) == 0)
			r = set_text(s, "text", nat_hosts(&n->conf));
	}
	return r < 0 ? plan_fail(e, r, NULL, "no memory") : 0;
}
