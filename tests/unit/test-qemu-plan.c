/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines as people write them, and what becomes of them. QEMU's descriptors are 50, 51, ... here. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "qemu_plan.h"

#define ARGS_MAX 64
#define STREAM(id, fd) "stream,id=" id ",server=off,addr.type=fd,addr.str=" fd
#define D        "qemu -netdev " STREAM("vmlan0", "50") " -net nic,netdev=vmlan0"
#define FWD22    " tcp/0.0.0.0:5022>0.0.0.0:22"

struct sample {
	const char *line;
	const char *expect;   /* the new line; "=": the old one; NULL: refused */
	const char *networks; /* each "name [what differs from the default]", with "; " between */
	const char *word;     /* occurs in a note, or in the error; NULL: there is no note */
	struct qemu_version version; /* 0.0 stands for 7.2, 1.0 for one that is not known */
};

static const struct sample samples[] = {
	/* The article's lines. */
	{"qemu -net nic,model=?", "=", ""},
	{"qemu -vnc 0.0.0.0:1 -m 2048 -hda u.img -net nic,vlan=0,macaddr=52:53:00:11:12:13,model=e1000,addr=08 "
	 "-net user",
		"qemu -vnc 0.0.0.0:1 -m 2048 -hda u.img -net "
		"nic,macaddr=52:53:00:11:12:13,model=e1000,addr=08,netdev=vmlan0 -netdev " STREAM("vmlan0", "50"),
		"vmlan0"},
	{"qemu -m 2048 u.img -net nic -net tap,script=/etc/qemu-ifup,downscript=/etc/qemu-ifdown --daemonize",
		"=",
		""},
	{"qemu -m 2048 u.img -net nic -net user,hostfwd=tcp::5022-:22 --daemonize",
		"qemu -m 2048 u.img -net nic,netdev=vmlan0 -netdev " STREAM("vmlan0", "50") " --daemonize",
		"vmlan0" FWD22},

	/* No network option. */
	{"qemu", D, "vmlan0"},
	{"qemu -m 512 -hda a.img",
		"qemu -m 512 -hda a.img -netdev " STREAM("vmlan0", "50") " -net nic,netdev=vmlan0",
		"vmlan0"},
	{"qemu -nodefaults", "=", ""},
	{"qemu --nodefaults", "=", ""},
	{"qemu -net none", "=", ""},
	{"qemu -nic none", "=", ""},
	{"qemu -M none", "=", ""},
	{"qemu -machine microvm,acpi=off", "=", ""},
	{"qemu -machine type=none", "=", ""},
	{"qemu -machine microvm -machine acpi=off", "=", ""},
	{"qemu -M microvm -M q35",
		"qemu -M microvm -M q35 -netdev " STREAM("vmlan0", "50") " -net nic,netdev=vmlan0",
		"vmlan0"},
	{"qemu -device e1000",
		"qemu -device e1000 -netdev " STREAM("vmlan0", "50") " -net nic,netdev=vmlan0", "vmlan0"},
	{"qemu -device e1000,id=vmlan0",
		"qemu -device e1000,id=vmlan0 -netdev " STREAM("vmlan1", "50") " -net nic,netdev=vmlan1",
		"vmlan1"},
	{"qemu -device {\"driver\":\"e1000\",\"id\":\"vmlan0\"}",
		"qemu -device {\"driver\":\"e1000\",\"id\":\"vmlan0\"} -netdev " STREAM("vmlan1", "50")
		" -net nic,netdev=vmlan1",
		"vmlan1"},

	/* Asking for a list starts nothing. */
	{"qemu -help", "=", ""},
	{"qemu -h", "=", ""},
	{"qemu --version", "=", ""},
	{"qemu -device help", "=", ""},
	{"qemu -device e1000,help -net nic -net user", "=", ""},
	{"qemu -M ? -net user", "=", ""},
	{"qemu -net nic,model=help -net user", "=", ""},
	{"qemu -nic user,model=help", "=", ""},
	{"qemu -netdev help", "=", ""},

	/* -net */
	{"qemu -net nic -net user", "qemu -net nic,netdev=vmlan0 -netdev " STREAM("vmlan0", "50"), "vmlan0"},
	{"qemu -net user -net nic",
		"qemu -netdev " STREAM("vmlan0", "50") " -net nic,netdev=vmlan0", "vmlan0"},
	{"qemu --net user --net nic",
		"qemu -netdev " STREAM("vmlan0", "50") " --net nic,netdev=vmlan0", "vmlan0"},
	{"qemu -net nic,model=virtio,vectors=0 -net user",
		"qemu -net nic,model=virtio,vectors=0,netdev=vmlan0 -netdev " STREAM("vmlan0", "50"), "vmlan0"},
	{"qemu -net nic,name=a,,b -net user,id=u",
		"qemu -net nic,id=a,,b,netdev=u -netdev " STREAM("u", "50"), "u"},
	{"qemu -net nic -net user,name=u", "qemu -net nic,netdev=u -netdev " STREAM("u", "50"), "u"},
	{"qemu -net user", "qemu -net socket,fd=50", "vmlan0"},
	{"qemu -net user,id=u,restrict=on", "qemu -net socket,fd=50,id=u", "u restricted"},
	{"qemu -net nic -net nic -net user", "qemu -net nic -net nic -net socket,fd=50", "vmlan0"},
	{"qemu -net nic -net user -net tap,fd=9", "qemu -net nic -net socket,fd=50 -net tap,fd=9", "vmlan0"},
	{"qemu -net nic -net user -net user",
		"qemu -net nic -net socket,fd=50 -net socket,fd=51", "vmlan0; vmlan1"},
	{"qemu -net nic", "=", ""},
	{"qemu -net nic,netdev=t -netdev tap,id=t", "=", ""},
	{"qemu -net nic,netdev=t -netdev tap,id=t -net nic -net user",
		"qemu -net nic,netdev=t -netdev tap,id=t -net nic,netdev=vmlan0 -netdev " STREAM("vmlan0", "50"),
		"vmlan0"},
	{"qemu -net nic,netdev=u -netdev user,id=u",
		"qemu -net nic,netdev=u -netdev " STREAM("u", "50"), "u"},
	{"qemu -net type=user -net nic",
		"qemu -netdev " STREAM("vmlan0", "50") " -net nic,netdev=vmlan0", "vmlan0"},
	{"qemu -net", NULL, NULL, "needs a value"},

	/* vlan= */
	{"qemu -net nic,vlan=3 -net user,vlan=3",
		"qemu -net nic,netdev=vmlan0 -netdev " STREAM("vmlan0", "50"),
		"vmlan0"},
	{"qemu -net nic,vlan=1 -net user,vlan=1 -net nic,vlan=2 -net user,vlan=2,net=10.9.0.0/24",
		"qemu -net nic,netdev=vmlan0 -netdev " STREAM("vmlan0", "50") " -net nic,netdev=vmlan1 -netdev "
		STREAM("vmlan1", "51"),
		"vmlan0; vmlan1 10.9.0.0/24"},
	{"qemu -net nic,vlan=0 -net tap,vlan=0,fd=4", "qemu -net nic -net tap,fd=4", ""},
	{"qemu -net nic,vlan=1 -net tap,vlan=1", NULL, NULL, "-netdev TYPE,id=v1"},
	{"qemu -net nic -net tap,vlan=1", NULL, NULL, "-netdev tap,id=v1"},
	{"qemu -net nic,vlan=1 -net nic,vlan=1 -net user,vlan=1", NULL, NULL, "vlan"},
	{"qemu -net nic,vlan=1 -net user,vlan=1,tftp=/a", NULL, NULL, "-netdev user,id=v1"},
	{"qemu -net nic,vlan=x -net user", NULL, NULL, "number"},
	{"qemu -net nic,vlan=1 -net tap,vlan=1,name=n", "=", "", NULL, {2, 5}},
	{"qemu -net nic,vlan=1,name=n -net user,vlan=1", "qemu -net nic,vlan=1,name=n,netdev=vmlan0 -netdev "
		"socket,id=vmlan0,fd=50", "vmlan0", NULL, {2, 5}},
	{"qemu -net nic -net nic -net user,vlan=0",
		"qemu -net nic -net nic -net socket,fd=50,vlan=0", "vmlan0", NULL,
		{2, 5}},

	/* Older ways that are gone. */
	{"qemu -net dump,file=x", NULL, NULL, "filter-dump"},
	{"qemu -net channel,4:10.0.2.9", NULL, NULL, "guestfwd"},
	{"qemu -redir tcp:5022::22", NULL, NULL, "hostfwd=tcp::HOSTPORT-:GUESTPORT"},
	{"qemu -tftp /srv", NULL, NULL, "tftp=DIR"},
	{"qemu -smb /srv", NULL, NULL, "smb=DIR"},
	{"qemu -bootp x", NULL, NULL, "bootfile=FILE"},
	{"qemu -redir tcp:5022::22 -net nic -net user", "=", "", "-redir", {2, 0}},
	{"qemu -redir tcp:5022::22", "=", "", NULL, {2, 0}},
	{"qemu -net nic -net dump,file=x", "=", "", NULL, {2, 0}},

	/* -netdev */
	{"qemu -netdev user,id=n0 -device e1000,netdev=n0",
		"qemu -netdev " STREAM("n0", "50") " -device e1000,netdev=n0",
		"n0"},
	{"qemu -netdev user,id=n0 -device e1000,netdev=n0",
		"qemu -netdev socket,id=n0,fd=50 -device e1000,netdev=n0",
		"n0", NULL, {7, 1}},
	{"qemu -netdev user,id=n0 -device e1000,netdev=n0",
		"qemu -netdev socket,id=n0,fd=50 -device e1000,netdev=n0",
		"n0", NULL, {1, 0}},
	{"qemu -netdev user,id=n0", "qemu -netdev " STREAM("n0", "50"), "n0", NULL, {10, 0}},
	{"qemu -netdev user,id=a -netdev user,id=b -netdev tap,id=c,fd=7",
		"qemu -netdev " STREAM("a", "50") " -netdev " STREAM("b", "51") " -netdev tap,id=c,fd=7",
		"a; b"},
	{"qemu -netdev user,id=u -netdev hubport,id=h0,hubid=3,netdev=u",
		"qemu -netdev " STREAM("u", "50") " -netdev hubport,id=h0,hubid=3,netdev=u", "u"},
	{"qemu -netdev tap,id=t -device virtio-net-pci,netdev=t", "=", ""},
	{"qemu -netdev user", NULL, NULL, "-netdev user,id=NAME"},
	{"qemu -netdev {\"type\":\"user\",\"id\":\"n\"}", "=", "", "JSON"},
	{"qemu -netdev {\"type\":\"tap\",\"id\":\"n\"}", "=", ""},
	{"qemu -netdev user,id=n,hostfwd=tcp::1-:2,hostfwd=udp:127.0.0.1:3-10.0.2.20:4",
		"qemu -netdev " STREAM("n", "50"),
		"n tcp/0.0.0.0:1>0.0.0.0:2 udp/127.0.0.1:3>10.0.2.20:4"},
	{"qemu -netdev user,id=n,net=10.1.0.0/16,host=10.1.0.1,dns=10.1.0.2,dhcpstart=10.1.9.9,hostname=vm,"
	 "dnssearch=a.org,dnssearch=b.org,domainname=c.org,restrict",
		"qemu -netdev " STREAM("n", "50"),
		"n 10.1.0.0/16 10.1.0.1 10.1.0.2 10.1.9.9 hostname=vm domainname=c.org "
		"search=a.org search=b.org restricted"},
	{"qemu -netdev user,id=n,restrict=on,restrict=off", "qemu -netdev " STREAM("n", "50"), "n"},
	{"qemu -netdev user,id=n,restrict=yes", "qemu -netdev " STREAM("n", "50"), "n restricted"},

	/* What the engine does not serve. */
	{"qemu -netdev user,id=n,tftp=/srv", "=", "", "tftp"},
	{"qemu -netdev user,id=n,bootfile=x", "=", "", "bootfile"},
	{"qemu -netdev user,id=n,smb=/srv", "=", "", "smb"},
	{"qemu -netdev user,id=n,guestfwd=tcp:10.0.2.9:1-cmd:x", "=", "", "guestfwd"},
	{"qemu -netdev user,id=n,ipv6-net=fd00::/64", "=", "", "ipv6-net"},
	{"qemu -netdev user,id=n,of-later=1", "=", "", "of-later"},
	{"qemu -netdev user,id=n,hostfwd=unix:/x-:1", "=", "", "unix:/x"},
	{"qemu -netdev user,id=n,hostfwd=tcp:[::1]:1-:2", "=", "", "IPv4"},
	{"qemu -netdev user,id=n,hostname=a,,b", "=", "", "hostname"},
	{"qemu -nic user,tftp=/srv -nic user",
		"qemu -nic user,tftp=/srv -nic socket,fd=50", "vmlan0", "tftp"},
	{"qemu -net nic -net user,smb=/srv", "=", "", "smb"},
	{"qemu -net nic,vlan=0 -net user,vlan=0,smb=/srv", "qemu -net nic -net user,smb=/srv", "", "smb"},

	/* IPv6, explicitly. */
	{"qemu -netdev user,id=n,ipv6=off", "qemu -netdev " STREAM("n", "50"), "n"},
	{"qemu -netdev user,id=n,ipv4=on", "qemu -netdev " STREAM("n", "50"), "n"},
	{"qemu -netdev user,id=n,ipv4=on,ipv6=on", "qemu -netdev " STREAM("n", "50"), "n", "IPv4 only"},
	{"qemu -netdev user,id=n,ipv6=on", "=", "", "IPv6 alone"},
	{"qemu -netdev user,id=n,ipv4=off", "=", "", "IPv6 alone"},

	/* -nic */
	{"qemu -nic user", "qemu -nic socket,fd=50", "vmlan0"},
	{"qemu -nic user,model=virtio,mac=52:54:00:11:22:33,hostfwd=tcp::5022-:22,id=u",
		"qemu -nic socket,fd=50,model=virtio,mac=52:54:00:11:22:33,id=u", "u" FWD22},
	{"qemu -nic tap,ifname=x -nic user", "qemu -nic tap,ifname=x -nic socket,fd=50", "vmlan0"},
	{"qemu -nic user -nic user", "qemu -nic socket,fd=50 -nic socket,fd=51", "vmlan0; vmlan1"},
	{"qemu -nic user,addr=8", "=", "", "addr"},

	/* Everything else passes, whatever it looks like. */
	{"qemu -append -net -net nic -net user",
		"qemu -append -net -net nic,netdev=vmlan0 -netdev " STREAM("vmlan0", "50"), "vmlan0"},
	{"qemu -name -nodefaults -nic user", "qemu -name -nodefaults -nic socket,fd=50", "vmlan0"},
	{"qemu -S disk -nic user", "qemu -S disk -nic socket,fd=50", "vmlan0"},
	{"qemu -later -nic user", "qemu -later -nic socket,fd=50", "vmlan0"},
	{"qemu -later value -nic user", "qemu -later value -nic socket,fd=50", "vmlan0"},
	{"qemu -nic user,mac=1,,2", "qemu -nic socket,fd=50,mac=1,,2", "vmlan0"},

	/* Mistakes. */
	{"qemu -nic user,hostfwd=tcp::70000-:22", NULL, NULL, "host port"},
	{"qemu -nic user,net=10.0.2.0/33", NULL, NULL, "prefix length"},
	{"qemu -nic user,host=1.2.3.4", NULL, NULL, "host must be"},
	{"qemu -nic user,dns=1.2.3.4,restrict=on", NULL, NULL, "dns must be"},
	{"qemu -nic user,dns=1.2.3.4",
		"qemu -nic socket,fd=50", "vmlan0 10.0.2.0/24 10.0.2.2 1.2.3.4 10.0.2.15"},
	{"qemu -nic user,restrict=maybe", NULL, NULL, "on or off"},
	{"qemu -nic user,dhcpstart=x", NULL, NULL, "IPv4 address"},
};

