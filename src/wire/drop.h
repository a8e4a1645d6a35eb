/* SPDX-License-Identifier: BSD-2-Clause */
/* Why a frame was not acted upon. Each is counted; `--stats` and `status` show the counts by name. */
#pragma once

enum drop_reason {
	DROP_NONE,
	DROP_TRUNCATED,      /* shorter than its headers say */
	DROP_BAD_HEADER,     /* a length, version or field that no sender may write */
	DROP_BAD_CHECKSUM,   /* wrong, and the offload header did not excuse it */
	DROP_BAD_OFFLOAD,    /* an offload header that does not fit the frame */
	DROP_FORGED_SOURCE,  /* a source address that this guest may not use */
	DROP_NOT_FOR_US,     /* another station's, or no protocol of ours */
	DROP_NO_LEASE,       /* all addresses are given out */
	DROP_FRAGMENT,       /* a fragment that overlaps, is too long, or came too late */
	DROP_FRAGMENT_CAP,   /* the oldest unfinished datagram, to make room */
	DROP_FLOW_CAP,       /* the guest has as many flows as it may */
	DROP_NO_SOCKET,      /* the host has no descriptor or port left */
	DROP_NO_ROUTE,       /* the host cannot reach the destination */
	DROP_POLICY,         /* --restrict, --no-host-loopback, --no-host */
	DROP_ROGUE_SERVER,   /* DHCP answers or router advertisements of a guest for others */
	DROP_NO_ROOM,        /* the guest did not read */
	DROP_SOCKET_FULL,    /* the host's socket would not take it */
	DROP_OUT_OF_WINDOW,  /* a TCP segment outside the window, or not the next one */
	DROP_TOO_BIG,        /* larger than the link carries */
	DROP_TTL,            /* time to live ended at the gateway */
	DROP_REASON_MAX,
};

/* "truncated", "bad-header", ...; never NULL. */
const char *drop_reason_name(enum drop_reason reason);
