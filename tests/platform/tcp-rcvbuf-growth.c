/* SPDX-License-Identifier: BSD-2-Clause */
/* Discarding with MSG_TRUNC counts as reading: the receive buffer grows as it does for a reader, and the
 * window goes on opening. */
#include "platform.h"

#define N_TOTAL (48u << 20)

/* The receive buffer after a transfer that is read, or peeked and discarded. */
static int grown(bool discard)
{
	static char buf[1 << 18];
	size_t n_sent = 0, n_got = 0;
	int s[2], rcvbuf;
	ssize_t n;

	platform_tcp_pair(AF_INET, NULL, s);
	(void)platform_set_int(s[0], SOL_SOCKET, SO_PEEK_OFF, 0);
	while (n_got < N_TOTAL) {
		while (n_sent < N_TOTAL &&
			(n = send(s[1], buf, MIN(sizeof(buf), N_TOTAL - n_sent), MSG_DONTWAIT)) > 0)
			n_sent += (size_t)n;
		if (discard)
			n = recv(s[0], buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
		if (!discard || n > 0)
			n = recv(s[0], discard ? NULL : buf, discard ? (size_t)n : sizeof(buf),
				MSG_DONTWAIT | (discard ? MSG_TRUNC : 0));
		if (n > 0)
			n_got += (size_t)n;
		else
			ASSUME(platform_wait(s[0], POLLIN, 5000), "stalled with %zu of %u bytes", n_got,
				N_TOTAL);
	}
	rcvbuf = platform_get_int(s[0], SOL_SOCKET, SO_RCVBUF);
	(void)close(s[0]);
	(void)close(s[1]);
	return rcvbuf;
}

int main(void)
{
	int s[2], first, read_bytes, discarded_bytes;

	platform_enter_net();
	platform_set_lo_mtu(1500);
	platform_tcp_pair(AF_INET, NULL, s);
	first = platform_get_int(s[0], SOL_SOCKET, SO_RCVBUF);
	read_bytes = grown(false);
	discarded_bytes = grown(true);
	platform_says("a receive buffer of %d grows to %d by reading, to %d by peeking and discarding", first,
		read_bytes, discarded_bytes);
	ASSUME(discarded_bytes > first || read_bytes == first, "a discard does not count as reading");
	return 0;
}
