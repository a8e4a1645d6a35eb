/* SPDX-License-Identifier: BSD-2-Clause */
/* A NIC is added as QEMU's -nic would have made it, in three steps: its network, if it is one that we serve
 * (then QEMU gets its end of the cable by the monitor); its back end; the device. What fails undoes what was
 * done. A NIC that was added is joined by a socket, whatever it is: its network can thus end when it goes.
 *
 * It is removed in the reverse order, once the guest has let go of it. A NIC of the line has no name that
 * would be of use; it is found by the back end that its device says it has. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "guest_bridge.h"
#include "keeper_internal.h"
#include "qemu_nic.h"

#define DEVICE_SUFFIX "-nic"

static void json_decref_p(json_t **j)
{
	json_decref(*j);
}

/* What is asked for. */
struct order {
	struct qemu_opts given;
	struct qemu_text
		rest; /* of what was given, as QEMU's -nic takes it: without the place of the device */
	char *argv[4];
	struct qemu_line line;
	struct qemu_plan plan;
	const struct qemu_part *part; /* the -nic */
	char id[64];                  /* of the back end */
};

static void order_done(struct order *o)
{
	qemu_plan_done(&o->plan);
	qemu_line_done(&o->line);
	qemu_text_done(&o->rest);
	qemu_opts_done(&o->given);
}

