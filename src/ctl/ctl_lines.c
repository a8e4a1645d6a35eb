/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl_lines.h"

#include <poll.h>
#include <sys/socket.h>

#include "clock.h"

#define READ_BYTES 4096u

void ctl_lines_done(struct ctl_lines *l)
{
	free(l->buf);
	l->buf = NULL;
	l->n = l->room = l->n_taken = l->n_looked = 0;
}

static int make_room(struct ctl_lines *l)
{
	char *p;

	if (l->n_taken) {
		l->n -= l->n_taken;
		memmove(l->buf, l->buf + l->n_taken, l->n);
		l->n_taken = 0;
	}
	if (l->room - l->n >= READ_BYTES)
		return 0;
	if (l->n >= l->max)
		return -EMSGSIZE;
	p = realloc(l->buf, l->room * 2 + READ_BYTES);
	if (!p)
		return -ENOMEM;
	l->buf = p;
	l->room = l->room * 2 + READ_BYTES;
	return 0;
}

int ctl_lines_read(struct ctl_lines *l)
{
	int r = make_room(l);
	ssize_t n;

	if (r < 0)
		return r;
	do
		n = recv(l->fd, l->buf + l->n, l->room - l->n, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	l->n += (size_t)n;
	return n > 0;
}

char *ctl_lines_next(struct ctl_lines *l)
{
	char *at = l->buf ? l->buf + l->n_taken : NULL;
	size_t left = l->n - l->n_taken;
	char *end = at && left > l->n_looked ? memchr(at + l->n_looked, '\n', left - l->n_looked) : NULL;

	if (!end) {
		l->n_looked = left;
		return NULL;
	}
	l->n_looked = 0;
	*end = '\0';
	if (end > at && end[-1] == '\r')
		end[-1] = '\0';
	l->n_taken += (size_t)(end - at) + 1;
	return at;
}

/* 1: something is there; 0: the time is over. */
static int wait_fd(int fd, short events, uint64_t end_ms)
{
	for (;;) {
		uint64_t now_ms = clock_now_ms();
		struct pollfd p = {.fd = fd, .events = events};
		int r = now_ms < end_ms ? poll(&p, 1, (int)MIN(end_ms - now_ms, (uint64_t)INT32_MAX)) : 0;

		if (r >= 0 || errno != EINTR)
			return r < 0 ? -errno : r;
	}
}

int ctl_lines_wait(struct ctl_lines *l, uint64_t end_ms, char **ret)
{
	while (!(*ret = ctl_lines_next(l))) {
		int r = wait_fd(l->fd, POLLIN, end_ms);

		if (r > 0)
			r = ctl_lines_read(l);
		else if (r == 0)
			return -ETIMEDOUT;
		if (r < 0 && r != -EAGAIN)
			return r;
		if (r == 0)
			return -EPIPE;
	}
	return 0;
}

/* One call of sendmsg(), the descriptor with it if there is one. */
static ssize_t send_some(int fd, const char *bytes, size_t n, int pass_fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.align = {.cmsg_level = SOL_SOCKET,
			     .cmsg_type = SCM_RIGHTS,
			     .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct iovec iov = {(void *)(uintptr_t)bytes, n};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (pass_fd >= 0) {
		memcpy(CMSG_DATA(&control.align), &pass_fd, sizeof(pass_fd));
		h.msg_control = &control;
		h.msg_controllen = sizeof(control);
	}
	return sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int ctl_lines_send(int fd, const char *bytes, size_t n, int pass_fd, uint64_t end_ms)
{
	size_t at = 0;

	while (at < n) {
		ssize_t x = send_some(fd, bytes + at, n - at, at ? -1 : pass_fd);
		int r;

		if (x > 0) {
			at += (size_t)x;
			continue;
		}
		if (x < 0 && errno == EINTR)
			continue;
		if (x < 0 && errno != EAGAIN)
			return -errno;
		r = wait_fd(fd, POLLOUT, end_ms);
		if (r <= 0)
			return r < 0 ? r : -ETIMEDOUT;
	}
	return 0;
}
