/* SPDX-License-Identifier: BSD-2-Clause */
/* Several workers on one vhost-user port, in threads as they are: a guest's driver of the test's own moves busy
 * connections between its queues, while the front end changes memory and queues under them. What the guest
 * says to a socket of this host, and hears from it, must be whole and in order, and nothing may be dropped. */
#include "cmocka-all.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "csum.h"
#include "eth.h"
#include "front-end.h"
#include "ip4.h"
#include "tcp.h"
#include "udp.h"
#include "vhost_mem.h"
#include "workers.h"

#define N_PAIRS       2
#define N_BUFFERS     128 /* of a queue: the longest super-frame is never cut for want of them */
#define BUFFER_BYTES  2048
#define MSS           1200
#define WINDOW        60000 /* that the guest offers */
#define CONNS_MAX     32
#define TIMEOUT_MS    60000
#define AWAY_MS       150 /* before any timer of the gateway's */
#define FORWARD_PORT  7 /* of the guest */
#define SERVICE_BYTES 4000

static const struct mac guest_mac = {{2, 0, 0, 0, 0, 1}}, gateway_mac = {{0x52, 0x55, 10, 0, 2, 2}};

static struct workers *ws;
static struct front_end fe;
static struct port *ports[N_PAIRS];
static unsigned int seed;

/* A connection of the guest's, and this host's end of it. Data of either direction is a pattern of its place. */
struct conn {
	uint32_t remote_be;
	uint16_t local_port, remote_port;
	uint32_t iss, irs, snd_una, snd_nxt, edge, rcv_nxt; /* sequence numbers as they are on the wire */
	bool open, ack_due, inbound, fragments;
	int fd;          /* the host's end */
	uint64_t n_read; /* by the host, all as it should be */
	uint64_t n_written, n_heard;
	unsigned int queue_heard; /* the pair on which data last came */
};
static struct conn conns[CONNS_MAX];
static unsigned int n_conns;
static uint64_t n_datagrams_heard;
/* A guest that was away for long finds what a timer sent again meanwhile, up to where its buffers ended. */
static uint64_t looked_ms, gaps_until_ms;

