/* SPDX-License-Identifier: BSD-2-Clause */
/* netjob: what busybox cannot do fast enough, or at all, inside a test guest, and the other end of some of it.
 *
 *   netjob send HOST PORT SECONDS     sends zeros; prints "BYTES SECONDS", both as the peer confirmed them
 *   netjob recv HOST PORT SECONDS     reads and drops; prints "BYTES SECONDS"
 *   netjob serve PORT COMMAND...      accepts for ever; each connection is COMMAND's input and output
 *   netjob answer PORT                the server of put and get; does not return
 *   netjob put HOST PORT COUNT SEED   sends random bytes, all of which the server compares; prints the same
 *   netjob get HOST PORT COUNT SEED   the other way
 *   netjob echo HOST PORT COUNT MAX   sends datagrams of random bytes and lengths up to MAX, which must come back
 *   netjob offload NIC NAME on|off    tx sg tso gso gro (ethtool -K)
 *
 * send closes its direction and waits until the peer has closed too: what is printed was delivered. A byte that
 * differs is an error that names its place. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
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

/* Random bytes without end. */
struct stream {
	uint64_t state, n_bytes;
	uint64_t words[sizeof(buf) / 8];
};

static struct stream stream;

static void stream_start(uint64_t seed)
{
	stream.state = seed * 0x9e3779b97f4a7c15u + 1;
	stream.n_bytes = 0;
}

static const char *stream_next(size_t n)
{
	for (size_t i = 0; i < (n + 7) / 8; i++) {
		stream.state ^= stream.state >> 12;
		stream.state ^= stream.state << 25;
		stream.state ^= stream.state >> 27;
		stream.words[i] = stream.state * 0x2545f4914f6cdd1du;
	}
	stream.n_bytes += n;
	return (const char *)stream.words;
}

static void write_all(int fd, const char *from, size_t n)
{
	while (n) {
		ssize_t x = write(fd, from, n);

		if (x < 0)
			fail("write");
		from += x;
		n -= (size_t)x;
	}
}

static size_t piece(uint64_t left)
{
	return left < sizeof(buf) ? (size_t)left : sizeof(buf);
}

static void put_random(int fd, uint64_t count, uint64_t seed)
{
	stream_start(seed);
	for (uint64_t left = count; left; left -= piece(left))
		write_all(fd, stream_next(piece(left)), piece(left));
}

static bool get_random(int fd, uint64_t count, uint64_t seed)
{
	stream_start(seed);
	for (uint64_t left = count; left;) {
		size_t n = 0, want = piece(left);
		const char *expect;

		for (ssize_t x; n < want; n += (size_t)x) {
			x = read(fd, buf + n, want - n);
			if (x <= 0) {
				fprintf(stderr, "netjob: the end after %llu of %llu bytes\n",
					(unsigned long long)(count - left + n), (unsigned long long)count);
				return false;
			}
		}
		expect = stream_next(want);
		for (size_t i = 0; memcmp(buf, expect, want) && i < want; i++)
			if (buf[i] != expect[i]) {
				fprintf(stderr, "netjob: byte %llu is %02x, not %02x\n",
					(unsigned long long)(count - left + i), buf[i] & 0xff, expect[i] & 0xff);
				return false;
			}
		left -= want;
	}
	return true;
}

/* A line, byte by byte: what follows it is data. */
static bool read_line(int fd, char *ret, size_t n)
{
	size_t at = 0;

	while (at + 1 < n && read(fd, ret + at, 1) == 1)
		if (ret[at++] == '\n') {
			ret[at] = '\0';
			return true;
		}
	return false;
}

static int answer_one(int fd)
{
	unsigned long long count, seed;
	char line[128], verb[8];

	if (!read_line(fd, line, sizeof(line)) || sscanf(line, "%7s %llu %llu", verb, &count, &seed) != 3)
		return 1;
	if (strcmp(verb, "get") == 0)
		put_random(fd, count, seed);
	else if (get_random(fd, count, seed))
		write_all(fd, "same\n", 5);
	shutdown(fd, SHUT_WR);
	while (read(fd, line, sizeof(line)) > 0)
		;
	return 0;
}

