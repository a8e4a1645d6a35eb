/* SPDX-License-Identifier: BSD-2-Clause */
#include "guests.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "log.h"
#include "unixsock.h"

#define MTU_NETNS         65520
#define MTU_ETHERNET      1500
#define DIAL_DELAY_MS     100
#define DIAL_DELAY_MAX_MS 1000
#define DIAL_SHORT_MS     1000 /* a connection that ends within this time was none */

uint16_t guests_mtu(const struct user_conf *conf)
{
	if (conf->mtu)
		return conf->mtu;
	for (unsigned int i = 0; i < conf->n_ports; i++)
		if (conf->ports[i].kind != USER_PORT_NETNS)
			return MTU_ETHERNET;
	return MTU_NETNS;
}

static const char *listen_reason(int r)
{
	switch (-r) {
	case EADDRINUSE:
		return "another process listens there";
	case EEXIST:
		return "there is a file of that name that is no socket";
	case ENAMETOOLONG:
		return "the path is too long for a socket (107 bytes)";
	default:
		return strerror(-r);
	}
}

static int open_listener(struct guest *g, enum msg_port_kind kind)
{
	g->kind = kind;
	g->fd = unixsock_listen(g->conf->path, &g->made);
	if (g->fd < 0)
		log_error("cannot listen on %s: %s", g->conf->path, listen_reason(g->fd));
	return g->fd;
}

static int given_socket_kind(int fd, bool vhost, enum msg_port_kind *ret)
{
	int type = 0, listens = 0;
	socklen_t n_type = sizeof(type), n_listens = sizeof(listens);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n_type) < 0 ||
		getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n_listens) < 0)
		return -errno;
	if (vhost)
		*ret = listens ? MSG_PORT_VHOST_LISTENING : MSG_PORT_VHOST_CONNECTED;
	else
		*ret = listens ? MSG_PORT_STREAM_LISTENING : MSG_PORT_STREAM_CONNECTED;
	return type == SOCK_STREAM ? 0 : -ESOCKTNOSUPPORT;
}

static int given_tap_check(int fd)
{
	struct ifreq r = {0};

	if (ioctl(fd, TUNGETIFF, &r) < 0)
		return -errno;
	bool fits = (r.ifr_flags & IFF_TAP) && (r.ifr_flags & IFF_NO_PI) && (r.ifr_flags & IFF_VNET_HDR);
	return fits ? 0 : -EINVAL;
}

