/* SPDX-License-Identifier: BSD-2-Clause */
/* DHCP messages: the parser, and a server that hears several of them.
 *
 * The input is a byte of configuration and a sequence of records. A record begins with a byte of kind,
 * one that names the port, and one by which time goes on. Kind 0 to 127 is a message as it lies on the
 * wire, after two bytes of length. Kind 128 to 255 is a message made up from few bytes, so that mutation
 * reaches the depths of the server's table: type, guest, address, which fields hold the address. */
#include "fuzz.h"

#include "gw_dhcp.h"

#define RECORDS_MAX 64
#define PORTS       4

static struct dhcp_server server;
static struct dhcp_reply reply;
static struct dhcp_config config;
static uint64_t now_ms;

static bool messages_equal(const struct dhcp4 *a, const struct dhcp4 *b)
{
	if (a->op != b->op || a->hops != b->hops || a->broadcast != b->broadcast ||
			a->has_cookie != b->has_cookie || a->secs != b->secs || a->xid != b->xid ||
			a->ciaddr_be != b->ciaddr_be || a->yiaddr_be != b->yiaddr_be ||
			a->siaddr_be != b->siaddr_be || a->giaddr_be != b->giaddr_be ||
			!mac_eq(&a->chaddr, &b->chaddr) || a->n_options != b->n_options ||
			memcmp(a->sname, b->sname, sizeof(a->sname)) != 0 ||
			memcmp(a->file, b->file, sizeof(a->file)) != 0)
		return false;
	for (unsigned int i = 0; i < a->n_options; i++)
		if (a->options[i].code != b->options[i].code ||
			a->options[i].n_bytes != b->options[i].n_bytes ||
			memcmp(a->options[i].data, b->options[i].data, a->options[i].n_bytes) != 0)
			return false;
	return true;
}

/* What parses can be emitted, and gives the same again. */
static void check_parser(const uint8_t *msg, size_t n_bytes)
{
	static uint8_t bytes[DHCP4_FIXED_BYTES + DHCP4_COOKIE_BYTES + DHCP4_OPTIONS_MAX * 257 + 1];
	struct rd r = rd_of(msg, n_bytes);
	struct wr w = wr_of(bytes, sizeof(bytes));
	struct dhcp4 a, b;

	if (dhcp4_parse(&r, &a))
		return;
	must(r.left == 0 && a.n_options <= DHCP4_OPTIONS_MAX && (a.has_cookie || a.n_options == 0));
	dhcp4_emit(&w, &a);
	must(!w.bad);
	r = rd_of(bytes, sizeof(bytes) - w.left);
	must(dhcp4_parse(&r, &b) == DROP_NONE);
	must(messages_equal(&a, &b));
}

static bool in_pool(uint32_t addr_be)
{
	uint32_t i = ntohl(addr_be) - ntohl(config.dhcp_start_be);

	return i < config.n_leases && addr_be != config.host_be && addr_be != config.dns_be &&
	       (addr_be & config.mask_be) == config.net_be && (addr_be | config.mask_be) != UINT32_MAX;
}

/* Of every answer: it can be read, is not too long, and gives nothing away that is not to be given. */
static void check_reply(void)
{
	struct rd r = rd_of(reply.bytes, reply.n_bytes);
	struct dhcp4 m;

	must(reply.n_bytes >= DHCP4_MIN_BYTES && reply.n_bytes <= sizeof(reply.bytes));
	must(dhcp4_parse(&r, &m) == DROP_NONE);
	must(m.op == DHCP4_OP_REPLY && m.has_cookie && m.giaddr_be == 0);
	must(m.yiaddr_be == 0 || in_pool(m.yiaddr_be));
	must(dhcp4_type(&m) != DHCP4_NAK || (m.yiaddr_be == 0 && reply.dst_be == INADDR_BROADCAST));
	must(dhcp4_type(&m) != DHCP4_OFFER || m.yiaddr_be != 0);
	must(reply.dst_be == INADDR_BROADCAST || (reply.dst_be & config.mask_be) == config.net_be);
	must(!config.restricted || !dhcp4_find(&m, DHCP4_OPT_ROUTER));
}

/* Of the table, at any time: no owner twice, no port beyond its cap, no address outside the pool. */
static void check_table(void)
{
	unsigned int cursor = 0, n = 0, n_live[PORTS] = {};
	struct dhcp_lease_info all[DHCP_LEASES_MAX];

	while (dhcp_server_next(&server, now_ms, &cursor, &all[n])) {
		must(in_pool(all[n].addr_be) && all[n].port_id < PORTS);
		n_live[all[n].port_id] += all[n].left_ms != 0;
		for (unsigned int i = 0; i < n && all[n].state != DHCP_LEASE_DECLINED; i++)
			must(all[i].state == DHCP_LEASE_DECLINED || all[i].port_id != all[n].port_id ||
					!mac_eq(&all[i].mac, &all[n].mac));
		n++;
	}
	for (unsigned int i = 0; i < PORTS; i++)
		must(n_live[i] <= config.n_port_leases);
}

