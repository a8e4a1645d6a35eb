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


def as_user(lab, *args):
    """What vmlan says to an ordinary user, who may not be able to get at our build."""
    binary = os.path.join(lab.tmp, 'program')
    if not os.path.exists(binary):
        shutil.copy(VMLAN, binary)
        os.chmod(lab.tmp, 0o755)
    return sh('setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', binary, *args)


def test_file(lab):
    """A network of its file alone; what the line adds to it; errors that name the place."""
    before = snapshot()
    with net_file('net=10.7.0.0/24\nhostfwd=tcp::5022-10.7.0.2:22\nmtu=1400\n') as path:
        check(re.search(r'lab +nat +- +- +down', good('ls')), good('ls'))
        check(json.loads(good('ls', '--json'))[0] == {'name': 'lab', 'mode': 'nat', 'net': None, 'bridge': None,
                                                      'phase': 'down', 'ports': 0}, good('ls', '--json'))
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
        code, text = as_user(lab, 'show', 'lab')
        check(code == 0 and 'only root can see' in text and 'ok       bridge lab' in text and vm.ip in text, text)
        code, text = as_user(lab, 'status', 'lab')
        check(code == 1 and re.search('unknown  nftables.*Operation not permitted', text), text)
        must('nft', 'delete', 'table', 'inet', 'vmlan_lab')
        vm.close()
        good('down', 'lab')
    refused('show', 'lab', says='there is no network lab')


def parent_of(pid):
    with open('/proc/%s/status' % pid) as f:
        return int(re.search(r'^PPid:\t(\d+)$', f.read(), re.M)[1])


def test_unit_child(lab):
    """When the service manager is told, the supervisor is no child of `up` any more, but its own, to be waited for."""
    address, target = os.path.join(TMP, 'notify-full'), os.path.join(TMP, 'elsewhere.net')
    write(target, '[Network]\nno-ipv6=yes\n')
    os.makedirs(ETC)
    os.symlink(target, ETC + '/lab.net')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        s.bind(address)
        s.settimeout(CHECK_SECONDS)
        full.setblocking(False)
        n = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                full.sendto(b'x', address)
                n += 1
        up = subprocess.Popen([VMLAN, 'up', 'lab'], env={**os.environ, 'NOTIFY_SOCKET': address},
                              stdout=subprocess.DEVNULL)
        try:
            wait_for('the network', lambda: vmlan('status', 'lab').returncode == 0)
            pid = must('pgrep', '-f', '^vmlan supervise lab ').strip()  # those that have ended have no such line
            check(must('cat', '/proc/%s/comm' % pid) == 'vmlan-supervise\n', 'not called what it is')
            parent = parent_of(pid)
            check(up.poll() is None, 'up has not waited to be heard')
            check(parent != up.pid, 'the supervisor is a child of up')
            said = [s.recv(4096).decode() for _ in range(n + 1)]
            check(up.wait(CHECK_SECONDS) == 0, 'up failed')
        finally:
            up.kill()
            up.wait()
            os.unlink(ETC + '/lab.net')
            os.rmdir(ETC)
        check('MAINPID=%s\n' % pid in said[-1], str(said[-1]))
        check('inet6' not in must('ip', '-6', 'addr', 'show', 'lab', 'scope', 'global'), 'a file that is a link is not read')
    good('down', 'lab')


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
            must(*stop)  # systemd does it too when somebody has typed it
    expect_same(before, 'after the unit')
    refused('down', 'lab', says='there is no network lab')
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
    faults = {'rp-filter': 'net.ipv4.conf.all.rp_filter=1', 'ping': 'net.ipv4.ping_group_range=1 0',
              'br-netfilter': 'net.bridge.bridge-nf-call-iptables=1'}
    must('sysctl', '-qw', *faults.values())
    said = doctor()
    for name in faults:
        check(said[name]['state'] == 'warning' and said[name]['wanted'], str(said[name]))
        must('sh', '-c', said[name]['mend'])
    said = doctor()
    check(all(said[name]['state'] == 'ok' for name in faults), str(said))
    lab.host.sysctl('net.ipv4.conf.all.rp_filter', 0)
    with lab.host.udp('0.0.0.0', 53):
        check('redirected' in doctor()['port-53']['found'], str(doctor()['port-53']))
    code, said = as_user(lab, 'doctor')
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


def pids():
    """Of supervisors and dnsmasq; zombies have no command line."""
    found = set()
    for path in glob.glob('/proc/[0-9]*/cmdline'):
        with contextlib.suppress(OSError), open(path, 'rb') as f:
            if re.search(b'^dnsmasq|supervise\0lab', f.read()):
                found.add(int(path.split('/')[2]))
    return found