static uint8_t pattern(uint64_t place, unsigned int which)
{
	return (uint8_t)(place * 167 + (place >> 9) + which * 29);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* The back end. */

static void step(void)
{
	assert_int_equal(loop_run_once(workers_loop(ws, 0), 0), 0);
}

static void step_twice(void)
{
	step();
	step();
}

static void make_workers(uint32_t n_flows_max)
{
	struct workers_config c = {
		.n = N_PAIRS,
		.gateway = {
			.net_be = htonl(0x0a000200),
			.mask_be = htonl(0xffffff00),
			.host_be = htonl(0x0a000202),
			.dns_be = htonl(0x0a000203),
			.dhcp_start_be = htonl(0x0a00020f),
			.mac = gateway_mac,
			.mtu = 1500,
			.n_flows_max = n_flows_max,
		},
	};

	assert_int_equal(vhost_mem_guard(), 0);
	assert_int_equal(siphash_key_init(&c.gateway.key), 0);
	assert_int_equal(workers_new(&c, &ws), 0);
	assert_int_equal(workers_start(ws), 0);
}

static void make_port(int fd)
{
	struct vhost_user_workers workers;
	struct vhost_user_config c = {.name = "guest", .listen_fd = -1, .connected_fd = fd, .workers = &workers};

	workers_of_port(ws, &workers);
	c.loop = workers.loops[0];
	c.owner = workers.owners[0];
	assert_int_equal(vhost_user_port_new(&c, &ports[0]), 0);
	assert_int_equal(lan_add_port(gateway_lan(workers_gateways(ws)[0]), ports[0]), 0);
	for (unsigned int i = 1; i < N_PAIRS; i++) {
		ports[i] = vhost_user_port_of_pair(ports[0], i);
		assert_int_equal(
			lan_add_port_as(gateway_lan(workers_gateways(ws)[i]), ports[i], ports[0]->id), 0);
		ports[i]->lead = ports[0];
	}
}

static const char *stats(void)
{
	static char text[8192];

	workers_pause(ws);
	assert_in_range(gateway_stats(workers_gateways(ws), N_PAIRS, text, sizeof(text)), 1, sizeof(text) - 1);
	workers_resume(ws);
	return text;
}

/* The guest. */

static uint32_t buffer_at(unsigned int ring, unsigned int i)
{
	return BUFFERS_AT + (ring * N_BUFFERS + i % N_BUFFERS) * BUFFER_BYTES;
}

static unsigned int n_sent[RINGS_MAX], n_back[RINGS_MAX]; /* buffers made available, and returned */

static void kick(unsigned int ring)
{
	uint64_t one = 1;

	if (driver_wants_kick(&fe.rings[ring]))
		assert_int_equal(write(fe.kick[ring], &one, sizeof(one)), sizeof(one));
}

static void offer_buffers(unsigned int ring)
{
	for (; n_sent[ring] - n_back[ring] < N_BUFFERS; n_sent[ring]++) {
		struct piece p = {buffer_at(ring, n_sent[ring]), BUFFER_BYTES};

		assert_true(driver_add(&fe.rings[ring], &p, 1, true) >= 0);
	}
	kick(ring);
}

static void start(uint64_t features, uint32_t n_flows_max)
{
	int fds[2];

	memset(conns, 0, sizeof(conns));
	memset(n_sent, 0, sizeof(n_sent));
	memset(n_back, 0, sizeof(n_back));
	n_conns = 0;
	n_datagrams_heard = 0;
	looked_ms = gaps_until_ms = 0;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	make_workers(n_flows_max);
	make_port(fds[0]);
	workers_resume(ws);
	front_end_new(&fe, fds[1]);
	fe.n_rings = 2 * N_PAIRS;
	fe.features = F_BASE | BIT(VHOST_F_GUEST_CSUM) | BIT(VHOST_F_CSUM) | BIT(VHOST_F_MQ) | features;
	say_hello(&fe, step_twice);
	assert_true(fe.protocol & BIT(VHOST_PROTOCOL_MQ));
	say_driver_ok(&fe, step_twice);
	for (unsigned int ring = 0; ring < fe.n_rings; ring += 2)
		offer_buffers(ring);
}

static void finish(void)
{
	for (unsigned int i = 0; i < n_conns; i++)
		util_close(&conns[i].fd);
	front_end_done(&fe);
	step_twice();
	step_twice();
	assert_int_equal(lan_n_ports(gateway_lan(workers_gateways(ws)[0])), 0);
	ws = workers_free(ws);
}

/* Of the guest's queue, all has come back. */
static bool is_drained(unsigned int queue)
{
	return n_sent[2 * queue + 1] == n_back[2 * queue + 1];
}

static unsigned int n_free(unsigned int queue)
{
	return N_BUFFERS - (n_sent[2 * queue + 1] - n_back[2 * queue + 1]);
}

static void send_frame(unsigned int queue, const struct offload *o, const uint8_t *frame, size_t n)
{
	unsigned int ring = 2 * queue + 1;
	uint32_t at = buffer_at(ring, n_sent[ring]);
	struct wr w = wr_of(fe.mem.at + at, VHOST_HEADER_BYTES);
	struct piece pieces[2] = {{at, VHOST_HEADER_BYTES}, {at + VHOST_HEADER_BYTES, (uint32_t)n}};

	assert_true(n_free(queue) && n + VHOST_HEADER_BYTES <= BUFFER_BYTES);
	offload_emit(&w, o);
	memcpy(fe.mem.at + at + VHOST_HEADER_BYTES, frame, n);
	assert_true(driver_add(&fe.rings[ring], pieces, 2, false) >= 0);
	n_sent[ring]++;
	kick(ring);
}

static size_t put_headers(uint8_t *frame, const struct ip4 *ip)
{
	struct wr w = wr_of(frame, 64);

	eth_emit(&w, &(struct eth){.dst = gateway_mac, .src = guest_mac, .type = ETH_TYPE_IP4});
	ip4_emit(&w, ip);
	return 64 - w.left;
}

/* In two fragments, the first with 16 bytes after the TCP header. */
static void send_fragments(unsigned int queue, struct ip4 *ip, const uint8_t *l4, size_t n_l4)
{
	static uint16_t id;
	uint8_t frame[BUFFER_BYTES];
	size_t n_first = 40;

	ip->id = ++id;
	ip->frag = IP4_MORE_FRAG;
	ip->payload_bytes = (uint16_t)n_first;
	size_t n = put_headers(frame, ip);
	memcpy(frame + n, l4, n_first);
	send_frame(queue, &(struct offload){}, frame, n + n_first);
	ip->frag = (uint16_t)(n_first / 8);
	ip->payload_bytes = (uint16_t)(n_l4 - n_first);
	n = put_headers(frame, ip);
	memcpy(frame + n, l4 + n_first, n_l4 - n_first);
	send_frame(queue, &(struct offload){}, frame, n + n_l4 - n_first);
}

static void send_segment(unsigned int queue, struct conn *c, uint8_t flags, uint32_t seq, size_t n)
{
	unsigned int which = (unsigned int)(c - conns);
	struct ip4 ip = {.ttl = 64, .proto = IP_PROTO_TCP, .src_be = htonl(0x0a00020f), .dst_be = c->remote_be,
		.frag = IP4_DONT_FRAG, .payload_bytes = (uint16_t)(TCP_HEADER_BYTES + n)};
	struct ip_addr src = ip_addr_from4(ip.src_be), dst = ip_addr_from4(ip.dst_be);
	struct tcp t = {.src_port = c->local_port, .dst_port = c->remote_port, .seq = seq, .ack = c->rcv_nxt,
		.window = WINDOW, .flags = flags, .wscale = -1};
	uint64_t sum = csum_pseudo(&src, &dst, IP_PROTO_TCP, (uint32_t)(TCP_HEADER_BYTES + n));
	bool fragments = c->fragments && n > 100;
	uint8_t frame[BUFFER_BYTES];
	size_t at = put_headers(frame, &ip);
	uint8_t *l4 = frame + at;
	struct wr w = wr_of(l4, TCP_HEADER_BYTES);

	t.checksum = fragments ? 0 : csum_fold_partial(sum);
	tcp_emit(&w, &t);
	for (size_t i = 0; i < n; i++)
		l4[TCP_HEADER_BYTES + i] = pattern(seq - c->iss - 1 + i, which);
	c->ack_due = false;
	if (fragments) {
		uint16_t folded = csum_fold(csum_add(l4, TCP_HEADER_BYTES + n, sum));

		memcpy(l4 + TCP_CSUM_OFFSET, &folded, sizeof(folded));
		send_fragments(queue, &ip, l4, TCP_HEADER_BYTES + n);
		return;
	}
	send_frame(queue,
		&(struct offload){
			.csum_needed = true, .csum_start = (uint16_t)at, .csum_offset = TCP_CSUM_OFFSET},
		frame, at + TCP_HEADER_BYTES + n);
}

static struct conn *find_conn(uint32_t remote_be, const struct tcp *t)
{
	for (unsigned int i = 0; i < n_conns; i++)
		if (conns[i].remote_be == remote_be && conns[i].remote_port == t->src_port &&
			conns[i].local_port == t->dst_port)
			return &conns[i];
	return NULL;
}

/* A SYN to the port that the forward leads to. */
static struct conn *answer_syn(uint32_t remote_be, const struct tcp *t)
{
	struct conn *c = &conns[n_conns++];

	assert_true(n_conns <= CONNS_MAX);
	assert_int_equal(t->dst_port, FORWARD_PORT);
	*c = (struct conn){.remote_be = remote_be, .local_port = t->dst_port, .remote_port = t->src_port, .fd = -1,
		.inbound = true, .irs = t->seq, .rcv_nxt = t->seq + 1, .iss = 77};
	c->snd_una = c->snd_nxt = c->edge = c->iss + 1;
	return c;
}

static void hear_segment(unsigned int queue, uint32_t remote_be, const struct tcp *t, const uint8_t *data, size_t n)
{
	struct conn *c = find_conn(remote_be, t);

	assert_false(t->flags & (TCP_RST | TCP_FIN));
	if (!c && (t->flags & TCP_SYN))
		c = answer_syn(remote_be, t);
	assert_non_null(c);
	unsigned int which = (unsigned int)(c - conns);
	if ((t->flags & TCP_SYN) && c->inbound) {
		send_segment(queue, c, TCP_SYN | TCP_ACK, c->iss, 0);
		return;
	}
	if (t->flags & TCP_SYN) {
		c->irs = t->seq;
		c->rcv_nxt = t->seq + 1;
		c->ack_due = true;
	}
	assert_true(t->flags & TCP_ACK);
	c->open = true;
	if (tcp_seq_lt(c->snd_una, t->ack))
		c->snd_una = t->ack;
	if (c->fragments && tcp_seq_lt(c->snd_nxt, c->snd_una))
		c->snd_nxt = c->snd_una; /* it had what was about to be sent again */
	assert_true(tcp_seq_le(c->snd_una, c->snd_nxt));
	if (tcp_seq_lt(c->edge, t->ack + t->window))
		c->edge = t->ack + t->window;
	if (n == 0)
		return;
	/* No gap: nothing is lost, and a flow's frames are on one queue. Text again is a timer's doing. */
	if (tcp_seq_lt(c->rcv_nxt, t->seq)) {
		assert_true(looked_ms < gaps_until_ms);
		c->ack_due = true;
		return;
	}
	uint32_t skip = c->rcv_nxt - t->seq;
	for (size_t i = skip; i < n; i++)
		assert_int_equal(data[i], pattern(c->n_heard++, which));
	if (n > skip)
		c->rcv_nxt = t->seq + (uint32_t)n;
	c->ack_due = true;
	c->queue_heard = queue;
}

static void hear_frame(unsigned int queue, const uint8_t *frame, size_t n)
{
	struct rd r = rd_of(frame, n);
	struct eth e;
	struct ip4 ip;
	struct tcp t;

	assert_int_equal(eth_parse(&r, &e), DROP_NONE);
	if (e.type == ETH_TYPE_ARP)
		return;
	assert_int_equal(ip4_parse(&r, r.left, &ip), DROP_NONE);
	if (ip.proto == IP_PROTO_UDP) {
		n_datagrams_heard++;
		return;
	}
	assert_int_equal(ip.proto, IP_PROTO_TCP);
	struct rd l4 = r;
	assert_int_equal(tcp_parse(&l4, &t), DROP_NONE);
	hear_segment(queue, ip.src_be, &t, r.p + t.header_bytes, r.left - t.header_bytes);
}

/* What the back end gave back, and what it brought. */
static void run_guest(void)
{
	uint64_t before_ms = looked_ms;

	looked_ms = now_ms();
	if (before_ms && looked_ms - before_ms > AWAY_MS)
		gaps_until_ms = looked_ms + TIMEOUT_MS / 4;
	for (unsigned int queue = 0; queue < N_PAIRS; queue++) {
		unsigned int tx = 2 * queue + 1, rx = 2 * queue;
		uint32_t used;

		while (driver_used(&fe.rings[tx], NULL) >= 0)
			n_back[tx]++;
		while (driver_used(&fe.rings[rx], &used) >= 0) {
			assert_true(used > VHOST_HEADER_BYTES && used <= BUFFER_BYTES);
			hear_frame(queue, fe.mem.at + buffer_at(rx, n_back[rx]) + VHOST_HEADER_BYTES,
				used - VHOST_HEADER_BYTES);
			n_back[rx]++;
		}
		offer_buffers(rx);
	}
}

/* This host. */

static int listener, listener_port;

static void make_listener(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, CONNS_MAX), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
	listener_port = ntohs(a.sin_port);
}

