/* SPDX-License-Identifier: BSD-2-Clause */
/* A QEMU line, its arguments apart by newlines; the first byte chooses QEMU's age. What is passed on must be
 * made of what came in, and each network must be one that passes its own check. */
#include <stdio.h>

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

static void check(const struct qemu_plan *p, const struct qemu_line *l)
{
	_cleanup_free_ int *fds = calloc((size_t)p->n_networks + 1, sizeof(*fds));
	int n_new = 0;
	char **new_argv;

	require(fds != NULL);
	for (unsigned int i = 0; i < p->n_networks; i++) {
		struct user_conf c = p->networks[i].conf;
		struct conf_error e;

		fds[i] = 3 + (int)i;
		require(user_conf_check(&c, &e));
	}
	new_argv = qemu_plan_argv(p, fds);
	require(new_argv != NULL);
	while (new_argv[n_new])
		n_new++;
	require(n_new == l->argc || (n_new == l->argc + 4 && p->n_networks == 1));
	check_others(l, new_argv);
	new_argv = qemu_argv_free(new_argv);
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
	v = versions[data[0] % ARRAY_SIZE(versions)];
	text = strndup((const char *)data + 1, n_bytes - 1);
	require(text != NULL);
	argc = split(text, argv);
	r = qemu_line_parse(argc, argv, &l, &e);
	if (r == 0)
		r = qemu_plan_make(&l, &v, &p, &e);
	if (r == 0) {
		check(&p, &l);
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
