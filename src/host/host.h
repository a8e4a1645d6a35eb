/* SPDX-License-Identifier: BSD-2-Clause */
/* What a Linux host can do for a network. Two back ends: host_linux does it; host_fake keeps a host in
 * memory and fails, or dies, at any call that a test names.
 *
 * Every call returns 0 or -errno, and -ENOENT (-ENODEV for interfaces) when what is asked for is not there.
 * Nothing here knows what a network is, what is ours, or what should be undone: see src/network. */
#pragma once

#include <net/if.h>
#include <netinet/in.h>

#include "util.h"

#define HOST_MARK_BYTES   64 /* "vmlan:NAME", as an interface's alias or a table's comment */
#define HOST_PATH_BYTES   160
#define HOST_SYSCTL_BYTES 32
#define HOST_ERROR_BYTES  512

struct host_link {
	unsigned int index;
	char name[IFNAMSIZ];
	char kind[16]; /* "bridge", "tun", "veth", ...; empty for hardware and lo */
	char alias[HOST_MARK_BYTES];
	uint8_t mac[6];
	uint32_t mtu;
	unsigned int master; /* index of the bridge it is a port of; 0: none */
	bool up, loopback;
};

struct host_addr {
	unsigned int ifindex;
	int family;       /* AF_INET, AF_INET6 */
	uint8_t addr[16]; /* network order; the first four bytes of an IPv4 address */
	uint8_t prefix;
	bool nodad; /* for adding: an IPv6 address that is usable at once */
};

struct host_route {
	unsigned int ifindex; /* 0: none, or several */
	int family;
	uint8_t dst[16];
	uint8_t prefix;
	uint32_t table;
	uint8_t type; /* RTN_UNICAST, ... */
};

struct host_bridge {
	char name[IFNAMSIZ];
	uint8_t mac[6];
	uint32_t mtu;
	bool stp; /* its forward delay is 0 without, 2 s with it */
};

/* Which boot and which network namespace this is. */
struct host_identity {
	char boot_id[40];
	uint64_t netns; /* inode */
	bool is_first;  /* that of process 1, where the host's own services are */
};

struct host_table {
	char mark[HOST_MARK_BYTES]; /* its comment */
	uint64_t digest;            /* of its listing: whoever changes a rule changes this */
};

/* Connections that came to ports of this host and were led on. */
struct host_dnat {
	uint8_t proto;
	int family;
	uint8_t to[16];                  /* network order; the first four bytes of an IPv4 address */
	uint16_t port, to_port, n_ports; /* host order; the first ones, and how many */
};

struct host;

struct host_ops {
	int (*identity)(struct host *h, struct host_identity *ret);

	/* Interfaces. The lists are heap. */
	int (*link_find)(struct host *h, const char *name, struct host_link *ret);
	int (*link_list)(struct host *h, struct host_link **ret, unsigned int *ret_n);
	/* -EEXIST: the name is taken. */
	int (*bridge_add)(struct host *h, const struct host_bridge *b);
	int (*link_set_alias)(struct host *h, unsigned int index, const char *alias);
	int (*link_set_up)(struct host *h, unsigned int index, bool up);
	int (*link_del)(struct host *h, unsigned int index);
	/* Port isolation: isolated ports of a bridge do not reach each other. */
	int (*port_set_isolated)(struct host *h, unsigned int index, bool isolated);

	int (*addr_list)(struct host *h, struct host_addr **ret, unsigned int *ret_n);
	int (*addr_add)(struct host *h, const struct host_addr *a);
	int (*addr_del)(struct host *h, const struct host_addr *a);
	/* Of all tables, without multicast, local and broadcast ones. */
	int (*route_list)(struct host *h, struct host_route **ret, unsigned int *ret_n);

	/* Paths below /proc/sys, such as net/ipv4/ip_forward; values without white space at their end. */
	int (*sysctl_get)(struct host *h, const char *path, char ret[HOST_SYSCTL_BYTES]);
	int (*sysctl_set)(struct host *h, const char *path, const char *value);

	/* nftables: whole tables of family inet, in one transaction each. rules: what stands between the
	 * table's braces. A put replaces whatever table has that name. */
	int (*table_find)(struct host *h, const char *name, struct host_table *ret);
	int (*table_put)(struct host *h, const char *name, const char *mark, const char *rules);
	int (*table_del)(struct host *h, const char *name);
	/* Whether a table of such rules could be made now; makes none. */
	int (*table_check)(struct host *h, const char *rules);
	/* The rules of all tables whose names do not begin so, as libnftables writes them in JSON: an object
	 * for each table, one after the other; heap. */
	int (*ruleset)(struct host *h, const char *but, char **ret);

	/* Ends what is still translated so: packets of such connections are as any other's from now on. */
	int (*dnat_end)(struct host *h, const struct host_dnat *d);

	/* Whether a device can be opened for reading and writing; changes nothing. */
	int (*device_probe)(struct host *h, const char *path);

	/* Files. A write is whole or not at all, and on disk (with its folder's entry) when it returns. */
	int (*file_read)(struct host *h, const char *path, char **ret);
	int (*file_write)(struct host *h, const char *path, const char *text);
	int (*file_del)(struct host *h, const char *path);
	int (*dir_add)(struct host *h, const char *path); /* with its parents; one that exists is all right */
	int (*dir_del)(struct host *h, const char *path); /* -ENOTEMPTY */
	/* The entries of a folder, each ended by NUL, the last by two; heap. */
	int (*dir_list)(struct host *h, const char *path, char **ret);

	/* One process at a time goes on from here; it is let go by lock_release(), or by its end.
	 * -EWOULDBLOCK: another has it, and the caller does not wait. */
	int (*lock_take)(struct host *h, const char *path, bool wait);
	void (*lock_release)(struct host *h);

	/* Whether somebody could listen at an address's port now; -EADDRINUSE if not. proto 0: TCP and UDP.
	 */
	int (*port_probe)(struct host *h, uint8_t proto, uint32_t addr_be, uint16_t port);

	/* The supervisor of a network: known by the lock that it holds on a file in the network's folder. */
	int (*supervisor_start)(struct host *h, const char *network, const char *lock_path);
	int (*supervisor_find)(struct host *h, const char *lock_path, pid_t *ret);
	/* When it returns, the supervisor and what it started are gone. */
	int (*supervisor_stop)(struct host *h, const char *lock_path);
	/* Have it read its files again. */
	int (*supervisor_reload)(struct host *h, const char *lock_path);

	/* Runs a command found by PATH to its end; its exit status, 0 to 255, or -errno: -ETIMEDOUT if it was
	 * killed, for it does not end. */
	int (*run)(struct host *h, char *const argv[]);
};

struct host {
	const struct host_ops *ops;
	char error[HOST_ERROR_BYTES]; /* what a part of the host had to say about the last failure, or empty
				       */
};

/* This machine. Heap; NULL: no memory. */
struct host *host_linux_new(void);
void host_linux_free(struct host *h);
void host_linux_free_p(struct host **h);
