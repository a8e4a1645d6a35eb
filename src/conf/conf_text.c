/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf_text.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

bool conf_fail(struct conf_error *e, size_t at, size_t n_bytes, const char *format, ...)
{
	va_list ap;

	e->at = at;
	e->n_bytes = n_bytes;
	e->option = NULL;
	va_start(ap, format);
	(void)vsnprintf(e->text, sizeof(e->text), format, ap);
	va_end(ap);
	return false;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

bool conf_number(const char *text, size_t n, int base, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (base == 0) {
		base = 10;
		if (n > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
			base = 16;
			text += 2;
			n -= 2;
		} else if (n > 1 && text[0] == '0') {
			base = 8;
		}
	}
	if (n == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		int d = digit_of(text[i]);

		if (d >= base || v > (UINT64_MAX - 15) / 16)
			return false;
		v = v * (uint64_t)base + (uint64_t)d;
	}
	if (v < min || v > max)
		return false;
	*ret = v;
	return true;
}

bool conf_addr(const char *text, size_t n, uint32_t *ret_be)
{
	char copy[64];
	struct in_addr a;

	if (n == 0 || n >= sizeof(copy))
		return false;
	for (size_t i = 0; i < n; i++) /* inet_aton() stops at white space, and takes what came before it */
		if (!((text[i] >= '0' && text[i] <= '9') || text[i] == '.' || text[i] == 'x' ||
			    text[i] == 'X' || digit_of(text[i]) < 16))
			return false;
	memcpy(copy, text, n);
	copy[n] = '\0';
	if (!inet_aton(copy, &a))
		return false;
	*ret_be = a.s_addr;
	return true;
}
