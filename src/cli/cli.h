/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line: a table of verbs, each with a table of options, from which the parser, the help, and
 * the hints at misspelt words are made. */
#pragma once

#include "user_conf.h"

#define CLI_OPTIONS_MAX 40

enum cli_status {
	CLI_FAILED = 1, /* it was understood, and did not work */
	CLI_USAGE = 2,  /* it was not understood */
	CLI_NO_COMMAND = 127,
};

struct cli_option {
	const char *name;  /* without its dashes */
	char letter;       /* -h; 0: none */
	const char *value; /* what it takes, for the help; NULL: nothing */
	const char *help;  /* NULL: not shown */
	/* With a value: takes it. */
	bool (*set)(void *target, const char *value, struct conf_error *e);
	/* Without one: the offset of a bool in the target, which becomes true. */
	size_t flag;
};

struct cli_verb {
	const char *name;
	const char *synopsis; /* what follows the name */
	const char *summary;  /* for the list of verbs; NULL: not for people, and not in it */
	const char *details;  /* lines between synopsis and options; may be NULL */
	const struct cli_option *options;
	unsigned int n_options;
	bool words_are_command; /* the first word begins the command, with "--" before it or not */
	/* argv[0] is the verb. */
	int (*run)(const struct cli_verb *v, int argc, char **argv);
};

extern const struct cli_verb *const cli_verbs[];
extern const unsigned int cli_n_verbs;
extern const struct cli_verb cli_verb_user, cli_verb_run, cli_verb_explain, cli_verb_up, cli_verb_adopt,
	cli_verb_down, cli_verb_ls, cli_verb_show, cli_verb_doctor, cli_verb_status, cli_verb_leases,
	cli_verb_hostfwd, cli_verb_reserve, cli_verb_info, cli_verb_nic, cli_verb_help, cli_verb_version,
	cli_verb_supervise;

const struct cli_verb *cli_verb_find(const char *name);
void cli_verb_print_help(const struct cli_verb *v);
/* The verb whose name a misspelt word is nearest to, or NULL. */
const char *cli_verb_nearest(const char *word);

/* What a command line holds besides its options. */
struct cli_args {
	char **words; /* heap, its strings are argv's */
	unsigned int n_words;
	char **command; /* NULL-terminated; NULL if there is none */
	bool help;      /* --help was among the options: nothing was checked after it */
};

void cli_args_done(struct cli_args *a);

/* Sets the options of argv[1...] in the target. false: the error has been printed. */
bool cli_parse(const struct cli_verb *v, int argc, char **argv, void *target, struct cli_args *ret);

/* "vmlan VERB: OPTION: text", the value, and a caret line under it. what: the option with its dashes, or
 * NULL. */
void cli_print_error(
	const struct cli_verb *v, const char *what, const char *value, const struct conf_error *e);
void cli_usage_error(const struct cli_verb *v, const char *format, ...) _printf_(2, 3);

/* The candidate that a misspelt word is nearest to, or NULL when none is near enough. */
const char *cli_nearest(const char *word, const char *const *candidates, unsigned int n);
