#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a guest may reach: --restrict, --no-host-loopback, --no-host, several guests, --isolated, other networks."""

from netlib import *


def reaches_tcp(net, addr, port, timeout=5.0):
    try:
        net.connect(addr, port, timeout).close()
    except OSError:
        return False
    return True


def reaches_udp(net, addr, server, timeout=5.0):
    server.settimeout(timeout)
    with net.udp(timeout=timeout) as s:
        try:
            s.sendto(b'ask', (addr, port_of(server)))
            data, who = server.recvfrom(100)
            server.sendto(b'answer', who)
            return s.recv(100) == b'answer'
        except OSError:
            return False


@contextlib.contextmanager
def services(lab):
    """TCP and UDP, outside and on the host's loopback."""
    with lab.server.listen() as tcp, lab.server.udp('0.0.0.0', 5000) as udp, \
            lab.host.listen('127.0.0.1') as host_tcp, lab.host.udp('127.0.0.1', 5001) as host_udp:
        yield port_of(tcp), udp, port_of(host_tcp), host_udp


def test_no_restriction(lab):
    """The counterpart: all is reached, so that the other tests mean something."""
    lab.up()
    with services(lab) as (tcp, udp, host_tcp, host_udp):
        check(reaches_tcp(lab.guest, SERVER, tcp), 'TCP outside')
        check(reaches_udp(lab.guest, SERVER, udp), 'UDP outside')
        check(reaches_tcp(lab.guest, HOST, host_tcp), 'TCP to the host')
        check(reaches_udp(lab.guest, HOST, host_udp), 'UDP to the host')


def test_restrict(lab):
    lab.up('--restrict', '--hostfwd', 'tcp::2222-:22', port_options=',noconfig')
    lab.guest.ip('addr', 'add', GUEST + '/24', 'dev', 'vmlan0')
    lab.guest.ip('link', 'set', 'vmlan0', 'up')
    lab.guest.ip('route', 'add', 'default', 'via', HOST)
    wait_for('an answer from the router', lambda: ping(lab.guest, HOST, timeout=0.2) == 0)
    with services(lab) as (tcp, udp, host_tcp, host_udp):
        expect_errno(lambda: lab.guest.connect(SERVER, tcp), errno.ECONNREFUSED)
        expect_errno(lambda: lab.guest.connect(HOST, host_tcp), errno.ECONNREFUSED)
        check(not reaches_udp(lab.guest, SERVER, udp, 0.5), 'UDP outside')
        check(not reaches_udp(lab.guest, HOST, host_udp, 0.5), 'UDP to the host')
        check(ping(lab.guest, SERVER, timeout=0.5) != 0, 'ping outside')
    with lab.guest.listen(port=22) as listener, lab.host.connect('127.0.0.1', 2222) as client:
        with listener.accept()[0] as guest:
            client.sendall(b'hello')
            check(guest.recv(5) == b'hello', 'a forward does not work')
            guest.sendall(b'answer')
            check(client.recv(6) == b'answer', 'a forward does not work back')
    drops = lab.vmlans[-1].drops()
    check(drops.get('policy', 0) >= 4, 'not counted: %s' % drops)


def test_restrict_dhcp_offers_no_router(lab):
    lab.up('--restrict', port_options=',noconfig')
    lab.guest.ip('link', 'set', 'vmlan0', 'up')
    script = os.path.join(lab.tmp, 'udhcpc')
    with open(script, 'w') as f:
        f.write('#!/bin/sh\necho "$1 ip=$ip router=$router dns=$dns"\n')
    os.chmod(script, 0o755)
    out = lab.guest.must('busybox', 'udhcpc', '-i', 'vmlan0', '-f', '-q', '-n', '-t', '5', '-T', '1', '-s', script)
    check('bound ip=10.0.2.15 router= ' in out, 'offered: ' + out)


