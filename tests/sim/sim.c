/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "eth.h"
#include "ip4.h"

void sim_init(struct sim *s, uint64_t seed, const char *what)
{
	const char *given = getenv("VMLAN_SIM_SEED");

	memset(s, 0, sizeof(*s));
	s->seed = given ? strtoull(given, NULL, 0) : seed;
	s->rng.state = s->seed;
	s->now_ms = SIM_START_MS;
	(void)snprintf(s->what, sizeof(s->what), "%s", what);
}

static struct sim_trace *trace_add(struct sim *s)
{
	struct sim_trace *t = &s->trace[s->n_traced++ % SIM_TRACE_FRAMES];

	t->ms = s->now_ms;
	t->note[0] = 0;
	t->tag[0] = 0;
	return t;
}

void sim_trace_frame(struct sim *s, const char *tag, const struct mem_frame *f)
{
	struct sim_trace *t = trace_add(s);

	(void)snprintf(t->tag, sizeof(t->tag), "%s", tag);
	t->offload = f->offload;
	t->n_bytes = f->n_bytes;
	memset(t->head, 0, sizeof(t->head));
	memcpy(t->head, f->bytes, MIN(f->n_bytes, sizeof(t->head)));
}

void sim_note(struct sim *s, const char *format, ...)
{
	struct sim_trace *t = trace_add(s);
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(t->note, sizeof(t->note), format, ap);
	va_end(ap);
}

static void print_tcp(const struct sim_trace *t, struct rd *r, const struct ip4 *ip)
{
	static const char names[] = "FSRPAU";
	char flags[8] = "";
	struct tcp tcp;
	int n = 0;

	if (tcp_parse(r, &tcp)) {
		(void)fprintf(stderr, "bad TCP header");
		return;
	}
	for (int i = 0; i < 6; i++)
		if (tcp.flags & 1 << i)
			flags[n++] = names[i];
	(void)fprintf(stderr, "%u>%u [%s] seq %u ack %u win %u len %d", tcp.src_port, tcp.dst_port, flags,
		tcp.seq, tcp.ack, tcp.window, ip->payload_bytes - tcp.header_bytes);
	if (tcp.mss)
		(void)fprintf(stderr, " mss %u", tcp.mss);
	if (tcp.wscale >= 0)
		(void)fprintf(stderr, " wscale %d", tcp.wscale);
}

static void print_frame(const struct sim_trace *t)
{
	struct rd r = rd_of(t->head, MIN(t->n_bytes, sizeof(t->head)));
	struct eth eth;
	struct ip4 ip;

	if (eth_parse(&r, &eth) || eth.type != ETH_TYPE_IP4) {
		(void)fprintf(stderr, "type %04x", eth.type);
	} else if (ip4_parse(&r, t->n_bytes - ETH_HEADER_BYTES, &ip)) {
		(void)fprintf(stderr, "bad IPv4 header");
	} else if (ip.proto == IP_PROTO_TCP) {
		print_tcp(t, &r, &ip);
	} else {
		(void)fprintf(stderr, "proto %u", ip.proto);
	}
	(void)fprintf(stderr, " (%zu bytes%s", t->n_bytes, t->offload.csum_needed ? ", csum" : "");
	if (t->offload.gso)
		(void)fprintf(stderr, ", gso %u of %u", t->offload.gso, t->offload.gso_size);
	(void)fprintf(stderr, ")\n");
}

static void print_trace(const struct sim *s)
{
	uint64_t n = MIN(s->n_traced, (uint64_t)SIM_TRACE_FRAMES);

	for (uint64_t i = s->n_traced - n; i < s->n_traced; i++) {
		const struct sim_trace *t = &s->trace[i % SIM_TRACE_FRAMES];

		(void)fprintf(stderr, "%8llu %-8s ", (unsigned long long)(t->ms - SIM_START_MS), t->tag);
		if (t->note[0])
			(void)fprintf(stderr, "-- %s\n", t->note);
		else
			print_frame(t);
	}
}

void sim_fail(struct sim *s, const char *format, ...)
{
	va_list ap;

	if (s->expected)
		longjmp(*s->expected, 1);
	print_trace(s);
	(void)fprintf(stderr, "sim: %s: seed %llu, at %llu ms: ", s->what, (unsigned long long)s->seed,
		(unsigned long long)(s->now_ms - SIM_START_MS));
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fprintf(stderr, "\n");
	fail();
	abort();
}

bool sim_frame_tcp(const struct mem_frame *f, struct tcp *ret, size_t *ret_n_bytes)
{
	struct rd r = rd_of(f->bytes, f->n_bytes);
	struct eth eth;
	struct ip4 ip;

	if (eth_parse(&r, &eth) || eth.type != ETH_TYPE_IP4 || ip4_parse(&r, r.left, &ip) ||
		ip.proto != IP_PROTO_TCP || tcp_parse(&r, ret))
		return false;
	*ret_n_bytes = r.left;
	return true;
}

struct mem_frame *sim_frame_new(size_t n_bytes)
{
	struct mem_frame *f = calloc(1, sizeof(*f) + n_bytes);

	if (!f)
		abort();
	f->n_bytes = n_bytes;
	return f;
}

struct mem_frame *sim_frame_copy(const struct mem_frame *f)
{
	struct mem_frame *copy = sim_frame_new(f->n_bytes);

	copy->offload = f->offload;
	memcpy(copy->bytes, f->bytes, f->n_bytes);
	return copy;
}
