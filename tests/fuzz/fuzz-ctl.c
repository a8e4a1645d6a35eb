/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket, and QEMU's monitor. The first byte chooses: a request, a reply, or all that a QEMU
 * says. What parses is printable, and is the same when it was emitted and parsed again. */
#include <sys/socket.h>

#include "ctl_msg.h"
#include "qmp.h"

#define SAID_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void require_printable(const char *s, bool lines)
{
	for (; *s; s++)
		require((unsigned char)*s >= ' ' || (lines && *s == '\n'));
}

static void request(const char *text)
{
	static struct ctl_request q, again;

	if (ctl_request_parse(text, &q) < 0)
		return;
	require(q.op < CTL_OP_MAX);
	require_printable(q.id, false);
	require_printable(q.arg, false);
	_cleanup_free_ char *line = ctl_request_emit(&q);
	require(line && line[strlen(line) - 1] == '\n' && !memchr(line, '\n', strlen(line) - 1));
	line[strlen(line) - 1] = '\0';
	require(ctl_request_parse(line, &again) == 0);
	require(again.number == q.number && again.op == q.op && strcmp(again.id, q.id) == 0 &&
		strcmp(again.arg, q.arg) == 0);
}

static void reply(const char *text)
{
	_cleanup_(ctl_reply_done) struct ctl_reply r = {0}, again = {0};

	if (ctl_reply_parse(text, &r) < 0)
		return;
	require_printable(r.text, true);
	if (r.error)
		require_printable(r.error, true);
	_cleanup_free_ char *line = ctl_reply_emit(&r);
	require(line != NULL);
	line[strlen(line) - 1] = '\0';
	require(ctl_reply_parse(line, &again) == 0 && strcmp(again.text, r.text) == 0);
	require(!again.error == !r.error && (!r.error || strcmp(again.error, r.error) == 0));
}

/* Everything is there at once, and then the end: no call waits. */
static void qemu(const char *said, size_t n)
{
	_cleanup_free_ char *text = NULL;
	struct qmp q;
	int pair[2];

	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	require(send(pair[1], said, n, MSG_NOSIGNAL) == (ssize_t)n && shutdown(pair[1], SHUT_WR) == 0);
	qmp_init(&q, pair[0]);
	if (qmp_human(&q, "info network", 10000, &text) == 0)
		require(text != NULL);
	else
		require(q.error[0] && !text);
	if (qmp_unplug(&q, "/machine/peripheral/n", 10000) < 0)
		require(q.error[0]);
	(void)qmp_drain(&q);
	qmp_done(&q);
	(void)close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	_cleanup_free_ char *text =
		n_bytes && n_bytes < SAID_MAX ? strndup((const char *)data + 1, n_bytes - 1) : NULL;

	if (!text)
		return 0;
	if (data[0] % 3 == 0)
		request(text);
	else if (data[0] % 3 == 1)
		reply(text);
	else if (n_bytes > 1)
		qemu((const char *)data + 1, n_bytes - 1);
	return 0;
}
