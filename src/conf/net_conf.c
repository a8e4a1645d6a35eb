/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of a kernel network: a table of keys, each with what reads it and what writes it. What is
 * written is read back to the same value (tests/unit/test-net-conf.c), since saved state depends on it. */
#include "net_conf.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "conf_text.h"

#define KEY_VALUES_MAX 4096 /* of one key in one configuration */

struct key {
	const char *name;
	bool (*set)(struct net_conf *c, const char *value, struct conf_error *e);
	/* The value at index i, as text; false: there is none (any more). */
	bool (*emit)(const struct net_conf *c, unsigned int i, char ret[NET_VALUE_BYTES]);
};

static const char *const mode_names[] = {[NET_MODE_NAT] = "nat"};
_Static_assert(ARRAY_SIZE(mode_names) == NET_MODE_MAX, "every mode has a name");

static bool name_ok(const char *text, const char *what, size_t max, struct conf_error *e)
{
	size_t n = strlen(text);
	size_t good = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

	if (n == 0 || text[0] == '-')
		return conf_fail(e, 0, MIN(n, (size_t)1), "%s begins with a letter, a digit or '_'", what);
	if (good != n)
		return conf_fail(e, good, 1, "%s has letters, digits, '-' and '_' only", what);
	if (n > max)
		return conf_fail(e, max, n - max, "%s has at most %zu characters", what, max);
	if (strcmp(text, "all") == 0 || strcmp(text, "default") == 0 || strcmp(text, "lo") == 0)
		return conf_fail(e, 0, n, "the kernel uses the name '%s' itself", text);
	return true;
}

bool net_conf_init(const char *name, struct net_conf *ret, struct conf_error *e)
{
	*ret = (struct net_conf){0};
	if (!name_ok(name, "the name of a network", NET_NAME_BYTES - 1, e))
		return false;
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	(void)snprintf(ret->bridge, sizeof(ret->bridge), "%s", name);
	return true;
}

void net_conf_done(struct net_conf *c)
{
	free(c->forwards);
	free(c->reserves);
	c->forwards = NULL;
	c->reserves = NULL;
	c->n_forwards = c->n_reserves = 0;
}

int net_conf_copy(const struct net_conf *c, struct net_conf *ret)
{
	*ret = *c;
	ret->forwards = calloc(c->n_forwards + 1u, sizeof(*c->forwards));
	ret->reserves = calloc(c->n_reserves + 1u, sizeof(*c->reserves));
	if (!ret->forwards || !ret->reserves) {
		net_conf_done(ret);
		return -ENOMEM;
	}
	if (c->n_forwards)
		memcpy(ret->forwards, c->forwards, c->n_forwards * sizeof(*c->forwards));
	if (c->n_reserves)
		memcpy(ret->reserves, c->reserves, c->n_reserves * sizeof(*c->reserves));
	return 0;
}

static bool once(unsigned int i, bool given)
{
	return i == 0 && given;
}

static bool emit_addr(unsigned int i, uint32_t a_be, char ret[NET_VALUE_BYTES])
{
	return once(i, a_be) && inet_ntop(AF_INET, &a_be, ret, NET_VALUE_BYTES);
}

static bool set_mode(struct net_conf *c, const char *value, struct conf_error *e)
{
	for (unsigned int i = 0; i < NET_MODE_MAX; i++)
		if (strcmp(value, mode_names[i]) == 0) {
			c->mode = (enum net_mode)i;
			return true;
		}
	return conf_fail(e, 0, strlen(value), "the mode is nat; a user-mode network is served by vmlan user");
}

static bool emit_mode(const struct net_conf *c, unsigned int i, char ret[NET_VALUE_BYTES])
{
	(void)snprintf(ret, NET_VALUE_BYTES, "%s", mode_names[c->mode]);
	return once(i, true);
}

static bool set_bridge(struct net_conf *c, const char *value, struct conf_error *e)
{
	if (!name_ok(value, "the name of a bridge", IFNAMSIZ - 1, e))
		return false;
	(void)snprintf(c->bridge, sizeof(c->bridge), "%s", value);
	return true;
}

static bool emit_bridge(const struct net_conf *c, unsigned int i, char ret[NET_VALUE_BYTES])
{
	(void)snprintf(ret, NET_VALUE_BYTES, "%s", c->bridge);
	return once(i, strcmp(c->bridge, c->name) != 0);
}

static bool set_net(struct net_conf *c, const char *value, struct conf_error *e)
{
	struct user_conf u;

	if (!user_conf_parse_net(value, &u, e))
		return false;
	c->net_be = u.net_be;
	c->mask_be = u.mask_be;
	return true;
}

