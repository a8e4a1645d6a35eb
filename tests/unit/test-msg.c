/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmocka-all.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "msg.h"

static struct msg a, b;
static uint8_t bytes[MSG_MAX_BYTES + 1];

/* There and back through a socket pair, with a descriptor where the kind has one. */
static void round_trip(bool has_fd)
{
	int pair[2];
	struct stat sent, got;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	a.fd = has_fd ? open("/dev/null", O_RDONLY) : -1;
	memset(&b, 0xee, sizeof(b));
	assert_int_equal(msg_send(pair[0], &a), 0);
	assert_int_equal(msg_recv(pair[1], true, &b), 1);
	assert_int_equal(b.type, a.type);
	assert_int_equal(b.fd >= 0, has_fd);
	if (has_fd) {
		assert_int_equal(fstat(a.fd, &sent), 0);
		assert_int_equal(fstat(b.fd, &got), 0);
		assert_int_equal(sent.st_ino, got.st_ino);
		assert_true(fcntl(b.fd, F_GETFD) & FD_CLOEXEC);
	}
	assert_int_equal(msg_recv(pair[1], true, &a), -EAGAIN);
	util_close(&pair[0]);
	assert_int_equal(msg_recv(pair[1], true, &a), 0);
	util_close(&a.fd);
	util_close(&b.fd);
	util_close(&pair[1]);
}

static void test_ports(void **state)
{
	for (int kind = 0; kind < MSG_PORT_KIND_MAX; kind++) {
		a = (struct msg){.type = MSG_ADD_PORT, .port = {.id = 63, .kind = (enum msg_port_kind)kind}};
		memset(a.port.name, 'x', MSG_PORT_NAME_BYTES - 1);
		round_trip(!msg_port_is_dialled((enum msg_port_kind)kind));
		assert_int_equal(b.port.id, 63);
		assert_int_equal(b.port.kind, kind);
		assert_int_equal(strlen(b.port.name), MSG_PORT_NAME_BYTES - 1);
	}
	a = (struct msg){.type = MSG_ATTACH_PORT, .port.id = 7};
	round_trip(true);
	assert_int_equal(b.port.id, 7);
	a = (struct msg){.type = MSG_DEL_PORT, .port.id = 8};
	round_trip(false);
	assert_int_equal(b.port.id, 8);
}

static void test_others(void **state)
{
	a = (struct msg){.type = MSG_ADD_FORWARD,
		.forward = {.id = 1023, .proto = IPPROTO_UDP, .guest_be = htonl(0x0a00020f), .guest_port = 65535}};
	round_trip(true);
	assert_int_equal(b.forward.proto, IPPROTO_UDP);
	assert_int_equal(b.forward.guest_be, htonl(0x0a00020f));
	assert_int_equal(b.forward.guest_port, 65535);
	assert_int_equal(b.forward.id, 1023);
	a = (struct msg){.type = MSG_DEL_FORWARD, .forward.id = 77};
	round_trip(false);
	assert_int_equal(b.forward.id, 77);

	a = (struct msg){.type = MSG_PORT_CLOSED, .closed = {.id = 1, .final = true, .error = -EPIPE}};
	round_trip(false);
	assert_int_equal(b.closed.id, 1);
	assert_true(b.closed.final);
	assert_int_equal(b.closed.error, -EPIPE);

	a = (struct msg){.type = MSG_STATS, .text.n_bytes = MSG_TEXT_BYTES};
	memset(a.text.bytes, 'y', MSG_TEXT_BYTES);
	round_trip(false);
	assert_int_equal(b.text.n_bytes, MSG_TEXT_BYTES);
	assert_int_equal(strlen(b.text.bytes), MSG_TEXT_BYTES);

	for (int type = MSG_START; type <= MSG_READY; type++) {
		a = (struct msg){.type = (enum msg_type)type};
		round_trip(false);
	}
}

static void test_flows(void **state)
{
	static struct msg_flows sent;

	a = (struct msg){.type = MSG_GET_FLOWS, .flows.at = 0x123456789abcdef0};
	round_trip(false);
	assert_true(b.flows.at == 0x123456789abcdef0);
	a = (struct msg){.type = MSG_FLOWS, .flows = {.at = UINT64_MAX, .n = MSG_FLOWS_MAX}};
	for (unsigned int i = 0; i < MSG_FLOWS_MAX; i++)
		a.flows.v[i] = (struct flow_info){.kind = i % 3 ? FLOW_INFO_UDP : FLOW_INFO_TCP,
			.state = i % 3 ? FLOW_INFO_NONE : FLOW_INFO_TIME_WAIT,
			.fd = i % 2 ? (int32_t)i : -1,
			.src = ip_addr_from4(htonl(i)),
			.src_port = (uint16_t)i,
			.dst = {{1, 2, 3, i}},
			.dst_port = 65535,
			.n_send_bytes = 1u << 31 | i,
			.expires_s = (uint16_t)(i + 1)};
	sent = a.flows;
	round_trip(false);
	assert_int_equal(b.flows.n, sent.n);
	assert_memory_equal(b.flows.v, sent.v, sizeof(sent.v));
	assert_true(b.flows.at == UINT64_MAX);
}

