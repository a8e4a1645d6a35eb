/* SPDX-License-Identifier: BSD-2-Clause */
/* Options of a kernel network, KEY=VALUE a line. An error must point into the value; what passes the check
 * must be written and read back to the same, and lie within its network. */
#include <stdio.h>

#include "net_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static int set_again(void *ctx, const char *key, const char *value)
{
	struct conf_error e;

	require(net_conf_set(ctx, key, value, &e));
	return 0;
}

static void set_lines(struct net_conf *c, char *text)
{
	char *next;

	for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		char *value = strchr(line, '=');
		struct conf_error e = {0};

		if (!value)
			continue;
		*value++ = '\0';
		if (!net_conf_set(c, line, value, &e) && net_conf_has_key(line))
			require(e.text[0] && e.at <= strlen(value) && e.n_bytes <= strlen(value) - e.at);
	}
}

static void check_same(const struct net_conf *a, const struct net_conf *b)
{
	char x[NET_VALUE_BYTES], y[NET_VALUE_BYTES];

	require(a->net_be == b->net_be && a->mask_be == b->mask_be && a->host_be == b->host_be &&
		a->mtu == b->mtu && a->n_forwards == b->n_forwards && a->n_reserves == b->n_reserves);
	for (unsigned int i = 0; i < a->n_forwards; i++) {
		net_forward_emit(&a->forwards[i], x);
		net_forward_emit(&b->forwards[i], y);
		require(strcmp(x, y) == 0);
	}
	for (unsigned int i = 0; i < a->n_reserves; i++)
		require(memcmp(&a->reserves[i], &b->reserves[i], sizeof(a->reserves[i])) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	_cleanup_free_ char *text = strndup((const char *)data, n_bytes);
	struct net_conf c, again;
	struct conf_error e = {0};

	if (!text)
		return 0;
	require(net_conf_init("lab", &c, &e) && net_conf_init("lab", &again, &e));
	set_lines(&c, text);
	if (c.net_be) {
		if (net_conf_check(&c, &e)) {
			require((c.host_be & c.mask_be) == c.net_be &&
				(c.dhcp_start_be & c.mask_be) == c.net_be &&
				ntohl(c.dhcp_start_be) <= ntohl(c.dhcp_end_be));
			require(net_conf_each(&c, set_again, &again) == 0);
			check_same(&c, &again);
		} else {
			require(e.option && e.text[0]);
		}
	}
	net_conf_done(&c);
	net_conf_done(&again);
	return 0;
}
