/* SPDX-License-Identifier: BSD-2-Clause */
/* Forwards and reservations of a kernel network, from text and back. */
#include <arpa/inet.h>
#include <stdio.h>

#include "conf_text.h"
#include "net_conf.h"

#define FORWARD_FORM "a forward is [tcp|udp]:[hostaddr]:port[-last]-[guestaddr]:port"

/* An address up to sep, in brackets if it is IPv6's; empty is family 0. Moves *p past sep. */
static bool parse_addr(const char *text, const char **p, char sep, struct net_addr *ret, struct conf_error *e)
{
	size_t at = (size_t)(*p - text), n;
	char copy[INET6_ADDRSTRLEN];
	const char *end;

	*ret = (struct net_addr){0};
	if (**p == '[') {
		end = strchr(*p, ']');
		n = end ? (size_t)(end - *p) - 1 : 0;
		if (!end || n >= sizeof(copy))
			return conf_fail(e, at, 1, "a bracket holds an IPv6 address");
		memcpy(copy, *p + 1, n);
		copy[n] = '\0';
		ret->family = AF_INET6;
		if (inet_pton(AF_INET6, copy, &ret->in6) != 1 || IN6_IS_ADDR_LINKLOCAL(&ret->in6))
			return conf_fail(
				e, at + 1, n, "a bracket holds an IPv6 address that is not link-local");
		if (end[1] != sep)
			return conf_fail(e, at + n + 2, end[1] != 0, FORWARD_FORM);
		*p = end + 2;
		return true;
	}
	end = strchr(*p, sep);
	if (!end)
		return conf_fail(e, strlen(text), 0, FORWARD_FORM);
	n = (size_t)(end - *p);
	if (n > 0) {
		ret->family = AF_INET;
		if (!conf_addr(*p, n, &ret->in4_be))
			return conf_fail(e, at, n, "an address is IPv4, or IPv6 in brackets");
		if (ret->in4_be == 0)
			*ret = (struct net_addr){0};
	}
	*p = end + 1;
	return true;
}

static bool parse_port(
	const char *text, const char **p, const char *ends, uint16_t *ret, struct conf_error *e)
{
	size_t n = strcspn(*p, ends);
	uint64_t v = 0;

	if (!conf_number(*p, n, 10, 1, 65535, &v))
		return conf_fail(e, (size_t)(*p - text), n, "a port is a number from 1 to 65535");
	*ret = (uint16_t)v;
	*p += n;
	return true;
}

/* "PORT-" or "PORT-LAST-": a range if digits and another '-' follow the first one. */
static bool parse_ports(const char *text, const char **p, struct net_forward *f, struct conf_error *e)
{
	uint16_t last = 0;
	size_t digits;

	if (!parse_port(text, p, "-", &f->host_port, e))
		return false;
	if (**p != '-')
		return conf_fail(e, strlen(text), 0, FORWARD_FORM);
	(*p)++;
	f->n_ports = 1;
	digits = strspn(*p, "0123456789");
	if (digits == 0 || (*p)[digits] != '-')
		return true;
	if (!parse_port(text, p, "-", &last, e))
		return false;
	if (last < f->host_port)
		return conf_fail(e, (size_t)(*p - text) - digits, digits, "a range ends after it begins");
	f->n_ports = (uint16_t)(last - f->host_port + 1);
	(*p)++;
	return true;
}

bool net_forward_parse(const char *text, struct net_forward *ret, struct conf_error *e)
{
	struct net_forward f = {.proto = IPPROTO_TCP};
	size_t n = strcspn(text, ":");
	const char *p = text + n;

	if (*p != ':')
		return conf_fail(e, n, 0, FORWARD_FORM);
	if (n == 3 && memcmp(text, "udp", 3) == 0)
		f.proto = IPPROTO_UDP;
	else if (n != 0 && !(n == 3 && memcmp(text, "tcp", 3) == 0))
		return conf_fail(e, 0, n, "the protocol is tcp or udp");
	p++;
	if (!parse_addr(text, &p, ':', &f.host, e) || !parse_ports(text, &p, &f, e) ||
		!parse_addr(text, &p, ':', &f.guest, e) || !parse_port(text, &p, "", &f.guest_port, e))
		return false;
	if (f.host.family && f.guest.family && f.host.family != f.guest.family)
		return conf_fail(e, 0, strlen(text), "both addresses are of one family");
	if (f.guest_port + f.n_ports > 65536)
		return conf_fail(e, 0, strlen(text), "the guest's ports end beyond 65535");
	*ret = f;
	return true;
}