static void test_resolvers(void **state)
{
	a = (struct msg){.type = MSG_SET_RESOLVERS, .resolvers.n = MSG_RESOLVERS_MAX};
	for (unsigned int i = 0; i < MSG_RESOLVERS_MAX; i++)
		a.resolvers.a[i].in6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
			.sin6_port = htons(53),
			.sin6_addr.s6_addr = {0xfe, 0x80, [15] = (uint8_t)i},
			.sin6_scope_id = 70000 + i};
	a.resolvers.a[1] = (union sock_addr){0};
	a.resolvers.a[1].in4 = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(5353), .sin_addr.s_addr = htonl(0x7f000035)};
	struct msg_resolvers sent = a.resolvers;

	round_trip(false);
	assert_int_equal(b.resolvers.n, MSG_RESOLVERS_MAX);
	assert_memory_equal(b.resolvers.a, sent.a, sizeof(sent.a));
}

/* No message may be a byte longer or shorter, or come with a descriptor too many or too few. */
static void test_exact_lengths(void **state)
{
	static struct msg all[] = {
		{.type = MSG_ADD_PORT, .port = {.id = 1, .kind = MSG_PORT_TAP, .name = "t"}},
		{.type = MSG_ATTACH_PORT},
		{.type = MSG_DEL_PORT},
		{.type = MSG_ADD_FORWARD, .forward = {.proto = IPPROTO_TCP, .guest_port = 1}},
		{.type = MSG_DEL_FORWARD},
		{.type = MSG_GET_FLOWS},
		{.type = MSG_FLOWS, .flows = {.n = 1, .v = {{.kind = FLOW_INFO_ICMP, .fd = -1}}}},
		{.type = MSG_SET_RESOLVERS},
		{.type = MSG_START},
		{.type = MSG_GET_STATS},
		{.type = MSG_QUIT},
		{.type = MSG_READY},
		{.type = MSG_PORT_CLOSED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		size_t n = msg_emit(&all[i], bytes, sizeof(bytes));

		assert_true(n >= 1);
		int without = msg_parse(bytes, n, false, &b), with = msg_parse(bytes, n, true, &b);
		assert_true((without == 0) != (with == 0));
		bytes[n] = 0;
		assert_int_equal(msg_parse(bytes, n + 1, with == 0, &b), -EBADMSG);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(msg_parse(bytes, k, with == 0, &b), -EBADMSG);
		assert_int_equal(msg_emit(&all[i], bytes, n - 1), 0);
	}
}

static void test_refused(void **state)
{
	static const struct {
		uint8_t bytes[16];
		size_t n;
		bool has_fd;
	} bad[] = {
		{{MSG_TYPE_MAX}, 1, false},
		{{0xff}, 1, false},
		{{MSG_ADD_PORT, 64, MSG_PORT_TAP, 0}, 4, true},
		{{MSG_ADD_PORT, 0, MSG_PORT_KIND_MAX, 0}, 4, true},
		{{MSG_ADD_PORT, 0, MSG_PORT_TAP, 1, 0x1b}, 5, true},
		{{MSG_ADD_PORT, 0, MSG_PORT_TAP, 2, 'a', 0}, 6, true},
		{{MSG_DEL_PORT, 64}, 2, false},
		{{MSG_ADD_FORWARD, 0, 0, IPPROTO_ICMP, 0, 0, 0, 0, 0, 1}, 10, true},
		{{MSG_ADD_FORWARD, 0, 0, IPPROTO_TCP, 0, 0, 0, 0, 0, 0}, 10, true},
		{{MSG_ADD_FORWARD, 4, 0, IPPROTO_TCP, 0, 0, 0, 0, 0, 1}, 10, true},
		{{MSG_DEL_FORWARD, 4, 0}, 3, false},
		{{MSG_FLOWS, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, 11, false}, /* too many */
		{{MSG_FLOWS, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 11, false}, /* one is missing */
		{{MSG_SET_RESOLVERS, MSG_RESOLVERS_MAX + 1}, 2, false},
		{{MSG_SET_RESOLVERS, 1, 5}, 3, false},
		{{MSG_PORT_CLOSED, 0, 2, 0, 0}, 5, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(msg_parse(bad[i].bytes, bad[i].n, bad[i].has_fd, &b), -EBADMSG);
	memset(bytes, 'z', sizeof(bytes));
	bytes[0] = MSG_ADD_PORT;
	bytes[1] = 0;
	bytes[2] = MSG_PORT_TAP;
	bytes[3] = MSG_PORT_NAME_BYTES; /* no room for the terminator */
	assert_int_equal(msg_parse(bytes, 4 + MSG_PORT_NAME_BYTES, true, &b), -EBADMSG);
	bytes[0] = MSG_STATS;
	assert_int_equal(msg_parse(bytes, MSG_MAX_BYTES, false, &b), 0);
	assert_int_equal(msg_parse(bytes, MSG_MAX_BYTES + 1, false, &b), -EBADMSG);
}

/* The parent's side takes no descriptor; nor does any side take two, or keep what it did not take. */
static void test_unwanted_descriptors(void **state)
{
	int pair[2], before = open("/dev/null", O_RDONLY);
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(3 * sizeof(int))];
	} control = {.align = {.cmsg_level = SOL_SOCKET,
			     .cmsg_type = SCM_RIGHTS,
			     .cmsg_len = CMSG_LEN(3 * sizeof(int))}};
	uint8_t ready = MSG_READY;
	struct iovec iov = {&ready, 1};
	struct msghdr h = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	assert_true(before >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	for (int i = 0; i < 3; i++)
		memcpy(CMSG_DATA(&control.align) + (size_t)i * sizeof(int), &before, sizeof(int));
	int next = open("/dev/null", O_RDONLY);
	util_close(&next);
	int lowest = open("/dev/null", O_RDONLY);
	(void)close(lowest);

	assert_int_equal(sendmsg(pair[0], &h, 0), 1);
	assert_int_equal(msg_recv(pair[1], true, &b), -EBADMSG);
	assert_int_equal(sendmsg(pair[0], &h, 0), 1);
	assert_true(msg_recv(pair[1], false, &b) < 0);
	a = (struct msg){.type = MSG_ATTACH_PORT, .fd = before};
	assert_int_equal(msg_send(pair[0], &a), 0);
	assert_true(msg_recv(pair[1], false, &b) < 0);

	int now = open("/dev/null", O_RDONLY);
	assert_int_equal(now, lowest);
	(void)close(now);
	(void)close(before);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

static void test_send_refuses(void **state)
{
	a = (struct msg){.type = MSG_ATTACH_PORT, .fd = -1};
	assert_int_equal(msg_send(-1, &a), -EINVAL);
	a = (struct msg){.type = MSG_READY, .fd = 0};
	assert_int_equal(msg_send(-1, &a), -EINVAL);
	a = (struct msg){.type = MSG_SET_RESOLVERS, .fd = -1, .resolvers.n = 1};
	assert_int_equal(msg_send(-1, &a), -EINVAL);
}

static void test_text_clean(void **state)
{
	a = (struct msg){.type = MSG_WARNING, .text = {.n_bytes = 7, .bytes = "a\n\x1b[\x7f\x80\0"}};
	msg_text_clean(&a.text);
	assert_string_equal(a.text.bytes, "a\n?[???");
}

/* Of a process that ends without having read all that was sent to it. */
static void test_last_words(void **state)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	a = (struct msg){.type = MSG_START, .fd = -1};
	assert_int_equal(msg_send(pair[0], &a), 0);
	a = (struct msg){.type = MSG_WARNING, .fd = -1, .text = {.n_bytes = 5, .bytes = "alas!"}};
	assert_int_equal(msg_send(pair[1], &a), 0);
	assert_int_equal(close(pair[1]), 0);
	assert_int_equal(msg_recv(pair[0], false, &b), 1);
	assert_int_equal(b.type, MSG_WARNING);
	assert_string_equal(b.text.bytes, "alas!");
	assert_int_equal(msg_recv(pair[0], false, &b), 0);
	assert_int_equal(close(pair[0]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_flows),
		cmocka_unit_test(test_resolvers),
		cmocka_unit_test(test_exact_lengths),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_unwanted_descriptors),
		cmocka_unit_test(test_send_refuses),
		cmocka_unit_test(test_text_clean),
		cmocka_unit_test(test_last_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
