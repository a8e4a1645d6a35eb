/* SPDX-License-Identifier: BSD-2-Clause */
/* A network's record on disk: a folder of its own with state.json in it. */
#pragma once

#include "network.h"

/* Of records: 1 up to the first release; 2 has adopted bridges. Older ones are read, and written anew by an
 * up (take_over() in network.c). Whatever a new plan would do otherwise on a host is a reason for another
 * number. */
#define STORE_VERSION    2
#define STORE_LOCK       NETWORK_RUN_DIR "/lock"
#define STORE_STATE      "state.json"
#define STORE_SUPERVISOR "supervisor"
#define STORE_DNSMASQ    "dnsmasq.conf"
#define STORE_HOSTS      "hosts"
#define STORE_ISOLATED   "isolated" /* is there if guests are isolated: BRIDGE_ISOLATED_PATH */
#define STORE_LOG        "log"

/* NETWORK_RUN_DIR/NAME/FILE; file NULL: the folder. */
void store_path(const char *network, const char *file, char ret[HOST_PATH_BYTES]);

/* Makes the folder if need be. 0 or -errno. */
int store_save(struct host *h, const struct network *n);
/* -ENOENT: there is none. -ESTALE: it is of another boot, whose traces in the kernel are gone. -EXDEV: it is
 * of another network namespace. -EPROTO: it is not readable. -EPROTONOSUPPORT: a later version
 * of this program wrote it. */
int store_load(struct host *h, const char *name, struct network *ret);
/* All files of the folder, the state last, and the folder. Nothing there is no error. */
int store_remove(struct host *h, const char *name);

/* Reading and writing of any object of ours, with the version, boot and namespace that it is of. */
int store_write_object(struct host *h, const char *path, json_t *o, const struct host_identity *identity);
int store_read_object(struct host *h, const char *path, const struct host_identity *identity, json_t **ret);
int store_version_of(const json_t *o);
