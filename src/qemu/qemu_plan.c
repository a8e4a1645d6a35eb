/* SPDX-License-Identifier: BSD-2-Clause */
/* How a line is rewritten.
 *
 * A user back end that the engine serves becomes a socket back end on one end of a socket pair; the other
 * end is the engine's port. A tap that QEMU would have made becomes one that was made for it, on a
 * descriptor. Everything that the guest sees of its NIC - model, address, slot, MAC - stays QEMU's own
 * decision, because the NIC's option stays, or differs only in the back end it names:
 *
 *   -netdev user,id=n,...         -netdev stream,id=n,server=off,addr.type=fd,addr.str=FD   (7.2 and later)
 *                                 -netdev socket,id=n,fd=FD                                 (before)
 *   -netdev tap,id=n,ifname=t     -netdev tap,id=n,fd=FD
 *   -netdev lan,id=n,lan=NETWORK  the same: the tap is on the network's bridge (qemu_lan.h)
 *   -nic user,model=m,...         -nic socket,fd=FD,model=m
 *   nothing                       -netdev stream,id=vmlan0,... -net nic,netdev=vmlan0
 *
 * What stands on a hub (vlan=n, or -net without it) is joined anew, for since 3.0 QEMU has one hub only that
 * -net reaches, and each frame through a hub is copied, and has no offloads:
 *
 *   one NIC, one back end         -netdev TYPE,id=vmlan0,... -net nic,...,netdev=vmlan0: no hub
 *   more, on vlan 0               as they are
 *   more, on another vlan         -netdev hubport,id=vmlan1,hubid=n,... for each
 *   -net dump                     -object filter-dump on what the hub has become
 *
 * Since 9.0 QEMU passes over addr= of -net nic without a word: such a NIC becomes a -device.
 *
 * What neither engine nor QEMU can serve is refused, with what to write instead; what the engine does not
 * serve stays with QEMU, with a note. All other arguments pass untouched and in order. */
#include <stdio.h>

#include "qemu_hub.h"
#include "qemu_lan.h"
#include "qemu_maker.h"
#include "qemu_moved.h"

#define ID_FORMAT "vmlan%u"

bool qemu_version_parse(const char *text, struct qemu_version *ret)
{
	const char *p = strstr(text, "version ");

	return p && strstr(text, "QEMU") && sscanf(p, "version %u.%u", &ret->major, &ret->minor) == 2;
}

bool qemu_version_is_at_least(const struct qemu_version *v, unsigned int major, unsigned int minor)
{
	return v->major > major || (v->major == major && v->minor >= minor);
}

bool qemu_maker_has_no_vlans(const struct qemu_maker *m)
{
	/* vlan= went with 3.0; -net dump, and with it what had no other way to be said, with 2.12. */
	return qemu_version_is_at_least(m->version, 2, 12);
}

bool qemu_maker_ignores_addr(const struct qemu_maker *m)
{
	return qemu_version_is_at_least(m->version, 9, 0) && !qemu_line_is_no_pc(m->line);
}

void qemu_maker_id(struct qemu_maker *m, char ret[QEMU_ID_BYTES])
{
	do
		(void)snprintf(ret, QEMU_ID_BYTES, ID_FORMAT, m->n_ids++);
	while (qemu_line_has_id(m->line, ret));
}

static int add_note(struct qemu_plan *p, const struct qemu_text *t)
{
	void *array = p->notes;
	char *note = t->bad || !t->p ? NULL : strdup(t->p);
	int r = note ? qemu_grow(&array, p->n_notes, sizeof(note)) : -ENOMEM;

	p->notes = array;
	if (r < 0) {
		free(note);
		return r;
	}
	p->notes[p->n_notes++] = note;
	return 0;
}

static int note_about(struct qemu_maker *m, const struct qemu_part *p, const char *text, const char *detail)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};

	if (p->at)
		qemu_text_addf(&t, "-%s %s", p->name, p->value);
	else
		qemu_text_add(&t, "the network that QEMU makes by default");
	qemu_text_addf(&t, ": %s%s%s", text, *detail ? ": " : "", detail);
	return add_note(m->plan, &t);
}

