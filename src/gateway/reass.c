/* SPDX-License-Identifier: BSD-2-Clause */
/* Theory of operation
 *
 * A slot holds one unfinished datagram: its key (RFC 791: addresses, protocol, identification; and the
 * guest's port), a buffer as large as a datagram can be, and a bit for each unit of 8 bytes that has
 * come. Offsets count in these units and only the last fragment may end within one, so the bits say
 * exactly what RFC 815's list of holes says, in a space that no sender can make grow: a fragment is new
 * if none of its bits is set, and the datagram is complete when the last fragment has told the length
 * and as many bits are set as that takes.
 *
 * Overlaps are never resolved one way or the other, which is what attacks on reassembly live on: the
 * datagram is given up (RFC 5722's rule, applied to IPv4). So is one whose fragments contradict each
 * other about its end. The slot stays taken until its time is over and swallows what still comes of it,
 * for else the rest would look like a new datagram with holes. A copy of what has come already, the same
 * to the byte, is what a network that duplicates produces; it changes nothing and is let pass.
 *
 * The time of a datagram starts with its first fragment and no fragment makes it longer. A port that
 * has all the slots it may loses its own oldest datagram; when all slots are taken, the port that has
 * most of them does, the newcomer's own before others that have as many. So a guest that floods hurts
 * itself.
 *
 * Tiny fragments need no rule of their own: nothing looks into a datagram before it is whole. */
#include "reass.h"

#include <sys/mman.h>

#include "port.h"

#define UNIT_BYTES    8
#define BUFFER_BYTES  65536
#define BUFFERS_BYTES ((size_t)REASS_MAX * BUFFER_BYTES)
#define WORD_BITS     64
#define MAP_WORDS     (BUFFER_BYTES / UNIT_BYTES / WORD_BITS)

struct slot {
	bool used;
	bool dead; /* swallows its fragments; only the key and started_ms matter */
	uint8_t proto;
	uint16_t port_id, id;
	uint32_t src_be, dst_be;
	uint64_t started_ms;
	uint32_t total_bytes; /* of the payload; 0: the last fragment has not come */
	uint32_t end_bytes;   /* where what has come ends */
	uint32_t n_units;     /* bits set in map */
	uint64_t map[MAP_WORDS];
};

struct reass {
	struct slot slots[REASS_MAX];
	uint8_t *buffers; /* BUFFER_BYTES for each slot, in their order */
};

/* A fragment, checked: first_bytes + n_bytes is at most REASS_LENGTH_MAX. */
struct piece {
	uint32_t first_bytes, n_bytes;
	bool last;
	const uint8_t *data;
};

int reass_new(struct reass **ret)
{
	_cleanup_free_ struct reass *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	/* Straight from the kernel: zero pages, none of them there until written. calloc() does the same, but under
	 * the address sanitizer marks 4 MiB as good and bad again, which cost a fuzzer most of its time. */
	void *map = mmap(NULL, BUFFERS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return -errno;
	r->buffers = map;
	*ret = TAKE_PTR(r);
	return 0;
}

struct reass *reass_free(struct reass *r)
{
	if (r) {
		(void)munmap(r->buffers, BUFFERS_BYTES);
		free(r);
	}
	return NULL;
}

static uint8_t *slot_buffer(struct reass *r, const struct slot *s)
{
	return r->buffers + (size_t)(s - r->slots) * BUFFER_BYTES;
}

static bool slot_timed_out(const struct slot *s, uint64_t now_ms)
{
	return now_ms >= s->started_ms + REASS_TIMEOUT_MS;
}

unsigned int reass_expire(struct reass *r, uint64_t now_ms)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < REASS_MAX; i++) {
		struct slot *s = &r->slots[i];

		if (s->used && slot_timed_out(s, now_ms)) {
			s->used = false;
			n += !s->dead;
		}
	}
	return n;
}

void reass_forget_port(struct reass *r, uint16_t port_id)
{
	for (unsigned int i = 0; i < REASS_MAX; i++)
		if (r->slots[i].port_id == port_id)
			r->slots[i].used = false;
}

unsigned int reass_count(const struct reass *r, uint16_t port_id)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < REASS_MAX; i++) {
		const struct slot *s = &r->slots[i];

		n += s->used && !s->dead && (port_id == UINT16_MAX || s->port_id == port_id);
	}
	return n;
}

/* --- Slots ----------------------------------------------------------------------------------------- */

static struct slot *slot_find(struct reass *r, uint16_t port_id, const struct ip4 *ip)
{
	for (unsigned int i = 0; i < REASS_MAX; i++) {
		struct slot *s = &r->slots[i];

		if (s->used && s->id == ip->id && s->port_id == port_id && s->src_be == ip->src_be &&
				s->dst_be == ip->dst_be && s->proto == ip->proto)
			return s;
	}
	return NULL;
}

static struct slot *slot_oldest(struct reass *r, uint16_t port_id)
{
	struct slot *oldest = NULL;

