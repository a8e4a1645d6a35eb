/* SPDX-License-Identifier: BSD-2-Clause */
/* All that the host holds is in one list of (kind, key, value), but for interfaces, addresses and routes,
 * which have structure. A test compares dumps, so that what is forgotten here shows as a difference nowhere:
 * each call that changes something must change the list. */
#include "host_fake.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "siphash.h"

#define LINKS_MAX  64
#define ADDRS_MAX  256
#define ROUTES_MAX 64
#define PORTS_MAX  16

struct entry {
	char *kind, *key, *value; /* heap */
};

struct fake {
	struct host host;
	struct host_link links[LINKS_MAX];
	bool isolated[LINKS_MAX];
	unsigned int n_links, last_index;
	struct host_addr addrs[ADDRS_MAX];
	unsigned int n_addrs;
	struct host_route routes[ROUTES_MAX];
	unsigned int n_routes;
	struct entry *entries; /* heap */
	unsigned int n_entries;
	uint16_t ports[PORTS_MAX];
	unsigned int n_ports;
	char *ruleset; /* heap; NULL: none */
	bool locked, meddle;
	unsigned int n_calls, fail_at, die_at;
	bool die_after, dead;
};

static struct fake *fake_of(struct host *h)
{
	return container_of(h, struct fake, host);
}

/* Counts the call, and says what becomes of it: 0, -EIO or -EOWNERDEAD. */
static int enter(struct fake *f)
{
	if (f->dead)
		return -EOWNERDEAD;
	f->n_calls++;
	if (f->die_at && f->n_calls >= f->die_at && !f->die_after)
		f->dead = true;
	if (f->dead)
		return -EOWNERDEAD;
	return f->fail_at && f->n_calls == f->fail_at ? -EIO : 0;
}

/* The call has taken effect; whether its caller lives to hear of it. */
static int leave(struct fake *f, int r)
{
	if (f->die_at && f->n_calls >= f->die_at && f->die_after)
		f->dead = true;
	return f->dead ? -EOWNERDEAD : r;
}

#define ENTER(h)                                                                                             \
	struct fake *f = fake_of(h);                                                                         \
	int entered = enter(f);                                                                              \
	if (entered < 0)                                                                                     \
	return entered

static struct entry *find(struct fake *f, const char *kind, const char *key)
{
	for (unsigned int i = 0; i < f->n_entries; i++)
		if (strcmp(f->entries[i].kind, kind) == 0 && strcmp(f->entries[i].key, key) == 0)
			return &f->entries[i];
	return NULL;
}

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static void put(struct fake *f, const char *kind, const char *key, const char *value)
{
	struct entry *e = find(f, kind, key);

	if (e) {
		free(e->value);
		e->value = must(strdup(value));
		return;
	}
	f->entries = must(reallocarray(f->entries, f->n_entries + 1u, sizeof(*e)));
	f->entries[f->n_entries++] =
		(struct entry){must(strdup(kind)), must(strdup(key)), must(strdup(value))};
}

static void drop(struct fake *f, struct entry *e)
{
	free(e->kind);
	free(e->key);
	free(e->value);
	*e = f->entries[--f->n_entries];
}

/* ------------------------------------------------------------------ interfaces */

static struct host_link *link_named(struct fake *f, const char *name)
{
	for (unsigned int i = 0; i < f->n_links; i++)
		if (strcmp(f->links[i].name, name) == 0)
			return &f->links[i];
	return NULL;
}

static struct host_link *link_at(struct fake *f, unsigned int index)
{
	for (unsigned int i = 0; i < f->n_links; i++)
		if (f->links[i].index == index)
			return &f->links[i];
	return NULL;
}

static const char *const families[] = {"ipv4", "ipv6"};

static struct host_link *make_link(struct fake *f, const char *name, const char *kind)
{
	static const char *const settings[] = {"forwarding", "route_localnet", "accept_ra", "addr_gen_mode",
		"force_forwarding", "disable_ipv6"};
	struct host_link *l = &f->links[f->n_links];
	char from[HOST_PATH_BYTES], to[HOST_PATH_BYTES];

