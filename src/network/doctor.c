/* SPDX-License-Identifier: BSD-2-Clause */
/* A table of checks, each of which fills in one finding; and what is found by the parts that have to know it
 * anyway: the look at other firewalls (firewall.c), and a network's own steps. */
#include "doctor.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "plan.h"

#define DNS_PORT     53
#define PLACEHOLDER  "NETWORK" /* in commands about a network that is not there yet */
#define QEMU_MAJOR   7 /* the first that has -netdev stream, and vhost-user that reconnects as we need it */
#define QEMU_MINOR   2
#define OUTPUT_WORDS 60

const char *const doctor_state_names[] = {[DOCTOR_OK] = "ok",
	[DOCTOR_UNKNOWN] = "unknown",
	[DOCTOR_WARNING] = "warning",
	[DOCTOR_PROBLEM] = "problem"};
static_assert(ARRAY_SIZE(doctor_state_names) == DOCTOR_STATE_MAX, "every state has a name");

static _printf_(3, 4) void found(struct doctor_finding *f, enum doctor_state state, const char *format, ...)
{
	va_list ap;

	f->state = state;
	va_start(ap, format);
	(void)vsnprintf(f->found, sizeof(f->found), format, ap);
	va_end(ap);
}

static void advise(struct doctor_finding *f, const char *wanted, const char *mend)
{
	(void)snprintf(f->wanted, sizeof(f->wanted), "%s", wanted);
	(void)snprintf(f->mend, sizeof(f->mend), "%s", mend);
}

/* ------------------------------------------------------------------ devices */

/* missing: what it means that there is none. */
static bool check_device(
	struct host *h, struct doctor_finding *f, const char *path, enum doctor_state missing)
{
	int r = h->ops->device_probe(h, path);

	if (r == 0)
		found(f, DOCTOR_OK, "%s can be opened", path);
	else if (r == -EACCES || r == -EPERM)
		found(f, DOCTOR_WARNING, "this user may not open %s", path);
	else if (r == -ENOENT)
		found(f, missing, "there is no %s", path);
	else
		found(f, missing, "%s cannot be opened: %s", path, strerror(-r));
	return r == -EACCES || r == -EPERM;
}

static void check_tun(struct host *h, struct doctor_finding *f)
{
	if (check_device(h, f, "/dev/net/tun", DOCTOR_PROBLEM))
		advise(f, "that users may make taps of their own (mode 0666)", "chmod 666 /dev/net/tun");
	else if (f->state != DOCTOR_OK)
		advise(f, "the device that taps are made with", "modprobe tun");
}

static void check_vhost_net(struct host *h, struct doctor_finding *f)
{
	if (check_device(h, f, "/dev/vhost-net", DOCTOR_WARNING))
		advise(f, "that QEMU's user may have the kernel move frames", "usermod -aG kvm $USER");
	else if (f->state != DOCTOR_OK)
		advise(f, "virtio frames of taps moved by the kernel; QEMU does it more slowly",
			"modprobe vhost_net");
}

static void check_kvm(struct host *h, struct doctor_finding *f)
{
	if (check_device(h, f, "/dev/kvm", DOCTOR_WARNING))
		advise(f, "that this user may run guests on the processor itself", "usermod -aG kvm $USER");
	else if (f->state != DOCTOR_OK)
		advise(f, "guests that run on the processor itself; QEMU emulates one otherwise",
			"modprobe kvm_intel || modprobe kvm_amd");
}

/* ------------------------------------------------------------------ programs and the kernel's parts */

/* What a command says of its version, without what nobody wants to read. false: it is not there. */
static bool version_of(struct host *h, const char *program, char ret[OUTPUT_WORDS])
{
	char name[64], option[] = "--version";
	char *argv[] = {name, option, NULL}, *end;
	int r;

	(void)snprintf(name, sizeof(name), "%s", program);
	h->error[0] = '\0';
	r = h->ops->run(h, argv);
	h->error[strcspn(h->error, "\n")] = '\0';
	end = strstr(h->error, "  Copyright");
	if (!end)
		end = strstr(h->error, " (");
	if (end)
		*end = '\0';
	(void)snprintf(ret, OUTPUT_WORDS, "%.*s", OUTPUT_WORDS - 1, h->error);
	h->error[0] = '\0';
	return r == 0;
}

