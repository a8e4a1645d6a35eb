/* SPDX-License-Identifier: BSD-2-Clause */
/* What the front end asks of the device.
 *
 * The order of requests is the front end's: QEMU enables rings before it says where they are, and User Mode
 * Linux after. So each request only notes what it says, and a ring is started whenever something came that
 * may have been the last that was missing (vhost_ring_start()); SET_VRING_KICK is what it needs in any case.
 * GET_VRING_BASE stops it.
 *
 * A request that fails is answered so, if the front end waits for an answer; otherwise it would go on in a
 * false belief, and the connection is ended.
 *
 * Not every front end is offered the same. BACKEND_REQ is wanted by User Mode Linux before 6.12 or so, which
 * has no interrupt without it; QEMU does without. MTU and STATUS speak of fields of the device's configuration,
 * which QEMU has itself and others would ask us for.
 *
 * In-band notifications (kicks and calls that are messages here, and on the socket of SET_BACKEND_REQ_FD) are
 * offered only where the port was told to: who is offered them uses them, and each costs a message and its
 * answer. A User Mode Linux under a simulated clock (time-travel=ext:) is told by nothing else. */
#include "vhost_dev.h"

#include "eth.h"
#include "vhost_fd.h"

#define ETH_TYPE_RARP 0x8035
#define RARP_BYTES    60
#define MTU_MIN       68
#define MTU_MAX       65535
#define BIT(n)        ((uint64_t)1 << (n))

#define VHOST_PACKED_FRESH 0x80008000u

static const uint64_t features_base =
	BIT(VHOST_F_CSUM) | BIT(VHOST_F_GUEST_CSUM) | BIT(VHOST_F_GUEST_TSO4) | BIT(VHOST_F_GUEST_TSO6) |
	BIT(VHOST_F_HOST_TSO4) | BIT(VHOST_F_HOST_TSO6) | BIT(VHOST_F_HOST_ECN) | BIT(VHOST_F_MRG_RXBUF) |
	BIT(VHOST_F_LOG_ALL) | BIT(VHOST_F_ANY_LAYOUT) | BIT(VHOST_F_INDIRECT_DESC) | BIT(VHOST_F_EVENT_IDX) |
	BIT(VHOST_F_PROTOCOL_FEATURES) | BIT(VHOST_F_VERSION_1) | BIT(VHOST_F_RING_PACKED) |
	BIT(VHOST_F_GUEST_USO4) | BIT(VHOST_F_GUEST_USO6) | BIT(VHOST_F_HOST_USO);
static const uint64_t features_configured = BIT(VHOST_F_MTU) | BIT(VHOST_F_STATUS);
/* Of which a driver asks by its control queue: a front end that has none must not pass it on. */
static const uint64_t features_several = BIT(VHOST_F_MQ);

static const uint64_t protocol_base = BIT(VHOST_PROTOCOL_LOG_SHMFD) | BIT(VHOST_PROTOCOL_RARP) |
	BIT(VHOST_PROTOCOL_REPLY_ACK) | BIT(VHOST_PROTOCOL_NET_MTU) | BIT(VHOST_PROTOCOL_MEM_SLOTS) |
	BIT(VHOST_PROTOCOL_STATUS);

static uint64_t offered_features(const struct vhost_device *d)
{
	if (d->owner_first)
		return features_base;
	return features_base | features_configured | (d->n_ports > 1 ? features_several : 0);
}

static uint64_t offered_protocol(const struct vhost_device *d)
{
	uint64_t in_band = d->config.in_band ? BIT(VHOST_PROTOCOL_IN_BAND) : 0;

	return protocol_base | in_band | (in_band || d->owner_first ? BIT(VHOST_PROTOCOL_BACKEND_REQ) : 0) |
	       (d->n_ports > 1 ? BIT(VHOST_PROTOCOL_MQ) : 0);
}

static unsigned int n_rings(const struct vhost_device *d)
{
	return 2 * d->n_ports;
}

/* Which must exist. */
static struct vhost_ring *ring_at(struct vhost_device *d, unsigned int i, struct vhost_port **ret)
{
	*ret = d->ports[i / 2];
	return &(*ret)->rings[i % 2];
}

