#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Names: queries reach the host's resolvers, as they change, of every kind; errors come back."""

from netlib import *


class DnsServer:
    """Answers every query with one address, over UDP and TCP."""

    def __init__(self, net, addr, answer, family=socket.AF_INET):
        self.answer = socket.inet_aton(answer)
        self.udp, self.tcp = net.udp(addr, 53, family), net.listen(addr, 53, family)
        self.stopped = False
        self.thread = Background(self.serve)

    def reply(self, q, n_answers=1):
        rr = b'\xc0\x0c' + struct.pack('!HHIH', 1, 1, 60, 4) + self.answer
        return q[:2] + struct.pack('!HHHHH', 0x8180, 1, n_answers, 0, 0) + q[12:] + rr * n_answers

    def serve(self):
        while not self.stopped:
            for s in select.select([self.udp, self.tcp], [], [], 0.05)[0]:
                if s is self.udp:
                    q, who = s.recvfrom(4096)
                    s.sendto(self.reply(q), who)
                    continue
                with s.accept()[0] as c:
                    n = struct.unpack('!H', receive(c, 2))[0]
                    r = self.reply(receive(c, n), 1000)
                    c.sendall(struct.pack('!H', len(r)) + r)

    def close(self):
        self.stopped = True
        self.thread.join()
        self.udp.close()
        self.tcp.close()


def query():
    name = b''.join(bytes([len(p)]) + p for p in b'www.example.org'.split(b'.')) + b'\0'
    return os.urandom(2) + struct.pack('!HHHHH', 0x100, 1, 0, 0, 0) + name + struct.pack('!HH', 1, 1)


def ask(net, timeout=5):
    """The address that a query over UDP gives, or None."""
    with net.udp(timeout=timeout) as s:
        s.connect((DNS, 53))
        q = query()
        try:
            s.send(q)
            r = s.recv(4096)
        except OSError:
            return None
        check(r[:2] == q[:2], 'the answer belongs to another query')
        return socket.inet_ntoa(r[-4:])


def ask_tcp(net):
    with net.connect(DNS, 53) as s:
        q = query()
        s.sendall(struct.pack('!H', len(q)) + q)
        n = struct.unpack('!H', receive(s, 2))[0]
        r = receive(s, n)
        return socket.inet_ntoa(r[-4:]), n


def test_dns(lab):
    a = DnsServer(lab.server, SERVER, '192.0.2.101')
    b = DnsServer(lab.host, '127.0.0.53', '192.0.2.102')
    c = DnsServer(lab.server, SERVER6, '192.0.2.103', socket.AF_INET6)
    try:
        lab.resolvers(SERVER)
        lab.up()
        check(ask(lab.guest) == '192.0.2.101', 'no answer over UDP')
        got, n = ask_tcp(lab.guest)
        check(got == '192.0.2.101' and n > 16000, 'no answer over TCP')
        lab.resolvers('127.0.0.53')
        wait_for('queries to the new resolver', lambda: ask(lab.guest) == '192.0.2.102')
        check(ask_tcp(lab.guest)[0] == '192.0.2.102', 'TCP still asks the old resolver')
        lab.resolvers(SERVER6)
        wait_for('queries to an IPv6 resolver', lambda: ask(lab.guest) == '192.0.2.103')
        check(ask_tcp(lab.guest)[0] == '192.0.2.103', 'no answer over TCP from an IPv6 resolver')
        with open('/etc/resolv.conf', 'w') as f:
            f.write('# written in place\nnameserver %s\n' % SERVER)
        wait_for('queries to the resolver written in place', lambda: ask(lab.guest) == '192.0.2.101')
    finally:
        for s in (a, b, c):
            s.close()
        lab.resolvers('127.0.0.1')