static _Noreturn void answer(const char *port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 64))
		fail("listen");
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int peer = accept(fd, NULL, NULL);

		if (peer >= 0 && fork() == 0)
			exit(answer_one(peer));
		close(peer);
	}
}

static int random_transfer(bool putting, int fd, const char *count_text, const char *seed_text)
{
	uint64_t count = strtoull(count_text, NULL, 10), seed = strtoull(seed_text, NULL, 10);
	double start = now();
	char line[128];
	bool ok;

	snprintf(line, sizeof(line), "%s %llu %llu\n", putting ? "put" : "get", (unsigned long long)count,
		(unsigned long long)seed);
	write_all(fd, line, strlen(line));
	if (putting) {
		put_random(fd, count, seed);
		ok = read_line(fd, line, sizeof(line)) && strcmp(line, "same\n") == 0;
		if (!ok)
			fprintf(stderr, "netjob: the server found other bytes\n");
	} else {
		ok = get_random(fd, count, seed) && read(fd, line, 1) == 0;
	}
	printf("%llu %.3f\n", (unsigned long long)count, now() - start);
	return ok ? 0 : 1;
}

static int echo(const char *host, const char *port, int count, size_t max)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	struct timeval wait = {.tv_sec = 2};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), n_lost = 0;

	if (inet_pton(AF_INET, host, &to.sin_addr) != 1 || connect(fd, (struct sockaddr *)&to, sizeof(to)) ||
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)))
		fail(host);
	stream_start((uint64_t)getpid());
	for (int i = 0; i < count; i++) {
		size_t n = 4 + stream.state % (max - 3);
		const char *sent = stream_next(n);
		ssize_t got;

		if (send(fd, sent, n, 0) != (ssize_t)n)
			fail("send");
		do
			got = recv(fd, buf, sizeof(buf), 0);
		while (got >= 4 && memcmp(buf, sent, 4) != 0); /* a late one */
		if (got < 0)
			n_lost++;
		else if (got != (ssize_t)n || memcmp(buf, sent, n) != 0)
			return fprintf(stderr, "netjob: datagram %d of %zu bytes came back different\n", i, n), 1;
	}
	printf("%d datagrams, %d lost\n", count, n_lost);
	return n_lost > count / 20;
}

static int offload(const char *nic, const char *name, bool on)
{
	static const struct {
		const char *name;
		uint32_t get, set;
	} names[] = {
		{"tx", ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM}, {"sg", ETHTOOL_GSG, ETHTOOL_SSG},
		{"tso", ETHTOOL_GTSO, ETHTOOL_STSO}, {"gso", ETHTOOL_GGSO, ETHTOOL_SGSO},
		{"gro", ETHTOOL_GGRO, ETHTOOL_SGRO},
	};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct ethtool_value v = {.cmd = names[i].set, .data = on};
		struct ifreq r = {.ifr_data = (void *)&v};

		if (strcmp(name, names[i].name) != 0)
			continue;
		snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", nic);
		if (ioctl(fd, SIOCETHTOOL, &r))
			fail(name);
		v = (struct ethtool_value){.cmd = names[i].get};
		if (ioctl(fd, SIOCETHTOOL, &r))
			fail(name);
		printf("%s %s\n", name, v.data ? "on" : "off");
		return v.data == on ? 0 : 1;
	}
	return fprintf(stderr, "netjob: no offload %s\n", name), 2;
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
	else if (argc == 3 && !strcmp(argv[1], "answer"))
		answer(argv[2]);
	else if (argc == 6 && (!strcmp(argv[1], "put") || !strcmp(argv[1], "get")))
		return random_transfer(argv[1][0] == 'p', dial(argv[2], argv[3]), argv[4], argv[5]);
	else if (argc == 6 && !strcmp(argv[1], "echo"))
		return echo(argv[2], argv[3], atoi(argv[4]), strtoul(argv[5], NULL, 10));
	else if (argc == 5 && !strcmp(argv[1], "offload"))
		return offload(argv[2], argv[3], !strcmp(argv[4], "on"));
	else
		return fprintf(stderr, "usage: netjob send|recv|serve|answer|put|get|echo|offload ...\n"), 2;
	return 0;
}
