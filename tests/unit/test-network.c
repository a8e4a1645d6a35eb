/* SPDX-License-Identifier: BSD-2-Clause */
/* Networks on a host in memory: every call of up and down is made to fail, and to be the process's last,
 * before and after it takes effect; afterwards the host is as it was, or can be brought to be. */
#include "cmocka-all.h"

#include <stdio.h>

#include "host_fake.h"
#include "network.h"
#include "records-v1.h"
#include "step.h"

struct fixture {
	struct host *h;
	struct net_conf conf;
	char *before; /* the host, before anything was done */
};

static void add_option(struct net_conf *c, const char *key, const char *value)
{
	struct conf_error e;

	if (!net_conf_set(c, key, value, &e))
		fail_msg("%s: %s", key, e.text);
}

static void setup_host(struct host *h)
{
	host_fake_add_link(h, "lo", "");
	host_fake_add_link(h, "eth0", "");
	host_fake_add_link(h, "eth1", "");
	host_fake_set(h, "sysctl", "net/ipv4/conf/eth1/forwarding", "1");
	host_fake_set(h, "sysctl", "net/ipv6/conf/eth1/forwarding", "1");
	host_fake_set(h, "sysctl", "net/ipv6/conf/eth1/accept_ra", "0");
	host_fake_add_addr(h, "eth0", "192.168.150.3", 24);
	host_fake_add_route(h, "eth0", "0.0.0.0", 0);
	host_fake_add_route(h, "eth1", "192.168.152.0", 23);
}

static struct fixture start(void)
{
	struct conf_error e;
	struct fixture x = {.h = host_fake_new()};

	assert_non_null(x.h);
	setup_host(x.h);
	assert_true(net_conf_init("lab", &x.conf, &e));
	add_option(&x.conf, "hostfwd", "tcp::5022-:22");
	add_option(&x.conf, "reserve", "52:54:00:12:34:56=192.168.151.9,vm");
	x.before = host_fake_dump(x.h);
	return x;
}

static void finish(struct fixture *x)
{
	host_fake_free(x->h);
	net_conf_done(&x->conf);
	free(x->before);
}

static int up(struct fixture *x, struct network_error *e)
{
	struct network n;
	int r = network_up(x->h, &x->conf, &n, e);

	if (r == 0)
		network_done(&n);
	return r;
}

static int down(struct fixture *x)
{
	struct network_error e;

	return network_down(x->h, "lab", false, &e);
}

static void assert_as_before(struct fixture *x, const char *what, unsigned int n)
{
	_cleanup_free_ char *now = host_fake_dump(x->h);

	if (strcmp(now, x->before) != 0)
		fail_msg("%s %u: the host differs:\n--- before\n%s--- now\n%s", what, n, x->before, now);
}

static void assert_all_ok(struct fixture *x)
{
	struct network_error e;
	struct network n;

	assert_int_equal(network_load(x->h, "lab", &n, &e), 0);
	assert_int_equal(n.phase, NETWORK_UP);
	for (unsigned int i = 0; i < n.n_steps; i++) {
		struct step_ctx c = {.host = x->h, .network = "lab", .mark = n.mark};
		int r = n.steps[i].kind->check(&c, &n.steps[i]);

		if (r != STEP_OK)
			fail_msg("step %s is %d: %s", n.steps[i].kind->name, r, c.why);
	}
	network_done(&n);
}

static void test_life(void **state)
{
	struct fixture x = start();
	struct network_error e;

	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(up(&x, &e), 0);
		assert_all_ok(&x);
		assert_string_equal(host_fake_get(x.h, "sysctl", "net/ipv4/ip_forward"), "0");
		assert_string_equal(host_fake_get(x.h, "sysctl", "net/ipv4/conf/eth0/forwarding"), "1");
		assert_non_null(
			strstr(host_fake_get(x.h, "table", "vmlan_lab"), "dnat ip to 192.168.151.2:22"));
		assert_int_equal(up(&x, &e), 0);
		assert_int_equal(down(&x), 0);
		assert_as_before(&x, "life", i);
	}
	assert_int_equal(down(&x), -ENOENT);
	assert_as_before(&x, "down twice", 0);
	finish(&x);
}

