/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "gw_dhcp.h"

#define MINUTE_MS 60000ull
#define LEASE_MS  (DHCP_LEASE_S * 1000ull)

static const struct mac broadcast_mac = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

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

static uint32_t addr(const char *text)
{
	return inet_addr(text);
}

static struct mac mac_of(unsigned int n)
{
	return (struct mac){{0x52, 0x54, 0, 0, (uint8_t)(n >> 8), (uint8_t)n}};
}

static struct dhcp_config usual_config(void)
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

static int setup(void **state)
{
	struct dhcp_config c = usual_config();
	struct bench *b = calloc(1, sizeof(*b));

	if (!b || dhcp_server_init(&b->s, &c) < 0)
		return -1;
	b->now_ms = 5000;
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void use_config(struct bench *b, const struct dhcp_config *c)
{
	assert_int_equal(dhcp_server_init(&b->s, c), 0);
}

/* A message of guest n to be added to and sent. type is 0 for BOOTP. */
static void begin(struct bench *b, unsigned int n, uint8_t type)
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

static void add(struct bench *b, uint8_t code, const void *data, size_t n)
{
	b->m.options[b->m.n_options++] = (struct dhcp4_option){code, (uint8_t)n, data};
}

/* The address stays in a table of the test's own: options are views. */
static void add_addr(struct bench *b, uint8_t code, uint32_t addr_be)
{
	static uint32_t addrs[16];
	static unsigned int next;
	uint32_t *at = &addrs[next++ % ARRAY_SIZE(addrs)];

	*at = addr_be;
	add(b, code, at, 4);
}

static enum drop_reason dispatch(struct bench *b, uint16_t port_id)
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

static void assert_no_answer(struct bench *b, uint16_t port_id, enum drop_reason want)
{
	assert_int_equal(dispatch(b, port_id), want);
	assert_int_equal(b->reply.n_bytes, 0);
}

static void assert_answer(struct bench *b, uint16_t port_id, uint8_t type)
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
static uint32_t discover(struct bench *b, unsigned int n, uint16_t port_id)
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
static uint8_t request(struct bench *b, unsigned int n, uint16_t port_id, uint32_t addr_be)
{
	begin(b, n, DHCP4_REQUEST);
	add_addr(b, DHCP4_OPT_SERVER_ID, b->s.host_be);
	add_addr(b, DHCP4_OPT_REQUESTED, addr_be);
	assert_int_equal(dispatch(b, port_id), DROP_NONE);
	return dhcp4_type(&b->answer);
}

/* The whole exchange; the address. */
static uint32_t lease(struct bench *b, unsigned int n, uint16_t port_id)
{
	uint32_t addr_be = discover(b, n, port_id);

	if (addr_be)
		assert_int_equal(request(b, n, port_id, addr_be), DHCP4_ACK);
	return addr_be;
}

static void release(struct bench *b, unsigned int n, uint16_t port_id, uint32_t addr_be)
{
	begin(b, n, DHCP4_RELEASE);
	b->m.ciaddr_be = addr_be;
	add_addr(b, DHCP4_OPT_SERVER_ID, b->s.host_be);
	assert_no_answer(b, port_id, DROP_NONE);
}

static void assert_option(struct bench *b, uint8_t code, const void *data, size_t n)
{
	const struct dhcp4_option *o = dhcp4_find(&b->answer, code);

	assert_non_null(o);
	assert_int_equal(o->n_bytes, n);
	assert_memory_equal(o->data, data, n);
}

static void assert_option_addr(struct bench *b, uint8_t code, const char *want)
{
	uint32_t want_be = addr(want);

	assert_option(b, code, &want_be, 4);
}

/* --- The usual exchange ---------------------------------------------------------------------------- */

static void test_first_guest_gets_the_first_address(void **state)
{
	struct bench *b = *state;

	assert_int_equal(discover(b, 1, 0), addr("10.0.2.15"));
	assert_int_equal(b->answer.siaddr_be, addr("10.0.2.2"));
	assert_int_equal(b->answer.ciaddr_be, 0);
	assert_option_addr(b, DHCP4_OPT_MASK, "255.255.255.0");
	assert_option_addr(b, DHCP4_OPT_ROUTER, "10.0.2.2");
	assert_option_addr(b, DHCP4_OPT_DNS, "10.0.2.3");
	assert_option(b, DHCP4_OPT_LEASE_TIME, "\x00\x01\x51\x80", 4);
	assert_null(dhcp4_find(&b->answer, DHCP4_OPT_MTU));
	assert_null(dhcp4_find(&b->answer, DHCP4_OPT_HOSTNAME));
	assert_null(dhcp4_find(&b->answer, DHCP4_OPT_DOMAIN));
	assert_null(dhcp4_find(&b->answer, DHCP4_OPT_SEARCH));
	assert_int_equal(request(b, 1, 0, addr("10.0.2.15")), DHCP4_ACK);
	assert_int_equal(b->answer.yiaddr_be, addr("10.0.2.15"));
	assert_option(b, DHCP4_OPT_LEASE_TIME, "\x00\x01\x51\x80", 4);
	assert_int_equal(lease(b, 2, 0), addr("10.0.2.16"));
	/* Asking again changes nothing. */
	assert_int_equal(lease(b, 1, 0), addr("10.0.2.15"));
}

static void test_one_mac_on_two_ports_is_two_guests(void **state)
{
	struct bench *b = *state;
	struct mac mac = mac_of(1), found;
	uint32_t addr_be;
	uint16_t port;

	assert_int_equal(lease(b, 1, 0), addr("10.0.2.15"));
	assert_int_equal(lease(b, 1, 1), addr("10.0.2.16"));
	assert_int_equal(lease(b, 1, 0), addr("10.0.2.15"));
	assert_true(dhcp_server_find_addr(&b->s, &mac, 1, &addr_be));
	assert_int_equal(addr_be, addr("10.0.2.16"));
	assert_true(dhcp_server_find_mac(&b->s, addr("10.0.2.15"), &found, &port));
	assert_true(mac_eq(&found, &mac));
	assert_int_equal(port, 0);
	/* One can not renew or release the other's. */
	begin(b, 1, DHCP4_RELEASE);
	b->m.ciaddr_be = addr("10.0.2.15");
	assert_no_answer(b, 1, DROP_NOT_FOR_US);
	assert_int_equal(request(b, 1, 1, addr("10.0.2.15")), DHCP4_NAK);
}

static void test_configured_options(void **state)
{
	static const char search[2][DHCP_NAME_BYTES] = {"example.org", "a.b."};
	struct bench *b = *state;
	struct dhcp_config c = usual_config();

	c.mtu = 9000;
	c.hostname = "guest";
	c.domainname = "example.org";
	c.bootfile = "pxelinux.0";
	c.tftp_server_name = "boot";
	c.search = search;
	c.n_search = 2;
	use_config(b, &c);
	assert_int_not_equal(discover(b, 1, 0), 0);
	assert_option(b, DHCP4_OPT_MTU, "\x23\x28", 2);
	assert_option(b, DHCP4_OPT_HOSTNAME, "guest", 5);
	assert_option(b, DHCP4_OPT_DOMAIN, "example.org", 11);
	assert_option(b, DHCP4_OPT_TFTP_SERVER, "boot", 4);
	assert_option(b, DHCP4_OPT_SEARCH, "\7example\3org\0\1a\1b", 18);
	assert_string_equal((char *)b->answer.file, "pxelinux.0");
	assert_null(dhcp4_find(&b->answer, DHCP4_OPT_VENDOR_CLASS));
	/* The boot file is in the option as well for those who ask. */
	assert_null(dhcp4_find(&b->answer, DHCP4_OPT_BOOTFILE));
	begin(b, 1, DHCP4_DISCOVER);
	add(b, DHCP4_OPT_PARAMETERS, "\1\3\x43", 3);
	assert_answer(b, 0, DHCP4_OFFER);
	assert_option(b, DHCP4_OPT_BOOTFILE, "pxelinux.0", 10);
}

static void test_restricted_network_has_no_router(void **state)
{
	struct bench *b = *state;
	struct dhcp_config c = usual_config();

	c.restricted = true;
	c.dns_be = 0;
	use_config(b, &c);
	assert_int_not_equal(discover(b, 1, 0), 0);
	assert_null(dhcp4_find(&b->answer, DHCP4_OPT_ROUTER));
	assert_null(dhcp4_find(&b->answer, DHCP4_OPT_DNS));
	assert_option_addr(b, DHCP4_OPT_MASK, "255.255.255.0");
}

static void test_http_boot(void **state)
{
	struct bench *b = *state;
	struct dhcp_config c = usual_config();
	char url[200];

	(void)snprintf(url, sizeof(url), "http://10.0.2.2/%0150d.efi", 0);
	c.bootfile = url;
	use_config(b, &c);
	assert_int_not_equal(discover(b, 1, 0), 0);
	assert_option(b, DHCP4_OPT_VENDOR_CLASS, "HTTPClient", 10);
	/* Too long for the field: in the option, asked for or not. */
	assert_int_equal(b->answer.file[0], 0);
	assert_option(b, DHCP4_OPT_BOOTFILE, url, strlen(url));
}

static void test_client_identifier_comes_back(void **state)
{
	struct bench *b = *state;

	begin(b, 1, DHCP4_DISCOVER);
	add(b, DHCP4_OPT_CLIENT_ID, "\xff\1\2\3\4\0\1", 7);
	assert_answer(b, 0, DHCP4_OFFER);
	assert_option(b, DHCP4_OPT_CLIENT_ID, "\xff\1\2\3\4\0\1", 7);
	/* The lease is the MAC's all the same. */
	begin(b, 1, DHCP4_DISCOVER);
	add(b, DHCP4_OPT_CLIENT_ID, "\xff\7\7\7\7", 5);
	assert_answer(b, 0, DHCP4_OFFER);
	assert_int_equal(b->answer.yiaddr_be, addr("10.0.2.15"));
	begin(b, 1, DHCP4_REQUEST);
	add(b, DHCP4_OPT_CLIENT_ID, "\1\2", 2);
	add_addr(b, DHCP4_OPT_REQUESTED, addr("10.9.9.9"));
	assert_answer(b, 0, DHCP4_NAK);
	assert_option(b, DHCP4_OPT_CLIENT_ID, "\1\2", 2);
}

/* --- Size of answers ------------------------------------------------------------------------------- */

static void test_answers_fit_the_client(void **state)
{
	static const struct {
		uint16_t size;  /* option 57; 0: none */
		uint16_t mtu;   /* of the link */
		size_t allowed;
	} cases[] = {
		{0, 0, 548}, {0, 9000, 548}, {100, 0, 548}, {576, 0, 548}, {600, 0, 572},
		{1500, 0, 1472}, {65535, 0, 1472}, {1500, 1400, 1372}, {1500, 65520, 1472},
	};
	static char search[8][DHCP_NAME_BYTES];
	struct bench *b = *state;
	struct dhcp_config c = usual_config();
	char name[DHCP_NAME_BYTES];
	size_t longest = 0;

	memset(name, 'h', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	for (int i = 0; i < 8; i++)
		(void)snprintf(search[i], sizeof(search[i]), "%050d.example.org", i);
	c.hostname = c.domainname = c.bootfile = c.tftp_server_name = name;
	/* What all of it takes lies between the largest two of the sizes. */
	c.search = search;
	c.n_search = 2;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint8_t size[] = {(uint8_t)(cases[i].size >> 8), (uint8_t)cases[i].size};

		c.mtu = cases[i].mtu;
		use_config(b, &c);
		begin(b, 1, DHCP4_DISCOVER);
		if (cases[i].size)
			add(b, DHCP4_OPT_MAX_SIZE, size, 2);
		assert_answer(b, 0, DHCP4_OFFER);
		assert_in_range(b->reply.n_bytes, DHCP4_MIN_BYTES, cases[i].allowed);
		longest = MAX(longest, b->reply.n_bytes);
		/* What a guest cannot do without is always in. */
		assert_option_addr(b, DHCP4_OPT_MASK, "255.255.255.0");
		assert_option_addr(b, DHCP4_OPT_ROUTER, "10.0.2.2");
		assert_option_addr(b, DHCP4_OPT_DNS, "10.0.2.3");
		assert_non_null(dhcp4_find(&b->answer, DHCP4_OPT_LEASE_TIME));
	}
	assert_true(longest > 1372);
	/* The longest identifier does not push them out either. */
	begin(b, 1, DHCP4_DISCOVER);
	add(b, DHCP4_OPT_CLIENT_ID, name, 255);
	assert_answer(b, 0, DHCP4_OFFER);
	assert_option(b, DHCP4_OPT_CLIENT_ID, name, 255);
	assert_option_addr(b, DHCP4_OPT_DNS, "10.0.2.3");
}

/* A search list of more than one option's worth arrives whole (RFC 3396). */
static void test_long_search_list(void **state)
{
	static char search[7][DHCP_NAME_BYTES];
	struct bench *b = *state;
	struct dhcp_config c = usual_config();
	uint8_t joined[DHCP_SEARCH_BYTES];
	size_t n = 0;

	for (int i = 0; i < 7; i++)
		(void)snprintf(search[i], sizeof(search[i]), "%050d.example.org", i);
	c.search = search;
	c.n_search = 7;
	use_config(b, &c);
	begin(b, 1, DHCP4_DISCOVER);
	add(b, DHCP4_OPT_MAX_SIZE, "\x05\xdc", 2);
	assert_answer(b, 0, DHCP4_OFFER);
	for (unsigned int i = 0; i < b->answer.n_options; i++) {
		const struct dhcp4_option *o = &b->answer.options[i];

		if (o->code == DHCP4_OPT_SEARCH) {
			memcpy(joined + n, o->data, o->n_bytes);
			n += o->n_bytes;
		}
	}
	assert_int_equal(n, 7 * (1 + 50 + 1 + 7 + 1 + 3 + 1));
	assert_int_equal(joined[0], 50);
	assert_int_equal(joined[n - 1], 0);
	assert_memory_equal(joined + n - 13, "\7example\3org", 13);
	/* A client that takes 548 bytes gets all of it or nothing. */
	assert_int_not_equal(discover(b, 1, 0), 0);
	assert_null(dhcp4_find(&b->answer, DHCP4_OPT_SEARCH));
}

/* --- Where answers go ------------------------------------------------------------------------------ */

static void assert_sent_to(const struct bench *b, const struct mac *mac, uint32_t addr_be)
{
	assert_true(mac_eq(&b->reply.dst_mac, mac));
	assert_int_equal(b->reply.dst_be, addr_be);
}

static void test_destination(void **state)
{
	struct bench *b = *state;
	struct mac mac = mac_of(1);

	assert_int_not_equal(discover(b, 1, 0), 0);
	assert_sent_to(b, &mac, addr("10.0.2.15"));
	begin(b, 1, DHCP4_DISCOVER);
	b->m.broadcast = true;
	assert_answer(b, 0, DHCP4_OFFER);
	assert_sent_to(b, &broadcast_mac, INADDR_BROADCAST);
	/* A frame that came by way of another station: its IP answer is flooded within the port. */
	begin(b, 1, DHCP4_DISCOVER);
	b->frame_src = mac_of(9);
	assert_answer(b, 0, DHCP4_OFFER);
	assert_sent_to(b, &broadcast_mac, addr("10.0.2.15"));
	/* RENEWING: the client has its address, whatever its flag says. */
	assert_int_equal(request(b, 1, 0, addr("10.0.2.15")), DHCP4_ACK);
	begin(b, 1, DHCP4_REQUEST);
	b->m.ciaddr_be = addr("10.0.2.15");
	b->m.broadcast = true;
	assert_answer(b, 0, DHCP4_ACK);
	assert_sent_to(b, &mac, addr("10.0.2.15"));
	assert_int_equal(b->answer.ciaddr_be, addr("10.0.2.15"));
	/* NAK: it has none. */
	begin(b, 1, DHCP4_REQUEST);
	b->m.ciaddr_be = addr("10.0.2.99");
	assert_answer(b, 0, DHCP4_NAK);
	assert_sent_to(b, &broadcast_mac, INADDR_BROADCAST);
	/* A DISCOVER may not name a ciaddr, and does not send the offer anywhere by it. */
	begin(b, 1, DHCP4_DISCOVER);
	b->m.ciaddr_be = addr("10.0.2.77");
	assert_answer(b, 0, DHCP4_OFFER);
	assert_sent_to(b, &mac, addr("10.0.2.15"));
	assert_int_equal(b->answer.ciaddr_be, 0);
}

/* --- The states of a client (RFC 2131, 4.3.2) ------------------------------------------------------ */

static void test_init_reboot(void **state)
{
	struct bench *b = *state;

	/* Unknown to us, but the address is free: the guest outlived our table. */
	begin(b, 1, DHCP4_REQUEST);
	add_addr(b, DHCP4_OPT_REQUESTED, addr("10.0.2.20"));
	assert_answer(b, 0, DHCP4_ACK);
	assert_int_equal(b->answer.yiaddr_be, addr("10.0.2.20"));
	assert_int_equal(discover(b, 1, 0), addr("10.0.2.20"));
	/* Another's. */
	begin(b, 2, DHCP4_REQUEST);
	add_addr(b, DHCP4_OPT_REQUESTED, addr("10.0.2.20"));
	assert_answer(b, 0, DHCP4_NAK);
	assert_non_null(dhcp4_find(&b->answer, DHCP4_OPT_MESSAGE));
	assert_int_equal(b->answer.yiaddr_be, 0);
	assert_int_equal(b->answer.siaddr_be, 0);
	/* Of another network; the host's; the name server's; outside the pool. */
	static const char *const wrong[] = {"192.168.1.5", "10.0.2.2", "10.0.2.3", "10.0.2.31", "10.0.2.14"};
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		begin(b, 3, DHCP4_REQUEST);
		add_addr(b, DHCP4_OPT_REQUESTED, addr(wrong[i]));
		assert_answer(b, 0, DHCP4_NAK);
	}
}

