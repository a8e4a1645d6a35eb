/* SPDX-License-Identifier: BSD-2-Clause */
#include "platform.h"

#include <linux/if_tun.h>
#include <net/if.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <time.h>

static void say(const char *head, const char *format, va_list ap)
{
	(void)printf("%s", head);
	(void)vprintf(format, ap);
	(void)printf("\n");
	(void)fflush(stdout);
}

void platform_says(const char *format, ...)
{
	struct utsname u = {0};
	char head[128];
	va_list ap;

	(void)uname(&u);
	(void)snprintf(head, sizeof(head), "Linux %s: ", u.release);
	va_start(ap, format);
	say(head, format, ap);
	va_end(ap);
}

void platform_fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say("FAILED: ", format, ap);
	va_end(ap);
	exit(1);
}

void platform_skip(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say("skipped: ", format, ap);
	va_end(ap);
	exit(77);
}

void platform_write_file(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		platform_fail("cannot write \"%s\" to %s: %s", text, path, strerror(errno));
}

static void interface_up(const char *name)
{
	_cleanup_close_ int fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	struct ifreq r = {0};

	memcpy(r.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	MUST(ioctl(fd, SIOCGIFFLAGS, &r));
	r.ifr_flags |= IFF_UP;
	MUST(ioctl(fd, SIOCSIFFLAGS, &r));
}

void platform_enter_net(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (uid != 0) {
		if (unshare(CLONE_NEWUSER) < 0)
			platform_skip("no user namespaces for this user: %s", strerror(errno));
		(void)snprintf(map, sizeof(map), "0 %u 1", uid);
		platform_write_file("/proc/self/uid_map", map);
		platform_write_file("/proc/self/setgroups", "deny");
		(void)snprintf(map, sizeof(map), "0 %u 1", gid);
		platform_write_file("/proc/self/gid_map", map);
	}
	if (unshare(CLONE_NEWNET) < 0)
		platform_skip("no network namespaces for this user: %s", strerror(errno));
	interface_up("lo");
}

void platform_set_lo_mtu(unsigned int mtu)
{
	_cleanup_close_ int fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	struct ifreq r = {.ifr_name = "lo", .ifr_mtu = (int)mtu};

	MUST(ioctl(fd, SIOCSIFMTU, &r));
}

void platform_ip(const char *format, ...)
{
	char text[256] = "ip ";
	va_list ap;
	int status;

	va_start(ap, format);
	(void)vsnprintf(text + 3, sizeof(text) - 3, format, ap);
	va_end(ap);
	status = system(text);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		platform_skip("ip(8) is not installed");
	if (status != 0)
		platform_fail("\"%s\" failed", text);
}

void platform_child_start(struct platform_child *ret, void (*set_up)(void))
{
	int to[2], from[2];
	char byte;

	MUST(pipe2(to, O_CLOEXEC));
	MUST(pipe2(from, O_CLOEXEC));
	ret->pid = MUST(fork());
	if (ret->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(to[1]);
		MUST(unshare(CLONE_NEWNET));
		interface_up("lo");
		(void)!write(from[1], "1", 1);
		if (read(to[0], &byte, 1) == 1) {
			set_up();
			(void)!write(from[1], "2", 1);
			(void)!read(to[0], &byte, 1);
		}
		_exit(0);
	}
	(void)close(to[0]);
	(void)close(from[1]);
	ret->to = to[1];
	ret->from = from[0];
	ASSUME(read(ret->from, &byte, 1) == 1, "a second namespace could not be made");
}

void platform_child_go(struct platform_child *c)
{
	char byte;

	ASSUME(write(c->to, "g", 1) == 1 && read(c->from, &byte, 1) == 1, "the second namespace failed");
}

socklen_t platform_loopback(int family, uint16_t port, union sock_addr *ret)
{
	struct ip_addr a = {{0, 0, 0, htonl(1)}};

	if (family == AF_INET)
		a = ip_addr_from4(htonl(INADDR_LOOPBACK));
	return sock_addr_set(ret, &a, port);
}

int platform_family(int argc, char **argv)
{
	return argc > 1 && strcmp(argv[1], "6") == 0 ? AF_INET6 : AF_INET;
}

int platform_listen(int family, union sock_addr *ret_addr)
{
	int fd = MUST(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
	socklen_t n = platform_loopback(family, 0, ret_addr);

	MUST(bind(fd, &ret_addr->sa, n));
	MUST(listen(fd, 64));
	n = sizeof(*ret_addr);
	MUST(getsockname(fd, &ret_addr->sa, &n));
	return fd;
}

void platform_tcp_pair(int family, void (*set_up)(int listener), int ret[2])
{
	union sock_addr a;
	_cleanup_close_ int listener = platform_listen(family, &a);

	if (set_up)
		set_up(listener);
	ret[1] = MUST(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
	MUST(connect(ret[1], &a.sa, sizeof(a)));
	ret[0] = MUST(accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

int platform_udp(int family, union sock_addr *ret_addr)
{
	int fd = MUST(socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	socklen_t n = platform_loopback(family, 0, ret_addr);

	MUST(bind(fd, &ret_addr->sa, n));
	n = sizeof(*ret_addr);
	MUST(getsockname(fd, &ret_addr->sa, &n));
	return fd;
}

int platform_set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

int platform_get_int(int fd, int level, int name)
{
	int value = 0;
	socklen_t n = sizeof(value);

	MUST(getsockopt(fd, level, name, &value, &n));
	return value;
}

short platform_wait(int fd, short events, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = events};

	MUST(poll(&p, 1, timeout_ms));
	return p.revents;
}

int platform_tap(const char *name, const char *address)
{
	struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		platform_skip("/dev/net/tun: %s", strerror(errno));
	memcpy(r.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	MUST(ioctl(fd, TUNSETIFF, &r));
	/* No router solicitations among the frames that a test reads. */
	platform_ip("link set %s addrgenmode none", name);
	if (address)
		platform_ip("addr add %s dev %s", address, name);
	interface_up(name);
	return fd;
}

uint64_t platform_now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}
