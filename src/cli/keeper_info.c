/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU is asked how its NICs and back ends are joined, since it knows also of what its own monitor did; its
 * answer is passed on with those back ends put right that are networks of ours: to QEMU they are sockets.
 *
 *   e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56
 *    \ vmlan0: index=0,type=stream,                        becomes type=user,net=10.0.2.0,restrict=off
 *    \ #net055: index=0,type=vhost-user,vhost-user0 to vmlan0-socket
 *    \ #net070: index=0,type=socket,socket: fd=3
 *
 * Connections and forwards are asked of our networks, and then of QEMU, for the user back ends that are its
 * own. */
#include <arpa/inet.h>
#include <stdio.h>

#include "ctl_call.h"
#include "keeper_internal.h"
#include "qemu_info.h"

/* Is that the back end which the network is? */
static bool is_network(const struct qemu_info_row *r, const struct guest_network *n)
{
	static const char *const types[] = {"stream,", "socket,", "vhost-user,"};
	char told[64];
	const char *rest = NULL;

	for (unsigned int i = 0; i < ARRAY_SIZE(types) && !rest; i++)
		if (strncmp(r->type, types[i], strlen(types[i])) == 0)
			rest = r->type + strlen(types[i]);
	if (!rest)
		return false;
	if (strlen(n->name) == r->n_name && strncmp(r->name, n->name, r->n_name) == 0)
		return true;
	/* One that QEMU has made up a name for is known by what it leads to. */
	if (n->by_vhost)
		(void)snprintf(told, sizeof(told), " to %.40s-socket", n->name);
	else
		(void)snprintf(told, sizeof(told), "fd=%d", n->guest_number);
	rest = r->name[0] == '#' ? strstr(rest, told) : NULL;
	return rest && strspn(rest + strlen(told), "-") == strlen(rest + strlen(told));
}

static const struct guest_network *network_of(const struct keeper *k, const struct qemu_info_row *r)
{
	for (unsigned int i = 0; i < k->n_networks; i++)
		if (is_network(r, &k->networks[i].n))
			return &k->networks[i].n;
	return NULL;
}

static void put_network(const struct guest_network *n, struct ctl_reply *ret)
{
	char net[INET_ADDRSTRLEN];

	ctl_reply_add(ret, ",type=user,net=%s,restrict=%s\n",
		inet_ntop(AF_INET, &n->conf->net_be, net, sizeof(net)), n->conf->restricted ? "on" : "off");
}

void keeper_info_network(struct keeper *k, struct ctl_reply *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = qmp_human(&k->qmp, "info network", KEEPER_QMP_MS, &text);
	char *next;

	if (r < 0) {
		ctl_reply_fail(ret, "%s", k->qmp.error);
		for (unsigned int i = 0; i < k->n_networks; i++) {
			ctl_reply_add(ret, "%s: index=0", k->networks[i].n.name);
			put_network(&k->networks[i].n, ret);
		}
		return;
	}
	for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		const struct guest_network *n;
		struct qemu_info_row row;

		n = qemu_info_parse_row(line, &row) ? network_of(k, &row) : NULL;
		if (!n) {
			ctl_reply_add(ret, "%s\n", line);
			continue;
		}
		ctl_reply_add(ret, "%.*s%s: %.*s", (int)(row.name - line), line, n->name, (int)row.n_index,
			row.index);
		put_network(n, ret);
	}
}

void keeper_qemu_name(struct keeper *k, const struct keeper_network *n, char ret[CTL_ID_BYTES])
{
	_cleanup_free_ char *text = NULL;
	char *next;

	if (qmp_human(&k->qmp, "info network", KEEPER_QMP_MS, &text) < 0)
		return;
	for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		struct qemu_info_row row;

		if (qemu_info_parse_row(line, &row) && is_network(&row, &n->n))
			(void)snprintf(ret, CTL_ID_BYTES, "%.*s", (int)row.n_name, row.name);
	}
}

bool keeper_ask_network(const struct guest_network *n, enum ctl_op op, const char *arg,
	struct ctl_reply *answer, struct ctl_reply *ret)
{
	_cleanup_free_ struct ctl_request *q = calloc(1, sizeof(*q));
	int r = q ? 0 : -ENOMEM;

	*answer = (struct ctl_reply){0};
	if (q) {
		q->op = op;
		(void)snprintf(q->arg, sizeof(q->arg), "%s", arg);
		r = n->control_fd < 0 ? -EPIPE : ctl_call_fd(n->control_fd, q, KEEPER_NETWORK_MS, answer);
	}
	if (r == -EPIPE || r == -ECONNRESET)
		ctl_reply_fail(ret, "network %s has ended", n->name);
	else if (r < 0)
		ctl_reply_fail(ret, "network %s does not answer: %s", n->name, strerror(-r));
	else if (answer->error)
		ctl_reply_fail(ret, "%s", answer->error);
	return r == 0;
}

