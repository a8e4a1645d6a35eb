/* SPDX-License-Identifier: BSD-2-Clause */
/* What the planners of the modes share. */
#pragma once

#include <stdio.h>

#include "step.h"

/* Says it and returns r. option: the option it is about, or NULL. */
int plan_fail(struct network_error *e, int r, const char *option, const char *format, ...) _printf_(4, 5);

/* The steps of a nat network. n->conf: as given; what was left open is chosen. 0, or -errno and *e. */
int nat_plan(struct host *h, struct network *n, struct network_error *e);
/* The table's rules, and dnsmasq's configuration and hosts file; heap, NULL: no memory. */
char *nat_rules(const struct net_conf *c, uint16_t dns_port);
char *nat_dnsmasq_conf(const struct net_conf *c, uint16_t dns_port);
char *nat_hosts(const struct net_conf *c);
/* -EADDRINUSE and *e: a program of the host has a port that a forward would take from it. */
int nat_check_forward(struct host *h, const struct net_forward *f, struct network_error *e);
/* Makes rules and files anew from the configuration, in the steps that have them. */
int nat_replan(struct host *h, struct network *n, struct network_error *e);

/* subnet.c. 0; -EADDRINUSE and *e when it overlaps what the host has; or -errno. */
int subnet_check(struct host *h, const struct net_conf *c, struct network_error *e);
/* A free /24, into c; and a /64 of the host's own, if IPv6 is wanted and none was given. */
int subnet_choose(struct host *h, struct net_conf *c, struct network_error *e);
/* A number that is always the same for the same host, network and purpose. */
int subnet_stable(struct host *h, const char *network, const char *what, uint64_t *ret);

/* adopt.c: takes what the bridge that c names has; refuses what must not be adopted. 0, or -errno and *e. */
int adopt_look(struct host *h, struct net_conf *c, struct network_error *e);
/* Whether somebody has exactly that address's port (0: that of every address), by /proc/net/TABLE. */
bool plan_port_taken(struct host *h, const char *table, uint32_t addr_be, unsigned int port);

/* firewall.c: other firewalls of the host: steps and notes for what they drop. Steps that are there already
 * are not added again. ret_added: whether any was. */
int firewall_plan(struct host *h, struct network *n, bool *ret_added, struct network_error *e);
/* Whether systemd-resolved serves this host, and answers. */
bool resolved_is_there(struct host *h);
/* Whether firewalld's rules name an interface: 1, 0, -errno; -ENOENT: there are none of firewalld. */
int firewalld_has_dev(struct host *h, const char *dev);
