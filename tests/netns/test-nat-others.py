#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Nat networks next to firewalls and a resolver that are there already, each really run in a namespace (limit: 180): guests
are served, or `up` says what drops their packets and what to type, and what it says does help. After `down` the
host is as it was found.

firewalld, ufw and systemd-resolved are those of the distribution's packages, unpacked over /usr (fetch-others), with a
bus of their own. For Docker stand the rules that dockerd makes, by the iptables that it uses: dockerd itself would want
containerd and cgroups, and only its rules matter here."""

import pwd

from natlib import *

OTHERS = os.path.join(ROOT, 'build/others/root')
OVERLAY = ('mount', '-t', 'overlay', 'overlay', '-o', 'lowerdir=%s/usr:/usr' % OTHERS, '/usr')
FORWARD = ('--hostfwd', 'tcp::5022-192.168.150.2:22', '--reserve', '52:54:00:00:03:00=192.168.150.2')

# dockerd 24 on a host without containers.
DOCKER = '''*filter
:FORWARD DROP
:DOCKER -
:DOCKER-ISOLATION-STAGE-1 -
:DOCKER-ISOLATION-STAGE-2 -
:DOCKER-USER -
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
'''

BUS = '''<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth><policy context="default">
<allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_destination="*"/><allow receive_sender="*"/>
</policy></busconfig>'''


def unpacked():
    """Their files where they look for them, in our own file systems."""
    if os.path.exists('/etc/ufw'):
        return
    must(*OVERLAY)
    for name in ('ufw', 'default', 'firewalld'):
        shutil.copytree(os.path.join(OTHERS, 'etc', name), '/etc/' + name, dirs_exist_ok=True)
    for path in glob.glob('/usr/share/ufw/*.*') + glob.glob('/usr/share/ufw/iptables/*'):  # as its postinst does
        if not path.endswith('.md5sum'):
            shutil.copy(path, '/etc/ufw/')
    must('mount', '-t', 'tmpfs', 'tmpfs', '/var/log')


def notes(out):
    """What is to be typed, of the lines that say so."""
    return [line.rpartition(': ')[2] if line.count(': ') == 1 else line[line.index(': ', line.index('to let')) + 2:]
            for line in out.split('\n') if 'to let' in line]


@contextlib.contextmanager
def firewall(make, undo):
    make()
    try:
        yield
        check('vmlan' not in must('nft', 'list', 'ruleset'), 'a rule of ours is left')
    finally:
        undo()
        must('nft', 'flush', 'ruleset')


@contextlib.contextmanager
def network(*args, settle=lambda: None):
    """Up, and down again with the host as it was; yields what up had to say."""
    settle()
    before = snapshot()
    r = vmlan('up', 'lab', *args)
    check(r.returncode == 0, 'up: ' + r.stderr)
    try:
        yield r.stdout + r.stderr
    finally:
        r = vmlan('down', '--force', 'lab')
    check(r.returncode == 0, 'down: ' + r.stderr)
    settle()
    expect_same(before, 'after down')


@contextlib.contextmanager
def guests(lab, n):
    made = [Guest(lab, 'lab', i, 'vm%d' % i) for i in range(n)]
    try:
        yield made
    finally:
        for g in made:
            g.close()


def is_served(lab, a, b):
    """Leases and names, out, to the neighbour, and in."""
    a.dhcp()
    b.dhcp()
    check(a.resolve('vm1.lab.internal') == b.ip, 'no DNS')
    check(ping(a.net, SERVER) == 0, 'no way out')
    check(ping(a.net, b.ip) == 0, 'no way to the neighbour')
    with contextlib.closing(Echo(a.net, 22)):
        check(ask_tcp(lab.server, HOST_OUT, 5022), 'no way in')
    wait_for('a route', lambda: 'default' in a.net.ip('-6', 'route'))
    wait_for('a way out by IPv6', lambda: ping6(a.net, SERVER6))


def ping6(net, addr):
    return net.sh('busybox', 'ping', '-6', '-c', '1', '-W', '1', addr)[0] == 0


def is_cut_off(a):
    return a.net.sh('busybox', 'udhcpc', '-f', '-q', '-n', '-i', 'eth0', '-s', '/bin/true', '-t', '1', '-T', '1')[0] != 0


def has_notes():
    return 'to let' in vmlan('status', 'lab').stdout


def helped(lab, said):
    """What it says is typed, and guests are served, and there is nothing more to say."""
    lines = notes(said)
    check(lines, 'nothing is said: ' + said)
    with guests(lab, 2) as (a, b):
        check(is_cut_off(a), 'the firewall does not drop: the test is none')
        for line in lines:
            must('sh', '-c', 'set -e; ' + line)
        is_served(lab, a, b)
        check(not has_notes(), 'still said: ' + vmlan('status', 'lab').stdout)
    return [command for line in lines for command in line.split('; ')]


def restore(command, text):
    subprocess.run([command + '-restore'], input=text, text=True, check=True)


def docker(kind):
    def make():
        for command in ('iptables', 'ip6tables'):
            restore(command + kind, DOCKER)

    def undo():
        for command in ('iptables', 'ip6tables'):
            restore(command + kind, '*filter\n:FORWARD ACCEPT\nCOMMIT\n')

    def rules():
        return [must(c + kind, '-S') for c in ('iptables', 'ip6tables')]

    return make, undo, rules


def test_docker(lab):
    make, undo, rules = docker('-nft')
    with firewall(make, undo):
        before = rules()
        with network(*FORWARD) as said, guests(lab, 2) as (a, b):
            check('to let' not in said, said)
            is_served(lab, a, b)
            check(status() == {}, str(status()))
            must('nft', 'flush', 'ruleset')
            make()  # as dockerd does when it is started anew
            wait_for('rules in the new chain', lambda: ping(a.net, SERVER, timeout=0.3) == 0)
            wait_for('all of them', lambda: status() == {})
            rules()  # iptables can read it
        check(rules() == before, 'DOCKER-USER is not as it was: %s' % rules())


def test_docker_legacy(lab):
    if sh('iptables-legacy', '-S')[0] != 0:
        print('no iptables-legacy in this kernel')
        return
    make, undo, rules = docker('-legacy')
    with firewall(make, undo):
        before = rules()
        with network(*FORWARD) as said, guests(lab, 2) as (a, b):
            check('to let' not in said, said)
            is_served(lab, a, b)
        check(rules() == before, 'DOCKER-USER is not as it was: %s' % rules())


def test_iptables(lab):
    """Policies, and rules at the end that take everything; FORWARD, INPUT and OUTPUT."""
    def policies():
        for command in ('iptables-nft', 'ip6tables-nft'):
            for chain in ('FORWARD', 'INPUT', 'OUTPUT'):
                must(command, '-P', chain, 'DROP')
            # What any such firewall lets pass, for the rest of the host.
            must(command, '-A', 'INPUT', '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED', '-j', 'ACCEPT')
            must(command, '-A', 'OUTPUT', '!', '-o', 'lab', '-j', 'ACCEPT')
        must('ip6tables-nft', '-A', 'INPUT', '-p', 'icmpv6', '-j', 'ACCEPT')
        must('ip6tables-nft', '-A', 'OUTPUT', '-p', 'icmpv6', '-j', 'ACCEPT')

    def last_rules():
        for chain in ('FORWARD', 'INPUT'):
            must('iptables-nft', '-A', chain, '-j', 'REJECT', '--reject-with', 'icmp-host-prohibited')

    for make in (policies, last_rules):
        with firewall(make, lambda: None):
            with network(*FORWARD) as said:
                for command in helped(lab, said):
                    must('sh', '-c', command.replace(' -I ', ' -D '))


def test_nftables(lab):
    rules = ('add table inet mine; add chain inet mine in { type filter hook input priority 0; policy drop; }; '
             'add rule inet mine in ct state established,related accept; add rule inet mine in iif lo accept; '
             'add rule inet mine in meta l4proto { icmp, ipv6-icmp } accept; '
             'add chain inet mine out { type filter hook output priority 0; policy drop; }; '
             'add rule inet mine out oifname != lab accept; add rule inet mine out meta l4proto { icmp, ipv6-icmp } accept; '
             'add chain inet mine through { type filter hook forward priority 0; policy accept; }; '
             'add rule inet mine through ct state established accept; add rule inet mine through counter reject')
    with firewall(lambda: must('nft', rules), lambda: None):
        with network(*FORWARD) as said:
            helped(lab, said)
            # The advice is theirs now; take it away as they would, to compare.
            must('nft', 'delete', 'table', 'inet', 'mine')
            must('nft', rules)


def test_ufw(lab):
    unpacked()

    def make():
        must('ufw', '--force', 'enable')
        must('ufw', 'reload')  # makes other rules than enable

    with firewall(make, lambda: must('ufw', '--force', 'reset')):
        with network(*FORWARD) as said:
            check('ufw route allow in on lab' in said, said)
            typed = helped(lab, said)
            must('ufw', 'reload')
            with guests(lab, 1) as (a,):
                check(ping(a.dhcp().net, SERVER) == 0, 'no way out after a reload')
            for command in typed:
                must('sh', '-c', command.replace('ufw route allow', 'ufw route delete allow')
                     .replace('ufw allow', 'ufw delete allow'))
        must('ufw', 'disable')


@contextlib.contextmanager
def bus():
    unpacked()
    os.makedirs('/run/dbus', exist_ok=True)
    with open('/run/bus.conf', 'w') as f:
        f.write(BUS)
    with contextlib.suppress(OSError):
        os.unlink('/run/dbus/system_bus_socket')
    daemon = subprocess.Popen(['dbus-daemon', '--nofork', '--config-file=/run/bus.conf'], stderr=subprocess.DEVNULL)
    wait_for('a bus', lambda: os.path.exists('/run/dbus/system_bus_socket'))
    try:
        yield
    finally:
        daemon.terminate()
        daemon.wait(10)


class Firewalld:
    def __init__(self):
        self.start()

    def start(self):
        self.daemon = subprocess.Popen(['firewalld', '--nofork', '--nopid', '--log-file=/run/firewalld.log'],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for('firewalld', lambda: sh('firewall-cmd', '--state')[0] == 0, seconds=60)

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait(60)


def zone_of():
    """As firewalld's rules have it, which takes less time than to ask it."""
    m = re.search(r'iifname "lab" goto filter_IN_(\w+)', sh('nft', 'list', 'table', 'inet', 'firewalld')[1])
    return m.group(1) if m else 'no zone'


