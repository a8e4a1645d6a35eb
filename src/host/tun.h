/* SPDX-License-Identifier: BSD-2-Clause */
/* Taps by /dev/net/tun, as QEMU takes them. */
#pragma once

#include <net/if.h>

#include "util.h"

#define TUN_PATH "/dev/net/tun"

struct tun_options {
	bool vnet_hdr; /* frames carry offloads, if the kernel can */
	bool vnet_hdr_required;
	bool multi_queue;
};

/* One queue of a tap. name: what it is to be called, or a pattern (tap%d); then what it is called, so that a next
 * call opens another queue of it. The descriptor, or -errno (-EPERM: it needs CAP_NET_ADMIN). */
int tun_open_queue(char name[IFNAMSIZ], const struct tun_options *o);