static bool emit_net(const struct net_conf *c, unsigned int i, char ret[NET_VALUE_BYTES])
{
	char a[INET_ADDRSTRLEN];

	(void)snprintf(ret, NET_VALUE_BYTES, "%s/%u", inet_ntop(AF_INET, &c->net_be, a, sizeof(a)),
		net_conf_prefix(c));
	return once(i, c->net_be);
}

#define ADDR_KEY(key, field)                                                                                 \
	static bool set_##key(struct net_conf *c, const char *value, struct conf_error *e)                   \
	{                                                                                                    \
		return user_conf_parse_addr(value, &c->field, e);                                            \
	}                                                                                                    \
	static bool emit_##key(const struct net_conf *c, unsigned int i, char ret[NET_VALUE_BYTES])          \
	{                                                                                                    \
		return emit_addr(i, c->field, ret);                                                          \
	}
ADDR_KEY(host, host_be)
ADDR_KEY(dhcpstart, dhcp_start_be)
ADDR_KEY(dhcpend, dhcp_end_be)
ADDR_KEY(dns, dns_be)

static bool set_net6(struct net_conf *c, const char *value, struct conf_error *e)
{
	char text[INET6_ADDRSTRLEN];
	size_t n = strcspn(value, "/");
	struct in6_addr a;

	if (n >= sizeof(text))
		return conf_fail(e, 0, n, "the network is ADDR/64, such as fd12:3456:789a::/64");
	memcpy(text, value, n);
	text[n] = '\0';
	if (inet_pton(AF_INET6, text, &a) != 1)
		return conf_fail(e, 0, n, "the network is ADDR/64, such as fd12:3456:789a::/64");
	if (strcmp(value + n, "/64") != 0)
		return conf_fail(e, n, strlen(value) - n, "guests make their own addresses in a /64 only");
	memset(a.s6_addr + 8, 0, 8);
	if ((a.s6_addr[0] & 0xe0) != 0x20 && (a.s6_addr[0] & 0xfe) != 0xfc)
		return conf_fail(e, 0, n, "only global (2000::/3) and unique local (fc00::/7) networks work");
	c->net6 = a;
	return true;
}

static bool emit_net6(const struct net_conf *c, unsigned int i, char ret[NET_VALUE_BYTES])
{
	char a[INET6_ADDRSTRLEN];

	(void)snprintf(ret, NET_VALUE_BYTES, "%s/64", inet_ntop(AF_INET6, &c->net6, a, sizeof(a)));
	return once(i, !IN6_IS_ADDR_UNSPECIFIED(&c->net6));
}

static bool set_domainname(struct net_conf *c, const char *value, struct conf_error *e)
{
	return user_conf_parse_name(value, c->domainname, e);
}

static bool emit_domainname(const struct net_conf *c, unsigned int i, char ret[NET_VALUE_BYTES])
{
	(void)snprintf(ret, NET_VALUE_BYTES, "%s", c->domainname);
	return once(i, c->domainname[0]);
}

/* Text that stands in dnsmasq's configuration as it is. */
static bool is_plain(const char *value, struct conf_error *e)
{
	for (const char *p = value; *p; p++)
		if (*p <= ' ' || *p > '~' || strchr("\"',#\\", *p))
			return conf_fail(e, (size_t)(p - value), 1,
				"has no blanks, quotes, commas, '#', '\\' or letters beyond ASCII");
	return true;
}

static bool set_tftp(struct net_conf *c, const char *value, struct conf_error *e)
{
	size_t n = strlen(value);

	if (value[0] != '/' || n >= NET_PATH_BYTES)
		return conf_fail(
			e, 0, n, "the folder is an absolute path of at most %d bytes", NET_PATH_BYTES - 1);
	if (!is_plain(value, e))
		return false;
	memcpy(c->tftp, value, n + 1);
	return true;
}

static bool emit_tftp(const struct net_conf *c, unsigned int i, char ret[NET_VALUE_BYTES])
{
	(void)snprintf(ret, NET_VALUE_BYTES, "%s", c->tftp);
	return once(i, c->tftp[0]);
}

static bool set_bootfile(struct net_conf *c, const char *value, struct conf_error *e)
{
	size_t n = strlen(value);

	if (n == 0 || n >= NET_BOOTFILE_BYTES)
		return conf_fail(e, 0, n, "a file's name or an address has 1 to %d characters",
			NET_BOOTFILE_BYTES - 1);
	if (!is_plain(value, e))
		return false;
	memcpy(c->bootfile, value, n + 1);
	return true;
}

static bool emit_bootfile(const struct net_conf *c, unsigned int i, char ret[NET_VALUE_BYTES])
{
	(void)snprintf(ret, NET_VALUE_BYTES, "%s", c->bootfile);
	return once(i, c->bootfile[0]);
}

static bool set_mtu(struct net_conf *c, const char *value, struct conf_error *e)
{
	return user_conf_parse_mtu(value, &c->mtu, e);
}

