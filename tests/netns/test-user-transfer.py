#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Contents arrive as they were sent: hundreds of megabytes of TCP, many datagrams, both ways, at both
MTUs. With --no-peek-off: as on kernels without SO_PEEK_OFF for TCP.

also: --no-peek-off test_tcp_down_65520 test_tcp_down_1500 test_tcp_loss_towards_the_guest test_tcp_both_ways_at_once
"""

from netlib import *

OPTIONS = [a for a in sys.argv[1:] if a == '--no-peek-off']
MIB = 1 << 20
N_BYTES = (30 if SANITIZED else 300) * MIB + 12345


def transfer(sender, receiver, n=N_BYTES):
    """One way; the other way ends only after it."""
    result = Background(recv_to_end, receiver)
    send_pattern(sender, n)
    got, crc = result.result()
    check(got == n, '%d of %d bytes arrived' % (got, n))
    check(crc == Pattern(n).crc(), 'the contents changed')
    receiver.shutdown(socket.SHUT_WR)
    check(sender.recv(1) == b'', 'no end of the other direction')


def connected(lab, addr=SERVER, net=None):
    """(guest's socket, server's)."""
    with (net or lab.server).listen() as listener:
        c = lab.guest.connect(addr, port_of(listener))
        return c, listener.accept()[0]


def tcp_up(lab, *args):
    lab.up(*OPTIONS, *args)
    guest, server = connected(lab)
    with guest, server:
        transfer(guest, server)


def tcp_down(lab, *args):
    lab.up(*OPTIONS, *args)
    guest, server = connected(lab)
    with guest, server:
        transfer(server, guest)


def test_tcp_up_65520(lab):
    tcp_up(lab)


def test_tcp_down_65520(lab):
    tcp_down(lab)


def test_tcp_up_1500(lab):
    tcp_up(lab, '--mtu', '1500')


def test_tcp_down_1500(lab):
    tcp_down(lab, '--mtu', '1500')


def test_tcp_host_loopback(lab):
    lab.up(*OPTIONS)
    guest, server = connected(lab, HOST, lab.host)
    with guest, server:
        check(server.getpeername()[0] == '127.0.0.1', 'the host sees %s' % server.getpeername()[0])
        transfer(guest, server, N_BYTES // 4)
    guest, server = connected(lab, HOST, lab.host)
    with guest, server:
        transfer(server, guest, N_BYTES // 4)


def test_tcp_both_ways_at_once(lab):
    lab.up(*OPTIONS)
    n = N_BYTES // 4
    guest, server = connected(lab)
    with guest, server:
        results = [Background(recv_to_end, guest), Background(recv_to_end, server)]
        senders = [Background(send_pattern, guest, n), Background(send_pattern, server, n)]
        for r in results:
            check(r.result() == (n, Pattern(n).crc()), 'not all arrived, or not as it was')
        for s in senders:
            s.result()


def test_tcp_guest_congestion_controls(lab):
    with open('/proc/sys/net/ipv4/tcp_available_congestion_control') as f:
        names = f.read().split()
    lab.up(*OPTIONS, '--mtu', '1500')
    for name in names:
        with lab.server.listen() as listener:
            guest = lab.guest.sock()
            guest.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
            guest.connect((SERVER, port_of(listener)))
            server = listener.accept()[0]
        begin = time.monotonic()
        with guest, server:
            transfer(guest, server, N_BYTES // 8)
        check(time.monotonic() - begin < 20, '%s takes %.1f s' % (name, time.monotonic() - begin))


def test_tcp_loss_towards_the_server(lab):
    """A bad line beyond the host is the host kernel's business; nothing of it reaches the guest."""
    lab.router.must('nft', 'add table ip t; add chain ip t f { type filter hook forward priority 0; }; '
                    'add rule ip t f tcp flags & (syn | rst) == 0 numgen random mod 50 0 drop')
    try:
        lab.up(*OPTIONS)
        guest, server = connected(lab)
        with guest, server:
            transfer(guest, server, 4 * MIB)
        guest, server = connected(lab)
        with guest, server:
            transfer(server, guest, 4 * MIB)
    finally:
        lab.router.must('nft', 'delete table ip t')


