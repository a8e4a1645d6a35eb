/* SPDX-License-Identifier: BSD-2-Clause */
/* Up and down.
 *
 * Everything that changes a network holds one lock for as long as it takes, so that two of them meet in one
 * order or the other, and the choice of a free subnet holds until it is on record.
 *
 *   up, of a network that is not on record: plan; look up what will have to be put back; record all that, as
 *     "rising"; do the steps; record "up". If a step fails, undo all of them.
 *   up, of one that is: check each step, do again what is not in order ("rising" is what a crash left: the
 * same). down: record "falling"; undo the steps from the last to the first; remove the record.
 *
 * After a crash the record says "rising" or "falling", and either way the next up or down goes on from there:
 * an up finishes a down before it begins anew. A record of an earlier boot is of things that are gone. */
#include <stdio.h>
#include <strings.h>

#include "plan.h"
#include "store.h"

static struct step_ctx ctx_of(struct host *h, const struct network *n)
{
	return (struct step_ctx){.host = h, .network = n->conf.name, .mark = n->mark};
}

/* What a step said, and why: in the host's words, or else what the number means. */
static int step_error(struct network_error *e, const struct step_ctx *c, int r)
{
	const char *why = c->host->error[0] ? c->host->error : strerror(-r);

	return plan_fail(e, r, NULL, "%.180s%s%.300s", c->why, c->why[0] ? ": " : "", why);
}

static void lock_release_p(struct host **h)
{
	(*h)->ops->lock_release(*h);
}

static int lock(struct host *h, struct network_error *e)
{
	int r = h->ops->lock_take(h, STORE_LOCK, true);

	if (r == -EACCES || r == -EPERM)
		return plan_fail(e, r, NULL, "networks on the kernel's side need root");
	return r < 0 ? plan_fail(e, r, NULL, "cannot lock %s: %s", STORE_LOCK, strerror(-r)) : 0;
}

static int load(struct host *h, const char *name, struct network *ret, struct network_error *e)
{
	int r = store_load(h, name, ret);

	switch (r) {
	case 0:
	case -ENOENT:
	case -ESTALE:
		return r;
	case -EXDEV:
		return plan_fail(e, r, NULL, "%s is up in another network namespace", name);
	case -EPROTO:
		return plan_fail(e, r, NULL, "the record of %s in %s is damaged", name, NETWORK_RUN_DIR);
	case -EPROTONOSUPPORT:
		(void)snprintf(e->mend, sizeof(e->mend),
			"use that version, which vmlan version tells; with it: vmlan down %s", name);
		return plan_fail(e, r, NULL, "%s was set up by a later version of vmlan than this one, %s",
			name, VMLAN_VERSION);
	default:
		return plan_fail(e, r, NULL, "cannot read the record of %s: %s", name, strerror(-r));
	}
}

static int save(struct host *h, struct network *n, enum network_phase phase, struct network_error *e)
{
	int r;

	n->phase = phase;
	r = store_save(h, n);
	return r < 0 ? plan_fail(e, r, NULL, "cannot write the record of %s: %s", n->conf.name, strerror(-r))
		     : 0;
}

/* All of them, whatever goes wrong with one; the first error. */
static int undo_steps(struct host *h, struct network *n, struct network_error *e)
{
	int first = 0;

	for (unsigned int i = n->n_steps; i-- > 0;) {
		struct step_ctx c = ctx_of(h, n);
		int r;

		h->error[0] = '\0';
		r = n->steps[i].kind->undo(&c, &n->steps[i]);
		if (r < 0 && first == 0)
			first = step_error(e, &c, r);
	}
	return first;
}

/* An entry of the kernel's would lead an open connection to the guest's address for days, whoever has it
 * then. */
