/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages for people, on stderr, one line each: "vmlan: ...". Libraries log at debug level only; the
 * cli, the parent and the engine speak to people. */
#pragma once

#include "util.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_MAX,
};

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *format, ...) _printf_(2, 3);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                                       \
	do {                                                                                                 \
		if (unlikely(log_enabled(LOG_LEVEL_DEBUG)))                                                  \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                             \
	} while (0)
