/* SPDX-License-Identifier: BSD-2-Clause */
/* The order matters, since each step takes away what an earlier one needs:
 *
 * 1. While /proc is there: whether ping sockets need a group kept, and why namespaces may be refused.
 * 2. Namespaces. With CAP_SYS_ADMIN the mount namespace is unshared by itself; a user namespace would
 *    add kernel code that a guest could reach and nothing else. Without it, a user namespace first, with
 *    our own ids mapped to themselves. Never a network namespace: the engine's sockets are the host's.
 * 3. The bounding set, which needs CAP_SETPCAP and reads /proc.
 * 4. An empty, read-only tmpfs as the root, the old one detached. In a chroot whose root is no mount point
 *    nothing can be detached: there the tmpfs is one that is mounted nowhere, and the root is changed to it.
 * 5. Root becomes nobody. A ping socket is allowed by group (net.ipv4.ping_group_range, checked at
 *    socket()), so that one group in that range is kept where there is one.
 * 6. All capabilities, then dumpable off: no ptrace by other processes of the same user. (Earlier it
 *    would have made /proc/self/uid_map unwritable.)
 * 7. The signal at the parent's death, which the steps before would have cleared.
 * 8. The filter. Anything not on the list kills the process; the parent sees SIGSYS and says so.
 *
 * The list is not here: each source that runs inside names its calls in a comment ("seccomp: ..."), and
 * seccomp-table.py gathers them. Here are only the calls that are allowed with some arguments and not
 * with others, and what the C library needs.
 *
 * Where namespaces are refused (AppArmor of Ubuntu 24.04, containers) the filter still forbids every call
 * that takes a path. The engine goes on, and says what is missing. */
#include "sandbox.h"

#include <cap-ng.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define NOBODY 65534

/* Of the C library: the allocator, the end of the process, a signal that stops and continues it. */
/* seccomp: brk mmap munmap mremap madvise exit_group restart_syscall rt_sigreturn */

static const struct call {
	const char *name;
	const char *users;
} calls[] = {
#include "seccomp-table.inc"
};

struct arg_rule {
	const char *name;
	unsigned int n;
	struct scmp_arg_cmp cmp[2];
};

/* A call that stands here is allowed in these forms only. */
static const struct arg_rule arg_rules[] = {
	{"socket", 2, {SCMP_A0_32(SCMP_CMP_EQ, AF_INET), SCMP_A1_32(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM)}},
	{"socket", 2, {SCMP_A0_32(SCMP_CMP_EQ, AF_INET), SCMP_A1_32(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM)}},
	{"socket", 2, {SCMP_A0_32(SCMP_CMP_EQ, AF_INET6), SCMP_A1_32(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM)}},
	{"socket", 2, {SCMP_A0_32(SCMP_CMP_EQ, AF_INET6), SCMP_A1_32(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM)}},
	{"setsockopt", 1, {SCMP_A1_32(SCMP_CMP_EQ, SOL_SOCKET)}},
	{"setsockopt", 1, {SCMP_A1_32(SCMP_CMP_EQ, IPPROTO_IP)}},
	{"setsockopt", 1, {SCMP_A1_32(SCMP_CMP_EQ, IPPROTO_IPV6)}},
	{"setsockopt", 1, {SCMP_A1_32(SCMP_CMP_EQ, IPPROTO_TCP)}},
	{"setsockopt", 1, {SCMP_A1_32(SCMP_CMP_EQ, IPPROTO_UDP)}},
	{"ioctl", 1, {SCMP_A1_32(SCMP_CMP_EQ, TUNSETVNETHDRSZ)}},
	{"ioctl", 1, {SCMP_A1_32(SCMP_CMP_EQ, TUNSETVNETLE)}},
	{"ioctl", 1, {SCMP_A1_32(SCMP_CMP_EQ, TUNSETOFFLOAD)}},
	{"ioctl", 1, {SCMP_A1_32(SCMP_CMP_EQ, (uint32_t)TUNGETFEATURES)}},
	{"ioctl", 1, {SCMP_A1_32(SCMP_CMP_EQ, (uint32_t)TUNGETIFF)}},
	{"fcntl", 1, {SCMP_A1_32(SCMP_CMP_EQ, F_GETFL)}},
	{"fcntl", 1, {SCMP_A1_32(SCMP_CMP_EQ, F_SETFL)}},
	{"fcntl", 1, {SCMP_A1_32(SCMP_CMP_EQ, F_GETFD)}},
	{"fcntl", 1, {SCMP_A1_32(SCMP_CMP_EQ, F_SETFD)}},
	{"fcntl", 1, {SCMP_A1_32(SCMP_CMP_EQ, F_DUPFD_CLOEXEC)}},
#ifdef VMLAN_SANITIZED
	{"ioctl", 1, {SCMP_A1_32(SCMP_CMP_EQ, TCGETS)}}, /* whether to print in colours */
#else
	{"mmap", 1, {SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
#endif
};

#ifdef VMLAN_SANITIZED
/* What sanitisers call to keep their books and to print a report. Such a build is not shipped. */
static const char *const sanitiser_calls[] = {
	"clone",
	"exit",
	"futex",
	"getpid",
	"gettid",
	"getrandom",
	"getrlimit",
	"getrusage",
	"getuid",
	"geteuid",
	"kill",
	"lseek",
	"mprotect",
	"nanosleep",
	"newfstatat",
	"fstat",
	"pipe",
	"pipe2",
	"prctl",
	"prlimit64",
	"process_vm_readv",
	"rseq",
	"rt_sigaction",
	"rt_sigprocmask",
	"sched_getaffinity",
	"sched_yield",
	"set_robust_list",
	"sigaltstack",
	"sysinfo",
	"tgkill",
	"uname",
	"write",
	"read",
	"clock_nanosleep",
};
/* A report looks for files; it must not find any, nor be killed for looking. */
static const char *const sanitiser_refused[] = {"open", "openat", "readlink", "readlinkat", "access", "stat"};
#endif

struct report {
	char *text;
	size_t n_used;
};

static _printf_(2, 3) void report(struct report *r, const char *format, ...)
{
	char item[SANDBOX_TEXT_BYTES];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(item, sizeof(item), format, ap);
	va_end(ap);
	size_t left = SANDBOX_TEXT_BYTES - r->n_used;
	int n = snprintf(r->text + r->n_used, left, "%s%s", r->n_used ? "; " : "", item);
	r->n_used += MIN((size_t)MAX(n, 0), left - 1);
}

/* The whole of a small file, terminated; "" if it cannot be read. */
static void read_small(const char *path, char *ret, size_t n_room)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, n_room - 1);

	ret[n > 0 ? n : 0] = '\0';
}

