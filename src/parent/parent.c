/* SPDX-License-Identifier: BSD-2-Clause */
/* The parent's life: open everything that has a name (capture, forwards, sockets, namespaces), start the
 * engine, hand it over, and then wait: for the engine's messages and its end, for signals, for changes of
 * resolv.conf, for namespaces that go away, for peers to dial.
 *
 * It keeps every descriptor that it hands over, so that an engine killed by a signal (a bug that a guest
 * found, or the sandbox's verdict on one) is replaced by a fresh one with the same ports and forwards.
 * Connections through the old one are gone; connections waiting in a listener's backlog are not. More
 * than CHILD_RESTARTS_MAX times a minute it gives up.
 *
 * An engine that exits with status 0 without being told has no port left, which is the network's end.
 *
 * With a command, the command decides: its end is the network's end and its status ours. A signal from
 * the terminal reaches the command by itself, as it is in the same process group; one that a process
 * sent to us is passed on. */
#include "parent.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "child.h"
#include "command.h"
#include "forwards.h"
#include "guests.h"
#include "hostdns.h"
#include "log.h"
#include "loop.h"
#include "monitor.h"

#define QUIT_TIMEOUT_MS 2000

struct parent {
	const struct user_conf *conf;
	struct loop *loop;
	int ready_fd, pcap_fd, signal_fd, inotify_fd;
	int source_engine;
	struct rlimit n_files; /* as it was */
	struct child child;
	struct command command;
	bool has_command;
	struct guest *guests;
	struct forwards forwards;
	struct monitor *monitor;
	struct msg_resolvers resolvers;
	struct loop_timer dial, quit;
	bool quitting;
	int status;
};

static void finish(struct parent *p)
{
	loop_stop(p->loop, p->status);
}

/* Lets the engine say its last, or ends at once if there is none. */
static void quit(struct parent *p, int status)
{
	p->status = status;
	p->quitting = true;
	if (!p->child.pid) {
		finish(p);
		return;
	}
	if (child_tell(&p->child, &(struct msg){.type = MSG_QUIT, .fd = -1}) < 0)
		(void)kill(p->child.pid, SIGKILL);
	loop_timer_set(p->loop, &p->quit, loop_now_ms(p->loop) + QUIT_TIMEOUT_MS);
}

static void quit_overdue(void *ctx, uint64_t now_ms)
{
	struct parent *p = ctx;

	if (p->child.pid)
		(void)kill(p->child.pid, SIGKILL);
}

/* Dialled ports. */

static void dial_all(void *ctx, uint64_t now_ms)
{
	struct parent *p = ctx;
	uint64_t next_ms = 0;

	for (unsigned int i = 0; i < p->conf->n_ports; i++) {
		struct guest *g = &p->guests[i];
		_cleanup_close_ int fd = guest_dial(g, now_ms);

		if (fd >= 0) {
			struct msg m = {.type = MSG_ATTACH_PORT, .fd = fd};

			m.port.id = (uint8_t)i;
			(void)child_tell(&p->child, &m);
		}
		if (g->dial_ms && (!next_ms || g->dial_ms < next_ms))
			next_ms = g->dial_ms;
	}
	if (next_ms)
		loop_timer_set(p->loop, &p->dial, next_ms);
}

static void dial_again(struct parent *p, struct guest *g)
{
	guest_dial_again(g, loop_now_ms(p->loop));
	if (g->dial_ms && (!p->dial.armed || p->dial.due_ms > g->dial_ms))
		loop_timer_set(p->loop, &p->dial, g->dial_ms);
}

/* The engine's messages. */

static void on_ready(struct parent *p)
{
	if (p->ready_fd >= 0)
		(void)!write(p->ready_fd, "", 1); /* whoever waits may have gone */
	util_close(&p->ready_fd);
	if (p->has_command)
		command_begin(&p->command);
}

static void on_closed(struct parent *p, const struct msg_closed *c)
{
	if (c->id >= p->conf->n_ports)
		return;
	log_debug("port %u closed%s: %s", c->id, c->final ? " for good" : "", strerror(-c->error));
	if (c->final)
		guest_close(&p->guests[c->id]);
	else
		dial_again(p, &p->guests[c->id]);
}

/* What only the guest's side of a tap knows. */
static void print_taps(struct parent *p)
{
	for (unsigned int i = 0; i < p->conf->n_ports; i++) {
		const struct user_port *c = &p->conf->ports[i];
		char path[64 + sizeof(c->path)];
		uint64_t n_dropped;

		if (c->kind != USER_PORT_NETNS || p->guests[i].closed || (c->fresh && p->command.pid <= 0))
			continue;
		if (c->fresh)
			(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)p->command.pid);
		else
			(void)snprintf(path, sizeof(path), "%s", c->path);
		if (netns_tap_dropped(path, c->ifname, &n_dropped) == 0)
			(void)dprintf(STDERR_FILENO, "tap %s: %llu frames of the guest dropped at a full queue\n",
				c->ifname, (unsigned long long)n_dropped);
	}
}

