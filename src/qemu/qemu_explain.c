/* SPDX-License-Identifier: BSD-2-Clause */
#include "qemu_explain.h"

#include "qemu_hub.h"
#include "qemu_moved.h"
#include "qemu_nic.h"

#define IN "    " /* what is said of an option stands a step to the right */

static const struct {
	const char *type, *words;
} back_ends[] = {
	{"user", "A private network behind a NAT made of the host's sockets: no root, nothing changed on the "
		 "host. "
		 "Guests get their addresses by DHCP."},
	{"tap", "An interface of the host, at whose other end is the guest: what it reaches is what the host "
		"joins "
		"the interface to, by a script or by hand."},
	{"bridge", "A place on a bridge of the host: the guest is a neighbour of whatever else is on it. Without "
		   "root, /etc/qemu/bridge.conf must allow it."},
	{"lan", "A place in a network that 'vmlan up' made: a tap on its bridge. Guests get addresses and names "
		"from it, and find each other. Without root, /etc/qemu/bridge.conf must allow its bridge."},
	{"socket", "A cable to another QEMU, over TCP, UDP or multicast."},
	{"stream", "A cable over a stream socket, to another QEMU or to vmlan user."},
	{"dgram", "A cable over datagrams."},
	{"vde", "A port of a VDE switch."},
	{"l2tpv3", "A tunnel of L2TPv3."},
	{"vhost-user", "A process that shares the guest's memory, over a unix socket."},
	{"hubport", "A port of a hub inside QEMU."},
	{"dump", "A capture of all frames on a hub."},
	{"none", "No network, where QEMU would otherwise make one."},
	{"passt", "A private network served by passt."},
};

/* What the options say, of the user back end, of taps, and of NICs. A "%" is the value. */
static const struct {
	const char *key, *words;
} keys[] = {
	{"vlan", "the number of a hub inside QEMU: all that stand on it hear each other. It is no VLAN of "
		 "802.1Q; "
		 "no frame is tagged"},
	{"macaddr", "the NIC's address"},
	{"mac", "the NIC's address"},
	{"vectors", "how many MSI-X vectors a virtio NIC has; 0: none"},
	{"name", "what the monitor calls it; today id="},
	{"netdev", "the id of its back end"},
	{"net", "the guests' network [10.0.2.0/24]"},
	{"host", "the router's address, which is the host as guests see it [.2]"},
	{"dns", "the name server that guests are told [.3]"},
	{"dhcpstart", "the first guest's address [.15]"},
	{"restrict", "on: guests reach nothing beyond their network; forwards still reach them"},
	{"hostname", "the name that DHCP gives the guest"},
	{"dnssearch", "a domain that guests search names in"},
	{"domainname", "the guest's domain"},
	{"hostfwd", "a port of the host that leads to the guest: [tcp|udp]:[host]:port-[guest]:port"},
	{"guestfwd", "an address of the guests' network behind which a command or a character device is"},
	{"tftp", "a folder served by TFTP"},
	{"bootfile", "the file that DHCP tells guests to boot"},
	{"smb", "a folder served by Samba"},
	{"ifname", "the interface's name; without it the kernel chooses, tap0 for one"},
	{"script", "run when the interface is there, with its name; \"no\": none"},
	{"downscript", "run when the guest has ended, with the interface's name; \"no\": none"},
	{"fd", "a descriptor that QEMU inherits"},
	{"fds", "descriptors that QEMU inherits, one a queue"},
	{"helper", "a program that hands QEMU a tap on a bridge"},
	{"br", "the bridge [br0]"},
	{"lan", "the network's name"},
	{"sndbuf", "how many bytes may wait for the host; limits floods"},
	{"vnet_hdr", "whether frames carry offloads"},
	{"vhost", "on: the kernel moves the frames of a virtio NIC"},
	{"queues", "how many queues the NIC may have"},
	{"file", "where the capture goes [qemu-vlanN.pcap]"},
	{"len", "how much of a frame is kept [65536 bytes]"},
	{"hubid", "the hub's number"},
};

void qemu_text_add_quoted(struct qemu_text *t, const char *word)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,+@%";

	if (*word && word[strspn(word, plain)] == '\0') {
		qemu_text_add(t, word);
		return;
	}
	qemu_text_add(t, "'");
	for (; *word; word++)
		if (*word == '\'')
			qemu_text_add(t, "'\\''");
		else
			qemu_text_addf(t, "%c", *word);
	qemu_text_add(t, "'");
}

