/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

#include <sys/types.h>

/* Tells the service manager that started us, if one did (sd_notify(3)), that the service is ready, and that
 * from now on another process is the one to watch. */
void notify_ready(pid_t main_pid);
