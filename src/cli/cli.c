/* SPDX-License-Identifier: BSD-2-Clause */
/* The parser of command lines: options from a verb's table, in any order among the words, up to "--".
 *
 * It takes --name VALUE, --name=VALUE and single letters; no abbreviations, so that a new option can never
 * change what an old script means. Every error names the option and the place in its value. */
#include "cli.h"

#include <stdio.h>

#define WORD_MAX 32 /* longer words are no misspelling of anything */

void cli_args_done(struct cli_args *a)
{
	free(a->words);
	a->words = NULL;
	a->n_words = 0;
}

/* How many letters must be changed, put in, left out or swapped with the next: optimal string alignment. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[3][WORD_MAX + 1];
	size_t n_a = strlen(a), n_b = strlen(b);

	if (n_a > WORD_MAX || n_b > WORD_MAX)
		return UINT32_MAX;
	for (size_t j = 0; j <= n_b; j++)
		row[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= n_a; i++) {
		unsigned int *now = row[i % 3], *last = row[(i - 1) % 3], *before = row[(i + 1) % 3];

		now[0] = (unsigned int)i;
		for (size_t j = 1; j <= n_b; j++) {
			unsigned int changed = last[j - 1] + (a[i - 1] != b[j - 1]);

			now[j] = MIN(last[j], now[j - 1]) + 1;
			now[j] = MIN(now[j], changed);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = MIN(now[j], before[j - 2] + 1);
		}
	}
	return row[n_a % 3][n_b];
}

const char *cli_nearest(const char *word, const char *const *candidates, unsigned int n)
{
	unsigned int best = UINT32_MAX;
	const char *found = NULL;

	for (unsigned int i = 0; i < n; i++) {
		unsigned int d = distance(word, candidates[i]);
		size_t n_word = strlen(word), shorter = MIN(n_word, strlen(candidates[i]));

		/* A beginning of a name is near it, however much is missing. */
		if (n_word >= 3 && strncmp(word, candidates[i], n_word) == 0)
			d = MIN(d, 1u);
		if (d < best && d <= MAX(shorter / 3, (size_t)1)) {
			best = d;
			found = candidates[i];
		}
	}
	return found;
}

static const struct cli_option *find_long(const struct cli_verb *v, const char *name, size_t n)
{
	for (unsigned int i = 0; i < v->n_options; i++)
		if (strlen(v->options[i].name) == n && memcmp(v->options[i].name, name, n) == 0)
			return &v->options[i];
	return NULL;
}

static const struct cli_option *find_letter(const struct cli_verb *v, char letter)
{
	for (unsigned int i = 0; i < v->n_options; i++)
		if (v->options[i].letter && v->options[i].letter == letter)
			return &v->options[i];
	return NULL;
}

static bool unknown_option(const struct cli_verb *v, const char *arg, size_t n_dashes, size_t n_name)
{
	const char *names[CLI_OPTIONS_MAX + 1];
	char word[WORD_MAX + 1];
	unsigned int n = 0;
	const char *near = NULL;

	for (unsigned int i = 0; i < v->n_options && n < CLI_OPTIONS_MAX; i++)
		names[n++] = v->options[i].name;
	names[n++] = "help";
	if (n_name <= WORD_MAX) {
		memcpy(word, arg + n_dashes, n_name);
		word[n_name] = '\0';
		near = cli_nearest(word, names, n);
	}
	if (near)
		cli_usage_error(v, "there is no option %.*s; did you mean --%s?", (int)(n_dashes + n_name),
			arg, near);
	else
		cli_usage_error(v, "there is no option %.*s", (int)(n_dashes + n_name), arg);
	return false;
}

static bool set_option(const struct cli_verb *v, const struct cli_option *o, const char *value, void *target)
{
	struct conf_error e;
	char what[WORD_MAX + 3];

	if (!o->value) {
		*((bool *)target + o->flag) = true;
		return true;
	}
	if (o->set(target, value, &e))
		return true;
	(void)snprintf(what, sizeof(what), "--%s", o->name);
	cli_print_error(v, what, value, &e);
	return false;
}

/* One argument that begins with a dash, and the one after it if the option takes a value. */
static bool parse_option(
	const struct cli_verb *v, int argc, char **argv, int *i, void *target, bool *ret_help)
{
	const char *arg = argv[*i], *value = NULL;
	bool is_long = arg[1] == '-';
	size_t n_dashes = is_long ? 2 : 1;
	size_t n_name = is_long ? strcspn(arg + 2, "=") : strlen(arg + 1);
	const struct cli_option *o;

	if (is_long)
		o = find_long(v, arg + 2, n_name);
	else
		o = n_name == 1 ? find_letter(v, arg[1]) : NULL;
	if (!o && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
		*ret_help = true;
		return true;
	}
	if (!o)
		return unknown_option(v, arg, n_dashes, n_name);
	if (is_long && arg[2 + n_name] == '=')
		value = arg + 2 + n_name + 1;
	if (value && !o->value) {
		cli_usage_error(v, "--%s takes no value", o->name);
		return false;
	}
	if (o->value && !value) {
		if (*i + 1 >= argc || strcmp(argv[*i + 1], "--") == 0) {
			cli_usage_error(v, "--%s needs a value: --%s %s", o->name, o->name, o->value);
			return false;
		}
		value = argv[++*i];
	}
	return set_option(v, o, value, target);
}

bool cli_parse(const struct cli_verb *v, int argc, char **argv, void *target, struct cli_args *ret)
{
	_cleanup_(cli_args_done) struct cli_args a = {.words = calloc((size_t)argc + 1, sizeof(char *))};

	if (!a.words) {
		cli_usage_error(v, "no memory");
		return false;
	}
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			a.command = argv + i + 1;
			break;
		}
		if (argv[i][0] != '-' || argv[i][1] == '\0') {
			if (v->words_are_command) {
				a.command = argv + i;
				break;
			}
			a.words[a.n_words++] = argv[i];
			continue;
		}
		if (!parse_option(v, argc, argv, &i, target, &a.help))
			return false;
		if (a.help)
			break;
	}
	*ret = a;
	a.words = NULL;
	return true;
}
