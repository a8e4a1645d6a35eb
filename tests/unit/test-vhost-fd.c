/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors of a front end that means ill. */
#include "cmocka-all.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "util.h"
#include "vhost_fd.h"

static void expect_kind(int fd, bool notifies)
{
	assert_true(fd >= 0);
	assert_int_equal(vhost_fd_notifies(fd), notifies);
	vhost_fd_close(&fd);
	assert_int_equal(fd, -1);
}

static void test_kinds(void **state)
{
	int ends[2];

	expect_kind(eventfd(0, EFD_CLOEXEC), true);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	expect_kind(ends[0], true);
	expect_kind(ends[1], true);
	expect_kind(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), false);
	expect_kind(open("/dev/null", O_RDWR | O_CLOEXEC), false);
	expect_kind(open("/", O_RDONLY | O_CLOEXEC), false);
	expect_kind(open("/", O_PATH | O_CLOEXEC), false);
	expect_kind(memfd_create("file", MFD_CLOEXEC), false);
	assert_false(vhost_fd_notifies(-1));
}

static void expect_pair(int fd, bool is_pair)
{
	assert_true(fd >= 0);
	assert_int_equal(vhost_fd_is_pair(fd), is_pair);
	vhost_fd_close(&fd);
}

static void test_pairs(void **state)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	socklen_t n = sizeof(name);
	int ends[2], listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	expect_pair(ends[0], true);
	assert_false(vhost_fd_notifies(ends[1]));
	vhost_fd_close(&ends[1]);
	/* A client's end of a connection to a socket with a name: such as ours. */
	assert_int_equal(bind(listener, (struct sockaddr *)&name, sizeof(sa_family_t)), 0); /* the kernel names it */
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &n), 0);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&name, n), 0);
	expect_pair(client, false);
	expect_pair(listener, false);
	expect_pair(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), false);
	expect_pair(eventfd(0, EFD_CLOEXEC), false);
}

static void test_notify(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC), ends[2];
	uint64_t n = UINT64_MAX - 1;
	ssize_t got;

	vhost_fd_notify(-1);
	vhost_fd_notify(fd);
	vhost_fd_notify(fd);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 2);
	/* Full, and made to wait. */
	n = UINT64_MAX - 1;
	assert_int_equal(write(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	vhost_fd_notify(fd);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_true(n == UINT64_MAX - 1);
	vhost_fd_close(&fd);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	do
		got = write(ends[1], &n, sizeof(n));
	while (got > 0);
	assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
	vhost_fd_notify(ends[1]);
	vhost_fd_close(&ends[0]);
	vhost_fd_close(&ends[1]);
}

/* A TCP connection whose peer reads nothing, with more to send than the two can hold. */
static int connect_full(int listener, int *ret_peer)
{
	static uint8_t bytes[65536];
	struct sockaddr_in at;
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &n), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	*ret_peer = accept(listener, NULL, NULL);
	assert_true(*ret_peer >= 0);
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	return fd;
}

static void test_close_of_a_lingering_socket(void **state)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct linger long_time = {.l_onoff = 1, .l_linger = 20};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;

	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 1), 0);
	int fd = connect_full(listener, &peer);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &long_time, sizeof(long_time)), 0);
	time_t before = time(NULL);

	vhost_fd_close(&fd);
	assert_true(time(NULL) - before < 15);
	util_close(&peer);
	util_close(&listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_close_of_a_lingering_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
