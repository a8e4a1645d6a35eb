/* SPDX-License-Identifier: BSD-2-Clause */
/* The step that makes the host forward packets, which several networks share.
 *
 * net.ipv4.ip_forward and net.ipv6.conf.all.forwarding are not touched where that can be avoided: writing
 * them changes settings of every interface, and writing them back does not restore those. Instead each
 * interface's own `forwarding` is set, and `default`, from which later interfaces get theirs. This also keeps
 * our wish apart from others': once somebody sets the global one (Docker does), forwarding is theirs, and
 * stays when we go. IPv6 has a switch of an interface's own, force_forwarding, since Linux 6.17; before that
 * the global one is all there is, and every interface's value is put back after it.
 *
 * An interface that begins to forward IPv6, our bridge among them, makes the kernel forget the default routes
 * that it has from router advertisements, on every interface with accept_ra=1. It spares those with
 * accept_ra=2, and they go on learning. So that is set first.
 *
 * All values found are in one file, with the networks that want them, written before any is changed. The last
 * network to leave restores them, each only if it is still as we set it. */
#include <assert.h>
#include <stdio.h>

#include "step.h"
#include "store.h"

#define LEDGER NETWORK_RUN_DIR "/forwarding.json"
#define ALL4   "net/ipv4/ip_forward"
#define ALL6   "net/ipv6/conf/all/forwarding"
#define FORCE6 "net/ipv6/conf/default/force_forwarding"

/* A value that we do not change, but whose restoring is not the kernel's doing: an interface that forwarded
 * IPv6 before all of them did. When the global switch goes back it has to be put back after it. */
#define KEPT 2

struct ledger {
	json_t *users;  /* array of names */
	json_t *values; /* object: path -> [found, set(, true)], in the order of setting; true: see KEPT */
	json_t *known;  /* array of the interfaces that were there before `default` was ours */
	struct host_identity identity;
};

static void ledger_done(struct ledger *l)
{
	json_decref(l->users);
	json_decref(l->values);
	json_decref(l->known);
}

/* A part of an object, or else a fresh one. */
static json_t *take_or(const json_t *o, const char *key, json_t *fresh)
{
	json_t *found = json_object_get(o, key);

	if (!found || json_typeof(found) != (fresh ? json_typeof(fresh) : JSON_NULL))
		return fresh;
	json_decref(fresh);
	return json_incref(found);
}

/* Leaves r alone, and says what failed, unless something has said it before. */
static int ledger_failed(struct step_ctx *c, int r)
{
	if (r == -EPROTONOSUPPORT)
		return step_failed(
			c, r, "a later version of vmlan keeps the list of forwarding's settings, %s", LEDGER);
	return c->why[0] ? r : step_failed(c, r, "cannot keep the list of forwarding's settings");
}

static int ledger_load(struct host *h, struct ledger *ret)
{
	json_t *o = NULL;
	int r = h->ops->identity(h, &ret->identity);

	if (r == 0)
		r = store_read_object(h, LEDGER, &ret->identity, &o);
	if (r == -ENOENT || r == -ESTALE) /* a reboot undid it all */
		r = 0;
	if (r < 0)
		return r;
	ret->users = take_or(o, "users", json_array());
	ret->values = take_or(o, "values", json_object());
	ret->known = take_or(o, "known", json_array());
	json_decref(o);
	return ret->users && ret->values && ret->known ? 0 : -ENOMEM;
}

static int ledger_save(struct host *h, const struct ledger *l)
{
	json_t *o = json_pack("{sOsOsO}", "users", l->users, "values", l->values, "known", l->known);
	int r = o ? store_write_object(h, LEDGER, o, &l->identity) : -ENOMEM;

	json_decref(o);
	return r;
}

static size_t find_name(const json_t *names, const char *name)
{
	const json_t *n;
	size_t i;

	json_array_foreach(names, i, n)
	{
		if (json_is_string(n) && strcmp(json_string_value(n), name) == 0)
			return i;
	}
	return SIZE_MAX;
}

static int know_interfaces(struct host *h, struct ledger *l)
{
	_cleanup_free_ struct host_link *links = NULL;
	unsigned int n = 0;
	int r = json_array_size(l->users) > 0 || json_object_size(l->values) > 0
			? 0
			: h->ops->link_list(h, &links, &n);

	for (unsigned int i = 0; r == 0 && i < n; i++)
		r = json_array_append_new(l->known, json_string(links[i].name)) < 0 ? -ENOMEM : 0;
	return r;
}

/* 1, 0 (also if there is no such sysctl) or -errno. */
static int is_set(struct host *h, const char *path, const char *value)
{
	char now[HOST_SYSCTL_BYTES];
	int r = h->ops->sysctl_get(h, path, now);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return strcmp(now, value) == 0;
}

