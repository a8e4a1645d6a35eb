/* SPDX-License-Identifier: BSD-2-Clause */
/* Other firewalls of the host. What a table accepts another can still drop, so that a network may be in order
 * and its guests cut off. Looked for are base chains that drop what they do not accept, where guests' packets
 * pass: by their policy, or by a rule that takes everything.
 *
 *   Docker, firewalld   have a place for others' rules: a step each (step_firewall.c)
 *   any other           has an owner with tools of his own: what drops, and what to add by which tool, is
 * said in a note, until there is a rule there that accepts something from the bridge
 *
 * Rules are looked at as libnftables writes them in JSON, those of iptables-nft among them; iptables-legacy
 * has a world of its own, and is asked by its own program where the kernel says that it has rules. */
#include <stdio.h>
#include <strings.h>

#include "plan.h"

#define FIREWALLD_TABLE "firewalld"
#define ZONE_FALLBACK   "trusted" /* every firewalld has it */

static const char *text_of(const json_t *chain, const char *key)
{
	const char *text = json_string_value(json_object_get(chain, key));

	return text ? text : "";
}

static bool is_of_table(const json_t *o, const char *family, const char *table)
{
	return strcmp(text_of(o, "family"), family) == 0 && strcmp(text_of(o, "table"), table) == 0;
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

/* ------------------------------------------------------------------ single rules */

/* Whether it is for what comes in, or goes out, by an interface. */
static bool rule_has_dev(const json_t *rule, const char *dev)
{
	const json_t *e;
	size_t i;

	json_array_foreach(json_object_get(rule, "expr"), i, e)
	{
		const json_t *match = json_object_get(e, "match");
		const json_t *meta = json_object_get(json_object_get(match, "left"), "meta");
		const char *key = text_of(meta, "key");

		if ((strcmp(key, "iifname") == 0 || strcmp(key, "oifname") == 0) &&
			strcmp(text_of(match, "op"), "==") == 0 && strcmp(text_of(match, "right"), dev) == 0)
			return true;
	}
	return false;
}

static bool rule_accepts(const json_t *rule)
{
	const json_t *e;
	size_t i;

	json_array_foreach(json_object_get(rule, "expr"), i, e)
	{
		if (json_object_get(e, "accept") || json_object_get(e, "jump") || json_object_get(e, "goto"))
			return true;
	}
	return false;
}

/* Whether it drops or rejects whatever reaches it: there is nothing that it compares. */
static bool rule_drops_all(const json_t *rule)
{
	bool drops = false;
	const json_t *e;
	size_t i;

	json_array_foreach(json_object_get(rule, "expr"), i, e)
	{
		const json_t *xt = json_object_get(e, "xt"); /* an extension of iptables */
		const char *name = text_of(xt, "name");

		if (json_object_get(e, "drop") || json_object_get(e, "reject") ||
			(strcmp(text_of(xt, "type"), "target") == 0 && strcmp(name, "REJECT") == 0))
			drops = true;
		else if (!json_object_get(e, "counter") && !json_object_get(e, "log") &&
			 strcmp(name, "comment") != 0 && strcmp(name, "LOG") != 0)
			return false;
	}
	return drops;
}

/* ------------------------------------------------------------------ firewalld */

/* Its table, or with its older back end, its chains among those of iptables. */
static bool is_firewalld(const json_t *chain_or_rule, const char *chain_key)
{
	return strcmp(text_of(chain_or_rule, "table"), FIREWALLD_TABLE) == 0 ||
	       strcmp(text_of(chain_or_rule, chain_key), "INPUT_ZONES") == 0;
}

/* Also that of iptables where its chains are: they end in a rule that rejects everything, too. */
static bool is_table_of_firewalld(const json_t *items, const json_t *chain)
{
	return strcmp(text_of(chain, "table"), FIREWALLD_TABLE) == 0 ||
	       (strcmp(text_of(chain, "table"), "filter") == 0 &&
		       has_chain(items, text_of(chain, "family"), "INPUT_ZONES"));
}

static int look_for_firewalld(const json_t *items, const char *dev)
{
	int found = -ENOENT;
	const json_t *item;
	size_t i;

	json_array_foreach(items, i, item)
	{
		const json_t *rule = json_object_get(item, "rule");

		if (is_firewalld(json_object_get(item, "chain"), "name"))
			found = MAX(found, 0);
		if (rule && is_firewalld(rule, "chain") && rule_has_dev(rule, dev))
			found = 1;
	}
	return found;
}

/* Of all tables but networks' own. Something that is no JSON ends it, and is not there. */
static int load_rules(struct host *h, json_t **ret)
{
	_cleanup_free_ char *text = NULL;
	int r = h->ops->ruleset(h, NETWORK_TABLE_PREFIX, &text);
	json_error_t end;
	json_t *o;

	*ret = r < 0 ? NULL : json_array();
	for (const char *p = text; r == 0 && (o = json_loads(p, JSON_DISABLE_EOF_CHECK, &end));
		p += end.position) {
		if (json_array_extend(*ret, json_object_get(o, "nftables")) < 0)
			end.position = 0;
		json_decref(o);
		if (end.position <= 0)
			break;
	}
	return r;
}

int firewalld_has_dev(struct host *h, const char *dev)
{
	json_t *rules;
	int r = load_rules(h, &rules);

	if (r == 0)
		r = look_for_firewalld(rules, dev);
	json_decref(rules);
	return r;
}

/* ------------------------------------------------------------------ what is there */

static bool has_step(
	const struct network *n, const struct step_kind *kind, const char *key, const char *value)
{
	for (unsigned int i = 0; i < n->n_steps; i++)
		if (n->steps[i].kind == kind && strcmp(step_text(&n->steps[i], key), value) == 0)
			return true;
	return false;
}

/* Before the supervisor, so that it is undone after it: that one would put back what goes. */
static int add_step(
	struct network *n, const struct step_kind *kind, const char *key, const char *value, bool *ret_added)
{
	struct step last;
	int r;

	if (has_step(n, kind, key, value))
		return 0;
	r = network_add_step(n, kind, json_pack("{ssss}", key, value, "dev", n->conf.bridge));
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

/* A zone for guests, if there is one: ours, or that of NetworkManager's shared connections, which lets them
 * to DHCP and DNS of the host and out. */
static const char *choose_zone(const char *zones)
{
	static const char *const names[] = {"vmlan", "nm-shared"};

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		const char *p = strstr(zones, names[i]);

		if (p && (p == zones || p[-1] == ' ') && strcspn(p, " \n") == strlen(names[i]))
			return names[i];
	}
	return ZONE_FALLBACK;
}

/* An interface that is in a zone already is its owner's choice. */
static int look_at_firewalld(struct host *h, struct network *n, const json_t *items, bool *ret_added)
{
	char program[] = "firewall-cmd", verb[] = "--get-zones", *argv[] = {program, verb, NULL};
	const char *zone = NULL;
	int r;

	for (unsigned int i = 0; i < n->n_steps; i++)
		if (n->steps[i].kind == &step_firewalld)
			zone = step_text(&n->steps[i], "zone");
	if (!zone && look_for_firewalld(items, n->conf.bridge) == 0) {
		r = h->ops->run(h, argv);
		if (r != 0)
			return network_add_note(n,
				"there are rules of firewalld, which does not answer (%.80s); if guests "
				"are cut off: firewall-cmd --zone=" ZONE_FALLBACK " --add-interface=%s",
				r > 0 && h->error[0] ? h->error : "firewall-cmd cannot be run",
				n->conf.bridge);
		zone = choose_zone(h->error);
		r = add_step(n, &step_firewalld, "zone", zone, ret_added);
		if (r < 0)
			return r;
	}
	if (zone && strcmp(zone, ZONE_FALLBACK) == 0)
		return network_add_note(n,
			"in firewalld's zone " ZONE_FALLBACK " guests reach all services of this host; with "
			"vmlan's own zone (firewalld/vmlan.xml), DHCP, DNS and ping alone");
	return 0;
}

/* Whether a rule that accepts something of the bridge stands in the chain, or in that of ufw's for its hook.
 */
static bool has_help(const json_t *items, const json_t *chain, const char *dev)
{
	const char *hook = text_of(chain, "hook");
	const json_t *item;
	char of_ufw[2][32];
	size_t i;

	(void)snprintf(of_ufw[0], sizeof(of_ufw[0]), "ufw-user-%.10s", hook);
	(void)snprintf(of_ufw[1], sizeof(of_ufw[1]), "ufw6-user-%.10s", hook);
	json_array_foreach(items, i, item)
	{
		const json_t *rule = json_object_get(item, "rule");
		const char *name = text_of(rule, "chain");

		if (rule && is_of_table(rule, text_of(chain, "family"), text_of(chain, "table")) &&
			(strcmp(name, text_of(chain, "name")) == 0 || strcmp(name, of_ufw[0]) == 0 ||
				strcmp(name, of_ufw[1]) == 0) &&
			rule_has_dev(rule, dev) && rule_accepts(rule))
			return true;
	}
	return false;
}

/* Of our servers. */
static const char *ports_of(const struct network *n)
{
	return n->conf.tftp[0] ? "53,67,69,547" : "53,67,547";
}

static int note_ufw(struct network *n, const char *hook)
{
	const char *dev = n->conf.bridge;
	bool tftp = n->conf.tftp[0];

	if (strcmp(hook, "forward") == 0)
		return network_add_note(n,
			"ufw drops guests' packets; to let them: ufw route allow in on %s; ufw route allow "
			"out "
			"on %s",
			dev, dev); /* what comes in is ours to choose */
	if (strcmp(hook, "output") == 0)
		return network_add_note(
			n, "ufw drops what guests are answered; to let them: ufw allow out on %s", dev);
	return network_add_note(n,
		"ufw drops guests' DHCP and DNS; to let them: ufw allow in on %s to any port 67 proto udp; "
		"ufw allow in on %s to any port 547 proto udp; ufw allow in on %s to any port 53%s%s%s",
		dev, dev, dev, tftp ? "; ufw allow in on " : "", tftp ? dev : "",
		tftp ? " to any port 69 proto udp" : "");
}

static int note_iptables(struct network *n, const char *hook, const char *iptables)
{
	const char *dev = n->conf.bridge;

	if (strcmp(hook, "forward") == 0)
		return network_add_note(n,
			"%s drops guests' packets in FORWARD; to let them: %s -I FORWARD -i %s -j ACCEPT; "
			"%s -I FORWARD -o %s -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT",
			iptables, iptables, dev, iptables, dev);
	if (strcmp(hook, "output") == 0)
		return network_add_note(n,
			"%s drops what guests are answered, in OUTPUT; to let them: %s -I OUTPUT -o %s -j "
			"ACCEPT",
			iptables, iptables, dev);
	return network_add_note(n,
		"%s drops guests' DHCP and DNS in INPUT; to let them: %s -I INPUT -i %s -p udp -m "
		"multiport --dports %s -j ACCEPT",
		iptables, iptables, dev, ports_of(n));
}

static int note_nft(struct network *n, const json_t *chain)
{
	const char *hook = text_of(chain, "hook"), *dev = n->conf.bridge, *family = text_of(chain, "family"),
		   *table = text_of(chain, "table"), *name = text_of(chain, "name");

	if (strcmp(hook, "forward") == 0)
		return network_add_note(n,
			"the chain %s of the table %s %s drops guests' packets; to let them: nft insert rule "
			"%s %s %s iifname %s accept; nft insert rule %s %s %s oifname %s ct state "
			"established,related accept; nft insert rule %s %s %s oifname %s ct status dnat "
			"accept",
			name, family, table, family, table, name, dev, family, table, name, dev, family,
			table, name, dev);
	if (strcmp(hook, "output") == 0)
		return network_add_note(n,
			"the chain %s of the table %s %s drops what guests are answered; to let them: nft "
			"insert rule %s %s %s oifname %s accept",
			name, family, table, family, table, name, dev);
	return network_add_note(n,
		"the chain %s of the table %s %s drops guests' DHCP and DNS; to let them: nft insert "
		"rule %s %s %s iifname %s udp dport '{ %s }' accept",
		name, family, table, family, table, name, dev, ports_of(n));
}

/* What a person can do about a chain that drops. */
static int note_chain(struct network *n, const json_t *items, const json_t *chain)
{
	const char *family = text_of(chain, "family"), *name = text_of(chain, "name"),
		   *hook = text_of(chain, "hook");

	if (has_help(items, chain, n->conf.bridge))
		return 0;
	if (has_chain(items, family, "ufw-user-forward") || has_chain(items, family, "ufw6-user-forward"))
		return note_ufw(n, hook);
	if (strcmp(text_of(chain, "table"), "filter") == 0 && strcasecmp(name, hook) == 0)
		return note_iptables(n, hook, strcmp(family, "ip6") == 0 ? "ip6tables" : "iptables");
	return note_nft(n, chain);
}

static bool drops(const json_t *items, const json_t *chain)
{
	const char *hook = text_of(chain, "hook"), *family = text_of(chain, "family");
	const json_t *item;
	size_t i;

	if ((strcmp(hook, "forward") != 0 && strcmp(hook, "input") != 0 && strcmp(hook, "output") != 0) ||
		(strcmp(family, "ip") != 0 && strcmp(family, "ip6") != 0 && strcmp(family, "inet") != 0))
		return false;
	if (strcmp(text_of(chain, "policy"), "drop") == 0)
		return true;
	json_array_foreach(items, i, item)
	{
		const json_t *rule = json_object_get(item, "rule");

		if (rule && is_of_table(rule, family, text_of(chain, "table")) &&
			strcmp(text_of(rule, "chain"), text_of(chain, "name")) == 0 && rule_drops_all(rule))
			return true;
	}
	return false;
}

static int look_at_chain(struct network *n, const json_t *items, const json_t *chain, bool *ret_added)
{
	const char *family = text_of(chain, "family");
	bool is_ip6 = strcmp(family, "ip6") == 0;

	if (!drops(items, chain) || (n->conf.no_ipv6 && is_ip6))
		return 0;
	if (strcmp(text_of(chain, "hook"), "forward") == 0 && has_chain(items, family, "DOCKER-USER"))
		return add_step(
			n, &step_docker, "command", is_ip6 ? "ip6tables-nft" : "iptables-nft", ret_added);
	return note_chain(n, items, chain);
}

/* The beginning of what `iptables-legacy -S CHAIN` says, in h->error; its exit status, or -errno. */
static int list_legacy(struct host *h, const char *command, const char *chain)
{
	char program[32], verb[] = "-S", name[32], *argv[] = {program, verb, name, NULL};

	(void)snprintf(program, sizeof(program), "%s", command);
	(void)snprintf(name, sizeof(name), "%s", chain);
	return h->ops->run(h, argv);
}

static int look_at_legacy(struct host *h, struct network *n, bool is_ip6, bool *ret_added)
{
	static const char *const hooks[][2] = {
		{"FORWARD", "forward"}, {"INPUT", "input"}, {"OUTPUT", "output"}};
	const char *command = is_ip6 ? "ip6tables-legacy" : "iptables-legacy";
	_cleanup_free_ char *tables = NULL;
	int r = h->ops->file_read(
		h, is_ip6 ? "/proc/net/ip6_tables_names" : "/proc/net/ip_tables_names", &tables);

	if (r < 0 || !strstr(tables, "filter"))
		return 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(hooks); i++) {
		char drop[32], here[32];

		(void)snprintf(drop, sizeof(drop), "-P %s DROP", hooks[i][0]);
		(void)snprintf(here, sizeof(here), " %s ", n->conf.bridge);
		if (list_legacy(h, command, hooks[i][0]) != 0)
			return network_add_note(
				n, "there are rules of %s, which cannot be looked at", command);
		if (!strstr(h->error, drop) || strstr(h->error, here))
			continue;
		if (i == 0 && list_legacy(h, command, "DOCKER-USER") == 0)
			r = add_step(n, &step_docker, "command", command, ret_added);
		else
			r = note_iptables(n, hooks[i][1], command);
		if (r < 0)
			return r;
	}
	return 0;
}