static void pair_init(struct vhost_port *p)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct vhost_ring *r = &p->rings[i];

		r->config = (struct vring_config){.mem = &p->mem};
		r->kick_fd = r->call_fd = r->err_fd = -1;
		r->has_addr = r->enabled = r->was_enabled = r->running = r->broken = false;
		r->to_signal = r->call_due = r->more = false;
	}
	p->features = 0;
	p->port.caps = 0;
	p->mergeable = p->direct = false;
	p->reserved = p->staged = p->refused = p->held = false;
	p->header_bytes = VHOST_HEADER_BYTES;
	p->n_posted_max = p->n_refused = 0;
	vhost_mem_copy(&p->mem, &p->dev->mem);
}

void vhost_device_init(struct vhost_device *d)
{
	d->features = d->protocol = 0;
	d->owner_first = d->has_request = false;
	d->status = 0;
	for (unsigned int i = 0; i < d->n_ports; i++)
		pair_init(d->ports[i]);
}

void vhost_device_reset(struct vhost_device *d)
{
	for (unsigned int i = 0; i < n_rings(d); i++) {
		struct vhost_port *p;
		struct vhost_ring *r = ring_at(d, i, &p);

		vhost_ring_stop(p, r);
		util_close(&r->call_fd);
		util_close(&r->err_fd);
	}
	vhost_mem_reset(&d->mem);
	vhost_reader_done(&d->reader);
	vhost_fd_close(&d->backend_fd);
	vhost_device_init(d);
}

static bool any_running(struct vhost_device *d)
{
	for (unsigned int i = 0; i < n_rings(d); i++) {
		struct vhost_port *p;

		if (ring_at(d, i, &p)->running)
			return true;
	}
	return false;
}

/* Which frames the driver takes as they are. */
static void apply_features(struct vhost_port *p, uint64_t features)
{
	p->features = features;
	bool csum = vhost_has(p, VHOST_F_GUEST_CSUM);
	bool modern = vhost_has(p, VHOST_F_VERSION_1);

	p->mergeable = vhost_has(p, VHOST_F_MRG_RXBUF);
	/* virtio 1.2, 5.1.6.1: older drivers have num_buffers only if they merge. */
	p->header_bytes = modern || p->mergeable ? VHOST_HEADER_BYTES : VHOST_HEADER_BYTES - 2;
	p->port.caps = 0;
	if (csum)
		p->port.caps |= PORT_CAP_CSUM;
	if (csum && vhost_has(p, VHOST_F_GUEST_TSO4))
		p->port.caps |= PORT_CAP_TSO4;
	if (csum && vhost_has(p, VHOST_F_GUEST_TSO6))
		p->port.caps |= PORT_CAP_TSO6;
	if (csum && vhost_has(p, VHOST_F_GUEST_USO4) && vhost_has(p, VHOST_F_GUEST_USO6))
		p->port.caps |= PORT_CAP_USO;
	p->direct = (p->port.caps & PORT_CAP_TSO4) != 0;
	vhost_mem_copy(&p->mem, &p->dev->mem);
	for (unsigned int i = 0; i < 2; i++) {
		struct vring_config *c = &p->rings[i].config;

		c->packed = vhost_has(p, VHOST_F_RING_PACKED);
		c->event_idx = vhost_has(p, VHOST_F_EVENT_IDX);
		c->indirect = vhost_has(p, VHOST_F_INDIRECT_DESC);
	}
}

static int set_features(struct vhost_device *d, uint64_t features)
{
	struct vhost_port *p;

	if (features & ~offered_features(d))
		return -EINVAL;
	/* While rings run only the logging may change: that is how a migration begins. */
	if (any_running(d) && (features ^ d->features) & ~BIT(VHOST_F_LOG_ALL) & ~BIT(VHOST_F_PROTOCOL_FEATURES))
		return -EBUSY;
	d->features = features;
	d->mem.logging = features >> VHOST_F_LOG_ALL & 1;
	for (unsigned int i = 0; i < d->n_ports; i++)
		apply_features(d->ports[i], features);
	/* Without protocol features there is no SET_VRING_ENABLE: rings are enabled from the start. */
	if (!(features >> VHOST_F_PROTOCOL_FEATURES & 1) && d->protocol == 0)
		for (unsigned int i = 0; i < n_rings(d); i++)
			ring_at(d, i, &p)->enabled = true;
	return 0;
}

