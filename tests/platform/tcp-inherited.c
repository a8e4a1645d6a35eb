/* SPDX-License-Identifier: BSD-2-Clause */
/* What accept() hands on from the listener, so that it need not be set anew; and that accept() at the
 * limit of descriptors leaves the connection waiting: by level epoll spins on it, by edge it is silent,
 * so a listener must be looked at again when descriptors come free. */
#include <sys/resource.h>

#include "platform.h"

static void on_listener(int fd)
{
	MUST(platform_set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1));
	MUST(platform_set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1));
}

static void check_descriptor_limit(void)
{
	union sock_addr a;
	_cleanup_close_ int listener = platform_listen(AF_INET, &a), e = MUST(epoll_create1(EPOLL_CLOEXEC));
	_cleanup_close_ int fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	struct rlimit old, tight;
	int spare;

	MUST(epoll_ctl(e, EPOLL_CTL_ADD, listener, &ev));
	MUST(connect(fd, &a.sa, sizeof(a.in4)));
	MUST(getrlimit(RLIMIT_NOFILE, &old));
	spare = MUST(dup(0));
	(void)close(spare);
	tight = (struct rlimit){.rlim_cur = (rlim_t)spare, .rlim_max = old.rlim_max};
	MUST(setrlimit(RLIMIT_NOFILE, &tight));
	ASSUME(epoll_wait(e, &ev, 1, 1000) == 1, "no edge for a connection");
	ASSUME(accept(listener, NULL, NULL) < 0 && errno == EMFILE, "accept() goes beyond RLIMIT_NOFILE");
	ASSUME(epoll_wait(e, &ev, 1, 50) == 0, "a second edge for the same connection");
	ASSUME(platform_wait(listener, POLLIN, 50) & POLLIN, "the connection was lost at the limit");
	tight.rlim_cur = tight.rlim_max; /* what the engine does at its start */
	ASSUME(setrlimit(RLIMIT_NOFILE, &tight) == 0, "the soft limit cannot be raised to the hard one");
	(void)close(MUST(accept(listener, NULL, NULL)));
}

int main(void)
{
	int s[2];

	platform_enter_net();
	platform_tcp_pair(AF_INET, on_listener, s);
	ASSUME(platform_get_int(s[0], IPPROTO_TCP, TCP_NODELAY), "accept() does not inherit TCP_NODELAY");
	ASSUME(platform_get_int(s[0], SOL_SOCKET, SO_KEEPALIVE), "accept() does not inherit SO_KEEPALIVE");
	check_descriptor_limit();
	platform_says("accept() inherits TCP_NODELAY and SO_KEEPALIVE; at RLIMIT_NOFILE a connection waits, "
		      "by edge "
		      "in silence");
	return 0;
}
