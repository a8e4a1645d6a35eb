/* SPDX-License-Identifier: BSD-2-Clause */
#include "qemu_net.h"

#include <stdarg.h>
#include <stdio.h>

#include "conf_text.h"
#include "qemu_lan.h"
#include "qemu_moved.h"
#include "qemu_nic.h"
#include "qemu_words.h"

#define LINE_ARGS_MAX 65536

int qemu_fail(struct qemu_error *e, int arg, size_t at, size_t n_bytes, const char *format, ...)
{
	va_list ap;

	e->arg = arg;
	e->at = at;
	e->n_bytes = n_bytes;
	va_start(ap, format);
	(void)vsnprintf(e->text, sizeof(e->text), format, ap);
	va_end(ap);
	return -EINVAL;
}

static bool is_word(const char *s, const char *const *words, size_t n)
{
	for (size_t i = 0; s && i < n; i++)
		if (strcmp(s, words[i]) == 0)
			return true;
	return false;
}

const char *qemu_part_type(const struct qemu_part *p)
{
	const char *type = qemu_opts_value(&p->opts, p->kind == QEMU_PART_DEVICE ? "driver" : "type");

	return type ? type : "";
}

bool qemu_part_is(const struct qemu_part *p, const char *type)
{
	return strcmp(qemu_part_type(p), type) == 0;
}

const char *qemu_part_id(const struct qemu_part *p)
{
	const char *id = qemu_opts_value(&p->opts, "id");

	return id ? id : qemu_opts_value(&p->opts, "name");
}

int qemu_part_arg(const struct qemu_part *p, const struct qemu_opt *o)
{
	return o->arg ? o->arg : p->at + 1;
}

static enum qemu_part_kind kind_of(const char *name)
{
	static const char *const moved[] = {"redir", "tftp", "smb", "bootp"};

	if (strcmp(name, "net") == 0)
		return QEMU_PART_NET;
	if (strcmp(name, "netdev") == 0)
		return QEMU_PART_NETDEV;
	if (strcmp(name, "nic") == 0)
		return QEMU_PART_NIC;
	if (strcmp(name, "device") == 0)
		return QEMU_PART_DEVICE;
	return is_word(name, moved, ARRAY_SIZE(moved)) ? QEMU_PART_MOVED : QEMU_PART_OTHER;
}

/* QEMU answers these by a list, and does nothing else. */
static bool asks_for_help(const struct qemu_part *p)
{
	static const char *const always[] = {"h", "help", "version", "audio-help"};
	static const char *const lists[] = {"M", "machine", "cpu", "accel", "device", "net", "netdev", "nic",
		"chardev", "object", "d", "vga", "display", "audio", "audiodev", "soundhw", "trace",
		"watchdog", "global", "tpmdev", "blockdev", "drive"};

	if (is_word(p->name, always, ARRAY_SIZE(always)))
		return true;
	if (!p->value || !is_word(p->name, lists, ARRAY_SIZE(lists)))
		return false;
	if (strcmp(p->value, "help") == 0 || strcmp(p->value, "?") == 0)
		return true;
	if (strcmp(p->name, "device") == 0) {
		const char *comma = strrchr(p->value, ',');

		return comma && (strcmp(comma, ",help") == 0 || strcmp(comma, ",?") == 0);
	}
	for (unsigned int i = 0; i < p->opts.n; i++) {
		const struct qemu_opt *o = &p->opts.v[i];

		if (strcmp(o->key, "model") == 0 &&
			(strcmp(o->value, "?") == 0 || strcmp(o->value, "help") == 0))
			return true;
		if (o->is_switch && (strcmp(o->key, "help") == 0 || strcmp(o->key, "?") == 0))
			return true;
	}
	return false;
}

static int parse_hub(struct qemu_part *p, struct qemu_error *e)
{
	const struct qemu_opt *o = qemu_opts_find(&p->opts, "vlan");
	uint64_t v = 0;

	if (p->kind != QEMU_PART_NET_NIC && p->kind != QEMU_PART_NET && p->kind != QEMU_PART_DEVICE)
		return 0;
	if (p->kind != QEMU_PART_NET && qemu_opts_find(&p->opts, "netdev"))
		return 0;
	if (p->kind == QEMU_PART_DEVICE && !o)
		return 0;
	if (o && !conf_number(o->value, strlen(o->value), 0, 0, INT32_MAX, &v))
		return qemu_fail(e, p->at + 1, o->at, o->n_bytes, "vlan= wants a number");
	p->hub = (int)v;
	return 0;
}

/* Takes the value apart: 0, or a negative error. *ret_is_ours: it has been. */
static int parse_opts(struct qemu_part *p, const char *first, struct qemu_error *e, bool *ret_is_ours)
{
	int r;

	p->is_json = p->value[0] == '{';
	r = p->is_json ? qemu_opts_parse_json(p->value, first, &p->opts)
		       : qemu_opts_parse(p->value, first, &p->opts);
	*ret_is_ours = r == 0;
	if (r == -EINVAL) /* such JSON is QEMU's to judge */
		return 0;
	return r == -E2BIG ? qemu_fail(e, p->at + 1, 0, 0, "-%s has too many options", p->name) : r;
}

