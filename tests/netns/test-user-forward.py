#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Inbound forwards: TCP and UDP, where they listen, whom the guest sees, and what becomes of clients while
the guest is not there."""

from netlib import *

MIB = 1 << 20


def forwarded_port(v):
    """The port that was chosen for a rule with port 0."""
    found = wait_for('the chosen port', lambda: re.search(r'forwarding (?:tcp|udp) ([0-9.]+):(\d+)', v.log()))
    return found.group(1), int(found.group(2))


def test_tcp(lab):
    lab.up('--hostfwd', 'tcp:0.0.0.0:2222-:22')
    n = 50 * MIB
    with lab.guest.listen(port=22) as listener:
        for net, addr in ((lab.server, HOST_OUT), (lab.host, '127.0.0.1'), (lab.host, HOST_OUT)):
            with net.connect(addr, 2222) as client, listener.accept()[0] as guest:
                for a, b in ((client, guest), (guest, client)):
                    result = Background(recv_to_end, b)
                    send_pattern(a, n)
                    check(result.result() == (n, Pattern(n).crc()), 'not what was sent')


def test_guest_sees_the_client(lab):
    lab.up('--hostfwd', 'tcp:0.0.0.0:2222-:22', '--hostfwd', 'udp:0.0.0.0:2223-:23')
    with lab.guest.listen(port=22) as listener, lab.guest.udp('0.0.0.0', 23) as udp:
        with lab.server.connect(HOST_OUT, 2222) as client, listener.accept()[0] as guest:
            check(guest.getpeername()[0] == SERVER, 'the guest sees %s' % (guest.getpeername(),))
            check(guest.getpeername()[1] == port_of(client), 'the client has another port')
        with lab.host.connect('127.0.0.1', 2222), listener.accept()[0] as guest:
            check(guest.getpeername()[0] == HOST, 'of the host itself the guest sees %s' % (guest.getpeername(),))
        with lab.server.udp() as client:
            client.sendto(b'hello', (HOST_OUT, 2223))
            check(udp.recvfrom(100) == (b'hello', (SERVER, port_of(client))), 'the guest sees another client')


def test_udp(lab):
    lab.up('--hostfwd', 'udp:0.0.0.0:2223-:23')
    with lab.guest.udp('0.0.0.0', 23) as guest, lab.server.udp() as a, lab.server.udp() as b, \
            lab.host.udp() as c:
        for i, (client, addr) in enumerate(((a, HOST_OUT), (b, HOST_OUT), (c, '127.0.0.1'), (c, HOST_OUT)) * 3):
            data = random.randbytes((1, 1400, 9000, 60000)[i % 4])
            client.sendto(data, (addr, 2223))
            got, who = guest.recvfrom(65536)
            check(got == data, '%d bytes arrive changed' % len(data))
            guest.sendto(got[::-1], who)
            got, who = client.recvfrom(65536)
            check(got == data[::-1], '%d bytes come back changed' % len(data))
            check(who == (addr, 2223), 'asked %s, %s answers' % (addr, who))


def test_port_0_and_loopback_by_default(lab):
    v = lab.up('--hostfwd', 'tcp::0-:22')
    addr, port = forwarded_port(v)
    check(addr == '127.0.0.1', 'listens on %s' % addr)
    with lab.guest.listen(port=22) as listener:
        with lab.host.connect('127.0.0.1', port), listener.accept()[0]:
            pass
        expect_errno(lambda: lab.server.connect(HOST_OUT, port), errno.ECONNREFUSED)


def test_udp_port_0(lab):
    v = lab.up('--hostfwd', 'udp:127.0.0.1:0-:23')
    addr, port = forwarded_port(v)
    with lab.guest.udp('0.0.0.0', 23) as guest, lab.host.udp() as client:
        client.sendto(b'hello', (addr, port))
        check(guest.recv(100) == b'hello', 'nothing came')


def test_low_port(lab):
    lab.up('--hostfwd', 'tcp:127.0.0.1:80-:80')
    with lab.guest.listen(port=80) as listener, lab.host.connect('127.0.0.1', 80), listener.accept()[0]:
        pass


def test_port_taken(lab):
    with lab.host.listen('127.0.0.1', 2222):
        code, out = sh(VMLAN, 'user', '--hostfwd', 'tcp::2222-:22', 'stream:' + os.path.join(lab.tmp, 's'))
    check(code not in (0, None) and '2222' in out and 'in use' in out, 'exit status %s, "%s"' % (code, out))


def test_guest_refuses(lab):
    """Nobody listens in the guest: the client sees the end at once, by a reset."""
    lab.up('--hostfwd', 'tcp:0.0.0.0:2222-:22')
    # The reset may be there before connect() returns.
    takes_at_most(1, 'the refusal', lambda: expect_errno(
        lambda: lab.server.connect(HOST_OUT, 2222).recv(1), errno.ECONNRESET))


def test_second_guest(lab):
    lab.up('--hostfwd', 'tcp::2222-10.0.2.16:22', n_guests=2)
    with lab.guests[1].listen(port=22) as listener, lab.host.connect('127.0.0.1', 2222) as client:
        with listener.accept()[0] as guest:
            client.sendall(b'hello')
            check(guest.recv(5) == b'hello', 'no data')


def test_client_before_the_guest(lab):
    """A client that is early waits until the guest has an address."""
    lab.up('--hostfwd', 'tcp:0.0.0.0:2222-:22', '--hostfwd', 'udp:0.0.0.0:2223-:23', port_options=',noconfig')
    with lab.guest.listen(port=22) as listener, lab.guest.udp('0.0.0.0', 23) as udp, \
            lab.server.connect(HOST_OUT, 2222) as client, lab.server.udp() as udp_client:
        client.sendall(b'early')
        udp_client.sendto(b'early', (HOST_OUT, 2223))
        time.sleep(0.5)
        lab.guest.ip('addr', 'add', GUEST + '/24', 'dev', 'vmlan0')
        lab.guest.ip('link', 'set', 'vmlan0', 'up')
        lab.guest.ip('route', 'add', 'default', 'via', HOST)
        with listener.accept()[0] as guest:
            check(guest.recv(5) == b'early', 'no data')
        check(udp.recv(100) == b'early', 'no early datagram')


def test_client_goes_while_the_guest_stalls(lab):
    lab.up('--hostfwd', 'tcp:0.0.0.0:2222-:22')
    with lab.guest.listen(port=22) as listener:
        for _ in range(50):
            client = lab.server.connect(HOST_OUT, 2222)
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while client.send(Pattern.BLOCK[:65536]):
                    pass
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, SO_LINGER_0)
            client.close()
        for _ in range(50):
            with listener.accept()[0] as guest, contextlib.suppress(ConnectionResetError):
                while guest.recv(1 << 20):
                    pass
        with lab.server.connect(HOST_OUT, 2222) as client, listener.accept()[0] as guest:
            client.sendall(b'hello')
            check(guest.recv(5) == b'hello', 'no data')


def test_accept_storm(lab):
    """More clients at once than the guest accepts: no client hangs, later ones are served."""
    lab.up('--hostfwd', 'tcp:0.0.0.0:2222-:22')
    listener = lab.guest.sock()
    listener.bind(('0.0.0.0', 22))
    listener.listen(8)
    with listener:
        clients = [lab.server.connect(HOST_OUT, 2222) for _ in range(40)]
        for c in clients:
            c.sendall(b'x')
        served = 0
        listener.settimeout(20)
        with contextlib.suppress(socket.timeout):
            while served < 40:
                with listener.accept()[0] as guest:
                    check(guest.recv(1) == b'x', 'no data')
                    served += 1
        check(served == 40, 'only %d of 40 clients are served' % served)
        for c in clients:
            c.close()


run(test_tcp, test_guest_sees_the_client, test_udp, test_port_0_and_loopback_by_default, test_udp_port_0,
    test_low_port, test_port_taken, test_guest_refuses, test_second_guest, test_client_before_the_guest,
    test_client_goes_while_the_guest_stalls, test_accept_storm)
