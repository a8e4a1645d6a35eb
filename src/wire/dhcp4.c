/* SPDX-License-Identifier: BSD-2-Clause */
#include "dhcp4.h"

#define HARDWARE_ETHERNET 1
#define CHADDR_BYTES      16
#define FLAG_BROADCAST    0x8000
#define COOKIE            0x63825363u /* RFC 2132, 2 */

enum overload {
	OVERLOAD_FILE = 1,
	OVERLOAD_SNAME = 2,
	OVERLOAD_BOTH = 3,
};

/* What RFC 2132 (and 3397) allow: at least min bytes, in multiples of unit, and exactly one of them
 * unless many. Options that are not here may have any length, zero too. */
static const struct length_rule {
	uint8_t min, unit;
	bool many;
} rules[256] = {
	[DHCP4_OPT_MASK] = {4, 4, false},
	[DHCP4_OPT_ROUTER] = {4, 4, true},
	[DHCP4_OPT_DNS] = {4, 4, true},
	[DHCP4_OPT_HOSTNAME] = {1, 1, true},
	[DHCP4_OPT_DOMAIN] = {1, 1, true},
	[DHCP4_OPT_MTU] = {2, 2, false},
	[DHCP4_OPT_REQUESTED] = {4, 4, false},
	[DHCP4_OPT_LEASE_TIME] = {4, 4, false},
	[DHCP4_OPT_OVERLOAD] = {1, 1, false},
	[DHCP4_OPT_TYPE] = {1, 1, false},
	[DHCP4_OPT_SERVER_ID] = {4, 4, false},
	[DHCP4_OPT_PARAMETERS] = {1, 1, true},
	[DHCP4_OPT_MESSAGE] = {1, 1, true},
	[DHCP4_OPT_MAX_SIZE] = {2, 2, false},
	[DHCP4_OPT_RENEWAL] = {4, 4, false},
	[DHCP4_OPT_REBINDING] = {4, 4, false},
	[DHCP4_OPT_VENDOR_CLASS] = {1, 1, true},
	[DHCP4_OPT_CLIENT_ID] = {2, 1, true},
	[DHCP4_OPT_TFTP_SERVER] = {1, 1, true},
	[DHCP4_OPT_BOOTFILE] = {1, 1, true},
	[DHCP4_OPT_SEARCH] = {1, 1, true},
};

static bool length_allowed(uint8_t code, uint8_t n_bytes)
{
	const struct length_rule *rule = &rules[code];

	if (!rule->unit)
		return true;
	if (n_bytes < rule->min || n_bytes % rule->unit)
		return false;
	return rule->many || n_bytes == rule->min;
}

/* One field of options. overload is NULL in the fields that an overload option opened: there, another
 * one has no meaning. A field may end without END, as a full vendor field of BOOTP does. */
static enum drop_reason parse_options(struct rd r, struct dhcp4 *m, uint8_t *overload)
{
	while (r.left) {
		uint8_t code = rd_u8(&r);

		if (code == DHCP4_OPT_PAD)
			continue;
		if (code == DHCP4_OPT_END)
			return DROP_NONE;
		uint8_t n_bytes = rd_u8(&r);
		const uint8_t *data = rd_bytes(&r, n_bytes);
		if (!data)
			return DROP_TRUNCATED;
		if (!length_allowed(code, n_bytes))
			return DROP_BAD_HEADER;
		if (code == DHCP4_OPT_OVERLOAD) {
			if (data[0] < OVERLOAD_FILE || data[0] > OVERLOAD_BOTH)
				return DROP_BAD_HEADER;
			if (overload)
				*overload = data[0];
			continue;
		}
		if (m->n_options == DHCP4_OPTIONS_MAX)
			return DROP_BAD_HEADER;
		m->options[m->n_options++] =
				(struct dhcp4_option){.code = code, .n_bytes = n_bytes, .data = data};
	}
	return DROP_NONE;
}

/* In the order of RFC 2131, 4.1: the options field, then file, then sname. */
static enum drop_reason parse_all_options(struct rd r, const uint8_t *sname, const uint8_t *file,
		struct dhcp4 *m)
{
	uint8_t overload = 0;
	enum drop_reason reason = parse_options(r, m, &overload);

	if (!reason && (overload & OVERLOAD_FILE)) {
		memset(m->file, 0, sizeof(m->file));
		reason = parse_options(rd_of(file, DHCP4_FILE_BYTES), m, NULL);
	}
	if (!reason && (overload & OVERLOAD_SNAME)) {
		memset(m->sname, 0, sizeof(m->sname));
		reason = parse_options(rd_of(sname, DHCP4_SNAME_BYTES), m, NULL);
	}
	return reason;
}

