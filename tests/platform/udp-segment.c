/* SPDX-License-Identifier: BSD-2-Clause */
/* UDP_SEGMENT: how many datagrams one send may stand for, what errors its limits give, and that the
 * datagrams arrive as separate ones, or as one with UDP_GRO. On any error vmlan sends them one by one. */
#include <netinet/udp.h>

#include "platform.h"

static ssize_t send_segments(int fd, size_t n_bytes, uint16_t segment_bytes)
{
	static char data[65536];
	union {
		char buf[CMSG_SPACE(sizeof(uint16_t))];
		struct cmsghdr align;
	} c = {0};
	struct iovec iov = {.iov_base = data, .iov_len = n_bytes};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.buf, .msg_controllen = sizeof(c.buf)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	ssize_t n;

	h->cmsg_level = SOL_UDP;
	h->cmsg_type = UDP_SEGMENT;
	h->cmsg_len = CMSG_LEN(sizeof(segment_bytes));
	memcpy(CMSG_DATA(h), &segment_bytes, sizeof(segment_bytes));
	n = sendmsg(fd, &m, 0);
	return n < 0 ? -errno : n;
}

/* The size that the receiver is told its joined datagrams have; 0: not joined. */
static int receive_joined(int fd, ssize_t *ret_bytes)
{
	static char data[65536];
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} c = {0};
	struct iovec iov = {.iov_base = data, .iov_len = sizeof(data)};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.buf, .msg_controllen = sizeof(c.buf)};
	int size = 0;

	*ret_bytes = MUST(recvmsg(fd, &m, MSG_DONTWAIT));
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
		if (h->cmsg_level == SOL_UDP && h->cmsg_type == UDP_GRO)
			memcpy(&size, CMSG_DATA(h), sizeof(size));
	return size;
}

/* The most datagrams of 100 bytes that one send takes. */
static unsigned int most_segments(int fd, ssize_t *ret_error)
{
	unsigned int n = 1;

	while (n < 600 && (*ret_error = send_segments(fd, (n + 1) * 100, 100)) >= 0)
		n++;
	return n;
}

int main(void)
{
	union sock_addr a;
	int to, from;
	ssize_t too_many, too_long, above_mtu, n;
	unsigned int most;
	char buf[2048];

	platform_enter_net();
	platform_set_lo_mtu(1500);
	to = platform_udp(AF_INET, &a);
	from = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	MUST(connect(from, &a.sa, sizeof(a.in4)));
	n = send_segments(from, 64 * 1000, 1000);
	if (n < 0)
		platform_skip("no UDP_SEGMENT (%s); vmlan sends datagrams one by one", strerror((int)-n));
	for (unsigned int i = 0; i < 64; i++)
		ASSUME(recv(to, buf, sizeof(buf), MSG_DONTWAIT) == 1000,
			"datagram %u of 64 is not 1000 bytes", i);
	n = send_segments(from, 2500, 1000);
	ASSUME(n == 2500 && recv(to, buf, sizeof(buf), 0) == 1000 && recv(to, buf, sizeof(buf), 0) == 1000 &&
			recv(to, buf, sizeof(buf), 0) == 500,
		"a last datagram that is shorter does not arrive");

	most = most_segments(from, &too_many);
	too_long = send_segments(from, 65536, 1400);
	above_mtu = send_segments(from, 2 * 1473, 1473);
	ASSUME(too_long < 0 && above_mtu < 0, "a send beyond its limits succeeds");
	while (recv(to, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	ASSUME(platform_set_int(to, SOL_UDP, UDP_GRO, 1) == 0, "no UDP_GRO");
	ASSUME(send_segments(from, 40 * 1400, 1400) == 40 * 1400, "40 datagrams of 1400 bytes are refused");
	ASSUME(receive_joined(to, &n) == 1400 && n == 40 * 1400, "UDP_GRO gives %zd bytes", n);
	platform_says("UDP_SEGMENT takes %u datagrams, then \"%s\"; 64 KiB \"%s\"; above the MTU \"%s\"; "
		      "UDP_GRO joins",
		most, strerror((int)-too_many), strerror((int)-too_long), strerror((int)-above_mtu));
	return 0;
}
