/* SPDX-License-Identifier: BSD-2-Clause */
/* The DHCP server: what it answers, and where to. Its leases: test-gw-dhcp-leases.c. */
#include "dhcp-bench.h"

#include <stdio.h>

static const struct mac broadcast_mac = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

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
	c.mtu_unasked = true;
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

/* The MTU is told to those who ask, unless it is for all. */
static void test_mtu(void **state)
{
	struct bench *b = *state;
	struct dhcp_config c = usual_config();

	c.mtu = 9000;
	use_config(b, &c);
	assert_int_not_equal(discover(b, 1, 0), 0);
	assert_null(dhcp4_find(&b->answer, DHCP4_OPT_MTU));
	begin(b, 1, DHCP4_DISCOVER);
	add(b, DHCP4_OPT_PARAMETERS, "\1\x1a", 2);
	assert_answer(b, 0, DHCP4_OFFER);
	assert_option(b, DHCP4_OPT_MTU, "\x23\x28", 2);
	c.mtu_unasked = true;
	use_config(b, &c);
	assert_int_not_equal(discover(b, 1, 0), 0);
	assert_option(b, DHCP4_OPT_MTU, "\x23\x28", 2);
	begin(b, 1, 0);
	assert_answer(b, 0, DHCP4_BOOTP);
	assert_option(b, DHCP4_OPT_MTU, "\x23\x28", 2);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		DHCP_TEST(test_first_guest_gets_the_first_address),
		DHCP_TEST(test_one_mac_on_two_ports_is_two_guests),
		DHCP_TEST(test_configured_options),
		DHCP_TEST(test_mtu),
		DHCP_TEST(test_restricted_network_has_no_router),
		DHCP_TEST(test_http_boot),
		DHCP_TEST(test_client_identifier_comes_back),
		DHCP_TEST(test_answers_fit_the_client),
		DHCP_TEST(test_long_search_list),
		DHCP_TEST(test_destination),
		DHCP_TEST(test_init_reboot),
		DHCP_TEST(test_renewing),
		DHCP_TEST(test_moving_frees_the_old_address),
		DHCP_TEST(test_moving_at_the_cap_of_a_port),
		DHCP_TEST(test_another_server_was_selected),
		DHCP_TEST(test_wanted_address),
		DHCP_TEST(test_inform),
		DHCP_TEST(test_bootp),
		cmocka_unit_test(test_configurations_that_are_refused),
		cmocka_unit_test(test_search_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
