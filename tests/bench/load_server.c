/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server: a blocking thread per stream (large reads and writes, nothing else on that thread), one
 * epoll thread for all echo connections, one thread each for the UDP sink and the UDP source.
 */
#include "load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define UDP_BATCH 32

static int listen_tcp(uint16_t port, int flags)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
		bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 4096))
		die("listen");
	return fd;
}

static int bind_udp(uint16_t port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int room = 16 << 20;

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)))
		die("bind udp");
	/* The receiver must not be where datagrams are lost. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	return fd;
}

static void start_thread(void *(*fn)(void *), intptr_t arg)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	errno = pthread_create(&t, &attr, fn, (void *)arg);
	if (errno)
		die("pthread_create");
	pthread_attr_destroy(&attr);
}

static int hello_recv(int fd, struct stream_hello *ret)
{
	set_timeouts(fd, 10000);
	if (recv_all(fd, ret, sizeof(*ret)))
		return -EIO;
	if (ret->magic != LOAD_MAGIC || ret->buf_bytes < 1 || ret->buf_bytes > 1 << 26)
		return -EINVAL;
	return 0;
}

/* Reads, reports at the end of the window even if nothing arrives any more, then drains. */
static void sink_run(int fd, const struct stream_hello *hello, char *buf)
{
	uint64_t start_us = now_us(), open_us = 0, open_bytes = 0, total = 0;
	bool told = false;

	set_timeouts(fd, 20);
	for (;;) {
		ssize_t n = recv(fd, buf, hello->buf_bytes, 0);
		uint64_t now = now_us();

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return;
		total += n > 0 ? (uint64_t)n : 0;
		if (!open_us && now - start_us >= hello->warm_ms * 1000ull) {
			open_us = now;
			open_bytes = total;
		} else if (open_us && !told && now - open_us >= hello->run_ms * 1000ull) {
			struct stream_report rep = {
				.bytes = total - open_bytes, .us = now - open_us, .total_bytes = total};

			told = true;
			if (send_all(fd, &rep, sizeof(rep)))
				return;
		} else if (now - start_us > (hello->warm_ms + hello->run_ms + 10000) * 1000ull) {
			return;
		}
	}
}

static void *sink_thread(void *arg)
{
	int fd = (int)(intptr_t)arg;
	struct stream_hello hello;
	char *buf;

	if (hello_recv(fd, &hello) == 0 && (buf = malloc(hello.buf_bytes))) {
		sink_run(fd, &hello, buf);
		free(buf);
	}
	close_rst(fd);
	return NULL;
}

static void *source_thread(void *arg)
{
	int fd = (int)(intptr_t)arg;
	struct stream_hello hello;
	char *buf = NULL;

	if (hello_recv(fd, &hello) == 0 && (buf = calloc(1, hello.buf_bytes))) {
		uint64_t end_us = now_us() + (hello.warm_ms + hello.run_ms + 10000) * 1000ull;

		set_timeouts(fd, 200);
		while (now_us() < end_us) {
			ssize_t n = send(fd, buf, hello.buf_bytes, MSG_NOSIGNAL);

			if (n < 0 && errno != EAGAIN && errno != EINTR)
				break;
		}
	}
	free(buf);
	close_rst(fd);
	return NULL;
}

struct acceptor {
	uint16_t port;
	void *(*serve)(void *arg);
};

static void *accept_thread(void *arg)
{
	const struct acceptor *a = arg;
	int lfd = listen_tcp(a->port, 0);

	for (;;) {
		int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			start_thread(a->serve, fd);
		else if (errno != ECONNABORTED && errno != EINTR)
			die("accept");
	}
}

/* Echo requests are a few bytes, far below the socket buffer: a short send would be a broken test. */
static void echo_serve(int fd)
{
	char buf[4096];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || send(fd, buf, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
		close(fd);
}

static void echo_accept(int ep, int lfd)
{
	for (int i = 0; i < 64; i++) {
		struct epoll_event ev = {.events = EPOLLIN};
		int one = 1;
		int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)
				return;
			die("accept");
		}
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		ev.data.fd = fd;
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev))
			die("epoll_ctl");
	}
}

static void *echo_thread(void *arg)
{
	int lfd = (int)(intptr_t)arg;
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev[256] = {{.events = EPOLLIN, .data.fd = lfd}};

	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, lfd, ev))
		die("epoll");
	for (;;) {
		int n = epoll_wait(ep, ev, 256, -1);

		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			if (ev[i].data.fd == lfd)
				echo_accept(ep, lfd);
			else
				echo_serve(ev[i].data.fd);
		}
	}
}