static void on_msg(struct parent *p, struct msg *m)
{
	switch (m->type) {
	case MSG_READY:
		on_ready(p);
		break;
	case MSG_PORT_CLOSED:
		on_closed(p, &m->closed);
		break;
	case MSG_FLOWS:
		monitor_take_flows(p->monitor, &m->flows);
		break;
	case MSG_WARNING:
		msg_text_clean(&m->text);
		log_warn("%s", m->text.bytes);
		break;
	case MSG_STATS:
		msg_text_clean(&m->text);
		(void)!write(STDERR_FILENO, m->text.bytes, m->text.n_bytes);
		print_taps(p);
		break;
	default:
		log_warn("the engine sent a message of a wrong kind (%d)", m->type);
	}
}

/* A nonsensical engine is a broken one. */
static void read_engine(struct parent *p)
{
	struct msg m;

	while (p->child.msg_fd >= 0) {
		int r = msg_recv(p->child.msg_fd, false, &m);

		if (r == -EAGAIN)
			return;
		if (r > 0) {
			on_msg(p, &m);
			continue;
		}
		if (r < 0) {
			log_error("the engine's messages cannot be read: %s", strerror(-r));
			(void)kill(p->child.pid, SIGKILL);
		}
		util_close(&p->child.msg_fd);
	}
}

static void on_engine(void *ctx, uint32_t arg, uint32_t events)
{
	read_engine(ctx);
}

/* Starting the engine. */

static bool all_closed(const struct parent *p)
{
	for (unsigned int i = 0; i < p->conf->n_ports; i++)
		if (!p->guests[i].closed)
			return false;
	return true;
}

static int tell_resolvers(struct parent *p)
{
	struct msg m = {.type = MSG_SET_RESOLVERS, .fd = -1, .resolvers = p->resolvers};

	return child_tell(&p->child, &m);
}

static int tell_forwards(struct parent *p)
{
	int r = 0;

	for (unsigned int i = 0; i < p->forwards.n && r == 0; i++)
		if (p->forwards.v[i].fd >= 0)
			r = child_tell_forward(&p->child, &p->forwards, i);
	return r;
}

/* Everything that it is to know, ports last. An engine that dies meanwhile is noticed by its end. */
static void tell_everything(struct parent *p)
{
	int r = tell_resolvers(p);

	if (r == 0)
		r = tell_forwards(p);
	for (unsigned int i = 0; i < p->conf->n_ports && r == 0; i++) {
		struct msg m;

		if (p->guests[i].closed)
			continue;
		guest_add_msg(&p->guests[i], i, &m);
		r = child_tell(&p->child, &m);
		dial_again(p, &p->guests[i]);
	}
	if (r == 0)
		(void)child_tell(&p->child, &(struct msg){.type = MSG_START, .fd = -1});
}

static int start_engine(struct parent *p)
{
	int r = child_start(&p->child, p->conf, guests_mtu(p->conf), p->pcap_fd);

	if (r == 0)
		r = loop_watch(p->loop, p->child.msg_fd, EPOLLIN, p->source_engine, 0);
	if (r < 0) {
		log_error("the engine cannot be started: %s", strerror(-r));
		return r;
	}
	tell_everything(p);
	return 0;
}

static void restart_engine(struct parent *p, int sig)
{
	log_error("the engine was killed by signal %d (%s); %s", sig, strsignal(sig),
		sig == SIGSYS ? "it made a system call that its sandbox forbids"
			      : "connections through it are lost");
	if (!child_may_restart(&p->child, loop_now_ms(p->loop))) {
		log_error("the engine was killed more than %d times in a minute: giving up",
			CHILD_RESTARTS_MAX);
		quit(p, 1);
	} else if (start_engine(p) < 0) {
		quit(p, 1);
	} else {
		log_info("the engine has been started again");
	}
}

static void engine_ended(struct parent *p, int wait_status)
{
	read_engine(p); /* its last words */
	util_close(&p->child.msg_fd);
	p->child.pid = 0;
	if (p->quitting) {
		finish(p);
	} else if (WIFSIGNALED(wait_status) && !all_closed(p)) {
		restart_engine(p, WTERMSIG(wait_status));
	} else if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) != 0) {
		quit(p, 1);
	} else if (p->command.pid) {
		log_warn("the command goes on without a network, since its interface has gone");
	} else {
		quit(p, 0);
	}
}

/* Signals. */