static bool write_small(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

const char *sandbox_namespace_remedy(void)
{
	char value[16];

	read_small("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", value, sizeof(value));
	if (value[0] == '1')
		return "install the AppArmor profile that comes with vmlan (apparmor/vmlan)";
	read_small("/proc/sys/kernel/unprivileged_userns_clone", value, sizeof(value));
	if (value[0] == '0')
		return "sysctl -w kernel.unprivileged_userns_clone=1";
	read_small("/proc/sys/user/max_user_namespaces", value, sizeof(value));
	if (value[0] == '0')
		return "sysctl -w user.max_user_namespaces=10000";
	return "let this container or user create namespaces";
}

/* Our ids as they are, so that owners and groups mean the same inside. */
static bool map_own_ids(uid_t uid, gid_t gid)
{
	char map[64];

	/* The files in /proc/self are root's while a process is not dumpable. */
	(void)prctl(PR_SET_DUMPABLE, 1);
	if (!write_small("/proc/self/setgroups", "deny"))
		return false;
	(void)snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	if (!write_small("/proc/self/gid_map", map))
		return false;
	(void)snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	return write_small("/proc/self/uid_map", map);
}

static bool is_in_range(gid_t gid, unsigned long low, unsigned long high)
{
	return gid >= low && gid <= high;
}

/* The group that a ping socket will need and nobody's own is not: one that we are in, if one serves. False
 * if none is needed, or none would do. */
static bool find_ping_group(gid_t *ret)
{
	gid_t groups[256];
	unsigned long low, high;
	char text[64];

	read_small("/proc/sys/net/ipv4/ping_group_range", text, sizeof(text));
	if (sscanf(text, "%lu %lu", &low, &high) != 2 || low > high || is_in_range(NOBODY, low, high))
		return false;
	*ret = getegid();
	if (is_in_range(*ret, low, high))
		return true;
	int n = getgroups(ARRAY_SIZE(groups), groups);
	for (int i = 0; i < n; i++)
		if (is_in_range(groups[i], low, high)) {
			*ret = groups[i];
			return true;
		}
	*ret = (gid_t)low;
	return true;
}

/* Root's ids for nobody's, and the group that is to be kept (NULL: none). */
static bool become_nobody(const gid_t *kept)
{
	if (setgroups(kept ? 1 : 0, kept) < 0 && setgroups(0, NULL) < 0)
		return false;
	return setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

static bool has_cap(unsigned int cap)
{
	return capng_have_capability(CAPNG_EFFECTIVE, cap);
}

/* Returns whether we now may mount. */
static bool unshare_mounts(bool privileged)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (!privileged && (unshare(CLONE_NEWUSER) < 0 || !map_own_ids(uid, gid)))
		return false;
	/* Neither is used; without them there is less to reach. Not every kernel has them. */
	(void)unshare(CLONE_NEWIPC);
	(void)unshare(CLONE_NEWUTS);
	return unshare(CLONE_NEWNS) == 0;
}

/* By chroot(), which is as good once no capability is left and no descriptor leads out. Mounting anything at
 * a path is not an option: the file system below may be shared with the host's other mount namespaces, to
 * which the mount would spread, and in a chroot there is no path by which to end that. */
static bool chroot_to_nothing(void)
{
	static const char *const settings[][2] = {{"nr_inodes", "2"}, {"nr_blocks", "1"}, {"mode", "0555"}};
	_cleanup_close_ int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, settings[i][0], settings[i][1], 0) < 0)
			return false;
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return false;
	_cleanup_close_ int root = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID);
	return root >= 0 && fchdir(root) == 0 && chroot(".") == 0;
}

