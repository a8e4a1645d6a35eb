/* SPDX-License-Identifier: BSD-2-Clause */
/* Whom frames belong to: the same as their flow, for every frame of it; and what is worker 0's in any case. */
#include "cmocka-all.h"

#include "eth.h"
#include "ip4.h"
#include "steer.h"
#include "udp.h"

#define N_WORKERS 4

static const struct mac gateway_mac = {{2, 9}}, guest_mac = {{2, 1}};
static struct steer steer;

static void start(void)
{
	steer = (struct steer){.gateway_mac = gateway_mac, .dns_be = htonl(0x0a000203), .key = {{1, 2}}};
	steer.n_active[3] = N_WORKERS;
}

static unsigned int steer_packet(const struct flow_key *key, uint8_t proto, uint16_t frag, const struct mac *dst,
	uint16_t type, size_t n_head)
{
	uint8_t bytes[64] = {};
	struct wr w = wr_of(bytes, sizeof(bytes));
	struct iovec v = {bytes, sizeof(bytes)};
	struct frame f = {.head = bytes, .head_bytes = n_head, .iov = &v, .n_iov = 1, .n_bytes = sizeof(bytes)};

	eth_emit(&w, &(struct eth){.dst = *dst, .src = guest_mac, .type = type});
	ip4_emit(&w, &(struct ip4){.proto = proto, .frag = frag, .src_be = ip_addr_4(&key->guest),
		.dst_be = ip_addr_4(&key->remote), .payload_bytes = 30});
	wr_u16(&w, key->guest_port);
	wr_u16(&w, key->remote_port);
	return steer_frame(&steer, key->port_id, &f);
}

static struct flow_key key_of(uint16_t kind, uint32_t remote, uint16_t guest_port)
{
	return (struct flow_key){.guest = ip_addr_from4(htonl(0x0a00020f)), .remote = ip_addr_from4(htonl(remote)),
		.guest_port = guest_port, .remote_port = 443, .port_id = 3, .kind = kind};
}

static void test_frames_follow_their_flow(void **state)
{
	unsigned int n_of[N_WORKERS] = {};

	start();
	for (uint32_t i = 0; i < 4000; i++) {
		struct flow_key tcp = key_of(FLOW_TCP, 0x08080000 + i % 7, (uint16_t)(1024 + i));
		struct flow_key udp = key_of(FLOW_UDP, 0x08080000 + i, 5), in = udp, ping = udp;
		unsigned int owner = steer_flow(&steer, &tcp);

		assert_in_range(owner, 0, N_WORKERS - 1);
		n_of[owner]++;
		assert_int_equal(steer_packet(&tcp, IP_PROTO_TCP, IP4_DONT_FRAG, &gateway_mac, ETH_TYPE_IP4, 64), owner);
		/* UDP and ICMP between two addresses are one worker's: ports, and whether they are there, are nothing. */
		owner = steer_flow(&steer, &udp);
		in.kind = FLOW_UDP_IN;
		ping.kind = FLOW_PING;
		ping.guest_port = 77;
		assert_int_equal(steer_flow(&steer, &in), owner);
		assert_int_equal(steer_flow(&steer, &ping), owner);
		for (uint16_t port = 1000; port < 1004; port++) {
			udp.guest_port = port;
			assert_int_equal(steer_packet(&udp, IP_PROTO_UDP, 0, &gateway_mac, ETH_TYPE_IP4, 64), owner);
			assert_int_equal(
				steer_packet(&udp, IP_PROTO_UDP, IP4_MORE_FRAG, &gateway_mac, ETH_TYPE_IP4, 64), owner);
			assert_int_equal(steer_packet(&udp, IP_PROTO_UDP, 4, &gateway_mac, ETH_TYPE_IP4, 64), owner);
			assert_int_equal(steer_packet(&udp, IP_PROTO_TCP, 4, &gateway_mac, ETH_TYPE_IP4, 64), owner);
			assert_int_equal(steer_packet(&udp, IP_PROTO_ICMP, 0, &gateway_mac, ETH_TYPE_IP4, 64), owner);
		}
	}
	for (unsigned int i = 0; i < N_WORKERS; i++)
		assert_in_range(n_of[i], 800, 1200);
}

static void test_what_the_first_has(void **state)
{
	static const struct mac broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

	start();
	steer_add_first(&steer, htonl(0x0a000210));
	for (uint32_t i = 0; i < 200; i++) {
		struct flow_key k = key_of(FLOW_UDP, 0x08080000 + i, (uint16_t)i), dns = k, dhcp = k, forwarded = k;

		dns.remote = ip_addr_from4(htonl(0x0a000203));
		assert_int_equal(steer_packet(&dns, IP_PROTO_UDP, 0, &gateway_mac, ETH_TYPE_IP4, 64), 0);
		assert_int_equal(steer_packet(&dns, IP_PROTO_TCP, 0, &gateway_mac, ETH_TYPE_IP4, 64), 0);
		assert_int_equal(steer_flow(&steer, &dns), 0);
		dhcp.remote_port = 67;
		assert_int_equal(steer_packet(&dhcp, IP_PROTO_UDP, 0, &gateway_mac, ETH_TYPE_IP4, 64), 0);
		forwarded.guest = ip_addr_from4(htonl(0x0a000210));
		assert_int_equal(steer_packet(&forwarded, IP_PROTO_UDP, 7, &gateway_mac, ETH_TYPE_IP4, 64), 0);
		assert_int_equal(steer_packet(&k, IP_PROTO_TCP, 0, &broadcast, ETH_TYPE_IP4, 64), 0);
		assert_int_equal(steer_packet(&k, IP_PROTO_TCP, 0, &guest_mac, ETH_TYPE_IP4, 64), 0);
		assert_int_equal(steer_packet(&k, IP_PROTO_TCP, 0, &gateway_mac, ETH_TYPE_ARP, 64), 0);
		assert_int_equal(steer_packet(&k, IP_PROTO_TCP, 0, &gateway_mac, ETH_TYPE_IP4, i % 34), 0);
		k.port_id = 2; /* a port that one worker serves */
		assert_int_equal(steer_packet(&k, IP_PROTO_TCP, 0, &gateway_mac, ETH_TYPE_IP4, 64), 0);
		assert_int_equal(steer_flow(&steer, &k), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_follow_their_flow),
		cmocka_unit_test(test_what_the_first_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
