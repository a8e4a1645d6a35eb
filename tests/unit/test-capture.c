/* SPDX-License-Identifier: BSD-2-Clause */
/* Captures are read back by a small pcapng reader of the test's own. */
#include "cmocka-all.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <fcntl.h>
#include <time.h>

#include "capture.h"
#include "mem.h"
#include "util.h"

#include "owner.h"
#include "packets.h"

#define ALL_CAPS (PORT_CAP_CSUM | PORT_CAP_TSO4 | PORT_CAP_TSO6 | PORT_CAP_USO)
#define READ_MAX 64

static struct loop *loop;
static struct owner owner;
static uint8_t bytes[PACKET_MAX_BYTES];
static uint8_t file[1024 * 1024];

struct record {
	const uint8_t *bytes;
	uint32_t interface, n_captured, n_wire, direction;
	uint64_t time_ns;
};

static uint32_t host32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static uint16_t host16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return v;
}

/* The value of an option, or NULL; the list must be well formed and ended. */
static const uint8_t *find_option(const uint8_t *p, const uint8_t *end, uint16_t code, uint16_t *ret_n)
{
	const uint8_t *found = NULL;

	for (;;) {
		assert_true(end - p >= 4);
		uint16_t type = host16(p), n = host16(p + 2);

		if (type == 0) {
			assert_int_equal(n, 0);
			assert_ptr_equal(p + 4, end);
			return found;
		}
		if (type == code) {
			found = p + 4;
			*ret_n = n;
		}
		p += 4 + (n + 3u) / 4 * 4;
	}
}

static void read_interface(const uint8_t *p, uint32_t snap, const char *name)
{
	uint32_t total = host32(p + 4);
	uint16_t n_option = 0;

	assert_int_equal(host16(p + 8), 1);
	assert_int_equal(host32(p + 12), snap);
	const uint8_t *option = find_option(p + 16, p + total - 4, 9, &n_option);
	assert_int_equal(n_option, 1);
	assert_int_equal(*option, 9);
	option = find_option(p + 16, p + total - 4, 2, &n_option);
	assert_int_equal(n_option, strlen(name));
	assert_memory_equal(option, name, n_option);
}

static struct record read_packet(const uint8_t *p)
{
	struct record r = {p + 28, host32(p + 8), host32(p + 20), host32(p + 24), 0,
		(uint64_t)host32(p + 12) << 32 | host32(p + 16)};
	uint16_t n_option = 0;

	for (size_t i = r.n_captured; i % 4; i++)
		assert_int_equal(r.bytes[i], 0);
	const uint8_t *option =
		find_option(p + 28 + (r.n_captured + 3) / 4 * 4, p + host32(p + 4) - 4, 2, &n_option);
	assert_int_equal(n_option, 4);
	r.direction = host32(option);
	return r;
}

/* names: of the interfaces in their order. Returns the number of packets. */
static unsigned int read_back(int fd, uint32_t snap, const char *const *names, struct record *ret)
{
	ssize_t n = pread(fd, file, sizeof(file), 0);
	unsigned int n_records = 0, n_interfaces = 0;

	assert_true(n >= 28);
	assert_int_equal(host32(file), 0x0a0d0d0a);
	assert_int_equal(host32(file + 8), 0x1a2b3c4d);
	assert_int_equal(host16(file + 12), 1);
	for (const uint8_t *p = file, *end = file + n; p < end; p += host32(p + 4)) {
		assert_true(end - p >= 28);
		uint32_t total = host32(p + 4);

		assert_int_equal(total % 4, 0);
		assert_true(total <= end - p);
		assert_int_equal(host32(p + total - 4), total);
		if (host32(p) == 1) {
			read_interface(p, snap, names[n_interfaces++]);
		} else if (host32(p) == 6) {
			assert_true(n_records < READ_MAX);
			ret[n_records] = read_packet(p);
			assert_true(ret[n_records++].interface < n_interfaces);
		} else {
			assert_ptr_equal(p, file);
		}
	}
	assert_null(names[n_interfaces]);
	return n_records;
}

static const char *const one_mem[] = {"mem", NULL};
static struct capture_file *capture;

static struct port *add(uint32_t caps, struct port **ret_inner)
{
	struct port *p;

	assert_int_equal(capture_port_new(loop, &owner.ops, capture, &p), 0);
	assert_int_equal(mem_port_new(loop, capture_owner(p), caps, 4, ret_inner), 0);
	capture_port_wrap(p, *ret_inner);
	assert_int_equal(p->caps, caps);
	return p;
}

static struct port *make(int fd, uint32_t snap, uint32_t caps, struct port **ret_inner)
{
	owner_init(&owner);
	assert_int_equal(capture_file_new(fd, snap, &capture), 0);
	return add(caps, ret_inner);
}

