/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines that QEMU's monitor printed. What is found lies in the line, or fits where it is put. */
#include "qemu_info.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void take(const char *line)
{
	const char *end = line + strlen(line);
	char id[QEMU_INFO_NAME_BYTES] = "";
	struct qemu_info_row r;
	struct qemu_info_forward f;

	if (qemu_info_parse_row(line, &r)) {
		require(r.name >= line && r.name + r.n_name <= end && !memchr(r.name, ' ', r.n_name));
		require(r.index >= r.name && r.index + r.n_index <= end && r.type > r.index && r.type <= end);
	}
	if (qemu_info_parse_hub(line, id))
		require(id[0] && strnlen(id, sizeof(id)) < sizeof(id));
	if (qemu_info_parse_forward(line, &f))
		require(f.src_port <= 65535 && f.dst_port <= 65535 && f.src[0] && f.dst[0] &&
			strnlen(f.src, sizeof(f.src)) < sizeof(f.src) &&
			strnlen(f.dst, sizeof(f.dst)) < sizeof(f.dst));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	_cleanup_free_ char *text = strndup((const char *)data, n_bytes);
	char *next;

	if (!text)
		return 0;
	for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next))
		take(line);
	return 0;
}
