/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "conf_text.h"
#include "qemu_hub.h"
#include "qemu_lan.h"
#include "qemu_maker.h"
#include "qemu_moved.h"
#include "qemu_nic.h"

int qemu_grow(void **array, unsigned int n, size_t size)
{
	void *p = reallocarray(*array, (size_t)n + 1, size);

	if (!p)
		return -ENOMEM;
	*array = p;
	return 0;
}

/* after: NULL for an argument without descriptors. */
static int add_arg(struct qemu_maker *m, const char *before, const struct qemu_decision *d, const char *after)
{
	struct qemu_plan *p = m->plan;
	struct qemu_arg a = {.before = strdup(before),
		.network = d ? d->network : -1,
		.tap = d ? d->tap : -1,
		.after = after ? strdup(after) : NULL,
		.part = m->part};
	void *array = p->args;
	int r = a.before && (!after || a.after) ? qemu_grow(&array, p->n_args, sizeof(a)) : -ENOMEM;

	p->args = array;
	if (r < 0) {
		free(a.before);
		free(a.after);
		return r;
	}
	p->args[p->n_args++] = a;
	return 0;
}

static int add_option(struct qemu_maker *m, const char *name, const struct qemu_text *t)
{
	int r = t->bad ? -ENOMEM : add_arg(m, name, NULL, NULL);

	return r < 0 ? r : add_arg(m, t->p, NULL, NULL);
}

static int pass(struct qemu_maker *m, const struct qemu_part *p)
{
	int r = 0;

	for (int i = 0; i < p->n_args && r == 0; i++)
		r = add_arg(m, m->line->argv[p->at + i], NULL, NULL);
	return r;
}

static const char *option_of(const struct qemu_maker *m, const struct qemu_part *p)
{
	return p->at ? m->line->argv[p->at] : "-net";
}

static void add_pair(struct qemu_text *t, const char *key, const char *value)
{
	qemu_text_addf(t, "%s%s=", t->n ? "," : "", key);
	qemu_text_add_value(t, value);
}

/* Does an option stay where it is, now that the back end is what it is? */
static bool stays(const struct qemu_maker *m, const struct qemu_decision *d, const char *key)
{
	if (strcmp(key, "type") == 0 || strcmp(key, "driver") == 0)
		return false;
	if (strcmp(key, "vlan") == 0)
		return d->join == QEMU_JOIN_KEEP && !qemu_maker_has_no_vlans(m);
	if (d->network >= 0 && qemu_user_owns(key))
		return false;
	if (d->tap >= 0 && m->plan->taps[d->tap].bridge[0])
		return !qemu_lan_owns(key);
	return d->tap < 0 || !qemu_tap_owns(key);
}

/* The options of a part after its type. with_id: also what it is called. */
static void add_rest(struct qemu_maker *m, struct qemu_text *t, const struct qemu_part *p,
	const struct qemu_decision *d, bool with_id)
{
	for (unsigned int i = 0; i < p->opts.n; i++) {
		struct qemu_opt o = p->opts.v[i];
		bool is_name = strcmp(o.key, "name") == 0 && p->kind != QEMU_PART_DEVICE;
		char id[] = "id";

		if (!stays(m, d, o.key) || (!with_id && (is_name || strcmp(o.key, "id") == 0)))
			continue;
		if (is_name && !o.is_switch && qemu_version_is_at_least(m->version, 5, 1))
			o.key = id;
		qemu_text_add_opt(t, &o);
	}
}

/* "-netdev TEXT" joined to a network of ours. */
static int emit_stream(struct qemu_maker *m, const struct qemu_decision *d)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};
	bool is_stream = qemu_version_is_at_least(m->version, 7, 2);
	int r;

	qemu_text_add(&t, is_stream ? "stream,id=" : "socket,id=");
	qemu_text_add_value(&t, d->id);
	qemu_text_add(&t, is_stream ? ",server=off,addr.type=fd,addr.str=" : ",fd=");
	if (t.bad)
		return -ENOMEM;
	r = add_arg(m, "-netdev", NULL, NULL);
	return r < 0 ? r : add_arg(m, t.p, d, "");
}