static void reap(struct parent *p)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == p->child.pid) {
			engine_ended(p, status);
		} else if (pid == p->command.pid) {
			p->command.pid = 0;
			if (!p->quitting)
				quit(p, command_exit_status(status));
		}
	}
}

static void on_end_signal(struct parent *p, const struct signalfd_siginfo *s)
{
	bool from_terminal = s->ssi_code == SI_KERNEL;

	if (p->command.pid) {
		if (!from_terminal)
			(void)kill(p->command.pid, (int)s->ssi_signo);
	} else if (p->quitting) {
		quit_overdue(p, 0); /* impatience */
	} else {
		quit(p, 0);
	}
}

static void on_signal(void *ctx, uint32_t arg, uint32_t events)
{
	struct parent *p = ctx;
	struct signalfd_siginfo s;

	while (read(p->signal_fd, &s, sizeof(s)) == (ssize_t)sizeof(s)) {
		switch (s.ssi_signo) {
		case SIGCHLD:
			reap(p);
			break;
		case SIGUSR1:
			(void)child_tell(&p->child, &(struct msg){.type = MSG_GET_STATS, .fd = -1});
			break;
		default:
			on_end_signal(p, &s);
		}
	}
}

/* Changes of the host. */

static void port_gone(struct parent *p, unsigned int i)
{
	struct msg m = {.type = MSG_DEL_PORT, .fd = -1};

	m.port.id = (uint8_t)i;
	if (!p->guests[i].closed)
		(void)child_tell(&p->child, &m);
	guest_close(&p->guests[i]);
}

static void on_process_end(void *ctx, uint32_t arg, uint32_t events)
{
	port_gone(ctx, arg);
}

static void on_file_change(void *ctx, uint32_t arg, uint32_t events)
{
	struct parent *p = ctx;
	struct msg_resolvers now;
	char discarded[4096];

	while (read(p->inotify_fd, discarded, sizeof(discarded)) > 0)
		;
	hostdns_watch(NULL, p->inotify_fd);
	hostdns_read(NULL, &now);
	if (!hostdns_eq(&now, &p->resolvers)) {
		p->resolvers = now;
		(void)tell_resolvers(p);
	}
	for (unsigned int i = 0; i < p->conf->n_ports; i++)
		if (guest_is_gone(&p->guests[i]))
			port_gone(p, i);
}

/* Whoever this network was for is gone. */
static void on_life_end(void *ctx, uint32_t arg, uint32_t events)
{
	struct parent *p = ctx;

	(void)loop_unwatch(p->loop, p->conf->life_fd);
	if (!p->quitting)
		quit(p, 0);
}

/* The start. */

static bool open_forwards(struct parent *p)
{
	char text[FORWARD_TEXT_BYTES];

	for (unsigned int i = 0; i < p->conf->n_forwards; i++) {
		const struct user_forward *f = &p->conf->forwards[i];
		int place = forwards_add(&p->forwards, f);

		forward_text(place < 0 ? f : &p->forwards.v[place].rule, text);
		if (place < 0) {
			log_error("cannot listen on %s: %s", text, forward_why(place));
			return false;
		}
		if (f->host_port == 0)
			log_info("forwarding %s to the guest's port %u", text, f->guest_port);
	}
	return true;
}

