/* SPDX-License-Identifier: BSD-2-Clause */
/* A network whose back end became a stream socket (qemu_plan.h) is joined by vhost-user instead, where the
 * guest's memory can be shared (qemu_memory.h) and its NIC is virtio-net, on no hub, without a filter, which
 * QEMU does not have for it, and without an IOMMU, whose requests we do not speak:
 *
 *   -netdev stream,id=n,...   -chardev socket,id=n-socket,path=/proc/self/fd/FD,reconnect=1
 *                             -netdev vhost-user,id=n,chardev=n-socket
 *   -nic socket,fd=FD,...     the same -chardev, and -nic vhost-user,chardev=...,...
 *
 * FD is a socket's place in the file system that has no name there any more (O_PATH). So nobody but QEMU can
 * reach it, nothing is left behind, and QEMU can connect again when the engine was started again, which it
 * could not with a connection that it was given.
 *
 * The line that is looked at is the new one, in today's words only.
 *
 * QEMU 7.2 crashes with MSI-X when it runs a guest without KVM, 10.0 does not: before that MSI-X is turned off
 * by a -global, which leaves the NIC's own option as it was written. */
#include "qemu_vhost.h"

#include <stdio.h>

#include "qemu_memory.h"

#define MEMORY_ID   "vmlan-memory"
#define GLOBALS_MAX 3 /* kinds of PCI devices below */

/* While a plan is rewritten. */
struct joiner {
	struct qemu_plan *plan;
	const struct qemu_version *version;
	const struct qemu_line *line; /* the plan's: parts[].at is an argument of both */
	char why[QEMU_WHY_BYTES];     /* QEMU cannot, for no network; empty: it can */
	char why_memory[QEMU_WHY_BYTES];
	uint64_t memory_bytes;        /* to add; 0: none */
	bool crashes_by_msix;
	const char *globals[GLOBALS_MAX]; /* devices that are told vectors=0 */
	unsigned int n_globals;
	struct qemu_arg *args; /* heap: the new ones */
	unsigned int n_args;
	int part; /* of the old line, that what is added comes from; -1: none */
	bool bad; /* no memory */
};

static bool begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* The accelerators that a part names, as "a:b", or NULL; they point into *o. */
static const char *accelerators_of(const struct qemu_part *p, struct qemu_opts *o)
{
	if (qemu_part_is_option(p, "accel", NULL))
		return qemu_opts_parse(p->value, "accel", o) == 0 ? qemu_opts_value(o, "accel") : NULL;
	if (qemu_part_is_option(p, "machine", "M"))
		return qemu_opts_parse(p->value, "type", o) == 0 ? qemu_opts_value(o, "accel") : NULL;
	return NULL;
}

/* QEMU tries what is named in order. */
bool qemu_line_is_tcg(const struct qemu_line *l, bool has_kvm)
{
	size_t n = strlen(l->argv[0]);
	/* What it is if nothing is named: by the name of kvm it tries KVM first. */
	bool tcg = n < 3 || strcmp(l->argv[0] + n - 3, "kvm") != 0 || !has_kvm;

	for (unsigned int i = 0; i < l->n_parts; i++) {
		_cleanup_(qemu_opts_done) struct qemu_opts o = {0};
		const char *list = accelerators_of(&l->parts[i], &o);

		if (l->parts[i].name && strcmp(l->parts[i].name, "enable-kvm") == 0)
			return false;
		while (list && *list) {
			size_t n_word = strcspn(list, ":");

			tcg = n_word == 3 && begins(list, "tcg");
			if (n_word != 3 || !begins(list, "kvm") || has_kvm)
				return tcg;
			list += n_word + (list[n_word] == ':');
		}
	}
	return tcg;
}

static bool is_machine_without_sharing(const struct qemu_line *l)
{
	const char *m = l->machine ? l->machine : "";

	if (begins(m, "type="))
		m += strlen("type=");
	return begins(m, "xen") || (begins(m, "none") && (m[4] == '\0' || m[4] == ','));
}

