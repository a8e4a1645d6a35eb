/* SPDX-License-Identifier: BSD-2-Clause */
/* A network on a host: brought up, looked at, taken down.
 *
 * A network is planned into a list of steps (step.h). The list, with the values that were found before, is in
 * /run/vmlan/NAME/state.json before the first step is done. Nothing else is needed to undo it, by whichever
 * process, after whatever end of the one that did it. */
#pragma once

#include <jansson.h>

#include "host.h"
#include "net_conf.h"

#define NETWORK_RUN_DIR    "/run/vmlan"
#define NETWORK_LIB_DIR    "/var/lib/vmlan"
#define NETWORK_ETC_DIR     "/etc/vmlan" /* NAME.net: conf/net_file.h */
#define NETWORK_FILE_SUFFIX ".net"
/* A network's mark, on what of the host can bear one: the prefix and its name. */
#define NETWORK_MARK_PREFIX "vmlan:"
#define NETWORK_TEXT_BYTES 512
/* A network's table of rules: the prefix and its name. */
#define NETWORK_TABLE_PREFIX "vmlan_"
#define NETWORK_TABLE_BYTES  (sizeof(NETWORK_TABLE_PREFIX) + NET_NAME_BYTES)

/* What went wrong, and what to do about it; lines for a person, without full stop. */
struct network_error {
	char text[NETWORK_TEXT_BYTES];
	char mend[NETWORK_TEXT_BYTES]; /* may be empty */
	char option[16];               /* the option that it is about, or empty */
};

enum network_phase {
	NETWORK_RISING, /* being brought up, or its process ended before it was */
	NETWORK_UP,
	NETWORK_FALLING, /* the same with down */
	NETWORK_PHASE_MAX,
};
extern const char *const network_phase_names[NETWORK_PHASE_MAX];

struct step;

struct network {
	struct net_conf conf; /* all chosen */
	enum network_phase phase;
	int version; /* of the record that it was read from; 0: it was planned just now */
	char mark[HOST_MARK_BYTES];
	struct host_identity identity; /* where it was brought up */
	struct step *steps;            /* heap */
	unsigned int n_steps;
	char **notes; /* heap: what a person should know of this host, such as another firewall's drops */
	unsigned int n_notes;
};

void network_done(struct network *n);

/* Each: 0, or -errno and *e. */

/* Brings it up; or mends it, if it is up as described (an option that is not given may be anything). A
 * failure leaves nothing behind of a network that was not up. ret: what is up now. */
int network_up(struct host *h, const struct net_conf *given, struct network *ret, struct network_error *e);
/* What network_up() would do; changes nothing. */
int network_plan(struct host *h, const struct net_conf *given, struct network *ret, struct network_error *e);
/* force: although guests are attached. 0 too of one that is down, but has a file; -ENOENT: there is none
 * of that name. */
int network_down(struct host *h, const char *name, bool force, struct network_error *e);

/* A network as it is on record; -ENOENT. */
int network_load(struct host *h, const char *name, struct network *ret, struct network_error *e);
/* Takes what other firewalls do now into a network that was loaded: its notes, and steps that an up would
 * add. */
int network_look(struct host *h, struct network *n, struct network_error *e);
/* The names of all on record, sorted: heap, each ended by NUL, the last by two. */
int network_names(struct host *h, char **ret);
/* The names of all that have a file in NETWORK_ETC_DIR; the same. */
int network_file_names(struct host *h, char **ret);
void network_file_path(const char *name, char ret[HOST_PATH_BYTES]);
/* Names of the interfaces that are ports of its bridge; the same. -ENODEV: there is no bridge. */
int network_ports(struct host *h, const struct network *n, char **ret);

/* Changes a list option ("hostfwd", "reserve") of a network that is up. */
int network_add_option(
	struct host *h, const char *name, const char *key, const char *value, struct network_error *e);
int network_del_option(
	struct host *h, const char *name, const char *key, const char *value, struct network_error *e);
