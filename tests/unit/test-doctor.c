/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmocka-all.h"

#include <stdio.h>

#include "doctor.h"
#include "host_fake.h"

struct told {
	struct doctor_finding items[64];
	unsigned int n;
};

static void tell(void *ctx, const struct doctor_finding *f)
{
	struct told *t = ctx;

	assert_true(t->n < ARRAY_SIZE(t->items));
	t->items[t->n++] = *f;
	assert_true(f->found[0]);
	assert_true(f->state == DOCTOR_OK || f->state == DOCTOR_UNKNOWN || f->wanted[0] ||
		    strcmp(f->name, "firewall") == 0);
}

/* A host that lacks nothing. */
static struct host *healthy(void)
{
	struct host *h = host_fake_new();

	host_fake_set(h, "device", "/dev/net/tun", "");
	host_fake_set(h, "device", "/dev/vhost-net", "");
	host_fake_set(h, "device", "/dev/kvm", "");
	host_fake_set(h, "dir", "/sys/module/bridge", "");
	host_fake_set(h, "command", "dnsmasq", "Dnsmasq version 2.90  Copyright (c) 2000");
	host_fake_set(h, "command", "qemu-system-x86_64", "QEMU emulator version 8.1.0 (x)\nCopyright");
	host_fake_set(h, "sysctl", "net/ipv4/conf/all/rp_filter", "2");
	host_fake_set(h, "sysctl", "net/ipv4/ping_group_range", "0\t2147483647");
	host_fake_set(h, "sysctl", "user/max_user_namespaces", "100");
	host_fake_set(h, "file", "/proc/net/udp",
		"  sl  local_address rem_address   st\n   5: 0100007F:0035 00000000:0000 07 0\n");
	return h;
}

static struct told run(struct host *h, const char *network)
{
	struct told t = {0};
	struct doctor d = {h, tell, &t};

	doctor_check_host(&d);
	if (network)
		doctor_check_network(&d, network);
	return t;
}

/* The worst of a name. */
static const struct doctor_finding *get(const struct told *t, const char *name)
{
	const struct doctor_finding *f = NULL;

	for (unsigned int i = 0; i < t->n; i++)
		if (strcmp(t->items[i].name, name) == 0 && (!f || t->items[i].state > f->state))
			f = &t->items[i];
	if (!f)
		fail_msg("nothing is said of %s", name);
	return f;
}

static void test_healthy(void **state)
{
	struct host *h = healthy();
	_cleanup_free_ char *before = host_fake_dump(h), *after = NULL;
	struct told t = run(h, NULL);

	for (unsigned int i = 0; i < t.n; i++)
		if (t.items[i].state != DOCTOR_OK)
			fail_msg("%s: %s", t.items[i].name, t.items[i].found);
	assert_int_equal(t.n, 15);
	assert_string_equal(get(&t, "dnsmasq")->found, "Dnsmasq version 2.90");
	assert_non_null(strstr(get(&t, "qemu")->found, "version 8.1.0"));
	assert_non_null(strstr(get(&t, "port-53")->found, "is free"));
	after = host_fake_dump(h);
	assert_string_equal(before, after);
	host_fake_free(h);
}

static void test_each_fault(void **state)
{
	static const struct {
		const char *kind, *key, *value, *check;
		enum doctor_state state;
		const char *found, *mend;
	} faults[] = {
		{"device", "/dev/net/tun", NULL, "tun", DOCTOR_PROBLEM, "there is no /dev/net/tun",
			"modprobe tun"},
		{"device", "/dev/net/tun", "denied", "tun", DOCTOR_WARNING, "may not open",
			"chmod 666 /dev/net/tun"},
		{"device", "/dev/vhost-net", NULL, "vhost-net", DOCTOR_WARNING, "no /dev/vhost-net",
			"modprobe vhost_net"},
		{"device", "/dev/kvm", "denied", "kvm", DOCTOR_WARNING, "may not open /dev/kvm", "usermod"},
		{"dir", "/sys/module/bridge", NULL, "bridge", DOCTOR_WARNING, "bridge", "modprobe bridge"},
		{"command", "qemu-system-x86_64", "QEMU emulator version 7.1.9", "qemu", DOCTOR_WARNING,
			"7.1.9", "apt"},
		{"command", "qemu-system-x86_64", "nonsense", "qemu", DOCTOR_UNKNOWN, "does not say", ""},
		{"sysctl", "net/ipv4/conf/all/rp_filter", "1", "rp-filter", DOCTOR_WARNING, "is 1",
			"rp_filter=2"},
		{"sysctl", "net/ipv4/ping_group_range", "1\t0", "ping", DOCTOR_WARNING, "1 0",
			"ping_group_range="},
		{"sysctl", "net/bridge/bridge-nf-call-iptables", "1", "br-netfilter", DOCTOR_WARNING, "is 1",
			"bridge-nf-call-iptables=0"},
		{"sysctl", "user/max_user_namespaces", "0", "user-namespaces", DOCTOR_WARNING,
			"user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces"},
		{"sysctl", "kernel/apparmor_restrict_unprivileged_userns", "1", "user-namespaces",
			DOCTOR_WARNING, "is 1", "apparmor_parser"},
		{"host", "no-nat", "", "masquerade", DOCTOR_PROBLEM, "refuses", "nft_masq"},
		{"file", "/proc/net/udp", "  sl\n   5: 00000000:0035 00000000:0000 07 0\n", "port-53",
			DOCTOR_OK, "redirected", ""},
		{"file", "/proc/net/tcp6",
			"  sl\n  5: 00000000000000000000000000000000:0035 "
			"00000000000000000000000000000000:0000 0A 0\n",
			"port-53", DOCTOR_OK, "redirected", ""},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(faults); i++) {
		struct host *h = healthy();
		struct told t;
		const struct doctor_finding *f;

		host_fake_set(h, faults[i].kind, faults[i].key, faults[i].value);
		t = run(h, NULL);
		f = get(&t, faults[i].check);
		if (f->state != faults[i].state || !strstr(f->found, faults[i].found) ||
			!strstr(f->mend, faults[i].mend))
			fail_msg("%s %s: %d, %s, %s", faults[i].key, faults[i].check, f->state, f->found,
				f->mend);
		host_fake_free(h);
	}
}

