/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmocka-all.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "unixsock.h"

static char folder[] = "/tmp/test-unixsock-XXXXXX";
static char path[64];
static struct stat made, again;

static void test_life(void **state)
{
	int listener = unixsock_listen(path, &made);

	assert_true(listener >= 0);
	assert_int_equal(made.st_mode & 0777, 0600);
	assert_int_equal(unixsock_listen(path, &again), -EADDRINUSE);
	int client = unixsock_connect(path);
	assert_true(client >= 0);
	int server = accept(listener, NULL, NULL); /* the first was the question whether it lives */
	assert_true(server >= 0);
	util_close(&server);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	assert_int_equal(write(client, "x", 1), 1);
	util_close(&client);
	util_close(&server);
	util_close(&listener);
	unixsock_remove(path, &made);
	assert_int_equal(unixsock_connect(path), -ENOENT);
}

static void test_stale_is_replaced(void **state)
{
	int dead = unixsock_listen(path, &made);

	assert_true(dead >= 0);
	util_close(&dead);
	assert_int_equal(unixsock_connect(path), -ECONNREFUSED);
	int fd = unixsock_listen(path, &again);
	assert_true(fd >= 0);
	/* The first owner, should it come round to it, leaves the newcomer's alone. */
	made.st_ino++;
	unixsock_remove(path, &made);
	int client = unixsock_connect(path);
	assert_true(client >= 0);
	util_close(&client);
	util_close(&fd);
	unixsock_remove(path, &again);
	assert_int_equal(unixsock_connect(path), -ENOENT);
}

static void test_full_is_alive(void **state)
{
	int listener = unixsock_listen(path, &made), clients[64], n = 0;

	assert_true(listener >= 0);
	while (n < 64 && (clients[n] = unixsock_connect(path)) >= 0)
		n++;
	assert_in_range(n, 1, 63);
	assert_int_equal(clients[n], -EAGAIN);
	assert_int_equal(unixsock_listen(path, &again), -EADDRINUSE);
	while (n > 0)
		util_close(&clients[--n]);
	util_close(&listener);
	unixsock_remove(path, &made);
}

static void test_other_files_are_left(void **state)
{
	char text[8] = "", long_path[200];
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);

	assert_int_equal(write(fd, "precious", 8), 8);
	assert_int_equal(unixsock_listen(path, &again), -EEXIST);
	assert_int_equal(pread(fd, text, 8, 0), 8);
	assert_memory_equal(text, "precious", 8);
	(void)close(fd);
	assert_int_equal(unlink(path), 0);
	memset(long_path, 'a', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(unixsock_listen(long_path, &again), -ENAMETOOLONG);
	assert_int_equal(unixsock_connect(long_path), -ENAMETOOLONG);
}

static int setup(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/sock", folder);
	return 0;
}

static int teardown(void **state)
{
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_stale_is_replaced),
		cmocka_unit_test(test_full_is_alive),
		cmocka_unit_test(test_other_files_are_left),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
