/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmocka-all.h"

#include "lan.h"
#include "mem.h"
#include "util.h"

#include "packets.h"

#define ALL_CAPS (PORT_CAP_CSUM | PORT_CAP_TSO4 | PORT_CAP_TSO6 | PORT_CAP_USO)
#define N_QUEUE  8

static const struct mac gateway = {{0x52, 0x55, 10, 0, 2, 2}};
static const struct mac broadcast = {{255, 255, 255, 255, 255, 255}};

/* The gateway's side: what it was given, and in what order among all that happened. */
static struct {
	unsigned int n_calls, n_frames, n_room, n_closed;
	unsigned int dropped[DROP_REASON_MAX];
	uint8_t order[256]; /* byte 14 of each frame, in order */
	bool final;
} up;

static struct loop *loop;
static struct lan *lan;
static struct port *ports[3];
static uint8_t bytes[PACKET_MAX_BYTES];
static bool guest_servers;

static void on_input(void *ctx, struct port *p, const struct frame *frames, unsigned int n)
{
	up.n_calls++;
	for (unsigned int i = 0; i < n; i++) {
		up.order[up.n_frames % sizeof(up.order)] = frames[i].n_bytes > 14 ? frames[i].head[14] : 0;
		up.n_frames++;
	}
}

static void on_room(void *ctx, struct port *p)
{
	up.n_room++;
}

static void on_closed(void *ctx, struct port *p, int error, bool final)
{
	up.n_closed++;
	up.final = final;
}

static void on_drop(void *ctx, struct port *p, enum drop_reason reason)
{
	up.dropped[reason]++;
}