/* Takes conf over, also on failure. */
static int add_network(struct qemu_plan *p, const char *name, struct user_conf *conf)
{
	struct qemu_network n = {.conf = *conf, .hub = -1, .name = strdup(name)};
	void *array = p->networks;
	int r = n.name ? qemu_grow(&array, p->n_networks, sizeof(n)) : -ENOMEM;

	p->networks = array;
	if (r < 0) {
		free(n.name);
		user_conf_done(conf);
		return r;
	}
	p->networks[p->n_networks++] = n;
	return 0;
}

/* Takes the tap over, also on failure. */
static int add_tap(struct qemu_plan *p, const char *name, struct qemu_tap *t)
{
	void *array = p->taps;
	int r;

	t->name = strdup(name);
	r = t->name ? qemu_grow(&array, p->n_taps, sizeof(*t)) : -ENOMEM;
	p->taps = array;
	if (r < 0) {
		qemu_tap_done(t);
		return r;
	}
	p->taps[p->n_taps++] = *t;
	return 0;
}

/* The id of a back end: its own, or one made up. */
static const char *name_back_end(struct qemu_maker *m, const struct qemu_part *p, struct qemu_decision *d)
{
	d->id = qemu_part_id(p);
	if (!d->id) {
		qemu_maker_id(m, d->made_id);
		d->id = d->made_id;
	}
	return d->id;
}

/* Decides on one user back end: makes its network, or leaves it with a note. */
static int decide_user(struct qemu_maker *m, const struct qemu_part *p, struct qemu_decision *d)
{
	struct qemu_user u;
	int r = qemu_user_parse(p, &u, m->error);

	if (r < 0)
		return r;
	if (r == QEMU_USER_LEFT) {
		r = note_about(m, p, "left to QEMU's own user back end", u.note);
		qemu_user_done(&u);
		return r;
	}
	r = u.note[0] ? note_about(m, p, u.note, "") : 0;
	if (r < 0) {
		qemu_user_done(&u);
		return r;
	}
	r = add_network(m->plan, name_back_end(m, p, d), &u.conf);
	d->network = (int)m->plan->n_networks - 1;
	return r;
}

static int decide_tap(struct qemu_maker *m, const struct qemu_part *p, struct qemu_decision *d)
{
	struct qemu_tap t;
	bool is_lan = qemu_lan_is(p);
	int r = is_lan ? qemu_lan_parse(p, m->line->may_vhost, &t, m->error) : qemu_tap_parse(p, &t, m->error);

	if (r == 0 && p->kind == QEMU_PART_NET && d->join != QEMU_JOIN_CABLE && t.n_queues > 1) {
		qemu_tap_done(&t);
		return qemu_fail(m->error, p->at + 1, 0, strlen(p->value),
			"a tap with several queues needs a NIC for itself: write -netdev %s,id=t,... and "
			"-device virtio-net-pci,mq=on,netdev=t",
			qemu_part_type(p));
	}
	if (r == QEMU_TAP_MADE && !is_lan && !m->line->may_tap) {
		qemu_tap_done(&t);
		return note_about(m, p, "left to QEMU", "/dev/net/tun cannot be opened here");
	}
	if (r < 0 || r == QEMU_TAP_LEFT)
		return MIN(r, 0);
	r = add_tap(m->plan, name_back_end(m, p, d), &t);
	d->tap = (int)m->plan->n_taps - 1;
	return r;
}

static int check_part(struct qemu_maker *m, const struct qemu_part *p)
{
	bool is_ours = qemu_part_is(p, "user") || qemu_part_is(p, "tap") || qemu_lan_is(p);

	if (p->kind == QEMU_PART_NETDEV && is_ours && !qemu_opts_find(&p->opts, "id"))
		return qemu_fail(m->error, p->at + 1, 0, 0, "-netdev needs an id: -netdev %s,id=NAME",
			qemu_part_type(p));
	return 0;
}

