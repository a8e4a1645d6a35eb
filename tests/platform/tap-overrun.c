/* SPDX-License-Identifier: BSD-2-Clause */
/* A tap's queue that overruns drops frames without a word to the sender: only the interface's tx_dropped
 * counts them. txqueuelen makes the queue longer, also when the tap is already there. */
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "platform.h"

#define N_SENDS 5000

/* How many of N_SENDS datagrams lie in the tap's queue afterwards. */
static unsigned int queued(int fd, unsigned int *ret_failed)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	_cleanup_close_ int udp = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	unsigned int n = 0;
	char buf[2048];

	to.sin_addr.s_addr = inet_addr("192.0.2.2");
	*ret_failed = 0;
	for (unsigned int i = 0; i < N_SENDS; i++)
		*ret_failed += sendto(udp, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to)) < 0;
	while (read(fd, buf, sizeof(buf)) > 0)
		n++;
	return n;
}

static unsigned long tx_dropped(void)
{
	char line[512];
	FILE *f = fopen("/proc/net/dev", "re");
	unsigned long v[12] = {0};

	while (f && fgets(line, sizeof(line), f)) {
		char *p = strstr(line, "t0:");

		if (p)
			(void)sscanf(p + 3, "%lu %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu", &v[0], &v[1],
				&v[2], &v[3], &v[4], &v[5], &v[6], &v[7], &v[8], &v[9], &v[10], &v[11]);
	}
	ASSUME(f && fclose(f) == 0, "/proc/net/dev cannot be read");
	return v[11];
}

int main(void)
{
	unsigned int n_default, n_long, n_failed, n_failed_long;
	unsigned long dropped;
	int fd;

	platform_enter_net();
	fd = platform_tap("t0", "192.0.2.1/24");
	platform_ip("neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev t0");
	n_default = queued(fd, &n_failed);
	dropped = tx_dropped();
	platform_ip("link set t0 txqueuelen 8192");
	n_long = queued(fd, &n_failed_long);
	ASSUME(n_long == N_SENDS && n_failed_long == 0, "a queue of 8192 holds %u of %u frames", n_long,
		N_SENDS);
	ASSUME(n_default + n_failed + dropped >= N_SENDS, "%u frames are lost and not counted",
		N_SENDS - n_default - n_failed - (unsigned int)dropped);
	platform_says(
		"of %u sends to a tap %u failed, %u are queued, %lu counted as tx_dropped; with txqueuelen "
		"8192 all are queued",
		N_SENDS, n_failed, n_default, dropped);
	return 0;
}