static bool emit_mtu(const struct net_conf *c, unsigned int i, char ret[NET_VALUE_BYTES])
{
	(void)snprintf(ret, NET_VALUE_BYTES, "%u", c->mtu);
	return once(i, c->mtu);
}

static bool parse_flag(const char *value, bool *ret, struct conf_error *e)
{
	if (strcmp(value, "yes") == 0 || strcmp(value, "on") == 0 || strcmp(value, "y") == 0)
		*ret = true;
	else if (strcmp(value, "no") == 0 || strcmp(value, "off") == 0 || strcmp(value, "n") == 0)
		*ret = false;
	else
		return conf_fail(e, 0, strlen(value), "is yes or no");
	return true;
}

#define FLAG_KEY(key, field)                                                                                 \
	static bool set_##key(struct net_conf *c, const char *value, struct conf_error *e)                   \
	{                                                                                                    \
		return parse_flag(value, &c->field, e);                                                      \
	}                                                                                                    \
	static bool emit_##key(const struct net_conf *c, unsigned int i, char ret[NET_VALUE_BYTES])          \
	{                                                                                                    \
		(void)snprintf(ret, NET_VALUE_BYTES, "yes");                                                 \
		return once(i, c->field);                                                                    \
	}
FLAG_KEY(isolated, isolated)
FLAG_KEY(restrict, restricted)
FLAG_KEY(no_ipv6, no_ipv6)
FLAG_KEY(stp, stp)
FLAG_KEY(adopt, adopted)

static bool emit_hostfwd(const struct net_conf *c, unsigned int i, char ret[NET_VALUE_BYTES])
{
	if (i < c->n_forwards)
		net_forward_emit(&c->forwards[i], ret);
	return i < c->n_forwards;
}

static bool ports_overlap(const struct net_forward *a, const struct net_forward *b)
{
	bool same_addr = !a->host.family || !b->host.family ||
			 (a->host.family == b->host.family &&
				 memcmp(&a->host.in6, &b->host.in6, a->host.family == AF_INET ? 4 : 16) == 0);

	return a->proto == b->proto && same_addr && a->host_port < b->host_port + b->n_ports &&
	       b->host_port < a->host_port + a->n_ports;
}

static bool set_hostfwd(struct net_conf *c, const char *value, struct conf_error *e)
{
	struct net_forward f, *grown;

	if (!net_forward_parse(value, &f, e))
		return false;
	for (unsigned int i = 0; i < c->n_forwards; i++) {
		bool families = !f.guest.family || !c->forwards[i].guest.family ||
				f.guest.family == c->forwards[i].guest.family;
		if (families && ports_overlap(&f, &c->forwards[i]))
			return conf_fail(
				e, 0, strlen(value), "another forward has that port of the host already");
	}
	if (c->n_forwards >= NET_FORWARDS_MAX)
		return conf_fail(e, 0, 0, "there can be %d forwards", NET_FORWARDS_MAX);
	grown = reallocarray(c->forwards, c->n_forwards + 1u, sizeof(*grown));
	if (!grown)
		return conf_fail(e, 0, 0, "no memory");
	c->forwards = grown;
	c->forwards[c->n_forwards++] = f;
	return true;
}

static bool emit_reserve(const struct net_conf *c, unsigned int i, char ret[NET_VALUE_BYTES])
{
	if (i < c->n_reserves)
		net_reserve_emit(&c->reserves[i], ret);
	return i < c->n_reserves;
}

static bool set_reserve(struct net_conf *c, const char *value, struct conf_error *e)
{
	struct net_reserve r, *grown;

	if (!net_reserve_parse(value, &r, e))
		return false;
	for (unsigned int i = 0; i < c->n_reserves; i++)
		if (memcmp(c->reserves[i].mac, r.mac, 6) == 0 || c->reserves[i].addr_be == r.addr_be)
			return conf_fail(e, 0, strlen(value), "that MAC or address is reserved already");
	if (c->n_reserves >= NET_RESERVES_MAX)
		return conf_fail(e, 0, 0, "there can be %d reservations", NET_RESERVES_MAX);
	grown = reallocarray(c->reserves, c->n_reserves + 1u, sizeof(*grown));
	if (!grown)
		return conf_fail(e, 0, 0, "no memory");
	c->reserves = grown;
	c->reserves[c->n_reserves++] = r;
	return true;
}

