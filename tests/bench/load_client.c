/* SPDX-License-Identifier: BSD-2-Clause */
/* The client roles that measure speed and latency; each prints one line of JSON. */
#include "load.h"

#include <errno.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

struct worker {
	pthread_t thread;
	const struct load_config *conf;
	pthread_barrier_t *start;
	unsigned int index;
	struct stream_report rep;
	uint64_t retrans;
	int error; /* negative errno */
};

/* Connects, waits for the other workers, says hello. */
static int stream_open(struct worker *w, uint16_t port)
{
	struct stream_hello hello = {.magic = LOAD_MAGIC,
		.warm_ms = w->conf->warm_ms,
		.run_ms = w->conf->run_ms,
		.buf_bytes = w->conf->buf_bytes};
	struct sockaddr_in to = sockaddr_of(w->conf, w->index, port);
	int fd = tcp_connect(&to, 5000, w->conf->cc);

	pthread_barrier_wait(w->start);
	if (fd < 0)
		return fd;
	w->error = send_all(fd, &hello, sizeof(hello));
	return fd;
}

static uint64_t tcp_retrans(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return 0;
	return info.tcpi_total_retrans;
}

/*
 * The sink reports at the end of its window; until then, write. A second after that end we only wait: some
 * back ends do not get the report through while the guest sends.
 */
