/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules of a nat network: one nftables table of family inet, which nothing else touches.
 *
 *   guard        what comes from the bridge has an address of the network, and does not go to 127.0.0.0/8
 *   input        guests may ask for DHCP and DNS; nobody else may ask our servers; with restrict, nothing
 * more forward      guests go out; only answers and what a forward leads come in; isolation; segment sizes
 * are lowered to what the route carries, since an uplink's MTU may be below the network's prerouting
 * forwards, for what arrives, from guests too (hairpin) output       forwards, for the host's own connections
 *   postrouting  masquerading
 *
 * "accept" in a table does not overrule "drop" in another one: what other firewalls drop is firewall.c's
 * matter.
 *
 * Masquerading is to ports from 1024 on, so that a guest cannot appear at a port that only root may have.
 * Multicast of the link and broadcasts keep their source. What a forward leads back to the network it came
 * from is masqueraded too: the guest would answer its neighbour directly otherwise, past the translation. */
#include <arpa/inet.h>

#include "plan.h"

#define DNS_PORT 53

struct names {
	const char *dev;
	char net[INET_ADDRSTRLEN + 4], host[INET_ADDRSTRLEN];
	char net6[INET6_ADDRSTRLEN + 4], host6[INET6_ADDRSTRLEN];
	uint16_t dns_port;
	bool ipv6;
};

static void make_names(const struct net_conf *c, uint16_t dns_port, struct names *ret)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr host6 = c->net6;

	host6.s6_addr[15] = 1;
	ret->dev = c->bridge;
	ret->dns_port = dns_port;
	ret->ipv6 = !c->no_ipv6;
	(void)snprintf(ret->net, sizeof(ret->net), "%s/%u",
		inet_ntop(AF_INET, &c->net_be, text, INET_ADDRSTRLEN), net_conf_prefix(c));
	(void)inet_ntop(AF_INET, &c->host_be, ret->host, sizeof(ret->host));
	(void)snprintf(
		ret->net6, sizeof(ret->net6), "%s/64", inet_ntop(AF_INET6, &c->net6, text, sizeof(text)));
	(void)inet_ntop(AF_INET6, &host6, ret->host6, sizeof(ret->host6));
}

static void put_guard(FILE *f, const struct names *n)
{
	(void)fprintf(f,
		"chain guard {\n"
		"type filter hook prerouting priority raw; policy accept;\n"
		"iifname \"%s\" ip saddr != { 0.0.0.0, %s } drop\n"
		"iifname \"%s\" ip daddr 127.0.0.0/8 drop\n",
		n->dev, n->net, n->dev);
	if (n->ipv6)
		(void)fprintf(f, "iifname \"%s\" ip6 saddr != { ::, fe80::/10, %s } drop\n", n->dev, n->net6);
	else
		(void)fprintf(f, "iifname \"%s\" meta nfproto ipv6 drop\n", n->dev);
	(void)fputs("}\n", f);
}

static void put_input(FILE *f, const struct net_conf *c, const struct names *n)
{
	const char *tftp = c->tftp[0] ? ", 69" : "";
	unsigned int dns = n->dns_port;

	(void)fprintf(f,
		"chain input {\n"
		"type filter hook input priority filter; policy accept;\n"
		"iifname \"%s\" udp dport { 67, %u%s } accept\n"
		"iifname \"%s\" tcp dport %u accept\n"
		"iifname != { \"lo\", \"%s\" } ip daddr %s meta l4proto { tcp, udp } th dport { 67, %u%s } "
		"drop\n",
		n->dev, dns, tftp, n->dev, dns, n->dev, n->host, dns, tftp);
	if (n->ipv6)
		(void)fprintf(f,
			"iifname \"%s\" udp dport 547 accept\n"
			"iifname != { \"lo\", \"%s\" } ip6 daddr %s meta l4proto { tcp, udp } th dport { %u, "
			"547%s } drop\n",
			n->dev, n->dev, n->host6, dns, tftp);
	if (c->restricted)
		(void)fprintf(f,
			"iifname \"%s\" meta l4proto { icmp, ipv6-icmp } accept\n"
			"iifname \"%s\" ct state established,related accept\n"
			"iifname \"%s\" drop\n",
			n->dev, n->dev, n->dev);
	(void)fputs("}\n", f);
}

static void put_forward_chain(FILE *f, const struct net_conf *c, const struct names *n)
{
	(void)fprintf(f,
		"chain forward {\n"
		"type filter hook forward priority filter; policy accept;\n"
		"iifname \"%s\" tcp flags syn tcp option maxseg size set rt mtu\n"
		"oifname \"%s\" tcp flags syn tcp option maxseg size set rt mtu\n"
		"iifname \"%s\" oifname \"%s\" ct status dnat accept\n"
		"iifname \"%s\" oifname \"%s\" %s\n",
		n->dev, n->dev, n->dev, n->dev, n->dev, n->dev, c->isolated ? "drop" : "accept");
	if (c->restricted)
		(void)fprintf(f,
			"iifname \"%s\" ct state established,related accept\n"
			"iifname \"%s\" reject with icmpx admin-prohibited\n",
			n->dev, n->dev);
	(void)fprintf(f,
		"oifname \"%s\" ct state established,related accept\n"
		"oifname \"%s\" ct status dnat accept\n"
		"oifname \"%s\" reject with icmpx admin-prohibited\n"
		"}\n",
		n->dev, n->dev, n->dev);
}

