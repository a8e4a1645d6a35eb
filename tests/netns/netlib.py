# SPDX-License-Identifier: BSD-2-Clause
"""What the integration tests of user-mode networks share.

A test runs itself again in process, mount and network namespaces of its own, whose first process is
killed with it: whatever happens, nothing is left behind. In there:

    guest --tap-- vmlan on "host" --192.0.2.0/24-- router --198.51.100.0/24-- server

The host is the namespace that vmlan itself runs in; guests are namespaces that vmlan makes a tap in; a
socket is in the namespace that it was made in, so that one Python program plays all of them.

VMLAN names the binary, build/vmlan by default. Exit status: 0, or 1 if a check failed, or 77 if this
machine cannot run it (the last line says why)."""

import contextlib
import ctypes
import errno
import os
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
VMLAN = os.path.abspath(os.environ.get('VMLAN', os.path.join(ROOT, 'build', 'vmlan')))
SANITIZED = 'VMLAN_SANITIZED' in os.environ

HOST, DNS, GUEST = '10.0.2.2', '10.0.2.3', '10.0.2.15'
HOST_OUT, ROUTER, ROUTER_IN, SERVER = '192.0.2.2', '192.0.2.1', '198.51.100.1', '198.51.100.2'
SERVER6, HOST_OUT6 = '2001:db8:1::2', '2001:db8::2'
UNREACHABLE, NOBODY = '203.0.113.1', '198.51.100.77'
CHECK_SECONDS = 120
TMP = '/run'  # covered by a file system that goes with our mount namespace
CLONE_NEWNET = 0x40000000
SO_LINGER_0 = struct.pack('ii', 1, 0)
IP_RECVERR, MSG_ERRQUEUE = 11, 0x2000

_libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def skip(reason):
    print('skipped: ' + reason)
    sys.exit(77)


def wait_for(what, fn, seconds=30, pause=0.02):
    """The time is what a slow and busy machine may need; what tests assert about time they measure themselves."""
    end = time.monotonic() + seconds
    while True:
        r = fn()
        if r:
            return r
        if time.monotonic() > end:
            raise Failure('after %g s still not: %s' % (seconds, what))
        time.sleep(pause)


def sh(*argv, **kw):
    kw.setdefault('timeout', CHECK_SECONDS)
    r = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, **kw)
    return r.returncode, r.stdout


def must(*argv, **kw):
    code, out = sh(*argv, **kw)
    check(code == 0, '"%s" exited with %d: %s' % (' '.join(argv), code, out))
    return out


def address(addr, port):
    """What bind() takes; of fe80::1%eth0 too."""
    addr, _, scope = addr.partition('%')
    return (addr, port, 0, socket.if_nametoindex(scope)) if scope else (addr, port)


