/* SPDX-License-Identifier: BSD-2-Clause */
/* A DHCP server and its clients, by messages: for the tests of gw_dhcp. */
#pragma once

#include "cmocka-all.h"

#include "gw_dhcp.h"

#define MINUTE_MS 60000ull
#define LEASE_MS  (DHCP_LEASE_S * 1000ull)

/* One server, and the last message to it with its answer. */
struct bench {
	struct dhcp_server s;
	uint64_t now_ms;
	struct dhcp4 m; /* what send() sends next */
	uint8_t type;
	struct mac frame_src;
	struct dhcp_reply reply;
	struct dhcp4 answer; /* the parsed reply */
};

static inline uint32_t addr(const char *text)
{
	return inet_addr(text);
}

static inline struct mac mac_of(unsigned int n)
{
	return (struct mac){{0x52, 0x54, 0, 0, (uint8_t)(n >> 8), (uint8_t)n}};
}

static inline struct dhcp_config usual_config(void)
{
	return (struct dhcp_config){
		.net_be = addr("10.0.2.0"),
		.mask_be = addr("255.255.255.0"),
		.host_be = addr("10.0.2.2"),
		.dns_be = addr("10.0.2.3"),
		.dhcp_start_be = addr("10.0.2.15"),
		.n_leases = 16,
	};
}

static inline int setup(void **state)
{
	struct dhcp_config c = usual_config();
	struct bench *b = calloc(1, sizeof(*b));

	if (!b || dhcp_server_init(&b->s, &c) < 0)
		return -1;
	b->now_ms = 5000;
	*state = b;
	return 0;
}

static inline int teardown(void **state)
{
	free(*state);
	return 0;
}

static inline void use_config(struct bench *b, const struct dhcp_config *c)
{
	assert_int_equal(dhcp_server_init(&b->s, c), 0);
}

/* A message of guest n to be added to and sent. type is 0 for BOOTP. */
static inline void begin(struct bench *b, unsigned int n, uint8_t type)
{
	b->type = type;
	b->frame_src = mac_of(n);
	b->m = (struct dhcp4){.op = DHCP4_OP_REQUEST,
		.has_cookie = true,
		.xid = 0xabcd0000 + n,
		.chaddr = mac_of(n),
		.secs = 3};
	if (type)
		b->m.options[b->m.n_options++] = (struct dhcp4_option){DHCP4_OPT_TYPE, 1, &b->type};
}

static inline void add(struct bench *b, uint8_t code, const void *data, size_t n)
{
	b->m.options[b->m.n_options++] = (struct dhcp4_option){code, (uint8_t)n, data};
}

/* The address stays in a table of the test's own: options are views. */
static inline void add_addr(struct bench *b, uint8_t code, uint32_t addr_be)
{
	static uint32_t addrs[16];
	static unsigned int next;
	uint32_t *at = &addrs[next++ % ARRAY_SIZE(addrs)];

	*at = addr_be;
	add(b, code, at, 4);
}

static inline enum drop_reason dispatch(struct bench *b, uint16_t port_id)
{
	static uint8_t bytes[2048];
	struct wr w = wr_of(bytes, sizeof(bytes));

	dhcp4_emit(&w, &b->m);
	assert_false(w.bad);
	b->reply.n_bytes = 12345; /* must be written in any case */
	enum drop_reason reason = dhcp_server_handle(
			&b->s, b->now_ms, &b->frame_src, port_id, bytes, sizeof(bytes) - w.left, &b->reply);
	if (reason)
		assert_int_equal(b->reply.n_bytes, 0);
	if (!b->reply.n_bytes)
		return reason;
	/* True of every answer. */
	assert_in_range(b->reply.n_bytes, DHCP4_MIN_BYTES, DHCP_REPLY_BYTES);
	struct rd r = rd_of(b->reply.bytes, b->reply.n_bytes);
	assert_int_equal(dhcp4_parse(&r, &b->answer), DROP_NONE);
	assert_int_equal(b->answer.op, DHCP4_OP_REPLY);
	assert_int_equal(b->answer.xid, b->m.xid);
	assert_true(mac_eq(&b->answer.chaddr, &b->m.chaddr));
	assert_int_equal(b->answer.broadcast, b->m.broadcast);
	assert_int_equal(b->answer.giaddr_be, 0);
	return reason;
}

static inline void assert_no_answer(struct bench *b, uint16_t port_id, enum drop_reason want)
{
	assert_int_equal(dispatch(b, port_id), want);
	assert_int_equal(b->reply.n_bytes, 0);
}

static inline void assert_answer(struct bench *b, uint16_t port_id, uint8_t type)
{
	uint32_t server_be = 0;

	assert_int_equal(dispatch(b, port_id), DROP_NONE);
	assert_int_not_equal(b->reply.n_bytes, 0);
	assert_int_equal(dhcp4_type(&b->answer), type);
	if (type) {
		assert_true(dhcp4_find_addr(&b->answer, DHCP4_OPT_SERVER_ID, &server_be));
		assert_int_equal(server_be, b->s.host_be);
	}
}

/* DISCOVER of guest n on a port; the offered address, 0 if none. */
static inline uint32_t discover(struct bench *b, unsigned int n, uint16_t port_id)
{
	begin(b, n, DHCP4_DISCOVER);
	enum drop_reason reason = dispatch(b, port_id);
	if (reason) {
		assert_int_equal(reason, DROP_NO_LEASE);
		return 0;
	}
	assert_int_equal(dhcp4_type(&b->answer), DHCP4_OFFER);
	return b->answer.yiaddr_be;
}

/* REQUEST in SELECTING; the type of the answer. */
static inline uint8_t request(struct bench *b, unsigned int n, uint16_t port_id, uint32_t addr_be)
{
	begin(b, n, DHCP4_REQUEST);
	add_addr(b, DHCP4_OPT_SERVER_ID, b->s.host_be);
	add_addr(b, DHCP4_OPT_REQUESTED, addr_be);
	assert_int_equal(dispatch(b, port_id), DROP_NONE);
	return dhcp4_type(&b->answer);
}

/* The whole exchange; the address. */
static inline uint32_t lease(struct bench *b, unsigned int n, uint16_t port_id)
{
	uint32_t addr_be = discover(b, n, port_id);

	if (addr_be)
		assert_int_equal(request(b, n, port_id, addr_be), DHCP4_ACK);
	return addr_be;
}

static inline void release(struct bench *b, unsigned int n, uint16_t port_id, uint32_t addr_be)
{
	begin(b, n, DHCP4_RELEASE);
	b->m.ciaddr_be = addr_be;
	add_addr(b, DHCP4_OPT_SERVER_ID, b->s.host_be);
	assert_no_answer(b, port_id, DROP_NONE);
}

static inline void assert_option(struct bench *b, uint8_t code, const void *data, size_t n)
{
	const struct dhcp4_option *o = dhcp4_find(&b->answer, code);

	assert_non_null(o);
	assert_int_equal(o->n_bytes, n);
	assert_memory_equal(o->data, data, n);
}

static inline void assert_option_addr(struct bench *b, uint8_t code, const char *want)
{
	uint32_t want_be = addr(want);

	assert_option(b, code, &want_be, 4);
}

#define DHCP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
