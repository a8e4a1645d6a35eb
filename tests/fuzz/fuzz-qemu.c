/* SPDX-License-Identifier: BSD-2-Clause */
/* A QEMU line, its arguments apart by newlines; the first byte chooses QEMU's age, whether taps can be made, and
 * whether by vhost-net. What is passed on must be made of what came in, each network must be one that passes its own
 * check, and the new line must need no more rewriting. */
#include <stdio.h>

#include "qemu_explain.h"
#include "qemu_vhost.h"

#define ARGS_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static int split(char *text, char **argv)
{
	int n = 0;

	argv[n++] = text;
	for (char *p = strchr(text, '\n'); p && n < ARGS_MAX; p = strchr(p, '\n')) {
		*p++ = '\0';
		argv[n++] = p;
	}
	argv[n] = NULL;
	return n;
}

/* The arguments that are no network options are all there, in their order. */
static void check_others(const struct qemu_line *l, char **new_argv)
{
	for (unsigned int i = 0; i < l->n_parts; i++) {
		const struct qemu_part *p = &l->parts[i];

		if (p->kind != QEMU_PART_OTHER)
			continue;
		for (int k = 0; k < p->n_args; k++) {
			while (*new_argv && strcmp(*new_argv, l->argv[p->at + k]) != 0)
				new_argv++;
			require(*new_argv != NULL);
			new_argv++;
		}
	}
}

/* Joining by vhost-user takes nothing away either, and has a reason where it does nothing. */
static void check_vhost(struct qemu_plan *p, const struct qemu_version *v, const struct qemu_line *l)
{
	struct qemu_vhost_options o = {.has_kvm = v->minor == 2};
	_cleanup_free_ int *fds = calloc((size_t)p->n_networks + 1, sizeof(*fds));
	char **new_argv;

	require(fds != NULL);
	require(qemu_vhost_apply(p, v, &o) == 0);
	for (unsigned int i = 0; i < p->n_networks; i++)
		require(p->networks[i].by_vhost == (p->networks[i].why_stream[0] == '\0'));
	new_argv = qemu_plan_argv(p, fds);
	require(new_argv != NULL);
	check_others(l, new_argv);
	new_argv = qemu_argv_free(new_argv);
}

/* Each network and each tap is in one argument of the new line. */
static void check_descriptors(const struct qemu_plan *p)
{
	unsigned int n_networks = 0, n_taps = 0;

	for (unsigned int i = 0; i < p->n_args; i++) {
		require(p->args[i].network < (int)p->n_networks && p->args[i].tap < (int)p->n_taps);
		n_networks += p->args[i].network >= 0;
		n_taps += p->args[i].tap >= 0;
	}
	require(n_networks == p->n_networks && n_taps == p->n_taps);
}

/* What has been rewritten asks for nothing more: the new line is its own plan. */
static void check_again(char **argv, const struct qemu_version *v)
{
	struct qemu_error e = {.arg = -1};
	struct qemu_line l = {0};
	struct qemu_plan p = {0};
	char **again;
	int argc = 0;

	while (argv[argc])
		argc++;
	require(qemu_line_parse(argc, argv, &l, &e) == 0);
	l.may_tap = true;
	require(qemu_plan_make(&l, v, &p, &e) == 0);
	require(p.n_networks == 0 && p.n_taps == 0);
	again = qemu_plan_argv(&p, NULL);
	require(again != NULL);
	for (int i = 0; i <= argc; i++)
		require(argv[i] ? again[i] && strcmp(argv[i], again[i]) == 0 : !again[i]);
	again = qemu_argv_free(again);
	qemu_plan_done(&p);
	qemu_line_done(&l);
}

static void check(const struct qemu_plan *p, const struct qemu_line *l, const struct qemu_version *v)
{
	_cleanup_free_ int *fds = calloc((size_t)p->n_networks + 1, sizeof(*fds));
	_cleanup_(qemu_text_done) struct qemu_text words = {0};
	char **new_argv;

	require(fds != NULL);
	for (unsigned int i = 0; i < p->n_networks; i++) {
		struct user_conf c = p->networks[i].conf;
		struct conf_error e;

		fds[i] = 3 + (int)i;
		require(user_conf_check(&c, &e));
	}
	check_descriptors(p);
	new_argv = qemu_plan_argv(p, fds);
	require(new_argv != NULL);
	check_others(l, new_argv);
	if (l->may_tap && p->n_notes == 0)
		check_again(new_argv, v);
	new_argv = qemu_argv_free(new_argv);
	require(qemu_explain(l, p, v, &words) == 0 && words.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	static const struct qemu_version versions[] = {{7, 2}, {10, 0}, {5, 1}, {2, 5}, {0, 0}};
	char *argv[ARGS_MAX + 1];
	struct qemu_version v;
	struct qemu_error e;
	struct qemu_line l = {0};
	struct qemu_plan p = {0};
	_cleanup_free_ char *text = NULL;
	int argc, r;

	if (n_bytes < 1)
		return 0;
	v = versions[(data[0] & 0x3f) % ARRAY_SIZE(versions)];
	text = strndup((const char *)data + 1, n_bytes - 1);
	require(text != NULL);
	argc = split(text, argv);
	r = qemu_line_parse(argc, argv, &l, &e);
	l.may_tap = !(data[0] & 0x80);
	l.may_vhost = data[0] & 0x40;
	if (r == 0)
		r = qemu_plan_make(&l, &v, &p, &e);
	if (r == 0) {
		check(&p, &l, &v);
		check_vhost(&p, &v, &l);
	} else {
		require(r == -EINVAL && e.arg < argc && strlen(e.text) > 0 &&
			(e.arg < 0 ||
				(e.at <= strlen(argv[e.arg]) && e.n_bytes <= strlen(argv[e.arg]) - e.at)));
	}
	qemu_plan_done(&p);
	qemu_line_done(&l);
	return 0;
}
