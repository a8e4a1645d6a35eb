/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's own way to guests' names: systemd-resolved is told, of the bridge, that names of the network's
 * domain are asked of it there, and no others. It forgets that with the interface. Where it does not run
 * `up` says whom to ask; nothing else of the host's is touched, since resolv.conf has other owners. */
#include "plan.h"

#define OWN_RESOLV_CONF "/run/systemd/resolve/resolv.conf"

static int run_resolvectl(struct step_ctx *c, const char *verb, const char *dev, const char *value)
{
	char program[] = "resolvectl", words[3][USER_NAME_BYTES + 2];
	const char *all[] = {verb, dev, value};
	char *argv[5] = {program};

	for (unsigned int i = 0; i < ARRAY_SIZE(all) && all[i]; i++) {
		(void)snprintf(words[i], sizeof(words[i]), "%s", all[i]);
		argv[i + 1] = words[i];
	}
	return c->host->ops->run(c->host, argv);
}

bool resolved_is_there(struct host *h)
{
	_cleanup_free_ char *own = NULL, *conf = NULL, *nss = NULL;
	struct step_ctx c = {.host = h};
	struct host_identity identity;
	bool is_used;

	/* It knows the interfaces of the first namespace only, and those by number. */
	if (h->ops->identity(h, &identity) < 0 || !identity.is_first ||
		h->ops->file_read(h, OWN_RESOLV_CONF, &own) < 0)
		return false;
	is_used =
		h->ops->file_read(h, "/etc/resolv.conf", &conf) == 0 && strstr(conf, "nameserver 127.0.0.5");
	is_used =
		is_used || (h->ops->file_read(h, "/etc/nsswitch.conf", &nss) == 0 && strstr(nss, " resolve"));
	return is_used && run_resolvectl(&c, "domain", NULL, NULL) == 0;
}

static void domain_of(const struct step *s, char ret[USER_NAME_BYTES + 2])
{
	(void)snprintf(ret, USER_NAME_BYTES + 2, "~%s", step_text(s, "domain"));
}

/* Whether it has our domain for our bridge: 1, 0 or -errno. */
static int is_set(struct step_ctx *c, const struct step *s)
{
	char domain[USER_NAME_BYTES + 2];
	int r = run_resolvectl(c, "domain", step_text(s, "dev"), NULL);

	domain_of(s, domain);
	return r == 0 ? strstr(c->host->error, domain) != NULL : MIN(r, 0);
}

static void describe_resolved(const struct step *s, char ret[STEP_TEXT_BYTES])
{
	(void)snprintf(ret, STEP_TEXT_BYTES, "names of %s asked of %s by systemd-resolved",
		step_text(s, "domain"), step_text(s, "addr"));
}

static int apply_resolved(struct step_ctx *c, struct step *s)
{
	char domain[USER_NAME_BYTES + 2];
	int r = run_resolvectl(c, "dns", step_text(s, "dev"), step_text(s, "addr"));

	domain_of(s, domain);
	if (r == 0)
		r = run_resolvectl(c, "domain", step_text(s, "dev"), domain);
	return step_failed(
		c, r > 0 ? -EIO : r, "resolvectl cannot set the name server of %s", step_text(s, "dev"));
}

static int check_resolved(struct step_ctx *c, const struct step *s)
{
	int r = is_set(c, s);

	if (r == 0)
		(void)snprintf(c->why, sizeof(c->why), "systemd-resolved does not know it");
	return r < 0 ? r : r ? STEP_OK : STEP_MISSING;
}

static int undo_resolved(struct step_ctx *c, const struct step *s)
{
	if (is_set(c, s) > 0)
		(void)run_resolvectl(
			c, "revert", step_text(s, "dev"), NULL); /* else it goes with the bridge */
	c->host->error[0] = '\0';
	return 0;
}

const struct step_kind step_resolved = {
	.name = "resolved",
	.describe = describe_resolved,
	.apply = apply_resolved,
	.check = check_resolved,
	.undo = undo_resolved,
};