/* Most of what stands alone, or in twos, needs no hub. */
static enum qemu_join choose_join(const struct qemu_maker *m, const struct qemu_hub *h, int number)
{
	bool is_cable = h->n_back_ends == 1 && h->n_nics <= 1 && !h->n_ports;

	if (!qemu_maker_has_no_vlans(m))
		return QEMU_JOIN_KEEP;
	if (is_cable)
		return QEMU_JOIN_CABLE;
	if (number != 0 || h->n_dumps || h->has_device || (h->has_addr && qemu_maker_ignores_addr(m)))
		return QEMU_JOIN_PORTS;
	return QEMU_JOIN_KEEP;
}

/* Of a QEMU that has vlans, only a cable to a network of ours is taken out of them. */
static enum qemu_join choose_old_join(const struct qemu_hub *h, const struct qemu_decision *d)
{
	bool is_cable = h->n_back_ends == 1 && h->n_nics == 1 && !h->n_dumps && !h->n_ports;

	return is_cable && d->network >= 0 ? QEMU_JOIN_CABLE : QEMU_JOIN_KEEP;
}

static int decide_dump(struct qemu_maker *m, const struct qemu_part *p, const struct qemu_hub *h)
{
	if (!qemu_maker_has_no_vlans(m) || h->n_nics + h->n_back_ends)
		return 0;
	return note_about(m, p, "left out, as there is nothing else on its vlan", "");
}

static int decide_back_end(struct qemu_maker *m, const struct qemu_part *p, struct qemu_decision *d)
{
	struct qemu_hub h = {0};
	int r = 0;

	if (p->hub >= 0) {
		qemu_hub_get(m->line, p->hub, &h);
		if (p->kind == QEMU_PART_NET && qemu_part_is(p, "dump"))
			return decide_dump(m, p, &h);
		if (!qemu_hub_is_back_end(p))
			return 0;
		d->join = choose_join(m, &h, p->hub);
	}
	if (qemu_part_is(p, "user"))
		r = decide_user(m, p, d);
	else if (qemu_part_is(p, "tap") || qemu_lan_is(p))
		r = decide_tap(m, p, d);
	else if (p->is_json && !p->opts.n && strstr(p->value, "user"))
		r = note_about(m, p, "left to QEMU", "this JSON cannot be read");
	if (r < 0 || p->kind != QEMU_PART_NET)
		return r;
	if (!qemu_maker_has_no_vlans(m))
		d->join = choose_old_join(&h, d);
	if (!d->id && d->join != QEMU_JOIN_KEEP)
		(void)name_back_end(m, p, d);
	if (d->join == QEMU_JOIN_PORTS)
		qemu_maker_id(m, d->port_id);
	if (d->network >= 0 && d->join != QEMU_JOIN_CABLE)
		m->plan->networks[d->network].hub = p->hub;
	return 0;
}

static int decide(struct qemu_maker *m, const struct qemu_part *p, struct qemu_decision *d)
{
	int r = check_part(m, p);

	if (r < 0)
		return r;
	if (qemu_part_is_option(p, "readconfig", NULL))
		return note_about(m, p, "left to QEMU, with the networks that may be in it", "");
	if (qemu_moved_is_lost(m->line, p))
		return note_about(m, p, "left out, as there is no user network that it could be for", "");
	if (p->kind == QEMU_PART_NET || p->kind == QEMU_PART_NETDEV || p->kind == QEMU_PART_NIC)
		return decide_back_end(m, p, d);
	return 0;
}

/* NICs follow what has become of the back end on their hub. */
static void decide_nic(struct qemu_maker *m, const struct qemu_part *p, struct qemu_decision *d)
{
	struct qemu_hub h;

	if (!qemu_hub_is_nic(p))
		return;
	qemu_hub_get(m->line, p->hub, &h);
	d->join = h.back_end >= 0 ? m->decisions[h.back_end].join : choose_join(m, &h, p->hub);
	if (d->join == QEMU_JOIN_CABLE)
		d->id = m->decisions[h.back_end].id;
	if (d->join == QEMU_JOIN_PORTS)
		qemu_maker_id(m, d->port_id);
}

