/* SPDX-License-Identifier: BSD-2-Clause */
/* A network's file, /etc/vmlan/NAME.net: its options, in the style of systemd.network(5).
 *
 *	[Network]
 *	net=192.168.150.0/24
 *	hostfwd=tcp::5022-:22
 *
 * The keys are those of net_conf.h, and so is what reads their values. One that is given again replaces the
 * value, or adds to it (hostfwd, reserve). Blank lines and those that begin with '#' or ';' say nothing. */
#pragma once

#include "net_conf.h"

#define NET_FILE_SECTION "[Network]"

struct net_file_error {
	unsigned int line;          /* from 1 on */
	char text[NET_VALUE_BYTES]; /* that line, as far as there is room */
	struct conf_error e;        /* its place is one in the line; its option the key, or NULL */
};

/* Sets what the text says. false: *e says why. */
bool net_file_parse(const char *text, struct net_conf *c, struct net_file_error *e);
/* The options that are not at their defaults, as a file; heap, NULL: no memory. */
char *net_file_emit(const struct net_conf *c);