class Net:
    """A network namespace, held by a process that sleeps in it (None: the one we are in)."""

    def __init__(self, new=True):
        self.holder = None
        if new:
            self.holder = subprocess.Popen(['unshare', '--net', 'sleep', 'infinity'])
            own = os.readlink('/proc/self/ns/net')
            wait_for('a namespace', lambda: os.readlink('/proc/%d/ns/net' % self.holder.pid) != own)
        self.pid = self.holder.pid if new else os.getpid()
        self.fd = os.open('/proc/%d/ns/net' % self.pid, os.O_RDONLY | os.O_CLOEXEC)
        self.ip('link', 'set', 'lo', 'up')

    @contextlib.contextmanager
    def inside(self):
        back = os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _libc.setns(self.fd, CLONE_NEWNET) < 0:
                raise OSError(ctypes.get_errno(), 'setns')
            yield
        finally:
            _libc.setns(back, CLONE_NEWNET)
            os.close(back)

    def argv(self, *argv):
        return ['nsenter', '--net=/proc/%d/ns/net' % self.pid, *argv] if self.holder else list(argv)

    def sh(self, *argv, **kw):
        return sh(*self.argv(*argv), **kw)

    def must(self, *argv, **kw):
        return must(*self.argv(*argv), **kw)

    def ip(self, *argv):
        return self.must('ip', *argv)

    def sysctl(self, name, value):
        with self.inside(), open('/proc/sys/' + name.replace('.', '/'), 'w') as f:
            f.write(str(value))

    def close(self):
        os.close(self.fd)
        if self.holder:
            self.holder.kill()
            self.holder.wait()

    def sock(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, proto=0, timeout=20):
        with self.inside():
            s = socket.socket(family, kind, proto)
        s.settimeout(timeout)
        return s

    def connect(self, addr, port, timeout=20, bind=None, **kw):
        s = self.sock(timeout=timeout, **kw)
        try:
            if bind:
                s.bind(bind)
            s.connect((addr, port))
        except BaseException:
            s.close()
            raise
        return s

    def listen(self, addr='0.0.0.0', port=0, family=socket.AF_INET):
        s = self.sock(family)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with self.inside():  # where the interface of a link-local address is
            s.bind(address(addr, port))
        s.listen(256)
        return s

    def udp(self, addr=None, port=0, family=socket.AF_INET, timeout=5):
        s = self.sock(family, socket.SOCK_DGRAM, timeout=timeout)
        if addr is not None:
            with self.inside():
                s.bind(address(addr, port))
        return s

    def raw(self, ifname='vmlan0'):
        """A socket that sends and receives whole frames."""
        with self.inside():
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            s.bind((ifname, 0))
        s.settimeout(5)
        return s

    def mac(self, ifname='vmlan0'):
        out = self.ip('link', 'show', ifname)
        return bytes.fromhex(re.search(r'link/ether ([0-9a-f:]+)', out).group(1).replace(':', ''))

    def has(self, ifname):
        return self.sh('ip', 'link', 'show', ifname)[0] == 0


def port_of(s):
    return s.getsockname()[1]


class Vmlan:
    """A running `vmlan user`."""

    def __init__(self, lab, args, up=True):
        self.lab = lab
        self.log_path = os.path.join(lab.tmp, 'log%d' % len(lab.vmlans))
        self.args = [VMLAN, 'user', '--stats', *args]
        with open(self.log_path, 'wb') as log:
            self.p = subprocess.Popen([*lab.prefix, *self.args], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        lab.vmlans.append(self)
        wait_for('the engine to be there', lambda: self.p.poll() is not None or self.engine())
        check(self.p.poll() is None, 'vmlan ended at once (%s): %s' % (self.p.returncode, self.log()))

    def log(self):
        with open(self.log_path, errors='replace') as f:
            return f.read()

    def children(self):
        found = []
        for name in os.listdir('/proc'):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    with open('/proc/%s/stat' % name) as f:
                        if int(f.read().rpartition(')')[2].split()[1]) == self.p.pid:
                            found.append(int(name))
        return found

    def engine(self):
        """Its process number: the child under a seccomp filter, or the only one."""
        mine = self.children()
        for pid in mine:
            with contextlib.suppress(OSError):
                if status(pid).get('Seccomp') == '2':
                    return pid
        return mine[0] if '--no-sandbox' in self.args and mine else None

    def cpu_seconds(self):
        with open('/proc/%d/stat' % self.engine()) as f:
            v = f.read().rpartition(')')[2].split()
        return (int(v[11]) + int(v[12])) / os.sysconf('SC_CLK_TCK')

    def rss_kib(self):
        return int(status(self.engine())['VmRSS'].split()[0])

    def alive(self):
        return self.p.poll() is None

    def stop(self, sig=signal.SIGTERM):
        """Ends it; returns what it wrote, the counters included."""
        if self.alive():
            self.p.send_signal(sig)
        try:
            self.p.wait(30)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
            raise Failure('vmlan did not end within 30 s of signal %d' % sig)
        return self.log()

    def drops(self):
        """Dropped frames by reason, after the end."""
        n = {}
        for name, count in re.findall(r'dropped +([a-z-]+) +(\d+)', self.stop()):
            n[name] = n.get(name, 0) + int(count)
        return n


def status(pid):
    with open('/proc/%d/status' % pid) as f:
        return dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)


