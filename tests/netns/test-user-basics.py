#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Addresses, DHCP, ping, and what a guest learns about destinations that do not answer."""

from netlib import *

UDHCPC_SCRIPT = '''#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip route add default via "$router"
echo "LEASE ip=$ip router=$router dns=$dns lease=$lease mtu=$mtu hostname=$hostname domain=$domain search=$search"
'''


def test_configured_interface(lab):
    lab.up()
    out = lab.guest.ip('addr', 'show', 'vmlan0')
    check('inet 10.0.2.15/24' in out, 'no address: ' + out)
    check('mtu 65520' in out, 'not an MTU of 65520: ' + out)
    check('qlen 8192' in out, 'not a queue of 8192 frames: ' + out)
    check('default via 10.0.2.2' in lab.guest.ip('route'), 'no default route')
    check(ping(lab.guest, '127.0.0.1') == 0, 'the guest\'s loopback is down')


def test_dhcp(lab):
    lab.up('--hostname', 'marvin', '--domainname', 'example.org', '--dnssearch', 'a.example',
           port_options=',noconfig')
    check('inet ' not in lab.guest.ip('addr', 'show', 'vmlan0'), 'noconfig, but an address')
    lab.guest.ip('link', 'set', 'vmlan0', 'up')
    script = os.path.join(lab.tmp, 'udhcpc')
    with open(script, 'w') as f:
        f.write(UDHCPC_SCRIPT)
    os.chmod(script, 0o755)
    out = lab.guest.must('busybox', 'udhcpc', '-i', 'vmlan0', '-f', '-q', '-n', '-t', '5', '-T', '1', '-s', script,
                         '-O', 'search', '-O', 'mtu')
    lease = dict(w.split('=', 1) for w in re.search('LEASE (.*)', out).group(1).split(' ') if '=' in w)
    for key, value in dict(ip=GUEST, router=HOST, dns=DNS, lease='86400', hostname='marvin',
                           domain='example.org').items():
        check(lease[key] == value, '%s is "%s", not "%s"' % (key, lease[key], value))
    check('a.example' in lease['search'], 'no search domain: ' + out)
    check(ping(lab.guest, SERVER) == 0, 'no ping with the lease')
    again = lab.guest.must('busybox', 'udhcpc', '-i', 'vmlan0', '-f', '-q', '-n', '-s', '/bin/true', '-r', GUEST)
    check('lease of 10.0.2.15 obtained' in again, 'the lease is not given again: ' + again)


def test_dhcp_mtu(lab):
    """Told to a client that asks for it; with --mtu to every one."""
    script = os.path.join(lab.tmp, 'udhcpc')
    with open(script, 'w') as f:
        f.write('#!/bin/sh\necho "$1 mtu=$mtu."\n')
    os.chmod(script, 0o755)
    for args, ask, told in ((), (), ''), ((), ('-O', 'mtu'), '65520'), (('--mtu', '9000'), (), '9000'):
        lab.up(*args, port_options=',noconfig')
        lab.guest.ip('link', 'set', 'vmlan0', 'up')
        out = lab.guest.must('busybox', 'udhcpc', '-i', 'vmlan0', '-f', '-q', '-n', '-t', '5', '-T', '1', '-s', script,
                             *ask)
        check('bound mtu=%s.' % told in out, '%s %s: %s' % (args, ask, out))
        lab.down()


def test_ping(lab):
    lab.up()
    check(ping(lab.guest, HOST) == 0, 'the router does not answer')
    check(ping(lab.guest, DNS) == 0, 'the name server does not answer')
    check(ping(lab.guest, ROUTER) == 0, 'no answer from a host outside')
    check(ping(lab.guest, SERVER, n_data=1400) == 0, 'no answer from a host behind a router')
    for ident in (1, 0xffff):
        check(ping(lab.guest, SERVER, ident=ident) == 0, 'no answer with the identifier %d' % ident)
    check(ping(lab.guest, NOBODY, timeout=2) != 0, 'a host that is not there answers')
    check(ping(lab.guest, '10.0.2.99', timeout=2) != 0, 'a guest that is not there answers')
    r = wait_for('an answer from a net without a route', lambda: ping(lab.guest, UNREACHABLE, timeout=0.5))
    check(r[0] == 3, 'no "unreachable" for a net without a route, but %s' % (r,))


def test_ping_forbidden(lab):
    lab.host.sysctl('net.ipv4.ping_group_range', '1 0')
    try:
        lab.up()
        check(ping(lab.guest, HOST) == 0, 'the router does not answer')
        check(ping(lab.guest, SERVER, timeout=1) != 0, 'an answer although ping sockets are forbidden')
        check('ping_group_range' in lab.vmlans[-1].log(), 'no hint at ping_group_range')
    finally:
        lab.host.sysctl('net.ipv4.ping_group_range', '0 2147483647')


