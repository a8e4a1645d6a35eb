/* SPDX-License-Identifier: BSD-2-Clause */
/* A flow as a person sees it: one row of `info usernet`. */
#pragma once

#include "addr.h"

enum flow_info_kind {
	FLOW_INFO_TCP,
	FLOW_INFO_UDP,
	FLOW_INFO_ICMP,
	FLOW_INFO_KIND_MAX,
};

/* Towards the guest, by the names that QEMU has for them. */
enum flow_info_state {
	FLOW_INFO_NONE, /* not TCP */
	FLOW_INFO_SYN_SENT,
	FLOW_INFO_SYN_RCVD,
	FLOW_INFO_ESTABLISHED,
	FLOW_INFO_CLOSE_WAIT,
	FLOW_INFO_FIN_WAIT_1,
	FLOW_INFO_FIN_WAIT_2,
	FLOW_INFO_CLOSING,
	FLOW_INFO_LAST_ACK,
	FLOW_INFO_TIME_WAIT,
	FLOW_INFO_STATE_MAX,
};

struct flow_info {
	enum flow_info_kind kind;
	enum flow_info_state state;
	int32_t fd;                  /* -1: none (any more) */
	struct ip_addr src, dst;     /* of a connection that came in: where it came in, and the guest */
	uint16_t src_port, dst_port; /* host order; 0 of ICMP */
	uint32_t n_send_bytes;       /* sent to the guest, not acknowledged yet */
	uint16_t expires_s;          /* not TCP: when it ends without further traffic */
};
