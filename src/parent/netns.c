/* SPDX-License-Identifier: BSD-2-Clause */
/* The helper is a forked process: a namespace is a property of the thread that joins it, and the parent
 * must stay where it is. The tap's descriptor comes back over a socket pair; the device goes on to live
 * in the namespace for as long as somebody holds it.
 *
 * The transmit queue is 8192 frames long, since a tap drops silently what its ring cannot hold. The ring
 * has the length that tx_queue_len has when a queue is attached, and is resized when that changes; a
 * qdisc takes its size from it when the interface comes up. So it is set before that. */
#include "netns.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "msg.h"
#include "netlink.h"
#include "siphash.h"

#define TXQUEUE_FRAMES 8192

/* What failed, if r says that something did; r. */
static _printf_(3, 4) int step(int r, char what[NETNS_WHAT_BYTES], const char *format, ...)
{
	va_list ap;

	if (r >= 0)
		return r;
	va_start(ap, format);
	(void)vsnprintf(what, NETNS_WHAT_BYTES, format, ap);
	va_end(ap);
	return r;
}

static int open_tap(const struct netns_tap *t, char what[NETNS_WHAT_BYTES])
{
	struct ifreq r = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL)};
	_cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return step(-errno, what, "cannot open /dev/net/tun%s",
			errno == ENOENT   ? " (is the module tun loaded?)"
			: errno == EACCES ? " (it should be open to all: chmod 0666 /dev/net/tun)"
					  : "");
	memcpy(r.ifr_name, t->ifname, sizeof(r.ifr_name));
	if (ioctl(fd, TUNSETIFF, &r) < 0)
		return step(-errno, what, "cannot make the interface %s%s", t->ifname,
			errno == EBUSY ? " (there is one of that name)" : "");
	return TAKE_FD(fd);
}

static int configure(
	struct netlink *nl, const struct netns_tap *t, unsigned int ifindex, char what[NETNS_WHAT_BYTES])
{
	unsigned int lo = if_nametoindex("lo");
	int r = lo ? netlink_link_up(nl, lo) : 0;

	(void)step(r, what, "cannot bring lo up");
	if (r == 0)
		r = step(netlink_addr_add(nl, ifindex, t->addr_be, t->prefix), what,
			"cannot give %s its address", t->ifname);
	if (r == 0)
		r = step(netlink_link_up(nl, ifindex), what, "cannot bring %s up", t->ifname);
	if (r == 0 && t->gateway_be) {
		r = netlink_default_route_add(nl, ifindex, t->gateway_be);
		(void)step(r, what, "cannot add the default route%s",
			r == -EEXIST ? " (the namespace has one; see noconfig)" : "");
	}
	return r;
}

int netns_make_tap(const struct netns_tap *t, char ret_what[NETNS_WHAT_BYTES])
{
	_cleanup_close_ int fd = open_tap(t, ret_what);
	_cleanup_(netlink_close) struct netlink nl = {0};

	if (fd < 0)
		return fd;
	unsigned int ifindex = if_nametoindex(t->ifname);
	int r = step(ifindex ? netlink_open(&nl) : -errno, ret_what, "cannot speak netlink");
	if (r == 0)
		r = step(netlink_link_set(&nl, ifindex, TXQUEUE_FRAMES, t->mtu, t->mac), ret_what,
			"cannot set up %s with an MTU of %u", t->ifname, t->mtu);
	if (r == 0 && !t->noconfig)
		r = configure(&nl, t, ifindex, ret_what);
	return r < 0 ? r : TAKE_FD(fd);
}

/* setns() wants CAP_SYS_ADMIN over the namespace's owner and over our own user namespace: whoever owns
 * the former gets both by entering it. */