static void check_dnsmasq(struct host *h, struct doctor_finding *f)
{
	char version[OUTPUT_WORDS];

	/* It lies where an ordinary user's PATH does not lead. */
	if (version_of(h, "dnsmasq", version) || version_of(h, "/usr/sbin/dnsmasq", version)) {
		found(f, DOCTOR_OK, "%s", version);
		return;
	}
	found(f, DOCTOR_PROBLEM, "there is no dnsmasq");
	advise(f,
		"dnsmasq, which serves DHCP and DNS on nat networks (and not its service, which takes port "
		"53)",
		"apt-get install dnsmasq-base");
}

static void check_qemu(struct host *h, struct doctor_finding *f)
{
	static const char *const names[] = {
		"qemu-system-x86_64", "qemu-kvm", "kvm", "qemu-system-aarch64", "/usr/libexec/qemu-kvm"};
	char version[OUTPUT_WORDS] = "";
	unsigned int major = 0, minor = 0, i = 0;
	const char *number;

	while (i < ARRAY_SIZE(names) && !version_of(h, names[i], version))
		i++;
	if (i == ARRAY_SIZE(names)) {
		found(f, DOCTOR_WARNING, "there is no QEMU in PATH");
		advise(f, "QEMU 7.2 or newer", "apt-get install qemu-system-x86");
		return;
	}
	number = strstr(version, "version ");
	if (!number || sscanf(number, "version %u.%u", &major, &minor) != 2) {
		found(f, DOCTOR_UNKNOWN, "%s does not say its version", names[i]);
	} else if (major < QEMU_MAJOR || (major == QEMU_MAJOR && minor < QEMU_MINOR)) {
		found(f, DOCTOR_WARNING, "%s is %s", names[i], version);
		advise(f, "7.2 or newer for user-mode networks; older ones can have taps",
			"apt-get install qemu-system-x86");
	} else {
		found(f, DOCTOR_OK, "%s is %s", names[i], version);
	}
}

/* Whether a list of the kernel's modules has one. */
static bool list_has(struct host *h, const char *release, const char *list, const char *module)
{
	_cleanup_free_ char *text = NULL;
	char path[HOST_PATH_BYTES], name[64];

	(void)snprintf(
		path, sizeof(path), "/lib/modules/%.*s/%s", (int)strcspn(release, "\n"), release, list);
	(void)snprintf(name, sizeof(name), "/%s.ko", module);
	return h->ops->file_read(h, path, &text) == 0 && strstr(text, name);
}

static void check_bridge(struct host *h, struct doctor_finding *f)
{
	_cleanup_free_ char *loaded = NULL, *release = NULL;

	if (h->ops->dir_list(h, "/sys/module/bridge", &loaded) == 0) {
		found(f, DOCTOR_OK, "the kernel has bridges");
		return;
	}
	if (h->ops->file_read(h, "/proc/sys/kernel/osrelease", &release) == 0 &&
		(list_has(h, release, "modules.dep", "bridge") ||
			list_has(h, release, "modules.builtin", "bridge"))) {
		found(f, DOCTOR_OK, "the kernel has bridges, loaded when the first is made");
		return;
	}
	found(f, DOCTOR_WARNING, "the bridge module is neither loaded nor among this kernel's modules");
	advise(f, "bridges, for every network but user-mode ones", "modprobe bridge");
}