def test_dns_next_resolver(lab):
    """A resolver that is silent, or refuses: the next one, also for clients that ask from a new port."""
    a = DnsServer(lab.server, SERVER, '192.0.2.101')
    lab.server.must('nft', 'add table ip t; add chain ip t i { type filter hook input priority 0; }; '
                    'add rule ip t i ip daddr 198.51.100.3 drop')
    lab.server.ip('addr', 'add', '198.51.100.3/24', 'dev', 'down0')
    try:
        for bad in ('198.51.100.3', NOBODY, ROUTER):
            lab.resolvers(bad, SERVER)
            lab.up()
            n = 1
            while ask(lab.guest, 1) != '192.0.2.101':
                n += 1
                check(n <= 4, 'asked %d times, and no answer of the second resolver' % n)
            for _ in range(5):
                check(ask(lab.guest) == '192.0.2.101', 'it does not stay with the one that answers')
            lab.down()
    finally:
        a.close()
        lab.server.must('nft', 'delete table ip t')
        lab.resolvers('127.0.0.1')


def test_link_local_resolver(lab):
    """fe80::53%up0: reached through the interface that is named, by UDP and TCP."""
    lab.router.ip('addr', 'add', 'fe80::53/64', 'dev', 'down0', 'nodad')
    server = DnsServer(lab.router, 'fe80::53%down0', '192.0.2.104', socket.AF_INET6)
    lab.host.ip('link', 'add', 'wrong0', 'type', 'veth', 'peer', 'name', 'wrong1')
    try:
        for name in ('wrong0', 'wrong1'):
            lab.host.ip('link', 'set', name, 'up')
        lab.resolvers('fe80::53%up0')
        lab.up()
        check(ask(lab.guest) == '192.0.2.104', 'no answer over UDP')
        check(ask_tcp(lab.guest)[0] == '192.0.2.104', 'no answer over TCP')
        lab.resolvers('fe80::53%wrong0', 'fe80::53%up0')
        wait_for('the one that answers, of two with one address', lambda: ask(lab.guest, 0.6) == '192.0.2.104')
    finally:
        server.close()
        lab.host.ip('link', 'del', 'wrong0')
        lab.router.ip('addr', 'del', 'fe80::53/64', 'dev', 'down0')
        lab.resolvers('127.0.0.1')


def test_errors_of_an_ipv6_resolver(lab):
    """What ICMPv6 says of a query reaches the guest as ICMP, and at once."""
    lab.router.ip('-6', 'route', 'add', 'unreachable', '2001:db8:2::/64')
    try:
        lab.resolvers(SERVER6)
        lab.up()
        e = udp_error(lab.guest, DNS, 53, data=query())
        check(e and e[:3] == (errno.ECONNREFUSED, 3, 3) and e[3] == DNS, 'a closed port: %s' % (e,))
        lab.down()
        lab.resolvers('2001:db8:2::1')
        lab.up()
        e = wait_for('an error', lambda: udp_error(lab.guest, DNS, 53, data=query(), timeout=0.5))
        check(e[:3] == (errno.EHOSTUNREACH, 3, 1) and e[3] == HOST, 'a net without a route: %s' % (e,))
    finally:
        lab.router.ip('-6', 'route', 'del', 'unreachable', '2001:db8:2::/64')
        lab.resolvers('127.0.0.1')


def test_resolv_conf_is_a_link(lab):
    """As systemd-resolved has it: to a folder that may come later than we do, or go and come back."""
    def write(path, addr):
        with open(path + '.new', 'w') as f:
            f.write('nameserver %s\n' % addr)
        os.rename(path + '.new', path)

    def link(target):
        os.symlink(target, '/etc/resolv.conf.new')
        os.rename('/etc/resolv.conf.new', '/etc/resolv.conf')

    def comes_to(answer, what):
        wait_for(what, lambda: ask(lab.guest, 1) == answer)

    a = DnsServer(lab.server, SERVER, '192.0.2.101')
    b = DnsServer(lab.host, '127.0.0.53', '192.0.2.102')
    folder = TMP + '/later/resolve'
    try:
        link('../run/later/resolve/stub')
        lab.up()
        os.makedirs(folder)
        write(folder + '/stub', '127.0.0.53')
        comes_to('192.0.2.102', 'a folder that is made')
        write(folder + '/stub', SERVER)
        comes_to('192.0.2.101', 'the file it leads to, replaced')
        write(folder + '/other', '127.0.0.53')
        link(folder + '/other')
        comes_to('192.0.2.102', 'another link')
        shutil.rmtree(TMP + '/later')
        comes_to(None, 'no file')
        os.makedirs(folder)
        write(folder + '/other', SERVER)
        comes_to('192.0.2.101', 'a folder that comes back')
    finally:
        a.close()
        b.close()
        lab.resolvers('127.0.0.1')


