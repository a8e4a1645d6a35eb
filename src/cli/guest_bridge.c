/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may make a tap makes it; for others a small program does that has the privilege, and asks
 * /etc/qemu/bridge.conf (src/bridge/helper.c): ours, beside this program or where it is installed, or else QEMU's
 * own, which speaks the same protocol for one queue and knows nothing of isolation. */
#include "guest_bridge.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "bridge_tap.h"
#include "log.h"
#include "tun.h"

#define HELPER "vmlan-bridge-helper"

static const char *const helpers[] = {
	VMLAN_LIBEXECDIR "/" HELPER, "/usr/lib/qemu/qemu-bridge-helper", "/usr/libexec/qemu-bridge-helper"};

static int fail(struct network_error *e, int r, const char *text, const char *mend)
{
	(void)snprintf(e->text, sizeof(e->text), "%s", text);
	(void)snprintf(e->mend, sizeof(e->mend), "%s", mend);
	return r;
}

/* The bridge of a network. */
static int find_network(struct host *h, const char *name, struct host_link *ret, struct network_error *e)
{
	char text[128], mend[64];
	struct network n;
	int r = network_load(h, name, &n, e);

	(void)snprintf(mend, sizeof(mend), "vmlan up %s, as root", name);
	if (r == -ENOENT)
		(void)snprintf(e->mend, sizeof(e->mend), "%s; vmlan ls lists those that are there", mend);
	if (r < 0)
		return r;
	r = h->ops->link_find(h, n.conf.bridge, ret);
	if (r == 0 && strcmp(ret->alias, n.mark) != 0)
		r = -ENODEV;
	if (r == 0 && n.phase == NETWORK_UP && ret->up)
		text[0] = '\0';
	else if (r < 0)
		(void)snprintf(text, sizeof(text), "the bridge %s of the network %s is not there", n.conf.bridge, name);
	else
		(void)snprintf(text, sizeof(text), "the network %s is %s", name,
			n.phase == NETWORK_UP ? "down: its bridge is" : "not up as a whole");
	network_done(&n);
	return text[0] ? fail(e, -ENETDOWN, text, mend) : 0;
}

/* Any bridge, or that of the network of that name. */
static int find_bridge(struct host *h, const char *name, struct host_link *ret, struct network_error *e)
{
	char text[128], mend[128];
	int r = h->ops->link_find(h, name, ret);

	if (r == -ENODEV) {
		r = find_network(h, name, ret, e);
		if (r != -ENOENT)
			return r;
		(void)snprintf(text, sizeof(text), "there is no bridge %s, and no network of that name", name);
		(void)snprintf(mend, sizeof(mend),
			"vmlan up %s makes a network, as root; ip link show type bridge lists bridges", name);
		return fail(e, r, text, mend);
	}
	if (r < 0) {
		(void)snprintf(text, sizeof(text), "cannot look for the bridge %s: %s", name, strerror(-r));
		return fail(e, r, text, "");
	}
	if (strcmp(ret->kind, "bridge") != 0) {
		(void)snprintf(text, sizeof(text), "the interface %s is no bridge", name);
		return fail(e, -ENOTSUP, text, "ip link show type bridge lists those there are");
	}
	if (ret->up)
		return 0;
	(void)snprintf(text, sizeof(text), "the bridge %s is down", name);
	(void)snprintf(mend, sizeof(mend), "ip link set %s up, as root", name);
	return fail(e, -ENETDOWN, text, mend);
}

int guest_bridge_find(const struct qemu_tap *spec, struct guest_bridge *ret, struct network_error *e)
{
	_cleanup_(host_linux_free_p) struct host *h = host_linux_new();
	struct host_link l;
	int r;

	*e = (struct network_error){0};
	*ret = (struct guest_bridge){0};
	if (!h)
		return fail(e, -ENOMEM, "no memory", "");
	r = spec->is_network ? find_network(h, spec->bridge, &l, e) : find_bridge(h, spec->bridge, &l, e);
	if (r < 0)
		return r;
	(void)snprintf(ret->name, sizeof(ret->name), "%s", l.name);
	ret->isolated = bridge_is_isolated(&l);
	return 0;
}

/* Does a program run with root's privileges, or with any of its own? */
static bool is_privileged(const char *path)
{
	struct stat st;

	return access(path, X_OK) == 0 && stat(path, &st) == 0 &&
	       (((st.st_mode & S_ISUID) && st.st_uid == 0) || getxattr(path, "security.capability", NULL, 0) > 0);
}

