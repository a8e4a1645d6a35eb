#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The life of nat networks (limit: 300): networks with a file and a unit, what is told of them, changes of the host
around them."""

from natlib import *

NET, GW = '192.168.150', '192.168.150.1'
ETC = '/etc/vmlan'


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as f:
        f.write(text)


@contextlib.contextmanager
def net_file(text, name='lab'):
    path = '%s/%s.net' % (ETC, name)
    write(path, '[Network]\n' + text)
    try:
        yield path
    finally:
        os.unlink(path)
        os.rmdir(ETC)


def test_file(lab):
    """A network of its file alone; what the line adds to it; errors that name the place."""
    before = snapshot()
    with net_file('net=10.7.0.0/24\nhostfwd=tcp::5022-10.7.0.2:22\nmtu=1400\n') as path:
        check(re.search(r'lab +nat +- +- +down', good('ls')), good('ls'))
        check('10.7.0.0/24' in good('up', 'lab', '--dry-run'), 'a dry run reads no file')
        good('up', 'lab')
        check(status() == {}, str(status()))
        check([(n['name'], n['net'], n['phase']) for n in json.loads(good('ls', '--json'))] == [
            ('lab', '10.7.0.0/24', 'up')], good('ls', '--json'))
        check('mtu 1400' in must('ip', 'link', 'show', 'lab'), 'the MTU')
        good('up', 'lab')
        refused('up', 'lab', '--mtu', '1300', says='--mtu differs')
        again = good('show', 'lab', '--file')
        for line in ('[Network]', 'net=10.7.0.0/24', 'hostfwd=tcp::5022-10.7.0.2:22', 'mtu=1400'):
            check(line in again.split('\n'), again)
        good('down', 'lab')
        good('up', 'lab', '--mtu', '1300', '--hostfwd', 'udp::53530-:53')
        check('mtu 1300' in must('ip', 'link', 'show', 'lab'), 'the line does not prevail')
        check(good('hostfwd', 'list', 'lab').split() == ['tcp::5022-10.7.0.2:22', 'udp::53530-10.7.0.2:53'],
              good('hostfwd', 'list', 'lab'))
        good('down', 'lab')
        refused('up', 'lab', '--hostfwd', 'tcp::5022-:22', status=2, says="network's file has too")
        write(path, again)
        good('up', 'lab')
        check(good('show', 'lab', '--file') == again, 'what is shown is not what makes it')
        good('down', 'lab')
        for text, line, words in (('[Network]\nnet=10.7.0.0/24\nmtuu=9\n', 3, ("no key 'mtuu'", 'reserve', '  mtuu=9\n  ^~~~')),
                                  ('[Network]\n\n  net = 10.7.0/99\n', 3, ('net:', '  net = 10.7.0/99\n')),
                                  ('[Net]\n', 1, ('[Network]', '  [Net]\n  ^~~~~')),
                                  ('mtu=9\n', 1, ('[Network]',))):
            write(path, text)
            refused('up', 'lab', status=2, says=('%s:%d: ' % (path, line), *words))
        os.chmod(path, 0)
        os.unlink(path)
        os.mkdir(path)
        refused('up', 'lab', says='cannot read ' + path)
        os.rmdir(path)
        write(path, '')
    expect_same(before, 'after all')


def test_show(lab):
    with net_file('hostfwd=tcp::5022-%s.2:22\n' % NET):
        good('up', 'lab')
        vm = Guest(lab, name='vm0').dhcp()
        told = json.loads(good('show', 'lab', '--json'))
        check(told['phase'] == 'up' and told['ports'] == [vm.port], str(told))
        check({(x['id'], x['addr']) for x in told['leases']} == {(vm.mac, vm.ip)}, str(told['leases']))
        check('dport 5022 dnat ip to %s.2:22' % NET in told['rules'], told['rules'])
        check({'bridge', 'table', 'supervisor'} <= {s['kind'] for s in told['steps']}, str(told['steps']))
        check(all(s['state'] == 'ok' for s in told['steps']), str(told['steps']))
        check({'key': 'net', 'value': NET + '.0/24'} in told['options'], str(told['options']))
        text = good('show', 'lab')
        for word in ('net=%s.0/24' % NET, 'ok       bridge lab', 'dport 5022 dnat', vm.port, vm.mac, vm.ip):
            check(word in text, text)
        must('nft', 'delete', 'table', 'inet', 'vmlan_lab')
        vm.close()
        good('down', 'lab')
    refused('show', 'lab', says='there is no network lab')


def test_unit(lab):
    """What the unit's lines do when systemd runs them: ready means served, and the main process is the supervisor."""
    unit = os.path.join(os.path.dirname(VMLAN), 'src/cli/vmlan@.service')
    with open(unit) as f:
        lines = dict(re.findall(r'^(\w+)=(.*)$', f.read(), re.M))
    check(lines['Type'] == 'notify', str(lines))
    start, stop = ([VMLAN, *lines[key].replace('%i', 'lab').split()[1:]] for key in ('ExecStart', 'ExecStop'))
    before = snapshot()
    for address in (os.path.join(TMP, 'notify'), '\0vmlan-test'):
        with net_file('dhcpstart=%s.9\n' % NET), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(address)
            s.settimeout(CHECK_SECONDS)
            must(*start, env={**os.environ, 'NOTIFY_SOCKET': address.replace('\0', '@')})
            told = dict(line.split('=', 1) for line in s.recv(4096).decode().split())
            check(told['READY'] == '1', str(told))
            with open('/proc/%s/cmdline' % told['MAINPID']) as f:
                check(f.read().split('\0')[1:3] == ['supervise', 'lab'], str(told))
            vm = Guest(lab)
            check(vm.dhcp().ip.startswith(NET), vm.log)
            code, said = sh(*stop)
            check(code == 1 and vm.port in said, 'stopped under a guest: ' + said)
            os.kill(int(told['MAINPID']), signal.SIGKILL)
            wait_for('the end of the supervisor', lambda: 'supervisor' in str(status()))
            must(*start, env={**os.environ, 'NOTIFY_SOCKET': address.replace('\0', '@')})
            again = dict(line.split('=', 1) for line in s.recv(4096).decode().split())
            check(again['MAINPID'] != told['MAINPID'] and status() == {}, str(again))
            vm.close()
            must(*stop)
    expect_same(before, 'after the unit')
    code, said = vmlan('up', 'lab', env={**os.environ, 'NOTIFY_SOCKET': '/nowhere'}).returncode, good('ls')
    check(code == 0 and 'up' in said, 'a manager that is gone keeps a network down')


