/* SPDX-License-Identifier: BSD-2-Clause */
/* The DHCP server: who gets which address, for how long, and who goes first. */
#include "dhcp-bench.h"

static const struct mac broadcast_mac = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		DHCP_TEST(test_offer_ends_after_a_minute),
		DHCP_TEST(test_same_address_after_expiry_and_release),
		DHCP_TEST(test_longest_unused_goes_first),
		DHCP_TEST(test_a_bound_guest_that_starts_over_keeps_its_time),
		DHCP_TEST(test_decline_sets_the_address_aside),
		DHCP_TEST(test_a_port_cannot_starve_another),
		DHCP_TEST(test_requests_and_declines_count_too),
		DHCP_TEST(test_reserved_addresses_are_never_given_out),
		DHCP_TEST(test_messages_that_are_refused),
		DHCP_TEST(test_ports_share),
		DHCP_TEST(test_addresses_heard_elsewhere),
		DHCP_TEST(test_iterating),
		DHCP_TEST(test_finding),
		DHCP_TEST(test_adopting_a_table),
		DHCP_TEST(test_adopting_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
