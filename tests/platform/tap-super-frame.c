/* SPDX-License-Identifier: BSD-2-Clause */
/* A TCP super-frame of 64 KiB, written to a tap with an uncomputed checksum and GSO_TCPV4, reaches the
 * guest's socket whole, whatever the link's MTU; and one that the guest sends is read whole. */
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "csum.h"
#include "eth.h"
#include "ip4.h"
#include "offload.h"
#include "platform.h"
#include "tcp.h"

#define PAYLOAD_BYTES 65000
#define HEAD_BYTES    (OFFLOAD_VNET_BYTES + ETH_HEADER_BYTES + IP4_HEADER_BYTES)

struct wire {
	int fd;
	uint8_t buf[HEAD_BYTES + 65535];
};

static void put(struct wire *w, struct tcp t, uint32_t src_be, uint32_t dst_be, size_t n_bytes)
{
	uint16_t header_bytes = t.mss ? 28 : TCP_HEADER_BYTES; /* MSS, window scale, padding */
	struct wr r = wr_of(w->buf, sizeof(w->buf));
	struct ip_addr src = ip_addr_from4(src_be), dst = ip_addr_from4(dst_be);
	struct offload o = {.csum_needed = true,
		.csum_start = ETH_HEADER_BYTES + IP4_HEADER_BYTES,
		.csum_offset = TCP_CSUM_OFFSET};
	struct ip4 ip = {
		.ttl = 64, .proto = IP_PROTO_TCP, .src_be = src_be, .dst_be = dst_be, .frag = IP4_DONT_FRAG};
	struct eth e = {.dst = {{2, 0, 0, 0, 0, 1}}, .src = {{2, 0, 0, 0, 0, 2}}, .type = ETH_TYPE_IP4};

	if (n_bytes > 1460) {
		o.gso = OFFLOAD_GSO_TCP4;
		o.gso_size = 1460;
		o.header_len = ETH_HEADER_BYTES + IP4_HEADER_BYTES + header_bytes;
	}
	ip.payload_bytes = (uint16_t)(header_bytes + n_bytes);
	t.checksum =
		csum_fold_partial(csum_pseudo(&src, &dst, IP_PROTO_TCP, (uint32_t)(header_bytes + n_bytes)));
	offload_emit(&r, &o);
	eth_emit(&r, &e);
	ip4_emit(&r, &ip);
	tcp_emit(&r, &t);
	ASSUME(!r.bad && (size_t)(r.p - w->buf) == HEAD_BYTES + (size_t)header_bytes,
		"the header came out wrong");
	for (size_t i = 0; i < n_bytes; i++)
		r.p[i] = (uint8_t)(i * 7 + i / 251);
	n_bytes += (size_t)(r.p - w->buf);
	ASSUME(write(w->fd, w->buf, n_bytes) == (ssize_t)n_bytes, "the tap refuses %zu bytes: %s", n_bytes,
		strerror(errno));
}

/* The guest's next TCP segment, and the payload that came with it. */
static size_t get(struct wire *w, struct tcp *ret, struct ip4 *ret_ip)
{
	struct rd r;
	ssize_t n;

	do {
		ASSUME(platform_wait(w->fd, POLLIN, 2000) & POLLIN, "the guest's TCP is silent");
		n = MUST(read(w->fd, w->buf, sizeof(w->buf)));
		r = rd_of(w->buf, (size_t)n);
		(void)rd_bytes(&r, OFFLOAD_VNET_BYTES + ETH_HEADER_BYTES);
	} while (ip4_parse(&r, r.left, ret_ip) != DROP_NONE || ret_ip->proto != IP_PROTO_TCP);
	ASSUME(tcp_parse(&r, ret) == DROP_NONE, "the guest's segment is malformed");
	return r.left;
}

/* A socket of the guest, connected to a peer that is us. */
static int handshake(struct wire *w, struct tcp *ret_ours, struct ip4 *ret_ip)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(80)};
	int fd = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	struct tcp t;

	a.sin_addr.s_addr = inet_addr("192.0.2.2");
	ASSUME(connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno == EINPROGRESS, "no handshake");
	(void)get(w, &t, ret_ip);
	*ret_ours = (struct tcp){.src_port = 80,
		.dst_port = t.src_port,
		.seq = 1000,
		.ack = t.seq + 1,
		.flags = TCP_SYN | TCP_ACK,
		.window = 65535,
		.mss = 1460,
		.wscale = 7};
	put(w, *ret_ours, ret_ip->dst_be, ret_ip->src_be, 0);
	(void)get(w, &t, ret_ip);
	ret_ours->seq++;
	ret_ours->mss = 0;
	ret_ours->wscale = -1;
	ret_ours->flags = TCP_ACK;
	return fd;
}

int main(void)
{
	static struct wire w;
	static uint8_t data[PAYLOAD_BYTES];
	int wide = 12, on = 1, guest;
	size_t n_got = 0, n_up;
	struct tcp ours, t;
	struct ip4 ip;
	ssize_t n;

	platform_enter_net();
	w.fd = platform_tap("t0", "192.0.2.1/24");
	MUST(ioctl(w.fd, TUNSETVNETHDRSZ, &wide));
	MUST(ioctl(w.fd, TUNSETVNETLE, &on));
	MUST(ioctl(w.fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6));
	platform_ip("link set t0 address 02:00:00:00:00:01");
	platform_ip("neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev t0");
	guest = handshake(&w, &ours, &ip);

	/* The first window of the guest is 64 KiB less headers: two super-frames of half the size go in any
	 * case. */
	for (unsigned int half = 0; half < 2; half++) {
		put(&w, ours, ip.dst_be, ip.src_be, PAYLOAD_BYTES / 2);
		ours.seq += PAYLOAD_BYTES / 2;
		while (n_got < ours.seq - 1001) {
			ASSUME(platform_wait(guest, POLLIN, 2000) & POLLIN, "the super-frame did not arrive");
			n = MUST(recv(guest, data + n_got, sizeof(data) - n_got, 0));
			n_got += (size_t)n;
		}
	}
	for (size_t i = 0; i < n_got; i++)
		ASSUME(data[i] == (uint8_t)(i % (PAYLOAD_BYTES / 2) * 7 + i % (PAYLOAD_BYTES / 2) / 251),
			"byte %zu is wrong", i);
	put(&w, ours, ip.dst_be, ip.src_be, PAYLOAD_BYTES);
	(void)usleep(10000);
	n = recv(guest, data, sizeof(data), 0);

	MUST(send(guest, data, sizeof(data), 0));
	do {
		n_up = get(&w, &t, &ip);
	} while (n_up == 0);
	platform_says("a tap takes TCP super-frames whole at MTU 1500 (%zd of %u bytes in one), and the "
		      "guest's first one "
		      "is %zu bytes",
		n, PAYLOAD_BYTES, n_up);
	ASSUME(n_up > 1460, "the guest's data comes in single segments");
	return 0;
}
