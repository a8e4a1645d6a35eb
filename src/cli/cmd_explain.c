/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan explain: what the network options of a QEMU line mean, and what `vmlan run` makes of them. */
#include <stdio.h>

#include "guest_bridge.h"
#include "line.h"
#include "log.h"
#include "qemu_explain.h"

/* The line may come without QEMU's own name: vmlan explain -- -net nic -net user. */
static char **with_program(char **words)
{
	static char name[] = "qemu-system-x86_64";
	unsigned int n = 0;
	char **all;

	while (words[n])
		n++;
	all = calloc((size_t)n + 2, sizeof(*all));
	if (!all)
		return NULL;
	if (!n || words[0][0] == '-')
		all[0] = name;
	memcpy(all + (all[0] ? 1 : 0), words, (size_t)n * sizeof(*all));
	return all;
}

/* What is in the way now of taps on bridges. */
static void add_bridges(const struct qemu_plan *p, struct qemu_text *t)
{
	for (unsigned int i = 0; i < p->n_taps; i++) {
		struct network_error e;
		struct guest_bridge b;

		if (!p->taps[i].bridge[0])
			continue;
		if (guest_bridge_find(&p->taps[i], &b, &e) < 0)
			qemu_text_addf(t, "Note: it would fail now: %s. To mend it: %s.\n", e.text, e.mend);
		else
			qemu_text_addf(t, "The tap of %s is to be on the bridge %s%s.\n", p->taps[i].name, b.name,
				b.isolated ? ", isolated from its other guests" : "");
	}
}

static int explain(const struct cli_verb *v, char **words)
{
	_cleanup_(cli_line_done) struct cli_line l = {0};
	_cleanup_(qemu_text_done) struct qemu_text t = {0};
	_cleanup_free_ char **command = with_program(words);
	int status = command ? cli_line_make(v, command, true, true, &l) : CLI_FAILED;

	if (status != 0)
		return status;
	if (qemu_explain(&l.line, &l.plan, &l.version, &t) < 0) {
		log_error("no memory");
		return CLI_FAILED;
	}
	add_bridges(&l.plan, &t);
	if (t.bad) {
		log_error("no memory");
		return CLI_FAILED;
	}
	return fputs(t.p, stdout) < 0 || fflush(stdout) != 0 ? CLI_FAILED : 0;
}

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};

	if (!cli_parse(v, argc, argv, NULL, &a))
		return CLI_USAGE;
	if (a.help) {
		cli_verb_print_help(v);
		return fflush(stdout) != 0 ? CLI_FAILED : 0;
	}
	if (!a.command || !a.command[0]) {
		cli_usage_error(
			v, "the QEMU line is missing: vmlan explain -- QEMU ARGS, or -- -net nic -net user");
		return CLI_USAGE;
	}
	return explain(v, a.command);
}

const struct cli_verb cli_verb_explain = {
	.name = "explain",
	.synopsis = "[--] [QEMU] [ARGUMENT]...",
	.summary = "say in words what a QEMU line's network options mean and become",
	.details = "  Starts nothing. QEMU may be left out, when the arguments stand behind --.",
	.words_are_command = true,
	.run = run,
};
