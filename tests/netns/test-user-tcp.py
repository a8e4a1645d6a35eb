#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What TCP promises besides the bytes: half-closed connections, readers that stall, urgent data, resets,
many flows. With --no-peek-off: as on kernels without SO_PEEK_OFF for TCP.

also: --no-peek-off test_half_close test_close_with_data_underway test_reader_stalls test_urgent_data_in_bulk test_reset
"""

import selectors

from netlib import *

OPTIONS = [a for a in sys.argv[1:] if a == '--no-peek-off']
MIB = 1 << 20


def connected(lab, configure=None):
    """(guest's socket, server's)."""
    with lab.server.listen() as listener:
        if configure:
            configure(listener)
        c = lab.guest.connect(SERVER, port_of(listener))
        return c, listener.accept()[0]


def pairs(lab):
    """The guest's and the server's end, and the other way round, with the name of the first."""
    for name in ('guest', 'server'):
        guest, server = connected(lab)
        with guest, server:
            yield (name, guest, server) if name == 'guest' else (name, server, guest)


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, SO_LINGER_0)
    s.close()


def test_half_close(lab):
    lab.up(*OPTIONS)
    n = 10 * MIB
    for name, first, second in pairs(lab):
        first.sendall(b'request')
        first.shutdown(socket.SHUT_WR)
        check(recv_to_end(second) == (7, zlib.crc32(b'request')), 'the request of the %s is wrong' % name)
        time.sleep(0.3)
        result = Background(recv_to_end, first)
        send_pattern(second, n)
        check(result.result() == (n, Pattern(n).crc()), 'the answer to the %s is wrong' % name)


def test_close_with_data_underway(lab):
    """close() at once after send(): all of it arrives, then the end."""
    lab.up(*OPTIONS)
    for name, first, second in pairs(lab):
        n = 200000
        send_pattern(first, n, shutdown=False)
        first.close()
        time.sleep(0.3)
        check(recv_to_end(second, chunk=1000) == (n, Pattern(n).crc()), 'from the %s not all arrives' % name)


def test_request_then_close_unread(lab):
    """A server that answers and closes without having read to the end: the reset is passed on, and what
    was answered before may be lost, but nothing hangs."""
    lab.up(*OPTIONS)
    for name, first, second in pairs(lab):
        first.sendall(b'x' * 100000)
        wait_for('the data', lambda s=second: s.recv(1, socket.MSG_PEEK))
        second.close()
        expect_errno(lambda s=first: [s.recv(4096), send_until_error(s)],
                     errno.ECONNRESET, errno.EPIPE)


def fill(s, quiet=0.5):
    """Sends until nothing more is taken for a while; returns how much that was, and its checksum."""
    s.setblocking(False)
    n, crc, i, last = 0, 0, 0, time.monotonic()
    block = memoryview(Pattern.BLOCK)
    while time.monotonic() - last < quiet:
        at = i * 7919 % 65536
        try:
            k = s.send(block[at:at + 65536])
        except BlockingIOError:
            time.sleep(0.02)
            continue
        crc, n, i, last = zlib.crc32(block[at:at + k], crc), n + k, i + 1, time.monotonic()
        check(n < 256 * MIB, 'there is no back-pressure: %d bytes taken' % n)
    s.settimeout(20)
    return n, crc


def idle_cost(vmlan, seconds=2.0):
    begin = vmlan.cpu_seconds()
    time.sleep(seconds)
    return vmlan.cpu_seconds() - begin


def test_reader_stalls(lab):
    """While the reader stalls there is back-pressure and no work; when it goes on, all arrives."""
    v = lab.up(*OPTIONS)
    for name, sender, reader in pairs(lab):
        n, crc = fill(sender)
        cost = idle_cost(v)
        print('     %s sends %d KiB to a reader that stalls, then %.2f s of processor time in 2 s' %
              (name, n >> 10, cost))
        check(cost <= 0.05, '%.2f s of processor time while the reader of the %s stalls' % (cost, name))
        check(ping(lab.guest, HOST) == 0, 'other traffic stops too')
        result = Background(recv_to_end, reader)
        sender.sendall(b'tail')
        sender.shutdown(socket.SHUT_WR)
        check(result.result() == (n + 4, zlib.crc32(b'tail', crc)), 'what the %s sent is wrong' % name)


def test_reader_is_slow(lab):
    lab.up(*OPTIONS)
    n = 4 * MIB
    for name, sender, reader in pairs(lab):
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20000)
        result = Background(recv_to_end, reader, 16384, 0.002)
        send_pattern(sender, n)
        check(result.result() == (n, Pattern(n).crc()), 'what the %s sent is wrong' % name)


def test_reader_stalls_again_and_again(lab):
    lab.up(*OPTIONS)
    for name, sender, reader in pairs(lab):
        n = 64 * MIB
        sending = Background(send_pattern, sender, n)
        got, crc = 0, 0
        while True:
            if got // (8 * MIB) != (got - MIB) // (8 * MIB):
                time.sleep(0.4)
            b = reader.recv(MIB)
            if not b:
                break
            got, crc = got + len(b), zlib.crc32(b, crc)
        sending.result()
        check((got, crc) == (n, Pattern(n).crc()), 'what the %s sent is wrong' % name)


def test_server_never_reads(lab):
    v = lab.up(*OPTIONS)
    before = v.rss_kib()
    guest, server = connected(lab)
    with guest, server:
        fill(guest)
        check(v.rss_kib() - before < 32 << 10, 'the engine grew by %d KiB' % (v.rss_kib() - before))
        guest.close()
        other_guest, other_server = connected(lab)
        with other_guest, other_server:
            other_guest.sendall(b'hello')
            check(other_server.recv(5) == b'hello', 'other connections stop too')


def test_small_send_buffers(lab):
    """Hosts whose send buffers are smaller than a guest's segments, at the start (16 KiB) or for good: the window
    always opens far enough for the guest to go on, which would otherwise wait for its persist timer each time."""
    try:
        for wmem in ('4096 16384 4194304', '4096 16384 16384', '4096 4096 4096'):
            lab.host.sysctl('net.ipv4.tcp_wmem', wmem)
            for mtu in ('65520', '9000', '1500'):
                lab.up('--mtu', mtu, *OPTIONS)
                for name, x, y in pairs(lab):
                    begin = time.monotonic()
                    got = Background(recv_to_end, y)
                    send_pattern(x, 1 << 20)
                    check(got.result() == (1 << 20, Pattern(1 << 20).crc()), 'not what was sent')
                    seconds = time.monotonic() - begin
                    check(seconds < 8, 'tcp_wmem %s, MTU %s, from %s: %.1f s' % (wmem, mtu, name, seconds))
                    x.close()
                    y.close()
                lab.down()
    finally:
        lab.host.sysctl('net.ipv4.tcp_wmem', '4096 16384 4194304')


def test_urgent_data(lab):
    """Urgent bytes arrive once, in their place; a guest's URG is sent on as ordinary bytes."""
    lab.up(*OPTIONS)
    for name, sender, reader in pairs(lab):
        if name == 'guest':
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        for i in range(20):
            sender.sendall(b'abc')
            sender.send(b'!', socket.MSG_OOB)
            sender.sendall(b'def')
            time.sleep(0.005 * (i % 3))
        sender.shutdown(socket.SHUT_WR)
        got = b''
        while (b := reader.recv(4096)):
            got += b
        check(got == b'abc!def' * 20, 'urgent data of the %s: %s' % (name, got))


