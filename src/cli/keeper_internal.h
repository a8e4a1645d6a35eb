/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the keeper share. */
#pragma once

#include "ctl_server.h"
#include "keeper.h"
#include "loop.h"
#include "qmp.h"

#define KEEPER_NETWORKS_MAX 64
#define KEEPER_QMP_MS       5000  /* for QEMU to answer */
#define KEEPER_UNPLUG_MS    30000 /* for the guest to let go of a NIC */
#define KEEPER_NETWORK_MS   5000  /* for a network to answer, and to start */

/* One that we serve. */
struct keeper_network {
	struct guest_network n;
	char *name;             /* heap, if it was added */
	struct user_conf *conf; /* heap, if it was added; else NULL */
};

struct keeper {
	const struct keeper_config *c;
	struct loop *loop;
	struct ctl_server *server;
	struct qmp qmp;
	int signal_fd;
	struct keeper_network networks[KEEPER_NETWORKS_MAX];
	unsigned int n_networks;
	unsigned int n_ids; /* given to NICs so far */
};

/* The network of that name, or NULL. */
struct keeper_network *keeper_find(struct keeper *k, const char *name);
/* A network has no guest any more. */
void keeper_forget(struct keeper *k, struct keeper_network *n);

/* keeper_info.c */
void keeper_info_network(struct keeper *k, struct ctl_reply *ret);
void keeper_info_usernet(struct keeper *k, struct ctl_reply *ret);
void keeper_hostfwd(struct keeper *k, const struct ctl_request *q, struct ctl_reply *ret);
void keeper_hostfwd_list(struct keeper *k, struct ctl_reply *ret);
/* What QEMU calls the back end that is one of our networks: in ret, which is left alone if it is not found.
 */
void keeper_qemu_name(struct keeper *k, const struct keeper_network *n, char ret[CTL_ID_BYTES]);
/* Asks a network, and sets the error in ret, be it the network's own. false: there is no answer. */
bool keeper_ask_network(const struct guest_network *n, enum ctl_op op, const char *arg,
	struct ctl_reply *answer, struct ctl_reply *ret);
/* A word for QEMU's monitor for people, in quotes. */
char *keeper_quote(const char *word);

/* keeper_nic.c */
void keeper_nic_add(struct keeper *k, const char *spec, struct ctl_reply *ret);
void keeper_nic_remove(struct keeper *k, const char *id, struct ctl_reply *ret);
