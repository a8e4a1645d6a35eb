/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rings: a guest that is nothing but its network device, for measuring what the other end of a vhost-user socket
 * can do. It shares nothing with the device's side.
 *
 *   rings drain SOCKET   the same frame in every buffer, which nobody wants; how many were taken out
 *   rings fill SOCKET    buffers only; how many came back with a frame
 *   rings up SOCKET      a TCP stream to `load server`, in segments of 64 KiB where the other end takes them
 *   rings down SOCKET    a TCP stream from it
 *
 * It never sleeps: it looks at the used entries itself and asks for no notification, and notifies as the other
 * end wishes. Its TCP has a window of 4 MiB, no congestion control, and goes back to the first unacknowledged
 * byte after three duplicates or 0.2 s: on a link that loses nothing it is never the slower side. Payload is
 * zeros, so that a checksum, where the other end does not offer to do without, costs nothing to compute.
 *
 * Prints "ready" when the other end may begin, and one line of JSON at the end.
 */
#include "rings.h"

#include <arpa/inet.h>
#include <endian.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

#define MSS         1460u
#define SEGMENT_MAX (44u * MSS) /* 64,240: what fits into a datagram */
#define WINDOW      (4u << 20)
#define WSCALE      8
#define RESEND_US   200000
#define GIVE_UP_US  3000000

static const uint8_t our_mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

