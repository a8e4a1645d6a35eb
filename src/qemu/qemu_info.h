/* SPDX-License-Identifier: BSD-2-Clause */
/* What QEMU's monitor for people prints of networks, a line at a time. */
#pragma once

#include "util.h"

#define QEMU_INFO_NAME_BYTES 128
#define QEMU_INFO_ADDR_BYTES 48

/* Of `info network`: "NAME: index=0,type=TYPE,REST", whatever stands before it. */
struct qemu_info_row {
	const char *name; /* all point into the line */
	size_t n_name;
	const char *index; /* "index=0" */
	size_t n_index;
	const char *type; /* "TYPE,REST" */
};

bool qemu_info_parse_row(const char *line, struct qemu_info_row *ret);

/* Of `info usernet`: the network that the rows below are of. */
bool qemu_info_parse_hub(const char *line, char ret_id[QEMU_INFO_NAME_BYTES]);

/* The same: a forward. */
struct qemu_info_forward {
	bool udp;
	char src[QEMU_INFO_ADDR_BYTES], dst[QEMU_INFO_ADDR_BYTES];
	unsigned int src_port, dst_port;
};

bool qemu_info_parse_forward(const char *line, struct qemu_info_forward *ret);