void keeper_info_usernet(struct keeper *k, struct ctl_reply *ret)
{
	_cleanup_free_ char *text = NULL;
	int r;

	for (unsigned int i = 0; i < k->n_networks; i++) {
		_cleanup_(ctl_reply_done) struct ctl_reply answer = {0};
		const struct guest_network *n = &k->networks[i].n;

		ctl_reply_add(ret, "Hub %d (%s):\n", n->hub, n->name);
		if (keeper_ask_network(n, CTL_INFO_USERNET, "", &answer, ret))
			ctl_reply_add(ret, "%s", answer.text);
	}
	r = qmp_human(&k->qmp, "info usernet", KEEPER_QMP_MS, &text);
	if (r == 0)
		ctl_reply_add(ret, "%s", text);
	else if (r != -EPIPE)
		ctl_reply_fail(ret, "%s", k->qmp.error);
}

char *keeper_quote(const char *word)
{
	char *quoted = malloc(2 * strlen(word) + 3), *to = quoted;

	if (!quoted)
		return NULL;
	*to++ = '"';
	for (const char *c = word; *c; c++) {
		if (*c == '"' || *c == '\\')
			*to++ = '\\';
		*to++ = *c;
	}
	(void)strcpy(to, "\"");
	return quoted;
}

/* QEMU's hostfwd_add prints nothing when all is well, hostfwd_remove what became of the rule. */
static void hostfwd_of_qemu(struct keeper *k, const struct ctl_request *q, struct ctl_reply *ret)
{
	bool adds = q->op == CTL_HOSTFWD_ADD;
	char rule[CTL_ARG_BYTES], line[2 * (CTL_ARG_BYTES + CTL_ID_BYTES) + 32];
	_cleanup_free_ char *id = keeper_quote(q->id), *quoted = NULL, *text = NULL;

	(void)snprintf(
		rule, sizeof(rule), "%.*s", adds ? (int)sizeof(rule) : (int)strcspn(q->arg, "-"), q->arg);
	quoted = keeper_quote(rule);
	if (!id || !quoted) {
		ctl_reply_fail(ret, "no memory");
		return;
	}
	(void)snprintf(line, sizeof(line), "%s %s %s", adds ? "hostfwd_add" : "hostfwd_remove",
		q->id[0] ? id : "", quoted);
	if (qmp_human(&k->qmp, line, KEEPER_QMP_MS, &text) < 0) {
		ctl_reply_fail(ret, "%s", k->qmp.error);
		return;
	}
	text[strcspn(text, "\n")] = '\0';
	if (!*text)
		return;
	if (!adds && strlen(text) > 8 && strcmp(text + strlen(text) - 8, " removed") == 0)
		ctl_reply_add(ret, "%s\n", text);
	else
		ctl_reply_fail(ret, "%s", text);
}

void keeper_hostfwd(struct keeper *k, const struct ctl_request *q, struct ctl_reply *ret)
{
	_cleanup_(ctl_reply_done) struct ctl_reply answer = {0};
	const struct keeper_network *n = q->id[0]        ? keeper_find(k, q->id)
					 : k->n_networks ? &k->networks[0]
							 : NULL;

	if (!n)
		hostfwd_of_qemu(k, q, ret);
	else if (keeper_ask_network(&n->n, q->op, q->arg, &answer, ret))
		ctl_reply_add(ret, "%s", answer.text);
}

/* "Hub -1 (n):", and below it the rows of its forwards. */
static void list_of_qemu(char *text, struct ctl_reply *ret)
{
	char id[QEMU_INFO_NAME_BYTES] = "", *next;

	for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		struct qemu_info_forward f;

		if (!qemu_info_parse_hub(line, id) && qemu_info_parse_forward(line, &f))
			ctl_reply_add(ret, "%s %s:%s:%u-%s:%u\n", id, f.udp ? "udp" : "tcp", f.src,
				f.src_port, f.dst, f.dst_port);
	}
}

void keeper_hostfwd_list(struct keeper *k, struct ctl_reply *ret)
{
	_cleanup_free_ char *text = NULL;
	int r;

	for (unsigned int i = 0; i < k->n_networks; i++) {
		_cleanup_(ctl_reply_done) struct ctl_reply answer = {0};
		const struct guest_network *n = &k->networks[i].n;
		char *next;

		if (!keeper_ask_network(n, CTL_HOSTFWD_LIST, "", &answer, ret))
			continue;
		for (char *line = strtok_r(answer.text, "\n", &next); line;
			line = strtok_r(NULL, "\n", &next))
			ctl_reply_add(ret, "%s %s\n", n->name, line);
	}
	r = qmp_human(&k->qmp, "info usernet", KEEPER_QMP_MS, &text);
	if (r == 0)
		list_of_qemu(text, ret);
	else if (r != -EPIPE)
		ctl_reply_fail(ret, "%s", k->qmp.error);
}
