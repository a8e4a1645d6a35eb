/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules that every frame to the guest is held to, in the order in which they were sent. Each needs
 * only what was seen on the wire:
 *
 *  - lengths, addresses and checksums are right, and the offload header says of the frame what is so;
 *  - no segment is longer than the MSS allows, unless as a super-frame that the guest can take;
 *  - data is that of the stream, however often it is sent; none lies beyond the window that the guest
 *    opened, but for one byte as a probe of a closed one; none lies beyond the FIN, which stays in one place;
 *  - an acknowledgement covers only what was sent and never falls behind an earlier one;
 *  - the right edge of the window never moves back;
 *  - options appear where they may, and only if they were offered. */
#include "peer_internal.h"

#include "csum.h"
#include "eth.h"
#include "ip4.h"

static void check_offload(struct peer *p, const struct mem_frame *f, const struct ip4 *ip, const uint8_t *l4)
{
	const struct offload *o = &f->offload;
	struct ip_addr src = ip_addr_from4(ip->src_be), dst = ip_addr_from4(ip->dst_be);
	uint64_t sum = csum_pseudo(&src, &dst, ip->proto, ip->payload_bytes);
	uint16_t field;

	memcpy(&field, l4 + TCP_CSUM_OFFSET, 2);
	if (!o->csum_needed) {
		sim_check(p->sim, csum_fold(csum_add(l4, ip->payload_bytes, sum)) == 0, "wrong TCP checksum");
		sim_check(p->sim, !o->gso, "a super-frame with a complete checksum");
		return;
	}
	sim_check(p->sim, p->c.rx_csum, "a frame without checksum to a guest that cannot take it");
	sim_check(p->sim,
		o->csum_start == ETH_HEADER_BYTES + ip->header_bytes && o->csum_offset == TCP_CSUM_OFFSET,
		"checksum at %u + %u", o->csum_start, o->csum_offset);
	sim_check(p->sim, field == csum_fold_partial(sum), "the partial checksum is not the pseudo-header's");
}

static void check_size(struct peer *p, const struct mem_frame *f, const struct ip4 *ip,
	const struct peer_packet *k, unsigned int mss)
{
	const struct offload *o = &f->offload;

	if (!o->gso) {
		sim_check(p->sim, ip->header_bytes + ip->payload_bytes <= p->c.mtu, "%u bytes at MTU %u",
			ip->header_bytes + ip->payload_bytes, p->c.mtu);
		sim_check(p->sim, k->n_bytes <= mss, "%zu bytes of data at MSS %u", k->n_bytes, mss);
		return;
	}
	sim_check(p->sim, p->c.rx_tso && o->gso == OFFLOAD_GSO_TCP4, "a super-frame of kind %u", o->gso);
	sim_check(p->sim, o->gso_size && o->gso_size <= mss, "segments of %u at MSS %u", o->gso_size, mss);
	sim_check(p->sim, o->header_len == ETH_HEADER_BYTES + ip->header_bytes + k->tcp.header_bytes,
		"header length %u", o->header_len);
	sim_check(p->sim, !(k->tcp.flags & (TCP_SYN | TCP_RST)) && k->n_bytes > o->gso_size,
		"a super-frame of %zu bytes in segments of %u", k->n_bytes, o->gso_size);
}

static void check_syn(struct peer_conn *c, const struct tcp *t)
{
	struct sim *sim = c->peer->sim;
	struct peer_seen *s = &c->seen;
	/* Ours was first, or both at once (RFC 9293, MUST-10). */
	bool active = c->state == PEER_LISTEN || c->state == PEER_SYN_RCVD ||
		      (c->state == PEER_SYN_SENT && c->c.local_port == c->peer->listen_port);

	s->n_syn++;
	sim_check(sim, !(t->flags & TCP_FIN), "SYN and FIN");
	sim_check(sim, t->mss >= 1 && t->mss <= c->peer->c.mtu - 40, "MSS %u at MTU %u", t->mss,
		c->peer->c.mtu);
	if (!s->syn) {
		s->syn = true;
		s->irs = t->seq;
		s->max = 1;
		s->scale = t->wscale >= 0 && !c->c.no_wscale ? (uint8_t)t->wscale : 0;
	}
	sim_check(sim, t->seq == s->irs, "another initial sequence number");
	if (!active || (t->flags & TCP_ACK)) {
		sim_check(sim, (t->flags & TCP_ACK) && t->ack == peer_seq(c, 1), "SYN-ACK of something else");
		sim_check(sim, t->wscale < 0 || !c->c.no_wscale, "a window scale that was not offered");
	}
}