/* "TYPE[,id=ID],fd=N,...": a back end on a descriptor of ours, behind the option that it came with or
 * another. */
static int emit_fd(struct qemu_maker *m, const char *option, const struct qemu_part *p,
	const struct qemu_decision *d, const char *id)
{
	_cleanup_(qemu_text_done) struct qemu_text before = {0}, after = {0};
	bool several = d->tap >= 0 && m->plan->taps[d->tap].n_queues > 1;
	int r;

	qemu_text_add(&before, d->tap >= 0 ? "tap" : "socket");
	if (id)
		add_pair(&before, "id", id);
	qemu_text_add(&before, several ? ",fds=" : ",fd=");
	qemu_text_add(&after, ",");
	if (d->tap >= 0 && m->plan->taps[d->tap].vhost)
		add_pair(&after, "vhost", "on");
	add_rest(m, &after, p, d, !id);
	if (before.bad || after.bad)
		return -ENOMEM;
	r = add_arg(m, option, NULL, NULL);
	/* add_rest() put a comma of its own first, if anything. */
	return r < 0 ? r : add_arg(m, before.p, d, after.p + 1);
}

/* The part as it is, but for words that QEMU no longer takes, and with another netdev if one is given. */
static int emit_rewritten(
	struct qemu_maker *m, const struct qemu_part *p, const struct qemu_decision *d, const char *netdev)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};

	qemu_text_add_value(&t, qemu_part_type(p));
	add_rest(m, &t, p, d, true);
	if (netdev)
		add_pair(&t, "netdev", netdev);
	return add_option(m, option_of(m, p), &t);
}

/* "-netdev hubport": a port of a hub, for the netdev or, without, for whoever names the port. */
static int emit_port(struct qemu_maker *m, const struct qemu_decision *d, int hub, const char *netdev)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};

	qemu_text_addf(&t, "hubport,id=%s,hubid=%d", d->port_id, hub);
	if (netdev)
		add_pair(&t, "netdev", netdev);
	return add_option(m, "-netdev", &t);
}

/* A back end that stood on a hub, under an id, behind -netdev. */
static int emit_as_netdev(struct qemu_maker *m, const struct qemu_part *p, const struct qemu_decision *d)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};

	if (d->network >= 0)
		return emit_stream(m, d);
	if (d->tap >= 0)
		return emit_fd(m, "-netdev", p, d, d->id);
	qemu_text_add_value(&t, qemu_part_type(p));
	add_pair(&t, "id", d->id);
	add_rest(m, &t, p, d, false);
	return add_option(m, "-netdev", &t);
}

static bool has_old_words(const struct qemu_part *p)
{
	return qemu_opts_find(&p->opts, "vlan") || qemu_opts_find(&p->opts, "name");
}

static int emit_back_end(struct qemu_maker *m, const struct qemu_part *p, const struct qemu_decision *d)
{
	int r;

	if (d->join == QEMU_JOIN_KEEP) {
		if (d->network >= 0 || d->tap >= 0)
			return emit_fd(m, option_of(m, p), p, d, NULL);
		if (has_old_words(p) || p->is_changed)
			return emit_rewritten(m, p, d, NULL);
		return pass(m, p);
	}
	r = emit_as_netdev(m, p, d);
	if (r < 0 || d->join == QEMU_JOIN_CABLE)
		return r;
	return emit_port(m, d, p->hub, d->id);
}

/* What a NIC's option is called as a property of its device; NULL: it is none. */
static const char *property_of(const char *key, const struct qemu_nic *nic)
{
	static const char *const names[][2] = {
		{"macaddr", "mac"}, {"name", "id"}, {"id", "id"}, {"addr", "addr"}};

	if (strcmp(key, "vectors") == 0 && nic && strcmp(nic->driver, "virtio_net") == 0)
		return "vectors";
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(key, names[i][0]) == 0)
			return names[i][1];
	return NULL;
}

