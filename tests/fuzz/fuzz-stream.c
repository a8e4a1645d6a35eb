/* SPDX-License-Identifier: BSD-2-Clause */
/* A hostile peer of a stream port. The input is a list of steps: a byte that says what to do and how
 * many bytes of the input to write to the socket. What the port hands up is compared with a second,
 * slower reading of the same bytes. */
#include <assert.h>
#include <sys/socket.h>

#include "stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The reference: every byte written so far, and how far whole frames go. */
static uint8_t written[1 << 20];
static size_t n_written, n_taken;
static unsigned int n_frames, n_closed;

static void on_input(void *ctx, struct port *p, const struct frame *frames, unsigned int n)
{
	static const struct offload none;

	for (unsigned int i = 0; i < n; i++) {
		struct rd r = rd_of(written + n_taken, n_written - n_taken);
		size_t n_bytes = rd_u32(&r);
		const uint8_t *bytes = rd_bytes(&r, n_bytes);

		assert(bytes && n_bytes == frames[i].n_bytes && n_bytes >= 14 && n_bytes <= FRAME_MAX_BYTES);
		assert(memcmp(bytes, frames[i].head, n_bytes) == 0);
		n_taken += 4 + n_bytes;
		n_frames++;
		(void)port_send(p, frames[i].iov, 1, n_bytes, &none); /* an echo, from within */
	}
}

static void on_room(void *ctx, struct port *p)
{
}

static void on_closed(void *ctx, struct port *p, int error, bool final)
{
	n_closed++;
	assert(final);
}

static void on_opened(void *ctx, struct port *p)
{
}

static uint64_t fake_clock(void *ctx)
{
	return 1;
}

static void peer_drain(int fd)
{
	static uint8_t rest[65536];

	while (recv(fd, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		;
}

static void run(struct loop *l, int n)
{
	while (n--)
		if (loop_run_once(l, 0) < 0)
			abort();
}

static void play(struct loop *l, int peer, struct rd r)
{
	while (!r.bad && r.left) {
		uint8_t step = rd_u8(&r);
		size_t n_bytes = MIN((size_t)(step & 63) * (step & 64 ? 37 : 1), r.left);
		const uint8_t *bytes = rd_bytes(&r, n_bytes);

		if (n_bytes && n_bytes <= sizeof(written) - n_written) {
			ssize_t n = send(peer, bytes, n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

			if (n > 0) {
				memcpy(written + n_written, bytes, (size_t)n);
				n_written += (size_t)n;
			}
		}
		run(l, 1);
		if (step & 128)
			peer_drain(peer);
	}
}

/* Whether the bytes that were not handed up are the beginning of a frame, or a bad length. */
static void check_rest(bool closed)
{
	struct rd r = rd_of(written + n_taken, n_written - n_taken);
	size_t n_bytes = rd_u32(&r);

	if (r.bad) {
		assert(!closed);
		return;
	}
	bool bad = n_bytes < 14 || n_bytes > FRAME_MAX_BYTES;

	assert(bad == closed);
	assert(bad || n_bytes > r.left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct port_owner owner = {on_input, on_room, on_closed, on_opened, NULL};
	struct loop *l;
	struct port *p;
	int fds[2];

	if (loop_new(&(struct loop_clock){.now_ms = fake_clock}, &l) < 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	n_written = n_taken = 0;
	n_frames = n_closed = 0;
	struct stream_port_config c = {.loop = l, .owner = &owner, .listen_fd = -1, .connected_fd = fds[0]};
	if (stream_port_new(&c, &p) < 0)
		abort();
	play(l, fds[1], rd_of(data, size));
	run(l, 3);
	check_rest(n_closed > 0);
	(void)close(fds[1]);
	run(l, 8);
	assert(n_closed == 1);
	port_free(p);
	loop_free(l);
	return 0;
}
