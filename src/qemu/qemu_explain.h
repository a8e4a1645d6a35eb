/* SPDX-License-Identifier: BSD-2-Clause */
/* A line's network options in words: what each means, and what has become of it. */
#pragma once

#include "qemu_plan.h"

/* Several lines of text. 0 or -ENOMEM. */
int qemu_explain(const struct qemu_line *l, const struct qemu_plan *p, const struct qemu_version *v,
	struct qemu_text *ret);
/* A word as a shell reads it back. */
void qemu_text_add_quoted(struct qemu_text *t, const char *word);
