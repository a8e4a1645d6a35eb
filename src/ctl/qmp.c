/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU greets, and takes commands after qmp_capabilities alone, which is sent with the first one: a monitor
 * that nobody asks anything says nothing, and QEMU's own life is not touched.
 *
 * Each command has a number, which its answer repeats. One that came too late, for a command that was given
 * up, is passed over. So a QEMU that hangs costs a caller its patience, and nothing else. Events are passed
 * over too, but for the one that is waited for. */
#include "qmp.h"

#include <inttypes.h>
#include <stdio.h>

#include "clock.h"

#define LINE_BYTES  (8u << 20)
#define DRAIN_READS 16u /* and others have their turn */

static void json_decref_p(json_t **j)
{
	json_decref(*j);
}

void qmp_init(struct qmp *q, int fd)
{
	*q = (struct qmp){.lines = {.fd = fd, .max = LINE_BYTES}};
}

void qmp_done(struct qmp *q)
{
	ctl_lines_done(&q->lines);
	util_close(&q->lines.fd);
}

static int fail(struct qmp *q, int r)
{
	switch (r) {
	case -ETIMEDOUT:
		(void)snprintf(q->error, sizeof(q->error),
			"QEMU does not answer its monitor: it is stopped, or busy; "
			"try again later");
		break;
	case -EPIPE:
		(void)snprintf(q->error, sizeof(q->error),
			"QEMU has no monitor for vmlan: it is too old, or is ending");
		break;
	case -EREMOTEIO:
		break;
	default:
		(void)snprintf(q->error, sizeof(q->error), "QEMU's monitor: %s", strerror(-r));
	}
	return r;
}

static bool is_awaited(const struct qmp *q, const json_t *m)
{
	const char *event = json_string_value(json_object_get(m, "event"));
	const char *path = json_string_value(json_object_get(json_object_get(m, "data"), "path"));

	return q->awaited[0] && event && path && strcmp(event, "DEVICE_DELETED") == 0 &&
	       strcmp(path, q->awaited) == 0;
}

/* 1: it is the answer to that command, *ret; 0: something else; -EBADMSG. */
static int take(struct qmp *q, const char *line, uint64_t number, json_t **ret)
{
	_cleanup_(json_decref_p) json_t *m = json_loads(line, 0, NULL);
	const json_t *id = json_object_get(m, "id");

	if (!json_is_object(m))
		return -EBADMSG;
	if (is_awaited(q, m))
		q->has_come = true;
	if (!json_is_integer(id) || (uint64_t)json_integer_value(id) != number)
		return 0;
	*ret = TAKE_PTR(m);
	return 1;
}

/* The next line, until a time, be it that there are always more. */
static int next_line(struct qmp *q, uint64_t end_ms, char **ret)
{
	return clock_now_ms() < end_ms ? ctl_lines_wait(&q->lines, end_ms, ret) : -ETIMEDOUT;
}

static int await(struct qmp *q, uint64_t number, uint64_t end_ms, json_t **ret)
{
	char *line;
	int r = 0;

	while (r == 0) {
		r = next_line(q, end_ms, &line);
		if (r == 0)
			r = take(q, line, number, ret);
	}
	return MIN(r, 0);
}

/* The object is taken over. */
static int ask(struct qmp *q, json_t *command, int fd, uint64_t end_ms, json_t **ret)
{
	uint64_t number = ++q->n_asked;
	_cleanup_free_ char *text = NULL;
	int r = -ENOMEM;

	if (command && json_object_set_new(command, "id", json_integer((json_int_t)number)) == 0)
		text = json_dumps(command, JSON_COMPACT);
	json_decref(command);
	if (text)
		r = ctl_lines_send(q->lines.fd, text, strlen(text), fd, end_ms);
	return r < 0 ? r : await(q, number, end_ms, ret);
}