def doctor(*args, code=0):
    """{check: its worst finding}."""
    order = ('ok', 'unknown', 'warning', 'problem')
    r = vmlan('doctor', '--json', *args)
    check(r.returncode == code and r.stderr == '', 'doctor: %d %s' % (r.returncode, r.stderr))
    found = {}
    for f in sorted(json.loads(r.stdout), key=lambda f: order.index(f['state'])):
        found[f['check']] = f
    return found


def test_doctor(lab):
    """Each fault that can be made here is found, and what is advised mends it; nothing is changed by looking."""
    lab.host.sysctl('net.bridge.bridge-nf-call-iptables', 0)
    before = snapshot()
    said = doctor()
    check(not [f for f in said.values() if f['state'] == 'problem'], str(said))
    for fault, name, state in (
            (('sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=1'), 'rp-filter', 'warning'),
            (('sysctl', '-qw', 'net.ipv4.ping_group_range=1 0'), 'ping', 'warning'),
            (('sysctl', '-qw', 'net.bridge.bridge-nf-call-iptables=1'), 'br-netfilter', 'warning')):
        must(*fault)
        f = doctor()[name]
        check(f['state'] == state and f['wanted'], str(f))
        must('sh', '-c', f['mend'])
        check(doctor()[name]['state'] == 'ok', '%s does not mend %s' % (f['mend'], name))
    lab.host.sysctl('net.ipv4.conf.all.rp_filter', 0)
    with lab.host.udp('0.0.0.0', 53):
        check('redirected' in doctor()['port-53']['found'], str(doctor()['port-53']))
    code, said = sh('setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', VMLAN, 'doctor')
    check(code == 0 and 'only root' in said and re.search('[1-9] could not be looked at', said), said)
    expect_same(before, 'after doctor')

    f = doctor('lab', code=1)['network']
    check(f['mend'] == 'vmlan up lab', str(f))
    good('up', 'lab')
    check(doctor('lab')['supervisor']['state'] == 'ok', 'a network in order')
    must('nft', 'add table inet mine; add chain inet mine f { type filter hook forward priority 0; policy drop; }')
    vm = Guest(lab).dhcp()
    check(ping(vm.net, SERVER, timeout=0.5) != 0, 'the drop does not')
    f = doctor('lab', code=1)['firewall']
    must('sh', '-c', f['mend'])
    check(ping(vm.net, SERVER) == 0, 'still cut off after: ' + f['mend'])
    must('nft', 'delete', 'table', 'inet', 'mine')
    lab.host.ip('addr', 'del', GW + '/24', 'dev', 'lab')
    f = doctor('lab', code=1)['address']
    check(f['state'] == 'problem' and GW in f['wanted'], str(f))
    must('sh', '-c', f['mend'].replace('vmlan', VMLAN))
    check(doctor('lab')['address']['state'] == 'ok', 'the address is not mended')
    vm.close()