static void check_masquerade(struct host *h, struct doctor_finding *f)
{
	int r = h->ops->table_check(h,
		"chain c {\ntype nat hook postrouting priority srcnat; policy accept;\n"
		"ip saddr 192.0.2.0/24 meta l4proto tcp masquerade to :1024-65535\n}\n");

	if (r == 0) {
		found(f, DOCTOR_OK, "the kernel takes rules that masquerade");
	} else if (r == -EPERM) {
		found(f, DOCTOR_UNKNOWN, "only root can see which rules the kernel takes");
	} else if (r == -ELIBACC) {
		found(f, DOCTOR_PROBLEM, "%s", h->error);
		advise(f, "libnftables, for nat networks", "apt-get install libnftables1");
	} else {
		found(f, DOCTOR_PROBLEM, "the kernel refuses rules that masquerade: %s",
			h->error[0] ? h->error : strerror(-r));
		advise(f, "masquerading, for nat networks", "modprobe -a nf_tables nft_chain_nat nft_masq");
	}
	h->error[0] = '\0';
}

/* ------------------------------------------------------------------ settings */

static void check_forwarding(struct host *h, struct doctor_finding *f)
{
	char value[HOST_SYSCTL_BYTES];
	int r = h->ops->sysctl_get(h, "net/ipv4/ip_forward", value);

	if (r < 0)
		found(f, DOCTOR_UNKNOWN, "net.ipv4.ip_forward: %s", strerror(-r));
	else if (value[0] == '1')
		found(f, DOCTOR_OK, "net.ipv4.ip_forward is 1");
	else
		found(f, DOCTOR_OK, "net.ipv4.ip_forward is 0; a nat network turns it on, on each interface");
}

static void check_rp_filter(struct host *h, struct doctor_finding *f)
{
	char value[HOST_SYSCTL_BYTES];
	int r = h->ops->sysctl_get(h, "net/ipv4/conf/all/rp_filter", value);

	if (r < 0) {
		found(f, DOCTOR_UNKNOWN, "net.ipv4.conf.all.rp_filter: %s", strerror(-r));
		return;
	}
	found(f, value[0] == '1' ? DOCTOR_WARNING : DOCTOR_OK, "net.ipv4.conf.all.rp_filter is %s", value);
	if (f->state != DOCTOR_OK)
		advise(f,
			"0, or 2 (loose): with several uplinks, answers by another one than the route's are "
			"dropped",
			"sysctl -w net.ipv4.conf.all.rp_filter=2");
}

static void check_br_netfilter(struct host *h, struct doctor_finding *f)
{
	char value[HOST_SYSCTL_BYTES];
	int r = h->ops->sysctl_get(h, "net/bridge/bridge-nf-call-iptables", value);

	if (r < 0 || value[0] != '1') {
		found(f, DOCTOR_OK,
			r < 0 ? "br_netfilter is not loaded" : "net.bridge.bridge-nf-call-iptables is 0");
		return;
	}
	found(f, DOCTOR_WARNING, "net.bridge.bridge-nf-call-iptables is 1");
	advise(f,
		"0: the host's rules drop frames between guests of one bridge, and a guest does not reach "
		"itself by a forward",
		"sysctl -w net.bridge.bridge-nf-call-iptables=0");
}

static void check_ping(struct host *h, struct doctor_finding *f)
{
	char value[HOST_SYSCTL_BYTES];
	unsigned long long first = 0, last = 0;
	int r = h->ops->sysctl_get(h, "net/ipv4/ping_group_range", value);

	if (r < 0 || sscanf(value, "%llu %llu", &first, &last) != 2) {
		found(f, DOCTOR_UNKNOWN, "net.ipv4.ping_group_range cannot be read");
		return;
	}
	found(f, first <= getegid() && getegid() <= last ? DOCTOR_OK : DOCTOR_WARNING,
		"net.ipv4.ping_group_range is %llu %llu, and this user's group %u", first, last, getegid());
	if (f->state != DOCTOR_OK)
		advise(f,
			"a range with it: guests of user-mode networks cannot ping beyond the host otherwise",
			"sysctl -w net.ipv4.ping_group_range='0 2147483647'");
}