static int judge(struct qmp *q, const json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");
	const char *text = json_string_value(json_object_get(error, "desc"));

	if (json_object_get(answer, "return"))
		return 0;
	(void)snprintf(q->error, sizeof(q->error), "%s", text && *text ? text : "QEMU refuses without a reason");
	return error ? -EREMOTEIO : -EBADMSG;
}

static int greet(struct qmp *q, uint64_t end_ms)
{
	_cleanup_(json_decref_p) json_t *answer = NULL;
	int r;

	if (q->greeted)
		return 0;
	r = ask(q, json_pack("{s:s}", "execute", "qmp_capabilities"), -1, end_ms, &answer);
	if (r == 0)
		q->greeted = true; /* asked twice, for an answer that came late, it is refused and all the
				      same done */
	return r;
}

int qmp_command(
	struct qmp *q, const char *name, json_t *arguments, int fd, uint64_t timeout_ms, json_t **ret_value)
{
	_cleanup_(json_decref_p) json_t *answer = NULL, *given = arguments;
	uint64_t end_ms = clock_now_ms() + timeout_ms;
	int r = q->lines.fd < 0 ? -EPIPE : greet(q, end_ms);

	if (ret_value)
		*ret_value = NULL;
	if (r == 0)
		r = ask(q, json_pack("{s:s, s:O*}", "execute", name, "arguments", given), fd, end_ms,
			&answer);
	if (r == 0)
		r = judge(q, answer);
	if (r == 0 && ret_value)
		*ret_value = json_incref(json_object_get(answer, "return"));
	return r < 0 ? fail(q, r) : 0;
}

int qmp_human(struct qmp *q, const char *line, uint64_t timeout_ms, char **ret_text)
{
	_cleanup_(json_decref_p) json_t *value = NULL;
	int r = qmp_command(
		q, "human-monitor-command", json_pack("{s:s}", "command-line", line), -1, timeout_ms, &value);
	char *to;

	*ret_text = NULL;
	if (r < 0)
		return r;
	*ret_text = strdup(json_is_string(value) ? json_string_value(value) : "");
	if (!*ret_text)
		return fail(q, -ENOMEM);
	to = *ret_text;
	for (const char *from = to; *from; from++)
		if (*from != '\r')
			*to++ = *from;
	*to = '\0';
	return 0;
}

static int await_end(struct qmp *q, uint64_t end_ms)
{
	int r = 0;

	while (r == 0 && !q->has_come) {
		_cleanup_(json_decref_p) json_t *unused = NULL; /* an answer, to nothing that was asked */
		char *line;

		r = next_line(q, end_ms, &line);
		if (r == 0)
			r = MIN(take(q, line, 0, &unused), 0);
	}
	if (r < 0)
		(void)fail(q, r);
	if (r == -ETIMEDOUT)
		(void)snprintf(q->error, sizeof(q->error),
			"the guest has not let go of its NIC yet: it has to run, and to "
			"support unplugging; ask again");
	return r;
}

int qmp_unplug(struct qmp *q, const char *path, uint64_t timeout_ms)
{
	uint64_t end_ms = clock_now_ms() + timeout_ms;
	int r;

	(void)snprintf(q->awaited, sizeof(q->awaited), "%s", path);
	q->has_come = false;
	r = qmp_command(q, "device_del", json_pack("{s:s}", "id", path), -1, timeout_ms, NULL);
	if (r == -EREMOTEIO && strstr(q->error, "already in the process of unplug"))
		r = 0; /* somebody has asked before, and was impatient */
	if (r == 0)
		r = await_end(q, end_ms);
	q->awaited[0] = '\0';
	return r;
}

int qmp_drain(struct qmp *q)
{
	int r = 1;

	for (unsigned int i = 0; i < DRAIN_READS && r > 0; i++) {
		r = ctl_lines_read(&q->lines);
		while (ctl_lines_next(&q->lines))
			continue;
	}
	return r > 0 || r == -EAGAIN ? 0 : -EPIPE;
}