static void hear(uint16_t port_id, const struct mac *frame_src, const uint8_t *msg, size_t n_bytes)
{
	check_parser(msg, n_bytes);
	enum drop_reason reason =
		dhcp_server_handle(&server, now_ms, frame_src, port_id, msg, n_bytes, &reply);
	must(reason < DROP_REASON_MAX);
	must(reason == DROP_NONE || reply.n_bytes == 0);
	if (reply.n_bytes)
		check_reply();
	check_table();
}

static void hear_raw(struct rd *r, uint16_t port_id)
{
	const struct mac src = {{2, 0, 0, 0, 0, 1}};
	size_t n = MIN((size_t)rd_u16(r), r->left);
	const uint8_t *msg = rd_bytes(r, n);
	/* Of exactly its size, so that the sanitizer sees its end. */
	uint8_t *copy = msg ? malloc(n ? n : 1) : NULL;

	if (copy) {
		memcpy(copy, msg, n);
		hear(port_id, &src, copy, n);
	}
	free(copy);
}

static void hear_made_up(struct rd *r, uint16_t port_id)
{
	static uint8_t bytes[1024];
	uint8_t type = rd_u8(r) % 10, guest = rd_u8(r), place = rd_u8(r), where = rd_u8(r);
	uint32_t addr_be = htonl(ntohl(config.net_be) + place);
	struct mac mac = {{2, 0, 0, 0, 0, guest}};
	struct wr w = wr_of(bytes, sizeof(bytes));
	struct dhcp4 m = {.op = DHCP4_OP_REQUEST, .has_cookie = true, .chaddr = mac, .broadcast = where & 8};

	if (type)
		m.options[m.n_options++] = (struct dhcp4_option){DHCP4_OPT_TYPE, 1, &type};
	if (where & 1)
		m.ciaddr_be = addr_be;
	if (where & 2)
		m.options[m.n_options++] = (struct dhcp4_option){DHCP4_OPT_REQUESTED, 4, (uint8_t *)&addr_be};
	if (where & 4)
		m.options[m.n_options++] =
				(struct dhcp4_option){DHCP4_OPT_SERVER_ID, 4, (uint8_t *)&config.host_be};
	dhcp4_emit(&w, &m);
	must(!w.bad);
	hear(port_id, &mac, bytes, sizeof(bytes) - w.left);
}

static void set_up(uint8_t how)
{
	static const char search[2][DHCP_NAME_BYTES] = {"example.org", "lab.example.org"};

	config = (struct dhcp_config){
		.net_be = htonl(0x0a000200),
		.mask_be = htonl(how & 1 ? 0xfffffff0 : 0xffffff00),
		.host_be = htonl(0x0a000202),
		.dns_be = htonl(0x0a000203),
		.dhcp_start_be = htonl(how & 2 ? 0x0a000201 : 0x0a00020e),
		.n_leases = how & 4 ? 3 : 16,
		.n_port_leases = how & 8 ? 2 : 16,
		.mtu = how & 16 ? 1400 : 0,
		.restricted = how & 32,
		.hostname = how & 64 ? "guest" : NULL,
		.domainname = how & 64 ? "example.org" : NULL,
		.bootfile = how & 128 ? "http://10.0.2.2/boot.efi" : "pxelinux.0",
		.search = search,
		.n_search = how & 128 ? 2 : 0,
	};
	now_ms = 1000;
	must(dhcp_server_init(&server, &config) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
	struct rd r = rd_of(data, n_bytes);

	set_up(rd_u8(&r));
	for (unsigned int i = 0; i < RECORDS_MAX && r.left && !r.bad; i++) {
		uint8_t kind = rd_u8(&r);
		uint16_t port_id = rd_u8(&r) % PORTS;
		uint8_t pause = rd_u8(&r);

		/* A few seconds, or hours: offers and leases end in between. */
		now_ms += pause < 128 ? pause * 1000ull : (pause - 127) * 3600000ull;
		if (kind < 128)
			hear_raw(&r, port_id);
		else
			hear_made_up(&r, port_id);
	}
	/* Another server goes on with the table. */
	struct dhcp_table table = server.table;
	must(dhcp_server_init(&server, &config) == 0);
	must(dhcp_server_adopt(&server, now_ms, &table) <= DHCP_LEASES_MAX);
	check_table();
	return 0;
}