static bool id_is_ok(const char *id)
{
	static const char more[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";

	return *id && strchr(more, *id) < more + 52 && id[strspn(id, more)] == '\0' && strlen(id) < 48;
}

/* Options that -nic has not, as there a NIC chooses its place. */
static bool is_place(const char *key)
{
	return strcmp(key, "bus") == 0 || strcmp(key, "addr") == 0;
}

static int take_apart(struct order *o, const char *spec)
{
	int r = qemu_opts_parse(spec, "type", &o->given);

	for (unsigned int i = 0; r == 0 && i < o->given.n; i++)
		if (!is_place(o->given.v[i].key))
			qemu_text_add_opt(&o->rest, &o->given.v[i]);
	qemu_text_add(&o->rest, "");
	return r == 0 && o->rest.bad ? -ENOMEM : r;
}

/* false: why is in ret. */
static bool parse_order(struct keeper *k, const char *spec, struct order *o, struct ctl_reply *ret)
{
	static char program[] = "qemu-system-x86_64", option[] = "-nic";
	const struct guest_config *g = k->c->guest;
	struct qemu_error e = {.arg = -1};
	const char *id;
	int r;

	*o = (struct order){.argv = {program, option}};
	r = take_apart(o, spec);
	o->argv[2] = o->rest.p;
	if (r == -E2BIG)
		(void)snprintf(e.text, sizeof(e.text), "too many options");
	if (r == 0)
		r = qemu_line_parse(3, o->argv, &o->line, &e);
	o->line.may_tap = true; /* QEMU makes it, if it may: that is nothing to tell */
	if (r == 0 && (o->line.informs || !*qemu_part_type(&o->line.parts[0]) ||
			      qemu_part_is(&o->line.parts[0], "none"))) {
		ctl_reply_fail(ret, "a NIC is TYPE[,model=MODEL][,id=ID][,mac=ADDR][,OPTION=VALUE]..., as of "
				    "QEMU's -nic, "
				    "with the type of its back end first, such as user");
		return false;
	}
	if (r == 0)
		r = qemu_plan_make(&o->line, g->version, &o->plan, &e);
	if (r < 0) {
		ctl_reply_fail(ret, "%s", r == -ENOMEM ? "no memory" : e.text);
		return false;
	}
	o->part = &o->line.parts[0];
	id = qemu_part_id(o->part);
	if (id && !id_is_ok(id)) {
		ctl_reply_fail(ret,
			"id=%s: an id begins with a letter, and has letters, digits, '-', '.' and '_' only, "
			"47 at most",
			id);
		return false;
	}
	do
		(void)snprintf(o->id, sizeof(o->id), id ? "%s" : "nic%s%u", id ? id : "", k->n_ids++);
	while (!id && keeper_find(k, o->id));
	if (id && keeper_find(k, id)) {
		ctl_reply_fail(ret, "Duplicate ID '%s' for netdev", id);
		return false;
	}
	return true;
}

/* Its byte: false if it ends, or says nothing in time. */
static bool wait_ready(const struct guest_network *n)
{
	struct pollfd p = {.fd = n->ready_fd, .events = POLLIN};
	char byte;

	return poll(&p, 1, KEEPER_NETWORK_MS) > 0 && read(n->ready_fd, &byte, 1) == 1;
}

/* When it runs, so that what is wrong with one is told to whoever asked. */
static bool add_forwards(struct keeper_network *n, const struct order *o, struct ctl_reply *ret)
{
	for (unsigned int i = 0; i < o->part->opts.n; i++) {
		_cleanup_(ctl_reply_done) struct ctl_reply answer = {0};
		const struct qemu_opt *opt = &o->part->opts.v[i];

		if (strcmp(opt->key, "hostfwd") != 0)
			continue;
		if (!keeper_ask_network(&n->n, CTL_HOSTFWD_ADD, opt->value, &answer, ret) || answer.error)
			return false;
		ctl_reply_add(ret, "%s", answer.text);
	}
	return true;
}

/* Starts the order's network: the last of the keeper's, or NULL. */
static struct keeper_network *start_network(struct keeper *k, struct order *o, struct ctl_reply *ret)
{
	struct keeper_network *n = &k->networks[k->n_networks];
	int r = k->n_networks < KEEPER_NETWORKS_MAX ? 0 : -ENOSPC;

	if (r < 0) {
		ctl_reply_fail(ret, "a guest has at most %d networks", KEEPER_NETWORKS_MAX);
		return NULL;
	}
	*n = (struct keeper_network){
		.n = GUEST_NETWORK_NONE, .name = strdup(o->id), .conf = malloc(sizeof(*n->conf))};
	if (!n->name || !n->conf) {
		free(n->name);
		free(n->conf);
		ctl_reply_fail(ret, "no memory");
		return NULL;
	}
	*n->conf = o->plan.networks[0].conf;
	user_conf_init(&o->plan.networks[0].conf); /* what it had is ours */
	n->conf->n_forwards = 0;
	guest_network_inherit(n->conf, k->c->guest->common);
	n->n.name = n->name;
	n->n.conf = n->conf;
	k->n_networks++;
	r = guest_cable_new(&n->n);
	if (r == 0)
		r = guest_network_start(&n->n, k->c->mask, -1);
	if (r == 0 && wait_ready(&n->n) && add_forwards(n, o, ret))
		return n;
	ctl_reply_fail(ret, "network %s did not start: %s", n->name,
		r < 0 ? strerror(-r) : "it has said why where the guest was started");
	if (n->n.pid > 0)
		(void)kill(n->n.pid, SIGKILL);
	keeper_forget(k, n);
	return NULL;
}

/* Gives QEMU a descriptor, as a back end of that type. 0, or negative with the reason in the monitor's error. */
static int add_fd(struct keeper *k, const char *type, const char *id, int fd)
{
	char name[80], error[QMP_ERROR_BYTES];
	int r;

	(void)snprintf(name, sizeof(name), "vmlan-%s", id);
	r = qmp_command(&k->qmp, "getfd", json_pack("{s:s}", "fdname", name), fd, KEEPER_QMP_MS, NULL);
	if (r < 0)
		return r;
	r = qmp_command(&k->qmp, "netdev_add", json_pack("{s:s, s:s, s:s}", "type", type, "id", id, "fd", name), -1,
		KEEPER_QMP_MS, NULL);
	if (r == -EREMOTEIO) {
		memcpy(error, k->qmp.error, sizeof(error));
		(void)qmp_command(
			&k->qmp, "closefd", json_pack("{s:s}", "fdname", name), -1, KEEPER_QMP_MS, NULL);
		memcpy(k->qmp.error, error, sizeof(error));
	}
	return r;
}

/* QEMU's end of a network's cable. Not as "stream": that looks a descriptor up in a thread, which knows no
 * monitor's names. */
static int add_cable(struct keeper *k, struct keeper_network *n)
{
	int r = add_fd(k, "socket", n->name, n->n.guest_fd);

	util_close(&n->n.guest_fd);
	return r;
}

static int refuse(struct keeper *k, const char *what, const char *why)
{
	(void)snprintf(k->qmp.error, sizeof(k->qmp.error), "%s%s", what, why);
	return -EINVAL;
}

/* A place on a bridge. The tap is QEMU's alone, and goes with it. */
static int add_place(struct keeper *k, const struct order *o)
{
	static const char *const keys[] = {"type", "id", "model", "mac", "lan", "br"};
	struct qemu_tap *spec = &o->plan.taps[0];
	struct guest_bridge b;
	struct network_error e;
	struct guest_tap tap;
	int r;

	for (unsigned int i = 0; i < o->part->opts.n; i++) {
		bool known = false;

		for (unsigned int m = 0; m < ARRAY_SIZE(keys); m++)
			known |= strcmp(o->part->opts.v[i].key, keys[m]) == 0;
		if (!known)
			return refuse(k, o->part->opts.v[i].key, "= is not for a NIC that is added to a running guest");
	}
	if (guest_bridge_find(spec, &b, &e) < 0) {
		(void)snprintf(k->qmp.error, sizeof(k->qmp.error), "%.255s; to mend it: %.200s", e.text, e.mend);
		return -ENOENT;
	}
	if (guest_bridge_make(spec, &tap) < 0)
		return refuse(k, "the tap cannot be made", "; it has been said why where the guest was started");
	r = add_fd(k, "tap", o->id, spec->fds[0]);
	guest_tap_close(&tap);
	return r;
}

/* A back end of QEMU's own, with the options as they were given. */
static int add_back_end(struct keeper *k, const struct order *o)
{
	_cleanup_(qemu_text_done) struct qemu_text t = {0}, line = {0};
	_cleanup_free_ char *quoted = NULL, *said = NULL;
	int r;

	qemu_text_add_value(&t, qemu_part_type(o->part));
	qemu_text_addf(&t, ",id=%s", o->id);
	for (unsigned int i = 0; i < o->part->opts.n; i++) {
		const char *key = o->part->opts.v[i].key;

		if (strcmp(key, "type") != 0 && strcmp(key, "id") != 0 && strcmp(key, "model") != 0 &&
			strcmp(key, "mac") != 0)
			qemu_text_add_opt(&t, &o->part->opts.v[i]);
	}
	quoted = t.bad ? NULL : keeper_quote(t.p);
	qemu_text_addf(&line, "netdev_add %s", quoted ? quoted : "");
	if (line.bad || !quoted) {
		(void)snprintf(k->qmp.error, sizeof(k->qmp.error), "no memory");
		return -ENOMEM;
	}
	r = qmp_human(&k->qmp, line.p, KEEPER_QMP_MS, &said);
	if (r < 0 || !*said)
		return r;
	(void)snprintf(k->qmp.error, sizeof(k->qmp.error), "%.*s", (int)strcspn(said, "\n"), said);
	return -EREMOTEIO;
}

static int add_device(struct keeper *k, const struct order *o)
{
	const char *model = qemu_opts_value(&o->part->opts, "model"),
		   *mac = qemu_opts_value(&o->part->opts, "mac");
	const struct qemu_nic *nic = qemu_nic_find(model ? model : k->c->guest->default_model);
	const char *bus = qemu_opts_value(&o->given, "bus"), *addr = qemu_opts_value(&o->given, "addr");
	char id[80];

	(void)snprintf(id, sizeof(id), "%s" DEVICE_SUFFIX, o->id);
	return qmp_command(&k->qmp, "device_add",
		json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:s*}", "driver", nic ? nic->name : model, "id", id,
			"netdev", o->id, "mac", mac, "bus", bus, "addr", addr),
		-1, KEEPER_QMP_MS, NULL);
}

