# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of nat networks share, on top of netlib's world: `vmlan up` on the host, guests as namespaces
with a veth on the bridge, and the state of the host before and after.

/run and /var/lib are the test's own, since they are where vmlan keeps what it knows."""

import contextlib
import difflib
import functools
import glob
import json
import os
import re
import subprocess

from netlib import *

UDHCPC_SCRIPT = '''#!/bin/sh
echo "EVENT $1 ip=$ip mask=$mask router=$router dns=$dns mtu=$mtu domain=$domain lease=$lease boot=$boot_file from=$siaddr"
[ "$1" = bound ] || exit 0
ip -4 addr flush dev "$interface"
ip addr add "$ip/$mask" dev "$interface"
ip route replace default via "$router"
'''

SO_RCVBUFFORCE = 33

# What changes by itself.
VOLATILE_SYSCTLS = re.compile(r'conntrack_count|tcp_fastopen_key|/proc/sys/net/ipv4/route/|conntrack_buckets'
                              r'|nf_conntrack_max|base_reachable_time')


def private_var_lib():
    if not os.path.ismount('/var/lib'):
        must('mount', '-t', 'tmpfs', 'tmpfs', '/var/lib')


def vmlan(*args, **kw):
    kw.setdefault('timeout', CHECK_SECONDS)
    return subprocess.run([VMLAN, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False, **kw)


def good(*args):
    r = vmlan(*args)
    check(r.returncode == 0, 'vmlan %s exited with %d: %s%s' % (' '.join(args), r.returncode, r.stdout, r.stderr))
    return r.stdout


def refused(*args, status=1, says=()):
    r = vmlan(*args)
    check(r.returncode == status, 'vmlan %s exited with %d instead of %d: %s' % (
        ' '.join(args), r.returncode, status, r.stderr))
    for word in (says,) if isinstance(says, str) else says:
        check(word in r.stderr, 'vmlan %s does not say "%s": %s' % (' '.join(args), word, r.stderr))
    return r.stderr


def status(name='lab'):
    """What is not in order: {what: state}."""
    r = vmlan('status', '--json', name)
    check(r.stdout.strip(), 'vmlan status: ' + r.stderr)
    return {s['what']: s['state'] for n in json.loads(r.stdout) for s in n['steps'] if s['state'] != 'ok'}


def sysctls():
    found = {}
    for folder, _, files in os.walk('/proc/sys/net'):
        for name in files:
            path = os.path.join(folder, name)
            if not VOLATILE_SYSCTLS.search(path):
                with contextlib.suppress(OSError):
                    with open(path, encoding='utf-8', errors='replace') as f:
                        found[path] = f.read()
    return found


def processes(ours=True):
    """Command lines of our servers, or of all that runs here but for zombies and what holds the test's namespaces."""
    found = []
    for path in glob.glob('/proc/[0-9]*/cmdline'):
        with contextlib.suppress(OSError):
            with open(path, 'rb') as f:
                line = f.read().replace(b'\0', b' ').decode(errors='replace')
            if line.startswith(('dnsmasq ', 'vmlan supervise ')) if ours else line and 'sleep infinity' not in line:
                found.append(line)
    return sorted(found)


def addresses(family):
    """Without the remaining lifetimes."""
    links = json.loads(must('ip', '-j', family, 'addr'))
    for link in links:
        for a in link.get('addr_info', []):
            a.pop('valid_life_time', None)
            a.pop('preferred_life_time', None)
            a.pop('tentative', None)
    return links


def snapshot():
    return {
        'rules': re.sub(r'packets \d+ bytes \d+', '', must('nft', 'list', 'ruleset')),
        'links': [{k: v for k, v in link.items() if k != 'operstate'} for link in addresses('-4')],
        'addr6': addresses('-6'),
        'routes': must('ip', '-j', 'route', 'show', 'table', 'all'),
        'routes6': must('ip', '-6', '-j', 'route', 'show', 'table', 'all'),
        'sysctls': sysctls(),
        'processes': processes(ours=False),
        'files': sorted(f for f in glob.glob('/run/vmlan*/**', recursive=True)) + glob.glob('/run/.*vmlan*'),
    }


def difference(before, after):
    said = []
    for key in before:
        a, b = before[key], after[key]
        if a == b:
            continue
        if isinstance(a, dict):
            said += ['%s: %r -> %r' % (k, a.get(k), b.get(k)) for k in sorted({*a, *b}) if a.get(k) != b.get(k)]
        elif isinstance(a, str):
            said += [key, *difflib.unified_diff(a.split('\n'), b.split('\n'), lineterm='')]
        else:
            said.append('%s: %s -> %s' % (key, a, b))
    return '\n'.join(said)


def expect_same(before, what):
    """The host is as it was, at once or as soon as what was killed has gone."""
    end = time.monotonic() + 3
    while (said := difference(before, snapshot())) and time.monotonic() < end:
        time.sleep(0.05)
    check(not said, '%s: the host differs:\n%s' % (what, said[:3000]))


class Guest:
    """A namespace with a veth on the bridge."""

    def __init__(self, lab, bridge='lab', number=0, name=None):
        self.net = lab.net()
        self.port = 'p%s%d' % (bridge[:8], number)
        self.mac = '52:54:00:00:%02x:%02x' % (len(bridge), number)
        self.name = name
        self.log = ''
        must('ip', 'link', 'add', self.port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', str(self.net.pid))
        self.net.ip('link', 'set', 'eth0', 'address', self.mac)
        must('ip', 'link', 'set', self.port, 'master', bridge, 'up')
        self.net.ip('link', 'set', 'eth0', 'up')

    def dhcp(self, seconds=10):
        script = os.path.join(TMP, 'udhcpc')
        if not os.path.exists(script):
            with open(script, 'w') as f:
                f.write(UDHCPC_SCRIPT)
            os.chmod(script, 0o755)
        name = ['-x', 'hostname:' + self.name] if self.name else []
        code, self.log = self.net.sh('busybox', 'udhcpc', '-f', '-q', '-n', '-i', 'eth0', '-s', script, '-O', 'mtu',
                                     '-t', str(seconds), '-T', '1', *name)
        check(code == 0, 'no lease: ' + self.log)
        m = re.search(r'EVENT bound ip=(\S+) mask=(\S+) router=(\S+) dns=(\S+) mtu=(\S*) domain=(\S*)', self.log)
        self.ip, self.mask, self.router, self.dns, self.mtu, self.domain = m.groups()
        return self

    def resolve(self, name, server=None):
        code, out = self.net.sh('busybox', 'nslookup', '-type=a', name, server or self.dns)
        m = re.findall(r'^Address(?: \d+)?: (\d+\.\d+\.\d+\.\d+)$', out, re.M)
        return m[0] if code == 0 and m else None

    def close(self):
        if self.net.sh('ip', 'link', 'show', 'eth0')[0] == 0:
            sh('ip', 'link', 'del', self.port)


class Echo:
    """A TCP and a UDP server that answer with who they see, until the end of the test."""
    all = []

    def __init__(self, net, port, addr='0.0.0.0', family=socket.AF_INET):
        self.tcp = net.listen(addr, port, family)
        self.udp = net.udp(addr, port, family)
        self.stopped = False
        self.thread = Background(self.serve)
        Echo.all.append(self)

    def serve(self):
        while not self.stopped:
            for s in select.select([self.tcp, self.udp], [], [], 0.05)[0]:
                if s is self.udp:
                    data, who = s.recvfrom(2048)
                    s.sendto(('%s %d %s' % (who[0], who[1], data.decode())).encode(), who)
                else:
                    c, who = s.accept()
                    with c, contextlib.suppress(OSError):
                        data = c.recv(2048)
                        c.sendall(('%s %d %s' % (who[0], who[1], data.decode())).encode())

    def close(self):
        self.stopped = True
        self.thread.join()
        self.tcp.close()
        self.udp.close()


def ask_tcp(net, addr, port, timeout=3, bind=None, family=socket.AF_INET):
    """(address, port) that the echo saw us at; None without an answer."""
    try:
        with net.connect(addr, port, timeout=timeout, bind=bind, family=family) as s:
            s.sendall(b'hello')
            words = s.recv(2048).decode().split()
    except OSError:
        return None
    return (words[0], int(words[1])) if words else None


def ask_udp(net, addr, port, timeout=2, bind=None, family=socket.AF_INET):
    with net.udp(family=family, timeout=timeout) as s:
        try:
            if bind:
                s.bind(bind)
            s.sendto(b'hello', (addr, port))
            words = s.recv(2048).decode().split()
        except OSError:
            return None
    return words[0], int(words[1])


class Crowd:
    """Many DHCP clients behind one port, all at once: whole frames, each from a MAC of its own."""

    def __init__(self, guest, n):
        self.sock = guest.net.raw('eth0')
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self.macs = [struct.pack('!HI', 0x5254, 0x01000000 + i) for i in range(n)]
        self.leased = {}

    def send(self, mac, kind, options=b''):
        options = b'\x35\x01' + bytes([kind]) + options + b'\xff'
        dhcp = struct.pack('!BBBBIHH16s16s192sI', 1, 1, 6, 0, int.from_bytes(mac[2:], 'big'), 0, 0, b'', mac, b'',
                           0x63825363) + options
        udp = struct.pack('!HHHH', 68, 67, 8 + len(dhcp), 0) + dhcp
        ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b'\xff' * 4)
        ip = ip[:10] + struct.pack('!H', csum(ip)) + ip[12:]
        with contextlib.suppress(BlockingIOError):  # full: it is sent again
            self.sock.send(b'\xff' * 6 + mac + b'\x08\x00' + ip + udp)

    def answers(self, seconds):
        """(mac, kind, address, server) of each reply until there are none for so long."""
        while select.select([self.sock], [], [], seconds)[0]:
            frame = self.sock.recv(2048)
            if frame[12:14] != b'\x08\x00' or frame[23] != 17 or frame[34:38] != b'\x00\x43\x00\x44':
                continue
            dhcp = frame[42:]
            kind = re.search(rb'\x35\x01(.)', dhcp[240:], re.S)
            server = re.search(rb'\x36\x04(.{4})', dhcp[240:], re.S)
            if kind and server:
                yield dhcp[28:34], kind.group(1)[0], dhcp[16:20], server.group(1)

    def lease_all(self, seconds=30):
        end = time.monotonic() + seconds
        while (left := [m for m in self.macs if m not in self.leased]) and time.monotonic() < end:
            for mac in left:
                self.send(mac, 1)
            for mac, kind, addr, server in self.answers(0.3):
                if kind == 2 and mac not in self.leased:
                    self.send(mac, 3, b'\x32\x04' + addr + b'\x36\x04' + server)
                elif kind == 5:
                    self.leased[mac] = socket.inet_ntoa(addr)
                if len(self.leased) == len(self.macs):
                    break
        return self.leased

    def close(self):
        self.sock.close()


def run_nat(tests):
    """Each test begins and ends with no network and no server of ours."""
    def wrapped(test):
        @functools.wraps(test)
        def with_cleanup(lab):
            private_var_lib()
            wait_for('addresses of the host', lambda: 'tentative' not in must('ip', '-6', 'addr'))
            try:
                test(lab)
            finally:
                while Echo.all:
                    Echo.all.pop().close()
                for name in vmlan('ls').stdout.split('\n')[1:]:
                    if name:
                        vmlan('down', '--force', name.split()[0])
        return with_cleanup

    run(*(wrapped(t) for t in tests))