class Lab:
    def __init__(self):
        self.tmp = tempfile.mkdtemp(dir=TMP)
        self.vmlans, self.nets = [], []
        self.prefix = []  # what starts vmlan: a command that ends in executing it
        self.host = Net(new=False)
        self.router, self.server = self.net(), self.net()
        self.host.sysctl('net.ipv4.ping_group_range', '0 2147483647')
        self.link(self.host, 'up0', (HOST_OUT + '/24', HOST_OUT6 + '/64'),
                  self.router, 'down0', (ROUTER + '/24', '2001:db8::1/64'))
        self.link(self.router, 'up0', (ROUTER_IN + '/24', '2001:db8:1::1/64'),
                  self.server, 'down0', (SERVER + '/24', SERVER6 + '/64'))
        self.router.sysctl('net.ipv4.ip_forward', 1)
        self.router.sysctl('net.ipv4.icmp_ratemask', 0)
        self.router.sysctl('net.ipv6.conf.all.forwarding', 1)
        self.router.ip('route', 'add', 'unreachable', '203.0.113.0/24')
        self.host.ip('route', 'add', 'default', 'via', ROUTER)
        self.host.ip('-6', 'route', 'add', 'default', 'via', '2001:db8::1')
        self.server.ip('route', 'add', 'default', 'via', ROUTER_IN)
        self.server.ip('-6', 'route', 'add', 'default', 'via', '2001:db8:1::1')
        self.resolvers('127.0.0.1')
        self.guest = None

    def net(self):
        n = Net()
        self.nets.append(n)
        return n

    def link(self, a, a_name, a_addrs, b, b_name, b_addrs):
        a.ip('link', 'add', a_name, 'type', 'veth', 'peer', 'name', b_name, 'netns', str(b.pid))
        for net, name, addrs in ((a, a_name, a_addrs), (b, b_name, b_addrs)):
            for addr in addrs:
                net.ip('addr', 'add', addr, 'dev', name, *(['nodad'] if ':' in addr else []))
            net.ip('link', 'set', name, 'up')

    def resolvers(self, *addrs):
        """Writes the host's resolv.conf the way most programs do: a new file in the old one's place."""
        path = '/etc/resolv.conf'
        with open(path + '.new', 'w') as f:
            f.writelines('nameserver %s\n' % a for a in addrs)
        os.rename(path + '.new', path)

    def up(self, *args, port_options='', n_guests=1, ports=()):
        """A network with fresh guests; self.guest is the first."""
        guests = [self.net() for _ in range(n_guests)]
        self.guest, self.guests = guests[0], guests
        v = Vmlan(self, [*args, *('netns:%d%s' % (g.pid, port_options) for g in guests), *ports])
        for g in guests:
            wait_for('the interface in the guest', lambda g=g: not v.alive() or g.has('vmlan0'))
        check(v.alive(), 'vmlan ended: ' + v.log())
        if 'noconfig' not in port_options:
            wait_for('an answer from the router', lambda: ping(self.guest, HOST, timeout=0.2) == 0)
        return v

    def down(self):
        for v in self.vmlans:
            with contextlib.suppress(Failure):
                v.stop()
        for g in self.nets[2:]:
            g.close()
        del self.nets[2:]
        self.guest = None


def csum(data):
    if len(data) % 2:
        data += b'\0'
    s = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    s = (s & 0xffff) + (s >> 16)
    s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff


