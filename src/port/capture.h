/* SPDX-License-Identifier: BSD-2-Clause */
/* A port around another that also writes each frame to a pcapng file, both ways. */
#pragma once

#include "port.h"

/* fd: an open file, at its end; taken over on success. snap_bytes: cut-off of each frame. The outer port
 * is made first; the inner one is then made with capture_owner() as its owner, and joined. */
int capture_port_new(struct loop *l, const struct port_owner *owner, int fd, uint32_t snap_bytes,
		struct port **ret);
const struct port_owner *capture_owner(struct port *capture);
int capture_port_wrap(struct port *capture, struct port *inner);