def test_answer_of_the_last_resolver(lab):
    """A query that is under way when the resolver changes is answered; the next one from its port goes to the new."""
    b = DnsServer(lab.host, '127.0.0.53', '192.0.2.102')
    try:
        lab.resolvers(SERVER)
        lab.up()
        with lab.server.udp(SERVER, 53, timeout=20) as old, lab.guest.udp(timeout=20) as s:
            s.connect((DNS, 53))
            for n_answers in (0, 1):  # that it has had from the old one
                for _ in range(n_answers):
                    s.send(query())
                    q, who = old.recvfrom(4096)
                    old.sendto(q[:2] + b'early', who)
                    check(s.recv(100) == q[:2] + b'early', 'no answer')
                s.send(query())
                q, who = old.recvfrom(4096)
                lab.resolvers('127.0.0.53')
                wait_for('the new resolver', lambda: ask(lab.guest, 1) == '192.0.2.102')
                old.sendto(q[:2] + b'late', who)
                check(s.recv(100) == q[:2] + b'late', 'the answer was lost')
                s.send(query())
                check(socket.inet_ntoa(s.recv(4096)[-4:]) == '192.0.2.102', 'the next query went astray')
                lab.resolvers(SERVER)
                wait_for('the old resolver', lambda: ask(lab.guest, 0.2) is None)
                while select.select([old], [], [], 0)[0]:
                    old.recv(4096)
    finally:
        b.close()
        lab.resolvers('127.0.0.1')


def test_resolvers_gone(lab):
    """A client that always asks from one port follows to a new resolver; with none, it is told at once."""
    a = DnsServer(lab.server, SERVER, '192.0.2.101')
    b = DnsServer(lab.host, '127.0.0.53', '192.0.2.102')
    try:
        lab.resolvers(SERVER)
        lab.up()
        with lab.guest.udp('0.0.0.0', 5353, timeout=3) as s:
            s.connect((DNS, 53))

            def answer():
                with contextlib.suppress(OSError):
                    s.send(query())
                    return socket.inet_ntoa(s.recv(4096)[-4:])
            check(answer() == '192.0.2.101', 'no answer')
            lab.resolvers('127.0.0.53')
            wait_for('the new resolver', lambda: answer() == '192.0.2.102')
            lab.resolvers('fe80::53%nowhere0')
            wait_for('no answer', lambda: not answer())
            begin = time.monotonic()
            check(not answer() and time.monotonic() - begin < 2, 'the guest is left to wait')
        e = udp_error(lab.guest, DNS, 53, data=query())
        check(e and e[1:3] == (3, 3), 'without a resolver: %s' % (e,))
        expect_errno(lambda: lab.guest.connect(DNS, 53, 2), errno.ECONNREFUSED)
        lab.resolvers(SERVER)
        wait_for('a resolver again', lambda: ask(lab.guest, 0.5) == '192.0.2.101')
    finally:
        a.close()
        b.close()
        lab.resolvers('127.0.0.1')


run(test_dns, test_dns_next_resolver, test_link_local_resolver, test_errors_of_an_ipv6_resolver, test_resolv_conf_is_a_link,
    test_answer_of_the_last_resolver, test_resolvers_gone)