def ping(net, addr, timeout=5.0, ttl=None, n_data=16, ident=None):
    """The answer's ICMP type, None if there is none; for errors (type, code, who)."""
    with net.inside():
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with s:
        if ttl:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        ident = random.randrange(65536) if ident is None else ident
        data = random.randbytes(n_data)
        head = struct.pack('!BBHHH', 8, 0, 0, ident, 1)
        head = struct.pack('!BBHHH', 8, 0, csum(head + data), ident, 1)
        try:
            s.sendto(head + data, (addr, 0))
        except OSError:
            return None
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            if not select.select([s], [], [], left)[0]:
                break
            packet, who = s.recvfrom(65536)
            icmp = packet[(packet[0] & 15) * 4:]
            if icmp[0] == 0 and icmp[4:6] == head[4:6] and icmp[8:] == data and who[0] == addr:
                return 0
            if icmp[0] in (3, 11) and icmp[8 + 20 + 4:8 + 20 + 6] == head[4:6]:
                return icmp[0], icmp[1], who[0]
    return None


def udp_error(net, addr, port, ttl=None, timeout=5.0, data=b'x'):
    """The ICMP error that a datagram earns: (errno, type, code, who sent it), or None."""
    with net.udp() as s:
        s.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        if ttl:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        s.connect((addr, port))
        s.send(data)
        p = select.poll()
        p.register(s, 0)
        if not p.poll(timeout * 1000):
            return None
        _, control, _, _ = s.recvmsg(1024, 512, MSG_ERRQUEUE)
        for level, kind, c in control:
            if level == socket.IPPROTO_IP and kind == IP_RECVERR:
                number, _origin, icmp_type, code = struct.unpack_from('=IBBB', c)
                return number, icmp_type, code, socket.inet_ntoa(c[20:24])
    return None


class Pattern:
    """Bytes that differ at each place, with a running checksum."""
    BLOCK = random.Random(1).randbytes((1 << 20) + 65536)

    def __init__(self, total):
        self.total = total

    def blocks(self):
        left, i = self.total, 0
        while left:
            at = i * 7919 % 65536
            b = memoryview(self.BLOCK)[at:at + min(left, 1 << 20)]
            yield b
            left -= len(b)
            i += 1

    def crc(self):
        c = 0
        for b in self.blocks():
            c = zlib.crc32(b, c)
        return c


def send_pattern(s, total, shutdown=True):
    for b in Pattern(total).blocks():
        s.sendall(b)
    if shutdown:
        s.shutdown(socket.SHUT_WR)


def recv_to_end(s, chunk=1 << 18, pause=0):
    """(bytes, checksum) up to the end of the stream."""
    n, c, buf = 0, 0, bytearray(chunk)
    while True:
        k = s.recv_into(buf)
        if k == 0:
            return n, c
        c = zlib.crc32(memoryview(buf)[:k], c)
        n += k
        if pause:
            time.sleep(pause)


class Background(threading.Thread):
    """A call in a thread of its own; result() returns or raises what it did."""

    def __init__(self, fn, *args, **kw):
        super().__init__(daemon=True)
        self.call = lambda: fn(*args, **kw)
        self.value, self.error = None, None
        self.start()

    def run(self):
        try:
            self.value = self.call()
        except BaseException as e:
            self.error = e

    def result(self, timeout=CHECK_SECONDS):
        self.join(timeout)
        if self.is_alive():
            raise Failure('a background call did not end')
        if self.error:
            raise self.error
        return self.value


def receive(s, n):
    """Exactly n bytes: a socket with a timeout does not wait for all of them, MSG_WAITALL or not."""
    r = b''
    while len(r) < n:
        more = s.recv(n - len(r))
        check(more, 'the stream ended after %d of %d bytes' % (len(r), n))
        r += more
    return r


def takes_at_most(seconds, what, fn):
    """One time of three: another process may have had the processor."""
    took = []
    while not took or took[-1] > seconds:
        check(len(took) < 3, '%s takes %s s' % (what, ', '.join('%.1f' % t for t in took)))
        begin = time.monotonic()
        fn()
        took.append(time.monotonic() - begin)


