/* SPDX-License-Identifier: BSD-2-Clause */
/* One mapping of a memfd holds everything: the heads of all lists, then the hash buckets, then the
 * entries. Pages are touched as entries are first used, so that a large cap costs nothing.
 *
 * Timers wait in a wheel of 512 slots of 10 ms. A timer that is moved later stays in its slot and is
 * queued anew when the slot comes round: restarting a retransmission timer at each acknowledgement,
 * the common case, is one store. Ticks have 64 bits, since 32 of them end on a host that is up for 497
 * days. */
#include "flow.h"

#include <sys/mman.h>

#define WHEEL_SLOTS    512u
#define WHEEL_GRAIN_MS 10u

struct age_list {
	uint32_t oldest, newest, n;
};

struct flow_table {
	int fd;
	size_t n_map_bytes;
	struct flow_config c;
	uint32_t n_buckets; /* power of two */
	uint32_t n_used;    /* entries ever used: those above were never touched */
	uint32_t free_list, dead_list;
	uint32_t work_head, work_tail, n_work;
	uint32_t wheel[WHEEL_SLOTS];
	uint64_t wheel_tick; /* the last one that was run */
	uint32_t wheel_next; /* in the slot that is being run: what comes behind the flow whose timer is due */
	uint32_t n_timers;
	struct age_list age[FLOW_PORTS_MAX][FLOW_KIND_MAX];
};

static uint32_t *buckets(struct flow_table *t)
{
	return (uint32_t *)(t + 1);
}

static struct flow *entries(const struct flow_table *t)
{
	size_t offset = sizeof(*t) + (size_t)t->n_buckets * sizeof(uint32_t);

	return (struct flow *)((char *)(uintptr_t)t + ((offset + 63) & ~(size_t)63));
}

struct flow *flow_get(struct flow_table *t, uint32_t number)
{
	assert(number != FLOW_NONE && number <= t->n_used);
	return entries(t) + number;
}

uint32_t flow_number(const struct flow_table *t, const struct flow *f)
{
	return (uint32_t)(f - entries(t));
}

int flow_table_new(const struct flow_config *c, struct flow_table **ret)
{
	_cleanup_close_ int fd = memfd_create("vmlan-flows", MFD_CLOEXEC);
	uint32_t n_buckets = 1024;

	if (fd < 0)
		return -errno;
	while (n_buckets < c->n_max)
		n_buckets *= 2;
	size_t n = sizeof(struct flow_table) + (size_t)n_buckets * sizeof(uint32_t) + 64 +
			((size_t)c->n_max + 1) * sizeof(struct flow);
	if (ftruncate(fd, (off_t)n) < 0)
		return -errno;
	struct flow_table *t = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (t == MAP_FAILED)
		return -errno;
	t->n_map_bytes = n;
	t->c = *c;
	t->n_buckets = n_buckets;
	t->fd = TAKE_FD(fd);
	*ret = t;
	return 0;
}

struct flow_table *flow_table_free(struct flow_table *t)
{
	if (t) {
		int fd = t->fd;

		(void)munmap(t, t->n_map_bytes);
		util_close(&fd);
	}
	return NULL;
}

static uint32_t *bucket_of(struct flow_table *t, const struct flow_key *key)
{
	return &buckets(t)[siphash(&t->c.key, key, sizeof(*key)) & (t->n_buckets - 1)];
}

struct flow *flow_find(struct flow_table *t, const struct flow_key *key)
{
	for (uint32_t i = *bucket_of(t, key); i; i = entries(t)[i].hash_next)
		if (!memcmp(&entries(t)[i].key, key, sizeof(*key)))
			return entries(t) + i;
	return NULL;
}

static struct age_list *age_of(struct flow_table *t, const struct flow_key *key)
{
	return &t->age[key->port_id][key->kind];
}

static void age_add(struct flow_table *t, struct flow *f)
{
	struct age_list *a = age_of(t, &f->key);
	uint32_t i = flow_number(t, f);

	f->age_prev = a->newest;
	f->age_next = FLOW_NONE;
	if (a->newest)
		entries(t)[a->newest].age_next = i;
	else
		a->oldest = i;
	a->newest = i;
}