static void check_ack(struct peer_conn *c, const struct tcp *t, size_t n)
{
	struct sim *sim = c->peer->sim;
	struct peer_seen *s = &c->seen;
	uint64_t ack = c->una + (uint64_t)(int64_t)(int32_t)(t->ack - peer_seq(c, c->una));
	uint64_t window = (uint64_t)t->window << (t->flags & TCP_SYN ? 0 : s->scale);

	sim_check(sim, (int64_t)ack >= 0 && ack <= c->max, "acknowledges %lld of %llu", (long long)ack,
		(unsigned long long)c->max);
	sim_check(sim, !s->ack || ack >= s->acked, "acknowledges %llu after %llu", (unsigned long long)ack,
		(unsigned long long)s->acked);
	/* Behind our FIN there is nothing that a window could be for. */
	bool ended = c->fin_at && ack > c->fin_at;

	sim_check(sim, !s->ack || ended || ack + window >= s->edge,
		"the window's edge went back from %llu to %llu", (unsigned long long)s->edge,
		(unsigned long long)(ack + window));
	s->n_zero_windows += window == 0;
	/* Less than the unit of the scale is but rounding. */
	uint64_t opened = s->ack && ack + window > s->edge ? ack + window - s->edge : 0;
	s->n_crumbs += opened > 1u << s->scale && opened < c->mss / 2u && s->edge - s->acked < c->mss;
	if (!n && !(t->flags & (TCP_SYN | TCP_FIN))) {
		s->n_pure_acks++;
		s->n_challenges += s->ack && ack == s->acked && ack + window == s->edge;
	}
	s->ack = true;
	s->acked = ack;
	s->edge = MAX(s->edge, ack + window);
}

static void check_data(struct peer_conn *c, const struct peer_packet *k, uint64_t position)
{
	struct sim *sim = c->peer->sim;
	struct peer_seen *s = &c->seen;
	size_t n = k->n_bytes;
	bool fin = k->tcp.flags & TCP_FIN;

	if (n) {
		bool one_as_probe = n == 1 && c->rcv_edge == c->rcv_nxt && position == c->rcv_edge;

		sim_check(sim, position >= 1, "data at the SYN's place");
		sim_check(sim, position + n <= c->rcv_edge || one_as_probe,
			"%zu bytes at %llu, the edge is %llu", n, (unsigned long long)position,
			(unsigned long long)c->rcv_edge);
		size_t right = stream_match(c->c.app.recv_seed, peer_offset(position), k->data, n);
		sim_check(sim, right == n, "byte %llu is not the stream's",
			(unsigned long long)(peer_offset(position) + right));
		s->n_data_bytes += n;
		if (position < s->max)
			s->n_again_bytes += MIN(s->max, position + n) - position;
	}
	sim_check(sim, !s->fin || position + n <= s->fin_at + (n ? 0 : 1), "data beyond the FIN");
	if (fin) {
		s->n_fin++;
		sim_check(sim, !s->fin || s->fin_at == position + n, "the FIN has moved");
		sim_check(sim, position + n >= s->max || s->fin, "a FIN before its data");
		s->fin = true;
		s->fin_at = position + n;
	}
	sim_check(sim, position <= s->max, "a gap before %llu", (unsigned long long)position);
	s->max = MAX(s->max, position + n + (fin ? 1 : 0));
}