static void test_renewing(void **state)
{
	struct bench *b = *state;
	struct dhcp_lease_info info;
	unsigned int cursor = 0;

	assert_int_equal(lease(b, 1, 0), addr("10.0.2.15"));
	b->now_ms += LEASE_MS / 2;
	begin(b, 1, DHCP4_REQUEST);
	b->m.ciaddr_be = addr("10.0.2.15");
	assert_answer(b, 0, DHCP4_ACK);
	assert_true(dhcp_server_next(&b->s, b->now_ms, &cursor, &info));
	assert_int_equal(info.left_ms, LEASE_MS);
	/* A client that names both, as some do: ciaddr counts unless it is SELECTING. */
	begin(b, 1, DHCP4_REQUEST);
	b->m.ciaddr_be = addr("10.0.2.15");
	add_addr(b, DHCP4_OPT_REQUESTED, addr("10.0.2.16"));
	assert_answer(b, 0, DHCP4_ACK);
	assert_int_equal(b->answer.yiaddr_be, addr("10.0.2.15"));
	/* Neither. */
	begin(b, 1, DHCP4_REQUEST);
	assert_no_answer(b, 0, DROP_BAD_HEADER);
}

static void test_moving_frees_the_old_address(void **state)
{
	struct bench *b = *state;

	assert_int_equal(lease(b, 1, 0), addr("10.0.2.15"));
	assert_int_equal(request(b, 1, 0, addr("10.0.2.20")), DHCP4_ACK);
	assert_int_equal(lease(b, 2, 0), addr("10.0.2.15"));
	assert_int_equal(discover(b, 1, 0), addr("10.0.2.20"));
}

