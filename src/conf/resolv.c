/* SPDX-License-Identifier: BSD-2-Clause */
#include "resolv.h"

#include <arpa/inet.h>

#define WORD_BYTES (INET6_ADDRSTRLEN + RESOLV_SCOPE_BYTES + 1)

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of a line, terminated; "" at its end. False if it is longer than any address. */
static bool next_word(const char **at, const char *end, char ret[WORD_BYTES])
{
	size_t n = 0;

	while (*at < end && is_blank(**at))
		(*at)++;
	for (; *at < end && !is_blank(**at); (*at)++) {
		if (n == WORD_BYTES - 1)
			return false;
		ret[n++] = **at;
	}
	ret[n] = '\0';
	return true;
}

static bool parse_server(char *word, struct resolv_server *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, word, &ret->in4) == 1) {
		ret->family = AF_INET;
		return ret->in4.s_addr != INADDR_BROADCAST && !IN_MULTICAST(ntohl(ret->in4.s_addr));
	}
	char *scope = strchr(word, '%');
	if (scope) {
		*scope++ = '\0';
		if (!*scope || strlen(scope) >= sizeof(ret->scope))
			return false;
		memcpy(ret->scope, scope, strlen(scope));
	}
	ret->family = AF_INET6;
	return inet_pton(AF_INET6, word, &ret->in6) == 1 && !IN6_IS_ADDR_MULTICAST(&ret->in6);
}

/* "nameserver ADDRESS"; a line with a # or ; in front of it names none. */
static bool parse_line(const char *at, const char *end, struct resolv_server *ret)
{
	char word[WORD_BYTES];

	if (!next_word(&at, end, word) || strcmp(word, "nameserver") != 0)
		return false;
	return next_word(&at, end, word) && parse_server(word, ret);
}

unsigned int resolv_parse(const char *text, size_t n_bytes, struct resolv_server ret[RESOLV_SERVERS_MAX])
{
	const char *end = text + n_bytes;
	unsigned int n = 0;

	while (text < end && n < RESOLV_SERVERS_MAX) {
		const char *line_end = memchr(text, '\n', (size_t)(end - text));
		struct resolv_server s;

		if (!line_end)
			line_end = end;
		if (parse_line(text, line_end, &s))
			ret[n++] = s;
		text = line_end < end ? line_end + 1 : end;
	}
	if (n == 0) {
		memset(&ret[0], 0, sizeof(ret[0]));
		ret[0].family = AF_INET;
		ret[0].in4.s_addr = htonl(INADDR_LOOPBACK);
		n = 1;
	}
	return n;
}
