/* SPDX-License-Identifier: BSD-2-Clause */
/* A hostile front end, and a hostile guest behind it. The input is a list of steps: requests with whatever
 * descriptors, bytes that are none, writes to the guest's memory, kicks, and frames of ours to the guest.
 * One step is all that a front end says at its start, so that the rest may meet running rings. */
#include <assert.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "vhost_dev.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define GUEST_AT 0x100000u
#define USER_AT  0x7f0000000000u
#define BYTES    65536u
#define NUM      16u
#define FDS      9

enum step { MESSAGE, RAW, PASS, START, KICK, POKE, SEND, CUT, STEPS };
enum kind { FD_MEMORY, FD_EVENT, FD_NULL, FD_FOLDER, FD_PIPE, FD_SOCKET, FD_KINDS };

static struct loop *loop;
static struct port *port;
static uint8_t *memory;
static int peer, fds[FD_KINDS];
static unsigned int n_closed;
static size_t n_sum;

static bool is_known(const struct vhost_port *p, const struct iovec *iov)
{
	const uint8_t *at = iov->iov_base, *heads = (const uint8_t *)p->heads;

	if (at >= heads && at + iov->iov_len <= heads + sizeof(p->heads))
		return true;
	for (unsigned int i = 0; i < p->mem.n; i++)
		if (at >= p->mem.regions[i].at && at + iov->iov_len <= p->mem.regions[i].at + p->mem.regions[i].n_bytes)
			return true;
	return false;
}

static void on_input(void *ctx, struct port *p, const struct frame *frames, unsigned int n)
{
	const struct vhost_port *v = container_of(p, struct vhost_port, port);

	assert(n > 0 && n <= PORT_BATCH);
	for (unsigned int i = 0; i < n; i++) {
		const struct frame *f = &frames[i];
		size_t sum = 0;

		assert(f->n_bytes >= 14 && f->n_bytes <= FRAME_MAX_BYTES);
		assert(f->head_bytes == MIN(f->n_bytes, (size_t)FRAME_HEAD_BYTES));
		if (f->n_bytes == 60)
			continue; /* a RARP frame lies elsewhere */
		for (unsigned int k = 0; k < f->n_iov; k++) {
			assert(is_known(v, &f->iov[k]));
			for (size_t at = 0; at < f->iov[k].iov_len; at++)
				n_sum += ((const uint8_t *)f->iov[k].iov_base)[at];
			sum += f->iov[k].iov_len;
		}
		assert(sum == f->n_bytes);
		(void)port_send(p, f->iov, MIN(f->n_iov, 100u), f->n_iov <= 100 ? f->n_bytes : 0, &f->offload);
	}
}

static void on_room(void *ctx, struct port *p)
{
}

static void on_closed(void *ctx, struct port *p, int error, bool final)
{
	n_closed++;
	assert(final);
}

static void on_opened(void *ctx, struct port *p)
{
}

static uint64_t fake_clock(void *ctx)
{
	return 1;
}

