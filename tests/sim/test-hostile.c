/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames and events that no well-meaning guest or host produces, at the whole gateway: what must not be
 * lost, what must not be answered, and what must not be multiplied or repeated for ever. */
#include "world.h"

#include <stdarg.h>
#include <cmocka.h>

#include "eth.h"
#include "ip4.h"
#include "udp.h"

#define FRAME_MAX 9000
#define L4        (ETH_HEADER_BYTES + IP4_HEADER_BYTES)

struct packet {
	uint8_t bytes[FRAME_MAX];
	struct iovec iov;
	struct frame frame;
};

static void make(struct world *w, struct packet *p, uint8_t proto, uint32_t dst, uint8_t ttl, size_t n)
{
	struct wr x = wr_of(p->bytes, sizeof(p->bytes));
	size_t n_l4 = proto == IP_PROTO_UDP ? UDP_HEADER_BYTES + n : n;
	struct ip4 ip = {.ttl = ttl, .proto = proto, .payload_bytes = (uint16_t)n_l4, .src_be = htonl(WORLD_GUEST),
		.dst_be = htonl(dst)};

	memset(p, 0, sizeof(*p));
	eth_emit(&x, &(struct eth){.dst = {{0x52, 0x55, 0x0a, 0x00, 0x02, 0x02}}, .src = w->guests[0].peer.c.mac,
			.type = ETH_TYPE_IP4});
	ip4_emit(&x, &ip);
	if (proto == IP_PROTO_UDP) /* no checksum */
		udp_emit(&x, &(struct udp){.src_port = 9000, .dst_port = 5000, .payload_bytes = (uint16_t)n});
	p->iov = (struct iovec){p->bytes, L4 + n_l4};
	p->frame = (struct frame){.head = p->bytes, .head_bytes = L4 + n_l4, .iov = &p->iov, .n_iov = 1,
		.n_bytes = L4 + n_l4};
}

static void put(struct world *w, const struct packet *p, unsigned int n)
{
	struct frame frames[8];

	for (unsigned int i = 0; i < n; i++)
		frames[i] = p[i].frame;
	port_input(w->guests[0].mem, frames, n, loop_now_ms(w->loop));
}

/* An empty datagram is one, wherever in a batch it comes. */
static void test_empty_datagram_between(void **state)
{
	struct world *w = world_new(&(struct world_config){.seed = 1, .what = "empty datagram"});
	static const size_t sizes[] = {100, 0, 100, 100, 0, 0, 60};
	static struct packet p[ARRAY_SIZE(sizes)];

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
		make(w, &p[i], IP_PROTO_UDP, WORLD_SERVER, 64, sizes[i]);
	put(w, p, ARRAY_SIZE(sizes));
	assert_int_equal(w->host->n_datagrams, ARRAY_SIZE(sizes));
	world_free(w);
}

/* One USO frame stands for many datagrams, in few calls, but not for any number. */
static void test_uso_is_bounded(void **state)
{
	struct world *w = world_new(&(struct world_config){.seed = 1, .what = "USO"});
	static struct packet p;

	make(w, &p, IP_PROTO_UDP, WORLD_SERVER, 64, 8000);
	p.frame.offload = (struct offload){.csum_needed = true, .csum_start = L4, .csum_offset = UDP_CSUM_OFFSET,
		.gso = OFFLOAD_GSO_UDP, .header_len = L4 + UDP_HEADER_BYTES, .gso_size = 10};
	put(w, &p, 1);
	assert_int_equal(w->host->n_datagrams, 800);
	assert_in_range(w->host->n_send, 1, 800 / 64 + 1);
	p.frame.offload.gso_size = 1;
	put(w, &p, 1);
	assert_int_equal(w->host->n_datagrams, 800);
	world_free(w);
}

/* Neither IGMP nor multicast with a TTL of 1 is answered with an error; a packet to one host is. */
static void test_no_error_about_multicast(void **state)
{
	struct world *w = world_new(&(struct world_config){.seed = 1, .what = "multicast"});
	static struct packet p;
	uint64_t before = w->guests[0].mem->n.tx_frames;

	make(w, &p, 2, 0xe0000016, 1, 16);
	put(w, &p, 1);
	make(w, &p, IP_PROTO_UDP, 0xeffffffa, 1, 100);
	put(w, &p, 1);
	make(w, &p, 2, WORLD_NET + 255, 64, 16);
	put(w, &p, 1);
	assert_int_equal(w->guests[0].mem->n.tx_frames, before);
	make(w, &p, 2, WORLD_SERVER, 64, 16);
	put(w, &p, 1);
	assert_int_equal(w->guests[0].mem->n.tx_frames, before + 1);
	world_free(w);
}

/* Who connects while there is no descriptor waits; the gateway does not spin meanwhile. */
static void test_no_descriptor_for_accept(void **state)
{
	struct world *w = world_new(&(struct world_config){.seed = 1, .what = "accept"});
	struct world_conn x;

	w->host->fail_open = -EMFILE;
	world_dial(w, 0, (struct peer_tcp_config){}, (struct fake_plan){}, 1000, 1000, &x);
	uint64_t before = w->host->n_events;

	world_pass(w, 1000);
	assert_in_range(w->host->n_events - before, 1, 10);
	w->host->fail_open = 0;
	world_finish(&x, 5000);
	world_free(w);
}

/* A guest that has not been heard is asked for again, however often datagrams for it come. */
static void test_silent_guest_is_asked_for_again(void **state)
{
	struct world *w = world_new(&(struct world_config){.seed = 1, .what = "ask again"});
	struct gateway_forward f = {.fd = sock_fake_bind_udp(w->host, 5353), .proto = IPPROTO_UDP,
		.guest_be = htonl(WORLD_GUEST + 50), .guest_port = 53};
	struct ip_addr client = ip_addr_from4(htonl(WORLD_SERVER));
	union sock_addr from;

	(void)sock_addr_set(&from, &client, 4000);
	assert_int_equal(gateway_add_forward(w->gateway, &f), 0);
	uint64_t before = w->guests[0].mem->n.tx_frames;

	for (int i = 0; i < 30; i++) { /* nine seconds and more */
		sock_fake_deliver(w->host, sock_fake_get(w->host, f.fd), &from, "x", 1);
		world_pass(w, 300);
	}
	assert_in_range(w->guests[0].mem->n.tx_frames - before, 7, 10);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_datagram_between),
		cmocka_unit_test(test_uso_is_bounded),
		cmocka_unit_test(test_no_error_about_multicast),
		cmocka_unit_test(test_no_descriptor_for_accept),
		cmocka_unit_test(test_silent_guest_is_asked_for_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
