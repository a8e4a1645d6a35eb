/* SPDX-License-Identifier: BSD-2-Clause */
#include "qemu_hub.h"

#include "conf_text.h"

bool qemu_hub_is_nic(const struct qemu_part *p)
{
	return p->hub >= 0 && (p->kind == QEMU_PART_NET_NIC || p->kind == QEMU_PART_DEVICE);
}

bool qemu_hub_is_back_end(const struct qemu_part *p)
{
	static const char *const types[] = {"user", "tap", "bridge", "lan", "socket", "vde", "l2tpv3", "netmap"};

	for (unsigned int i = 0; p->hub >= 0 && p->kind == QEMU_PART_NET && i < ARRAY_SIZE(types); i++)
		if (qemu_part_is(p, types[i]))
			return true;
	return false;
}

static bool is_port(const struct qemu_part *p, int number)
{
	const char *hubid = qemu_opts_value(&p->opts, "hubid");
	uint64_t n;

	if ((p->kind != QEMU_PART_NETDEV && p->kind != QEMU_PART_NIC) || !qemu_part_is(p, "hubport") ||
		!hubid)
		return false;
	return conf_number(hubid, strlen(hubid), 0, 0, INT32_MAX, &n) && (int)n == number;
}

void qemu_hub_get(const struct qemu_line *l, int number, struct qemu_hub *ret)
{
	*ret = (struct qemu_hub){.nic = -1, .back_end = -1};
	for (unsigned int i = 0; i < l->n_parts; i++) {
		const struct qemu_part *p = &l->parts[i];

		ret->n_ports += is_port(p, number);
		if (p->hub != number)
			continue;
		if (qemu_hub_is_nic(p)) {
			ret->n_nics++;
			ret->nic = (int)i;
			ret->has_device = ret->has_device || p->kind == QEMU_PART_DEVICE;
			ret->has_addr = ret->has_addr || qemu_opts_find(&p->opts, "addr");
		} else if (qemu_hub_is_back_end(p)) {
			ret->n_back_ends++;
			ret->back_end = (int)i;
		} else if (p->kind == QEMU_PART_NET && qemu_part_is(p, "dump")) {
			ret->n_dumps++;
		}
	}
}
