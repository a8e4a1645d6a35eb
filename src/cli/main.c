/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "cli.h"

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;
	const struct cli_verb *v;

	if (!word) {
		(void)fputs("vmlan: a verb is missing; 'vmlan help' lists them\n", stderr);
		return CLI_USAGE;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		word = "help";
	else if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
		word = "version";
	v = cli_verb_find(word);
	if (!v) {
		const char *near = cli_verb_nearest(word);

		(void)fprintf(stderr, "vmlan: there is no verb '%s'", word);
		if (near)
			(void)fprintf(stderr, "; did you mean '%s'?", near);
		(void)fputs("\nTry 'vmlan help'.\n", stderr);
		return CLI_USAGE;
	}
	return v->run(v, argc - 1, argv + 1);
}
