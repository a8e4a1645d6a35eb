/* SPDX-License-Identifier: BSD-2-Clause */
/* How much a socket takes: a super-frame is often taken in part, and how much is known only from what
 * sendmsg() returns. SO_MEMINFO tells the room beforehand (sndbuf - wmem_queued): what fits in it is
 * always taken whole, more may be. TCP_INFO tells the peer's window, which can be zero. */
#include <linux/sock_diag.h>

#include "platform.h"

#define FRAME_BYTES 65000

static long room_bytes(int fd)
{
	uint32_t m[SK_MEMINFO_VARS];
	socklen_t n = sizeof(m);

	MUST(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, m, &n));
	return (long)m[SK_MEMINFO_SNDBUF] - (long)m[SK_MEMINFO_WMEM_QUEUED];
}

static uint32_t peer_window_bytes(int fd)
{
	struct tcp_info info = {0};
	socklen_t n = sizeof(info);

	MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n));
	ASSUME(n >= offsetof(struct tcp_info, tcpi_snd_wnd) + sizeof(info.tcpi_snd_wnd),
		"TCP_INFO does not tell the peer's window");
	return info.tcpi_snd_wnd;
}

int main(void)
{
	static char frame[FRAME_BYTES];
	size_t n_whole = 0, n_partial = 0, smallest = FRAME_BYTES;
	long room, most_beyond = 0, most_short = 0;
	ssize_t n;
	int s[2], sndbuf;

	platform_enter_net();
	platform_set_lo_mtu(1500);
	platform_tcp_pair(AF_INET, NULL, s);
	sndbuf = platform_get_int(s[0], SOL_SOCKET, SO_SNDBUF);
	for (;;) {
		room = room_bytes(s[0]);
		n = send(s[0], frame, sizeof(frame), MSG_DONTWAIT);
		if (n < 0)
			break;
		if (n == FRAME_BYTES) {
			n_whole++;
		} else {
			n_partial++;
			smallest = MIN(smallest, (size_t)n);
		}
		room = MAX(room, 0);
		most_beyond = MAX(most_beyond, (long)n - room);
		room = MIN(room, FRAME_BYTES);
		most_short = MAX(most_short, room - (long)n);
	}
	ASSUME(errno == EAGAIN, "a full socket answers %s", strerror(errno));
	ASSUME(n_whole > 0, "an empty socket does not take a super-frame whole");
	(void)usleep(300000);
	platform_says("sndbuf %d to %d: %zu super-frames taken whole, %zu in part (the smallest %zu bytes), "
		      "at most "
		      "%ld beyond sndbuf - wmem_queued, at most %ld short of it; peer's window then %u",
		sndbuf, platform_get_int(s[0], SOL_SOCKET, SO_SNDBUF), n_whole, n_partial, smallest,
		most_beyond, most_short, peer_window_bytes(s[0]));
	return 0;
}
