/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl_call.h"

#include "clock.h"
#include "ctl_lines.h"
#include "unixsock.h"

#define CONNECT_AGAIN_US 20000

int ctl_call_fd(int fd, const struct ctl_request *q, uint64_t timeout_ms, struct ctl_reply *ret)
{
	_cleanup_(ctl_lines_done) struct ctl_lines l = {.fd = fd, .max = CTL_REPLY_BYTES};
	_cleanup_free_ char *line = ctl_request_emit(q);
	uint64_t end_ms = clock_now_ms() + timeout_ms;
	char *reply;
	int r = line ? ctl_lines_send(fd, line, strlen(line), -1, end_ms) : -EINVAL;

	*ret = (struct ctl_reply){0};
	if (r == 0)
		r = ctl_lines_wait(&l, end_ms, &reply);
	return r < 0 ? r : ctl_reply_parse(reply, ret);
}

int ctl_call(const char *path, const struct ctl_request *q, uint64_t timeout_ms, struct ctl_reply *ret)
{
	uint64_t end_ms = clock_now_ms() + timeout_ms;
	_cleanup_close_ int fd = unixsock_connect(path);

	*ret = (struct ctl_reply){0};
	/* Others are waiting to be let in. */
	while (fd == -EAGAIN && clock_now_ms() < end_ms) {
		(void)usleep(CONNECT_AGAIN_US);
		fd = unixsock_connect(path);
	}
	return fd < 0 ? fd : ctl_call_fd(fd, q, timeout_ms, ret);
}
