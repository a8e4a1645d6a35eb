/* SPDX-License-Identifier: BSD-2-Clause */
#include "pcapng.h"

#include <string.h>

enum {
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 6,
	BLOCK_SECTION = 0x0a0d0d0a,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	LINK_ETHERNET = 1,
	OPTION_END = 0,
	OPTION_IF_NAME = 2,
	OPTION_IF_TSRESOL = 9,
	OPTION_EPB_FLAGS = 2,
};

#define NANOSECONDS 9 /* if_tsresol: ten to the minus nine */

static void wr_host16(struct wr *w, uint16_t v)
{
	wr_copy(w, &v, sizeof(v));
}

static void wr_host32(struct wr *w, uint32_t v)
{
	wr_copy(w, &v, sizeof(v));
}

static void wr_option(struct wr *w, uint16_t code, const void *value, size_t n_bytes)
{
	static const uint8_t zeroes[4];

	wr_host16(w, code);
	wr_host16(w, (uint16_t)n_bytes);
	wr_copy(w, value, n_bytes);
	wr_copy(w, zeroes, pcapng_pad(n_bytes));
}

void pcapng_emit_section(struct wr *w)
{
	wr_host32(w, BLOCK_SECTION);
	wr_host32(w, PCAPNG_SECTION_BYTES);
	wr_host32(w, BYTE_ORDER_MAGIC);
	wr_host16(w, 1);
	wr_host16(w, 0);
	wr_host32(w, UINT32_MAX); /* 64 bits of section length: not known */
	wr_host32(w, UINT32_MAX);
	wr_host32(w, PCAPNG_SECTION_BYTES);
}

void pcapng_emit_interface(struct wr *w, const char *name, uint32_t snap_bytes)
{
	static const uint8_t resolution = NANOSECONDS;
	size_t n_name = strnlen(name, PCAPNG_NAME_MAX);
	size_t name_bytes = n_name ? 4 + n_name + pcapng_pad(n_name) : 0;
	uint32_t total = (uint32_t)(16 + name_bytes + 8 + 4 + 4);

	wr_host32(w, BLOCK_INTERFACE);
	wr_host32(w, total);
	wr_host16(w, LINK_ETHERNET);
	wr_host16(w, 0);
	wr_host32(w, snap_bytes);
	if (n_name)
		wr_option(w, OPTION_IF_NAME, name, n_name);
	wr_option(w, OPTION_IF_TSRESOL, &resolution, 1);
	wr_option(w, OPTION_END, NULL, 0);
	wr_host32(w, total);
}

static uint32_t packet_total(const struct pcapng_packet *p)
{
	return (uint32_t)(PCAPNG_PACKET_HEAD_BYTES + p->n_captured_bytes + pcapng_pad(p->n_captured_bytes) +
			  PCAPNG_PACKET_TAIL_BYTES);
}

void pcapng_emit_packet_head(struct wr *w, const struct pcapng_packet *p)
{
	wr_host32(w, BLOCK_PACKET);
	wr_host32(w, packet_total(p));
	wr_host32(w, p->interface);
	wr_host32(w, (uint32_t)(p->time_ns >> 32));
	wr_host32(w, (uint32_t)p->time_ns);
	wr_host32(w, p->n_captured_bytes);
	wr_host32(w, p->n_wire_bytes);
}

void pcapng_emit_packet_tail(struct wr *w, const struct pcapng_packet *p)
{
	uint32_t flags = p->direction;

	wr_option(w, OPTION_EPB_FLAGS, &flags, sizeof(flags));
	wr_option(w, OPTION_END, NULL, 0);
	wr_host32(w, packet_total(p));
}