/* "dnat ip to ADDR:PORT", or a map where a range of ports moves. */
static void put_target(FILE *f, const struct net_forward *w)
{
	bool is4 = w->guest.family == AF_INET;
	const char *proto = w->proto == IPPROTO_UDP ? "udp" : "tcp", *l3 = is4 ? "ip" : "ip6";
	char addr[INET6_ADDRSTRLEN];

	(void)inet_ntop(w->guest.family, &w->guest.in6, addr, sizeof(addr));
	if (w->host_port == w->guest_port) {
		(void)fprintf(f, "dnat %s to %s\n", l3, addr);
	} else if (w->n_ports == 1) {
		(void)fprintf(f, is4 ? "dnat ip to %s:%u\n" : "dnat ip6 to [%s]:%u\n", addr, w->guest_port);
	} else {
		(void)fprintf(f, "dnat %s to %s dport map {", l3, proto);
		for (unsigned int i = 0; i < w->n_ports; i++)
			(void)fprintf(f, "%s %u : %s . %u", i ? "," : "", w->host_port + i, addr,
				w->guest_port + i);
		(void)fputs(" }\n", f);
	}
}

static void put_forwards(FILE *f, const struct net_conf *c)
{
	for (unsigned int i = 0; i < c->n_forwards; i++) {
		const struct net_forward *w = &c->forwards[i];
		bool is4 = w->guest.family == AF_INET;
		char addr[INET6_ADDRSTRLEN];

		if (w->host.family)
			(void)fprintf(f, "%s daddr %s ", is4 ? "ip" : "ip6",
				inet_ntop(w->host.family, &w->host.in6, addr, sizeof(addr)));
		else
			(void)fprintf(f, "meta nfproto %s fib daddr type local ", is4 ? "ipv4" : "ipv6");
		(void)fprintf(f, "%s dport %u", w->proto == IPPROTO_UDP ? "udp" : "tcp", w->host_port);
		if (w->n_ports > 1)
			(void)fprintf(f, "-%u", w->host_port + w->n_ports - 1);
		(void)fputc(' ', f);
		put_target(f, w);
	}
}

/* Where another resolver has port 53 of every address, ours has another port, and nobody need know. */
static void put_dns(FILE *f, const struct names *n, const char *from)
{
	static const char *const protos[] = {"udp", "tcp"};

	for (unsigned int i = 0; n->dns_port != DNS_PORT && i < ARRAY_SIZE(protos); i++) {
		(void)fprintf(f, "%sip daddr %s %s dport %d dnat ip to %s:%u\n", from, n->host, protos[i],
			DNS_PORT, n->host, n->dns_port);
		if (n->ipv6)
			(void)fprintf(f, "%sip6 daddr %s %s dport %d dnat ip6 to [%s]:%u\n", from, n->host6,
				protos[i], DNS_PORT, n->host6, n->dns_port);
	}
}

static void put_destination(FILE *f, const struct net_conf *c, const struct names *n)
{
	char from[64];

	(void)snprintf(from, sizeof(from), "iifname \"%s\" ", n->dev);
	(void)fputs("chain prerouting {\ntype nat hook prerouting priority dstnat; policy accept;\n", f);
	put_dns(f, n, from);
	put_forwards(f, c);
	(void)fputs("}\nchain output {\ntype nat hook output priority -100; policy accept;\n", f);
	put_dns(f, n, "");
	put_forwards(f, c);
	(void)fputs("}\n", f);
}

static void put_source(FILE *f, const struct names *n)
{
	(void)fprintf(f,
		"chain postrouting {\n"
		"type nat hook postrouting priority srcnat; policy accept;\n"
		"ip saddr %s ip daddr %s ct status dnat masquerade\n"
		"oifname \"%s\" ip saddr 127.0.0.0/8 masquerade\n"
		"ip saddr %s ip daddr 224.0.0.0/24 return\n"
		"ip saddr %s ip daddr 255.255.255.255 return\n"
		"ip saddr %s ip daddr != %s meta l4proto tcp masquerade to :1024-65535\n"
		"ip saddr %s ip daddr != %s meta l4proto udp masquerade to :1024-65535\n"
		"ip saddr %s ip daddr != %s masquerade\n",
		n->net, n->net, n->dev, n->net, n->net, n->net, n->net, n->net, n->net, n->net, n->net);
	/* A global prefix is routed to us, and seen as it is. */
	if (n->ipv6 && n->net6[0] == 'f')
		(void)fprintf(f,
			"ip6 saddr %s ip6 daddr %s ct status dnat masquerade\n"
			"ip6 saddr %s ip6 daddr ff02::/16 return\n"
			"ip6 saddr %s ip6 daddr != %s meta l4proto tcp masquerade to :1024-65535\n"
			"ip6 saddr %s ip6 daddr != %s meta l4proto udp masquerade to :1024-65535\n"
			"ip6 saddr %s ip6 daddr != %s masquerade\n",
			n->net6, n->net6, n->net6, n->net6, n->net6, n->net6, n->net6, n->net6, n->net6);
	(void)fputs("}\n", f);
}

char *nat_rules(const struct net_conf *c, uint16_t dns_port)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	struct names n;
	bool failed;

	if (!f)
		return NULL;
	make_names(c, dns_port, &n);
	put_guard(f, &n);
	put_input(f, c, &n);
	put_forward_chain(f, c, &n);
	put_destination(f, c, &n);
	put_source(f, &n);
	failed = ferror(f);
	if (fclose(f) == 0 && !failed)
		return text;
	free(text);
	return NULL;
}
