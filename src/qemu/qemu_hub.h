/* SPDX-License-Identifier: BSD-2-Clause */
/* vlan=n of old: a hub inside QEMU, number 0 if none is said, on which any number of NICs and back ends stand
 * and hear each other's every frame. It has nothing to do with the VLANs of 802.1Q. */
#pragma once

#include "qemu_net.h"

struct qemu_hub {
	unsigned int n_nics, n_back_ends, n_dumps;
	unsigned int n_ports; /* said by hubport: they stay, and so does the hub */
	int nic, back_end;    /* the last part of each kind; -1: none */
	bool has_device;      /* a NIC said by -device, of which no hub is made by itself */
	bool has_addr;        /* a NIC with addr= */
};

void qemu_hub_get(const struct qemu_line *l, int number, struct qemu_hub *ret);
/* Is the part a NIC, or a back end, on a hub? */
bool qemu_hub_is_nic(const struct qemu_part *p);
bool qemu_hub_is_back_end(const struct qemu_part *p);
