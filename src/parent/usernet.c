/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's columns, in its order: forwards and connections of TCP, those of UDP, pings. RecvQ, what came from
 * the guest and waits here, is always 0: an engine takes no more of a guest than its host's kernel takes. */
#include "usernet.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

#define HEADER                                                                                               \
	"  Protocol[State]    FD  Source Address  Port   "                                                   \
	"Dest. Address  Port RecvQ SendQ\n"

static const char *const states[] = {
	[FLOW_INFO_NONE] = "NONE",
	[FLOW_INFO_SYN_SENT] = "SYN_SENT",
	[FLOW_INFO_SYN_RCVD] = "SYN_RCVD",
	[FLOW_INFO_ESTABLISHED] = "ESTABLISHED",
	[FLOW_INFO_CLOSE_WAIT] = "CLOSE_WAIT",
	[FLOW_INFO_FIN_WAIT_1] = "FIN_WAIT_1",
	[FLOW_INFO_FIN_WAIT_2] = "FIN_WAIT_2",
	[FLOW_INFO_CLOSING] = "CLOSING",
	[FLOW_INFO_LAST_ACK] = "LAST_ACK",
	[FLOW_INFO_TIME_WAIT] = "TIME_WAIT",
};
static_assert(ARRAY_SIZE(states) == FLOW_INFO_STATE_MAX, "every state has a name");

static const char *addr_text(const struct ip_addr *a, char ret[INET6_ADDRSTRLEN])
{
	if (ip_addr_is4(a) && !ip_addr_4(a))
		return "*";
	return ip_addr_is4(a) ? inet_ntop(AF_INET, &a->w_be[3], ret, INET6_ADDRSTRLEN)
			      : inet_ntop(AF_INET6, a, ret, INET6_ADDRSTRLEN);
}

static void put_row(FILE *to, const char *what, const struct flow_info *f)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];

	(void)fprintf(to, "%-19s %3d %15s ", what, f->fd, addr_text(&f->src, src));
	if (f->kind == FLOW_INFO_ICMP)
		(void)fprintf(to, " -    %15s  -    ", addr_text(&f->dst, dst));
	else
		(void)fprintf(to, "%5u %15s %5u ", f->src_port, addr_text(&f->dst, dst), f->dst_port);
	(void)fprintf(to, "%5u %5u\n", 0u, f->n_send_bytes);
}

static void put_flow(FILE *to, const struct flow_info *f)
{
	char what[32];

	if (f->kind == FLOW_INFO_TCP)
		(void)snprintf(what, sizeof(what), "  TCP[%s]", states[f->state]);
	else
		(void)snprintf(what, sizeof(what), "  %s[%u sec]", f->kind == FLOW_INFO_UDP ? "UDP" : "ICMP",
			f->expires_s);
	put_row(to, what, f);
}

static void put_forwards(FILE *to, const struct user_conf *c, const struct forwards *fw, bool tcp)
{
	for (unsigned int i = 0; i < fw->n; i++) {
		const struct user_forward *r = &fw->v[i].rule;
		const struct flow_info row = {.kind = FLOW_INFO_UDP,
			.fd = fw->v[i].fd,
			.src = ip_addr_from4(r->host_be),
			.src_port = r->host_port,
			.dst = ip_addr_from4(r->guest_be ? r->guest_be : c->dhcp_start_be),
			.dst_port = r->guest_port};

		if (row.fd >= 0 && tcp == (r->proto == IPPROTO_TCP))
			put_row(to, tcp ? "  TCP[HOST_FORWARD]" : "  UDP[HOST_FORWARD]", &row);
	}
}

char *usernet_table(const struct user_conf *c, const struct forwards *fw, const struct flow_info *flows,
	size_t n, size_t n_max)
{
	char *text = NULL;
	size_t n_text;
	FILE *to = open_memstream(&text, &n_text);

	if (!to)
		return NULL;
	(void)fputs(HEADER, to);
	for (int kind = 0; kind < FLOW_INFO_KIND_MAX; kind++) {
		if (kind != FLOW_INFO_ICMP)
			put_forwards(to, c, fw, kind == FLOW_INFO_TCP);
		for (size_t i = 0; i < n; i++)
			if (flows[i].kind == (enum flow_info_kind)kind)
				put_flow(to, &flows[i]);
	}
	if (n >= n_max)
		(void)fprintf(to, "  (no more than %zu flows are shown)\n", n_max);
	if (fclose(to) == 0)
		return text;
	free(text);
	return NULL;
}