def test_no_host_loopback(lab):
    lab.up('--no-host-loopback')
    with services(lab) as (tcp, udp, host_tcp, host_udp):
        check(reaches_tcp(lab.guest, SERVER, tcp), 'TCP outside is not reached')
        check(reaches_udp(lab.guest, SERVER, udp), 'UDP outside is not reached')
        expect_errno(lambda: lab.guest.connect(HOST, host_tcp), errno.ECONNREFUSED)
        check(not reaches_udp(lab.guest, HOST, host_udp, 0.5), 'UDP to the host')
        check(ping(lab.guest, HOST) == 0, 'the router does not answer pings')


def test_no_host(lab):
    """No address of the host, also one that comes later; the rest as before, names and forwards included."""
    later = '192.0.2.9'
    lab.up('--no-host', '--hostfwd', 'tcp::2222-:22')

    def closed(addr, tcp, udp):
        expect_errno(lambda: lab.guest.connect(addr, tcp), errno.ECONNREFUSED)
        check(not reaches_udp(lab.guest, addr, udp, 0.5), 'UDP to the host at ' + addr)

    with services(lab) as (tcp, udp, host_tcp, host_udp), lab.host.listen() as any_tcp, \
            lab.host.udp('0.0.0.0', 5002) as any_udp:
        closed(HOST, host_tcp, host_udp)
        closed(HOST_OUT, port_of(any_tcp), any_udp)
        check(ping(lab.guest, HOST_OUT, timeout=0.5) != 0, 'the host answers a ping')
        check(reaches_udp(lab.guest, SERVER, udp), 'UDP outside is not reached')
        lab.host.ip('addr', 'add', later + '/24', 'dev', 'up0')
        try:
            for nonlocal_bind in (1, 0):
                lab.host.sysctl('net.ipv4.ip_nonlocal_bind', nonlocal_bind)
                closed(later, port_of(any_tcp), any_udp)
                check(reaches_tcp(lab.guest, SERVER, tcp), 'TCP outside is not reached')
        finally:
            lab.host.ip('addr', 'del', later + '/24', 'dev', 'up0')
        for addr in (SERVER, ROUTER, HOST, DNS):
            check(ping(lab.guest, addr) == 0, addr + ' does not answer a ping')
    with lab.guest.listen(port=22) as listener, lab.host.connect('127.0.0.1', 2222) as client:
        with listener.accept()[0] as guest:
            client.sendall(b'hello')
            check(guest.recv(5) == b'hello', 'a forward does not work')
    with lab.host.udp('127.0.0.1', 53) as resolver, lab.guest.udp() as s:
        s.sendto(b'query', (DNS, 53))
        query, who = resolver.recvfrom(100)
        resolver.sendto(b'answer', who)
        check(query == b'query' and s.recv(100) == b'answer', 'names are not resolved')


def test_loopback_by_other_names(lab):
    """127/8, 0/8, multicast, broadcast, and 10.0.2.2's siblings lead nowhere, sent as raw frames too."""
    lab.up()
    with services(lab) as (_, _, host_tcp, host_udp), lab.guest.raw() as raw:
        router = arp(lab.guest, raw, HOST)
        for addr in ('127.0.0.1', '127.0.0.53', '0.0.0.0', '0.1.2.3', '224.0.0.251', '255.255.255.255', '240.0.0.1'):
            ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + 8 + 3, 1, 0, 64, 17, 0, socket.inet_aton(GUEST),
                             socket.inet_aton(addr))
            ip = ip[:10] + struct.pack('!H', csum(ip)) + ip[12:]
            raw.send(router + lab.guest.mac() + b'\x08\0' + ip + struct.pack('!HHHH', 999, port_of(host_udp), 11, 0)
                     + b'bad')
        host_udp.settimeout(0.5)
        try:
            got = host_udp.recvfrom(100)
        except socket.timeout:
            got = None
        check(got is None, 'a datagram reached the host\'s loopback: %s' % (got,))


