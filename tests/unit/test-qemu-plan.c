/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines as people write them, and what becomes of them: the file qemu-lines, which says how it is read.
 *
 * usage: test-qemu-plan qemu-lines [print]; with "print" it writes what it would have expected, for a person
 * to judge. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "qemu_plan.h"

#define ARGS_MAX   64
#define LINES_MIN  200
#define NETWORK_FD 50
#define TAP_FD     70

static const char *lines_path;
static bool prints;

/* Splits at blanks; what stands between single quotes stays together. */
static unsigned int split(char *line, char **argv)
{
	unsigned int n = 0;
	char *to = line;

	for (char *p = line; *p;) {
		bool quoted = false;

		assert_true(n < ARGS_MAX - 1);
		argv[n++] = to;
		for (; *p && (quoted || *p != ' '); p++)
			if (*p == '\'')
				quoted = !quoted;
			else
				*to++ = *p;
		while (*p == ' ')
			p++;
		*to++ = '\0';
	}
	argv[n] = NULL;
	return n;
}

static void add_addr(struct qemu_text *t, const char *before, uint32_t a_be)
{
	char a[INET_ADDRSTRLEN];

	qemu_text_addf(t, "%s%s", before, inet_ntop(AF_INET, &a_be, a, sizeof(a)));
}

static void write_network(const struct qemu_network *n, struct qemu_text *t)
{
	const struct user_conf *c = &n->conf;
	struct user_conf expect;
	struct conf_error e;

	/* Addresses that follow the network are left out. */
	user_conf_init(&expect);
	qemu_text_add(t, n->name);
	if (c->net_be != expect.net_be || c->dns_be != htonl(0x0a000203)) {
		add_addr(t, " ", c->net_be);
		qemu_text_addf(t, "/%d", __builtin_popcount(c->mask_be));
	}
	expect.net_be = c->net_be;
	expect.mask_be = c->mask_be;
	assert_true(user_conf_check(&expect, &e));
	if (c->host_be != expect.host_be || c->dns_be != expect.dns_be ||
		c->dhcp_start_be != expect.dhcp_start_be) {
		add_addr(t, " ", c->host_be);
		add_addr(t, " ", c->dns_be);
		add_addr(t, " ", c->dhcp_start_be);
	}
	if (c->hostname[0])
		qemu_text_addf(t, " hostname=%s", c->hostname);
	if (c->domainname[0])
		qemu_text_addf(t, " domainname=%s", c->domainname);
	for (unsigned int i = 0; i < c->n_search; i++)
		qemu_text_addf(t, " search=%s", c->search[i]);
	qemu_text_add(t, c->restricted ? " restricted" : "");
	for (unsigned int i = 0; i < c->n_forwards; i++) {
		const struct user_forward *f = &c->forwards[i];

		add_addr(t, f->proto == IPPROTO_UDP ? " udp/" : " tcp/", f->host_be);
		qemu_text_addf(t, ":%u", f->host_port);
		add_addr(t, ">", f->guest_be);
		qemu_text_addf(t, ":%u", f->guest_port);
	}
}

static void write_scripts(const struct qemu_tap *t, struct qemu_text *to)
{
	qemu_text_addf(to, " up %s", t->script ? t->script : "-");
	qemu_text_addf(to, " down %s", t->downscript ? t->downscript : "-");
}

static void write_tap(const struct qemu_tap *t, struct qemu_text *to)
{
	qemu_text_addf(to, "%s %s", t->name, t->ifname[0] ? t->ifname : "-");
	if (t->bridge[0]) {
		qemu_text_addf(to, " %s %s", t->is_network ? "network" : "bridge", t->bridge);
		assert_true(!t->script && !t->downscript && !t->ifname[0]);
	} else {
		write_scripts(t, to);
	}
	if (t->n_queues > 1)
		qemu_text_addf(to, " queues %u", t->n_queues);
	qemu_text_add(to, t->vnet_hdr_required ? " header" : t->vnet_hdr ? "" : " no header");
}

