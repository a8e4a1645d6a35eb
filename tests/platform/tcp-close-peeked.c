/* SPDX-License-Identifier: BSD-2-Clause */
/* close() with bytes that were peeked but not discarded resets the connection, and what the other
 * direction had accepted is lost with it. After a discard to the end it is an orderly end. */
#include "platform.h"

#define N_BYTES (512 * 1024)

/* Sends much to a peer that does not read yet, closes, and returns what then arrives. */
static size_t arrived_after_close(bool discard, bool *ret_reset)
{
	static char buf[N_BYTES];
	size_t n_sent = 0, n_got = 0;
	ssize_t n;
	int s[2];

	platform_tcp_pair(AF_INET, NULL, s);
	while (n_sent < N_BYTES && (n = send(s[0], buf, N_BYTES - n_sent, MSG_DONTWAIT)) > 0)
		n_sent += (size_t)n;
	MUST(send(s[1], "request", 7, 0));
	MUST(shutdown(s[1], SHUT_WR));
	(void)platform_wait(s[0], POLLIN, 1000);
	ASSUME(recv(s[0], buf, 64, MSG_PEEK) == 7, "the request was not peeked");
	while (discard && (n = recv(s[0], NULL, 4096, MSG_TRUNC | MSG_DONTWAIT)) > 0)
		;
	MUST(close(s[0]));

	(void)usleep(50000);
	for (;;) {
		(void)platform_wait(s[1], POLLIN, 5000);
		n = recv(s[1], buf, sizeof(buf), MSG_DONTWAIT);
		if (n <= 0)
			break;
		n_got += (size_t)n;
	}
	*ret_reset = n < 0 && errno == ECONNRESET;
	ASSUME(*ret_reset || n == 0, "no end after close(): %s", strerror(errno));
	ASSUME(!discard || n_got == n_sent, "only %zu of %zu bytes arrived after an orderly end", n_got,
		n_sent);
	return n_sent - n_got;
}

int main(void)
{
	bool reset, orderly_reset;
	size_t n_lost;

	platform_enter_net();
	platform_set_lo_mtu(1500);
	n_lost = arrived_after_close(false, &reset);
	(void)arrived_after_close(true, &orderly_reset);
	platform_says(
		"close() with peeked bytes %s and loses %zu accepted bytes; after a discard to the end it %s",
		reset ? "resets" : "ends in order", n_lost, orderly_reset ? "resets too" : "is orderly");
	ASSUME(!orderly_reset, "close() resets although all was discarded");
	return 0;
}
