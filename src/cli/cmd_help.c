/* SPDX-License-Identifier: BSD-2-Clause */
/* Help is made from the tables of verbs and options. A verb's help fits a screen of 24 lines of 80. */
#include <stdio.h>

#include "cli.h"

#define OPTION_COLUMN 25 /* where the explanation of an option begins */

const struct cli_verb *cli_verb_find(const char *name)
{
	for (unsigned int i = 0; i < cli_n_verbs; i++)
		if (strcmp(cli_verbs[i]->name, name) == 0)
			return cli_verbs[i];
	return NULL;
}

const char *cli_verb_nearest(const char *word)
{
	const char *names[32];
	unsigned int n = 0;

	for (unsigned int i = 0; i < cli_n_verbs && n < ARRAY_SIZE(names); i++)
		if (cli_verbs[i]->summary)
			names[n++] = cli_verbs[i]->name;
	return cli_nearest(word, names, n);
}

static void print_option(const struct cli_option *o)
{
	int n = o->letter ? printf("  -%c, --%s", o->letter, o->name) : printf("  --%s", o->name);

	if (o->value)
		n += printf(" %s", o->value);
	(void)printf("%*s%s\n", n < OPTION_COLUMN ? OPTION_COLUMN - n : 1, "", o->help);
}

void cli_verb_print_help(const struct cli_verb *v)
{
	(void)printf("usage: vmlan %s %s\n", v->name, v->synopsis);
	if (v->details)
		(void)printf("%s\n", v->details);
	for (unsigned int i = 0; i < v->n_options; i++)
		if (v->options[i].help)
			print_option(&v->options[i]);
}

static void print_verbs(void)
{
	(void)printf(
		"vmlan %s: networks for KVM/QEMU guests; usage: vmlan VERB [OPTION]...\n\n", VMLAN_VERSION);
	for (unsigned int i = 0; i < cli_n_verbs; i++)
		if (cli_verbs[i]->summary)
			(void)printf("  %-10s%s\n", cli_verbs[i]->name, cli_verbs[i]->summary);
	(void)printf("\n'vmlan VERB --help' explains a verb, 'man vmlan' everything. The shortest way:\n"
		     "put two words before the line that has started your guest so far.\n\n"
		     "  vmlan run kvm -m 2048 disk.img -net nic -net user,hostfwd=tcp::5022-:22\n");
}

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	const struct cli_verb *about = NULL;

	if (!cli_parse(v, argc, argv, NULL, &a))
		return CLI_USAGE;
	if (a.n_words > 1 || a.command) {
		cli_usage_error(v, "takes one verb");
		return CLI_USAGE;
	}
	if (a.help)
		about = v;
	else if (a.n_words)
		about = cli_verb_find(a.words[0]);
	if (a.n_words && !about) {
		cli_usage_error(v, "there is no verb '%s'", a.words[0]);
		return CLI_USAGE;
	}
	if (about)
		cli_verb_print_help(about);
	else
		print_verbs();
	return fflush(stdout) != 0 ? CLI_FAILED : 0;
}

const struct cli_verb cli_verb_help = {
	.name = "help",
	.synopsis = "[VERB]",
	.summary = "list the verbs, or explain one",
	.run = run,
};
