/* SPDX-License-Identifier: BSD-2-Clause */
/* dnsmasq's configuration: only ours, on one bridge, next to any other on the host (bind-dynamic binds to the
 * addresses of the bridge alone).
 *
 * A guest gets its answer at once: an address is not pinged before it is offered (no-ping), since whoever has
 * one by hand can be told to reserve it. What a guest can make it log is turned off, and its log is bounded
 * by the supervisor. Reservations are in a file of their own, read again on SIGHUP. */
#include <arpa/inet.h>

#include "plan.h"
#include "store.h"

#define LEASE_HOURS           12
#define LEASES_MAX            4096 /* not fewer for a small range: leases of a larger one may be on file */
#define DNS_PORT              53
#define MTU_DEFAULT           1500
#define POOL6_FIRST           0x1000
#define POOL6_LAST            0xffff
#define ADDR_TEXT(a_be, text) inet_ntop(AF_INET, &(a_be), text, sizeof(text))

static void put_ipv6(FILE *f, const struct net_conf *c)
{
	struct in6_addr first = c->net6, last = c->net6;
	char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN];

	first.s6_addr[14] = POOL6_FIRST >> 8;
	last.s6_addr[14] = POOL6_LAST >> 8;
	last.s6_addr[15] = POOL6_LAST & 0xff;
	(void)fprintf(f,
		"enable-ra\n"
		"dhcp-range=%s,%s,slaac,64,%dh\n"
		"ra-param=%s,mtu:%u,0,1800\n"
		"quiet-dhcp6\nquiet-ra\n",
		inet_ntop(AF_INET6, &first, a, sizeof(a)), inet_ntop(AF_INET6, &last, b, sizeof(b)),
		LEASE_HOURS, c->bridge, c->mtu ? c->mtu : MTU_DEFAULT);
}

static void put(FILE *f, const struct net_conf *c, uint16_t dns_port)
{
	char a[INET_ADDRSTRLEN], b[INET_ADDRSTRLEN], m[INET_ADDRSTRLEN], hosts[HOST_PATH_BYTES];

	store_path(c->name, STORE_HOSTS, hosts);
	(void)fprintf(f,
		"# Made by vmlan for the network %s; changes are lost.\n"
		"interface=%s\nexcept-interface=lo\nbind-dynamic\npid-file\nlog-facility=-\nquiet-dhcp\n"
		"no-hosts\ndomain-needed\nbogus-priv\nexpand-hosts\nno-ping\n"
		"dhcp-authoritative\ndhcp-lease-max=%d\ndhcp-leasefile=%s/%s/leases\n"
		"dhcp-hostsfile=%s\n",
		c->name, c->bridge, LEASES_MAX, NETWORK_LIB_DIR, c->name, hosts);
	(void)fprintf(f, "domain=%s\nlocal=/%s/\n", c->domainname, c->domainname);
	(void)fprintf(f, "dhcp-range=%s,%s,%s,%dh\n", ADDR_TEXT(c->dhcp_start_be, a),
		ADDR_TEXT(c->dhcp_end_be, b), ADDR_TEXT(c->mask_be, m), LEASE_HOURS);
	(void)fprintf(f, "dhcp-option=option:mtu,%u\n", c->mtu ? c->mtu : MTU_DEFAULT);
	(void)fprintf(f, "dhcp-option=option:router,%s\n", ADDR_TEXT(c->host_be, a));
	(void)fprintf(f, "dhcp-option=option:dns-server,%s\n", c->dns_be ? ADDR_TEXT(c->dns_be, a) : a);
	if (dns_port != DNS_PORT)
		(void)fprintf(f, "port=%u\n", dns_port);
	if (c->tftp[0]) /* all of a transfer from one port, as rules know it */
		(void)fprintf(f, "enable-tftp\ntftp-root=%s\ntftp-single-port\n", c->tftp);
	if (c->bootfile[0])
		(void)fprintf(f, "dhcp-boot=%s\n", c->bootfile);
	if (!c->no_ipv6)
		put_ipv6(f, c);
}

static void put_hosts(FILE *f, const struct net_conf *c)
{
	char a[INET_ADDRSTRLEN];

	for (unsigned int i = 0; i < c->n_reserves; i++) {
		const struct net_reserve *r = &c->reserves[i];

		(void)fprintf(f, "%02x:%02x:%02x:%02x:%02x:%02x,%s%s%s\n", r->mac[0], r->mac[1], r->mac[2],
			r->mac[3], r->mac[4], r->mac[5], ADDR_TEXT(r->addr_be, a), r->name[0] ? "," : "",
			r->name);
	}
}

static char *text_of(FILE *f, char **text)
{
	bool failed = ferror(f);

	if (fclose(f) == 0 && !failed)
		return *text;
	free(*text);
	return NULL;
}

char *nat_dnsmasq_conf(const struct net_conf *c, uint16_t dns_port)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	put(f, c, dns_port);
	return text_of(f, &text);
}

char *nat_hosts(const struct net_conf *c)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	put_hosts(f, c);
	return text_of(f, &text);
}
