/* SPDX-License-Identifier: BSD-2-Clause */
#include "qemu_info.h"

#include <stdio.h>

bool qemu_info_parse_row(const char *line, struct qemu_info_row *ret)
{
	const char *at = strstr(line, ": index="), *type = at ? strstr(at, ",type=") : NULL;

	if (!type)
		return false;
	ret->name = at;
	while (ret->name > line && ret->name[-1] != ' ')
		ret->name--;
	ret->n_name = (size_t)(at - ret->name);
	ret->index = at + strlen(": ");
	ret->n_index = (size_t)(type - ret->index);
	ret->type = type + strlen(",type=");
	return true;
}

bool qemu_info_parse_hub(const char *line, char ret_id[QEMU_INFO_NAME_BYTES])
{
	char id[QEMU_INFO_NAME_BYTES];

	if (sscanf(line, "Hub %*d (%127[^)]", id) != 1)
		return false;
	(void)strcpy(ret_id, id);
	return true;
}

bool qemu_info_parse_forward(const char *line, struct qemu_info_forward *ret)
{
	struct qemu_info_forward f = {0};
	char proto[4];

	if (sscanf(line, " %3[A-Z][HOST_FORWARD] %*d %47s %u %47s %u", proto, f.src, &f.src_port, f.dst,
		    &f.dst_port) != 5 ||
		f.src_port > 65535 || f.dst_port > 65535)
		return false;
	f.udp = strcmp(proto, "UDP") == 0;
	if (strcmp(f.src, "*") == 0)
		(void)strcpy(f.src, "0.0.0.0");
	*ret = f;
	return true;
}
