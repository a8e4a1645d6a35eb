/* SPDX-License-Identifier: BSD-2-Clause */
/* A place on a bridge, as a tap that the caller makes and puts there:
 *
 *   lan,lan=NETWORK      of a network that "vmlan up" made; where lan= is there, the type may be left out
 *   bridge,br=BRIDGE     QEMU's own back end: any bridge, or such a network; br0 if not said
 *
 * Either takes what a tap takes that is used rather than made: queues, vhost, vhostforce, sndbuf, poll-us. */
#pragma once

#include "qemu_tap.h"

/* Is the part such a back end? */
bool qemu_lan_is(const struct qemu_part *p);
/* lan=NETWORK without a type has that one from now on. 0, -ENOMEM or -E2BIG. */
int qemu_lan_imply(struct qemu_part *p);
/* Is this an option that goes into the making? */
bool qemu_lan_owns(const char *key);
/* As qemu_tap_parse(). may_vhost: vhost-net is to be used where the line does not say. */
int qemu_lan_parse(const struct qemu_part *p, bool may_vhost, struct qemu_tap *ret, struct qemu_error *e);