/* -net nic takes an address whose parts have one digit; a property of a device does not. */
static void add_mac(struct qemu_text *t, const char *value)
{
	char full[] = "00:00:00:00:00:00";
	const char *p = value;

	for (unsigned int i = 0; i < 6; i++) {
		size_t n = strspn(p, "0123456789abcdefABCDEF");
		bool is_last = i == 5, is_apart = p[n] == ':' || p[n] == '-';

		if (n < 1 || n > 2 || (is_last ? p[n] != '\0' : !is_apart)) {
			add_pair(t, "mac", value); /* QEMU says what is wrong with it */
			return;
		}
		memcpy(full + (size_t)3 * i + 2 - n, p, n);
		p += n + 1;
	}
	add_pair(t, "mac", full);
}

static const struct qemu_nic *nic_of(const struct qemu_maker *m, const struct qemu_part *p)
{
	const char *model = qemu_opts_value(&p->opts, "model");

	return qemu_nic_find(model ? model : qemu_line_default_model(m->line));
}

/* "-net nic" as "-device MODEL". */
static int emit_device(struct qemu_maker *m, const struct qemu_part *p, const char *netdev)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};
	const char *model = qemu_opts_value(&p->opts, "model");
	const struct qemu_nic *nic = nic_of(m, p);

	qemu_text_add_value(&t, nic ? nic->name : model);
	for (unsigned int i = 0; i < p->opts.n; i++) {
		const char *property = property_of(p->opts.v[i].key, nic);

		if (property && strcmp(property, "mac") == 0)
			add_mac(&t, p->opts.v[i].value);
		else if (property)
			add_pair(&t, property, p->opts.v[i].value);
	}
	add_pair(&t, "netdev", netdev);
	return add_option(m, "-device", &t);
}

static int emit_nic(struct qemu_maker *m, const struct qemu_part *p, const struct qemu_decision *d)
{
	bool needs_device = p->kind == QEMU_PART_NET_NIC && qemu_opts_find(&p->opts, "addr") &&
			    qemu_maker_ignores_addr(m) && qemu_nic_has_slot(nic_of(m, p));
	const char *netdev = qemu_opts_value(&p->opts, "netdev");
	int r = d->join == QEMU_JOIN_PORTS ? emit_port(m, d, p->hub, NULL) : 0;

	if (r < 0)
		return r;
	if (d->join != QEMU_JOIN_KEEP)
		netdev = d->join == QEMU_JOIN_PORTS ? d->port_id : d->id;
	if (needs_device && netdev)
		return emit_device(m, p, netdev);
	if (d->join != QEMU_JOIN_KEEP)
		return emit_rewritten(m, p, d, netdev);
	/* A name= is a property that some device may have. */
	if (p->kind == QEMU_PART_NET_NIC && has_old_words(p))
		return emit_rewritten(m, p, d, NULL);
	return pass(m, p);
}

/* Bytes with a suffix, as QEMU writes sizes. */
static bool parse_size(const char *s, uint64_t *ret)
{
	static const char suffixes[] = "kmgtpe";
	size_t n = strlen(s);
	const char *suffix = n ? strchr(suffixes, s[n - 1] | 0x20) : NULL;

	if (n && (s[n - 1] | 0x20) == 'b')
		return conf_number(s, n - 1, 0, 0, UINT32_MAX, ret);
	if (!suffix)
		return conf_number(s, n, 0, 0, UINT32_MAX, ret);
	if (!conf_number(s, n - 1, 0, 0, UINT32_MAX, ret))
		return false;
	for (const char *p = suffixes; p <= suffix; p++)
		if (__builtin_mul_overflow(*ret, 1024u, ret))
			return false;
	return *ret <= UINT32_MAX;
}

/* In the place of what falls away: without any -net QEMU would make a network of its own accord. */
static int emit_none(struct qemu_maker *m)
{
	int r = add_arg(m, "-net", NULL, NULL);

	return r < 0 ? r : add_arg(m, "none", NULL, NULL);
}

