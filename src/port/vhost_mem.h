/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's memory as its front end shares it: regions, mapped, in which each address that the guest names
 * is looked up once, with its length; and the log of pages written, for migration. */
#pragma once

#include <sys/uio.h>

#include "util.h"

#define VHOST_REGIONS_MAX    64
#define VHOST_LOG_PAGE_BYTES 4096u

struct vhost_region {
	uint64_t guest, user; /* first address, as the guest and as the front end has it */
	uint64_t n_bytes;
	uint8_t *at;
	void *map; /* what was mapped: at and more */
	size_t n_map;
};

struct vhost_mem {
	struct vhost_region regions[VHOST_REGIONS_MAX];
	unsigned int n;
	unsigned int last; /* the region of the last lookup */
	bool logging;
	bool lost; /* (atomic) the front end cut a file short that is mapped here */
	uint8_t *log;
	uint64_t n_log; /* bytes, of a bit each page */
	void *log_map;
	size_t n_log_map;
	struct vhost_mem *next; /* of those that are guarded */
};

/* Before the sandbox, once in a process: from then on a file cut short behind our back (SIGBUS) costs its
 * own guest the memory (zeros take its place, and `lost` is set) and nobody else. 0 or -errno. */
int vhost_mem_guard(void);

void vhost_mem_init(struct vhost_mem *m);
void vhost_mem_done(struct vhost_mem *m);

/* The descriptor stays the caller's. 0; -EINVAL: addresses that wrap or overlap; -EFBIG: the file is shorter
 * than the region; -ENOSPC: too many; -EBADF: no file that has a length; or -errno. */
int vhost_mem_add(
	struct vhost_mem *m, int fd, uint64_t guest, uint64_t user, uint64_t n_bytes, uint64_t offset);
/* -ENOENT: there is none such. */
int vhost_mem_del(struct vhost_mem *m, uint64_t guest, uint64_t user, uint64_t n_bytes);
/* No region any more; the log stays. */
void vhost_mem_clear(struct vhost_mem *m);
/* Nothing any more. */
void vhost_mem_reset(struct vhost_mem *m);
/* Makes `copy` see what m has now, for another thread's lookups; it owns nothing, and only m is ever `lost`. */
void vhost_mem_copy(struct vhost_mem *copy, const struct vhost_mem *m);

/* The bytes [guest, guest + n_bytes), or NULL unless they lie in one region. n_bytes > 0. */
uint8_t *vhost_mem_at(struct vhost_mem *m, uint64_t guest, uint64_t n_bytes);
/* The same for an address of the front end. */
uint8_t *vhost_mem_at_user(const struct vhost_mem *m, uint64_t user, uint64_t n_bytes);
/* Appends the pieces of [guest, guest + n_bytes), which may span regions, to iov as far as there is room
 * (n_room), and counts them all in *n. false: part of it is not the guest's. */
bool vhost_mem_iov(struct vhost_mem *m, uint64_t guest, uint64_t n_bytes, struct iovec *iov,
	unsigned int n_room, unsigned int *n);

/* The log: a file of n_bytes from offset. Replaces what there was. 0 or as vhost_mem_add(). */
int vhost_mem_set_log(struct vhost_mem *m, int fd, uint64_t n_bytes, uint64_t offset);
/* Bytes of a region were written; only called while `logging`. */
void vhost_mem_log(struct vhost_mem *m, const void *at, size_t n_bytes);

static inline void vhost_mem_wrote(struct vhost_mem *m, const void *at, size_t n_bytes)
{
	if (unlikely(m->logging))
		vhost_mem_log(m, at, n_bytes);
}
