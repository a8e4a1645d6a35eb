/* SPDX-License-Identifier: BSD-2-Clause */
#include "child.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "engine.h"
#include "frame.h"
#include "gw_dhcp.h"
#include "log.h"

#define MSG_FD        3
#define PCAP_FD       4
#define HIGH_FD       16 /* above the two */
#define DHCP_N_LEASES 16 /* QEMU's */

static_assert(USER_SEARCH_BYTES == DHCP_SEARCH_BYTES && USER_SEARCH_MAX == GATEWAY_SEARCH_MAX, "what fits here fits there");
static_assert(USER_QUEUES_MAX == WORKERS_MAX, "what can be asked for can be had");
#define PORT_DESCRIPTORS   4
#define VHOST_DESCRIPTORS  64 /* three of each ring, of up to eight pairs, and some */
#define WORKER_DESCRIPTORS 40 /* of each but the first: sockets opened ahead, and some */

static unsigned int n_descriptors(const struct user_conf *conf)
{
	unsigned int n_forwards = MIN(conf->n_forwards + USER_FORWARDS_LATER, (unsigned int)USER_FORWARDS_MAX);
	unsigned int n = GATEWAY_DESCRIPTORS + n_forwards + (conf->n_queues - 1) * WORKER_DESCRIPTORS;

	for (unsigned int i = 0; i < conf->n_ports; i++) {
		const struct user_port *p = &conf->ports[i];
		bool vhost = p->kind == USER_PORT_VHOST_LISTEN || p->kind == USER_PORT_VHOST_CONNECT || p->vhost;

		n += vhost ? VHOST_DESCRIPTORS : PORT_DESCRIPTORS;
	}
	return n;
}

unsigned int child_descriptors_least(const struct user_conf *conf)
{
	return n_descriptors(conf) + GATEWAY_FLOWS_LEAST;
}

static void gateway_config(const struct user_conf *conf, uint16_t mtu, struct gateway_config *ret)
{
	*ret = (struct gateway_config){
		.net_be = conf->net_be,
		.mask_be = conf->mask_be,
		.host_be = conf->host_be,
		.dns_be = conf->dns_be,
		.dhcp_start_be = conf->dhcp_start_be,
		.n_leases = DHCP_N_LEASES,
		.mac = {{0x52, 0x55}}, /* and the host's address, as QEMU makes it */
		.mtu = mtu,
		.tell_mtu = conf->mtu != 0,
		.n_descriptors = n_descriptors(conf),
		.n_search = MIN(conf->n_search, (unsigned int)GATEWAY_SEARCH_MAX),
		.restricted = conf->restricted,
		.no_host_loopback = conf->no_host_loopback,
		.no_host = conf->no_host,
		.no_peek_off = conf->no_peek_off,
		.isolated = conf->isolated,
		.guest_servers = conf->guest_servers,
	};
	memcpy(ret->mac.b + 2, &conf->host_be, sizeof(conf->host_be));
	(void)snprintf(ret->hostname, sizeof(ret->hostname), "%s", conf->hostname);
	(void)snprintf(ret->domainname, sizeof(ret->domainname), "%s", conf->domainname);
	(void)snprintf(ret->bootfile, sizeof(ret->bootfile), "%s", conf->bootfile);
	for (unsigned int i = 0; i < ret->n_search; i++)
		(void)snprintf(ret->search[i], sizeof(ret->search[i]), "%s", conf->search[i]);
}

static void close_from(int first)
{
	if (close_range((unsigned int)first, ~0u, 0) == 0)
		return;
	struct rlimit l = {.rlim_cur = 1024};
	(void)getrlimit(RLIMIT_NOFILE, &l);
	for (int fd = first; fd < (int)MIN(l.rlim_cur, (rlim_t)INT32_MAX); fd++)
		(void)close(fd);
}

/* Standard input and output become /dev/null: the engine has no business with a terminal; stderr stays
 * for what a sanitiser or the allocator has to say at the end. */
static bool arrange_descriptors(int msg_fd, int pcap_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int msg = fcntl(msg_fd, F_DUPFD_CLOEXEC, HIGH_FD);
	int pcap = pcap_fd < 0 ? -1 : fcntl(pcap_fd, F_DUPFD_CLOEXEC, HIGH_FD);

	if (null < 0 || msg < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(msg, MSG_FD) < 0)
		return false;
	if (pcap_fd >= 0 && (pcap < 0 || dup2(pcap, PCAP_FD) < 0))
		return false;
	close_from(pcap_fd < 0 ? PCAP_FD : PCAP_FD + 1);
	return true;
}

static int in_child(const struct child *c, const struct user_conf *conf, uint16_t mtu, int msg_fd,
	int pcap_fd, pid_t parent)
{
	struct engine_config ec = {.msg_fd = MSG_FD,
		.parent = parent,
		.n_queues = conf->n_queues,
		.pcap_fd = pcap_fd < 0 ? -1 : PCAP_FD,
		.pcap_snap_bytes = FRAME_MAX_BYTES,
		.busy_poll_us = conf->busy_poll_us,
		.in_band = conf->in_band,
		.no_sandbox = conf->no_sandbox,
		.quiet = c->n_started > 0,
		.stats_at_end = conf->stats};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return 1;
	(void)prctl(PR_SET_NAME, "vmlan-engine");
	if (!arrange_descriptors(msg_fd, pcap_fd)) {
		log_error("the engine cannot start: %s", strerror(errno));
		return 1;
	}
	gateway_config(conf, mtu, &ec.gateway);
	return engine_run(&ec);
}

int child_start(struct child *c, const struct user_conf *conf, uint16_t mtu, int pcap_fd)
{
	struct timeval timeout = {.tv_sec = CHILD_SEND_TIMEOUT_S};
	pid_t parent = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	_cleanup_close_ int ours = pair[0];
	_cleanup_close_ int theirs = pair[1];
	if (setsockopt(ours, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(in_child(c, conf, mtu, theirs, pcap_fd, parent));
	c->pid = pid;
	c->msg_fd = TAKE_FD(ours);
	c->n_started++;
	return 0;
}

bool child_may_restart(struct child *c, uint64_t now_ms)
{
	uint64_t *oldest = &c->restart_ms[0];

	for (unsigned int i = 1; i < CHILD_RESTARTS_MAX; i++)
		if (c->restart_ms[i] < *oldest)
			oldest = &c->restart_ms[i];
	if (*oldest && now_ms - *oldest < CHILD_RESTARTS_MS)
		return false;
	*oldest = now_ms;
	return true;
}

int child_tell(struct child *c, const struct msg *m)
{
	if (c->msg_fd < 0)
		return -ENOTCONN;
	int r = msg_send(c->msg_fd, m);
	if (r == -EAGAIN && c->pid) {
		log_error("the engine has not read for %d s, and is killed", CHILD_SEND_TIMEOUT_S);
		(void)kill(c->pid, SIGKILL);
	}
	return r;
}

int child_tell_forward(struct child *c, const struct forwards *f, unsigned int place)
{
	const struct user_forward *rule = &f->v[place].rule;
	struct msg m = {.type = MSG_ADD_FORWARD, .fd = f->v[place].fd};

	m.forward = (struct msg_forward){
		.id = (uint16_t)place, .proto = rule->proto, .guest_be = rule->guest_be, .guest_port = rule->guest_port};
	return child_tell(c, &m);
}