/* "-object filter-dump" on what the hub has become. A filter on any port of a hub sees all of its frames. */
static int emit_dump(struct qemu_maker *m, const struct qemu_part *p)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};
	const struct qemu_opt *file = qemu_opts_find(&p->opts, "file"),
			      *len = qemu_opts_find(&p->opts, "len");
	char id[QEMU_ID_BYTES];
	const struct qemu_decision *d;
	struct qemu_hub h;
	uint64_t n;

	if (len && !parse_size(len->value, &n))
		return qemu_fail(m->error, p->at + 1, len->at, len->n_bytes,
			"len= is how many bytes of a frame to keep, at most 4 GiB");
	qemu_hub_get(m->line, p->hub, &h);
	if (h.n_nics + h.n_back_ends == 0)
		return emit_none(m); /* noted when it was decided */
	d = &m->decisions[h.back_end >= 0 ? h.back_end : h.nic];
	qemu_maker_id(m, id);
	qemu_text_addf(&t, "filter-dump,id=%s", id);
	add_pair(&t, "netdev", d->join == QEMU_JOIN_PORTS ? d->port_id : d->id);
	if (file)
		add_pair(&t, "file", file->value);
	else
		qemu_text_addf(&t, ",file=qemu-vlan%d.pcap", p->hub);
	if (len)
		qemu_text_addf(&t, ",maxlen=%llu", (unsigned long long)n);
	return add_option(m, "-object", &t);
}

static int emit(struct qemu_maker *m, unsigned int i)
{
	const struct qemu_part *p = &m->line->parts[i];
	const struct qemu_decision *d = &m->decisions[i];

	m->part = (int)i;
	if (m->line->informs)
		return pass(m, p);
	switch (p->kind) {
	case QEMU_PART_MOVED:
		return strcmp(p->name, "net") == 0 && qemu_moved_is_lost(m->line, p) ? emit_none(m) : 0;
	case QEMU_PART_NET:
		if (qemu_part_is(p, "dump") && qemu_maker_has_no_vlans(m))
			return emit_dump(m, p);
		if (!qemu_hub_is_back_end(p))
			return pass(m, p);
		return emit_back_end(m, p, d);
	case QEMU_PART_NET_NIC:
	case QEMU_PART_DEVICE:
		return emit_nic(m, p, d);
	case QEMU_PART_NETDEV:
		if (d->network >= 0)
			return emit_stream(m, d);
		if (d->tap >= 0)
			return emit_fd(m, option_of(m, p), p, d, d->id);
		return p->is_changed ? emit_rewritten(m, p, d, NULL) : pass(m, p);
	case QEMU_PART_NIC:
		if (d->network >= 0 || d->tap >= 0)
			return emit_fd(m, option_of(m, p), p, d, NULL);
		return p->is_changed ? emit_rewritten(m, p, d, NULL) : pass(m, p);
	default:
		return pass(m, p);
	}
}

/* QEMU gives a line without network options a NIC and a user back end. */
static int emit_default(struct qemu_maker *m)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};
	const struct qemu_decision *d = &m->implied;
	int r;

	m->part = -1;
	if (d->network >= 0) {
		r = emit_stream(m, d);
		qemu_text_add(&t, "nic");
		add_pair(&t, "netdev", d->id);
		return r < 0 ? r : add_option(m, "-net", &t);
	}
	if (!m->line->implied.is_changed)
		return 0;
	qemu_text_add(&t, "nic");
	r = add_option(m, "-net", &t);
	return r < 0 ? r : emit_rewritten(m, &m->line->implied, d, NULL);
}

int qemu_emit(struct qemu_maker *m)
{
	int r;

	m->part = -1;
	r = add_arg(m, m->line->argv[0], NULL, NULL);
	for (unsigned int i = 0; i < m->line->n_parts && r == 0; i++)
		r = emit(m, i);
	return r < 0 || m->line->informs ? r : emit_default(m);
}