static int decide_implied(struct qemu_maker *m)
{
	struct user_conf conf;
	struct conf_error e;

	if (m->line->has_net || m->line->nodefaults || qemu_line_is_without_nic(m->line))
		return 0;
	if (m->line->implied.is_changed)
		return decide_user(m, &m->line->implied, &m->implied);
	user_conf_init(&conf);
	if (!user_conf_check(&conf, &e))
		return qemu_fail(m->error, -1, 0, 0, "%s", e.text);
	m->implied.network = (int)m->plan->n_networks;
	return add_network(m->plan, name_back_end(m, &m->line->implied, &m->implied), &conf);
}

static int make(struct qemu_maker *m)
{
	const struct qemu_line *l = m->line;
	int r = 0;

	m->implied = (struct qemu_decision){.network = -1, .tap = -1};
	for (unsigned int i = 0; i < l->n_parts; i++)
		m->decisions[i] = (struct qemu_decision){.network = -1, .tap = -1};
	/* A line that asks for a list is not meant to start anything. */
	for (unsigned int i = 0; i < l->n_parts && r == 0 && !l->informs; i++)
		r = decide(m, &l->parts[i], &m->decisions[i]);
	for (unsigned int i = 0; i < l->n_parts && !l->informs && r == 0; i++)
		decide_nic(m, &l->parts[i], &m->decisions[i]);
	if (r == 0 && !l->informs)
		r = decide_implied(m);
	return r < 0 ? r : qemu_emit(m);
}

int qemu_plan_make(
	const struct qemu_line *l, const struct qemu_version *v, struct qemu_plan *ret, struct qemu_error *e)
{
	_cleanup_(qemu_plan_done) struct qemu_plan plan = {0};
	_cleanup_free_ struct qemu_decision *decisions = calloc((size_t)l->n_parts + 1, sizeof(*decisions));
	struct qemu_maker m = {.line = l, .version = v, .plan = &plan, .error = e, .decisions = decisions};
	int r = decisions ? make(&m) : -ENOMEM;

	if (r < 0)
		return r;
	*ret = plan;
	plan = (struct qemu_plan){0};
	return 0;
}

void qemu_plan_done(struct qemu_plan *p)
{
	for (unsigned int i = 0; i < p->n_networks; i++) {
		user_conf_done(&p->networks[i].conf);
		free(p->networks[i].name);
	}
	for (unsigned int i = 0; i < p->n_taps; i++)
		qemu_tap_done(&p->taps[i]);
	for (unsigned int i = 0; i < p->n_args; i++) {
		free(p->args[i].before);
		free(p->args[i].after);
	}
	for (unsigned int i = 0; i < p->n_notes; i++)
		free(p->notes[i]);
	free(p->networks);
	free(p->taps);
	free(p->args);
	free(p->notes);
	*p = (struct qemu_plan){0};
}

static char *arg_text(const struct qemu_plan *p, const struct qemu_arg *a, const int *fds)
{
	struct qemu_text t = {0};

	qemu_text_add(&t, a->before);
	if (a->network >= 0)
		qemu_text_addf(&t, "%d", fds[a->network]);
	for (unsigned int i = 0; a->tap >= 0 && i < p->taps[a->tap].n_queues; i++)
		qemu_text_addf(&t, "%s%d", i ? ":" : "", p->taps[a->tap].fds[i]);
	qemu_text_add(&t, a->after ? a->after : "");
	if (!t.bad)
		return t.p;
	qemu_text_done(&t);
	return NULL;
}

char **qemu_plan_argv(const struct qemu_plan *p, const int *fds)
{
	char **argv = calloc((size_t)p->n_args + 1, sizeof(*argv));

	for (unsigned int i = 0; argv && i < p->n_args; i++) {
		argv[i] = arg_text(p, &p->args[i], fds);
		if (!argv[i])
			return qemu_argv_free(argv);
	}
	return argv;
}

char **qemu_argv_free(char **argv)
{
	for (char **a = argv; a && *a; a++)
		free(*a);
	free(argv);
	return NULL;
}
