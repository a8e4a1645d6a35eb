/* SPDX-License-Identifier: BSD-2-Clause */
/* A stand-in for QEMU says lines that a test gave it, each once so many commands have come. */
#include "cmocka-all.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "qmp.h"

#define GREETING                                                                                             \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}}, "                  \
	"\"capabilities\": []}}\r\n"
#define READY      GREETING, "{\"return\": {}, \"id\": 1}\r\n"
#define TIMEOUT_MS 20000

static struct qmp q;
static pid_t pid;
static int commands_fd; /* where it says what came */

static bool say(int fd, const char *line)
{
	return !*line || send(fd, line, strlen(line), MSG_NOSIGNAL) > 0;
}

static int serve(int fd, const char *const *lines)
{
	char buf[4096];
	int status = 0;

	if (!say(fd, lines[0]))
		return 1;
	for (unsigned int i = 1; lines[i] && status == 0; i++) {
		/* A command comes whole, as it is short. */
		union {
			struct cmsghdr align;
			char room[CMSG_SPACE(sizeof(int))];
		} control = {0};
		struct iovec iov = {buf, sizeof(buf) - 2};
		struct msghdr h = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(fd, &h, 0);

		if (n <= 0)
			return 2;
		buf[n] = h.msg_controllen > 0 && CMSG_FIRSTHDR(&h) ? '+' : ' '; /* with a descriptor */
		buf[n + 1] = '\n';
		if (write(commands_fd, buf, (size_t)n + 2) < 0 || !say(fd, lines[i]))
			status = 3;
	}
	while (recv(fd, buf, sizeof(buf), 0) > 0)
		continue;
	return status;
}

