/* SPDX-License-Identifier: BSD-2-Clause */
/* A value of an option; the first byte chooses which. An error must point into the value, and what passes
 * the check must be a network that can work. */
#include <arpa/inet.h>

#include "user_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static bool parse(uint8_t kind, const char *text, struct user_conf *c, struct conf_error *e)
{
	char name[USER_NAME_BYTES];
	struct user_forward f, key;
	struct user_port p;

	switch (kind % 6) {
	case 0:
		if (!user_conf_parse_hostfwd(text, kind & 0x80, &f, e)) {
			(void)user_conf_parse_hostfwd_key(text, kind & 0x80, &key);
			return false;
		}
		/* What says which it is, of a rule that is one, says the same by itself. */
		require(user_conf_parse_hostfwd_key(text, kind & 0x80, &key) == (f.host_port != 0));
		require(f.host_port == 0 || (key.proto == f.proto && key.host_be == f.host_be && key.host_port == f.host_port));
		require(f.guest_port > 0 && (f.proto == IPPROTO_TCP || f.proto == IPPROTO_UDP));
		return user_conf_add_forward(c, &f) == 0;
	case 1:
		return user_conf_parse_net(text, c, e);
	case 2:
		if (!user_conf_parse_port(text, &p, e))
			return false;
		require(p.kind < USER_PORT_KIND_MAX && strnlen(p.path, sizeof(p.path)) < sizeof(p.path));
		require(strnlen(p.ifname, sizeof(p.ifname)) < sizeof(p.ifname));
		require((p.kind == USER_PORT_FD) == (p.fd >= 0));
		return user_conf_add_port(c, &p) == 0;
	case 3:
		if (!user_conf_parse_name(text, name, e))
			return false;
		require(strnlen(name, sizeof(name)) < sizeof(name));
		return !user_conf_parse_domain(text, name, e) || user_conf_add_search(c, name) == 0;
	case 4:
		return user_conf_parse_addr(text, &c->host_be, e);
	default:
		return user_conf_parse_mtu(text, &c->mtu, e);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	_cleanup_free_ char *text = n_bytes ? strndup((const char *)data + 1, n_bytes - 1) : NULL;
	struct user_conf c;
	struct conf_error e = {0};

	if (!text)
		return 0;
	user_conf_init(&c);
	if (!parse(data[0], text, &c, &e))
		require(e.text[0] && e.at <= strlen(text) && e.n_bytes <= strlen(text) - e.at);
	else if (user_conf_check(&c, &e))
		require((c.host_be & c.mask_be) == c.net_be && (c.dhcp_start_be & c.mask_be) == c.net_be &&
			c.host_be != c.dns_be && c.host_be != c.dhcp_start_be && c.dns_be != c.dhcp_start_be);
	else
		require(e.option != NULL && e.text[0]);
	user_conf_done(&c);
	return 0;
}