static bool open_pcap(struct parent *p)
{
	if (!p->conf->pcap[0])
		return true;
	p->pcap_fd = open(p->conf->pcap, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (p->pcap_fd < 0)
		log_error("cannot write %s: %s", p->conf->pcap, strerror(errno));
	return p->pcap_fd >= 0;
}

static bool raise_descriptor_limit(struct parent *p)
{
	unsigned int need = child_descriptors_least(p->conf);

	if (getrlimit(RLIMIT_NOFILE, &p->n_files) < 0)
		return true;
	struct rlimit l = {.rlim_cur = p->n_files.rlim_max, .rlim_max = p->n_files.rlim_max};
	(void)setrlimit(RLIMIT_NOFILE, &l);
	if (l.rlim_max >= need)
		return true;
	log_error("%u ports and %u forwards need at least %u descriptors, and the hard limit is %llu: raise it "
		  "(ulimit -Hn; LimitNOFILE= of systemd)%s",
		p->conf->n_ports, p->conf->n_forwards, need, (unsigned long long)l.rlim_max,
		p->conf->n_forwards ? ", or name fewer forwards" : "");
	return false;
}

static int watch(struct parent *p, int fd, void (*fn)(void *ctx, uint32_t arg, uint32_t events), uint32_t arg)
{
	int source = fd < 0 ? -errno : loop_source_add(p->loop, fn, p);

	return source < 0 ? source : loop_watch(p->loop, fd, EPOLLIN, source, arg);
}

/* Blocked before the first child is forked: the engine inherits the mask, so that a signal to the whole
 * process group does not end it before it is told. */
static int take_signals(struct parent *p)
{
	static const int taken[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGCHLD};
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		(void)sigaddset(&set, taken[i]);
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	p->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return watch(p, p->signal_fd, on_signal, 0);
}

static int watch_host(struct parent *p)
{
	p->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	int r = watch(p, p->inotify_fd, on_file_change, 0);
	if (r < 0)
		return r;
	hostdns_watch(NULL, p->inotify_fd);
	hostdns_read(NULL, &p->resolvers);
	if (p->conf->life_fd >= 0) {
		r = watch(p, p->conf->life_fd, on_life_end, 0);
		if (r < 0)
			return r;
	}
	int source = loop_source_add(p->loop, on_process_end, p);
	for (unsigned int i = 0; i < p->conf->n_ports && source >= 0; i++) {
		if (p->conf->ports[i].kind == USER_PORT_NETNS && !p->conf->ports[i].fresh)
			hostdns_watch_folder_of(p->conf->ports[i].path, p->inotify_fd);
		if (p->guests[i].pid_fd >= 0)
			r = loop_watch(p->loop, p->guests[i].pid_fd, EPOLLIN, source, i);
		if (r < 0)
			return r;
	}
	return MIN(source, 0);
}

static int init(struct parent *p)
{
	p->guests = calloc(p->conf->n_ports ? p->conf->n_ports : 1, sizeof(*p->guests));
	if (!p->guests || forwards_init(&p->forwards, p->conf) < 0) {
		free(p->guests);
		p->guests = NULL;
		return -ENOMEM;
	}
	guests_init(p->conf, p->guests);
	p->dial = (struct loop_timer){.fn = dial_all, .ctx = p};
	p->quit = (struct loop_timer){.fn = quit_overdue, .ctx = p};
	int r = loop_new(NULL, &p->loop);
	if (r < 0)
		return r;
	p->source_engine = loop_source_add(p->loop, on_engine, p);
	return take_signals(p);
}

static void engine_asked(void *ctx)
{
	read_engine(ctx);
}

static void end_asked(void *ctx)
{
	struct parent *p = ctx;

	if (!p->quitting)
		quit(p, 0);
}

static bool start_monitor(struct parent *p)
{
	const struct monitor_config c = {.conf = p->conf,
		.loop = p->loop,
		.child = &p->child,
		.forwards = &p->forwards,
		.read_engine = engine_asked,
		.end = end_asked,
		.ctx = p};
	int r = monitor_new(&c, &p->monitor);

	if (r < 0)
		log_error("cannot be monitored: %s", strerror(-r));
	return r == 0;
}

static bool start(struct parent *p)
{
	int r = init(p);

	if (r < 0) {
		log_error("cannot start: %s", strerror(-r));
		return false;
	}
	if (!raise_descriptor_limit(p) || !open_pcap(p) || !open_forwards(p))
		return false;
	if (!guests_open(p->conf, &p->n_files, p->guests, &p->command))
		return false;
	p->has_command = p->command.pid != 0;
	r = watch_host(p);
	if (r < 0) {
		log_error("cannot watch for changes: %s", strerror(-r));
		return false;
	}
	return start_engine(p) == 0 && start_monitor(p);
}

/* A command that has not begun ends by itself when its socket closes. */
static void done(struct parent *p)
{
	bool begun = p->command.go_fd < 0;

	util_close(&p->command.go_fd);
	if (p->command.pid && begun)
		(void)kill(p->command.pid, SIGTERM);
	else if (p->command.pid)
		(void)waitpid(p->command.pid, NULL, 0);
	if (p->child.pid) {
		(void)kill(p->child.pid, SIGKILL);
		(void)waitpid(p->child.pid, NULL, 0);
	}
	if (p->guests)
		guests_done(p->guests, p->conf->n_ports);
	free(p->guests);
	p->monitor = monitor_free(p->monitor);
	forwards_done(&p->forwards);
	util_close(&p->child.msg_fd);
	util_close(&p->signal_fd);
	util_close(&p->inotify_fd);
	util_close(&p->pcap_fd);
	util_close(&p->ready_fd);
	p->loop = loop_free(p->loop);
}

int parent_run(const struct user_conf *c, int ready_fd)
{
	_cleanup_(done) struct parent p = {
		.conf = c,
		.ready_fd = ready_fd,
		.pcap_fd = -1,
		.signal_fd = -1,
		.inotify_fd = -1,
		.child.msg_fd = -1,
		.command.go_fd = -1,
	};

	if (!start(&p))
		return 1;
	int r = loop_run(p.loop);
	if (r < 0)
		log_error("the event loop failed: %s", strerror(-r));
	return r < 0 ? 1 : r;
}