/* A word as it is written in the file: our end of a cable in brief. */
static void write_word(const char *word, const char *line, struct qemu_text *to)
{
	static const char opened[] = "stream,id=", rest[] = ",server=off,addr.type=fd,addr.str=";
	const char *end = strstr(word, rest);

	if (strncmp(word, opened, strlen(opened)) == 0 && end && !strstr(line, rest))
		qemu_text_addf(to, "<%.*s %s>", (int)(end - word - strlen(opened)), word + strlen(opened),
			end + strlen(rest));
	else
		qemu_text_addf(to, strpbrk(word, " ") || !*word ? "'%s'" : "%s", word);
}

/* The plan as it is written in the file. */
static void write_plan(const struct qemu_plan *p, const char *line, struct qemu_text *to)
{
	int fds[ARGS_MAX];
	struct qemu_text new = {0};
	int tap_fd = TAP_FD;
	char **argv;

	assert_true(p->n_networks <= ARRAY_SIZE(fds));
	for (unsigned int i = 0; i < p->n_networks; i++)
		fds[i] = NETWORK_FD + (int)i;
	for (unsigned int i = 0; i < p->n_taps; i++)
		for (unsigned int k = 0; k < p->taps[i].n_queues; k++)
			p->taps[i].fds[k] = tap_fd++;
	argv = qemu_plan_argv(p, fds);
	assert_non_null(argv);
	for (char **a = argv; *a; a++) {
		qemu_text_add(&new, a == argv ? "" : " ");
		write_word(*a, line, &new);
	}
	qemu_text_addf(to, "\t%s\n", strcmp(new.p, line) == 0 ? "=" : new.p);
	for (unsigned int i = 0; i < p->n_networks; i++) {
		qemu_text_add(to, "\tnetwork ");
		write_network(&p->networks[i], to);
		qemu_text_add(to, "\n");
	}
	for (unsigned int i = 0; i < p->n_taps; i++) {
		qemu_text_add(to, "\ttap ");
		write_tap(&p->taps[i], to);
		qemu_text_add(to, "\n");
	}
	for (unsigned int i = 0; i < p->n_notes; i++)
		qemu_text_addf(to, "\tnote %s\n", p->notes[i]);
	argv = qemu_argv_free(argv);
	qemu_text_done(&new);
}

/* What is refused, and the text that the error points at. */
static void write_error(const struct qemu_error *e, char **argv, int argc, struct qemu_text *to)
{
	assert_in_range(e->arg, 1, argc - 1);
	assert_true(e->at + e->n_bytes <= strlen(argv[e->arg]));
	qemu_text_addf(to, "\terror %s [%.*s]\n", e->text, (int)e->n_bytes, argv[e->arg] + e->at);
}

static void run_line(const char *text, const struct qemu_version *version, bool may_tap, bool may_vhost,
	struct qemu_text *to)
{
	struct qemu_error e = {.arg = -1};
	struct qemu_line l = {0};
	struct qemu_plan p = {0};
	char *line = strdup(text), *argv[ARGS_MAX];
	int argc = (int)split(line, argv);
	int r = qemu_line_parse(argc, argv, &l, &e);

	l.may_tap = may_tap;
	l.may_vhost = may_vhost;
	if (r == 0)
		r = qemu_plan_make(&l, version, &p, &e);
	if (r == 0)
		write_plan(&p, text, to);
	else
		write_error(&e, argv, argc, to);
	assert_true(r == 0 || r == -EINVAL);
	qemu_plan_done(&p);
	qemu_line_done(&l);
	free(line);
}

/* One line of the file with all that it says of it, which is empty but for "print". */
struct sample {
	char line[4096];
	struct qemu_version version;
	bool no_taps, vhost;
	struct qemu_text want;
};

static unsigned int finish(struct sample *s)
{
	struct qemu_text got = {0};

	if (!s->line[0])
		return 0;
	run_line(s->line, &s->version, !s->no_taps, s->vhost, &got);
	if (prints)
		(void)printf("%s\n%s", s->line, got.p);
	else if (!s->want.p || strcmp(got.p, s->want.p) != 0)
		fail_msg("%s\nis to be\n%sand is\n%s", s->line, s->want.p ? s->want.p : "", got.p);
	qemu_text_done(&got);
	qemu_text_done(&s->want);
	s->line[0] = '\0';
	return 1;
}