/* Reads what there is, and says as much as n_wanted bytes in all. */
static void run_host(struct conn *c, uint64_t n_wanted)
{
	unsigned int which = (unsigned int)(c - conns);
	uint8_t bytes[16384];
	ssize_t n;

	if (c->fd < 0)
		return;
	while ((n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(bytes[i], pattern(c->n_read++, which));
	assert_true(n < 0 && errno == EAGAIN);
	while (c->n_written < n_wanted) {
		size_t part = MIN(sizeof(bytes), n_wanted - c->n_written);

		for (size_t i = 0; i < part; i++)
			bytes[i] = pattern(c->n_written + i, which);
		n = send(c->fd, bytes, part, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return;
		c->n_written += (uint64_t)n;
	}
}

static struct conn *guest_connects(unsigned int queue)
{
	struct conn *c = &conns[n_conns];
	uint64_t end_ms = now_ms() + TIMEOUT_MS;

	*c = (struct conn){.remote_be = htonl(0x0a000202), .remote_port = (uint16_t)listener_port,
		.local_port = (uint16_t)(40000 + n_conns), .iss = 0xfffff000, .fd = -1};
	n_conns++;
	c->snd_una = c->snd_nxt = c->edge = c->iss + 1;
	send_segment(queue, c, TCP_SYN, c->iss, 0);
	while (!c->open || c->fd < 0) {
		step();
		run_guest();
		if (c->fd < 0)
			c->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(now_ms() < end_ms);
	}
	return c;
}

/* One connection, busy both ways, of which `more` bytes more are said. It sends on queue *queue, and
 * moves to another after every few segments, as Linux would: once its buffers have come back. */
struct mover {
	struct conn *c;
	unsigned int queue, n_queues, n_moves;
	unsigned int left; /* segments until it moves */
	uint64_t n_goal;   /* bytes, either way */
};

static void mover_send(struct mover *m)
{
	struct conn *c = m->c;
	uint64_t n_said = (uint32_t)(c->snd_nxt - c->iss - 1);

	if (m->left == 0) {
		if (!is_drained(m->queue))
			return;
		m->queue = (m->queue + 1) % m->n_queues;
		m->left = 1 + (unsigned int)rand_r(&seed) % 12;
		m->n_moves++;
	}
	while (m->left && n_free(m->queue) > 2 && n_said < m->n_goal) {
		uint64_t n = MIN((uint64_t)(uint32_t)(c->edge - c->snd_nxt), MIN((uint64_t)MSS, m->n_goal - n_said));

		if ((n < MSS && n < m->n_goal - n_said) || (c->fragments && c->snd_nxt != c->snd_una))
			break;
		send_segment(m->queue, c, TCP_ACK, c->snd_nxt, n);
		c->snd_nxt += (uint32_t)n;
		n_said += n;
		m->left--;
	}
	if (c->ack_due && n_free(m->queue) > 2)
		send_segment(m->queue, c, TCP_ACK, c->snd_nxt, 0);
}

static bool mover_done(const struct mover *m)
{
	return m->c->n_read == m->n_goal && m->c->n_heard == m->n_goal && is_drained(0) && is_drained(1);
}

static void mover_step(struct mover *m)
{
	step();
	run_guest();
	run_host(m->c, m->n_goal);
	mover_send(m);
}

static void run_mover(struct mover *m)
{
	uint64_t end_ms = now_ms() + TIMEOUT_MS;

	while (!mover_done(m)) {
		mover_step(m);
		assert_true(now_ms() < end_ms);
	}
}

static void assert_nothing_dropped(void)
{
	const char *text = stats();

	if (strstr(text, "dropped"))
		fail_msg("%s", text);
}

static const uint64_t shapes[] = {
	0,
	BIT(VHOST_F_EVENT_IDX) | BIT(VHOST_F_INDIRECT_DESC),
	BIT(VHOST_F_RING_PACKED) | BIT(VHOST_F_EVENT_IDX),
};

/* Thousands of moves. All the host says comes on one queue, whichever the guest uses. */
static void test_flow_moves(void **state)
{
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		start(shapes[s], 0);
		struct mover m = {.c = guest_connects(s % N_PAIRS), .n_queues = N_PAIRS, .n_goal = 10 << 20};
		uint64_t end_ms = now_ms() + TIMEOUT_MS;
		unsigned int queue = N_PAIRS;

		while (!mover_done(&m)) {
			mover_step(&m);
			assert_true(now_ms() < end_ms);
			if (m.c->n_heard && queue == N_PAIRS)
				queue = m.c->queue_heard;
			if (m.c->n_heard)
				assert_int_equal(m.c->queue_heard, queue);
		}
		assert_true(m.n_moves > 1000);
		assert_nothing_dropped();
		finish();
	}
}

/* The front end changes the memory under way: all workers stop, and everything that was away has come back. */
static void test_memory_changes(void **state)
{
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		start(shapes[s], 0);
		struct mover m = {.c = guest_connects(0), .n_queues = N_PAIRS, .n_goal = 3 << 20};
		uint64_t end_ms = now_ms() + TIMEOUT_MS;
		unsigned int n = 0;

		while (!mover_done(&m)) {
			uint64_t half = GUEST_BYTES / 2;
			uint64_t table[9] = {2, GUEST_AT, half, USER_AT, 0, GUEST_AT + half, half, USER_AT + half, half};
			const int fds[2] = {fe.mem.fd, fe.mem.fd};

			mover_step(&m);
			say(fe.sock, VHOST_SET_MEM_TABLE, FLAG_NEED, table, sizeof(table), fds, 2);
			step();
			assert_int_equal(hear_u64(&fe, VHOST_SET_MEM_TABLE), 0);
			n++;
			assert_true(now_ms() < end_ms);
		}
		assert_true(n > 100);
		assert_nothing_dropped();
		finish();
	}
}

/* Rings are stopped and started again at where they were, as when a guest pauses. */
static void restart_rings(void)
{
	uint32_t base[RINGS_MAX][2];

	for (uint32_t ring = 0; ring < fe.n_rings; ring++) {
		say_state(&fe, VHOST_GET_VRING_BASE, ring, 0);
		step();
		assert_int_equal(hear(&fe, VHOST_GET_VRING_BASE, base[ring], sizeof(base[ring])), 8);
		run_guest();
	}
	assert_true(is_drained(0) && is_drained(1));
	for (uint32_t ring = 0; ring < fe.n_rings; ring++)
		say_ring(&fe, ring, base[ring][1]);
	step_twice();
}

static void test_rings_restart(void **state)
{
	for (unsigned int s = 0; s < ARRAY_SIZE(shapes); s++) {
		start(shapes[s], 0);
		struct mover m = {.c = guest_connects(1), .n_queues = N_PAIRS, .n_goal = 2 << 20};
		uint64_t end_ms = now_ms() + TIMEOUT_MS;

		for (unsigned int i = 0; !mover_done(&m); i++) {
			mover_step(&m);
			if (i % 40 == 39 && is_drained(0) && is_drained(1))
				restart_rings();
			assert_true(now_ms() < end_ms);
		}
		finish();
	}
}

/* The guest uses one queue, then two, then one: flows go to other workers, and go on. */
static void test_queues_change(void **state)
{
	start(0, 0);
	unsigned int n_heard_on[N_PAIRS] = {};

	for (unsigned int i = 0; i < 8; i++)
		(void)guest_connects(i % N_PAIRS);
	for (unsigned int round = 0; round < 60; round++) {
		unsigned int n_queues = 1 + round % N_PAIRS;

		/* The driver has stopped using the queue when the front end hears of it. */
		say_state(&fe, VHOST_SET_VRING_ENABLE, 2, n_queues > 1);
		say_state(&fe, VHOST_SET_VRING_ENABLE, 3, n_queues > 1);
		step();
		for (unsigned int i = 0; i < 8; i++) {
			struct mover m = {.c = &conns[i], .queue = 0, .n_queues = n_queues, .left = 5,
				.n_goal = (round + 1) * 20000};

			run_mover(&m);
			if (n_queues == 1)
				assert_int_equal(conns[i].queue_heard, 0);
			n_heard_on[conns[i].queue_heard]++;
		}
	}
	assert_true(n_heard_on[1] > 0); /* of eight flows one is the second worker's, but for 1 in 256 runs */
	assert_nothing_dropped();
	finish();
}

/* A TCP segment in fragments finds its flow, whoever put it together. One that comes while the last is on its
 * way may be lost, as there is one buffer for such, and is sent again. */
static void test_tcp_fragments(void **state)
{
	start(0, 0);
	for (unsigned int i = 0; i < 8; i++) {
		struct mover m = {.c = guest_connects(i % N_PAIRS), .n_queues = N_PAIRS};

		m.c->fragments = true;
		m.n_goal = 20 * MSS;
		uint64_t again_ms = now_ms() + 100, end_ms = now_ms() + TIMEOUT_MS;

		while (!mover_done(&m)) {
			mover_step(&m);
			if (now_ms() < again_ms)
				continue;
			m.c->snd_nxt = m.c->snd_una;
			again_ms = now_ms() + 100;
			assert_true(now_ms() < end_ms);
		}
	}
	finish();
}

/* Connections from outside are spread, and each is served by the worker that its frames are steered to. */
static void test_forward(void **state)
{
	int clients[16];

	start(0, 0);
	struct gateway_forward f = {.fd = dup(listener), .proto = IP_PROTO_TCP, .guest_port = FORWARD_PORT};
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)listener_port)};
	uint64_t end_ms = now_ms() + TIMEOUT_MS;
	unsigned int n_heard_on[N_PAIRS] = {}, n_done = 0;

	workers_pause(ws);
	assert_int_equal(workers_add_forward(ws, &f), 0);
	workers_resume(ws);
	for (unsigned int i = 0; i < ARRAY_SIZE(clients); i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(clients[i], (struct sockaddr *)&a, sizeof(a)), 0);
	}
	/* Nobody knows where the guest is: it says so, by some other flow, on a queue that is not worker 0's. */
	uint8_t arp[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0,
		0, 1, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2};
	step();
	send_frame(1, &(struct offload){}, arp, sizeof(arp));
	while (n_done < ARRAY_SIZE(clients)) {
		step();
		run_guest();
		n_done = 0;
		for (unsigned int i = 0; i < n_conns; i++) {
			struct sockaddr_in own;
			socklen_t n = sizeof(own);

			for (unsigned int k = 0; conns[i].fd < 0 && k < ARRAY_SIZE(clients); k++)
				if (getsockname(clients[k], (struct sockaddr *)&own, &n) == 0 &&
					ntohs(own.sin_port) == conns[i].remote_port)
					conns[i].fd = clients[k];
			assert_true(conns[i].fd >= 0);
			struct mover m = {.c = &conns[i], .queue = i % N_PAIRS, .n_queues = 1, .left = 4,
				.n_goal = SERVICE_BYTES};
			if (conns[i].open) {
				run_host(m.c, m.n_goal);
				mover_send(&m);
			}
			n_done += conns[i].n_heard == SERVICE_BYTES && conns[i].n_read == SERVICE_BYTES;
		}
		assert_true(now_ms() < end_ms);
	}
	assert_int_equal(n_conns, ARRAY_SIZE(clients));
	for (unsigned int i = 0; i < n_conns; i++)
		n_heard_on[conns[i].queue_heard]++;
	assert_true(n_heard_on[0] && n_heard_on[1]); /* but for 1 in 32768 runs */
	finish();
}