static void explain_nic(const struct qemu_line *l, const struct qemu_part *p, struct qemu_text *t)
{
	const char *model =
		p->kind == QEMU_PART_DEVICE ? qemu_part_type(p) : qemu_opts_value(&p->opts, "model");
	const struct qemu_nic *nic = qemu_nic_find(model ? model : qemu_line_default_model(l));

	if (!model && qemu_line_is_no_pc(l)) {
		qemu_text_add(t, IN "A network card of the guest: the one that its machine has by default.\n");
		return;
	}
	qemu_text_add(t, IN "A network card of the guest: ");
	if (nic)
		qemu_text_addf(t, "%s; Linux drives it with %s.\n", nic->words, nic->driver);
	else
		qemu_text_addf(t, "model %s.\n", model);
	if (!model)
		qemu_text_addf(t,
			IN "model= is not said: QEMU's default is %s on this machine; once it was rtl8139.\n",
			qemu_line_default_model(l));
}

static void explain_back_end(const struct qemu_part *p, struct qemu_text *t)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(back_ends); i++)
		if (qemu_part_is(p, back_ends[i].type)) {
			qemu_text_addf(t, IN "%s\n", back_ends[i].words);
			return;
		}
}

static void explain_keys(const struct qemu_part *p, struct qemu_text *t)
{
	for (unsigned int i = 0; i < p->opts.n; i++) {
		const struct qemu_opt *o = &p->opts.v[i];

		if (strcmp(o->key, "addr") == 0)
			qemu_text_addf(
				t, IN "addr=%s: its slot on the guest's PCI bus, in hexadecimal\n", o->value);
		for (unsigned int k = 0; k < ARRAY_SIZE(keys); k++)
			if (strcmp(o->key, keys[k].key) == 0)
				qemu_text_addf(t, IN "%s=%s: %s%s\n", o->key, o->value, keys[k].words,
					o->arg ? " (said elsewhere on the line)" : "");
	}
}

static void explain_moved(const struct qemu_line *l, const struct qemu_part *p, struct qemu_text *t)
{
	const char *form, *key = qemu_moved_key(p, &form);

	qemu_text_addf(t, IN "Said of %s; today it is the option %s=%s of -net user.\n",
		strcmp(key, "hostfwd") == 0 || strcmp(key, "guestfwd") == 0 ? "the first user network"
									    : "all user networks",
		key, form);
	if (!qemu_moved_is_lost(l, p))
		qemu_text_add(t, IN "Becomes that option.\n");
}

static bool is_net(const struct qemu_part *p)
{
	return p->kind != QEMU_PART_OTHER;
}

/* The new line's arguments that come from a part, with FD for numbers that are not known yet. */
static unsigned int add_args(const struct qemu_plan *p, int part, struct qemu_text *t)
{
	unsigned int n = 0;

	for (unsigned int i = 1; i < p->n_args; i++) {
		_cleanup_(qemu_text_done) struct qemu_text word = {0};
		const struct qemu_arg *a = &p->args[i];

		if (a->part != part)
			continue;
		qemu_text_addf(&word, "%s%s%s", a->before, a->network >= 0 || a->tap >= 0 ? "FD" : "",
			a->after ? a->after : "");
		qemu_text_add(t, n++ ? " " : "");
		qemu_text_add_quoted(t, word.p ? word.p : "");
	}
	return n;
}

static bool is_served(const struct qemu_plan *p, int part)
{
	for (unsigned int i = 1; i < p->n_args; i++)
		if (p->args[i].part == part && p->args[i].network >= 0)
			return true;
	return false;
}

static const struct qemu_tap *tap_of(const struct qemu_plan *p, int part)
{
	for (unsigned int i = 1; i < p->n_args; i++)
		if (p->args[i].part == part && p->args[i].tap >= 0)
			return &p->taps[p->args[i].tap];
	return NULL;
}

static void explain_fate(const struct qemu_line *l, const struct qemu_plan *p, int part, struct qemu_text *t)
{
	_cleanup_(qemu_text_done) struct qemu_text before = {0}, now = {0};
	const struct qemu_part *from = part >= 0 ? &l->parts[part] : NULL;
	const struct qemu_tap *tap = tap_of(p, part);
	unsigned int n = add_args(p, part, &now);

	for (int i = 0; from && i < from->n_args; i++) {
		qemu_text_add(&before, i ? " " : "");
		qemu_text_add_quoted(&before, l->argv[from->at + i]);
	}
	if (is_served(p, part))
		qemu_text_add(t, IN "Served by vmlan's engine, a process of its own.\n");
	if (tap && tap->bridge[0])
		qemu_text_add(t, IN "The tap is made by vmlan, put into the bridge, and handed over.\n");
	else if (tap)
		qemu_text_addf(t, IN "Made by vmlan, which hands it over%s%s.\n",
			tap->script ? " when it has run " : "", tap->script ? tap->script : "");
	if (tap && tap->downscript)
		qemu_text_addf(t, IN "However QEMU ends, vmlan then runs %s.\n", tap->downscript);
	if (n && before.p && now.p && strcmp(before.p, now.p) == 0)
		qemu_text_add(t, IN "Passed on as it is.\n");
	else if (n)
		qemu_text_addf(t, IN "Becomes: %s\n", now.p ? now.p : "");
}

