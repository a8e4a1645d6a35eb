/* SPDX-License-Identifier: BSD-2-Clause */
/* Steps about interfaces: a bridge, its addresses, its settings.
 *
 * A bridge is ours if its MAC is the one that the plan gave it and its alias is our mark, or is still empty:
 * the MAC goes with the message that makes it, the alias a moment later. What belongs to a bridge of ours
 * (addresses, its own sysctls) goes with it, and is not undone by itself. */
#include <arpa/inet.h>
#include <stdio.h>

#include "step.h"

static void mac_of(const struct step *s, uint8_t ret[6])
{
	unsigned int b[6] = {0};

	(void)sscanf(
		step_text(s, "mac"), "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]);
	for (unsigned int i = 0; i < 6; i++)
		ret[i] = (uint8_t)b[i];
}

static bool is_ours(const struct step_ctx *c, const struct step *s, const struct host_link *l)
{
	uint8_t mac[6];

	mac_of(s, mac);
	return strcmp(l->kind, "bridge") == 0 && memcmp(l->mac, mac, sizeof(mac)) == 0 &&
	       (!l->alias[0] || strcmp(l->alias, c->mark) == 0);
}

/* The bridge, under whatever name it has now. 0, -ENODEV, or -EEXIST: its name is another's. */
static int find_bridge(struct step_ctx *c, const struct step *s, struct host_link *ret)
{
	const char *name = step_text(s, "name");
	_cleanup_free_ struct host_link *all = NULL;
	unsigned int n = 0;
	bool taken;
	int r = c->host->ops->link_find(c->host, name, ret);

	if (r < 0 && r != -ENODEV)
		return r;
	if (r == 0 && is_ours(c, s, ret))
		return 0;
	taken = r == 0;
	r = c->host->ops->link_list(c->host, &all, &n);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < n; i++)
		if (is_ours(c, s, &all[i]) && strcmp(all[i].alias, c->mark) == 0) {
			*ret = all[i];
			return 0;
		}
	return taken ? -EEXIST : -ENODEV;
}

static void describe_bridge(const struct step *s, char ret[STEP_TEXT_BYTES])
{
	(void)snprintf(ret, STEP_TEXT_BYTES, "bridge %s, MAC %s, MTU %d%s", step_text(s, "name"),
		step_text(s, "mac"), step_number(s, "mtu"), step_number(s, "stp") ? ", STP" : "");
}

static int apply_bridge(struct step_ctx *c, struct step *s)
{
	struct host_bridge b = {.mtu = (uint32_t)step_number(s, "mtu"), .stp = step_number(s, "stp")};
	struct host *h = c->host;
	struct host_link l;
	int r = find_bridge(c, s, &l);

	(void)snprintf(b.name, sizeof(b.name), "%s", step_text(s, "name"));
	mac_of(s, b.mac);
	if (r == 0 && !l.alias[0] && l.mtu != b.mtu) { /* a crash left it half made */
		r = h->ops->link_del(h, l.index);
		r = r == 0 ? -ENODEV : r;
	}
	if (r == -ENODEV) {
		r = h->ops->bridge_add(h, &b);
		if (r == 0)
			r = h->ops->link_find(h, b.name, &l);
	}
	if (r == -EEXIST)
		return step_failed(c, r, "there is an interface %s that is not ours", b.name);
	if (r == 0 && !l.alias[0])
		r = h->ops->link_set_alias(h, l.index, c->mark);
	return step_failed(c, r, "cannot make the bridge %s", b.name);
}

static int check_bridge(struct step_ctx *c, const struct step *s)
{
	struct host_link l;
	int r = find_bridge(c, s, &l);

	(void)step_failed(c, r == -ENODEV ? r : 0, "there is no bridge %s", step_text(s, "name"));
	(void)step_failed(c, r == -EEXIST ? r : 0, "the interface %s is another's", step_text(s, "name"));
	if (r == -ENODEV)
		return STEP_MISSING;
	if (r == -EEXIST)
		return STEP_CHANGED;
	if (r < 0)
		return r;
	if (strcmp(l.name, step_text(s, "name")) != 0) {
		(void)snprintf(c->why, sizeof(c->why), "it is called %s now", l.name);
		return STEP_CHANGED;
	}
	return l.alias[0] ? STEP_OK : STEP_MISSING;
}

static int undo_bridge(struct step_ctx *c, const struct step *s)
{
	struct host_link l;
	int r = find_bridge(c, s, &l);

	if (r == -ENODEV || r == -EEXIST)
		return 0;
	if (r == 0)
		r = c->host->ops->link_del(c->host, l.index);
	return step_failed(c, r == -ENODEV ? 0 : r, "cannot remove the bridge %s", step_text(s, "name"));
}