/* Until the call with that number is not reached any more. */
static void test_up_fails(void **state)
{
	struct network_error e;
	unsigned int n = 0;
	int r;

	do {
		struct fixture x = start();

		host_fake_fail_at(x.h, ++n);
		r = up(&x, &e);
		host_fake_revive(x.h);
		if (r < 0) {
			assert_true(e.text[0]);
			assert_as_before(&x, "up that failed at call", n);
		} else {
			/* Either it was not reached, or it was one that may fail, such as a look for a file.
			 */
			assert_all_ok(&x);
			assert_int_equal(down(&x), 0);
			assert_as_before(&x, "up that did not mind call", n);
		}
		finish(&x);
	} while (n < 300);
	assert_int_equal(r, 0);
}

static unsigned int calls_of_up(void)
{
	struct fixture x = start();
	struct network_error e;
	unsigned int n;

	*host_fake_calls(x.h) = 0;
	assert_int_equal(up(&x, &e), 0);
	n = *host_fake_calls(x.h);
	finish(&x);
	return n;
}

/* What is left of /run/vmlan itself does not count: a folder that the next lock makes or takes. */
static void test_up_dies(void **state)
{
	unsigned int n_all = calls_of_up();
	struct network_error e;

	assert_true(n_all > 50 && n_all < 1000);
	for (unsigned int i = 0; i < n_all * 4; i++) {
		struct fixture x = start();
		unsigned int n = i / 4 + 1;
		bool then_up = i & 1;

		host_fake_die_at(x.h, n, i & 2);
		assert_true(up(&x, &e) < 0);
		host_fake_revive(x.h);
		if (then_up) {
			assert_int_equal(up(&x, &e), 0);
			assert_all_ok(&x);
			assert_int_equal(down(&x), 0);
		} else {
			int r = down(&x);

			assert_true(r == 0 || r == -ENOENT);
		}
		assert_as_before(&x, i & 2 ? "up that died after call" : "up that died before call", n);
		finish(&x);
	}
}

static void test_down_dies(void **state)
{
	struct network_error e;
	unsigned int n = 0;
	int r;

	do {
		for (unsigned int i = 0; i < 4; i++) {
			struct fixture x = start();

			assert_int_equal(up(&x, &e), 0);
			host_fake_die_at(x.h, n + 1, i & 2);
			r = down(&x);
			host_fake_revive(x.h);
			if (i & 1)
				assert_int_equal(up(&x, &e), 0);
			r = r == 0 ? 0 : r;
			if (r != 0 || (i & 1))
				(void)down(&x);
			assert_as_before(&x, "down that died at call", n);
			finish(&x);
		}
		n++;
	} while (r != 0 && n < 300);
	assert_in_range(n, 30, 299);
}

/* A failure of down is told, and down again goes on. */
static void test_down_fails(void **state)
{
	struct network_error e;
	unsigned int n = 0, n_failed = 0;

	do {
		struct fixture x = start();
		int r;

		assert_int_equal(up(&x, &e), 0);
		host_fake_fail_at(x.h, ++n);
		r = down(&x);
		host_fake_revive(x.h);
		n_failed += r < 0;
		if (r < 0)
			(void)down(&x);
		assert_as_before(&x, "down that failed at call", n);
		finish(&x);
	} while (n < 150);
	assert_in_range(n_failed, 10, 149);
}

static void test_mending(void **state)
{
	struct fixture x = start();
	struct network_error e;
	unsigned int n = 0;
	int r;

	assert_int_equal(up(&x, &e), 0);
	host_fake_set(x.h, "table", "vmlan_lab", "vmlan:lab\nsomething else");
	host_fake_meddle(x.h); /* who flushes it again while it is being put back is not taken for us */
	assert_int_equal(up(&x, &e), 0);
	assert_all_ok(&x);
	assert_null(strstr(host_fake_get(x.h, "table", "vmlan_lab"), "and more"));
	do { /* the bridge is gone, and with it much else; the mending dies at each call */
		host_fake_del_link(x.h, "lab");
		host_fake_kill(x.h, "/run/vmlan/lab/supervisor");
		n++;
		host_fake_die_at(x.h, n, n & 1);
		r = up(&x, &e);
		host_fake_revive(x.h);
		assert_int_equal(up(&x, &e), 0);
		assert_all_ok(&x);
	} while (r < 0);
	assert_true(n > 30);
	assert_int_equal(down(&x), 0);
	assert_as_before(&x, "mending", n);
	finish(&x);
}

