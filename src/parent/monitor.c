/* SPDX-License-Identifier: BSD-2-Clause */
/* The answers are QEMU's, so that what reads them goes on as it is. Forwards are the parent's own. Flows are
 * the engine's, which is asked for one message of them after the other, at most FLOWS_MAX in all; meanwhile
 * other messages of it are taken as always. Nothing that it says is text: it sends numbers, and here they are
 * written. */
#include "monitor.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>

#include "clock.h"
#include "ctl_server.h"
#include "gateway.h"
#include "log.h"
#include "usernet.h"

#define FLOWS_MAX         10000u
#define ENGINE_TIMEOUT_MS 3000

struct monitor {
	struct monitor_config c;
	struct ctl_server *server;
	/* While the engine is asked. */
	struct flow_info *flows; /* heap, FLOWS_MAX */
	size_t n_flows;
	uint64_t at;
	bool waiting;
};

void monitor_take_flows(struct monitor *m, const struct msg_flows *f)
{
	size_t n = m && m->waiting ? MIN((size_t)f->n, FLOWS_MAX - m->n_flows) : 0;

	if (!m || !m->waiting)
		return;
	memcpy(m->flows + m->n_flows, f->v, n * sizeof(*f->v));
	m->n_flows += n;
	m->at = f->at;
	m->waiting = false;
}

/* One message of flows: 0 or -errno. */
static int ask_engine(struct monitor *m, uint64_t end_ms)
{
	struct msg q = {.type = MSG_GET_FLOWS, .fd = -1, .flows.at = m->at};
	int r;

	m->waiting = true;
	r = child_tell(m->c.child, &q);
	while (r == 0 && m->waiting) {
		uint64_t now_ms = clock_now_ms();
		struct pollfd p = {.fd = m->c.child->msg_fd, .events = POLLIN};

		if (p.fd < 0)
			r = -ENOTCONN;
		else if (now_ms >= end_ms || poll(&p, 1, (int)(end_ms - now_ms)) == 0)
			r = -ETIMEDOUT;
		else
			m->c.read_engine(m->c.ctx);
	}
	m->waiting = false;
	return r;
}

static void info_usernet(struct monitor *m, bool is_parent, struct ctl_reply *ret)
{
	const struct user_conf *c = m->c.conf;
	uint64_t end_ms = clock_now_ms() + ENGINE_TIMEOUT_MS;
	char *table;
	int r = 0;

	m->flows = calloc(FLOWS_MAX, sizeof(*m->flows));
	m->n_flows = 0;
	m->at = 0;
	if (!m->flows) {
		ctl_reply_fail(ret, "no memory");
		return;
	}
	while (r == 0 && m->at != GATEWAY_FLOWS_END && m->n_flows < FLOWS_MAX)
		r = ask_engine(m, end_ms);
	if (r < 0)
		ctl_reply_fail(ret, "the engine does not say what connections there are: %s", strerror(-r));
	table = usernet_table(c, m->c.forwards, m->flows, m->n_flows, FLOWS_MAX);
	if (!is_parent)
		ctl_reply_add(ret, "Hub -1 (%s):\n", c->name);
	ctl_reply_add(ret, "%s", table ? table : "");
	free(table);
	free(m->flows);
	m->flows = NULL;
}

static void info_network(const struct monitor *m, struct ctl_reply *ret)
{
	static const char *const kinds[] = {[USER_PORT_STREAM_LISTEN] = "stream",
		[USER_PORT_STREAM_CONNECT] = "stream",
		[USER_PORT_VHOST_LISTEN] = "vhost-user",
		[USER_PORT_VHOST_CONNECT] = "vhost-user",
		[USER_PORT_FD] = "fd",
		[USER_PORT_NETNS] = "tap"};
	const struct user_conf *c = m->c.conf;
	char net[INET_ADDRSTRLEN];

	ctl_reply_add(ret, "%s: index=0,type=user,net=%s,restrict=%s\n", c->name,
		inet_ntop(AF_INET, &c->net_be, net, sizeof(net)), c->restricted ? "on" : "off");
	for (unsigned int i = 0; i < c->n_ports; i++) {
		const struct user_port *p = &c->ports[i];

		ctl_reply_add(ret, " \\ port%u: index=0,type=%s,", i, kinds[p->kind]);
		if (p->kind == USER_PORT_FD)
			ctl_reply_add(ret, "fd=%d\n", p->fd);
		else if (p->kind == USER_PORT_NETNS)
			ctl_reply_add(ret, "ifname=%s,netns=%s\n", p->ifname, p->fresh ? "new" : p->path);
		else
			ctl_reply_add(ret, "path=%s\n", p->path);
	}
}

