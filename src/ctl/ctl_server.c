/* SPDX-License-Identifier: BSD-2-Clause */
/* A client is of our own user, or root: its folder keeps others out, and SO_PEERCRED says it once more. So it
 * is not fought, but bounded: a request is capped, a ninth client takes the place of the one that was silent
 * longest, and one that does not take its answer loses it. Requests are answered one at a time, in the loop
 * of whoever serves. */
#include "ctl_server.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "clock.h"
#include "ctl_lines.h"

#define CLIENTS_MAX     8
#define SEND_TIMEOUT_MS 2000

struct client {
	struct ctl_lines lines; /* fd -1: none */
	bool is_parent;
	uint64_t used_ms;
};

struct ctl_server {
	struct ctl_server_config c;
	int listen_fd, source_listen, source_client;
	struct ctl_place place;
	struct stat made;
	struct client clients[CLIENTS_MAX];
};

static void drop(struct client *c)
{
	ctl_lines_done(&c->lines);
	util_close(&c->lines.fd);
}

static void answer(struct ctl_server *s, struct client *c, const char *line)
{
	_cleanup_(ctl_reply_done) struct ctl_reply reply = {0};
	struct ctl_request q;
	_cleanup_free_ char *text = NULL;

	if (ctl_request_parse(line, &q) < 0) {
		ctl_reply_fail(&reply, "that is no request");
	} else {
		reply.number = q.number;
		s->c.handle(s->c.ctx, &q, c->is_parent, &reply);
	}
	text = ctl_reply_emit(&reply);
	if (!text) {
		free(TAKE_PTR(reply.text));
		free(TAKE_PTR(reply.error));
		ctl_reply_fail(&reply, "the answer is too long");
		text = ctl_reply_emit(&reply);
	}
	if (!text ||
		ctl_lines_send(c->lines.fd, text, strlen(text), -1, clock_now_ms() + SEND_TIMEOUT_MS) < 0)
		drop(c);
}

static void on_client(void *ctx, uint32_t arg, uint32_t events)
{
	struct ctl_server *s = ctx;
	struct client *c = &s->clients[arg];
	char *line;
	int r;

	if (c->lines.fd < 0)
		return;
	c->used_ms = loop_now_ms(s->c.loop);
	r = ctl_lines_read(&c->lines);
	if (r <= 0 && r != -EAGAIN) {
		drop(c);
		return;
	}
	while (c->lines.fd >= 0 && (line = ctl_lines_next(&c->lines)))
		answer(s, c, line);
}

static struct client *place_for(struct ctl_server *s)
{
	struct client *oldest = NULL;

	for (unsigned int i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &s->clients[i];

		if (c->lines.fd < 0)
			return c;
		if (!c->is_parent && (!oldest || c->used_ms < oldest->used_ms))
			oldest = c;
	}
	if (oldest)
		drop(oldest);
	return oldest;
}

static int add(struct ctl_server *s, int fd, bool is_parent)
{
	_cleanup_close_ int own = fd;
	struct client *c = place_for(s);
	int r = fcntl(own, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;

	if (!c)
		return -EBUSY;
	if (r == 0)
		r = loop_watch(s->c.loop, own, EPOLLIN, s->source_client, (uint32_t)(c - s->clients));
	if (r < 0)
		return r;
	*c = (struct client){.lines = {.fd = TAKE_FD(own), .max = CTL_REQUEST_BYTES},
		.is_parent = is_parent,
		.used_ms = loop_now_ms(s->c.loop)};
	return 0;
}

int ctl_server_add(struct ctl_server *s, int fd)
{
	return add(s, fd, true);
}

static void on_listen(void *ctx, uint32_t arg, uint32_t events)
{
	struct ctl_server *s = ctx;
	struct ucred peer;
	socklen_t n = sizeof(peer);
	_cleanup_close_ int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
		return;
	if (peer.uid == geteuid() || peer.uid == 0)
		(void)add(s, TAKE_FD(fd), false);
}

int ctl_server_new(const struct ctl_server_config *c, struct ctl_server **ret)
{
	struct ctl_server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->c = *c;
	s->listen_fd = -1;
	for (unsigned int i = 0; i < CLIENTS_MAX; i++)
		s->clients[i].lines.fd = -1;
	s->source_listen = loop_source_add(c->loop, on_listen, s);
	s->source_client = loop_source_add(c->loop, on_client, s);
	*ret = s;
	return MIN(MIN(s->source_listen, s->source_client), 0);
}

struct ctl_server *ctl_server_free(struct ctl_server *s)
{
	if (!s)
		return NULL;
	for (unsigned int i = 0; i < CLIENTS_MAX; i++)
		drop(&s->clients[i]);
	if (s->listen_fd >= 0)
		ctl_place_remove(&s->place, &s->made);
	util_close(&s->listen_fd);
	loop_source_del(s->c.loop, s->source_listen);
	loop_source_del(s->c.loop, s->source_client);
	free(s);
	return NULL;
}

int ctl_server_listen(struct ctl_server *s, enum ctl_kind kind, const char *name, pid_t pid)
{
	int r = ctl_place_listen(kind, name, pid, &s->place, &s->made);

	if (r < 0)
		return r;
	s->listen_fd = r;
	return loop_watch(s->c.loop, s->listen_fd, EPOLLIN, s->source_listen, 0);
}
