/* SPDX-License-Identifier: BSD-2-Clause */
/* How a line is rewritten.
 *
 * A user back end that the engine serves becomes a socket back end on one end of a socket pair; the other
 * end is the engine's port. Everything that the guest sees of its NIC - model, address, slot, MAC - stays
 * QEMU's own decision, because the NIC's option stays, or differs only in the back end it names:
 *
 *   -netdev user,id=n,...         -netdev stream,id=n,server=off,addr.type=fd,addr.str=FD   (7.2 and later)
 *                                 -netdev socket,id=n,fd=FD                                 (before)
 *   -nic user,model=m,...         -nic socket,fd=FD,model=m
 *   -net nic,... -net user,...    -net nic,...,netdev=vmlan0 -netdev stream,id=vmlan0,...
 *   nothing                       -netdev stream,id=vmlan0,... -net nic,netdev=vmlan0
 *
 * In the third form a hub falls away, which only cost time. It stays, with `-net socket,fd=FD` on it, when
 * it has more than one NIC or back end. What the engine does not serve stays as it is, with a note. All other
 * arguments pass untouched and in order. */
#include "qemu_plan.h"

#include <stdio.h>

#define ID_FORMAT "vmlan%u"
#define ID_BYTES  32

/* While a plan is made. */
struct maker {
	const struct qemu_line *line;
	const struct qemu_version *version;
	struct qemu_plan *plan;
	struct qemu_error *error;
	int *networks;      /* of each part: the network that its back end became, or -1 */
	unsigned int n_ids; /* made up so far */
};

/* What stands on one hub. */
struct hub {
	unsigned int n_nics, n_back_ends;
	const struct qemu_part *nic, *back_end;
};

bool qemu_version_parse(const char *text, struct qemu_version *ret)
{
	const char *p = strstr(text, "version ");

	return p && strstr(text, "QEMU") && sscanf(p, "version %u.%u", &ret->major, &ret->minor) == 2;
}

bool qemu_version_is_at_least(const struct qemu_version *v, unsigned int major, unsigned int minor)
{
	return v->major > major || (v->major == major && v->minor >= minor);
}

static int grow(void **array, unsigned int n, size_t size)
{
	void *p = reallocarray(*array, (size_t)n + 1, size);

	if (!p)
		return -ENOMEM;
	*array = p;
	return 0;
}

static int add_arg(struct qemu_plan *p, const char *before, int network, const char *after)
{
	struct qemu_arg a = {
		.before = strdup(before), .network = network, .after = after ? strdup(after) : NULL};
	void *array = p->args;
	int r = a.before && (!after || a.after) ? grow(&array, p->n_args, sizeof(a)) : -ENOMEM;

	p->args = array;
	if (r < 0) {
		free(a.before);
		free(a.after);
		return r;
	}
	p->args[p->n_args++] = a;
	return 0;
}

static int add_note(struct qemu_plan *p, const struct qemu_text *t)
{
	void *array = p->notes;
	char *note = t->bad || !t->p ? NULL : strdup(t->p);
	int r = note ? grow(&array, p->n_notes, sizeof(note)) : -ENOMEM;

	p->notes = array;
	if (r < 0) {
		free(note);
		return r;
	}
	p->notes[p->n_notes++] = note;
	return 0;
}

/* Takes conf over, also on failure. */
static int add_network(struct qemu_plan *p, const char *name, struct user_conf *conf)
{
	struct qemu_network n = {.conf = *conf, .name = strdup(name)};
	void *array = p->networks;
	int r = n.name ? grow(&array, p->n_networks, sizeof(n)) : -ENOMEM;

	p->networks = array;
	if (r < 0) {
		free(n.name);
		user_conf_done(conf);
		return r;
	}
	p->networks[p->n_networks++] = n;
	return 0;
}

static int pass(struct maker *m, const struct qemu_part *p)
{
	int r = 0;

	for (int i = 0; i < p->n_args && r == 0; i++)
		r = add_arg(m->plan, m->line->argv[p->at + i], -1, NULL);
	return r;
}

static int note_about(struct maker *m, const struct qemu_part *p, const char *text, const char *detail)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};

	qemu_text_addf(&t, "-%s %s: %s%s%s", p->name, p->value, text, *detail ? ": " : "", detail);
	return add_note(m->plan, &t);
}

