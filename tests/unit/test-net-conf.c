/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmocka-all.h"

#include <arpa/inet.h>

#include "net_conf.h"

static struct net_conf conf_of(const char *name)
{
	struct conf_error e;
	struct net_conf c;

	assert_true(net_conf_init(name, &c, &e));
	return c;
}

static void set(struct net_conf *c, const char *key, const char *value)
{
	struct conf_error e;

	if (!net_conf_set(c, key, value, &e))
		fail_msg("%s=%s: %s", key, value, e.text);
}

static void refuse(struct net_conf *c, const char *key, const char *value, size_t at)
{
	struct conf_error e;

	assert_false(net_conf_set(c, key, value, &e));
	assert_true(e.text[0]);
	assert_int_equal(e.at, at);
}

static void test_names(void **state)
{
	static const char *const bad[] = {
		"", "-a", "a/b", "..", "a b", "0123456789abcdef", "all", "default", "lo"};
	struct conf_error e;
	struct net_conf c;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(net_conf_init(bad[i], &c, &e));
	assert_true(net_conf_init("0123456789-_abc", &c, &e));
	assert_string_equal(c.bridge, "0123456789-_abc");
}

static int set_again(void *ctx, const char *key, const char *value)
{
	set(ctx, key, value);
	return 0;
}

static int count(void *ctx, const char *key, const char *value)
{
	++*(unsigned int *)ctx;
	return 0;
}

/* What is written is read back to the same. */
static void test_round_trip(void **state)
{
	static const char *const options[][2] = {{"bridge", "br7"}, {"net", "10.1.2.0/23"},
		{"host", "10.1.3.254"}, {"dhcpstart", "10.1.2.9"}, {"dhcpend", "10.1.3.200"},
		{"dns", "1.1.1.1"}, {"ipv6-net", "fd00:1::/64"}, {"domainname", "a.example"}, {"mtu", "9000"},
		{"tftp", "/srv/tftp"}, {"bootfile", "http://10.1.3.254/boot.ipxe"}, {"stp", "yes"},
		{"isolated", "on"}, {"restrict", "y"}, {"hostfwd", "tcp::5022-:22"},
		{"hostfwd", "udp:192.0.2.1:53-10.1.2.9:5353"}, {"hostfwd", "::8000-8010-10.1.2.10:9000"},
		{"hostfwd", "tcp:[2001:db8::1]:80-[fd00:1::5]:8080"},
		{"reserve", "52:54:00:12:34:56=10.1.2.77"}, {"reserve", "52-54-00-12-34-57=10.1.2.78,web"}};
	struct net_conf a = conf_of("lab"), b = conf_of("lab"), copy;
	struct conf_error e;
	unsigned int n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		set(&a, options[i][0], options[i][1]);
	assert_true(net_conf_check(&a, &e));
	assert_int_equal(net_conf_each(&a, set_again, &b), 0);
	assert_int_equal(a.n_forwards, b.n_forwards);
	assert_int_equal(a.n_reserves, b.n_reserves);
	assert_memory_equal(a.forwards, b.forwards, a.n_forwards * sizeof(*a.forwards));
	assert_memory_equal(a.reserves, b.reserves, a.n_reserves * sizeof(*a.reserves));
	assert_int_equal(net_conf_copy(&a, &copy), 0);
	net_conf_done(&a);
	net_conf_done(&b);
	a.n_forwards = b.n_forwards = 0; /* the rest is plain */
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(net_conf_each(&copy, count, &n), 0);
	assert_int_equal(n, ARRAY_SIZE(options) + 1); /* the mode */
	net_conf_done(&copy);
}

static void test_forwards(void **state)
{
	struct net_forward f;
	struct conf_error e;
	struct net_conf c = conf_of("lab");

	assert_true(net_forward_parse("::1-5-:7", &f, &e));
	assert_int_equal(f.proto, IPPROTO_TCP);
	assert_int_equal(f.host_port, 1);
	assert_int_equal(f.n_ports, 5);
	assert_int_equal(f.guest_port, 7);
	assert_int_equal(f.host.family, 0);
	refuse(&c, "hostfwd", "", 0);
	refuse(&c, "hostfwd", "sctp::1-:1", 0);
	refuse(&c, "hostfwd", "tcp::0-:1", 5);
	refuse(&c, "hostfwd", "tcp::70000-:1", 5);
	refuse(&c, "hostfwd", "tcp::1-:70000", 8);
	refuse(&c, "hostfwd", "tcp::9-8-:1", 7);
	refuse(&c, "hostfwd", "tcp::1-100-:65500", 0);
	refuse(&c, "hostfwd", "tcp:[::1:1-:1", 4);
	refuse(&c, "hostfwd", "tcp:[fe80::1]:1-:1", 5);
	refuse(&c, "hostfwd", "tcp:[fd00::1]:1-10.0.0.1:1", 0);
	refuse(&c, "hostfwd", "tcp:1.2.3.4.5:1-:1", 4);
	set(&c, "hostfwd", "tcp::80-90-:80");
	refuse(&c, "hostfwd", "tcp:10.0.0.1:90-:22", 0);
	set(&c, "hostfwd", "udp::90-:80");
	set(&c, "hostfwd", "tcp::91-:22");
	refuse(&c, "reserve", "52:54:00:12:34:5=10.0.0.1", 0);
	refuse(&c, "reserve", "53:54:00:12:34:56=10.0.0.1", 0);
	refuse(&c, "reserve", "52:54:00:12:34:56=10.0.0.999", 18);
	refuse(&c, "reserve", "52:54:00:12:34:56=10.0.0.1,a b", 27);
	refuse(&c, "net", "10.0.0.0/30", 9);
	refuse(&c, "ipv6-net", "fd00::/48", 6);
	refuse(&c, "ipv6-net", "fe80::/64", 0);
	refuse(&c, "tftp", "srv", 0);
	refuse(&c, "tftp", "/srv/a b", 6);
	refuse(&c, "tftp", "/srv\nport=1", 4);
	refuse(&c, "bootfile", "", 0);
	refuse(&c, "bootfile", "pxe.0,evil", 5);
	refuse(&c, "nonsense", "1", 0);
	net_conf_done(&c);
}

static void check_fails(const char *option, const char *key, const char *value)
{
	struct net_conf c = conf_of("lab");
	struct conf_error e;

	set(&c, "net", "10.1.2.0/24");
	set(&c, key, value);
	assert_false(net_conf_check(&c, &e));
	assert_string_equal(e.option, option);
	net_conf_done(&c);
}

static void test_check(void **state)
{
	struct net_conf c = conf_of("lab");
	struct conf_error e;

	set(&c, "net", "10.1.2.0/24");
	assert_true(net_conf_check(&c, &e));
	assert_int_equal(c.host_be, inet_addr("10.1.2.1"));
	assert_int_equal(c.dhcp_start_be, inet_addr("10.1.2.2"));
	assert_int_equal(c.dhcp_end_be, inet_addr("10.1.2.254"));
	check_fails("host", "host", "10.1.3.1");
	check_fails("host", "host", "10.1.2.255");
	check_fails("dhcpstart", "dhcpstart", "10.1.2.1");
	check_fails("dhcpend", "dhcpend", "10.1.2.0");
	check_fails("hostfwd", "hostfwd", "tcp::1-10.9.9.9:1");
	check_fails("hostfwd", "hostfwd", "tcp:[fd00::1]:1-:1");
	check_fails("reserve", "reserve", "52:54:00:12:34:56=10.1.2.1");
	check_fails("mtu", "mtu", "1279");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_forwards),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
