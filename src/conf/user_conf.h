/* SPDX-License-Identifier: BSD-2-Clause */
/* A user-mode network as its options describe it: checked values, plain data. The options have QEMU's
 * names and defaults (-netdev user). */
#pragma once

#include <netinet/in.h>

#include "util.h"

#define USER_PORTS_MAX    64
#define USER_FORWARDS_MAX 1024
#define USER_FORWARDS_LATER 64 /* that may be added while the network runs */
#define USER_QUEUES_MAX   8
#define USER_SEARCH_MAX   8
#define USER_SEARCH_BYTES 510 /* of all together, as DHCP encodes them: 2 more than they have characters */
#define USER_NAME_BYTES   256
#define USER_PATH_BYTES   4096

enum user_port_kind {
	USER_PORT_STREAM_LISTEN,  /* stream:PATH: listens; QEMU connects, again after a restart */
	USER_PORT_STREAM_CONNECT, /* stream:PATH,connect: connects, and again when the other end comes back */
	USER_PORT_VHOST_LISTEN,   /* vhost-user:PATH, in the same two ways */
	USER_PORT_VHOST_CONNECT,
	USER_PORT_FD,             /* fd:N: a connected or a listening stream socket, or a tap */
	USER_PORT_NETNS,          /* netns[:PID|PATH]: a tap in a network namespace */
	USER_PORT_KIND_MAX,
};

struct user_port {
	enum user_port_kind kind;
	char path[USER_PATH_BYTES]; /* socket path, or namespace path; a PID becomes /proc/PID/ns/net */
	pid_t pid;                  /* of netns:PID, else 0: its user namespace is entered too */
	int fd;                     /* of fd:N, else -1 */
	bool vhost;                 /* of fd:N: the socket speaks vhost-user */
	char ifname[16];            /* of netns; "vmlan0" when not given */
	bool noconfig;              /* leave the interface unconfigured (down, no addresses) */
	bool fresh;                 /* bare netns: make new user and network namespaces and run the command */
};

/* hostfwd=[tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport */
struct user_forward {
	uint8_t proto;       /* IPPROTO_TCP, IPPROTO_UDP */
	uint32_t host_be;    /* where to listen; any or loopback, as the caller asked, if not said */
	uint16_t host_port;  /* host order; 0: any free one, which is printed */
	uint32_t guest_be;   /* 0: dhcpstart */
	uint16_t guest_port; /* host order */
};

struct user_conf {
	uint32_t net_be, mask_be, host_be, dns_be, dhcp_start_be; /* network order */
	uint16_t mtu;
	uint16_t busy_poll_us; /* 0: off */
	char hostname[USER_NAME_BYTES], domainname[USER_NAME_BYTES], bootfile[USER_NAME_BYTES];
	char search[USER_SEARCH_MAX][USER_NAME_BYTES];
	unsigned int n_search;
	unsigned int n_queues; /* pairs of a vhost-user port: 1 to USER_QUEUES_MAX */
	bool restricted, no_host_loopback, no_host, no_peek_off, no_sandbox, isolated, guest_servers;
	bool in_band; /* vhost-user front ends may notify, and be notified, by messages */
	bool stats, debug;
	char pcap[USER_PATH_BYTES];    /* empty: none */
	struct user_forward *forwards; /* heap */
	unsigned int n_forwards;
	struct user_port *ports; /* heap */
	unsigned int n_ports;
	char **command; /* after --, NULL if none; points into argv */
	char name[USER_NAME_BYTES]; /* of its control socket; empty: the process's number */
	bool control;   /* has a control socket of its own */
	int control_fd; /* a connection of whoever started it, for requests; -1: none */
	bool any_host;  /* a forward without a host address listens on all, as QEMU's */
	int life_fd;    /* the network ends when nobody has the other end of this pipe any more; -1: none */
};

/* The defaults: 10.0.2.0/24, no port; MTU 0: each port kind's own. host_be, dns_be and dhcp_start_be stay
 * 0, which means "follow net_be", until user_conf_check(). */
void user_conf_init(struct user_conf *ret);
void user_conf_done(struct user_conf *c);

/* What is wrong with a value, where in it, and what is allowed, as one line for a person. */
struct conf_error {
	char text[320];
	size_t at;          /* offset in the value */
	size_t n_bytes;     /* how much of the value is meant; 0: a point */
	const char *option; /* of user_conf_check(): the option it is about ("dns", ...); else NULL */
};

/* Each parses one option's value. false: *e says why. Nothing is changed then. */

/* any_host: an empty host address means 0.0.0.0 (QEMU's meaning) instead of 127.0.0.1. */
bool user_conf_parse_hostfwd(const char *text, bool any_host, struct user_forward *ret, struct conf_error *e);
/* The part of a forward that is unique: [tcp|udp]:[hostaddr]:hostport, whether or not the rest follows. */
bool user_conf_parse_hostfwd_key(const char *text, bool any_host, struct user_forward *ret);
/* ADDR[/BITS or /MASK]; without a mask the old classes decide, as in QEMU. */
bool user_conf_parse_net(const char *text, struct user_conf *c, struct conf_error *e);
/* Commas in a path are doubled, as in QEMU. */
bool user_conf_parse_port(const char *text, struct user_port *ret, struct conf_error *e);
/* One IPv4 address, never 0.0.0.0. */
bool user_conf_parse_addr(const char *text, uint32_t *ret_be, struct conf_error *e);
/* 576 to 65520. */
bool user_conf_parse_mtu(const char *text, uint16_t *ret, struct conf_error *e);
/* 0 to 1000. */
bool user_conf_parse_busy_poll(const char *text, uint16_t *ret, struct conf_error *e);
/* 1 to USER_QUEUES_MAX. */
bool user_conf_parse_queues(const char *text, unsigned int *ret, struct conf_error *e);
/* A host or domain name, for DHCP: letters, digits, '-', '_' and '.'. */
bool user_conf_parse_name(const char *text, char ret[USER_NAME_BYTES], struct conf_error *e);
/* The same for one that DHCP encodes: labels of 1 to 63 characters; a dot at the end is allowed. */
bool user_conf_parse_domain(const char *text, char ret[USER_NAME_BYTES], struct conf_error *e);
bool user_conf_parse_path(const char *text, char ret[USER_PATH_BYTES], struct conf_error *e);

/* Appends a copy. 0, -ENOMEM, or -ENOSPC when there are USER_..._MAX, or more than USER_SEARCH_BYTES. */
int user_conf_add_forward(struct user_conf *c, const struct user_forward *f);
int user_conf_add_port(struct user_conf *c, const struct user_port *p);
int user_conf_add_search(struct user_conf *c, const char name[USER_NAME_BYTES]);

/* After all options: fills in what was left to its default within --net, and checks that host and
 * dhcpstart lie in it, that all differ, and that forwards lead into it. The DNS address may lie outside
 * unless the network is restricted, as in QEMU: the guest then asks that server itself. */
bool user_conf_check(struct user_conf *c, struct conf_error *e);
/* That part of it which is about one forward, after the rest was checked. */
bool user_conf_check_forward(const struct user_conf *c, const struct user_forward *f, struct conf_error *e);