/* More than the workers may hold: each refuses what is beyond its share. */
static void test_caps_are_shared(void **state)
{
	start(0, 8);
	assert_non_null(strstr(stats(), "tcp flows  8:"));
	finish();
}

/* A second worker's ring is broken by the guest: it stops, and the person is told; the other goes on. */
static void test_broken_queue(void **state)
{
	start(0, 0);
	struct mover m = {.c = guest_connects(0), .n_queues = 1, .left = UINT32_MAX, .n_goal = 100000};
	uint64_t end_ms = now_ms() + TIMEOUT_MS;
	uint8_t *avail = fe.mem.at + fe.rings[3].avail;
	uint64_t one = 1;

	put16(avail + 2, 5000);
	assert_int_equal(write(fe.kick[3], &one, sizeof(one)), sizeof(one));
	while (!fd_was_told(fe.err[3])) {
		step();
		assert_true(now_ms() < end_ms);
	}
	run_mover(&m);
	finish();
}

/* The guest is gone with frames under way: nobody waits for anything. */
static void test_guest_ends(void **state)
{
	for (unsigned int i = 0; i < 20; i++) {
		start(shapes[i % ARRAY_SIZE(shapes)], 0);
		struct mover m = {.c = guest_connects(i % N_PAIRS), .n_queues = N_PAIRS, .n_goal = 1 << 20};

		while (m.n_moves < i * 3)
			mover_step(&m);
		finish();
	}
}

