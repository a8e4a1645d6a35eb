/* SPDX-License-Identifier: BSD-2-Clause */
/* Taps made in QEMU's place, and the scripts that go with them, run as QEMU runs them. */
#pragma once

#include <signal.h>

#include "qemu_tap.h"

struct guest_tap {
	struct qemu_tap *spec; /* its fds: QEMU's, closed on exec until QEMU's own */
	char ifname[QEMU_TAP_NAME_BYTES];
	bool is_up; /* its script has run, if it has one: its downscript is due */
};

/* Can taps be made here at all? */
bool guest_tap_is_possible(void);
/* Can the kernel move their frames (vhost-net)? */
bool guest_tap_has_vhost(void);
/* 0, or -errno after it has been said what went wrong. */
int guest_tap_make(struct qemu_tap *spec, struct guest_tap *ret);
/* Descriptors that lead nowhere, with the numbers that the tap's would have. 0 or -errno. */
int guest_tap_pretend(struct qemu_tap *spec, struct guest_tap *ret);
void guest_tap_close(struct guest_tap *t);

/* Each runs the script, if there is one, and reports its failure. mask: the signals that it finds blocked.
 * false: it failed. */
bool guest_tap_up(struct guest_tap *t, const sigset_t *mask);
bool guest_tap_down(struct guest_tap *t, const sigset_t *mask);