/* What is another's stays, although it has our names. */
static void test_changes(void **state)
{
	struct fixture x = start();
	struct network_error e;
	unsigned int n;

	assert_int_equal(up(&x, &e), 0);
	assert_int_equal(network_add_option(x.h, "lab", "hostfwd", "tcp::5022-:23", &e), -EINVAL);
	assert_int_equal(network_add_option(x.h, "lab", "hostfwd", "tcp::80-10.0.0.1:80", &e), -EINVAL);
	assert_int_equal(network_del_option(x.h, "lab", "hostfwd", "tcp::81-:80", &e), -ENOENT);
	assert_int_equal(
		network_add_option(x.h, "lab", "reserve", "52:54:00:12:34:57=192.168.151.10", &e), 0);
	assert_non_null(strstr(host_fake_get(x.h, "file", "/run/vmlan/lab/hosts"), "192.168.151.10"));
	assert_int_equal(network_del_option(x.h, "lab", "reserve", "52:54:00:12:34:57", &e), 0);
	assert_null(strstr(host_fake_get(x.h, "file", "/run/vmlan/lab/hosts"), "192.168.151.10"));
	for (n = 1; n < 200;
		n++) { /* dying at any call, the change is made wholly by the next up, or not at all */
		int r;
		bool is_there;

		host_fake_die_at(x.h, n, n & 1);
		r = network_add_option(x.h, "lab", "hostfwd", "tcp::80-:80", &e);
		host_fake_revive(x.h);
		assert_int_equal(up(&x, &e), 0);
		assert_all_ok(&x);
		is_there = strstr(host_fake_get(x.h, "table", "vmlan_lab"), "dport 80 dnat");
		assert_int_equal(
			network_del_option(x.h, "lab", "hostfwd", "tcp::80-:80", &e), is_there ? 0 : -ENOENT);
		assert_true(is_there || r < 0);
		if (is_there)
			assert_string_equal(host_fake_get(x.h, "ended", "6:80-80"), "192.168.151.2:80");
		if (r == 0)
			break;
	}
	assert_in_range(n, 10, 199);
	assert_int_equal(down(&x), 0);
	assert_as_before(&x, "changes", 0);
	finish(&x);
}

static unsigned int count_steps(const struct network *n, const struct step_kind *kind)
{
	unsigned int found = 0;

	for (unsigned int i = 0; i < n->n_steps; i++)
		found += n->steps[i].kind == kind;
	return found;
}

/* Docker's chain gets rules of ours; for what else drops there are notes, and the network comes up. */
static void test_firewalls(void **state)
{
	static const char rules[] =
		"{\"nftables\": [{\"table\": {\"family\": \"ip\", \"name\": \"filter\"}},"
		"{\"chain\": {\"family\": \"ip\", \"table\": \"filter\", \"name\": \"DOCKER-USER\"}},"
		"{\"chain\": {\"family\": \"ip\", \"table\": \"filter\", \"name\": \"FORWARD\","
		" \"hook\": \"forward\", \"policy\": \"drop\"}},"
		"{\"chain\": {\"family\": \"inet\", \"table\": \"mine\", \"name\": \"in\", \"hook\": "
		"\"input\","
		" \"policy\": \"drop\"}}]}\n{\"nftables\": []}\n";
	struct fixture x = start();
	struct network_error e;
	struct network n;

	assert_int_equal(up(&x, &e), 0);
	host_fake_ruleset(x.h, rules);
	for (unsigned int k = 0; k < 2; k++) { /* found once, and not again */
		assert_int_equal(network_up(x.h, &x.conf, &n, &e), 0);
		assert_int_equal(n.n_notes, 1);
		assert_non_null(strstr(n.notes[0], "nft insert rule inet mine in iifname lab udp dport"));
		assert_string_equal(n.steps[n.n_steps - 1].kind->name, "supervisor");
		assert_int_equal(count_steps(&n, &step_docker), 1);
		network_done(&n);
	}
	assert_all_ok(&x);
	assert_int_equal(down(&x), 0);
	host_fake_ruleset(x.h, "not JSON");
	assert_int_equal(up(&x, &e), 0);
	assert_int_equal(down(&x), 0);
	assert_as_before(&x, "firewalls", 0);
	finish(&x);
}

#define CHAIN(table, name, hook)                                                                             \
	"{\"chain\": {\"family\": \"inet\", \"table\": \"" table "\", \"name\": \"" name                     \
	"\", \"hook\": \"" hook "\", \"policy\": \"accept\"}},"