const struct step_kind step_bridge = {
	.name = "bridge",
	.describe = describe_bridge,
	.apply = apply_bridge,
	.check = check_bridge,
	.undo = undo_bridge,
};

/* An interface that has to bear our mark. */
static int find_marked(struct step_ctx *c, const char *name, struct host_link *ret)
{
	int r = c->host->ops->link_find(c->host, name, ret);

	if (r == 0 && strcmp(ret->alias, c->mark) != 0)
		r = -ENODEV;
	return r;
}

static void describe_link_up(const struct step *s, char ret[STEP_TEXT_BYTES])
{
	(void)snprintf(ret, STEP_TEXT_BYTES, "interface %s up", step_text(s, "dev"));
}

static int apply_link_up(struct step_ctx *c, struct step *s)
{
	struct host_link l;
	int r = find_marked(c, step_text(s, "dev"), &l);

	if (r == 0 && !l.up)
		r = c->host->ops->link_set_up(c->host, l.index, true);
	return step_failed(c, r, "cannot bring %s up", step_text(s, "dev"));
}

static int check_link_up(struct step_ctx *c, const struct step *s)
{
	struct host_link l;
	int r = find_marked(c, step_text(s, "dev"), &l);

	if (r == 0 && l.up)
		return STEP_OK;
	(void)snprintf(
		c->why, sizeof(c->why), "%s is %s", step_text(s, "dev"), r == 0 ? "down" : "not there");
	return r == 0 || r == -ENODEV ? STEP_MISSING : r;
}

/* Nothing to remember of an interface of ours, with which it goes. */
static int probe_link_up(struct step_ctx *c, struct step *s)
{
	struct host_link l;
	int r;

	if (!step_number(s, "adopted"))
		return 0;
	r = c->host->ops->link_find(c->host, step_text(s, "dev"), &l);
	if (r < 0)
		return step_failed(c, r, "there is no %s", step_text(s, "dev"));
	s->before = json_pack("{sb}", "up", l.up);
	return s->before ? 0 : -ENOMEM;
}

static int undo_link_up(struct step_ctx *c, const struct step *s)
{
	struct host_link l;
	int r;

	if (!json_is_false(json_object_get(s->before, "up")))
		return 0;
	r = find_marked(c, step_text(s, "dev"), &l);
	if (r == 0 && l.up)
		r = c->host->ops->link_set_up(c->host, l.index, false);
	return step_failed(c, r == -ENODEV ? 0 : r, "cannot bring %s down", step_text(s, "dev"));
}

const struct step_kind step_link_up = {
	.name = "link-up",
	.describe = describe_link_up,
	.probe = probe_link_up,
	.apply = apply_link_up,
	.check = check_link_up,
	.undo = undo_link_up,
};

static void describe_address(const struct step *s, char ret[STEP_TEXT_BYTES])
{
	(void)snprintf(ret, STEP_TEXT_BYTES, "address %s/%d on %s", step_text(s, "addr"),
		step_number(s, "prefix"), step_text(s, "dev"));
}

static bool addr_of(const struct step *s, struct host_addr *ret)
{
	const char *text = step_text(s, "addr");

	*ret = (struct host_addr){.family = strchr(text, ':') ? AF_INET6 : AF_INET,
		.prefix = (uint8_t)step_number(s, "prefix"),
		.nodad = strchr(text, ':')};
	return inet_pton(ret->family, text, ret->addr) == 1;
}

/* 1: the interface has it; 0; or -errno. */
static int has_address(struct step_ctx *c, unsigned int ifindex, const struct host_addr *a)
{
	_cleanup_free_ struct host_addr *all = NULL;
	unsigned int n = 0;
	int r = c->host->ops->addr_list(c->host, &all, &n);

	for (unsigned int i = 0; r == 0 && i < n; i++)
		if (all[i].ifindex == ifindex && all[i].family == a->family && all[i].prefix == a->prefix &&
			memcmp(all[i].addr, a->addr, sizeof(a->addr)) == 0)
			return 1;
	return r;
}

/* The same as with probe_link_up(). */
static int probe_address(struct step_ctx *c, struct step *s)
{
	struct host_addr a;
	struct host_link l;
	int r;

	if (!step_number(s, "adopted"))
		return 0;
	r = addr_of(s, &a) ? c->host->ops->link_find(c->host, step_text(s, "dev"), &l) : -EINVAL;
	if (r == 0)
		r = has_address(c, l.index, &a);
	if (r < 0)
		return step_failed(c, r, "cannot see the addresses of %s", step_text(s, "dev"));
	s->before = json_pack("{sb}", "there", r);
	return s->before ? 0 : -ENOMEM;
}