def test_older_record(lab):
    """What an older version set up is taken over by an up: rules, files, supervisor; guests keep their leases."""
    path = '/run/vmlan/lab/state.json'
    before = snapshot()
    good('up', 'lab', '--hostfwd', 'tcp::5022-:22')
    table = must('nft', 'list', 'table', 'inet', 'vmlan_lab')
    vm = Guest(lab, name='vm0').dhcp()
    first = vm.ip
    old = pids()
    check(len(old) == 2, str(old))
    with open(path) as f:
        state = json.load(f)
    check(state['version'] == 2, 'another version of records: is there a test of taking over the last one?')
    rules = next(s for s in state['steps'] if s['kind'] == 'table')
    rules['args']['rules'] = rules['args']['rules'].replace('masquerade to :1024-65535', 'masquerade')
    for version, code in ((9, 1), (1, 0)):
        state['version'] = version
        write(path, json.dumps(state))
        r = vmlan('up', 'lab')
        check(r.returncode == code, r.stderr)
        if code:
            check('later version' in r.stderr and 'vmlan down lab' in r.stderr, r.stderr)
            refused('down', '--force', 'lab', says='later version')
            check(must('nft', 'list', 'table', 'inet', 'vmlan_lab') == table, 'the rules were touched')
    check(must('nft', 'list', 'table', 'inet', 'vmlan_lab') == table, 'not the rules of this version')
    check(len(pids()) == 2 and not old & pids(), 'the old supervisor goes on')
    check(status() == {} and vm.dhcp().ip == first, vm.log)
    vm.close()
    good('down', 'lab')
    expect_same(before, 'after down')


def test_vpn(lab):
    """One that comes later and overlaps is named by whoever looks."""
    before = snapshot()
    good('up', 'lab')
    lab.host.ip('link', 'add', 'vpn0', 'type', 'veth', 'peer', 'name', 'vpn1')
    lab.host.ip('link', 'set', 'vpn0', 'up')
    lab.host.ip('route', 'add', '192.168.0.0/16', 'dev', 'vpn0')
    for said in (good('status', 'lab'), good('show', 'lab'), vmlan('up', 'lab').stderr):
        check('overlaps the route 192.168.0.0/16 of vpn0' in said, said)
    check('vpn0' in json.loads(good('status', '--json', 'lab'))[0]['notes'][0], 'not in JSON')
    f = doctor('lab', code=1)['subnet']
    check(f['state'] == 'problem' and 'vpn0' in f['found'] and '--net' in f['mend'], str(f))
    lab.host.ip('link', 'del', 'vpn0')
    check('overlaps' not in good('status', 'lab'), 'still')
    good('down', 'lab')
    expect_same(before, 'after down')


def test_smaller_uplink(lab):
    """An uplink of MTU 1300: TCP is told at once (MSS), whoever asks by ping is told (path MTU); nothing hangs."""
    good('up', 'lab')
    vm = Guest(lab).dhcp()
    lab.host.ip('link', 'set', 'up0', 'mtu', '1300')
    try:
        with lab.server.listen(port=7777) as listener:
            c = vm.net.connect(SERVER, 7777, timeout=CHECK_SECONDS)
            s, _ = listener.accept()
        s.settimeout(CHECK_SECONDS)
        for end in (c, s):
            mss = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
            check(mss <= 1260, 'the MSS is %d' % mss)
        for a, b in ((c, s), (s, c)):
            data = os.urandom(300000)
            sender = Background(lambda a=a, data=data: a.sendall(data))
            got = b''
            while len(got) < len(data) and (more := b.recv(65536)):
                got += more
            check(got == data, 'not what was sent came')
            sender.join()
        with vm.net.udp(timeout=CHECK_SECONDS) as u:
            u.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
            u.connect((SERVER, 7778))

            def learnt():
                with contextlib.suppress(OSError):
                    u.send(bytes(1400))
                return u.getsockopt(socket.IPPROTO_IP, 14) == 1300  # IP_MTU
            wait_for('the path MTU', learnt)
        c.close()
        s.close()
    finally:
        lab.host.ip('link', 'set', 'up0', 'mtu', '1500')
    vm.close()
    good('down', 'lab')


def test_leases_by_the_clock(lab):
    """A lease ends at a time of day: one that ended while nobody ran, or the host slept, is not there any more."""
    now = int(time.time())
    write('/var/lib/vmlan/lab/leases', '%d 52:54:00:99:00:01 %s.100 gone *\n%d 52:54:00:99:00:02 %s.101 here *\n' % (
        now - 60, NET, now + 3600, NET))
    good('up', 'lab')
    vm = Guest(lab).dhcp()
    listed = {x['addr'] for x in json.loads(good('leases', 'lab', '--json'))}
    check(listed == {NET + '.101', vm.ip}, str(listed))
    check(vm.resolve('here.lab.internal') == NET + '.101' and not vm.resolve('gone.lab.internal'), 'names of leases')
    vm.close()
    good('down', 'lab')
    must('rm', '-r', '/var/lib/vmlan')


