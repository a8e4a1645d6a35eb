/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's name servers, as they are now. */
#pragma once

#include "msg.h"

/* What /etc/resolv.conf (path; NULL: that one) names, with port 53. A stub on the host itself (127.0.0.53
 * of systemd-resolved) is as good as any: the engine asks from the host's own network. An interface that
 * does not exist makes its server be left out. */
void hostdns_read(const char *path, struct msg_resolvers *ret);
bool hostdns_eq(const struct msg_resolvers *a, const struct msg_resolvers *b);

/* Watches, on an inotify descriptor, the folder of the file and, if it is a link, that of its target, or the
 * nearest above that is there; to be called again after each event, since the link may have changed. A file
 * that is replaced by another, the usual way to change this one, has no watch that lasts. */
void hostdns_watch(const char *path, int inotify_fd);
/* Watches one path's folder for that path being made, replaced or removed. */
void hostdns_watch_folder_of(const char *path, int inotify_fd);
