/* SPDX-License-Identifier: BSD-2-Clause */
/* The process of a network that is up: runs dnsmasq, and puts back what other firewalls' reloads took away.
 */
#pragma once

#include "host.h"

/* Serves until SIGTERM. ready_fd: gets "ready\n" when DHCP and DNS are served, or a line with what is wrong;
 * closed then. The exit status. */
int supervisor_run(struct host *h, const char *network, int ready_fd);