/* An id of our own that nothing on the line has. */
static void make_id(struct maker *m, char ret[ID_BYTES])
{
	do
		(void)snprintf(ret, ID_BYTES, ID_FORMAT, m->n_ids++);
	while (qemu_line_has_id(m->line, ret));
}

/* The options of a part but those that fell away with its old back end, after its type. */
static void emit_rest(struct maker *m, struct qemu_text *t, const struct qemu_part *p, bool is_user)
{
	for (unsigned int i = 1; i < p->opts.n; i++) {
		struct qemu_opt o = p->opts.v[i];
		char id[] = "id";

		if (is_user && qemu_user_owns(o.key))
			continue;
		if (qemu_version_is_at_least(m->version, 3, 0) && strcmp(o.key, "vlan") == 0)
			continue;
		if (qemu_version_is_at_least(m->version, 5, 1) && strcmp(o.key, "name") == 0 && !o.is_switch)
			o.key = id;
		qemu_text_add_opt(t, &o);
	}
}

/* "-netdev TEXT" joined to the network of that number. */
static int emit_netdev(struct maker *m, const char *id, int network)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};
	bool is_stream = qemu_version_is_at_least(m->version, 7, 2);
	int r;

	qemu_text_add(&t, is_stream ? "stream,id=" : "socket,id=");
	qemu_text_add_value(&t, id);
	qemu_text_add(&t, is_stream ? ",server=off,addr.type=fd,addr.str=" : ",fd=");
	if (t.bad)
		return -ENOMEM;
	r = add_arg(m->plan, "-netdev", -1, NULL);
	return r < 0 ? r : add_arg(m->plan, t.p, network, "");
}

/* "-net socket,fd=N,..." or "-nic socket,fd=N,...": what else the option said stays. */
static int emit_socket(struct maker *m, const struct qemu_part *p, int network)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};
	int r;

	qemu_text_add(&t, "socket");
	emit_rest(m, &t, p, true);
	if (t.bad)
		return -ENOMEM;
	r = add_arg(m->plan, m->line->argv[p->at], -1, NULL);
	return r < 0 ? r : add_arg(m->plan, "socket,fd=", network, t.p + strlen("socket"));
}

/* "-net TYPE,...,netdev=ID"; id NULL: it stays where it was, and only words go that QEMU no longer takes. */
static int emit_legacy(struct maker *m, const struct qemu_part *p, const char *id)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};
	int r;

	qemu_text_add(&t, p->opts.v[0].value);
	emit_rest(m, &t, p, false);
	if (id) {
		qemu_text_add(&t, ",netdev=");
		qemu_text_add_value(&t, id);
	}
	if (t.bad)
		return -ENOMEM;
	r = add_arg(m->plan, m->line->argv[p->at], -1, NULL);
	return r < 0 ? r : add_arg(m->plan, t.p, -1, NULL);
}

static struct hub hub_get(const struct qemu_line *l, int number)
{
	struct hub h = {0};

	for (unsigned int i = 0; i < l->n_parts; i++) {
		const struct qemu_part *p = &l->parts[i];

		if (p->hub != number)
			continue;
		if (p->kind == QEMU_PART_NET_NIC) {
			h.n_nics++;
			h.nic = p;
		} else if (strcmp(p->opts.n ? p->opts.v[0].value : "none", "none") != 0) {
			h.n_back_ends++;
			h.back_end = p;
		}
	}
	return h;
}

static bool is_user(const struct qemu_part *p)
{
	return p->opts.n && strcmp(p->opts.v[0].key, "type") == 0 && strcmp(p->opts.v[0].value, "user") == 0;
}

static const char *id_of(const struct qemu_part *p)
{
	const char *id = qemu_opts_value(&p->opts, "id");

	return id ? id : qemu_opts_value(&p->opts, "name");
}

/* Is the hub no more than a cable, so that NIC and back end can be joined without it? */
static bool is_cable(const struct hub *h)
{
	return h->n_nics == 1 && h->n_back_ends == 1;
}

static bool is_gone(const struct qemu_line *l)
{
	for (unsigned int i = 0; i < l->n_parts; i++)
		if (l->parts[i].kind == QEMU_PART_GONE)
			return true;
	return false;
}

/* QEMU has had no vlans since 3.0. Number 0 is its hub 0 now; with another there is nothing to put NIC and
 * back end on, unless it was a mere cable to a network of ours. */
