/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmocka-all.h"

#include "net_file.h"

static bool parse(const char *text, struct net_conf *ret, struct net_file_error *e)
{
	struct conf_error ce;

	assert_true(net_conf_init("lab", ret, &ce));
	return net_file_parse(text, ret, e);
}

static void test_keys(void **state)
{
	static const char text[] =
		"# a network\n\n ; of guests\r\n[Network]\r\n"
		"net = 10.1.1.0/24\n  mtu=1400\nmtu=1300\nisolated=yes\nisolated=no\nstp=on\n"
		"hostfwd=tcp::80-:80\n[Network]\nhostfwd=udp::53-:53\n"
		"reserve=52:54:00:12:34:56=10.1.1.9,vm\nbridge=br-lab";
	struct net_file_error e;
	struct net_conf c;

	if (!parse(text, &c, &e))
		fail_msg("%u: %s", e.line, e.e.text);
	assert_int_equal(net_conf_prefix(&c), 24);
	assert_int_equal(c.mtu, 1300);
	assert_false(c.isolated);
	assert_true(c.stp);
	assert_int_equal(c.n_forwards, 2);
	assert_int_equal(c.n_reserves, 1);
	assert_string_equal(c.bridge, "br-lab");
	net_conf_done(&c);
	assert_true(parse("", &c, &e));
	net_conf_done(&c);
}

static void test_errors(void **state)
{
	static const struct {
		const char *text;
		unsigned int line;
		size_t at, n_bytes;
		const char *says, *shown;
	} bad[] = {
		{"net=10.1.1.0/24", 1, 0, 15, "a line [Network] has to stand before", "net=10.1.1.0/24"},
		{"\n[Match]\nName=x", 2, 0, 7, "the only one is [Network]", "[Match]"},
		{"[Network\nnet=1", 1, 0, 8, "the only one is [Network]", "[Network"},
		{"[Network]\n\n  nett = 10.1.1.0/24 ", 3, 0, 4,
			"no key 'nett'; the keys are: mode bridge adopt net", "nett = 10.1.1.0/24"},
		{"[Network]\nmtu = 9\n", 2, 6, 1, "", "mtu = 9"},
		{"[Network]\nisolated=maybe", 2, 9, 5, "is yes or no", "isolated=maybe"},
		{"[Network]\nisolated", 2, 0, 8, "a line is KEY=VALUE", "isolated"},
		{"[Network]\nhostfwd=tcp::80-:80\nhostfwd=tcp::80-:81", 3, 8, 11, "another forward",
			"hostfwd=tcp::80-:81"},
	};
	struct net_file_error e;
	struct net_conf c;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(parse(bad[i].text, &c, &e));
		assert_int_equal(e.line, bad[i].line);
		assert_int_equal(e.e.at, bad[i].at);
		assert_int_equal(e.e.n_bytes, bad[i].n_bytes);
		assert_non_null(strstr(e.e.text, bad[i].says));
		assert_string_equal(e.text, bad[i].shown);
		net_conf_done(&c);
	}
	/* The list of what is allowed is whole. */
	assert_false(parse("[Network]\nx=1", &c, &e));
	assert_non_null(strstr(e.e.text, " reserve"));
	net_conf_done(&c);
}

static void test_back(void **state)
{
	static const char text[] = "[Network]\nmode=nat\nnet=10.1.1.0/24\nmtu=1400\nrestrict=yes\n"
				   "hostfwd=tcp::80-:80\nreserve=52:54:00:12:34:56=10.1.1.9,vm\n";
	_cleanup_free_ char *back = NULL;
	struct net_file_error e;
	struct net_conf c;

	assert_true(parse(text, &c, &e));
	back = net_file_emit(&c);
	assert_string_equal(back, text);
	net_conf_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
