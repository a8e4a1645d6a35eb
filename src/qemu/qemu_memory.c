/* SPDX-License-Identifier: BSD-2-Clause */
/* A line that says no more of memory than how much there is can be given
 *
 *	-object memory-backend-memfd,id=ID,size=SIZE,share=on -machine memory-backend=ID
 *
 * which changes nothing that the guest sees, on any machine that has memory: what lies below and above 4 GiB,
 * -numa node,mem=, slots= and maxmem= are cut from it as from QEMU's own. A line that has memory back ends
 * keeps them, if all of them are shared. One that is not is left alone: whoever wrote it may have had a reason,
 * and no part of a guest's memory may be out of our reach, since its buffers can lie anywhere. */
#include "qemu_memory.h"

#include <stdarg.h>
#include <stdio.h>

#define MIB       (1024.0 * 1024)
#define ROUND     8192u
#define DEFAULT   ((uint64_t)128 << 20) /* of the machines of x86 */
#define TYPE      "memory-backend-"
#define ID_BYTES  32

bool qemu_part_is_option(const struct qemu_part *p, const char *a, const char *b)
{
	return p->name && p->value && (strcmp(p->name, a) == 0 || (b && strcmp(p->name, b) == 0));
}

bool qemu_because(char ret_why[QEMU_WHY_BYTES], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(ret_why, QEMU_WHY_BYTES, format, ap);
	va_end(ap);
	return false;
}

static bool begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* The last value of a key of an option that may come again, or NULL; heap. */
static char *last_value(
	const struct qemu_line *l, const char *a, const char *b, const char *implied, const char *key)
{
	char *last = NULL;

	for (unsigned int i = 0; i < l->n_parts; i++) {
		_cleanup_(qemu_opts_done) struct qemu_opts o = {0};
		const char *value;

		if (!qemu_part_is_option(&l->parts[i], a, b) ||
			qemu_opts_parse(l->parts[i].value, implied, &o) < 0)
			continue;
		value = qemu_opts_value(&o, key);
		if (!value)
			continue;
		free(last);
		last = strdup(value);
	}
	return last;
}

static bool unit_of(const char *suffix, double *ret)
{
	static const char units[] = "bkmgtpe";
	const char *u = suffix[0] ? strchr(units, suffix[0] | 0x20) : strchr(units, 'm');

	if (!u || (suffix[0] && suffix[1]))
		return false;
	for (*ret = 1; u > units; u--)
		*ret *= 1024;
	return true;
}

bool qemu_memory_parse(const char *text, uint64_t *ret_bytes)
{
	size_t n = strspn(text, "0123456789.");
	double number, unit;
	char *end;

	number = strtod(text, &end);
	/* No exponents and no hexadecimal numbers, of which the two understand different ones. */
	if (n == 0 || end != text + n || !unit_of(end, &unit))
		return false;
	if (number * unit < MIB || number * unit > (double)(INT64_MAX / 2))
		return false;
	*ret_bytes = ((uint64_t)(number * unit) + ROUND - 1) / ROUND * ROUND;
	return true;
}

static bool is_unshared_json(const char *value)
{
	if (!strstr(value, TYPE))
		return false;
	return !strstr(value, "\"share\":true") && !strstr(value, "\"share\": true");
}

/* One -object, in either syntax: is it memory that is not shared? */
static bool is_unshared(const char *object, char ret_id[ID_BYTES])
{
	_cleanup_(qemu_opts_done) struct qemu_opts o = {0};
	const char *type, *share, *id;
	bool on = false;

	(void)snprintf(ret_id, ID_BYTES, "%s", object);
	if (object[0] == '{')
		return is_unshared_json(object);
	if (qemu_opts_parse(object, "qom-type", &o) < 0)
		return strstr(object, TYPE);
	type = qemu_opts_value(&o, "qom-type");
	if (!type || !begins(type, TYPE))
		return false;
	type += strlen(TYPE);
	share = qemu_opts_value(&o, "share");
	id = qemu_opts_value(&o, "id");
	(void)snprintf(ret_id, ID_BYTES, "%s", id ? id : "without an id");
	if (share && !qemu_bool_parse(share, &on))
		return true;
	if (strcmp(type, "memfd") == 0 || strcmp(type, "shm") == 0)
		return share && !on;
	return strcmp(type, "file") != 0 || !on; /* of "ram" QEMU has no descriptor to hand out */
}

/* Does the line say itself of which back ends the guest's memory is made? */
static bool has_own(const struct qemu_line *l)
{
	_cleanup_free_ char *machine = last_value(l, "machine", "M", "type", "memory-backend");
	_cleanup_free_ char *node = last_value(l, "numa", NULL, "type", "memdev");

	return machine || node;
}

static bool is_x86(const char *program)
{
	const char *slash = strrchr(program, '/');
	const char *name = slash ? slash + 1 : program;

	return strstr(name, "x86_64") || strstr(name, "i386") || strstr(name, "kvm");
}

bool qemu_memory_is_shareable(const struct qemu_line *l, uint64_t *ret_bytes, char ret_why[QEMU_WHY_BYTES])
{
	_cleanup_free_ char *size = last_value(l, "m", NULL, "size", "size");
	char id[ID_BYTES];

	*ret_bytes = 0;
	for (unsigned int i = 0; i < l->n_parts; i++) {
		const struct qemu_part *p = &l->parts[i];

		if (qemu_part_is_option(p, "mem-path", NULL))
			return qemu_because(ret_why, "the memory of -mem-path is not shared (that of -object "
						     "memory-backend-file,mem-path=PATH,share=on is)");
		if (qemu_part_is_option(p, "readconfig", NULL))
			return qemu_because(ret_why, "-readconfig may say more about memory");
		if (qemu_part_is_option(p, "object", NULL) && is_unshared(p->value, id))
			return qemu_because(ret_why, "the memory back end %s is not shared (share=on)", id);
	}
	if (has_own(l))
		return true;
	if (size && !qemu_memory_parse(size, ret_bytes))
		return qemu_because(ret_why, "-m %s is not a size that vmlan understands", size);
	if (!size && !is_x86(l->argv[0]))
		return qemu_because(ret_why, "the line does not say how much memory there is (-m)");
	if (!size)
		*ret_bytes = DEFAULT;
	return true;
}
