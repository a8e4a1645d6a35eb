/* SPDX-License-Identifier: BSD-2-Clause */
#include "load.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

_Noreturn void die(const char *what)
{
	err(1, "%s", what);
}

struct sockaddr_in sockaddr_of(const struct load_config *conf, unsigned int i, uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = conf->addrs[i % conf->n_addrs],
	};
}

void set_timeouts(int fd, unsigned int timeout_ms)
{
	struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)))
		die("SO_RCVTIMEO");
}

int tcp_connect(const struct sockaddr_in *to, unsigned int timeout_ms, const char *cc)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0)
		die("socket");
	set_timeouts(fd, timeout_ms);
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		die("TCP_NODELAY");
	if (cc && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cc, (socklen_t)strlen(cc)))
		die("TCP_CONGESTION");
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to))) {
		int r = -errno;

		close(fd);
		return r == -EINPROGRESS ? -ETIMEDOUT : r;
	}
	return fd;
}

int send_all(int fd, const void *buf, size_t n_bytes)
{
	const char *p = buf;

	while (n_bytes) {
		ssize_t n = send(fd, p, n_bytes, MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		p += n;
		n_bytes -= (size_t)n;
	}
	return 0;
}

int recv_all(int fd, void *buf, size_t n_bytes)
{
	char *p = buf;

	while (n_bytes) {
		ssize_t n = recv(fd, p, n_bytes, 0);

		if (n < 0)
			return -errno;
		if (n == 0)
			return -ECONNRESET;
		p += n;
		n_bytes -= (size_t)n;
	}
	return 0;
}

/* Streams end with a reset, so that megabytes in flight do not spill into the next measurement. */
void close_rst(int fd)
{
	struct linger l = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(fd);
}

/* Root may go beyond the hard limit; anyone else gets up to it. */
void raise_nofile(void)
{
	struct rlimit want = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
	struct rlimit have;

	if (setrlimit(RLIMIT_NOFILE, &want) == 0)
		return;
	if (getrlimit(RLIMIT_NOFILE, &have))
		die("getrlimit");
	have.rlim_cur = have.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &have))
		die("setrlimit");
}

void samples_add(struct samples *s, uint64_t ns)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 65536;
		s->v = realloc(s->v, s->cap * sizeof(*s->v));
		if (!s->v)
			die("realloc");
	}
	s->v[s->n++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

void samples_done(struct samples *s)
{
	free(s->v);
	*s = (struct samples){0};
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

void samples_sort(struct samples *s)
{
	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), compare_u32);
}

double samples_quantile_us(const struct samples *s, double q)
{
	if (!s->n)
		return 0;
	return s->v[(size_t)(q * (double)(s->n - 1))] / 1000.0;
}

struct role {
	const char *name;
	int (*run)(const struct load_config *conf);
	const char *help;
};

static const struct role roles[] = {
	{"up", up_main, "n TCP streams to the server"},
	{"down", down_main, "n TCP streams from the server"},
	{"rr", rr_main, "1-byte request and response on one connection"},
	{"crr", crr_main, "connect, 1-byte request and response, close (client first), by n workers"},
	{"udp-up", udp_up_main, "one flow of datagrams as fast as possible"},
	{"udp-down", udp_down_main, "the same from the server"},
	{"ping", ping_main, "ICMP echo, one after the other"},
	{"probe", probe_main, "wait until an echo over TCP comes back"},
	{"idle", idle_main, "open n connections and hold them; stdin: `check` or `quit`"},
	{"rate", rate_main, "open connections at a rate, verify each with an echo"},
};

static _Noreturn void usage(void)
{
	fprintf(stderr,
		"usage: load server\n"
		"       load ROLE [-n N] [-r RATE] [-t SECONDS] [-w WARM_MS] [-b BUF] [-s SIZE] [-c CC] "
		"ADDR[,ADDR...]\n");
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		fprintf(stderr, "  %-9s %s\n", roles[i].name, roles[i].help);
	exit(2);
}

static unsigned int parse_uint(const char *s, unsigned int min, unsigned int max)
{
	char *end;
	unsigned long v = strtoul(s, &end, 10);

	if (end == s || *end || v < min || v > max)
		errx(2, "%s: expected a number from %u to %u", s, min, max);
	return (unsigned int)v;
}

static void parse_addrs(struct load_config *conf, char *list)
{
	for (char *s = strtok(list, ","); s; s = strtok(NULL, ",")) {
		if (conf->n_addrs == MAX_ADDRS)
			errx(2, "more than %d addresses", MAX_ADDRS);
		if (inet_pton(AF_INET, s, &conf->addrs[conf->n_addrs++]) != 1)
			errx(2, "%s: not an IPv4 address", s);
	}
	if (!conf->n_addrs)
		usage();
}

static void parse_options(struct load_config *conf, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "n:r:t:w:b:s:c:")) != -1) {
		switch (c) {
		case 'n':
			conf->n = parse_uint(optarg, 1, 1000000);
			break;
		case 'r':
			conf->rate = parse_uint(optarg, 1, 1000000);
			break;
		case 't':
			conf->run_ms = (unsigned int)(1000 * atof(optarg));
			break;
		case 'w':
			conf->warm_ms = parse_uint(optarg, 0, 60000);
			break;
		case 'b':
			conf->buf_bytes = parse_uint(optarg, 1, 1 << 26);
			break;
		case 's':
			conf->size_bytes = parse_uint(optarg, sizeof(struct udp_head), 2048);
			break;
		case 'c':
			conf->cc = optarg;
			break;
		default:
			usage();
		}
	}
	if (optind + 1 != argc || conf->run_ms < 1)
		usage();
	parse_addrs(conf, argv[optind]);
}

int main(int argc, char **argv)
{
	struct load_config conf = {
		.n = 1,
		.rate = 1000,
		.run_ms = 3000,
		.warm_ms = 300,
		.buf_bytes = 256 << 10,
		.size_bytes = 64,
	};

	if (argc < 2)
		usage();
	signal(SIGPIPE, SIG_IGN);
	raise_nofile();
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(argv[1], "server"))
		return server_main();
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (strcmp(argv[1], roles[i].name))
			continue;
		parse_options(&conf, argc - 1, argv + 1);
		return roles[i].run(&conf);
	}
	usage();
}
