/* SPDX-License-Identifier: BSD-2-Clause */
/* BOOTP and DHCP messages for IPv4 (RFC 951, 1542, 2131, 2132).
 *
 * A message is its fixed fields and a list of options. Options are views: of the message that was
 * parsed, or of whatever the caller had them point at. Those that came in the file and sname fields
 * (option 52, "overload") stand in the same list, and the fields then read as empty; option 52 itself
 * is not listed, and is never written. Options that are split over several instances (RFC 3396) are
 * not joined: each instance is an entry of its own. */
#pragma once

#include "addr.h"
#include "cursor.h"
#include "drop.h"

#define DHCP4_SERVER_PORT  67
#define DHCP4_CLIENT_PORT  68
#define DHCP4_SNAME_BYTES  64
#define DHCP4_FILE_BYTES   128
#define DHCP4_FIXED_BYTES  236
#define DHCP4_COOKIE_BYTES 4
#define DHCP4_MIN_BYTES    300 /* RFC 951, 3; RFC 1542, 2.1: shorter ones are padded */
#define DHCP4_OPTIONS_MAX  64

enum dhcp4_op {
	DHCP4_OP_REQUEST = 1,
	DHCP4_OP_REPLY = 2,
};

/* Option 53. */
enum dhcp4_type {
	DHCP4_BOOTP = 0, /* no option 53 */
	DHCP4_DISCOVER = 1,
	DHCP4_OFFER = 2,
	DHCP4_REQUEST = 3,
	DHCP4_DECLINE = 4,
	DHCP4_ACK = 5,
	DHCP4_NAK = 6,
	DHCP4_RELEASE = 7,
	DHCP4_INFORM = 8,
};

enum dhcp4_code {
	DHCP4_OPT_PAD = 0,
	DHCP4_OPT_MASK = 1,
	DHCP4_OPT_ROUTER = 3,
	DHCP4_OPT_DNS = 6,
	DHCP4_OPT_HOSTNAME = 12,
	DHCP4_OPT_DOMAIN = 15,
	DHCP4_OPT_MTU = 26,
	DHCP4_OPT_REQUESTED = 50,
	DHCP4_OPT_LEASE_TIME = 51,
	DHCP4_OPT_OVERLOAD = 52,
	DHCP4_OPT_TYPE = 53,
	DHCP4_OPT_SERVER_ID = 54,
	DHCP4_OPT_PARAMETERS = 55,
	DHCP4_OPT_MESSAGE = 56,
	DHCP4_OPT_MAX_SIZE = 57,
	DHCP4_OPT_RENEWAL = 58,
	DHCP4_OPT_REBINDING = 59,
	DHCP4_OPT_VENDOR_CLASS = 60,
	DHCP4_OPT_CLIENT_ID = 61,
	DHCP4_OPT_TFTP_SERVER = 66,
	DHCP4_OPT_BOOTFILE = 67,
	DHCP4_OPT_SEARCH = 119, /* RFC 3397 */
	DHCP4_OPT_END = 255,
};

struct dhcp4_option {
	uint8_t code; /* neither PAD, OVERLOAD nor END */
	uint8_t n_bytes;
	const uint8_t *data;
};

struct dhcp4 {
	uint8_t op; /* enum dhcp4_op */
	uint8_t hops;
	bool broadcast;  /* the flag of RFC 2131, 4.1; the reserved bits are not kept */
	bool has_cookie; /* false: no options; the vendor field was of some other kind, or absent */
	uint16_t secs;
	uint32_t xid;
	uint32_t ciaddr_be, yiaddr_be, siaddr_be, giaddr_be;
	struct mac chaddr;
	uint8_t sname[DHCP4_SNAME_BYTES], file[DHCP4_FILE_BYTES]; /* as they lie; not always terminated */
	unsigned int n_options;
	struct dhcp4_option options[DHCP4_OPTIONS_MAX];
};

/* Reads all of r. Lengths of the options named above are checked, so that what dhcp4_find() returns for
 * one of them has the size that RFC 2132 gives it. DROP_NONE, DROP_TRUNCATED, or DROP_BAD_HEADER for
 * other hardware than Ethernet, more than DHCP4_OPTIONS_MAX options or a length that is not allowed. */
enum drop_reason dhcp4_parse(struct rd *r, struct dhcp4 *ret);

/* Padded to DHCP4_MIN_BYTES. */
void dhcp4_emit(struct wr *w, const struct dhcp4 *m);

/* The first instance, or NULL. */
const struct dhcp4_option *dhcp4_find(const struct dhcp4 *m, uint8_t code);

/* An option that holds one address (REQUESTED, SERVER_ID); false if absent. Network order. */
bool dhcp4_find_addr(const struct dhcp4 *m, uint8_t code, uint32_t *ret_be);

/* enum dhcp4_type or a number that is none of them. */
uint8_t dhcp4_type(const struct dhcp4 *m);
