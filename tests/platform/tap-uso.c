/* SPDX-License-Identifier: BSD-2-Clause */
/* USO through a tap (6.2 and newer): a super-frame of equal datagrams that is written reaches a plain
 * socket as separate datagrams; and datagrams that a guest sends with UDP_SEGMENT are read as one. */
#include <linux/if_tun.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>

#include "csum.h"
#include "eth.h"
#include "ip4.h"
#include "offload.h"
#include "platform.h"
#include "udp.h"

#define SEGMENT_BYTES 1000
#define N_SEGMENTS    40
#define HEAD_BYTES    (OFFLOAD_VNET_BYTES + ETH_HEADER_BYTES + IP4_HEADER_BYTES + UDP_HEADER_BYTES)

static bool write_super_frame(int fd)
{
	static uint8_t buf[HEAD_BYTES + SEGMENT_BYTES * N_SEGMENTS];
	struct wr w = wr_of(buf, sizeof(buf));
	uint16_t l4_bytes = UDP_HEADER_BYTES + SEGMENT_BYTES * N_SEGMENTS;
	struct ip4 ip = {.ttl = 64,
		.proto = IP_PROTO_UDP,
		.payload_bytes = l4_bytes,
		.src_be = inet_addr("192.0.2.2"),
		.dst_be = inet_addr("192.0.2.1")};
	struct ip_addr src = ip_addr_from4(ip.src_be), dst = ip_addr_from4(ip.dst_be);
	struct offload o = {.csum_needed = true,
		.csum_start = ETH_HEADER_BYTES + IP4_HEADER_BYTES,
		.csum_offset = UDP_CSUM_OFFSET,
		.gso = OFFLOAD_GSO_UDP,
		.gso_size = SEGMENT_BYTES,
		.header_len = HEAD_BYTES - OFFLOAD_VNET_BYTES};
	struct udp u = {.src_port = 9, .dst_port = 4000, .payload_bytes = SEGMENT_BYTES * N_SEGMENTS};
	struct eth e = {.dst = {{2, 0, 0, 0, 0, 1}}, .src = {{2, 0, 0, 0, 0, 2}}, .type = ETH_TYPE_IP4};

	u.checksum = csum_fold_partial(csum_pseudo(&src, &dst, IP_PROTO_UDP, l4_bytes));
	offload_emit(&w, &o);
	eth_emit(&w, &e);
	ip4_emit(&w, &ip);
	udp_emit(&w, &u);
	ASSUME(!w.bad && w.left == SEGMENT_BYTES * N_SEGMENTS, "the header came out wrong");
	for (size_t i = 0; i < SEGMENT_BYTES * N_SEGMENTS; i++)
		w.p[i] = (uint8_t)(i / SEGMENT_BYTES);
	return write(fd, buf, sizeof(buf)) == (ssize_t)sizeof(buf);
}

static ssize_t read_super_frame(int fd, struct offload *ret)
{
	static uint8_t buf[65536 + HEAD_BYTES];
	ssize_t n = read(fd, buf, sizeof(buf));
	struct rd r;

	ASSUME(n > OFFLOAD_VNET_BYTES, "nothing came through the tap");
	r = rd_of(buf, OFFLOAD_VNET_BYTES);
	ASSUME(offload_parse(&r, (size_t)n - OFFLOAD_VNET_BYTES, ret) == DROP_NONE,
		"the offload header is not ours");
	return n - HEAD_BYTES;
}

int main(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(4000)};
	char buf[SEGMENT_BYTES * N_SEGMENTS] = {0};
	int fd, udp, wide = 12, on = 1;
	struct offload o;
	ssize_t n;

	platform_enter_net();
	fd = platform_tap("t0", "192.0.2.1/24");
	MUST(ioctl(fd, TUNSETVNETHDRSZ, &wide));
	MUST(ioctl(fd, TUNSETVNETLE, &on));
	if (ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6) < 0)
		platform_skip("no USO through a tap; vmlan segments datagrams itself");
	platform_ip("link set t0 address 02:00:00:00:00:01");
	platform_ip("neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev t0");
	udp = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	MUST(bind(udp, (struct sockaddr *)&at, sizeof(at)));

	ASSUME(write_super_frame(fd), "the tap refuses a super-frame of datagrams: %s", strerror(errno));
	for (unsigned int i = 0; i < N_SEGMENTS; i++) {
		ASSUME(platform_wait(udp, POLLIN, 1000) & POLLIN, "datagram %u of %u is missing", i,
			N_SEGMENTS);
		n = MUST(recv(udp, buf, sizeof(buf), 0));
		ASSUME(n == SEGMENT_BYTES && buf[0] == (char)i, "datagram %u has %zd bytes", i, n);
	}

	to.sin_addr.s_addr = inet_addr("192.0.2.2");
	MUST(platform_set_int(udp, SOL_UDP, UDP_SEGMENT, SEGMENT_BYTES));
	MUST(sendto(udp, buf, sizeof(buf), 0, (struct sockaddr *)&to, sizeof(to)));
	ASSUME(platform_wait(fd, POLLIN, 1000) & POLLIN, "nothing came through the tap");
	n = read_super_frame(fd, &o);
	ASSUME(n == sizeof(buf) && o.gso == OFFLOAD_GSO_UDP && o.gso_size == SEGMENT_BYTES,
		"a guest's joined datagrams come as %zd bytes, gso %u of %u", n, o.gso, o.gso_size);
	platform_says("USO works through a tap both ways: %u datagrams in one frame", N_SEGMENTS);
	return 0;
}
