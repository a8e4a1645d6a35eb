/* SPDX-License-Identifier: BSD-2-Clause */
/* What every fuzzer defines, and how it says that something is not as it must be. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* Like assert(), in every kind of build. */
#define must(condition)                                                                                      \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			(void)fprintf(stderr, "%s:%d: must be true: %s\n", __FILE__, __LINE__, #condition);  \
			abort();                                                                             \
		}                                                                                            \
	} while (0)
