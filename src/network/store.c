/* SPDX-License-Identifier: BSD-2-Clause */
/* The options are kept as text and read back by the parser that read them first (net_conf.h), so that what a
 * later version of this program does not know any more, it says. */
#include "store.h"

#include <assert.h>
#include <stdio.h>

#include "step.h"

const char *const network_phase_names[] = {
	[NETWORK_RISING] = "rising", [NETWORK_UP] = "up", [NETWORK_FALLING] = "falling"};
static_assert(ARRAY_SIZE(network_phase_names) == NETWORK_PHASE_MAX, "every phase has a name");

static void json_free_p(json_t **o)
{
	json_decref(*o);
}
#define _cleanup_json_ _cleanup_(json_free_p)

void network_done(struct network *n)
{
	for (unsigned int i = 0; i < n->n_steps; i++)
		step_done(&n->steps[i]);
	for (unsigned int i = 0; i < n->n_notes; i++)
		free(n->notes[i]);
	free(n->steps);
	free(n->notes);
	net_conf_done(&n->conf);
	*n = (struct network){0};
}

void store_path(const char *network, const char *file, char ret[HOST_PATH_BYTES])
{
	(void)snprintf(ret, HOST_PATH_BYTES, "%s/%s%s%s", NETWORK_RUN_DIR, network, file ? "/" : "",
		file ? file : "");
}

int store_write_object(struct host *h, const char *path, json_t *o, const struct host_identity *identity)
{
	_cleanup_free_ char *text = NULL;

	if (json_object_set_new(o, "version", json_integer(STORE_VERSION)) < 0 ||
		json_object_set_new(o, "boot", json_string(identity->boot_id)) < 0 ||
		json_object_set_new(o, "netns", json_integer((json_int_t)identity->netns)) < 0)
		return -ENOMEM;
	text = json_dumps(o, JSON_INDENT(1));
	return text ? h->ops->file_write(h, path, text) : -ENOMEM;
}

int store_version_of(const json_t *o)
{
	return (int)json_integer_value(json_object_get(o, "version"));
}

int store_read_object(struct host *h, const char *path, const struct host_identity *identity, json_t **ret)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *o = NULL;
	const char *boot = NULL;
	json_int_t netns = 0;
	int r = h->ops->file_read(h, path, &text);

	if (r < 0)
		return r;
	o = json_loads(text, 0, NULL);
	if (store_version_of(o) > STORE_VERSION)
		return -EPROTONOSUPPORT;
	if (store_version_of(o) < 1 || json_unpack(o, "{sssI}", "boot", &boot, "netns", &netns) < 0)
		return -EPROTO;
	if (strcmp(boot, identity->boot_id) != 0)
		return -ESTALE;
	if ((uint64_t)netns != identity->netns)
		return -EXDEV;
	*ret = TAKE_PTR(o);
	return 0;
}

static int put_option(void *ctx, const char *key, const char *value)
{
	return json_array_append_new(ctx, json_pack("[ss]", key, value)) < 0 ? -ENOMEM : 0;
}

static json_t *pack_step(const struct step *s)
{
	return json_pack("{sssOsO*sO*}", "kind", s->kind->name, "args", s->args, "before", s->before, "after",
		s->after);
}

static json_t *pack(const struct network *n)
{
	_cleanup_json_ json_t *options = json_array(), *steps = json_array(), *notes = json_array();

	if (!options || !steps || !notes || net_conf_each(&n->conf, put_option, options) < 0)
		return NULL;
	for (unsigned int i = 0; i < n->n_steps; i++)
		if (json_array_append_new(steps, pack_step(&n->steps[i])) < 0)
			return NULL;
	for (unsigned int i = 0; i < n->n_notes; i++)
		if (json_array_append_new(notes, json_string(n->notes[i])) < 0)
			return NULL;
	return json_pack("{sssssOsOsO}", "name", n->conf.name, "phase", network_phase_names[n->phase],
		"options", options, "steps", steps, "notes", notes);
}

