/* SPDX-License-Identifier: BSD-2-Clause */
/* Regions are few, and one lookup mostly falls where the last did: a list that is searched in order, the
 * last find first.
 *
 * A region is mapped by whole pages of its file (huge pages where the file has them), and only if the file
 * is as long as the region says. The front end can cut the file short later unless it is sealed
 * (F_SEAL_SHRINK, as QEMU's memory-backend-memfd is by default): touching what is gone raises SIGBUS. That
 * must not end a process that serves other guests, and cannot be prevented, since files of tmpfs and
 * hugetlbfs need not have seals. So the signal is caught: the whole mapping gets private zeros in its
 * place, the access goes on, and the port finds `lost` set at the end of its batch and lets go of the
 * connection. The list of live memories is the one variable that the handler needs; it is changed by one
 * thread, while no other touches guest memory, and the signal is raised by the access itself, never
 * asynchronously. */
/* seccomp: mmap munmap fstat rt_sigreturn */
#include "vhost_mem.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static struct vhost_mem *guarded;

static bool replace_if_hit(void *map, size_t n_map, const uint8_t *hit)
{
	const uint8_t *start = map;

	if (!map || hit < start || hit >= start + n_map)
		return false;
	return mmap(map, n_map, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
		       0) == map;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	for (struct vhost_mem *m = guarded; m; m = m->next) {
		bool hit = replace_if_hit(m->log_map, m->n_log_map, info->si_addr);

		for (unsigned int i = 0; i < m->n && !hit; i++)
			hit = replace_if_hit(m->regions[i].map, m->regions[i].n_map, info->si_addr);
		if (hit) {
			__atomic_store_n(&m->lost, true, __ATOMIC_RELAXED);
			return;
		}
	}
	__builtin_trap(); /* nothing of a guest's: a fault of our own */
}

int vhost_mem_guard(void)
{
	struct sigaction a = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};

	return sigaction(SIGBUS, &a, NULL) < 0 ? -errno : 0;
}

void vhost_mem_init(struct vhost_mem *m)
{
	memset(m, 0, sizeof(*m));
	m->next = guarded;
	guarded = m;
}

void vhost_mem_done(struct vhost_mem *m)
{
	vhost_mem_reset(m);
	for (struct vhost_mem **at = &guarded; *at; at = &(*at)->next)
		if (*at == m) {
			*at = m->next;
			break;
		}
}

