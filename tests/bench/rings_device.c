/* SPDX-License-Identifier: BSD-2-Clause */
/* The front end's words (QEMU, docs/interop/vhost-user.rst) and the driver's side of its two rings (virtio 1.2, 2.7
 * and 2.8). Indexes are counts of 16 bits, of which a ring's size is a power of two below: which place, and for a
 * packed ring which wrap counter, follows from the count. */
#include "rings.h"

#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define GUEST_AT   0x40000000u
#define USER_AT    0x7f0000000000u
#define RING_BYTES (64u << 10)
#define MEM_BYTES  (N_RINGS * (RING_BYTES + (size_t)RING_NUM_MAX * BUFFER_BYTES))

#define DESC_WRITE 2
#define AVAIL_FLAG (1u << 7)
#define USED_FLAG  (1u << 15)

enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
};

struct desc {
	uint64_t addr;
	uint32_t n_bytes;
	uint16_t a, b; /* split: flags, next; packed: id, flags */
};

static void say(struct device *d, uint32_t request, const void *body, uint32_t n, int fd)
{
	uint32_t head[3] = {request, 1, n};
	struct iovec iov[2] = {{head, sizeof(head)}, {(void *)(uintptr_t)body, n}};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};

	if (fd >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control.room);
		control.head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	if (sendmsg(d->sock, &m, MSG_NOSIGNAL) != (ssize_t)(sizeof(head) + n))
		rings_die("the back end closed the connection");
}

static void say_u64(struct device *d, uint32_t request, uint64_t v, int fd)
{
	say(d, request, &v, sizeof(v), fd);
}

static uint64_t ask(struct device *d, uint32_t request)
{
	uint32_t head[3];
	uint64_t v;

	say(d, request, NULL, 0, -1);
	if (recv(d->sock, head, sizeof(head), MSG_WAITALL) != sizeof(head) || head[0] != request || head[2] != sizeof(v) ||
		recv(d->sock, &v, sizeof(v), MSG_WAITALL) != sizeof(v))
		rings_die("no answer from the back end");
	return v;
}

static size_t ring_at(int ring)
{
	return (size_t)ring * RING_BYTES;
}

static size_t buffer_at(int ring, unsigned int id)
{
	return N_RINGS * (size_t)RING_BYTES + ((size_t)ring * RING_NUM_MAX + id) * BUFFER_BYTES;
}

uint8_t *device_buffer(const struct device *d, int ring, unsigned int id)
{
	return d->mem + buffer_at(ring, id);
}

static struct desc *desc_of(const struct ring *r, unsigned int i)
{
	return (struct desc *)(void *)r->desc + i;
}

static uint16_t *half(uint8_t *at)
{
	return (uint16_t *)(void *)at;
}

static void start_ring(struct device *d, int i, uint16_t num)
{
	struct ring *r = &d->rings[i];
	size_t at = ring_at(i);
	uint32_t state[2] = {(uint32_t)i, num};
	uint64_t addr[5] = {(uint64_t)i, USER_AT + at, USER_AT + at + 40960, USER_AT + at + 32768, 0};

	*r = (struct ring){.num = num, .desc = d->mem + at, .driver = d->mem + at + 32768, .device = d->mem + at + 40960,
		.kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	for (unsigned int id = 0; id < num && !d->packed; id++)
		*desc_of(r, id) = (struct desc){GUEST_AT + buffer_at(i, id), d->n_buffer_bytes, i == RING_RX ? DESC_WRITE : 0, 0};
	if (d->packed)
		*half(r->driver + 2) = 1;
	else if (d->event_idx)
		*half(r->driver + 4 + 2 * num) = 0xffff; /* passed once in 65,536 */
	else
		*half(r->driver) = 1;
	say(d, SET_VRING_NUM, state, sizeof(state), -1);
	state[1] = d->packed ? 0x80008000u : 0;
	say(d, SET_VRING_BASE, state, sizeof(state), -1);
	say(d, SET_VRING_ADDR, addr, sizeof(addr), -1);
	say_u64(d, SET_VRING_CALL, (uint64_t)i, r->call_fd);
	say_u64(d, SET_VRING_KICK, (uint64_t)i, r->kick_fd);
	state[1] = 1;
	say(d, SET_VRING_ENABLE, state, sizeof(state), -1);
}

void device_open(struct device *d, const char *path, bool packed, bool no_offload, uint16_t num,
	unsigned int n_buffer_bytes)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	uint64_t wanted = 1ull << F_VERSION_1 | 1ull << F_PROTOCOL_FEATURES | 1ull << F_MRG_RXBUF | 1ull << F_EVENT_IDX;
	uint64_t table[5] = {1, GUEST_AT, MEM_BYTES, USER_AT, 0};

	if (!no_offload)
		wanted |= 1ull << F_CSUM | 1ull << F_GUEST_CSUM | 1ull << F_GUEST_TSO4 | 1ull << F_HOST_TSO4;
	if (packed)
		wanted |= 1ull << F_RING_PACKED;
	d->n_buffer_bytes = n_buffer_bytes;
	d->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strncpy(to.sun_path, path, sizeof(to.sun_path) - 1);
	/* It is there before it is listened to. */
	for (int i = 0; connect(d->sock, (struct sockaddr *)&to, sizeof(to)); i++) {
		if (i == 100)
			rings_die("cannot connect to the socket");
		usleep(20000);
	}
	d->mem_fd = memfd_create("guest", MFD_CLOEXEC);
	if (d->mem_fd < 0 || ftruncate(d->mem_fd, (off_t)MEM_BYTES))
		rings_die("no memory");
	d->mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, d->mem_fd, 0);
	if (d->mem == MAP_FAILED)
		rings_die("no memory");
	for (int i = 0; i < N_RINGS; i++) /* there before it is measured */
		memset(device_buffer(d, i, 0), 0, (size_t)num * BUFFER_BYTES);
	say(d, SET_OWNER, NULL, 0, -1);
	d->features = ask(d, GET_FEATURES) & wanted;
	d->packed = d->features >> F_RING_PACKED & 1;
	d->event_idx = d->features >> F_EVENT_IDX & 1;
	if (packed && !d->packed)
		rings_die("the back end offers no packed rings");
	if (d->features >> F_PROTOCOL_FEATURES & 1) {
		(void)ask(d, GET_PROTOCOL_FEATURES);
		say_u64(d, SET_PROTOCOL_FEATURES, 0, -1);
	}
	say_u64(d, SET_FEATURES, d->features, -1);
	say(d, SET_MEM_TABLE, table, sizeof(table), d->mem_fd);
	for (int i = 0; i < N_RINGS; i++)
		start_ring(d, i, num);
	for (unsigned int id = 0; id < num; id++)
		device_give(d, id);
	d->n_free = num;
	device_kick(d, RING_RX);
}

