/* SPDX-License-Identifier: BSD-2-Clause */
/* A sender that ran into a zero window because everything is peeked and nothing discarded goes on at
 * once when room is made with MSG_TRUNC, even in small steps. */
#include "platform.h"

#define N_TOTAL (8u << 20)

static void send_all(int fd)
{
	static char buf[65536];
	size_t n_left = N_TOTAL;
	ssize_t n;

	while (n_left && (n = send(fd, buf, MIN(n_left, sizeof(buf)), MSG_NOSIGNAL)) > 0)
		n_left -= (size_t)n;
	(void)shutdown(fd, SHUT_WR);
	_exit(n_left ? 1 : 0);
}

/* Peeks until nothing more comes. */
static size_t peek_all(int fd, char *buf, size_t n_bytes)
{
	size_t n_queued = 0;
	int r = platform_set_int(fd, SOL_SOCKET, SO_PEEK_OFF, 0);

	for (unsigned int idle = 0; idle < 10; idle++) {
		ssize_t n = recv(fd, buf, n_bytes, MSG_PEEK | MSG_DONTWAIT);

		if (n > 0) {
			n_queued = r < 0 ? (size_t)n : n_queued + (size_t)n;
			idle = r < 0 ? idle : 0;
		}
		(void)usleep(10000);
	}
	return n_queued;
}

int main(void)
{
	static char buf[N_TOTAL];
	uint64_t longest_us = 0, since_us;
	size_t n_queued, n_got = 0;
	ssize_t n;
	int s[2];
	pid_t pid;

	platform_enter_net();
	platform_set_lo_mtu(1500);
	platform_tcp_pair(AF_INET, NULL, s);
	pid = MUST(fork());
	if (pid == 0)
		send_all(s[1]);
	(void)close(s[1]);
	n_queued = peek_all(s[0], buf, sizeof(buf));
	ASSUME(n_queued > 0 && n_queued < N_TOTAL, "the window did not close: %zu bytes queued", n_queued);

	since_us = platform_now_us();
	while (n_got < N_TOTAL) {
		n = recv(s[0], NULL, 20000, MSG_TRUNC | MSG_DONTWAIT);
		if (n > 0) {
			longest_us = MAX(longest_us, platform_now_us() - since_us);
			since_us = platform_now_us();
			n_got += (size_t)n;
			continue;
		}
		ASSUME(n < 0 && errno == EAGAIN, "the connection ended after %zu bytes", n_got);
		ASSUME(platform_wait(s[0], POLLIN, 10000), "stalled for good after %zu bytes", n_got);
	}
	(void)waitpid(pid, NULL, 0);
	platform_says(
		"the window closed with %zu bytes peeked and opened as they were discarded; the longest wait "
		"was %llu ms",
		n_queued, (unsigned long long)longest_us / 1000);
	ASSUME(longest_us < 3000000, "the window update comes too late");
	return 0;
}
