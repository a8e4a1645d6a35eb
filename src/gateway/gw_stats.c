/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters and limits for people (--stats). */
#include "gw.h"

#include <stdarg.h>
#include <stdio.h>

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

static void put_port(struct gateway *g, struct text *t, const struct port *p)
{
	put(t, "port %s (%s)\n", p->name, p->ops->kind);
	put(t, "  from guest %llu frames %llu bytes, malformed %llu\n", (unsigned long long)p->n.rx_frames,
			(unsigned long long)p->n.rx_bytes, (unsigned long long)p->n.rx_bad);
	put(t, "  to guest   %llu frames %llu bytes, no room %llu, closed %llu\n", (unsigned long long)p->n.tx_frames,
			(unsigned long long)p->n.tx_bytes, (unsigned long long)p->n.tx_no_room,
			(unsigned long long)p->n.n_closed);
	put(t, "  flows      tcp %u udp %u udp-forwarded %u ping %u\n", flow_count(g->flows, p->id, FLOW_TCP),
			flow_count(g->flows, p->id, FLOW_UDP), flow_count(g->flows, p->id, FLOW_UDP_IN),
			flow_count(g->flows, p->id, FLOW_PING));
	for (int i = 1; i < DROP_REASON_MAX; i++)
		if (g->drops[p->id][i])
			put(t, "  dropped    %-14s %llu\n", drop_reason_name((enum drop_reason)i),
					(unsigned long long)g->drops[p->id][i]);
}

static void put_limits(struct gateway *g, struct text *t)
{
	put(t, "limits of each port\n");
	put(t, "  tcp flows  %u: the longest idle that is not established goes first, else the new one is refused\n",
			flow_max(g->flows, FLOW_TCP));
	put(t, "  udp flows  %u: the longest idle goes first\n", flow_max(g->flows, FLOW_UDP));
	put(t, "  udp flows of forwards %u: the longest idle goes first\n", flow_max(g->flows, FLOW_UDP_IN));
	put(t, "  pings      %u: the longest idle goes first\n", flow_max(g->flows, FLOW_PING));
	put(t, "  leases     %u: the longest expired goes first, else no answer\n", g->dhcp.table.n_leases);
	put(t, "  datagrams in reassembly %u: the oldest goes first\n", REASS_PORT_MAX);
}

int gateway_stats(struct gateway *g, char *buf, size_t n_bytes)
{
	struct text t = {buf, n_bytes, 0};
	const struct gw_counters *n = &g->n;

	for (uint16_t i = 0; i < PORT_MAX; i++) {
		const struct port *p = lan_port(g->lan, i);

		if (p)
			put_port(g, &t, p);
	}
#define U(x) (unsigned long long)n->x
	put(&t, "tcp   opened %llu refused %llu failed %llu reset %llu evicted %llu\n", U(tcp_opened), U(tcp_refused),
			U(tcp_failed), U(tcp_reset), U(evicted[FLOW_TCP]));
	put(&t, "      from guest %llu bytes, to guest %llu bytes, retransmits %llu, taken in part %llu, watchdog %llu\n",
			U(tcp_from_guest_bytes), U(tcp_to_guest_bytes), U(tcp_retransmits), U(tcp_partial), U(tcp_watchdog));
	put(&t, "      peek offset %s\n", g->peek_off4 ? "yes" : "no");
	put(&t, "udp   from guest %llu (joined %llu), to guest %llu, errors %llu, evicted %llu, of forwards %llu\n",
			U(udp_from_guest), U(udp_joined), U(udp_to_guest), U(udp_errors), U(evicted[FLOW_UDP]),
			U(evicted[FLOW_UDP_IN]));
	put(&t, "icmp  echo %llu, replies %llu, forbidden %llu, errors sent %llu\n", U(ping_requests), U(ping_replies),
			U(ping_forbidden), U(icmp_errors));
	put(&t, "other arp %llu, dhcp %llu, fragments in %llu, datagrams fragmented %llu\n", U(arp_requests),
			U(dhcp_messages), U(fragments_in), U(fragments_out));
#undef U
	put_limits(g, &t);
	return t.n;
}
