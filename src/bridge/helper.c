/* SPDX-License-Identifier: BSD-2-Clause */
/* vmlan-bridge-helper: hands whoever asks a tap on a bridge, if /etc/qemu/bridge.conf lets him. It takes the place
 * of qemu-bridge-helper:
 *
 *   vmlan-bridge-helper [--use-vnet] [--queues=N] --fd=FD --br=BRIDGE
 *
 * FD is one end of a pair of unix sockets. The answer is a byte 0 with the tap's descriptor, of several queues with
 * all of theirs; and exit status 0. Anything else is said on standard error, and nothing is sent.
 *
 * It is run by anybody with the privileges of root, or with CAP_NET_ADMIN from its file, so it trusts nothing of its
 * caller, and does little:
 *
 *   - The environment is forgotten, and descriptors 0 to 2 are made sure to be open, so that nothing else can be
 *     what is written to.
 *   - Privileges go before anything is looked at: what is left is CAP_NET_ADMIN, and the user is the caller's. The
 *     caller's own rights decide which included files are read (bridge_acl.h).
 *   - Files that say who may are root's and nobody else's to write.
 *   - The port's settings are made before its descriptor leaves.
 *
 * It links against libmnl and libcap-ng, and nothing of the size of libnftables. */
#include <cap-ng.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "bridge_acl.h"
#include "bridge_tap.h"

#define ACL_PATH "/etc/qemu/bridge.conf"
#define SELF     "vmlan-bridge-helper"

struct request {
	struct bridge_tap_options tap;
	int fd; /* to answer on */
};

static _printf_(1, 2) void say(const char *format, ...)
{
	va_list ap;

	(void)fputs(SELF ": ", stderr);
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

/* A descriptor that the caller left closed would be given to the next file that is opened. */
static bool open_standard(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	return true;
}

/* To CAP_NET_ADMIN and the caller's user. false: there was no such privilege to keep. */
static bool drop_privileges(void)
{
	bool is_setuid = geteuid() != getuid() || getegid() != getgid();
	bool has = capng_have_capability(CAPNG_PERMITTED, CAP_NET_ADMIN);
	int r;

	capng_clear(CAPNG_SELECT_BOTH);
	if (has && capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN) < 0)
		_exit(1);
	if (has && is_setuid)
		r = capng_change_id((int)getuid(), (int)getgid(), CAPNG_CLEAR_BOUNDING);
	else if (is_setuid)
		r = setresgid(getgid(), getgid(), getgid()) < 0 || setresuid(getuid(), getuid(), getuid()) < 0;
	else
		r = capng_apply(CAPNG_SELECT_CAPS);
	if (r != 0) {
		say("cannot give up privileges");
		_exit(1);
	}
	return has;
}

static void say_unprivileged(void)
{
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) > 0)
		say("it has no privilege, since its caller may gain none (no_new_privs)");
	else
		say("it has no privilege; as root: chown root FILE && chmod u+s FILE, or setcap cap_net_admin=ep FILE");
}

static void print_help(void)
{
	(void)puts("usage: " SELF " [--use-vnet] [--queues=N] --fd=FD --br=BRIDGE\n"
		   "\n"
		   "Hands out a tap on a bridge, over the unix socket FD, to whom " ACL_PATH "\n"
		   "allows it. QEMU runs it: -netdev bridge,id=ID,br=BRIDGE,helper=" SELF "\n"
		   "\n"
		   "  --use-vnet   the tap carries offloads\n"
		   "  --queues=N   it has N queues, and N descriptors are sent (vmlan run)");
}

static bool parse_number(const char *text, long min, long max, int *ret)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || *end || v < min || v > max)
		return false;
	*ret = (int)v;
	return true;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct request *ret)
{
	static const struct option options[] = {{"use-vnet", no_argument, NULL, 'v'}, {"queues", required_argument, NULL, 'q'},
		{"br", required_argument, NULL, 'b'}, {"fd", required_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
	int c, n_queues = 1;

	*ret = (struct request){.fd = -1};
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == 'h' || c == 'V') {
			if (c == 'h')
				print_help();
			else
				(void)puts(SELF " " VMLAN_VERSION);
			return fflush(stdout) != 0;
		}
		if (c == 'v')
			ret->tap.vnet_hdr = true;
		else if (c == 'b')
			ret->tap.bridge = optarg;
		else if ((c == 'f' && !parse_number(optarg, 0, INT32_MAX, &ret->fd)) ||
			 (c == 'q' && !parse_number(optarg, 1, BRIDGE_TAP_QUEUES_MAX, &n_queues)))
			c = '?';
		if (c == '?')
			break;
	}
	ret->tap.n_queues = (unsigned int)n_queues;
	if (c >= 0 || optind < argc || ret->fd < 0 || !ret->tap.bridge) {
		say("usage: " SELF " [--use-vnet] [--queues=1..%d] --fd=FD --br=BRIDGE", BRIDGE_TAP_QUEUES_MAX);
		return 1;
	}
	if (!*ret->tap.bridge || strlen(ret->tap.bridge) >= BRIDGE_ACL_NAME_BYTES) {
		say("the name of a bridge has 1 to %d bytes", BRIDGE_ACL_NAME_BYTES - 1);
		return 1;
	}
	return -1;
}

