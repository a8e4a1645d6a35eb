/* SPDX-License-Identifier: BSD-2-Clause */
/* dnsmasq's lease file has a line a lease: when it ends, MAC (or IAID), address, name, client identifier;
 * "duid" and its own identifier stand between those of IPv4 and IPv6. */
#include "net_show.h"

#include <stdio.h>
#include <time.h>

#include "step.h"

/* Whether it is in order. */
static bool show_step(struct host *h, const struct network *n, const struct step *s, json_t *list)
{
	struct step_ctx c = {.host = h, .network = n->conf.name, .mark = n->mark};
	char what[STEP_TEXT_BYTES];
	const char *state;
	int r;

	s->kind->describe(s, what);
	r = s->kind->check(&c, s);
	state = r < 0 ? "unknown" : step_state_names[r];
	if (r < 0 && !c.why[0])
		(void)snprintf(c.why, sizeof(c.why), "%s", strerror(-r));
	if (list)
		(void)json_array_append_new(list, json_pack("{ssssssss}", "kind", s->kind->name, "what", what,
							  "state", state, "why", c.why));
	else
		(void)printf("  %-9s%s%s%s\n", state, what, c.why[0] ? ": " : "", c.why);
	return r == STEP_OK;
}

bool net_show_steps(struct host *h, const struct network *n, json_t *list)
{
	bool good = true;

	for (unsigned int i = 0; i < n->n_steps; i++)
		good = show_step(h, n, &n->steps[i], list) && good;
	for (unsigned int i = 0; !list && i < n->n_notes; i++)
		(void)printf("  note     %s\n", n->notes[i]);
	return good;
}

json_t *net_show_notes(const struct network *n)
{
	json_t *notes = json_array();

	for (unsigned int i = 0; i < n->n_notes; i++)
		(void)json_array_append_new(notes, json_string(n->notes[i]));
	return notes;
}

/* A name comes from a guest: dnsmasq lets nothing through that is no host name, and neither do we. */
static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f)
			*text = '?';
}

static void show_lease(char *line, json_t *list)
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

void net_show_leases_path(const char *name, char ret[HOST_PATH_BYTES])
{
	(void)snprintf(ret, HOST_PATH_BYTES, "%s/%s/leases", NETWORK_LIB_DIR, name);
}

int net_show_leases(struct host *h, const char *name, json_t *list)
{
	_cleanup_free_ char *text = NULL;
	char path[HOST_PATH_BYTES], *next;
	int r;

	net_show_leases_path(name, path);
	r = h->ops->file_read(h, path, &text);
	if (r < 0)
		return r;
	if (!list)
		(void)printf("%-18s %-27s %-20s %s\n", "MAC", "ADDRESS", "UNTIL", "NAME");
	for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next))
		show_lease(line, list);
	return 0;
}
