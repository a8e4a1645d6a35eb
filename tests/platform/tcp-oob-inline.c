/* SPDX-License-Identifier: BSD-2-Clause */
/* Urgent data: with SO_OOBINLINE, set on the listener and inherited, the urgent byte is an ordinary one,
 * for peeks with an offset and for discards too, though one call may stop before it: a short discard is
 * no error. Without it the stream is read wrong. */
#include "platform.h"

static void on_listener(int fd)
{
	MUST(platform_set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1));
}

/* The stream as it is read by peeks with an offset, and then discarded. */
static bool reads_right(int s[2], char *ret, size_t n_bytes)
{
	size_t n_got = 0;
	ssize_t n;

	MUST(send(s[1], "abc", 3, 0));
	MUST(send(s[1], "!", 1, MSG_OOB));
	MUST(send(s[1], "def", 3, 0));
	MUST(shutdown(s[1], SHUT_WR));
	(void)usleep(20000);
	memset(ret, 0, n_bytes);
	while (n_got + 1 < n_bytes && (n = recv(s[0], ret + n_got, n_bytes - 1 - n_got, MSG_PEEK)) > 0)
		n_got += (size_t)n;
	return strcmp(ret, "abc!def") == 0;
}

int main(int argc, char **argv)
{
	int family = platform_family(argc, argv), s[2];
	char plain[16], in_line[16];
	ssize_t first;
	bool right;

	platform_enter_net();
	platform_tcp_pair(family, NULL, s);
	if (platform_set_int(s[0], SOL_SOCKET, SO_PEEK_OFF, 0) < 0)
		platform_skip("no SO_PEEK_OFF for TCP; vmlan reads each byte once a round instead");
	right = reads_right(s, plain, sizeof(plain));

	platform_tcp_pair(family, on_listener, s);
	ASSUME(platform_get_int(s[0], SOL_SOCKET, SO_OOBINLINE) == 1,
		"accept() does not inherit SO_OOBINLINE");
	MUST(platform_set_int(s[0], SOL_SOCKET, SO_PEEK_OFF, 0));
	ASSUME(reads_right(s, in_line, sizeof(in_line)), "with SO_OOBINLINE \"%s\" is read", in_line);
	first = recv(s[0], NULL, 100, MSG_TRUNC | MSG_DONTWAIT);
	ASSUME(first == 7 || (first == 3 && recv(s[0], NULL, 100, MSG_TRUNC | MSG_DONTWAIT) == 4),
		"7 bytes cannot be discarded in two steps");
	platform_says("urgent data is %s without SO_OOBINLINE (\"abc!def\" gives \"%s\") and right with it; "
		      "one discard "
		      "%s the mark",
		right ? "read right" : "read wrong", plain, first == 7 ? "goes past" : "stops at");
	return 0;
}
