/* SPDX-License-Identifier: BSD-2-Clause */
/* UDP and ping through the gateway, as far as they need the simulated host: datagrams arrive whole, once,
 * in both directions; ICMP errors of the host's network reach the guest that caused them. */
#include "world.h"

#include "csum.h"
#include "eth.h"
#include "icmp4.h"
#include "ip4.h"
#include "udp.h"

#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define DATA_MAX 2000

struct got {
	unsigned int n_udp, n_icmp;
	struct udp udp;
	struct icmp4 icmp;
	uint32_t from_be;
	size_t n_bytes;
	uint8_t data[DATA_MAX];
};

struct sent {
	struct world *w;
	unsigned int n;
	struct fake_socket *s;
	union sock_addr to;
	size_t n_bytes;
	uint8_t data[DATA_MAX];
	bool echo;
	int error; /* answered with an ICMP error in place of a datagram */
	uint8_t type, code;
	uint32_t offender_be;
};

static void on_packet(void *ctx, const struct mem_frame *f)
{
	struct got *got = ctx;
	struct rd r = rd_of(f->bytes, f->n_bytes);
	struct eth eth;
	struct ip4 ip;

	assert_int_equal(eth_parse(&r, &eth), 0);
	assert_int_equal(ip4_parse(&r, r.left, &ip), 0);
	got->from_be = ip.src_be;
	if (ip.proto == IP_PROTO_UDP) {
		struct ip_addr src = ip_addr_from4(ip.src_be), dst = ip_addr_from4(ip.dst_be);
		uint64_t sum = csum_pseudo(&src, &dst, IP_PROTO_UDP, ip.payload_bytes);

		if (!f->offload.csum_needed)
			assert_int_equal(csum_fold(csum_add(r.p, ip.payload_bytes, sum)), 0);
		assert_int_equal(udp_parse(&r, ip.payload_bytes, &got->udp), 0);
		got->n_udp++;
	} else {
		assert_int_equal(csum_fold(csum_add(r.p, r.left, 0)), 0);
		assert_int_equal(icmp4_parse(&r, &got->icmp), 0);
		got->n_icmp++;
	}
	got->n_bytes = r.left;
	assert_in_range(r.left, 0, DATA_MAX);
	memcpy(got->data, r.p, r.left);
}

static void on_datagram(
	void *ctx, struct fake_socket *s, const union sock_addr *to, const void *data, size_t n)
{
	struct sent *sent = ctx;

	sent->n++;
	sent->s = s;
	sent->to = *to;
	sent->n_bytes = MIN(n, (size_t)DATA_MAX);
	memcpy(sent->data, data, sent->n_bytes);
	if (sent->error)
		sock_fake_icmp_error(
			sent->w->host, s, sent->error, sent->type, sent->code, sent->offender_be, data, n);
	else if (sent->echo)
		sock_fake_deliver(sent->w->host, s, to, data, n);
}

static struct world *make(struct got *got, struct sent *sent)
{
	struct world *w =
		world_new(&(struct world_config){.seed = 600, .what = "datagrams", .n_flows_max = 1000});

	*got = (struct got){};
	*sent = (struct sent){.w = w};
	w->guests[0].peer.other = on_packet;
	w->guests[0].peer.other_ctx = got;
	w->host->c.datagram = on_datagram;
	w->host->c.datagram_ctx = sent;
	return w;
}

static void send_udp(struct world *w, uint16_t from, uint32_t to_be, uint16_t to_port, const void *data,
	size_t n, uint8_t ttl)
{
	uint8_t l4[UDP_HEADER_BYTES + DATA_MAX];
	struct wr wr = wr_of(l4, sizeof(l4));
	struct ip_addr src = ip_addr_from4(w->guests[0].peer.c.ip_be), dst = ip_addr_from4(to_be);

	udp_emit(&wr, &(struct udp){.src_port = from, .dst_port = to_port, .payload_bytes = (uint16_t)n});
	wr_copy(&wr, data, n);
	uint16_t check = csum_fold(csum_add(l4, UDP_HEADER_BYTES + n,
		csum_pseudo(&src, &dst, IP_PROTO_UDP, (uint32_t)(UDP_HEADER_BYTES + n))));
	memcpy(l4 + UDP_CSUM_OFFSET, &check, 2);
	peer_send_ip(&w->guests[0].peer, IP_PROTO_UDP, to_be, l4, UDP_HEADER_BYTES + n, ttl);
}

