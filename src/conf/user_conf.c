/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of a user-mode network, from text to checked values.
 *
 * The grammar is QEMU's, so that a rule that works there works here: a protocol may be left out (tcp),
 * an address may be in any of inet_aton()'s forms, a port may be hexadecimal, a network without a mask
 * gets the one of its old class. An address that was not given follows the network: .2.2, .2.3 and .2.15
 * cut to its host bits. It differs from QEMU in that mistakes are refused which QEMU takes and which
 * cannot work: masks with holes, a host address that is the network's or the broadcast address. */
#include "user_conf.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "conf_text.h"

#define NET_DEFAULT      0x0a000200u /* 10.0.2.0/24 */
#define NET_DEFAULT_BITS 24
#define NET_BITS_MIN     4
#define LABEL_MAX        63  /* RFC 1035, 2.3.4 */
#define DOMAIN_MAX       253 /* without the length before the first label, and the root's */
#define NET_BITS_MAX     29 /* room for a router, a name server and a guest */
#define MTU_MIN          576
#define MTU_MAX          65520
#define BUSY_POLL_MAX_US 1000

void user_conf_init(struct user_conf *ret)
{
	*ret = (struct user_conf){
		.net_be = htonl(NET_DEFAULT),
		.mask_be = htonl(~0u << (32 - NET_DEFAULT_BITS)),
		.life_fd = -1,
		.control_fd = -1,
		.n_queues = 1,
	};
}

void user_conf_done(struct user_conf *c)
{
	free(c->forwards);
	free(c->ports);
	c->forwards = NULL;
	c->ports = NULL;
	c->n_forwards = c->n_ports = 0;
}

/* Doubles an array at each power of two, so that its room needs no counter of its own. */
static int grow(void **array, unsigned int n, unsigned int max, size_t size)
{
	void *p;

	if (n >= max)
		return -ENOSPC;
	if (n & (n - 1) || (n == 0 && *array))
		return 0;
	p = reallocarray(*array, n ? (size_t)n * 2 : 1, size);
	if (!p)
		return -ENOMEM;
	*array = p;
	return 0;
}

int user_conf_add_forward(struct user_conf *c, const struct user_forward *f)
{
	void *array = c->forwards;
	int r = grow(&array, c->n_forwards, USER_FORWARDS_MAX, sizeof(*f));

	c->forwards = array;
	if (r == 0)
		c->forwards[c->n_forwards++] = *f;
	return r;
}

int user_conf_add_port(struct user_conf *c, const struct user_port *p)
{
	void *array = c->ports;
	int r = grow(&array, c->n_ports, USER_PORTS_MAX, sizeof(*p));

	c->ports = array;
	if (r == 0)
		c->ports[c->n_ports++] = *p;
	return r;
}

int user_conf_add_search(struct user_conf *c, const char name[USER_NAME_BYTES])
{
	size_t n_bytes = strlen(name) + 2;

	for (unsigned int i = 0; i < c->n_search; i++)
		n_bytes += strlen(c->search[i]) + 2;
	if (c->n_search >= USER_SEARCH_MAX || n_bytes > USER_SEARCH_BYTES)
		return -ENOSPC;
	memcpy(c->search[c->n_search++], name, USER_NAME_BYTES);
	return 0;
}

bool user_conf_parse_addr(const char *text, uint32_t *ret_be, struct conf_error *e)
{
	uint32_t a;

	if (!conf_addr(text, strlen(text), &a) || a == 0)
		return conf_fail(e, 0, strlen(text), "'%.64s' is not an IPv4 address such as 10.0.2.2", text);
	*ret_be = a;
	return true;
}

bool user_conf_parse_mtu(const char *text, uint16_t *ret, struct conf_error *e)
{
	uint64_t v;

	if (!conf_number(text, strlen(text), 10, MTU_MIN, MTU_MAX, &v))
		return conf_fail(e, 0, strlen(text), "'%.64s' is not a number of bytes from %d to %d", text,
			MTU_MIN, MTU_MAX);
	*ret = (uint16_t)v;
	return true;
}

