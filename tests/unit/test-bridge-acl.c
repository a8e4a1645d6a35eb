/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "bridge_acl.h"

static const char *included; /* what the file says that is included */

static int include(struct bridge_acl *a, const char *path)
{
	char why[BRIDGE_ACL_WHY_BYTES];
	unsigned int line;

	assert_string_equal(path, "/rules");
	return bridge_acl_parse(a, included, strlen(included), &line, why);
}

static int include_path(struct bridge_acl *a, const char *path)
{
	assert_int_equal(strlen(path), BRIDGE_ACL_PATH_BYTES - 1);
	return -ELOOP;
}

static bool allows(const char *text, const char *bridge)
{
	struct bridge_acl a = {.bridge = bridge, .include = include};
	char why[BRIDGE_ACL_WHY_BYTES];
	unsigned int line;

	assert_int_equal(bridge_acl_parse(&a, text, strlen(text), &line, why), 0);
	return bridge_acl_allows(&a);
}

static void test_answers(void **state)
{
	assert_false(allows("", "br0"));
	assert_false(allows("# allow all\n\n \t\n#", "br0"));
	assert_true(allows("allow br0", "br0"));
	assert_true(allows("allow br0\r\n", "br0"));
	assert_true(allows(" \t allow \t br0 \t\n", "br0"));
	assert_true(allows("allow all\n", "br0"));
	assert_false(allows("allow br\nallow br00\nallow xbr0\nallow ALL\n", "br0"));
	assert_true(allows("allow br1\nallow br0\n", "br0"));
	assert_false(allows("allow br0\ndeny br0\n", "br0"));
	assert_false(allows("deny br0\nallow br0\n", "br0"));
	assert_false(allows("deny all\nallow br0\n", "br0"));
	assert_true(allows("deny br1\nallow all\n", "br0"));
	assert_false(allows("deny br1\nallow all\n", "br1"));
	assert_true(allows("allow fifteen-bytes-x\n", "fifteen-bytes-x"));
	/* A bridge may be called so, and is then allowed with all others only. */
	assert_true(allows("allow all\n", "all"));
}

static void refused(const char *text, size_t n, unsigned int at, const char *says)
{
	struct bridge_acl a = {.bridge = "br0", .include = include};
	char why[BRIDGE_ACL_WHY_BYTES] = "";
	unsigned int line;

	assert_int_equal(bridge_acl_parse(&a, text, n, &line, why), -EINVAL);
	assert_int_equal(line, at);
	assert_non_null(strstr(why, says));
}

static void test_errors(void **state)
{
	static const char nul[] = "allow br0\0\n";

	refused("allow br0\npermit br0\n", 21, 2, "begins with none of");
	refused("Allow br0", 9, 1, "begins with none of");
	refused("\n\nallow\n", 8, 3, "a word is missing");
	refused("include", 7, 1, "a word is missing");
	refused("allow br0 # mine", 16, 1, "more than two words");
	refused("deny sixteen-bytes-xx", 21, 1, "at most 15 bytes");
	refused("include bridge.conf.d", 21, 1, "begins with /");
	refused(nul, sizeof(nul) - 1, 1, "no text");
}

static void test_include(void **state)
{
	char text[8 + BRIDGE_ACL_PATH_BYTES + 1], why[BRIDGE_ACL_WHY_BYTES] = "";
	struct bridge_acl a = {.bridge = "br0", .include = include_path};
	unsigned int line;

	(void)snprintf(text, sizeof(text), "include %01023d", 0);
	text[8] = '/';
	/* What the file is answered with ends the whole. */
	assert_int_equal(bridge_acl_parse(&a, text, strlen(text), &line, why), -ELOOP);
	assert_string_equal(why, "");
	(void)snprintf(text, sizeof(text), "include %01024d", 0);
	text[8] = '/';
	refused(text, strlen(text), 1, "too long");
}

static void test_included(void **state)
{
	included = "allow br0\n";
	assert_true(allows("include /rules\n", "br0"));
	assert_false(allows("deny br0\ninclude /rules\n", "br0"));
	assert_false(allows("include /rules\ndeny all\n", "br0"));
	included = "deny br0\n";
	assert_false(allows("allow br0\ninclude /rules\n", "br0"));
	assert_true(allows("allow br1\ninclude /rules\n", "br1"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_include),
		cmocka_unit_test(test_included),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