static unsigned int split(char *line, char **argv)
{
	unsigned int n = 0;

	for (char *p = strtok(line, " "); p; p = strtok(NULL, " ")) {
		assert_true(n < ARGS_MAX - 1);
		argv[n++] = p;
	}
	argv[n] = NULL;
	return n;
}

static void add_addr(struct qemu_text *t, const char *before, uint32_t a_be)
{
	char a[INET_ADDRSTRLEN];

	qemu_text_addf(t, "%s%s", before, inet_ntop(AF_INET, &a_be, a, sizeof(a)));
}

static void print_network(const struct qemu_network *n, struct qemu_text *t)
{
	const struct user_conf *c = &n->conf;
	struct user_conf expect;
	struct conf_error e;

	/* Addresses that follow the network are left out. */
	user_conf_init(&expect);
	qemu_text_addf(t, "%s%s", t->n ? "; " : "", n->name);
	if (c->net_be != expect.net_be || c->dns_be != htonl(0x0a000203)) {
		add_addr(t, " ", c->net_be);
		qemu_text_addf(t, "/%d", __builtin_popcount(c->mask_be));
	}
	expect.net_be = c->net_be;
	expect.mask_be = c->mask_be;
	assert_true(user_conf_check(&expect, &e));
	if (c->host_be != expect.host_be || c->dns_be != expect.dns_be ||
		c->dhcp_start_be != expect.dhcp_start_be) {
		add_addr(t, " ", c->host_be);
		add_addr(t, " ", c->dns_be);
		add_addr(t, " ", c->dhcp_start_be);
	}
	if (c->hostname[0])
		qemu_text_addf(t, " hostname=%s", c->hostname);
	if (c->domainname[0])
		qemu_text_addf(t, " domainname=%s", c->domainname);
	for (unsigned int i = 0; i < c->n_search; i++)
		qemu_text_addf(t, " search=%s", c->search[i]);
	qemu_text_add(t, c->restricted ? " restricted" : "");
	for (unsigned int i = 0; i < c->n_forwards; i++) {
		const struct user_forward *f = &c->forwards[i];

		add_addr(t, f->proto == IPPROTO_UDP ? " udp/" : " tcp/", f->host_be);
		qemu_text_addf(t, ":%u", f->host_port);
		add_addr(t, ">", f->guest_be);
		qemu_text_addf(t, ":%u", f->guest_port);
	}
}