static bool is_unix_socket(int fd)
{
	int domain = 0;
	socklen_t n = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain == AF_UNIX)
		return true;
	say("--fd=%d is no unix socket", fd);
	return false;
}

/* Reads a file that only root can have written. *ret_n bytes; 0 or -errno. */
static int read_file(const char *path, char text[BRIDGE_ACL_FILE_BYTES], size_t *ret_n)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	ssize_t got;

	*ret_n = 0;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH))) {
		say("%s: it has to be a file of root's that nobody else may write to", path);
		return -EINVAL;
	}
	do {
		got = read(fd, text + *ret_n, BRIDGE_ACL_FILE_BYTES - *ret_n);
		*ret_n += got > 0 ? (size_t)got : 0;
	} while (got > 0 && *ret_n < BRIDGE_ACL_FILE_BYTES);
	if (got == 0)
		return 0;
	say("%s: %s", path, got < 0 ? strerror(errno) : "it is too long");
	return -EINVAL;
}

/* *ret_found: it is there, and may be read. */
static int read_rules(struct bridge_acl *a, const char *path, bool *ret_found)
{
	_cleanup_free_ char *text = malloc(BRIDGE_ACL_FILE_BYTES);
	char why[BRIDGE_ACL_WHY_BYTES];
	unsigned int line;
	size_t n;
	int r = text ? read_file(path, text, &n) : -ENOMEM;

	*ret_found = r != -ENOENT && r != -EACCES && r != -ENOTDIR;
	if (r < 0 && r != -EINVAL && *ret_found)
		say("%s: %s", path, strerror(-r));
	if (r < 0)
		return r;
	why[0] = '\0';
	r = bridge_acl_parse(a, text, n, &line, why);
	if (r < 0 && why[0])
		say("%s, line %u: %s", path, line, why);
	return r;
}

static int include(struct bridge_acl *a, const char *path)
{
	static unsigned int n_included;
	bool found;
	int r;

	if (n_included++ == BRIDGE_ACL_INCLUDES_MAX) {
		say("%s: more than %d files are included", path, BRIDGE_ACL_INCLUDES_MAX);
		return -EINVAL;
	}
	r = read_rules(a, path, &found);
	return found ? r : 0;
}

static bool is_allowed(const char *bridge)
{
	struct bridge_acl a = {.bridge = bridge, .include = include};
	bool found;
	int r = read_rules(&a, ACL_PATH, &found);

	if (r == 0 && bridge_acl_allows(&a))
		return true;
	if (r == -ENOENT)
		say(ACL_PATH ", which says who may join which bridge, is not there; as root: "
			     "mkdir -p /etc/qemu && echo 'allow %s' >>" ACL_PATH,
			bridge);
	else if (!found)
		say(ACL_PATH ": %s", strerror(-r));
	else if (r == 0)
		say("user %u may not join the bridge %s: " ACL_PATH " %s", getuid(), bridge,
			a.denied ? "denies it" : "does not allow it; as root, add a line 'allow NAME' to it");
	return false;
}

static bool answer(int to, const int *fds, unsigned int n)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(BRIDGE_TAP_QUEUES_MAX * sizeof(int))];
	} control = {0};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room,
		.msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	if (sendmsg(to, &m, MSG_NOSIGNAL) == 1)
		return true;
	say("cannot send the tap: %s", strerror(errno));
	return false;
}

int main(int argc, char **argv)
{
	char why[BRIDGE_TAP_WHY_BYTES];
	int fds[BRIDGE_TAP_QUEUES_MAX];
	struct request q;
	bool privileged;
	int r;

	(void)clearenv();
	if (!open_standard())
		return 1;
	privileged = drop_privileges();
	r = parse(argc, argv, &q);
	if (r >= 0)
		return r;
	if (!privileged) {
		say_unprivileged();
		return 1;
	}
	if (!is_unix_socket(q.fd) || !is_allowed(q.tap.bridge))
		return 1;
	if (bridge_tap_make(&q.tap, fds, why) < 0) {
		say("%s", why);
		return 1;
	}
	return answer(q.fd, fds, q.tap.n_queues) ? 0 : 1;
}
