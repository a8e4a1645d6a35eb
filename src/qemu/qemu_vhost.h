/* SPDX-License-Identifier: BSD-2-Clause */
/* Which networks of a plan are joined to QEMU by vhost-user in the place of a stream socket. */
#pragma once

#include "qemu_plan.h"

/* What is known besides the line. */
struct qemu_vhost_options {
	bool off;     /* nobody wants it */
	bool has_kvm; /* this host can run guests by KVM */
};

/* After qemu_plan_make(): rewrites the arguments of networks that vhost-user can serve, and says of each why
 * or why not. 0 or -ENOMEM. */
int qemu_vhost_apply(
	struct qemu_plan *p, const struct qemu_version *v, const struct qemu_vhost_options *o);
/* Does the guest run without KVM? */
bool qemu_line_is_tcg(const struct qemu_line *l, bool has_kvm);
