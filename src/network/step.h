/* SPDX-License-Identifier: BSD-2-Clause */
/* Steps: what a network is made of on the host, one thing each.
 *
 * A step is a kind and JSON: `args`, what it is to be, from the plan; `before`, what was found before it was
 * done, which is what undo puts back; `after`, what was found after, by which a change is seen. All three are
 * on disk, the first two before the step is done.
 *
 * That a step is on record proves nothing of whether it was done: the process may have ended between the two.
 * So undo looks at the host, and takes away only what bears the network's mark or still has our value; and
 * doing a step twice, or undoing what was never done, is no error. Between two steps no other state counts.
 */
#pragma once

#include "network.h"

#define STEP_TEXT_BYTES 320

enum step_state {
	STEP_OK,
	STEP_MISSING, /* or never done */
	STEP_CHANGED, /* by somebody else */
	STEP_STATE_MAX,
};
extern const char *const step_state_names[STEP_STATE_MAX];

struct step {
	const struct step_kind *kind;
	json_t *args;   /* owned, as the next; objects */
	json_t *before; /* NULL: nothing to remember */
	json_t *after;  /* NULL: nothing to compare */
};

struct step_ctx {
	struct host *host;
	const char *network; /* its name */
	const char *mark;
	char why[STEP_TEXT_BYTES]; /* what check found, or why do failed; may be empty */
};

struct step_kind {
	const char *name;
	/* One line for a person: what it is. */
	void (*describe)(const struct step *s, char ret[STEP_TEXT_BYTES]);
	/* Sets before; NULL: nothing to remember. Changes nothing on the host. 0 or -errno. */
	int (*probe)(struct step_ctx *c, struct step *s);
	/* Brings about what is missing of it. 0 or -errno. */
	int (*apply)(struct step_ctx *c, struct step *s);
	/* An enum step_state, or -errno. */
	int (*check)(struct step_ctx *c, const struct step *s);
	int (*undo)(struct step_ctx *c, const struct step *s);
	/* Others' changes of the host's rules may undo it: a running supervisor checks it then. */
	bool watched;
};

extern const struct step_kind step_bridge, step_sysctl, step_link_up, step_address, step_table, step_file,
	step_forwarding, step_supervisor, step_docker, step_adopt, step_firewalld, step_resolved;

const struct step_kind *step_kind_find(const char *name);
void step_done(struct step *s);

/* Takes args over; appends. 0, or -ENOMEM (also for args == NULL). */
int network_add_step(struct network *n, const struct step_kind *kind, json_t *args);
int network_add_note(struct network *n, const char *format, ...) _printf_(2, 3);

/* A string or a number of args; "" or 0 where it is missing. */
const char *step_text(const struct step *s, const char *key);
int step_number(const struct step *s, const char *key);

/* Says in c->why what failed, unless r says that nothing did; r. */
int step_failed(struct step_ctx *c, int r, const char *format, ...) _printf_(3, 4);