/* Any folder will do to mount on: it goes away with everything else. */
static bool mount_and_pivot(void)
{
	static const char *const places[] = {"/proc", "/tmp", "/dev"};
	bool mounted = false;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return errno == EINVAL && chroot_to_nothing(); /* no mount point */
	for (size_t i = 0; i < ARRAY_SIZE(places) && !mounted; i++)
		mounted = mount("none", places[i], "tmpfs", MS_NODEV | MS_NOEXEC | MS_NOSUID,
				  "nr_inodes=2,nr_blocks=1,mode=0555") == 0 &&
			  chdir(places[i]) == 0;
	if (!mounted)
		return false;
	/* The new root over the old one, at one and the same place; then the lower one is let go. */
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return false;
	return mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV | MS_NOEXEC | MS_NOSUID,
		       NULL) == 0;
}

static int drop_bounding_set(void)
{
	if (!has_cap(CAP_SETPCAP))
		return 0;
	capng_clear(CAPNG_SELECT_BOUNDS);
	return capng_apply(CAPNG_SELECT_BOUNDS) < 0 ? -EPERM : 0;
}

static int drop_caps(void)
{
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return -EPERM;
	/* Kernels before 4.3 have no ambient set. */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	return prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0;
}

/* A name that this architecture or this libseccomp does not know is not called here either. */
static int allow(scmp_filter_ctx f, const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);
	bool has_rules = false;
	int r = 0;

	if (nr < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(arg_rules) && r == 0; i++)
		if (strcmp(arg_rules[i].name, name) == 0) {
			has_rules = true;
			r = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, nr, arg_rules[i].n, arg_rules[i].cmp);
		}
	return has_rules ? r : seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 0);
}

static int allow_sanitiser(scmp_filter_ctx f)
{
	int r = 0;

#ifdef VMLAN_SANITIZED
	for (size_t i = 0; i < ARRAY_SIZE(sanitiser_calls) && r == 0; i++)
		r = allow(f, sanitiser_calls[i]);
	for (size_t i = 0; i < ARRAY_SIZE(sanitiser_refused) && r == 0; i++) {
		int nr = seccomp_syscall_resolve_name(sanitiser_refused[i]);
		if (nr >= 0)
			r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EACCES), nr, 0);
	}
#else
	(void)f;
#endif
	return r;
}

static void release_filter(scmp_filter_ctx *f)
{
	if (*f)
		seccomp_release(*f);
}

static int load_filter(void)
{
	_cleanup_(release_filter) scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);

	if (!f)
		return -ENOMEM;
	int r = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	/* A search tree; before libseccomp 2.5 there was none, and it is only for speed. */
	(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; i < ARRAY_SIZE(calls) && r == 0; i++)
		r = allow(f, calls[i].name);
	if (r == 0)
		r = allow_sanitiser(f);
	return r < 0 ? r : seccomp_load(f);
}

const char *sandbox_call(unsigned int i, const char **ret_users)
{
	if (i >= ARRAY_SIZE(calls))
		return NULL;
	*ret_users = calls[i].users;
	return calls[i].name;
}

/* The kernel forgets the death signal when ids or capabilities change, so that this comes after them; and
 * it is of no use if the parent is gone already. */
static int die_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

int sandbox_enter(pid_t parent, char ret_missing[SANDBOX_TEXT_BYTES])
{
	struct report missing = {ret_missing, 0};

	ret_missing[0] = '\0';
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (capng_get_caps_process() < 0)
		return -EPERM;
	bool privileged = has_cap(CAP_SYS_ADMIN);
	bool is_root = geteuid() == 0 && has_cap(CAP_SETUID) && has_cap(CAP_SETGID);
	const char *remedy = sandbox_namespace_remedy();
	gid_t ping_group;
	const gid_t *kept = is_root && find_ping_group(&ping_group) ? &ping_group : NULL;
	int r = drop_bounding_set();

	/* Nobody's user namespace would map nobody only: root that must make one changes ids first. */
	if (r == 0 && is_root && !privileged && !become_nobody(kept))
		report(&missing, "runs as root, since there is no user %d here", NOBODY);
	if (r == 0 && (!unshare_mounts(privileged) || !mount_and_pivot()))
		report(&missing, "the file system is not hidden from the engine (%s): %s", strerror(errno),
			remedy);
	if (r == 0 && is_root && privileged && !become_nobody(kept))
		report(&missing, "runs as root, since there is no user %d here", NOBODY);
	/* A new user namespace came with a full set of everything; where AppArmor makes it a powerless one, not
	 * even this can be dropped, nor gained from. */
	if (r == 0 && capng_get_caps_process() == 0)
		(void)drop_bounding_set();
	if (r == 0)
		r = drop_caps();
	if (r == 0)
		r = die_with(parent);
	return r < 0 ? r : load_filter();
}