static void check_user_namespaces(struct host *h, struct doctor_finding *f)
{
	static const struct {
		const char *path, *forbids, *mend;
	} switches[] = {
		{"user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"},
		{"kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"},
		{"kernel/apparmor_restrict_unprivileged_userns", "1",
			"apparmor_parser -r /etc/apparmor.d/vmlan (vmlan's profile, from its folder "
			"apparmor)"},
	};
	char value[HOST_SYSCTL_BYTES];

	found(f, DOCTOR_OK, "users may make namespaces");
	for (unsigned int i = 0; i < ARRAY_SIZE(switches); i++) {
		if (h->ops->sysctl_get(h, switches[i].path, value) < 0 ||
			strcmp(value, switches[i].forbids) != 0)
			continue;
		found(f, DOCTOR_WARNING, "%s is %s", switches[i].path, value);
		for (char *p = strchr(f->found, '/'); p; p = strchr(p, '/'))
			*p = '.';
		advise(f,
			"namespaces for users: user-mode networks hide the file system from their engine "
			"with them",
			switches[i].mend);
		return;
	}
}

/* ------------------------------------------------------------------ ports */

static void check_port_53(struct host *h, struct doctor_finding *f)
{
	if (plan_port_taken(h, "udp", 0, DNS_PORT) || plan_port_taken(h, "udp6", 0, DNS_PORT) ||
		plan_port_taken(h, "tcp", 0, DNS_PORT) || plan_port_taken(h, "tcp6", 0, DNS_PORT))
		found(f, DOCTOR_OK,
			"a resolver has port 53 of every address; guests' questions are redirected past it");
	else
		found(f, DOCTOR_OK, "port 53 is free on addresses to come");
}

/* ------------------------------------------------------------------ other firewalls */

/* A note of firewall.c says what is so, and behind "to let them: " or "cut off: " what helps. */
static void tell_note(const struct doctor *d, const char *note, bool is_up)
{
	static const char *const before[] = {"; to let them: ", "; if guests are cut off: "};
	struct doctor_finding f = {.name = "firewall"};
	const char *mend = NULL;

	for (unsigned int i = 0; i < ARRAY_SIZE(before) && !mend; i++) {
		mend = strstr(note, before[i]);
		if (!mend)
			continue;
		/* What drops guests' packets is a problem where there are guests. */
		found(&f, i == 0 && is_up ? DOCTOR_PROBLEM : DOCTOR_WARNING, "%.*s", (int)(mend - note),
			note);
		advise(&f, "that guests' packets pass", mend + strlen(before[i]));
	}
	if (!mend)
		found(&f, DOCTOR_WARNING, "%s", note);
	d->tell(d->ctx, &f);
}

/* network: as firewall_plan() has left it. */
static void tell_notes(const struct doctor *d, const struct network *n, bool is_up)
{
	struct doctor_finding f = {.name = "firewall"};
	unsigned int n_told = 0;

	for (unsigned int i = 0; i < n->n_notes; i++) {
		if (strncmp(n->notes[i], "net.bridge.", 11) == 0) /* has a check of its own */
			continue;
		tell_note(d, n->notes[i], is_up);
		n_told++;
	}
	found(&f, DOCTOR_OK, "no other firewall drops guests' packets");
	if (n_told == 0)
		d->tell(d->ctx, &f);
}

static void check_firewalls(const struct doctor *d)
{
	struct doctor_finding f = {.name = "firewall"};
	struct network_error e;
	struct network n = {0};
	struct conf_error ce;
	bool added = false;
	int r;

	(void)net_conf_init(PLACEHOLDER, &n.conf, &ce);
	r = firewall_plan(d->host, &n, &added, &e);
	if (r == -EPERM)
		found(&f, DOCTOR_UNKNOWN, "only root can see the rules of other firewalls");
	else if (r < 0)
		found(&f, DOCTOR_UNKNOWN, "%s", e.text);
	else if (added)
		found(&f, DOCTOR_OK,
			"a firewall that drops has a place for networks: Docker's DOCKER-USER, a zone of "
			"firewalld's");
	if (r < 0 || added)
		d->tell(d->ctx, &f);
	if (r == 0 && (n.n_notes > 0 || !added))
		tell_notes(d, &n, false);
	network_done(&n);
}

