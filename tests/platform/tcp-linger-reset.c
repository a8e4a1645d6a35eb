/* SPDX-License-Identifier: BSD-2-Clause */
/* SO_LINGER with 0 seconds makes close() send a reset, at once, whatever is queued: how a guest's reset
 * is passed on. The other side sees ECONNRESET, and EPIPE once it knows. */
#include "platform.h"

static void check(bool queued)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	static char buf[65536];
	ssize_t n;
	int s[2];

	platform_tcp_pair(AF_INET, NULL, s);
	while (queued && send(s[0], buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	MUST(setsockopt(s[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
	MUST(close(s[0]));
	while ((n = recv(s[1], buf, sizeof(buf), 0)) > 0)
		;
	ASSUME(n < 0 && errno == ECONNRESET, "the other side sees %s", n == 0 ? "an end" : strerror(errno));
	n = send(s[1], "x", 1, MSG_NOSIGNAL);
	ASSUME(n < 0 && errno == EPIPE, "a send after the reset gives %s",
		n < 0 ? strerror(errno) : "no error");
	(void)close(s[1]);
}

int main(void)
{
	platform_enter_net();
	check(false);
	check(true);
	platform_says("close() with SO_LINGER 0 resets at once, with and without queued data");
	return 0;
}