static void age_del(struct flow_table *t, struct flow *f)
{
	struct age_list *a = age_of(t, &f->key);

	if (f->age_prev)
		entries(t)[f->age_prev].age_next = f->age_next;
	else
		a->oldest = f->age_next;
	if (f->age_next)
		entries(t)[f->age_next].age_prev = f->age_prev;
	else
		a->newest = f->age_prev;
}

struct flow *flow_alloc(struct flow_table *t, const struct flow_key *key)
{
	struct age_list *a = age_of(t, key);
	uint32_t i = t->free_list;

	assert(key->port_id < FLOW_PORTS_MAX && key->kind > FLOW_FREE && key->kind < FLOW_KIND_MAX);
	if (a->n >= t->c.n_port_max[key->kind])
		return NULL;
	if (i)
		t->free_list = entries(t)[i].hash_next;
	else if (t->n_used < t->c.n_max)
		i = ++t->n_used;
	else
		return NULL;

	struct flow *f = entries(t) + i;
	uint32_t *b = bucket_of(t, key);

	memset(f, 0, sizeof(*f));
	f->key = *key;
	f->fd = -1;
	f->hash_next = *b;
	*b = i;
	age_add(t, f);
	a->n++;
	return f;
}

static void timer_del(struct flow_table *t, struct flow *f)
{
	if (!f->timer_tick)
		return;
	if (t->wheel_next == flow_number(t, f))
		t->wheel_next = f->timer_next;
	if (f->timer_prev)
		entries(t)[f->timer_prev].timer_next = f->timer_next;
	else
		t->wheel[f->timer_tick % WHEEL_SLOTS] = f->timer_next;
	if (f->timer_next)
		entries(t)[f->timer_next].timer_prev = f->timer_prev;
	f->timer_tick = 0;
	t->n_timers--;
}

static void timer_add(struct flow_table *t, struct flow *f)
{
	uint32_t i = flow_number(t, f);
	uint64_t tick = (f->timer_due_ms + WHEEL_GRAIN_MS - 1) / WHEEL_GRAIN_MS;

	if (tick <= t->wheel_tick)
		tick = t->wheel_tick + 1;
	uint32_t *slot = &t->wheel[tick % WHEEL_SLOTS];

	f->timer_tick = tick;
	f->timer_prev = FLOW_NONE;
	f->timer_next = *slot;
	if (*slot)
		entries(t)[*slot].timer_prev = i;
	*slot = i;
	t->n_timers++;
}

void flow_timer_set(struct flow_table *t, struct flow *f, uint64_t due_ms)
{
	uint64_t queued_ms = f->timer_tick * WHEEL_GRAIN_MS;

	f->timer_due_ms = due_ms;
	if (f->timer_tick && due_ms && due_ms >= queued_ms)
		return; /* later than its slot: looked at again when the slot is run */
	timer_del(t, f);
	if (due_ms)
		timer_add(t, f);
}

uint64_t flow_timer_run(struct flow_table *t, uint64_t now_ms, void (*fn)(void *ctx, struct flow *f), void *ctx)
{
	uint64_t now_tick = now_ms / WHEEL_GRAIN_MS;
	uint64_t first = t->wheel_tick + 1;

	if (now_tick > t->wheel_tick + WHEEL_SLOTS)
		first = now_tick - WHEEL_SLOTS + 1;
	if (now_tick > t->wheel_tick)
		t->wheel_tick = now_tick;
	for (uint64_t tick = first; t->n_timers && tick <= now_tick; tick++) {
		/* fn may set and free timers, this slot's too: timer_del() moves wheel_next on. New ones wait for
		 * a later turn, at the head. */
		for (uint32_t i = t->wheel[tick % WHEEL_SLOTS]; i; i = t->wheel_next) {
			struct flow *f = entries(t) + i;

			t->wheel_next = f->timer_next;
			if (f->timer_tick > now_tick)
				continue; /* a later turn of the wheel */
			timer_del(t, f);
			if (f->timer_due_ms > now_ms) {
				timer_add(t, f);
				continue;
			}
			f->timer_due_ms = 0;
			fn(ctx, f);
		}
		t->wheel_next = FLOW_NONE;
	}
	for (uint32_t k = 1; t->n_timers && k <= WHEEL_SLOTS; k++)
		if (t->wheel[(t->wheel_tick + k) % WHEEL_SLOTS])
			return (t->wheel_tick + k) * WHEEL_GRAIN_MS;
	return 0;
}