/* Takes a sysctl into the list if it is `from` now. 1: it was not in it; 0; or -errno. */
static int want(struct host *h, struct ledger *l, const char *path, const char *from, const char *to)
{
	int r = json_object_get(l->values, path) ? 0 : is_set(h, path, from);

	if (r <= 0)
		return r;
	return json_object_set_new(l->values, path, json_pack("[ss]", from, to)) < 0 ? -ENOMEM : 1;
}

/* One of each interface's own, and of those to come. */
static int want_each(struct host *h, struct ledger *l, const char *family, const char *what, const char *from,
	const char *to)
{
	_cleanup_free_ struct host_link *links = NULL;
	unsigned int n = 0, n_new = 0;
	char path[HOST_PATH_BYTES];
	int r = h->ops->link_list(h, &links, &n);

	for (unsigned int i = 0; r >= 0 && i <= n; i++) {
		if (i < n && links[i].loopback)
			continue;
		(void)snprintf(path, sizeof(path), "net/%s/conf/%s/%s", family,
			i < n ? links[i].name : "default", what);
		r = want(h, l, path, from, to);
		n_new += r > 0;
	}
	return r < 0 ? r : (int)n_new;
}

/* The global switch, and each interface's value that it changes. */
static int want_global6(struct host *h, struct ledger *l)
{
	_cleanup_free_ struct host_link *links = NULL;
	unsigned int n = 0;
	char path[HOST_PATH_BYTES];
	int r = h->ops->link_list(h, &links, &n), n_new;

	for (unsigned int i = 0; r == 0 && i < n; i++) {
		(void)snprintf(path, sizeof(path), "net/ipv6/conf/%s/forwarding", links[i].name);
		if (links[i].loopback || json_object_get(l->values, path))
			continue;
		r = is_set(h, path, "1");
		if (r > 0)
			r = json_object_set_new(l->values, path, json_pack("[ssb]", "1", "0", 1)) < 0
				    ? -ENOMEM
				    : 0;
	}
	n_new = r < 0 ? r : want(h, l, ALL6, "0", "1");
	r = n_new < 0 ? n_new : want_each(h, l, "ipv6", "forwarding", "0", "1");
	return r < 0 ? r : n_new + r;
}

/* What has to be set for forwarding, as the host is now. > 0: the list has grown. */
static int want_all(struct host *h, struct ledger *l, bool ipv6)
{
	char value[HOST_SYSCTL_BYTES];
	int is4 = is_set(h, ALL4, "1"), is6 = ipv6 ? is_set(h, ALL6, "1") : 1, r = MIN(is4, is6), n = 0;

	if (r < 0)
		return r;
	if (!is4)
		r = n = want_each(h, l, "ipv4", "forwarding", "0", "1");
	if (r < 0 || is6)
		return r < 0 ? r : n;
	r = want_each(h, l, "ipv6", "accept_ra", "1", "2");
	if (r < 0)
		return r;
	n += r;
	r = h->ops->sysctl_get(h, FORCE6, value);
	if (r == 0)
		r = want_each(h, l, "ipv6", "force_forwarding", "0", "1");
	else if (r == -ENOENT)
		r = want_global6(h, l);
	return r < 0 ? r : n + r;
}

static bool is_kept(const json_t *pair)
{
	return json_is_true(json_array_get(pair, KEPT));
}

/* Sets what is as was found to what we want. An interface that has gone is no error. */
static int set_one(struct step_ctx *c, const char *path, const json_t *pair, bool back)
{
	const char *from = json_string_value(json_array_get(pair, back));
	const char *to = json_string_value(json_array_get(pair, !back));
	int r = from && to ? is_set(c->host, path, from) : 0;

	if (r > 0)
		r = c->host->ops->sysctl_set(c->host, path, to);
	r = r == -ENOENT ? 0 : r;
	return step_failed(c, r, "cannot set %s to %s", path, to);
}

static int set_all(struct step_ctx *c, const struct ledger *l)
{
	const char *path;
	json_t *pair;
	int r = 0;

	json_object_foreach(l->values, path, pair)
	{
		if (r == 0 && !is_kept(pair))
			r = set_one(c, path, pair, false);
	}
	return r;
}

/* Backwards: an interface must not begin or cease to forward while its accept_ra is 1 again. */
static int restore_all(struct step_ctx *c, const struct ledger *l)
{
	size_t n = json_object_size(l->values), i = 0;
	_cleanup_free_ const char **paths = calloc(n + 1, sizeof(*paths));
	const char *path;
	json_t *pair;
	int r = paths ? 0 : -ENOMEM;

	json_object_foreach(l->values, path, pair)
	{
		if (paths)
			paths[i++] = path;
	}
	while (r == 0 && i-- > 0)
		r = set_one(c, paths[i], json_object_get(l->values, paths[i]), true);
	return r;
}

static bool wants_ipv6(const struct step *s)
{
	return step_number(s, "ipv6");
}

static void describe(const struct step *s, char ret[STEP_TEXT_BYTES])
{
	(void)snprintf(ret, STEP_TEXT_BYTES, "forwarding of %s, on each interface",
		wants_ipv6(s) ? "IPv4 and IPv6" : "IPv4");
}