/* What goes for all networks. */
static bool check_line(struct joiner *j)
{
	if (!j->version->major)
		return qemu_because(j->why, "QEMU does not say its version");
	if (!qemu_version_is_at_least(j->version, 7, 2))
		return qemu_because(j->why, "QEMU is older than 7.2");
	if (is_machine_without_sharing(j->line))
		return qemu_because(j->why, "a machine '%.40s' cannot share its memory", j->line->machine);
	return qemu_memory_is_shareable(j->line, &j->memory_bytes, j->why_memory);
}

/* The NIC. */

/* The device that a model stands for; NULL: one that does not take vhost-user. */
static const char *driver_of(const char *model)
{
	static const char *const drivers[] = {"virtio-net-pci", "virtio-net-pci-transitional",
		"virtio-net-pci-non-transitional", "virtio-net-device", "virtio-net-ccw"};

	if (strcmp(model, "virtio") == 0 || strcmp(model, "virtio-net") == 0)
		return drivers[0]; /* on machines that have PCI; of others the -global means nothing */
	for (unsigned int i = 0; i < ARRAY_SIZE(drivers); i++)
		if (strcmp(model, drivers[i]) == 0)
			return drivers[i];
	return NULL;
}

static bool check_msix(struct joiner *j, const char *driver, const char *vectors, char why[QEMU_WHY_BYTES])
{
	if (!j->crashes_by_msix || !begins(driver, "virtio-net-pci"))
		return true;
	if (vectors && strcmp(vectors, "0") != 0)
		return qemu_because(why, "QEMU %u.%u without KVM crashes unless the NIC has vectors=0",
			j->version->major, j->version->minor);
	if (vectors)
		return true;
	for (unsigned int i = 0; i < j->n_globals; i++)
		if (j->globals[i] == driver)
			return true;
	j->globals[j->n_globals++] = driver;
	return true;
}

/* model: NULL if none is named. o: the options of the NIC. */
static bool check_nic(
	struct joiner *j, const char *model, const struct qemu_opts *o, char why[QEMU_WHY_BYTES])
{
	const char *driver = model ? driver_of(model) : NULL;
	const char *iommu = qemu_opts_value(o, "iommu_platform");
	bool on = false;

	if (!model)
		return qemu_because(why, "the NIC is QEMU's default one, not virtio-net (model=virtio-net-pci)");
	if (!driver)
		return qemu_because(why, "the NIC is %.40s, not virtio-net", model);
	if (iommu && (!qemu_bool_parse(iommu, &on) || on))
		return qemu_because(why, "the NIC has iommu_platform=on");
	return check_msix(j, driver, qemu_opts_value(o, "vectors"), why);
}

static bool names(const struct qemu_opts *o, const char *id)
{
	const char *netdev = qemu_opts_value(o, "netdev");

	return netdev && strcmp(netdev, id) == 0;
}

/* An option's value in either syntax; what cannot be read has no options. */
static void parse_either(const char *value, const char *first, struct qemu_opts *ret)
{
	if ((value[0] == '{' ? qemu_opts_parse_json(value, first, ret) : qemu_opts_parse(value, first, ret)) < 0)
		*ret = (struct qemu_opts){0};
}

/* What else is joined to a back end. */
static bool check_neighbours(const struct joiner *j, const char *id, char why[QEMU_WHY_BYTES])
{
	for (unsigned int i = 0; i < j->line->n_parts; i++) {
		const struct qemu_part *p = &j->line->parts[i];
		_cleanup_(qemu_opts_done) struct qemu_opts o = {0};
		const char *first, *type;

		if (!qemu_part_is_option(p, "object", "netdev"))
			continue;
		first = strcmp(p->name, "netdev") == 0 ? "type" : "qom-type";
		parse_either(p->value, first, &o);
		if (!names(&o, id))
			continue;
		if (strcmp(p->name, "netdev") == 0)
			return qemu_because(why, "it is on a hub");
		type = qemu_opts_value(&o, first);
		return qemu_because(why, "QEMU has no %.40s for it", type ? type : "such object");
	}
	return true;
}