def arp(net, raw, addr, own=GUEST):
    """The MAC behind an address, asked for by hand."""
    mac = net.mac()
    raw.send(b'\xff' * 6 + mac + b'\x08\x06' + struct.pack('!HHBBH', 1, 0x800, 6, 4, 1) + mac + socket.inet_aton(own)
             + bytes(6) + socket.inet_aton(addr))
    end = time.monotonic() + 20
    while time.monotonic() < end:
        f = raw.recv(65536)
        if f[12:14] == b'\x08\x06' and f[20:22] == b'\0\x02' and f[28:32] == socket.inet_aton(addr):
            return f[22:28]
    raise Failure('nobody says who has ' + addr)


def second(lab, i=1):
    return '10.0.2.%d' % (15 + i)


def test_several_guests(lab):
    lab.up(n_guests=3)
    a, b, c = lab.guests
    for g, own in ((a, GUEST), (b, second(lab)), (c, second(lab, 2))):
        check('inet %s/24' % own in g.ip('addr', 'show', 'vmlan0'), 'not %s: %s' % (own, g.ip('addr')))
        check(ping(g, SERVER) == 0, '%s does not reach outside' % own)
    check(ping(a, second(lab)) == 0 and ping(c, GUEST) == 0, 'guests do not ping each other')
    n = 100 << 20
    with b.listen() as listener, a.connect(second(lab), port_of(listener)) as x, listener.accept()[0] as y:
        check(y.getpeername()[0] == GUEST, 'a guest sees %s' % (y.getpeername(),))
        for s, r in ((x, y), (y, x)):
            result = Background(recv_to_end, r)
            send_pattern(s, n)
            check(result.result() == (n, Pattern(n).crc()), 'not what was sent')
    with b.udp('0.0.0.0', 5000) as x, a.udp() as y:
        for size in (1, 1400, 60000):
            data = random.randbytes(size)
            y.sendto(data, (second(lab), 5000))
            check(x.recv(65536) == data, 'a datagram of %d bytes between guests' % size)
    with lab.server.listen() as listener:
        flows = [g.connect(SERVER, port_of(listener), bind=('0.0.0.0', 40000)) for g in lab.guests]
        ends = [listener.accept()[0] for _ in flows]
        for i, f in enumerate(flows):
            f.sendall(b'%d' % i)
        check(sorted(e.recv(1) for e in ends) == [b'0', b'1', b'2'], 'flows of guests with one port are confused')


def test_one_guest_goes(lab):
    v = lab.up(n_guests=2)
    a, b = lab.guests
    with lab.server.listen() as listener:
        x = b.connect(SERVER, port_of(listener))
        y, _ = listener.accept()
        gone, gone_end = a.connect(SERVER, port_of(listener)), listener.accept()[0]
        gone.close()
        os.close(a.fd)
        a.holder.kill()
        a.holder.wait()
        lab.nets.remove(a)
        x.sendall(b'hello')
        check(y.recv(5) == b'hello', 'the other guest\'s connection does not go on')
        gone_end.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            check(gone_end.recv(1) == b'', 'a connection of the guest that is gone goes on')
        check(v.alive() and ping(b, HOST) == 0, 'the other guest is cut off')


def test_isolated(lab):
    lab.up('--isolated', n_guests=2)
    a, b = lab.guests
    check(ping(a, SERVER) == 0 and ping(b, SERVER) == 0, 'no way outside')
    check(ping(a, second(lab), timeout=0.7) != 0, 'isolated guests reach each other')
    with a.raw() as x, b.raw() as y:
        for dst in (b'\xff' * 6, b.mac(), b'\x01\0\x5e\0\0\xfb'):
            x.send(dst + a.mac() + b'\x88\xb5' + b'secret' + bytes(40))
        time.sleep(0.2)
        y.settimeout(0.1)
        with contextlib.suppress(socket.timeout):
            while True:
                check(b'secret' not in y.recv(65536), 'a frame got through between isolated guests')


