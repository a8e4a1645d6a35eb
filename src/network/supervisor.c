/* SPDX-License-Identifier: BSD-2-Clause */
/* One small process a network, with systemd or without. It holds the lock by which it is known, and is the
 * parent of dnsmasq, which ends with it.
 *
 * dnsmasq is ready when it says that it has started. When it ends it is started again, with a growing pause.
 * What it logs goes to a file of which the last 64 to 128 KiB are kept.
 *
 * Whenever rules change, the steps that other firewalls may undo are checked, a moment later (a reload is
 * many changes), and done again if need be; that is while holding the lock of all networks, and only if the
 * network is "up" on record, so that nothing is put back that an up or down is at work on. The lock is tried,
 * not waited for: a down holds it while it waits for us to end.
 *
 * Nothing here opens the supervisor's lock file: closing it would let go of the lock. */
#include "supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "clock.h"
#include "dnsmasq.h"
#include "log.h"
#include "plan.h"
#include "store.h"
#include "supervisor_lock.h"
#include "watch.h"

#define LOG_BYTES_MAX    65536
#define SETTLE_MS        50   /* rules are looked at when nothing has changed for so long */
#define SETTLE_MAX_MS    1000 /* or since the first change */
#define BUSY_MS          200  /* another has the lock */
#define RETRY_MS         1000 /* a step was not to be put back: a firewall that is starting does not answer yet */
#define RETRIES_MAX      30
#define RESTART_MIN_MS   100 /* pauses before dnsmasq is started again */
#define RESTART_MAX_MS   10000
#define STEADY_MS        10000 /* having run for so long, it may fail anew */
#define START_TIMEOUT_MS 10000
#define TAKEN_MS                                                                                             \
	3000 /* how long a port may stay taken: of a supervisor that was killed, dnsmasq is yet to end */
#define TAKEN_AGAIN_MS 50

struct supervisor {
	struct host *host;
	struct network network;
	struct dnsmasq dnsmasq;
	int lock_fd, signal_fd, rules_fd, links_fd, log_fd, ready_fd;
	size_t log_bytes;
	char line[256]; /* of dnsmasq's, as it comes */
	size_t line_bytes;
	char said[256];      /* its last whole line, but for that it fails, which comes after the reason */
	unsigned int bridge; /* its index */
	bool started;        /* dnsmasq has said so */
	uint64_t start_ms;   /* when dnsmasq was, or is to be, started */
	uint64_t begin_ms;   /* when it was for the first time */
	uint64_t pause_ms;
	uint64_t check_ms, check_last_ms; /* when to look at the rules, and by when; 0: no need */
	unsigned int n_retries;           /* since rules changed */
};

static void say(struct supervisor *s, const char *text)
{
	if (s->ready_fd >= 0)
		(void)!dprintf(s->ready_fd, "%s\n", text); /* nobody may be listening any more */
	util_close(&s->ready_fd);
}

static void log_bytes(struct supervisor *s, const char *text, size_t n)
{
	char path[HOST_PATH_BYTES], old[HOST_PATH_BYTES + 8];

	if (s->log_fd < 0 || s->log_bytes + n > LOG_BYTES_MAX) {
		store_path(s->network.conf.name, STORE_LOG, path);
		(void)snprintf(old, sizeof(old), "%s.old", path);
		if (s->log_fd >= 0)
			(void)rename(path, old);
		util_close(&s->log_fd);
		s->log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
		s->log_bytes = 0;
	}
	if (s->log_fd >= 0 && write(s->log_fd, text, n) > 0)
		s->log_bytes += n;
}

static _printf_(2, 3) void note(struct supervisor *s, const char *format, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text) - 1, format, ap);
	va_end(ap);
	n = MIN(MAX(n, 0), (int)sizeof(text) - 2);
	text[n++] = '\n';
	log_bytes(s, text, (size_t)n);
}

/* The lease file outlives the network; dnsmasq, which is not root, writes it. */
static int prepare_leases(struct supervisor *s)
{
	char folder[HOST_PATH_BYTES], path[HOST_PATH_BYTES + 8];
	uid_t uid;
	gid_t gid;
	int r = dnsmasq_user(&uid, &gid);

	(void)snprintf(folder, sizeof(folder), "%s/%s", NETWORK_LIB_DIR, s->network.conf.name);
	(void)snprintf(path, sizeof(path), "%s/leases", folder);
	if (r == 0)
		r = s->host->ops->dir_add(s->host, folder);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

	return fd < 0 || fchown(fd, uid, gid) < 0 ? -errno : 0;
}

static int start_dnsmasq(struct supervisor *s)
{
	char path[HOST_PATH_BYTES];
	int r = prepare_leases(s);

	store_path(s->network.conf.name, STORE_DNSMASQ, path);
	if (r == 0)
		r = dnsmasq_start(path, &s->dnsmasq);
	s->started = false;
	s->line_bytes = 0;
	s->start_ms = clock_now_ms();
	if (r < 0)
		note(s, "cannot start dnsmasq: %s", strerror(-r));
	return r;
}