static int end_connections(struct host *h, const struct net_forward *f)
{
	struct host_dnat d = {.proto = f->proto,
		.family = f->guest.family,
		.port = f->host_port,
		.to_port = f->guest_port,
		.n_ports = f->n_ports};

	memcpy(d.to, &f->guest.in6, f->guest.family == AF_INET ? 4 : 16);
	return h->ops->dnat_end(h, &d);
}

static int remove_all(struct host *h, struct network *n, struct network_error *e)
{
	int r = save(h, n, NETWORK_FALLING, e);

	if (r == 0)
		r = undo_steps(h, n, e);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < n->conf.n_forwards; i++)
		(void)end_connections(h, &n->conf.forwards[i]); /* or they end by themselves, later */
	r = store_remove(h, n->conf.name);
	return r < 0 ? plan_fail(e, r, NULL, "cannot remove the record of %s: %s", n->conf.name, strerror(-r))
		     : 0;
}

/* all: without looking whether it is in order already. ret_changed: whether the record has to be written. */
static int do_steps(struct host *h, struct network *n, bool all, struct network_error *e)
{
	for (unsigned int i = 0; i < n->n_steps; i++) {
		struct step *s = &n->steps[i];
		struct step_ctx c = ctx_of(h, n);
		int r;

		h->error[0] = '\0';
		r = all ? (int)STEP_MISSING : s->kind->check(&c, s);
		if (r == STEP_OK)
			continue;
		c.why[0] = '\0';
		if (r >= 0)
			r = s->kind->apply(&c, s);
		if (r < 0)
			return step_error(e, &c, r);
		/* The supervisor reads the record, and goes by what the other steps left in it. */
		if (s->after) {
			r = save(h, n, n->phase, e);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int probe_steps(struct host *h, struct network *n, struct network_error *e)
{
	for (unsigned int i = 0; i < n->n_steps; i++) {
		struct step *s = &n->steps[i];
		struct step_ctx c = ctx_of(h, n);
		int r;

		h->error[0] = '\0';
		r = s->kind->probe ? s->kind->probe(&c, s) : 0;
		if (r < 0)
			return step_error(e, &c, r);
	}
	return 0;
}

int network_plan(struct host *h, const struct net_conf *given, struct network *ret, struct network_error *e)
{
	struct network n = {0};
	int r;

	*e = (struct network_error){0};
	(void)snprintf(n.mark, sizeof(n.mark), "%s%s", NETWORK_MARK_PREFIX, given->name);
	r = net_conf_copy(given, &n.conf);
	if (r == 0)
		r = h->ops->identity(h, &n.identity);
	if (r < 0)
		(void)plan_fail(e, r, NULL, "cannot begin: %s", strerror(-r));
	else
		r = nat_plan(h, &n, e);
	if (r == 0)
		r = probe_steps(h, &n, e);
	if (r < 0)
		network_done(&n);
	else
		*ret = n;
	return r;
}

static int create(struct host *h, const struct net_conf *given, struct network *ret, struct network_error *e)
{
	struct network_error ignored;
	struct network n = {0};
	int r = network_plan(h, given, &n, e);

	if (r < 0)
		return r;
	r = save(h, &n, NETWORK_RISING, e);
	if (r == 0)
		r = do_steps(h, &n, true, e);
	if (r == 0)
		r = save(h, &n, NETWORK_UP, e);
	if (r < 0) {
		(void)remove_all(h, &n, &ignored);
		network_done(&n);
		return r;
	}
	*ret = n;
	return 0;
}

/* Whether an option with that value is among those of a configuration. */
struct looked_for {
	const struct net_conf *in;
	const char *key, *value;
	const char *missing; /* the option that is not, of a literal's lifetime */
	bool found;
};

static int compare(void *ctx, const char *key, const char *value)
{
	struct looked_for *l = ctx;

	l->found = l->found || (strcmp(key, l->key) == 0 && strcmp(value, l->value) == 0);
	return l->found;
}

static int look_for(void *ctx, const char *key, const char *value)
{
	struct looked_for *l = ctx;

	l->key = key;
	l->value = value;
	l->found = false;
	(void)net_conf_each(l->in, compare, l);
	if (!l->found)
		l->missing = key;
	return l->found ? 0 : 1;
}

/* A forward that leaves the guest open is filled in as it was when it was recorded. */
static int check_same(const struct net_conf *given, const struct network *n, struct network_error *e)
{
	struct looked_for l = {.in = &n->conf};
	struct net_conf copy;
	int r = net_conf_copy(given, &copy);

	if (r < 0)
		return plan_fail(e, r, NULL, "no memory");
	for (unsigned int i = 0; i < copy.n_forwards; i++)
		if (!copy.forwards[i].guest.family)
			copy.forwards[i].guest =
				(struct net_addr){.family = AF_INET, .in4_be = n->conf.dhcp_start_be};
	(void)net_conf_each(&copy, look_for, &l);
	net_conf_done(&copy);
	if (!l.missing)
		return 0;
	(void)snprintf(e->mend, sizeof(e->mend),
		"vmlan down %s, and up again; hostfwd and reserve change it as it runs", n->conf.name);
	return plan_fail(e, -EBUSY, l.missing, "differs from what %s is up with", n->conf.name);
}

/* The network as it will be, checked as a new one would be; in its steps too. */
static int replan(struct host *h, struct network *n, struct network_error *e)
{
	struct conf_error ce;

	if (!net_conf_check(&n->conf, &ce))
		return plan_fail(e, -EINVAL, ce.option, "%s", ce.text);
	return nat_replan(h, n, e);
}

/* So that rules are found to differ, should we end before they are put. */
static void forget_tables(struct network *n)
{
	for (unsigned int i = 0; i < n->n_steps; i++)
		if (n->steps[i].kind == &step_table) {
			json_decref(n->steps[i].after);
			n->steps[i].after = NULL;
		}
}

/* Of an older version of this program: rules and files become ours, and so does the supervisor, which ends
 * here and is started by the mending. Guests keep what they have. */
static int take_over(struct host *h, struct network *n, struct network_error *e)
{
	int r = replan(h, n, e);

	forget_tables(n);
	for (unsigned int i = 0; i < n->n_steps && r == 0; i++) {
		struct step_ctx c = ctx_of(h, n);

		if (n->steps[i].kind != &step_supervisor)
			continue;
		r = step_supervisor.undo(&c, &n->steps[i]);
		r = r < 0 ? step_error(e, &c, r) : 0;
	}
	return r;
}

/* What other firewalls do now, and what has come to overlap the network, such as a VPN's routes. */
static int look_around(struct host *h, struct network *n, struct network_error *e)
{
	struct network_error overlap;
	bool added;
	int r = firewall_plan(h, n, &added, e);

	if (r == 0 && subnet_check(h, &n->conf, &overlap) == -EADDRINUSE)
		r = network_add_note(n,
			"the network %s by now, so that one of the two is not reached from here; to end "
			"that: vmlan down "
			"%s, and up with another --%s",
			overlap.text, n->conf.name, overlap.option);
	return r < 0 && !e->text[0] ? plan_fail(e, r, NULL, "no memory") : r;
}

static int mend(struct host *h, struct network *n, struct network_error *e)
{
	int r = look_around(h, n, e); /* such steps have nothing to look up before */

	if (r == 0 && n->version < STORE_VERSION)
		r = take_over(h, n, e);
	if (r == 0)
		r = save(h, n, n->phase, e);
	if (r == 0)
		r = do_steps(h, n, false, e);
	return r == 0 && n->phase != NETWORK_UP ? save(h, n, NETWORK_UP, e) : r;
}

int network_up(struct host *h, const struct net_conf *given, struct network *ret, struct network_error *e)
{
	struct network n;
	int r;

	*e = (struct network_error){0};
	r = lock(h, e);
	if (r < 0)
		return r;
	_cleanup_(lock_release_p) struct host *locked = h;

	(void)locked;
	r = load(h, given->name, &n, e);
	if (r == 0 && n.phase == NETWORK_FALLING) {
		r = remove_all(h, &n, e);
		network_done(&n);
		if (r == 0)
			r = -ENOENT;
	}
	if (r == -ENOENT || r == -ESTALE)
		return create(h, given, ret, e);
	if (r < 0)
		return r;
	r = check_same(given, &n, e);
	if (r == 0)
		r = mend(h, &n, e);
	if (r < 0)
		network_done(&n);
	else
		*ret = n;
	return r;
}

/* Names the ports, as many as there is room for. */
static int check_unused(struct host *h, const struct network *n, struct network_error *e)
{
	_cleanup_free_ char *ports = NULL;
	char list[NETWORK_TEXT_BYTES / 2] = "";
	unsigned int n_ports = 0;
	size_t at = 0;
	int r = network_ports(h, n, &ports);

	if (r == -ENODEV || (r == 0 && !*ports))
		return 0;
	if (r < 0)
		return plan_fail(
			e, r, NULL, "cannot see what is attached to %s: %s", n->conf.bridge, strerror(-r));
	for (const char *p = ports; *p; p += strlen(p) + 1) {
		if (at + IFNAMSIZ + 8 < sizeof(list))
			at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", n_ports ? ", " : "", p);
		else
			(void)snprintf(list + at, sizeof(list) - at, ", ...");
		n_ports++;
	}
	(void)snprintf(
		e->mend, sizeof(e->mend), "vmlan down --force %s takes it away from them", n->conf.name);
	return plan_fail(e, -EBUSY, NULL, "%u %s attached to %s: %s", n_ports,
		n_ports == 1 ? "guest is" : "guests are", n->conf.name, list);
}

/* Such a network exists also while it is down. */
static bool has_file(struct host *h, const char *name)
{
	_cleanup_free_ char *text = NULL;
	char path[HOST_PATH_BYTES];

	network_file_path(name, path);
	return h->ops->file_read(h, path, &text) == 0;
}

int network_down(struct host *h, const char *name, bool force, struct network_error *e)
{
	struct network n;
	int r;

	*e = (struct network_error){0};
	r = lock(h, e);
	if (r < 0)
		return r;
	_cleanup_(lock_release_p) struct host *locked = h;

	(void)locked;
	r = load(h, name, &n, e);
	if (r == -ENOENT || r == -ESTALE) {
		/* An up that was killed before it had recorded anything left a folder, or less. */
		int removed = store_remove(h, name);

		if (r == -ESTALE || (r == -ENOENT && has_file(h, name)))
			return removed;
		return plan_fail(e, r, NULL, "there is no network %s", name);
	}
	if (r == 0 && !force && n.phase == NETWORK_UP)
		r = check_unused(h, &n, e);
	else if (r < 0)
		return r;
	if (r == 0)
		r = remove_all(h, &n, e);
	network_done(&n);
	return r;
}

int network_load(struct host *h, const char *name, struct network *ret, struct network_error *e)
{
	int r;

	*e = (struct network_error){0};
	r = load(h, name, ret, e);
	if (r == -ENOENT || r == -ESTALE)
		return plan_fail(e, -ENOENT, NULL, "there is no network %s", name);
	return r;
}

int network_look(struct host *h, struct network *n, struct network_error *e)
{
	int r;

	*e = (struct network_error){0};
	r = look_around(h, n, e);
	if (r == -EPERM)
		r = network_add_note(n, "only root can see what other firewalls do");
	return r;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted copies, each ended by NUL, the last by two. */
static int join_names(const char **names, unsigned int n, char **ret)
{
	size_t size = 1, at = 0;

	for (unsigned int i = 0; i < n; i++)
		size += strlen(names[i]) + 1;
	*ret = calloc(1, size);
	if (!*ret)
		return -ENOMEM;
	qsort(names, n, sizeof(*names), compare_names);
	for (unsigned int i = 0; i < n; i++) {
		memcpy(*ret + at, names[i], strlen(names[i]) + 1);
		at += strlen(names[i]) + 1;
	}
	return 0;
}

/* Whether an entry of NETWORK_RUN_DIR is a network's folder. */
static bool is_record(struct host *h, char *name)
{
	_cleanup_free_ char *state = NULL;
	char path[HOST_PATH_BYTES];

	store_path(name, STORE_STATE, path);
	return h->ops->file_read(h, path, &state) == 0;
}

/* Whether one of NETWORK_ETC_DIR is a network's file; the suffix is cut off. */
static bool is_file(struct host *h, char *name)
{
	char *dot = strrchr(name, '.');

	if (!dot || strcmp(dot, NETWORK_FILE_SUFFIX) != 0)
		return false;
	memset(dot, '\0', strlen(dot));
	return true;
}

static int list_names(struct host *h, const char *dir, bool (*is_one)(struct host *h, char *name), char **ret)
{
	_cleanup_free_ char *list = NULL;
	_cleanup_free_ const char **names = NULL;
	unsigned int n = 0, n_all = 0;
	int r = h->ops->dir_list(h, dir, &list);

	if (r < 0 && r != -ENOENT)
		return r;
	for (const char *p = list; p && *p; p += strlen(p) + 1)
		n_all++;
	names = calloc(n_all + 1u, sizeof(*names));
	if (!names)
		return -ENOMEM;
	for (char *p = list; p && *p;) {
		size_t n_bytes = strlen(p) + 1;
		struct net_conf c;
		struct conf_error e;

		if (is_one(h, p) && net_conf_init(p, &c, &e))
			names[n++] = p;
		p += n_bytes;
	}
	return join_names(names, n, ret);
}

int network_names(struct host *h, char **ret)
{
	return list_names(h, NETWORK_RUN_DIR, is_record, ret);
}

int network_file_names(struct host *h, char **ret)
{
	return list_names(h, NETWORK_ETC_DIR, is_file, ret);
}

void network_file_path(const char *name, char ret[HOST_PATH_BYTES])
{
	(void)snprintf(ret, HOST_PATH_BYTES, "%s/%s%s", NETWORK_ETC_DIR, name, NETWORK_FILE_SUFFIX);
}

int network_ports(struct host *h, const struct network *n, char **ret)
{
	_cleanup_free_ struct host_link *links = NULL;
	_cleanup_free_ const char **names = NULL;
	unsigned int n_links = 0, n_ports = 0;
	struct host_link bridge;
	int r = h->ops->link_find(h, n->conf.bridge, &bridge);

	if (r == 0)
		r = h->ops->link_list(h, &links, &n_links);
	if (r < 0)
		return r;
	names = calloc(n_links + 1u, sizeof(*names));
	for (unsigned int i = 0; names && i < n_links; i++)
		if (links[i].master == bridge.index)
			names[n_ports++] = links[i].name;
	return names ? join_names(names, n_ports, ret) : -ENOMEM;
}

/* The record first, with what is wanted; then the steps that differ from it. dnsmasq reads its hosts again.
 */
static int carry_out(struct host *h, struct network *n, struct network_error *e)
{
	char path[HOST_PATH_BYTES];
	int r;

	forget_tables(n);
	r = n->version < STORE_VERSION ? take_over(h, n, e) : 0;
	if (r == 0)
		r = save(h, n, n->phase, e);
	if (r == 0)
		r = do_steps(h, n, false, e);
	if (r < 0)
		return r;
	store_path(n->conf.name, STORE_SUPERVISOR, path);
	r = h->ops->supervisor_reload(h, path);
	return r < 0 && r != -ENOENT
		       ? plan_fail(e, r, NULL, "the supervisor cannot be told: %s", strerror(-r))
		       : 0;
}

static int change(struct host *h, const char *name, struct network_error *e,
	int (*edit)(struct host *h, struct network *n, void *ctx, struct network_error *e), void *ctx)
{
	struct network n;
	int r;

	*e = (struct network_error){0};
	r = lock(h, e);
	if (r < 0)
		return r;
	_cleanup_(lock_release_p) struct host *locked = h;

	(void)locked;
	r = network_load(h, name, &n, e);
	if (r < 0)
		return r;
	if (n.phase != NETWORK_UP)
		r = plan_fail(e, -EBUSY, NULL, "%s is not up as a whole: vmlan status %s", name, name);
	if (r == 0)
		r = edit(h, &n, ctx, e);
	if (r == 0)
		r = replan(h, &n, e);
	if (r == 0)
		r = carry_out(h, &n, e);
	network_done(&n);
	return r;
}

struct option {
	const char *key, *value;
	struct net_forward gone; /* what was removed; n_ports 0: no forward */
};

static int add_option(struct host *h, struct network *n, void *ctx, struct network_error *e)
{
	const struct option *o = ctx;
	unsigned int n_before = n->conf.n_forwards;
	struct conf_error ce;

	if (!net_conf_set(&n->conf, o->key, o->value, &ce))
		return plan_fail(e, -EINVAL, o->key, "%s", ce.text);
	return n->conf.n_forwards > n_before ? nat_check_forward(h, &n->conf.forwards[n_before], e) : 0;
}

/* In the form that it is listed in, or as it was given. */
static int del_option(struct host *h, struct network *n, void *ctx, struct network_error *e)
{
	struct option *o = ctx;
	struct net_conf *c = &n->conf;
	char wanted[NET_VALUE_BYTES], listed[NET_VALUE_BYTES];
	struct net_forward f;
	struct conf_error ce;
	unsigned int left = 0;
	bool found;

	if (strcmp(o->key, "reserve") == 0) {
		for (unsigned int i = 0; i < c->n_reserves; i++) {
			net_reserve_emit(&c->reserves[i], listed);
			if (strncasecmp(o->value, listed, MAX(strlen(o->value), (size_t)17)) != 0)
				c->reserves[left++] = c->reserves[i];
		}
		found = left < c->n_reserves;
		c->n_reserves = left;
		return found ? 0 : plan_fail(e, -ENOENT, NULL, "nothing is reserved for %s", o->value);
	}
	if (!net_forward_parse(o->value, &f, &ce))
		return plan_fail(e, -EINVAL, o->key, "%s", ce.text);
	if (!f.guest.family)
		f.guest = (struct net_addr){.family = AF_INET, .in4_be = c->dhcp_start_be};
	net_forward_emit(&f, wanted);
	for (unsigned int i = 0; i < c->n_forwards; i++) {
		net_forward_emit(&c->forwards[i], listed);
		if (strcmp(wanted, listed) != 0)
			c->forwards[left++] = c->forwards[i];
		else
			o->gone = c->forwards[i];
	}
	found = left < c->n_forwards;
	c->n_forwards = left;
	return found ? 0
		     : plan_fail(e, -ENOENT, NULL, "there is no such forward: vmlan hostfwd list %s",
			       n->conf.name);
}

int network_add_option(
	struct host *h, const char *name, const char *key, const char *value, struct network_error *e)
{
	return change(h, name, e, add_option, &(struct option){key, value});
}

int network_del_option(
	struct host *h, const char *name, const char *key, const char *value, struct network_error *e)
{
	struct option o = {key, value};
	int r = change(h, name, e, del_option, &o);

	if (r == 0 && o.gone.n_ports)
		r = end_connections(h, &o.gone);
	if (r < 0 && !e->text[0])
		return plan_fail(
			e, r, NULL, "the forward is removed, but connections by it go on: %s", strerror(-r));
	return r;
}