static void check_plan(const struct sample *s, const struct qemu_plan *p)
{
	static const int fds[] = {50, 51, 52, 53};
	struct qemu_text line = {0}, networks = {0};
	char **argv;
	bool found = false;

	assert_true(p->n_networks <= ARRAY_SIZE(fds));
	argv = qemu_plan_argv(p, fds);
	assert_non_null(argv);
	for (char **a = argv; *a; a++)
		qemu_text_addf(&line, "%s%s", a == argv ? "" : " ", *a);
	assert_string_equal(line.p, strcmp(s->expect, "=") == 0 ? s->line : s->expect);
	qemu_text_add(&networks, "");
	for (unsigned int i = 0; i < p->n_networks; i++)
		print_network(&p->networks[i], &networks);
	assert_string_equal(networks.p, s->networks);
	for (unsigned int i = 0; i < p->n_notes; i++)
		found = found || (s->word && strstr(p->notes[i], s->word));
	if (found != !!s->word || p->n_notes != (s->word ? 1 : 0))
		fail_msg("%s: %u notes, the first: %s", s->line, p->n_notes, p->n_notes ? p->notes[0] : "");
	argv = qemu_argv_free(argv);
	qemu_text_done(&line);
	qemu_text_done(&networks);
}

static void run_sample(const struct sample *s)
{
	struct qemu_version version = s->version;
	struct qemu_error e = {.arg = -1};
	struct qemu_line l = {0};
	struct qemu_plan p = {0};
	char line[1024], *argv[ARGS_MAX];
	int argc, r;

	if (!version.major)
		version = (struct qemu_version){7, 2};
	else if (version.major == 1)
		version = (struct qemu_version){0, 0};
	(void)snprintf(line, sizeof(line), "%s", s->line);
	argc = (int)split(line, argv);
	r = qemu_line_parse(argc, argv, &l, &e);
	if (r == 0)
		r = qemu_plan_make(&l, &version, &p, &e);
	if (r < 0 && s->expect)
		fail_msg("%s: %s", s->line, e.text);
	if (r == 0 && !s->expect)
		fail_msg("%s: was not refused", s->line);
	if (r == 0) {
		check_plan(s, &p);
	} else {
		assert_int_equal(r, -EINVAL);
		if (!strstr(e.text, s->word))
			fail_msg("%s: %s", s->line, e.text);
		assert_in_range(e.arg, 1, argc - 1);
		assert_true(e.at + e.n_bytes <= strlen(argv[e.arg]));
	}
	qemu_plan_done(&p);
	qemu_line_done(&l);
}