void flow_free(struct flow_table *t, struct flow *f)
{
	uint32_t i = flow_number(t, f);
	uint32_t *at = bucket_of(t, &f->key);

	assert(!f->dying && f->key.kind != FLOW_FREE);
	while (*at != i)
		at = &entries(t)[*at].hash_next;
	*at = f->hash_next;
	age_del(t, f);
	age_of(t, &f->key)->n--;
	timer_del(t, f);
	f->timer_due_ms = 0;
	f->fd = -1;
	f->dying = true;
	f->hash_next = t->dead_list;
	t->dead_list = i;
}

void flow_reap(struct flow_table *t)
{
	uint32_t kept = FLOW_NONE, next;

	for (uint32_t i = t->dead_list; i; i = next) {
		struct flow *f = entries(t) + i;

		next = f->hash_next;
		if (f->in_work) {
			f->hash_next = kept;
			kept = i;
			continue;
		}
		f->key.kind = FLOW_FREE;
		f->hash_next = t->free_list;
		t->free_list = i;
	}
	t->dead_list = kept;
}

void flow_touch(struct flow_table *t, struct flow *f, uint64_t now_ms)
{
	if (f->used_ms == now_ms)
		return; /* the order within one batch does not matter */
	f->used_ms = now_ms;
	if (!f->age_next)
		return;
	age_del(t, f);
	age_add(t, f);
}

void flow_retire(struct flow_table *t, struct flow *f)
{
	struct age_list *a = age_of(t, &f->key);
	uint32_t i = flow_number(t, f);

	age_del(t, f);
	f->age_prev = FLOW_NONE;
	f->age_next = a->oldest;
	if (a->oldest)
		entries(t)[a->oldest].age_prev = i;
	else
		a->newest = i;
	a->oldest = i;
}

struct flow *flow_oldest(struct flow_table *t, uint16_t port_id, enum flow_kind kind)
{
	uint32_t i = t->age[port_id][kind].oldest;

	return i ? entries(t) + i : NULL;
}

struct flow *flow_newer(struct flow_table *t, struct flow *f)
{
	return f->age_next ? entries(t) + f->age_next : NULL;
}

uint32_t flow_count(const struct flow_table *t, uint16_t port_id, enum flow_kind kind)
{
	return t->age[port_id][kind].n;
}

void flow_mark(struct flow_table *t, struct flow *f)
{
	uint32_t i = flow_number(t, f);

	if (f->in_work)
		return;
	f->in_work = true;
	f->work_next = FLOW_NONE;
	if (t->work_tail)
		entries(t)[t->work_tail].work_next = i;
	else
		t->work_head = i;
	t->work_tail = i;
	t->n_work++;
}

struct flow *flow_take_work(struct flow_table *t)
{
	while (t->work_head) {
		struct flow *f = entries(t) + t->work_head;

		t->work_head = f->work_next;
		if (!t->work_head)
			t->work_tail = FLOW_NONE;
		t->n_work--;
		f->in_work = false;
		if (!f->dying)
			return f;
	}
	return NULL;
}

uint32_t flow_n_work(const struct flow_table *t)
{
	return t->n_work;
}

void flow_for_each(struct flow_table *t, uint16_t port_id, void (*fn)(void *ctx, struct flow *f), void *ctx)
{
	for (uint16_t p = 0; p < FLOW_PORTS_MAX; p++) {
		if (port_id != UINT16_MAX && p != port_id)
			continue;
		for (int kind = FLOW_FREE + 1; kind < FLOW_KIND_MAX; kind++) {
			uint32_t next;

			for (uint32_t i = t->age[p][kind].oldest; i; i = next) {
				next = entries(t)[i].age_next;
				fn(ctx, entries(t) + i);
			}
		}
	}
}

uint32_t flow_next(const struct flow_table *t, uint32_t number)
{
	while (number < t->n_used) {
		const struct flow *f = entries(t) + ++number;

		if (f->key.kind != FLOW_FREE && !f->dying)
			return number;
	}
	return FLOW_NONE;
}

uint32_t flow_max(const struct flow_table *t, enum flow_kind kind)
{
	return t->c.n_port_max[kind];
}
