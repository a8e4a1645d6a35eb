/* SPDX-License-Identifier: BSD-2-Clause */
/* A network's file. An error names a line that is there, and a place in what is shown of it; what is read is
 * written and read back to the same text. */
#include "fuzz.h"

#include "net_file.h"

static void check_error(const char *text, const struct net_file_error *e)
{
	unsigned int n_lines = 1;

	for (const char *p = text; *p; p++)
		n_lines += *p == '\n';
	must(e->line >= 1 && e->line <= n_lines && e->e.text[0]);
	must(strlen(e->text) + 1 == sizeof(e->text) ||
		(e->e.at <= strlen(e->text) && e->e.n_bytes <= strlen(e->text) - e->e.at));
}

static void check_back(const struct net_conf *c)
{
	_cleanup_free_ char *text = net_file_emit(c), *again = NULL;
	struct net_file_error e;
	struct conf_error ce;
	struct net_conf copy;

	must(text && net_conf_init(c->name, &copy, &ce));
	must(net_file_parse(text, &copy, &e));
	again = net_file_emit(&copy);
	must(again && strcmp(text, again) == 0);
	net_conf_done(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	_cleanup_free_ char *text = strndup((const char *)data, n_bytes);
	struct net_file_error e;
	struct conf_error ce;
	struct net_conf c;

	if (!text)
		return 0;
	must(net_conf_init("lab", &c, &ce));
	if (net_file_parse(text, &c, &e))
		check_back(&c);
	else
		check_error(text, &e);
	net_conf_done(&c);
	return 0;
}
