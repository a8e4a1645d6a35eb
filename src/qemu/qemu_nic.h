/* SPDX-License-Identifier: BSD-2-Clause */
/* The network cards that QEMU has had on a PC, 0.10 to 10.x. */
#pragma once

#include <stdbool.h>

struct qemu_nic {
	const char *name;   /* of -device */
	const char *alias;  /* of -net nic,model= or an old name; NULL: none */
	const char *words;  /* what it is, for a person */
	const char *driver; /* of Linux */
};

/* Has it a place on a PCI bus, which addr= names? NULL, a card that is not known here, is taken to have one. */
bool qemu_nic_has_slot(const struct qemu_nic *nic);
/* By either name; NULL: none of ours. */
const struct qemu_nic *qemu_nic_find(const char *name);