	if (f->n_links == LINKS_MAX)
		abort();
	f->n_links++;
	*l = (struct host_link){.index = ++f->last_index, .mtu = 1500};
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
	(void)snprintf(l->kind, sizeof(l->kind), "%s", kind);
	l->loopback = strcmp(name, "lo") == 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(families); i++)
		for (unsigned int k = 0; k < ARRAY_SIZE(settings); k++) {
			struct entry *e;

			(void)snprintf(
				from, sizeof(from), "net/%s/conf/default/%s", families[i], settings[k]);
			(void)snprintf(to, sizeof(to), "net/%s/conf/%s/%s", families[i], name, settings[k]);
			e = find(f, "sysctl", from);
			if (e)
				put(f, "sysctl", to, e->value);
		}
	return l;
}

static void remove_link(struct fake *f, struct host_link *l)
{
	char prefix[HOST_PATH_BYTES];

	for (unsigned int i = f->n_entries; i-- > 0;)
		for (unsigned int k = 0; k < ARRAY_SIZE(families); k++) {
			(void)snprintf(prefix, sizeof(prefix), "net/%s/conf/%s/", families[k], l->name);
			if (i < f->n_entries && strcmp(f->entries[i].kind, "sysctl") == 0 &&
				strncmp(f->entries[i].key, prefix, strlen(prefix)) == 0)
				drop(f, &f->entries[i]);
		}
	for (unsigned int i = f->n_addrs; i-- > 0;)
		if (f->addrs[i].ifindex == l->index)
			f->addrs[i] = f->addrs[--f->n_addrs];
	for (unsigned int i = 0; i < f->n_links; i++)
		if (f->links[i].master == l->index)
			f->links[i].master = 0;
	*l = f->links[--f->n_links];
}

static int link_find(struct host *h, const char *name, struct host_link *ret)
{
	ENTER(h);
	const struct host_link *l = link_named(f, name);

	if (l)
		*ret = *l;
	return leave(f, l ? 0 : -ENODEV);
}

static void *copy_of(const void *items, unsigned int n, size_t size)
{
	void *p = must(calloc(n + 1u, size));

	memcpy(p, items, n * size);
	return p;
}

static int link_list(struct host *h, struct host_link **ret, unsigned int *ret_n)
{
	*ret = NULL;
	*ret_n = 0;
	ENTER(h);
	*ret = copy_of(f->links, f->n_links, sizeof(**ret));
	*ret_n = f->n_links;
	return leave(f, 0);
}

static int bridge_add(struct host *h, const struct host_bridge *b)
{
	ENTER(h);
	if (link_named(f, b->name))
		return leave(f, -EEXIST);
	struct host_link *l = make_link(f, b->name, "bridge");

	memcpy(l->mac, b->mac, sizeof(l->mac));
	l->mtu = b->mtu;
	return leave(f, 0);
}

static int link_set_alias(struct host *h, unsigned int index, const char *alias)
{
	ENTER(h);
	struct host_link *l = link_at(f, index);

	if (l)
		(void)snprintf(l->alias, sizeof(l->alias), "%s", alias);
	return leave(f, l ? 0 : -ENODEV);
}

static int link_set_up(struct host *h, unsigned int index, bool up)
{
	ENTER(h);
	struct host_link *l = link_at(f, index);

	if (l)
		l->up = up;
	return leave(f, l ? 0 : -ENODEV);
}

static int link_del(struct host *h, unsigned int index)
{
	ENTER(h);
	struct host_link *l = link_at(f, index);

	if (l)
		remove_link(f, l);
	return leave(f, l ? 0 : -ENODEV);
}

static int port_set_isolated(struct host *h, unsigned int index, bool isolated)
{
	ENTER(h);
	struct host_link *l = link_at(f, index);

	if (l)
		f->isolated[l - f->links] = isolated;
	return leave(f, l ? 0 : -ENODEV);
}

static int addr_list(struct host *h, struct host_addr **ret, unsigned int *ret_n)
{
	*ret = NULL;
	*ret_n = 0;
	ENTER(h);
	*ret = copy_of(f->addrs, f->n_addrs, sizeof(**ret));
	*ret_n = f->n_addrs;
	return leave(f, 0);
}

static struct host_addr *addr_like(struct fake *f, const struct host_addr *a)
{
	for (unsigned int i = 0; i < f->n_addrs; i++)
		if (f->addrs[i].ifindex == a->ifindex && f->addrs[i].family == a->family &&
			f->addrs[i].prefix == a->prefix &&
			memcmp(f->addrs[i].addr, a->addr, sizeof(a->addr)) == 0)
			return &f->addrs[i];
	return NULL;
}

