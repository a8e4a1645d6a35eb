/* SPDX-License-Identifier: BSD-2-Clause */
#include "qemu_user.h"

#include <stdio.h>

/* While one part is read. */
struct reader {
	const struct qemu_part *part;
	struct user_conf *conf;
	struct qemu_error *error;
	int ipv4, ipv6; /* -1: not given */
	char *note;     /* set: QEMU keeps the network */
};

static int fail(struct reader *r, const struct qemu_opt *o, const struct conf_error *e)
{
	/* A value from elsewhere, or from JSON, was not written as it was read. */
	bool is_whole = (!e->at && !e->n_bytes) || o->arg || r->part->is_json;
	size_t at = is_whole ? 0 : MIN(e->at, o->n_bytes), left = o->n_bytes - at;
	size_t n_bytes = is_whole ? o->n_bytes : MIN(e->n_bytes, left);

	return qemu_fail(
		r->error, qemu_part_arg(r->part, o), o->at + at, n_bytes, "%s: %s", o->key, e->text);
}

static int leave(struct reader *r, const char *why, const char *what)
{
	(void)snprintf(r->note, sizeof(((struct qemu_user *)0)->note), "%s%s%s", why, what ? " " : "",
		what ? what : "");
	return QEMU_USER_LEFT;
}

static int read_net(struct reader *r, const struct qemu_opt *o)
{
	struct conf_error e;

	return user_conf_parse_net(o->value, r->conf, &e) ? 0 : fail(r, o, &e);
}

static int read_addr(struct reader *r, const struct qemu_opt *o, uint32_t *ret_be)
{
	struct conf_error e;

	return user_conf_parse_addr(o->value, ret_be, &e) ? 0 : fail(r, o, &e);
}

static int read_host(struct reader *r, const struct qemu_opt *o)
{
	return read_addr(r, o, &r->conf->host_be);
}

static int read_dns(struct reader *r, const struct qemu_opt *o)
{
	return read_addr(r, o, &r->conf->dns_be);
}

static int read_dhcpstart(struct reader *r, const struct qemu_opt *o)
{
	return read_addr(r, o, &r->conf->dhcp_start_be);
}

static int read_bool(struct reader *r, const struct qemu_opt *o, bool *ret)
{
	if (qemu_bool_parse(o->value, ret))
		return 0;
	return qemu_fail(
		r->error, qemu_part_arg(r->part, o), o->at, o->n_bytes, "%s is on or off", o->key);
}

static int read_restrict(struct reader *r, const struct qemu_opt *o)
{
	return read_bool(r, o, &r->conf->restricted);
}

static int read_ipv4(struct reader *r, const struct qemu_opt *o)
{
	bool on = false;
	int x = read_bool(r, o, &on);

	r->ipv4 = on;
	return x;
}

static int read_ipv6(struct reader *r, const struct qemu_opt *o)
{
	bool on = false;
	int x = read_bool(r, o, &on);

	r->ipv6 = on;
	return x;
}

/* QEMU passes names on as they are; one that is none of ours is still one that it can give. */
static int read_name(struct reader *r, const struct qemu_opt *o, char ret[USER_NAME_BYTES])
{
	struct conf_error e;

	return user_conf_parse_name(o->value, ret, &e) ? 0 : leave(r, "of the unusual value of", o->key);
}

static int read_hostname(struct reader *r, const struct qemu_opt *o)
{
	return read_name(r, o, r->conf->hostname);
}

static int read_domainname(struct reader *r, const struct qemu_opt *o)
{
	return read_name(r, o, r->conf->domainname);
}

static int read_dnssearch(struct reader *r, const struct qemu_opt *o)
{
	char name[USER_NAME_BYTES];
	struct conf_error e;

	if (!user_conf_parse_domain(o->value, name, &e))
		return leave(r, "of the unusual value of", o->key);
	return user_conf_add_search(r->conf, name) < 0 ? leave(r, "there are many of", o->key) : 0;
}

