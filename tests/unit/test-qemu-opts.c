/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "qemu_opts.h"
#include "qemu_words.h"

static const struct {
	const char *text;
	const char *expect; /* key=value for each, with '|' after it; a switch has '!', an implied key '*' */
} texts[] = {
	{"", ""},
	{"user", "*type=user|"},
	{"user,id=n0", "*type=user|id=n0|"},
	{"type=user,id=n0", "type=user|id=n0|"},
	{"user,hostfwd=tcp::1-:2,hostfwd=udp::3-:4", "*type=user|hostfwd=tcp::1-:2|hostfwd=udp::3-:4|"},
	{"user,tftp=/a,,b,id=x", "*type=user|tftp=/a,b|id=x|"},
	{"user,tftp=,,,,,id=x", "*type=user|tftp=,,|id=x|"},
	{"a,,b,c=d", "*type=a,b|c=d|"},
	{"user,restrict", "*type=user|!restrict=on|"},
	{"user,norestrict", "*type=user|!restrict=off|"},
	{"user,no", "*type=user|!no=on|"},
	{"user,id=", "*type=user|id=|"},
	{"user,a=b=c", "*type=user|a=b=c|"},
	{"user,", "*type=user|"},
	{",id=x", "*type=|id=x|"},
	{"nic,model=?", "*type=nic|model=?|"},
};

static void print_opts(const struct qemu_opts *o, struct qemu_text *t)
{
	qemu_text_add(t, "");
	for (unsigned int i = 0; i < o->n; i++)
		qemu_text_addf(t, "%s%s=%s|",
			o->v[i].is_switch    ? "!"
			: o->v[i].is_implied ? "*"
					     : "",
			o->v[i].key, o->v[i].value);
}

static void test_parse(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(texts); i++) {
		struct qemu_opts o = {0};
		struct qemu_text t = {0};

		assert_int_equal(qemu_opts_parse(texts[i].text, "type", &o), 0);
		print_opts(&o, &t);
		assert_string_equal(t.p, texts[i].expect);
		qemu_text_done(&t);
		qemu_opts_done(&o);
	}
}

/* What was parsed and is written again is the same text, but for a comma at the end. */
static void test_emit(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(texts); i++) {
		struct qemu_opts o = {0}, again = {0};
		struct qemu_text t = {0}, a = {0}, b = {0};

		assert_int_equal(qemu_opts_parse(texts[i].text, "type", &o), 0);
		qemu_text_add(&t, "");
		for (unsigned int k = 0; k < o.n; k++)
			qemu_text_add_opt(&t, &o.v[k]);
		if (strcmp(texts[i].text, "user,") != 0 && strcmp(texts[i].text, ",id=x") != 0)
			assert_string_equal(t.p, texts[i].text);
		if (strcmp(texts[i].text, ",id=x") != 0) {
			assert_int_equal(qemu_opts_parse(t.p, "type", &again), 0);
			print_opts(&o, &a);
			print_opts(&again, &b);
			assert_string_equal(a.p, b.p);
		}
		qemu_text_done(&t);
		qemu_text_done(&a);
		qemu_text_done(&b);
		qemu_opts_done(&o);
		qemu_opts_done(&again);
	}
}

static void test_places(void **state)
{
	struct qemu_opts o = {0};

	assert_int_equal(qemu_opts_parse("user,tftp=a,,b,net=x,restrict", "type", &o), 0);
	assert_int_equal(o.n, 4);
	assert_int_equal(o.v[0].at, 0);
	assert_int_equal(o.v[1].key_at, 5);
	assert_int_equal(o.v[1].at, 10);
	assert_int_equal(o.v[1].n_bytes, 4);
	assert_int_equal(o.v[2].at, 19);
	assert_int_equal(o.v[3].at, 21);
	assert_int_equal(o.v[3].n_bytes, 8);
	qemu_opts_done(&o);
}

static void test_last_wins(void **state)
{
	struct qemu_opts o = {0};

	assert_int_equal(qemu_opts_parse("user,net=a,dns=b,net=c", "type", &o), 0);
	assert_string_equal(qemu_opts_value(&o, "net"), "c");
	assert_null(qemu_opts_value(&o, "host"));
	qemu_opts_done(&o);
}

static void test_cap(void **state)
{
	char *text = malloc(2 * (QEMU_OPTS_MAX + 2));
	struct qemu_opts o = {0};

	for (unsigned int i = 0; i < QEMU_OPTS_MAX + 1; i++)
		memcpy(text + (size_t)i * 2, "a,", 2);
	text[(QEMU_OPTS_MAX + 1) * 2] = '\0';
	assert_int_equal(qemu_opts_parse(text, "type", &o), -E2BIG);
	text[QEMU_OPTS_MAX * 2] = '\0';
	assert_int_equal(qemu_opts_parse(text, "type", &o), 0);
	assert_int_equal(o.n, QEMU_OPTS_MAX);
	qemu_opts_done(&o);
	free(text);
}

static void test_bool(void **state)
{
	static const char *const on[] = {"on", "yes", "true", "y"}, *const off[] = {
									    "off", "no", "false", "n"};
	bool v;

	for (unsigned int i = 0; i < ARRAY_SIZE(on); i++) {
		v = false;
		assert_true(qemu_bool_parse(on[i], &v));
		assert_true(v);
		assert_true(qemu_bool_parse(off[i], &v));
		assert_false(v);
	}
	assert_false(qemu_bool_parse("1", &v));
	assert_false(qemu_bool_parse("", &v));
	assert_false(qemu_bool_parse("On", &v));
}

static void test_words(void **state)
{
	assert_true(qemu_option_has_value("append", "-net"));
	assert_true(qemu_option_has_value("m", "2048"));
	assert_false(qemu_option_has_value("m", NULL));
	assert_false(qemu_option_has_value("S", "disk.img"));
	assert_false(qemu_option_has_value("daemonize", "disk.img"));
	assert_false(qemu_option_has_value("of-a-later-qemu", "-net"));
	assert_true(qemu_option_has_value("of-a-later-qemu", "value"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_emit),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_last_wins),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_bool),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
