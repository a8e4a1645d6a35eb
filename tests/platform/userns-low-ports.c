/* SPDX-License-Identifier: BSD-2-Clause */
/* A new user namespace loses the right to bind low ports of the network namespace it came from, whatever
 * capabilities it seems to have. A listening socket bound before goes on working. */
#include "platform.h"

static int try_bind(uint16_t port)
{
	union sock_addr a;
	int fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	socklen_t n = platform_loopback(AF_INET, port, &a);

	if (bind(fd, &a.sa, n) < 0)
		return -errno;
	MUST(listen(fd, 1));
	return fd;
}

int main(void)
{
	union sock_addr a;
	int before, after, client;

	platform_enter_net();
	before = try_bind(80);
	ASSUME(before >= 0, "the owner of the namespace cannot bind port 80: %s", strerror(-before));
	if (unshare(CLONE_NEWUSER) < 0)
		platform_skip("no user namespaces: %s", strerror(errno));
	after = try_bind(81);

	client = MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	MUST(connect(client, &a.sa, platform_loopback(AF_INET, 80, &a)));
	ASSUME(accept(before, NULL, NULL) >= 0, "a port bound before does not accept: %s", strerror(errno));
	platform_says("after unshare(CLONE_NEWUSER) binding a low port gives %s; one bound before goes on",
		after < 0 ? strerror(-after) : "no error");
	return 0;
}
