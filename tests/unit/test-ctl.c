/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmocka-all.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "clock.h"
#include "ctl_call.h"
#include "ctl_lines.h"
#include "ctl_server.h"
#include "unixsock.h"

static char folder[] = "/tmp/vmlan-test-ctl-XXXXXX";
static char run_dir[64];
static struct ctl_request q, again;

static int make_folder(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(run_dir, sizeof(run_dir), "%s/run", folder);
	return setenv("VMLAN_RUN_DIR", run_dir, 1);
}

static int remove_folder(void **state)
{
	(void)rmdir(run_dir);
	return rmdir(folder);
}

static void test_requests(void **state)
{
	for (int op = 0; op < CTL_OP_MAX; op++) {
		q = (struct ctl_request){.number = 1u << 31,
			.op = (enum ctl_op)op,
			.id = "n\"0",
			.arg = "tcp::5022-:22 \\ \xc3\xa4"};
		_cleanup_free_ char *line = ctl_request_emit(&q);
		assert_non_null(line);
		assert_int_equal(line[strlen(line) - 1], '\n');
		assert_int_equal(ctl_request_parse(line, &again), 0);
		assert_memory_equal(&q, &again, sizeof(q));
	}
	assert_int_equal(ctl_request_parse("{\"op\": \"info-usernet\"}", &again), 0);
	assert_string_equal(again.id, "");
	assert_string_equal(again.arg, "");
	memset(q.arg, 'x', sizeof(q.arg) - 1);
	_cleanup_free_ char *longest = ctl_request_emit(&q);
	assert_non_null(longest);
	(void)strcpy(q.arg, "a\nquit");
	assert_null(ctl_request_emit(&q));
}

static void test_bad_requests(void **state)
{
	static const char *const bad[] = {"", "x", "[]", "{}", "{\"op\": 1}", "{\"op\": \"reboot\"}",
		"{\"op\": \"end\"} x", "{\"op\": \"end\", \"op\": \"end\"}", "{\"op\": \"end\", \"more\": 1}",
		"{\"op\": \"end\", \"arg\": 1}", "{\"op\": \"end\", \"arg\": \"a\\nb\"}",
		"{\"op\": \"end\", \"arg\": \"a\\u0000b\"}", "{\"op\": \"end\", \"id\": \"\\u007f\"}",
		"{\"n\": -1, \"op\": \"end\"}", "{\"n\": 4294967296, \"op\": \"end\"}"};
	char *text;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ctl_request_parse(bad[i], &again), -EBADMSG);
	assert_true(asprintf(&text, "{\"op\": \"end\", \"id\": \"%0*d\"}", CTL_ID_BYTES, 1) > 0);
	assert_int_equal(ctl_request_parse(text, &again), -EBADMSG);
	free(text);
}

static void test_replies(void **state)
{
	struct ctl_reply r = {0}, got;

	ctl_reply_add(&r, "one %d\n", 1);
	ctl_reply_add(&r, "two\n");
	ctl_reply_fail(&r, "first");
	ctl_reply_fail(&r, "second");
	_cleanup_free_ char *line = ctl_reply_emit(&r);
	assert_int_equal(ctl_reply_parse(line, &got), 0);
	assert_string_equal(got.text, "one 1\ntwo\n");
	assert_string_equal(got.error, "first");
	ctl_reply_done(&got);
	ctl_reply_done(&r);

	/* What is no UTF-8 does not make an answer impossible, and nothing reaches a terminal as a command.
	 */
	ctl_reply_add(&r, "\xff\xfe");
	_cleanup_free_ char *odd = ctl_reply_emit(&r);
	assert_int_equal(ctl_reply_parse(odd, &got), 0);
	assert_string_equal(got.text, "??");
	assert_null(got.error);
	ctl_reply_done(&got);
	ctl_reply_done(&r);
	assert_int_equal(ctl_reply_parse("{\"text\": \"a\\u001b[2J\\r\\nb\"}", &got), 0);
	assert_string_equal(got.text, "a?[2J?\nb");
	ctl_reply_done(&got);
	assert_int_equal(ctl_reply_parse("{\"text\": 1}", &got), -EBADMSG);
}

