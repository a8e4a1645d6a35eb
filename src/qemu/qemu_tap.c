/* SPDX-License-Identifier: BSD-2-Clause */
#include "qemu_tap.h"

#include <stdio.h>

#include "conf_text.h"

#define SCRIPT     "/etc/qemu-ifup"
#define DOWNSCRIPT "/etc/qemu-ifdown"

void qemu_tap_done(struct qemu_tap *t)
{
	free(t->script);
	free(t->downscript);
	free(t->name);
	free(t->fds);
	*t = (struct qemu_tap){0};
}

bool qemu_tap_owns(const char *key)
{
	static const char *const ours[] = {"ifname", "script", "downscript", "vnet_hdr", "queues"};

	for (unsigned int i = 0; i < ARRAY_SIZE(ours); i++)
		if (strcmp(ours[i], key) == 0)
			return true;
	return false;
}

/* What QEMU takes beside them: how the tap is used, not how it comes to be. */
static bool is_use(const char *key)
{
	static const char *const uses[] = {"type", "id", "name", "vlan", "model", "mac", "br", "sndbuf",
		"vhost", "vhostfd", "vhostforce", "poll-us"};

	for (unsigned int i = 0; i < ARRAY_SIZE(uses); i++)
		if (strcmp(uses[i], key) == 0)
			return true;
	return false;
}

static int fail_at(const struct qemu_part *p, const struct qemu_opt *o, struct qemu_error *e, const char *why)
{
	bool is_whole = p->is_json;

	return qemu_fail(e, p->at + 1, is_whole ? 0 : o->key_at,
		is_whole ? o->n_bytes : o->at + o->n_bytes - o->key_at, "%s", why);
}

/* net_init_tap() of QEMU has these rules. */
static int check_exclusions(const struct qemu_part *p, struct qemu_error *e)
{
	static const struct {
		const char *key, *excludes[9];
	} rules[] = {
		{"fd", {"ifname", "script", "downscript", "vnet_hdr", "helper", "queues", "fds", "vhostfds"}},
		{"fds", {"ifname", "script", "downscript", "vnet_hdr", "helper", "queues", "vhostfd"}},
		{"helper", {"ifname", "script", "downscript", "vnet_hdr", "queues", "vhostfds"}},
	};
	const struct qemu_opt *o;
	char why[80];

	for (unsigned int i = 0; i < ARRAY_SIZE(rules); i++) {
		if (!qemu_opts_find(&p->opts, rules[i].key))
			continue;
		for (unsigned int k = 0; rules[i].excludes[k]; k++) {
			o = qemu_opts_find(&p->opts, rules[i].excludes[k]);
			if (!o)
				continue;
			(void)snprintf(
				why, sizeof(why), "%s= has no meaning beside %s=", o->key, rules[i].key);
			return fail_at(p, o, e, why);
		}
		return 0;
	}
	o = qemu_opts_find(&p->opts, "vhostfds");
	return o ? fail_at(p, o, e, "vhostfds= needs fds=") : 0;
}

/* "no" and nothing mean no script. */
static int read_script(const struct qemu_part *p, const char *key, const char *otherwise, char **ret)
{
	const char *value = qemu_opts_value(&p->opts, key);

	if (!value)
		value = otherwise;
	if (!*value || strcmp(value, "no") == 0)
		return 0;
	*ret = strdup(value);
	return *ret ? 0 : -ENOMEM;
}

int qemu_tap_read_queues(const struct qemu_part *p, struct qemu_tap *ret, struct qemu_error *e)
{
	const struct qemu_opt *o = qemu_opts_find(&p->opts, "queues");
	uint64_t n = 1;

	if (o && !conf_number(o->value, strlen(o->value), 0, 1, QEMU_TAP_QUEUES_MAX, &n))
		return fail_at(p, o, e, "queues= is a number from 1 to " STR(QEMU_TAP_QUEUES_MAX));
	ret->n_queues = (unsigned int)n;
	ret->fds = calloc(ret->n_queues, sizeof(*ret->fds));
	for (unsigned int i = 0; ret->fds && i < ret->n_queues; i++)
		ret->fds[i] = -1;
	return ret->fds ? 0 : -ENOMEM;
}

static int read_words(const struct qemu_part *p, struct qemu_tap *ret, struct qemu_error *e)
{
	const struct qemu_opt *o = qemu_opts_find(&p->opts, "vnet_hdr");

	/* QEMU takes the header where it can, unless told; told to, it insists. */
	ret->vnet_hdr = true;
	if (o && !qemu_bool_parse(o->value, &ret->vnet_hdr))
		return fail_at(p, o, e, "vnet_hdr is on or off");
	ret->vnet_hdr_required = o && ret->vnet_hdr;
	o = qemu_opts_find(&p->opts, "ifname");
	if (o && strlen(o->value) >= sizeof(ret->ifname))
		return fail_at(p, o, e, "the name of an interface has at most 15 bytes");
	if (o && (strpbrk(o->value, "/: \t\n") || strcmp(o->value, ".") == 0 || strcmp(o->value, "..") == 0))
		return fail_at(p, o, e, "the name of an interface has no blank, '/' or ':'");
	if (o)
		(void)snprintf(ret->ifname, sizeof(ret->ifname), "%s", o->value);
	return 0;
}

bool qemu_tap_is_multiqueue(const struct qemu_part *p)
{
	const char *queues = qemu_opts_value(&p->opts, "queues");

	return qemu_opts_find(&p->opts, "fds") || (queues && strcmp(queues, "1") != 0);
}

int qemu_tap_parse(const struct qemu_part *p, struct qemu_tap *ret, struct qemu_error *e)
{
	_cleanup_(qemu_tap_done) struct qemu_tap t = {0};
	int r = check_exclusions(p, e);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < p->opts.n; i++)
		if (!qemu_tap_owns(p->opts.v[i].key) && !is_use(p->opts.v[i].key))
			return QEMU_TAP_LEFT;
	r = read_words(p, &t, e);
	if (r == 0)
		r = qemu_tap_read_queues(p, &t, e);
	if (r == 0)
		r = read_script(p, "script", SCRIPT, &t.script);
	if (r == 0)
		r = read_script(p, "downscript", DOWNSCRIPT, &t.downscript);
	if (r < 0)
		return r;
	*ret = t;
	t = (struct qemu_tap){0};
	return QEMU_TAP_MADE;
}
