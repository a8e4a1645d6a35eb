/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's option syntax: key=value,key=value,... with a comma in a value doubled. The first part may leave
 * its key out ("user,id=n0": type=user); a part without '=' further on is a switch ("restrict": on,
 * "norestrict": off). A key may come again: lists take all of its values, everything else the last one. */
#pragma once

#include "util.h"

#define QEMU_OPTS_MAX 4096

struct qemu_opt {
	char *key;
	char *value;     /* commas made single; of a switch "on" or "off" */
	bool is_switch;  /* was written without '=' and a value */
	bool is_implied; /* was the first part, written without its key */
	int arg;         /* of argv, where the value stands; 0: in the text that was parsed */
	size_t at;       /* of the value, in the text */
	size_t n_bytes;  /* of the value, as it was written */
	size_t key_at;
};

struct qemu_opts {
	struct qemu_opt *v; /* heap */
	unsigned int n;
};

/* 0, -ENOMEM or -E2BIG. */
int qemu_opts_parse(const char *text, const char *implied_key, struct qemu_opts *ret);
/* The same from JSON, as -netdev and -device take it: an object's members become "outer.inner", the members
 * of a list one option each, numbers and booleans text. `first` is put first. -EINVAL: QEMU would not take
 * it either, or it is nothing that options can say. Each value's place is the whole text. */
int qemu_opts_parse_json(const char *text, const char *first, struct qemu_opts *ret);
/* Appends one that was not in the text: 0, -ENOMEM or -E2BIG. */
int qemu_opts_add(struct qemu_opts *o, const char *key, const char *value, int arg, size_t n_bytes);
void qemu_opts_done(struct qemu_opts *o);

/* The last value of a key; find: NULL if there is none. */
const struct qemu_opt *qemu_opts_find(const struct qemu_opts *o, const char *key);
const char *qemu_opts_value(const struct qemu_opts *o, const char *key);

/* on|off, yes|no, true|false, y|n. */
bool qemu_bool_parse(const char *value, bool *ret);

/* A text under construction. It goes bad when memory runs out, and stays so. */
struct qemu_text {
	char *p; /* heap, NUL-terminated */
	size_t n, room;
	bool bad;
};

void qemu_text_add(struct qemu_text *t, const char *s);
void qemu_text_addf(struct qemu_text *t, const char *format, ...) _printf_(2, 3);
/* The value with its commas doubled. */
void qemu_text_add_value(struct qemu_text *t, const char *value);
/* One option as it has to be written, after a comma unless it is the first. */
void qemu_text_add_opt(struct qemu_text *t, const struct qemu_opt *o);
void qemu_text_done(struct qemu_text *t);