static int undo_address(struct step_ctx *c, const struct step *s)
{
	struct host_addr a;
	struct host_link l;
	int r;

	if (!json_is_false(json_object_get(s->before, "there")))
		return 0;
	r = addr_of(s, &a) ? find_marked(c, step_text(s, "dev"), &l) : -EINVAL;
	if (r == 0) {
		a.ifindex = l.index;
		r = has_address(c, l.index, &a);
	}
	if (r > 0)
		r = c->host->ops->addr_del(c->host, &a);
	return step_failed(c, r == -ENODEV || r == -EADDRNOTAVAIL ? 0 : r,
		"cannot take the address %s from %s", step_text(s, "addr"), step_text(s, "dev"));
}

static int apply_address(struct step_ctx *c, struct step *s)
{
	struct host_addr a;
	struct host_link l;
	int r = addr_of(s, &a) ? find_marked(c, step_text(s, "dev"), &l) : -EINVAL;

	if (r == 0) {
		a.ifindex = l.index;
		r = c->host->ops->addr_add(c->host, &a);
	}
	return step_failed(c, r == -EEXIST ? 0 : r, "cannot give %s the address %s", step_text(s, "dev"),
		step_text(s, "addr"));
}

static int check_address(struct step_ctx *c, const struct step *s)
{
	struct host_addr a;
	struct host_link l;
	int r = addr_of(s, &a) ? find_marked(c, step_text(s, "dev"), &l) : -EINVAL;

	if (r == 0)
		r = has_address(c, l.index, &a);
	if (r > 0)
		return STEP_OK;
	(void)snprintf(
		c->why, sizeof(c->why), "%s has no address %s", step_text(s, "dev"), step_text(s, "addr"));
	return r == 0 || r == -ENODEV ? STEP_MISSING : r;
}

const struct step_kind step_address = {
	.name = "address",
	.describe = describe_address,
	.probe = probe_address,
	.apply = apply_address,
	.check = check_address,
	.undo = undo_address,
};

static void describe_sysctl(const struct step *s, char ret[STEP_TEXT_BYTES])
{
	(void)snprintf(ret, STEP_TEXT_BYTES, "%s = %s", step_text(s, "path"), step_text(s, "value"));
}

/* One of an interface of ours goes with it; another's value is remembered. */
static int probe_sysctl(struct step_ctx *c, struct step *s)
{
	char value[HOST_SYSCTL_BYTES];
	int r;

	if (step_text(s, "dev")[0])
		return 0;
	r = c->host->ops->sysctl_get(c->host, step_text(s, "path"), value);
	if (r < 0)
		return step_failed(c, r, "cannot read %s", step_text(s, "path"));
	s->before = json_pack("{ss}", "value", value);
	return s->before ? 0 : -ENOMEM;
}

static int check_sysctl(struct step_ctx *c, const struct step *s)
{
	char value[HOST_SYSCTL_BYTES];
	int r = c->host->ops->sysctl_get(c->host, step_text(s, "path"), value);

	if (r == 0 && strcmp(value, step_text(s, "value")) == 0)
		return STEP_OK;
	if (r == 0)
		(void)snprintf(c->why, sizeof(c->why), "it is %s", value);
	return r == 0 ? STEP_CHANGED : r == -ENOENT ? STEP_MISSING : r;
}

/* Never written without need: some have effects although the value stays the same. */
static int apply_sysctl(struct step_ctx *c, struct step *s)
{
	int r = check_sysctl(c, s);

	if (r == STEP_OK)
		return 0;
	r = c->host->ops->sysctl_set(c->host, step_text(s, "path"), step_text(s, "value"));
	return step_failed(c, r, "cannot set %s", step_text(s, "path"));
}

static int undo_sysctl(struct step_ctx *c, const struct step *s)
{
	const char *before = json_string_value(json_object_get(s->before, "value"));
	int r = before ? check_sysctl(c, s) : (int)STEP_MISSING;

	if (r > 0 || (r == STEP_OK && strcmp(before, step_text(s, "value")) == 0))
		return 0;
	if (r == STEP_OK)
		r = c->host->ops->sysctl_set(c->host, step_text(s, "path"), before);
	return step_failed(c, r, "cannot set %s back to %s", step_text(s, "path"), before);
}

const struct step_kind step_sysctl = {
	.name = "sysctl",
	.describe = describe_sysctl,
	.probe = probe_sysctl,
	.apply = apply_sysctl,
	.check = check_sysctl,
	.undo = undo_sysctl,
};
