/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters and limits for people (--stats). */
#include "gw.h"

#include <stdarg.h>
#include <stdio.h>

#define SUMMARY_BYTES 2048 /* room for all that is not of one port */

struct text {
	char *p;
	size_t left;
	int n;
};

static void put(struct text *t, const char *format, ...) _printf_(2, 3);

static void put(struct text *t, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(t->p, t->left, format, ap);
	va_end(ap);
	if (n < 0)
		return;
	size_t used = MIN((size_t)n, t->left ? t->left - 1 : 0);
	t->p += used;
	t->left -= used;
	t->n += n;
}

/* Gateways that share their guests. */
struct sharers {
	struct gateway *const *g;
	unsigned int n;
};

static uint32_t n_flows(const struct sharers *s, uint16_t port_id, enum flow_kind kind)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < s->n; i++)
		n += flow_count(s->g[i]->flows, port_id, kind);
	return n;
}

static struct port_counters sum_port(const struct sharers *s, uint16_t port_id)
{
	struct port_counters sum = {};

	for (unsigned int i = 0; i < s->n; i++) {
		const struct port *p = lan_port(s->g[i]->lan, port_id);

		if (!p)
			continue;
		sum.rx_frames += p->n.rx_frames;
		sum.rx_bytes += p->n.rx_bytes;
		sum.tx_frames += p->n.tx_frames;
		sum.tx_bytes += p->n.tx_bytes;
		sum.tx_no_room += p->n.tx_no_room;
		sum.rx_bad += p->n.rx_bad;
		sum.n_closed += p->n.n_closed;
	}
	return sum;
}

static void put_port(const struct sharers *s, struct text *t, const struct port *p)
{
	struct port_counters n = sum_port(s, p->id);

	put(t, "port %s (%s)\n", p->name, p->ops->kind);
	put(t, "  from guest %llu frames %llu bytes, malformed %llu\n", (unsigned long long)n.rx_frames,
			(unsigned long long)n.rx_bytes, (unsigned long long)n.rx_bad);
	put(t, "  to guest   %llu frames %llu bytes, no room %llu, closed %llu\n", (unsigned long long)n.tx_frames,
			(unsigned long long)n.tx_bytes, (unsigned long long)n.tx_no_room, (unsigned long long)n.n_closed);
	put(t, "  flows      tcp %u udp %u udp-forwarded %u ping %u\n", n_flows(s, p->id, FLOW_TCP),
			n_flows(s, p->id, FLOW_UDP), n_flows(s, p->id, FLOW_UDP_IN), n_flows(s, p->id, FLOW_PING));
	for (int i = 1; i < DROP_REASON_MAX; i++) {
		unsigned long long n_drops = 0;

		for (unsigned int k = 0; k < s->n; k++)
			n_drops += s->g[k]->drops[p->id][i];
		if (n_drops)
			put(t, "  dropped    %-14s %llu\n", drop_reason_name((enum drop_reason)i), n_drops);
	}
}

/* What there is no room for is named, so that the rest is never cut. */
static void put_ports(const struct sharers *s, struct text *t)
{
	unsigned int n_left_out = 0;

	for (uint16_t i = 0; i < PORT_MAX; i++) {
		const struct port *p = lan_port(s->g[0]->lan, i);

		if (p && t->left > SUMMARY_BYTES)
			put_port(s, t, p);
		else if (p)
			n_left_out++;
	}
	if (n_left_out)
		put(t, "%u more ports, for which there is no room here\n", n_left_out);
}

static void put_limits(const struct sharers *s, struct text *t)
{
	struct gateway *g = s->g[0];

	dhcp_server_share(&g->dhcp, lan_n_ports(g->lan));
	put(t, "limits of each port\n");
	put(t, "  tcp flows  %u: the longest idle that is not established goes first, else the new one is refused\n",
			s->n * flow_max(g->flows, FLOW_TCP));
	put(t, "  udp flows  %u: the longest idle goes first\n", s->n * flow_max(g->flows, FLOW_UDP));
	put(t, "  udp flows of forwards %u: the longest idle goes first\n", flow_max(g->flows, FLOW_UDP_IN));
	put(t, "  pings      %u: the longest idle goes first\n", s->n * flow_max(g->flows, FLOW_PING));
	put(t, "  leases     %u, of all ports %u: the longest expired goes first, else no answer\n",
			g->dhcp.n_port_leases, g->dhcp.table.n_leases);
	put(t, "  datagrams in reassembly %u, of all ports %u: the oldest goes first\n", s->n * REASS_PORT_MAX,
			s->n * REASS_MAX);
	put(t, "  stations   %u in the switch, %u addresses of neighbours: the longest unused goes first\n",
			LAN_FDB_PER_PORT, GW_NEIGH_PORT);
	put(t, "  window     %u KiB of a TCP flow, of all busy ones %u KiB: shared by them\n",
			GW_WINDOW_CAP_BYTES >> 10, s->n * GW_WINDOWS_BYTES >> 10);
}

static_assert(sizeof(struct gw_counters) % sizeof(uint64_t) == 0, "counters are summed as an array");

static struct gw_counters sum_counters(const struct sharers *s)
{
	struct gw_counters sum = {};
	uint64_t *to = (uint64_t *)&sum;

	for (unsigned int i = 0; i < s->n; i++) {
		const uint64_t *from = (const uint64_t *)&s->g[i]->n;

		for (size_t k = 0; k < sizeof(sum) / sizeof(*to); k++)
			to[k] += from[k];
	}
	return sum;
}

int gateway_stats(struct gateway *const *g, unsigned int n_gateways, char *buf, size_t n_bytes)
{
	struct text t = {buf, n_bytes, 0};
	const struct sharers s = {g, n_gateways};
	const struct gw_counters sum = sum_counters(&s), *n = &sum;

	put_ports(&s, &t);
#define U(x) (unsigned long long)n->x
	put(&t, "tcp   opened %llu refused %llu failed %llu reset %llu evicted %llu\n", U(tcp_opened), U(tcp_refused),
			U(tcp_failed), U(tcp_reset), U(evicted[FLOW_TCP]));
	put(&t, "      from guest %llu bytes, to guest %llu bytes, retransmits %llu, taken in part %llu, watchdog %llu\n",
			U(tcp_from_guest_bytes), U(tcp_to_guest_bytes), U(tcp_retransmits), U(tcp_partial), U(tcp_watchdog));
	put(&t, "      peek offset %s\n", g[0]->peek_off4 ? "yes" : "no");
	put(&t, "udp   from guest %llu (joined %llu), to guest %llu, errors %llu, evicted %llu, of forwards %llu\n",
			U(udp_from_guest), U(udp_joined), U(udp_to_guest), U(udp_errors), U(evicted[FLOW_UDP]),
			U(evicted[FLOW_UDP_IN]));
	put(&t, "icmp  echo %llu, replies %llu, forbidden %llu, errors sent %llu\n", U(ping_requests), U(ping_replies),
			U(ping_forbidden), U(icmp_errors));
	put(&t, "other arp %llu, dhcp %llu, fragments in %llu, datagrams fragmented %llu\n", U(arp_requests),
			U(dhcp_messages), U(fragments_in), U(fragments_out));
#undef U
	put_limits(&s, &t);
	return t.n;
}
