/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs that test what vmlan assumes of the kernel.
 *
 * Each says in one line what this kernel does. It fails if something that vmlan relies on does not hold,
 * and skips (77, the reason as its last line) where the kernel lacks what vmlan has a fallback for, or
 * the machine gives no namespaces. All traffic stays in namespaces that the program makes. */
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "addr.h"
#include "util.h"

/* What the newer headers call these; Debian 12's do not have them. */
#ifndef SO_PEEK_OFF
#define SO_PEEK_OFF 42
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* The line that says what the kernel does. */
void platform_says(const char *format, ...) _printf_(1, 2);
_Noreturn void platform_fail(const char *format, ...) _printf_(1, 2);
_Noreturn void platform_skip(const char *format, ...) _printf_(1, 2);

/* An assumption: the text says what holds instead. */
#define ASSUME(condition, ...)                                                                               \
	do {                                                                                                 \
		if (!(condition))                                                                            \
			platform_fail(__VA_ARGS__);                                                          \
	} while (0)

/* A call of the set-up, which is not what is tested. */
#define MUST(call)                                                                                           \
	({                                                                                                   \
		__typeof__(call) must_ = (call);                                                             \
		if (must_ < 0)                                                                               \
			platform_fail("%s:%d: %s: %s", __FILE__, __LINE__, #call, strerror(errno));          \
		must_;                                                                                       \
	})

/* A network namespace of our own with the loopback up, in a user namespace of our own unless we are
 * root; skips where the machine forbids it. */
void platform_enter_net(void);
/* The loopback with an ordinary link's MTU, so that segments are of an ordinary size. */
void platform_set_lo_mtu(unsigned int mtu);
/* Runs an ip(8) command, "link set lo up", in our namespace. */
void platform_ip(const char *format, ...) _printf_(1, 2);
void platform_write_file(const char *path, const char *text);

/* A child in a network namespace of its own, which runs set_up() after the parent's next
 * platform_child_go(), and then stays until the parent ends. */
struct platform_child {
	pid_t pid;
	int to, from;
};
void platform_child_start(struct platform_child *ret, void (*set_up)(void));
void platform_child_go(struct platform_child *c);

/* The loopback's address of a family. */
socklen_t platform_loopback(int family, uint16_t port, union sock_addr *ret);
/* AF_INET6 if the program's argument is "6". */
int platform_family(int argc, char **argv);

int platform_listen(int family, union sock_addr *ret_addr);
/* A connection over the loopback: [0] was accepted (vmlan's end), [1] connected (the other host's). The
 * listener is made ready by set_up, if not NULL. */
void platform_tcp_pair(int family, void (*set_up)(int listener), int ret[2]);
/* A bound UDP socket on the loopback. */
int platform_udp(int family, union sock_addr *ret_addr);

int platform_set_int(int fd, int level, int name, int value);
int platform_get_int(int fd, int level, int name);
/* Waits for events at most this long; returns those that came. */
short platform_wait(int fd, short events, int timeout_ms);

/* A tap device with offload headers, in our namespace: up, with an IPv4 address, or without if NULL. */
int platform_tap(const char *name, const char *address);
uint64_t platform_now_us(void);
