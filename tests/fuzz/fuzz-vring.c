/* SPDX-License-Identifier: BSD-2-Clause */
/* A hostile driver of a virtqueue. The input says what kind of ring it is, and then what is written into the
 * guest's memory and what the device does, turn by turn. Whatever it is, each piece must lie in the memory,
 * and the device must write nowhere but into its own part of the ring. */
#include <assert.h>
#include <sys/mman.h>

#include "cursor.h"
#include "vring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define GUEST_AT   0x10000u
#define USER_AT    0x7f0000000000u
#define BYTES      16384u
#define DESC_AT    0u
#define DRIVER_AT  8192u
#define DEVICE_AT  12288u
#define NUM_MAX    256u
#define ROOM       8

enum step { WRITE, TAKE, TAKE_USE, PUBLISH, MARK, UNDO, WANT, REFUSE, CALL, COUNT, RESTART, STEPS };

static uint8_t *memory;
static uint8_t before[BYTES];
static int fd = -1;
static struct vhost_mem mem;
static struct vring ring;
static size_t n_sum;

static void begin_memory(void)
{
	if (fd < 0) {
		fd = memfd_create("guest", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, BYTES) < 0)
			abort();
		memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (memory == MAP_FAILED)
			abort();
	}
	memset(memory, 0, BYTES);
	memset(before, 0, BYTES);
	vhost_mem_init(&mem);
	/* Two regions that touch, as pieces may span them. */
	if (vhost_mem_add(&mem, fd, GUEST_AT, USER_AT, BYTES / 2, 0) < 0 ||
		vhost_mem_add(&mem, fd, GUEST_AT + BYTES / 2, USER_AT + BYTES / 2, BYTES / 2, BYTES / 2) < 0)
		abort();
}

static bool is_inside(const struct iovec *iov)
{
	const uint8_t *at = iov->iov_base;

	for (unsigned int i = 0; i < mem.n; i++)
		if (at >= mem.regions[i].at && (size_t)(at - mem.regions[i].at) < mem.regions[i].n_bytes)
			return iov->iov_len <= mem.regions[i].n_bytes - (size_t)(at - mem.regions[i].at);
	return false;
}

static void check_same(size_t from, size_t to)
{
	assert(memcmp(memory + from, before + from, to - from) == 0);
}

static void check_memory(bool packed)
{
	size_t n_desc, n_driver, n_device;

	ring.ops->sizes(ring.num, &n_desc, &n_driver, &n_device);
	check_same(packed ? DESC_AT + n_desc : 0, DEVICE_AT);
	check_same(DEVICE_AT + n_device, BYTES);
	assert(ring.n_used <= ring.n_taken && ring.n_taken <= ring.num);
}

/* False: the ring is over. */
static bool take(bool writable, struct vring_chain *c)
{
	struct iovec iov[ROOM];
	size_t n = 0;
	int r = vring_take(&ring, writable, iov, ROOM, c);

	if (r <= 0) {
		assert(r == 0 || r == -EPROTO);
		c->n_slots = 0;
		return r == 0;
	}
	assert(c->n_iov && c->n_bytes && c->n_slots && c->n_slots <= ring.num);
	for (unsigned int i = 0; i < MIN(c->n_iov, (unsigned int)ROOM); i++) {
		assert(is_inside(&iov[i]) && iov[i].iov_len);
		for (size_t k = 0; k < iov[i].iov_len; k += 64)
			n_sum += ((const uint8_t *)iov[i].iov_base)[k];
		n += iov[i].iov_len;
	}
	assert(c->n_iov > ROOM ? n < c->n_bytes : n == c->n_bytes);
	return true;
}

static void write_memory(struct rd *r)
{
	size_t at = rd_u16(r) % BYTES, n = rd_u8(r);

	n = MIN(MIN(n, r->left), BYTES - at);
	const uint8_t *from = rd_bytes(r, n);
	if (from && n) {
		memcpy(memory + at, from, n);
	}
}

static void play(struct vring_config *c, bool writable, struct rd r)
{
	/* What was taken and not used, oldest first. */
	static struct vring_chain open[VRING_NUM_MAX];
	struct vring_mark mark = vring_mark(&ring);
	unsigned int n_open = 0;
	bool good = true;

	while (!r.bad && r.left && good) {
		struct vring_chain chain;
		uint8_t step = rd_u8(&r);

		memcpy(before, memory, BYTES);
		switch (step % STEPS) {
		case WRITE:
			write_memory(&r);
			continue;
		case TAKE:
			good = take(writable, &chain);
			if (good && chain.n_slots)
				open[n_open++] = chain;
			break;
		case TAKE_USE:
			while (n_open)
				vring_use(&ring, &open[--n_open], step);
			good = take(writable, &chain);
			if (good && chain.n_slots)
				vring_use(&ring, &chain, step);
			break;
		case PUBLISH:
			vring_publish(&ring);
			mark = vring_mark(&ring);
			break;
		case MARK:
			mark = vring_mark(&ring);
			n_open = 0; /* never used: taken for good */
			break;
		case UNDO:
			vring_undo(&ring, &mark);
			n_open = 0;
			break;
		case WANT:
			vring_want_kicks(&ring);
			break;
		case REFUSE:
			vring_refuse_kicks(&ring);
			break;
		case CALL:
			(void)vring_wants_call(&ring);
			break;
		case COUNT:
			assert(vring_n_avail(&ring, 300) <= MIN(300u, (unsigned int)ring.num));
			break;
		case RESTART:
			c->base = step & 0x80 ? rd_u32(&r) : vring_base(&ring);
			good = vring_start(&ring, c) == 0;
			mark = vring_mark(&ring);
			n_open = 0;
			break;
		}
		if (good)
			check_memory(c->packed);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_of(data, size);
	uint8_t shape = rd_u8(&r);
	struct vring_config c = {
		.mem = &mem,
		.packed = shape & 1,
		.event_idx = shape & 2,
		.indirect = shape & 4,
		.num = rd_u8(&r) + 1u,
		.desc_user = USER_AT + DESC_AT,
		.driver_user = USER_AT + DRIVER_AT,
		.device_user = USER_AT + DEVICE_AT,
		.base = rd_u32(&r),
	};

	begin_memory();
	if (vring_start(&ring, &c) == 0)
		play(&c, shape & 8, r);
	vhost_mem_done(&mem);
	return 0;
}