bool user_conf_parse_busy_poll(const char *text, uint16_t *ret, struct conf_error *e)
{
	uint64_t v;

	if (!conf_number(text, strlen(text), 10, 0, BUSY_POLL_MAX_US, &v))
		return conf_fail(e, 0, strlen(text), "'%.64s' is not a number of microseconds from 0 to %d", text,
			BUSY_POLL_MAX_US);
	*ret = (uint16_t)v;
	return true;
}

bool user_conf_parse_queues(const char *text, unsigned int *ret, struct conf_error *e)
{
	uint64_t v;

	if (!conf_number(text, strlen(text), 10, 1, USER_QUEUES_MAX, &v))
		return conf_fail(e, 0, strlen(text), "'%.64s' is not a number of queues from 1 to %d", text,
			USER_QUEUES_MAX);
	*ret = (unsigned int)v;
	return true;
}

bool user_conf_parse_name(const char *text, char ret[USER_NAME_BYTES], struct conf_error *e)
{
	size_t n = strlen(text);
	size_t good = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");

	if (n == 0)
		return conf_fail(e, 0, 0, "a name is missing");
	if (good != n)
		return conf_fail(e, good, 1, "a name has letters, digits, '-', '_' and '.' only");
	if (n >= USER_NAME_BYTES)
		return conf_fail(
			e, USER_NAME_BYTES - 1, 0, "a name has at most %d characters", USER_NAME_BYTES - 1);
	memset(ret, 0, USER_NAME_BYTES);
	memcpy(ret, text, n);
	return true;
}

bool user_conf_parse_domain(const char *text, char ret[USER_NAME_BYTES], struct conf_error *e)
{
	char name[USER_NAME_BYTES];

	if (!user_conf_parse_name(text, name, e))
		return false;
	if (strlen(name) > DOMAIN_MAX)
		return conf_fail(e, DOMAIN_MAX, 0, "a domain has at most %d characters", DOMAIN_MAX);
	for (size_t at = 0; at == 0 || name[at]; at++) {
		size_t n = strcspn(name + at, ".");

		if (n == 0 || n > LABEL_MAX)
			return conf_fail(e, at, n, "a domain is labels of 1 to %d characters, with a dot between them",
				LABEL_MAX);
		at += n;
		if (!name[at])
			break;
	}
	memcpy(ret, name, USER_NAME_BYTES);
	return true;
}

bool user_conf_parse_path(const char *text, char ret[USER_PATH_BYTES], struct conf_error *e)
{
	size_t n = strlen(text);

	if (n == 0)
		return conf_fail(e, 0, 0, "a path is missing");
	if (n >= USER_PATH_BYTES)
		return conf_fail(
			e, USER_PATH_BYTES - 1, 0, "a path has at most %d bytes", USER_PATH_BYTES - 1);
	memcpy(ret, text, n + 1);
	return true;
}

/* The prefix length that an address without a mask has in QEMU: the old classes, and the blocks that
 * were set aside within them. */
static unsigned int class_bits(uint32_t a)
{
	if (!(a & 0x80000000u))
		return 8;
	if ((a & 0xfff00000u) == 0xac100000u) /* 172.16.0.0/12 */
		return 12;
	if ((a & 0xc0000000u) == 0x80000000u)
		return 16;
	if ((a & 0xffff0000u) == 0xc0a80000u) /* 192.168.0.0/16 */
		return 16;
	if ((a & 0xffff0000u) == 0xc6120000u) /* 198.18.0.0/15 */
		return 15;
	if ((a & 0xe0000000u) == 0xc0000000u)
		return 24;
	return 28;
}

static bool parse_mask(const char *text, size_t at, uint32_t *ret, struct conf_error *e)
{
	uint64_t bits;
	uint32_t m;

	if (conf_number(text, strlen(text), 10, 0, UINT32_MAX, &bits)) {
		if (bits < NET_BITS_MIN || bits > NET_BITS_MAX)
			return conf_fail(e, at, strlen(text), "the prefix length is from %d to %d",
				NET_BITS_MIN, NET_BITS_MAX);
		*ret = ~0u << (32 - bits);
		return true;
	}
	if (!conf_addr(text, strlen(text), &m))
		return conf_fail(e, at, strlen(text),
			"'%.64s' is neither a prefix length (24) nor a mask (255.255.255.0)", text);
	m = ntohl(m);
	if ((~m & (~m + 1)) != 0 || m < ~0u << (32 - NET_BITS_MIN) || m > ~0u << (32 - NET_BITS_MAX))
		return conf_fail(e, at, strlen(text), "a mask is %d to %d one bits and then zeroes only",
			NET_BITS_MIN, NET_BITS_MAX);
	*ret = m;
	return true;
}