def test_urgent_data_in_bulk(lab):
    lab.up(*OPTIONS)
    for name, sender, reader in pairs(lab):
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        result = Background(recv_to_end, reader)
        crc, n = 0, 0
        for i, b in enumerate(Pattern(16 * MIB).blocks()):
            sender.sendall(b)
            sender.send(b'!', socket.MSG_OOB)
            crc, n = zlib.crc32(b'!', zlib.crc32(b, crc)), n + len(b) + 1
        sender.shutdown(socket.SHUT_WR)
        check(result.result() == (n, crc), 'what the %s sent is wrong' % name)


def test_reset(lab):
    lab.up(*OPTIONS)
    for name, first, second in pairs(lab):
        first.sendall(b'hello')
        check(second.recv(5) == b'hello', 'no connection')
        reset(first)
        expect_errno(lambda s=second: s.recv(1), errno.ECONNRESET)
    for name, first, second in pairs(lab):
        fill(first, 0.2)
        reset(first)
        expect_errno(lambda s=second: [None for _ in iter(lambda: s.recv(65536), b'')], errno.ECONNRESET)


def test_reset_of_unknown_connection(lab):
    """A connection of which the engine knows nothing, as after its restart: reset at the next segment."""
    v = lab.up(*OPTIONS)
    guest, server = connected(lab)
    with guest, server:
        guest.sendall(b'hello')
        check(server.recv(5) == b'hello', 'no connection')
        os.kill(v.engine(), signal.SIGKILL)
        with contextlib.suppress(ConnectionResetError):
            check(server.recv(1) == b'', 'the server got data from nowhere')
        wait_for('the engine again', lambda: v.engine() and ping(lab.guest, HOST, timeout=0.2) == 0)
        expect_errno(lambda: send_until_error(guest), errno.ECONNRESET, errno.EPIPE)


