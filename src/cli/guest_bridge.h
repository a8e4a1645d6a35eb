/* SPDX-License-Identifier: BSD-2-Clause */
/* Taps on bridges: of networks that `vmlan up` made, and of any other. */
#pragma once

#include "guest_tap.h"
#include "network.h"

struct guest_bridge {
	char name[QEMU_TAP_NAME_BYTES];
	bool isolated; /* guests on it do not reach each other */
};

/* The bridge that a tap is for. 0, or -errno and *e: what is wrong with it now, and how to mend that. */
int guest_bridge_find(const struct qemu_tap *spec, struct guest_bridge *ret, struct network_error *e);
/* As guest_tap_make(). Without the privilege, by a helper that has it. */
int guest_bridge_make(struct qemu_tap *spec, struct guest_tap *ret);
