/* SPDX-License-Identifier: BSD-2-Clause */
/* Level-triggered epoll spins while peeked data waits for the guest, and while an error queue is not
 * drained. Edge-triggered it sleeps, still reports new data and the end, and EPOLL_CTL_MOD makes it say
 * again what is ready. */
#include <time.h>
#include <linux/errqueue.h>

#include "platform.h"

#define NAP_US 100000u

static int watch(int fd, uint32_t events)
{
	int e = MUST(epoll_create1(EPOLL_CLOEXEC));
	struct epoll_event ev = {.events = events};

	MUST(epoll_ctl(e, EPOLL_CTL_ADD, fd, &ev));
	return e;
}

/* How often epoll_wait() wakes within NAP_US; what is ready is peeked at each time. */
static unsigned int wakeups(int e, int fd)
{
	uint64_t end_us = platform_now_us() + NAP_US, now_us;
	struct epoll_event ev;
	unsigned int n = 0;
	char buf[64];

	while ((now_us = platform_now_us()) < end_us) {
		if (MUST(epoll_wait(e, &ev, 1, (int)((end_us - now_us) / 1000 + 1))) < 1)
			continue;
		(void)recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
		n++;
	}
	return n;
}

static void check_edges(int e, int s[2])
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};

	MUST(send(s[1], "more", 4, 0));
	ASSUME(wakeups(e, s[0]) >= 1, "no edge for new data behind peeked data");
	MUST(epoll_ctl(e, EPOLL_CTL_MOD, s[0], &ev));
	ASSUME(wakeups(e, s[0]) == 1, "EPOLL_CTL_MOD does not report what is ready, once");
	MUST(shutdown(s[1], SHUT_WR));
	ASSUME(epoll_wait(e, &ev, 1, 1000) == 1 && ev.events & EPOLLRDHUP,
		"no edge for the end behind peeked data");
}

/* A pending entry in the error queue: a closed port on the loopback. */
static int socket_with_error(void)
{
	union sock_addr a;
	int closed = platform_udp(AF_INET, &a), fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));

	MUST(close(closed));
	MUST(platform_set_int(fd, SOL_IP, IP_RECVERR, 1));
	MUST(connect(fd, &a.sa, sizeof(a.in4)));
	MUST(send(fd, "x", 1, 0));
	(void)platform_wait(fd, POLLERR, 1000);
	return fd;
}

int main(void)
{
	unsigned int n_level, n_edge, n_error_level, n_error_edge;
	int s[2], e, error_fd;

	platform_enter_net();
	platform_tcp_pair(AF_INET, NULL, s);
	(void)platform_set_int(s[0], SOL_SOCKET, SO_PEEK_OFF, 0);
	MUST(send(s[1], "hello", 5, 0));
	n_level = wakeups(watch(s[0], EPOLLIN), s[0]);
	e = watch(s[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	n_edge = wakeups(e, s[0]);
	ASSUME(n_edge >= 1 && n_edge <= 2, "edge-triggered, peeked data wakes %u times", n_edge);
	check_edges(e, s);

	error_fd = socket_with_error();
	n_error_level = wakeups(watch(error_fd, EPOLLIN), error_fd);
	error_fd = socket_with_error();
	n_error_edge = wakeups(watch(error_fd, EPOLLIN | EPOLLET), error_fd);
	ASSUME(n_error_edge >= 1 && n_error_edge <= 2, "edge-triggered, an error wakes %u times",
		n_error_edge);
	platform_says("wake-ups in 0.1 s: peeked data %u by level, %u by edge; an error queue %u by level, "
		      "%u by edge",
		n_level, n_edge, n_error_level, n_error_edge);
	return 0;
}