static void test_samples(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(samples); i++)
		run_sample(&samples[i]);
}

/* The error points at the very value. */
static void test_place(void **state)
{
	char *argv[] = {(char[]){"qemu"}, (char[]){"-nic"}, (char[]){"user,id=n,hostfwd=tcp::70000-:22"}, NULL};
	struct qemu_version v = {7, 2};
	struct qemu_error e = {.arg = -1};
	struct qemu_line l = {0};
	struct qemu_plan p = {0};

	assert_int_equal(qemu_line_parse(3, argv, &l, &e), 0);
	assert_int_equal(qemu_plan_make(&l, &v, &p, &e), -EINVAL);
	assert_int_equal(e.arg, 2);
	assert_int_equal(e.at, strlen("user,id=n,hostfwd=tcp::"));
	assert_int_equal(e.n_bytes, 5);
	qemu_line_done(&l);
}

static void test_daemonize(void **state)
{
	char *argv[] = {(char[]){"qemu"}, (char[]){"--daemonize"}, NULL};
	char *other[] = {(char[]){"qemu"}, (char[]){"-append"}, (char[]){"-daemonize"}, NULL};
	struct qemu_error e;
	struct qemu_line l = {0};

	assert_int_equal(qemu_line_parse(2, argv, &l, &e), 0);
	assert_true(l.daemonizes);
	qemu_line_done(&l);
	assert_int_equal(qemu_line_parse(3, other, &l, &e), 0);
	assert_false(l.daemonizes);
	qemu_line_done(&l);
}

static void test_version(void **state)
{
	struct qemu_version v = {0};

	assert_true(qemu_version_parse("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright", &v));
	assert_int_equal(v.major, 7);
	assert_int_equal(v.minor, 2);
	assert_true(qemu_version_parse("QEMU PC emulator version 0.12.5 (qemu-kvm-0.12.5), Copyright", &v));
	assert_int_equal(v.major, 0);
	assert_int_equal(v.minor, 12);
	assert_false(qemu_version_parse("some wrapper version 1.2", &v));
	assert_false(qemu_version_parse("", &v));
	v = (struct qemu_version){7, 2};
	assert_true(qemu_version_is_at_least(&v, 7, 2));
	assert_true(qemu_version_is_at_least(&v, 6, 9));
	assert_false(qemu_version_is_at_least(&v, 7, 3));
	assert_false(qemu_version_is_at_least(&v, 8, 0));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_place),
		cmocka_unit_test(test_daemonize),
		cmocka_unit_test(test_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