/* Datagrams, whole and in fragments, of one socket meet at one worker: one socket of the host's says them. */
static void test_udp(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from, first = {};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	start(0, 0);
	for (unsigned int i = 0; i < 2000; i++) {
		struct ip4 ip = {.ttl = 64, .proto = IP_PROTO_UDP, .src_be = htonl(0x0a00020f),
			.dst_be = htonl(0x0a000202), .payload_bytes = UDP_HEADER_BYTES + 200};
		uint8_t frame[512], got[512];
		size_t at = put_headers(frame, &ip);
		struct wr w = wr_of(frame + at, UDP_HEADER_BYTES);
		struct pollfd p = {fd, POLLIN, 0};

		udp_emit(&w, &(struct udp){.src_port = 999, .dst_port = ntohs(a.sin_port), .payload_bytes = 200});
		memset(frame + at + UDP_HEADER_BYTES, (int)i, 200);
		if (i % 3 == 0)
			send_fragments(i % N_PAIRS, &ip, frame + at, UDP_HEADER_BYTES + 200);
		else
			send_frame(i % N_PAIRS, &(struct offload){}, frame, at + UDP_HEADER_BYTES + 200);
		for (unsigned int k = 0; k < 60000 && (poll(&p, 1, 0) == 0 || !is_drained(i % N_PAIRS)); k++) {
			step();
			run_guest();
		}
		n = sizeof(from);
		assert_int_equal(recvfrom(fd, got, sizeof(got), MSG_DONTWAIT, (struct sockaddr *)&from, &n), 200);
		assert_memory_equal(got, frame + at + UDP_HEADER_BYTES, 200);
		first = i ? first : from;
		assert_int_equal(from.sin_port, first.sin_port);
	}
	util_close(&fd);
	finish();
}