#define RULE(table, name, expr)                                                                              \
	"{\"rule\": {\"family\": \"inet\", \"table\": \"" table "\", \"chain\": \"" name                     \
	"\", \"expr\": [" expr "]}},"
#define IIF(dev)                                                                                             \
	"{\"match\": {\"op\": \"==\", \"left\": {\"meta\": {\"key\": \"iifname\"}}, \"right\": \"" dev "\"}" \
	"}"
#define LIST(text) "{\"nftables\": [" text "{}]}"

static void assert_firewall(
	struct fixture *x, const char *rules, unsigned int n_notes, unsigned int n_firewalld)
{
	struct network_error e;
	struct network n;

	host_fake_ruleset(x->h, rules);
	assert_int_equal(network_plan(x->h, &x->conf, &n, &e), 0);
	if (n.n_notes != n_notes || count_steps(&n, &step_firewalld) != n_firewalld)
		fail_msg("%u notes and %u steps for %s", n.n_notes, count_steps(&n, &step_firewalld), rules);
	network_done(&n);
}

/* A rule that takes everything is a drop as a policy is; one that compares something is not; and what is let
 * from the bridge already is not said. */
static void test_firewall_rules(void **state)
{
	struct fixture x = start();

	assert_firewall(&x,
		LIST(CHAIN("t", "f", "forward") RULE("t", "f", "{\"counter\": 1}, {\"drop\": null}")), 1, 0);
	assert_firewall(&x, LIST(CHAIN("t", "f", "output") RULE("t", "f", "{\"reject\": null}")), 1, 0);
	assert_firewall(&x,
		LIST(CHAIN("t", "f", "input")
				RULE("t", "f", "{\"xt\": {\"type\": \"target\", \"name\": \"REJECT\"}}")),
		1, 0);
	assert_firewall(
		&x, LIST(CHAIN("t", "f", "input") RULE("t", "f", IIF("eth0") ", {\"drop\": null}")), 0, 0);
	assert_firewall(&x, LIST(CHAIN("t", "f", "postrouting") RULE("t", "f", "{\"drop\": null}")), 0, 0);
	assert_firewall(&x,
		LIST(CHAIN("t", "f", "forward") RULE("t", "f", IIF("lab") ", {\"accept\": null}")
				RULE("t", "f", "{\"drop\": null}")),
		0, 0);
	/* The zone is trusted, which is worth a note. */
	assert_firewall(&x,
		LIST(CHAIN("firewalld", "filter_FORWARD", "forward")
				RULE("firewalld", "filter_FORWARD", "{\"reject\": null}")),
		1, 1);
	assert_firewall(&x,
		LIST(CHAIN("firewalld", "filter_FORWARD", "forward") RULE(
			"firewalld", "filter_IN", IIF("lab") ", {\"goto\": {\"target\": \"x\"}}")),
		0, 0);
	/* Its older back end, among the chains of iptables. */
	assert_firewall(&x,
		LIST(CHAIN("filter", "INPUT_ZONES", "") CHAIN("filter", "FORWARD", "forward")
				RULE("filter", "FORWARD", "{\"reject\": null}")),
		1, 1);
	finish(&x);
}

static void test_others(void **state)
{
	struct fixture x = start();
	struct network_error e;

	assert_int_equal(up(&x, &e), 0);
	host_fake_del_link(x.h, "lab");
	host_fake_add_link(x.h, "lab", "bridge");
	host_fake_set(x.h, "table", "vmlan_lab", "another's\nrules");
	assert_int_equal(up(&x, &e), -EEXIST);
	assert_int_equal(down(&x), 0);
	assert_string_equal(host_fake_get(x.h, "table", "vmlan_lab"), "another's\nrules");
	host_fake_del_link(x.h, "lab");
	host_fake_set(x.h, "table", "vmlan_lab", NULL);
	assert_as_before(&x, "others", 0);
	finish(&x);
}

