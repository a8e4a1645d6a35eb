/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "user_conf.h"

#define ANY "0.0.0.0"
#define LO  "127.0.0.1"

static const char *addr(uint32_t a_be)
{
	static char bufs[4][INET_ADDRSTRLEN];
	static unsigned int n;

	return inet_ntop(AF_INET, &a_be, bufs[n++ % 4], INET_ADDRSTRLEN);
}

/* --- hostfwd --- */

static const struct {
	const char *text;
	bool any;
	const char *expect; /* "proto host port guest port"; NULL: refused */
	size_t at;          /* of the error */
} forwards[] = {
	{"tcp::5022-:22", true, "tcp " ANY " 5022 " ANY " 22", 0},
	{"tcp::5022-:22", false, "tcp " LO " 5022 " ANY " 22", 0},
	{"udp::53-:53", true, "udp " ANY " 53 " ANY " 53", 0},
	{"::5022-:22", false, "tcp " LO " 5022 " ANY " 22", 0},
	{"tcp:192.0.2.1:5022-10.0.2.20:22", true, "tcp 192.0.2.1 5022 10.0.2.20 22", 0},
	{"tcp:0.0.0.0:5022-:22", false, "tcp " ANY " 5022 " ANY " 22", 0},
	{"tcp:127.1:1-:2", true, "tcp " LO " 1 " ANY " 2", 0},
	{"tcp::-:22", false, "tcp " LO " 0 " ANY " 22", 0},
	{"tcp::0-:22", false, "tcp " LO " 0 " ANY " 22", 0},
	{"tcp::0x16-:026", false, "tcp " LO " 22 " ANY " 22", 0},
	{"tcp::65535-:65535", false, "tcp " LO " 65535 " ANY " 65535", 0},
	{"", false, NULL, 0},
	{"tcp", false, NULL, 3},
	{"sctp::1-:2", false, NULL, 0},
	{"TCP::1-:2", false, NULL, 0},
	{"tcp:5022-:22", false, NULL, 4},
	{"tcp:host:5022-:22", false, NULL, 4},
	{"tcp:1.2.3.400:5022-:22", false, NULL, 4},
	{"tcp: 1.2.3.4:5022-:22", false, NULL, 4},
	{"tcp::5022", false, NULL, 9},
	{"tcp::65536-:22", false, NULL, 5},
	{"tcp::-1-:22", false, NULL, 6},
	{"tcp::x-:22", false, NULL, 5},
	{"tcp::08-:22", false, NULL, 5},
	{"tcp::99999999999999999999999-:22", false, NULL, 5},
	{"tcp::5022-22", false, NULL, 10},
	{"tcp::5022-bad:22", false, NULL, 10},
	{"tcp::5022-:0", false, NULL, 11},
	{"tcp::5022-:", false, NULL, 11},
	{"tcp::5022-:22x", false, NULL, 11},
	{"tcp::5022-:22 ", false, NULL, 11},
	{"tcp::5022-:0x", false, NULL, 11},
};

static void test_hostfwd(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(forwards); i++) {
		struct user_forward f = {.guest_port = 7};
		struct conf_error e = {0};
		char got[128];
		bool ok = user_conf_parse_hostfwd(forwards[i].text, forwards[i].any, &f, &e);

		if (!forwards[i].expect) {
			if (ok || e.at != forwards[i].at)
				fail_msg("%s: ok %d, error at %zu", forwards[i].text, ok, e.at);
			assert_int_equal(f.guest_port, 7);
			assert_true(e.text[0]);
			continue;
		}
		if (!ok)
			fail_msg("%s: %s", forwards[i].text, e.text);
		(void)snprintf(got, sizeof(got), "%s %s %u %s %u", f.proto == IPPROTO_UDP ? "udp" : "tcp",
			addr(f.host_be), f.host_port, addr(f.guest_be), f.guest_port);
		assert_string_equal(got, forwards[i].expect);
	}
}