static void test_moving_at_the_cap_of_a_port(void **state)
{
	struct bench *b = *state;
	struct dhcp_config c = usual_config();

	c.n_port_leases = 1;
	use_config(b, &c);
	assert_int_equal(lease(b, 1, 0), addr("10.0.2.15"));
	assert_int_equal(request(b, 1, 0, addr("10.0.2.20")), DHCP4_ACK);
	assert_int_equal(request(b, 2, 0, addr("10.0.2.15")), DHCP4_NAK);
}

static void test_another_server_was_selected(void **state)
{
	struct bench *b = *state;

	assert_int_equal(discover(b, 1, 0), addr("10.0.2.15"));
	begin(b, 1, DHCP4_REQUEST);
	add_addr(b, DHCP4_OPT_SERVER_ID, addr("10.0.2.200"));
	add_addr(b, DHCP4_OPT_REQUESTED, addr("10.0.2.15"));
	assert_no_answer(b, 0, DROP_NOT_FOR_US);
	/* The offer is withdrawn at once. */
	begin(b, 2, DHCP4_DISCOVER);
	add_addr(b, DHCP4_OPT_REQUESTED, addr("10.0.2.15"));
	assert_answer(b, 0, DHCP4_OFFER);
	assert_int_equal(b->answer.yiaddr_be, addr("10.0.2.15"));
}

