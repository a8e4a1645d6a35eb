#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Nat networks (limit: 300): what guests get, what comes through in both directions, what does not, and that the host is as it
was when they are down."""

from natlib import *

NET, GW = '192.168.150', '192.168.150.1'


@contextlib.contextmanager
def network(*args, name='lab'):
    """Up, and down again with the host as it was."""
    before = snapshot()
    good('up', name, *args)
    try:
        yield
    finally:
        r = vmlan('down', '--force', name)
    check(r.returncode == 0, 'down: ' + r.stderr)
    expect_same(before, 'after down')


@contextlib.contextmanager
def guests(lab, n, bridge='lab', dhcp=True):
    made = [Guest(lab, bridge, i, 'vm%d' % i) for i in range(n)]
    try:
        if dhcp:
            for g in made:
                g.dhcp()
        yield made
    finally:
        for g in made:
            g.close()


def test_up_and_down(lab):
    before = snapshot()
    for _ in range(3):
        out = good('up', 'lab')
        check('192.168.150.0/24' in out, out)
        check(status() == {}, 'not in order: %s' % status())
        check('lab' in good('ls'), 'not listed')
        good('down', 'lab')
        expect_same(before, 'after down')
    refused('down', 'lab', says='there is no network lab')
    refused('status', 'lab', says='there is no network lab')
    check(good('ls') == '', 'listed after down')
    plan = good('up', 'lab', '--dry-run')
    check('bridge lab' in plan and 'dnsmasq' in plan, plan)
    expect_same(before, 'after a dry run')


def test_guests(lab):
    """Four of them: addresses, names, masquerading, nothing unasked for from outside."""
    with network(), guests(lab, 4) as vms, contextlib.ExitStack() as stack:
        check(len({g.ip for g in vms}) == 4, 'addresses: %s' % [g.ip for g in vms])
        for g in vms:
            check(g.ip.startswith(NET + '.') and (g.router, g.dns, g.mtu, g.domain, g.mask) == (
                GW, GW, '1500', 'lab.internal', '24'), g.log)
            check(ping(g.net, GW) == 0, 'no answer from the host')
        check(vms[0].resolve('vm1.lab.internal') == vms[1].ip, 'no name of a neighbour')
        check(vms[2].resolve('vm3.lab.internal') == vms[3].ip, 'no name of a neighbour')
        Echo(lab.server, 7777)
        Echo(vms[1].net, 7778)
        check(ping(vms[0].net, SERVER) == 0, 'no ping out')
        for ask in (ask_tcp, ask_udp):
            seen = ask(vms[0].net, SERVER, 7777, bind=('0.0.0.0', 500))
            check(seen and seen[0] == HOST_OUT and seen[1] >= 1024, '%s: seen as %s' % (ask.__name__, seen))
            seen = ask(vms[0].net, vms[1].ip, 7778)
            check(seen and seen[0] == vms[0].ip, 'a neighbour sees %s' % (seen,))
        lab.router.ip('route', 'add', NET + '.0/24', 'via', HOST_OUT)
        stack.callback(lab.router.ip, 'route', 'del', NET + '.0/24')
        Echo(vms[0].net, 7779)
        check(ask_tcp(lab.server, vms[0].ip, 7779, timeout=1) is None, 'reached from outside')
        check(ask_udp(lab.server, GW, 53, timeout=0.5) is None, 'DNS answers to outside')
        refused('down', 'lab', says=('4 guests are attached', 'down --force'))


def test_mtu(lab):
    """It is kept, whatever comes and goes."""
    with network('--mtu', '1300'):
        for _ in range(2):
            with guests(lab, 1) as (vm,):
                check(vm.mtu == '1300', vm.log)
                check('mtu 1300' in must('ip', 'link', 'show', 'lab'), 'the MTU is lost with a guest')
            check('mtu 1300' in must('ip', 'link', 'show', 'lab'), 'the MTU is lost without guests')


def test_spoofing(lab):
    """A guest with another's address gets nowhere; nor to the host's loopback."""
    with network(), guests(lab, 1) as (vm,):
        Echo(lab.server, 7777)
        Echo(lab.host, 7778, '127.0.0.1')
        vm.net.ip('addr', 'add', '203.0.113.9/32', 'dev', 'eth0')
        seen = ask_udp(vm.net, SERVER, 7777, bind=('203.0.113.9', 0), timeout=0.5)
        check(seen is None, 'went out as %s' % (seen,))
        vm.net.sysctl('net.ipv4.conf.all.route_localnet', 1)
        vm.net.ip('link', 'set', 'lo', 'down')
        vm.net.ip('route', 'add', '127.0.0.0/8', 'via', GW, 'dev', 'eth0')
        check(ask_udp(vm.net, '127.0.0.1', 7778, bind=(vm.ip, 0), timeout=0.5) is None, 'reached the loopback')


def test_checksums(lab):
    """Of DHCP replies: none, or a right one, never the half-made sum that offload leaves."""
    with network():
        vm = Guest(lab)
        raw = vm.net.raw('eth0')
        vm.dhcp()
        n = 0
        raw.settimeout(0.2)
        with contextlib.suppress(socket.timeout):
            while True:
                frame = raw.recv(2048)
                ip = frame[14:]
                if frame[12:14] != b'\x08\x00' or ip[9] != 17 or ip[20:22] != struct.pack('!H', 67):
                    continue
                n += 1
                got = struct.unpack('!H', ip[26:28])[0]
                check(got == 0, 'the UDP checksum of a reply is %#x' % got)
        check(n >= 2, '%d replies seen' % n)
        raw.close()
        vm.close()


def test_ipv6(lab):
    with network(), guests(lab, 2) as vms:
        Echo(lab.server, 7777, '::', socket.AF_INET6)
        for vm in vms:
            wait_for('a default route', lambda vm=vm: 'default' in vm.net.ip('-6', 'route'))
            wait_for('an address', lambda vm=vm: re.search(r'inet6 fd\S+ scope global dynamic(?! tentative)',
                                                           vm.net.ip('-6', 'addr', 'show', 'dev', 'eth0')))
        for ask in (ask_tcp, ask_udp):
            seen = wait_for('an answer', lambda ask=ask: ask(vms[0].net, SERVER6, 7777, family=socket.AF_INET6))
            check(seen[0] == HOST_OUT6, 'seen as %s' % (seen,))


def test_routed_ipv6(lab):
    """A global prefix is not masqueraded; and nothing comes in unasked there either."""
    net6 = '2001:db8:77::'
    lab.router.ip('-6', 'route', 'add', net6 + '/64', 'via', HOST_OUT6)
    try:
        with network('--ipv6-net', net6 + '/64'), guests(lab, 1) as (vm,):
            addr = ask_dhcp6(vm)
            check(addr.startswith(net6), 'DHCPv6 gives ' + addr)
            vm.net.ip('addr', 'add', addr + '/64', 'dev', 'eth0', 'nodad')
            wait_for('a default route', lambda: 'default' in vm.net.ip('-6', 'route'))
            Echo(lab.server, 7777, '::', socket.AF_INET6)
            Echo(vm.net, 7778, '::', socket.AF_INET6)
            for ask in (ask_tcp, ask_udp):
                seen = ask(vm.net, SERVER6, 7777, bind=(addr, 0), family=socket.AF_INET6)
                check(seen and seen[0] == addr, 'seen as %s' % (seen,))
            check(ask_tcp(lab.server, addr, 7778, timeout=1, family=socket.AF_INET6) is None, 'reached from outside')
            leases = json.loads(good('leases', 'lab', '--json'))
            check(addr in [x['addr'] for x in leases], 'not listed: %s' % leases)
    finally:
        lab.router.ip('-6', 'route', 'del', net6 + '/64')


def ask_dhcp6(vm):
    """An address by DHCPv6: a Solicit with rapid commit, and the Reply to it."""
    wait_for('a link-local address', lambda: re.search(r'inet6 fe80\S+ scope link\s*\n', vm.net.ip('-6', 'addr')))
    duid = b'\x00\x03\x00\x01' + bytes.fromhex(vm.mac.replace(':', ''))
    options = (struct.pack('!HH', 1, len(duid)) + duid + struct.pack('!HH', 14, 0) + struct.pack('!HHH', 8, 2, 0) +
               struct.pack('!HHIII', 3, 12, 1, 0, 0))
    with vm.net.inside():
        index = socket.if_nametoindex('eth0')
    with vm.net.udp('::', 546, socket.AF_INET6, timeout=1) as s:
        for _ in range(10):
            s.sendto(b'\x01abc' + options, ('ff02::1:2', 547, 0, index))
            with contextlib.suppress(socket.timeout):
                said = s.recv(2048)
                at = said.find(struct.pack('!HH', 5, 24))  # an address, in the IA that was asked for
                check(said[:4] == b'\x07abc' and at > 0, 'not what was asked for: %s' % said.hex())
                return socket.inet_ntop(socket.AF_INET6, said[at + 4:at + 20])
    raise Failure('no answer by DHCPv6')


def test_options(lab):
    """What guests are told, and what the bridge is."""
    def link():
        return json.loads(must('ip', '-j', '-d', 'link', 'show', 'br7'))[0]

    def bridge():
        data = link()['linkinfo']['info_data']
        return data['stp_state'], data['forward_delay']

    with network('--bridge', 'br7', '--net', '10.77.0.0/16', '--host', '10.77.9.9', '--dhcpstart', '10.77.8.8',
                 '--dhcpend', '10.77.8.8', '--dns', '9.9.9.9', '--domainname', 'x.example', '--mtu', '1400'):
        with guests(lab, 1, 'br7') as (vm,):
            check((vm.ip, vm.mask, vm.router, vm.dns, vm.domain, vm.mtu) == (
                '10.77.8.8', '16', '10.77.9.9', '9.9.9.9', 'x.example', '1400'), vm.log)
            check(link()['mtu'] == 1400 and bridge() == (0, 0), str(link()))
            check(ping(vm.net, SERVER) == 0, 'no way out')
        mac = link()['address']
    with network('--bridge', 'br7', '--stp'):
        check(link()['address'] == mac, 'another MAC: ' + mac)
        check(bridge()[0] == 1, str(bridge()))


def test_other_dnsmasq(lab):
    """One that serves another interface of the host; if it has port 67 of all of them, that is said."""
    lab.host.ip('link', 'add', 'other0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', str(lab.router.pid))
    lab.host.ip('addr', 'add', '10.66.0.1/24', 'dev', 'other0')
    lab.host.ip('link', 'set', 'other0', 'up')
    lab.router.ip('link', 'set', 'eth0', 'up')
    command = ['dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--pid-file', '--interface=other0',
               '--dhcp-range=10.66.0.2,10.66.0.9', '--dhcp-leasefile=/run/other', '--no-resolv',
               '--address=/there.example/10.66.0.7', '--user=root', '--no-ping']

    def listens():
        with contextlib.suppress(OSError), lab.host.connect('10.66.0.1', 53):
            return True
        return False

    other = subprocess.Popen([*command, '--bind-dynamic'], stderr=subprocess.DEVNULL)
    try:
        asked = ('busybox', 'nslookup', '-type=a', 'there.example', '10.66.0.1')
        wait_for('the other', listens)
        wait_for('addresses', lambda: 'tentative' not in must('ip', '-6', 'addr'))
        with network(), guests(lab, 2) as (a, b):
            check(a.ip.startswith(NET) and a.resolve('vm1.lab.internal') == b.ip, a.log)
            check('10.66.0.7' in lab.host.must(*asked), "the other's DNS")
            script = os.path.join(TMP, 'udhcpc')
            code, out = lab.router.sh('busybox', 'udhcpc', '-f', '-q', '-n', '-i', 'eth0', '-s', script, '-t', '10', '-T', '1')
            check(code == 0 and 'bound ip=10.66.0.' in out, "the other's DHCP: " + out)
        other.kill()
        other.wait()
        other = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for('the other', listens)
        before = snapshot()
        refused('up', 'lab', says=('port 67', 'bind-dynamic'))
        expect_same(before, 'after a refusal')
    finally:
        other.kill()
        other.wait()
        lab.host.ip('link', 'del', 'other0')


def test_no_ipv6(lab):
    with network('--no-ipv6'), guests(lab, 1) as (vm,):
        check('inet6' not in must('ip', 'addr', 'show', 'dev', 'lab'), 'the bridge has an IPv6 address')
        check(ping(vm.net, SERVER) == 0, 'no ping')


def test_isolated(lab):
    with network('--isolated'), guests(lab, 2) as (a, b):
        Echo(b.net, 7777)
        check(ping(a.net, GW) == 0 and ping(a.net, SERVER) == 0, 'no way out')
        check(ask_tcp(a.net, b.ip, 7777, timeout=1) is None, 'reached the neighbour')
        a.net.ip('route', 'add', b.ip + '/32', 'via', GW)
        check(ask_tcp(a.net, b.ip, 7777, timeout=1) is None, 'reached the neighbour by way of the host')


def test_restrict(lab):
    with network('--restrict', '--hostfwd', 'tcp::5022-%s.2:22' % NET, '--reserve', '52:54:00:00:03:00=%s.2' % NET):
        with guests(lab, 1) as (vm,):
            Echo(lab.host, 7778)
            Echo(vm.net, 22)
            Echo(lab.server, 7777)
            check(vm.ip == NET + '.2', vm.log)
            check(ask_tcp(vm.net, SERVER, 7777, timeout=1) is None, 'got out')
            check(ask_tcp(vm.net, GW, 7778, timeout=1) is None, 'reached a server of the host')
            check(vm.resolve('vm0.lab.internal') == vm.ip, 'no DNS')
            seen = ask_tcp(lab.server, HOST_OUT, 5022)
            check(seen and seen[0] == SERVER, 'the forward shows %s' % (seen,))


def name_of(lab, net):
    return 'outside' if net is lab.server else 'the host' if net is lab.host else 'guest %d' % lab.nets.index(net)


def test_forwards(lab):
    """From outside, from the host by each of its addresses, from guests; ranges, moved and not."""
    rules = ('tcp::5022-%s.2:22', 'udp::5053-%s.2:53', 'tcp:%s:8000-8003-%%s.2:9000' % HOST_OUT,
             'tcp::7000-7002-%s.2:7000', 'tcp:127.0.0.1:6000-%s.2:22')
    args = [x for rule in rules for x in ('--hostfwd', rule % NET)]
    # Where bridged frames go through the host's IP rules, a guest cannot come back to itself.
    lab.host.sysctl('net.bridge.bridge-nf-call-iptables', 0)
    with network(*args, '--reserve', '52:54:00:00:03:00=%s.2,target' % NET), guests(lab, 2) as (vm, other):
        for port in (22, 53, 9000, 9003, 7002):
            Echo(vm.net, port)
        check(vm.ip == NET + '.2' and vm.resolve('target.lab.internal') == vm.ip, vm.log)
        for who, addr in ((lab.server, HOST_OUT), (lab.host, HOST_OUT), (lab.host, '127.0.0.1'), (lab.host, GW),
                          (other.net, HOST_OUT), (other.net, GW), (vm.net, HOST_OUT)):
            check(ask_tcp(who, addr, 5022), 'tcp from %s by %s' % (name_of(lab, who), addr))
        for who, addr in ((lab.server, HOST_OUT), (lab.host, HOST_OUT), (other.net, HOST_OUT)):
            check(ask_udp(who, addr, 5053), 'udp from %s by %s' % (name_of(lab, who), addr))
        check(ask_tcp(lab.server, HOST_OUT, 5022)[0] == SERVER, 'the source is not kept')
        check(ask_tcp(lab.server, HOST_OUT, 8000) and ask_tcp(lab.server, HOST_OUT, 8003), 'a range that moves')
        check(ask_tcp(lab.host, '127.0.0.1', 8000, timeout=1) is None, 'a forward of one address on another')
        check(ask_tcp(lab.server, HOST_OUT, 7002), 'a range')
        check(ask_tcp(lab.host, '127.0.0.1', 6000), 'on the loopback')
        check(ask_tcp(lab.server, HOST_OUT, 6000, timeout=1) is None, 'the loopback, from outside')


def test_forward6(lab):
    net6 = 'fd00:1:2:3::'
    rules = ('tcp:[%s]:5022-[%%s9]:22' % HOST_OUT6, 'udp::5053-[%s9]:53', 'tcp::8000-8002-[%s9]:9000',
             'tcp::7000-7002-[%s9]:7000')
    args = [x for rule in rules for x in ('--hostfwd', rule % net6)]
    lab.host.sysctl('net.bridge.bridge-nf-call-ip6tables', 0)
    with network('--ipv6-net', net6 + '/64', *args), guests(lab, 2) as (vm, other):
        for g, n in ((vm, 9), (other, 8)):
            g.net.ip('addr', 'add', '%s%d/64' % (net6, n), 'dev', 'eth0', 'nodad')
            g.net.sh('ip', '-6', 'route', 'add', 'default', 'via', 'fe80::1', 'dev', 'eth0')
        for port in (22, 53, 7001, 9002):
            Echo(vm.net, port, '::', socket.AF_INET6)
        for who in (lab.server, lab.host, other.net, vm.net):
            for ask, port in ((ask_tcp, 5022), (ask_udp, 5053), (ask_tcp, 8002), (ask_tcp, 7001)):
                check(ask(who, HOST_OUT6, port, family=socket.AF_INET6), '%d from %s' % (port, name_of(lab, who)))


def test_clashes(lab):
    before = snapshot()
    refused('up', 'lab', '--net', '192.0.2.128/25', says=('--net overlaps', 'up0'))
    refused('up', 'lab', '--net', '192.0.0.0/16', says='--net overlaps')
    refused('up', 'lab', '--bridge', 'up0', says='there is an interface up0')
    lab.host.ip('route', 'add', '10.99.0.0/16', 'via', ROUTER, 'table', '77')
    refused('up', 'lab', '--net', '10.99.3.0/24', says='overlaps the route 10.99.0.0/16')
    lab.host.ip('route', 'del', '10.99.0.0/16', 'table', '77')
    listener = lab.host.listen(port=5022)
    refused('up', 'lab', '--hostfwd', 'tcp::5022-:22', says='port 5022')
    listener.close()
    refused('up', 'lab', '--net', '10.9.0.0/24', '--host', '10.8.0.1', status=2, says='--host must be')
    refused('up', 'lab', '--mtu', '9', status=2, says='--mtu')
    refused('up', 'a/b', status=2)
    must('nft', 'add', 'table', 'inet', 'vmlan_lab')
    refused('up', 'lab', says='not ours')
    must('nft', 'delete', 'table', 'inet', 'vmlan_lab')
    expect_same(before, 'after refusals')
    lab.host.ip('addr', 'add', '192.168.150.7/23', 'dev', 'up0')
    check('192.168.152.0/24' in good('up', 'lab'), 'another network is chosen')
    check('192.168.153.0/24' in good('up', 'two'), 'and yet another')
    refused('up', 'three', '--net', '192.168.152.0/29', says='overlaps')
    good('up', 'lab', '--net', '192.168.152.0/24')
    refused('up', 'lab', '--net', '192.168.9.0/24', says=('--net differs', 'vmlan down lab'))
    good('down', 'lab')
    good('down', 'two')
    lab.host.ip('addr', 'del', '192.168.150.7/23', 'dev', 'up0')
    expect_same(before, 'after all')


def test_other_resolver(lab):
    """One that has port 53 of every address: ours has another, and guests do not notice."""
    udp, tcp = lab.host.udp('0.0.0.0', 53), lab.host.listen('0.0.0.0', 53)
    with network(), guests(lab, 2) as (a, b):
        check(a.resolve('vm1.lab.internal') == b.ip, 'no DNS')
        check(sh('busybox', 'nslookup', '-type=a', 'vm1.lab.internal', GW)[0] == 0, 'no DNS for the host')
        with lab.server.udp() as s:
            s.sendto(b'for the other', (HOST_OUT, 53))
        check(udp.recv(100) == b'for the other', 'what comes by another interface is redirected')
    udp.close()
    tcp.close()


def test_mending(lab):
    """Whatever is broken, status says so and up mends it; rules by themselves."""
    with network(), guests(lab, 1) as (vm,):
        table = must('nft', 'list', 'table', 'inet', 'vmlan_lab')
        for breakage in (('flush', 'ruleset'), ('flush', 'chain', 'inet', 'vmlan_lab', 'postrouting'),
                         ('delete', 'table', 'inet', 'vmlan_lab')):
            must('nft', *breakage)
            try:
                wait_for('the rules to be back', lambda: sh('nft', 'list', 'table', 'inet', 'vmlan_lab')[1] == table)
            except Failure as e:
                raise Failure('%s, after %s; the log: %s' % (e, breakage, open('/run/vmlan/lab/log').read())) from e
        check(ping(vm.net, SERVER) == 0, 'no ping')
        check(status() == {}, 'not in order: %s' % status())
        for breakage in (('ip', 'link', 'set', 'lab', 'down'), ('ip', 'addr', 'del', GW + '/24', 'dev', 'lab'),
                         ('sh', '-c', 'echo 0 >/proc/sys/net/ipv4/conf/up0/forwarding'),
                         ('sh', '-c', 'echo 0 >/proc/sys/net/ipv4/conf/lab/forwarding'),
                         ('sh', '-c', 'echo >/run/vmlan/lab/dnsmasq.conf'),
                         ('sh', '-c', 'kill -9 $(pidof -x vmlan || pgrep -f "vmlan supervise")')):
            must(*breakage)
            wait_for('the fault to be seen', status)
            good('up', 'lab')
            check(status() == {}, 'after %s: %s' % (' '.join(breakage), status()))
        try:
            wait_for('one dnsmasq', lambda: len(processes()) == 2)
        except Failure as e:
            raise Failure('%s: %s' % (e, processes())) from e
        wait_for('a ping', lambda: ping(vm.net, SERVER) == 0)
        vm.dhcp()


def test_deleted_bridge(lab):
    with network():
        lab.host.ip('link', 'del', 'lab')
        check('missing' in status().values(), str(status()))
        good('up', 'lab')
        check(status() == {}, str(status()))
        with guests(lab, 1) as (vm,):
            check(ping(vm.net, SERVER) == 0, 'no ping')
        lab.host.ip('link', 'del', 'lab')
        lab.host.ip('link', 'add', 'lab', 'type', 'bridge')
        refused('up', 'lab', says='not ours')
        good('down', 'lab')
        check(lab.host.has('lab'), "down took another's bridge away")
        lab.host.ip('link', 'del', 'lab')
        good('up', 'lab')


def dnsmasq_pid():
    """0 while there is none, or it is not itself yet."""
    for path in glob.glob('/proc/[0-9]*/cmdline'):
        with contextlib.suppress(OSError), open(path, 'rb') as f:
            if f.read().startswith(b'dnsmasq'):
                return int(path.split('/')[2])
    return 0


def listen_or_not(net, addr, port):
    with contextlib.suppress(OSError):
        return net.listen(addr, port)
    return None


def test_port_let_go(lab):
    """Of a supervisor that was killed, dnsmasq may still have the port; the next one waits for it."""
    with network():
        must('sh', '-c', 'kill -9 $(pidof -x vmlan || pgrep -f "vmlan supervise")')
        held = wait_for('the port', lambda: listen_or_not(lab.host, GW, 53))
        up = Background(lambda: vmlan('up', 'lab'))
        wait_for('a refusal', lambda: 'in use' in open('/run/vmlan/lab/log').read())
        held.close()
        r = up.result()
        check(r.returncode == 0 and status() == {}, 'not mended: %s' % r.stderr)


def test_dnsmasq_returns(lab):
    with network():
        for _ in range(2):
            pid = wait_for('dnsmasq', dnsmasq_pid)
            with open('/proc/%d/status' % pid) as f:
                said = f.read()
            check('Uid:\t0' not in said and 'NoNewPrivs:\t1' in said, said)
            os.kill(pid, signal.SIGKILL)
            wait_for('another dnsmasq', lambda pid=pid: len(processes()) == 2 and not os.path.exists('/proc/%d' % pid))
        with guests(lab, 1) as (vm,):
            check(vm.ip, 'no lease')


def test_changes_at_run_time(lab):
    with network(), guests(lab, 2) as (a, b):
        first = a.ip
        Echo(a.net, 22)
        good('hostfwd', 'add', 'lab', 'tcp::5022-%s:22' % a.ip)
        check(ask_tcp(lab.server, HOST_OUT, 5022), 'an added forward')
        check(good('hostfwd', 'list', 'lab') == 'tcp::5022-%s:22\n' % a.ip, 'not listed')
        refused('hostfwd', 'add', 'lab', 'tcp::5022-%s:23' % a.ip, status=2, says='another forward')
        good('hostfwd', 'remove', 'lab', 'tcp::5022-%s:22' % a.ip)
        check(ask_tcp(lab.server, HOST_OUT, 5022, timeout=1) is None, 'a removed forward')
        leases = json.loads(good('leases', 'lab', '--json'))
        check({(x['id'], x['addr'], x.get('name')) for x in leases} >= {(g.mac, g.ip, g.name) for g in (a, b)}, str(leases))
        good('reserve', 'add', 'lab', '%s=%s.77,fixed' % (b.mac, NET))
        check(b.dhcp().ip == NET + '.77', b.log)
        check(a.resolve('fixed.lab.internal') == b.ip, 'the name of a reservation')
        check(a.dhcp().ip == first, 'the lease of another was dropped')
        good('reserve', 'remove', 'lab', b.mac)
        check(good('reserve', 'list', 'lab') == '', 'still listed')
        check(status() == {}, str(status()))


def test_pxe(lab):
    """A boot file is named in the lease, and served to guests alone."""
    os.makedirs('/run/tftp', exist_ok=True)
    data = random.randbytes(100000)
    with open('/run/tftp/pxe.0', 'wb') as f:
        f.write(data)
    before = snapshot()
    refused('up', 'lab', '--tftp', '/nowhere', says='/nowhere')
    refused('up', 'lab', '--tftp', 'here', status=2, says='absolute')
    refused('up', 'lab', '--bootfile', 'a,b', status=2, says='commas')
    expect_same(before, 'after refusals')
    with network('--tftp', '/run/tftp', '--bootfile', 'pxe.0', '--restrict'), guests(lab, 1) as (vm,):
        check('boot=pxe.0 from=%s' % GW in vm.log, vm.log)
        vm.net.must('busybox', 'tftp', '-g', '-r', 'pxe.0', '-l', '/run/got', GW)
        with open('/run/got', 'rb') as f:
            check(f.read() == data, 'the file differs')
        lab.router.ip('route', 'add', NET + '.0/24', 'via', HOST_OUT)
        code, _ = lab.server.sh('timeout', '2', 'busybox', 'tftp', '-g', '-r', 'pxe.0', '-l', '/run/got2', GW)
        lab.router.ip('route', 'del', NET + '.0/24')
        check(code != 0, 'served to outside')


def test_leases_last(lab):
    with network(), guests(lab, 1) as (vm,):
        first = vm.ip
    with network('--dhcpstart', '192.168.150.2'), guests(lab, 1) as (vm,):
        check(vm.ip == first, '%s instead of %s' % (vm.ip, first))


def test_forwarding_is_restored(lab):
    """Whatever it was on which interface; and what somebody else turned on stays."""
    lab.host.sysctl('net.ipv4.conf.up0.forwarding', 1)
    lab.host.sysctl('net.ipv6.conf.up0.accept_ra', 1)
    with network():
        with open('/proc/sys/net/ipv4/ip_forward') as f:
            check(f.read() == '0\n', 'ip_forward was touched')
        good('up', 'two')
        good('down', 'two')
        lab.host.ip('link', 'add', 'late0', 'type', 'veth', 'peer', 'name', 'late1')
        check(status() == {}, str(status()))
        lab.host.ip('link', 'del', 'late0')
    lab.host.sysctl('net.ipv4.conf.up0.forwarding', 0)
    good('up', 'lab')
    lab.host.sysctl('net.ipv4.ip_forward', 1)
    good('down', 'lab')
    with open('/proc/sys/net/ipv4/conf/up0/forwarding') as f:
        check(f.read() == '1\n', "another's forwarding was undone")
    lab.host.sysctl('net.ipv4.ip_forward', 0)


def test_two_at_once(lab):
    before = snapshot()
    for verbs in (('up', 'up'), ('up', 'down'), ('up', 'up', 'down', 'up')):
        runs = [subprocess.Popen([VMLAN, verb, 'lab'], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                for verb in verbs]
        for verb, p in zip(verbs, runs):
            said = p.communicate(timeout=60)[1]
            check(p.returncode == 0 or verb == 'down', '%s: %s' % (verb, said))
        good('up', 'lab')
        check(status() == {}, str(status()))
        check(len(processes()) == 2, str(processes()))
        good('down', 'lab')
        expect_same(before, 'after ' + ' '.join(verbs))


def test_full(lab):
    """250 guests that ask at once all get an address, and names and addresses stay their own."""
    with contextlib.suppress(OSError):
        os.unlink('/var/lib/vmlan/lab/leases')
    with network(), contextlib.closing(Guest(lab)) as port, contextlib.closing(Crowd(port, 250)) as crowd:
        begin = time.monotonic()
        leased = crowd.lease_all()
        check(len(set(leased.values())) == 250, '%d leases' % len(set(leased.values())))
        print('250 leases in %.0f ms' % ((time.monotonic() - begin) * 1000))
        listed = {x['id']: x['addr'] for x in json.loads(good('leases', 'lab', '--json'))}
        check({mac.hex(':'): addr for mac, addr in leased.items()} == listed, '%d are listed' % len(listed))


def test_many(lab):
    before = snapshot()
    names = ['net%d' % i for i in range(20)]
    begin = time.monotonic()
    runs = [subprocess.Popen([VMLAN, 'up', n], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            for n in names]
    for p in runs:
        said = p.communicate(timeout=60)[1]
        check(p.returncode == 0, said)
    up = time.monotonic() - begin
    listed = json.loads(good('ls', '--json'))
    check(len({n['net'] for n in listed}) == 20, str(listed))
    check(vmlan('status').returncode == 0, 'not in order')
    begin = time.monotonic()
    for p in [subprocess.Popen([VMLAN, 'down', n]) for n in names]:
        check(p.wait(60) == 0, 'down failed')
    print('20 networks at once: up in %.0f ms, down in %.0f ms' % (up * 1000, (time.monotonic() - begin) * 1000))
    expect_same(before, 'after 20 networks')


if __name__ == '__main__':
    run_nat([v for k, v in list(globals().items()) if k.startswith('test_')])
