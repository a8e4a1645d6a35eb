/* SPDX-License-Identifier: BSD-2-Clause */
/* recv(NULL, n, MSG_TRUNC) on TCP drops up to n bytes without copying, says how many, gives 0 at the end
 * and EAGAIN when there is nothing; a reset takes what was not yet read. */
#include "platform.h"

static ssize_t discard(int fd, size_t n_bytes)
{
	ssize_t n = recv(fd, NULL, n_bytes, MSG_TRUNC | MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

int main(void)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	char buf[16];
	ssize_t n;
	int s[2];

	platform_enter_net();
	platform_tcp_pair(AF_INET, NULL, s);
	ASSUME(discard(s[0], 10) == -EAGAIN, "nothing to discard, but not EAGAIN");
	MUST(send(s[1], "abcdef", 6, 0));
	(void)platform_wait(s[0], POLLIN, 1000);
	ASSUME(discard(s[0], 2) == 2, "2 bytes cannot be discarded");
	ASSUME(recv(s[0], buf, 1, MSG_PEEK) == 1 && buf[0] == 'c', "the wrong bytes were discarded");
	ASSUME(discard(s[0], 1000) == 4, "a discard does not stop at the last byte");
	MUST(shutdown(s[1], SHUT_WR));
	(void)platform_wait(s[0], POLLIN, 1000);
	ASSUME(discard(s[0], 1000) == 0, "the end is not seen by a discard");

	platform_tcp_pair(AF_INET, NULL, s);
	MUST(send(s[1], "abcdef", 6, 0));
	(void)platform_wait(s[0], POLLIN, 1000);
	MUST(setsockopt(s[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
	MUST(close(s[1]));
	(void)platform_wait(s[0], POLLHUP, 1000);
	n = recv(s[0], buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
	platform_says("MSG_TRUNC discards TCP bytes; after a reset a peek gives %s",
		n == 6 ? "what had come before it" : strerror(errno));
	return 0;
}