def test_firewalld(lab):
    """In a zone, again after reloads and restarts of firewalld, and out of it after down."""
    def reload():  # it keeps the chains of a zone that it has once used until then, with no way to them
        must('firewall-cmd', '--reload')

    with bus():
        daemon = Firewalld()
        with network(*FORWARD, settle=reload) as said, guests(lab, 2) as (a, b):
            check('reach all services' in said and zone_of() == 'trusted', '%s: %s' % (zone_of(), said))
            check(status() == {}, str(status()))
            is_served(lab, a, b)
            for again in (reload, lambda: (daemon.stop(), daemon.start())):
                again()
                wait_for('the zone', lambda: zone_of() == 'trusted', seconds=30)
                wait_for('a way out', lambda: ping(a.net, SERVER, timeout=0.5) == 0)
            wait_for('all of it', lambda: status() == {})
        check(zone_of() == 'no zone', 'in the zone ' + zone_of())
        # With our own zone there are fewer services for guests; and a zone that somebody chose stays.
        shutil.copy(os.path.join(ROOT, 'firewalld/vmlan.xml'), '/etc/firewalld/zones/')
        Echo(lab.host, 7778)
        with network(*FORWARD, settle=reload) as said, guests(lab, 2) as (a, b):
            check(zone_of() == 'vmlan' and 'services' not in said, '%s: %s' % (zone_of(), said))
            is_served(lab, a, b)
            check(ask_tcp(a.net, '192.168.150.1', 7778, timeout=1) is None, 'a service of the host is reached')
        must('firewall-cmd', '--zone=internal', '--add-interface=lab')
        with network(*FORWARD):
            check(zone_of() == 'internal', 'moved to ' + zone_of())
        check(zone_of() == 'internal', "another's choice was undone")
        must('firewall-cmd', '--zone=internal', '--remove-interface=lab')
        daemon.stop()