static int look_at_rest(struct host *h, struct network *n, const json_t *items, bool *ret_added)
{
	char value[HOST_SYSCTL_BYTES];
	int r = look_at_firewalld(h, n, items, ret_added);

	if (r == 0)
		r = look_at_legacy(h, n, false, ret_added);
	if (r == 0 && !n->conf.no_ipv6)
		r = look_at_legacy(h, n, true, ret_added);
	if (r == 0 && h->ops->sysctl_get(h, "net/bridge/bridge-nf-call-iptables", value) == 0 &&
		value[0] == '1')
		r = network_add_note(n,
			"net.bridge.bridge-nf-call-iptables is 1: the host's rules see frames between guests "
			"too, and a guest cannot reach itself by a forward; if nothing needs it: sysctl "
			"net.bridge.bridge-nf-call-iptables=0");
	h->error[0] = '\0';
	return r;
}

int firewall_plan(struct host *h, struct network *n, bool *ret_added, struct network_error *e)
{
	const json_t *item;
	json_t *items;
	bool has_firewalld;
	size_t i;
	int r = load_rules(h, &items);

	*ret_added = false;
	if (r < 0)
		return plan_fail(e, r, NULL, "cannot see what rules the host has: %s", strerror(-r));
	while (n->n_notes)
		free(n->notes[--n->n_notes]);
	has_firewalld = look_for_firewalld(items, n->conf.bridge) >= 0;
	json_array_foreach(items, i, item)
	{
		const json_t *chain = json_object_get(item, "chain");

		if (r == 0 && chain && !(has_firewalld && is_table_of_firewalld(items, chain)))
			r = look_at_chain(n, items, chain, ret_added);
	}
	if (r == 0)
		r = look_at_rest(h, n, items, ret_added);
	json_decref(items);
	return r < 0 ? plan_fail(e, r, NULL, "no memory") : 0;
}
