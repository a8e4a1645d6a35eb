/* SPDX-License-Identifier: BSD-2-Clause */
/* What of a host, or of a network on it, is not as guests need it, and the command that mends it. Changes
 * nothing, and does as much as it can without root. */
#pragma once

#include "network.h"

enum doctor_state {
	DOCTOR_OK,
	DOCTOR_UNKNOWN, /* it could not be looked at */
	DOCTOR_WARNING, /* something works less well, or not for everybody */
	DOCTOR_PROBLEM,
	DOCTOR_STATE_MAX,
};
extern const char *const doctor_state_names[DOCTOR_STATE_MAX];

#define DOCTOR_NAME_BYTES 24
#define DOCTOR_TEXT_BYTES 512

struct doctor_finding {
	enum doctor_state state;
	char name[DOCTOR_NAME_BYTES];
	char found[DOCTOR_TEXT_BYTES];
	char wanted[DOCTOR_TEXT_BYTES]; /* empty: what was found */
	char mend[DOCTOR_TEXT_BYTES];   /* a command; empty: there is none */
};

struct doctor {
	struct host *host;
	void (*tell)(void *ctx, const struct doctor_finding *f);
	void *ctx;
};

void doctor_check_host(const struct doctor *d);
/* A network that is up or should be. */
void doctor_check_network(const struct doctor *d, const char *name);