static int del_back_end(struct keeper *k, const char *id)
{
	return qmp_command(&k->qmp, "netdev_del", json_pack("{s:s}", "id", id), -1, KEEPER_QMP_MS, NULL);
}

/* The network is to end, whoever started it. */
static void end_network(struct keeper *k, struct keeper_network *n)
{
	_cleanup_(ctl_reply_done) struct ctl_reply unused = {0}, why = {0};

	(void)keeper_ask_network(&n->n, CTL_END, "", &unused, &why);
	keeper_forget(k, n);
}

void keeper_nic_add(struct keeper *k, const char *spec, struct ctl_reply *ret)
{
	_cleanup_(order_done) struct order o;
	struct keeper_network *n = NULL;
	char error[QMP_ERROR_BYTES];
	int r;

	if (!parse_order(k, spec, &o, ret))
		return;
	if (k->qmp.lines.fd < 0) {
		ctl_reply_fail(ret, "QEMU has no monitor for vmlan: it is too old, or is ending");
		return;
	}
	if (o.plan.n_networks) {
		n = start_network(k, &o, ret);
		if (!n)
			return;
	}
	if (n)
		r = add_cable(k, n);
	else
		r = o.plan.n_taps && o.plan.taps[0].bridge[0] ? add_place(k, &o) : add_back_end(k, &o);
	if (r == 0) {
		r = add_device(k, &o);
		memcpy(error, k->qmp.error, sizeof(error));
		if (r < 0)
			(void)del_back_end(k, o.id);
	} else {
		memcpy(error, k->qmp.error, sizeof(error));
	}
	if (r < 0) {
		ctl_reply_fail(ret, "%s", error);
		if (n)
			end_network(k, n);
		return;
	}
	for (unsigned int i = 0; i < o.plan.n_notes; i++)
		ctl_reply_add(ret, "%s\n", o.plan.notes[i]);
	if (!qemu_part_id(o.part))
		ctl_reply_add(ret, "NIC %s\n", o.id);
}

