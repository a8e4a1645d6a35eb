/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of QEMU's user back end, as a network of ours. */
#pragma once

#include "qemu_net.h"
#include "user_conf.h"

enum qemu_user_outcome {
	QEMU_USER_SERVED = 0,
	QEMU_USER_LEFT, /* it asks for something that the engine does not do: QEMU's own back end serves it */
	QEMU_USER_OUTCOME_MAX,
};

struct qemu_user {
	struct user_conf conf; /* from user_conf_init(); no ports yet */
	char note[160];        /* of LEFT: why; of SERVED: what is missing, or empty */
};

void qemu_user_done(struct qemu_user *u);

/* Is this an option of the user back end, rather than of the NIC (model=) or of both (id=)? */
bool qemu_user_owns(const char *key);

/* An outcome, -ENOMEM, or -EINVAL and *e where QEMU would refuse the line too, or serve it wrongly.
 * ret is to be done with after an outcome only. */
int qemu_user_parse(const struct qemu_part *p, struct qemu_user *ret, struct qemu_error *e);