/* What a forward is removed by: the rule, or as much of it as is unique. */
static void test_hostfwd_key(void **state)
{
	static const struct {
		const char *text;
		bool any;
		const char *expect; /* NULL: refused */
	} keys[] = {
		{"tcp::5022", true, "tcp 0.0.0.0 5022"},
		{"tcp::5022", false, "tcp 127.0.0.1 5022"},
		{":1.2.3.4:22", true, "tcp 1.2.3.4 22"},
		{"udp:127.1:0x16-10.0.2.15:23", true, "udp 127.0.0.1 22"},
		{"udp::53-", true, "udp 0.0.0.0 53"},
		{"tcp::0", true, NULL},
		{"tcp::65536", true, NULL},
		{"tcp::", true, NULL},
		{"tcp:5022", true, NULL},
		{"icmp::1", true, NULL},
		{"tcp:x:1", true, NULL},
		{"tcp::1x", true, NULL},
		{"", true, NULL},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++) {
		struct user_forward f = {.host_port = 7};
		char got[64];

		if (!user_conf_parse_hostfwd_key(keys[i].text, keys[i].any, &f)) {
			assert_null(keys[i].expect);
			assert_int_equal(f.host_port, 7);
			continue;
		}
		(void)snprintf(got, sizeof(got), "%s %s %u", f.proto == IPPROTO_UDP ? "udp" : "tcp", addr(f.host_be),
			f.host_port);
		assert_non_null(keys[i].expect);
		assert_string_equal(got, keys[i].expect);
	}
}

/* --- net --- */

static const struct {
	const char *text;
	const char *expect; /* "net mask"; NULL: refused */
	size_t at;
} nets[] = {
	{"10.0.2.0/24", "10.0.2.0 255.255.255.0", 0},
	{"10.0.2.77/24", "10.0.2.0 255.255.255.0", 0},
	{"10.0.0.0/8", "10.0.0.0 255.0.0.0", 0},
	{"10.0.2.0/255.255.255.0", "10.0.2.0 255.255.255.0", 0},
	{"10.1.2.3", "10.0.0.0 255.0.0.0", 0},
	{"172.16.9.9", "172.16.0.0 255.240.0.0", 0},
	{"172.32.9.9", "172.32.0.0 255.255.0.0", 0},
	{"192.168.7.1", "192.168.0.0 255.255.0.0", 0},
	{"198.18.7.1", "198.18.0.0 255.254.0.0", 0},
	{"198.51.100.9", "198.51.100.0 255.255.255.0", 0},
	{"10.0.2.0/29", "10.0.2.0 255.255.255.248", 0},
	{"16.0.0.0/4", "16.0.0.0 240.0.0.0", 0},
	{"10.0.2.0/30", NULL, 9},
	{"10.0.2.0/3", NULL, 9},
	{"10.0.2.0/", NULL, 9},
	{"10.0.2.0/24x", NULL, 9},
	{"10.0.2.0/255.0.255.0", NULL, 9},
	{"10.0.2.0/255.255.255.255", NULL, 9},
	{"net", NULL, 0},
	{"/24", NULL, 0},
	{"", NULL, 0},
	{"127.0.0.0/8", NULL, 0},
	{"224.0.0.0/8", NULL, 0},
	{"0.0.0.0/8", NULL, 0},
};

static void test_net(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(nets); i++) {
		struct user_conf c;
		struct conf_error e = {0};
		char got[64];
		bool ok;

		user_conf_init(&c);
		ok = user_conf_parse_net(nets[i].text, &c, &e);
		(void)snprintf(got, sizeof(got), "%s %s", addr(c.net_be), addr(c.mask_be));
		if (!nets[i].expect) {
			if (ok || e.at != nets[i].at)
				fail_msg("%s: ok %d, error at %zu", nets[i].text, ok, e.at);
			assert_string_equal(got, "10.0.2.0 255.255.255.0");
			continue;
		}
		if (!ok)
			fail_msg("%s: %s", nets[i].text, e.text);
		assert_string_equal(got, nets[i].expect);
	}
}

/* --- the rest follows the network, and is checked against it --- */