static void check_segment(struct peer_conn *c, const struct peer_packet *k)
{
	struct peer_seen *s = &c->seen;
	const struct tcp *t = &k->tcp;

	s->n_segments++;
	sim_check(c->peer->sim, (t->flags & TCP_SYN) || t->header_bytes == TCP_HEADER_BYTES,
		"options outside a SYN");
	sim_check(c->peer->sim, !(t->flags & TCP_URG), "urgent data");
	/* An old SYN of ours that came only now opens another connection, which our answer ends. */
	bool ended = c->state == PEER_TIME_WAIT || s->rst;
	if (ended && (s->rst || ((t->flags & TCP_SYN) && s->syn && t->seq != s->irs)))
		return;
	if (t->flags & TCP_SYN)
		check_syn(c, t);
	if (t->flags & TCP_RST) {
		s->n_rst++;
		s->rst = true;
		return;
	}
	sim_check(c->peer->sim, t->flags & (TCP_ACK | TCP_SYN), "neither SYN nor ACK");
	/* The answer to a SYN of the same addresses as a connection that the other end still has: ours
	 * resets that one (RFC 9293, 3.5.1). */
	if (c->state == PEER_SYN_SENT && !s->syn && !(t->flags & TCP_SYN))
		return;
	if (t->flags & TCP_ACK)
		check_ack(c, t, k->n_bytes);
	if (!s->syn || (t->flags & TCP_SYN))
		return;
	uint64_t position = s->max + (uint64_t)(int64_t)(int32_t)(t->seq - (s->irs + (uint32_t)s->max));
	sim_check(c->peer->sim, (int64_t)position >= 0, "a sequence number before the SYN's");
	check_data(c, k, position);
}

static struct peer_conn *conn_of(struct peer *p, const struct peer_packet *k)
{
	struct peer_conn *c = peer_find(p, k->tcp.dst_port, k->src_be, k->tcp.src_port);

	if (c || !p->listening || k->tcp.dst_port != p->listen_port ||
		(k->tcp.flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return c;
	struct peer_tcp_config config = p->listener;

	config.local_port = k->tcp.dst_port;
	config.remote_be = k->src_be;
	config.remote_port = k->tcp.src_port;
	return peer_new_conn(p, &config, PEER_LISTEN);
}

void peer_inspect(struct peer *p, const struct mem_frame *f)
{
	struct rd r = rd_of(f->bytes, f->n_bytes);
	struct peer_packet k = {};
	struct eth eth;
	struct ip4 ip;

	if (p->c.faulty)
		return;
	sim_check(p->sim, !eth_parse(&r, &eth), "a frame of %zu bytes", f->n_bytes);
	sim_check(
		p->sim, mac_eq(&eth.dst, &p->c.mac) || mac_is_group(&eth.dst), "a frame for another station");
	if (mac_is_group(&eth.dst) && !mac_eq(&eth.src, &p->gateway_mac))
		return; /* another guest's broadcast */
	sim_check(p->sim, !p->have_gateway || mac_eq(&eth.src, &p->gateway_mac),
		"a frame from another station");
	if (eth.type != ETH_TYPE_IP4)
		return;
	sim_check(p->sim, !ip4_parse(&r, r.left, &ip), "a broken IPv4 header");
	sim_check(p->sim, ip.dst_be == p->c.ip_be && ip.ttl > 0, "a packet for another address");
	sim_check(p->sim,
		ip.header_bytes + ip.payload_bytes + ETH_HEADER_BYTES == (ssize_t)f->n_bytes ||
			f->n_bytes <= 60,
		"%u bytes of IPv4 in a frame of %zu", ip.header_bytes + ip.payload_bytes, f->n_bytes);
	if (ip.proto != IP_PROTO_TCP)
		return;
	const uint8_t *l4 = r.p;

	sim_check(p->sim, !tcp_parse(&r, &k.tcp), "a broken TCP header");
	check_offload(p, f, &ip, l4);
	k.data = r.p;
	k.n_bytes = r.left;
	k.src_be = ip.src_be;
	struct peer_conn *c = conn_of(p, &k);
	unsigned int mss = p->c.mtu - 40u;

	/* What we announced; RFC 9293, MUST-15, when we announced nothing. Below PEER_LEAST_MSS nobody has to
	 * go: Linux (tcp_min_snd_mss) does not either. */
	if (c)
		mss = c->c.no_mss ? MIN(mss, (unsigned int)TCP_DEFAULT_MSS)
				  : MAX(c->c.mss, (uint16_t)PEER_LEAST_MSS);
	check_size(p, f, &ip, &k, mss);
	if (c)
		check_segment(c, &k);
}
