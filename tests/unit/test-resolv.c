/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmocka-all.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "hostdns.h"
#include "resolv.h"

static struct resolv_server s[RESOLV_SERVERS_MAX];

static unsigned int parse(const char *text)
{
	memset(s, 0xee, sizeof(s));
	return resolv_parse(text, strlen(text), s);
}

static void assert_is(unsigned int i, int family, const char *addr, const char *scope)
{
	char text[INET6_ADDRSTRLEN];

	assert_int_equal(s[i].family, family);
	assert_string_equal(inet_ntop(family, &s[i].in6, text, sizeof(text)), addr);
	assert_string_equal(s[i].scope, scope);
}

static void test_ordinary(void **state)
{
	assert_int_equal(parse("# made by hand\nsearch a.example\nnameserver 192.0.2.1\n"
			       "nameserver\t2001:db8::53 # the second\r\n"
			       "  nameserver   127.0.0.53\noptions edns0\nnameserver fe80::1%eth0"),
		4);
	assert_is(0, AF_INET, "192.0.2.1", "");
	assert_is(1, AF_INET6, "2001:db8::53", "");
	assert_is(2, AF_INET, "127.0.0.53", "");
	assert_is(3, AF_INET6, "fe80::1", "eth0");
}

static void test_skipped(void **state)
{
	assert_int_equal(
		parse("nameserver\nnameserver x\n#nameserver 192.0.2.1\n;nameserver 192.0.2.2\n"
		      "nameservers 192.0.2.3\nnameserver192.0.2.4\nnameserver 192.0.2.256\n"
		      "nameserver 255.255.255.255\nnameserver 224.0.0.251\nnameserver ff02::fb\n"
		      "nameserver fe80::1%\nnameserver fe80::1%a-name-of-16-chr\n"
		      "nameserver 192.0.2.5%eth0\n"
		      "nameserver 111111111111111111111111111111111111111111111111111111111111111111\n"
		      "nameserver 192.0.2.9 trailing words\n"),
		1);
	assert_is(0, AF_INET, "192.0.2.9", "");
}

static void test_none_means_the_host_itself(void **state)
{
	static const char *const texts[] = {"", "\n", "search x", "nameserver"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(parse(texts[i]), 1);
		assert_is(0, AF_INET, "127.0.0.1", "");
	}
}

static void test_too_many(void **state)
{
	char text[1024];
	int at = 0;

	for (int i = 1; i <= RESOLV_SERVERS_MAX + 3; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, "nameserver 192.0.2.%d\n", i);
	assert_int_equal(parse(text), RESOLV_SERVERS_MAX);
	assert_is(RESOLV_SERVERS_MAX - 1, AF_INET, "192.0.2.8", "");
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
}

static bool changed(int fd)
{
	char events[4096];

	return read(fd, events, sizeof(events)) > 0;
}

/* As systemd-resolved has it: a link into another folder, whose file is replaced by renaming. */
static void test_link_is_watched(void **state)
{
	char top[] = "/tmp/test-resolv-XXXXXX", path[64], run[64], target[80], fresh[80], other[80];
	struct msg_resolvers before, now;

	assert_non_null(mkdtemp(top));
	(void)snprintf(path, sizeof(path), "%s/resolv.conf", top);
	(void)snprintf(run, sizeof(run), "%s/run", top);
	(void)snprintf(target, sizeof(target), "%s/stub.conf", run);
	(void)snprintf(fresh, sizeof(fresh), "%s/fresh", run);
	(void)snprintf(other, sizeof(other), "%s/other.conf", top);
	assert_int_equal(mkdir(run, 0700), 0);
	put(target, "nameserver 127.0.0.53\n");
	assert_int_equal(symlink(target, path), 0);
	int fd = inotify_init1(IN_NONBLOCK);
	hostdns_watch(path, fd);
	hostdns_read(path, &before);
	assert_int_equal(before.n, 1);
	assert_int_equal(before.a[0].in4.sin_addr.s_addr, htonl(0x7f000035));
	assert_int_equal(before.a[0].in4.sin_port, htons(53));
	assert_false(changed(fd));

	put(fresh, "nameserver fe80::1%lo\nnameserver fe80::2%7\nnameserver fe80::3%no-such-if\n");
	assert_int_equal(rename(fresh, target), 0);
	assert_true(changed(fd));
	hostdns_read(path, &now);
	assert_int_equal(now.n, 2);
	assert_int_equal(now.a[0].in6.sin6_scope_id, 1);
	assert_int_equal(now.a[1].in6.sin6_scope_id, 7);
	assert_false(hostdns_eq(&before, &now));

	put(other, "nameserver 192.0.2.1\n");
	while (changed(fd))
		;
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_true(changed(fd));
	hostdns_read(path, &now);
	assert_int_equal(now.n, 1);
	assert_int_equal(now.a[0].in4.sin_addr.s_addr, htonl(0xc0000201));
	before = now;
	assert_true(hostdns_eq(&before, &now));

	(void)unlink(path);
	hostdns_read(path, &now);
	assert_int_equal(now.n, 1);
	assert_int_equal(now.a[0].in4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	(void)close(fd);
	(void)unlink(target);
	(void)unlink(other);
	(void)rmdir(run);
	assert_int_equal(rmdir(top), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ordinary),
		cmocka_unit_test(test_skipped),
		cmocka_unit_test(test_none_means_the_host_itself),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_link_is_watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