/* ret: room for a path. false: there is none. */
static bool find_helper(const struct guest_bridge *b, unsigned int n_queues, char ret[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - sizeof("/" HELPER));
	char *slash;

	ret[MAX(n, (ssize_t)0)] = '\0';
	slash = strrchr(ret, '/');
	if (slash) {
		(void)strcpy(slash + 1, HELPER);
		if (is_privileged(ret))
			return true;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(helpers); i++) {
		bool is_ours = i == 0;

		if ((is_ours || (n_queues == 1 && !b->isolated)) && is_privileged(helpers[i])) {
			(void)snprintf(ret, PATH_MAX, "%s", helpers[i]);
			return true;
		}
	}
	return false;
}

static void exec_helper(const char *path, const char *bridge, unsigned int n_queues, int fd)
{
	char vnet[] = "--use-vnet", to[32], br[64], queues[32], name[PATH_MAX];
	char *argv[] = {name, vnet, to, br, n_queues > 1 ? queues : NULL, NULL};

	(void)snprintf(name, sizeof(name), "%s", path);
	(void)snprintf(to, sizeof(to), "--fd=%d", fd);
	(void)snprintf(br, sizeof(br), "--br=%s", bridge);
	(void)snprintf(queues, sizeof(queues), "--queues=%u", n_queues);
	if (fcntl(fd, F_SETFD, 0) == 0)
		(void)execv(path, argv);
	(void)dprintf(STDERR_FILENO, "%s: %s\n", path, strerror(errno));
	_exit(1);
}

/* How many descriptors came, at most n. */
static unsigned int receive(int from, int *fds, unsigned int n)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(BRIDGE_TAP_QUEUES_MAX * sizeof(int))];
	} control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room,
		.msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c;
	ssize_t got;

	do
		got = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	c = got == 1 ? CMSG_FIRSTHDR(&m) : NULL;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return 0;
	n = MIN(n, (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int)));
	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	return n;
}

/* 0, or -EIO: it has said why. */
static int ask_helper(const char *path, const char *bridge, struct qemu_tap *spec)
{
	_cleanup_close_ int from = -1, to = -1;
	int fds[2], status = -1;
	unsigned int n;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	from = fds[0];
	to = fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		exec_helper(path, bridge, spec->n_queues, to);
	util_close(&to);
	n = receive(from, spec->fds, spec->n_queues);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return n == spec->n_queues && status == 0 ? 0 : -EIO;
}

static int make_by_helper(struct qemu_tap *spec, const struct guest_bridge *b)
{
	char path[PATH_MAX];
	int r;

	if (!find_helper(b, spec->n_queues, path)) {
		log_error("%s: making a tap needs CAP_NET_ADMIN, and there is no " HELPER " that has it. Run vmlan as "
			  "root; or let root do this once: chown root FILE && chmod u+s FILE, of " VMLAN_LIBEXECDIR
			  "/" HELPER ", and add the line 'allow %s' to /etc/qemu/bridge.conf; or use -net user, which "
			  "needs no privilege",
			spec->name, b->name);
		return -EPERM;
	}
	r = ask_helper(path, b->name, spec);
	if (r < 0)
		log_error("%s: %s gave no tap on the bridge %s", spec->name, path, b->name);
	return r;
}

static void say_error(const struct qemu_tap *spec, const struct network_error *e)
{
	log_error("%s: %s", spec->name, e->text);
	if (e->mend[0])
		(void)fprintf(stderr, "To mend it: %s.\n", e->mend);
}

int guest_bridge_make(struct qemu_tap *spec, struct guest_tap *ret)
{
	struct bridge_tap_options o = {.n_queues = spec->n_queues, .vnet_hdr = true};
	char why[BRIDGE_TAP_WHY_BYTES] = "";
	struct network_error e;
	struct guest_bridge b;
	struct ifreq name;
	int r = guest_bridge_find(spec, &b, &e);

	*ret = (struct guest_tap){.spec = spec};
	if (r < 0) {
		say_error(spec, &e);
		return r;
	}
	o.bridge = b.name;
	r = bridge_tap_make(&o, spec->fds, why);
	if (r == -EPERM || r == -EACCES)
		r = make_by_helper(spec, &b);
	else if (r < 0)
		log_error("%s: %s", spec->name, why);
	if (r == 0 && ioctl(spec->fds[0], TUNGETIFF, &name) < 0) {
		r = -errno;
		log_error("%s: what came for the bridge %s is no tap", spec->name, b.name);
	}
	if (r < 0)
		guest_tap_close(ret);
	else
		(void)snprintf(ret->ifname, sizeof(ret->ifname), "%s", name.ifr_name);
	return r;
}