def test_tcp_refused_and_unreachable(lab):
    lab.up()
    for addr in (SERVER, HOST, ROUTER):
        takes_at_most(0.5, 'the refusal from ' + addr, lambda a=addr: expect_errno(
            lambda: lab.guest.connect(a, 9), errno.ECONNREFUSED))
    takes_at_most(0.5, 'an unreachable net', lambda: expect_errno(
        lambda: lab.guest.connect(UNREACHABLE, 9), errno.EHOSTUNREACH, errno.ENETUNREACH))
    expect_errno(lambda: lab.guest.connect('127.0.0.2', 9, bind=(GUEST, 0), timeout=1),
                 errno.ECONNREFUSED, errno.EINVAL, errno.ENETUNREACH, errno.EHOSTUNREACH)
    lab.host.ip('route', 'del', 'default')
    try:
        expect_errno(lambda: lab.guest.connect(SERVER, 9), errno.EHOSTUNREACH, errno.ENETUNREACH)
    finally:
        lab.host.ip('route', 'add', 'default', 'via', ROUTER)


def test_udp_errors(lab):
    lab.up()
    for addr in (SERVER, HOST, ROUTER):
        e = udp_error(lab.guest, addr, 9)
        check(e and e[0] == errno.ECONNREFUSED and e[1:3] == (3, 3), 'a closed port of %s: %s' % (addr, e))
        check(e[3] == addr, 'port unreachable of %s comes from %s' % (addr, e[3]))
    # The router answers so only now and then.
    e = wait_for('an answer from a net without a route', lambda: udp_error(lab.guest, UNREACHABLE, 9, timeout=0.5))
    check(e and e[1] == 3 and e[0] in (errno.EHOSTUNREACH, errno.ENETUNREACH), 'an unreachable net: %s' % (e,))
    check(e[3] == ROUTER, '"unreachable" comes from %s, not from the router' % e[3])


def test_traceroute(lab):
    lab.up()
    hops = [udp_error(lab.guest, SERVER, 33434 + ttl, ttl=ttl) for ttl in (1, 2, 3)]
    check(all(hops), 'a hop is silent: %s' % hops)
    check([h[3] for h in hops] == [HOST, ROUTER, SERVER], 'UDP: wrong hops %s' % [h[3] for h in hops])
    check([h[1] for h in hops] == [11, 11, 3], 'UDP: wrong types %s' % [h[1] for h in hops])
    hops = [ping(lab.guest, SERVER, ttl=ttl) for ttl in (1, 2, 3)]
    check(hops == [(11, 0, HOST), (11, 0, ROUTER), 0], 'ping: wrong hops %s' % hops)


def test_fragments(lab):
    lab.up('--mtu', '1500')
    with lab.server.udp('0.0.0.0', 5000) as server, lab.guest.udp() as guest:
        for n in (1472, 1473, 4000, 9000, 60000, 65507):
            data = random.randbytes(n)
            guest.sendto(data, (SERVER, 5000))
            got, who = server.recvfrom(65536)
            check(got == data, '%d bytes arrive changed' % n)
            server.sendto(got[::-1], who)
            check(guest.recv(65536) == data[::-1], '%d bytes come back changed' % n)
    check(ping(lab.guest, SERVER, n_data=8000) == 0, 'a large ping has no answer')
    check(ping(lab.guest, HOST, n_data=8000) == 0, 'a large ping to the router has no answer')
    out = lab.vmlans[-1].stop()
    n = int(re.search(r'fragments in (\d+)', out).group(1))
    check(n >= 5, 'only %d fragments came in: the guest did not send any' % n)


def test_path_mtu(lab):
    """A narrow link behind the router: the guest learns of it, for UDP that must not be fragmented, and
    TCP and other UDP get through."""
    lab.router.ip('link', 'set', 'up0', 'mtu', '1300')
    try:
        lab.up('--mtu', '1500')
        with lab.guest.udp() as s, lab.server.udp('0.0.0.0', 5000) as server:
            s.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
            s.connect((SERVER, 5000))

            def path_mtu():
                with contextlib.suppress(OSError):
                    s.send(bytes(1400))
                with contextlib.suppress(OSError):
                    return s.getsockopt(socket.IPPROTO_IP, 14) == 1300  # IP_MTU
            wait_for('the path MTU in the guest', path_mtu, pause=0.1)
            with contextlib.suppress(OSError):
                s.send(b'x')  # takes the pending error away
            while server in select.select([server], [], [], 0.2)[0]:
                server.recv(2000)
            s.send(b'x' * 1272)
            check(len(server.recv(2000)) == 1272, 'the largest datagram does not arrive')
        with lab.guest.udp() as s, lab.server.udp('0.0.0.0', 5001) as server:
            s.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_PMTUDISC_DONT
            s.sendto(b'y' * 1400, (SERVER, 5001))
            wait_for('a datagram that may be fragmented', lambda: s.sendto(b'y' * 1400, (SERVER, 5001)) and
                     select.select([server], [], [], 0.2)[0])
        with lab.server.listen() as listener, lab.guest.connect(SERVER, port_of(listener)) as c:
            with listener.accept()[0] as t:
                result = Background(recv_to_end, t)
                send_pattern(c, 1 << 20)
                check(result.result() == (1 << 20, Pattern(1 << 20).crc()), 'TCP does not get through')
    finally:
        lab.router.ip('link', 'set', 'up0', 'mtu', '1500')
        lab.host.ip('route', 'flush', 'cache')


run(test_configured_interface, test_dhcp, test_dhcp_mtu, test_ping, test_ping_forbidden,
    test_tcp_refused_and_unreachable, test_udp_errors, test_traceroute, test_fragments, test_path_mtu)
