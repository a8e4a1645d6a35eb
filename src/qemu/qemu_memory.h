/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's memory as a QEMU line has it: is it a file that QEMU can share, and what makes it one? */
#pragma once

#include "qemu_net.h"

#define QEMU_WHY_BYTES 200

/* True: the memory is shared, or will be with a memory back end of *ret_bytes (0: none is needed). Else the
 * reason, for a person. */
bool qemu_memory_is_shareable(const struct qemu_line *l, uint64_t *ret_bytes, char ret_why[QEMU_WHY_BYTES]);

/* The value of -m, or of its size=, in bytes and as QEMU rounds it. */
bool qemu_memory_parse(const char *text, uint64_t *ret_bytes);

/* Is the part the option -a, or -b (may be NULL), with a value? */
bool qemu_part_is_option(const struct qemu_part *p, const char *a, const char *b);
/* Writes the reason, and returns false. */
bool qemu_because(char ret_why[QEMU_WHY_BYTES], const char *format, ...) _printf_(2, 3);