static void test_lines(void **state)
{
	int pair[2];
	char *line;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	struct ctl_lines l = {.fd = pair[0], .max = 10000};
	assert_int_equal(ctl_lines_read(&l), -EAGAIN);
	assert_int_equal(ctl_lines_wait(&l, clock_now_ms() + 10, &line), -ETIMEDOUT);
	assert_int_equal(send(pair[1], "a\r\nbb\n\nccc", 10, 0), 10);
	assert_int_equal(
		ctl_lines_wait(&l, 0, &line), -ETIMEDOUT); /* it is not read yet, and there is no time */
	assert_int_equal(ctl_lines_wait(&l, clock_now_ms() + 5000, &line), 0);
	assert_string_equal(line, "a");
	assert_string_equal(ctl_lines_next(&l), "bb");
	assert_string_equal(ctl_lines_next(&l), "");
	assert_null(ctl_lines_next(&l));
	assert_int_equal(send(pair[1], "c\n", 2, 0), 2);
	assert_int_equal(ctl_lines_wait(&l, clock_now_ms() + 5000, &line), 0);
	assert_string_equal(line, "cccc");
	/* One without an end. */
	static char much[4096];
	int r = 1;
	memset(much, 'x', sizeof(much));
	for (int i = 0; i < 10 && r != -EMSGSIZE; i++) {
		assert_int_equal(send(pair[1], much, sizeof(much), 0), sizeof(much));
		r = ctl_lines_read(&l);
		assert_null(ctl_lines_next(&l));
	}
	assert_int_equal(r, -EMSGSIZE);
	ctl_lines_done(&l);
	/* Nobody reads: the time ends it. */
	r = 0;
	while (r == 0)
		r = ctl_lines_send(pair[1], much, sizeof(much), -1, clock_now_ms() + 20);
	assert_int_equal(r, -ETIMEDOUT);
	(void)close(pair[0]);
	assert_int_equal(ctl_lines_send(pair[1], much, sizeof(much), -1, clock_now_ms() + 20), -EPIPE);
	(void)close(pair[1]);
}