static void explain_part(
	const struct qemu_line *l, const struct qemu_plan *p, unsigned int i, struct qemu_text *t)
{
	const struct qemu_part *part = &l->parts[i];

	for (int k = 0; k < part->n_args; k++) {
		qemu_text_add(t, k ? " " : "");
		qemu_text_add_quoted(t, l->argv[part->at + k]);
	}
	qemu_text_add(t, "\n");
	if (part->kind == QEMU_PART_MOVED) {
		explain_moved(l, part, t);
	} else {
		if (part->kind == QEMU_PART_NET_NIC || part->kind == QEMU_PART_NIC ||
			part->kind == QEMU_PART_DEVICE)
			if (!qemu_part_is(part, "none"))
				explain_nic(l, part, t);
		if (part->kind != QEMU_PART_NET_NIC && part->kind != QEMU_PART_DEVICE)
			explain_back_end(part, t);
		explain_keys(part, t);
	}
	explain_fate(l, p, (int)i, t);
}

static void explain_default(const struct qemu_line *l, const struct qemu_plan *p, struct qemu_text *t)
{
	_cleanup_(qemu_text_done) struct qemu_text now = {0};

	if (l->has_net)
		return;
	if (add_args(p, -1, &now) == 0) {
		qemu_text_add(t, "No network option, and QEMU makes no network here.\n");
		return;
	}
	qemu_text_add(t, "No network option: QEMU takes that for -net nic -net user.\n");
	if (!qemu_line_is_no_pc(l))
		qemu_text_addf(t, IN "The NIC is QEMU's default, %s on this machine; once it was rtl8139.\n",
			qemu_line_default_model(l));
	explain_fate(l, p, -1, t);
}

/* What the line gets besides: the memory that vhost-user reads and writes. */
static void explain_added(const struct qemu_line *l, const struct qemu_plan *p, struct qemu_text *t)
{
	_cleanup_(qemu_text_done) struct qemu_text now = {0};

	if (l->has_net && add_args(p, -1, &now))
		qemu_text_addf(t, "For vhost-user, by which the engine reads and writes the guest's memory:\n" IN "Added: %s\n\n",
			now.p ? now.p : "");
}

/* How many stand on each hub, and what joins them. */
static void explain_hubs(const struct qemu_line *l, struct qemu_text *t)
{
	for (unsigned int i = 0; i < l->n_parts; i++) {
		int number = l->parts[i].hub;
		bool is_first = number >= 0;
		struct qemu_hub h;

		for (unsigned int k = 0; k < i; k++)
			is_first = is_first && l->parts[k].hub != number;
		if (!is_first)
			continue;
		qemu_hub_get(l, number, &h);
		if (h.n_nics + h.n_back_ends < 2)
			continue;
		qemu_text_addf(t, "Hub %d: %u NIC%s, %u back end%s", number, h.n_nics,
			h.n_nics == 1 ? "" : "s", h.n_back_ends, h.n_back_ends == 1 ? "" : "s");
		qemu_text_add(t, h.n_nics == 1 && h.n_back_ends == 1 && !h.n_ports
					 ? ", joined directly at full speed.\n"
					 : ", on a hub inside QEMU, which copies each frame and carries no "
					   "offloads.\n");
	}
}

int qemu_explain(const struct qemu_line *l, const struct qemu_plan *p, const struct qemu_version *v,
	struct qemu_text *ret)
{
	if (v->major)
		qemu_text_addf(ret, "For QEMU %u.%u:\n\n", v->major, v->minor);
	if (l->informs) {
		qemu_text_add(ret, "The line asks QEMU for a list, and starts nothing.\n");
		return ret->bad ? -ENOMEM : 0;
	}
	for (unsigned int i = 0; i < l->n_parts; i++)
		if (is_net(&l->parts[i])) {
			explain_part(l, p, i, ret);
			qemu_text_add(ret, "\n");
		}
	explain_default(l, p, ret);
	explain_added(l, p, ret);
	explain_hubs(l, ret);
	for (unsigned int i = 0; i < p->n_notes; i++)
		qemu_text_addf(ret, "Note: %s.\n", p->notes[i]);
	return ret->bad ? -ENOMEM : 0;
}
