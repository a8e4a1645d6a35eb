/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dhcp4.h"

#define OPTIONS_AT (DHCP4_FIXED_BYTES + DHCP4_COOKIE_BYTES)
#define SNAME_AT   44
#define FILE_AT    108

static uint32_t seed = 3;

static uint32_t random_u32(void)
{
	seed = seed * 1664525u + 1013904223u;
	return seed >> 8 | seed << 24;
}

/* A message up to its options, followed by zeroes. */
static void blank(uint8_t *ret, size_t n_bytes)
{
	static const uint8_t cookie[] = {0x63, 0x82, 0x53, 0x63};

	memset(ret, 0, n_bytes);
	ret[0] = DHCP4_OP_REQUEST;
	ret[1] = 1;
	ret[2] = 6;
	memcpy(ret + 28, "\x52\x54\0\x12\x34\x56", 6);
	memcpy(ret + DHCP4_FIXED_BYTES, cookie, 4);
}

static enum drop_reason parse(const uint8_t *bytes, size_t n, struct dhcp4 *ret)
{
	struct rd r = rd_of(bytes, n);

	return dhcp4_parse(&r, ret);
}

static enum drop_reason parse_options(const void *options, size_t n, struct dhcp4 *ret)
{
	static uint8_t bytes[2048];

	blank(bytes, sizeof(bytes));
	memcpy(bytes + OPTIONS_AT, options, n);
	return parse(bytes, OPTIONS_AT + n, ret);
}

static void assert_messages_equal(const struct dhcp4 *a, const struct dhcp4 *b)
{
	assert_int_equal(a->op, b->op);
	assert_int_equal(a->hops, b->hops);
	assert_int_equal(a->broadcast, b->broadcast);
	assert_int_equal(a->has_cookie, b->has_cookie);
	assert_int_equal(a->secs, b->secs);
	assert_int_equal(a->xid, b->xid);
	assert_int_equal(a->ciaddr_be, b->ciaddr_be);
	assert_int_equal(a->yiaddr_be, b->yiaddr_be);
	assert_int_equal(a->siaddr_be, b->siaddr_be);
	assert_int_equal(a->giaddr_be, b->giaddr_be);
	assert_memory_equal(&a->chaddr, &b->chaddr, MAC_BYTES);
	assert_memory_equal(a->sname, b->sname, sizeof(a->sname));
	assert_memory_equal(a->file, b->file, sizeof(a->file));
	assert_int_equal(a->n_options, b->n_options);
	for (unsigned int i = 0; i < a->n_options; i++) {
		assert_int_equal(a->options[i].code, b->options[i].code);
		assert_int_equal(a->options[i].n_bytes, b->options[i].n_bytes);
		assert_memory_equal(a->options[i].data, b->options[i].data, a->options[i].n_bytes);
	}
}

static void test_fields_lie_where_rfc951_puts_them(void **state)
{
	uint8_t bytes[OPTIONS_AT + 4];
	struct dhcp4 m;

	blank(bytes, sizeof(bytes));
	bytes[3] = 7;
	memcpy(bytes + 4, "\x01\x02\x03\x04\x05\x06\x80\x00", 8);
	memcpy(bytes + 12, "\x0a\x00\x00\x01\x0a\x00\x00\x02\x0a\x00\x00\x03\x0a\x00\x00\x04", 16);
	memcpy(bytes + SNAME_AT, "server", 6);
	memcpy(bytes + FILE_AT, "file", 4);
	memcpy(bytes + OPTIONS_AT, "\x35\x01\x03\xff", 4);
	assert_int_equal(parse(bytes, sizeof(bytes), &m), DROP_NONE);
	assert_int_equal(m.hops, 7);
	assert_int_equal(m.xid, 0x01020304);
	assert_int_equal(m.secs, 0x0506);
	assert_true(m.broadcast);
	assert_int_equal(m.ciaddr_be, inet_addr("10.0.0.1"));
	assert_int_equal(m.yiaddr_be, inet_addr("10.0.0.2"));
	assert_int_equal(m.siaddr_be, inet_addr("10.0.0.3"));
	assert_int_equal(m.giaddr_be, inet_addr("10.0.0.4"));
	assert_int_equal(m.chaddr.b[5], 0x56);
	assert_string_equal((char *)m.sname, "server");
	assert_string_equal((char *)m.file, "file");
	assert_int_equal(dhcp4_type(&m), DHCP4_REQUEST);
}