static void on_started(struct supervisor *s)
{
	int r = dnsmasq_set_no_checksum(&s->dnsmasq);

	s->started = true;
	if (r < 0)
		note(s, "cannot turn off the checksums of DHCP replies (%s): some guests may not take them",
			strerror(-r));
	say(s, "ready");
}

static void read_dnsmasq(struct supervisor *s)
{
	char text[4096];
	ssize_t n = s->dnsmasq.pid ? read(s->dnsmasq.log_fd, text, sizeof(text)) : -1;

	if (n <= 0)
		return;
	log_bytes(s, text, (size_t)n);
	for (ssize_t i = 0; i < n; i++) {
		if (text[i] != '\n') {
			if (s->line_bytes + 1 < sizeof(s->line))
				s->line[s->line_bytes++] = text[i];
			continue;
		}
		s->line[s->line_bytes] = '\0';
		s->line_bytes = 0;
		if (!strstr(s->line, "FAILED to start up"))
			memcpy(s->said, s->line, sizeof(s->said));
		if (!s->started && strstr(s->line, "started, version "))
			on_started(s);
	}
}

/* 0, or -1 if it failed before it had ever been ready: then so has the network. */
static int on_dnsmasq_end(struct supervisor *s)
{
	uint64_t now_ms = clock_now_ms();
	char text[480];

	read_dnsmasq(s);
	dnsmasq_stop(&s->dnsmasq);
	if (s->ready_fd >= 0 && now_ms - s->begin_ms < TAKEN_MS && strstr(s->said, strerror(EADDRINUSE))) {
		s->start_ms = now_ms + TAKEN_AGAIN_MS;
		return 0;
	}
	if (s->ready_fd >= 0) {
		(void)snprintf(text, sizeof(text), "dnsmasq ended: %s%s",
			s->said[0] ? s->said : "is it installed?",
			strstr(s->said, "DHCP server socket")
				? "; another DHCP server has port 67 of all interfaces (a dnsmasq that has "
				  "bind-dynamic in its configuration does not)"
				: "");
		say(s, text);
		return -1;
	}
	s->pause_ms = now_ms - s->start_ms > STEADY_MS
			      ? RESTART_MIN_MS
			      : MIN(MAX(s->pause_ms * 2, (uint64_t)RESTART_MIN_MS), (uint64_t)RESTART_MAX_MS);
	s->start_ms = now_ms + s->pause_ms;
	note(s, "dnsmasq ended; it is started again in %u ms", (unsigned int)s->pause_ms);
	return 0;
}

/* Whether all is in order. */
static bool mend_steps(struct supervisor *s, struct network *n)
{
	bool good = true;

	for (unsigned int i = 0; i < n->n_steps; i++) {
		struct step *step = &n->steps[i];
		struct step_ctx c = {.host = s->host, .network = n->conf.name, .mark = n->mark};
		char what[STEP_TEXT_BYTES];
		int r;

		if (!step->kind->watched || step->kind->check(&c, step) == STEP_OK)
			continue;
		step->kind->describe(step, what);
		note(s, "%s: %s; put back", what, c.why);
		r = step->kind->apply(&c, step);
		if (r < 0)
			note(s, "%s: %s: %s", what, c.why, strerror(-r));
		else if (store_save(s->host, n) < 0)
			note(s, "cannot write the record");
		good = good && r >= 0;
	}
	return good;
}

/* Not ready yet, or at work on by another: later. */
static void check_rules(struct supervisor *s)
{
	struct network n;

	s->check_ms = s->check_last_ms = 0;
	if (s->host->ops->lock_take(s->host, STORE_LOCK, false) < 0) {
		s->check_ms = s->check_last_ms = clock_now_ms() + BUSY_MS;
		return;
	}
	if (store_load(s->host, s->network.conf.name, &n) == 0) {
		bool added;
		struct network_error e;

		if (n.phase == NETWORK_UP) {
			if (firewall_plan(s->host, &n, &added, &e) < 0)
				note(s, "other firewalls cannot be seen: %s", e.text);
			else if (added && store_save(s->host, &n) < 0)
				note(s, "cannot write the record");
			if (!mend_steps(s, &n) && s->n_retries++ < RETRIES_MAX)
				s->check_ms = s->check_last_ms = clock_now_ms() + RETRY_MS;
		}
		network_done(&n);
	}
	s->host->ops->lock_release(s->host);
}

