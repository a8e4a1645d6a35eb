/* SPDX-License-Identifier: BSD-2-Clause */
#include "net_cmd.h"

#include <stdio.h>

int net_cmd_error(const struct cli_verb *v, const char *name, const struct network_error *e, int r)
{
	(void)fprintf(stderr, "vmlan %s: %s%s%s%s%s\n", v->name, e->option[0] ? name : "",
		e->option[0] ? ": --" : "", e->option, e->option[0] ? " " : "", e->text);
	if (e->mend[0])
		(void)fprintf(stderr, "To mend it: %s.\n", e->mend);
	return e->option[0] && r == -EINVAL ? CLI_USAGE : CLI_FAILED;
}

int net_cmd_parse(const struct cli_verb *v, int argc, char **argv, void *target, unsigned int n_min,
	unsigned int n_max, unsigned int at_name, struct cli_args *ret)
{
	struct net_conf c;
	struct conf_error e;

	if (!cli_parse(v, argc, argv, target, ret))
		return CLI_USAGE;
	if (ret->help) {
		cli_verb_print_help(v);
		return net_cmd_finish();
	}
	if (ret->n_words < n_min || ret->n_words > n_max || ret->command) {
		cli_usage_error(v, "%s: vmlan %s %s",
			ret->n_words < n_min ? "a word is missing" : "too many words", v->name, v->synopsis);
		return CLI_USAGE;
	}
	if (ret->n_words > at_name && !net_conf_init(ret->words[at_name], &c, &e)) {
		cli_print_error(v, NULL, ret->words[at_name], &e);
		return CLI_USAGE;
	}
	return -1;
}

int net_cmd_finish(void)
{
	return fflush(stdout) != 0 || ferror(stdout) ? CLI_FAILED : 0;
}

int net_cmd_print_json(json_t *o)
{
	int r = o ? json_dumpf(o, stdout, JSON_INDENT(2)) : -1;

	json_decref(o);
	(void)fputc('\n', stdout);
	return r < 0 ? CLI_FAILED : net_cmd_finish();
}
