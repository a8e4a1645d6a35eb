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

void forward_text(const struct user_forward *f, int fd, char ret[FORWARD_TEXT_BYTES])
{
	struct sockaddr_in a = {.sin_port = htons(f->host_port), .sin_addr.s_addr = f->host_be};
	socklen_t n = sizeof(a);
	char addr[INET_ADDRSTRLEN];

	if (fd >= 0)
		(void)getsockname(fd, (struct sockaddr *)&a, &n);
	(void)inet_ntop(AF_INET, &a.sin_addr, addr, sizeof(addr));
	(void)snprintf(ret, FORWARD_TEXT_BYTES, "%s %s:%u", f->proto == IPPROTO_TCP ? "tcp" : "udp", addr,
		ntohs(a.sin_port));
}