static void end(struct port *p)
{
	port_free(p);
	capture = capture_file_free(capture);
}

static int new_file(void)
{
	int fd = memfd_create("capture", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int send_bytes(struct port *p, size_t n, const struct offload *o)
{
	struct iovec iov[2] = {{bytes, 20}, {bytes + 20, n - 20}};

	return port_send(p, iov, 2, n, o);
}

static void test_both_ways(void **state)
{
	struct port *inner, *p;
	struct record r[READ_MAX];
	struct offload none = {};
	struct timespec before;
	int fd = new_file();

	p = make(fd, 0, ALL_CAPS, &inner);
	(void)clock_gettime(CLOCK_REALTIME, &before);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 3 + 1);
	for (size_t n = 60; n < 64; n++) {
		assert_int_equal(send_bytes(p, n, &none), 0);
		mem_port_inject(inner, bytes, n + 500, &none);
	}
	assert_int_equal(owner.n_frames, 4);
	assert_int_equal(owner.last_bytes, 563);
	assert_memory_equal(owner.last, bytes, 563);
	assert_int_equal(p->n.rx_frames, 4);
	assert_int_equal(read_back(fd, 0, one_mem, r), 8);
	for (unsigned int i = 0; i < 8; i++) {
		size_t n = 60 + i / 2 + (i & 1 ? 500 : 0);

		assert_int_equal(r[i].n_captured, n);
		assert_int_equal(r[i].n_wire, n);
		assert_int_equal(r[i].direction, i & 1 ? 1 : 2);
		assert_memory_equal(r[i].bytes, bytes, n);
		uint64_t start_ns = (uint64_t)before.tv_sec * 1000000000 + (uint64_t)before.tv_nsec;
		assert_in_range(r[i].time_ns, start_ns, start_ns + 60u * 1000000000u);
	}
	/* What the guest did not take is not in the file. */
	assert_int_equal(send_bytes(p, 60, &none), -ENOBUFS);
	assert_int_equal(read_back(fd, 0, one_mem, r), 8);
	free(mem_port_take(inner));
	assert_int_equal(owner.n_room, 1);
	end(p);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void test_as_on_the_wire(void **state)
{
	struct packet k = {.n_payload = 30000, .flags = TCP_ACK, .gso_size = 1000};
	struct port *inner, *p;
	struct record r[READ_MAX];
	struct offload o;
	int fd = new_file();

	p = make(fd, 0, ALL_CAPS, &inner);
	size_t n = packet_build(&k, bytes, &o);
	mem_port_inject(inner, bytes, n, &o);
	assert_int_equal(owner.last_offload.gso, OFFLOAD_GSO_TCP4); /* passed on as it came */
	assert_memory_equal(owner.last, bytes, n);
	assert_int_equal(send_bytes(p, n, &o), 0);
	_cleanup_free_ struct mem_frame *f = mem_port_take(inner);
	assert_memory_equal(f->bytes, bytes, n);

	k.gso_size = 0;
	k.n_payload = 999;
	n = packet_build(&k, bytes, &o);
	mem_port_inject(inner, bytes, n, &o);
	o.csum_start = 5000; /* a lie: the bytes as they came */
	mem_port_inject(inner, bytes, n, &o);
	assert_int_equal(read_back(fd, 0, one_mem, r), 4);
	assert_int_equal(packet_verify(r[0].bytes, r[0].n_captured).n_payload, 30000);
	assert_int_equal(packet_verify(r[1].bytes, r[1].n_captured).n_payload, 30000);
	assert_int_equal(packet_verify(r[2].bytes, r[2].n_captured).n_payload, 999);
	assert_memory_equal(r[3].bytes, bytes, n);
	assert_int_equal(capture_file_n_failures(capture), 0);
	end(p);
}

static void test_received_into_place(void **state)
{
	struct port *inner, *p;
	struct record r[READ_MAX];
	struct offload none = {};
	struct room room;
	int fd = new_file();

	p = make(fd, 100, ALL_CAPS, &inner);
	assert_int_equal(port_reserve(p, 54, 300, &room), 0);
	port_cancel(p, &room);
	assert_int_equal(port_reserve(p, 54, 300, &room), 0);
	memset(room.head, 1, 54);
	for (unsigned int i = 0; i < room.n_iov; i++)
		memset(room.iov[i].iov_base, 2, room.iov[i].iov_len);
	assert_int_equal(port_commit(p, &room, 201, &none), 0);
	_cleanup_free_ struct mem_frame *f = mem_port_take(inner);
	assert_int_equal(f->n_bytes, 255);
	assert_int_equal(read_back(fd, 100, one_mem, r), 1);
	assert_int_equal(r[0].n_captured, 100); /* cut off */
	assert_int_equal(r[0].n_wire, 255);
	assert_memory_equal(r[0].bytes, f->bytes, 100);
	end(p);
}

static void set_limit(rlim_t n_bytes)
{
	struct rlimit l;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
	l.rlim_cur = MIN(n_bytes, l.rlim_max);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void on_failure(void *ctx, int error)
{
	*(int *)ctx = error;
}

static void test_full_disk(void **state)
{
	struct port *inner, *p, *late, *late_inner;
	int error = 0;
	struct record r[READ_MAX];
	struct offload none = {};
	int fd = new_file(), full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	assert_int_equal(capture_file_new(full, 0, &capture), -ENOSPC);
	assert_int_equal(close(full), 0);
	p = make(fd, 0, ALL_CAPS, &inner);
	capture_file_on_failure(capture, on_failure, &error);

	mem_port_inject(inner, bytes, 60, &none);
	assert_int_equal(error, 0);
	rlim_t size = (rlim_t)lseek(fd, 0, SEEK_CUR);
	set_limit(size); /* nothing goes in */
	mem_port_inject(inner, bytes, 61, &none);
	set_limit(RLIM_INFINITY);
	mem_port_inject(inner, bytes, 62, &none);
	assert_int_equal(capture_file_n_failures(capture), 1);
	assert_int_equal(error, -EFBIG);
	error = 0;
	assert_int_equal(owner.n_frames, 3); /* the guest notices nothing */
	assert_int_equal(read_back(fd, 0, one_mem, r), 2);
	assert_int_equal(r[1].n_captured, 62);

	size = (rlim_t)lseek(fd, 0, SEEK_CUR);
	set_limit(size + 10); /* a part of a block goes in: nothing may follow it */
	mem_port_inject(inner, bytes, 63, &none);
	set_limit(RLIM_INFINITY);
	mem_port_inject(inner, bytes, 64, &none);
	assert_int_equal(capture_file_n_failures(capture), 3);
	assert_int_equal(owner.n_frames, 5);
	late = add(ALL_CAPS, &late_inner); /* a port without an interface: it works all the same */
	mem_port_inject(late_inner, bytes, 65, &none);
	assert_int_equal(owner.n_frames, 6);
	assert_int_equal(capture_file_n_failures(capture), 4);
	assert_int_equal(error, 0); /* said once */
	port_free(late);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), size + 10);
	end(p);
}

/* Each port of a file is an interface, those that join later too. */
static void test_several_ports(void **state)
{
	static const char *const names[] = {"mem", "mem", "mem", NULL};
	struct port *inner[3], *p[3];
	struct record r[READ_MAX];
	struct offload none = {};
	int fd = new_file();

	p[0] = make(fd, 0, ALL_CAPS, &inner[0]);
	p[1] = add(ALL_CAPS, &inner[1]);
	mem_port_inject(inner[1], bytes, 60, &none);
	p[2] = add(ALL_CAPS, &inner[2]);
	mem_port_inject(inner[0], bytes, 61, &none);
	mem_port_inject(inner[2], bytes, 62, &none);
	port_free(p[1]);
	assert_int_equal(send_bytes(p[0], 63, &none), 0);
	assert_int_equal(read_back(fd, 0, names, r), 4);
	assert_int_equal(r[0].interface, 1);
	assert_int_equal(r[1].interface, 0);
	assert_int_equal(r[2].interface, 2);
	assert_int_equal(r[3].interface, 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(r[i].n_wire, 60 + i);
	port_free(p[2]);
	end(p[0]);
}

static void test_state_passes_through(void **state)
{
	struct port *inner, *p = make(new_file(), 0, 0, &inner);

	inner->caps = ALL_CAPS; /* as a guest's driver that has now negotiated */
	inner->owner->opened(inner->owner->ctx, inner);
	assert_int_equal(p->caps, ALL_CAPS);
	assert_int_equal(owner.n_opened, 1);
	inner->n.n_closed = 3;
	inner->owner->closed(inner->owner->ctx, inner, -EIO, true);
	assert_int_equal(owner.n_closed, 1);
	assert_int_equal(owner.error, -EIO);
	assert_true(owner.final);
	assert_int_equal(p->n.n_closed, 3);
	end(p);
}

static int setup(void **state)
{
	(void)signal(SIGXFSZ, SIG_IGN);
	return loop_new(NULL, &loop);
}

static int teardown(void **state)
{
	loop_free(loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_as_on_the_wire),
		cmocka_unit_test(test_received_into_place),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_several_ports),
		cmocka_unit_test(test_state_passes_through),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
