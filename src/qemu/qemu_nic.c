/* SPDX-License-Identifier: BSD-2-Clause */
#include "qemu_nic.h"

#include <string.h>

#include "util.h"

static const struct qemu_nic nics[] = {
	{"e1000", "e1000-82540em", "an Intel 82540EM (gigabit)", "e1000"},
	{"e1000-82544gc", NULL, "an Intel 82544GC (gigabit)", "e1000"},
	{"e1000-82545em", NULL, "an Intel 82545EM (gigabit)", "e1000"},
	{"e1000e", NULL, "an Intel 82574L (gigabit)", "e1000e"},
	{"igb", NULL, "an Intel 82576 (gigabit)", "igb"},
	{"i82550", NULL, "an Intel 82550 (100 Mbit/s)", "e100"},
	{"i82551", NULL, "an Intel 82551 (100 Mbit/s)", "e100"},
	{"i82557a", NULL, "an Intel 82557A (100 Mbit/s)", "e100"},
	{"i82557b", NULL, "an Intel 82557B (100 Mbit/s)", "e100"},
	{"i82557c", NULL, "an Intel 82557C (100 Mbit/s)", "e100"},
	{"i82558a", NULL, "an Intel 82558A (100 Mbit/s)", "e100"},
	{"i82558b", NULL, "an Intel 82558B (100 Mbit/s)", "e100"},
	{"i82559a", NULL, "an Intel 82559A (100 Mbit/s)", "e100"},
	{"i82559b", NULL, "an Intel 82559B (100 Mbit/s)", "e100"},
	{"i82559c", NULL, "an Intel 82559C (100 Mbit/s)", "e100"},
	{"i82559er", NULL, "an Intel 82559ER (100 Mbit/s)", "e100"},
	{"i82562", NULL, "an Intel 82562 (100 Mbit/s)", "e100"},
	{"i82801", NULL, "an Intel 82801 (100 Mbit/s)", "e100"},
	{"ne2k_isa", NULL, "an NE2000 on the ISA bus (10 Mbit/s)", "ne"},
	{"ne2k_pci", NULL, "an NE2000 on the PCI bus (10 Mbit/s)", "ne2k-pci"},
	{"pcnet", NULL, "an AMD PCnet (10 Mbit/s)", "pcnet32"},
	{"rtl8139", NULL, "a Realtek 8139C+ (100 Mbit/s)", "8139cp"},
	{"tulip", NULL, "a DEC 21143 (100 Mbit/s)", "tulip"},
	{"usb-net", "usb", "a USB network adapter (CDC Ethernet)", "cdc_ether"},
	{"virtio-net-pci", "virtio", "a paravirtual NIC, the fastest", "virtio_net"},
	{"virtio-net", NULL, "a paravirtual NIC, the fastest", "virtio_net"},
	{"virtio-net-pci-transitional", NULL, "a paravirtual NIC, also for guests before virtio 1.0",
		"virtio_net"},
	{"virtio-net-pci-non-transitional", NULL, "a paravirtual NIC, virtio 1.0 and later alone",
		"virtio_net"},
	{"virtio-net-device", NULL, "a paravirtual NIC without PCI", "virtio_net"},
	{"virtio-net-ccw", NULL, "a paravirtual NIC of the s390 channel", "virtio_net"},
	{"vmxnet3", NULL, "VMware's paravirtual NIC", "vmxnet3"},
};

bool qemu_nic_has_slot(const struct qemu_nic *nic)
{
	static const char *const without[] = {"ne2k_isa", "usb-net", "virtio-net-device", "virtio-net-ccw"};

	for (unsigned int i = 0; nic && i < ARRAY_SIZE(without); i++)
		if (strcmp(nic->name, without[i]) == 0)
			return false;
	return true;
}

const struct qemu_nic *qemu_nic_find(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(nics); i++)
		if (strcmp(nics[i].name, name) == 0 || (nics[i].alias && strcmp(nics[i].alias, name) == 0))
			return &nics[i];
	return NULL;
}
