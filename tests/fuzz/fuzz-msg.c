/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages between parent and engine. Input: a byte that says whether a descriptor came along, then the
 * message. What parses must be emitted as the very bytes that it was parsed from. */
#include <assert.h>

#include "msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct msg m;
	static uint8_t again[MSG_MAX_BYTES];

	if (size == 0)
		return 0;
	if (msg_parse(data + 1, size - 1, data[0] & 1, &m) < 0)
		return 0;
	assert(m.type < MSG_TYPE_MAX);
	size_t n = msg_emit(&m, again, sizeof(again));
	assert(n == size - 1 && memcmp(again, data + 1, n) == 0);
	if (m.type == MSG_STATS || m.type == MSG_WARNING) {
		msg_text_clean(&m.text);
		for (size_t i = 0; i < m.text.n_bytes; i++)
			assert(m.text.bytes[i] == '\n' || (m.text.bytes[i] >= ' ' && m.text.bytes[i] <= '~'));
	}
	return 0;
}