static void test_udp_echo(void **state)
{
	struct got got;
	struct sent sent;
	struct world *w = make(&got, &sent);
	uint8_t data[1400];

	sent.echo = true;
	for (size_t n = 0; n <= sizeof(data); n += 100) {
		stream_fill(n, 0, data, n);
		send_udp(w, 5353, htonl(WORLD_SERVER), 9, data, n, 64);
		world_pass(w, 10);
		assert_int_equal(sent.n, n / 100 + 1);
		assert_int_equal(got.n_udp, n / 100 + 1);
		assert_int_equal(sent.n_bytes, n);
		assert_memory_equal(sent.data, data, n);
		assert_int_equal(sent.to.in4.sin_addr.s_addr, htonl(WORLD_SERVER));
		assert_int_equal(ntohs(sent.to.in4.sin_port), 9);
		assert_int_equal(got.n_bytes, n);
		assert_memory_equal(got.data, data, n);
		assert_int_equal(got.from_be, htonl(WORLD_SERVER));
		assert_int_equal(got.udp.src_port, 9);
		assert_int_equal(got.udp.dst_port, 5353);
	}
	world_expect_idle(w);
	world_free(w);
}

/* The host (.2) is its loopback. */
static void test_udp_loopback(void **state)
{
	struct got got;
	struct sent sent;
	struct world *w = make(&got, &sent);

	sent.echo = true;
	send_udp(w, 5353, htonl(WORLD_HOST), 7, "abc", 3, 64);
	world_pass(w, 10);
	assert_int_equal(sent.to.in4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	assert_int_equal(got.from_be, htonl(WORLD_HOST));
	world_free(w);
}

static void test_udp_error(void **state)
{
	struct got got;
	struct sent sent;
	struct world *w = make(&got, &sent);

	sent.error = ECONNREFUSED;
	sent.type = ICMP4_UNREACHABLE;
	sent.code = ICMP4_UNREACH_PORT;
	sent.offender_be = htonl(WORLD_SERVER);
	send_udp(w, 5353, htonl(WORLD_SERVER), 9, "abc", 3, 64);
	world_pass(w, 10);
	assert_int_equal(got.n_icmp, 1);
	assert_int_equal(got.icmp.type, ICMP4_UNREACHABLE);
	assert_int_equal(got.icmp.code, ICMP4_UNREACH_PORT);
	assert_int_equal(got.from_be, htonl(WORLD_SERVER));
	/* The flow goes on. */
	sent.error = 0;
	sent.echo = true;
	send_udp(w, 5353, htonl(WORLD_SERVER), 9, "abc", 3, 64);
	world_pass(w, 10);
	assert_int_equal(got.n_udp, 1);
	world_expect_idle(w);
	world_free(w);
}

/* Traceroute: the hops to live are passed on, a hop less, and who says that they ended is passed back. */
static void test_udp_ttl(void **state)
{
	struct got got;
	struct sent sent;
	struct world *w = make(&got, &sent);

	sent.error = EHOSTUNREACH;
	sent.type = ICMP4_TIME_EXCEEDED;
	sent.offender_be = htonl(0xc6336405);
	send_udp(w, 33434, htonl(WORLD_SERVER), 33435, "abc", 3, 5);
	world_pass(w, 10);
	assert_int_equal(sent.s->ttl, 4);
	assert_int_equal(got.n_icmp, 1);
	assert_int_equal(got.icmp.type, ICMP4_TIME_EXCEEDED);
	assert_int_equal(got.from_be, htonl(0xc6336405));
	/* With one hop it ends at the gateway. */
	send_udp(w, 33434, htonl(WORLD_SERVER), 33436, "abc", 3, 1);
	world_pass(w, 10);
	assert_int_equal(sent.n, 1);
	assert_int_equal(got.n_icmp, 2);
	assert_int_equal(got.from_be, htonl(WORLD_HOST));
	world_free(w);
}

static void test_ping(void **state)
{
	struct got got;
	struct sent sent;
	struct world *w = make(&got, &sent);
	uint8_t l4[ICMP4_HEADER_BYTES + 56];
	struct wr wr = wr_of(l4, sizeof(l4));
	uint8_t data[56];

	stream_fill(1, 0, data, sizeof(data));
	icmp4_emit(&wr, &(struct icmp4){.type = ICMP4_ECHO_REQUEST, .rest = 0x12340007}, data, sizeof(data));
	memcpy(l4 + ICMP4_HEADER_BYTES, data, sizeof(data));
	peer_send_ip(&w->guests[0].peer, IP_PROTO_ICMP, htonl(WORLD_SERVER), l4, sizeof(l4), 64);
	world_pass(w, 10);
	assert_int_equal(sent.n, 1);
	assert_int_equal(sent.n_bytes, sizeof(l4));
	/* The kernel puts its own identifier in; the gateway the guest's back. */
	sent.data[0] = ICMP4_ECHO_REPLY;
	sent.data[4] = 0x77;
	sock_fake_deliver(w->host, sent.s, &sent.to, sent.data, sent.n_bytes);
	world_pass(w, 10);
	assert_int_equal(got.n_icmp, 1);
	assert_int_equal(got.icmp.type, ICMP4_ECHO_REPLY);
	assert_int_equal(got.icmp.rest, 0x12340007);
	assert_int_equal(got.n_bytes, sizeof(data));
	assert_memory_equal(got.data, data, sizeof(data));
	world_expect_idle(w);
	world_free(w);
}

/* A guest that opens flow after flow reaches its cap and no further; the oldest idle one goes. */
static void test_udp_cap(void **state)
{
	struct got got;
	struct sent sent;
	struct world *w = make(&got, &sent);

	for (uint16_t i = 0; i < 2000; i++) {
		send_udp(w, (uint16_t)(10000 + i), htonl(WORLD_SERVER), 9, "abc", 3, 64);
		world_pass(w, 0);
	}
	assert_int_equal(sent.n, 2000);
	assert_in_range(w->host->n_open_max, 64, 1000);
	world_expect_idle(w);
	world_free(w);
}

static int add_udp_forward(struct world *w, uint16_t host_port, uint16_t guest_port)
{
	int fd = sock_fake_bind_udp(w->host, host_port);

	assert_int_equal(gateway_add_forward(w->gateway, &(struct gateway_forward){
				 .fd = fd, .proto = IPPROTO_UDP, .guest_port = guest_port}), 0);
	return fd;
}

static void from_client(struct world *w, int fd, uint32_t client, uint16_t port, const char *text)
{
	struct ip_addr a = ip_addr_from4(htonl(client));
	union sock_addr from;

	(void)sock_addr_set(&from, &a, port);
	sock_fake_deliver(w->host, sock_fake_get(w->host, fd), &from, text, strlen(text));
	world_pass(w, 10);
}

/* Clients from outside fill their own share: a flow that the guest began stays. */
static void test_forward_flood(void **state)
{
	struct got got;
	struct sent sent;
	struct world *w = make(&got, &sent);
	int fd = add_udp_forward(w, 5000, 53);

	send_udp(w, 4000, htonl(WORLD_SERVER), 9, "mine", 4, 64);
	world_pass(w, 10);
	struct fake_socket *mine = sent.s;
	for (uint16_t i = 0; i < 1500; i++)
		from_client(w, fd, 0xc6336500u + i, 7777, "flood");
	assert_int_equal(got.n_udp, 1500);
	sock_fake_deliver(w->host, mine, &sent.to, "answer", 6);
	world_pass(w, 10);
	assert_int_equal(got.n_udp, 1501);
	assert_int_equal(got.udp.dst_port, 4000);
	world_pass(w, 200000);
	world_free(w);
}

/* One that is removed while it has clients: they are forgotten, those of others and the guest's own flows are
 * not, and its place is used again. */
static void test_forward_removed(void **state)
{
	struct got got;
	struct sent sent;
	struct world *w = make(&got, &sent);
	struct gateway_forward f = {.proto = IPPROTO_UDP, .guest_port = 53};
	struct flow_info rows[8];
	uint64_t at = 0;
	int fds[2];

	for (uint16_t i = 0; i < 2; i++) {
		f.id = (uint16_t)(7 + i);
		f.fd = fds[i] = sock_fake_bind_udp(w->host, (uint16_t)(5000 + i));
		assert_int_equal(gateway_add_forward(w->gateway, &f), 0);
	}
	send_udp(w, 4000, htonl(WORLD_SERVER), 9, "mine", 4, 64);
	world_pass(w, 10);
	from_client(w, fds[0], 0xc6336501u, 7777, "a");
	from_client(w, fds[0], 0xc6336502u, 7777, "b");
	from_client(w, fds[1], 0xc6336503u, 7777, "c");
	unsigned int n_open = w->host->n_open;
	assert_int_equal(gateway_flows(&w->gateway, 1, &at, rows, 3), 3);
	assert_true(at != GATEWAY_FLOWS_END);
	assert_int_equal(gateway_flows(&w->gateway, 1, &at, rows + 3, 3), 1);
	assert_true(at == GATEWAY_FLOWS_END);
	assert_int_equal(rows[0].src_port, 4000);
	assert_int_equal(rows[0].expires_s, 29);
	assert_int_equal(rows[3].src_port, 5001);
	assert_int_equal(rows[3].dst_port, 53);

	assert_int_equal(gateway_del_forward(w->gateway, 7), 0);
	assert_int_equal(gateway_del_forward(w->gateway, 7), -ENOENT);
	world_pass(w, 10);
	assert_int_equal(w->host->n_open, n_open - 1);
	at = 0;
	assert_int_equal(gateway_flows(&w->gateway, 1, &at, rows, 8), 2);
	unsigned int n_udp = got.n_udp;
	from_client(w, fds[1], 0xc6336503u, 7777, "d");
	assert_int_equal(got.n_udp, n_udp + 1);
	f.id = 9;
	f.fd = sock_fake_bind_udp(w->host, 5000);
	assert_int_equal(gateway_add_forward(w->gateway, &f), 0);
	from_client(w, f.fd, 0xc6336501u, 7777, "e");
	assert_int_equal(got.n_udp, n_udp + 2);
	world_pass(w, 200000);
	at = 0;
	assert_int_equal(gateway_flows(&w->gateway, 1, &at, rows, 8), 0);
	world_free(w);
}

/* A guest that goes on with a flow it has, and sends no ARP, keeps its address: others behind its port do not
 * displace it, nor may another port take it over. */
static void test_neighbour_in_use(void **state)
{
	struct got got, other;
	struct sent sent;
	struct world *w = world_new(
		&(struct world_config){.seed = 601, .what = "neighbours", .n_flows_max = 1000, .n_guests = 2});
	struct peer *mine = &w->guests[0].peer, *rogue = &w->guests[1].peer;
	uint32_t own_be = mine->c.ip_be;

	got = other = (struct got){};
	sent = (struct sent){.w = w};
	mine->other = rogue->other = on_packet;
	mine->other_ctx = &got;
	rogue->other_ctx = &other;
	w->host->c.datagram = on_datagram;
	w->host->c.datagram_ctx = &sent;
	int fd = add_udp_forward(w, 5000, 53);

	for (uint32_t i = 0; i < 100; i++) {
		mine->c.ip_be = htonl(WORLD_NET + 100 + i);
		peer_arp(mine);
		mine->c.ip_be = own_be;
		send_udp(w, 4000, htonl(WORLD_SERVER), 9, "on", 2, 64);
		world_pass(w, 1000);
	}
	rogue->c.ip_be = own_be;
	peer_arp(rogue);
	world_pass(w, 10);
	from_client(w, fd, 0xc6336505, 7777, "hello");
	assert_int_equal(got.n_udp, 1);
	assert_int_equal(other.n_udp, 0);
	world_pass(w, 200000);
	world_free(w);
}

/* One client at two forwards of one port, and two clients that are one address to the guest: each answer
 * leaves by the way that its question came. */
static void test_forwards_share_a_port(void **state)
{
	struct got got;
	struct sent sent;
	struct world *w = make(&got, &sent);
	int a = add_udp_forward(w, 5000, 53), b = add_udp_forward(w, 5001, 53);
	const struct {
		int fd;
		uint32_t client;
	} way[] = {{a, 0xc6336505}, {b, 0xc6336505}, {a, 0x7f000001}, {a, 0x7f000002}, {b, 0x7f000002}};
	uint16_t seen[ARRAY_SIZE(way)];
	uint32_t seen_be[ARRAY_SIZE(way)];

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(way); i++) {
			from_client(w, way[i].fd, way[i].client, 7777, "question");
			if (round == 0) {
				seen[i] = got.udp.src_port;
				seen_be[i] = got.from_be;
			}
			assert_int_equal(got.udp.src_port, seen[i]);
			assert_int_equal(got.from_be, seen_be[i]);
			assert_int_equal(got.udp.dst_port, 53);
		}
		for (size_t i = 0; i < ARRAY_SIZE(way); i++) {
			send_udp(w, 53, seen_be[i], seen[i], "answer", 6, 64);
			world_pass(w, 10);
			assert_int_equal(sent.s->fd, way[i].fd);
			assert_int_equal(sent.to.in4.sin_addr.s_addr, htonl(way[i].client));
			assert_int_equal(ntohs(sent.to.in4.sin_port), 7777);
		}
	}
	assert_int_equal(got.n_udp, 3 * ARRAY_SIZE(way));
	assert_int_equal(seen[0], 7777);
	assert_int_equal(got.n_icmp, 0);
	world_pass(w, 200000);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_udp_echo),
		cmocka_unit_test(test_udp_loopback),
		cmocka_unit_test(test_udp_error),
		cmocka_unit_test(test_udp_ttl),
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_udp_cap),
		cmocka_unit_test(test_forward_flood),
		cmocka_unit_test(test_forward_removed),
		cmocka_unit_test(test_neighbour_in_use),
		cmocka_unit_test(test_forwards_share_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