/* The NIC that names a back end. */
static bool check_named(struct joiner *j, const char *id, char why[QEMU_WHY_BYTES])
{
	for (unsigned int i = 0; i < j->line->n_parts; i++) {
		const struct qemu_part *p = &j->line->parts[i];
		_cleanup_(qemu_opts_done) struct qemu_opts o = {0};
		bool is_device = qemu_part_is_option(p, "device", NULL);

		if (!is_device && p->kind != QEMU_PART_NET_NIC)
			continue;
		if (p->value[0] == '{' && strstr(p->value, "netdev"))
			return qemu_because(why, "a NIC is written in JSON");
		if (qemu_opts_parse(p->value, "driver", &o) < 0 || !names(&o, id))
			continue;
		return check_nic(j, qemu_opts_value(&o, is_device ? "driver" : "model"), &o, why);
	}
	return qemu_because(why, "no NIC of the line has netdev=%.40s", id);
}

/* p: the option that became the network. Of several reasons the first is said. */
static bool takes(struct joiner *j, const struct qemu_part *p, const char *id, char why[QEMU_WHY_BYTES])
{
	bool is_nic = p->kind == QEMU_PART_NIC;

	if (j->why[0])
		return qemu_because(why, "%s", j->why);
	if (p->kind == QEMU_PART_NET)
		return qemu_because(why, "it is on a hub");
	if (!check_neighbours(j, id, why) ||
		!(is_nic ? check_nic(j, qemu_opts_value(&p->opts, "model"), &p->opts, why) : check_named(j, id, why)))
		return false;
	return !j->why_memory[0] || qemu_because(why, "%s", j->why_memory);
}

/* The new arguments. */

/* Takes the strings over; NULL before: no memory. */
static void add_arg(struct joiner *j, struct qemu_arg a)
{
	bool whole = a.before && (a.after || (a.network < 0 && a.tap < 0));
	struct qemu_arg *args = whole ? reallocarray(j->args, (size_t)j->n_args + 1, sizeof(*args)) : NULL;

	if (!args) {
		j->bad = true;
		free(a.before);
		free(a.after);
		return;
	}
	j->args = args;
	j->args[j->n_args++] = a;
}

static void add(struct joiner *j, char *before, int network, char *after)
{
	add_arg(j, (struct qemu_arg){
			.before = before, .network = network, .tap = -1, .after = after, .part = j->part});
}

static void add_text(struct joiner *j, const char *option, struct qemu_text *t)
{
	add(j, strdup(option), -1, NULL);
	j->bad |= t->bad;
	if (!t->bad)
		add(j, TAKE_PTR(t->p), -1, NULL);
}

/* The id of a network's chardev, which is one of ours. */
static void add_chardev_id(const struct joiner *j, struct qemu_text *t, const char *id)
{
	char own[64];

	(void)snprintf(own, sizeof(own), "%.40s-socket", id);
	while (qemu_line_has_id(j->line, own) && strlen(own) + 1 < sizeof(own))
		(void)strcat(own, "-");
	qemu_text_add_value(t, own);
}

static void add_chardev(struct joiner *j, int network, const char *id)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};
	bool has_ms = qemu_version_is_at_least(j->version, 9, 2); /* which did away with seconds */

	qemu_text_add(&t, "socket,id=");
	add_chardev_id(j, &t, id);
	qemu_text_add(&t, ",path=/proc/self/fd/");
	add(j, strdup("-chardev"), -1, NULL);
	j->bad |= t.bad;
	add(j, TAKE_PTR(t.p), network, strdup(has_ms ? ",reconnect-ms=200" : ",reconnect=1"));
}

/* -netdev or -nic: what else it said stays. */
static void add_back_end(struct joiner *j, const struct qemu_part *p, const char *id)
{
	static const char *const of_stream[] = {
		"type", "fd", "server", "addr.type", "addr.str", "id", "reconnect", "reconnect-ms"};
	_cleanup_(qemu_text_done) struct qemu_text t = {0};

	qemu_text_add(&t, "vhost-user");
	if (qemu_opts_find(&p->opts, "id")) {
		qemu_text_add(&t, ",id=");
		qemu_text_add_value(&t, qemu_opts_value(&p->opts, "id"));
	}
	qemu_text_add(&t, ",chardev=");
	add_chardev_id(j, &t, id);
	for (unsigned int i = 0; i < p->opts.n; i++) {
		bool is_old = false;

		for (unsigned int k = 0; k < ARRAY_SIZE(of_stream); k++)
			is_old |= strcmp(p->opts.v[i].key, of_stream[k]) == 0;
		if (!is_old)
			qemu_text_add_opt(&t, &p->opts.v[i]);
	}
	add_text(j, j->line->argv[p->at], &t);
}

