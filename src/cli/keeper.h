/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's control process: it lives as long as QEMU does, answers for it, and looks after its taps. */
#pragma once

#include "guest.h"

struct keeper_config {
	const struct guest_config *guest; /* as it was when we were forked */
	const sigset_t *mask;             /* the signals that children find blocked */
	int life_fd;                      /* ends when QEMU has; the keeper's */
	pid_t parent;                     /* vmlan run */
};

/* Until QEMU has ended, in whatever way: 0. Its output goes where what happens to the guest is told. */
int keeper_run(const struct keeper_config *c);
