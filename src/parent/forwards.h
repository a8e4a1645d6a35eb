/* SPDX-License-Identifier: BSD-2-Clause */
/* The sockets behind hostfwd: bound by the parent, which may hold the privilege for low ports. */
#pragma once

#include "user_conf.h"

#define FORWARD_TEXT_BYTES 64

/* A listening (TCP) or bound (UDP) socket, non-blocking, with the options that what is accepted from it
 * inherits. Returns it, or -errno. */
int forward_open(const struct user_forward *f);
/* "tcp 127.0.0.1:5022", with the port that the kernel chose where the rule left it open. fd: -1 if it
 * could not be opened. */
void forward_text(const struct user_forward *f, int fd, char ret[FORWARD_TEXT_BYTES]);
