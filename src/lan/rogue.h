/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames by which a guest would set up the others: answers of DHCP servers (RFC 2131; RFC 7610 for DHCPv6)
 * and router advertisements (RFC 6105). Only the gateway of a user-mode network does that. */
#pragma once

#include "cursor.h"

/* The protocol of a frame (host order), behind at most two VLAN tags: a guest takes a frame with a priority
 * tag for one without. *r is at the frame's start, and then behind the protocol's field. */
uint16_t rogue_eth_type(struct rd *r);

/* head: the frame from its start on, or as much of it as was copied out. Headers that go on beyond that, or
 * do not end, count as rogue: they are there to hide what follows (RFC 7113). */
bool rogue_server(struct rd head);