static int set_protocol(struct vhost_device *d, uint64_t protocol)
{
	if (protocol & ~offered_protocol(d))
		return -EINVAL;
	d->protocol = protocol;
	return 0;
}

/* Memory. */

/* The regions have changed under the rings. */
static void remap_rings(struct vhost_device *d)
{
	for (unsigned int i = 0; i < d->n_ports; i++)
		vhost_mem_copy(&d->ports[i]->mem, &d->mem);
	for (unsigned int i = 0; i < n_rings(d); i++) {
		struct vhost_port *p;
		struct vhost_ring *r = ring_at(d, i, &p);

		if (r->running && vring_remap(&r->v, &r->config) < 0)
			vhost_ring_break(p, r);
		else
			(void)vhost_ring_start(p, r);
	}
}

static int add_region(struct vhost_device *d, struct vhost_msg *m, unsigned int i)
{
	const struct vhost_msg_region *g = &m->regions.r[i];

	return vhost_mem_add(&d->mem, m->fds[i], g->guest, g->user, g->n_bytes, g->offset);
}

static int set_mem_table(struct vhost_device *d, struct vhost_msg *m)
{
	int e = 0;

	vhost_mem_clear(&d->mem);
	for (unsigned int i = 0; i < m->regions.n && e == 0; i++)
		e = add_region(d, m, i);
	remap_rings(d);
	return e;
}

static bool has_region(const struct vhost_device *d, const struct vhost_msg_region *g)
{
	for (unsigned int i = 0; i < d->mem.n; i++) {
		const struct vhost_region *r = &d->mem.regions[i];

		if (r->guest == g->guest && r->user == g->user && r->n_bytes == g->n_bytes)
			return true;
	}
	return false;
}

static int change_region(struct vhost_device *d, struct vhost_msg *m)
{
	const struct vhost_msg_region *g = &m->regions.r[0];

	/* QEMU 7.2 says it once for each pair. */
	if (d->n_ports > 1 && has_region(d, g) == (m->request == VHOST_ADD_MEM_REG))
		return 0;
	int e = m->request == VHOST_ADD_MEM_REG ? add_region(d, m, 0)
						: vhost_mem_del(&d->mem, g->guest, g->user, g->n_bytes);

	if (e == 0)
		remap_rings(d);
	return e;
}

/* Rings. */

static int set_num(struct vhost_ring *r, uint32_t num)
{
	if (r->running)
		return -EBUSY;
	if (num == 0 || num > VRING_NUM_MAX)
		return -EINVAL;
	r->config.num = (uint16_t)num;
	return 0;
}

/* User Mode Linux lets its driver make packed rings without knowing of them itself, and says 0: a fresh ring.
 * Of such a ring both wrap counters are set (virtio 1.2, 2.8.1). */
static int set_base(const struct vhost_port *p, struct vhost_ring *r, uint32_t base)
{
	if (r->running)
		return -EBUSY;
	if (p->dev->owner_first && r->config.packed && base == 0)
		base = VHOST_PACKED_FRESH;
	r->config.base = base;
	return 0;
}

/* Also of a running ring: when a migration begins, QEMU says once more what has not changed. */
static int set_addr(struct vhost_port *p, struct vhost_ring *r, const struct vhost_msg *m)
{
	r->config.desc_user = m->addr.desc;
	r->config.driver_user = m->addr.driver;
	r->config.device_user = m->addr.device;
	r->has_addr = true;
	if (!r->running)
		return vhost_ring_start(p, r);
	int e = vring_remap(&r->v, &r->config);
	if (e < 0)
		vhost_ring_break(p, r);
	return e;
}

/* A running ring has perhaps told the old descriptor what nobody has read, nor will: QEMU 10 gives one first that it
 * only looks at again where a vector was masked. So the new one is told at once. */
