/* SPDX-License-Identifier: BSD-2-Clause */
#include "hostdns.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/inotify.h>

#include "resolv.h"

#define RESOLV_CONF       "/etc/resolv.conf"
#define RESOLV_CONF_BYTES 65536
#define DNS_PORT          53
#define LINKS_MAX         8
#define WATCH_EVENTS      (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_ONLYDIR)

static bool server_addr(const struct resolv_server *s, union sock_addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (s->family == AF_INET) {
		ret->in4 = (struct sockaddr_in){
			.sin_family = AF_INET, .sin_port = htons(DNS_PORT), .sin_addr = s->in4};
		return true;
	}
	ret->in6 = (struct sockaddr_in6){
		.sin6_family = AF_INET6, .sin6_port = htons(DNS_PORT), .sin6_addr = s->in6};
	if (!s->scope[0])
		return true;
	unsigned int number = if_nametoindex(s->scope);
	if (!number && strspn(s->scope, "0123456789") == strlen(s->scope))
		number = (unsigned int)strtoul(s->scope, NULL, 10);
	ret->in6.sin6_scope_id = number;
	return number != 0;
}

void hostdns_read(const char *path, struct msg_resolvers *ret)
{
	_cleanup_close_ int fd = open(path ? path : RESOLV_CONF, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_free_ char *text = malloc(RESOLV_CONF_BYTES);
	struct resolv_server servers[RESOLV_SERVERS_MAX];
	size_t n = 0;

	while (text && fd >= 0 && n < RESOLV_CONF_BYTES) {
		ssize_t got = read(fd, text + n, RESOLV_CONF_BYTES - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	unsigned int n_servers = resolv_parse(text, n, servers);
	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; i < n_servers && ret->n < MSG_RESOLVERS_MAX; i++)
		if (server_addr(&servers[i], &ret->a[ret->n]))
			ret->n++;
}

bool hostdns_eq(const struct msg_resolvers *a, const struct msg_resolvers *b)
{
	return a->n == b->n && memcmp(a->a, b->a, a->n * sizeof(a->a[0])) == 0;
}

/* The nearest folder above that is there: when the next one is made in it, this is called again. One that was made
 * before the watch is seen at once. */
void hostdns_watch_folder_of(const char *path, int inotify_fd)
{
	char copy[PATH_MAX], missing[PATH_MAX];

	do {
		(void)snprintf(copy, sizeof(copy), "%s", path);
		missing[0] = '\0';
		char *folder = dirname(copy);
		while (inotify_add_watch(inotify_fd, folder, WATCH_EVENTS) < 0 && errno == ENOENT &&
			strcmp(folder, "/") != 0) {
			(void)snprintf(missing, sizeof(missing), "%s", folder);
			folder = dirname(folder);
		}
	} while (missing[0] && access(missing, F_OK) == 0);
}

/* Where the symbolic link at path leads to, into path. False if there is none. */
static bool follow_link(char path[PATH_MAX])
{
	char target[PATH_MAX], copy[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	if (n <= 0)
		return false;
	target[n] = '\0';
	(void)snprintf(copy, sizeof(copy), "%s", path);
	const char *folder = target[0] == '/' ? "" : dirname(copy);
	int used = snprintf(path, PATH_MAX, "%s%s%s", folder, folder[0] ? "/" : "", target);
	return used > 0 && used < PATH_MAX;
}

void hostdns_watch(const char *path, int inotify_fd)
{
	char p[PATH_MAX];
	int n_links = 0;

	(void)snprintf(p, sizeof(p), "%s", path ? path : RESOLV_CONF);
	do
		hostdns_watch_folder_of(p, inotify_fd);
	while (n_links++ < LINKS_MAX && follow_link(p));
}