static void pass(int n)
{
	uint8_t rest[4096];

	while (n--)
		if (loop_run_once(loop, 0) < 0)
			abort();
	while (recv(peer, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		;
}

static void say(uint32_t request, uint32_t flags, const void *body, uint32_t n, enum kind kind, unsigned int n_fds)
{
	uint32_t head[3] = {request, flags, n};
	struct iovec iov[2] = {{head, sizeof(head)}, {(void *)(uintptr_t)body, n}};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(FDS * sizeof(int))];
	} control = {};
	struct msghdr h = {.msg_iov = iov, .msg_iovlen = 2};

	if (n_fds) {
		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		for (unsigned int i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fds[kind], sizeof(int));
	}
	(void)!sendmsg(peer, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void say_u64(uint32_t request, uint64_t value, unsigned int n_fds)
{
	say(request, 1, &value, sizeof(value), FD_EVENT, n_fds);
}

static void say_state(uint32_t request, uint32_t ring, uint32_t value)
{
	uint32_t body[2] = {ring, value};

	say(request, 1, body, sizeof(body), FD_EVENT, 0);
}

/* Rings of 16 at 0 and 4096, their parts 1024 apart. */
static void say_everything(uint64_t features)
{
	bool packed = features >> VHOST_F_RING_PACKED & 1;
	uint64_t region[5] = {1, GUEST_AT, BYTES, USER_AT, 0};

	say_u64(VHOST_SET_PROTOCOL_FEATURES, 1 << VHOST_PROTOCOL_REPLY_ACK, 0);
	say_u64(VHOST_SET_FEATURES, features, 0);
	say(VHOST_SET_MEM_TABLE, 1, region, sizeof(region), FD_MEMORY, 1);
	for (uint32_t i = 0; i < 2; i++) {
		uint64_t at = USER_AT + 4096 * i, addr[5] = {i, at, at + 2048, at + 1024, 0};

		say_state(VHOST_SET_VRING_NUM, i, NUM);
		say_state(VHOST_SET_VRING_BASE, i, packed ? 0x80008000 : 0);
		say(VHOST_SET_VRING_ADDR, 1, addr, sizeof(addr), FD_EVENT, 0);
		say_u64(VHOST_SET_VRING_KICK, i, 1);
		say_u64(VHOST_SET_VRING_CALL, i, 1);
		say_state(VHOST_SET_VRING_ENABLE, i, 1);
	}
	pass(2);
}

static uint64_t read_u64(struct rd *r)
{
	uint64_t high = rd_u32(r);

	return high << 32 | rd_u32(r);
}

static void play_message(struct rd *r)
{
	uint8_t request = rd_u8(r), flags = rd_u8(r), what = rd_u8(r);
	size_t n = MIN((size_t)rd_u16(r), r->left);

	say(request, flags, rd_bytes(r, n), (uint32_t)n, (what >> 4) % FD_KINDS, MIN(what & 15u, (unsigned int)FDS));
}

static void play_send(struct rd *r)
{
	static uint8_t frame[FRAME_MAX_BYTES];
	uint8_t what = rd_u8(r);
	size_t n = MIN((size_t)rd_u16(r), (size_t)FRAME_MAX_BYTES);
	struct offload o = {};
	struct iovec iov = {frame, n};
	struct room room;

	if (what & 4)
		o = (struct offload){.csum_needed = true, .csum_start = 34, .csum_offset = 16, .gso = what >> 4 & 3,
			.gso_size = 1000, .header_len = 54};
	if (what & 1) {
		(void)port_send(port, &iov, 1, n, &o);
	} else if (port_reserve(port, 54, n + 1, &room) == 0) {
		assert(room.n_bytes > 0 && room.n_bytes <= n + 1 && room.n_iov <= PORT_ROOM_IOV);
		for (unsigned int i = 0; i < room.n_iov; i++)
			memset(room.iov[i].iov_base, 1, room.iov[i].iov_len);
		memset(room.head, 2, room.n_head);
		if (what & 2)
			port_cancel(port, &room);
		else
			(void)port_commit(port, &room, MIN(n, room.n_bytes), &o);
	}
}

static void play_poke(struct rd *r)
{
	size_t at = rd_u16(r), n = rd_u8(r);

	n = MIN(MIN(n, r->left), BYTES - at);
	if (n)
		memcpy(memory + at, rd_bytes(r, n), n);
}

static void play(struct rd r)
{
	while (!r.bad && r.left) {
		uint8_t step = rd_u8(&r);
		uint64_t one = 1;
		size_t n;

		switch (step % STEPS) {
		case MESSAGE:
			play_message(&r);
			break;
		case RAW:
			n = MIN((size_t)rd_u8(&r), r.left);
			if (n)
				(void)!send(peer, rd_bytes(&r, n), n, MSG_NOSIGNAL | MSG_DONTWAIT);
			break;
		case START:
			say_everything(read_u64(&r));
			break;
		case KICK:
			(void)!write(fds[FD_EVENT], &one, sizeof(one));
			pass(1);
			break;
		case POKE:
			play_poke(&r);
			break;
		case SEND:
			play_send(&r);
			break;
		case CUT:
			(void)!ftruncate(fds[FD_MEMORY], rd_u16(&r));
			pass(1);
			(void)!ftruncate(fds[FD_MEMORY], BYTES);
			break;
		default:
			pass(1);
		}
	}
}

static void begin(void)
{
	if (memory)
		return;
	fds[FD_MEMORY] = memfd_create("guest", MFD_CLOEXEC);
	fds[FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[FD_FOLDER] = open("/", O_RDONLY | O_CLOEXEC);
	fds[FD_SOCKET] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ends[2];

	if (ftruncate(fds[FD_MEMORY], BYTES) < 0 || vhost_mem_guard() < 0 || pipe2(ends, O_CLOEXEC) < 0)
		abort();
	fds[FD_PIPE] = ends[1]; /* full, some day */
	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fds[FD_MEMORY], 0);
	if (memory == MAP_FAILED)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct port_owner owner = {on_input, on_room, on_closed, on_opened, NULL};
	struct vhost_user_config c = {.owner = &owner, .listen_fd = -1, .in_band = true};
	int pair[2];

	begin();
	if (ftruncate(fds[FD_MEMORY], BYTES) < 0)
		abort();
	memset(memory, 0, BYTES);
	fds[FD_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop_new(&(struct loop_clock){.now_ms = fake_clock}, &loop) < 0 ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	peer = pair[1];
	c.loop = loop;
	c.connected_fd = pair[0];
	n_closed = 0;
	if (vhost_user_port_new(&c, &port) < 0)
		abort();
	play(rd_of(data, size));
	pass(3);
	(void)close(peer);
	for (int i = 0; i < 8 && !n_closed; i++)
		if (loop_run_once(loop, 0) < 0)
			abort();
	assert(n_closed == 1);
	port_free(port);
	loop_free(loop);
	(void)close(fds[FD_EVENT]);
	return 0;
}
