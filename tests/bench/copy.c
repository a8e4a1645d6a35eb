/* SPDX-License-Identifier: BSD-2-Clause */
/* copy NETNS TAP TAP: passes frames between a tap in another network namespace and one in this, with their offload
 * headers, and does nothing else. The least that a process between a guest and the host's own network can do, so
 * that what others spend beyond it is theirs. One read() and one write() a frame, as a tap has it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define HEADER_BYTES 12
#define BURST        64 /* frames one way before the other has its turn */

static void fail(const char *what)
{
	fprintf(stderr, "copy: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_tap(const char *name)
{
	struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), header = HEADER_BYTES;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 ||
			ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN) < 0)
		fail(name);
	return fd;
}

static void pass(int from, int to)
{
	static char frame[HEADER_BYTES + 65536 + 64];

	for (int i = 0; i < BURST; i++) {
		ssize_t n = read(from, frame, sizeof(frame));

		if (n < 0 && errno != EAGAIN)
			fail("read");
		if (n <= 0)
			return;
		(void)!write(to, frame, (size_t)n); /* what the kernel does not take is lost, as on a wire */
	}
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fputs("usage: copy NETNS TAP TAP: the first tap is in the namespace that the path names\n", stderr);
		return 2;
	}
	int here = open_tap(argv[3]), netns = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (netns < 0 || setns(netns, CLONE_NEWNET) < 0)
		fail(argv[1]);
	struct pollfd p[] = {{.fd = open_tap(argv[2]), .events = POLLIN}, {.fd = here, .events = POLLIN}};
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			fail("poll");
		for (int i = 0; i < 2; i++)
			if (p[i].revents)
				pass(p[i].fd, p[!i].fd);
	}
}
