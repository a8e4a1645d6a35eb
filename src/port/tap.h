/* SPDX-License-Identifier: BSD-2-Clause */
/* A port over an open tap device (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR). */
#pragma once

#include "port.h"

/* Switches the device to 12-byte little-endian offload headers and turns on every offload that this
 * kernel has (USO included from 6.2 on). Takes fd over on success. 0 or -errno. */
int tap_port_new(struct loop *l, const struct port_owner *owner, int fd, const char *name, struct port **ret);