/* What comes by a UDP forward is answered by the forward's socket, whole or in fragments, whichever queue the
 * guest answers on; and so it goes on when the forward is new. */
static void test_udp_forward(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from, client = a;
	socklen_t n = sizeof(a);
	struct gateway_forward f = {
		.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), .proto = IPPROTO_UDP, .guest_port = 7};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(f.fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(f.fd, (struct sockaddr *)&a, &n), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&client, sizeof(client)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&client, &n), 0);
	start(0, 0);
	(void)guest_connects(1); /* by which it is known where the guest is */
	workers_pause(ws);
	assert_int_equal(workers_add_forward(ws, &f), 0);
	workers_resume(ws);
	for (unsigned int i = 0; i < 200; i++) {
		struct ip4 ip = {.ttl = 64, .proto = IP_PROTO_UDP, .src_be = htonl(0x0a00020f),
			.dst_be = htonl(0x0a000202), .payload_bytes = UDP_HEADER_BYTES + 200};
		uint64_t heard = n_datagrams_heard, end_ms = now_ms() + TIMEOUT_MS;
		uint8_t frame[512], got[512];
		size_t at = put_headers(frame, &ip);
		struct wr w = wr_of(frame + at, UDP_HEADER_BYTES);
		struct pollfd p = {fd, POLLIN, 0};

		assert_int_equal(sendto(fd, "?", 1, 0, (struct sockaddr *)&a, sizeof(a)), 1);
		while (n_datagrams_heard == heard) {
			step();
			run_guest();
			assert_true(now_ms() < end_ms);
		}
		udp_emit(&w, &(struct udp){.src_port = 7, .dst_port = ntohs(client.sin_port), .payload_bytes = 200});
		memset(frame + at + UDP_HEADER_BYTES, (int)i, 200);
		if (i % 3 == 0)
			send_fragments(i % N_PAIRS, &ip, frame + at, UDP_HEADER_BYTES + 200);
		else
			send_frame(i % N_PAIRS, &(struct offload){}, frame, at + UDP_HEADER_BYTES + 200);
		while (poll(&p, 1, 0) == 0) {
			step();
			run_guest();
			assert_true(now_ms() < end_ms);
		}
		n = sizeof(from);
		assert_int_equal(recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &n), 200);
		assert_memory_equal(got, frame + at + UDP_HEADER_BYTES, 200);
		assert_int_equal(from.sin_port, a.sin_port);
	}
	util_close(&fd);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flow_moves),
		cmocka_unit_test(test_memory_changes),
		cmocka_unit_test(test_rings_restart),
		cmocka_unit_test(test_queues_change),
		cmocka_unit_test(test_tcp_fragments),
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_caps_are_shared),
		cmocka_unit_test(test_broken_queue),
		cmocka_unit_test(test_guest_ends),
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_udp_forward),
	};

	seed = (unsigned int)now_ms();
	print_message("seed %u\n", seed);
	make_listener();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