static void test_every_shorter_message_is_refused_or_whole(void **state)
{
	uint8_t bytes[OPTIONS_AT + 13];
	struct dhcp4 m;

	blank(bytes, sizeof(bytes));
	memcpy(bytes + OPTIONS_AT, "\x35\x01\x03\x32\x04\x0a\x00\x02\x0f\x0c\x01h\xff", 13);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		enum drop_reason reason = parse(bytes, n, &m);

		if (n < DHCP4_FIXED_BYTES) {
			assert_int_equal(reason, DROP_TRUNCATED);
		} else if (n < OPTIONS_AT) {
			assert_int_equal(reason, DROP_NONE); /* BOOTP of RFC 951's kind */
			assert_false(m.has_cookie);
		} else {
			size_t in = n - OPTIONS_AT;
			bool whole = in == 0 || in == 3 || in == 9 || in >= 12;

			assert_int_equal(reason, whole ? DROP_NONE : DROP_TRUNCATED);
		}
	}
	assert_int_equal(m.n_options, 3);
}

static void test_foreign_hardware_and_operations(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} wrong[] = {{0, 0}, {0, 3}, {1, 6}, {2, 16}, {2, 0}, {2, 7}};
	uint8_t bytes[300];
	struct dhcp4 m;

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		blank(bytes, sizeof(bytes));
		bytes[wrong[i].at] = wrong[i].value;
		assert_int_equal(parse(bytes, sizeof(bytes), &m), DROP_BAD_HEADER);
	}
}

static void test_another_vendor_field_has_no_options(void **state)
{
	uint8_t bytes[300];
	struct dhcp4 m;

	blank(bytes, sizeof(bytes));
	memcpy(bytes + DHCP4_FIXED_BYTES, "CMU\0", 4);
	memcpy(bytes + OPTIONS_AT, "\x35\x01\x03", 3);
	assert_int_equal(parse(bytes, sizeof(bytes), &m), DROP_NONE);
	assert_int_equal(m.n_options, 0);
	assert_int_equal(dhcp4_type(&m), DHCP4_BOOTP);
}

static void test_padding_and_end(void **state)
{
	struct dhcp4 m;

	/* What follows END is nothing, even if it is garbage. */
	assert_int_equal(
		parse_options("\0\0\x35\x01\x01\0\x0c\x02hi\xff\x35\x01\x03\x0c", 15, &m), DROP_NONE);
	assert_int_equal(m.n_options, 2);
	assert_int_equal(dhcp4_type(&m), DHCP4_DISCOVER);
	assert_int_equal(parse_options("\0\0\0\0\0", 5, &m), DROP_NONE);
	assert_int_equal(m.n_options, 0);
}

