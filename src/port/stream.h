/* SPDX-License-Identifier: BSD-2-Clause */
/* A port over a stream socket that carries QEMU's framing: 32 bits of length, big-endian, then the
 * frame, without an offload header (QEMU: -netdev stream, -netdev socket). The port segments and
 * checksums at its own edge. */
#pragma once

#include "port.h"

struct stream_port_config {
	struct loop *loop;
	const struct port_owner *owner;
	const char *name;
	int listen_fd;    /* >= 0: a listening socket; one client at a time, the next after it has gone */
	int connected_fd; /* >= 0: a connected one; when it ends the port is closed for good */
};

/* Takes the descriptors over on success. 0 or -errno. */
int stream_port_new(const struct stream_port_config *c, struct port **ret);

/* For a port whose socket somebody else connects (the parent redials a path): a new connected
 * descriptor, or the first. Any present connection is closed. */
int stream_port_attach(struct port *p, int connected_fd);
