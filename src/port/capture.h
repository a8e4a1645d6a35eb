/* SPDX-License-Identifier: BSD-2-Clause */
/* A port around another that also writes each frame to a pcapng file, both ways: as it would be on the
 * wire, checksums complete, but that a super-frame is written whole. */
#pragma once

#include "port.h"

/* fd: an open file, at its end; taken over on success. snap_bytes: cut-off of each frame, 0 for none. The
 * outer port is made first; the inner one is then made with capture_owner() as its owner, and joined. */
int capture_port_new(
	struct loop *l, const struct port_owner *owner, int fd, uint32_t snap_bytes, struct port **ret);
const struct port_owner *capture_owner(struct port *capture);
/* Writes the file's beginning, with the inner port's name. On success inner is taken over. 0 or -errno. */
int capture_port_wrap(struct port *capture, struct port *inner);

/* Frames that could not be written. They were passed on all the same. */
uint64_t capture_n_failures(const struct port *capture);
