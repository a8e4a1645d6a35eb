/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan show: all of a network: its options, its steps and their state, its rules, ports and leases. */
#include <stdio.h>

#include "net_cmd.h"
#include "net_file.h"
#include "net_show.h"
#include "step.h"

struct show_options {
	bool json, file;
};

static const struct cli_option options[] = {
	{"file", 0, NULL, "its options as a file for /etc/vmlan",
		.flag = offsetof(struct show_options, file)},
	{"json", 0, NULL, "for programs", .flag = offsetof(struct show_options, json)},
};

static int add_option(void *ctx, const char *key, const char *value)
{
	return json_array_append_new(ctx, json_pack("{ssss}", "key", key, "value", value)) < 0 ? -ENOMEM : 0;
}

static const char *rules_of(const struct network *n)
{
	for (unsigned int i = 0; i < n->n_steps; i++)
		if (n->steps[i].kind == &step_table)
			return step_text(&n->steps[i], "rules");
	return "";
}

static int show_json(struct host *h, const struct network *n, const char *ports)
{
	json_t *keys = json_array(), *steps = json_array(), *names = json_array(), *leases = json_array();

	(void)net_conf_each(&n->conf, add_option, keys);
	(void)net_show_steps(h, n, steps);
	(void)net_show_leases(h, n->conf.name, leases);
	for (const char *p = ports; *p; p += strlen(p) + 1)
		(void)json_array_append_new(names, json_string(p));
	return net_cmd_print_json(json_pack("{sssssosososssoso}", "name", n->conf.name, "phase",
		network_phase_names[n->phase], "options", keys, "steps", steps, "notes", net_show_notes(n),
		"rules", rules_of(n), "ports", names, "leases", leases));
}

/* Rules as they are on record, indented by what encloses them. */
static void print_rules(const char *rules)
{
	for (const char *p = rules; *p;) {
		size_t n = strcspn(p, "\n");
		bool is_chain = strncmp(p, "chain ", 6) == 0 || *p == '}';

		(void)printf("  %s%.*s\n", is_chain ? "" : "  ", (int)n, p);
		p += n + (p[n] == '\n');
	}
}

static int show_text(struct host *h, const struct network *n, const char *ports, const char *file)
{
	(void)printf("%s: %s\n\n%s\nSteps:\n", n->conf.name, network_phase_names[n->phase], file);
	(void)net_show_steps(h, n, NULL);
	(void)printf("\nRules of the nftables table inet %s%s:\n", NETWORK_TABLE_PREFIX, n->conf.name);
	print_rules(rules_of(n));
	(void)printf("\nPorts of the bridge %s:%s\n", n->conf.bridge, *ports ? "" : " none");
	for (const char *p = ports; *p; p += strlen(p) + 1)
		(void)printf("  %s\n", p);
	(void)printf("\nLeases:\n");
	(void)net_show_leases(h, n->conf.name, NULL);
	return net_cmd_finish();
}

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	_cleanup_free_ char *ports = NULL, *file = NULL;
	struct show_options o = {0};
	struct network_error e;
	struct network n;
	int status = net_cmd_parse(v, argc, argv, &o, 1, 1, 0, &a), r;

	if (status >= 0 || !h)
		return h ? status : CLI_FAILED;
	r = network_load(h, a.words[0], &n, &e);
	if (r < 0)
		return net_cmd_error(v, a.words[0], &e, r);
	file = net_file_emit(&n.conf);
	if (network_ports(h, &n, &ports) < 0)
		ports = calloc(1, 1);
	if (!file || !ports)
		status = CLI_FAILED;
	else if (o.file)
		status = fputs(file, stdout) < 0 ? CLI_FAILED : net_cmd_finish();
	else {
		r = network_look(h, &n, &e);
		if (r < 0)
			status = net_cmd_error(v, a.words[0], &e, r);
		else
			status = o.json ? show_json(h, &n, ports) : show_text(h, &n, ports, file);
	}
	network_done(&n);
	return status;
}

const struct cli_verb cli_verb_show = {
	.name = "show",
	.synopsis = "[OPTION]... NETWORK",
	.summary = "print all of a network: options, steps, rules, ports, leases",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run,
};