static void test_wanted_address(void **state)
{
	struct bench *b = *state;

	begin(b, 1, DHCP4_DISCOVER);
	add_addr(b, DHCP4_OPT_REQUESTED, addr("10.0.2.18"));
	assert_answer(b, 0, DHCP4_OFFER);
	assert_int_equal(b->answer.yiaddr_be, addr("10.0.2.18"));
	/* Taken, or not of the pool: another one, without fuss. */
	static const char *const wrong[] = {
		"10.0.2.18", "10.0.2.2", "0.0.0.0", "172.16.0.1", "255.255.255.255"};
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		begin(b, 2, DHCP4_DISCOVER);
		add_addr(b, DHCP4_OPT_REQUESTED, addr(wrong[i]));
		assert_answer(b, 0, DHCP4_OFFER);
		assert_int_equal(b->answer.yiaddr_be, addr("10.0.2.15"));
	}
}

static void test_inform(void **state)
{
	struct bench *b = *state;
	struct mac mac = mac_of(1);
	struct dhcp_lease_info info;
	unsigned int cursor = 0;

	begin(b, 1, DHCP4_INFORM);
	b->m.ciaddr_be = addr("10.0.2.100");
	assert_answer(b, 0, DHCP4_ACK);
	assert_sent_to(b, &mac, addr("10.0.2.100"));
	assert_int_equal(b->answer.yiaddr_be, 0);
	assert_null(dhcp4_find(&b->answer, DHCP4_OPT_LEASE_TIME));
	assert_option_addr(b, DHCP4_OPT_DNS, "10.0.2.3");
	assert_false(dhcp_server_next(&b->s, b->now_ms, &cursor, &info));
	begin(b, 1, DHCP4_INFORM);
	assert_no_answer(b, 0, DROP_BAD_HEADER);
	begin(b, 1, DHCP4_INFORM);
	b->m.ciaddr_be = addr("192.0.2.1");
	assert_no_answer(b, 0, DROP_NOT_FOR_US);
}