def send_until_error(s):
    """What comes of sending on to a peer that has gone is raised, however long it is on its way."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        s.sendall(b'y' * 1000)
        time.sleep(0.02)


def expect_errno(fn, *numbers):
    try:
        fn()
    except socket.timeout:
        got = 'nothing within the time'
    except OSError as e:
        if e.errno in numbers:
            return e.errno
        got = errno.errorcode.get(e.errno, e.errno)
    else:
        got = 'no error'
    raise Failure('%s instead of %s' % (got, ' or '.join(errno.errorcode[n] for n in numbers)))


def _on_alarm(_signal, _frame):
    raise Failure('not done within %d s' % CHECK_SECONDS)


def _inner(tests):
    must('mount', '--make-rprivate', '/')
    must('mount', '-t', 'sysfs', 'sysfs', '/sys')
    must('mount', '-t', 'tmpfs', 'tmpfs', TMP)
    etc = os.path.join(TMP, 'etc')
    os.mkdir(etc)
    for name in ('passwd', 'group', 'nsswitch.conf', 'protocols', 'services', 'iproute2', 'machine-id',
                 'ld.so.cache', 'ld.so.conf', 'alternatives', 'hosts'):
        path = '/etc/' + name
        if os.path.isdir(path):
            shutil.copytree(path, os.path.join(etc, name), symlinks=True)
        elif os.path.exists(path):
            shutil.copy(path, etc)
    must('mount', '--bind', etc, '/etc')
    failed = 0
    lab = Lab()
    signal.signal(signal.SIGALRM, _on_alarm)
    wanted = [a for a in sys.argv[1:] if not a.startswith('-')]
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        begin = time.monotonic()
        try:
            signal.alarm(CHECK_SECONDS)
            test(lab)
            if any('Sanitizer' in v.log() or 'runtime error' in v.log() for v in lab.vmlans):
                raise Failure('a sanitizer complained')
            print('ok   %s (%.1f s)' % (test.__name__, time.monotonic() - begin), flush=True)
        except Exception as e:
            failed += 1
            print('FAIL %s: %s: %s' % (test.__name__, type(e).__name__, e), flush=True)
            if not isinstance(e, Failure) or '-v' in sys.argv:
                traceback.print_exc(file=sys.stdout)
            lab.down()
            for v in lab.vmlans:
                print('--- %s\n%s---' % (' '.join(v.args[1:]), v.log()[-3000:]), flush=True)
        finally:
            signal.alarm(0)
            lab.down()
            lab.vmlans.clear()
    sys.stdout.flush()
    os._exit(1 if failed else 0)


def starter(unshare):
    """What begins a command line that is to run in the namespaces of an `unshare ...`."""
    own_root = os.path.join(ROOT, 'tests/vm/lib/own_root.py')
    for start in (unshare, [own_root, *unshare]):  # the second: in a chroot whose root is no mount point
        if subprocess.run([*start, 'true'], stderr=subprocess.DEVNULL).returncode == 0:
            return start
    return skip('this machine makes no namespaces')


def run(*tests):
    """Runs each test with a lab; names on the command line choose among them."""
    if os.environ.get('VMLAN_LAB'):
        return _inner(tests)
    if not os.access(VMLAN, os.X_OK):
        skip('no binary %s' % VMLAN)
    if os.geteuid() != 0:
        skip('needs root, for namespaces with routers and packet sockets')
    if not os.path.exists('/dev/net/tun'):
        skip('no /dev/net/tun')
    for tool in ('unshare', 'nsenter', 'ip', 'nft', 'busybox'):
        if not shutil.which(tool):
            skip('no ' + tool)
    unshare = ['unshare', '--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc']
    start = starter(unshare)
    os.environ.update(VMLAN_LAB='1', VMLAN=VMLAN)
    sys.stdout.flush()
    os.execvp(start[0], [*start, sys.executable, *sys.argv])