/* "@ qemu 2.5", "@ taps no", "@ vhost yes": for the lines that follow. */
static void set(struct sample *s, const char *text)
{
	if (strncmp(text, "@ taps ", 7) == 0)
		s->no_taps = strcmp(text + 7, "no") == 0;
	else if (strncmp(text, "@ vhost ", 8) == 0)
		s->vhost = strcmp(text + 8, "yes") == 0;
	else if (strcmp(text, "@ qemu unknown") == 0)
		s->version = (struct qemu_version){0};
	else
		assert_int_equal(sscanf(text, "@ qemu %u.%u", &s->version.major, &s->version.minor), 2);
}

static void test_lines(void **state)
{
	struct sample s = {.version = {7, 2}};
	FILE *f = fopen(lines_path, "re");
	unsigned int n = 0;
	char text[4096];

	assert_non_null(f);
	while (fgets(text, sizeof(text), f)) {
		text[strcspn(text, "\n")] = '\0';
		if (text[0] == '\t') {
			assert_true(s.line[0]);
			qemu_text_addf(&s.want, "%s\n", text);
			continue;
		}
		n += finish(&s);
		if (prints && (!text[0] || strchr("#@", text[0])))
			(void)printf("%s\n", text);
		if (text[0] == '@')
			set(&s, text);
		else if (text[0] && text[0] != '#')
			(void)snprintf(s.line, sizeof(s.line), "%s", text);
	}
	n += finish(&s);
	(void)fclose(f);
	assert_true(n >= LINES_MIN || prints);
}

/* The error points at the very value. */
static void test_place(void **state)
{
	char *argv[] = {
		(char[]){"qemu"}, (char[]){"-nic"}, (char[]){"user,id=n,hostfwd=tcp::70000-:22"}, NULL};
	struct qemu_version v = {7, 2};
	struct qemu_error e = {.arg = -1};
	struct qemu_line l = {0};
	struct qemu_plan p = {0};

	assert_int_equal(qemu_line_parse(3, argv, &l, &e), 0);
	assert_int_equal(qemu_plan_make(&l, &v, &p, &e), -EINVAL);
	assert_int_equal(e.arg, 2);
	assert_int_equal(e.at, strlen("user,id=n,hostfwd=tcp::"));
	assert_int_equal(e.n_bytes, 5);
	qemu_line_done(&l);
}

static void test_daemonize(void **state)
{
	char *argv[] = {(char[]){"qemu"}, (char[]){"--daemonize"}, NULL};
	char *other[] = {(char[]){"qemu"}, (char[]){"-append"}, (char[]){"-daemonize"}, NULL};
	struct qemu_error e;
	struct qemu_line l = {0};

	assert_int_equal(qemu_line_parse(2, argv, &l, &e), 0);
	assert_true(l.daemonizes);
	qemu_line_done(&l);
	assert_int_equal(qemu_line_parse(3, other, &l, &e), 0);
	assert_false(l.daemonizes);
	qemu_line_done(&l);
}

static void test_version(void **state)
{
	struct qemu_version v = {0};

	assert_true(qemu_version_parse("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright", &v));
	assert_int_equal(v.major, 7);
	assert_int_equal(v.minor, 2);
	assert_true(qemu_version_parse("QEMU PC emulator version 0.12.5 (qemu-kvm-0.12.5), Copyright", &v));
	assert_int_equal(v.major, 0);
	assert_int_equal(v.minor, 12);
	assert_false(qemu_version_parse("some wrapper version 1.2", &v));
	assert_false(qemu_version_parse("", &v));
	v = (struct qemu_version){7, 2};
	assert_true(qemu_version_is_at_least(&v, 7, 2));
	assert_true(qemu_version_is_at_least(&v, 6, 9));
	assert_false(qemu_version_is_at_least(&v, 7, 3));
	assert_false(qemu_version_is_at_least(&v, 8, 0));
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_place),
		cmocka_unit_test(test_daemonize),
		cmocka_unit_test(test_version),
	};

	lines_path = argc > 1 ? argv[1] : "qemu-lines";
	prints = argc > 2 && strcmp(argv[2], "print") == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
