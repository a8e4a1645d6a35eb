/* SPDX-License-Identifier: BSD-2-Clause */
/* SO_PEEK_OFF on TCP (Linux 6.9 for IPv4, 6.11 or so for IPv6): a peek goes on where the last one ended,
 * a consuming read takes the offset back by what it took, and setting it rewinds. This is how payload
 * stays in the kernel's queue until the guest has acknowledged it. */
#include "platform.h"

static void on_listener(int fd)
{
	MUST(platform_set_int(fd, SOL_SOCKET, SO_PEEK_OFF, 0));
}

static void expect_peek(int fd, const char *text, const char *when)
{
	char buf[64] = "";
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		n = 0;
	ASSUME(n == (ssize_t)strlen(text) && memcmp(buf, text, (size_t)n) == 0,
		"%s: a peek gives \"%.*s\" (%zd bytes), not \"%s\"", when, (int)MAX(n, 0), buf, n, text);
}

int main(int argc, char **argv)
{
	int family = platform_family(argc, argv), s[2], inherited[2];
	const char *name = family == AF_INET ? "IPv4" : "IPv6";

	platform_enter_net();
	platform_tcp_pair(family, NULL, s);
	ASSUME(platform_get_int(s[0], SOL_SOCKET, SO_PEEK_OFF) == -1, "SO_PEEK_OFF is set by default");
	if (platform_set_int(s[0], SOL_SOCKET, SO_PEEK_OFF, 0) < 0)
		platform_skip("no SO_PEEK_OFF for TCP over %s; vmlan peeks each byte again instead", name);

	MUST(send(s[1], "abcdef", 6, 0));
	(void)platform_wait(s[0], POLLIN, 1000);
	expect_peek(s[0], "abcdef", "at first");
	expect_peek(s[0], "", "with all of it peeked");
	MUST(send(s[1], "ghi", 3, 0));
	(void)platform_wait(s[0], POLLIN, 1000);
	expect_peek(s[0], "ghi", "after more came");
	ASSUME(platform_get_int(s[0], SOL_SOCKET, SO_PEEK_OFF) == 9, "the offset does not follow peeks");

	/* What the guest acknowledged goes: the offset counts from the new beginning. */
	ASSUME(recv(s[0], NULL, 4, MSG_TRUNC | MSG_DONTWAIT) == 4, "4 bytes cannot be discarded");
	ASSUME(platform_get_int(s[0], SOL_SOCKET, SO_PEEK_OFF) == 5, "a discard leaves the offset alone");
	expect_peek(s[0], "", "after a discard");
	MUST(send(s[1], "jk", 2, 0));
	(void)platform_wait(s[0], POLLIN, 1000);
	expect_peek(s[0], "jk", "after a discard and more");

	/* A retransmission: back to the first byte not acknowledged, and to the middle. */
	MUST(platform_set_int(s[0], SOL_SOCKET, SO_PEEK_OFF, 0));
	expect_peek(s[0], "efghijk", "rewound");
	MUST(platform_set_int(s[0], SOL_SOCKET, SO_PEEK_OFF, 3));
	expect_peek(s[0], "hijk", "set to 3");

	platform_tcp_pair(family, on_listener, inherited);
	platform_says("SO_PEEK_OFF works on TCP over %s; accept() %s", name,
		platform_get_int(inherited[0], SOL_SOCKET, SO_PEEK_OFF) == 0 ? "inherits it"
									     : "does not inherit it");
	return 0;
}