static void test_programs_missing(void **state)
{
	static const char *const programs[] = {"dnsmasq", "/usr/sbin/dnsmasq", "qemu-system-x86_64",
		"qemu-kvm", "kvm", "qemu-system-aarch64", "/usr/libexec/qemu-kvm"};
	struct host *h = healthy();
	struct told t;

	for (unsigned int i = 0; i < ARRAY_SIZE(programs); i++)
		host_fake_set(h, "command", programs[i], "missing");
	t = run(h, NULL);
	assert_int_equal(get(&t, "dnsmasq")->state, DOCTOR_PROBLEM);
	assert_non_null(strstr(get(&t, "dnsmasq")->mend, "dnsmasq-base"));
	assert_int_equal(get(&t, "qemu")->state, DOCTOR_WARNING);
	host_fake_free(h);
}

static void test_firewalls(void **state)
{
	static const char
		docker[] =
			"{\"nftables\": ["
			"{\"chain\": {\"family\": \"ip\", \"table\": \"filter\", \"name\": \"DOCKER-USER\"}},"
			"{\"chain\": {\"family\": \"ip\", \"table\": \"filter\", \"name\": \"FORWARD\","
			" \"hook\": \"forward\", \"policy\": \"drop\"}}]}",
		other[] = "{\"nftables\": [{\"chain\": {\"family\": \"inet\", \"table\": \"mine\", \"name\": "
			  "\"in\", \"hook\": \"input\", \"policy\": \"drop\"}}]}";
	struct host *h = healthy();
	struct network_error e;
	struct conf_error ce;
	struct network n;
	struct net_conf c;
	struct told t;

	host_fake_ruleset(h, docker);
	t = run(h, NULL);
	assert_int_equal(get(&t, "firewall")->state, DOCTOR_OK);
	assert_non_null(strstr(get(&t, "firewall")->found, "DOCKER-USER"));
	host_fake_ruleset(h, other);
	t = run(h, NULL);
	assert_int_equal(get(&t, "firewall")->state, DOCTOR_WARNING);
	assert_non_null(strstr(get(&t, "firewall")->mend, "nft insert rule inet mine in iifname NETWORK"));
	assert_true(net_conf_init("lab", &c, &ce));
	assert_int_equal(network_up(h, &c, &n, &e), 0);
	network_done(&n);
	t = run(h, "lab"); /* there are guests that it may cut off */
	assert_int_equal(get(&t, "firewall")->state, DOCTOR_PROBLEM);
	host_fake_free(h);
}

static void test_networks(void **state)
{
	struct host *h = healthy();
	struct network_error e;
	struct conf_error ce;
	struct network n;
	struct net_conf c;
	struct told t = run(h, "lab");

	assert_string_equal(get(&t, "network")->mend, "vmlan up lab");
	assert_int_equal(get(&t, "network")->state, DOCTOR_PROBLEM);
	assert_true(net_conf_init("lab", &c, &ce));
	assert_int_equal(network_up(h, &c, &n, &e), 0);
	network_done(&n);
	t = run(h, "lab");
	for (unsigned int i = 0; i < t.n; i++)
		if (t.items[i].state != DOCTOR_OK)
			fail_msg("%s: %s", t.items[i].name, t.items[i].found);
	assert_string_equal(get(&t, "networks")->found, "1 up");
	host_fake_set(h, "command", "networkctl", "  9 lab bridge routable unmanaged\n");
	t = run(h, "lab");
	assert_int_equal(get(&t, "networkd")->state, DOCTOR_OK);
	host_fake_set(h, "command", "networkctl", "  9 lab bridge no-carrier configuring\n");
	t = run(h, "lab");
	assert_int_equal(get(&t, "networkd")->state, DOCTOR_PROBLEM);
	assert_string_equal(
		get(&t, "networkd")->found, "systemd-networkd configures lab, and takes its addresses away");
	host_fake_set(h, "command", "networkctl", "missing");
	host_fake_set(h, "table", "vmlan_lab", NULL);
	t = run(h, "lab");
	assert_int_equal(get(&t, "table")->state, DOCTOR_PROBLEM);
	assert_string_equal(get(&t, "table")->mend, "vmlan up lab");
	assert_string_equal(get(&t, "table")->wanted, "nftables table inet vmlan_lab");
	host_fake_die_at(h, 20, true); /* a down that is killed */
	(void)network_down(h, "lab", false, &e);
	host_fake_revive(h);
	t = run(h, NULL);
	assert_int_equal(get(&t, "networks")->state, DOCTOR_PROBLEM);
	assert_string_equal(get(&t, "networks")->mend, "vmlan down lab");
	host_fake_set(h, "file", "/run/vmlan/lab/state.json", "{}");
	t = run(h, NULL);
	assert_int_equal(get(&t, "networks")->state, DOCTOR_PROBLEM);
	host_fake_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_healthy),
		cmocka_unit_test(test_each_fault),
		cmocka_unit_test(test_programs_missing),
		cmocka_unit_test(test_firewalls),
		cmocka_unit_test(test_networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
