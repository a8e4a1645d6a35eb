/* SPDX-License-Identifier: BSD-2-Clause */
/* The file that says who may join which bridge. What it includes is the input again, as far as that is allowed. A
 * "deny all" at its end must deny, an "allow all" before it must allow what nothing denies, neither may change
 * anything else, and an error must be in one of its lines. */
#include "bridge_acl.h"

#define BRIDGE       "br0"
#define INCLUDES_MAX 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static struct {
	const char *text;
	size_t n;
	unsigned int n_included;
} input;

static void require(bool ok)
{
	if (!ok)
		abort();
}

static int include(struct bridge_acl *a, const char *path)
{
	char why[BRIDGE_ACL_WHY_BYTES];
	unsigned int line;

	require(path[0] == '/' && strlen(path) < BRIDGE_ACL_PATH_BYTES && !strchr(path, '\n'));
	if (input.n_included++ == INCLUDES_MAX)
		return -ELOOP;
	return bridge_acl_parse(a, input.text, input.n, &line, why);
}

/* text: exactly n bytes, so that a sanitizer sees what lies beyond them. */
static int parse(const char *text, size_t n, struct bridge_acl *ret)
{
	char why[BRIDGE_ACL_WHY_BYTES] = "";
	unsigned int line, n_lines = 1;
	int r;

	*ret = (struct bridge_acl){.bridge = BRIDGE, .include = include};
	input.n_included = 0;
	r = bridge_acl_parse(ret, text, n, &line, why);
	for (size_t i = 0; i < n; i++)
		n_lines += text[i] == '\n';
	require(line <= n_lines && (r == 0 || r == -ELOOP || (r == -EINVAL && line > 0)));
	return r;
}

static char *join(const char *a, const char *text, size_t n, const char *b, size_t *ret_n)
{
	char *all = malloc(strlen(a) + n + strlen(b) + 1);

	require(all != NULL);
	memcpy(all, a, strlen(a));
	memcpy(all + strlen(a), text, n);
	memcpy(all + strlen(a) + n, b, strlen(b));
	*ret_n = strlen(a) + n + strlen(b);
	return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	_cleanup_free_ char *text = malloc(n_bytes ? n_bytes : 1), *denied = NULL, *allowed = NULL;
	struct bridge_acl a, b;
	size_t n;
	int r;

	require(text != NULL);
	if (n_bytes)
		memcpy(text, data, n_bytes);
	input.text = text;
	input.n = n_bytes;
	r = parse(text, n_bytes, &a);
	denied = join("", text, n_bytes, "\ndeny all", &n);
	require(parse(denied, n, &b) == r);
	require(r < 0 || (b.denied && b.allowed == a.allowed && !bridge_acl_allows(&b)));
	allowed = join("allow all\n", text, n_bytes, "", &n);
	require(parse(allowed, n, &b) == r);
	require(r < 0 || (b.allowed && b.denied == a.denied && bridge_acl_allows(&b) == !a.denied));
	return 0;
}