static struct mac guest(unsigned int i)
{
	return (struct mac){{0x52, 0x54, 0, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
}

static void begin(bool isolated, unsigned int n_ports, uint32_t caps)
{
	struct lan_config c = {
		.loop = loop,
		.gateway_mac = gateway,
		.gateway_be = {htonl(0x0a000202), htonl(0x0a000203)},
		.isolated = isolated,
		.guest_servers = guest_servers,
		.input = on_input,
		.room = on_room,
		.port_closed = on_closed,
		.drop = on_drop,
	};

	memset(&up, 0, sizeof(up));
	assert_int_equal(lan_new(&c, &lan), 0);
	for (unsigned int i = 0; i < n_ports; i++) {
		assert_int_equal(mem_port_new(loop, lan_owner(lan), caps, N_QUEUE, &ports[i]), 0);
		assert_int_equal(lan_add_port(lan, ports[i]), 0);
		assert_int_equal(ports[i]->id, i);
	}
}

static size_t fill(const struct mac *dst, const struct mac *src, uint8_t mark)
{
	memset(bytes, mark, 60);
	memcpy(bytes, dst, 6);
	memcpy(bytes + 6, src, 6);
	bytes[12] = 0x88;
	bytes[13] = 0xb5;
	return 60;
}

static void say(unsigned int port, const struct mac *dst, const struct mac *src, uint8_t mark)
{
	static const struct offload none;
	size_t n = fill(dst, src, mark);

	mem_port_inject(ports[port], bytes, n, &none);
}

/* The mark of the one frame that waits at a port, or -1 if there is none. */
static int heard(unsigned int port)
{
	_cleanup_free_ struct mem_frame *f = mem_port_take(ports[port]);
	_cleanup_free_ struct mem_frame *more = mem_port_take(ports[port]);

	assert_null(more);
	return f ? f->bytes[14] : -1;
}

/* A broadcast ARP request whose sender is an address. */
static void say_arp(unsigned int port, const struct mac *src, uint32_t sender, bool tagged)
{
	static const struct offload none;
	static const uint8_t head[] = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1};
	struct mac all = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	size_t n = fill(&all, src, 0);
	uint32_t sender_be = htonl(sender);

	size_t at = 12;

	if (tagged) { /* a priority tag: guests take such a frame for one without */
		memcpy(bytes + at, "\x81\0\0", 4);
		at += 4;
	}
	memcpy(bytes + at, head, sizeof(head));
	memcpy(bytes + at + 10, src, 6);
	memcpy(bytes + at + 16, &sender_be, 4);
	mem_port_inject(ports[port], bytes, n, &none);
}

static void test_arp_for_the_gateway_is_forged(void **state)
{
	struct mac a = guest(1);

	begin(false, 2, ALL_CAPS);
	say_arp(0, &a, 0x0a000202, false);
	say_arp(0, &a, 0x0a000202, true);
	say_arp(0, &a, 0x0a000203, false);
	assert_int_equal(up.dropped[DROP_FORGED_SOURCE], 3);
	assert_int_equal(up.n_frames, 0);
	assert_int_equal(heard(1), -1);
	say_arp(0, &a, 0x0a00020f, false);
	say_arp(0, &a, 0, false); /* a probe of a guest that has no address yet */
	assert_int_equal(up.dropped[DROP_FORGED_SOURCE], 3);
	assert_int_equal(up.n_frames, 2);
	free(mem_port_take(ports[1]));
	free(mem_port_take(ports[1]));
	assert_int_equal(heard(1), -1);
	lan_free(lan);
}

/* What a guest may not say to others: ports or an ICMPv6 type, behind tags and extension headers. */
struct speech {
	const char *what;
	bool rogue;
	unsigned int n_tags;
	uint8_t version;       /* 4 or 6 */
	uint16_t from, to;     /* UDP; from 0: ICMPv6 of type `to` */
	uint16_t frag;         /* IPv4: the field; IPv6: the offset, in a header of its own, unless 0 */
	uint8_t extension;     /* IPv6: type of the headers before; 0xff: none */
	unsigned int n_extensions, extension_bytes;
	size_t cut;            /* bytes left out at the end */
};

static size_t emit_speech(const struct speech *s, const struct mac *dst, const struct mac *src)
{
	struct wr w = wr_of(bytes, sizeof(bytes));
	uint8_t proto = s->from ? 17 : 58;

	wr_copy(&w, dst, 6);
	wr_copy(&w, src, 6);
	for (unsigned int i = 0; i < s->n_tags; i++)
		wr_u32(&w, i + 1 < s->n_tags ? 0x88a80001 : 0x81000000);
	wr_u16(&w, s->version == 4 ? 0x0800 : 0x86dd);
	if (s->version == 4) {
		wr_u32(&w, 0x46000000); /* with an option */
		wr_u16(&w, 1);
		wr_u16(&w, s->frag);
		wr_u8(&w, 64);
		wr_u8(&w, proto);
		wr_u16(&w, 0);
		for (int i = 0; i < 3; i++)
			wr_u32(&w, 0x01010101);
	} else {
		wr_u32(&w, 0x60000000);
		wr_u16(&w, 0);
		wr_u8(&w, s->n_extensions ? s->extension : s->frag ? 44 : proto);
		wr_u8(&w, 255);
		for (int i = 0; i < 8; i++)
			wr_u32(&w, 0);
		for (unsigned int i = 1; i <= s->n_extensions; i++) {
			wr_u8(&w, i < s->n_extensions ? s->extension : s->frag ? 44 : proto);
			wr_u8(&w, (uint8_t)(s->extension == 51 ? s->extension_bytes / 4 - 2 : s->extension_bytes / 8 - 1));
			for (unsigned int n = 2; n < s->extension_bytes; n++)
				wr_u8(&w, 0);
		}
		if (s->frag) {
			wr_u8(&w, proto);
			wr_u8(&w, 0);
			wr_u16(&w, s->frag);
			wr_u32(&w, 1);
		}
	}
	if (s->from)
		wr_u16(&w, s->from);
	else
		wr_u8(&w, (uint8_t)s->to);
	if (s->from)
		wr_u16(&w, s->to);
	wr_u32(&w, 0x00080000);
	assert_false(w.bad);
	return sizeof(bytes) - w.left - s->cut;
}

static void test_rogue_servers(void **state)
{
	static const struct speech cases[] = {
		{"a DHCP answer", true, 0, 4, 67, 68},
		{"from another port", true, 0, 4, 1067, 68},
		{"to a relay", true, 0, 4, 67, 1068},
		{"a DHCP question", false, 0, 4, 68, 67},
		{"other UDP", false, 0, 4, 1000, 53},
		{"an answer with a priority tag", true, 1, 4, 67, 68},
		{"with two tags", true, 2, 4, 67, 68},
		{"the first fragment of one", true, 0, 4, 67, 68, .frag = 0x2000},
		{"a later one", false, 0, 4, 67, 68, .frag = 0x2001},
		{"ports that are cut off", true, 0, 4, 1000, 53, .cut = 5},
		{"a DHCPv6 answer", true, 0, 6, 547, 546},
		{"from another port", true, 0, 6, 1000, 546},
		{"a DHCPv6 question", false, 0, 6, 546, 547},
		{"a router advertisement", true, 0, 6, 0, 134},
		{"with a tag", true, 1, 6, 0, 134},
		{"a solicitation", false, 0, 6, 0, 133},
		{"a neighbour's advertisement", false, 0, 6, 0, 136},
		{"behind hop-by-hop options", true, 0, 6, 0, 134, 0, 0, 1, 8},
		{"behind destination options", true, 0, 6, 0, 134, 0, 60, 3, 16},
		{"behind an authentication header", true, 0, 6, 0, 134, 0, 51, 1, 12},
		{"a ping behind options", false, 0, 6, 0, 128, 0, 60, 3, 16},
		{"behind too many headers", true, 0, 6, 0, 128, 0, 60, 9, 8},
		{"behind a header that is too long", true, 0, 6, 0, 128, 0, 60, 1, 512},
		{"the first fragment", true, 0, 6, 0, 134, .frag = 1},
		{"a later one", false, 0, 6, 0, 134, .frag = 9},
		{"behind options, in a fragment", true, 0, 6, 547, 546, 1, 60, 1, 8},
	};
	static const struct offload none;
	struct mac a = guest(1), b = guest(2);
	unsigned int n_rogue = 0;

	begin(false, 2, ALL_CAPS);
	say(1, &gateway, &b, 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (int group = 0; group < 2; group++) {
			unsigned int n_up = up.n_frames;

			mem_port_inject(ports[0], bytes, emit_speech(&cases[i], group ? &broadcast : &b, &a), &none);
			struct mem_frame *f = mem_port_take(ports[1]);
			n_rogue += cases[i].rogue;
			if (!f != cases[i].rogue || up.dropped[DROP_ROGUE_SERVER] != n_rogue)
				fail_msg("%s: %s", cases[i].what, f ? "passed" : "dropped");
			assert_int_equal(up.n_frames - n_up, group && !cases[i].rogue);
			free(f);
		}
	/* To the gateway, which is no guest, all of it goes. */
	mem_port_inject(ports[0], bytes, emit_speech(&cases[0], &gateway, &a), &none);
	assert_int_equal(up.dropped[DROP_ROGUE_SERVER], n_rogue);
	lan_free(lan);
	guest_servers = true;
	begin(false, 2, ALL_CAPS);
	mem_port_inject(ports[0], bytes, emit_speech(&cases[0], &broadcast, &a), &none);
	guest_servers = false;
	assert_int_equal(heard(1), 0x46);
	assert_int_equal(up.dropped[DROP_ROGUE_SERVER], 0);
	lan_free(lan);
}

static void test_batch_goes_up_in_one_call(void **state)
{
	static uint8_t heads[PORT_BATCH][60];
	struct frame frames[PORT_BATCH];
	struct iovec iov[PORT_BATCH];
	struct mac a = guest(1), other = guest(9);

	begin(false, 2, ALL_CAPS);
	for (unsigned int i = 0; i < PORT_BATCH; i++) {
		(void)fill(&gateway, &a, (uint8_t)i);
		memcpy(heads[i], bytes, 60);
		iov[i] = (struct iovec){heads[i], 60};
		frames[i] = (struct frame){
			.head = heads[i], .head_bytes = 60, .iov = &iov[i], .n_iov = 1, .n_bytes = 60};
	}
	lan_owner(lan)->input(lan_owner(lan)->ctx, ports[0], frames, PORT_BATCH);
	assert_int_equal(up.n_calls, 1);
	assert_int_equal(up.n_frames, PORT_BATCH);

	/* One frame in the middle is another guest's, one is forged: the rest arrives in order. */
	memset(&up, 0, sizeof(up));
	say(1, &gateway, &other, 0);
	memcpy(heads[10], &other, 6);
	memcpy(heads[20] + 6, &gateway, 6);
	memset(&up, 0, sizeof(up));
	lan_owner(lan)->input(lan_owner(lan)->ctx, ports[0], frames, PORT_BATCH);
	assert_int_equal(up.n_calls, 3);
	assert_int_equal(up.n_frames, PORT_BATCH - 2);
	for (unsigned int i = 0, k = 0; i < PORT_BATCH; i++)
		if (i != 10 && i != 20)
			assert_int_equal(up.order[k++], i);
	assert_int_equal(heard(1), 10);
	assert_int_equal(up.dropped[DROP_FORGED_SOURCE], 1);
	lan_free(lan);
}

static void test_learns_and_forwards(void **state)
{
	struct mac a = guest(1), b = guest(2), c = guest(3);

	begin(false, 3, ALL_CAPS);
	say(0, &b, &a, 1); /* not known yet: to all, and up */
	assert_int_equal(heard(1), 1);
	assert_int_equal(heard(2), 1);
	assert_int_equal(up.n_frames, 1);
	say(1, &a, &b, 2); /* known */
	assert_int_equal(heard(0), 2);
	assert_int_equal(heard(2), -1);
	assert_int_equal(up.n_frames, 1);
	say(2, &broadcast, &c, 3);
	assert_int_equal(heard(0), 3);
	assert_int_equal(heard(1), 3);
	assert_int_equal(heard(2), -1); /* never back */
	assert_int_equal(up.n_frames, 2);
	say(2, &c, &c, 4); /* its own: nowhere */
	assert_int_equal(up.n_frames, 2);
	assert_int_equal(heard(2), -1);
	assert_int_equal(up.dropped[DROP_NOT_FOR_US], 1);
	assert_ptr_equal(lan_find_station(lan, &a), ports[0]);
	assert_ptr_equal(lan_find_station(lan, &c), ports[2]);
	lan_free(lan);
}

static void test_refused(void **state)
{
	struct mac a = guest(1), zero = {}, group = {{0x33, 0x33, 0, 0, 0, 1}};
	struct mac pause = {{0x01, 0x80, 0xc2, 0, 0, 1}};
	struct offload none = {};

	begin(false, 2, ALL_CAPS);
	say(0, &broadcast, &gateway, 1);
	say(0, &broadcast, &zero, 2);
	say(0, &broadcast, &group, 3);
	say(0, &pause, &a, 4);
	for (size_t n = 0; n < 14; n++)
		mem_port_inject(ports[0], bytes, n, &none);
	assert_int_equal(up.dropped[DROP_FORGED_SOURCE], 1);
	assert_int_equal(up.dropped[DROP_BAD_HEADER], 2);
	assert_int_equal(up.dropped[DROP_NOT_FOR_US], 1);
	assert_int_equal(up.dropped[DROP_TRUNCATED], 14);
	assert_int_equal(up.n_frames, 0);
	assert_int_equal(heard(1), -1);
	assert_null(lan_find_station(lan, &gateway));
	lan_free(lan);
}

static void test_isolated(void **state)
{
	struct mac a = guest(1), b = guest(2);
	struct iovec iov = {bytes, 60};
	struct offload none = {};

	begin(true, 2, ALL_CAPS);
	say(1, &gateway, &b, 1);
	say(0, &b, &a, 2);
	say(0, &broadcast, &a, 3);
	assert_int_equal(heard(1), -1);
	assert_int_equal(up.dropped[DROP_POLICY], 1);
	assert_int_equal(up.n_frames, 2); /* to the gateway, and the broadcast */
	(void)fill(&broadcast, &gateway, 9);
	lan_flood(lan, NULL, &iov, 1, 60, &none); /* the gateway's own reach all */
	assert_int_equal(heard(0), 9);
	assert_int_equal(heard(1), 9);
	lan_flood(lan, ports[0], &iov, 1, 60, &none);
	assert_int_equal(heard(0), -1);
	assert_int_equal(heard(1), 9);
	lan_free(lan);
}

/* Two guests of one address: the one heard last has it, and either wins it back by speaking. */
static void test_clones(void **state)
{
	struct mac a = guest(1), c = guest(3);

	begin(false, 3, ALL_CAPS);
	for (int i = 0; i < 3; i++) {
		say(0, &gateway, &a, 1);
		assert_ptr_equal(lan_find_station(lan, &a), ports[0]);
		say(2, &a, &c, 2);
		assert_int_equal(heard(0), 2);
		assert_int_equal(heard(1), -1);
		say(1, &gateway, &a, 1);
		assert_ptr_equal(lan_find_station(lan, &a), ports[1]);
		say(2, &a, &c, 3);
		assert_int_equal(heard(0), -1);
		assert_int_equal(heard(1), 3);
	}
	lan_owner(lan)->closed(lan_owner(lan)->ctx, ports[1], 0, false);
	assert_ptr_equal(lan_find_station(lan, &a), ports[0]);
	lan_free(lan);
}

static void test_many_addresses_age_only_their_own(void **state)
{
	struct mac a = guest(1);

	begin(false, 2, ALL_CAPS);
	say(0, &gateway, &a, 0);
	for (unsigned int i = 0; i < 5000; i++) {
		struct mac m = guest(100 + i);

		say(1, &gateway, &m, 0);
		assert_ptr_equal(lan_find_station(lan, &m), ports[1]);
	}
	assert_ptr_equal(lan_find_station(lan, &a), ports[0]);
	for (unsigned int i = 0; i < 5000; i++) {
		struct mac m = guest(100 + i);

		assert_ptr_equal(lan_find_station(lan, &m), i < 5000 - LAN_FDB_PER_PORT ? NULL : ports[1]);
	}
	/* Speaking again makes it the youngest. */
	struct mac oldest = guest(100 + 5000 - LAN_FDB_PER_PORT);
	say(1, &gateway, &oldest, 0);
	for (unsigned int i = 0; i < LAN_FDB_PER_PORT - 1; i++) {
		struct mac m = guest(9000 + i);

		say(1, &gateway, &m, 0);
	}
	assert_ptr_equal(lan_find_station(lan, &oldest), ports[1]);
	lan_free(lan);
}

/* A station of port 1 for guest 2 to send to. */
static size_t between(const struct packet *k, struct offload *o)
{
	struct mac b = guest(2);
	struct packet p = *k;

	say(1, &gateway, &b, 0);
	p.dst = b;
	p.src = guest(1);
	return packet_build(&p, bytes, o);
}

static void test_offload_is_remade(void **state)
{
	struct packet k = {.n_payload = 30000, .flags = TCP_ACK, .gso_size = 1000};
	struct offload o;

	begin(false, 2, ALL_CAPS);
	size_t n = between(&k, &o);
	uint16_t true_len = o.header_len;

	o.header_len = 200;
	o.csum_valid = true;
	mem_port_inject(ports[0], bytes, n, &o);
	_cleanup_free_ struct mem_frame *f = mem_port_take(ports[1]);
	assert_int_equal(f->n_bytes, n);
	assert_memory_equal(f->bytes, bytes, n); /* the head from the private copy */
	assert_int_equal(f->offload.header_len, true_len);
	assert_int_equal(f->offload.gso, OFFLOAD_GSO_TCP4);
	assert_false(f->offload.csum_valid);

	/* Lies are not passed on. */
	o.gso = OFFLOAD_GSO_UDP;
	mem_port_inject(ports[0], bytes, n, &o);
	o.gso = OFFLOAD_GSO_TCP4;
	o.csum_start += 2;
	mem_port_inject(ports[0], bytes, n, &o);
	assert_null(mem_port_take(ports[1]));
	assert_int_equal(up.dropped[DROP_BAD_OFFLOAD], 2);
	lan_free(lan);
}

static void test_to_a_guest_without_offload(void **state)
{
	struct packet k = {.n_payload = 30000, .flags = TCP_ACK, .gso_size = 10000};
	struct offload o;

	begin(false, 2, 0);
	size_t n = between(&k, &o);

	mem_port_inject(ports[0], bytes, n, &o);
	for (int i = 0; i < 3; i++) {
		_cleanup_free_ struct mem_frame *f = mem_port_take(ports[1]);

		assert_int_equal(f->n_bytes, 10054);
		(void)packet_verify(f->bytes, f->n_bytes);
	}
	assert_null(mem_port_take(ports[1]));
	lan_free(lan);
}

/* A checksum inside a tunnel, which no header of ours accounts for, is computed here. */
static void test_checksum_elsewhere(void **state)
{
	struct packet k = {.udp = true, .n_payload = 400};
	struct offload o;

	begin(false, 2, ALL_CAPS);
	size_t n = between(&k, &o);

	o.csum_start += 50;
	o.csum_offset = 16;
	mem_port_inject(ports[0], bytes, n, &o);
	_cleanup_free_ struct mem_frame *f = mem_port_take(ports[1]);
	assert_int_equal(f->n_bytes, n);
	assert_false(f->offload.csum_needed);
	size_t field = (size_t)o.csum_start + 16;
	uint32_t sum = packet_sum(f->bytes + o.csum_start, n - o.csum_start, 0);
	assert_int_equal(packet_sum(bytes + field, 2, sum), 0xffff);
	memcpy(bytes + field, f->bytes + field, 2);
	assert_memory_equal(f->bytes, bytes, n);

	o.csum_start = FRAME_HEAD_BYTES; /* too far in to be looked at */
	mem_port_inject(ports[0], bytes, n, &o);
	assert_null(mem_port_take(ports[1]));
	assert_int_equal(up.dropped[DROP_BAD_OFFLOAD], 1);
	lan_free(lan);
}

static void test_full_port(void **state)
{
	struct mac a = guest(1), b = guest(2);

	begin(false, 2, ALL_CAPS);
	say(1, &gateway, &b, 0);
	for (int i = 0; i < N_QUEUE + 3; i++)
		say(0, &b, &a, 1);
	assert_int_equal(up.dropped[DROP_NO_ROOM], 3);
	free(mem_port_take(ports[1]));
	assert_int_equal(up.n_room, 1);
	lan_free(lan);
}

static void test_ports_come_and_go(void **state)
{
	struct mac a = guest(1), b = guest(2);

	begin(false, 2, ALL_CAPS);
	assert_int_equal(lan_n_ports(lan), 2);
	for (int i = 0; i < 500; i++) {
		say(1, &gateway, &b, 0);
		assert_ptr_equal(lan_find_station(lan, &b), ports[1]);
		lan_owner(lan)->closed(lan_owner(lan)->ctx, ports[1], 0, true);
		assert_true(up.final);
		assert_int_equal(lan_n_ports(lan), 1);
		assert_null(lan_port(lan, 1));
		assert_null(lan_find_station(lan, &b));
		unsigned int before = up.n_frames;
		say(1, &gateway, &b, 0); /* it is not heard any more */
		assert_int_equal(up.n_frames, before);
		say(0, &b, &a, 0);
		assert_int_equal(heard(1), -1);
		assert_int_equal(loop_run_once(loop, 0), 0); /* freed here */
		assert_int_equal(mem_port_new(loop, lan_owner(lan), ALL_CAPS, N_QUEUE, &ports[1]), 0);
		assert_int_equal(lan_add_port(lan, ports[1]), 0);
		assert_int_equal(ports[1]->id, 1);
	}
	assert_int_equal(up.n_closed, 500);
	assert_null(lan_port(lan, PORT_MAX));
	for (unsigned int i = 2; i < PORT_MAX; i++) {
		struct port *p;

		assert_int_equal(mem_port_new(loop, lan_owner(lan), 0, 1, &p), 0);
		assert_int_equal(lan_add_port(lan, p), 0);
	}
	assert_int_equal(mem_port_new(loop, lan_owner(lan), 0, 1, &ports[2]), 0);
	assert_int_equal(lan_add_port(lan, ports[2]), -ENOSPC);
	port_free(ports[2]);
	lan_owner(lan)->closed(lan_owner(lan)->ctx, ports[1], 0, true);
	lan_free(lan); /* with one still to be freed */
}

static int setup(void **state)
{
	return loop_new(NULL, &loop);
}

static int teardown(void **state)
{
	loop_free(loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batch_goes_up_in_one_call),
		cmocka_unit_test(test_learns_and_forwards),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_arp_for_the_gateway_is_forged),
		cmocka_unit_test(test_rogue_servers),
		cmocka_unit_test(test_isolated),
		cmocka_unit_test(test_clones),
		cmocka_unit_test(test_many_addresses_age_only_their_own),
		cmocka_unit_test(test_offload_is_remade),
		cmocka_unit_test(test_to_a_guest_without_offload),
		cmocka_unit_test(test_checksum_elsewhere),
		cmocka_unit_test(test_full_port),
		cmocka_unit_test(test_ports_come_and_go),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
