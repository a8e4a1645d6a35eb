/* SPDX-License-Identifier: BSD-2-Clause */
#include "qemu_opts.h"

#include <stdarg.h>
#include <stdio.h>

/* Reads a value from text[at] on to the next single comma. */
static char *take_value(const char *text, size_t at, size_t *ret_end)
{
	size_t n = 0, end = at;
	char *value;

	while (text[end] && (text[end] != ',' || text[end + 1] == ','))
		end += text[end] == ',' ? 2 : 1;
	*ret_end = end;
	value = malloc(end - at + 1);
	if (!value)
		return NULL;
	for (size_t i = at; i < end; i++) {
		value[n++] = text[i];
		if (text[i] == ',')
			i++;
	}
	value[n] = '\0';
	return value;
}

static int parse_one(
	const char *text, size_t at, const char *implied_key, struct qemu_opt *o, size_t *ret_end)
{
	size_t n_key = strcspn(text + at, "=,");

	o->key_at = o->at = at;
	if (text[at + n_key] == '=') {
		o->key = strndup(text + at, n_key);
		o->at = at + n_key + 1;
		o->value = take_value(text, o->at, ret_end);
	} else if (implied_key) {
		o->is_implied = true;
		o->key = strdup(implied_key);
		o->value = take_value(text, at, ret_end);
	} else {
		bool off = n_key > 2 && strncmp(text + at, "no", 2) == 0;

		o->is_switch = true;
		o->key = strndup(text + at + (off ? 2 : 0), n_key - (off ? 2 : 0));
		o->value = strdup(off ? "off" : "on");
		*ret_end = at + n_key;
	}
	o->n_bytes = *ret_end - o->at;
	return o->key && o->value ? 0 : -ENOMEM;
}

/* Room for one more, empty: NULL with *ret_error. */
static struct qemu_opt *opts_grow(struct qemu_opts *o, int *ret_error)
{
	void *v = NULL;

	*ret_error = o->n < QEMU_OPTS_MAX ? -ENOMEM : -E2BIG;
	/* The room is always the next power of two. */
	if (o->n < QEMU_OPTS_MAX && (o->n & (o->n - 1)) == 0)
		v = reallocarray(o->v, o->n ? (size_t)o->n * 2 : 1, sizeof(*o->v));
	else if (o->n < QEMU_OPTS_MAX)
		v = o->v;
	if (!v)
		return NULL;
	o->v = v;
	o->v[o->n] = (struct qemu_opt){0};
	return &o->v[o->n++];
}

int qemu_opts_add(struct qemu_opts *o, const char *key, const char *value, int arg, size_t n_bytes)
{
	int r;
	struct qemu_opt *opt = opts_grow(o, &r);

	if (!opt)
		return r;
	opt->key = strdup(key);
	opt->value = strdup(value);
	opt->arg = arg;
	opt->n_bytes = n_bytes;
	if (opt->key && opt->value)
		return 0;
	free(opt->key);
	free(opt->value);
	o->n--;
	return -ENOMEM;
}

int qemu_opts_parse(const char *text, const char *implied_key, struct qemu_opts *ret)
{
	_cleanup_(qemu_opts_done) struct qemu_opts opts = {0};
	size_t at = 0, end = 0;

	while (text[at]) {
		int r;
		struct qemu_opt *o = opts_grow(&opts, &r);

		if (!o)
			return r;
		if (parse_one(text, at, at == 0 ? implied_key : NULL, o, &end) < 0)
			return -ENOMEM;
		at = text[end] ? end + 1 : end;
	}
	*ret = opts;
	opts = (struct qemu_opts){0};
	return 0;
}

void qemu_opts_done(struct qemu_opts *o)
{
	for (unsigned int i = 0; i < o->n; i++) {
		free(o->v[i].key);
		free(o->v[i].value);
	}
	free(o->v);
	*o = (struct qemu_opts){0};
}

const struct qemu_opt *qemu_opts_find(const struct qemu_opts *o, const char *key)
{
	for (unsigned int i = o->n; i > 0; i--)
		if (strcmp(o->v[i - 1].key, key) == 0)
			return &o->v[i - 1];
	return NULL;
}

const char *qemu_opts_value(const struct qemu_opts *o, const char *key)
{
	const struct qemu_opt *opt = qemu_opts_find(o, key);

	return opt ? opt->value : NULL;
}

bool qemu_bool_parse(const char *value, bool *ret)
{
	static const char *const words[] = {"off", "on", "no", "yes", "false", "true", "n", "y"};

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(value, words[i]) == 0) {
			*ret = i % 2;
			return true;
		}
	return false;
}

static bool text_room(struct qemu_text *t, size_t n)
{
	size_t room;
	char *p;

	if (t->bad)
		return false;
	if (n < t->room - t->n && t->p)
		return true;
	room = MAX(t->room * 2, t->n + n + 64);
	p = realloc(t->p, room);
	if (!p) {
		t->bad = true;
		return false;
	}
	t->p = p;
	t->room = room;
	return true;
}

static void text_add_bytes(struct qemu_text *t, const char *s, size_t n)
{
	if (!text_room(t, n))
		return;
	memcpy(t->p + t->n, s, n);
	t->n += n;
	t->p[t->n] = '\0';
}

void qemu_text_add(struct qemu_text *t, const char *s)
{
	text_add_bytes(t, s, strlen(s));
}

void qemu_text_addf(struct qemu_text *t, const char *format, ...)
{
	_cleanup_free_ char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&s, format, ap);
	va_end(ap);
	if (n < 0) {
		s = NULL;
		t->bad = true;
		return;
	}
	text_add_bytes(t, s, (size_t)n);
}

void qemu_text_add_value(struct qemu_text *t, const char *value)
{
	for (; *value; value++) {
		text_add_bytes(t, value, 1);
		if (*value == ',')
			text_add_bytes(t, value, 1);
	}
}

void qemu_text_add_opt(struct qemu_text *t, const struct qemu_opt *o)
{
	if (t->n)
		qemu_text_add(t, ",");
	if (o->is_switch) {
		qemu_text_add(t, strcmp(o->value, "off") == 0 ? "no" : "");
		qemu_text_add(t, o->key);
		return;
	}
	if (!o->is_implied) {
		qemu_text_add(t, o->key);
		qemu_text_add(t, "=");
	}
	qemu_text_add_value(t, o->value);
}

void qemu_text_done(struct qemu_text *t)
{
	free(t->p);
	*t = (struct qemu_text){0};
}
