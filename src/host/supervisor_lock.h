/* SPDX-License-Identifier: BSD-2-Clause */
/* The lock by which a supervisor is known, from the supervisor's side. */
#pragma once

/* Takes it for as long as the descriptor is open (no other of that file may be closed meanwhile).
 * -EAGAIN or -EACCES: another has it; -ENOENT: the network has been taken down. */
int host_supervisor_lock(const char *lock_path, int *ret_fd);
