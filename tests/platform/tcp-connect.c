/* SPDX-License-Identifier: BSD-2-Clause */
/* What a non-blocking connect() says, and when epoll does: a watch set before connect() reports EPOLLHUP
 * at once; one set after it reports the outcome even if that came first. Local ports that have run out
 * are EADDRNOTAVAIL at once, per destination. */
#include "platform.h"

static int begin(const union sock_addr *a, int *ret_error)
{
	int fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));

	*ret_error = connect(fd, &a->sa, sizeof(a->in4)) < 0 ? errno : 0;
	return fd;
}

static uint32_t first_events(int fd)
{
	_cleanup_close_ int e = MUST(epoll_create1(EPOLL_CLOEXEC));
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET};

	MUST(epoll_ctl(e, EPOLL_CTL_ADD, fd, &ev));
	return epoll_wait(e, &ev, 1, 1000) == 1 ? ev.events : 0;
}

/* How many connections to one address, until there is no port left. */
static unsigned int exhaust(union sock_addr *a)
{
	unsigned int n = 0;
	int error;

	for (;; n++) {
		(void)begin(a, &error);
		if (error && error != EINPROGRESS)
			break;
		ASSUME(n < 100, "the range of local ports is not kept");
	}
	ASSUME(error == EADDRNOTAVAIL, "without local ports connect() says %s", strerror(error));
	a->in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	(void)begin(a, &error);
	ASSUME(error != EADDRNOTAVAIL, "ports are shared between destinations");
	return n;
}

int main(void)
{
	union sock_addr a, closed;
	int listener, fd, error, refused;
	unsigned int n;

	platform_enter_net();
	(void)close(platform_listen(AF_INET, &closed));
	listener = platform_listen(AF_INET, &a);
	fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	ASSUME(first_events(fd) & EPOLLHUP, "a socket that is not connected reports no EPOLLHUP");

	fd = begin(&a, &error);
	ASSUME(error == 0 || error == EINPROGRESS, "connect(): %s", strerror(error));
	MUST(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	ASSUME(first_events(fd) == EPOLLOUT, "no EPOLLOUT for a connection that came before the watch");

	fd = begin(&closed, &refused);
	if (refused == EINPROGRESS) {
		ASSUME(first_events(fd) & EPOLLERR, "no EPOLLERR for a refusal that came before the watch");
		ASSUME(platform_get_int(fd, SOL_SOCKET, SO_ERROR) == ECONNREFUSED,
			"SO_ERROR is not the refusal");
	} else {
		ASSUME(refused == ECONNREFUSED, "a refusal is %s", strerror(refused));
	}

	platform_write_file("/proc/sys/net/ipv4/ip_local_port_range", "40000 40009");
	n = exhaust(&a);
	platform_says(
		"connect() over the loopback says \"%s\", refused \"%s\"; of 10 local ports %u serve one "
		"destination, then EADDRNOTAVAIL",
		error ? strerror(error) : "connected at once", strerror(refused), n);
	return 0;
}