/* Maps [offset, offset + n_bytes) of a file and yields where that is, and what was mapped for it. */
static int map_file(int fd, uint64_t offset, uint64_t n_bytes, uint8_t **ret_at, void **ret_map, size_t *ret_n_map)
{
	size_t page = (size_t)getpagesize();
	struct stat st;

	/* As a plain system call: the C library's fstat() may be newfstatat, which also takes paths. */
	if (syscall(SYS_fstat, fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADF;
	if (st.st_size < 0 || offset > (uint64_t)st.st_size || n_bytes > (uint64_t)st.st_size - offset)
		return -EFBIG;
	/* A mapping of huge pages begins and ends with one; 1 GiB is the largest there is. */
	if (st.st_blksize > 0 && (st.st_blksize & (st.st_blksize - 1)) == 0 && st.st_blksize <= 1 << 30)
		page = MAX(page, (size_t)st.st_blksize);
	uint64_t skip = offset & (page - 1);
	uint64_t n_map = (skip + n_bytes + page - 1) & ~(uint64_t)(page - 1);

	if (n_map < n_bytes || n_map > SIZE_MAX / 2)
		return -EFBIG;
	void *map = mmap(NULL, n_map, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)(offset - skip));
	if (map == MAP_FAILED)
		return -errno;
	*ret_map = map;
	*ret_n_map = n_map;
	*ret_at = (uint8_t *)map + skip;
	return 0;
}

static bool overlaps(uint64_t a, uint64_t b, uint64_t n_a, uint64_t n_b)
{
	return a < b ? b - a < n_a : a - b < n_b;
}

int vhost_mem_add(struct vhost_mem *m, int fd, uint64_t guest, uint64_t user, uint64_t n_bytes, uint64_t offset)
{
	struct vhost_region *r = &m->regions[m->n];

	if (n_bytes == 0 || n_bytes > UINT64_MAX - guest || n_bytes > UINT64_MAX - user || n_bytes > UINT64_MAX - offset)
		return -EINVAL;
	if (m->n == VHOST_REGIONS_MAX)
		return -ENOSPC;
	for (unsigned int i = 0; i < m->n; i++)
		if (overlaps(guest, m->regions[i].guest, n_bytes, m->regions[i].n_bytes) ||
			overlaps(user, m->regions[i].user, n_bytes, m->regions[i].n_bytes))
			return -EINVAL;
	int e = map_file(fd, offset, n_bytes, &r->at, &r->map, &r->n_map);
	if (e < 0)
		return e;
	r->guest = guest;
	r->user = user;
	r->n_bytes = n_bytes;
	m->n++;
	return 0;
}

int vhost_mem_del(struct vhost_mem *m, uint64_t guest, uint64_t user, uint64_t n_bytes)
{
	for (unsigned int i = 0; i < m->n; i++) {
		struct vhost_region *r = &m->regions[i];

		if (r->guest != guest || r->user != user || r->n_bytes != n_bytes)
			continue;
		(void)munmap(r->map, r->n_map);
		*r = m->regions[--m->n];
		m->last = 0;
		return 0;
	}
	return -ENOENT;
}

static void drop_log(struct vhost_mem *m)
{
	if (m->log_map)
		(void)munmap(m->log_map, m->n_log_map);
	m->log_map = NULL;
	m->log = NULL;
	m->n_log = 0;
}

void vhost_mem_clear(struct vhost_mem *m)
{
	for (unsigned int i = 0; i < m->n; i++)
		(void)munmap(m->regions[i].map, m->regions[i].n_map);
	m->n = m->last = 0;
}

void vhost_mem_reset(struct vhost_mem *m)
{
	vhost_mem_clear(m);
	drop_log(m);
	m->logging = m->lost = false;
}

void vhost_mem_copy(struct vhost_mem *copy, const struct vhost_mem *m)
{
	memcpy(copy->regions, m->regions, m->n * sizeof(*m->regions));
	copy->n = m->n;
	copy->last = 0;
	copy->logging = m->logging;
	copy->log = m->log;
	copy->n_log = m->n_log;
}

/* The region that holds the byte at guest, or NULL. */
static inline const struct vhost_region *find(struct vhost_mem *m, uint64_t guest)
{
	const struct vhost_region *r = &m->regions[m->last];

	if (likely(m->last < m->n && guest - r->guest < r->n_bytes))
		return r;
	for (unsigned int i = 0; i < m->n; i++) {
		r = &m->regions[i];
		if (guest - r->guest < r->n_bytes) {
			m->last = i;
			return r;
		}
	}
	return NULL;
}

uint8_t *vhost_mem_at(struct vhost_mem *m, uint64_t guest, uint64_t n_bytes)
{
	const struct vhost_region *r = find(m, guest);

	if (!r || n_bytes > r->n_bytes - (guest - r->guest))
		return NULL;
	return r->at + (guest - r->guest);
}

uint8_t *vhost_mem_at_user(const struct vhost_mem *m, uint64_t user, uint64_t n_bytes)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct vhost_region *r = &m->regions[i];

		if (user - r->user < r->n_bytes)
			return n_bytes > r->n_bytes - (user - r->user) ? NULL : r->at + (user - r->user);
	}
	return NULL;
}

bool vhost_mem_iov(struct vhost_mem *m, uint64_t guest, uint64_t n_bytes, struct iovec *iov, unsigned int n_room,
	unsigned int *n)
{
	while (n_bytes) {
		const struct vhost_region *r = find(m, guest);

		if (!r)
			return false;
		uint64_t take = MIN(r->n_bytes - (guest - r->guest), n_bytes);

		if (likely(*n < n_room))
			iov[*n] = (struct iovec){r->at + (guest - r->guest), take};
		(*n)++;
		guest += take; /* no region ends beyond the last address */
		n_bytes -= take;
	}
	return true;
}

int vhost_mem_set_log(struct vhost_mem *m, int fd, uint64_t n_bytes, uint64_t offset)
{
	uint8_t *at = NULL;
	void *map = NULL;
	size_t n_map = 0;

	if (n_bytes == 0 || n_bytes > UINT64_MAX - offset)
		return -EINVAL;
	int e = map_file(fd, offset, n_bytes, &at, &map, &n_map);
	if (e < 0)
		return e;
	drop_log(m);
	m->log = at;
	m->n_log = n_bytes;
	m->log_map = map;
	m->n_log_map = n_map;
	return 0;
}

static void log_range(struct vhost_mem *m, uint64_t guest, uint64_t n_bytes)
{
	uint64_t last = (guest + n_bytes - 1) / VHOST_LOG_PAGE_BYTES;

	for (uint64_t page = guest / VHOST_LOG_PAGE_BYTES; page <= last && page / 8 < m->n_log; page++)
		__atomic_or_fetch(&m->log[page / 8], (uint8_t)(1u << page % 8), __ATOMIC_RELEASE);
}

void vhost_mem_log(struct vhost_mem *m, const void *at, size_t n_bytes)
{
	if (!m->log || n_bytes == 0)
		return;
	for (unsigned int i = 0; i < m->n; i++) {
		const struct vhost_region *r = &m->regions[i];
		uint64_t offset = (uint64_t)((uintptr_t)at - (uintptr_t)r->at);

		if (offset < r->n_bytes && n_bytes <= r->n_bytes - offset) {
			log_range(m, r->guest + offset, n_bytes);
			return;
		}
	}
}
