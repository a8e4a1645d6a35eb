/* SPDX-License-Identifier: BSD-2-Clause */
/* The front end of a vhost-user network device, as QEMU is one, and its guest's driver: for tests. */
#pragma once

#include <sys/eventfd.h>
#include <sys/socket.h>

#include "driver.h"
#include "vhost_dev.h"

#define BIT(n)       ((uint64_t)1 << (n))
#define RING_AT(i)   (0x10000u + (i) * 0x40000u)
#define BUFFERS_AT   0x100000u
#define F_BASE       (BIT(VHOST_F_VERSION_1) | BIT(VHOST_F_PROTOCOL_FEATURES))
#define F_CSUM_TSO   (BIT(VHOST_F_GUEST_CSUM) | BIT(VHOST_F_GUEST_TSO4) | BIT(VHOST_F_GUEST_TSO6))
#define F_MERGE      BIT(VHOST_F_MRG_RXBUF)
#define FLAG_VERSION 1u
#define FLAG_REPLY   4u
#define FLAG_NEED    8u
#define FDS_MAX      16
#define RINGS_MAX    4 /* before BUFFERS_AT */

struct front_end {
	int sock;
	struct guest_memory mem;
	unsigned int n_rings;   /* 2, unless the back end has several pairs */
	struct driver rings[RINGS_MAX]; /* to the guest, from it; the next pair */
	int kick[RINGS_MAX], call[RINGS_MAX], err[RINGS_MAX];
	uint64_t features, protocol;
	uint16_t num;
};