static int up_run(struct worker *w, int fd, const char *buf)
{
	uint64_t quiet_us = now_us() + (w->conf->warm_ms + w->conf->run_ms + 1000) * 1000ull;
	uint64_t end_us = quiet_us + 8000000, now;

	while ((now = now_us()) < end_us) {
		struct pollfd p = {.fd = fd, .events = now < quiet_us ? POLLIN | POLLOUT : POLLIN};

		if (poll(&p, 1, 1000) < 0 && errno != EINTR)
			return -errno;
		if (p.revents & POLLIN)
			return recv_all(fd, &w->rep, sizeof(w->rep));
		if (p.revents & (POLLERR | POLLHUP))
			return -ECONNRESET;
		if (!(p.revents & POLLOUT))
			continue;
		if (send(fd, buf, w->conf->buf_bytes, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
			return -errno;
	}
	return -ETIMEDOUT;
}

static void *up_thread(void *arg)
{
	struct worker *w = arg;
	char *buf = calloc(1, w->conf->buf_bytes);
	int fd = stream_open(w, PORT_SINK);

	if (fd < 0 || w->error || !buf) {
		w->error = fd < 0 ? fd : w->error ? w->error : -ENOMEM;
	} else {
		w->error = up_run(w, fd, buf);
		w->retrans = tcp_retrans(fd);
	}
	if (fd >= 0)
		close_rst(fd);
	free(buf);
	return NULL;
}

static int down_run(struct worker *w, int fd, char *buf)
{
	uint64_t start_us = now_us(), open_us = 0, open_bytes = 0;

	set_timeouts(fd, 20);
	for (;;) {
		ssize_t n = recv(fd, buf, w->conf->buf_bytes, 0);
		uint64_t now = now_us();

		if (n == 0)
			return -ECONNRESET;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		w->rep.total_bytes += n > 0 ? (uint64_t)n : 0;
		if (!open_us) {
			if (now - start_us >= w->conf->warm_ms * 1000ull) {
				open_us = now;
				open_bytes = w->rep.total_bytes;
			}
		} else if (now - open_us >= w->conf->run_ms * 1000ull) {
			w->rep.us = now - open_us;
			w->rep.bytes = w->rep.total_bytes - open_bytes;
			return 0;
		}
	}
}

static void *down_thread(void *arg)
{
	struct worker *w = arg;
	char *buf = malloc(w->conf->buf_bytes);
	int fd = stream_open(w, PORT_SOURCE);

	if (fd < 0 || w->error || !buf)
		w->error = fd < 0 ? fd : w->error ? w->error : -ENOMEM;
	else
		w->error = down_run(w, fd, buf);
	if (fd >= 0)
		close_rst(fd);
	free(buf);
	return NULL;
}

static struct worker *workers_run(const struct load_config *conf, void *(*fn)(void *))
{
	struct worker *w = calloc(conf->n, sizeof(*w));
	static pthread_barrier_t start;

	if (!w)
		die("calloc");
	if (conf->n > MAX_THREADS) {
		errno = E2BIG;
		die("workers");
	}
	pthread_barrier_init(&start, NULL, conf->n);
	for (unsigned int i = 0; i < conf->n; i++) {
		w[i].conf = conf;
		w[i].start = &start;
		w[i].index = i;
		errno = pthread_create(&w[i].thread, NULL, fn, &w[i]);
		if (errno)
			die("pthread_create");
	}
	for (unsigned int i = 0; i < conf->n; i++)
		pthread_join(w[i].thread, NULL);
	return w;
}

static int streams_main(const struct load_config *conf, void *(*fn)(void *))
{
	struct worker *w = workers_run(conf, fn);
	uint64_t bytes = 0, total = 0, retrans = 0, min_bytes = UINT64_MAX;
	double bytes_per_s = 0;
	int error = 0;

	for (unsigned int i = 0; i < conf->n; i++) {
		if (w[i].error)
			error = w[i].error;
		bytes += w[i].rep.bytes;
		total += w[i].rep.total_bytes;
		retrans += w[i].retrans;
		if (w[i].rep.bytes < min_bytes)
			min_bytes = w[i].rep.bytes;
		if (w[i].rep.us)
			bytes_per_s += (double)w[i].rep.bytes * 1e6 / (double)w[i].rep.us;
	}
	free(w);
	if (error) {
		fprintf(stderr, "stream: %s\n", strerror(-error));
		return 1;
	}
	printf("{\"bytes\":%llu,\"seconds\":%.3f,\"gbps\":%.6f,\"total_bytes\":%llu,\"retrans\":%llu,"
	       "\"slowest_bytes\":%llu}\n",
		(unsigned long long)bytes, bytes_per_s > 0 ? (double)bytes / bytes_per_s : 0,
		bytes_per_s * 8 / 1e9, (unsigned long long)total, (unsigned long long)retrans,
		(unsigned long long)min_bytes);
	return 0;
}

int up_main(const struct load_config *conf)
{
	return streams_main(conf, up_thread);
}

int down_main(const struct load_config *conf)
{
	return streams_main(conf, down_thread);
}

static void print_latency(const char *count_name, struct samples *s, uint64_t us, uint64_t n_lost)
{
	samples_sort(s);
	printf("{\"%s\":%zu,\"seconds\":%.3f,\"per_s\":%.1f,\"lost\":%llu,\"p50_us\":%.1f,\"p99_us\":%.1f,"
	       "\"max_us\":%.1f}\n",
		count_name, s->n, (double)us / 1e6, us ? (double)s->n * 1e6 / (double)us : 0,
		(unsigned long long)n_lost, samples_quantile_us(s, 0.5), samples_quantile_us(s, 0.99),
		samples_quantile_us(s, 1));
	samples_done(s);
}

int rr_main(const struct load_config *conf)
{
	struct sockaddr_in to = sockaddr_of(conf, 0, PORT_ECHO);
	struct samples s = {0};
	int fd = tcp_connect(&to, 5000, NULL);
	uint64_t start_us, end_us;

	if (fd < 0) {
		errno = -fd;
		die("rr: connect");
	}
	start_us = now_us();
	end_us = start_us + conf->run_ms * 1000ull;
	while (now_us() < end_us) {
		uint64_t t = now_ns();
		char c = 'x';

		errno = -send_all(fd, &c, 1);
		if (!errno)
			errno = -recv_all(fd, &c, 1);
		if (errno)
			die("rr");
		samples_add(&s, now_ns() - t);
	}
	print_latency("requests", &s, now_us() - start_us, 0);
	close(fd);
	return 0;
}

/* One cycle: connect, one byte each way, close by the client, which therefore keeps the TIME_WAIT. */
static int crr_cycle(const struct sockaddr_in *to)
{
	int fd = tcp_connect(to, 5000, NULL);
	char c = 'x';
	int r;

	if (fd < 0)
		return fd;
	r = send_all(fd, &c, 1);
	if (r == 0)
		r = recv_all(fd, &c, 1);
	close(fd);
	return r;
}

struct crr_worker {
	pthread_t thread;
	const struct load_config *conf;
	unsigned int index;
	uint64_t end_us;
	struct samples s;
	uint64_t n_lost;
	int error;
};

static void *crr_thread(void *arg)
{
	struct crr_worker *w = arg;

	for (unsigned int i = w->index; now_us() < w->end_us; i++) {
		struct sockaddr_in to = sockaddr_of(w->conf, i, PORT_ECHO);
		uint64_t t = now_ns();
		int r = crr_cycle(&to);

		if (r == 0) {
			samples_add(&w->s, now_ns() - t);
			continue;
		}
		w->n_lost++;
		w->error = r;
		usleep(1000);
	}
	return NULL;
}

int crr_main(const struct load_config *conf)
{
	static struct crr_worker w[MAX_THREADS];
	unsigned int n = conf->n < MAX_THREADS ? conf->n : MAX_THREADS;
	uint64_t start_us = now_us(), n_lost = 0;
	struct samples all = {0};
	size_t n_ok;

	for (unsigned int i = 0; i < n; i++) {
		w[i].conf = conf;
		w[i].index = i;
		w[i].end_us = start_us + conf->run_ms * 1000ull;
		errno = pthread_create(&w[i].thread, NULL, crr_thread, &w[i]);
		if (errno)
			die("pthread_create");
	}
	for (unsigned int i = 0; i < n; i++)
		pthread_join(w[i].thread, NULL);
	start_us = now_us() - start_us;
	for (unsigned int i = 0; i < n; i++) {
		for (size_t j = 0; j < w[i].s.n; j++)
			samples_add(&all, w[i].s.v[j] * 1ull);
		samples_done(&w[i].s);
		n_lost += w[i].n_lost;
		if (w[i].error)
			fprintf(stderr, "crr: worker %u: %llu lost, last: %s\n", i,
				(unsigned long long)w[i].n_lost, strerror(-w[i].error));
	}
	n_ok = all.n;
	print_latency("cycles", &all, start_us, n_lost);
	return n_ok ? 0 : 1;
}

static uint32_t random_u32(void)
{
	uint32_t v;

	if (getrandom(&v, sizeof(v), 0) != (ssize_t)sizeof(v))
		die("getrandom");
	return v | 1;
}

static int udp_connect(const struct load_config *conf, uint16_t port, unsigned int timeout_ms)
{
	struct sockaddr_in to = sockaddr_of(conf, 0, port);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int room = 16 << 20;

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("udp connect");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	set_timeouts(fd, timeout_ms);
	return fd;
}

static void print_udp(uint64_t n_sent, uint64_t n_got, double seconds)
{
	double lost = n_sent > n_got ? (double)(n_sent - n_got) / (double)n_sent : 0;

	printf("{\"sent\":%llu,\"received\":%llu,\"seconds\":%.3f,\"kpps\":%.3f,\"loss\":%.5f}\n",
		(unsigned long long)n_sent, (unsigned long long)n_got, seconds,
		seconds > 0 ? (double)n_got / seconds / 1e3 : 0, lost);
}

#define UDP_BATCH 32

/* Sends until the time is up; what the socket refuses is not counted as sent. */
static uint64_t udp_send_run(int fd, const struct load_config *conf, struct udp_head head)
{
	static char bufs[UDP_BATCH][2048];
	uint64_t end_ns = now_ns() + conf->run_ms * 1000000ull;
	struct mmsghdr msgs[UDP_BATCH];
	struct iovec iov[UDP_BATCH];

	for (int i = 0; i < UDP_BATCH; i++) {
		iov[i] = (struct iovec){bufs[i], conf->size_bytes};
		msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	while (now_ns() < end_ns) {
		uint64_t seq = head.seq;
		int n;

		for (int i = 0; i < UDP_BATCH; i++, seq++) {
			head.seq = seq;
			memcpy(bufs[i], &head, sizeof(head));
		}
		n = sendmmsg(fd, msgs, UDP_BATCH, 0);
		head.seq = seq - UDP_BATCH + (n > 0 ? (unsigned int)n : 0);
	}
	return head.seq;
}

int udp_up_main(const struct load_config *conf)
{
	int fd = udp_connect(conf, PORT_UDP_SINK, 200);
	struct udp_head head = {.magic = LOAD_MAGIC, .kind = UDP_DATA, .cookie = random_u32()};
	uint64_t start_us = now_us(), n_sent;
	double seconds;

	n_sent = udp_send_run(fd, conf, head);
	seconds = (double)(now_us() - start_us) / 1e6;
	usleep(300000); /* what is queued may still arrive */
	for (int i = 0; i < 20; i++) {
		struct udp_head answer;

		head.kind = UDP_QUERY;
		(void)send(fd, &head, sizeof(head), 0);
		if (recv(fd, &answer, sizeof(answer), 0) != (ssize_t)sizeof(answer))
			continue;
		if (answer.magic != LOAD_MAGIC || answer.kind != UDP_ANSWER || answer.cookie != head.cookie)
			continue;
		print_udp(n_sent, answer.seq, seconds);
		return 0;
	}
	fprintf(stderr, "udp-up: the sink does not answer\n");
	return 1;
}

/* Asks for the flood until its first datagram comes; false after two seconds. */
static bool udp_hello(int fd, const struct load_config *conf, uint32_t cookie)
{
	char buf[2048] = {0};
	struct udp_head head = {
		.magic = LOAD_MAGIC, .kind = UDP_HELLO, .cookie = cookie, .run_ms = conf->run_ms};

	memcpy(buf, &head, sizeof(head));
	for (int i = 0; i < 20; i++) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		(void)send(fd, buf, conf->size_bytes, 0);
		if (poll(&p, 1, 100) > 0)
			return true;
	}
	return false;
}

int udp_down_main(const struct load_config *conf)
{
	static char bufs[UDP_BATCH][2048];
	struct mmsghdr msgs[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	int fd = udp_connect(conf, PORT_UDP_SOURCE, 3000);
	uint32_t cookie = random_u32();
	uint64_t n_got = 0;

	for (int i = 0; i < UDP_BATCH; i++) {
		iov[i] = (struct iovec){bufs[i], sizeof(bufs[i])};
		msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
	if (!udp_hello(fd, conf, cookie)) {
		fprintf(stderr, "udp-down: no flood arrives\n");
		return 1;
	}
	for (;;) {
		int n = recvmmsg(fd, msgs, UDP_BATCH, MSG_WAITFORONE, NULL);

		if (n <= 0)
			break;
		for (int i = 0; i < n; i++) {
			struct udp_head head;

			memcpy(&head, bufs[i], sizeof(head));
			if (msgs[i].msg_len < sizeof(head) || head.magic != LOAD_MAGIC ||
				head.cookie != cookie)
				continue;
			if (head.kind == UDP_END) {
				print_udp(head.seq, n_got, conf->run_ms / 1e3);
				return 0;
			}
			n_got++;
		}
	}
	fprintf(stderr, "udp-down: %llu datagrams, then nothing, and no end\n", (unsigned long long)n_got);
	return 1;
}

struct ping_msg {
	struct icmphdr icmp;
	uint64_t cookie;
	char pad[48];
};

static uint16_t csum_be(const void *data, size_t n_bytes)
{
	const uint16_t *p = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < n_bytes / 2; i++)
		sum += p[i];
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

/* True when the reply to msg came; other ICMP is skipped. */
static bool ping_wait(int fd, const struct ping_msg *msg)
{
	uint64_t end_us = now_us() + 1000000;

	while (now_us() < end_us) {
		char buf[512];
		struct ping_msg got;
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		size_t off = sizeof(struct iphdr);

		if (n < (ssize_t)(off + sizeof(got)))
			continue;
		memcpy(&got, buf + off, sizeof(got));
		if (got.icmp.type == ICMP_ECHOREPLY && got.icmp.un.echo.id == msg->icmp.un.echo.id &&
			got.icmp.un.echo.sequence == msg->icmp.un.echo.sequence && got.cookie == msg->cookie)
			return true;
	}
	return false;
}

int ping_main(const struct load_config *conf)
{
	struct sockaddr_in to = sockaddr_of(conf, 0, 0);
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	uint64_t start_us = now_us(), end_us = start_us + conf->run_ms * 1000ull, n_lost = 0;
	struct ping_msg msg = {.icmp = {.type = ICMP_ECHO}};
	struct samples s = {0};
	size_t n_ok;

	if (fd < 0)
		die("raw ICMP socket");
	set_timeouts(fd, 1000);
	msg.icmp.un.echo.id = (uint16_t)random_u32();
	for (uint16_t seq = 1; now_us() < end_us; seq++) {
		uint64_t t = now_ns();

		msg.icmp.un.echo.sequence = htons(seq);
		msg.cookie = t;
		msg.icmp.checksum = 0;
		msg.icmp.checksum = csum_be(&msg, sizeof(msg));
		if (sendto(fd, &msg, sizeof(msg), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
			die("ping: send");
		if (ping_wait(fd, &msg))
			samples_add(&s, now_ns() - t);
		else
			n_lost++;
	}
	close(fd);
	n_ok = s.n;
	print_latency("replies", &s, now_us() - start_us, n_lost);
	return n_ok ? 0 : 1;
}

int probe_main(const struct load_config *conf)
{
	uint64_t start_us = now_us(), end_us = start_us + conf->run_ms * 1000ull;
	struct sockaddr_in to = sockaddr_of(conf, 0, PORT_ECHO);
	int r = -ETIMEDOUT;

	do {
		int fd = tcp_connect(&to, 500, NULL);
		char c = 'p';

		r = fd;
		if (fd >= 0) {
			r = send_all(fd, &c, 1);
			if (r == 0)
				r = recv_all(fd, &c, 1);
			close(fd);
		}
		if (r == 0) {
			printf("{\"seconds\":%.3f}\n", (double)(now_us() - start_us) / 1e6);
			return 0;
		}
		usleep(20000);
	} while (now_us() < end_us);
	fprintf(stderr, "probe: %s\n", strerror(-r));
	return 1;
}