static int addr_add(struct host *h, const struct host_addr *a)
{
	ENTER(h);
	if (addr_like(f, a))
		return leave(f, -EEXIST);
	if (!link_at(f, a->ifindex))
		return leave(f, -ENODEV);
	if (f->n_addrs == ADDRS_MAX)
		abort();
	f->addrs[f->n_addrs++] = *a;
	return leave(f, 0);
}

static int addr_del(struct host *h, const struct host_addr *a)
{
	ENTER(h);
	struct host_addr *found = addr_like(f, a);

	if (found)
		*found = f->addrs[--f->n_addrs];
	return leave(f, found ? 0 : -EADDRNOTAVAIL);
}

static int route_list(struct host *h, struct host_route **ret, unsigned int *ret_n)
{
	*ret = NULL;
	*ret_n = 0;
	ENTER(h);
	*ret = copy_of(f->routes, f->n_routes, sizeof(**ret));
	*ret_n = f->n_routes;
	return leave(f, 0);
}

/* ------------------------------------------------------------------ values */

static int identity(struct host *h, struct host_identity *ret)
{
	ENTER(h);
	const struct entry *boot = find(f, "host", "boot"), *netns = find(f, "host", "netns");

	(void)snprintf(ret->boot_id, sizeof(ret->boot_id), "%s", boot ? boot->value : "boot");
	ret->netns = netns ? strtoull(netns->value, NULL, 10) : 1;
	ret->is_first = true;
	return leave(f, 0);
}

static int sysctl_get(struct host *h, const char *path, char ret[HOST_SYSCTL_BYTES])
{
	ENTER(h);
	const struct entry *e = find(f, "sysctl", path);

	if (e)
		(void)snprintf(ret, HOST_SYSCTL_BYTES, "%s", e->value);
	return leave(f, e ? 0 : -ENOENT);
}

/* The global switches set every interface's. */
static void set_global(struct fake *f, const char *path, const char *value)
{
	static const char *const global[][2] = {{"net/ipv4/ip_forward", "net/ipv4/conf/"},
		{"net/ipv6/conf/all/forwarding", "net/ipv6/conf/"}};

	for (unsigned int i = 0; i < ARRAY_SIZE(global); i++) {
		if (strcmp(path, global[i][0]) != 0)
			continue;
		for (unsigned int k = 0; k < f->n_entries; k++) {
			struct entry *e = &f->entries[k];
			size_t n = strlen(e->key);

			if (strncmp(e->key, global[i][1], strlen(global[i][1])) == 0 && n > 11 &&
				strcmp(e->key + n - 11, "/forwarding") == 0)
				put(f, "sysctl", e->key, value);
		}
	}
}

static int sysctl_set(struct host *h, const char *path, const char *value)
{
	ENTER(h);
	if (!find(f, "sysctl", path))
		return leave(f, -ENOENT);
	put(f, "sysctl", path, value);
	set_global(f, path, value);
	return leave(f, 0);
}

static int table_find(struct host *h, const char *name, struct host_table *ret)
{
	ENTER(h);
	static const struct siphash_key key = {{1, 2}};
	const struct entry *e = find(f, "table", name);

	if (!e)
		return leave(f, -ENOENT);
	(void)snprintf(ret->mark, sizeof(ret->mark), "%.*s", (int)strcspn(e->value, "\n"), e->value);
	ret->digest = siphash(&key, e->value, strlen(e->value));
	return leave(f, 0);
}

static int table_put(struct host *h, const char *name, const char *mark, const char *rules)
{
	ENTER(h);
	char *text = NULL;

	if (asprintf(&text, "%s\n%s%s", mark, rules, f->meddle ? "and more" : "") < 0)
		abort();
	f->meddle = false;
	put(f, "table", name, text);
	free(text);
	return leave(f, 0);
}

static int delete (struct fake *f, const char *kind, const char *key)
{
	struct entry *e = find(f, kind, key);

	if (e)
		drop(f, e);
	return leave(f, e ? 0 : -ENOENT);
}

static int table_del(struct host *h, const char *name)
{
	ENTER(h);
	return delete (f, "table", name);
}