static int open_given(struct guest *g)
{
	struct stat st;
	int r = fstat(g->conf->fd, &st) < 0 ? -errno : 0;

	if (r == 0 && S_ISSOCK(st.st_mode)) {
		r = given_socket_kind(g->conf->fd, g->conf->vhost, &g->kind);
	} else if (r == 0 && g->conf->vhost) {
		r = -ENOTSOCK;
	} else if (r == 0) {
		g->kind = MSG_PORT_TAP;
		r = given_tap_check(g->conf->fd);
	}
	if (r == 0 &&
		(fcntl(g->conf->fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(g->conf->fd, F_SETFL, O_NONBLOCK) < 0))
		r = -errno;
	if (r == 0)
		g->fd = g->conf->fd;
	else
		log_error("fd:%d is neither a stream socket nor a tap with IFF_NO_PI and IFF_VNET_HDR: %s",
			g->conf->fd, strerror(-r));
	return r;
}

/* `place`: the how many-th namespace it is; each gets the next address. */
static void tap_config(
	const struct user_conf *conf, const struct user_port *p, unsigned int place, struct netns_tap *ret)
{
	*ret = (struct netns_tap){
		.mtu = guests_mtu(conf),
		.noconfig = p->noconfig,
		.addr_be = htonl(ntohl(conf->dhcp_start_be) + place),
		.prefix = (unsigned int)__builtin_popcount(conf->mask_be),
		.gateway_be = conf->restricted ? 0 : conf->host_be,
	};
	memcpy(ret->ifname, p->ifname, sizeof(ret->ifname));
	netns_stable_mac(p->fresh ? "" : p->path, p->ifname, ret->mac);
}

static int open_fresh(const struct user_conf *conf, const struct rlimit *n_files, struct guest *g,
	unsigned int place, struct command *ret_command)
{
	char what[NETNS_WHAT_BYTES], search[USER_SEARCH_MAX * USER_NAME_BYTES] = "";
	struct command_config c = {
		.argv = conf->command, .dns_be = conf->dns_be, .search = search, .n_files = *n_files};
	size_t at = 0;

	for (unsigned int i = 0; i < conf->n_search; i++)
		at += (size_t)snprintf(
			search + at, sizeof(search) - at, "%s%s", i ? " " : "", conf->search[i]);
	tap_config(conf, g->conf, place, &c.tap);
	g->fd = command_prepare(&c, ret_command, what);
	if (g->fd < 0)
		log_error("%s: %s: %s", conf->command[0], what, strerror(-g->fd));
	return g->fd;
}

static int open_namespace(const struct user_conf *conf, struct guest *g, unsigned int place)
{
	char what[NETNS_WHAT_BYTES];
	struct netns_tap t;

	if (g->conf->pid > 0) {
		g->pid_fd = (int)syscall(SYS_pidfd_open, g->conf->pid, 0);
		if (g->pid_fd < 0 && errno != ENOSYS) {
			log_error("process %d: %s", (int)g->conf->pid, strerror(errno));
			return -errno;
		}
	}
	if (stat(g->conf->path, &g->made) < 0) {
		log_error("%s: %s", g->conf->path, strerror(errno));
		return -errno;
	}
	tap_config(conf, g->conf, place, &t);
	g->fd = netns_make_tap_in(g->conf->path, &t, what);
	if (g->fd < 0)
		log_error("%s: %s", what, strerror(-g->fd));
	return g->fd;
}

void guests_init(const struct user_conf *conf, struct guest *ret)
{
	for (unsigned int i = 0; i < conf->n_ports; i++)
		ret[i] = (struct guest){.conf = &conf->ports[i], .fd = -1, .pid_fd = -1};
}

bool guests_open(const struct user_conf *conf, const struct rlimit *n_files, struct guest *ret,
	struct command *ret_command)
{
	unsigned int n_namespaces = 0;

	for (unsigned int i = 0; i < conf->n_ports; i++) {
		struct guest *g = &ret[i];
		int r = 0;

		switch (g->conf->kind) {
		case USER_PORT_STREAM_LISTEN:
			r = open_listener(g, MSG_PORT_STREAM_LISTENING);
			break;
		case USER_PORT_STREAM_CONNECT:
			g->kind = MSG_PORT_STREAM_DIALLED;
			break;
		case USER_PORT_VHOST_LISTEN:
			r = open_listener(g, MSG_PORT_VHOST_LISTENING);
			break;
		case USER_PORT_VHOST_CONNECT:
			g->kind = MSG_PORT_VHOST_DIALLED;
			break;
		case USER_PORT_FD:
			r = open_given(g);
			break;
		case USER_PORT_NETNS:
			g->kind = MSG_PORT_TAP;
			if (g->conf->fresh)
				r = open_fresh(conf, n_files, g, n_namespaces++, ret_command);
			else
				r = open_namespace(conf, g, n_namespaces++);
			break;
		case USER_PORT_KIND_MAX:
			r = -EINVAL;
		}
		if (r < 0)
			return false;
	}
	return true;
}

void guest_close(struct guest *g)
{
	if (g->fd >= 0 && (g->conf->kind == USER_PORT_STREAM_LISTEN || g->conf->kind == USER_PORT_VHOST_LISTEN))
		unixsock_remove(g->conf->path, &g->made);
	util_close(&g->fd);
	util_close(&g->pid_fd);
	g->closed = true;
	g->dial_ms = 0;
}

void guests_done(struct guest *g, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		guest_close(&g[i]);
}

static void name_of(const struct guest *g, unsigned int id, char ret[MSG_PORT_NAME_BYTES])
{
	const char *slash = strrchr(g->conf->path, '/');

	switch (g->conf->kind) {
	case USER_PORT_NETNS:
		(void)snprintf(ret, MSG_PORT_NAME_BYTES, "%u:%s", id, g->conf->ifname);
		break;
	case USER_PORT_FD:
		(void)snprintf(ret, MSG_PORT_NAME_BYTES, "%u:fd%d", id, g->conf->fd);
		break;
	default:
		(void)snprintf(ret, MSG_PORT_NAME_BYTES, "%u:%.24s", id, slash ? slash + 1 : g->conf->path);
	}
	for (char *c = ret; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

void guest_add_msg(const struct guest *g, unsigned int id, struct msg *ret)
{
	ret->type = MSG_ADD_PORT;
	ret->fd = msg_port_is_dialled(g->kind) ? -1 : g->fd;
	memset(&ret->port, 0, sizeof(ret->port));
	ret->port.id = (uint8_t)id;
	ret->port.kind = g->kind;
	name_of(g, id, ret->port.name);
}

bool guest_is_gone(const struct guest *g)
{
	struct stat st;

	if (g->closed || g->conf->kind != USER_PORT_NETNS || g->conf->fresh || g->pid_fd >= 0)
		return false;
	return stat(g->conf->path, &st) < 0 || st.st_dev != g->made.st_dev || st.st_ino != g->made.st_ino;
}

static void dial_later(struct guest *g, uint64_t now_ms)
{
	g->delay_ms = MIN(MAX(g->delay_ms * 2, (unsigned int)DIAL_DELAY_MS), (unsigned int)DIAL_DELAY_MAX_MS);
	g->dial_ms = now_ms + g->delay_ms;
}

int guest_dial(struct guest *g, uint64_t now_ms)
{
	if (!g->dial_ms || g->dial_ms > now_ms)
		return -1;
	int fd = unixsock_connect(g->conf->path);
	if (fd >= 0) {
		g->dial_ms = 0;
		g->dialled_ms = now_ms;
		return fd;
	}
	if (g->delay_ms == 0 && fd != -EAGAIN)
		log_info("%s: %s; trying again", g->conf->path, listen_reason(fd));
	dial_later(g, now_ms);
	return -1;
}

void guest_dial_again(struct guest *g, uint64_t now_ms)
{
	if (!msg_port_is_dialled(g->kind) || g->closed || g->dial_ms)
		return;
	if (g->dialled_ms && now_ms - g->dialled_ms < DIAL_SHORT_MS) {
		dial_later(g, now_ms);
		return;
	}
	g->delay_ms = 0;
	g->dial_ms = now_ms;
}