static int apply(struct step_ctx *c, struct step *s)
{
	_cleanup_(ledger_done) struct ledger l = {0};
	int r = ledger_load(c->host, &l);
	bool grown = false;

	if (r == 0)
		r = know_interfaces(c->host, &l);
	if (r == 0) {
		r = want_all(c->host, &l, wants_ipv6(s));
		grown = r > 0;
	}
	if (r >= 0 && find_name(l.users, c->network) == SIZE_MAX) {
		r = json_array_append_new(l.users, json_string(c->network)) < 0 ? -ENOMEM : 0;
		grown = true;
	}
	if (r >= 0 && grown)
		r = ledger_save(c->host, &l);
	if (r >= 0)
		r = set_all(c, &l);
	return ledger_failed(c, MIN(r, 0));
}

static int check(struct step_ctx *c, const struct step *s)
{
	_cleanup_(ledger_done) struct ledger l = {0};
	int r = ledger_load(c->host, &l);
	const char *path;
	json_t *pair;

	if (r == 0)
		r = want_all(c->host, &l, wants_ipv6(s));
	if (r < 0)
		return r;
	if (r > 0 || find_name(l.users, c->network) == SIZE_MAX) {
		(void)snprintf(c->why, sizeof(c->why), "not all interfaces forward");
		return STEP_MISSING;
	}
	json_object_foreach(l.values, path, pair)
	{
		bool is4 = strncmp(path, "net/ipv4/", 9) == 0;
		const char *from = json_string_value(json_array_get(pair, 0));

		r = from && !is_kept(pair) ? is_set(c->host, path, from) : 0;
		if (r > 0)
			r = !is_set(c->host, is4 ? ALL4 : ALL6, "1");
		if (r < 0)
			return r;
		if (r > 0) {
			(void)snprintf(c->why, sizeof(c->why), "%s is %s", path, from);
			return STEP_CHANGED;
		}
	}
	return STEP_OK;
}

/* Interfaces that came while `default` was ours have their value from it. */
static int want_newcomers(struct host *h, struct ledger *l)
{
	static const char *const inherited[][2] = {{"ipv4", "forwarding"}, {"ipv6", "accept_ra"},
		{"ipv6", "force_forwarding"}, {"ipv6", "forwarding"}};
	_cleanup_free_ struct host_link *links = NULL;
	unsigned int n = 0;
	char path[HOST_PATH_BYTES];
	int r = h->ops->link_list(h, &links, &n);

	for (unsigned int k = 0; r == 0 && k < ARRAY_SIZE(inherited); k++) {
		json_t *pair;

		(void)snprintf(
			path, sizeof(path), "net/%s/conf/default/%s", inherited[k][0], inherited[k][1]);
		pair = json_object_get(l->values, path);
		for (unsigned int i = 0; pair && i < n; i++) {
			(void)snprintf(path, sizeof(path), "net/%s/conf/%s/%s", inherited[k][0],
				links[i].name, inherited[k][1]);
			if (!links[i].loopback && find_name(l->known, links[i].name) == SIZE_MAX &&
				!json_object_get(l->values, path) &&
				json_object_set(l->values, path, pair) < 0)
				r = -ENOMEM;
		}
	}
	return r;
}

/* The list stays on disk, without users, until every value is back. */
static int undo(struct step_ctx *c, const struct step *s)
{
	_cleanup_(ledger_done) struct ledger l = {0};
	int r = ledger_load(c->host, &l);
	size_t user = r < 0 ? SIZE_MAX : find_name(l.users, c->network);
	int theirs4, theirs6;
	const char *path;
	json_t *pair;
	void *next;

	if (user != SIZE_MAX)
		r = json_array_remove(l.users, user) < 0 ? -ENOMEM : ledger_save(c->host, &l);
	if (r < 0 || json_array_size(l.users) > 0)
		return ledger_failed(c, r);
	theirs4 = is_set(c->host, ALL4, "1");
	theirs6 = json_object_get(l.values, ALL6) ? 0 : is_set(c->host, ALL6, "1");
	if (theirs4 < 0 || theirs6 < 0)
		return step_failed(c, MIN(theirs4, theirs6), "cannot see whether the host forwards");
	json_object_foreach_safe(l.values, next, path, pair)
	{
		if (strncmp(path, "net/ipv4/", 9) == 0 ? theirs4 : theirs6)
			(void)json_object_del(l.values, path);
	}
	r = want_newcomers(c->host, &l);
	if (r == 0)
		r = restore_all(c, &l);
	if (r == 0)
		r = c->host->ops->file_del(c->host, LEDGER);
	return step_failed(c, r == -ENOENT ? 0 : r, "%s", c->why[0] ? c->why : "cannot restore forwarding");
}

const struct step_kind step_forwarding = {
	.name = "forwarding",
	.describe = describe,
	.apply = apply,
	.check = check,
	.undo = undo,
};