static const struct {
	const char *net, *host, *dns, *dhcp, *guest;
	bool restricted;
	const char *expect; /* "host dns dhcpstart", or the option that is wrong */
} checks[] = {
	{NULL, NULL, NULL, NULL, NULL, false, "10.0.2.2 10.0.2.3 10.0.2.15"},
	{"10.1.0.0/24", NULL, NULL, NULL, NULL, false, "10.1.0.2 10.1.0.3 10.1.0.15"},
	{"10.0.0.0/8", NULL, NULL, NULL, NULL, false, "10.0.2.2 10.0.2.3 10.0.2.15"},
	{"172.16.0.0/12", NULL, NULL, NULL, NULL, false, "172.16.2.2 172.16.2.3 172.16.2.15"},
	{"10.1.0.0/28", NULL, NULL, NULL, NULL, false, "10.1.0.2 10.1.0.3 10.1.0.4"},
	{"10.1.0.0/29", NULL, NULL, NULL, NULL, false, "10.1.0.2 10.1.0.3 10.1.0.4"},
	{"10.1.0.16/29", NULL, NULL, NULL, NULL, false, "10.1.0.18 10.1.0.19 10.1.0.20"},
	{NULL, "10.0.2.1", "10.0.2.200", "10.0.2.9", "10.0.2.30", false, "10.0.2.1 10.0.2.200 10.0.2.9"},
	{NULL, NULL, "192.0.2.53", NULL, NULL, false, "10.0.2.2 192.0.2.53 10.0.2.15"},
	{NULL, NULL, "192.0.2.53", NULL, NULL, true, "dns"},
	{NULL, NULL, "10.0.2.2", NULL, NULL, false, "dns"},
	{NULL, NULL, "10.0.2.255", NULL, NULL, false, "dns"},
	{NULL, "10.0.3.2", NULL, NULL, NULL, false, "host"},
	{NULL, "10.0.2.0", NULL, NULL, NULL, false, "host"},
	{NULL, "10.0.2.255", NULL, NULL, NULL, false, "host"},
	{NULL, "10.0.2.15", NULL, NULL, NULL, false, "dhcpstart"},
	{NULL, NULL, NULL, "10.0.2.3", NULL, false, "dhcpstart"},
	{NULL, NULL, NULL, "10.0.2.255", NULL, false, "dhcpstart"},
	{NULL, NULL, NULL, "10.1.2.15", NULL, false, "dhcpstart"},
	{NULL, NULL, NULL, NULL, "10.0.3.1", false, "hostfwd"},
	{NULL, NULL, NULL, NULL, "10.0.2.2", false, "hostfwd"},
	{NULL, NULL, NULL, NULL, "10.0.2.3", false, "hostfwd"},
};

static void set_addr(const char *text, uint32_t *ret_be)
{
	struct conf_error e;

	if (text)
		assert_true(user_conf_parse_addr(text, ret_be, &e));
}

static void test_check(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(checks); i++) {
		struct user_forward f = {.proto = IPPROTO_TCP, .guest_port = 1};
		struct user_conf c;
		struct conf_error e = {0};
		char got[64];
		bool ok;

		user_conf_init(&c);
		if (checks[i].net)
			assert_true(user_conf_parse_net(checks[i].net, &c, &e));
		set_addr(checks[i].host, &c.host_be);
		set_addr(checks[i].dns, &c.dns_be);
		set_addr(checks[i].dhcp, &c.dhcp_start_be);
		set_addr(checks[i].guest, &f.guest_be);
		c.restricted = checks[i].restricted;
		assert_int_equal(user_conf_add_forward(&c, &f), 0);
		ok = user_conf_check(&c, &e);
		if (ok)
			(void)snprintf(got, sizeof(got), "%s %s %s", addr(c.host_be), addr(c.dns_be),
				addr(c.dhcp_start_be));
		else
			(void)snprintf(got, sizeof(got), "%s", e.option);
		if (strcmp(got, checks[i].expect) != 0)
			fail_msg("%u: %s, not %s (%s)", i, got, checks[i].expect, ok ? "" : e.text);
		user_conf_done(&c);
	}
}

/* --- ports --- */