enum drop_reason dhcp4_parse(struct rd *r, struct dhcp4 *ret)
{
	*ret = (struct dhcp4){.op = rd_u8(r)};

	uint8_t hardware = rd_u8(r);
	uint8_t hardware_bytes = rd_u8(r);

	ret->hops = rd_u8(r);
	ret->xid = rd_u32(r);
	ret->secs = rd_u16(r);
	ret->broadcast = rd_u16(r) & FLAG_BROADCAST;
	rd_copy(r, &ret->ciaddr_be, 4);
	rd_copy(r, &ret->yiaddr_be, 4);
	rd_copy(r, &ret->siaddr_be, 4);
	rd_copy(r, &ret->giaddr_be, 4);
	rd_copy(r, &ret->chaddr, MAC_BYTES);
	(void)rd_bytes(r, CHADDR_BYTES - MAC_BYTES);
	const uint8_t *sname = rd_bytes(r, DHCP4_SNAME_BYTES);
	const uint8_t *file = rd_bytes(r, DHCP4_FILE_BYTES);
	if (!sname || !file)
		return DROP_TRUNCATED;
	if (ret->op != DHCP4_OP_REQUEST && ret->op != DHCP4_OP_REPLY)
		return DROP_BAD_HEADER;
	if (hardware != HARDWARE_ETHERNET || hardware_bytes != MAC_BYTES)
		return DROP_BAD_HEADER;
	memcpy(ret->sname, sname, sizeof(ret->sname));
	memcpy(ret->file, file, sizeof(ret->file));

	struct rd vendor = *r;
	(void)rd_bytes(r, r->left);
	if (rd_u32(&vendor) != COOKIE) /* or too short for one */
		return DROP_NONE;
	ret->has_cookie = true;
	return parse_all_options(vendor, sname, file, ret);
}

void dhcp4_emit(struct wr *w, const struct dhcp4 *m)
{
	static const uint8_t zeroes[DHCP4_MIN_BYTES];
	size_t left = w->left;

	wr_u8(w, m->op);
	wr_u8(w, HARDWARE_ETHERNET);
	wr_u8(w, MAC_BYTES);
	wr_u8(w, m->hops);
	wr_u32(w, m->xid);
	wr_u16(w, m->secs);
	wr_u16(w, m->broadcast ? FLAG_BROADCAST : 0);
	wr_copy(w, &m->ciaddr_be, 4);
	wr_copy(w, &m->yiaddr_be, 4);
	wr_copy(w, &m->siaddr_be, 4);
	wr_copy(w, &m->giaddr_be, 4);
	wr_copy(w, &m->chaddr, MAC_BYTES);
	wr_copy(w, zeroes, CHADDR_BYTES - MAC_BYTES);
	wr_copy(w, m->sname, sizeof(m->sname));
	wr_copy(w, m->file, sizeof(m->file));
	if (m->has_cookie) {
		wr_u32(w, COOKIE);
		for (unsigned int i = 0; i < m->n_options; i++) {
			wr_u8(w, m->options[i].code);
			wr_u8(w, m->options[i].n_bytes);
			wr_copy(w, m->options[i].data, m->options[i].n_bytes);
		}
		wr_u8(w, DHCP4_OPT_END);
	}
	size_t n_bytes = left - w->left;
	if (n_bytes < DHCP4_MIN_BYTES)
		wr_copy(w, zeroes, DHCP4_MIN_BYTES - n_bytes);
}

const struct dhcp4_option *dhcp4_find(const struct dhcp4 *m, uint8_t code)
{
	for (unsigned int i = 0; i < m->n_options; i++)
		if (m->options[i].code == code)
			return &m->options[i];
	return NULL;
}

bool dhcp4_find_addr(const struct dhcp4 *m, uint8_t code, uint32_t *ret_be)
{
	const struct dhcp4_option *o = dhcp4_find(m, code);

	if (!o || o->n_bytes < 4)
		return false;
	memcpy(ret_be, o->data, 4);
	return true;
}

uint8_t dhcp4_type(const struct dhcp4 *m)
{
	const struct dhcp4_option *o = dhcp4_find(m, DHCP4_OPT_TYPE);

	return o && o->n_bytes ? o->data[0] : DHCP4_BOOTP;
}
