/* SPDX-License-Identifier: BSD-2-Clause */
/* The device of rings.c, as a front end and a driver see it: rings_device.c. Each descriptor owns the buffer of
 * its number for good, so that putting one in is a few stores. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_NUM_MAX 1024
#define BUFFER_BYTES (68u << 10) /* distance of buffers */

enum { RING_RX, RING_TX, N_RINGS };

enum feature {
	F_CSUM = 0,
	F_GUEST_CSUM = 1,
	F_GUEST_TSO4 = 7,
	F_HOST_TSO4 = 11,
	F_MRG_RXBUF = 15,
	F_EVENT_IDX = 29,
	F_PROTOCOL_FEATURES = 30,
	F_VERSION_1 = 32,
	F_RING_PACKED = 34,
};

#define VNET_NEEDS_CSUM 1
#define VNET_GSO_TCP4   1

struct vnet_header { /* virtio 1.2, 5.1.6; little endian */
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, n_buffers;
};

struct ring {
	uint16_t num;
	uint8_t *desc, *driver, *device; /* split: table, available, used; packed: ring and events */
	uint16_t next, seen; /* counts of buffers put in and taken out */
	uint16_t shown;      /* of `next`, at the last look whether to notify */
	int kick_fd, call_fd;
};

struct device {
	int sock, mem_fd;
	uint8_t *mem;
	uint64_t features;
	bool packed, event_idx;
	unsigned int n_buffer_bytes; /* of a buffer to receive into */
	struct ring rings[N_RINGS];
	uint16_t n_free;             /* to send from; taken in order */
	bool dirty[RING_NUM_MAX];
	uint64_t n_reaped, n_taken, n_kicks;
};

/* A buffer that the other end has written. */
struct taken {
	unsigned int id;
	uint32_t n_bytes;
};

_Noreturn void rings_die(const char *what);

void device_open(struct device *d, const char *path, bool packed, bool no_offload, uint16_t num,
	unsigned int n_buffer_bytes);
uint8_t *device_buffer(const struct device *d, int ring, unsigned int id);
/* The next buffer to send from: false: all are on their way. Then fill it and put it in. */
bool device_get(struct device *d, unsigned int *ret_id);
void device_put(struct device *d, unsigned int id, size_t n_bytes);
/* Takes back what was sent. */
void device_reap(struct device *d);
/* The next that was received; give it back in the same order. */
bool device_take(struct device *d, struct taken *ret);
void device_give(struct device *d, unsigned int id);
/* Notifies of what was put in, if that is wished. */
void device_kick(struct device *d, int ring);