static void test_lengths(void **state)
{
	static const struct {
		uint8_t code;
		uint8_t allowed[4], refused[4];
	} rules[] = {
		{DHCP4_OPT_MASK, {4, 4, 4, 4}, {0, 3, 5, 8}},
		{DHCP4_OPT_ROUTER, {4, 8, 12, 252}, {0, 3, 5, 255}},
		{DHCP4_OPT_DNS, {4, 8, 12, 252}, {0, 3, 5, 255}},
		{DHCP4_OPT_HOSTNAME, {1, 2, 100, 255}, {0, 0, 0, 0}},
		{DHCP4_OPT_REQUESTED, {4, 4, 4, 4}, {0, 3, 5, 8}},
		{DHCP4_OPT_TYPE, {1, 1, 1, 1}, {0, 2, 4, 255}},
		{DHCP4_OPT_SERVER_ID, {4, 4, 4, 4}, {0, 1, 3, 8}},
		{DHCP4_OPT_PARAMETERS, {1, 2, 100, 255}, {0, 0, 0, 0}},
		{DHCP4_OPT_MAX_SIZE, {2, 2, 2, 2}, {0, 1, 3, 4}},
		{DHCP4_OPT_CLIENT_ID, {2, 7, 100, 255}, {0, 1, 0, 1}},
		{DHCP4_OPT_OVERLOAD, {1, 1, 1, 1}, {0, 2, 3, 4}},
		{80, {0, 1, 2, 255}, {}}, /* rapid commit has no data (RFC 4039) */
	};
	uint8_t option[2 + 255];
	struct dhcp4 m;

	for (unsigned int i = 0; i < ARRAY_SIZE(rules); i++) {
		memset(option, 1, sizeof(option));
		option[0] = rules[i].code;
		for (int k = 0; k < 4; k++) {
			option[1] = rules[i].allowed[k];
			assert_int_equal(parse_options(option, 2u + option[1], &m), DROP_NONE);
			option[1] = rules[i].refused[k];
			if (rules[i].code != 80)
				assert_int_equal(parse_options(option, 2u + option[1], &m), DROP_BAD_HEADER);
		}
	}
}

static void test_number_of_options_is_capped(void **state)
{
	uint8_t options[3 * (DHCP4_OPTIONS_MAX + 1)];
	struct dhcp4 m;

	for (size_t i = 0; i < sizeof(options); i += 3)
		memcpy(options + i, "\xe0\x01\x07", 3);
	assert_int_equal(parse_options(options, sizeof(options) - 3, &m), DROP_NONE);
	assert_int_equal(m.n_options, DHCP4_OPTIONS_MAX);
	assert_int_equal(parse_options(options, sizeof(options), &m), DROP_BAD_HEADER);
}

static void test_overload(void **state)
{
	uint8_t bytes[OPTIONS_AT + 7];
	struct dhcp4 m;

	for (uint8_t overload = 0; overload <= 4; overload++) {
		blank(bytes, sizeof(bytes));
		memcpy(bytes + OPTIONS_AT, "\x34\x01\0\x35\x01\x03\xff", 7);
		bytes[OPTIONS_AT + 2] = overload;
		memcpy(bytes + SNAME_AT, "\x0f\x01s\xff", 4);
		/* Overload within an overloaded field means nothing: sname is not opened by it. */
		memcpy(bytes + FILE_AT, "\x34\x01\x03\x0c\x01g\xff", 7);
		enum drop_reason reason = parse(bytes, sizeof(bytes), &m);

		if (overload == 0 || overload == 4) {
			assert_int_equal(reason, DROP_BAD_HEADER);
			continue;
		}
		assert_int_equal(reason, DROP_NONE);
		assert_int_equal(dhcp4_find(&m, DHCP4_OPT_HOSTNAME) != NULL, overload & 1);
		assert_int_equal(dhcp4_find(&m, DHCP4_OPT_DOMAIN) != NULL, overload >> 1);
		assert_int_equal(m.file[0], overload & 1 ? 0 : 0x34);
		assert_int_equal(m.sname[0], overload & 2 ? 0 : 0x0f);
		assert_null(dhcp4_find(&m, DHCP4_OPT_OVERLOAD));
	}
}

static void test_option_may_not_leave_its_field(void **state)
{
	uint8_t bytes[OPTIONS_AT + 4];
	struct dhcp4 m;

	blank(bytes, sizeof(bytes));
	memcpy(bytes + OPTIONS_AT, "\x34\x01\x02\xff", 4);
	bytes[SNAME_AT + 62] = 0x0c;
	bytes[SNAME_AT + 63] = 1; /* its byte would be the first of file */
	assert_int_equal(parse(bytes, sizeof(bytes), &m), DROP_TRUNCATED);
}