/* ------------------------------------------------------------------ networks */

static void check_step(const struct doctor *d, const struct network *n, const struct step *s)
{
	struct step_ctx c = {.host = d->host, .network = n->conf.name, .mark = n->mark};
	struct doctor_finding f = {0};
	char what[STEP_TEXT_BYTES];
	int r = s->kind->check(&c, s);

	s->kind->describe(s, what);
	(void)snprintf(f.name, sizeof(f.name), "%s", s->kind->name);
	if (r == -EPERM || r == -EACCES)
		found(&f, DOCTOR_UNKNOWN, "only root can look at it");
	else if (r < 0)
		found(&f, DOCTOR_UNKNOWN, "%s", strerror(-r));
	else if (r == STEP_OK)
		found(&f, DOCTOR_OK, "%s", what);
	else
		found(&f, DOCTOR_PROBLEM, "%s%s%s", step_state_names[r], c.why[0] ? ": " : "", c.why);
	if (f.state != DOCTOR_OK)
		advise(&f, what, "");
	if (f.state == DOCTOR_PROBLEM)
		(void)snprintf(f.mend, sizeof(f.mend), "vmlan up %s", n->conf.name);
	d->tell(d->ctx, &f);
}

/* A VPN may have come since. */
static void check_subnet(const struct doctor *d, const struct network *n)
{
	struct doctor_finding f = {.name = "subnet"};
	struct network_error e;
	int r = subnet_check(d->host, &n->conf, &e);

	found(&f, DOCTOR_OK, "the network overlaps no address and no route of the host");
	if (r == -EADDRINUSE) {
		found(&f, DOCTOR_PROBLEM, "the network %s", e.text);
		advise(&f, "a network of its own: one of the two is not reached from here", "");
		(void)snprintf(f.mend, sizeof(f.mend), "vmlan down %s, and vmlan up %s with another --%s",
			n->conf.name, n->conf.name, e.option);
	} else if (r < 0) {
		found(&f, DOCTOR_UNKNOWN, "%s", e.text);
	}
	d->tell(d->ctx, &f);
}

/* One whose files match every interface ("Name=*") takes the addresses away, and guests' taps. */
static void check_networkd(const struct doctor *d, const struct network *n)
{
	char program[] = "networkctl", legend[] = "--no-legend", list[] = "list", bridge[IFNAMSIZ];
	char *argv[] = {program, legend, list, bridge, NULL};
	struct doctor_finding f = {.name = "networkd"};
	struct host *h = d->host;
	struct host_identity identity;

	(void)snprintf(bridge, sizeof(bridge), "%s", n->conf.bridge);
	/* It knows the interfaces of the first namespace, and those by number. */
	if (n->conf.adopted || h->ops->identity(h, &identity) < 0 || !identity.is_first ||
		h->ops->run(h, argv) != 0)
		return;
	/* The last column is what it does with the interface. */
	if (!strstr(h->error, " configur") && !strstr(h->error, " failed")) {
		found(&f, DOCTOR_OK, "systemd-networkd leaves %s alone", bridge);
	} else {
		found(&f, DOCTOR_PROBLEM, "systemd-networkd configures %s, and takes its addresses away",
			bridge);
		advise(&f, "a file of its that says Unmanaged=yes, before the one that matches", "");
		(void)snprintf(f.mend, sizeof(f.mend),
			"printf '[Match]\\nName=%s tap*\\n[Link]\\nUnmanaged=yes\\n' "
			">/etc/systemd/network/05-vmlan-%s.network && networkctl reload && vmlan up %s",
			bridge, n->conf.name, n->conf.name);
	}
	h->error[0] = '\0';
	d->tell(d->ctx, &f);
}

