/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmocka-all.h"

#include <stdio.h>

#include "qemu_info.h"

/* As QEMU 7.2 and 10.0 print them. */
static void test_rows(void **state)
{
	static const struct {
		const char *line;
		const char *expect; /* "NAME|INDEX|TYPE,REST"; NULL: none */
	} rows[] = {
		{"e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56",
			"e1000.0|index=0|nic,model=e1000,macaddr=52:54:00:12:34:56"},
		{" \\ vmlan0: index=0,type=stream,", "vmlan0|index=0|stream,"},
		{" \\ hub0port1: #net196: index=1,type=socket,socket: fd=3",
			"#net196|index=1|socket,socket: fd=3"},
		{" \\ #net055: index=0,type=vhost-user,vhost-user0 to vmlan0-socket",
			"#net055|index=0|vhost-user,vhost-user0 to vmlan0-socket"},
		{": index=,type=", "|index=|"},
		{"hub 0", NULL},
		{" \\ hub0port0", NULL},
		{"a: index=0", NULL},
		{",type=x: index=0", NULL},
		{"", NULL},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
		struct qemu_info_row r;
		char got[256];

		if (!qemu_info_parse_row(rows[i].line, &r)) {
			assert_null(rows[i].expect);
			continue;
		}
		(void)snprintf(got, sizeof(got), "%.*s|%.*s|%s", (int)r.n_name, r.name, (int)r.n_index,
			r.index, r.type);
		assert_non_null(rows[i].expect);
		assert_string_equal(got, rows[i].expect);
	}
}

static void test_forwards(void **state)
{
	static const char *const none[] = {"Hub -1 (n):",
		"  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ",
		"  TCP[ESTABLISHED]   12       10.0.2.15 40000      192.0.2.1    80     0     0",
		"  TCP[HOST_FORWARD]  11               * 65536       10.0.2.15    22     0     0",
		"  TCP[HOST_FORWARD]  11", ""};
	char id[QEMU_INFO_NAME_BYTES] = "";
	struct qemu_info_forward f;

	assert_true(qemu_info_parse_hub("Hub -1 (#net0 x):", id));
	assert_string_equal(id, "#net0 x");
	assert_false(qemu_info_parse_hub("Hub 0 ():", id));
	assert_false(qemu_info_parse_hub("  TCP[HOST_FORWARD]", id));
	assert_string_equal(id, "#net0 x");
	assert_true(qemu_info_parse_forward(
		"  TCP[HOST_FORWARD]  11               *  5998       10.0.2.15    22     0     0", &f));
	assert_false(f.udp);
	assert_string_equal(f.src, "0.0.0.0");
	assert_int_equal(f.src_port, 5998);
	assert_string_equal(f.dst, "10.0.2.15");
	assert_int_equal(f.dst_port, 22);
	assert_true(
		qemu_info_parse_forward("  UDP[HOST_FORWARD]   9       127.0.0.1 53 10.0.2.15 53 0 0", &f));
	assert_true(f.udp);
	assert_string_equal(f.src, "127.0.0.1");
	for (unsigned int i = 0; i < ARRAY_SIZE(none); i++)
		assert_false(qemu_info_parse_forward(none[i], &f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_forwards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