static int set_fd(struct vhost_port *p, struct vhost_ring *r, struct vhost_msg *m)
{
	int *place = m->request == VHOST_SET_VRING_CALL ? &r->call_fd : &r->err_fd;

	if (m->n_fds && !vhost_fd_notifies(m->fds[0]) &&
		!(m->request == VHOST_SET_VRING_CALL && vhost_fd_is_pair(m->fds[0])))
		return -EBADF;
	if (m->request != VHOST_SET_VRING_KICK) {
		util_close(place);
		if (m->n_fds)
			*place = TAKE_FD(m->fds[0]);
		if (m->request == VHOST_SET_VRING_CALL && r->running && r->v.has_signalled)
			vhost_fd_notify(r->call_fd);
		return 0;
	}
	if (r->running)
		vhost_ring_stop(p, r);
	util_close(&r->kick_fd);
	if (m->n_fds == 0 && !vhost_is_in_band(p->dev))
		return -EOPNOTSUPP; /* looking again and again, as fast as one can */
	if (m->n_fds)
		r->kick_fd = TAKE_FD(m->fds[0]);
	r->broken = false;
	return vhost_ring_start(p, r);
}

/* User Mode Linux knows no GET_VRING_BASE: it disables rings whose memory it is about to use otherwise (the
 * driver goes; a later one begins anew), or for as long as the guest is suspended. */
static int set_enable(struct vhost_port *p, struct vhost_ring *r, uint32_t value)
{
	if (value > 1)
		return -EINVAL;
	if (!value && p->dev->owner_first)
		vhost_ring_rest(p, r);
	r->enabled = value;
	r->was_enabled |= r->enabled;
	if (!r->running)
		return vhost_ring_start(p, r);
	loop_timer_set(p->loop, &p->look, loop_now_ms(p->loop));
	return 0;
}

/* In the place of a notification. */
static int kick(struct vhost_port *p, struct vhost_ring *r)
{
	if (!vhost_is_in_band(p->dev))
		return -EOPNOTSUPP;
	int e = vhost_ring_start(p, r);
	if (e == 0)
		loop_timer_set(p->loop, &p->look, loop_now_ms(p->loop));
	return e;
}

static int answer_base(struct vhost_port *p, struct vhost_ring *r, uint32_t number)
{
	vhost_ring_stop(p, r);
	uint32_t body[2] = {number, r->config.base};

	return vhost_msg_reply(p->dev->fd, VHOST_GET_VRING_BASE, body, sizeof(body));
}

static int ring_request(struct vhost_device *d, struct vhost_msg *m, bool *ret_answered)
{
	bool by_u64 = m->request == VHOST_SET_VRING_KICK || m->request == VHOST_SET_VRING_CALL ||
		      m->request == VHOST_SET_VRING_ERR;
	uint64_t number = by_u64 ? m->u64 & VHOST_VRING_NUMBER_MASK : m->state.ring;
	struct vhost_port *p;

	if (number >= n_rings(d)) /* of SET_VRING_ADDR too: the number comes first in both */
		return -EINVAL;
	struct vhost_ring *r = ring_at(d, (unsigned int)number, &p);

	switch (m->request) {
	case VHOST_SET_VRING_NUM:
		return set_num(r, m->state.value);
	case VHOST_SET_VRING_ADDR:
		return set_addr(p, r, m);
	case VHOST_SET_VRING_BASE:
		return set_base(p, r, m->state.value);
	case VHOST_SET_VRING_ENABLE:
		return set_enable(p, r, m->state.value);
	case VHOST_VRING_KICK:
		return kick(p, r);
	case VHOST_GET_VRING_BASE:
		*ret_answered = true;
		return answer_base(p, r, (uint32_t)number);
	default:
		return set_fd(p, r, m);
	}
}

/* A guest that came here by migration is made known to the switches: a frame as if from itself. */
static int send_rarp(struct vhost_device *d, uint64_t value)
{
	uint8_t bytes[RARP_BYTES] = {};
	struct wr w = wr_of(bytes, sizeof(bytes));
	struct mac mac;

	memcpy(&mac, &value, sizeof(mac));
	if (mac_is_group(&mac) || mac_is_zero(&mac))
		return -EINVAL;
	for (int i = 0; i < MAC_BYTES; i++)
		wr_u8(&w, 0xff);
	wr_copy(&w, &mac, MAC_BYTES);
	wr_u16(&w, ETH_TYPE_RARP);
	wr_u16(&w, 1); /* RFC 903: Ethernet, IPv4, and who am I? */
	wr_u16(&w, ETH_TYPE_IP4);
	wr_u8(&w, MAC_BYTES);
	wr_u8(&w, 4);
	wr_u16(&w, 3);
	wr_copy(&w, &mac, MAC_BYTES);
	wr_u32(&w, 0);
	wr_copy(&w, &mac, MAC_BYTES);
	struct iovec iov = {bytes, sizeof(bytes)};
	struct frame f = {
		.head = bytes, .head_bytes = sizeof(bytes), .iov = &iov, .n_iov = 1, .n_bytes = sizeof(bytes)};

	vhost_user_port_input(&d->ports[0]->port, &f, 1);
	return 0;
}

