/* SPDX-License-Identifier: BSD-2-Clause */
/* Steps that are a whole thing each: a table of rules, a file, the supervisor. */
#include <inttypes.h>
#include <stdio.h>

#include "step.h"
#include "store.h"

static void describe_table(const struct step *s, char ret[STEP_TEXT_BYTES])
{
	(void)snprintf(ret, STEP_TEXT_BYTES, "nftables table inet %s", step_text(s, "name"));
}

/* 0: it is there and ours; -ENOENT; -EEXIST: it is another's. */
static int find_table(struct step_ctx *c, const struct step *s, struct host_table *ret)
{
	int r = c->host->ops->table_find(c->host, step_text(s, "name"), ret);

	return r == 0 && strcmp(ret->mark, c->mark) != 0 ? -EEXIST : r;
}

static int apply_table(struct step_ctx *c, struct step *s)
{
	const char *name = step_text(s, "name");
	struct host_table t;
	char digest[20];
	int r = find_table(c, s, &t);

	if (r == -EEXIST)
		return step_failed(c, r, "there is a table inet %s that is not ours", name);
	if (r == 0 || r == -ENOENT)
		r = c->host->ops->table_put(c->host, name, c->mark, step_text(s, "rules"));
	if (r == 0)
		r = c->host->ops->table_find(c->host, name, &t);
	if (r < 0)
		return step_failed(c, r, "cannot make the table inet %s", name);
	(void)snprintf(digest, sizeof(digest), "%016" PRIx64, t.digest);
	json_decref(s->after);
	s->after = json_pack("{ss}", "digest", digest);
	return s->after ? 0 : -ENOMEM;
}

static int check_table(struct step_ctx *c, const struct step *s)
{
	const char *wanted = json_string_value(json_object_get(s->after, "digest"));
	struct host_table t;
	char digest[20];
	int r = find_table(c, s, &t);

	if (r == -ENOENT) {
		(void)snprintf(c->why, sizeof(c->why), "it is gone");
		return STEP_MISSING;
	}
	if (r < 0 && r != -EEXIST)
		return r;
	(void)snprintf(digest, sizeof(digest), "%016" PRIx64, t.digest);
	if (r == 0 && wanted && strcmp(wanted, digest) == 0)
		return STEP_OK;
	(void)snprintf(c->why, sizeof(c->why), r < 0 ? "it is another's" : "its rules were changed");
	return STEP_CHANGED;
}

static int undo_table(struct step_ctx *c, const struct step *s)
{
	struct host_table t;
	int r = find_table(c, s, &t);

	if (r == 0)
		r = c->host->ops->table_del(c->host, step_text(s, "name"));
	return step_failed(c, r == -ENOENT || r == -EEXIST ? 0 : r, "cannot remove the table inet %s",
		step_text(s, "name"));
}

const struct step_kind step_table = {
	.name = "table",
	.describe = describe_table,
	.apply = apply_table,
	.check = check_table,
	.undo = undo_table,
	.watched = true,
};

static void describe_file(const struct step *s, char ret[STEP_TEXT_BYTES])
{
	(void)snprintf(ret, STEP_TEXT_BYTES, "file %s", step_text(s, "path"));
}

static int apply_file(struct step_ctx *c, struct step *s)
{
	int r = c->host->ops->file_write(c->host, step_text(s, "path"), step_text(s, "text"));

	return step_failed(c, r, "cannot write %s", step_text(s, "path"));
}

static int check_file(struct step_ctx *c, const struct step *s)
{
	_cleanup_free_ char *text = NULL;
	int r = c->host->ops->file_read(c->host, step_text(s, "path"), &text);

	if (r < 0)
		return r == -ENOENT ? STEP_MISSING : r;
	return strcmp(text, step_text(s, "text")) == 0 ? STEP_OK : STEP_CHANGED;
}

/* Its folder is the network's own, and so is every file in it. */
static int undo_file(struct step_ctx *c, const struct step *s)
{
	int r = c->host->ops->file_del(c->host, step_text(s, "path"));

	return step_failed(c, r == -ENOENT ? 0 : r, "cannot remove %s", step_text(s, "path"));
}

const struct step_kind step_file = {
	.name = "file",
	.describe = describe_file,
	.apply = apply_file,
	.check = check_file,
	.undo = undo_file,
};

static void describe_supervisor(const struct step *s, char ret[STEP_TEXT_BYTES])
{
	(void)snprintf(
		ret, STEP_TEXT_BYTES, "supervisor, with dnsmasq for DHCP and DNS on %s", step_text(s, "dev"));
}

static int apply_supervisor(struct step_ctx *c, struct step *s)
{
	char path[HOST_PATH_BYTES];
	int r;

	store_path(c->network, STORE_SUPERVISOR, path);
	r = c->host->ops->supervisor_start(c->host, c->network, path);
	return step_failed(c, r, "the supervisor does not start");
}

static int check_supervisor(struct step_ctx *c, const struct step *s)
{
	char path[HOST_PATH_BYTES];
	pid_t pid;
	int r;

	store_path(c->network, STORE_SUPERVISOR, path);
	r = c->host->ops->supervisor_find(c->host, path, &pid);
	if (r == -ENOENT)
		(void)snprintf(c->why, sizeof(c->why), "it does not run");
	return r == -ENOENT ? STEP_MISSING : r < 0 ? r : STEP_OK;
}

static int undo_supervisor(struct step_ctx *c, const struct step *s)
{
	char path[HOST_PATH_BYTES];
	int r;

	store_path(c->network, STORE_SUPERVISOR, path);
	r = c->host->ops->supervisor_stop(c->host, path);
	return step_failed(c, r, "the supervisor does not end");
}

const struct step_kind step_supervisor = {
	.name = "supervisor",
	.describe = describe_supervisor,
	.apply = apply_supervisor,
	.check = check_supervisor,
	.undo = undo_supervisor,
};