static void test_refusals(void **state)
{
	struct fixture x = start();
	struct network_error e;

	add_option(&x.conf, "net", "192.168.153.0/25");
	assert_int_equal(up(&x, &e), -EINVAL); /* the reservation is not in it */
	x.conf.n_reserves = 0;
	assert_int_equal(up(&x, &e), -EADDRINUSE);
	assert_string_equal(e.option, "net");
	assert_non_null(strstr(e.text, "192.168.152.0/23"));
	add_option(&x.conf, "net", "192.168.128.0/17");
	assert_int_equal(up(&x, &e), -EADDRINUSE);
	add_option(&x.conf, "net", "10.1.1.0/24");
	host_fake_listen(x.h, 5022);
	assert_int_equal(up(&x, &e), -EADDRINUSE);
	assert_string_equal(e.option, "hostfwd");
	x.conf.n_forwards = 0;
	host_fake_listen(x.h, 53);
	assert_int_equal(up(&x, &e), 0);
	assert_non_null(
		strstr(host_fake_get(x.h, "table", "vmlan_lab"), "dport 53 dnat ip to 10.1.1.1:1053"));
	host_fake_add_link(x.h, "tap0", "tun");
	host_fake_set_master(x.h, "tap0", "lab");
	assert_int_equal(down(&x), -EBUSY);
	assert_int_equal(network_down(x.h, "lab", true, &e), 0);
	host_fake_del_link(x.h, "tap0");
	assert_as_before(&x, "refusals", 0);
	finish(&x);
}

/* Two networks share forwarding: the first to come sets it, the last to go restores it. Without
 * force_forwarding, as before Linux 6.17. */
static void test_shared(void **state)
{
	static const char accept_ra[] = "net/ipv6/conf/eth0/accept_ra",
			  all[] = "net/ipv6/conf/all/forwarding";
	struct fixture x = start();
	struct network_error e;
	struct network other;
	struct conf_error ce;
	struct net_conf c;

	host_fake_set(x.h, "sysctl", "net/ipv6/conf/default/force_forwarding", NULL);
	host_fake_set(x.h, "sysctl", "net/ipv6/conf/eth0/force_forwarding", NULL);
	host_fake_set(x.h, "sysctl", "net/ipv6/conf/eth1/force_forwarding", NULL);
	host_fake_set(x.h, "sysctl", "net/ipv6/conf/lo/force_forwarding", NULL);
	free(x.before);
	x.before = host_fake_dump(x.h);
	assert_true(net_conf_init("other", &c, &ce));
	assert_int_equal(up(&x, &e), 0);
	assert_int_equal(network_up(x.h, &c, &other, &e), 0);
	network_done(&other);
	assert_string_equal(host_fake_get(x.h, "sysctl", accept_ra), "2");
	assert_string_equal(host_fake_get(x.h, "sysctl", all), "1");
	assert_int_equal(down(&x), 0);
	assert_string_equal(host_fake_get(x.h, "sysctl", all), "1");
	host_fake_add_link(x.h, "late0", "");
	assert_int_equal(network_down(x.h, "other", false, &e), 0);
	assert_string_equal(host_fake_get(x.h, "sysctl", "net/ipv6/conf/late0/accept_ra"), "1");
	assert_string_equal(host_fake_get(x.h, "sysctl", "net/ipv4/conf/late0/forwarding"), "0");
	host_fake_del_link(x.h, "late0");
	assert_as_before(&x, "shared", 0);
	finish(&x);
}

static void test_other_boot(void **state)
{
	struct fixture x = start();
	struct network_error e;

	assert_int_equal(up(&x, &e), 0);
	host_fake_set(x.h, "host", "netns", "2");
	assert_int_equal(up(&x, &e), -EXDEV);
	assert_int_equal(down(&x), -EXDEV);
	host_fake_set(x.h, "host", "netns", NULL);
	/* A host that keeps /run over a reboot: nothing else of it is there any more. */
	host_fake_set(x.h, "host", "boot", "later");
	host_fake_del_link(x.h, "lab");
	host_fake_set(x.h, "table", "vmlan_lab", NULL);
	host_fake_kill(x.h, "/run/vmlan/lab/supervisor");
	assert_int_equal(up(&x, &e), 0);
	assert_all_ok(&x);
	finish(&x);
}

static char *replaced(const char *text, const char *from, const char *to)
{
	char *copy = strdup(text), *at;

	assert_int_equal(strlen(from), strlen(to));
	for (at = strstr(copy, from); at; at = strstr(at, from))
		memcpy(at, to, strlen(from));
	return copy;
}

/* A host as version 1 left it, whose rules were other ones, is taken over by an up or a change that dies
 * anywhere, and by a down. */