static const struct {
	const char *text;
	const char *expect; /* "kind path pid fd ifname noconfig fresh"; NULL: refused */
	size_t at;
} ports[] = {
	{"stream:/tmp/s", "listen /tmp/s 0 -1 - 0 0", 0},
	{"stream:/tmp/s,connect", "connect /tmp/s 0 -1 - 0 0", 0},
	{"stream:a,,b,connect", "connect a,b 0 -1 - 0 0", 0},
	{"stream:,,", "listen , 0 -1 - 0 0", 0},
	{"vhost-user:/tmp/s", "vhost-listen /tmp/s 0 -1 - 0 0", 0},
	{"vhost-user:/tmp/s,connect", "vhost-connect /tmp/s 0 -1 - 0 0", 0},
	{"vhost-user:", NULL, 11},
	{"vhost-user:/a,conect", NULL, 14},
	{"fd:3", "fd - 0 3 - 0 0", 0},
	{"fd:3,vhost-user", "fd - 0 3 - 0 0", 0},
	{"fd:0", "fd - 0 0 - 0 0", 0},
	{"netns", "netns - 0 -1 vmlan0 0 1", 0},
	{"netns,ifname=eth0", "netns - 0 -1 eth0 0 1", 0},
	{"netns,noconfig", "netns - 0 -1 vmlan0 1 1", 0},
	{"netns:123", "netns /proc/123/ns/net 123 -1 vmlan0 0 0", 0},
	{"netns:/run/netns/a,noconfig,ifname=tap9", "netns /run/netns/a 0 -1 tap9 1 0", 0},
	{"netns:12a", "netns 12a 0 -1 vmlan0 0 0", 0},
	{"", NULL, 0},
	{"tap:x", NULL, 0},
	{"stream", NULL, 0},
	{"stream:", NULL, 7},
	{"stream:/a,conect", NULL, 10},
	{"stream:/a,,,connec", NULL, 12},
	{"stream:/a,ifname=x", NULL, 10},
	{"fd:", NULL, 3},
	{"fd:-1", NULL, 3},
	{"fd:3x", NULL, 3},
	{"fd:4294967296", NULL, 3},
	{"fd:3,connect", NULL, 5},
	{"netns:", NULL, 6},
	{"netns:0", NULL, 6},
	{"netns:99999999999", NULL, 6},
	{"netns,ifname=", NULL, 13},
	{"netns,ifname=sixteen-letters-", NULL, 13},
	{"netns,ifname=a/b", NULL, 14},
	{"netns,ifname=a b", NULL, 14},
	{"netns,ifname=..", NULL, 13},
	{"netns,connect", NULL, 6},
};

static void test_port(void **state)
{
	static const char *const kinds[USER_PORT_KIND_MAX] = {
		[USER_PORT_STREAM_LISTEN] = "listen",
		[USER_PORT_STREAM_CONNECT] = "connect",
		[USER_PORT_VHOST_LISTEN] = "vhost-listen",
		[USER_PORT_VHOST_CONNECT] = "vhost-connect",
		[USER_PORT_FD] = "fd",
		[USER_PORT_NETNS] = "netns",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++) {
		struct user_port p = {.fd = -7};
		struct conf_error e = {0};
		char got[USER_PATH_BYTES + 128];
		bool ok = user_conf_parse_port(ports[i].text, &p, &e);

		if (!ports[i].expect) {
			if (ok || e.at != ports[i].at)
				fail_msg("%s: ok %d, error at %zu", ports[i].text, ok, e.at);
			assert_int_equal(p.fd, -7);
			continue;
		}
		if (!ok)
			fail_msg("%s: %s", ports[i].text, e.text);
		(void)snprintf(got, sizeof(got), "%s %s %d %d %s %d %d", kinds[p.kind],
			p.path[0] ? p.path : "-", (int)p.pid, p.fd, p.ifname[0] ? p.ifname : "-", p.noconfig,
			p.fresh);
		assert_string_equal(got, ports[i].expect);
	}
}

static void test_port_long(void **state)
{
	struct user_port p;
	struct conf_error e;
	char text[2 * USER_PATH_BYTES];

	/* A socket's address holds 107 bytes and a NUL. */
	memset(text, 'x', sizeof(text));
	memcpy(text, "stream:", 7);
	text[7 + 107] = '\0';
	assert_true(user_conf_parse_port(text, &p, &e));
	assert_int_equal(strlen(p.path), 107);
	text[7 + 107] = 'x';
	text[7 + 108] = '\0';
	assert_false(user_conf_parse_port(text, &p, &e));

	memset(text, 'x', sizeof(text));
	memcpy(text, "netns:", 6);
	text[sizeof(text) - 1] = '\0';
	assert_false(user_conf_parse_port(text, &p, &e));
	text[USER_PATH_BYTES - 1] = '\0';
	assert_true(user_conf_parse_port(text, &p, &e));
}

/* --- words and numbers --- */