static void test_places(void **state)
{
	struct ctl_place a, b, *list;
	struct stat made_a, made_b;
	unsigned int n;

	assert_int_equal(ctl_place_list(&list, &n), 0);
	assert_int_equal(n, 0);
	int fd_a = ctl_place_listen(CTL_GUEST, "my vm/\xc3\xa4", 123, &a, &made_a);
	assert_true(fd_a >= 0);
	assert_string_equal(a.name, "my_vm___");
	assert_true(ctl_place_is(&a, "my vm/\xc3\xa4") && ctl_place_is(&a, "my_vm___") && ctl_place_is(&a, "123"));
	assert_false(ctl_place_is(&a, "my vm") || ctl_place_is(&a, "12") || ctl_place_is(&a, ""));
	int fd_b = ctl_place_listen(CTL_USER, NULL, 99, &b, &made_b);
	assert_true(fd_b >= 0);
	assert_string_equal(b.name, "99");
	struct stat st;
	assert_int_equal(stat(run_dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(ctl_place_list(&list, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(list[0].name, "99");
	assert_int_equal(list[0].kind, CTL_USER);
	assert_int_equal(list[1].pid, 123);
	assert_string_equal(list[1].path, a.path);
	free(list);

	/* The same number and name, of another process namespace: both are there. */
	struct ctl_place c;
	struct stat made_c;
	int fd_c = ctl_place_listen(CTL_GUEST, "my vm/\xc3\xa4", 123, &c, &made_c);
	assert_true(fd_c >= 0);
	assert_string_equal(c.name, "my_vm___.2");
	/* The first one dies without a word: its name is taken over. */
	(void)close(fd_a);
	int fd_d = ctl_place_listen(CTL_GUEST, "my vm/\xc3\xa4", 123, &a, &made_a);
	assert_true(fd_d >= 0);
	assert_string_equal(a.name, "my_vm___");
	/* The next one's is removed by who looks, or comes anew; so is one that had no name yet. */
	(void)close(fd_d);
	char unnamed[CTL_PATH_BYTES];
	(void)snprintf(unnamed, sizeof(unnamed), "%s/.x-1", run_dir);
	int fd_x = unixsock_listen(unnamed, &made_a);
	assert_true(fd_x >= 0);
	(void)close(fd_x);
	fd_x = ctl_place_listen(CTL_USER, "y", 5, &a, &made_a);
	assert_true(fd_x >= 0);
	assert_int_equal(access(unnamed, F_OK), -1);
	(void)close(fd_x);
	ctl_place_remove(&a, &made_a);
	(void)snprintf(a.path, sizeof(a.path), "%s/guest.123.my_vm___", run_dir);
	assert_int_equal(ctl_place_list(&list, &n), 0);
	assert_int_equal(n, 2);
	free(list);
	assert_int_equal(access(a.path, F_OK), -1);

	(void)close(fd_b);
	ctl_place_remove(&b, &made_b);
	assert_int_equal(access(run_dir, F_OK), 0);
	(void)close(fd_c);
	ctl_place_remove(&c, &made_c);
	assert_int_equal(access(run_dir, F_OK), -1);
}

static char *file_in_run_dir(const char *name, char ret[CTL_PATH_BYTES])
{
	(void)snprintf(ret, CTL_PATH_BYTES, "%s/%s", run_dir, name);
	int fd = open(ret, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	return ret;
}

/* A file refuses a connection as a dead socket does, but is nobody's to remove: the folder may be somebody's
 * home. */
static void test_files_stay(void **state)
{
	char dot[CTL_PATH_BYTES], named[CTL_PATH_BYTES];
	struct ctl_place *list;
	unsigned int n;

	assert_int_equal(mkdir(run_dir, 0700), 0);
	(void)file_in_run_dir(".profile", dot);
	(void)file_in_run_dir("guest.1.x", named);
	assert_int_equal(ctl_place_list(&list, &n), 0);
	free(list);
	assert_int_equal(unlink(dot), 0);
	assert_int_equal(unlink(named), 0);
	(void)rmdir(run_dir);
}

/* Root looks into another's folder, where names may be made to mean anything between two steps. */
static void test_folder_of_another(void **state)
{
	char dead[CTL_PATH_BYTES];
	struct ctl_place p, *list;
	struct stat made;
	unsigned int n;

	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(run_dir, 0700), 0);
	(void)snprintf(dead, sizeof(dead), "%s/guest.1.x", run_dir);
	int fd = unixsock_listen(dead, &made);
	assert_true(fd >= 0);
	assert_int_equal(chown(run_dir, 65534, 65534), 0);
	assert_int_equal(ctl_place_list(&list, &n), 0);
	assert_int_equal(n, 1);
	free(list);
	(void)close(fd);
	assert_int_equal(ctl_place_list(&list, &n), 0);
	assert_int_equal(n, 0);
	free(list);
	assert_int_equal(ctl_place_listen(CTL_USER, "x", 1, &p, &made), -EPERM);
	assert_int_equal(unlink(dead), 0);
	assert_int_equal(ctl_place_list(&list, &n), 0);
	free(list);
	assert_int_equal(rmdir(run_dir), 0);
}

/* Others could put theirs there, or look. */
static void test_bad_folders(void **state)
{
	struct ctl_place p, *list;
	struct stat made;
	unsigned int n;

	assert_int_equal(mkdir(run_dir, 0700), 0);
	assert_int_equal(chmod(run_dir, 0710), 0);
	assert_int_equal(ctl_place_listen(CTL_USER, "x", 1, &p, &made), -EPERM);
	assert_int_equal(ctl_place_list(&list, &n), -EPERM);
	assert_int_equal(rmdir(run_dir), 0);
	assert_int_equal(symlink("/tmp", run_dir), 0);
	assert_int_equal(ctl_place_listen(CTL_USER, "x", 1, &p, &made), -ENOTDIR);
	assert_int_equal(unlink(run_dir), 0);
}

static void answer(void *ctx, const struct ctl_request *request, bool is_parent, struct ctl_reply *ret)
{
	if (request->op == CTL_END)
		loop_stop(ctx, 0);
	if (request->op == CTL_INFO_NETWORK)
		for (int i = 0; i < 50000; i++)
			ctl_reply_add(
				ret, "%s", i % 1000 ? "" : "a long line of some text to make it large\n");
	if (request->op == CTL_NIC_ADD)
		ctl_reply_fail(ret, "%s of %s", request->arg, is_parent ? "parent" : "other");
}

static int serve(int inherited)
{
	struct ctl_server_config c = {.handle = answer};
	struct ctl_server *s = NULL;

	if (loop_new(NULL, &c.loop) < 0)
		return 1;
	c.ctx = c.loop;
	if (ctl_server_new(&c, &s) < 0 || ctl_server_add(s, inherited) < 0 ||
		ctl_server_listen(s, CTL_USER, "server", getpid()) < 0)
		return 2;
	int r = loop_run(c.loop);
	s = ctl_server_free(s);
	loop_free(c.loop);
	return r;
}

static void test_server(void **state)
{
	struct ctl_place *list = NULL;
	struct ctl_reply r;
	unsigned int n = 0;
	int pair[2], status;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(serve(pair[1]));
	(void)close(pair[1]);
	uint64_t end_ms = clock_now_ms() + 20000;
	while (n == 0 && clock_now_ms() < end_ms) {
		(void)usleep(5000);
		free(list);
		assert_int_equal(ctl_place_list(&list, &n), 0);
	}
	assert_int_equal(n, 1);
	q = (struct ctl_request){.op = CTL_NIC_ADD, .arg = "this"};
	assert_int_equal(ctl_call(list[0].path, &q, 20000, &r), 0);
	assert_string_equal(r.error, "this of other");
	ctl_reply_done(&r);
	for (int i = 0; i < 3; i++) { /* the inherited one stays */
		assert_int_equal(ctl_call_fd(pair[0], &q, 20000, &r), 0);
		assert_string_equal(r.error, "this of parent");
		ctl_reply_done(&r);
	}
	q.op = CTL_INFO_NETWORK;
	assert_int_equal(ctl_call(list[0].path, &q, 20000, &r), 0);
	assert_int_equal(strlen(r.text), 50 * strlen("a long line of some text to make it large\n"));
	ctl_reply_done(&r);
	/* Stopped, it does not answer, and the caller comes back. */
	(void)kill(pid, SIGSTOP);
	assert_int_equal(ctl_call_fd(pair[0], &q, 50, &r), -ETIMEDOUT);
	(void)kill(pid, SIGCONT);
	/* Its answer, which comes now, is not taken for the next one's. */
	q.op = CTL_NIC_ADD;
	assert_int_equal(ctl_call_fd(pair[0], &q, 20000, &r), 0);
	assert_string_equal(r.error, "this of parent");
	ctl_reply_done(&r);
	q.op = CTL_END;
	assert_int_equal(ctl_call(list[0].path, &q, 20000, &r), 0);
	ctl_reply_done(&r);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(ctl_call(list[0].path, &q, 20000, &r) < 0);
	assert_int_equal(access(run_dir, F_OK), -1);
	(void)close(pair[0]);
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_files_stay),
		cmocka_unit_test(test_folder_of_another),
		cmocka_unit_test(test_bad_folders),
		cmocka_unit_test(test_server),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
