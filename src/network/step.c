/* SPDX-License-Identifier: BSD-2-Clause */
#include "step.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

const char *const step_state_names[] = {
	[STEP_OK] = "ok", [STEP_MISSING] = "missing", [STEP_CHANGED] = "changed"};
static_assert(ARRAY_SIZE(step_state_names) == STEP_STATE_MAX, "every state has a name");

static const struct step_kind *const kinds[] = {&step_bridge, &step_sysctl, &step_link_up, &step_address,
	&step_table, &step_file, &step_forwarding, &step_supervisor, &step_docker, &step_adopt,
	&step_firewalld, &step_resolved};

const struct step_kind *step_kind_find(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i]->name, name) == 0)
			return kinds[i];
	return NULL;
}

void step_done(struct step *s)
{
	json_decref(s->args);
	json_decref(s->before);
	json_decref(s->after);
	*s = (struct step){0};
}

int network_add_step(struct network *n, const struct step_kind *kind, json_t *args)
{
	struct step *grown = args ? reallocarray(n->steps, n->n_steps + 1u, sizeof(*grown)) : NULL;

	if (!grown) {
		json_decref(args);
		return -ENOMEM;
	}
	n->steps = grown;
	n->steps[n->n_steps++] = (struct step){.kind = kind, .args = args};
	return 0;
}

int network_add_note(struct network *n, const char *format, ...)
{
	char **grown = reallocarray(n->notes, n->n_notes + 1u, sizeof(*grown));
	va_list ap;
	int r;

	if (!grown)
		return -ENOMEM;
	n->notes = grown;
	va_start(ap, format);
	r = vasprintf(&n->notes[n->n_notes], format, ap);
	va_end(ap);
	if (r < 0)
		return -ENOMEM;
	n->n_notes++;
	return 0;
}

const char *step_text(const struct step *s, const char *key)
{
	const char *text = json_string_value(json_object_get(s->args, key));

	return text ? text : "";
}

int step_number(const struct step *s, const char *key)
{
	return (int)json_integer_value(json_object_get(s->args, key));
}

int step_failed(struct step_ctx *c, int r, const char *format, ...)
{
	va_list ap;

	if (r >= 0)
		return r;
	va_start(ap, format);
	(void)vsnprintf(c->why, sizeof(c->why), format, ap);
	va_end(ap);
	return r;
}
