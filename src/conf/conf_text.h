/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parsers of options share: errors that point into the text, numbers, addresses. */
#pragma once

#include "user_conf.h"

/* Fills *e in and answers false, so that a parser can return it. */
bool conf_fail(struct conf_error *e, size_t at, size_t n_bytes, const char *format, ...) _printf_(4, 5);

/* All n bytes are a number from min to max, in base 10, or as C writes numbers (0x1f, 017) when base is
 * 0. An empty text is no number. */
bool conf_number(const char *text, size_t n, int base, uint64_t min, uint64_t max, uint64_t *ret);

/* All n bytes are an IPv4 address in any form that inet_aton() takes, which is what QEMU takes. */
bool conf_addr(const char *text, size_t n, uint32_t *ret_be);