static void test_older_record(void **state)
{
	struct network_error e;
	struct network n;
	int done = -1;

	for (unsigned int i = 1; done < 0 || i % 3; i++) {
		struct fixture x = start();
		_cleanup_free_ char *old_state = replaced(state_v1, "1024-65535", "2048-65535"),
				    *old_rules = NULL;
		unsigned int verb = i % 3;

		assert_non_null(strstr(state_v1, "\"version\": 1"));
		assert_int_equal(up(&x, &e), 0);
		old_rules = replaced(host_fake_get(x.h, "table", "vmlan_lab"), "1024-65535", "2048-65535");
		host_fake_set(x.h, "table", "vmlan_lab", old_rules);
		host_fake_set(x.h, "file", "/run/vmlan/lab/state.json", old_state);
		host_fake_set(x.h, "file", "/run/vmlan/forwarding.json", forwarding_v1);
		host_fake_die_at(x.h, i / 3 + 1, i & 1);
		done = verb == 2 ? down(&x)
		       : verb    ? network_add_option(x.h, "lab", "hostfwd", "tcp::80-:80", &e)
				 : up(&x, &e);
		host_fake_revive(x.h);
		if (verb != 2) {
			assert_int_equal(up(&x, &e), 0);
			assert_all_ok(&x);
			assert_non_null(strstr(host_fake_get(x.h, "table", "vmlan_lab"), "1024-65535"));
			assert_null(strstr(host_fake_get(x.h, "table", "vmlan_lab"), "2048-65535"));
			assert_int_equal(network_load(x.h, "lab", &n, &e), 0);
			assert_int_equal(n.version, 2);
			network_done(&n);
		}
		if (verb != 2 || done < 0)
			(void)down(&x);
		assert_as_before(&x, "older record", i);
		finish(&x);
		assert_true(i < 1000);
	}
}

static void test_later_record(void **state)
{
	struct fixture x = start();
	_cleanup_free_ char *before = NULL, *after = NULL,
			    *later = replaced(state_v1, "\"version\": 1", "\"version\": 9");
	struct network_error e;
	struct network n;

	assert_int_equal(up(&x, &e), 0);
	host_fake_set(x.h, "file", "/run/vmlan/lab/state.json", later);
	before = host_fake_dump(x.h);
	assert_int_equal(up(&x, &e), -EPROTONOSUPPORT);
	assert_non_null(strstr(e.text, "later version"));
	assert_non_null(strstr(e.mend, "vmlan down lab"));
	assert_int_equal(network_down(x.h, "lab", true, &e), -EPROTONOSUPPORT);
	assert_int_equal(network_add_option(x.h, "lab", "hostfwd", "tcp::80-:80", &e), -EPROTONOSUPPORT);
	assert_int_equal(network_load(x.h, "lab", &n, &e), -EPROTONOSUPPORT);
	after = host_fake_dump(x.h);
	assert_string_equal(before, after);
	finish(&x);
	/* The list that networks share. */
	x = start();
	free(later);
	later = replaced(forwarding_v1, "\"version\": 1", "\"version\": 9");
	host_fake_set(x.h, "file", "/run/vmlan/forwarding.json", later);
	host_fake_set(x.h, "dir", "/run/vmlan", "");
	assert_int_equal(up(&x, &e), -EPROTONOSUPPORT);
	assert_non_null(strstr(e.text, "a later version of vmlan keeps the list"));
	assert_string_equal(host_fake_get(x.h, "file", "/run/vmlan/forwarding.json"), later);
	finish(&x);
}

/* A VPN comes, whose routes hold the network. */
static void test_overlap(void **state)
{
	struct fixture x = start();
	struct network_error e;
	struct network n;

	assert_int_equal(up(&x, &e), 0);
	assert_int_equal(network_load(x.h, "lab", &n, &e), 0);
	assert_int_equal(network_look(x.h, &n, &e), 0);
	assert_int_equal(n.n_notes, 0);
	host_fake_add_link(x.h, "tun7", "tun");
	host_fake_add_route(x.h, "tun7", "192.168.0.0", 16);
	assert_int_equal(network_look(x.h, &n, &e), 0);
	assert_int_equal(n.n_notes, 1);
	assert_non_null(strstr(n.notes[0], "overlaps the route 192.168.0.0/16 of tun7"));
	network_done(&n);
	assert_int_equal(network_up(x.h, &x.conf, &n, &e), 0);
	assert_int_equal(n.n_notes, 1);
	network_done(&n);
	finish(&x);
}

