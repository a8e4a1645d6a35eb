/* SPDX-License-Identifier: BSD-2-Clause */
/* The asking side. */
#pragma once

#include "ctl_msg.h"

/* Asks over a connection, under a number that q is given: 0 and the reply; -ETIMEDOUT, -EPIPE (it has ended)
 * or another -errno. */
int ctl_call_fd(int fd, struct ctl_request *q, uint64_t timeout_ms, struct ctl_reply *ret);
/* The same of whoever listens at a path. */
int ctl_call(const char *path, struct ctl_request *q, uint64_t timeout_ms, struct ctl_reply *ret);
