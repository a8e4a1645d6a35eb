/* SPDX-License-Identifier: BSD-2-Clause */
#include <jansson.h>
#include <stdio.h>

#include "qemu_opts.h"

#define DEPTH_MAX 8
#define KEY_BYTES 256

/* While one text is read. */
struct reader {
	struct qemu_opts *opts;
	size_t n_bytes; /* of the text */
};

static int read_value(struct reader *r, const char *key, const json_t *v, unsigned int depth);

/* {"str": X}, which stands for X in lists. */
static const json_t *unwrap(const json_t *v)
{
	const json_t *inner =
		json_is_object(v) && json_object_size(v) == 1 ? json_object_get(v, "str") : NULL;

	return inner ? inner : v;
}

static int read_object(struct reader *r, const char *outer, const json_t *v, unsigned int depth)
{
	const char *key;
	json_t *member;

	json_object_foreach((json_t *)v, key, member)
	{
		char name[KEY_BYTES];
		int n = snprintf(name, sizeof(name), "%s%s%s", outer, *outer ? "." : "", key), x;

		if (n < 0 || (size_t)n >= sizeof(name) || !*key)
			return -EINVAL;
		x = read_value(r, name, member, depth + 1);
		if (x < 0)
			return x;
	}
	return 0;
}

static int read_list(struct reader *r, const char *key, const json_t *v, unsigned int depth)
{
	size_t i;
	json_t *member;

	json_array_foreach(v, i, member)
	{
		int x = read_value(r, key, unwrap(member), depth + 1);

		if (x < 0)
			return x;
	}
	return 0;
}

static int read_value(struct reader *r, const char *key, const json_t *v, unsigned int depth)
{
	char number[32];
	const char *text;

	if (depth > DEPTH_MAX)
		return -EINVAL;
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return read_object(r, key, v, depth);
	case JSON_ARRAY:
		return read_list(r, key, v, depth);
	case JSON_STRING:
		text = json_string_value(v);
		break;
	case JSON_INTEGER:
		(void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
		text = number;
		break;
	case JSON_TRUE:
		text = "on";
		break;
	case JSON_FALSE:
		text = "off";
		break;
	default:
		return -EINVAL;
	}
	return qemu_opts_add(r->opts, key, text, 0, r->n_bytes);
}

/* Puts the option of that key first. */
static bool move_first(struct qemu_opts *o, const char *key)
{
	for (unsigned int i = 0; i < o->n; i++)
		if (strcmp(o->v[i].key, key) == 0) {
			struct qemu_opt first = o->v[i];

			memmove(o->v + 1, o->v, i * sizeof(*o->v));
			o->v[0] = first;
			return true;
		}
	return false;
}

int qemu_opts_parse_json(const char *text, const char *first, struct qemu_opts *ret)
{
	_cleanup_(qemu_opts_done) struct qemu_opts opts = {0};
	struct reader r = {.opts = &opts, .n_bytes = strlen(text)};
	json_t *v = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	int x = json_is_object(v) ? read_object(&r, "", v, 0) : -EINVAL;

	json_decref(v);
	if (x < 0)
		return x;
	if (!move_first(&opts, first))
		return -EINVAL;
	*ret = opts;
	opts = (struct qemu_opts){0};
	return 0;
}
