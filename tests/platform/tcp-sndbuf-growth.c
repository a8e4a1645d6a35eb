/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel grows a send buffer only after it has noted that the sender wanted more room (SOCK_NOSPACE):
 * when a send is taken in part, or when poll looks at a socket that is filled by two thirds. A sender
 * that keeps well below its room never grows, unless EPOLL_CTL_MOD makes poll look when it is full. */
#include <linux/sock_diag.h>

#include "platform.h"

#define N_TOTAL (24u << 20)

enum manner {
	HALF,        /* only half of what there is room for */
	HALF_LOOKED, /* the same, with EPOLL_CTL_MOD when that is used up */
	ALL,         /* all that there is room for */
	OFFERING,    /* always a super-frame, taken in part */
	MANNER_MAX,
};

static long room_bytes(int fd)
{
	uint32_t m[SK_MEMINFO_VARS];
	socklen_t n = sizeof(m);

	MUST(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, m, &n));
	return (long)m[SK_MEMINFO_SNDBUF] - (long)m[SK_MEMINFO_WMEM_QUEUED];
}

/* Sends what it may; returns whether that was anything. */
static bool fill(int fd, enum manner manner, size_t *n_left)
{
	size_t n_before = *n_left;
	static char frame[65000];
	ssize_t n;

	while (*n_left) {
		long want = (long)MIN(sizeof(frame), *n_left);

		if (manner != OFFERING)
			want = MIN(want, manner == ALL ? room_bytes(fd) : room_bytes(fd) / 2);
		if (want < 1448 && (size_t)want < *n_left)
			break;
		n = send(fd, frame, (size_t)want, MSG_DONTWAIT);
		if (n <= 0)
			break;
		*n_left -= (size_t)n;
	}
	return *n_left < n_before;
}

/* The send buffer after a transfer. */
static int grown(enum manner manner)
{
	static char sink[1 << 20];
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
	size_t n_left = N_TOTAL, n_got = 0;
	_cleanup_close_ int e = MUST(epoll_create1(EPOLL_CLOEXEC));
	int s[2], sndbuf;
	ssize_t n;

	platform_tcp_pair(AF_INET, NULL, s);
	MUST(platform_set_int(s[0], IPPROTO_TCP, TCP_NODELAY, 1));
	MUST(epoll_ctl(e, EPOLL_CTL_ADD, s[0], &ev));
	while (n_got < N_TOTAL) {
		bool busy = fill(s[0], manner, &n_left);

		if (manner == HALF_LOOKED)
			MUST(epoll_ctl(e, EPOLL_CTL_MOD, s[0], &ev));
		while ((n = recv(s[1], sink, sizeof(sink), MSG_DONTWAIT)) > 0)
			n_got += (size_t)n;
		if (!busy && n_got < N_TOTAL)
			(void)platform_wait(s[1], POLLIN, 10);
	}
	sndbuf = platform_get_int(s[0], SOL_SOCKET, SO_SNDBUF);
	(void)close(s[0]);
	(void)close(s[1]);
	return sndbuf;
}

int main(void)
{
	int sndbuf[MANNER_MAX], s[2], first;

	platform_enter_net();
	platform_set_lo_mtu(1500);
	platform_tcp_pair(AF_INET, NULL, s);
	first = platform_get_int(s[0], SOL_SOCKET, SO_SNDBUF);
	for (int m = 0; m < MANNER_MAX; m++)
		sndbuf[m] = grown((enum manner)m);
	platform_says("a send buffer of %d grows to %d if offered half of what fits, to %d with "
		      "EPOLL_CTL_MOD, to %d "
		      "if offered what fits, to %d if offered more",
		first, sndbuf[HALF], sndbuf[HALF_LOOKED], sndbuf[ALL], sndbuf[OFFERING]);
	ASSUME(sndbuf[OFFERING] > first, "a send buffer does not grow");
	return 0;
}