static void add_memory(struct joiner *j)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0};
	uint64_t mib = j->memory_bytes >> 20;

	if (!j->memory_bytes)
		return;
	qemu_text_add(&t, "memory-backend-memfd,id=" MEMORY_ID ",size=");
	if (mib << 20 == j->memory_bytes)
		qemu_text_addf(&t, "%lluM", (unsigned long long)mib);
	else
		qemu_text_addf(&t, "%llu", (unsigned long long)j->memory_bytes);
	qemu_text_add(&t, ",share=on");
	add_text(j, "-object", &t);
	add(j, strdup("-machine"), -1, NULL);
	add(j, strdup("memory-backend=" MEMORY_ID), -1, NULL);
}

static void add_globals(struct joiner *j)
{
	for (unsigned int i = 0; i < j->n_globals; i++) {
		_cleanup_(qemu_text_done) struct qemu_text t = {0};

		qemu_text_addf(&t, "%s.vectors=0", j->globals[i]);
		add_text(j, "-global", &t);
	}
}

static int network_of(const struct joiner *j, const struct qemu_part *p)
{
	return p->n_args == 2 ? j->plan->args[p->at + 1].network : -1;
}

static void add_same(struct joiner *j, int at)
{
	struct qemu_arg a = j->plan->args[at];

	a.before = strdup(a.before);
	a.after = a.after ? strdup(a.after) : NULL;
	add_arg(j, a);
}

/* Decides on each network, and writes the line anew. */
static void join(struct joiner *j)
{
	bool any = false;

	add_same(j, 0);
	for (unsigned int i = 0; i < j->line->n_parts; i++) {
		const struct qemu_part *p = &j->line->parts[i];
		int network = network_of(j, p);
		struct qemu_network *n = network >= 0 ? &j->plan->networks[network] : NULL;

		if (n)
			n->by_vhost = takes(j, p, n->name, n->why_stream);
		if (n && n->by_vhost) {
			j->part = j->plan->args[p->at + 1].part;
			add_chardev(j, network, n->name);
			add_back_end(j, p, n->name);
			j->part = -1;
			any = true;
			continue;
		}
		for (int k = 0; k < p->n_args; k++)
			add_same(j, p->at + k);
	}
	if (!any)
		return;
	add_memory(j);
	add_globals(j);
}

static void args_free(struct qemu_arg *args, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		free(args[i].before);
		free(args[i].after);
	}
	free(args);
}

/* The plan's line, taken apart once more. argv: heap, which the line points into. */
static int parse_plan(const struct qemu_plan *p, char ***ret_argv, struct qemu_line *ret)
{
	_cleanup_free_ int *fds = calloc(p->n_networks, sizeof(*fds));
	struct qemu_error e;

	*ret_argv = fds ? qemu_plan_argv(p, fds) : NULL;
	if (!*ret_argv)
		return -ENOMEM;
	/* It has been taken apart before, and nothing in it was refused. */
	return qemu_line_parse((int)p->n_args, *ret_argv, ret, &e) < 0 ? -ENOMEM : 0;
}

int qemu_vhost_apply(
	struct qemu_plan *p, const struct qemu_version *v, const struct qemu_vhost_options *o)
{
	_cleanup_(qemu_line_done) struct qemu_line line = {0};
	struct joiner j = {.plan = p, .version = v, .line = &line, .part = -1};
	char **argv = NULL;
	int r = 0;

	if (o->off || p->n_networks == 0)
		return 0;
	r = parse_plan(p, &argv, &line);
	if (r == 0) {
		j.crashes_by_msix = !qemu_version_is_at_least(v, 10, 0) && qemu_line_is_tcg(&line, o->has_kvm);
		(void)check_line(&j);
		join(&j);
		r = j.bad ? -ENOMEM : 0;
	}
	if (r == 0) {
		args_free(p->args, p->n_args);
		p->args = TAKE_PTR(j.args);
		p->n_args = j.n_args;
	} else {
		args_free(j.args, j.n_args);
	}
	argv = qemu_argv_free(argv);
	return r;
}