void doctor_check_network(const struct doctor *d, const char *name)
{
	struct doctor_finding f = {.name = "network"};
	struct network_error e;
	struct network n;
	bool added;
	int r = network_load(d->host, name, &n, &e);

	if (r < 0) {
		found(&f, r == -EACCES ? DOCTOR_UNKNOWN : DOCTOR_PROBLEM, "%s", e.text);
		advise(&f, "a network that is up", e.mend);
		if (r == -ENOENT)
			(void)snprintf(f.mend, sizeof(f.mend), "vmlan up %s", name);
		d->tell(d->ctx, &f);
		return;
	}
	found(&f, n.phase == NETWORK_UP ? DOCTOR_OK : DOCTOR_PROBLEM, "%s is %s on record", name,
		network_phase_names[n.phase]);
	if (f.state != DOCTOR_OK) {
		advise(&f, "up", "");
		(void)snprintf(f.mend, sizeof(f.mend), "vmlan up %s", name);
	}
	d->tell(d->ctx, &f);
	check_subnet(d, &n);
	check_networkd(d, &n);
	r = firewall_plan(d->host, &n, &added, &e);
	for (unsigned int i = 0; i < n.n_steps; i++)
		check_step(d, &n, &n.steps[i]);
	if (r == 0) {
		tell_notes(d, &n, true);
	} else {
		f = (struct doctor_finding){.name = "firewall"};
		found(&f, DOCTOR_UNKNOWN, "%s",
			r == -EPERM ? "only root can see the rules of other firewalls" : e.text);
		d->tell(d->ctx, &f);
	}
	network_done(&n);
}

/* Each that is on record can be read, and is wholly up. */
static void check_networks(const struct doctor *d)
{
	struct doctor_finding f = {.name = "networks"};
	_cleanup_free_ char *names = NULL;
	unsigned int n_up = 0, n_bad = 0;
	int r = network_names(d->host, &names);

	for (const char *name = names; name && *name; name += strlen(name) + 1) {
		struct network_error e;
		struct network n;

		r = network_load(d->host, name, &n, &e);
		if (r == 0 && n.phase == NETWORK_UP) {
			n_up++;
		} else {
			struct doctor_finding one = {.name = "networks"};

			found(&one, DOCTOR_PROBLEM, "%s", r < 0 ? e.text : "");
			if (r == 0)
				found(&one, DOCTOR_PROBLEM, "%s was left half way: %s", name,
					network_phase_names[n.phase]);
			advise(&one, "networks that are up, or are not there", r < 0 ? e.mend : "");
			if (r == 0)
				(void)snprintf(one.mend, sizeof(one.mend), "vmlan down %s", name);
			d->tell(d->ctx, &one);
			n_bad++;
		}
		if (r == 0)
			network_done(&n);
	}
	if (r < 0 && n_bad == 0)
		found(&f, DOCTOR_UNKNOWN, "%s: %s", NETWORK_RUN_DIR, strerror(-r));
	else
		found(&f, DOCTOR_OK, "%u up", n_up);
	if (n_bad == 0)
		d->tell(d->ctx, &f);
}

void doctor_check_host(const struct doctor *d)
{
	static const struct {
		const char *name;
		void (*check)(struct host *h, struct doctor_finding *f);
	} checks[] = {
		{"tun", check_tun},
		{"bridge", check_bridge},
		{"dnsmasq", check_dnsmasq},
		{"ip-forward", check_forwarding},
		{"masquerade", check_masquerade},
		{"port-53", check_port_53},
		{"br-netfilter", check_br_netfilter},
		{"rp-filter", check_rp_filter},
		{"ping", check_ping},
		{"user-namespaces", check_user_namespaces},
		{"vhost-net", check_vhost_net},
		{"kvm", check_kvm},
		{"qemu", check_qemu},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(checks); i++) {
		struct doctor_finding f = {0};

		(void)snprintf(f.name, sizeof(f.name), "%s", checks[i].name);
		checks[i].check(d->host, &f);
		d->tell(d->ctx, &f);
	}
	check_firewalls(d);
	check_networks(d);
}
