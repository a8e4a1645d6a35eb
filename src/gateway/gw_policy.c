/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guest may reach, and where it really is.
 *
 * .2 (host) is the host's loopback, .3 (dns) its resolver; all else is what it says. Nothing a guest
 * names can be the host's loopback but through .2: 127/8 as a destination is refused, as is 0/8.
 *
 * Other addresses of the host are destinations like any, unless no_host closes them. Which addresses are
 * the host's is asked of the kernel each time, by binding a socket to the one in question: there is no list
 * that could be late when an address comes. */
#include "gw.h"

#define DISCARD_PORT 9

static bool in_net(const struct gateway *g, uint32_t a_be)
{
	return (a_be & g->c.mask_be) == g->c.net_be;
}

/* Nobody is asked about these, and no error is sent (RFC 1122, 3.2.2; RFC 9293, MUST-57). */
static bool is_broadcast(const struct gateway *g, uint32_t a_be)
{
	return in_net(g, a_be) && ((a_be | g->c.mask_be) == INADDR_BROADCAST || (a_be & ~g->c.mask_be) == 0);
}

static enum gw_verdict map_resolver(struct gateway *g, uint16_t port, union sock_addr *ret)
{
	if (port != 53 || g->n_resolvers == 0)
		return GW_REFUSE;
	*ret = g->resolvers[g->resolver];
	return GW_ALLOW;
}

/* Whether an address is one of this host's own. When in doubt, it is. */
static bool is_host_addr(struct gateway *g, uint32_t addr_be)
{
	struct ip_addr addr = ip_addr_from4(addr_be);
	union sock_addr sa;
	socklen_t n = sock_addr_set(&sa, &addr, 0);
	int fd = g->sock.ops->open(g->sock.ctx, AF_INET, SOCK_DGRAM, IPPROTO_UDP);

	if (fd < 0)
		return true;
	int r = g->sock.ops->bind(g->sock.ctx, fd, &sa.sa, n);
	bool ours = r != -EADDRNOTAVAIL;
	if (r == 0) {
		/* With net.ipv4.ip_nonlocal_bind any address can be bound to, but none that is not ours be sent
		 * from (ENETUNREACH); a broadcast address cannot be connected to (EACCES). */
		n = sock_addr_set(&sa, &addr, DISCARD_PORT);
		ours = g->sock.ops->connect(g->sock.ctx, fd, &sa.sa, n) == 0;
	}
	(void)g->sock.ops->close(g->sock.ctx, fd);
	return ours;
}

enum gw_verdict gw_map(struct gateway *g, uint8_t proto, uint32_t dst_be, uint16_t dst_port, union sock_addr *ret)
{
	uint32_t dst = ntohl(dst_be);
	struct ip_addr addr = ip_addr_from4(dst_be);

	if (dst >> 24 == 127 || dst >> 24 == 0 || dst >= 0xe0000000)
		return GW_SILENT; /* loopback, this network, multicast, reserved, broadcast */
	if (is_broadcast(g, dst_be))
		return GW_SILENT;
	if (g->c.restricted)
		return proto == IP_PROTO_TCP ? GW_REFUSE : GW_SILENT;
	if (gw_is_dns(g, dst_be))
		return map_resolver(g, dst_port, ret);
	if (dst_be == g->c.host_be) {
		addr = ip_addr_from4(htonl(INADDR_LOOPBACK));
		(void)sock_addr_set(ret, &addr, dst_port);
		return g->c.no_host_loopback || g->c.no_host ? GW_REFUSE : GW_ALLOW;
	}
	if (in_net(g, dst_be))
		return GW_UNREACHABLE; /* another guest would have been reached on the segment */
	if (g->c.no_host && is_host_addr(g, dst_be))
		return GW_REFUSE;
	(void)sock_addr_set(ret, &addr, dst_port);
	return GW_ALLOW;
}

uint32_t gw_unmap(const struct gateway *g, uint32_t client_be)
{
	if (ntohl(client_be) >> 24 == 127 || in_net(g, client_be))
		return g->c.host_be;
	return client_be;
}

void gw_next_resolver(struct gateway *g)
{
	if (g->n_resolvers)
		g->resolver = (g->resolver + 1) % g->n_resolvers;
}