static void add_forward(struct monitor *m, const char *rule, struct ctl_reply *ret)
{
	struct user_forward f;
	struct conf_error e;
	char text[FORWARD_TEXT_BYTES];
	int place, r;

	if (!user_conf_parse_hostfwd(rule, m->c.conf->any_host, &f, &e) ||
		!user_conf_check_forward(m->c.conf, &f, &e)) {
		ctl_reply_fail(ret, "Invalid host forwarding rule '%s' (%s)", rule, e.text);
		return;
	}
	place = forwards_add(m->c.forwards, &f);
	if (place < 0) {
		ctl_reply_fail(
			ret, "Could not set up host forwarding rule '%s': %s", rule, forward_why(place));
		return;
	}
	/* An engine that is just being replaced is told with everything else. */
	r = m->c.child->msg_fd < 0 ? 0 : child_tell_forward(m->c.child, m->c.forwards, (unsigned int)place);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET) {
		forwards_del(m->c.forwards, (unsigned int)place);
		ctl_reply_fail(ret, "Could not set up host forwarding rule '%s': %s", rule, strerror(-r));
		return;
	}
	if (f.host_port == 0) {
		forward_text(&m->c.forwards->v[place].rule, text);
		ctl_reply_add(ret, "forwarding %s to the guest's port %u\n", text, f.guest_port);
	}
}

static void remove_forward(struct monitor *m, const char *rule, struct ctl_reply *ret)
{
	struct msg d = {.type = MSG_DEL_FORWARD, .fd = -1};
	struct user_forward f;
	int place;

	if (!user_conf_parse_hostfwd_key(rule, m->c.conf->any_host, &f)) {
		ctl_reply_fail(ret, "invalid format");
		return;
	}
	place = forwards_find(m->c.forwards, &f);
	if (place < 0) {
		ctl_reply_fail(ret, "host forwarding rule for %s not found", rule);
		return;
	}
	/* It listens until the engine has closed it too. */
	d.forward.id = (uint16_t)place;
	if (m->c.child->msg_fd >= 0)
		(void)child_tell(m->c.child, &d);
	forwards_del(m->c.forwards, (unsigned int)place);
	ctl_reply_add(ret, "host forwarding rule for %s removed\n", rule);
}

static void list_forwards(const struct monitor *m, struct ctl_reply *ret)
{
	char rule[FORWARD_RULE_BYTES];

	for (unsigned int i = 0; i < m->c.forwards->n; i++) {
		if (m->c.forwards->v[i].fd < 0)
			continue;
		forward_rule(m->c.conf, &m->c.forwards->v[i].rule, rule);
		ctl_reply_add(ret, "%s\n", rule);
	}
}

static bool check_id(const struct monitor *m, const struct ctl_request *q, struct ctl_reply *ret)
{
	if (!q->id[0] || strcmp(q->id, m->c.conf->name) == 0)
		return true;
	ctl_reply_fail(ret, "unrecognized netdev id '%s'", q->id);
	return false;
}

static void handle(void *ctx, const struct ctl_request *q, bool is_parent, struct ctl_reply *ret)
{
	struct monitor *m = ctx;

	if (!check_id(m, q, ret))
		return;
	switch (q->op) {
	case CTL_INFO_NETWORK:
		info_network(m, ret);
		break;
	case CTL_INFO_USERNET:
		info_usernet(m, is_parent, ret);
		break;
	case CTL_HOSTFWD_ADD:
		add_forward(m, q->arg, ret);
		break;
	case CTL_HOSTFWD_REMOVE:
		remove_forward(m, q->arg, ret);
		break;
	case CTL_HOSTFWD_LIST:
		list_forwards(m, ret);
		break;
	case CTL_END:
		if (is_parent)
			m->c.end(m->c.ctx);
		else
			ctl_reply_fail(ret, "send SIGTERM to end a network");
		break;
	case CTL_NIC_ADD:
	case CTL_NIC_REMOVE:
	case CTL_OP_MAX:
		ctl_reply_fail(ret, "that is no guest, but a network: it has no NICs");
		break;
	}
}

int monitor_new(const struct monitor_config *c, struct monitor **ret)
{
	struct monitor *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	*ret = m;
	m->c = *c;
	r = ctl_server_new(
		&(struct ctl_server_config){.loop = c->loop, .handle = handle, .ctx = m}, &m->server);
	if (r == 0 && c->conf->control_fd >= 0)
		r = ctl_server_add(m->server, c->conf->control_fd);
	if (r < 0 || !c->conf->control)
		return r;
	r = ctl_server_listen(m->server, CTL_USER, c->conf->name, getpid());
	if (r < 0)
		log_warn("no control socket (%s): vmlan info and vmlan hostfwd cannot reach this network",
			strerror(-r));
	return 0;
}

struct monitor *monitor_free(struct monitor *m)
{
	if (m)
		m->server = ctl_server_free(m->server);
	free(m);
	return NULL;
}