static void test_words(void **state)
{
	static const char *const not_domains[] = {"", ".", "..", ".a", "a..b", "a..", "a b"};
	char name[USER_NAME_BYTES], long_name[USER_NAME_BYTES + 1], path[USER_PATH_BYTES];
	struct conf_error e;
	uint16_t mtu = 0;
	uint32_t a;

	assert_true(user_conf_parse_name("vm-1.example_org", name, &e));
	assert_string_equal(name, "vm-1.example_org");
	assert_false(user_conf_parse_name("", name, &e));
	assert_false(user_conf_parse_name("a b", name, &e));
	assert_int_equal(e.at, 1);
	memset(long_name, 'a', USER_NAME_BYTES);
	long_name[USER_NAME_BYTES] = '\0';
	assert_false(user_conf_parse_name(long_name, name, &e));
	assert_true(user_conf_parse_name(long_name + 1, name, &e));

	long_name[64] = '\0';
	assert_false(user_conf_parse_domain(long_name, name, &e));
	long_name[63] = '\0';
	assert_true(user_conf_parse_domain(long_name, name, &e));
	assert_true(user_conf_parse_domain("a.example.", name, &e));
	assert_string_equal(name, "a.example.");
	for (size_t i = 0; i < ARRAY_SIZE(not_domains); i++)
		assert_false(user_conf_parse_domain(not_domains[i], name, &e));
	assert_false(user_conf_parse_domain("a..b", name, &e));
	assert_int_equal(e.at, 2);

	assert_true(user_conf_parse_mtu("576", &mtu, &e));
	assert_true(user_conf_parse_mtu("65520", &mtu, &e));
	assert_int_equal(mtu, 65520);
	assert_false(user_conf_parse_mtu("575", &mtu, &e));
	assert_false(user_conf_parse_mtu("65521", &mtu, &e));
	assert_false(user_conf_parse_mtu("0x600", &mtu, &e));
	assert_int_equal(mtu, 65520);

	assert_true(user_conf_parse_busy_poll("1000", &mtu, &e));
	assert_true(user_conf_parse_busy_poll("0", &mtu, &e));
	assert_false(user_conf_parse_busy_poll("1001", &mtu, &e));
	assert_false(user_conf_parse_busy_poll("50us", &mtu, &e));
	assert_false(user_conf_parse_busy_poll("", &mtu, &e));
	assert_int_equal(mtu, 0);

	unsigned int n_queues = 0;
	assert_true(user_conf_parse_queues("8", &n_queues, &e));
	assert_int_equal(n_queues, USER_QUEUES_MAX);
	assert_true(user_conf_parse_queues("1", &n_queues, &e));
	assert_false(user_conf_parse_queues("0", &n_queues, &e));
	assert_false(user_conf_parse_queues("9", &n_queues, &e));
	assert_false(user_conf_parse_queues("2x", &n_queues, &e));
	assert_int_equal(n_queues, 1);

	assert_false(user_conf_parse_addr("0.0.0.0", &a, &e));
	assert_false(user_conf_parse_addr("10.0.2.2 ", &a, &e));
	assert_false(user_conf_parse_path("", path, &e));
}

static void test_caps(void **state)
{
	struct user_forward f = {.guest_port = 1};
	struct user_conf c;
	char name[USER_NAME_BYTES] = "a.example";

	user_conf_init(&c);
	for (unsigned int i = 0; i < USER_FORWARDS_MAX; i++) {
		f.host_port = (uint16_t)i;
		assert_int_equal(user_conf_add_forward(&c, &f), 0);
	}
	assert_int_equal(user_conf_add_forward(&c, &f), -ENOSPC);
	for (unsigned int i = 0; i < USER_FORWARDS_MAX; i++)
		assert_int_equal(c.forwards[i].host_port, i);
	for (unsigned int i = 0; i < USER_SEARCH_MAX; i++)
		assert_int_equal(user_conf_add_search(&c, name), 0);
	assert_int_equal(user_conf_add_search(&c, name), -ENOSPC);
	c.n_search = 0;
	memset(name, 'a', 253);
	assert_int_equal(user_conf_add_search(&c, name), 0);
	assert_int_equal(user_conf_add_search(&c, name), 0);
	name[1] = '\0';
	assert_int_equal(user_conf_add_search(&c, name), -ENOSPC);
	user_conf_done(&c);
	assert_null(c.forwards);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostfwd),
		cmocka_unit_test(test_hostfwd_key),
		cmocka_unit_test(test_net),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_port),
		cmocka_unit_test(test_port_long),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_caps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
