/* SPDX-License-Identifier: BSD-2-Clause */
/* How a port is written: KIND[:WHAT][,OPTION[=VALUE]]..., with commas in WHAT doubled. */
#include <limits.h>
#include <stdio.h>
#include <sys/un.h>

#include "conf_text.h"
#include "user_conf.h"

#define IFNAME_DEFAULT "vmlan0"
#define PORT_FORM      "a port is stream:PATH[,connect], vhost-user:PATH[,connect], fd:N[,vhost-user] or " \
	"netns[:PID|PATH][,ifname=NAME][,noconfig]"

/* The next part of a comma-separated text, with doubled commas made single, into buf. The offset of
 * what follows, or 0 when the part does not fit. */
static size_t next_part(const char *text, size_t at, char *buf, size_t n_buf)
{
	size_t n = 0;

	for (; text[at]; at++) {
		if (text[at] == ',' && text[at + 1] != ',')
			return buf[n] = '\0', at + 1;
		if (text[at] == ',')
			at++;
		if (n + 1 >= n_buf)
			return 0;
		buf[n++] = text[at];
	}
	buf[n] = '\0';
	return at;
}

static bool check_ifname(const char *name, size_t at, struct conf_error *e)
{
	size_t n = strlen(name);

	if (n == 0 || n >= sizeof(((struct user_port *)0)->ifname))
		return conf_fail(e, at, n, "an interface name has 1 to 15 characters");
	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] > '~' || strchr("/:%", name[i]))
			return conf_fail(
				e, at + i, 1, "an interface name has no blanks and none of '/', ':', '%%'");
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return conf_fail(e, at, n, "'%s' cannot name an interface", name);
	return true;
}

static bool parse_socket(
	const char *what, size_t at, enum user_port_kind kind, struct user_port *p, struct conf_error *e)
{
	size_t n = strlen(what);

	if (n == 0)
		return conf_fail(e, at, 0, "the path of the socket is missing: %s:PATH",
			kind == USER_PORT_VHOST_LISTEN ? "vhost-user" : "stream");
	if (n >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return conf_fail(e, at, n, "the path of a socket has at most %zu bytes, not %zu",
			sizeof(((struct sockaddr_un *)0)->sun_path) - 1, n);
	p->kind = kind;
	memcpy(p->path, what, n + 1);
	return true;
}

static bool parse_stream(const char *what, size_t at, struct user_port *p, struct conf_error *e)
{
	return parse_socket(what, at, USER_PORT_STREAM_LISTEN, p, e);
}

static bool parse_vhost(const char *what, size_t at, struct user_port *p, struct conf_error *e)
{
	return parse_socket(what, at, USER_PORT_VHOST_LISTEN, p, e);
}

static bool parse_fd(const char *what, size_t at, struct user_port *p, struct conf_error *e)
{
	uint64_t fd;

	if (!conf_number(what, strlen(what), 10, 0, INT_MAX, &fd))
		return conf_fail(e, at, strlen(what), "fd:N wants the number of an open descriptor");
	p->kind = USER_PORT_FD;
	p->fd = (int)fd;
	return true;
}

static bool parse_netns(const char *what, size_t at, struct user_port *p, struct conf_error *e)
{
	uint64_t pid = 0;

	p->kind = USER_PORT_NETNS;
	if (*what == '\0')
		return conf_fail(
			e, at, 0, "netns:PID or netns:PATH; for a namespace of its own: netns -- COMMAND");
	if (conf_number(what, strlen(what), 10, 1, INT_MAX, &pid)) {
		p->pid = (pid_t)pid;
		(void)snprintf(p->path, sizeof(p->path), "/proc/%d/ns/net", (int)pid);
		return true;
	}
	if (what[strspn(what, "0123456789")] == '\0')
		return conf_fail(e, at, strlen(what), "no process can have the number %.32s", what);
	return user_conf_parse_path(what, p->path, e);
}

static bool parse_option(const char *part, size_t at, struct user_port *p, struct conf_error *e)
{
	bool netns = p->kind == USER_PORT_NETNS;

	if (p->kind == USER_PORT_STREAM_LISTEN && strcmp(part, "connect") == 0) {
		p->kind = USER_PORT_STREAM_CONNECT;
		return true;
	}
	if (p->kind == USER_PORT_VHOST_LISTEN && strcmp(part, "connect") == 0) {
		p->kind = USER_PORT_VHOST_CONNECT;
		return true;
	}
	if (p->kind == USER_PORT_FD && strcmp(part, "vhost-user") == 0) {
		p->vhost = true;
		return true;
	}
	if (netns && strcmp(part, "noconfig") == 0) {
		p->noconfig = true;
		return true;
	}
	if (netns && strncmp(part, "ifname=", 7) == 0) {
		if (!check_ifname(part + 7, at + 7, e))
			return false;
		memcpy(p->ifname, part + 7, strlen(part + 7) + 1);
		return true;
	}
	if (netns)
		return conf_fail(e, at, strlen(part), "after netns come ,ifname=NAME and ,noconfig only");
	if (p->kind == USER_PORT_FD)
		return conf_fail(e, at, strlen(part), "after fd:N comes ,vhost-user only");
	return conf_fail(
		e, at, strlen(part), "after the path comes ,connect only; a comma in it is written ,,");
}

bool user_conf_parse_port(const char *text, struct user_port *ret, struct conf_error *e)
{
	static const struct {
		const char *prefix;
		bool (*parse)(const char *what, size_t at, struct user_port *p, struct conf_error *e);
	} kinds[] = {{"stream:", parse_stream}, {"vhost-user:", parse_vhost}, {"fd:", parse_fd}, {"netns:", parse_netns}};
	_cleanup_free_ struct user_port *p = calloc(1, sizeof(*p));
	char part[USER_PATH_BYTES] = "";
	size_t at, next = next_part(text, 0, part, sizeof(part));
	unsigned int i;

	if (!p)
		return conf_fail(e, 0, 0, "no memory");
	if (next == 0 && *text)
		return conf_fail(e, 0, 0, "a path has at most %d bytes", USER_PATH_BYTES - 1);
	p->fd = -1;
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t n = strlen(kinds[i].prefix);

		if (strncmp(part, kinds[i].prefix, n) != 0)
			continue;
		if (!kinds[i].parse(part + n, n, p, e))
			return false;
		break;
	}
	if (i == ARRAY_SIZE(kinds)) {
		if (strcmp(part, "netns") != 0)
			return conf_fail(e, 0, strcspn(text, ":,"), PORT_FORM);
		p->kind = USER_PORT_NETNS;
		p->fresh = true;
	}
	if (p->kind == USER_PORT_NETNS)
		memcpy(p->ifname, IFNAME_DEFAULT, sizeof(IFNAME_DEFAULT));
	for (at = next; text[at]; at = next) {
		next = next_part(text, at, part, sizeof(part));
		if (next == 0)
			return conf_fail(e, at, 0, "that is too long for an option of a port");
		if (!parse_option(part, at, p, e))
			return false;
	}
	*ret = *p;
	return true;
}