def test_200_flows(lab):
    v = lab.up(*OPTIONS)
    n, each = 200, 200000
    body = Pattern.BLOCK[:each]

    def echo(listener):
        sel, left = selectors.DefaultSelector(), n
        sel.register(listener, selectors.EVENT_READ)
        while left:
            for key, _ in sel.select(20):
                if key.fileobj is listener:
                    c, _ = listener.accept()
                    c.setblocking(True)
                    sel.register(c, selectors.EVENT_READ)
                    continue
                b = key.fileobj.recv(65536)
                if b:
                    key.fileobj.sendall(b)
                else:
                    sel.unregister(key.fileobj)
                    key.fileobj.close()
                    left -= 1

    with lab.server.listen() as listener:
        server = Background(echo, listener)
        sel = selectors.DefaultSelector()
        for i in range(n):
            c = lab.guest.connect(SERVER, port_of(listener))
            c.setblocking(False)
            sel.register(c, selectors.EVENT_READ | selectors.EVENT_WRITE, [i, 0, b''])
        left = n
        while left:
            events = sel.select(20)
            check(events, 'stalled with %d flows left' % left)
            for key, mask in events:
                state = key.data
                if mask & selectors.EVENT_WRITE:
                    state[1] += key.fileobj.send(body[state[1]:state[1] + 20000])
                    if state[1] == each:
                        sel.modify(key.fileobj, selectors.EVENT_READ, state)
                if mask & selectors.EVENT_READ:
                    state[2] += key.fileobj.recv(65536)
                    if len(state[2]) >= each:
                        check(state[2] == body, 'flow %d was changed' % state[0])
                        sel.unregister(key.fileobj)
                        key.fileobj.close()
                        left -= 1
        server.result()
    time.sleep(0.2)
    check(v.rss_kib() < (1 << 20 if SANITIZED else 65536), 'the engine holds %d KiB' % v.rss_kib())


def test_reused_ports(lab):
    """The same four addresses again, at once after either side closed first."""
    lab.up(*OPTIONS)
    lab.guest.sysctl('net.ipv4.tcp_tw_reuse', 1)
    with lab.server.listen() as listener:
        for first in ('guest', 'server') * 10:
            c = lab.guest.sock()
            c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if first == 'guest':
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, SO_LINGER_0)
            c.bind((GUEST, 40000))
            # The guest's own socket may still be about to end.
            wait_for('a connection', lambda c=c: c.connect_ex((SERVER, port_of(listener))) == 0)
            s, _ = listener.accept()
            c.sendall(b'hello')
            check(s.recv(5) == b'hello', 'no data')
            one, other = (c, s) if first == 'guest' else (s, c)
            one.close()
            with contextlib.suppress(ConnectionResetError):
                check(other.recv(1) == b'', 'no end of the connection')
            other.close()


def test_many_short_connections(lab):
    v = lab.up(*OPTIONS)

    def serve(listener):
        for _ in range(1000):
            c, _ = listener.accept()
            c.sendall(c.recv(100))
            c.close()

    with lab.server.listen() as listener:
        server = Background(serve, listener)
        for i in range(1000):
            with lab.guest.connect(SERVER, port_of(listener)) as c:
                c.sendall(b'%d' % i)
                check(c.recv(100) == b'%d' % i, 'a wrong answer')
        server.result()
    wait_for('the engine\'s descriptors to be closed',
             lambda: len(os.listdir('/proc/%d/fd' % v.engine())) < 100, 5)


def test_peer_vanishes_behind_the_router(lab):
    """No route in the midst of a connection: retried by the host's kernel, works again afterwards."""
    lab.up(*OPTIONS)
    guest, server = connected(lab)
    with guest, server:
        lab.router.ip('route', 'add', 'unreachable', SERVER + '/32')
        guest.sendall(b'hello')
        time.sleep(0.5)
        lab.router.ip('route', 'del', 'unreachable', SERVER + '/32')
        check(server.recv(5) == b'hello', 'the connection did not outlive it')


run(test_half_close, test_close_with_data_underway, test_request_then_close_unread, test_reader_stalls,
    test_reader_is_slow, test_reader_stalls_again_and_again, test_server_never_reads, test_small_send_buffers,
    test_urgent_data,
    test_urgent_data_in_bulk, test_reset, test_reset_of_unknown_connection, test_200_flows, test_reused_ports,
    test_many_short_connections, test_peer_vanishes_behind_the_router)
