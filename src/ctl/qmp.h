/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's monitor for programs (QMP), over a connection that QEMU was given at its start. */
#pragma once

#include <jansson.h>

#include "ctl_lines.h"

#define QMP_ERROR_BYTES 512
#define QMP_PATH_BYTES  256

struct qmp {
	struct ctl_lines lines; /* its fd is ours */
	bool greeted;           /* commands are taken */
	uint64_t n_asked;
	char awaited[QMP_PATH_BYTES]; /* the path of a device whose end is waited for */
	bool has_come;
	char error[QMP_ERROR_BYTES]; /* of the last command that failed */
};

/* The descriptor becomes ours; -1: a QEMU without a monitor, of which each command is -EPIPE. */
void qmp_init(struct qmp *q, int fd);
void qmp_done(struct qmp *q);

/* A command, with arguments that are taken over (NULL: none), and a descriptor (-1: none), until so many ms
 * have passed. 0 and *ret_value, if that is wanted (json_decref() it); -ETIMEDOUT: QEMU does not answer;
 * -EPIPE: it has none, or no more; -EREMOTEIO: QEMU refuses; -EBADMSG: that is no QEMU. Whatever it is, error
 * says it. */
int qmp_command(
	struct qmp *q, const char *name, json_t *arguments, int fd, uint64_t timeout_ms, json_t **ret_value);
/* A line for a person's monitor, and what it prints: heap. */
int qmp_human(struct qmp *q, const char *line, uint64_t timeout_ms, char **ret_text);
/* Takes a device away, given by its path, and waits until the guest has let it go. */
int qmp_unplug(struct qmp *q, const char *path, uint64_t timeout_ms);

/* Reads what QEMU says unasked, so that it does not pile up: 0, or -EPIPE at its end. */
int qmp_drain(struct qmp *q);