static void put(struct device *d, int ring, unsigned int id, size_t n_bytes)
{
	struct ring *r = &d->rings[ring];
	unsigned int at = r->next & (r->num - 1u);

	if (d->packed) {
		struct desc *p = desc_of(r, at);
		bool wrap = !(r->next / r->num & 1);
		uint16_t flags = (uint16_t)((wrap ? AVAIL_FLAG : USED_FLAG) | (ring == RING_RX ? DESC_WRITE : 0));

		p->addr = GUEST_AT + buffer_at(ring, id);
		p->n_bytes = (uint32_t)n_bytes;
		p->a = (uint16_t)id;
		__atomic_store_n(&p->b, flags, __ATOMIC_RELEASE);
		r->next++;
		return;
	}
	if (ring == RING_TX)
		desc_of(r, id)->n_bytes = (uint32_t)n_bytes;
	*half(r->driver + 4 + 2 * at) = (uint16_t)id;
	__atomic_store_n(half(r->driver + 2), ++r->next, __ATOMIC_RELEASE);
}

static bool get(struct device *d, int ring, struct taken *ret)
{
	struct ring *r = &d->rings[ring];
	unsigned int at = r->seen & (r->num - 1u);

	if (r->seen == r->next)
		return false;
	if (d->packed) {
		struct desc *p = desc_of(r, at);
		uint16_t flags = __atomic_load_n(&p->b, __ATOMIC_ACQUIRE);
		bool wrap = !(r->seen / r->num & 1);

		if (!!(flags & AVAIL_FLAG) != wrap || !!(flags & USED_FLAG) != wrap)
			return false;
		*ret = (struct taken){p->a, p->n_bytes};
	} else {
		uint32_t entry[2];

		if (__atomic_load_n(half(r->device + 2), __ATOMIC_ACQUIRE) == r->seen)
			return false;
		memcpy(entry, r->device + 4 + 8 * at, sizeof(entry));
		*ret = (struct taken){entry[0], entry[1]};
	}
	r->seen++;
	if (ret->id >= r->num)
		rings_die("the back end used a buffer that does not exist");
	return true;
}

void device_give(struct device *d, unsigned int id)
{
	put(d, RING_RX, id, d->n_buffer_bytes);
}

bool device_take(struct device *d, struct taken *ret)
{
	if (!get(d, RING_RX, ret))
		return false;
	d->n_taken++;
	return true;
}

bool device_get(struct device *d, unsigned int *ret_id)
{
	if (d->n_free == 0)
		return false;
	*ret_id = d->rings[RING_TX].next & (d->rings[RING_TX].num - 1u);
	return true;
}

void device_put(struct device *d, unsigned int id, size_t n_bytes)
{
	d->n_free--;
	put(d, RING_TX, id, n_bytes);
}

void device_reap(struct device *d)
{
	const struct ring *r = &d->rings[RING_TX];
	struct taken t;

	while (get(d, RING_TX, &t)) {
		if (t.id != ((r->seen - 1u) & (r->num - 1u)))
			rings_die("the back end used buffers in another order");
		d->n_free++;
		d->n_reaped++;
	}
}

static bool is_wanted(const struct device *d, const struct ring *r, uint16_t before)
{
	if (!d->packed && d->event_idx) {
		uint16_t event = __atomic_load_n(half(r->device + 4 + 8 * r->num), __ATOMIC_RELAXED);

		return (uint16_t)(r->next - event - 1) < (uint16_t)(r->next - before);
	}
	if (!d->packed)
		return !(__atomic_load_n(half(r->device), __ATOMIC_RELAXED) & 1);
	uint16_t flags = __atomic_load_n(half(r->device + 2), __ATOMIC_ACQUIRE);
	uint16_t place = __atomic_load_n(half(r->device), __ATOMIC_RELAXED);

	if (flags != 2)
		return flags == 0;
	/* Counted from where we are now: the event is less than a lap behind `before`, or ahead. */
	uint16_t lap = (uint16_t)(2u * r->num);
	uint16_t event = (uint16_t)((place & 0x7fff) + (place & 0x8000 ? 0 : r->num));

	return (uint16_t)((r->next - event - 1u) % lap) < (uint16_t)(r->next - before);
}

void device_kick(struct device *d, int ring)
{
	static const uint64_t one = 1;
	struct ring *r = &d->rings[ring];
	uint16_t before = r->shown;

	if (before == r->next)
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	r->shown = r->next;
	if (!is_wanted(d, r, before))
		return;
	d->n_kicks++;
	(void)!write(r->kick_fd, &one, sizeof(one));
}
