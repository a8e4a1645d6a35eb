/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's options of every era, as far as one must know them to tell an option from the value of the one
 * before it. */
#pragma once

#include <stdbool.h>

/* Does -NAME take a value? An option that is not known is taken to have one unless `next`, the argument
 * after it, looks like an option itself. next: NULL at the end of the line. */
bool qemu_option_has_value(const char *name, const char *next);
/* Is it known to take one? */
bool qemu_option_needs_value(const char *name);
