/* SPDX-License-Identifier: BSD-2-Clause */
/* Other firewalls of the host. What a table accepts another can still drop, so that a network may be in order
 * and its guests cut off. Looked for are base chains that drop what they do not accept, where guests' packets
 * pass.
 *
 *   Docker      makes FORWARD drop, and a chain DOCKER-USER for others' rules: ours go there, by the same
 * iptables that made the chain, since a rule that is written by nft would make it unreadable for iptables.
 *   any other   has an owner with tools of his own: what to add, and by which tool, is said in a note.
 *
 * Rules bear the network's mark as a comment, are looked for before they are added, and removed one by one.
 */
#include <stdio.h>

#include "plan.h"

#define IPTABLES_ARGS 24

/* ------------------------------------------------------------------ the step: rules in DOCKER-USER */

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

/* ------------------------------------------------------------------ what is there */

static const char *text_of(const json_t *chain, const char *key)
{
	const char *text = json_string_value(json_object_get(chain, key));

	return text ? text : "";
}

static bool has_chain(const json_t *items, const char *family, const char *name)
{
	const json_t *item;
	size_t i;

	json_array_foreach(items, i, item)
	{
		const json_t *chain = json_object_get(item, "chain");

		if (chain && strcmp(text_of(chain, "family"), family) == 0 &&
			strcmp(text_of(chain, "name"), name) == 0)
			return true;
	}
	return false;
}

static bool has_table(const json_t *items, const char *name)
{
	const json_t *item;
	size_t i;

	json_array_foreach(items, i, item)
	{
		const json_t *table = json_object_get(item, "table");

		if (table && strcmp(text_of(table, "name"), name) == 0)
			return true;
	}
	return false;
}

static bool has_docker_step(const struct network *n, const char *command)
{
	for (unsigned int i = 0; i < n->n_steps; i++)
		if (n->steps[i].kind == &step_docker &&
			strcmp(step_text(&n->steps[i], "command"), command) == 0)
			return true;
	return false;
}

/* Before the supervisor, so that it is undone after it: that one would put back what goes. */
static int add_docker(struct network *n, const char *command, bool *ret_added)
{
	struct step last;
	int r;

	if (has_docker_step(n, command))
		return 0;
	r = network_add_step(n, &step_docker, json_pack("{ssss}", "command", command, "dev", n->conf.bridge));
	if (r < 0)
		return r;
	*ret_added = true;
	last = n->steps[n->n_steps - 1];
	for (unsigned int i = n->n_steps - 1; i > 0 && n->steps[i - 1].kind == &step_supervisor; i--) {
		n->steps[i] = n->steps[i - 1];
		n->steps[i - 1] = last;
	}
	return 0;
}

/* What a person can do about a chain that drops. */
static int note_chain(struct network *n, const json_t *items, const json_t *chain)
{
	const char *family = text_of(chain, "family"), *table = text_of(chain, "table"),
		   *name = text_of(chain, "name");
	const char *dev = n->conf.bridge, *iptables = strcmp(family, "ip6") == 0 ? "ip6tables" : "iptables";
	bool is_input = strcmp(text_of(chain, "hook"), "input") == 0;
	bool is_iptables =
		strcmp(table, "filter") == 0 && (strcmp(name, "FORWARD") == 0 || strcmp(name, "INPUT") == 0);

	bool is_ufw =
		has_chain(items, family, "ufw-user-forward") || has_chain(items, family, "ufw6-user-forward");

	if (is_ufw && is_input)
		return network_add_note(n,
			"ufw drops guests' DHCP and DNS; to let them: ufw allow in on %s to any port 67 "
			"proto udp; "
			"ufw allow in on %s to any port 53",
			dev, dev);
	if (is_ufw)
		return network_add_note(
			n, "ufw drops guests' packets; to let them: ufw route allow in on %s", dev);
	if (is_iptables && is_input)
		return network_add_note(n,
			"%s drops guests' DHCP and DNS in INPUT; to let them: %s -I INPUT -i %s -p udp -m "
			"multiport --dports 53,67,547 -j ACCEPT",
			iptables, iptables, dev);
	if (is_iptables)
		return network_add_note(n,
			"%s drops guests' packets in FORWARD; to let them: %s -I FORWARD -i %s -j ACCEPT; "
			"%s -I FORWARD -o %s -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT",
			iptables, iptables, dev, iptables, dev);
	if (is_input)
		return network_add_note(n,
			"the chain %s of the table %s %s drops guests' DHCP and DNS; to let them: nft insert "
			"rule %s %s %s iifname %s udp dport '{ 53, 67, 547 }' accept",
			name, family, table, family, table, name, dev);
	return network_add_note(n,
		"the chain %s of the table %s %s drops guests' packets; to let them: nft insert rule %s %s "
		"%s iifname %s accept; nft insert rule %s %s %s oifname %s ct state established,related "
		"accept",
		name, family, table, family, table, name, dev, family, table, name, dev);
}

