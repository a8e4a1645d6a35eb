/* SPDX-License-Identifier: BSD-2-Clause */
/* The DHCP and BOOTP server of a user-mode network (RFC 951, 1534, 2131, 2132, 3397, 6842): a pure
 * module. It takes the payload of a datagram to port 67 and fills in the payload of the answer and where
 * that goes; it knows nothing of frames and sockets, and has no timer. */
#pragma once

#include "dhcp4.h"

#define DHCP_LEASES_MAX   256
#define DHCP_NAME_BYTES   256 /* with its NUL */
#define DHCP_SEARCH_BYTES 510 /* two options' worth of encoded names */
#define DHCP_REPLY_BYTES  1472
#define DHCP_LEASE_S      86400
#define DHCP_OFFER_MS     60000
#define DHCP_DECLINE_MS   300000

/* Strings may be NULL or empty: the option is then left out. All are copied. */
struct dhcp_config {
	uint32_t net_be, mask_be;
	uint32_t host_be;           /* router, server identifier, next server; never given out */
	uint32_t dns_be;            /* option 6; 0: none; never given out */
	uint32_t dhcp_start_be;     /* the first address, which the first guest gets */
	unsigned int n_leases;      /* 1 to DHCP_LEASES_MAX; cut to what fits in the net */
	unsigned int n_port_leases; /* of one port; 0: n_leases. With n guests' ports, n_leases / n of them
	                               is what keeps one port from starving the others. */
	uint32_t lease_s;           /* option 51; 0: DHCP_LEASE_S */
	uint16_t mtu;               /* option 26, for clients that ask for it; 0: none */
	bool mtu_unasked;           /* for all of them */
	bool restricted;            /* no router (option 3) */
	const char *hostname;       /* option 12 */
	const char *domainname;     /* option 15 */
	const char (*search)[DHCP_NAME_BYTES]; /* n_search names, option 119 */
	unsigned int n_search;
	const char *bootfile;         /* file field; option 67 too when asked for or longer than the field */
	const char *tftp_server_name; /* option 66 */
	/* Whether a station other than this one was heard to use the address, which is then given out
	 * last; NULL: nobody knows. */
	bool (*taken)(void *ctx, uint32_t addr_be, const struct mac *mac, uint16_t port_id);
	void *ctx;
};

enum dhcp_lease_state {
	DHCP_LEASE_FREE,     /* never given out; no owner */
	DHCP_LEASE_OFFERED,  /* until expires_ms; later only remembered */
	DHCP_LEASE_BOUND,    /* until expires_ms; later only remembered */
	DHCP_LEASE_RELEASED, /* only remembered: its owner gets it again while nobody else needed it */
	DHCP_LEASE_DECLINED, /* in use by somebody unknown: set aside until expires_ms; no MAC, but counts
	                        for the port that declined it */
	DHCP_LEASE_STATE_MAX,
};

/* The owner is port and MAC: two guests with one MAC on separate ports are two. */
struct dhcp_lease {
	uint64_t expires_ms;
	uint64_t used_ms; /* last message about it */
	struct mac mac;
	uint16_t port_id;
	uint8_t state; /* enum dhcp_lease_state */
	uint8_t reserved[7];
};

/* Plain data, no pointers: another process on this host may go on with it (dhcp_server_adopt). The
 * address of lease[i] is dhcp_start + i. Times are of a clock that goes on during suspend. */
struct dhcp_table {
	uint32_t dhcp_start_be;
	uint32_t n_leases;
	struct dhcp_lease lease[DHCP_LEASES_MAX];
};

/* May be embedded. Its fields are the module's own, but for table, which may be read and copied. */
struct dhcp_server {
	uint32_t net_be, mask_be, host_be, dns_be;
	uint32_t n_port_leases, lease_s;
	uint16_t mtu;
	bool mtu_unasked, restricted;
	char hostname[DHCP_NAME_BYTES], domainname[DHCP_NAME_BYTES];
	char bootfile[DHCP_NAME_BYTES], tftp_server_name[DHCP_NAME_BYTES];
	uint8_t search[DHCP_SEARCH_BYTES];
	size_t n_search_bytes;
	bool (*taken)(void *ctx, uint32_t addr_be, const struct mac *mac, uint16_t port_id);
	void *ctx;
	struct dhcp_table table;
};

/* What to send from host_be port 67 to dst_be port 68. It goes to the port that asked and to no other,
 * also when dst_mac is the broadcast address. */
struct dhcp_reply {
	size_t n_bytes; /* 0: no reply */
	uint32_t dst_be;
	struct mac dst_mac;
	uint8_t bytes[DHCP_REPLY_BYTES];
};

struct dhcp_lease_info {
	uint32_t addr_be;
	struct mac mac;
	uint16_t port_id;
	uint8_t state;    /* OFFERED or BOUND while time is left; else RELEASED, or DECLINED */
	uint64_t left_ms; /* 0 when it has run out */
};

/* 0, -EINVAL: addresses that do not fit together, or a search name that is none; -E2BIG: a string or
 * the search list too long. */
int dhcp_server_init(struct dhcp_server *ret, const struct dhcp_config *c);

/* Shares the pool between so many ports, so that none can take all of it. Leases given out stay. */
void dhcp_server_share(struct dhcp_server *s, unsigned int n_ports);

/* msg: what came to port 67 from a guest on port_id in a frame from frame_src. DROP_NONE: handled, and
 * ret->n_bytes says whether there is a reply. Otherwise nothing is to be sent. */
enum drop_reason dhcp_server_handle(struct dhcp_server *s, uint64_t now_ms, const struct mac *frame_src,
		uint16_t port_id, const uint8_t *msg, size_t n_bytes, struct dhcp_reply *ret);

/* Who was the last to be given this address for good; a lease that has run out or was released still
 * names its owner until somebody else gets the address. */
bool dhcp_server_find_mac(const struct dhcp_server *s, uint32_t addr_be, struct mac *ret, uint16_t *ret_port);
/* The reverse. Network order. */
bool dhcp_server_find_addr(const struct dhcp_server *s, const struct mac *mac, uint16_t port_id,
		uint32_t *ret_be);

/* Each lease that is not FREE, in the order of addresses: *cursor starts as 0. false: no more. */
bool dhcp_server_next(const struct dhcp_server *s, uint64_t now_ms, unsigned int *cursor,
		struct dhcp_lease_info *ret);

/* Takes over what another server had given out, as far as it fits this one's addresses; t is checked as
 * untrusted input. For a fresh server. Returns how many leases were taken. */
unsigned int dhcp_server_adopt(struct dhcp_server *s, uint64_t now_ms, const struct dhcp_table *t);