static int table_check(struct host *h, const char *rules)
{
	ENTER(h);
	return leave(f, find(f, "host", "no-nat") ? -ENOENT : 0);
}

static int ruleset(struct host *h, const char *but, char **ret)
{
	ENTER(h);
	*ret = must(strdup(f->ruleset ? f->ruleset : "{\"nftables\": []}"));
	return leave(f, 0);
}

/* ------------------------------------------------------------------ files and processes */

/* Each makes an entry "ended", so that a test sees which. */
static int dnat_end(struct host *h, const struct host_dnat *d)
{
	ENTER(h);
	char key[64], value[64], addr[INET6_ADDRSTRLEN];

	(void)snprintf(key, sizeof(key), "%u:%u-%u", d->proto, d->port, d->port + d->n_ports - 1u);
	(void)snprintf(
		value, sizeof(value), "%s:%u", inet_ntop(d->family, d->to, addr, sizeof(addr)), d->to_port);
	put(f, "ended", key, value);
	return leave(f, 0);
}

static int device_probe(struct host *h, const char *path)
{
	ENTER(h);
	const struct entry *e = find(f, "device", path);

	return leave(f, !e ? -ENOENT : strcmp(e->value, "denied") == 0 ? -EACCES : 0);
}

static int file_read(struct host *h, const char *path, char **ret)
{
	ENTER(h);
	const struct entry *e = find(f, "file", path);

	if (e)
		*ret = must(strdup(e->value));
	return leave(f, e ? 0 : -ENOENT);
}

static int file_write(struct host *h, const char *path, const char *text)
{
	ENTER(h);
	put(f, "file", path, text);
	return leave(f, 0);
}

static int file_del(struct host *h, const char *path)
{
	ENTER(h);
	return delete (f, "file", path);
}

static int dir_add(struct host *h, const char *path)
{
	ENTER(h);
	put(f, "dir", path, "");
	return leave(f, 0);
}

/* Whether a file or a folder lies in it. */
static bool lies_in(const struct entry *e, const char *path, const char **ret_name)
{
	size_t n = strlen(path);

	if ((strcmp(e->kind, "file") != 0 && strcmp(e->kind, "dir") != 0) || strncmp(e->key, path, n) != 0 ||
		e->key[n] != '/' || strchr(e->key + n + 1, '/'))
		return false;
	*ret_name = e->key + n + 1;
	return true;
}

static int dir_del(struct host *h, const char *path)
{
	ENTER(h);
	const char *name;

	for (unsigned int i = 0; i < f->n_entries; i++)
		if (lies_in(&f->entries[i], path, &name))
			return leave(f, -ENOTEMPTY);
	return delete (f, "dir", path);
}

static int dir_list(struct host *h, const char *path, char **ret)
{
	ENTER(h);
	const char *name;
	size_t at = 0;

	if (!find(f, "dir", path))
		return leave(f, -ENOENT);
	*ret = must(calloc(1, 1));
	for (unsigned int i = 0; i < f->n_entries; i++) {
		if (!lies_in(&f->entries[i], path, &name))
			continue;
		*ret = must(realloc(*ret, at + strlen(name) + 2));
		(void)strcpy(*ret + at, name);
		at += strlen(name) + 1;
		(*ret)[at] = '\0';
	}
	return leave(f, 0);
}

static int lock_take(struct host *h, const char *path, bool wait)
{
	ENTER(h);
	if (f->locked)
		return leave(f, wait ? -EDEADLK : -EWOULDBLOCK);
	put(f, "dir", "/run/vmlan", "");
	f->locked = true;
	return leave(f, 0);
}

/* Not counted: the end of a process does it too. The folder goes if it is empty. */
static void lock_release(struct host *h)
{
	struct fake *f = fake_of(h);
	const char *name;
	bool empty = true;

	f->locked = false;
	for (unsigned int i = 0; i < f->n_entries; i++)
		empty = empty && !lies_in(&f->entries[i], "/run/vmlan", &name);
	if (empty && !f->dead && find(f, "dir", "/run/vmlan"))
		drop(f, find(f, "dir", "/run/vmlan"));
}

static int port_probe(struct host *h, uint8_t proto, uint32_t addr_be, uint16_t port)
{
	ENTER(h);
	for (unsigned int i = 0; i < f->n_ports; i++)
		if (f->ports[i] == port)
			return leave(f, -EADDRINUSE);
	return leave(f, 0);
}

