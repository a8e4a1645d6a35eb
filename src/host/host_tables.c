/* SPDX-License-Identifier: BSD-2-Clause */
/* nftables by libnftables, with the text that a person would type.
 *
 * A table is known by its comment, and whether it is as it was made by a digest of its listing: the kernel's
 * own account of the rules, so that any change by anybody shows, whichever tool made it.
 *
 * The library is loaded when it is first needed: it brings four others, which every engine of a user-mode
 * network would start with and hold in memory for nothing. */
#include <dlfcn.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/capability.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "host_internal.h"
#include "siphash.h"

static const struct siphash_key digest_key = {{0x766d6c616e746162, 0x6c65646967657374}};

#define LIBRARY    "libnftables.so.1"
#define LIST_TRIES 8

/* The functions that are used of it, under their own names. */
#define FUNCTIONS(X)                                                                                         \
	X(nft_ctx_new)                                                                                       \
	X(nft_ctx_free)                                                                                      \
	X(nft_ctx_buffer_output)                                                                             \
	X(nft_ctx_buffer_error)                                                                              \
	X(nft_ctx_get_output_buffer)                                                                         \
	X(nft_ctx_get_error_buffer)                                                                          \
	X(nft_ctx_output_set_flags)                                                                          \
	X(nft_ctx_set_dry_run)                                                                               \
	X(nft_run_cmd_from_buffer)

#define MEMBER(name) __typeof__(name) *(name);
static struct {
	void *handle;
	FUNCTIONS(MEMBER)
} nft;

