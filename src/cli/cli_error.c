/* SPDX-License-Identifier: BSD-2-Clause */
/* Errors of the command line, for a person at a terminal. */
#include <stdarg.h>
#include <stdio.h>

#include "cli.h"

/* A value as one line of a terminal: what is no text is shown as '?'. */
static void print_value(const char *value)
{
	(void)fputs("  ", stderr);
	for (const unsigned char *p = (const unsigned char *)value; *p; p++)
		(void)fputc(*p < ' ' || *p == 0x7f ? '?' : *p, stderr);
	(void)fputc('\n', stderr);
}

/* Columns are characters: a byte that continues one in UTF-8 has none. */
static void print_carets(const char *value, size_t at, size_t n_bytes)
{
	size_t len = strlen(value);

	at = MIN(at, len);
	n_bytes = MIN(n_bytes, len - at);
	(void)fputs("  ", stderr);
	for (size_t i = 0; i < at; i++)
		if (((unsigned char)value[i] & 0xc0) != 0x80)
			(void)fputc(' ', stderr);
	(void)fputc('^', stderr);
	for (size_t i = 1; i < n_bytes; i++)
		if (((unsigned char)value[at + i] & 0xc0) != 0x80)
			(void)fputc('~', stderr);
	(void)fputc('\n', stderr);
}

void cli_print_error(
	const struct cli_verb *v, const char *what, const char *value, const struct conf_error *e)
{
	(void)fprintf(stderr, "vmlan %s: %s%s%s\n", v->name, what ? what : "", what ? ": " : "", e->text);
	if (!value || !*value)
		return;
	print_value(value);
	print_carets(value, e->at, e->n_bytes);
}

void cli_usage_error(const struct cli_verb *v, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	(void)fprintf(stderr, "vmlan %s: %s\nTry 'vmlan %s --help'.\n", v->name, text, v->name);
}
