/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines over a stream socket, each at most so long, and whoever waits for one waits until a time. */
#pragma once

#include "util.h"

struct ctl_lines {
	int fd;     /* non-blocking; not closed here */
	size_t max; /* bytes of a line, with its end */
	char *buf;  /* heap */
	size_t n, room;
	size_t n_taken;  /* of buf: lines that were given out */
	size_t n_looked; /* there is no end of a line in so much of what was not */
};

void ctl_lines_done(struct ctl_lines *l);

/* Reads what there is: 1; 0 at the end; -EAGAIN, -EMSGSIZE (a line is too long), -ENOMEM or another -errno.
 */
int ctl_lines_read(struct ctl_lines *l);
/* The next whole line without its end, or NULL; good until the next call of any of these. */
char *ctl_lines_next(struct ctl_lines *l);
/* The next line, until a time of clock_now_ms(): 0; -ETIMEDOUT, -EPIPE at the end, or as above. */
int ctl_lines_wait(struct ctl_lines *l, uint64_t end_ms, char **ret);

/* Sends all of it: 0; -ETIMEDOUT or another -errno. pass_fd: goes with the first byte; -1: none. */
int ctl_lines_send(int fd, const char *bytes, size_t n, int pass_fd, uint64_t end_ms);