static bool drops(const json_t *chain)
{
	const char *hook = text_of(chain, "hook"), *family = text_of(chain, "family");

	return (strcmp(hook, "forward") == 0 || strcmp(hook, "input") == 0) &&
	       strcmp(text_of(chain, "policy"), "drop") == 0 &&
	       (strcmp(family, "ip") == 0 || strcmp(family, "ip6") == 0 || strcmp(family, "inet") == 0) &&
	       strncmp(text_of(chain, "table"), NETWORK_TABLE_PREFIX, strlen(NETWORK_TABLE_PREFIX)) != 0;
}

static int look_at_chain(struct network *n, const json_t *items, const json_t *chain, bool *ret_added)
{
	const char *family = text_of(chain, "family");
	bool is_docker =
		strcmp(text_of(chain, "hook"), "forward") == 0 && has_chain(items, family, "DOCKER-USER");

	if (!drops(chain) || (n->conf.no_ipv6 && strcmp(family, "ip6") == 0))
		return 0;
	if (is_docker)
		return add_docker(
			n, strcmp(family, "ip6") == 0 ? "ip6tables-nft" : "iptables-nft", ret_added);
	return note_chain(n, items, chain);
}

static int look_at_rest(struct host *h, struct network *n, const json_t *items)
{
	char value[HOST_SYSCTL_BYTES];
	_cleanup_free_ char *legacy = NULL;
	int r = 0;

	if (has_table(items, "firewalld"))
		r = network_add_note(n,
			"firewalld is there; if guests are cut off: firewall-cmd --zone=trusted "
			"--add-interface=%s",
			n->conf.bridge);
	if (r == 0 && h->ops->file_read(h, "/proc/net/ip_tables_names", &legacy) == 0 &&
		strstr(legacy, "filter"))
		r = network_add_note(n,
			"there are rules of iptables-legacy, which cannot be looked at from here; if guests "
			"are "
			"cut off: iptables-legacy -I FORWARD -i %s -j ACCEPT",
			n->conf.bridge);
	if (r == 0 && h->ops->sysctl_get(h, "net/bridge/bridge-nf-call-iptables", value) == 0 &&
		value[0] == '1')
		r = network_add_note(n,
			"net.bridge.bridge-nf-call-iptables is 1: the host's rules see frames between guests "
			"too, and a guest cannot reach itself by a forward");
	return r;
}

int firewall_plan(struct host *h, struct network *n, bool *ret_added, struct network_error *e)
{
	_cleanup_free_ char *text = NULL;
	const json_t *items, *item;
	json_t *rules;
	size_t i;
	int r = h->ops->ruleset(h, &text);

	*ret_added = false;
	if (r < 0)
		return plan_fail(e, r, NULL, "cannot see what rules the host has: %s", strerror(-r));
	while (n->n_notes)
		free(n->notes[--n->n_notes]);
	rules = json_loads(text, 0, NULL);
	items = json_object_get(rules, "nftables");
	json_array_foreach(items, i, item)
	{
		if (r == 0 && json_object_get(item, "chain"))
			r = look_at_chain(n, items, json_object_get(item, "chain"), ret_added);
	}
	if (r == 0)
		r = look_at_rest(h, n, items);
	json_decref(rules);
	return r < 0 ? plan_fail(e, r, NULL, "no memory") : 0;
}
