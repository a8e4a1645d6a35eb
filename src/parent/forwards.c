/* SPDX-License-Identifier: BSD-2-Clause */
#include "forwards.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#define BACKLOG 4096

static int set_option(int fd, int level, int name)
{
	int on = 1;

	return setsockopt(fd, level, name, &on, sizeof(on)) < 0 ? -errno : 0;
}

/* Out-of-band data stays in line: a peek by offset would read it wrong. */
static int prepare_tcp(int fd)
{
	int r = set_option(fd, SOL_SOCKET, SO_REUSEADDR);

	if (r == 0)
		r = set_option(fd, SOL_SOCKET, SO_OOBINLINE);
	return r < 0 ? r : set_option(fd, IPPROTO_TCP, TCP_NODELAY);
}

int forward_open(const struct user_forward *f)
{
	bool tcp = f->proto == IPPROTO_TCP;
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(f->host_port), .sin_addr.s_addr = f->host_be};
	_cleanup_close_ int fd =
		socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	int r = tcp ? prepare_tcp(fd) : set_option(fd, IPPROTO_IP, IP_PKTINFO);
	if (r < 0)
		return r;
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	if (tcp && listen(fd, BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

void forward_text(const struct user_forward *f, char ret[FORWARD_TEXT_BYTES])
{
	char addr[INET_ADDRSTRLEN];

	(void)snprintf(ret, FORWARD_TEXT_BYTES, "%s %s:%u", f->proto == IPPROTO_TCP ? "tcp" : "udp",
		inet_ntop(AF_INET, &f->host_be, addr, sizeof(addr)), f->host_port);
}

void forward_rule(const struct user_conf *c, const struct user_forward *f, char ret[FORWARD_RULE_BYTES])
{
	uint32_t guest_be = f->guest_be ? f->guest_be : c->dhcp_start_be;
	char host[INET_ADDRSTRLEN], guest[INET_ADDRSTRLEN];

	(void)snprintf(ret, FORWARD_RULE_BYTES, "%s:%s:%u-%s:%u", f->proto == IPPROTO_TCP ? "tcp" : "udp",
		inet_ntop(AF_INET, &f->host_be, host, sizeof(host)), f->host_port,
		inet_ntop(AF_INET, &guest_be, guest, sizeof(guest)), f->guest_port);
}

const char *forward_why(int error)
{
	if (error == -EACCES)
		return "Permission denied (ports below net.ipv4.ip_unprivileged_port_start are root's: "
		       "sysctl -w net.ipv4.ip_unprivileged_port_start=0)";
	return error == -ENOSPC ? "there are as many forwards as there may be" : strerror(-error);
}

int forwards_init(struct forwards *f, const struct user_conf *c)
{
	f->n_max = MIN(c->n_forwards + USER_FORWARDS_LATER, (unsigned int)USER_FORWARDS_MAX);
	f->v = calloc(f->n_max, sizeof(*f->v));
	return f->v ? 0 : -ENOMEM;
}

void forwards_done(struct forwards *f)
{
	for (unsigned int i = 0; i < f->n; i++)
		util_close(&f->v[i].fd);
	free(f->v);
	*f = (struct forwards){0};
}

int forwards_add(struct forwards *f, const struct user_forward *rule)
{
	struct sockaddr_in a = {0};
	socklen_t n = sizeof(a);
	unsigned int i = 0;
	int fd;

	while (i < f->n && f->v[i].fd >= 0)
		i++;
	if (i == f->n_max)
		return -ENOSPC;
	fd = forward_open(rule);
	if (fd < 0)
		return fd;
	f->v[i] = (struct forward){.rule = *rule, .fd = fd};
	if (getsockname(fd, (struct sockaddr *)&a, &n) == 0)
		f->v[i].rule.host_port = ntohs(a.sin_port);
	f->n = MAX(f->n, i + 1);
	return (int)i;
}

void forwards_del(struct forwards *f, unsigned int place)
{
	util_close(&f->v[place].fd);
}

int forwards_find(const struct forwards *f, const struct user_forward *like)
{
	for (unsigned int i = 0; i < f->n; i++) {
		const struct user_forward *r = &f->v[i].rule;

		if (f->v[i].fd >= 0 && r->proto == like->proto && r->host_be == like->host_be &&
			r->host_port == like->host_port)
			return (int)i;
	}
	return -ENOENT;
}