static int check_vlan(struct maker *m, const struct qemu_part *p)
{
	const struct qemu_opt *o = qemu_opts_find(&p->opts, "vlan");

	if (!o || p->hub <= 0 || !qemu_version_is_at_least(m->version, 3, 0))
		return 0;
	return qemu_fail(m->error, p->at + 1, o->key_at, o->at + o->n_bytes - o->key_at,
		"QEMU has no vlans since 3.0: write '-netdev %s,id=v%d' for the back end and "
		"'-net nic,netdev=v%d' for the NIC",
		p->kind == QEMU_PART_NET ? p->opts.v[0].value : "TYPE", p->hub, p->hub);
}

static int check_type(struct maker *m, const struct qemu_part *p)
{
	const char *type = p->opts.n ? p->opts.v[0].value : "";

	if (p->kind == QEMU_PART_NETDEV && is_user(p) && !qemu_opts_find(&p->opts, "id"))
		return qemu_fail(m->error, p->at + 1, 0, 0, "-netdev needs an id: -netdev user,id=NAME");
	if (p->kind != QEMU_PART_NET || !qemu_version_is_at_least(m->version, 2, 12))
		return 0;
	if (strcmp(type, "dump") == 0)
		return qemu_fail(m->error, p->at + 1, 0, 4,
			"QEMU has no '-net dump' since 2.12: write '-object "
			"filter-dump,id=d0,netdev=ID,file=FILE', or 'vmlan run --pcap FILE'");
	if (strcmp(type, "channel") == 0)
		return qemu_fail(m->error, p->at + 1, 0, 7,
			"QEMU has no '-net channel' since 2.12: write '-netdev user,id=ID,guestfwd=RULE'");
	return 0;
}

/* -redir and its kin, which said what the first user back end does. */
static int check_gone(struct maker *m, const struct qemu_part *p)
{
	static const struct {
		const char *name, *today;
	} gone[] = {
		{"redir", "hostfwd=tcp::HOSTPORT-:GUESTPORT"},
		{"tftp", "tftp=DIR"},
		{"smb", "smb=DIR"},
		{"bootp", "bootfile=FILE"},
	};

	if (p->kind != QEMU_PART_GONE || !qemu_version_is_at_least(m->version, 3, 1))
		return 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(gone); i++)
		if (strcmp(gone[i].name, p->name) == 0)
			return qemu_fail(m->error, p->at, 0, strlen(m->line->argv[p->at]),
				"QEMU has no -%s since 3.1: write '-net user,%s'", p->name, gone[i].today);
	return 0;
}

/* Decides on one user back end: makes its network, or leaves it with a note. */
static int decide_user(struct maker *m, const struct qemu_part *p, int *ret_network)
{
	char id[ID_BYTES];
	struct qemu_user u;
	int r = qemu_user_parse(p, &u, m->error);

	if (r < 0)
		return r;
	if (r == QEMU_USER_SERVED && is_gone(m->line)) {
		(void)snprintf(u.note, sizeof(u.note), "-redir, -tftp, -smb, -bootp may speak of it");
		r = QEMU_USER_LEFT;
	}
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
	if (!id_of(p))
		make_id(m, id);
	r = add_network(m->plan, id_of(p) ? id_of(p) : id, &u.conf);
	*ret_network = (int)m->plan->n_networks - 1;
	return r;
}

static int decide(struct maker *m, unsigned int i)
{
	const struct qemu_part *p = &m->line->parts[i];
	struct hub h = p->hub >= 0 ? hub_get(m->line, p->hub) : (struct hub){0};
	int r = check_gone(m, p);

	m->networks[i] = -1;
	if (r < 0 || p->kind == QEMU_PART_OTHER || p->kind == QEMU_PART_GONE)
		return r;
	r = check_type(m, p);
	if (r < 0)
		return r;
	if (p->is_json)
		return strstr(p->value, "\"user\"")
			       ? note_about(m, p, "left to QEMU", "JSON is not rewritten")
			       : 0;
	if (p->kind != QEMU_PART_NET_NIC && is_user(p)) {
		r = decide_user(m, p, &m->networks[i]);
		if (r < 0)
			return r;
	}
	/* Where the cable ends at a network of ours, the number of its hub is of no account. */
	if (is_cable(&h) && (p == h.nic ? is_user(h.back_end) : m->networks[i] >= 0))
		return 0;
	return check_vlan(m, p);
}