/* --- Plain BOOTP ----------------------------------------------------------------------------------- */

static void test_bootp(void **state)
{
	struct bench *b = *state;
	struct dhcp_config c = usual_config();
	char name[100] = {};

	memset(name, 'h', sizeof(name) - 1);
	c.hostname = name;
	c.bootfile = "kernel";
	use_config(b, &c);
	begin(b, 1, DHCP4_BOOTP);
	assert_answer(b, 0, DHCP4_BOOTP);
	assert_int_equal(b->answer.yiaddr_be, addr("10.0.2.15"));
	assert_int_equal(b->answer.siaddr_be, addr("10.0.2.2"));
	assert_string_equal((char *)b->answer.file, "kernel");
	assert_option_addr(b, DHCP4_OPT_MASK, "255.255.255.0");
	assert_option_addr(b, DHCP4_OPT_ROUTER, "10.0.2.2");
	assert_null(dhcp4_find(&b->answer, DHCP4_OPT_LEASE_TIME));
	assert_null(dhcp4_find(&b->answer, DHCP4_OPT_SERVER_ID));
	/* It may have room for no more than it sent. */
	assert_int_equal(b->reply.n_bytes, DHCP4_MIN_BYTES);
	/* RFC 951's own kind, without the cookie. */
	begin(b, 1, DHCP4_BOOTP);
	b->m.has_cookie = false;
	assert_answer(b, 0, DHCP4_BOOTP);
	assert_int_equal(b->answer.yiaddr_be, addr("10.0.2.15"));
	/* One that knows its address wants the rest. */
	begin(b, 1, DHCP4_BOOTP);
	b->m.ciaddr_be = addr("10.0.2.50");
	assert_answer(b, 0, DHCP4_BOOTP);
	assert_int_equal(b->answer.yiaddr_be, 0);
	assert_int_equal(b->reply.dst_be, addr("10.0.2.50"));
	assert_int_equal(lease(b, 2, 0), addr("10.0.2.16"));
}

/* --- Time ------------------------------------------------------------------------------------------ */

static void test_offer_ends_after_a_minute(void **state)
{
	struct bench *b = *state;
	struct dhcp_config c = usual_config();

	c.n_leases = 1;
	use_config(b, &c);
	assert_int_equal(discover(b, 1, 0), addr("10.0.2.15"));
	b->now_ms += DHCP_OFFER_MS - 1;
	assert_int_equal(discover(b, 2, 0), 0);
	b->now_ms += 1;
	assert_int_equal(discover(b, 2, 0), addr("10.0.2.15"));
	assert_int_equal(request(b, 1, 0, addr("10.0.2.15")), DHCP4_NAK);
	assert_int_equal(request(b, 2, 0, addr("10.0.2.15")), DHCP4_ACK);
}

static void test_same_address_after_expiry_and_release(void **state)
{
	struct bench *b = *state;

	assert_int_equal(lease(b, 1, 0), addr("10.0.2.15"));
	assert_int_equal(lease(b, 2, 0), addr("10.0.2.16"));
	release(b, 1, 0, addr("10.0.2.15"));
	b->now_ms += 3 * LEASE_MS;
	/* A newcomer leaves the remembered ones alone while others were never used. */
	assert_int_equal(lease(b, 3, 0), addr("10.0.2.17"));
	assert_int_equal(lease(b, 2, 0), addr("10.0.2.16"));
	assert_int_equal(lease(b, 1, 0), addr("10.0.2.15"));
}

static void test_longest_unused_goes_first(void **state)
{
	struct bench *b = *state;
	struct dhcp_config c = usual_config();

	c.n_leases = 3;
	use_config(b, &c);
	for (unsigned int n = 1; n <= 3; n++)
		assert_int_not_equal(lease(b, n, 0), 0);
	assert_int_equal(discover(b, 4, 0), 0);
	b->now_ms += MINUTE_MS;
	release(b, 2, 0, addr("10.0.2.16"));
	b->now_ms += MINUTE_MS;
	release(b, 1, 0, addr("10.0.2.15"));
	assert_int_equal(lease(b, 4, 0), addr("10.0.2.16"));
	assert_int_equal(lease(b, 5, 0), addr("10.0.2.15"));
	assert_int_equal(lease(b, 6, 0), 0);
	/* The first owners start over. */
	assert_int_equal(request(b, 1, 0, addr("10.0.2.15")), DHCP4_NAK);
	b->now_ms += LEASE_MS;
	assert_int_equal(lease(b, 6, 0), addr("10.0.2.17"));
}

