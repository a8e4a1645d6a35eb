/* SPDX-License-Identifier: BSD-2-Clause */
/* netjob: what busybox cannot do fast enough, or at all, inside a test guest.
 *
 *   netjob send HOST PORT SECONDS     sends zeros; prints "BYTES SECONDS", both as the peer confirmed them
 *   netjob recv HOST PORT SECONDS     reads and drops; prints "BYTES SECONDS"
 *   netjob serve PORT COMMAND...      accepts for ever; each connection is COMMAND's input and output
 *
 * send closes its direction and waits until the peer has closed too: what is printed was delivered. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buf[256 * 1024];

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "netjob: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int dial(const char *host, const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (inet_pton(AF_INET, host, &to.sin_addr) != 1) {
		errno = EINVAL;
		fail(host);
	}
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		fail("connect");
	return fd;
}

static void transfer(bool sending, int fd, double seconds)
{
	double start = now(), end = start + seconds;
	long long total = 0;
	ssize_t n;

	do {
		n = sending ? write(fd, buf, sizeof(buf)) : read(fd, buf, sizeof(buf));
		if (n < 0)
			fail(sending ? "write" : "read");
		total += n;
	} while (n > 0 && now() < end);
	if (sending) {
		shutdown(fd, SHUT_WR);
		while ((n = read(fd, buf, sizeof(buf))) > 0)
			;
		if (n < 0)
			fail("waiting for the peer's end");
	}
	printf("%lld %.3f\n", total, now() - start);
}

static _Noreturn void serve(const char *port, char **command)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 64))
		fail("listen");
	signal(SIGCHLD, SIG_IGN);
	if (daemon(0, 0)) /* listening already: who started it may tell the world */
		fail("daemon");
	for (;;) {
		int peer = accept(fd, NULL, NULL);

		if (peer < 0)
			continue;
		if (fork() == 0) {
			signal(SIGCHLD, SIG_DFL);
			dup2(peer, 0);
			dup2(peer, 1);
			execvp(command[0], command);
			_exit(127);
		}
		close(peer);
	}
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 5 && !strcmp(argv[1], "send"))
		transfer(true, dial(argv[2], argv[3]), atof(argv[4]));
	else if (argc == 5 && !strcmp(argv[1], "recv"))
		transfer(false, dial(argv[2], argv[3]), atof(argv[4]));
	else if (argc >= 4 && !strcmp(argv[1], "serve"))
		serve(argv[2], argv + 3);
	else
		return fprintf(stderr, "usage: netjob send|recv HOST PORT SECONDS | serve PORT COMMAND...\n"), 2;
	return 0;
}
