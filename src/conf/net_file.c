/* SPDX-License-Identifier: BSD-2-Clause */
#include "net_file.h"

#include <stdio.h>

#include "conf_text.h"

#define BLANKS " \t\r\v\f"

/* A part of a line. */
struct part {
	const char *p;
	size_t n;
};

static struct part trim(const char *p, size_t n)
{
	while (n > 0 && strchr(BLANKS, p[0])) {
		p++;
		n--;
	}
	while (n > 0 && strchr(BLANKS, p[n - 1]))
		n--;
	return (struct part){p, n};
}

static int list_key(void *ctx, const char *key)
{
	struct conf_error *e = ctx;
	size_t at = strlen(e->text);

	(void)snprintf(e->text + at, sizeof(e->text) - at, " %s", key);
	return 0;
}

static bool unknown_key(const struct part *key, struct conf_error *e)
{
	(void)conf_fail(
		e, 0, key->n, "there is no key '%.*s'; the keys are:", (int)MIN(key->n, (size_t)32), key->p);
	(void)net_conf_each_key(list_key, e);
	return false;
}

static bool set_key(struct net_conf *c, const struct part *line, struct conf_error *e)
{
	const char *equals = memchr(line->p, '=', line->n);
	struct part key, value;
	_cleanup_free_ char *name = NULL, *text = NULL;

	if (!equals)
		return conf_fail(e, 0, line->n, "a line is KEY=VALUE, %s or a comment", NET_FILE_SECTION);
	key = trim(line->p, (size_t)(equals - line->p));
	value = trim(equals + 1, line->n - (size_t)(equals + 1 - line->p));
	name = strndup(key.p, key.n);
	text = strndup(value.p, value.n);
	if (!name || !text)
		return conf_fail(e, 0, 0, "no memory");
	if (!net_conf_has_key(name))
		return unknown_key(&key, e);
	if (net_conf_set(c, name, text, e))
		return true;
	e->at += (size_t)(value.p - line->p);
	return false;
}

static bool take_line(struct net_conf *c, const struct part *line, bool *in_section, struct conf_error *e)
{
	if (line->n == 0 || line->p[0] == '#' || line->p[0] == ';')
		return true;
	if (line->p[0] == '[') {
		*in_section = line->n == strlen(NET_FILE_SECTION) &&
			      memcmp(line->p, NET_FILE_SECTION, line->n) == 0;
		return *in_section || conf_fail(e, 0, line->n, "there is no such section; the only one is %s",
					      NET_FILE_SECTION);
	}
	if (!*in_section)
		return conf_fail(e, 0, line->n, "a line %s has to stand before this one", NET_FILE_SECTION);
	return set_key(c, line, e);
}

bool net_file_parse(const char *text, struct net_conf *c, struct net_file_error *e)
{
	bool in_section = false;

	*e = (struct net_file_error){0};
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "\n");
		struct part line = trim(p, n);

		e->line++;
		if (!take_line(c, &line, &in_section, &e->e)) {
			(void)snprintf(e->text, sizeof(e->text), "%.*s",
				(int)MIN(line.n, sizeof(e->text) - 1), line.p);
			return false;
		}
		p += n + (p[n] == '\n');
	}
	return true;
}

static int put_option(void *ctx, const char *key, const char *value)
{
	return fprintf(ctx, "%s=%s\n", key, value) < 0 ? -ENOMEM : 0;
}

char *net_file_emit(const struct net_conf *c)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	bool failed;

	if (!f)
		return NULL;
	failed = fputs(NET_FILE_SECTION "\n", f) < 0 || net_conf_each(c, put_option, f) < 0;
	if (fclose(f) == 0 && !failed)
		return text;
	free(text);
	return NULL;
}
