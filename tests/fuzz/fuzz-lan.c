/* SPDX-License-Identifier: BSD-2-Clause */
/* Three guests on one segment. The input is a list of frames, each behind a port number (1 byte), its
 * length (2) and an offload header (12). */
#include <assert.h>

#include "lan.h"
#include "mem.h"

#define N_PORTS 3
#define N_QUEUE 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t n_up, n_dropped;

static void on_input(void *ctx, struct port *p, const struct frame *frames, unsigned int n)
{
	assert(n >= 1);
	for (unsigned int i = 0; i < n; i++)
		assert(frames[i].n_bytes >= 14);
	n_up += n;
}

static void on_room(void *ctx, struct port *p)
{
}

static void on_closed(void *ctx, struct port *p, int error, bool final)
{
}

static void on_drop(void *ctx, struct port *p, enum drop_reason reason)
{
	assert(reason != DROP_NONE && reason < DROP_REASON_MAX);
	n_dropped++;
}

static void take_all(struct port *p)
{
	struct mem_frame *f;

	while ((f = mem_port_take(p))) {
		assert(f->n_bytes >= 14 && !f->offload.csum_valid);
		assert(f->offload.gso == OFFLOAD_GSO_NONE || f->offload.header_len < f->n_bytes);
		if (f->offload.csum_needed)
			assert((size_t)f->offload.csum_start + f->offload.csum_offset + 2 <= f->n_bytes);
		free(f);
	}
}

static uint64_t fake_clock(void *ctx)
{
	return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t caps[N_PORTS] = {
		PORT_CAP_CSUM | PORT_CAP_TSO4 | PORT_CAP_TSO6 | PORT_CAP_USO,
		PORT_CAP_CSUM,
		0,
	};
	struct loop *loop;
	struct lan *lan;
	struct port *ports[N_PORTS];
	struct rd r = rd_of(data, size);

	if (loop_new(&(struct loop_clock){.now_ms = fake_clock}, &loop) < 0)
		return 0;
	struct lan_config c = {
		.loop = loop,
		.gateway_mac = {{0x52, 0x55, 10, 0, 2, 2}},
		.isolated = rd_u8(&r) & 1,
		.input = on_input,
		.room = on_room,
		.port_closed = on_closed,
		.drop = on_drop,
	};
	if (lan_new(&c, &lan) < 0)
		abort();
	for (int i = 0; i < N_PORTS; i++)
		if (mem_port_new(loop, lan_owner(lan), caps[i], N_QUEUE, &ports[i]) < 0 ||
			lan_add_port(lan, ports[i]) < 0)
			abort();
	while (!r.bad && r.left) {
		unsigned int port = rd_u8(&r) % N_PORTS;
		size_t n_bytes = rd_u16(&r);
		const uint8_t *vnet = rd_bytes(&r, OFFLOAD_VNET_BYTES);
		struct offload o = {};

		if (!vnet || r.left == 0)
			break;
		n_bytes = MIN(n_bytes, r.left);
		const uint8_t *frame = rd_bytes(&r, n_bytes);
		struct rd header = rd_of(vnet, OFFLOAD_VNET_BYTES);

		if (offload_parse(&header, n_bytes, &o) == DROP_NONE)
			mem_port_inject(ports[port], frame, n_bytes, &o);
		for (int i = 0; i < N_PORTS; i++)
			take_all(ports[i]);
	}
	lan_free(lan);
	loop_free(loop);
	return 0;
}
