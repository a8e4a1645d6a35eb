/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl_call.h"

#include "clock.h"
#include "ctl_lines.h"
#include "unixsock.h"

#define CONNECT_AGAIN_US 20000

/* Those to requests that were given up are passed over, or what is left of them. */
static int await(struct ctl_lines *l, uint32_t number, uint64_t end_ms, struct ctl_reply *ret)
{
	for (;;) {
		char *line;
		int r = ctl_lines_wait(l, end_ms, &line);

		if (r < 0)
			return r;
		r = ctl_reply_parse(line, ret);
		if (r == 0 && ret->number == number)
			return 0;
		if (r < 0 && r != -EBADMSG)
			return r;
		ctl_reply_done(ret);
	}
}

int ctl_call_fd(int fd, struct ctl_request *q, uint64_t timeout_ms, struct ctl_reply *ret)
{
	static uint32_t n_asked;
	_cleanup_(ctl_lines_done) struct ctl_lines l = {.fd = fd, .max = CTL_REPLY_BYTES};
	_cleanup_free_ char *line = NULL;
	uint64_t end_ms = clock_now_ms() + timeout_ms;
	int r;

	*ret = (struct ctl_reply){0};
	q->number = ++n_asked;
	line = ctl_request_emit(q);
	r = line ? ctl_lines_send(fd, line, strlen(line), -1, end_ms) : -EINVAL;
	return r < 0 ? r : await(&l, q->number, end_ms, ret);
}

int ctl_call(const char *path, struct ctl_request *q, uint64_t timeout_ms, struct ctl_reply *ret)
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
