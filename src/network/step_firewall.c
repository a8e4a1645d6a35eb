/* SPDX-License-Identifier: BSD-2-Clause */
/* Steps in other firewalls, where their documents have a place for it (firewall.c says what is looked for).
 *
 *   Docker      two rules in its chain DOCKER-USER, by the same iptables that made the chain, since a rule
 * that is written by nft would make it unreadable for iptables. They bear the network's mark as a comment,
 * are looked for before they are added, and removed one by one. firewalld   the bridge in one of its zones,
 * until its next reload: nothing is written to its permanent configuration, and the supervisor puts the
 * bridge back. Whether it is there is seen in firewalld's rules, which takes a hundredth of the time that
 * firewall-cmd takes to say so. */
#include <stdio.h>

#include "plan.h"

#define IPTABLES_ARGS 24
/* What firewall-cmd exits with. */
#define FIREWALLD_ZONE_CONFLICT     16
#define FIREWALLD_UNKNOWN_INTERFACE 17
#define FIREWALLD_NOT_RUNNING       252

enum { RULE_OUT, RULE_IN, RULE_MAX };

/* iptables' arguments for one of the rules. verb: -C, -I or -D. */
static int run_iptables(struct step_ctx *c, const struct step *s, const char *verb, unsigned int rule)
{
	const char *dev = step_text(s, "dev"), *argv[IPTABLES_ARGS];
	unsigned int n = 0;

	argv[n++] = step_text(s, "command");
	argv[n++] = "-w";
	argv[n++] = verb;
	argv[n++] = "DOCKER-USER";
	argv[n++] = rule == RULE_OUT ? "-i" : "-o";
	argv[n++] = dev;
	if (rule == RULE_IN) {
		argv[n++] = "-m";
		argv[n++] = "conntrack";
		argv[n++] = "--ctstate";
		argv[n++] = "RELATED,ESTABLISHED,DNAT";
	}
	argv[n++] = "-m";
	argv[n++] = "comment";
	argv[n++] = "--comment";
	argv[n++] = c->mark;
	argv[n++] = "-j";
	argv[n++] = "ACCEPT";
	argv[n] = NULL;
	return c->host->ops->run(c->host, (char *const *)argv);
}

static void describe_docker(const struct step *s, char ret[STEP_TEXT_BYTES])
{
	(void)snprintf(ret, STEP_TEXT_BYTES, "rules for %s in Docker's chain DOCKER-USER (%s)",
		step_text(s, "dev"), step_text(s, "command"));
}

static int apply_docker(struct step_ctx *c, struct step *s)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < RULE_MAX; i++) {
		r = run_iptables(c, s, "-C", i);
		if (r > 0)
			r = run_iptables(c, s, "-I", i);
	}
	return step_failed(c, r > 0 ? -EIO : r, "cannot add to the chain DOCKER-USER");
}

static int check_docker(struct step_ctx *c, const struct step *s)
{
	for (unsigned int i = 0; i < RULE_MAX; i++) {
		int r = run_iptables(c, s, "-C", i);

		if (r != 0)
			(void)snprintf(c->why, sizeof(c->why), "they are gone");
		if (r != 0)
			return r < 0 ? r : STEP_MISSING;
	}
	return STEP_OK;
}

/* As many of them as there are: two reloads may have met. */
static int undo_docker(struct step_ctx *c, const struct step *s)
{
	for (unsigned int i = 0; i < RULE_MAX; i++)
		for (unsigned int k = 0; k < 8 && run_iptables(c, s, "-C", i) == 0; k++)
			if (run_iptables(c, s, "-D", i) != 0)
				return step_failed(
					c, -EIO, "cannot remove a rule from the chain DOCKER-USER");
	c->host->error[0] = '\0';
	return 0;
}

const struct step_kind step_docker = {
	.name = "docker",
	.describe = describe_docker,
	.apply = apply_docker,
	.check = check_docker,
	.undo = undo_docker,
	.watched = true,
};

static int run_firewall_cmd(struct step_ctx *c, const struct step *s, const char *verb)
{
	char zone[64], what[64], program[] = "firewall-cmd";
	char *argv[] = {program, zone, what, NULL};

	(void)snprintf(zone, sizeof(zone), "--zone=%s", step_text(s, "zone"));
	(void)snprintf(what, sizeof(what), "--%s-interface=%s", verb, step_text(s, "dev"));
	return c->host->ops->run(c->host, argv);
}

static void describe_firewalld(const struct step *s, char ret[STEP_TEXT_BYTES])
{
	(void)snprintf(
		ret, STEP_TEXT_BYTES, "%s in firewalld's zone %s", step_text(s, "dev"), step_text(s, "zone"));
}

static int apply_firewalld(struct step_ctx *c, struct step *s)
{
	int r = firewalld_has_dev(c->host, step_text(s, "dev"));

	if (r == 0)
		r = run_firewall_cmd(c, s, "change");
	else if (r == -ENOENT || r > 0)
		return 0;
	return step_failed(c, r > 0 ? -EAGAIN : r, "firewalld does not take %s into its zone %s",
		step_text(s, "dev"), step_text(s, "zone"));
}

/* Without firewalld nothing of it drops anything. */
static int check_firewalld(struct step_ctx *c, const struct step *s)
{
	int r = firewalld_has_dev(c->host, step_text(s, "dev"));

	if (r == 0)
		(void)snprintf(c->why, sizeof(c->why), "it is in no zone");
	return r == 0 ? STEP_MISSING : r < 0 && r != -ENOENT ? r : STEP_OK;
}

/* One that somebody moved to another zone stays there. */
static int undo_firewalld(struct step_ctx *c, const struct step *s)
{
	int r = firewalld_has_dev(c->host, step_text(s, "dev"));

	if (r > 0)
		r = run_firewall_cmd(c, s, "remove");
	if (r == -ENOENT || r == FIREWALLD_NOT_RUNNING || r == FIREWALLD_UNKNOWN_INTERFACE ||
		r == FIREWALLD_ZONE_CONFLICT)
		r = 0;
	if (r == 0)
		c->host->error[0] = '\0';
	return step_failed(c, r > 0 ? -EIO : r, "firewalld does not let %s go from its zone %s",
		step_text(s, "dev"), step_text(s, "zone"));
}

const struct step_kind step_firewalld = {
	.name = "firewalld",
	.describe = describe_firewalld,
	.apply = apply_firewalld,
	.check = check_firewalld,
	.undo = undo_firewalld,
	.watched = true,
};
