/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl_cmd.h"

#include <stdio.h>

#include "ctl_call.h"

#define TIMEOUT_MS 60000 /* QEMU has less, and guests that let go of a NIC */

/* Those that a name or number means. */
static unsigned int find(
	const struct ctl_place *list, unsigned int n, const char *name, const struct ctl_place **ret)
{
	unsigned int n_found = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (name && !ctl_place_is(&list[i], name))
			continue;
		*ret = &list[i];
		n_found++;
	}
	return n_found;
}

bool ctl_cmd_exists(const char *name)
{
	_cleanup_free_ struct ctl_place *list = NULL;
	const struct ctl_place *found;
	unsigned int n = 0;

	return ctl_place_list(&list, &n) == 0 && find(list, n, name, &found) > 0;
}

static void print_list(const struct ctl_place *list, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		(void)fprintf(stderr, "  %-5s %s (%d)\n", ctl_kind_names[list[i].kind], list[i].name,
			(int)list[i].pid);
}

int ctl_cmd_find(const struct cli_verb *v, const char *name, struct ctl_place *ret)
{
	_cleanup_free_ struct ctl_place *list = NULL;
	const struct ctl_place *found = NULL;
	unsigned int n = 0, n_found;
	int r = ctl_place_list(&list, &n);

	if (r < 0) {
		(void)fprintf(
			stderr, "vmlan %s: cannot look for what is running: %s\n", v->name, strerror(-r));
		return CLI_FAILED;
	}
	n_found = find(list, n, name, &found);
	if (n_found == 1) {
		*ret = *found;
		return 0;
	}
	if (n == 0)
		(void)fprintf(stderr,
			"vmlan %s: no guest of vmlan run and no network of vmlan user is running as this "
			"user\n",
			v->name);
	else if (!name)
		(void)fprintf(stderr, "vmlan %s: say which one is meant, by its name or number:\n", v->name);
	else if (n_found)
		(void)fprintf(stderr, "vmlan %s: several have the name '%s'; say which one by its number:\n",
			v->name, name);
	else
		(void)fprintf(stderr,
			"vmlan %s: nothing that is running has the name or number '%s'; there are:\n",
			v->name, name);
	print_list(list, n);
	return CLI_FAILED;
}

int ctl_cmd_ask(const struct cli_verb *v, const struct ctl_place *p, enum ctl_op op, const char *id,
	const char *arg, struct ctl_reply *ret)
{
	_cleanup_free_ struct ctl_request *q = calloc(1, sizeof(*q));
	int r = q ? 0 : -ENOMEM;

	*ret = (struct ctl_reply){0};
	if (q && (snprintf(q->id, sizeof(q->id), "%s", id ? id : "") >= (int)sizeof(q->id) ||
			 snprintf(q->arg, sizeof(q->arg), "%s", arg ? arg : "") >= (int)sizeof(q->arg)))
		r = -ENAMETOOLONG;
	if (r == 0) {
		q->op = op;
		r = ctl_call(p->path, q, TIMEOUT_MS, ret);
	}
	if (r < 0)
		(void)fprintf(stderr, "vmlan %s: %s %s does not answer: %s\n", v->name,
			ctl_kind_names[p->kind], p->name, r == -EPIPE ? "it has ended" : strerror(-r));
	else if (ret->error)
		(void)fprintf(stderr, "%s\n", ret->error);
	return r < 0 || ret->error ? CLI_FAILED : 0;
}

int ctl_cmd_print(const struct cli_verb *v, const char *name, enum ctl_op op, const char *id, const char *arg)
{
	_cleanup_(ctl_reply_done) struct ctl_reply reply = {0};
	struct ctl_place p;
	int status = ctl_cmd_find(v, name, &p);

	if (status == 0) {
		status = ctl_cmd_ask(v, &p, op, id, arg, &reply);
		(void)fputs(reply.text ? reply.text : "", stdout);
	}
	return fflush(stdout) != 0 ? CLI_FAILED : status;
}