def test_adopt(lab):
    """A bridge with an address and a guest, and a bare one that is down: both are as they were after down."""
    lab.host.sysctl('net.ipv6.conf.default.accept_dad', 0)  # no need to wait for addresses
    lab.host.ip('link', 'add', 'br9', 'type', 'bridge')
    lab.host.ip('link', 'set', 'br9', 'up', 'alias', 'of the office')
    lab.host.ip('addr', 'add', '10.9.0.3/24', 'dev', 'br9')
    old = Guest(lab, 'br9', 1)
    old.net.ip('addr', 'add', '10.9.0.200/24', 'dev', 'eth0')
    old.net.ip('route', 'add', 'default', 'via', '10.9.0.3')
    lab.host.ip('link', 'add', 'virbr9', 'type', 'bridge')
    for dev in ('br9', old.port):
        wait_for('its own address', lambda dev=dev: 'inet6 fe80' in must('ip', '-6', 'addr', 'show', 'dev', dev))
    before = snapshot()
    for bridge, net, args in (('br9', '10.9.0', ('--hostfwd', 'tcp::5022-10.9.0.200:22')), ('virbr9', NET, ())):
        out = good('adopt', bridge, 'lab', *args)
        check('%s.0/24' % net in out and 'on bridge ' + bridge in out, out)
        check(status() == {}, str(status()))
        vm = Guest(lab, bridge, 2).dhcp()
        check(vm.ip.startswith(net + '.') and ping(vm.net, SERVER) == 0, vm.log)
        if bridge == 'br9':
            Echo(old.net, 22)
            check(vm.router == '10.9.0.3' and ping(old.net, SERVER) == 0, 'who was there before is cut off')
            check(ask_tcp(lab.server, HOST_OUT, 5022), 'no forward')
            check(good('down', '--force', 'lab') == '', 'down')
            vm.close()
        else:
            refused('adopt', bridge, 'two', says='a network of ours already')
            vm.close()
            good('down', 'lab')
        expect_same(before, 'after down of ' + bridge)
    # The bridge has no MAC of its own, and so another one since a port of it has gone.
    old.net.ip('neigh', 'flush', 'all')
    wait_for('the old guest to find its bridge', lambda: ping(old.net, '10.9.0.3') == 0)
    with lab.host.udp('10.9.0.3', 53):
        refused('adopt', 'br9', 'lab', says='has a name server of its own')
    refused('adopt', 'br9', 'lab', '--net', '10.8.0.0/24', says='--net is not the bridge')
    refused('adopt', 'nobr', 'lab', says='no bridge nobr to adopt')
    refused('up', 'br9', says='vmlan adopt br9 br9')
    lab.host.ip('link', 'add', 'ifb9', 'type', 'ifb')
    lab.host.ip('link', 'set', 'ifb9', 'master', 'br9')
    refused('adopt', 'br9', 'lab', says=('by its port ifb9', '-net bridge,br=br9'))
    lab.host.ip('link', 'del', 'ifb9')
    expect_same(before, 'after refusals')
    with net_file('adopt=yes\nbridge=br9\n'):
        good('up', 'lab')
        check('adopt=yes' in good('show', '--file', 'lab'), 'the file')
        lab.host.ip('link', 'set', 'br9', 'alias', 'mine')
        check('changed' in status().values(), str(status()))
        lab.host.ip('addr', 'del', 'fe80::1/64', 'dev', 'br9')
        good('up', 'lab')
        check(status() == {}, str(status()))
        good('down', '--force', 'lab')
    expect_same(before, 'after a network with a file')
    old.close()
    lab.host.ip('link', 'del', 'br9')
    lab.host.ip('link', 'del', 'virbr9')
    lab.host.sysctl('net.ipv6.conf.default.accept_dad', 1)


def test_removal(lab):
    """What README says of taking vmlan off a host: nothing of it is left."""
    before = snapshot()

    def left():
        return must('find', '/run', '/etc', '/var/lib', '-name', '*vmlan*').split()

    def follow(heading):
        """The commands of README below that, but for those of systemd and ninja, which are not here."""
        with open(os.path.join(ROOT, 'README.md')) as f:
            m = re.search(heading + r'.*?\n\n((?:    [^\n]*\n)+)', f.read(), re.S)
        for line in m[1].split('\n'):
            if line.strip() and line.split()[0] not in ('systemctl', 'ninja'):
                must('sh', '-c', line.replace('vmlan down', VMLAN + ' down'))

    follow('there after every boot')
    for name in ('lab', 'two'):
        good('up', name)
    vm = Guest(lab).dhcp()
    refused('down', '--all', says=('1 guest is attached to lab: ' + vm.port,))
    check([n['name'] for n in json.loads(good('ls', '--json')) if n['phase'] == 'up'] == ['lab'], good('ls'))
    refused('down', '--all', 'lab', status=2)
    refused('down', status=2, says='--all')
    good('up', 'two')
    check('tcp::5022-' in good('hostfwd', 'list', 'lab'), 'the file of README')
    follow('leaves the host')
    vm.close()
    expect_same(before, 'after removal')
    check(not left(), 'left: %s' % left())


if __name__ == '__main__':
    run_nat([v for k, v in list(globals().items()) if k.startswith('test_')])
