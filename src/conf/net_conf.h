/* SPDX-License-Identifier: BSD-2-Clause */
/* A network that the kernel moves frames for, as its options describe it: checked values, plain data.
 *
 * The command line, a network file and the saved state all say an option as KEY and VALUE, so there is one
 * parser, net_conf_set(), and one way back, net_conf_each(). The keys are QEMU's words where QEMU has one
 * (net, host, dns, dhcpstart, domainname, hostfwd, restrict). */
#pragma once

#include <net/if.h>

#include "user_conf.h"

#define NET_NAME_BYTES     IFNAMSIZ /* a name is also the bridge's, unless that is named */
#define NET_FORWARDS_MAX   256
#define NET_RESERVES_MAX   1024
#define NET_PATH_BYTES     256
#define NET_BOOTFILE_BYTES 128 /* as long as DHCP's field */
#define NET_VALUE_BYTES    320 /* the longest value in text */

enum net_mode {
	NET_MODE_NAT,
	NET_MODE_MAX,
};

/* An address of either family. family 0: not given. */
struct net_addr {
	int family;
	union {
		uint32_t in4_be;
		struct in6_addr in6;
	};
};

/* [tcp|udp]:[hostaddr]:hostport[-last]-[guestaddr]:guestport; an IPv6 address stands in brackets. */
struct net_forward {
	uint8_t proto;
	struct net_addr host;  /* family 0: every address of the host */
	struct net_addr guest; /* family 0 until net_conf_check(): dhcpstart */
	uint16_t host_port;    /* host order, as the next */
	uint16_t guest_port;   /* the first one's; the others follow */
	uint16_t n_ports;
};

/* MAC=ADDR[,NAME] */
struct net_reserve {
	uint8_t mac[6];
	uint32_t addr_be;
	char name[64]; /* may be empty */
};

struct net_conf {
	char name[NET_NAME_BYTES];
	char bridge[IFNAMSIZ];
	enum net_mode mode;
	/* Network order. net_be 0: to be chosen. The others 0: by net_conf_check(). */
	uint32_t net_be, mask_be, host_be, dhcp_start_be, dhcp_end_be;
	uint32_t dns_be;      /* 0: the host's own address, where ours answers */
	struct in6_addr net6; /* a /64; all zeroes: to be derived, unless no_ipv6 */
	char domainname[USER_NAME_BYTES];
	char tftp[NET_PATH_BYTES];         /* absolute, or empty: none is served */
	char bootfile[NET_BOOTFILE_BYTES]; /* what guests are told to boot, or empty */
	uint16_t mtu;                      /* 0: 1500 */
	bool isolated, restricted, no_ipv6, stp;
	bool adopted;                 /* the bridge is another's, and is there */
	struct net_forward *forwards; /* heap */
	unsigned int n_forwards;
	struct net_reserve *reserves; /* heap */
	unsigned int n_reserves;
};

/* A name for a network: letters, digits, '-' and '_', as many as an interface's name has room for. */
bool net_conf_init(const char *name, struct net_conf *ret, struct conf_error *e);
void net_conf_done(struct net_conf *c);
/* Heap and all; 0 or -ENOMEM. */
int net_conf_copy(const struct net_conf *c, struct net_conf *ret);

/* One option. A flag's value is "yes" or "no". false: *e says why, nothing is changed. */
bool net_conf_set(struct net_conf *c, const char *key, const char *value, struct conf_error *e);
bool net_conf_has_key(const char *key);
/* All keys that there are, as net_conf_each(). */
int net_conf_each_key(int (*fn)(void *ctx, const char *key), void *ctx);
/* Tells of each option that is not at its default, in a fixed order. fn: other than 0 ends it and is
 * returned. */
int net_conf_each(
	const struct net_conf *c, int (*fn)(void *ctx, const char *key, const char *value), void *ctx);

/* Fills in what follows from the network (which must be known), and checks that all fits together. */
bool net_conf_check(struct net_conf *c, struct conf_error *e);

bool net_forward_parse(const char *text, struct net_forward *ret, struct conf_error *e);
void net_forward_emit(const struct net_forward *f, char ret[NET_VALUE_BYTES]);
bool net_reserve_parse(const char *text, struct net_reserve *ret, struct conf_error *e);
void net_reserve_emit(const struct net_reserve *r, char ret[NET_VALUE_BYTES]);

static inline unsigned int net_conf_prefix(const struct net_conf *c)
{
	return (unsigned int)__builtin_popcount(c->mask_be);
}