struct frame_head {
	struct vnet_header v;
	struct ether_header eth;
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

struct conf {
	const char *mode, *path;
	struct in_addr us, gateway, server;
	unsigned int frame_bytes; /* of drain */
	unsigned int n_buffer_bytes;
	unsigned int run_ms, warm_ms;
	unsigned int mtu;
	bool packed, no_offload, largest;
	uint16_t num;
};

struct tcp {
	struct device *d;
	const struct conf *conf;
	uint8_t peer_mac[6];
	uint16_t peer_port, our_port;
	uint32_t snd_una, snd_nxt, snd_max, snd_wnd, rcv_nxt, rcv_acked;
	unsigned int peer_wscale, n_dup, segment_bytes;
	uint64_t moved_us; /* when snd_una last did */
	uint64_t n_received, n_resent;
	uint8_t first[sizeof(struct stream_report)]; /* bytes that the peer sent */
	bool established, reset, ack_due;
};

_Noreturn void rings_die(const char *what)
{
	fprintf(stderr, "rings: %s\n", what);
	exit(1);
}

/* The frame in a buffer that came to us, or NULL. */
static uint8_t *frame_of(const struct device *d, const struct taken *t, size_t n_least, size_t *ret_n)
{
	if (t->n_bytes < sizeof(struct vnet_header) + n_least)
		return NULL;
	*ret_n = t->n_bytes - sizeof(struct vnet_header);
	return device_buffer(d, RING_RX, t->id) + sizeof(struct vnet_header);
}

/* Asks for the gateway's address; false: nobody answered. */
static bool resolve(struct device *d, const struct conf *c, uint8_t *ret_mac)
{
	struct {
		struct vnet_header v;
		struct ether_header eth;
		struct ether_arp arp;
	} __attribute__((packed)) *q;
	uint64_t end_us = now_us() + 300000;
	struct taken t;
	unsigned int id;
	bool found = false;

	if (!device_get(d, &id))
		return false;
	q = (void *)device_buffer(d, RING_TX, id);
	memset(q, 0, sizeof(*q));
	memset(q->eth.ether_dhost, 0xff, 6);
	memcpy(q->eth.ether_shost, our_mac, 6);
	q->eth.ether_type = htons(ETHERTYPE_ARP);
	q->arp.ea_hdr = (struct arphdr){htons(ARPHRD_ETHER), htons(ETHERTYPE_IP), 6, 4, htons(ARPOP_REQUEST)};
	memcpy(q->arp.arp_sha, our_mac, 6);
	memcpy(q->arp.arp_spa, &c->us, 4);
	memcpy(q->arp.arp_tpa, &c->gateway, 4);
	device_put(d, id, sizeof(*q));
	device_kick(d, RING_TX);
	while (!found && now_us() < end_us) {
		device_reap(d);
		while (device_take(d, &t)) {
			size_t n;
			uint8_t *f = frame_of(d, &t, 14 + sizeof(struct ether_arp), &n);

			if (f && f[12] == 8 && f[13] == 6) {
				memcpy(ret_mac, ((struct ether_arp *)(void *)(f + 14))->arp_sha, 6);
				found = true;
			}
			device_give(d, t.id);
		}
		device_kick(d, RING_RX);
	}
	return found;
}

static uint32_t sum16(const void *p, size_t n, uint32_t sum)
{
	const uint8_t *b = p;

	for (; n > 1; n -= 2, b += 2)
		sum += (uint32_t)(b[0] << 8 | b[1]);
	return n ? sum + (uint32_t)(b[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Headers before n_payload bytes that lie in the buffer; n_options of them are the TCP header's. */
static void put_headers(struct tcp *t, unsigned int id, uint32_t seq, uint8_t flags, size_t n_options, size_t n_payload)
{
	struct frame_head *h = (void *)device_buffer(t->d, RING_TX, id);
	size_t n_tcp = sizeof(h->tcp) + n_options, n_ip = sizeof(h->ip) + n_tcp + n_payload;
	uint32_t sum = IPPROTO_TCP + (uint32_t)(n_tcp + n_payload);

	h->v = (struct vnet_header){};
	memcpy(h->eth.ether_dhost, t->peer_mac, 6);
	memcpy(h->eth.ether_shost, our_mac, 6);
	h->eth.ether_type = htons(ETHERTYPE_IP);
	h->ip = (struct iphdr){.version = 4, .ihl = 5, .tot_len = htons((uint16_t)n_ip), .ttl = 64, .protocol = IPPROTO_TCP,
		.frag_off = htons(IP_DF), .saddr = t->conf->us.s_addr, .daddr = t->conf->server.s_addr};
	h->ip.check = htons((uint16_t)~fold(sum16(&h->ip, sizeof(h->ip), 0)));
	h->tcp = (struct tcphdr){.th_sport = htons(t->our_port), .th_dport = htons(t->peer_port), .th_seq = htonl(seq),
		.th_ack = htonl(flags & TH_ACK ? t->rcv_nxt : 0), .th_off = (uint8_t)(n_tcp / 4), .th_flags = flags,
		.th_win = htons(flags & TH_SYN ? 65535 : WINDOW >> WSCALE)};
	sum = sum16(&h->ip.saddr, 8, sum);
	if (t->d->features >> F_CSUM & 1) {
		h->v.flags = VNET_NEEDS_CSUM;
		h->v.csum_start = htole16(sizeof(h->eth) + sizeof(h->ip));
		h->v.csum_offset = htole16(offsetof(struct tcphdr, th_sum));
		h->tcp.th_sum = htons(fold(sum));
	} else {
		/* Beyond the first bytes payload is zeros. */
		sum = sum16(&h->tcp, n_tcp + (n_payload < 64 ? n_payload : 64), sum);
		h->tcp.th_sum = htons((uint16_t)~fold(sum));
	}
	if (n_payload > MSS) {
		h->v.gso_type = VNET_GSO_TCP4;
		h->v.gso_size = htole16(MSS);
		h->v.hdr_len = htole16((uint16_t)(sizeof(*h) - sizeof(h->v)));
	}
	device_put(t->d, id, sizeof(*h) + n_options + n_payload);
}

static void send_control(struct tcp *t, uint8_t flags, const void *options, size_t n_options, const void *payload,
	size_t n_payload)
{
	unsigned int id;

	while (!device_get(t->d, &id))
		device_reap(t->d);
	uint8_t *at = device_buffer(t->d, RING_TX, id) + sizeof(struct frame_head);
	if (n_options)
		memcpy(at, options, n_options);
	if (n_payload)
		memcpy(at + n_options, payload, n_payload);
	put_headers(t, id, t->snd_nxt, flags, n_options, n_payload);
	if (n_payload) /* the buffer is for zeros again when it comes back */
		t->d->dirty[id] = true;
	t->snd_nxt += (uint32_t)n_payload + !!(flags & TH_SYN);
	t->snd_max = t->snd_nxt;
	t->ack_due = false;
	t->rcv_acked = t->rcv_nxt;
	device_kick(t->d, RING_TX);
}

static void on_ack(struct tcp *t, const struct tcphdr *h, bool bare)
{
	uint32_t ack = ntohl(h->th_ack), window = (uint32_t)ntohs(h->th_win) << t->peer_wscale;

	if ((int32_t)(ack - t->snd_una) > 0 && (int32_t)(t->snd_max - ack) >= 0) {
		t->snd_una = ack;
		if ((int32_t)(ack - t->snd_nxt) > 0)
			t->snd_nxt = ack;
		t->n_dup = 0;
		t->moved_us = now_us();
	} else if (bare && ack == t->snd_una && t->snd_una != t->snd_max && window == t->snd_wnd && ++t->n_dup == 3) {
		t->n_resent += t->snd_nxt - t->snd_una;
		t->snd_nxt = t->snd_una;
	}
	t->snd_wnd = window;
}

static void on_text(struct tcp *t, uint32_t seq, const uint8_t *at, size_t n, bool needed)
{
	if (seq != t->rcv_nxt) {
		send_control(t, TH_ACK, NULL, 0, NULL, 0);
		return;
	}
	if (needed && t->n_received < sizeof(t->first)) {
		size_t take = sizeof(t->first) - t->n_received;

		memcpy(t->first + t->n_received, at, n < take ? n : take);
	}
	t->n_received += n;
	t->rcv_nxt += (uint32_t)n;
	t->ack_due = true;
}

/* A frame of n_frame bytes, of which n_here lie in its first buffer: all headers at least. */
static void on_frame(struct tcp *t, const uint8_t *f, size_t n_here, size_t n_frame)
{
	const struct iphdr *ip = (const void *)(f + 14);
	const struct tcphdr *h = (const void *)(f + 14 + sizeof(*ip));

	if (f[12] != 8 || f[13] != 0 || ip->protocol != IPPROTO_TCP || ip->ihl != 5 || ntohs(h->th_dport) != t->our_port)
		return;
	size_t n_head = 14 + sizeof(*ip) + 4u * h->th_off, n_ip = 14u + ntohs(ip->tot_len);

	if (n_ip > n_frame || n_head > n_here || n_head > n_ip)
		return;
	if (h->th_flags & TH_RST) {
		t->reset = true;
		return;
	}
	if (!t->established) {
		if ((h->th_flags & (TH_SYN | TH_ACK)) != (TH_SYN | TH_ACK) || ntohl(h->th_ack) != t->snd_nxt)
			return;
		for (const uint8_t *o = (const uint8_t *)(h + 1); o < f + n_head && *o; o += *o == 1 ? 1 : o[1] ? o[1] : 60)
			if (*o == 3)
				t->peer_wscale = o[2];
		t->rcv_nxt = ntohl(h->th_seq) + 1;
		t->snd_una = ntohl(h->th_ack);
		t->snd_wnd = ntohs(h->th_win);
		t->established = true;
		send_control(t, TH_ACK, NULL, 0, NULL, 0);
		return;
	}
	on_ack(t, h, n_ip == n_head);
	if (n_ip > n_head)
		on_text(t, ntohl(h->th_seq), f + n_head, n_ip - n_head, n_ip <= n_here);
}

/* Whatever came. Of a frame in several buffers only the first is looked at. */
static void receive(struct tcp *t)
{
	struct device *d = t->d;
	struct taken first;
	bool any = false;

	for (int i = 0; i < 64 && device_take(d, &first); i++) {
		const struct vnet_header *v = (const void *)device_buffer(d, RING_RX, first.id);
		unsigned int more = d->features >> F_MRG_RXBUF & 1 ? le16toh(v->n_buffers) : 1;
		size_t n_frame = first.n_bytes, n_here;
		unsigned int ids[64] = {first.id};
		struct taken next;

		any = true;
		if (more > 64)
			rings_die("a frame of more than 64 buffers");
		for (unsigned int k = 1; k < more; k++) {
			while (!device_take(d, &next))
				;
			n_frame += next.n_bytes;
			ids[k] = next.id;
		}
		uint8_t *f = frame_of(d, &first, 54, &n_here);
		if (f)
			on_frame(t, f, n_here, n_frame - sizeof(*v));
		for (unsigned int k = 0; k < (more ? more : 1); k++)
			device_give(d, ids[k]);
	}
	if (any)
		device_kick(d, RING_RX);
}

static void turn(struct tcp *t)
{
	device_reap(t->d);
	receive(t);
	if (t->ack_due)
		send_control(t, TH_ACK, NULL, 0, NULL, 0);
}

static void open_stream(struct tcp *t, uint16_t port)
{
	static const uint8_t options[8] = {2, 4, MSS >> 8, MSS & 0xff, 1, 3, 3, WSCALE};
	struct stream_hello hello = {
		.magic = LOAD_MAGIC, .warm_ms = t->conf->warm_ms, .run_ms = t->conf->run_ms, .buf_bytes = 256 << 10};
	uint64_t end_us = now_us() + GIVE_UP_US;

	if (!resolve(t->d, t->conf, t->peer_mac))
		rings_die("the gateway does not answer");
	t->peer_port = port;
	t->our_port = (uint16_t)(20000 + now_us() % 40000);
	t->snd_una = t->snd_nxt = (uint32_t)now_us();
	t->segment_bytes = t->d->features >> F_HOST_TSO4 & 1 ? SEGMENT_MAX : MSS;
	send_control(t, TH_SYN, options, sizeof(options), NULL, 0);
	while (!t->established && now_us() < end_us) {
		device_reap(t->d);
		receive(t);
	}
	if (!t->established)
		rings_die("no connection");
	send_control(t, TH_ACK | TH_PUSH, NULL, 0, &hello, sizeof(hello));
	t->moved_us = now_us();
}

static void push(struct tcp *t)
{
	unsigned int id, n = 0;

	for (;;) {
		uint32_t flight = t->snd_nxt - t->snd_una, room = t->snd_wnd > flight ? t->snd_wnd - flight : 0;

		room = room < t->segment_bytes ? room - room % MSS : t->segment_bytes;
		if (room == 0 || !device_get(t->d, &id))
			break;
		if (t->d->dirty[id]) {
			memset(device_buffer(t->d, RING_TX, id) + sizeof(struct frame_head), 0, 128);
			t->d->dirty[id] = false;
		}
		put_headers(t, id, t->snd_nxt, TH_ACK, 0, room);
		t->snd_nxt += room;
		if ((int32_t)(t->snd_nxt - t->snd_max) > 0)
			t->snd_max = t->snd_nxt;
		if (++n == 32)
			break;
	}
	if (n) {
		device_kick(t->d, RING_TX);
		t->ack_due = false;
	} else if (t->snd_una != t->snd_max && now_us() - t->moved_us > RESEND_US) {
		t->n_resent += t->snd_nxt - t->snd_una;
		t->snd_nxt = t->snd_una;
		t->moved_us = now_us();
	}
}

struct figures {
	uint64_t n_frames, n_bytes, us, n_total_bytes;
};

static void run_up(struct tcp *t, struct figures *f)
{
	uint64_t end_us = now_us() + (t->conf->warm_ms + t->conf->run_ms) * 1000ull + GIVE_UP_US;
	struct stream_report rep;

	open_stream(t, PORT_SINK);
	while (t->n_received < sizeof(rep)) {
		turn(t);
		push(t);
		if (t->reset || now_us() > end_us)
			rings_die(t->reset ? "the connection was reset" : "the stream stalled");
	}
	memcpy(&rep, t->first, sizeof(rep));
	*f = (struct figures){.n_bytes = rep.bytes, .us = rep.us, .n_total_bytes = rep.total_bytes};
}

static void run_down(struct tcp *t, struct figures *f)
{
	open_stream(t, PORT_SOURCE);
	uint64_t start_us = now_us(), open_us = start_us + t->conf->warm_ms * 1000ull, before = 0, now;
	uint64_t end_us = open_us + t->conf->run_ms * 1000ull;

	while ((now = now_us()) < end_us) {
		turn(t);
		if (now < open_us)
			before = t->n_received;
		if (t->reset)
			rings_die("the connection was reset");
	}
	*f = (struct figures){.n_bytes = t->n_received - before, .us = now - open_us, .n_total_bytes = t->n_received};
}

/* Ethernet's type for experiments, to the gateway. */
static void run_drain(struct device *d, const struct conf *c, struct figures *f)
{
	uint8_t mac[6] = {0x52, 0x55, 10, 0, 2, 2};
	unsigned int n_frame = c->frame_bytes, n_all, id;
	struct vnet_header v = {};
	uint64_t start_us, end_us, before = 0, now;

	if (c->largest) {
		n_frame = 14 + 40 + MSS;
		if (d->features >> F_HOST_TSO4 & 1) {
			n_frame = 14 + 40 + SEGMENT_MAX;
			v = (struct vnet_header){.flags = VNET_NEEDS_CSUM, .gso_type = VNET_GSO_TCP4, .hdr_len = htole16(54),
				.gso_size = htole16(MSS), .csum_start = htole16(34), .csum_offset = htole16(16)};
		}
	}
	n_all = n_frame + (unsigned int)sizeof(v);
	(void)resolve(d, c, mac);
	for (unsigned int i = 0; i < d->rings[RING_TX].num; i++) {
		uint8_t *b = device_buffer(d, RING_TX, i);

		memset(b, 0, n_all);
		memcpy(b, &v, sizeof(v));
		memcpy(b + sizeof(v), mac, 6);
		memcpy(b + sizeof(v) + 6, our_mac, 6);
		b[sizeof(v) + 12] = 0x88;
		b[sizeof(v) + 13] = 0xb5;
	}
	d->n_reaped = 0;
	start_us = now_us() + c->warm_ms * 1000ull;
	end_us = start_us + c->run_ms * 1000ull;
	while ((now = now_us()) < end_us) {
		if (now < start_us)
			before = d->n_reaped;
		device_reap(d);
		while (device_get(d, &id))
			device_put(d, id, n_all);
		device_kick(d, RING_TX);
	}
	f->n_frames = d->n_reaped - before;
	f->us = now - start_us;
	f->n_bytes = f->n_frames * n_frame;
	f->n_total_bytes = d->n_reaped * n_frame;
}

static void run_fill(struct device *d, const struct conf *c, struct figures *f)
{
	uint64_t start_us = now_us() + c->warm_ms * 1000ull, end_us = start_us + c->run_ms * 1000ull, now;
	struct taken t;

	while ((now = now_us()) < end_us) {
		bool any = false;

		for (int i = 0; i < 64 && device_take(d, &t); i++) {
			size_t n = t.n_bytes - sizeof(struct vnet_header);

			any = true;
			f->n_total_bytes += n;
			if (now >= start_us) {
				f->n_frames++;
				f->n_bytes += n;
			}
			device_give(d, t.id);
		}
		if (any)
			device_kick(d, RING_RX);
	}
	f->us = now - start_us;
}

static void parse(struct conf *c, int argc, char **argv)
{
	int o;

	*c = (struct conf){.frame_bytes = 64, .n_buffer_bytes = 4096, .run_ms = 3000, .warm_ms = 300, .num = 256};
	inet_pton(AF_INET, "10.0.2.15", &c->us);
	inet_pton(AF_INET, "10.0.2.2", &c->gateway);
	while ((o = getopt(argc, argv, "pgs:b:t:w:n:a:o")) != -1) {
		if (o == 'p')
			c->packed = true;
		else if (o == 'g')
			c->largest = true;
		else if (o == 'o')
			c->no_offload = true;
		else if (o == 's')
			c->frame_bytes = (unsigned int)atoi(optarg);
		else if (o == 'b')
			c->n_buffer_bytes = (unsigned int)atoi(optarg);
		else if (o == 't')
			c->run_ms = (unsigned int)(1000 * atof(optarg));
		else if (o == 'w')
			c->warm_ms = (unsigned int)atoi(optarg);
		else if (o == 'n')
			c->num = (uint16_t)atoi(optarg);
		else if (o != 'a' || inet_pton(AF_INET, optarg, &c->server) != 1)
			exit(2);
	}
	if (optind + 2 != argc || c->frame_bytes < 60 || c->frame_bytes > 65535 || c->n_buffer_bytes < 1536 ||
		c->n_buffer_bytes > BUFFER_BYTES || c->num < 2 || c->num > RING_NUM_MAX || (c->num & (c->num - 1))) {
		fprintf(stderr, "usage: rings [-p] [-o] [-s FRAME_BYTES | -g] [-b BUFFER_BYTES] [-n RING] [-t SECONDS]"
				" [-w WARM_MS] [-a SERVER] drain|fill|up|down SOCKET\n"
				"  -p: packed rings; -o: no offload; -g: frames of 64 KiB where they are taken, else 1514\n");
		exit(2);
	}
	c->mode = argv[optind];
	c->path = argv[optind + 1];
}

int main(int argc, char **argv)
{
	static struct device d;
	struct figures f = {};
	struct conf c;
	struct tcp t = {.d = &d, .conf = &c};

	parse(&c, argc, argv);
	device_open(&d, c.path, c.packed, c.no_offload, c.num, c.n_buffer_bytes);
	puts("ready");
	(void)fflush(stdout);
	if (!strcmp(c.mode, "drain"))
		run_drain(&d, &c, &f);
	else if (!strcmp(c.mode, "fill"))
		run_fill(&d, &c, &f);
	else if (!strcmp(c.mode, "up"))
		run_up(&t, &f);
	else if (!strcmp(c.mode, "down"))
		run_down(&t, &f);
	else
		rings_die("no such mode");
	if (t.established)
		send_control(&t, TH_RST | TH_ACK, NULL, 0, NULL, 0);
	usleep(10000);
	printf("{\"frames\":%llu,\"bytes\":%llu,\"seconds\":%.3f,\"gbps\":%.6f,\"mfps\":%.6f,\"total_bytes\":%llu,"
	       "\"total_frames\":%llu,\"resent_bytes\":%llu,\"kicks\":%llu,\"features\":\"%#llx\"}\n",
		(unsigned long long)f.n_frames, (unsigned long long)f.n_bytes, (double)f.us / 1e6,
		(double)f.n_bytes * 8e-3 / (double)f.us, (double)f.n_frames / (double)f.us,
		(unsigned long long)f.n_total_bytes, (unsigned long long)(d.n_reaped + d.n_taken),
		(unsigned long long)t.n_resent, (unsigned long long)d.n_kicks, (unsigned long long)d.features);
	return 0;
}