bool user_conf_parse_net(const char *text, struct user_conf *c, struct conf_error *e)
{
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	uint32_t a = 0, mask = 0;

	if (!conf_addr(text, n, &a))
		return conf_fail(e, 0, n, "the network is ADDR[/BITS], such as 10.0.2.0/24");
	a = ntohl(a);
	if (slash) {
		if (!parse_mask(slash + 1, n + 1, &mask, e))
			return false;
	} else {
		mask = ~0u << (32 - class_bits(a));
	}
	if ((a & mask) == 0 || a >> 24 == 127 || a >> 28 >= 0xe)
		return conf_fail(
			e, 0, n, "a network of 0.0.0.0, loopback or multicast addresses cannot work");
	c->net_be = htonl(a & mask);
	c->mask_be = htonl(mask);
	return true;
}

/* Cuts text at sep: the length of what comes before it, or false. */
static bool field_before(const char *p, char sep, size_t *ret_n)
{
	const char *end = strchr(p, sep);

	if (!end)
		return false;
	*ret_n = (size_t)(end - p);
	return true;
}

#define HOSTFWD_FORM "a forward is [tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport"

static bool parse_proto(const char *p, size_t n, uint8_t *ret)
{
	if (n == 0 || (n == 3 && memcmp(p, "tcp", 3) == 0))
		*ret = IPPROTO_TCP;
	else if (n == 3 && memcmp(p, "udp", 3) == 0)
		*ret = IPPROTO_UDP;
	else
		return false;
	return true;
}

bool user_conf_parse_hostfwd(const char *text, bool any_host, struct user_forward *ret, struct conf_error *e)
{
	struct user_forward f = {.host_be = any_host ? INADDR_ANY : htonl(INADDR_LOOPBACK)};
	const char *p = text;
	uint64_t port = 0;
	size_t n;

	if (!field_before(p, ':', &n))
		return conf_fail(e, strlen(text), 0, HOSTFWD_FORM "; there is no ':'");
	if (!parse_proto(p, n, &f.proto))
		return conf_fail(e, 0, n, "the protocol is tcp or udp (nothing: tcp)");
	p += n + 1;
	if (!field_before(p, ':', &n))
		return conf_fail(e, strlen(text), 0, HOSTFWD_FORM "; a ':' is missing");
	if (n && !conf_addr(p, n, &f.host_be))
		return conf_fail(e, (size_t)(p - text), n, "the host address is an IPv4 address, or nothing");
	p += n + 1;
	if (!field_before(p, '-', &n))
		return conf_fail(e, strlen(text), 0, HOSTFWD_FORM "; there is no '-'");
	if (n && !conf_number(p, n, 0, 0, 65535, &port))
		return conf_fail(
			e, (size_t)(p - text), n, "the host port is a number from 0 to 65535 (0: any)");
	f.host_port = (uint16_t)port;
	p += n + 1;
	if (!field_before(p, ':', &n))
		return conf_fail(e, (size_t)(p - text), 0, "after '-' comes [guestaddr]:guestport");
	if (n && !conf_addr(p, n, &f.guest_be))
		return conf_fail(
			e, (size_t)(p - text), n, "the guest address is an IPv4 address, or nothing");
	p += n + 1;
	if (!conf_number(p, strlen(p), 0, 1, 65535, &port))
		return conf_fail(
			e, (size_t)(p - text), strlen(p), "the guest port is a number from 1 to 65535");
	f.guest_port = (uint16_t)port;
	*ret = f;
	return true;
}