static void test_a_bound_guest_that_starts_over_keeps_its_time(void **state)
{
	struct bench *b = *state;
	struct dhcp_lease_info info;
	unsigned int cursor = 0;

	assert_int_equal(lease(b, 1, 0), addr("10.0.2.15"));
	assert_int_equal(discover(b, 1, 0), addr("10.0.2.15"));
	b->now_ms += 2 * DHCP_OFFER_MS;
	assert_true(dhcp_server_next(&b->s, b->now_ms, &cursor, &info));
	assert_int_equal(info.state, DHCP_LEASE_BOUND);
	assert_int_equal(info.left_ms, LEASE_MS - 2 * DHCP_OFFER_MS);
}

static void test_decline_sets_the_address_aside(void **state)
{
	struct bench *b = *state;
	struct mac mac;
	uint16_t port;

	assert_int_equal(lease(b, 1, 0), addr("10.0.2.15"));
	/* Nobody else may decline it. */
	begin(b, 2, DHCP4_DECLINE);
	add_addr(b, DHCP4_OPT_REQUESTED, addr("10.0.2.15"));
	assert_no_answer(b, 0, DROP_NOT_FOR_US);
	begin(b, 1, DHCP4_DECLINE);
	add_addr(b, DHCP4_OPT_SERVER_ID, addr("10.0.2.2"));
	add_addr(b, DHCP4_OPT_REQUESTED, addr("10.0.2.15"));
	assert_no_answer(b, 0, DROP_NONE);
	assert_false(dhcp_server_find_mac(&b->s, addr("10.0.2.15"), &mac, &port));
	assert_int_equal(discover(b, 1, 0), addr("10.0.2.16"));
	assert_int_equal(request(b, 3, 0, addr("10.0.2.15")), DHCP4_NAK);
	b->now_ms += DHCP_DECLINE_MS;
	assert_int_equal(request(b, 3, 0, addr("10.0.2.15")), DHCP4_ACK);
}

/* --- Guests as attackers --------------------------------------------------------------------------- */

static void test_a_port_cannot_starve_another(void **state)
{
	struct bench *b = *state;
	struct dhcp_config c = usual_config();
	unsigned int n = 0;

	c.n_port_leases = 8;
	use_config(b, &c);
	for (unsigned int i = 0; i < 1000; i++)
		n += discover(b, 100 + i, 0) != 0;
	assert_int_equal(n, 8);
	for (unsigned int i = 1; i <= 8; i++)
		assert_int_not_equal(lease(b, i, 1), 0);
	/* The cap is of live leases: the flood's offers end. */
	b->now_ms += DHCP_OFFER_MS;
	assert_int_not_equal(lease(b, 99, 0), 0);
}

static void test_requests_and_declines_count_too(void **state)
{
	struct bench *b = *state;
	struct dhcp_config c = usual_config();

	c.n_port_leases = 4;
	use_config(b, &c);
	for (unsigned int i = 0; i < 4; i++) {
		uint32_t addr_be = lease(b, 10 + i, 0);
		assert_int_not_equal(addr_be, 0);
		begin(b, 10 + i, DHCP4_DECLINE);
		add_addr(b, DHCP4_OPT_REQUESTED, addr_be);
		assert_no_answer(b, 0, DROP_NONE);
	}
	assert_int_equal(discover(b, 20, 0), 0);
	assert_int_equal(request(b, 20, 0, addr("10.0.2.25")), DHCP4_NAK);
	begin(b, 20, DHCP4_BOOTP);
	assert_no_answer(b, 0, DROP_NO_LEASE);
	assert_int_equal(lease(b, 20, 1), addr("10.0.2.19"));
}

static void test_reserved_addresses_are_never_given_out(void **state)
{
	struct bench *b = *state;
	struct dhcp_config c = usual_config();

	c.net_be = addr("10.0.2.240");
	c.mask_be = addr("255.255.255.240");
	c.dhcp_start_be = addr("10.0.2.241");
	c.host_be = addr("10.0.2.242");
	c.dns_be = addr("10.0.2.254");
	c.n_leases = 256;
	use_config(b, &c);
	bool seen[256] = {};
	unsigned int n = 0;
	for (unsigned int i = 0; i < 300; i++) {
		uint32_t addr_be = lease(b, i, 0);

		if (!addr_be)
			continue;
		assert_false(seen[ntohl(addr_be) & 0xff]);
		seen[ntohl(addr_be) & 0xff] = true;
		n++;
	}
	/* 14 hosts of a /28, without the router and the name server. */
	assert_int_equal(n, 12);
	assert_false(seen[240] || seen[242] || seen[254] || seen[255]);
}

static void test_messages_that_are_refused(void **state)
{
	struct bench *b = *state;

	begin(b, 1, DHCP4_DISCOVER);
	b->m.giaddr_be = addr("10.0.2.200");
	assert_no_answer(b, 0, DROP_NOT_FOR_US);
	begin(b, 1, DHCP4_DISCOVER);
	b->m.op = DHCP4_OP_REPLY;
	assert_no_answer(b, 0, DROP_BAD_HEADER);
	begin(b, 1, DHCP4_DISCOVER);
	b->m.chaddr = broadcast_mac;
	assert_no_answer(b, 0, DROP_BAD_HEADER);
	begin(b, 1, DHCP4_DISCOVER);
	b->m.chaddr = (struct mac){};
	assert_no_answer(b, 0, DROP_BAD_HEADER);
	begin(b, 1, DHCP4_OFFER);
	assert_no_answer(b, 0, DROP_NOT_FOR_US);
	begin(b, 1, 200);
	assert_no_answer(b, 0, DROP_NOT_FOR_US);
	begin(b, 1, DHCP4_RELEASE);
	b->m.ciaddr_be = addr("10.0.2.15");
	assert_no_answer(b, 0, DROP_NOT_FOR_US);
	/* None of them took an address. */
	assert_int_equal(lease(b, 7, 0), addr("10.0.2.15"));
}