static const struct key keys[] = {
	{"mode", set_mode, emit_mode},
	{"bridge", set_bridge, emit_bridge},
	{"adopt", set_adopt, emit_adopt},
	{"net", set_net, emit_net},
	{"host", set_host, emit_host},
	{"dhcpstart", set_dhcpstart, emit_dhcpstart},
	{"dhcpend", set_dhcpend, emit_dhcpend},
	{"dns", set_dns, emit_dns},
	{"ipv6-net", set_net6, emit_net6},
	{"no-ipv6", set_no_ipv6, emit_no_ipv6},
	{"domainname", set_domainname, emit_domainname},
	{"tftp", set_tftp, emit_tftp},
	{"bootfile", set_bootfile, emit_bootfile},
	{"mtu", set_mtu, emit_mtu},
	{"stp", set_stp, emit_stp},
	{"isolated", set_isolated, emit_isolated},
	{"restrict", set_restrict, emit_restrict},
	{"hostfwd", set_hostfwd, emit_hostfwd},
	{"reserve", set_reserve, emit_reserve},
};

static const struct key *find_key(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

bool net_conf_has_key(const char *key)
{
	return find_key(key);
}

int net_conf_each_key(int (*fn)(void *ctx, const char *key), void *ctx)
{
	int r = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(keys) && r == 0; i++)
		r = fn(ctx, keys[i].name);
	return r;
}

bool net_conf_set(struct net_conf *c, const char *key, const char *value, struct conf_error *e)
{
	const struct key *k = find_key(key);

	if (!k)
		return conf_fail(e, 0, 0, "there is no option '%.32s'", key);
	if (!k->set(c, value, e)) {
		e->option = k->name;
		return false;
	}
	return true;
}

int net_conf_each(
	const struct net_conf *c, int (*fn)(void *ctx, const char *key, const char *value), void *ctx)
{
	char value[NET_VALUE_BYTES];
	int r = 0;

	for (unsigned int k = 0; k < ARRAY_SIZE(keys) && r == 0; k++)
		for (unsigned int i = 0; i < KEY_VALUES_MAX && r == 0 && keys[k].emit(c, i, value); i++)
			r = fn(ctx, keys[k].name, value);
	return r;
}

static bool fail_option(struct conf_error *e, const char *option, const char *text)
{
	(void)conf_fail(e, 0, 0, "%s", text);
	e->option = option;
	return false;
}

static bool in_net(const struct net_conf *c, uint32_t a_be)
{
	uint32_t host_bits = a_be & ~c->mask_be;

	return (a_be & c->mask_be) == c->net_be && host_bits != 0 && host_bits != ~c->mask_be;
}

static bool check_forward(struct net_conf *c, struct net_forward *f, struct conf_error *e)
{
	if (!f->guest.family && f->host.family == AF_INET6)
		return fail_option(e, "hostfwd", "a forward of an IPv6 address names the guest's address");
	if (!f->guest.family)
		f->guest = (struct net_addr){.family = AF_INET, .in4_be = c->dhcp_start_be};
	if (f->guest.family == AF_INET && (!in_net(c, f->guest.in4_be) || f->guest.in4_be == c->host_be))
		return fail_option(e, "hostfwd", "leads to an address that no guest of the network can have");
	if (f->guest.family == AF_INET6 && c->no_ipv6)
		return fail_option(e, "hostfwd", "leads to an IPv6 address of a network without IPv6");
	return true;
}

bool net_conf_check(struct net_conf *c, struct conf_error *e)
{
	uint32_t net = ntohl(c->net_be), mask = ntohl(c->mask_be);
	char text[160], a[INET_ADDRSTRLEN];

	(void)snprintf(text, sizeof(text), "must be an address of the network %s/%u",
		inet_ntop(AF_INET, &c->net_be, a, sizeof(a)), net_conf_prefix(c));
	if (!c->host_be)
		c->host_be = htonl(net | 1);
	if (!c->dhcp_start_be)
		c->dhcp_start_be = htonl(ntohl(c->host_be) == (net | 1) ? net | 2 : net | 1);
	if (!c->dhcp_end_be)
		c->dhcp_end_be = htonl((net | ~mask) - 1);
	if (!in_net(c, c->host_be))
		return fail_option(e, "host", text);
	if (!in_net(c, c->dhcp_start_be))
		return fail_option(e, "dhcpstart", text);
	if (!in_net(c, c->dhcp_end_be))
		return fail_option(e, "dhcpend", text);
	if (ntohl(c->dhcp_end_be) < ntohl(c->dhcp_start_be))
		return fail_option(e, "dhcpend", "lies before dhcpstart");
	if (c->dhcp_start_be == c->host_be)
		return fail_option(e, "dhcpstart", "must differ from the host's address");
	if (!c->no_ipv6 && c->mtu && c->mtu < 1280)
		return fail_option(e, "mtu", "is at least 1280 with IPv6; see no-ipv6");
	for (unsigned int i = 0; i < c->n_reserves; i++)
		if (!in_net(c, c->reserves[i].addr_be) || c->reserves[i].addr_be == c->host_be)
			return fail_option(e, "reserve", "reserves an address that no guest can have");
	for (unsigned int i = 0; i < c->n_forwards; i++)
		if (!check_forward(c, &c->forwards[i], e))
			return false;
	return true;
}