	for (unsigned int i = 0; i < REASS_MAX; i++) {
		struct slot *s = &r->slots[i];

		if (s->used && s->port_id == port_id && (!oldest || s->started_ms < oldest->started_ms))
			oldest = s;
	}
	return oldest;
}

/* Slots of each port, dead ones too. Returns how many in all. */
static unsigned int count_by_port(const struct reass *r, uint8_t ret[PORT_MAX])
{
	unsigned int n = 0;

	memset(ret, 0, PORT_MAX);
	for (unsigned int i = 0; i < REASS_MAX; i++) {
		if (!r->slots[i].used)
			continue;
		ret[r->slots[i].port_id]++;
		n++;
	}
	return n;
}

/* The port that has most slots; the newcomer's own, if no other has more. */
static uint16_t greediest_port(const uint8_t by_port[PORT_MAX], uint16_t own)
{
	uint16_t greediest = own;

	for (uint16_t i = 0; i < PORT_MAX; i++)
		if (by_port[i] > by_port[greediest])
			greediest = i;
	return greediest;
}

/* A slot for a new datagram of this port. *ret_evicted: an unfinished one had to go. */
static struct slot *slot_alloc(struct reass *r, uint16_t port_id, bool *ret_evicted)
{
	uint8_t by_port[PORT_MAX];
	unsigned int n = count_by_port(r, by_port);
	struct slot *s = NULL;

	*ret_evicted = false;
	if (by_port[port_id] >= REASS_PORT_MAX)
		s = slot_oldest(r, port_id);
	else if (n == REASS_MAX)
		s = slot_oldest(r, greediest_port(by_port, port_id));
	if (s) {
		*ret_evicted = !s->dead;
		return s;
	}
	for (s = r->slots; s->used; s++)
		;
	return s;
}

static void slot_start(struct slot *s, uint64_t now_ms, uint16_t port_id, const struct ip4 *ip)
{
	*s = (struct slot){
		.used = true,
		.proto = ip->proto,
		.port_id = port_id,
		.id = ip->id,
		.src_be = ip->src_be,
		.dst_be = ip->dst_be,
		.started_ms = now_ms,
	};
}

/* --- Bits ------------------------------------------------------------------------------------------ */

/* Bits [first, last] of word w of a map, those that lie in it. */
static uint64_t map_mask(uint32_t w, uint32_t first, uint32_t last)
{
	uint32_t low = w * WORD_BITS, high = low + WORD_BITS - 1;
	uint64_t mask = ~0ull;

	if (first > low)
		mask &= ~0ull << (first - low);
	if (last < high)
		mask &= ~0ull >> (high - last);
	return mask;
}

static uint32_t map_count(const uint64_t *map, uint32_t first, uint32_t last)
{
	uint32_t n = 0;

	for (uint32_t w = first / WORD_BITS; w <= last / WORD_BITS; w++)
		n += (uint32_t)__builtin_popcountll(map[w] & map_mask(w, first, last));
	return n;
}

static void map_set(uint64_t *map, uint32_t first, uint32_t last)
{
	for (uint32_t w = first / WORD_BITS; w <= last / WORD_BITS; w++)
		map[w] |= map_mask(w, first, last);
}

/* --- Fragments ------------------------------------------------------------------------------------- */

/* What no honest sender writes: an empty piece, one that is not the last and ends within a unit, one
 * that ends beyond the longest datagram. */
static bool piece_parse(const struct ip4 *ip, const uint8_t *payload, size_t n_bytes, struct piece *ret)
{
	size_t first = (size_t)(ip->frag & IP4_FRAG_MASK) * UNIT_BYTES;
	bool last = !(ip->frag & IP4_MORE_FRAG);
	size_t room = REASS_LENGTH_MAX - MAX((size_t)ip->header_bytes, (size_t)IP4_HEADER_BYTES);

	if (n_bytes == 0 || (!last && n_bytes % UNIT_BYTES))
		return false;
	if (first > room || n_bytes > room - first)
		return false;
	*ret = (struct piece){
		.first_bytes = (uint32_t)first, .n_bytes = (uint32_t)n_bytes, .last = last, .data = payload};
	return true;
}

/* Whether the piece agrees with what is known of the datagram's end. Until the last one has come, all
 * the others said that more comes after them. */
static bool piece_fits_end(const struct slot *s, const struct piece *p)
{
	uint32_t end = p->first_bytes + p->n_bytes;

	if (p->last)
		return s->total_bytes ? end == s->total_bytes : end > s->end_bytes;
	return !s->total_bytes || end < s->total_bytes;
}

