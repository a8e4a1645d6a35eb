/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan doctor: what of this host, or of a network, is not as guests need it. Exit status 1 if something is a
 * problem. */
#include <stdio.h>

#include "doctor.h"
#include "net_cmd.h"

#define FOUND_COLUMN "                            " /* below what was found */

struct doctor_options {
	bool json;
};

static const struct cli_option options[] = {
	{"json", 0, NULL, "for programs", .flag = offsetof(struct doctor_options, json)},
};

struct teller {
	json_t *list; /* NULL: for people */
	unsigned int n[DOCTOR_STATE_MAX];
};

static void tell(void *ctx, const struct doctor_finding *f)
{
	struct teller *t = ctx;

	t->n[f->state]++;
	if (t->list) {
		(void)json_array_append_new(t->list,
			json_pack("{ssssssssss}", "check", f->name, "state", doctor_state_names[f->state],
				"found", f->found, "wanted", f->wanted, "mend", f->mend));
		return;
	}
	(void)printf("%-8s %-18s %s\n", doctor_state_names[f->state], f->name, f->found);
	if (f->wanted[0] && f->state != DOCTOR_OK)
		(void)printf(FOUND_COLUMN "wanted: %s\n", f->wanted);
	if (f->mend[0])
		(void)printf(FOUND_COLUMN "to mend it: %s\n", f->mend);
}

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	struct doctor_options o = {0};
	struct teller t = {0};
	struct doctor d = {.host = h, .tell = tell, .ctx = &t};
	int status = net_cmd_parse(v, argc, argv, &o, 0, 1, 0, &a);

	if (status >= 0 || !h)
		return h ? status : CLI_FAILED;
	t.list = o.json ? json_array() : NULL;
	doctor_check_host(&d);
	if (a.n_words)
		doctor_check_network(&d, a.words[0]);
	if (t.list)
		status = net_cmd_print_json(t.list);
	else {
		(void)printf("%u problems, %u warnings, %u could not be looked at\n", t.n[DOCTOR_PROBLEM],
			t.n[DOCTOR_WARNING], t.n[DOCTOR_UNKNOWN]);
		status = net_cmd_finish();
	}
	return t.n[DOCTOR_PROBLEM] ? CLI_FAILED : status;
}

const struct cli_verb cli_verb_doctor = {
	.name = "doctor",
	.synopsis = "[OPTION]... [NETWORK]",
	.summary = "check this host, and a network, and say what mends them",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run,
};
