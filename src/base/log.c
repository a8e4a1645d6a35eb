/* SPDX-License-Identifier: BSD-2-Clause */
/* seccomp: write */
#include "log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static enum log_level log_max = LOG_LEVEL_INFO;

static const char *const log_prefix[] = {
	[LOG_LEVEL_ERROR] = "vmlan: ",
	[LOG_LEVEL_WARN] = "vmlan: warning: ",
	[LOG_LEVEL_INFO] = "vmlan: ",
	[LOG_LEVEL_DEBUG] = "vmlan: debug: ",
};
static_assert(ARRAY_SIZE(log_prefix) == LOG_LEVEL_MAX, "every level has a prefix");

void log_set_level(enum log_level level)
{
	log_max = level;
}

bool log_enabled(enum log_level level)
{
	return level <= log_max;
}

void log_write(enum log_level level, const char *format, ...)
{
	char line[1024];
	int saved = errno;
	va_list ap;

	if (!log_enabled(level))
		return;
	int n = snprintf(line, sizeof(line), "%s", log_prefix[level]);
	va_start(ap, format);
	int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, ap);
	va_end(ap);
	n = MIN(n + MAX(m, 0), (int)sizeof(line) - 2);
	line[n++] = '\n';
	(void)!write(STDERR_FILENO, line, (size_t)n); /* nowhere to report that stderr is gone */
	errno = saved;
}