def test_forged_neighbour(lab):
    """A guest that claims the router's or another guest's addresses."""
    lab.up(n_guests=2)
    a, b = lab.guests
    with lab.server.listen() as listener, b.connect(SERVER, port_of(listener)) as x:
        y, _ = listener.accept()
        with a.raw() as raw:
            router = arp(a, raw, HOST)
            for src_mac, src_ip in ((router, HOST), (a.mac(), HOST), (a.mac(), DNS), (router, GUEST)):
                for op in (1, 2):
                    raw.send(b'\xff' * 6 + src_mac + b'\x08\x06' + struct.pack('!HHBBH', 1, 0x800, 6, 4, op) +
                             src_mac + socket.inet_aton(src_ip) + b'\xff' * 6 + socket.inet_aton(src_ip))
        time.sleep(0.1)
        for s in (x, y):
            s.settimeout(20)
        x.sendall(b'hello')
        check(y.recv(5) == b'hello', 'a connection does not go on')
        y.sendall(b'answer')
        check(x.recv(6) == b'answer', 'answers went astray')
        y.close()
    check(lab.vmlans[-1].drops().get('forged-source', 0) >= 8, 'not counted: %s' % lab.vmlans[-1].drops())


def test_rogue_servers(lab):
    """A guest that answers the others' DHCP, or calls itself their router: only with --guest-servers."""
    for args in (), ('--guest-servers',):
        lab.up(*args, n_guests=2)
        a, b = lab.guests
        payload = struct.pack('!HHHH', 67, 68, 8 + 6, 0) + b'rogue!'
        ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(payload), 1, 0, 64, 17, 0, socket.inet_aton(GUEST), b'\xff' * 4)
        advertisement = struct.pack('!IHBB', 6 << 28, 22, 58, 255) + bytes(32) + bytes([134]) + bytes(15) + b'rogue!'
        frames = (b'\xff' * 6 + a.mac() + b'\x08\0' + ip[:10] + struct.pack('!H', csum(ip)) + ip[12:] + payload,
                  b'\x33\x33\0\0\0\1' + a.mac() + b'\x86\xdd' + advertisement)
        with a.raw() as x, b.raw() as y:
            for f in (*frames, b.mac() + a.mac() + b'\x88\xb5' + b'last' + bytes(42)):
                x.send(f)
            n = 0
            while b'last' not in (f := y.recv(65536)):
                n += b'rogue!' in f
        dropped = lab.vmlans[-1].drops().get('rogue-server', 0)
        check((n, dropped) == ((2, 0) if args else (0, 2)), '%s: %d arrived, %d dropped' % (args, n, dropped))
        lab.down()


def test_another_network(lab):
    lab.up('--net', '192.168.77.0/24', '--host', '192.168.77.1', '--dns', '192.168.77.53', '--dhcpstart',
           '192.168.77.100', port_options=',noconfig')
    lab.guest.ip('addr', 'add', '192.168.77.100/24', 'dev', 'vmlan0')
    lab.guest.ip('link', 'set', 'vmlan0', 'up')
    lab.guest.ip('route', 'add', 'default', 'via', '192.168.77.1')
    wait_for('an answer from the router', lambda: ping(lab.guest, '192.168.77.1', timeout=0.2) == 0)
    check(ping(lab.guest, '192.168.77.53') == 0, 'the name server does not answer')
    with services(lab) as (tcp, udp, _, _):
        check(reaches_tcp(lab.guest, SERVER, tcp) and reaches_udp(lab.guest, SERVER, udp), 'no way outside')


def test_two_networks_with_the_same_addresses(lab):
    lab.up()
    first = lab.guest
    lab.up()
    with lab.server.listen() as listener:
        for g in (first, lab.guest):
            with g.connect(SERVER, port_of(listener), bind=('0.0.0.0', 40000)) as x, listener.accept()[0] as y:
                x.sendall(b'hello')
                check(y.recv(5) == b'hello', 'no data')
    check(ping(first, '10.0.2.16', timeout=0.3) != 0, 'the networks are joined')


run(test_no_restriction, test_restrict, test_restrict_dhcp_offers_no_router, test_no_host_loopback, test_no_host,
    test_loopback_by_other_names, test_several_guests, test_one_guest_goes, test_isolated, test_forged_neighbour,
    test_rogue_servers, test_another_network, test_two_networks_with_the_same_addresses)