/* --- Showing and handing over ---------------------------------------------------------------------- */

static void test_iterating(void **state)
{
	struct bench *b = *state;
	struct dhcp_lease_info info;
	unsigned int cursor = 0;

	assert_int_equal(lease(b, 1, 3), addr("10.0.2.15"));
	assert_int_equal(discover(b, 2, 4), addr("10.0.2.16"));
	b->now_ms += 1000;
	assert_true(dhcp_server_next(&b->s, b->now_ms, &cursor, &info));
	assert_int_equal(info.addr_be, addr("10.0.2.15"));
	assert_int_equal(info.port_id, 3);
	assert_int_equal(info.state, DHCP_LEASE_BOUND);
	assert_int_equal(info.left_ms, LEASE_MS - 1000);
	assert_true(dhcp_server_next(&b->s, b->now_ms, &cursor, &info));
	assert_int_equal(info.addr_be, addr("10.0.2.16"));
	assert_int_equal(info.mac.b[5], 2);
	assert_int_equal(info.state, DHCP_LEASE_OFFERED);
	assert_false(dhcp_server_next(&b->s, b->now_ms, &cursor, &info));
	cursor = 0;
	assert_true(dhcp_server_next(&b->s, b->now_ms + LEASE_MS, &cursor, &info));
	assert_int_equal(info.state, DHCP_LEASE_RELEASED);
	assert_int_equal(info.left_ms, 0);
}

static void test_finding(void **state)
{
	struct bench *b = *state;
	struct mac mac = mac_of(1), found;
	uint32_t addr_be;
	uint16_t port;

	/* An offer is nobody's address yet. */
	assert_int_equal(discover(b, 1, 0), addr("10.0.2.15"));
	assert_false(dhcp_server_find_addr(&b->s, &mac, 0, &addr_be));
	assert_false(dhcp_server_find_mac(&b->s, addr("10.0.2.15"), &found, &port));
	assert_int_equal(request(b, 1, 0, addr("10.0.2.15")), DHCP4_ACK);
	assert_true(dhcp_server_find_addr(&b->s, &mac, 0, &addr_be));
	assert_false(dhcp_server_find_addr(&b->s, &mac, 1, &addr_be));
	assert_true(dhcp_server_find_mac(&b->s, addr("10.0.2.15"), &found, &port));
	assert_false(dhcp_server_find_mac(&b->s, addr("10.0.2.2"), &found, &port));
	assert_false(dhcp_server_find_mac(&b->s, 0, &found, &port));
	release(b, 1, 0, addr("10.0.2.15"));
	assert_true(dhcp_server_find_mac(&b->s, addr("10.0.2.15"), &found, &port));
}

static void test_adopting_a_table(void **state)
{
	struct bench *b = *state;
	struct dhcp_config c = usual_config();
	struct dhcp_table table;

	c.n_leases = 40;
	use_config(b, &c);
	assert_int_equal(lease(b, 1, 0), addr("10.0.2.15"));
	assert_int_equal(lease(b, 2, 1), addr("10.0.2.16"));
	assert_int_equal(lease(b, 3, 1), addr("10.0.2.17"));
	release(b, 2, 1, addr("10.0.2.16"));
	assert_int_equal(request(b, 4, 1, addr("10.0.2.54")), DHCP4_ACK);
	table = b->s.table;
	/* The new server's pool begins one address later. */
	c.dhcp_start_be = addr("10.0.2.16");
	use_config(b, &c);
	b->now_ms += 1000;
	assert_int_equal(dhcp_server_adopt(&b->s, b->now_ms, &table), 3);
	assert_int_equal(discover(b, 2, 1), addr("10.0.2.16"));
	assert_int_equal(discover(b, 3, 1), addr("10.0.2.17"));
	assert_int_equal(discover(b, 4, 1), addr("10.0.2.54"));
	assert_int_equal(discover(b, 1, 0), addr("10.0.2.18"));
}

static void test_adopting_nonsense(void **state)
{
	struct bench *b = *state;
	struct dhcp_table table = {.dhcp_start_be = addr("10.0.2.2"), .n_leases = UINT32_MAX};

	/* One owner everywhere, beyond any time, on the router's address too; and states that are none. */
	for (unsigned int i = 0; i < DHCP_LEASES_MAX; i++)
		table.lease[i] = (struct dhcp_lease){.expires_ms = UINT64_MAX, .used_ms = UINT64_MAX,
				.mac = mac_of(1), .state = i < 20 ? DHCP_LEASE_BOUND : (uint8_t)i};
	assert_int_equal(dhcp_server_adopt(&b->s, b->now_ms, &table), 1);
	assert_int_equal(discover(b, 1, 0), addr("10.0.2.15"));
	struct dhcp_lease_info info;
	unsigned int cursor = 0;
	assert_true(dhcp_server_next(&b->s, b->now_ms, &cursor, &info));
	assert_int_equal(info.left_ms, LEASE_MS);
	assert_false(dhcp_server_next(&b->s, b->now_ms, &cursor, &info));
	/* No owner at all. */
	memset(&table.lease, 0, sizeof(table.lease));
	for (unsigned int i = 0; i < DHCP_LEASES_MAX; i++)
		table.lease[i].state = DHCP_LEASE_OFFERED;
	assert_int_equal(dhcp_server_adopt(&b->s, b->now_ms, &table), 0);
}

