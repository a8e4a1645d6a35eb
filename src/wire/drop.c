/* SPDX-License-Identifier: BSD-2-Clause */
#include "drop.h"

#include <assert.h>

#include "util.h"

static const char *const names[] = {
	[DROP_NONE] = "none",
	[DROP_TRUNCATED] = "truncated",
	[DROP_BAD_HEADER] = "bad-header",
	[DROP_BAD_CHECKSUM] = "bad-checksum",
	[DROP_BAD_OFFLOAD] = "bad-offload",
	[DROP_FORGED_SOURCE] = "forged-source",
	[DROP_NOT_FOR_US] = "not-for-us",
	[DROP_NO_LEASE] = "no-lease",
	[DROP_FRAGMENT] = "fragment",
	[DROP_FRAGMENT_CAP] = "fragment-cap",
	[DROP_FLOW_CAP] = "flow-cap",
	[DROP_NO_SOCKET] = "no-socket",
	[DROP_NO_ROUTE] = "no-route",
	[DROP_POLICY] = "policy",
	[DROP_ROGUE_SERVER] = "rogue-server",
	[DROP_NO_ROOM] = "no-room",
	[DROP_SOCKET_FULL] = "socket-full",
	[DROP_OUT_OF_WINDOW] = "out-of-window",
	[DROP_TOO_BIG] = "too-big",
	[DROP_TTL] = "ttl",
};
static_assert(ARRAY_SIZE(names) == DROP_REASON_MAX, "every reason has a name");

const char *drop_reason_name(enum drop_reason reason)
{
	return (unsigned int)reason < DROP_REASON_MAX ? names[reason] : "unknown";
}