static void on_rules(struct supervisor *s)
{
	uint64_t now_ms = clock_now_ms();
	char own[NETWORK_TABLE_BYTES];

	(void)snprintf(own, sizeof(own), "%s%s", NETWORK_TABLE_PREFIX, s->network.conf.name);
	if (!watch_rules_read(s->rules_fd, NETWORK_TABLE_PREFIX, own))
		return;
	s->n_retries = 0;
	if (!s->check_last_ms)
		s->check_last_ms = now_ms + SETTLE_MAX_MS;
	s->check_ms = MIN(now_ms + SETTLE_MS, s->check_last_ms);
}

static void isolate(void *ctx, unsigned int index)
{
	struct supervisor *s = ctx;

	if (s->host->ops->port_set_isolated(s->host, index, true) < 0)
		note(s, "cannot isolate the port with index %u", index);
}

/* false: it is time to end. */
static bool on_signal(struct supervisor *s)
{
	struct signalfd_siginfo i;

	if (read(s->signal_fd, &i, sizeof(i)) != (ssize_t)sizeof(i))
		return true;
	if (i.ssi_signo == SIGHUP)
		dnsmasq_reload(&s->dnsmasq);
	return i.ssi_signo == SIGHUP;
}

static int timeout_ms(const struct supervisor *s, uint64_t now_ms)
{
	uint64_t next_ms = UINT64_MAX;

	if (s->check_ms)
		next_ms = s->check_ms;
	if (!s->dnsmasq.pid)
		next_ms = MIN(next_ms, s->start_ms);
	else if (s->ready_fd >= 0)
		next_ms = MIN(next_ms, s->start_ms + START_TIMEOUT_MS);
	if (next_ms == UINT64_MAX)
		return -1;
	return next_ms > now_ms ? (int)MIN(next_ms - now_ms, (uint64_t)INT32_MAX) : 0;
}

static int serve(struct supervisor *s)
{
	for (;;) {
		struct pollfd p[] = {{s->signal_fd, POLLIN, 0}, {s->rules_fd, POLLIN, 0},
			{s->links_fd, POLLIN, 0}, {s->dnsmasq.pid ? s->dnsmasq.log_fd : -1, POLLIN, 0},
			{s->dnsmasq.pid ? s->dnsmasq.pid_fd : -1, POLLIN, 0}};
		uint64_t now_ms = clock_now_ms();

		if (poll(p, ARRAY_SIZE(p), timeout_ms(s, now_ms)) < 0 && errno != EINTR)
			return 1;
		now_ms = clock_now_ms();
		if (p[0].revents && !on_signal(s))
			return 0;
		if (p[1].revents)
			on_rules(s);
		if (p[2].revents && s->network.conf.isolated)
			(void)watch_links_read(s->links_fd, s->bridge, isolate, s);
		if (p[3].revents & POLLIN)
			read_dnsmasq(s);
		if (p[4].revents && on_dnsmasq_end(s) < 0)
			return 1;
		if (s->ready_fd >= 0 && now_ms > s->start_ms + START_TIMEOUT_MS) {
			say(s, "dnsmasq does not come up");
			return 1;
		}
		if (!s->dnsmasq.pid && now_ms >= s->start_ms && start_dnsmasq(s) < 0)
			s->start_ms = now_ms + RESTART_MAX_MS;
		if (s->check_ms && now_ms >= s->check_ms)
			check_rules(s);
	}
}

static int prepare(struct supervisor *s, const char *network)
{
	struct host_link bridge = {0};
	char path[HOST_PATH_BYTES];
	sigset_t mask;
	int r;

	store_path(network, STORE_SUPERVISOR, path);
	r = host_supervisor_lock(path, &s->lock_fd);
	if (r == 0)
		r = store_load(s->host, network, &s->network);
	if (r == 0)
		r = s->host->ops->link_find(s->host, s->network.conf.bridge, &bridge);
	if (r < 0)
		return r;
	s->bridge = bridge.index;
	s->rules_fd = watch_rules_open();
	s->links_fd = s->network.conf.isolated ? watch_links_open() : -1;
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	s->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	s->begin_ms = clock_now_ms();
	return s->signal_fd < 0 ? -errno : s->rules_fd < 0 ? s->rules_fd : MIN(start_dnsmasq(s), 0);
}

int supervisor_run(struct host *h, const char *network, int ready_fd)
{
	struct supervisor s = {.host = h,
		.lock_fd = -1,
		.signal_fd = -1,
		.rules_fd = -1,
		.links_fd = -1,
		.log_fd = -1,
		.ready_fd = ready_fd};
	char text[160];
	int status, r = prepare(&s, network);

	if (r < 0) {
		(void)snprintf(text, sizeof(text), "the supervisor of %.15s cannot start: %s", network,
			strerror(-r));
		say(&s, text);
	}
	status = r < 0 ? 1 : serve(&s);
	dnsmasq_stop(&s.dnsmasq);
	util_close(&s.signal_fd);
	util_close(&s.rules_fd);
	util_close(&s.links_fd);
	util_close(&s.log_fd);
	network_done(&s.network);
	util_close(&s.lock_fd);
	return status;
}
