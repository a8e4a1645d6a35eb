/* SPDX-License-Identifier: BSD-2-Clause */
/* The parent's side of the guests' ports: what each is made from, and kept to make it again in a fresh
 * engine. */
#pragma once

#include <sys/stat.h>

#include "command.h"
#include "msg.h"
#include "user_conf.h"

struct guest {
	const struct user_port *conf;
	enum msg_port_kind kind;
	int fd;              /* listener, tap or given connection, kept for the next engine; -1: dialled */
	int pid_fd;          /* of a namespace that goes with a process, else -1 */
	struct stat made;    /* the socket file, or the namespace behind the path */
	bool closed;         /* for good */
	uint64_t dial_ms;    /* when to try next; 0: connected, or not dialled */
	uint64_t dialled_ms; /* when it was last answered */
	unsigned int delay_ms;
};

/* ret has conf->n_ports places. */
void guests_init(const struct user_conf *conf, struct guest *ret);
void guests_done(struct guest *g, unsigned int n);

/* Opens everything that conf's ports name. On failure says why and returns
 * false; what was opened is guests_done()'s to close. ret_command: the command of a bare netns. */
bool guests_open(const struct user_conf *conf, const struct rlimit *n_files, struct guest *ret,
	struct command *ret_command);

/* The MTU of the network's one link: as told, or 65520 if all guests are namespaces, or 1500. */
uint16_t guests_mtu(const struct user_conf *conf);

/* MSG_ADD_PORT for the guest; its fd stays the guest's. */
void guest_add_msg(const struct guest *g, unsigned int id, struct msg *ret);
/* No longer wanted: the engine has said that it is closed for good. */
void guest_close(struct guest *g);
/* The namespace has gone: its process, or the file that named it. */
bool guest_is_gone(const struct guest *g);

/* Dials if it is time: a connected descriptor, or -1. */
int guest_dial(struct guest *g, uint64_t now_ms);
/* The connection has ended, or was never there. One that did not last is not dialled again at once: the other
 * end may close it, or have us close it, each time. */
void guest_dial_again(struct guest *g, uint64_t now_ms);