static void test_find(void **state)
{
	struct dhcp4 m;
	uint32_t addr_be = 5;

	assert_int_equal(
		parse_options("\x32\x04\x0a\x00\x02\x0f\x32\x04\x0a\x00\x02\x10\xff", 13, &m), DROP_NONE);
	assert_true(dhcp4_find_addr(&m, DHCP4_OPT_REQUESTED, &addr_be));
	assert_int_equal(addr_be, inet_addr("10.0.2.15"));
	assert_false(dhcp4_find_addr(&m, DHCP4_OPT_SERVER_ID, &addr_be));
	assert_int_equal(dhcp4_type(&m), DHCP4_BOOTP);
}

/* What the options of a random message point at. */
static uint8_t pool[255];

static void random_message(struct dhcp4 *ret)
{
	static const uint8_t codes[] = {12, 15, 56, 60, 66, 67, 77, 80, 81, 119, 224, 254};

	*ret = (struct dhcp4){
		.op = (uint8_t)(1 + random_u32() % 2),
		.hops = (uint8_t)random_u32(),
		.broadcast = random_u32() & 1,
		.has_cookie = random_u32() & 1,
		.secs = (uint16_t)random_u32(),
		.xid = random_u32(),
		.ciaddr_be = random_u32(),
		.yiaddr_be = random_u32(),
		.siaddr_be = random_u32(),
		.giaddr_be = random_u32(),
	};
	for (unsigned int i = 0; i < MAC_BYTES; i++)
		ret->chaddr.b[i] = (uint8_t)random_u32();
	for (unsigned int i = 0; i < sizeof(ret->sname); i++)
		ret->sname[i] = (uint8_t)random_u32();
	for (unsigned int i = 0; i < sizeof(ret->file); i++)
		ret->file[i] = (uint8_t)random_u32();
	if (ret->has_cookie)
		ret->n_options = random_u32() % (DHCP4_OPTIONS_MAX + 1);
	for (unsigned int i = 0; i < ret->n_options; i++)
		ret->options[i] = (struct dhcp4_option){
			.code = codes[random_u32() % sizeof(codes)],
			.n_bytes = (uint8_t)(1 + random_u32() % 255),
			.data = pool,
		};
}

static void test_what_was_emitted_parses_to_the_same(void **state)
{
	static uint8_t bytes[OPTIONS_AT + DHCP4_OPTIONS_MAX * 257 + 1];
	struct dhcp4 m, again;

	for (unsigned int i = 0; i < sizeof(pool); i++)
		pool[i] = (uint8_t)i;
	for (int round = 0; round < 2000; round++) {
		struct wr w = wr_of(bytes, sizeof(bytes));

		random_message(&m);
		dhcp4_emit(&w, &m);
		assert_false(w.bad);
		size_t n = sizeof(bytes) - w.left;
		assert_true(n >= DHCP4_MIN_BYTES);
		assert_int_equal(parse(bytes, n, &again), DROP_NONE);
		assert_messages_equal(&m, &again);
		/* A byte less of room is refused, not overrun. */
		w = wr_of(bytes, n - 1);
		dhcp4_emit(&w, &m);
		assert_true(w.bad);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields_lie_where_rfc951_puts_them),
		cmocka_unit_test(test_every_shorter_message_is_refused_or_whole),
		cmocka_unit_test(test_foreign_hardware_and_operations),
		cmocka_unit_test(test_another_vendor_field_has_no_options),
		cmocka_unit_test(test_padding_and_end),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_number_of_options_is_capped),
		cmocka_unit_test(test_overload),
		cmocka_unit_test(test_option_may_not_leave_its_field),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_what_was_emitted_parses_to_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