/* A message of n bytes, and descriptors up to the first that is negative. */
static inline void say(int sock, uint32_t request, uint32_t flags, const void *body, uint32_t n, const int *fds,
	unsigned int n_fds)
{
	uint32_t head[3] = {request, FLAG_VERSION | flags, n};
	struct iovec iov[2] = {{head, sizeof(head)}, {(void *)(uintptr_t)body, n}};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = {};
	struct msghdr h = {.msg_iov = iov, .msg_iovlen = 2};

	assert_true(n_fds <= FDS_MAX);
	if (n_fds) {
		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	(void)!sendmsg(sock, &h, MSG_NOSIGNAL);
}

static inline void say_u64(struct front_end *f, uint32_t request, uint64_t value)
{
	say(f->sock, request, 0, &value, sizeof(value), NULL, 0);
}

static inline void say_fd(struct front_end *f, uint32_t request, uint64_t value, int fd)
{
	say(f->sock, request, 0, &value, sizeof(value), &fd, 1);
}

static inline void say_state(struct front_end *f, uint32_t request, uint32_t ring, uint32_t value)
{
	uint32_t body[2] = {ring, value};

	say(f->sock, request, 0, body, sizeof(body), NULL, 0);
}

static inline void say_addr(struct front_end *f, uint32_t ring)
{
	const struct driver *d = &f->rings[ring];
	uint64_t body[5] = {ring, USER_AT + d->desc, USER_AT + d->used, USER_AT + d->avail, 0};

	say(f->sock, VHOST_SET_VRING_ADDR, 0, body, sizeof(body), NULL, 0);
}

static inline void say_region(struct front_end *f, uint32_t request, uint32_t flags, int fd, uint64_t guest, uint64_t n,
	uint64_t user, uint64_t offset)
{
	uint64_t body[5] = {0, guest, n, user, offset};

	say(f->sock, request, flags, body, sizeof(body), &fd, 1);
}

/* The answer, which must be one to that request. Returns its length. */
static inline ssize_t hear(struct front_end *f, uint32_t request, void *ret, size_t n)
{
	uint32_t head[3];
	ssize_t got = recv(f->sock, head, sizeof(head), MSG_DONTWAIT);

	assert_int_equal(got, sizeof(head));
	assert_int_equal(head[0], request);
	assert_int_equal(head[1], FLAG_VERSION | FLAG_REPLY);
	assert_true(head[2] <= n);
	assert_int_equal(recv(f->sock, ret, head[2], MSG_DONTWAIT), head[2]);
	return head[2];
}

static inline uint64_t hear_u64(struct front_end *f, uint32_t request)
{
	uint64_t v = 0;

	assert_int_equal(hear(f, request, &v, sizeof(v)), sizeof(v));
	return v;
}

/* Nothing was said, and the connection stands. */
static inline bool is_silent(struct front_end *f)
{
	uint8_t byte;

	return recv(f->sock, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

static inline bool is_closed(struct front_end *f)
{
	uint8_t byte;
	ssize_t n = recv(f->sock, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

static inline bool fd_was_told(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n);
}

static inline void front_end_new(struct front_end *f, int sock)
{
	*f = (struct front_end){.sock = sock, .n_rings = 2, .num = 256};
	guest_memory_new(&f->mem);
	for (int i = 0; i < RINGS_MAX; i++) {
		f->kick[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		f->call[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		f->err[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	}
}

static inline void front_end_done(struct front_end *f)
{
	guest_memory_done(&f->mem);
	util_close(&f->sock);
	for (int i = 0; i < RINGS_MAX; i++) {
		util_close(&f->kick[i]);
		util_close(&f->call[i]);
		util_close(&f->err[i]);
	}
}

static inline void driver_of(struct front_end *f, unsigned int i)
{
	driver_init(&f->rings[i], f->mem.at, RING_AT(i), f->num, f->features >> VHOST_F_RING_PACKED & 1,
		f->features >> VHOST_F_EVENT_IDX & 1, f->features >> VHOST_F_INDIRECT_DESC & 1);
	driver_want_calls(&f->rings[i], true);
}

/* step() runs the loop for a message: as if we waited for each. */


/* QEMU, until the guest's driver is there. */
static inline void say_hello(struct front_end *f, void (*step)(void))
{
	say(f->sock, VHOST_GET_FEATURES, 0, NULL, 0, NULL, 0);
	step();
	uint64_t offered = hear_u64(f, VHOST_GET_FEATURES);
	assert_int_equal(f->features & ~offered, 0);
	say(f->sock, VHOST_GET_PROTOCOL_FEATURES, 0, NULL, 0, NULL, 0);
	step();
	f->protocol = hear_u64(f, VHOST_GET_PROTOCOL_FEATURES);
	say_u64(f, VHOST_SET_PROTOCOL_FEATURES, f->protocol);
	say(f->sock, VHOST_GET_QUEUE_NUM, 0, NULL, 0, NULL, 0);
	step();
	assert_int_equal(hear_u64(f, VHOST_GET_QUEUE_NUM), f->n_rings / 2);
	say(f->sock, VHOST_GET_MAX_MEM_SLOTS, 0, NULL, 0, NULL, 0);
	step();
	assert_in_range(hear_u64(f, VHOST_GET_MAX_MEM_SLOTS), 8, 512);
	say(f->sock, VHOST_SET_OWNER, 0, NULL, 0, NULL, 0);
	say(f->sock, VHOST_GET_FEATURES, 0, NULL, 0, NULL, 0);
	step();
	assert_true(hear_u64(f, VHOST_GET_FEATURES) == offered);
	for (uint32_t i = 0; i < f->n_rings; i++) {
		say_fd(f, VHOST_SET_VRING_CALL, i, f->call[i]);
		say_fd(f, VHOST_SET_VRING_ERR, i, f->err[i]);
	}
	for (int i = 0; i < 5; i++)
		for (uint32_t ring = 0; ring < f->n_rings; ring++)
			say_state(f, VHOST_SET_VRING_ENABLE, ring, i & 1 ? 0 : 1);
	step();
}

static inline void say_memory(struct front_end *f, void (*step)(void))
{
	uint64_t half = GUEST_BYTES / 2;

	/* In two regions, as QEMU has it below and above the hole for devices. */
	say_region(f, VHOST_ADD_MEM_REG, FLAG_NEED, f->mem.fd, GUEST_AT, half, USER_AT, 0);
	step();
	assert_int_equal(hear_u64(f, VHOST_ADD_MEM_REG), 0);
	say_region(f, VHOST_ADD_MEM_REG, FLAG_NEED, f->mem.fd, GUEST_AT + half, half, USER_AT + half, half);
	step();
	assert_int_equal(hear_u64(f, VHOST_ADD_MEM_REG), 0);
}

static inline void say_ring(struct front_end *f, uint32_t i, uint32_t base)
{
	say_state(f, VHOST_SET_VRING_NUM, i, f->num);
	say_state(f, VHOST_SET_VRING_BASE, i, base);
	say_addr(f, i);
	say_fd(f, VHOST_SET_VRING_KICK, i, f->kick[i]);
	say_fd(f, VHOST_SET_VRING_CALL, i, f->call[i]);
}

/* QEMU, when the guest's driver is ready. */
static inline void say_driver_ok(struct front_end *f, void (*step)(void))
{
	bool packed = f->features >> VHOST_F_RING_PACKED & 1;

	say_u64(f, VHOST_SET_FEATURES, f->features);
	say(f->sock, VHOST_GET_STATUS, 0, NULL, 0, NULL, 0);
	step();
	assert_int_equal(hear_u64(f, VHOST_GET_STATUS), 0);
	say_u64(f, VHOST_SET_STATUS, 8);
	for (uint32_t i = 0; i < f->n_rings; i += 2) {
		say_u64(f, VHOST_SET_FEATURES, f->features);
		say_memory(f, step); /* once more for each pair, as QEMU 7.2 does */
	}
	for (uint32_t i = 0; i < f->n_rings; i++) {
		driver_of(f, i);
		say_ring(f, i, packed ? 0x80008000 : 0);
	}
	say_u64(f, VHOST_SET_STATUS, 0xf);
	step();
	assert_true(is_silent(f));
}