/* false: it overlaps or contradicts what has come. */
static bool slot_add(struct reass *r, struct slot *s, const struct piece *p)
{
	uint32_t first = p->first_bytes / UNIT_BYTES;
	uint32_t last = (p->first_bytes + p->n_bytes - 1) / UNIT_BYTES;
	uint8_t *to = slot_buffer(r, s) + p->first_bytes;

	if (!piece_fits_end(s, p))
		return false;
	uint32_t n_here = map_count(s->map, first, last);
	if (n_here)
		return n_here == last - first + 1 && memcmp(to, p->data, p->n_bytes) == 0;
	memcpy(to, p->data, p->n_bytes);
	map_set(s->map, first, last);
	s->n_units += last - first + 1;
	s->end_bytes = MAX(s->end_bytes, p->first_bytes + p->n_bytes);
	if (p->last)
		s->total_bytes = p->first_bytes + p->n_bytes;
	return true;
}

static bool slot_complete(const struct slot *s)
{
	return s->total_bytes && s->n_units == (s->total_bytes + UNIT_BYTES - 1) / UNIT_BYTES;
}

enum drop_reason reass_input(struct reass *r, uint64_t now_ms, uint16_t port_id, const struct ip4 *ip,
		const uint8_t *payload, size_t n_bytes, const uint8_t **ret_payload, size_t *ret_bytes)
{
	struct piece p;
	bool evicted = false;

	*ret_payload = NULL;
	*ret_bytes = 0;
	if (n_bytes != ip->payload_bytes)
		return DROP_TRUNCATED;
	if (port_id >= PORT_MAX)
		return DROP_FRAGMENT;
	if (!ip4_is_fragment(ip)) {
		*ret_payload = payload;
		*ret_bytes = n_bytes;
		return DROP_NONE;
	}
	(void)reass_expire(r, now_ms);

	struct slot *s = slot_find(r, port_id, ip);
	if (s && s->dead)
		return DROP_FRAGMENT;
	if (!piece_parse(ip, payload, n_bytes, &p)) {
		if (s)
			s->dead = true;
		return DROP_FRAGMENT;
	}
	if (!s) {
		s = slot_alloc(r, port_id, &evicted);
		slot_start(s, now_ms, port_id, ip);
	}
	if (!slot_add(r, s, &p)) {
		s->dead = true;
		return DROP_FRAGMENT;
	}
	if (slot_complete(s)) {
		s->used = false; /* the buffer keeps its bytes until the slot is taken again */
		*ret_payload = slot_buffer(r, s);
		*ret_bytes = s->total_bytes;
	}
	return evicted ? DROP_FRAGMENT_CAP : DROP_NONE;
}

/* --- Sending --------------------------------------------------------------------------------------- */

/* Where in a vector the next fragment begins. */
struct iov_cursor {
	const struct iovec *iov;
	unsigned int n;
	size_t offset; /* in the first of iov */
};

/* The next n_bytes. The number of pieces or -errno. */
static int iov_take(struct iov_cursor *c, size_t n_bytes, struct iovec ret[FRAG_IOV_MAX])
{
	int n_ret = 0;

	while (n_bytes) {
		if (c->n == 0)
			return -EINVAL;
		size_t take = MIN(c->iov->iov_len - c->offset, n_bytes);
		if (take) {
			if (n_ret == FRAG_IOV_MAX)
				return -E2BIG;
			ret[n_ret++] = (struct iovec){(uint8_t *)c->iov->iov_base + c->offset, take};
			c->offset += take;
			n_bytes -= take;
		}
		if (c->offset == c->iov->iov_len) {
			c->iov++;
			c->n--;
			c->offset = 0;
		}
	}
	return n_ret;
}

int frag_send(const struct ip4 *ip, const struct iovec *payload, unsigned int n, size_t n_bytes, uint16_t mtu,
		int (*emit)(void *ctx, const struct ip4 *ip, const struct iovec *piece, unsigned int n_piece,
				size_t n_bytes),
		void *ctx)
{
	struct iov_cursor c = {.iov = payload, .n = n};
	size_t first = (size_t)(ip->frag & IP4_FRAG_MASK) * UNIT_BYTES;
	size_t room = mtu > IP4_HEADER_BYTES ? mtu - (size_t)IP4_HEADER_BYTES : 0;
	size_t done = 0;

	if (n_bytes > room) {
		room &= ~(size_t)(UNIT_BYTES - 1);
		if (!room || (ip->frag & IP4_DONT_FRAG))
			return -EMSGSIZE;
	}
	if (first + n_bytes > REASS_LENGTH_MAX - IP4_HEADER_BYTES)
		return -EMSGSIZE;
	do {
		struct iovec piece[FRAG_IOV_MAX];
		size_t n_here = MIN(n_bytes - done, room);
		struct ip4 header = *ip;

		int n_piece = iov_take(&c, n_here, piece);
		if (n_piece < 0)
			return n_piece;
		header.header_bytes = IP4_HEADER_BYTES;
		header.payload_bytes = (uint16_t)n_here;
		header.frag = (uint16_t)((ip->frag & ~IP4_FRAG_MASK) | (first + done) / UNIT_BYTES);
		done += n_here;
		if (done < n_bytes)
			header.frag |= IP4_MORE_FRAG;
		int r = emit(ctx, &header, piece, (unsigned int)n_piece, n_here);
		if (r < 0)
			return r;
	} while (done < n_bytes);
	return 0;
}
