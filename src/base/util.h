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
#define MIN(a, b)                                                                                            \
	({                                                                                                   \
		__typeof__(a) min_a_ = (a);                                                                  \
		__typeof__(b) min_b_ = (b);                                                                  \
		min_a_ < min_b_ ? min_a_ : min_b_;                                                           \
	})
#define MAX(a, b)                                                                                            \
	({                                                                                                   \
		__typeof__(a) max_a_ = (a);                                                                  \
		__typeof__(b) max_b_ = (b);                                                                  \
		max_a_ > max_b_ ? max_a_ : max_b_;                                                           \
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
