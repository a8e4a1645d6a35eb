/* SPDX-License-Identifier: BSD-2-Clause */
/* A QEMU command line as far as networks are concerned: which arguments are network options, and what else
 * decides whether QEMU makes a network of its own accord. Nothing is judged here; see qemu_plan.h. */
#pragma once

#include "qemu_opts.h"

enum qemu_part_kind {
	QEMU_PART_OTHER,   /* an option that is none of the below, or a disk image */
	QEMU_PART_NET_NIC, /* -net nic,...: a NIC, on a hub unless it has netdev= */
	QEMU_PART_NET,     /* -net TYPE,...: a back end on a hub */
	QEMU_PART_NETDEV,  /* -netdev TYPE,id=...: a back end for whoever names it */
	QEMU_PART_NIC,     /* -nic TYPE,...: a NIC and its back end */
	QEMU_PART_DEVICE,  /* -device NIC,... */
	QEMU_PART_MOVED, /* -redir, -tftp, -smb, -bootp, -net channel: said of a user back end from elsewhere
			  */
	QEMU_PART_KIND_MAX,
};

/* One option with its value. */
struct qemu_part {
	enum qemu_part_kind kind;
	int at;                /* of the option in argv */
	int n_args;            /* 1, or 2 with its value */
	const char *name;      /* without dashes; NULL: a disk image */
	const char *value;     /* NULL: none */
	struct qemu_opts opts; /* of the network kinds */
	bool is_json;
	bool is_changed; /* has options from elsewhere, and cannot pass as it is */
	int hub;         /* of NET_NIC without netdev= and of NET: vlan=, or 0; of DEVICE: vlan=; else -1 */
};

struct qemu_line {
	char **argv; /* the caller's; argv[0] is the program */
	int argc;
	struct qemu_part *parts; /* heap */
	unsigned int n_parts;
	/* What was said of the user back end that QEMU makes when no network option is there. Its place in
	 * argv is 0. */
	struct qemu_part implied;
	bool may_tap;    /* of the caller: it makes taps, where QEMU would */
	bool may_vhost;  /* the same: taps on bridges are to be moved by the kernel (vhost-net) */
	bool has_net;    /* QEMU makes no default network */
	bool nodefaults; /* the same, by -nodefaults */
	bool daemonizes;
	bool informs;        /* QEMU prints something (-help, -device help) and exits */
	const char *machine; /* value of -machine or -M; NULL: the default one */
};

/* What is wrong with a line: an argument and a place in it. */
struct qemu_error {
	char text[320];
	int arg; /* index in argv; -1: none */
	size_t at, n_bytes;
};

/* Fills *e in and answers -EINVAL. */
int qemu_fail(struct qemu_error *e, int arg, size_t at, size_t n_bytes, const char *format, ...)
	_printf_(5, 6);

/* 0, -ENOMEM, or -EINVAL and *e. Keeps pointers into argv. */
int qemu_line_parse(int argc, char **argv, struct qemu_line *ret, struct qemu_error *e);
void qemu_line_done(struct qemu_line *l);

/* What kind of back end it is, or "" if it does not say. */
const char *qemu_part_type(const struct qemu_part *p);
bool qemu_part_is(const struct qemu_part *p, const char *type);
/* What it is called by others: id= or name=; NULL: it is not. */
const char *qemu_part_id(const struct qemu_part *p);
/* What stands in argv for an option's value, and where: the argument's index. */
int qemu_part_arg(const struct qemu_part *p, const struct qemu_opt *o);

/* Has some option of the line id=ID? */
bool qemu_line_has_id(const struct qemu_line *l, const char *id);
/* The NIC that a PC has if none is named. */
const char *qemu_line_default_model(const struct qemu_line *l);
/* The program is QEMU for something that is no PC, whose NICs are others. */
bool qemu_line_is_no_pc(const struct qemu_line *l);
/* The machine has no place for a default NIC (none, microvm). */
bool qemu_line_is_without_nic(const struct qemu_line *l);