static int parse_net_part(struct qemu_part *p, struct qemu_error *e)
{
	enum qemu_part_kind kind = kind_of(p->name);
	bool is_ours = false;
	int r;

	if (kind == QEMU_PART_OTHER || !p->value)
		return 0;
	p->kind = kind;
	if (kind == QEMU_PART_MOVED)
		return 0;
	r = parse_opts(p, kind == QEMU_PART_DEVICE ? "driver" : "type", e, &is_ours);
	if (r == 0)
		r = qemu_lan_imply(p);
	if (r < 0)
		return r;
	if (kind == QEMU_PART_DEVICE && (!is_ours || !qemu_nic_find(qemu_part_type(p)))) {
		qemu_opts_done(&p->opts);
		p->kind = QEMU_PART_OTHER;
		return 0;
	}
	if (kind == QEMU_PART_NET && qemu_part_is(p, "nic"))
		p->kind = QEMU_PART_NET_NIC;
	if (kind == QEMU_PART_NET && qemu_part_is(p, "channel"))
		p->kind = QEMU_PART_MOVED;
	return parse_hub(p, e);
}

/* -machine may come again, with properties only. */
static bool names_machine(const char *value)
{
	return value && (strncmp(value, "type=", 5) == 0 || value[strcspn(value, "=,")] != '=');
}

static void note_part(struct qemu_line *l, const struct qemu_part *p)
{
	if (asks_for_help(p))
		l->informs = true;
	if (!p->name)
		return;
	if (strcmp(p->name, "net") == 0 || p->kind == QEMU_PART_NETDEV || p->kind == QEMU_PART_NIC)
		l->has_net = true;
	if (strcmp(p->name, "nodefaults") == 0)
		l->nodefaults = true;
	if (strcmp(p->name, "daemonize") == 0)
		l->daemonizes = true;
	if ((strcmp(p->name, "M") == 0 || strcmp(p->name, "machine") == 0) && names_machine(p->value))
		l->machine = p->value;
}

int qemu_line_parse(int argc, char **argv, struct qemu_line *ret, struct qemu_error *e)
{
	_cleanup_(qemu_line_done) struct qemu_line l = {
		.argv = argv,
		.argc = argc,
		.implied = {.kind = QEMU_PART_NET, .name = "net", .hub = -1},
	};
	int r;

	if (argc < 1 || argc > LINE_ARGS_MAX)
		return qemu_fail(e, -1, 0, 0, "a line has 1 to %d arguments", LINE_ARGS_MAX);
	l.parts = calloc((size_t)argc, sizeof(*l.parts));
	if (!l.parts)
		return -ENOMEM;
	for (int i = 1; i < argc; i += l.parts[l.n_parts - 1].n_args) {
		struct qemu_part *p = &l.parts[l.n_parts++];
		const char *next = i + 1 < argc ? argv[i + 1] : NULL;

		*p = (struct qemu_part){.at = i, .n_args = 1, .hub = -1};
		if (argv[i][0] != '-')
			continue;
		p->name = argv[i] + (argv[i][1] == '-' ? 2 : 1);
		if (qemu_option_has_value(p->name, next)) {
			p->value = next;
			p->n_args = 2;
		} else if (qemu_option_needs_value(p->name)) {
			/* What is added behind it would become its value. */
			return qemu_fail(e, i, 0, 0, "-%s needs a value", p->name);
		}
		r = parse_net_part(p, e);
		if (r < 0)
			return r;
		note_part(&l, p);
	}
	if (!l.informs) {
		r = qemu_moved_apply(&l, e);
		if (r < 0)
			return r;
	}
	*ret = l;
	l = (struct qemu_line){0};
	return 0;
}

void qemu_line_done(struct qemu_line *l)
{
	for (unsigned int i = 0; i < l->n_parts; i++)
		qemu_opts_done(&l->parts[i].opts);
	qemu_opts_done(&l->implied.opts);
	free(l->parts);
	*l = (struct qemu_line){0};
}

bool qemu_line_has_id(const struct qemu_line *l, const char *id)
{
	size_t n = strlen(id);

	/* Options that were not taken apart may hold an id too, in either of two syntaxes; a mere likeness
	 * does no harm, for another id is taken then. */
	for (int i = 1; i < l->argc; i++)
		for (const char *s = strstr(l->argv[i], id); s; s = strstr(s + 1, id))
			if (s > l->argv[i] && strchr("=\"", s[-1]) && (s[n] == '\0' || strchr(",\"", s[n])))
				return true;
	return false;
}

bool qemu_line_is_without_nic(const struct qemu_line *l)
{
	static const char *const without[] = {"none", "microvm"};
	const char *m = l->machine;

	if (!m)
		return false;
	if (strncmp(m, "type=", 5) == 0)
		m += 5;
	for (unsigned int i = 0; i < ARRAY_SIZE(without); i++) {
		size_t n = strlen(without[i]);

		if (strncmp(m, without[i], n) == 0 && (m[n] == '\0' || m[n] == ','))
			return true;
	}
	return false;
}

const char *qemu_line_default_model(const struct qemu_line *l)
{
	const char *m = l->machine ? l->machine : "";

	if (strstr(m, "isapc"))
		return "ne2k_isa";
	return strstr(m, "q35") ? "e1000e" : "e1000";
}

bool qemu_line_is_no_pc(const struct qemu_line *l)
{
	const char *slash = strrchr(l->argv[0], '/'), *name = slash ? slash + 1 : l->argv[0];
	static const char system[] = "qemu-system-";

	if (strncmp(name, system, strlen(system)) != 0)
		return false;
	name += strlen(system);
	return strncmp(name, "x86_64", 6) != 0 && strncmp(name, "i386", 4) != 0 &&
	       strncmp(name, "amd64", 5) != 0;
}
