/* SPDX-License-Identifier: BSD-2-Clause */
/* The error queue of a UDP socket with IP_RECVERR: the ICMP message's type and code, who sent it, and the
 * datagram's destination: all that is needed to write the same ICMP error to the guest. */
#include <time.h>
#include <linux/errqueue.h>
#include <linux/icmp.h>

#include "platform.h"

struct error {
	struct sock_extended_err e;
	struct sockaddr_in offender, destination;
	char payload[64];
	ssize_t n_bytes;
};

static void take_error(int fd, struct error *ret)
{
	union {
		char buf[512];
		struct cmsghdr align;
	} c;
	struct iovec iov = {.iov_base = ret->payload, .iov_len = sizeof(ret->payload)};
	struct msghdr m = {.msg_name = &ret->destination,
		.msg_namelen = sizeof(ret->destination),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c.buf,
		.msg_controllen = sizeof(c.buf)};

	ASSUME(platform_wait(fd, POLLERR, 2000) & POLLERR, "no POLLERR for an ICMP error");
	ret->n_bytes = MUST(recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT));
	ret->e = (struct sock_extended_err){0};
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_level != SOL_IP || h->cmsg_type != IP_RECVERR)
			continue;
		memcpy(&ret->e, CMSG_DATA(h), sizeof(ret->e));
		memcpy(&ret->offender, CMSG_DATA(h) + sizeof(ret->e), sizeof(ret->offender));
	}
	ASSUME(ret->e.ee_origin == SO_EE_ORIGIN_ICMP, "the error's origin is %u", ret->e.ee_origin);
}

static int udp_to(const char *address, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));

	(void)inet_pton(AF_INET, address, &a.sin_addr);
	MUST(platform_set_int(fd, SOL_IP, IP_RECVERR, 1));
	MUST(connect(fd, (struct sockaddr *)&a, sizeof(a)));
	return fd;
}

static void router(void)
{
	platform_ip("addr add 192.0.2.1/24 dev v1");
	platform_ip("link set v1 up");
	platform_write_file("/proc/sys/net/ipv4/ip_forward", "1");
	platform_ip("route add 203.0.113.0/24 via 192.0.2.2");
	platform_ip("route add unreachable 198.51.100.0/24");
}

int main(void)
{
	struct platform_child r;
	struct error e;
	int fd;

	platform_enter_net();
	platform_child_start(&r, router);
	platform_ip("link add v0 type veth peer name v1 netns %d", (int)r.pid);
	platform_ip("addr add 192.0.2.2/24 dev v0");
	platform_ip("link set v0 up");
	platform_child_go(&r);
	platform_ip("route add default via 192.0.2.1");

	fd = udp_to("192.0.2.1", 9);
	MUST(send(fd, "ping", 4, 0));
	take_error(fd, &e);
	ASSUME(e.e.ee_errno == ECONNREFUSED && e.e.ee_type == ICMP_DEST_UNREACH &&
			e.e.ee_code == ICMP_PORT_UNREACH,
		"a closed port is errno %u, type %u, code %u", e.e.ee_errno, e.e.ee_type, e.e.ee_code);
	ASSUME(e.offender.sin_addr.s_addr == inet_addr("192.0.2.1"), "the offender is wrong");
	ASSUME(e.n_bytes == 4 && memcmp(e.payload, "ping", 4) == 0, "the datagram's payload is not told");
	ASSUME(e.destination.sin_port == htons(9), "the datagram's destination is not told");
	ASSUME(!(platform_wait(fd, POLLERR, 0) & POLLERR), "POLLERR stays up after the queue was drained");

	fd = udp_to("203.0.113.7", 53);
	MUST(platform_set_int(fd, SOL_IP, IP_TTL, 1));
	MUST(send(fd, "far", 3, 0));
	take_error(fd, &e);
	ASSUME(e.e.ee_type == ICMP_TIME_EXCEEDED && e.e.ee_errno == EHOSTUNREACH,
		"TTL 1 is errno %u, type %u", e.e.ee_errno, e.e.ee_type);
	ASSUME(e.offender.sin_addr.s_addr == inet_addr("192.0.2.1"),
		"the router is not named as the offender");

	fd = udp_to("198.51.100.1", 53);
	MUST(send(fd, "none", 4, 0));
	take_error(fd, &e);
	ASSUME(e.e.ee_type == ICMP_DEST_UNREACH, "an unreachable network is type %u", e.e.ee_type);
	platform_says("the UDP error queue tells type, code, offender, destination and payload; no route is "
		      "code %u",
		e.e.ee_code);
	return 0;
}