def resolvectl(*args):
    return must('resolvectl', *args)


def test_resolved(lab):
    """The host finds guests by name, and all else as before."""
    with bus():
        os.makedirs('/run/systemd/resolve', exist_ok=True)
        with open('/etc/passwd', 'r+') as f:
            if 'systemd-resolve:' not in f.read():
                f.write('systemd-resolve:x:997:997::/:/usr/sbin/nologin\n')
        user = pwd.getpwnam('systemd-resolve')
        os.chown('/run/systemd/resolve', user.pw_uid, user.pw_gid)
        os.unlink('/etc/resolv.conf')
        os.symlink('../run/systemd/resolve/stub-resolv.conf', '/etc/resolv.conf')  # as distributions have it
        daemon = subprocess.Popen(['/usr/lib/systemd/systemd-resolved'], stderr=subprocess.DEVNULL)
        wait_for('systemd-resolved', lambda: sh('resolvectl', 'domain')[0] == 0)
        before = resolvectl('domain'), resolvectl('dns')
        with network() as said, guests(lab, 1) as (a,):
            a.dhcp()
            check(status() == {}, str(status()))
            check(a.ip in resolvectl('query', '-4', 'vm0.lab.internal'), 'not found')
            check(a.ip in must('getent', 'ahostsv4', 'vm0.lab.internal'), 'not found by the C library')
            check('~lab.internal' in resolvectl('domain', 'lab') and 'told' not in said, said)
            resolvectl('revert', 'lab')
            check('missing' in status().values(), str(status()))
            good('up', 'lab')
            check(status() == {}, str(status()))
            other = Net()  # its interfaces are not those that resolved knows
            try:
                check('resolved' not in other.must(VMLAN, 'up', 'elsewhere', '--dry-run'), 'told of another namespace')
            finally:
                other.close()
        check((resolvectl('domain'), resolvectl('dns')) == before, 'not as it was')
        daemon.terminate()
        daemon.wait(10)
    check('told' in good('up', 'lab'), 'not said how')


