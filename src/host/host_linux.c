/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "host_internal.h"

int host_failed(struct host *h, int r, const char *format, ...)
{
	va_list ap;

	if (r >= 0)
		return r;
	va_start(ap, format);
	(void)vsnprintf(h->error, sizeof(h->error), format, ap);
	va_end(ap);
	return r;
}

static int identity(struct host *h, struct host_identity *ret)
{
	_cleanup_free_ char *text = NULL;
	struct stat st;
	int r = host_file_read(h, "/proc/sys/kernel/random/boot_id", &text);

	if (r < 0)
		return r;
	if (stat("/proc/self/ns/net", &st) < 0)
		return -errno;
	(void)snprintf(ret->boot_id, sizeof(ret->boot_id), "%.*s", (int)strcspn(text, "\n"), text);
	ret->netns = st.st_ino;
	ret->is_first = stat("/proc/1/ns/net", &st) == 0 && st.st_ino == ret->netns;
	return 0;
}

/* The address need not be the host's yet: IP_FREEBIND. */
static int probe_one(uint8_t proto, uint32_t addr_be, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = addr_be};
	_cleanup_close_ int fd =
		socket(AF_INET, (proto == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	int on = 1;

	/* With SO_REUSEADDR a connection that has just ended is not in the way, but a listener is. */
	if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) < 0 ||
		(proto == IPPROTO_TCP && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
		bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	return 0;
}

static int port_probe(struct host *h, uint8_t proto, uint32_t addr_be, uint16_t port)
{
	int r = proto == IPPROTO_UDP ? 0 : probe_one(IPPROTO_TCP, addr_be, port);

	return r < 0 || proto == IPPROTO_TCP ? r : probe_one(IPPROTO_UDP, addr_be, port);
}

static const struct host_ops linux_ops = {
	.identity = identity,
	.link_find = host_link_find,
	.link_list = host_link_list,
	.bridge_add = host_bridge_add,
	.link_set_alias = host_link_set_alias,
	.link_set_up = host_link_set_up,
	.link_del = host_link_del,
	.port_set_isolated = host_port_set_isolated,
	.addr_list = host_addr_list,
	.addr_add = host_addr_add,
	.addr_del = host_addr_del,
	.route_list = host_route_list,
	.sysctl_get = host_sysctl_get,
	.sysctl_set = host_sysctl_set,
	.table_find = host_table_find,
	.table_put = host_table_put,
	.table_del = host_table_del,
	.table_check = host_table_check,
	.ruleset = host_ruleset,
	.dnat_end = host_dnat_end,
	.device_probe = host_device_probe,
	.file_read = host_file_read,
	.file_write = host_file_write,
	.file_del = host_file_del,
	.dir_add = host_dir_add,
	.dir_del = host_dir_del,
	.dir_list = host_dir_list,
	.lock_take = host_lock_take,
	.lock_release = host_lock_release,
	.port_probe = port_probe,
	.supervisor_start = host_supervisor_start,
	.supervisor_find = host_supervisor_find,
	.supervisor_stop = host_supervisor_stop,
	.supervisor_reload = host_supervisor_reload,
	.run = host_run,
};

struct host *host_linux_new(void)
{
	struct host_linux *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->host.ops = &linux_ops;
	l->lock_fd = -1;
	return &l->host;
}

void host_linux_free(struct host *h)
{
	if (!h)
		return;
	struct host_linux *l = host_linux_of(h);

	host_lock_release(h);
	netlink_close(&l->nl);
	host_tables_done(l);
	free(l);
}

void host_linux_free_p(struct host **h)
{
	host_linux_free(*h);
}
