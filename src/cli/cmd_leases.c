/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan leases: who has which address. dnsmasq's lease file has a line a lease: when it ends, MAC (or IAID),
 * address, name, client identifier; "duid" and its own identifier stand between those of IPv4 and IPv6. */
#include <stdio.h>
#include <time.h>

#include "net_cmd.h"

struct leases_options {
	bool json;
};

static const struct cli_option options[] = {
	{"json", 0, NULL, "for programs", .flag = offsetof(struct leases_options, json)},
};

/* A name comes from a guest: dnsmasq lets nothing through that is no host name, and neither do we. */
static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f)
			*text = '?';
}

static void show(char *line, json_t *list)
{
	char mac[64], addr[64], name[256], when[32] = "never";
	long long end;
	time_t t;
	struct tm tm;

	if (sscanf(line, "%lld %63s %63s %255s", &end, mac, addr, name) != 4)
		return;
	clean(mac);
	clean(addr);
	clean(name);
	if (list) {
		(void)json_array_append_new(
			list, json_pack("{sIssssss*}", "ends", (json_int_t)end, "id", mac, "addr", addr,
				      "name", strcmp(name, "*") == 0 ? NULL : name));
		return;
	}
	t = (time_t)end;
	if (end && localtime_r(&t, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	(void)printf("%-18s %-27s %-20s %s\n", mac, addr, when, strcmp(name, "*") == 0 ? "" : name);
}

static int run(const struct cli_verb *v, int argc, char **argv)
{
	_cleanup_(cli_args_done) struct cli_args a = {0};
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	_cleanup_free_ char *text = NULL;
	struct leases_options o = {0};
	struct network_error e;
	struct network n;
	char path[HOST_PATH_BYTES], *next;
	int status = net_cmd_parse(v, argc, argv, &o, 1, 1, 0, &a), r;
	json_t *list;

	if (status >= 0 || !h)
		return h ? status : CLI_FAILED;
	r = network_load(h, a.words[0], &n, &e);
	if (r < 0)
		return net_cmd_error(v, a.words[0], &e, r);
	network_done(&n);
	(void)snprintf(path, sizeof(path), "%s/%s/leases", NETWORK_LIB_DIR, a.words[0]);
	r = h->ops->file_read(h, path, &text);
	if (r < 0) {
		(void)fprintf(stderr, "vmlan leases: cannot read %s: %s\n", path, strerror(-r));
		return CLI_FAILED;
	}
	list = o.json ? json_array() : NULL;
	if (!list)
		(void)printf("%-18s %-27s %-20s %s\n", "MAC", "ADDRESS", "UNTIL", "NAME");
	for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next))
		show(line, list);
	return list ? net_cmd_print_json(list) : net_cmd_finish();
}

const struct cli_verb cli_verb_leases = {
	.name = "leases",
	.synopsis = "[OPTION]... NETWORK",
	.summary = "list who has which address of a network",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.run = run,
};
