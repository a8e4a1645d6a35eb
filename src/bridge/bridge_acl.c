/* SPDX-License-Identifier: BSD-2-Clause */
#include "bridge_acl.h"

#include <stdio.h>

/* A part of a line. */
struct word {
	const char *p;
	size_t n;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* The next word of *line, which is left behind it. */
static struct word take_word(struct word *line)
{
	struct word w;

	while (line->n && is_blank(*line->p)) {
		line->p++;
		line->n--;
	}
	w.p = line->p;
	while (line->n && !is_blank(*line->p)) {
		line->p++;
		line->n--;
	}
	w.n = (size_t)(line->p - w.p);
	return w;
}

static bool is(struct word w, const char *text)
{
	return w.n == strlen(text) && memcmp(w.p, text, w.n) == 0;
}

static int invalid(char ret_why[BRIDGE_ACL_WHY_BYTES], const char *why)
{
	(void)snprintf(ret_why, BRIDGE_ACL_WHY_BYTES, "%s", why);
	return -EINVAL;
}

static int parse_include(struct bridge_acl *a, struct word path, char ret_why[BRIDGE_ACL_WHY_BYTES])
{
	char text[BRIDGE_ACL_PATH_BYTES];

	/* A caller chooses the folder that another path would be looked up in. */
	if (path.p[0] != '/')
		return invalid(ret_why, "include wants a path that begins with /");
	if (path.n >= sizeof(text))
		return invalid(ret_why, "the path is too long");
	memcpy(text, path.p, path.n);
	text[path.n] = '\0';
	return a->include(a, text);
}

static int parse_line(struct bridge_acl *a, struct word line, char ret_why[BRIDGE_ACL_WHY_BYTES])
{
	struct word verb = take_word(&line), what = take_word(&line);
	bool fits;

	if (verb.n == 0 || verb.p[0] == '#')
		return 0;
	if (memchr(verb.p, '\0', verb.n) || (what.n && memchr(what.p, '\0', what.n)))
		return invalid(ret_why, "it is no text");
	if (!is(verb, "allow") && !is(verb, "deny") && !is(verb, "include"))
		return invalid(ret_why, "it begins with none of allow, deny and include");
	if (what.n == 0)
		return invalid(ret_why, "a word is missing behind the first");
	if (take_word(&line).n)
		return invalid(ret_why, "there are more than two words");
	if (is(verb, "include"))
		return parse_include(a, what, ret_why);
	if (what.n >= BRIDGE_ACL_NAME_BYTES)
		return invalid(ret_why, "the name of an interface has at most 15 bytes");
	fits = is(what, "all") || is(what, a->bridge);
	if (is(verb, "allow"))
		a->allowed = a->allowed || fits;
	else
		a->denied = a->denied || fits;
	return 0;
}

int bridge_acl_parse(struct bridge_acl *a, const char *text, size_t n, unsigned int *ret_line,
	char ret_why[BRIDGE_ACL_WHY_BYTES])
{
	int r = 0;

	*ret_line = 0;
	while (n && r == 0) {
		const char *end = memchr(text, '\n', n);
		size_t n_line = end ? (size_t)(end - text) : n;

		++*ret_line;
		r = parse_line(a, (struct word){text, n_line}, ret_why);
		n_line += end ? 1 : 0;
		text += n_line;
		n -= n_line;
	}
	return r;
}