static int answer_u64(struct vhost_device *d, const struct vhost_msg *m, uint64_t value, bool *ret_answered)
{
	*ret_answered = true;
	return vhost_msg_reply(d->fd, m->request, &value, sizeof(value));
}

static int set_log_base(struct vhost_device *d, struct vhost_msg *m, bool *ret_answered)
{
	int e = vhost_mem_set_log(&d->mem, m->fds[0], m->log.n_bytes, m->log.offset);

	for (unsigned int i = 0; i < d->n_ports; i++)
		vhost_mem_copy(&d->ports[i]->mem, &d->mem);
	if (e < 0 || !(d->protocol & BIT(VHOST_PROTOCOL_LOG_SHMFD)))
		return e;
	return answer_u64(d, m, 0, ret_answered);
}

static int device_request(struct vhost_device *d, struct vhost_msg *m, bool *ret_answered)
{
	switch (m->request) {
	case VHOST_GET_FEATURES:
		return answer_u64(d, m, offered_features(d), ret_answered);
	case VHOST_GET_PROTOCOL_FEATURES:
		return answer_u64(d, m, offered_protocol(d), ret_answered);
	case VHOST_GET_QUEUE_NUM:
		return answer_u64(d, m, d->n_ports, ret_answered);
	case VHOST_GET_MAX_MEM_SLOTS:
		return answer_u64(d, m, VHOST_REGIONS_MAX, ret_answered);
	case VHOST_GET_STATUS:
		return answer_u64(d, m, d->status, ret_answered);
	case VHOST_SET_FEATURES:
		return set_features(d, m->u64);
	case VHOST_SET_PROTOCOL_FEATURES:
		return set_protocol(d, m->u64);
	case VHOST_SET_STATUS:
		d->status = (uint8_t)m->u64; /* 0 resets nothing: QEMU asks for the rings' bases after it */
		return 0;
	case VHOST_SET_MEM_TABLE:
		return set_mem_table(d, m);
	case VHOST_ADD_MEM_REG:
	case VHOST_REM_MEM_REG:
		return change_region(d, m);
	case VHOST_SET_LOG_BASE:
		return set_log_base(d, m, ret_answered);
	case VHOST_SEND_RARP:
		return send_rarp(d, m->u64);
	case VHOST_NET_SET_MTU:
		return m->u64 < MTU_MIN || m->u64 > MTU_MAX ? -EINVAL : 0;
	case VHOST_RESET_OWNER: /* obsolete, and differently understood: the rings stop */
		for (unsigned int i = 0; i < n_rings(d); i++) {
			struct vhost_port *p;
			struct vhost_ring *r = ring_at(d, i, &p);

			vhost_ring_stop(p, r);
		}
		return 0;
	case VHOST_SET_OWNER:
	case VHOST_SET_LOG_FD: /* nobody waits for it */
		return 0;
	case VHOST_SET_BACKEND_REQ_FD: /* kept also where nothing is asked: its end would be taken for ours */
		vhost_fd_close(&d->backend_fd);
		d->backend_fd = TAKE_FD(m->fds[0]);
		return 0;
	default:
		return ring_request(d, m, ret_answered);
	}
}

int vhost_request(struct vhost_device *d, struct vhost_msg *m)
{
	bool answered = false;

	if (!d->has_request)
		d->owner_first = m->request == VHOST_SET_OWNER;
	d->has_request = true;
	int e = m->known ? device_request(d, m, &answered) : -EOPNOTSUPP;

	vhost_look_active(d);
	if (answered || !m->need_reply || !(d->protocol & BIT(VHOST_PROTOCOL_REPLY_ACK)))
		return e;
	uint64_t failed = e < 0;

	return vhost_msg_reply(d->fd, m->request, &failed, sizeof(failed));
}
