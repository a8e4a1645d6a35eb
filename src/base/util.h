/* SPDX-License-Identifier: BSD-2-Clause */
/* Small things that every module may use: sizes, minima, cleanup attributes, ownership transfer. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define UTIL_PASTE_(a, b)  a##b
#define UTIL_PASTE(a, b)   UTIL_PASTE_(a, b)
#define MIN(a, b)          UTIL_PICK(a, <, b, __COUNTER__)
#define MAX(a, b)          UTIL_PICK(a, >, b, __COUNTER__)
/* Each argument once; names of their own, so that one may stand within another. */
#define UTIL_PICK(a, op, b, n)                                                                               \
	({                                                                                                   \
		__typeof__(a) UTIL_PASTE(pick_a_, n) = (a);                                                  \
		__typeof__(b) UTIL_PASTE(pick_b_, n) = (b);                                                  \
		UTIL_PASTE(pick_a_, n) op UTIL_PASTE(pick_b_, n) ? UTIL_PASTE(pick_a_, n) : UTIL_PASTE(pick_b_, n); \
	})
#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))
#define likely(x)                     __builtin_expect(!!(x), 1)
#define unlikely(x)                   __builtin_expect(!!(x), 0)
#define STR_(x)                       #x
#define STR(x)                        STR_(x)

/* Hand a value over: the variable is left empty, so that its cleanup does nothing. */
#define TAKE_PTR(p)                                                                                          \
	({                                                                                                   \
		__typeof__(p) *take_p_ = &(p);                                                               \
		__typeof__(p) take_v_ = *take_p_;                                                            \
		*take_p_ = NULL;                                                                             \
		take_v_;                                                                                     \
	})
#define TAKE_FD(fd)                                                                                          \
	({                                                                                                   \
		int *take_fd_ = &(fd);                                                                       \
		int take_v_ = *take_fd_;                                                                     \
		*take_fd_ = -1;                                                                              \
		take_v_;                                                                                     \
	})

static inline void util_free_p(void *p)
{
	free(*(void **)p);
}

/* Closes and forgets; a negative descriptor is nothing. errno is kept. */
static inline void util_close(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		(void)close(*fd);
		errno = saved;
	}
	*fd = -1;
}

#define _cleanup_(f)    __attribute__((cleanup(f)))
#define _cleanup_free_  _cleanup_(util_free_p)
#define _cleanup_close_ _cleanup_(util_close)
#define _printf_(a, b)  __attribute__((format(printf, a, b)))
#define _hot_           __attribute__((hot))