static int supervisor_start(struct host *h, const char *network, const char *lock_path)
{
	ENTER(h);
	put(f, "file", lock_path, "");
	put(f, "supervisor", lock_path, network);
	return leave(f, 0);
}

static int supervisor_find(struct host *h, const char *lock_path, pid_t *ret)
{
	ENTER(h);
	*ret = 1;
	return leave(f, find(f, "supervisor", lock_path) ? 0 : -ENOENT);
}

static int supervisor_stop(struct host *h, const char *lock_path)
{
	ENTER(h);
	struct entry *e = find(f, "supervisor", lock_path);

	if (e)
		drop(f, e);
	e = find(f, "file", lock_path);
	if (e)
		drop(f, e);
	return leave(f, 0);
}

static int supervisor_reload(struct host *h, const char *lock_path)
{
	ENTER(h);
	return leave(f, find(f, "supervisor", lock_path) ? 0 : -ENOENT);
}

/* Commands are there, say what a test has them say, and do nothing; but those that are "missing". */
static int run(struct host *h, char *const argv[])
{
	ENTER(h);
	const struct entry *e = find(f, "command", argv[0]);

	if (e)
		(void)snprintf(h->error, sizeof(h->error), "%s", e->value);
	return leave(f, e && strcmp(e->value, "missing") == 0 ? 127 : 0);
}

static const struct host_ops fake_ops = {identity, link_find, link_list, bridge_add, link_set_alias,
	link_set_up, link_del, port_set_isolated, addr_list, addr_add, addr_del, route_list, sysctl_get,
	sysctl_set, table_find, table_put, table_del, table_check, ruleset, dnat_end, device_probe, file_read,
	file_write, file_del, dir_add, dir_del, dir_list, lock_take, lock_release, port_probe,
	supervisor_start, supervisor_find, supervisor_stop, supervisor_reload, run};

/* ------------------------------------------------------------------ for tests */

struct host *host_fake_new(void)
{
	static const char *const defaults[][2] = {{"net/ipv4/ip_forward", "0"},
		{"net/ipv4/conf/default/forwarding", "0"}, {"net/ipv4/conf/default/route_localnet", "0"},
		{"net/ipv6/conf/all/disable_ipv6", "0"}, {"net/ipv6/conf/all/forwarding", "0"},
		{"net/ipv6/conf/default/forwarding", "0"}, {"net/ipv6/conf/default/accept_ra", "1"},
		{"net/ipv6/conf/default/addr_gen_mode", "0"},
		{"net/ipv6/conf/default/force_forwarding", "0"}};
	struct fake *f = must(calloc(1, sizeof(*f)));

	f->host.ops = &fake_ops;
	for (unsigned int i = 0; i < ARRAY_SIZE(defaults); i++)
		put(f, "sysctl", defaults[i][0], defaults[i][1]);
	return &f->host;
}

void host_fake_free(struct host *h)
{
	struct fake *f = fake_of(h);

	while (f->n_entries)
		drop(f, &f->entries[f->n_entries - 1]);
	free(f->entries);
	free(f->ruleset);
	free(f);
}

unsigned int *host_fake_calls(struct host *h)
{
	return &fake_of(h)->n_calls;
}

void host_fake_fail_at(struct host *h, unsigned int n)
{
	fake_of(h)->n_calls = 0;
	fake_of(h)->fail_at = n;
}

void host_fake_die_at(struct host *h, unsigned int n, bool after)
{
	fake_of(h)->n_calls = 0;
	fake_of(h)->die_at = n;
	fake_of(h)->die_after = after;
}

void host_fake_revive(struct host *h)
{
	struct fake *f = fake_of(h);

	f->dead = f->locked = false;
	f->die_at = f->fail_at = f->n_calls = 0;
}

unsigned int host_fake_add_link(struct host *h, const char *name, const char *kind)
{
	return make_link(fake_of(h), name, kind)->index;
}

void host_fake_del_link(struct host *h, const char *name)
{
	remove_link(fake_of(h), must(link_named(fake_of(h), name)));
}

void host_fake_set_master(struct host *h, const char *name, const char *bridge)
{
	struct host_link *l = must(link_named(fake_of(h), name));

	l->master = bridge ? ((struct host_link *)must(link_named(fake_of(h), bridge)))->index : 0;
}