/* The network that a -net nic is joined to without a hub, or -1. */
static int cable_of(const struct maker *m, const struct qemu_part *nic)
{
	struct hub h = nic->hub >= 0 ? hub_get(m->line, nic->hub) : (struct hub){0};

	return is_cable(&h) ? m->networks[h.back_end - m->line->parts] : -1;
}

static int emit(struct maker *m, unsigned int i)
{
	const struct qemu_part *p = &m->line->parts[i];
	struct hub h = p->hub >= 0 ? hub_get(m->line, p->hub) : (struct hub){0};
	int network = p->kind == QEMU_PART_NET_NIC ? cable_of(m, p) : m->networks[i];
	bool is_old = qemu_opts_find(&p->opts, "vlan") || qemu_opts_find(&p->opts, "name");

	if (network < 0 && (p->kind == QEMU_PART_NET_NIC || p->kind == QEMU_PART_NET) && is_old)
		return emit_legacy(m, p, NULL);
	if (network < 0)
		return pass(m, p);
	if (p->kind == QEMU_PART_NET_NIC)
		return emit_legacy(m, p, m->plan->networks[network].name);
	if (p->kind == QEMU_PART_NETDEV || is_cable(&h))
		return emit_netdev(m, m->plan->networks[network].name, network);
	return emit_socket(m, p, network);
}

/* QEMU gives a line without network options a NIC and a user back end. */
static int add_default(struct maker *m)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};
	struct user_conf conf;
	struct conf_error e;
	char id[ID_BYTES];
	int r;

	if (m->line->has_net || m->line->nodefaults || qemu_line_is_without_nic(m->line) || is_gone(m->line))
		return 0;
	user_conf_init(&conf);
	if (!user_conf_check(&conf, &e))
		return qemu_fail(m->error, -1, 0, 0, "%s", e.text);
	make_id(m, id);
	r = add_network(m->plan, id, &conf);
	if (r < 0)
		return r;
	r = emit_netdev(m, id, (int)m->plan->n_networks - 1);
	if (r < 0)
		return r;
	qemu_text_addf(&t, "nic,netdev=%s", id);
	if (t.bad)
		return -ENOMEM;
	r = add_arg(m->plan, "-net", -1, NULL);
	return r < 0 ? r : add_arg(m->plan, t.p, -1, NULL);
}

static int make(struct maker *m)
{
	int r = add_arg(m->plan, m->line->argv[0], -1, NULL);

	/* A line that asks for a list is not meant to start anything. */
	for (unsigned int i = 0; i < m->line->n_parts && r == 0; i++) {
		m->networks[i] = -1;
		r = m->line->informs ? 0 : decide(m, i);
	}
	for (unsigned int i = 0; i < m->line->n_parts && r == 0; i++)
		r = m->line->informs ? pass(m, &m->line->parts[i]) : emit(m, i);
	return r < 0 || m->line->informs ? r : add_default(m);
}

int qemu_plan_make(
	const struct qemu_line *l, const struct qemu_version *v, struct qemu_plan *ret, struct qemu_error *e)
{
	_cleanup_(qemu_plan_done) struct qemu_plan plan = {0};
	_cleanup_free_ int *networks = calloc((size_t)l->n_parts + 1, sizeof(*networks));
	struct maker m = {.line = l, .version = v, .plan = &plan, .error = e, .networks = networks};
	int r = networks ? make(&m) : -ENOMEM;

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
	for (unsigned int i = 0; i < p->n_args; i++) {
		free(p->args[i].before);
		free(p->args[i].after);
	}
	for (unsigned int i = 0; i < p->n_notes; i++)
		free(p->notes[i]);
	free(p->networks);
	free(p->args);
	free(p->notes);
	*p = (struct qemu_plan){0};
}

char **qemu_plan_argv(const struct qemu_plan *p, const int *fds)
{
	char **argv = calloc((size_t)p->n_args + 1, sizeof(*argv));

	for (unsigned int i = 0; argv && i < p->n_args; i++) {
		const struct qemu_arg *a = &p->args[i];

		if (a->network < 0)
			argv[i] = strdup(a->before);
		else if (asprintf(&argv[i], "%s%d%s", a->before, fds[a->network], a->after) < 0)
			argv[i] = NULL;
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
