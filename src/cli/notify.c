/* SPDX-License-Identifier: BSD-2-Clause */
/* One datagram, which is all that the protocol is: a library for it would be one more to load for every
 * engine. */
#include "notify.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "log.h"
#include "util.h"

void notify_ready(pid_t main_pid)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;
	char text[64];
	int n_text = snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\n", (int)main_pid);

	if (n == 0)
		return;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (n < sizeof(a.sun_path))
		memcpy(a.sun_path, path, n);
	if (a.sun_path[0] == '@') /* a name without a file */
		a.sun_path[0] = '\0';
	if (fd < 0 || n >= sizeof(a.sun_path) ||
		sendto(fd, text, (size_t)n_text, MSG_NOSIGNAL, (struct sockaddr *)&a,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		log_warn("the service manager cannot be told that the network serves (NOTIFY_SOCKET)");
}