/* A bridge of somebody's, with an address or without. */
static struct fixture start_adopt(bool with_address)
{
	struct fixture x = start();

	host_fake_add_link(x.h, "br9", "bridge");
	host_fake_set_alias(x.h, "br9", with_address ? "the office's" : "");
	if (with_address) {
		host_fake_add_addr(x.h, "br9", "10.9.0.3", 24);
		x.conf.n_reserves = 0;
	}
	add_option(&x.conf, "bridge", "br9");
	add_option(&x.conf, "adopt", "yes");
	free(x.before);
	x.before = host_fake_dump(x.h);
	return x;
}

static void test_adopt(void **state)
{
	struct network_error e;
	int r = -1;

	for (unsigned int i = 0; r < 0 || i % 4; i++) {
		struct fixture x = start_adopt(i & 1);

		host_fake_die_at(x.h, i / 4 + 1, i & 2);
		r = up(&x, &e);
		host_fake_revive(x.h);
		assert_int_equal(up(&x, &e), 0);
		assert_all_ok(&x);
		assert_non_null(strstr(host_fake_get(x.h, "table", "vmlan_lab"),
			i & 1 ? "ip saddr 10.9.0.0/24" : "ip saddr 192.168.151.0/24"));
		host_fake_die_at(x.h, i / 4 + 1, i & 2);
		if (down(&x) < 0) {
			host_fake_revive(x.h);
			(void)down(&x);
		}
		host_fake_revive(x.h);
		assert_as_before(&x, "adopt", i);
		finish(&x);
		assert_true(i < 1000);
	}
}

static void test_adopt_refusals(void **state)
{
	struct fixture x = start_adopt(true);
	struct network_error e;

	host_fake_set_master(x.h, "eth1", "br9");
	assert_int_equal(up(&x, &e), -EBUSY);
	assert_non_null(strstr(e.text, "by its port eth1"));
	assert_non_null(strstr(e.mend, "-net bridge,br=br9"));
	host_fake_set_master(x.h, "eth1", NULL);
	host_fake_set(x.h, "file", "/proc/net/udp", "  sl\n  5: 0300090A:0035 00000000:0000 07\n");
	assert_int_equal(up(&x, &e), -EBUSY);
	assert_non_null(strstr(e.text, "has a name server of its own"));
	host_fake_set(x.h, "file", "/proc/net/udp", NULL);
	add_option(&x.conf, "net", "10.8.0.0/24");
	assert_int_equal(up(&x, &e), -EBUSY);
	assert_string_equal(e.option, "net");
	add_option(&x.conf, "net", "10.9.0.0/24");
	add_option(&x.conf, "mtu", "9000");
	assert_int_equal(up(&x, &e), -EBUSY);
	assert_string_equal(e.option, "mtu");
	x.conf.mtu = 0;
	add_option(&x.conf, "isolated", "yes");
	assert_int_equal(up(&x, &e), -EBUSY);
	assert_string_equal(e.option, "isolated");
	add_option(&x.conf, "isolated", "no");
	host_fake_set_alias(x.h, "br9", "vmlan:other");
	assert_int_equal(up(&x, &e), -EEXIST);
	host_fake_set_alias(x.h, "br9", "the office's");
	add_option(&x.conf, "bridge", "eth0");
	assert_int_equal(up(&x, &e), -ENODEV);
	add_option(&x.conf, "bridge", "br9");
	assert_as_before(&x, "refused adoptions", 0);
	host_fake_add_addr(x.h, "br9", "10.10.0.3", 24);
	assert_int_equal(up(&x, &e), -EBUSY);
	finish(&x);
	/* The bridge goes: nothing is made in its stead, and down is content. */
	x = start_adopt(true);
	assert_int_equal(up(&x, &e), 0);
	host_fake_del_link(x.h, "br9");
	assert_int_equal(up(&x, &e), -ENODEV);
	assert_int_equal(down(&x), 0);
	finish(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_up_fails),
		cmocka_unit_test(test_up_dies),
		cmocka_unit_test(test_down_dies),
		cmocka_unit_test(test_down_fails),
		cmocka_unit_test(test_mending),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_firewalls),
		cmocka_unit_test(test_firewall_rules),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_other_boot),
		cmocka_unit_test(test_older_record),
		cmocka_unit_test(test_later_record),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_adopt_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