struct udp_count {
	uint32_t cookie;
	uint64_t n_seen;
};

/* Counts the datagrams of the newest cookie; there is one measurement at a time. */
static void udp_sink_serve(int fd, struct udp_count *count, const struct msghdr *msg, size_t n_bytes)
{
	struct udp_head head;

	if (n_bytes < sizeof(head))
		return;
	memcpy(&head, msg->msg_iov->iov_base, sizeof(head));
	if (head.magic != LOAD_MAGIC)
		return;
	if (head.cookie != count->cookie)
		*count = (struct udp_count){.cookie = head.cookie};
	if (head.kind == UDP_DATA)
		count->n_seen++;
	if (head.kind != UDP_QUERY)
		return;
	head.kind = UDP_ANSWER;
	head.seq = count->n_seen;
	(void)sendto(fd, &head, sizeof(head), 0, msg->msg_name, msg->msg_namelen);
}

static void *udp_sink_thread(void *arg)
{
	int fd = (int)(intptr_t)arg;
	static char bufs[UDP_BATCH][2048];
	static struct sockaddr_in from[UDP_BATCH];
	struct mmsghdr msgs[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	struct udp_count count = {0};
	int n = 0;

	while (n >= 0 || errno == EINTR) {
		for (int i = 0; i < UDP_BATCH; i++) {
			iov[i] = (struct iovec){bufs[i], sizeof(bufs[i])};
			msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i],
							   .msg_namelen = sizeof(from[i]),
							   .msg_iov = &iov[i],
							   .msg_iovlen = 1}};
		}
		n = recvmmsg(fd, msgs, UDP_BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++)
			udp_sink_serve(fd, &count, &msgs[i].msg_hdr, msgs[i].msg_len);
	}
	die("recvmmsg");
}

static uint64_t udp_flood(int fd, const struct sockaddr_in *to, struct udp_head head, size_t size_bytes)
{
	uint64_t end_ns = now_ns() + head.run_ms * 1000000ull;
	char bufs[UDP_BATCH][2048] = {{0}};
	struct mmsghdr msgs[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	uint64_t seq = 0;

	for (int i = 0; i < UDP_BATCH; i++) {
		iov[i] = (struct iovec){bufs[i], size_bytes};
		msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_name = (void *)to,
						   .msg_namelen = sizeof(*to),
						   .msg_iov = &iov[i],
						   .msg_iovlen = 1}};
	}
	while (now_ns() < end_ns) {
		int n;

		for (int i = 0; i < UDP_BATCH; i++) {
			head.seq = seq + (unsigned int)i;
			memcpy(bufs[i], &head, sizeof(head));
		}
		n = sendmmsg(fd, msgs, UDP_BATCH, 0);
		if (n > 0)
			seq += (unsigned int)n;
	}
	return seq;
}

static void *udp_source_thread(void *arg)
{
	int fd = (int)(intptr_t)arg;
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	uint32_t cookie = 0;
	char buf[2048];
	ssize_t n;

	for (; (n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len)) >= 0;
		from_len = sizeof(from)) {
		struct udp_head head;

		if (n < (ssize_t)sizeof(head))
			continue;
		memcpy(&head, buf, sizeof(head));
		if (head.magic != LOAD_MAGIC || head.kind != UDP_HELLO || head.run_ms > 600000)
			continue;
		if (head.cookie == cookie) /* a hello sent twice asks for one flood */
			continue;
		cookie = head.cookie;
		head.kind = UDP_DATA;
		head.seq = udp_flood(fd, &from, head, (size_t)n);
		head.kind = UDP_END;
		for (int i = 0; i < 5; i++) {
			usleep(100000);
			(void)sendto(fd, &head, sizeof(head), 0, (struct sockaddr *)&from, from_len);
		}
	}
	die("udp source");
}

int server_main(void)
{
	static struct acceptor sink = {PORT_SINK, sink_thread}, source = {PORT_SOURCE, source_thread};

	start_thread(accept_thread, (intptr_t)&sink);
	start_thread(accept_thread, (intptr_t)&source);
	start_thread(echo_thread, listen_tcp(PORT_ECHO, SOCK_NONBLOCK));
	start_thread(udp_sink_thread, bind_udp(PORT_UDP_SINK));
	start_thread(udp_source_thread, bind_udp(PORT_UDP_SOURCE));
	for (;;)
		pause();
}
