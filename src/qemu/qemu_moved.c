/* SPDX-License-Identifier: BSD-2-Clause */
#include "qemu_moved.h"

#include <stdio.h>

static const struct {
	const char *name, *key, *form;
	bool is_list; /* goes to the first back end, whatever that has already */
} moves[] = {
	{"redir", "hostfwd", "[tcp|udp]::HOSTPORT-[GUEST]:PORT", true}, {"tftp", "tftp", "DIR", false},
	{"smb", "smb", "DIR", false}, {"bootp", "bootfile", "FILE", false},
	{"net", "guestfwd", "tcp::PORT-DEV", true}, /* -net channel */
};

static unsigned int move_of(const struct qemu_part *p)
{
	unsigned int i = 0;

	while (strcmp(moves[i].name, p->name) != 0)
		i++;
	return i;
}

const char *qemu_moved_key(const struct qemu_part *p, const char **ret_form)
{
	unsigned int i = move_of(p);

	*ret_form = moves[i].form;
	return moves[i].key;
}

static bool is_user(const struct qemu_part *p)
{
	return p->kind != QEMU_PART_OTHER && p->kind != QEMU_PART_DEVICE && p->kind != QEMU_PART_MOVED &&
	       qemu_part_is(p, "user");
}

static bool has_user(const struct qemu_line *l)
{
	if (!l->has_net)
		return !l->nodefaults && !qemu_line_is_without_nic(l);
	for (unsigned int i = 0; i < l->n_parts; i++)
		if (is_user(&l->parts[i]))
			return true;
	return false;
}

bool qemu_moved_is_lost(const struct qemu_line *l, const struct qemu_part *p)
{
	return p->kind == QEMU_PART_MOVED && !has_user(l);
}

/* tcp:5022:10.0.2.15:22 as a hostfwd= rule. */
static int write_redir(const struct qemu_part *p, struct qemu_text *t, struct qemu_error *e)
{
	const char *host_port = strchr(p->value, ':');
	const char *guest = host_port ? strchr(host_port + 1, ':') : NULL;

	if (!guest || !strchr(guest + 1, ':'))
		return qemu_fail(e, p->at + 1, 0, strlen(p->value),
			"-redir is written [tcp|udp]:HOSTPORT:[GUEST]:PORT, as in tcp:5022::22");
	qemu_text_addf(t, "%.*s:%.*s-%s", (int)(host_port - p->value), p->value, (int)(guest - host_port),
		host_port, guest + 1);
	return t->bad ? -ENOMEM : 0;
}

/* "channel,4321:DEV": what stands behind the first comma. */
static int write_channel(const struct qemu_part *p, struct qemu_text *t, struct qemu_error *e)
{
	const char *rule = p->opts.n > 1 ? strchr(p->value, ',') : NULL;
	const char *dev = rule ? strchr(rule, ':') : NULL;

	if (!dev)
		return qemu_fail(e, p->at + 1, 0, strlen(p->value),
			"-net channel is written channel,PORT:DEV, as in channel,4321:unix:/tmp/s");
	qemu_text_addf(t, "tcp::%.*s-%s", (int)(dev - rule - 1), rule + 1, dev + 1);
	return t->bad ? -ENOMEM : 0;
}

static int write_value(const struct qemu_part *p, struct qemu_text *t, struct qemu_error *e)
{
	if (strcmp(p->name, "redir") == 0)
		return write_redir(p, t, e);
	if (strcmp(p->name, "net") == 0)
		return write_channel(p, t, e);
	qemu_text_add(t, p->value);
	return t->bad ? -ENOMEM : 0;
}

static int add(struct qemu_part *to, const struct qemu_part *p, const char *value, struct qemu_error *e)
{
	int r;

	if (to->at == 0 && !to->opts.n) {
		r = qemu_opts_add(&to->opts, "type", "user", 0, 0);
		if (r < 0)
			return r;
	}
	r = qemu_opts_add(&to->opts, moves[move_of(p)].key, value, p->at + 1, strlen(p->value));
	to->is_changed = true;
	return r == -E2BIG ? qemu_fail(e, p->at, 0, 0, "there are too many options") : r;
}

static int apply_one(struct qemu_line *l, const struct qemu_part *p, struct qemu_error *e)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};
	unsigned int move = move_of(p);
	int r = write_value(p, &t, e);

	if (r < 0 || qemu_moved_is_lost(l, p))
		return r;
	if (!l->has_net)
		return add(&l->implied, p, t.p ? t.p : "", e);
	for (unsigned int i = 0; i < l->n_parts && r == 0; i++) {
		struct qemu_part *to = &l->parts[i];

		const struct qemu_opt *own = qemu_opts_find(&to->opts, moves[move].key);

		if (!is_user(to) || (own && !own->arg && !moves[move].is_list))
			continue;
		r = add(to, p, t.p ? t.p : "", e);
		if (moves[move].is_list)
			break;
	}
	return r;
}

int qemu_moved_apply(struct qemu_line *l, struct qemu_error *e)
{
	int r = 0;

	for (unsigned int i = 0; i < l->n_parts && r == 0; i++)
		if (l->parts[i].kind == QEMU_PART_MOVED)
			r = apply_one(l, &l->parts[i], e);
	return r;
}
