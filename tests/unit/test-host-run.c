/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands of the host's that run to their end, or are made to. */
#include "cmocka-all.h"

#include <signal.h>

#include "host_internal.h"

#define LONG_MS 60000

static struct host h;

static int shell(const char *script, unsigned int timeout_ms)
{
	char sh[] = "sh", c[] = "-c", text[256];
	char *argv[] = {sh, c, text, NULL};

	assert_true(strlen(script) < sizeof(text));
	(void)strcpy(text, script);
	return host_run_within(&h, argv, timeout_ms);
}

static void test_status(void **state)
{
	char none[] = "there-is-no-such-program", *argv[] = {none, NULL};

	assert_int_equal(shell("exit 0", LONG_MS), 0);
	assert_string_equal(h.error, "");
	assert_int_equal(shell("echo one; echo two >&2; exit 3", LONG_MS), 3);
	assert_string_equal(h.error, "one\ntwo\n");
	assert_int_equal(shell("kill -9 $$", LONG_MS), -EINTR);
	assert_int_equal(host_run_within(&h, argv, LONG_MS), 127);
}

/* More than is kept, and than a pipe holds. */
static void test_many_words(void **state)
{
	assert_int_equal(shell("printf begin; head -c 300000 /dev/zero | tr '\\0' x; exit 5", LONG_MS), 5);
	assert_int_equal(strlen(h.error), sizeof(h.error) - 1);
	assert_memory_equal(h.error, "beginxxx", 8);
}

static void test_no_end(void **state)
{
	assert_int_equal(shell("exec sleep 1000", 100), -ETIMEDOUT);
	assert_non_null(strstr(h.error, "sh did not end within"));
	/* One that has ended, but left another behind with its words. */
	assert_int_equal(shell("sleep 5 & exit 0", 100), -ETIMEDOUT);
}

/* What its caller does with signals is nothing to it. */
static void test_signals(void **state)
{
	sigset_t term, before;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	assert_int_equal(sigprocmask(SIG_BLOCK, &term, &before), 0);
	assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	assert_int_equal(shell("kill -TERM $$; exit 0", LONG_MS), -EINTR);
	assert_int_equal(shell("kill -PIPE $$; exit 0", LONG_MS), -EINTR);
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_many_words),
		cmocka_unit_test(test_no_end),
		cmocka_unit_test(test_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