def test_bridge_nf(lab):
    """Where the host's rules see bridged frames neighbours still reach each other, and a note says what does not work."""
    lab.host.sysctl('net.bridge.bridge-nf-call-iptables', 1)
    lab.host.sysctl('net.bridge.bridge-nf-call-ip6tables', 1)
    with network(*FORWARD) as said, guests(lab, 2) as (a, b):
        check('bridge-nf-call-iptables is 1' in said, said)
        is_served(lab, a, b)
        must('sh', '-c', said[said.index('sysctl net.bridge'):].split('\n')[0])
        check('bridge-nf' not in vmlan('status', 'lab').stdout, 'still said')
        with contextlib.closing(Echo(a.net, 22)):
            check(ask_tcp(a.net, HOST_OUT, 5022), 'no way to itself')
        lab.host.sysctl('net.bridge.bridge-nf-call-iptables', 1)


if __name__ == '__main__':
    if not os.environ.get('VMLAN_LAB') and os.geteuid() == 0:
        with open(VMLAN, 'rb') as program:
            if b'__asan_init' in program.read():
                skip("others' programs, in the build that ships; of ours, test-network has the same under sanitizers")
        fetched = subprocess.run([os.path.join(HERE, 'fetch-others')], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                 text=True, check=False)
        if fetched.returncode != 0:
            skip('ufw, firewalld and systemd-resolved cannot be had: ' + fetched.stderr.strip().split('\n')[-1])
    if os.environ.get('VMLAN_LAB') and sh('unshare', '--mount', *OVERLAY)[0] != 0:
        skip('no file system overlay here, for what is not installed')
    run_nat([v for k, v in list(globals().items()) if k.startswith('test_')])
