/* SPDX-License-Identifier: BSD-2-Clause */
/* A port around another that also writes each frame to a pcapng file, both ways: as it would be on the
 * wire, checksums complete, but that a super-frame is written whole. Ports share a file, in which each is
 * an interface of its own. */
#pragma once

#include "port.h"

struct capture_file;

/* fd: an open file, at its end; taken over on success. snap_bytes: cut-off of each frame, 0 for none.
 * Begins a section. 0 or -errno. */
int capture_file_new(int fd, uint32_t snap_bytes, struct capture_file **ret);
/* After the ports that write to it. NULL is nothing. */
struct capture_file *capture_file_free(struct capture_file *f);
/* Frames that could not be written. They were passed on all the same. */
uint64_t capture_file_n_failures(const struct capture_file *f);
/* failed is called once, when the first frame could not be written; error is -errno. */
void capture_file_on_failure(struct capture_file *f, void (*failed)(void *ctx, int error), void *ctx);

/* The outer port is made first; the inner one is then made with capture_owner() as its owner, and
 * joined. */
int capture_port_new(
	struct loop *l, const struct port_owner *owner, struct capture_file *f, struct port **ret);
const struct port_owner *capture_owner(struct port *capture);
/* Adds an interface of the inner port's name, and takes inner over. Where the file takes no interface any
 * more, the port works all the same, and its frames count as failures. */
void capture_port_wrap(struct port *capture, struct port *inner);