/* --- Configuration --------------------------------------------------------------------------------- */

static void test_configurations_that_are_refused(void **state)
{
	struct dhcp_server s;
	struct dhcp_config c;
	char text[DHCP_NAME_BYTES + 1] = {};

#define REFUSED(error, change)                                                                               \
	c = usual_config();                                                                                  \
	change;                                                                                              \
	assert_int_equal(dhcp_server_init(&s, &c), error)

	REFUSED(-EINVAL, c.mask_be = addr("255.0.255.0"));
	REFUSED(-EINVAL, c.mask_be = addr("255.255.255.254"));
	REFUSED(-EINVAL, c.net_be = addr("10.0.2.1"));
	REFUSED(-EINVAL, c.host_be = addr("10.0.3.2"));
	REFUSED(-EINVAL, c.dhcp_start_be = addr("10.0.3.2"));
	REFUSED(-EINVAL, c.dhcp_start_be = addr("10.0.2.0"));
	REFUSED(-EINVAL, c.dhcp_start_be = addr("10.0.2.255"));
	REFUSED(-EINVAL, c.n_leases = 0);
	REFUSED(-EINVAL, c.n_leases = DHCP_LEASES_MAX + 1);
	memset(text, 'x', DHCP_NAME_BYTES);
	REFUSED(-E2BIG, c.hostname = text);
	REFUSED(-E2BIG, c.bootfile = text);
#undef REFUSED
	c = usual_config();
	text[DHCP_NAME_BYTES - 1] = 0;
	c.hostname = text;
	assert_int_equal(dhcp_server_init(&s, &c), 0);
}

static void test_search_names(void **state)
{
	static const char wrong[][DHCP_NAME_BYTES] = {"", ".", "a..b", ".a",
			"0123456789012345678901234567890123456789012345678901234567890123.org"};
	static char names[8][DHCP_NAME_BYTES];
	struct dhcp_server s;
	struct dhcp_config c = usual_config();

	c.n_search = 1;
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		c.search = &wrong[i];
		assert_int_equal(dhcp_server_init(&s, &c), -EINVAL);
	}
	/* 255 characters in dots and labels can not be encoded in 255 bytes (RFC 1035, 2.3.4). */
	for (unsigned int i = 0; i < 255; i++)
		names[0][i] = i % 2 ? '.' : 'a';
	c.search = names;
	assert_int_equal(dhcp_server_init(&s, &c), -EINVAL);
	for (int i = 0; i < 8; i++)
		(void)snprintf(names[i], sizeof(names[i]), "%060d.%010d", i, i);
	c.n_search = 8;
	assert_int_equal(dhcp_server_init(&s, &c), -E2BIG);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Two ports share the pool evenly: the second is served whatever the first has asked for. */
static void test_ports_share(void **state)
{
	struct bench *b = *state;
	unsigned int n_given = 0;

	dhcp_server_share(&b->s, 2);
	for (unsigned int n = 1; n <= 40; n++)
		n_given += discover(b, n, 0) != 0;
	assert_int_equal(n_given, b->s.table.n_leases / 2);
	assert_int_not_equal(discover(b, 100, 1), 0);
}

static bool first_two_are_taken(void *ctx, uint32_t addr_be, const struct mac *mac, uint16_t port_id)
{
	return port_id != *(uint16_t *)ctx && (addr_be == addr("10.0.2.15") || addr_be == addr("10.0.2.16"));
}

/* An address that another port's station uses without a lease goes out last, and not never. */
static void test_addresses_heard_elsewhere(void **state)
{
	struct bench *b = *state;
	uint16_t their_port = 5;

	b->s.taken = first_two_are_taken;
	b->s.ctx = &their_port;
	assert_int_equal(discover(b, 1, 0), addr("10.0.2.17"));
	assert_int_equal(discover(b, 2, 5), addr("10.0.2.15")); /* their own port's */
	for (unsigned int n = 3; n < 16; n++)
		assert_int_not_equal(discover(b, n, 0), addr("10.0.2.16"));
	assert_int_equal(discover(b, 16, 0), addr("10.0.2.16"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_addresses_heard_elsewhere),
		T(test_ports_share),
		T(test_first_guest_gets_the_first_address),
		T(test_one_mac_on_two_ports_is_two_guests),
		T(test_configured_options),
		T(test_restricted_network_has_no_router),
		T(test_http_boot),
		T(test_client_identifier_comes_back),
		T(test_answers_fit_the_client),
		T(test_long_search_list),
		T(test_destination),
		T(test_init_reboot),
		T(test_renewing),
		T(test_moving_frees_the_old_address),
		T(test_moving_at_the_cap_of_a_port),
		T(test_another_server_was_selected),
		T(test_wanted_address),
		T(test_inform),
		T(test_bootp),
		T(test_offer_ends_after_a_minute),
		T(test_same_address_after_expiry_and_release),
		T(test_longest_unused_goes_first),
		T(test_a_bound_guest_that_starts_over_keeps_its_time),
		T(test_decline_sets_the_address_aside),
		T(test_a_port_cannot_starve_another),
		T(test_requests_and_declines_count_too),
		T(test_reserved_addresses_are_never_given_out),
		T(test_messages_that_are_refused),
		T(test_iterating),
		T(test_finding),
		T(test_adopting_a_table),
		T(test_adopting_nonsense),
		cmocka_unit_test(test_configurations_that_are_refused),
		cmocka_unit_test(test_search_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