static bool load_library(void)
{
	bool found = true;

	if (nft.handle)
		return true;
	nft.handle = dlopen(LIBRARY, RTLD_NOW);
	if (!nft.handle)
		return false;
#define LOAD(name)                                                                                           \
	*(void **)&nft.name = dlsym(nft.handle, #name);                                                      \
	found = found && nft.name;
	FUNCTIONS(LOAD)
	if (!found) {
		(void)dlclose(nft.handle);
		nft.handle = NULL;
	}
	return found;
}

/* Without it the library tells standard error that it wants root, and us that a file is missing. */
static bool may_configure(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	return syscall(SYS_capget, &head, data) == 0 && (data[0].effective & 1u << CAP_NET_ADMIN);
}

static int open_nft(struct host_linux *l)
{
	if (l->nft)
		return 0;
	if (!may_configure())
		return host_failed(&l->host, -EPERM, "only root can see and change rules");
	if (!load_library())
		return host_failed(&l->host, -ELIBACC, "cannot load %s (is it installed?)", LIBRARY);
	l->nft = nft.nft_ctx_new(NFT_CTX_DEFAULT);
	if (!l->nft)
		return -ENOMEM;
	if (nft.nft_ctx_buffer_output(l->nft) != 0 || nft.nft_ctx_buffer_error(l->nft) != 0) {
		host_tables_done(l);
		return -ENOMEM;
	}
	return 0;
}

void host_tables_done(struct host_linux *l)
{
	if (l->nft)
		nft.nft_ctx_free(l->nft);
	l->nft = NULL;
}

/* libnftables says what failed as text only. The C library's own words are looked for: this program never
 * sets a locale. */
static int errno_of(const char *text)
{
	static const int known[] = {ENOENT, EPERM, EEXIST, EBUSY, ENOMEM, EOPNOTSUPP, EAFNOSUPPORT};

	for (unsigned int i = 0; i < ARRAY_SIZE(known); i++)
		if (strstr(text, strerror(known[i])))
			return -known[i];
	return -EINVAL;
}

static int run(struct host *h, const char *command, unsigned int flags)
{
	struct host_linux *l = host_linux_of(h);
	int r = open_nft(l);

	if (r < 0)
		return r;
	nft.nft_ctx_output_set_flags(l->nft, flags);
	r = nft.nft_run_cmd_from_buffer(l->nft, command);
	const char *said = nft.nft_ctx_get_error_buffer(l->nft);

	if (r == 0)
		return 0;
	r = errno_of(said);
	return host_failed(h, r, "nftables: %.*s", (int)strcspn(said, "\n"), said);
}

int host_table_find(struct host *h, const char *name, struct host_table *ret)
{
	static const char before[] = "comment \"";
	char command[64];
	const char *text, *comment, *chain;
	int r;

	*ret = (struct host_table){0};
	(void)snprintf(command, sizeof(command), "list table inet %s", name);
	r = run(h, command, 0);
	if (r < 0)
		return r;
	text = nft.nft_ctx_get_output_buffer(host_linux_of(h)->nft);
	comment = strstr(text, before);
	chain = strstr(text, "\tchain ");
	if (comment && (!chain || comment < chain)) {
		comment += sizeof(before) - 1;
		(void)snprintf(ret->mark, sizeof(ret->mark), "%.*s", (int)strcspn(comment, "\""), comment);
	}
	ret->digest = siphash(&digest_key, text, strlen(text));
	return 0;
}

int host_table_put(struct host *h, const char *name, const char *mark, const char *rules)
{
	_cleanup_free_ char *command = NULL;

	if (asprintf(&command,
		    "add table inet %s\ndelete table inet %s\ntable inet %s {\ncomment \"%s\"\n%s}\n", name,
		    name, name, mark, rules) < 0)
		return -ENOMEM;
	return run(h, command, 0);
}

int host_table_del(struct host *h, const char *name)
{
	char command[64];

	(void)snprintf(command, sizeof(command), "delete table inet %s", name);
	return run(h, command, 0);
}

/* The kernel takes all of it in, and then lets go of it. */
int host_table_check(struct host *h, const char *rules)
{
	struct host_linux *l = host_linux_of(h);
	_cleanup_free_ char *command = NULL;
	int r = open_nft(l);

	if (r < 0)
		return r;
	if (asprintf(&command, "table inet vmlan-check {\n%s}\n", rules) < 0)
		return -ENOMEM;
	nft.nft_ctx_set_dry_run(l->nft, true);
	r = run(h, command, 0);
	nft.nft_ctx_set_dry_run(l->nft, false);
	return r;
}

/* The commands that list each table whose name does not begin so. */
struct listing {
	const char *but;
	char *text; /* heap; a line each */
	bool failed;
};

static int on_table(const struct nlmsghdr *m, void *ctx)
{
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(m);
	const char *family = g->nfgen_family == NFPROTO_INET   ? "inet"
			     : g->nfgen_family == NFPROTO_IPV4 ? "ip"
			     : g->nfgen_family == NFPROTO_IPV6 ? "ip6"
							       : NULL;
	struct listing *l = ctx;
	const struct nlattr *a;

	mnl_attr_for_each(a, m, sizeof(*g))
	{
		const char *name = mnl_attr_get_payload(a);
		char *grown;

		if (!family || mnl_attr_get_type(a) != NFTA_TABLE_NAME ||
			mnl_attr_validate(a, MNL_TYPE_NUL_STRING) < 0 ||
			strncmp(name, l->but, strlen(l->but)) == 0)
			continue;
		if (asprintf(&grown, "%slist table %s %s\n", l->text, family, name) < 0) {
			l->failed = true;
			continue;
		}
		free(l->text);
		l->text = grown;
	}
	return MNL_CB_OK;
}

/* By netlink, since libnftables fetches all rules of all tables to say what tables there are. */
static int list_tables(const char *but, char **ret)
{
	int r = -EINTR;

	for (unsigned int i = 0; r == -EINTR && i < LIST_TRIES; i++) { /* tables changed meanwhile */
		struct listing l = {.but = but, .text = strdup("")};
		struct netlink nl = {0};
		union netlink_request q;
		struct nfgenmsg *g;

		r = l.text ? netlink_open_protocol(&nl, NETLINK_NETFILTER) : -ENOMEM;
		if (r == 0) {
			struct nlmsghdr *m = netlink_begin(
				&nl, &q, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, NLM_F_DUMP);

			g = mnl_nlmsg_put_extra_header(m, sizeof(*g));
			g->version = NFNETLINK_V0;
			r = netlink_talk(&nl, &q, on_table, &l);
		}
		netlink_close(&nl);
		r = r == 0 && l.failed ? -ENOMEM : r;
		if (r == 0)
			*ret = TAKE_PTR(l.text);
		free(l.text);
	}
	return r;
}

/* Table by table, since those of other networks are many and of no interest. One that has gone meanwhile is
 * no error. */
int host_ruleset(struct host *h, const char *but, char **ret)
{
	_cleanup_free_ char *commands = NULL, *text = strdup("");
	char *next, *grown;
	int r = list_tables(but, &commands);

	if (r < 0)
		return host_failed(h, r, "cannot see what tables of rules there are");
	if (!text)
		return -ENOMEM;
	for (char *command = strtok_r(commands, "\n", &next); command;
		command = strtok_r(NULL, "\n", &next)) {
		r = run(h, command, NFT_CTX_OUTPUT_JSON);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		if (asprintf(&grown, "%s%s\n", text, nft.nft_ctx_get_output_buffer(host_linux_of(h)->nft)) <
			0)
			return -ENOMEM;
		free(text);
		text = grown;
	}
	h->error[0] = '\0';
	*ret = TAKE_PTR(text);
	return 0;
}