def test_removed_forward(lab):
    """A connection through a forward ends with it, TCP and UDP, IPv6 too; those of other forwards go on."""
    net6 = 'fd00:1:2:3::'
    good('up', 'lab', '--ipv6-net', net6 + '/64', '--hostfwd', 'tcp::5022-%s.2:22' % NET,
         '--hostfwd', 'tcp::6000-6003-%s.2:7000' % NET, '--hostfwd', 'udp::5053-%s.2:53' % NET,
         '--hostfwd', 'tcp:[%s]:5022-[%s9]:22' % (HOST_OUT6, net6), '--reserve', '52:54:00:00:03:00=%s.2' % NET)
    vm = Guest(lab).dhcp()
    vm.net.ip('addr', 'add', net6 + '9/64', 'dev', 'eth0', 'nodad')
    vm.net.sh('ip', '-6', 'route', 'add', 'default', 'via', 'fe80::1', 'dev', 'eth0')
    six = socket.AF_INET6

    def open_one(port, to, addr=HOST_OUT, family=socket.AF_INET):
        listener = vm.net.listen('::' if family == six else '0.0.0.0', to, family)
        c = lab.server.connect(addr, port, timeout=CHECK_SECONDS, family=family)
        s, _ = listener.accept()
        listener.close()
        s.settimeout(CHECK_SECONDS)
        return c, s

    def works(c, s):
        c.sendall(b'x')
        return s.recv(1) == b'x'

    def is_reset(c, s):
        """Our end is told, since the host does not know the connection any more."""
        def sent():
            try:
                c.sendall(b'x')
            except OSError as e:
                return e.errno
            return 0
        return wait_for('an end', sent) in (errno.ECONNRESET, errno.EPIPE)

    one, kept, moved = open_one(5022, 22), open_one(6000, 7000), open_one(6002, 7002)
    other = open_one(5022, 22, HOST_OUT6, six)
    udp, asker = vm.net.udp('0.0.0.0', 53), lab.server.udp()
    asker.connect((HOST_OUT, 5053))
    asker.send(b'x')
    check(udp.recvfrom(9)[0] == b'x' and all(works(*p) for p in (one, kept, moved, other)), 'not open')
    good('hostfwd', 'remove', 'lab', 'tcp::5022-%s.2:22' % NET)
    check(is_reset(*one), 'a connection outlives its forward')
    check(works(*kept) and works(*other), 'a connection by another forward ended')
    good('hostfwd', 'remove', 'lab', 'tcp:[%s]:5022-[%s9]:22' % (HOST_OUT6, net6))
    check(is_reset(*other), 'a connection outlives its forward of IPv6')
    good('hostfwd', 'remove', 'lab', 'udp::5053-%s.2:53' % NET)
    expect_errno(lambda: [asker.send(b'x'), asker.recv(9)], errno.ECONNREFUSED)
    check(works(*kept) and works(*moved), 'a connection by another forward ended')
    vm.close()
    good('down', 'lab')
    check(is_reset(*kept) and is_reset(*moved), 'a connection outlives the network')
    for s in (*one, *kept, *moved, *other, udp, asker):
        s.close()


if __name__ == '__main__':
    run_nat([v for k, v in list(globals().items()) if k.startswith('test_')])