bool user_conf_parse_hostfwd_key(const char *text, bool any_host, struct user_forward *ret)
{
	struct user_forward f = {.host_be = any_host ? INADDR_ANY : htonl(INADDR_LOOPBACK)};
	const char *p = text;
	uint64_t port = 0;
	size_t n;

	if (!field_before(p, ':', &n) || !parse_proto(p, n, &f.proto))
		return false;
	p += n + 1;
	if (!field_before(p, ':', &n) || (n && !conf_addr(p, n, &f.host_be)))
		return false;
	p += n + 1;
	if (!conf_number(p, strcspn(p, "-"), 0, 1, 65535, &port))
		return false;
	f.host_port = (uint16_t)port;
	*ret = f;
	return true;
}

static bool fail_option(struct conf_error *e, const char *option, const char *text)
{
	(void)conf_fail(e, 0, 0, "%s", text);
	e->option = option;
	return false;
}

/* Is `a` an address that a station of the network may have? */
static bool in_net(const struct user_conf *c, uint32_t a_be)
{
	uint32_t host_bits = a_be & ~c->mask_be;

	return (a_be & c->mask_be) == c->net_be && host_bits != 0 && host_bits != ~c->mask_be;
}

static uint32_t default_addr(const struct user_conf *c, uint32_t host_bits)
{
	uint32_t a = c->net_be | (htonl(host_bits) & ~c->mask_be);

	/* In a small network .15 is the broadcast address: guests begin after the name server. */
	return in_net(c, a) ? a : c->net_be | htonl(4);
}

static bool has_vhost(const struct user_conf *c)
{
	for (unsigned int i = 0; i < c->n_ports; i++)
		if (c->ports[i].kind == USER_PORT_VHOST_LISTEN || c->ports[i].kind == USER_PORT_VHOST_CONNECT ||
			c->ports[i].vhost)
			return true;
	return false;
}

bool user_conf_check_forward(const struct user_conf *c, const struct user_forward *f, struct conf_error *e)
{
	char text[160], net[INET_ADDRSTRLEN], a[INET_ADDRSTRLEN];

	if (!f->guest_be || (in_net(c, f->guest_be) && f->guest_be != c->host_be && f->guest_be != c->dns_be))
		return true;
	(void)snprintf(text, sizeof(text), "cannot lead to %s: no guest of %s/%d has that address",
		inet_ntop(AF_INET, &f->guest_be, a, sizeof(a)), inet_ntop(AF_INET, &c->net_be, net, sizeof(net)),
		__builtin_popcount(c->mask_be));
	return fail_option(e, "hostfwd", text);
}

bool user_conf_check(struct user_conf *c, struct conf_error *e)
{
	char text[160], net[INET_ADDRSTRLEN];

	if (!c->host_be)
		c->host_be = default_addr(c, 0x0202);
	if (!c->dns_be)
		c->dns_be = default_addr(c, 0x0203);
	if (!c->dhcp_start_be)
		c->dhcp_start_be = default_addr(c, 0x020f);
	(void)inet_ntop(AF_INET, &c->net_be, net, sizeof(net));
	(void)snprintf(text, sizeof(text), "must be an address of the network %s/%d", net,
		__builtin_popcount(c->mask_be));
	if (!in_net(c, c->host_be))
		return fail_option(e, "host", text);
	if (!in_net(c, c->dns_be) && (c->restricted || (c->dns_be & c->mask_be) == c->net_be))
		return fail_option(e, "dns", text);
	if (!in_net(c, c->dhcp_start_be))
		return fail_option(e, "dhcpstart", text);
	if (c->dns_be == c->host_be)
		return fail_option(e, "dns", "must differ from the router's address (host)");
	if (c->dhcp_start_be == c->host_be || c->dhcp_start_be == c->dns_be)
		return fail_option(e, "dhcpstart", "must differ from the addresses of host and dns");
	if (c->n_queues > 1 && !has_vhost(c))
		return fail_option(e, "queues", "is for vhost-user ports, and there is none");
	for (unsigned int i = 0; i < c->n_forwards; i++)
		if (!user_conf_check_forward(c, &c->forwards[i], e))
			return false;
	return true;
}