def test_tcp_loss_towards_the_guest(lab):
    """The guest drops one frame in twenty: retransmission out of the host's socket."""
    lab.up(*OPTIONS)
    lab.guest.must('nft', 'add table ip t; add chain ip t i { type filter hook input priority 0; }; '
                   'add rule ip t i tcp flags & (syn | rst) == 0 numgen random mod 20 0 drop')
    n = 20 * MIB
    guest, server = connected(lab)
    with guest, server:
        transfer(server, guest, n)
    guest, server = connected(lab)
    with guest, server:
        transfer(guest, server, n)
    out = lab.vmlans[-1].stop()
    check(int(re.search(r'retransmits (\d+)', out).group(1)) > 0, 'nothing was retransmitted')


def datagrams(lab, sender, receiver, to, n, size):
    """Sends numbered datagrams in bursts that every socket's buffer holds; all must arrive, in order."""
    burst = max(1, min(32, 48000 // size))
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    block = Pattern.BLOCK
    for i in range(n):
        body = struct.pack('!I', i) + block[i % 60000:i % 60000 + size - 4]
        sender.sendto(body, to)
        if i % burst == burst - 1 or i == n - 1:
            for j in range(i - i % burst, i + 1):
                try:
                    got = receiver.recv(65536)
                except socket.timeout:
                    raise Failure('datagram %d of %d (%d bytes) did not arrive' % (j, n, size))
                number = struct.unpack('!I', got[:4])[0]
                check(number == j, 'datagram %d arrives in the place of %d' % (number, j))
                check(got[4:] == block[j % 60000:j % 60000 + size - 4], 'datagram %d was changed' % j)


def udp_both_ways(lab, sizes, *args):
    lab.up(*OPTIONS, *args)
    with lab.server.udp('0.0.0.0', 5000) as server, lab.guest.udp('0.0.0.0', 6000) as guest:
        guest.sendto(b'hello', (SERVER, 5000))
        _, who = server.recvfrom(100)
        for size in sizes:
            datagrams(lab, guest, server, (SERVER, 5000), 3000, size)
            datagrams(lab, server, guest, who, 3000, size)


def test_udp_65520(lab):
    udp_both_ways(lab, (64, 1400, 9000))


def test_udp_1500(lab):
    udp_both_ways(lab, (64, 1472, 4000), '--mtu', '1500')


def test_udp_segmented_by_the_guest(lab):
    """UDP_SEGMENT in the guest: one frame through the tap, separate datagrams at the server."""
    lab.up(*OPTIONS)
    with lab.server.udp('0.0.0.0', 5000) as server, lab.guest.udp() as guest:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        guest.setsockopt(socket.IPPROTO_UDP, 103, 1200)
        data = random.randbytes(1200 * 30 + 100)
        for _ in range(20):
            guest.sendto(data, (SERVER, 5000))
            for at in range(0, len(data), 1200):
                check(server.recv(65536) == data[at:at + 1200], 'a datagram was changed')


def test_udp_empty_datagram(lab):
    lab.up(*OPTIONS)
    with lab.server.udp('0.0.0.0', 5000) as server, lab.guest.udp() as guest:
        guest.sendto(b'', (SERVER, 5000))
        data, who = server.recvfrom(100)
        check(data == b'', 'an empty datagram is not empty')
        server.sendto(b'', who)
        check(guest.recv(100) == b'', 'an empty answer is not empty')


run(test_tcp_up_65520, test_tcp_down_65520, test_tcp_up_1500, test_tcp_down_1500, test_tcp_host_loopback,
    test_tcp_both_ways_at_once, test_tcp_guest_congestion_controls, test_tcp_loss_towards_the_server,
    test_tcp_loss_towards_the_guest,
    *(() if OPTIONS else (test_udp_65520, test_udp_1500, test_udp_segmented_by_the_guest, test_udp_empty_datagram)))
