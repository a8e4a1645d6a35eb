/* SPDX-License-Identifier: BSD-2-Clause */
/* Stands in for the parent of a network: prints what it was asked to serve, and holds the port until its
 * other end is closed. */
#include "parent.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

static void print_addr(const char *name, uint32_t a_be)
{
	char a[INET_ADDRSTRLEN];

	(void)dprintf(STDERR_FILENO, "double: %s %s\n", name, inet_ntop(AF_INET, &a_be, a, sizeof(a)));
}

static void print_conf(const struct user_conf *c)
{
	print_addr("net", c->net_be);
	print_addr("mask", c->mask_be);
	print_addr("host", c->host_be);
	print_addr("dns", c->dns_be);
	print_addr("dhcpstart", c->dhcp_start_be);
	for (unsigned int i = 0; i < c->n_forwards; i++)
		(void)dprintf(STDERR_FILENO, "double: forward %u %u\n", c->forwards[i].host_port,
			c->forwards[i].guest_port);
	for (unsigned int i = 0; i < c->n_ports; i++)
		(void)dprintf(STDERR_FILENO, "double: port %d %s\n", (int)c->ports[i].kind, c->ports[i].path);
}

int parent_run(const struct user_conf *c, int ready_fd)
{
	const char *fail = getenv("DOUBLE_FAILS");
	char buf[4096];
	ssize_t n;

	print_conf(c);
	if (fail) {
		util_close(&ready_fd);
		return atoi(fail);
	}
	if (ready_fd >= 0 && write(ready_fd, "", 1) != 1)
		return 1;
	util_close(&ready_fd);
	if (c->n_ports && c->ports[0].kind == USER_PORT_FD) {
		while ((n = read(c->life_fd >= 0 ? c->life_fd : c->ports[0].fd, buf, sizeof(buf))) > 0)
			continue;
		(void)dprintf(STDERR_FILENO, "double: port closed\n");
	}
	return 0;
}