static int read_hostfwd(struct reader *r, const struct qemu_opt *o)
{
	struct user_forward f;
	struct conf_error e;
	int x;

	if (strncmp(o->value, "unix:", 5) == 0 || strchr(o->value, '['))
		return leave(r, "the engine forwards IPv4 ports only, not", o->value);
	if (!user_conf_parse_hostfwd(o->value, true, &f, &e))
		return fail(r, o, &e);
	x = user_conf_add_forward(r->conf, &f);
	return x == -ENOSPC ? leave(r, "there are many of", o->key) : x;
}

static const struct {
	const char *key;
	int (*read)(struct reader *r, const struct qemu_opt *o); /* 0, QEMU_USER_LEFT, or negative */
} keys[] = {
	{"net", read_net},
	{"host", read_host},
	{"dns", read_dns},
	{"dhcpstart", read_dhcpstart},
	{"restrict", read_restrict},
	{"hostname", read_hostname},
	{"domainname", read_domainname},
	{"dnssearch", read_dnssearch},
	{"hostfwd", read_hostfwd},
	{"ipv4", read_ipv4},
	{"ipv6", read_ipv6},
};

bool qemu_user_owns(const char *key)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].key, key) == 0)
			return true;
	return false;
}

/* Keys that say where the back end belongs, not what it does. */
static bool is_structure(const struct qemu_part *p, const char *key)
{
	static const char *const always[] = {"type", "id", "name", "vlan"};

	for (unsigned int i = 0; i < ARRAY_SIZE(always); i++)
		if (strcmp(always[i], key) == 0)
			return true;
	return p->kind == QEMU_PART_NIC && (strcmp(key, "model") == 0 || strcmp(key, "mac") == 0);
}

static int read_opt(struct reader *r, const struct qemu_opt *o)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].key, o->key) == 0)
			return keys[i].read(r, o);
	return is_structure(r->part, o->key) ? 0 : leave(r, "the engine does not serve", o->key);
}

/* QEMU turns the one off that was not named when the other is turned on. */
static int check_families(struct reader *r)
{
	if (r->ipv4 == 0 || (r->ipv6 == 1 && r->ipv4 < 0))
		return leave(r, "it is for IPv6 alone, which the engine does not serve", NULL);
	if (r->ipv6 == 1)
		(void)leave(r, "ipv6=on: the engine serves IPv4 only; the guest gets no IPv6", NULL);
	return QEMU_USER_SERVED;
}

static int check(struct reader *r)
{
	struct conf_error e;
	const struct qemu_opt *o;

	if (user_conf_check(r->conf, &e))
		return 0;
	o = qemu_opts_find(&r->part->opts, e.option);
	if (!o)
		o = qemu_opts_find(&r->part->opts, "net");
	if (!o)
		o = qemu_opts_find(&r->part->opts, "host"); /* which is where another's default lies */
	return qemu_fail(r->error, o ? qemu_part_arg(r->part, o) : r->part->at, o ? o->at : 0,
		o ? o->n_bytes : 0, "%s %s", e.option, e.text);
}

int qemu_user_parse(const struct qemu_part *p, struct qemu_user *ret, struct qemu_error *e)
{
	struct reader r = {
		.part = p, .conf = &ret->conf, .error = e, .ipv4 = -1, .ipv6 = -1, .note = ret->note};
	int outcome = QEMU_USER_SERVED;

	ret->note[0] = '\0';
	user_conf_init(&ret->conf);
	for (unsigned int i = 0; i < p->opts.n && outcome == QEMU_USER_SERVED; i++)
		outcome = read_opt(&r, &p->opts.v[i]);
	if (outcome == QEMU_USER_SERVED)
		outcome = check_families(&r);
	if (outcome == QEMU_USER_SERVED && check(&r) < 0)
		outcome = -EINVAL;
	if (outcome < 0)
		qemu_user_done(ret);
	return outcome;
}

void qemu_user_done(struct qemu_user *u)
{
	user_conf_done(&u->conf);
}
