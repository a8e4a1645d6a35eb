/* SPDX-License-Identifier: BSD-2-Clause */
/* The tap's offload header is 10 bytes until told otherwise, then the 12 of virtio 1; little-endian on
 * request; TSO, and USO from 6.2 on, can be switched on, USO for both families together or not at all. */
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "platform.h"

#define OFFLOAD_BASE (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)

static int set_offload(int fd, unsigned long flags)
{
	return ioctl(fd, TUNSETOFFLOAD, flags) < 0 ? -errno : 0;
}

int main(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = 0};
	int fd, udp, header = 0, wide = 12, on = 1, uso;
	uint8_t frame[2048];
	ssize_t n;

	platform_enter_net();
	fd = platform_tap("t0", "192.0.2.1/24");
	MUST(ioctl(fd, TUNGETVNETHDRSZ, &header));
	ASSUME(ioctl(fd, TUNSETVNETHDRSZ, &wide) == 0, "no header of 12 bytes: %s", strerror(errno));
	ASSUME(ioctl(fd, TUNSETVNETLE, &on) == 0, "no little-endian header: %s", strerror(errno));
	ASSUME(set_offload(fd, OFFLOAD_BASE) == 0, "no checksum offload and TSO");
	ASSUME(set_offload(fd, OFFLOAD_BASE | TUN_F_USO4) < 0, "USO4 without USO6 is accepted");
	uso = set_offload(fd, OFFLOAD_BASE | TUN_F_USO4 | TUN_F_USO6);
	ASSUME(uso == 0 || set_offload(fd, OFFLOAD_BASE) == 0, "TSO is lost with a failed try for USO");

	/* A datagram to a neighbour: its checksum is left to us. */
	platform_ip("neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev t0");
	to.sin_addr.s_addr = inet_addr("192.0.2.2");
	udp = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	MUST(sendto(udp, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)));
	ASSUME(platform_wait(fd, POLLIN, 1000) & POLLIN, "nothing came through the tap");
	n = MUST(read(fd, frame, sizeof(frame)));
	ASSUME(n == 12 + 14 + 20 + 8 + 1, "a frame of %zd bytes, header included", n);
	ASSUME(frame[0] == 1, "the checksum is not left to us");
	ASSUME(frame[6] == 34 && frame[7] == 0 && frame[8] == 6 && frame[9] == 0,
		"csum_start is not 34, little-endian");
	ASSUME(frame[12 + 12] == 0x08 && frame[12 + 13] == 0x00, "no Ethernet header behind 12 bytes");
	platform_says("the tap's header is %d bytes by default and 12 if asked; USO %s", header,
		uso == 0 ? "for both families together" : "is not there: vmlan segments datagrams itself");
	return 0;
}