/* Removing. */

/* What QEMU says a device's back end is: heap, or NULL. */
static char *netdev_of(struct keeper *k, const char *path)
{
	_cleanup_(json_decref_p) json_t *value = NULL;

	if (qmp_command(&k->qmp, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", "netdev"), -1,
		    KEEPER_QMP_MS, &value) < 0 ||
		!json_is_string(value))
		return NULL;
	return strdup(json_string_value(value));
}

/* A device of that id, or with that back end, among those in one place: its path, and its back end (heap). */
static bool find_in(struct keeper *k, const char *place, const char *id, const char *netdev,
	char ret[QMP_PATH_BYTES], char **ret_netdev)
{
	_cleanup_(json_decref_p) json_t *list = NULL;
	const json_t *item;
	size_t i;

	if (qmp_command(&k->qmp, "qom-list", json_pack("{s:s}", "path", place), -1, KEEPER_QMP_MS, &list) < 0)
		return false;
	json_array_foreach(list, i, item)
	{
		const char *name = json_string_value(json_object_get(item, "name"));
		const char *type = json_string_value(json_object_get(item, "type"));

		if (!name || !type || strncmp(type, "child<", 6) != 0 || strcmp(type, "child<irq>") == 0 ||
			strcmp(type, "child<memory-region>") == 0 || strcmp(type, "child<container>") == 0 ||
			snprintf(ret, QMP_PATH_BYTES, "%s/%s", place, name) >= QMP_PATH_BYTES)
			continue;
		*ret_netdev = netdev_of(k, ret);
		if (*ret_netdev && (strcmp(*ret_netdev, netdev) == 0 || strcmp(name, id) == 0))
			return true;
		free(TAKE_PTR(*ret_netdev));
	}
	return false;
}

void keeper_nic_remove(struct keeper *k, const char *id, struct ctl_reply *ret)
{
	static const char *const places[] = {
		"/machine/peripheral", "/machine/peripheral-anon", "/machine/unattached"};
	char path[QMP_PATH_BYTES], name[CTL_ID_BYTES];
	struct keeper_network *n = keeper_find(k, id);
	_cleanup_free_ char *netdev = NULL;
	bool found = false;

	(void)snprintf(name, sizeof(name), "%s", id);
	if (n)
		keeper_qemu_name(k, n, name);
	for (unsigned int i = 0; i < ARRAY_SIZE(places) && !found; i++)
		found = find_in(k, places[i], id, name, path, &netdev);
	if (k->qmp.lines.fd < 0 || (!found && !n)) {
		ctl_reply_fail(ret,
			k->qmp.lines.fd < 0 ? "QEMU has no monitor for vmlan: it is too old, or is ending"
					    : "there is no NIC '%s', and none with that back end; see vmlan "
					      "info network",
			id);
		return;
	}
	if (found && qmp_unplug(&k->qmp, path, KEEPER_UNPLUG_MS) < 0) {
		ctl_reply_fail(ret, "%s", k->qmp.error);
		return;
	}
	/* By the device's name: the network is the one whose back end it had. */
	for (unsigned int i = 0; i < k->n_networks && !n && netdev; i++) {
		keeper_qemu_name(k, &k->networks[i], name);
		if (strcmp(name, netdev) == 0)
			n = &k->networks[i];
	}
	if (del_back_end(k, netdev ? netdev : name) < 0 && !n)
		ctl_reply_add(ret, "the NIC is gone, its back end stays: %s\n", k->qmp.error);
	if (n)
		end_network(k, n);
}