void host_fake_set_alias(struct host *h, const char *name, const char *alias)
{
	struct host_link *l = must(link_named(fake_of(h), name));

	(void)snprintf(l->alias, sizeof(l->alias), "%s", alias);
}

void host_fake_add_addr(struct host *h, const char *name, const char *addr, uint8_t prefix)
{
	struct fake *f = fake_of(h);
	struct host_addr *a = &f->addrs[f->n_addrs++];

	*a = (struct host_addr){.family = strchr(addr, ':') ? AF_INET6 : AF_INET,
		.prefix = prefix,
		.ifindex = ((struct host_link *)must(link_named(f, name)))->index};
	(void)inet_pton(a->family, addr, a->addr);
}

void host_fake_add_route(struct host *h, const char *name, const char *dst, uint8_t prefix)
{
	struct fake *f = fake_of(h);
	struct host_route *r = &f->routes[f->n_routes++];

	*r = (struct host_route){.family = strchr(dst, ':') ? AF_INET6 : AF_INET,
		.prefix = prefix,
		.ifindex = ((struct host_link *)must(link_named(f, name)))->index};
	(void)inet_pton(r->family, dst, r->dst);
}

const char *host_fake_get(struct host *h, const char *kind, const char *key)
{
	const struct entry *e = find(fake_of(h), kind, key);

	return e ? e->value : NULL;
}

void host_fake_set(struct host *h, const char *kind, const char *key, const char *value)
{
	struct fake *f = fake_of(h);
	struct entry *e = find(f, kind, key);

	if (value)
		put(f, kind, key, value);
	else if (e)
		drop(f, e);
}

void host_fake_kill(struct host *h, const char *lock_path)
{
	host_fake_set(h, "supervisor", lock_path, NULL);
}

void host_fake_meddle(struct host *h)
{
	fake_of(h)->meddle = true;
}

void host_fake_listen(struct host *h, uint16_t port)
{
	struct fake *f = fake_of(h);

	f->ports[f->n_ports++] = port;
}

void host_fake_ruleset(struct host *h, const char *json)
{
	struct fake *f = fake_of(h);

	free(f->ruleset);
	f->ruleset = must(strdup(json));
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *link_line(const struct fake *f, unsigned int i)
{
	const struct host_link *l = &f->links[i];
	char *text;

	if (asprintf(&text, "link %s %s '%s' %02x%02x%02x%02x%02x%02x mtu %u master %u%s%s", l->name, l->kind,
		    l->alias, l->mac[0], l->mac[1], l->mac[2], l->mac[3], l->mac[4], l->mac[5], l->mtu,
		    l->master, l->up ? " up" : "", f->isolated[i] ? " isolated" : "") < 0)
		abort();
	return text;
}

static char *addr_line(struct fake *f, unsigned int i)
{
	const struct host_addr *a = &f->addrs[i];
	const struct host_link *l = link_at(f, a->ifindex);
	char text[INET6_ADDRSTRLEN], *line;

	if (asprintf(&line, "addr %s %s/%u", l ? l->name : "?",
		    inet_ntop(a->family, a->addr, text, sizeof(text)), a->prefix) < 0)
		abort();
	return line;
}

char *host_fake_dump(struct host *h)
{
	struct fake *f = fake_of(h);
	unsigned int n = 0;
	_cleanup_free_ char **lines =
		must(calloc(f->n_links + f->n_addrs + f->n_entries + 1u, sizeof(*lines)));
	char *text = NULL;
	size_t size = 0;
	FILE *out = must(open_memstream(&text, &size));

	for (unsigned int i = 0; i < f->n_links; i++)
		lines[n++] = link_line(f, i);
	for (unsigned int i = 0; i < f->n_addrs; i++)
		lines[n++] = addr_line(f, i);
	for (unsigned int i = 0; i < f->n_entries; i++)
		if (strcmp(f->entries[i].kind, "ended") != 0 &&
			asprintf(&lines[n++], "%s %s '%s'", f->entries[i].kind, f->entries[i].key,
				f->entries[i].value) < 0)
			abort();
	qsort(lines, n, sizeof(*lines), compare);
	for (unsigned int i = 0; i < n; i++) {
		(void)fprintf(out, "%s\n", lines[i]);
		free(lines[i]);
	}
	(void)fclose(out);
	return text;
}