/* lines: the first at once; NULL at the end, after which it only listens. */
static void start(const char *const *lines)
{
	int pair[2], fds[2];

	/* Packets, so that two commands do not become one where the stand-in is slow. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(pair[0]);
		commands_fd = fds[1];
		_exit(serve(pair[1], lines));
	}
	(void)close(pair[1]);
	(void)close(fds[1]);
	commands_fd = fds[0];
	qmp_init(&q, pair[0]);
}

/* What came, a line each. */
static char *stop(void)
{
	static char said[16384];
	size_t n = 0;
	ssize_t x;
	int status;

	qmp_done(&q);
	while ((x = read(commands_fd, said + n, sizeof(said) - 1 - n)) > 0)
		n += (size_t)x;
	said[n] = '\0';
	(void)close(commands_fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return said;
}

static void test_commands(void **state)
{
	const char *const lines[] = {READY, "{\"return\": {\"a\": 5}, \"id\": 2}\r\n",
		"{\"id\": 3, \"error\": {\"class\": \"GenericError\", \"desc\": \"not now\"}}\r\n",
		"{\"event\": \"STOP\", \"data\": {}}\r\n{\"return\": \"one\\r\\ntwo\\r\\n\", \"id\": 4}\r\n",
		"{\"return\": {}, \"id\": 5}\r\n", NULL};
	json_t *value;
	char *text;

	start(lines);
	assert_int_equal(qmp_command(&q, "query-a", NULL, -1, TIMEOUT_MS, &value), 0);
	assert_int_equal(json_integer_value(json_object_get(value, "a")), 5);
	json_decref(value);
	assert_int_equal(
		qmp_command(&q, "do", json_pack("{s:s}", "what", "x"), -1, TIMEOUT_MS, NULL), -EREMOTEIO);
	assert_string_equal(q.error, "not now");
	assert_int_equal(qmp_human(&q, "info \"x\"", TIMEOUT_MS, &text), 0);
	assert_string_equal(text, "one\ntwo\n");
	free(text);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(
		qmp_command(&q, "getfd", json_pack("{s:s}", "fdname", "f"), fd, TIMEOUT_MS, NULL), 0);
	(void)close(fd);
	assert_string_equal(stop(), "{\"execute\":\"qmp_capabilities\",\"id\":1} \n"
				    "{\"execute\":\"query-a\",\"id\":2} \n"
				    "{\"execute\":\"do\",\"arguments\":{\"what\":\"x\"},\"id\":3} \n"
				    "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":"
				    "\"info \\\"x\\\"\"},\"id\":4} \n"
				    "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"f\"},\"id\":5}+\n");
}

/* One that was given up is answered when nobody waits for it any more. */
static void test_late(void **state)
{
	const char *const lines[] = {READY, "{\"return\": 0, \"id\": 2}\r\n", "",
		"{\"return\": 1, \"id\": 3}\r\n{\"return\": 2, \"id\": 4}\r\n", NULL};
	json_t *value;

	start(lines);
	assert_int_equal(qmp_command(&q, "first", NULL, -1, TIMEOUT_MS, NULL), 0);
	assert_int_equal(qmp_command(&q, "slow", NULL, -1, 50, &value), -ETIMEDOUT);
	assert_null(value);
	assert_non_null(strstr(q.error, "does not answer"));
	assert_int_equal(qmp_command(&q, "quick", NULL, -1, TIMEOUT_MS, &value), 0);
	assert_int_equal(json_integer_value(value), 2);
	json_decref(value);
	(void)stop();
}

static void test_unplug(void **state)
{
#define GONE(path) "{\"event\": \"DEVICE_DELETED\", \"data\": {\"path\": \"" path "\"}}\r\n"
	/* The event may come before the answer, and others' events in between. */
	const char *const lines[] = {READY, GONE("/n") "{\"return\": {}, \"id\": 2}\r\n",
		"{\"return\": {}, \"id\": 3}\r\n" GONE("/n") GONE("/m/virtio-backend") GONE("/m"),
		"{\"id\": 4, \"error\": {\"desc\": \"Device o is already in the process of "
		"unplug\"}}\r\n" GONE("/o"),
		"{\"id\": 5, \"error\": {\"desc\": \"Bus 'pcie.0' does not support hotplugging\"}}\r\n",
		"{\"return\": {}, \"id\": 6}\r\n" GONE("/other"), NULL};

	start(lines);
	assert_int_equal(qmp_unplug(&q, "/n", TIMEOUT_MS), 0);
	assert_int_equal(qmp_unplug(&q, "/m", TIMEOUT_MS), 0);
	assert_int_equal(qmp_unplug(&q, "/o", TIMEOUT_MS), 0);
	assert_int_equal(qmp_unplug(&q, "/p", TIMEOUT_MS), -EREMOTEIO);
	assert_non_null(strstr(q.error, "pcie.0"));
	assert_int_equal(qmp_unplug(&q, "/q", 500), -ETIMEDOUT);
	assert_true(strstr(q.error, "has not let go") || strstr(q.error, "does not answer"));
	(void)stop();
}

static void test_no_qemu(void **state)
{
	const char *const nonsense[] = {"hello\n", NULL};
	const char *const silent[] = {"", NULL};

	start(nonsense);
	assert_int_equal(qmp_command(&q, "x", NULL, -1, TIMEOUT_MS, NULL), -EBADMSG);
	(void)stop();
	start(silent);
	assert_int_equal(qmp_command(&q, "x", NULL, -1, 50, NULL), -ETIMEDOUT);
	assert_int_equal(shutdown(q.lines.fd, SHUT_RDWR), 0);
	assert_int_equal(qmp_command(&q, "x", NULL, -1, TIMEOUT_MS, NULL), -EPIPE);
	assert_int_equal(qmp_drain(&q), -EPIPE);
	(void)stop();
	qmp_init(&q, -1);
	assert_int_equal(qmp_command(&q, "x", json_object(), -1, TIMEOUT_MS, NULL), -EPIPE);
	assert_non_null(strstr(q.error, "no monitor"));
	qmp_done(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_unplug),
		cmocka_unit_test(test_no_qemu),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
