/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of host_linux share. */
#pragma once

#include "host.h"
#include "netlink.h"

struct nft_ctx;

struct host_linux {
	struct host host;
	struct netlink nl;   /* opened at the first use */
	struct nft_ctx *nft; /* the same */
	int lock_fd;
	char lock_path[HOST_PATH_BYTES];
};

static inline struct host_linux *host_linux_of(struct host *h)
{
	return container_of(h, struct host_linux, host);
}

/* Leaves r alone, and says in h->error what failed. */
int host_failed(struct host *h, int r, const char *format, ...) _printf_(3, 4);

/* host_links.c */
int host_links_open(struct host_linux *l);
int host_link_find(struct host *h, const char *name, struct host_link *ret);
int host_link_list(struct host *h, struct host_link **ret, unsigned int *ret_n);
int host_bridge_add(struct host *h, const struct host_bridge *b);
int host_link_set_alias(struct host *h, unsigned int index, const char *alias);
int host_link_set_up(struct host *h, unsigned int index, bool up);
int host_link_del(struct host *h, unsigned int index);
int host_port_set_isolated(struct host *h, unsigned int index, bool isolated);
int host_addr_list(struct host *h, struct host_addr **ret, unsigned int *ret_n);
int host_addr_add(struct host *h, const struct host_addr *a);
int host_addr_del(struct host *h, const struct host_addr *a);
int host_route_list(struct host *h, struct host_route **ret, unsigned int *ret_n);

/* host_tables.c */
int host_table_find(struct host *h, const char *name, struct host_table *ret);
int host_table_put(struct host *h, const char *name, const char *mark, const char *rules);
int host_table_del(struct host *h, const char *name);
int host_table_check(struct host *h, const char *rules);
int host_ruleset(struct host *h, const char *but, char **ret);
void host_tables_done(struct host_linux *l);

/* host_conntrack.c */
int host_dnat_end(struct host *h, const struct host_dnat *d);

/* host_files.c */
int host_sysctl_get(struct host *h, const char *path, char ret[HOST_SYSCTL_BYTES]);
int host_sysctl_set(struct host *h, const char *path, const char *value);
int host_device_probe(struct host *h, const char *path);
int host_file_read(struct host *h, const char *path, char **ret);
int host_file_write(struct host *h, const char *path, const char *text);
int host_file_del(struct host *h, const char *path);
int host_dir_add(struct host *h, const char *path);
int host_dir_del(struct host *h, const char *path);
int host_dir_list(struct host *h, const char *path, char **ret);
int host_lock_take(struct host *h, const char *path, bool wait);
void host_lock_release(struct host *h);

/* host_process.c */
int host_supervisor_start(struct host *h, const char *network, const char *lock_path);
int host_supervisor_find(struct host *h, const char *lock_path, pid_t *ret);
int host_supervisor_stop(struct host *h, const char *lock_path);
int host_supervisor_reload(struct host *h, const char *lock_path);
int host_run(struct host *h, char *const argv[]);
/* The same, but -ETIMEDOUT (it is killed) when it has not ended in so long. */
int host_run_within(struct host *h, char *const argv[], unsigned int timeout_ms);