static void addr_text(const struct net_addr *a, char ret[INET6_ADDRSTRLEN + 2])
{
	char text[INET6_ADDRSTRLEN] = "";

	if (a->family == AF_INET)
		(void)inet_ntop(AF_INET, &a->in4_be, text, sizeof(text));
	else if (a->family == AF_INET6)
		(void)inet_ntop(AF_INET6, &a->in6, text, sizeof(text));
	(void)snprintf(ret, INET6_ADDRSTRLEN + 2, a->family == AF_INET6 ? "[%s]" : "%s", text);
}

void net_forward_emit(const struct net_forward *f, char ret[NET_VALUE_BYTES])
{
	char host[INET6_ADDRSTRLEN + 2], guest[INET6_ADDRSTRLEN + 2], last[8] = "";

	addr_text(&f->host, host);
	addr_text(&f->guest, guest);
	if (f->n_ports > 1)
		(void)snprintf(last, sizeof(last), "-%u", (f->host_port + f->n_ports - 1) & 0xffff);
	(void)snprintf(ret, NET_VALUE_BYTES, "%s:%s:%u%s-%s:%u", f->proto == IPPROTO_UDP ? "udp" : "tcp",
		host, f->host_port, last, guest, f->guest_port);
}

static int hex_of(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;

	return c >= '0' && at ? (int)(at - digits) : -1;
}

static bool parse_mac(const char *text, uint8_t ret[6])
{
	for (unsigned int i = 0; i < 6; i++) {
		int high = hex_of(text[0]), low = high < 0 ? -1 : hex_of(text[1]);

		if (low < 0 || (i < 5 && text[2] != ':' && text[2] != '-'))
			return false;
		ret[i] = (uint8_t)(high << 4 | low);
		text += 3;
	}
	return true;
}

bool net_reserve_parse(const char *text, struct net_reserve *ret, struct conf_error *e)
{
	struct net_reserve r = {0};
	size_t n = strcspn(text, "="), n_addr;
	const char *p;

	if (n != 17 || !parse_mac(text, r.mac) || (r.mac[0] & 1))
		return conf_fail(
			e, 0, n, "a reservation is MAC=ADDR[,NAME], such as 52:54:00:12:34:56=10.0.0.9");
	if (text[n] != '=')
		return conf_fail(e, n, 0, "a reservation is MAC=ADDR[,NAME]");
	p = text + n + 1;
	n_addr = strcspn(p, ",");
	if (!conf_addr(p, n_addr, &r.addr_be) || r.addr_be == 0)
		return conf_fail(e, n + 1, n_addr, "is not an IPv4 address");
	if (p[n_addr] == ',') {
		const char *name = p + n_addr + 1;
		size_t len = strlen(name);

		if (len == 0 || len >= sizeof(r.name) || name[0] == '-' ||
			strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") !=
				len)
			return conf_fail(e, (size_t)(name - text), len,
				"a guest's name has letters, digits and '-', at most %zu",
				sizeof(r.name) - 1);
		memcpy(r.name, name, len);
	}
	*ret = r;
	return true;
}

void net_reserve_emit(const struct net_reserve *r, char ret[NET_VALUE_BYTES])
{
	char a[INET_ADDRSTRLEN];

	(void)snprintf(ret, NET_VALUE_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x=%s%s%s", r->mac[0], r->mac[1],
		r->mac[2], r->mac[3], r->mac[4], r->mac[5], inet_ntop(AF_INET, &r->addr_be, a, sizeof(a)),
		r->name[0] ? "," : "", r->name);
}
