/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl_msg.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include <jansson.h>

static const char *const op_names[] = {
	[CTL_INFO_NETWORK] = "info-network",
	[CTL_INFO_USERNET] = "info-usernet",
	[CTL_HOSTFWD_ADD] = "hostfwd-add",
	[CTL_HOSTFWD_REMOVE] = "hostfwd-remove",
	[CTL_HOSTFWD_LIST] = "hostfwd-list",
	[CTL_NIC_ADD] = "nic-add",
	[CTL_NIC_REMOVE] = "nic-remove",
	[CTL_END] = "end",
};
static_assert(ARRAY_SIZE(op_names) == CTL_OP_MAX, "every operation has a name");

static void json_decref_p(json_t **j)
{
	json_decref(*j);
}

void ctl_reply_done(struct ctl_reply *r)
{
	free(r->text);
	free(r->error);
	*r = (struct ctl_reply){0};
}

void ctl_reply_fail(struct ctl_reply *r, const char *format, ...)
{
	va_list ap;

	if (r->error)
		return;
	va_start(ap, format);
	if (vasprintf(&r->error, format, ap) < 0)
		r->error = NULL;
	va_end(ap);
}

void ctl_reply_add(struct ctl_reply *r, const char *format, ...)
{
	_cleanup_free_ char *more = NULL;
	size_t n = r->text ? strlen(r->text) : 0, n_more;
	char *p;
	va_list ap;
	int x;

	va_start(ap, format);
	x = vasprintf(&more, format, ap);
	va_end(ap);
	if (x < 0) {
		more = NULL;
		ctl_reply_fail(r, "no memory");
		return;
	}
	n_more = (size_t)x;
	p = realloc(r->text, n + n_more + 1);
	if (!p) {
		ctl_reply_fail(r, "no memory");
		return;
	}
	memcpy(p + n, more, n_more + 1);
	r->text = p;
}

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == '\x7f';
}

/* A text of one line that fits. NULL: none is there, which is an empty one. */
static bool take_text(const char *s, char *ret, size_t n_room)
{
	size_t n = s ? strlen(s) : 0;

	if (n >= n_room)
		return false;
	for (size_t i = 0; i < n; i++)
		if (is_control(s[i]))
			return false;
	memset(ret, 0, n_room);
	if (n)
		memcpy(ret, s, n);
	return true;
}

int ctl_request_parse(const char *line, struct ctl_request *ret)
{
	_cleanup_(json_decref_p) json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	const char *op = NULL, *id = NULL, *arg = NULL;
	json_int_t n = 0;

	if (!j || json_unpack(j, "{s?I, s:s, s?s, s?s !}", "n", &n, "op", &op, "id", &id, "arg", &arg) < 0 ||
		n < 0 || n > UINT32_MAX)
		return -EBADMSG;
	ret->number = (uint32_t)n;
	if (!take_text(id, ret->id, sizeof(ret->id)) || !take_text(arg, ret->arg, sizeof(ret->arg)))
		return -EBADMSG;
	for (int i = 0; i < CTL_OP_MAX; i++)
		if (strcmp(op, op_names[i]) == 0) {
			ret->op = (enum ctl_op)i;
			return 0;
		}
	return -EBADMSG;
}

/* What no terminal would take for a command of its own: line ends may stay. */
static char *clean(const char *s)
{
	char *copy = strdup(s ? s : "");

	for (char *c = copy; c && *c; c++)
		if (is_control(*c) && *c != '\n')
			*c = '?';
	return copy;
}

int ctl_reply_parse(const char *line, struct ctl_reply *ret)
{
	_cleanup_(json_decref_p) json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	const char *text = NULL, *error = NULL;
	json_int_t n = 0;

	*ret = (struct ctl_reply){0};
	if (!j || json_unpack(j, "{s?I, s?s, s?s !}", "n", &n, "text", &text, "error", &error) < 0 || n < 0 ||
		n > UINT32_MAX)
		return -EBADMSG;
	ret->number = (uint32_t)n;
	ret->text = clean(text);
	ret->error = error ? clean(error) : NULL;
	if (ret->text && (!error || ret->error))
		return 0;
	ctl_reply_done(ret);
	return -ENOMEM;
}

/* What is no UTF-8 is spelt in ASCII. */
static json_t *text_of(const char *s)
{
	json_t *j = json_string(s);
	char *copy = j ? NULL : strdup(s);

	for (char *c = copy; c && *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	if (copy)
		j = json_string(copy);
	free(copy);
	return j;
}

/* Takes the object over. */
static char *line_of(json_t *j, size_t n_max)
{
	char *s = j ? json_dumps(j, JSON_COMPACT) : NULL;
	size_t n = s ? strlen(s) : 0;
	char *line = s && n + 2 <= n_max ? realloc(s, n + 2) : NULL;

	json_decref(j);
	if (!line) {
		free(s);
		return NULL;
	}
	memcpy(line + n, "\n", 2);
	return line;
}

char *ctl_request_emit(const struct ctl_request *q)
{
	char unused[CTL_ARG_BYTES];

	if (q->op >= CTL_OP_MAX || !take_text(q->id, unused, sizeof(q->id)) ||
		!take_text(q->arg, unused, sizeof(q->arg)))
		return NULL;
	return line_of(json_pack("{s:I, s:s, s:o, s:o}", "n", (json_int_t)q->number, "op", op_names[q->op],
			       "id", text_of(q->id), "arg", text_of(q->arg)),
		CTL_REQUEST_BYTES);
}

char *ctl_reply_emit(const struct ctl_reply *r)
{
	json_t *j =
		json_pack("{s:I, s:o}", "n", (json_int_t)r->number, "text", text_of(r->text ? r->text : ""));

	if (j && r->error && json_object_set_new(j, "error", text_of(r->error)) < 0) {
		json_decref(j);
		return NULL;
	}
	return line_of(j, CTL_REPLY_BYTES);
}
