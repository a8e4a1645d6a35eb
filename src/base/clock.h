/* SPDX-License-Identifier: BSD-2-Clause */
/* Time as a module may see it: milliseconds of a clock that goes on while the host sleeps
 * (CLOCK_BOOTTIME). Modules of the data path take `now_ms` from their loop, which tests replace. */
#pragma once

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline uint64_t clock_now_ms(void)
{
	return clock_now_ns() / 1000000u;
}
