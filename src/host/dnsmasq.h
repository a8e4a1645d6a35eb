/* SPDX-License-Identifier: BSD-2-Clause */
/* dnsmasq as a child process without privileges beyond the network's. */
#pragma once

#include <sys/types.h>

#include "util.h"

struct dnsmasq {
	pid_t pid;  /* 0: none */
	int pid_fd; /* readable when it has ended */
	int log_fd; /* what it writes */
};

/* Who it runs as: the user dnsmasq, or else nobody. -ENOENT: neither is there. */
int dnsmasq_user(uid_t *ret_uid, gid_t *ret_gid);

/* Starts it on a configuration file. It ends when the caller's thread does, however that ends. 0 or -errno.
 */
int dnsmasq_start(const char *conf_path, struct dnsmasq *ret);
/* Makes its DHCP socket send without UDP checksums; 0, -ENOENT if it has no such socket (yet), or -errno. */
int dnsmasq_set_no_checksum(const struct dnsmasq *d);
void dnsmasq_reload(const struct dnsmasq *d);
/* Ends it and waits; also after it ended by itself. */
void dnsmasq_stop(struct dnsmasq *d);
