/* SPDX-License-Identifier: BSD-2-Clause */
#include "qemu_lan.h"

#include <stdio.h>

#define BRIDGE_DEFAULT "br0" /* QEMU's */

bool qemu_lan_is(const struct qemu_part *p)
{
	return (p->kind == QEMU_PART_NET || p->kind == QEMU_PART_NETDEV || p->kind == QEMU_PART_NIC) &&
	       (qemu_part_is(p, "lan") || qemu_part_is(p, "bridge"));
}

int qemu_lan_imply(struct qemu_part *p)
{
	const struct qemu_opt *lan = qemu_opts_find(&p->opts, "lan");

	if (!lan || qemu_opts_find(&p->opts, "type") || p->kind == QEMU_PART_DEVICE)
		return 0;
	return qemu_opts_add(&p->opts, "type", "lan", 0, 0);
}

static bool is_among(const char *key, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(key, words[i]) == 0)
			return true;
	return false;
}

bool qemu_lan_owns(const char *key)
{
	static const char *const ours[] = {"lan", "br", "queues"};

	return is_among(key, ours, ARRAY_SIZE(ours));
}

/* What stays on the line, and is QEMU's to judge: of the back end, and of -nic's NIC. */
static bool is_use(const struct qemu_part *p, const char *key)
{
	static const char *const uses[] = {
		"type", "id", "name", "vlan", "sndbuf", "vhost", "vhostforce", "poll-us"};
	static const char *const of_nic[] = {"model", "mac", "macaddr", "addr", "vectors"};

	return is_among(key, uses, ARRAY_SIZE(uses)) ||
	       (p->kind == QEMU_PART_NIC && is_among(key, of_nic, ARRAY_SIZE(of_nic)));
}

static int read_bridge(const struct qemu_part *p, struct qemu_tap *ret, struct qemu_error *e)
{
	const struct qemu_opt *o = qemu_opts_find(&p->opts, ret->is_network ? "lan" : "br");

	if (!o && ret->is_network)
		return qemu_fail(e, p->at + 1, 0, 0, "a network is missing: lan=NETWORK, one that 'vmlan ls' lists");
	if (o && (!*o->value || strlen(o->value) >= sizeof(ret->bridge) || strchr(o->value, '/')))
		return qemu_fail(e, p->at + 1, o->at, o->n_bytes, "the name of %s has 1 to 15 bytes, and no /",
			ret->is_network ? "a network" : "a bridge");
	(void)snprintf(ret->bridge, sizeof(ret->bridge), "%s", o ? o->value : BRIDGE_DEFAULT);
	return 0;
}

int qemu_lan_parse(const struct qemu_part *p, bool may_vhost, struct qemu_tap *ret, struct qemu_error *e)
{
	_cleanup_(qemu_tap_done) struct qemu_tap t = {
		.vnet_hdr = true, .is_network = qemu_part_is(p, "lan"), .vhost = may_vhost};
	int r;

	for (unsigned int i = 0; i < p->opts.n; i++) {
		const struct qemu_opt *o = &p->opts.v[i];

		if (is_use(p, o->key) || (qemu_lan_owns(o->key) && (!t.is_network || strcmp(o->key, "br") != 0)))
			continue;
		/* A helper of the line's own, or for QEMU to refuse. */
		if (!t.is_network)
			return QEMU_TAP_LEFT;
		return qemu_fail(e, p->at + 1, p->is_json ? 0 : o->key_at,
			p->is_json ? o->n_bytes : o->at + o->n_bytes - o->key_at,
			"a place in a network has no %s=: there are lan, id, queues, vhost, sndbuf", o->key);
	}
	if (qemu_opts_find(&p->opts, "vhost") || qemu_opts_find(&p->opts, "vhostforce"))
		t.vhost = false;
	r = read_bridge(p, &t, e);
	if (r == 0)
		r = qemu_tap_read_queues(p, &t, e);
	if (r < 0)
		return r;
	*ret = t;
	t = (struct qemu_tap){0};
	return QEMU_TAP_MADE;
}