int store_save(struct host *h, const struct network *n)
{
	_cleanup_json_ json_t *o = pack(n);
	char path[HOST_PATH_BYTES];
	int r;

	if (!o)
		return -ENOMEM;
	store_path(n->conf.name, NULL, path);
	r = h->ops->dir_add(h, path);
	store_path(n->conf.name, STORE_STATE, path);
	return r < 0 ? r : store_write_object(h, path, o, &n->identity);
}

static int unpack_options(const json_t *options, struct net_conf *c)
{
	struct conf_error e;
	const json_t *pair;
	size_t i;

	json_array_foreach(options, i, pair)
	{
		const char *key = json_string_value(json_array_get(pair, 0));
		const char *value = json_string_value(json_array_get(pair, 1));

		if (!key || !value || !net_conf_set(c, key, value, &e))
			return -EPROTO;
	}
	return net_conf_check(c, &e) ? 0 : -EPROTO;
}

static int unpack_steps(const json_t *steps, struct network *n)
{
	json_t *o;
	size_t i;

	json_array_foreach(steps, i, o)
	{
		const char *name = json_string_value(json_object_get(o, "kind"));
		const struct step_kind *kind = name ? step_kind_find(name) : NULL;
		int r = kind ? network_add_step(n, kind, json_incref(json_object_get(o, "args"))) : -EPROTO;

		if (r < 0)
			return r;
		n->steps[i].before = json_incref(json_object_get(o, "before"));
		n->steps[i].after = json_incref(json_object_get(o, "after"));
	}
	return 0;
}

static int unpack(const json_t *o, const char *name, struct network *ret)
{
	const char *phase = json_string_value(json_object_get(o, "phase"));
	const json_t *note;
	struct conf_error e;
	size_t i;
	int r;

	if (!phase || !net_conf_init(name, &ret->conf, &e))
		return -EPROTO;
	while (ret->phase < NETWORK_PHASE_MAX && strcmp(network_phase_names[ret->phase], phase) != 0)
		ret->phase++;
	if (ret->phase == NETWORK_PHASE_MAX)
		return -EPROTO;
	(void)snprintf(ret->mark, sizeof(ret->mark), "%s%s", NETWORK_MARK_PREFIX, name);
	r = unpack_options(json_object_get(o, "options"), &ret->conf);
	json_array_foreach(json_object_get(o, "notes"), i, note)
	{
		if (r == 0)
			r = network_add_note(
				ret, "%s", json_string_value(note) ? json_string_value(note) : "");
	}
	return r < 0 ? r : unpack_steps(json_object_get(o, "steps"), ret);
}

int store_load(struct host *h, const char *name, struct network *ret)
{
	_cleanup_json_ json_t *o = NULL;
	char path[HOST_PATH_BYTES];
	int r;

	*ret = (struct network){0};
	store_path(name, STORE_STATE, path);
	r = h->ops->identity(h, &ret->identity);
	if (r == 0)
		r = store_read_object(h, path, &ret->identity, &o);
	if (r == 0) {
		ret->version = store_version_of(o);
		r = unpack(o, name, ret);
	}
	if (r < 0)
		network_done(ret);
	return r;
}

int store_remove(struct host *h, const char *name)
{
	_cleanup_free_ char *files = NULL;
	char path[HOST_PATH_BYTES];
	int r;

	store_path(name, NULL, path);
	r = h->ops->dir_list(h, path, &files);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (const char *f = files; r == 0 && *f; f += strlen(f) + 1) {
		if (strcmp(f, STORE_STATE) == 0)
			continue;
		store_path(name, f, path);
		r = h->ops->file_del(h, path);
		r = r == -ENOENT ? 0 : r;
	}
	store_path(name, STORE_STATE, path);
	if (r == 0)
		r = h->ops->file_del(h, path);
	store_path(name, NULL, path);
	if (r == 0 || r == -ENOENT)
		r = h->ops->dir_del(h, path);
	return r == -ENOENT ? 0 : r;
}