static int join(const char *path, char what[NETNS_WHAT_BYTES])
{
	_cleanup_close_ int net = open(path, O_RDONLY | O_CLOEXEC);

	if (net < 0)
		return step(-errno, what, "cannot open the network namespace %.120s", path);
	if (setns(net, CLONE_NEWNET) == 0)
		return 0;
	if (errno == EPERM) {
		_cleanup_close_ int user = ioctl(net, NS_GET_USERNS);

		if (user < 0 || setns(user, CLONE_NEWUSER) < 0)
			return step(-errno, what, "cannot enter the user namespace that owns %.120s", path);
		if (setns(net, CLONE_NEWNET) == 0)
			return 0;
	}
	return step(-errno, what, "cannot enter the network namespace %.120s", path);
}

struct answer {
	int r;
	uint64_t n_dropped;
	char what[NETNS_WHAT_BYTES];
};

static void helper(int sock, const char *path, const struct netns_tap *t)
{
	struct answer a = {0};
	_cleanup_close_ int fd = -1;

	a.r = join(path, a.what);
	if (a.r == 0) {
		fd = netns_make_tap(t, a.what);
		a.r = MIN(fd, 0);
	}
	_exit(msg_send_raw(sock, &a, sizeof(a), fd) < 0 ? 1 : 0);
}

static int count_dropped(const char *ifname, uint64_t *ret_frames)
{
	_cleanup_(netlink_close) struct netlink nl = {0};
	unsigned int ifindex = if_nametoindex(ifname);
	int r = ifindex ? netlink_open(&nl) : -errno;

	return r < 0 ? r : netlink_link_tx_dropped(&nl, ifindex, ret_frames);
}

int netns_tap_dropped(const char *path, const char *ifname, uint64_t *ret_frames)
{
	int pair[2], fd = -1;
	struct answer a = {0};

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	_cleanup_close_ int ours = pair[0];
	_cleanup_close_ int theirs = pair[1];
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		a.r = join(path, a.what);
		if (a.r == 0)
			a.r = count_dropped(ifname, &a.n_dropped);
		_exit(msg_send_raw(theirs, &a, sizeof(a), -1) < 0 ? 1 : 0);
	}
	util_close(&theirs);
	ssize_t n = msg_recv_raw(ours, &a, sizeof(a), &fd, 0);
	util_close(&fd);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(a))
		return -EPIPE;
	*ret_frames = a.n_dropped;
	return a.r;
}

int netns_make_tap_in(const char *path, const struct netns_tap *t, char ret_what[NETNS_WHAT_BYTES])
{
	int pair[2];
	struct answer a;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return step(-errno, ret_what, "cannot make a socket pair");
	_cleanup_close_ int ours = pair[0];
	_cleanup_close_ int theirs = pair[1];
	pid_t pid = fork();

	if (pid < 0)
		return step(-errno, ret_what, "cannot start a process");
	if (pid == 0)
		helper(theirs, path, t);
	util_close(&theirs);
	_cleanup_close_ int fd = -1;
	ssize_t n = msg_recv_raw(ours, &a, sizeof(a), &fd, 0);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(a))
		return step(-EPIPE, ret_what, "the process that entered %.120s came to no end", path);
	memcpy(ret_what, a.what, NETNS_WHAT_BYTES);
	if (a.r == 0 && fd < 0)
		return step(-EPIPE, ret_what, "no descriptor came back from %.120s", path);
	return a.r < 0 ? a.r : TAKE_FD(fd);
}

void netns_stable_mac(const char *path, const char *ifname, uint8_t ret[6])
{
	static const struct siphash_key key = {{0x766d6c616e6d6163, 0x6e65746e73746170}};
	_cleanup_close_ int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	char text[64 + 4096 + IFNAMSIZ + 4];
	ssize_t n = fd < 0 ? 0 : read(fd, text, 64);
	size_t at = n > 0 ? (size_t)n : 0;

	int more = snprintf(text + at, sizeof(text) - at, "|%s|%s", path, ifname);
	at += MIN((size_t)MAX(more, 0), sizeof(text) - at - 1);
	uint64_t h = siphash(&key, text, at);
	memcpy(ret, &h, 6);
	ret[0] = (uint8_t)((ret[0] & 0xfc) | 0x02);
}
