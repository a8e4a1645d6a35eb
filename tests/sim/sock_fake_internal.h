/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the simulated host. */
#pragma once

#include "sock_fake.h"

struct fake_flight {
	struct fake_flight *next;
	uint64_t due_ms;
	uint64_t n_bytes;
	bool fin, rst;
};

/* Something happened to the socket: events as the kernel's wake-up names them. */
void fake_wake(struct sock_fake *f, struct fake_socket *s, uint32_t events);
void fake_release(struct sock_fake *f, struct fake_socket *s);
struct fake_socket *fake_socket_new(struct sock_fake *f, int family, enum fake_kind kind);

/* sock_fake_tcp.c */
int fake_tcp_connect(struct sock_fake *f, struct fake_socket *s, const struct sockaddr *sa, socklen_t n);
int fake_tcp_accept(struct sock_fake *f, struct fake_socket *s, struct sockaddr *ret, socklen_t *n);
ssize_t fake_tcp_send(struct sock_fake *f, struct fake_socket *s, const struct msghdr *m);
ssize_t fake_tcp_recv(struct sock_fake *f, struct fake_socket *s, struct msghdr *m, int flags);
int fake_tcp_shutdown(struct sock_fake *f, struct fake_socket *s, int how);
void fake_tcp_close(struct sock_fake *f, struct fake_socket *s);
int fake_tcp_getsockopt(struct fake_socket *s, int level, int name, void *ret, socklen_t *n);
uint32_t fake_tcp_poll(struct fake_socket *s);
bool fake_tcp_run(struct sock_fake *f, struct fake_conn *c);
uint64_t fake_tcp_next_ms(struct sock_fake *f, struct fake_conn *c);
void fake_tcp_free(struct fake_conn *c);

/* sock_fake_udp.c */
ssize_t fake_udp_send(struct sock_fake *f, struct fake_socket *s, const struct msghdr *m);
ssize_t fake_udp_recv(struct sock_fake *f, struct fake_socket *s, struct msghdr *m, int flags);
uint32_t fake_udp_poll(const struct fake_socket *s);
void fake_udp_free(struct fake_socket *s);
