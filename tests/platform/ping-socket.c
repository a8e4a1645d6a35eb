/* SPDX-License-Identifier: BSD-2-Clause */
/* Ping sockets (SOCK_DGRAM, IPPROTO_ICMP): open to the groups of net.ipv4.ping_group_range; the kernel
 * writes the socket's local port in the place of the identifier, so that each guest identifier needs a
 * socket; answers come with the ICMP header and without the IP one; errors through the error queue. */
#include <time.h>
#include <linux/errqueue.h>
#include <linux/icmp.h>

#include "platform.h"

static int ping_open(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);

	return fd < 0 ? -errno : fd;
}

static uint16_t local_port(int fd)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);

	MUST(getsockname(fd, (struct sockaddr *)&a, &n));
	return ntohs(a.sin_port);
}

int main(void)
{
	struct {
		struct icmphdr h;
		char data[8];
	} echo = {.h = {.type = ICMP_ECHO}, .data = "payload"}, reply;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct msghdr m = {0};
	int fd, shut, told;

	platform_enter_net();
	shut = ping_open();
	platform_write_file("/proc/sys/net/ipv4/ping_group_range", "0 0");
	fd = ping_open();
	if (fd < 0)
		platform_skip(
			"no ping sockets (%s); vmlan answers no echo requests for others", strerror(-fd));
	echo.h.un.echo.id = htons(4711);
	echo.h.un.echo.sequence = htons(3);
	echo.h.checksum = 0xdead; /* written by the kernel */
	MUST(connect(fd, (struct sockaddr *)&a, sizeof(a)));
	MUST(send(fd, &echo, sizeof(echo), 0));
	ASSUME(platform_wait(fd, POLLIN, 2000) & POLLIN, "no answer");
	ASSUME(recv(fd, &reply, sizeof(reply), 0) == sizeof(reply), "the answer is not header and data");
	ASSUME(reply.h.type == ICMP_ECHOREPLY && reply.h.un.echo.sequence == htons(3), "not the answer");
	ASSUME(memcmp(reply.data, echo.data, sizeof(echo.data)) == 0, "the data was changed");
	told = ntohs(reply.h.un.echo.id);
	ASSUME(told == local_port(fd), "the identifier is %d, not the socket's port %u", told,
		local_port(fd));
	echo.h.type = ICMP_ECHOREPLY;
	ASSUME(send(fd, &echo, sizeof(echo), 0) < 0, "a ping socket sends other types too");

	/* An error, from an address that the loopback's route says is unreachable. */
	fd = ping_open();
	platform_ip("addr add 192.0.2.2/24 dev lo");
	platform_ip("route add unreachable 198.51.100.0/24");
	a.sin_addr.s_addr = inet_addr("198.51.100.1");
	echo.h.type = ICMP_ECHO;
	MUST(platform_set_int(fd, SOL_IP, IP_RECVERR, 1));
	ASSUME(sendto(fd, &echo, sizeof(echo), 0, (struct sockaddr *)&a, sizeof(a)) < 0 &&
			errno == EHOSTUNREACH,
		"no route is not EHOSTUNREACH");
	ASSUME(recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0, "a failed send is in the error queue too");
	platform_says(
		"ping sockets are %s by default; the identifier %d is written over with the socket's port",
		shut < 0 ? "shut" : "open", 4711);
	return 0;
}
