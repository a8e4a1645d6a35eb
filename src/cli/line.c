/* SPDX-License-Identifier: BSD-2-Clause */
#include "line.h"

#include <fcntl.h>
#include <stdio.h>

#include "guest.h"
#include "log.h"
#include "qemu_vhost.h"

/* What a line is for where there is no QEMU to ask. */
#define TODAY_MAJOR 10
#define TODAY_MINOR 0

static bool has_kvm(void)
{
	_cleanup_close_ int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	return fd >= 0;
}

/* Where a name of old is no command, it is qemu-system-x86_64: `kvm` and `qemu-kvm` with KVM if that can be used,
 * `qemu` (before 1.0) without. */
static bool replace_old_name(struct cli_line *r)
{
	static char name[] = "qemu-system-x86_64", option[] = "-enable-kvm";
	const char *old = r->argv[0];
	bool is_kvm = strcmp(old, "kvm") == 0 || strcmp(old, "qemu-kvm") == 0, kvm = is_kvm && has_kvm();
	char path[PATH_MAX];

	if ((!is_kvm && strcmp(old, "qemu") != 0) || guest_find_command(name, path) < 0)
		return false;
	log_info("there is no command '%s' here: running %s%s", old, name,
		kvm       ? " -enable-kvm"
		: is_kvm ? " without KVM, for /dev/kvm cannot be used"
			  : "");
	r->argv[0] = name;
	if (kvm) {
		memmove(r->argv + 2, r->argv + 1, (size_t)r->argc * sizeof(*r->argv));
		r->argv[1] = option;
		r->argc++;
	}
	return true;
}

/* 0, or the exit status. ret_path: where QEMU is. */
static int find_guest(struct cli_line *r, char ret_path[PATH_MAX])
{
	int x = guest_find_command(r->argv[0], ret_path);

	if (x == -ENOENT && replace_old_name(r))
		x = guest_find_command(r->argv[0], ret_path);
	if (x == 0)
		return 0;
	log_error("cannot run %s: %s", r->argv[0], strerror(-x));
	return x == -ENOENT ? CLI_NO_COMMAND : CLI_NO_COMMAND - 1;
}

/* An argument and the place in it. */
static void print_line_error(const struct cli_verb *v, const struct cli_line *r, const struct qemu_error *q)
{
	struct conf_error e = {.at = q->at, .n_bytes = q->n_bytes};

	(void)snprintf(e.text, sizeof(e.text), "%s", q->text);
	cli_print_error(v, NULL, q->arg >= 0 && q->arg < r->argc ? r->argv[q->arg] : NULL, &e);
}

static void ask_version(struct cli_line *r, const char *path)
{
	char text[4096];

	if (guest_ask_version(path, text, sizeof(text)) < 0 || !qemu_version_parse(text, &r->version))
		log_warn("%s does not say its version; it is joined as QEMU of any age", path);
}

/* 0, or the exit status. */
static int make_plan(const struct cli_verb *v, struct cli_line *r, const char *path, bool by_vhost)
{
	struct qemu_error e = {.arg = -1};
	int x = qemu_line_parse(r->argc, r->argv, &r->line, &e);

	if (x == 0) {
		if (!r->line.informs && *path)
			ask_version(r, path);
		r->line.may_tap = guest_tap_is_possible();
		/* Old QEMUs crash by it without KVM, and there is little to win. */
		r->line.may_vhost = guest_tap_has_vhost() && !qemu_line_is_tcg(&r->line, has_kvm());
		x = qemu_plan_make(&r->line, &r->version, &r->plan, &e);
	}
	if (x == 0)
		x = qemu_vhost_apply(&r->plan, &r->version,
			&(struct qemu_vhost_options){.off = !by_vhost, .has_kvm = has_kvm()});
	if (x == -ENOMEM) {
		log_error("no memory");
		return CLI_FAILED;
	}
	if (x < 0)
		print_line_error(v, r, &e);
	return x < 0 ? CLI_USAGE : 0;
}

int cli_line_make(const struct cli_verb *v, char **command, bool may_lack, bool by_vhost, struct cli_line *ret)
{
	_cleanup_(cli_line_done) struct cli_line l = {.version = {TODAY_MAJOR, TODAY_MINOR}};
	char path[PATH_MAX] = "";
	int status = 0;

	while (command && command[l.argc])
		l.argc++;
	if (!l.argc) {
		cli_usage_error(v, "the QEMU line is missing: vmlan %s [OPTION]... -- QEMU ARGS", v->name);
		return CLI_USAGE;
	}
	l.argv = calloc((size_t)l.argc + 2, sizeof(*l.argv)); /* one more for -enable-kvm */
	if (!l.argv) {
		log_error("no memory");
		return CLI_FAILED;
	}
	memcpy(l.argv, command, (size_t)l.argc * sizeof(*l.argv));
	if (!may_lack || guest_find_command(l.argv[0], path) == 0)
		status = find_guest(&l, path);
	else
		path[0] = '\0';
	if (*path)
		l.version = (struct qemu_version){0};
	if (status == 0)
		status = make_plan(v, &l, path, by_vhost);
	if (status != 0)
		return status;
	*ret = l;
	l = (struct cli_line){0};
	return 0;
}

void cli_line_done(struct cli_line *l)
{
	qemu_plan_done(&l->plan);
	qemu_line_done(&l->line);
	free(l->argv);
	*l = (struct cli_line){0};
}
