/* SPDX-License-Identifier: BSD-2-Clause */
/* The tap is made, and everything about it set, before anybody has it, and it comes up last: a guest never has a
 * port that is not isolated yet. A bridge that is given no MAC takes the lowest one of its ports, and would change
 * it as guests come and go: those of taps therefore begin with fe, as high as such addresses go. */
#include "bridge_tap.h"

#include <stdarg.h>
#include <stdio.h>

#include "netlink.h"
#include "tun.h"

#define MARK "vmlan:" /* begins the alias of a network's bridge, its name follows */

static _printf_(3, 4) int fail(char ret_why[BRIDGE_TAP_WHY_BYTES], int r, const char *format, ...)
{
	va_list ap;

	if (r >= 0)
		return r;
	va_start(ap, format);
	(void)vsnprintf(ret_why, BRIDGE_TAP_WHY_BYTES, format, ap);
	va_end(ap);
	return r;
}

bool bridge_is_isolated(const struct host_link *bridge)
{
	const char *network = bridge->alias + strlen(MARK);
	char path[HOST_PATH_BYTES];

	if (strncmp(bridge->alias, MARK, strlen(MARK)) != 0 || !*network || strchr(network, '/'))
		return false;
	(void)snprintf(path, sizeof(path), BRIDGE_ISOLATED_PATH, network);
	/* What cannot be looked at is not taken for an open door. */
	return access(path, F_OK) == 0 || errno != ENOENT;
}

static int find_bridge(struct netlink *nl, const char *name, struct host_link *ret, char why[BRIDGE_TAP_WHY_BYTES])
{
	int r = netlink_link_find(nl, name, ret);

	if (r == -ENODEV)
		return fail(why, r, "there is no bridge %s", name);
	if (r < 0)
		return fail(why, r, "cannot look for the bridge %s: %s", name, strerror(-r));
	if (strcmp(ret->kind, "bridge") != 0)
		return fail(why, -ENOTSUP, "the interface %s is no bridge", name);
	return 0;
}

/* tap: its name. */
static int join(struct netlink *nl, const char *tap, const struct host_link *bridge, char why[BRIDGE_TAP_WHY_BYTES])
{
	struct host_link l;
	int r = netlink_link_find(nl, tap, &l);

	if (r == 0) {
		l.mac[0] = 0xfe;
		r = netlink_port_join(nl, l.index, bridge->index, bridge->mtu, l.mac);
	}
	if (r < 0)
		return fail(why, r, "cannot put %s into the bridge %s: %s", tap, bridge->name, strerror(-r));
	if (bridge_is_isolated(bridge))
		r = netlink_port_set_isolated(nl, l.index, true);
	if (r < 0)
		return fail(why, r, "cannot isolate %s: %s", tap, strerror(-r));
	r = netlink_link_up(nl, l.index);
	return fail(why, r, "cannot bring %s up: %s", tap, strerror(-r));
}

static int open_queues(
	const struct bridge_tap_options *o, int *fds, char ret_name[IFNAMSIZ], char why[BRIDGE_TAP_WHY_BYTES])
{
	struct tun_options t = {.vnet_hdr = o->vnet_hdr, .multi_queue = o->n_queues > 1};

	(void)snprintf(ret_name, IFNAMSIZ, "tap%%d");
	for (unsigned int i = 0; i < o->n_queues; i++) {
		fds[i] = tun_open_queue(ret_name, &t);
		if (fds[i] < 0)
			return fail(why, fds[i], "cannot make a tap by " TUN_PATH ": %s%s", strerror(-fds[i]),
				fds[i] == -EACCES ? " (it should be open to all: chmod 0666 " TUN_PATH ")" : "");
	}
	return 0;
}

int bridge_tap_make(const struct bridge_tap_options *o, int *fds, char ret_why[BRIDGE_TAP_WHY_BYTES])
{
	_cleanup_(netlink_close) struct netlink nl = {0};
	struct host_link bridge;
	char name[IFNAMSIZ];
	int r = netlink_open(&nl);

	for (unsigned int i = 0; i < o->n_queues; i++)
		fds[i] = -1;
	(void)fail(ret_why, r, "cannot speak netlink: %s", strerror(-r));
	if (r == 0)
		r = find_bridge(&nl, o->bridge, &bridge, ret_why);
	if (r == 0)
		r = open_queues(o, fds, name, ret_why);
	if (r == 0)
		r = join(&nl, name, &bridge, ret_why);
	for (unsigned int i = 0; r < 0 && i < o->n_queues; i++)
		util_close(&fds[i]);
	return r;
}
