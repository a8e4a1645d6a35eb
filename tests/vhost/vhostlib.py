# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of vhost-user ports share: a front end and driver that speak the raw protocol, rightly or
wrongly, and a network with two vhost-user ports and a witness on a stream port, who asks the engine something
all the while and notes how long each answer took.

A test runs itself again in namespaces of its own, as netlib's do, and needs no root for it. VMLAN names the
binary. Exit status: 0, or 1 if a check failed, or 77 if this machine cannot run it."""

import array
import contextlib
import fcntl
import mmap
import os
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

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'netns'))
from netlib import HOST, VMLAN, Failure, Vmlan, check, csum, must, skip, starter, wait_for  # noqa: E402

# Requests.
(GET_FEATURES, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEM_TABLE, SET_LOG_BASE, SET_LOG_FD, SET_VRING_NUM,
 SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR, GET_PROTOCOL,
 SET_PROTOCOL, GET_QUEUE_NUM, SET_VRING_ENABLE, SEND_RARP, NET_SET_MTU, SET_BACKEND_FD) = range(1, 22)
GET_SLOTS, ADD_MEM_REG, REM_MEM_REG, SET_STATUS, GET_STATUS = range(36, 41)
VERSION, REPLY, NEED_REPLY = 1, 4, 8
NO_FD = 0x100
REPLY_ACK, MEM_SLOTS, LOG_SHMFD = 1 << 3, 1 << 15, 1 << 1
CSUM, GUEST_CSUM, GUEST_TSO4, MERGE = 1 << 0, 1 << 1, 1 << 7, 1 << 15
LOG_ALL, INDIRECT, EVENT_IDX, PROTOCOL, MODERN, PACKED = 1 << 26, 1 << 28, 1 << 29, 1 << 30, 1 << 32, 1 << 34
NEXT, WRITE, TABLE = 1, 2, 4
AVAIL, USED = 1 << 7, 1 << 15

GUEST_AT, USER_AT, BYTES = 0x100000, 0x7f0000000000, 4 << 20
RING_AT, DRIVER_AT, DEVICE_AT, TABLES_AT, BUFFERS_AT, BUFFER_BYTES = 0x10000, 0x4000, 0x8000, 0x80000, 0x100000, 4096
TO_GUEST, FROM_GUEST = 0, 1
NUM = 256
STALL_SECONDS = 5
BROADCAST = b'\xff' * 6

with open(VMLAN, 'rb') as binary:
    SANITIZED = b'__asan_init' in binary.read()


def eventfd():
    return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)


def was_told(fd, seconds=STALL_SECONDS):
    """Whether an eventfd is written to in time."""
    if not select.select([fd], [], [], seconds)[0]:
        return False
    os.eventfd_read(fd)
    return True


class Memory:
    """A guest's memory."""

    def __init__(self, n=BYTES):
        self.fd = os.memfd_create('guest', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, n)
        self.map = mmap.mmap(self.fd, n)
        self.n = n

    def put(self, at, data):
        self.map[at:at + len(data)] = data

    def get(self, at, n):
        return self.map[at:at + n]

    def close(self):
        self.map.close()
        os.close(self.fd)


class Client:
    """One connection to a vhost-user port."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(STALL_SECONDS)
        wait_for('the socket ' + path, lambda: os.path.exists(path))
        wait_for('a place in the queue of ' + path, lambda: self.connect(path))

    def connect(self, path):
        with contextlib.suppress(BlockingIOError):
            self.s.connect(path)
            return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.s.close()

    @staticmethod
    def message(request, body=b'', size=None, flags=VERSION):
        return struct.pack('=III', request, flags, len(body) if size is None else size) + body

    def send(self, data, fds=()):
        """Raw bytes. False when the other end is gone."""
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        try:
            sent = self.s.sendmsg([data], control)
            if sent < len(data):
                self.s.sendall(data[sent:])
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def say(self, request, body=b'', fds=(), **how):
        if isinstance(body, int):
            body = struct.pack('=Q', body)
        return self.send(self.message(request, body, **how), fds)

    def state(self, request, ring, value, **how):
        return self.say(request, struct.pack('=II', ring, value), **how)

    def hear(self, request):
        """The body of the answer."""
        head = self.s.recv(12, socket.MSG_WAITALL)
        check(len(head) == 12, 'the port closed instead of answering request %d' % request)
        got, flags, n = struct.unpack('=III', head)
        check((got, flags) == (request, VERSION | REPLY), 'answer %d, flags %d to request %d' % (got, flags, request))
        return self.s.recv(n, socket.MSG_WAITALL) if n else b''

    def ask(self, request, body=b'', fds=()):
        """The number that a request is answered with."""
        check(self.say(request, body, fds), 'the port closed before request %d' % request)
        return struct.unpack('=Q', self.hear(request))[0]

    def ask_ack(self, request, body, fds=()):
        """Whether a request was done."""
        if isinstance(body, int):
            body = struct.pack('=Q', body)
        check(self.say(request, body, fds, flags=VERSION | NEED_REPLY), 'the port closed before request %d' % request)
        return struct.unpack('=Q', self.hear(request))[0] == 0

    def is_closed(self, seconds=STALL_SECONDS):
        """Whether the port ends the connection in time; what it still says is read."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.s], [], [], left)[0]:
                return False
            try:
                if not self.s.recv(4096):
                    return True
            except ConnectionResetError:
                return True
        return False


def region(guest=GUEST_AT, n=BYTES, user=USER_AT, offset=0):
    return struct.pack('=QQQQ', guest, n, user, offset)


def table(*regions):
    return struct.pack('=II', len(regions), 0) + b''.join(regions)


def slot(r):
    return struct.pack('=Q', 0) + r


class Ring:
    """The driver's side of a virtqueue: what it writes is what the test says."""

    def __init__(self, front, index, num=NUM):
        self.front, self.mem, self.index, self.num, self.packed = front, front.mem, index, num, front.packed
        self.desc_at = RING_AT * (index + 1)
        self.driver_at, self.device_at = self.desc_at + DRIVER_AT, self.desc_at + DEVICE_AT
        self.kick_fd, self.call_fd, self.err_fd = eventfd(), eventfd(), eventfd()
        self.reset()

    def reset(self):
        self.avail = self.used = 0
        self.wrap = self.used_wrap = True
        self.mem.put(self.desc_at, bytes(RING_AT))

    def addr(self, desc=None, driver=None, device=None, number=None):
        return struct.pack('=IIQQQQ', self.index if number is None else number, 0,
                           USER_AT + self.desc_at if desc is None else desc,
                           USER_AT + self.device_at if device is None else device,
                           USER_AT + self.driver_at if driver is None else driver, 0)

    def put_desc(self, i, addr, n, flags, extra=0, at=None):
        """A descriptor of the ring's own table, or of one at another place. Packed: extra is the buffer's number."""
        fields = (addr, n, extra, flags) if self.packed else (addr, n, flags, extra)
        self.mem.put((self.desc_at if at is None else at) + 16 * i, struct.pack('<QIHH', *fields))

    def owned(self, flags=0):
        """Packed: the flags of a descriptor that is made available now."""
        return flags | (AVAIL if self.wrap else USED)

    def show(self, heads, ahead=None):
        """Split: makes chains available, or claims to have made `ahead` more."""
        for head in heads:
            self.mem.put(self.driver_at + 4 + 2 * (self.avail % self.num), struct.pack('<H', head & 0xffff))
            self.avail += 1
        if ahead is not None:
            self.avail += ahead
        self.mem.put(self.driver_at + 2, struct.pack('<H', self.avail & 0xffff))

    def add(self, addr, n, flags=0, number=0, pieces=1):
        """A good buffer, of so many pieces beside each other."""
        if self.packed:
            chain = []
            for i in range(pieces):
                more = NEXT if i < pieces - 1 else 0
                chain.append((self.avail, addr + i * n, n, self.owned(flags | more), number))
                self.avail += 1
                if self.avail == self.num:
                    self.avail, self.wrap = 0, not self.wrap
            for d in reversed(chain):  # the first makes all available
                self.put_desc(*d)
        else:
            for i in range(pieces):
                more = NEXT if i < pieces - 1 else 0
                self.put_desc(number + i, addr + i * n, n, flags | more, number + i + 1)
            self.show([number])

    def kick(self):
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self.kick_fd, 1)

    def take_used(self):
        """(number, bytes) of the next used buffer, or None."""
        if self.packed:
            n, number, flags = struct.unpack('<IHH', self.mem.get(self.desc_at + 16 * self.used + 8, 8))
            if not bool(flags & AVAIL) == bool(flags & USED) == self.used_wrap:
                return None
            self.used += 1
            if self.used == self.num:
                self.used, self.used_wrap = 0, not self.used_wrap
            return number, n
        if struct.unpack('<H', self.mem.get(self.device_at + 2, 2))[0] == self.used & 0xffff:
            return None
        number, n = struct.unpack('<II', self.mem.get(self.device_at + 4 + 8 * (self.used % self.num), 8))
        self.used += 1
        return number, n

    def broke(self, seconds=STALL_SECONDS):
        """Whether the port says that it stopped the ring."""
        return was_told(self.err_fd, seconds)

    def start(self, **addr):
        say, f = self.front.c.say, self.front
        self.front.c.state(SET_VRING_NUM, self.index, self.num)
        self.front.c.state(SET_VRING_BASE, self.index, 0x80008000 if self.packed else 0)
        say(SET_VRING_ADDR, self.addr(**addr))
        say(SET_VRING_CALL, self.index, [self.call_fd])
        say(SET_VRING_ERR, self.index, [self.err_fd])
        say(SET_VRING_KICK, self.index, [self.kick_fd])
        f.c.state(SET_VRING_ENABLE, self.index, 1)

    def restart(self):
        """After it was stopped: a fresh ring in the same place."""
        self.front.c.state(GET_VRING_BASE, self.index, 0)
        self.front.c.hear(GET_VRING_BASE)
        self.reset()
        self.start()
        self.front.sync()

    def close(self):
        for fd in (self.kick_fd, self.call_fd, self.err_fd):
            os.close(fd)


class FrontEnd:
    """A front end with a driver, as far as it is good."""

    def __init__(self, path, features=0, memory=True, start=True, protocol=REPLY_ACK | MEM_SLOTS):
        self.features = MODERN | PROTOCOL | features
        self.packed, self.header_bytes = bool(features & PACKED), 12
        self.mem, self.c = Memory(), Client(path)
        self.rings = [Ring(self, i) for i in range(2)]
        offered = self.c.ask(GET_FEATURES)
        check(self.features & ~offered == 0, 'features %#x are not offered' % (self.features & ~offered))
        self.offered_protocol = self.c.ask(GET_PROTOCOL)
        self.c.say(SET_PROTOCOL, protocol & self.offered_protocol)
        self.c.say(SET_OWNER)
        self.c.say(SET_FEATURES, self.features)
        if memory:
            self.c.say(SET_MEM_TABLE, table(region()), [self.mem.fd])
        if start:
            for r in self.rings:
                r.start()
            self.sync()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.c.close()
        for r in self.rings:
            r.close()
        self.mem.close()

    def sync(self):
        """What was said is done."""
        self.c.ask(GET_FEATURES)

    def offer_buffers(self, n=64):
        for i in range(n):
            self.rings[TO_GUEST].add(GUEST_AT + BUFFERS_AT + i * BUFFER_BYTES, BUFFER_BYTES, WRITE, i)
        self.rings[TO_GUEST].kick()

    def send_frame(self, frame, number=128, header=None):
        at = BUFFERS_AT + number * BUFFER_BYTES
        self.mem.put(at, (header or bytes(self.header_bytes)) + frame)
        self.rings[FROM_GUEST].add(GUEST_AT + at, self.header_bytes + len(frame), 0, number)
        self.rings[FROM_GUEST].kick()

    def next_frame(self, seconds=STALL_SECONDS):
        """The next frame to the guest, or None."""
        r, end = self.rings[TO_GUEST], time.monotonic() + seconds
        while True:
            used = r.take_used()
            if used:
                number, n = used
                return self.mem.get(BUFFERS_AT + number * BUFFER_BYTES, n)[self.header_bytes:]
            if time.monotonic() > end:
                return None
            select.select([r.call_fd], [], [], 0.02)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(r.call_fd)

    def answers(self, mac, own):
        """Whether the router answers an ARP request through the rings."""
        self.offer_buffers()
        self.send_frame(arp_request(mac, own))
        end = time.monotonic() + STALL_SECONDS
        while time.monotonic() < end:
            f = self.next_frame()
            if f and f[:6] == mac and f[12:14] == b'\x08\x06' and f[20:22] == b'\0\x02':
                return True
        return False


def works(path, features=0, mac=b'\2\0\0\0\0\x51', own='10.0.2.51'):
    """A new front end is served."""
    with FrontEnd(path, features) as f:
        check(f.answers(mac, own), 'a good front end gets no answer')


# Frames.

def ether(dst, src, kind, payload):
    return dst + src + struct.pack('!H', kind) + payload


def arp_request(mac, own):
    return ether(BROADCAST, mac, 0x806, struct.pack('!HHBBH', 1, 0x800, 6, 4, 1) + mac + socket.inet_aton(own) +
                 bytes(6) + socket.inet_aton(HOST))


def udp_frame(router, mac, own, sport, dport, data, dst=HOST):
    length = 8 + len(data)
    head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + length, 1, 0, 64, 17, 0, socket.inet_aton(own),
                       socket.inet_aton(dst))
    head = head[:10] + struct.pack('!H', csum(head)) + head[12:]
    return ether(router, mac, 0x800, head + struct.pack('!HHHH', sport, dport, length, 0) + data)


def tcp_frame(router, mac, own, dport, seq=1, ack=0, flags=2, dst=HOST):
    """A segment without text, with a large window."""
    tcp = struct.pack('!HHIIBBHHH', 5001, dport, seq, ack, 5 << 4, flags, 65535, 0, 0)
    pseudo = socket.inet_aton(own) + socket.inet_aton(dst) + struct.pack('!HH', 6, len(tcp))
    tcp = tcp[:16] + struct.pack('!H', csum(pseudo + tcp)) + tcp[18:]
    head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0, socket.inet_aton(own),
                       socket.inet_aton(dst))
    return ether(router, mac, 0x800, head[:10] + struct.pack('!H', csum(head)) + head[12:] + tcp)


class Witness(threading.Thread):
    """A guest on a stream port that asks a server on the host something, again and again."""
    MAC, OWN = b'\2\0\0\0\0\x99', '10.0.2.99'

    def __init__(self, path):
        super().__init__(daemon=True)
        self.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.server.bind(('127.0.0.1', 0))
        self.server.settimeout(0.5)
        self.s = socket.socket(socket.AF_UNIX)
        wait_for('the socket', lambda: os.path.exists(path))
        self.s.connect(path)
        self.s.settimeout(0.5)
        self.longest, self.n, self.error, self.over, self.held = 0.0, 0, None, threading.Event(), bytearray()
        self.send(arp_request(self.MAC, self.OWN))
        self.router = self.recv(lambda f: f[12:14] == b'\x08\x06' and f[20:22] == b'\0\x02')[6:12]
        self.start()

    def send(self, frame):
        self.s.sendall(struct.pack('!I', len(frame)) + frame)

    def recv(self, wanted):
        while True:
            while len(self.held) < 4 or len(self.held) < 4 + struct.unpack_from('!I', self.held)[0]:
                self.held += self.s.recv(1 << 16)
            end = 4 + struct.unpack_from('!I', self.held)[0]
            f = bytes(self.held[4:end])
            del self.held[:end]
            if wanted(f):
                return f

    def ask(self):
        """Again after half a second: a flood of broadcasts may well push a frame out of this port's queue."""
        data = struct.pack('!I', self.n)
        while not self.over.is_set():
            with contextlib.suppress(socket.timeout):
                self.send(udp_frame(self.router, self.MAC, self.OWN, 4000, self.server.getsockname()[1], data))
                got, who = self.server.recvfrom(100)
                self.server.sendto(got, who)
                return self.recv(lambda f: f[12:14] == b'\x08\0' and f[23] == 17 and f[42:46] == data)

    def run(self):
        try:
            while not self.over.wait(0.005):
                self.began = time.monotonic()
                self.ask()
                self.longest = max(self.longest, time.monotonic() - self.began)
                self.n += 1
        except (OSError, struct.error) as e:
            self.error = e

    def check(self, when):
        """Answers still come, and none was late."""
        n = self.n
        wait_for('an answer to the witness ' + when, lambda: self.n > n + 2 or self.error, 30)
        check(not self.error, 'the witness got no answer %s: %s' % (when, self.error))
        late, self.longest = self.longest, 0.0
        check(late < STALL_SECONDS, 'the witness waited %.1f s %s' % (late, when))
        return late

    def close(self):
        self.over.set()
        self.join(5)
        self.s.close()
        self.server.close()


OPTIONS = [a for a in sys.argv[1:] if a.startswith('-')]  # of vmlan


class Bed:
    """A network to be attacked."""

    def __init__(self):
        self.tmp, self.vmlans, self.prefix = tempfile.mkdtemp(), [], []
        os.environ['VMLAN_RUN_DIR'] = os.path.join(self.tmp, 'run')  # where its control socket is
        self.attacked, self.good, stream = (os.path.join(self.tmp, n) for n in ('attacked', 'good', 'witness'))
        self.v = Vmlan(self, [*OPTIONS, 'vhost-user:' + self.attacked, 'vhost-user:' + self.good, 'stream:' + stream])
        self.witness = Witness(stream)
        works(self.attacked)
        works(self.good)
        wait_for('an answer to the witness', lambda: self.witness.n)
        self.engine = self.v.engine()
        self.n_fds, self.rss_kib = self.fds(), self.v.rss_kib()

    def fds(self):
        return len(os.listdir('/proc/%d/fd' % self.engine))

    def stats(self):
        """What is counted of the attacked port, so far."""
        before = len(self.v.log())
        self.v.p.send_signal(signal.SIGUSR1)
        text = wait_for('counters', lambda: 'limits of' in self.v.log()[before:] and self.v.log()[before:], 10)
        return re.search(r'port \S*attacked(.*?)(?=port |tcp  )', text, re.S).group(1)

    def counts(self):
        """(malformed, closed)"""
        text = self.stats()
        return (int(re.search(r'malformed (\d+)', text).group(1)), int(re.search(r'closed (\d+)', text).group(1)))

    def drops(self, reason):
        found = re.search(r'dropped +%s +(\d+)' % reason, self.stats())
        return int(found.group(1)) if found else 0

    def check(self, when, grows_kib=8 << 10):
        """All is well: the engine lives and holds no more than before, the others are served, and so is the next
        front end of the attacked port."""
        check(self.v.alive() and self.v.engine() == self.engine, 'the engine ended ' + when)
        late = self.witness.check(when)
        works(self.attacked)
        works(self.attacked, PACKED)
        works(self.good)
        check(wait_for('the engine to close what it was given (%d, at first %d)' % (self.fds(), self.n_fds),
                       lambda: self.fds() <= self.n_fds), 'descriptors')
        grown = self.v.rss_kib() - self.rss_kib
        check(SANITIZED or grown < grows_kib, 'the engine grew by %d KiB %s' % (grown, when))
        return late

    def close(self):
        self.witness.close()
        log = self.v.stop()
        shutil.rmtree(self.tmp)
        check('Sanitizer' not in log and 'runtime error' not in log, 'a sanitizer complained')


def _on_alarm(_signal, _frame):
    raise Failure('not done in time')


def _inner(tests, seconds):
    must('ip', 'link', 'set', 'lo', 'up')
    signal.signal(signal.SIGALRM, _on_alarm)
    wanted = [a for a in sys.argv[1:] if not a.startswith('-')]
    n_failed, bed = 0, None
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        begin = time.monotonic()
        try:
            signal.alarm(seconds * (4 if SANITIZED else 1))
            bed = bed or Bed()
            test(bed)
            late = bed.check('after ' + test.__name__)
            print('ok   %s (%.1f s; the witness waited %.0f ms at most)' %
                  (test.__name__, time.monotonic() - begin, late * 1000), flush=True)
        except Exception as e:
            n_failed += 1
            print('FAIL %s: %s: %s' % (test.__name__, type(e).__name__, e), flush=True)
            traceback.print_exc(file=sys.stdout)
            if bed:
                print('--- %s\n%s---' % (' '.join(bed.v.args[1:]), bed.v.log()[-4000:]), flush=True)
                bed.v.p.kill()
                bed.v.p.wait()
                shutil.rmtree(bed.tmp, ignore_errors=True)
            bed = None
        finally:
            signal.alarm(0)
    try:
        if bed:
            bed.close()
    except Failure as e:
        n_failed += 1
        print('FAIL at the end: %s' % e, flush=True)
    sys.stdout.flush()
    os._exit(1 if n_failed else 0)


def run(*tests, seconds=60):
    """Runs each test; names on the command line choose among them."""
    if os.environ.get('VMLAN_LAB'):
        return _inner(tests, seconds)
    if not os.access(VMLAN, os.X_OK):
        skip('no binary %s' % VMLAN)
    unshare = ['unshare', *(['--user', '--map-root-user'] if os.geteuid() else []), '--mount', '--net', '--pid',
               '--fork', '--kill-child', '--mount-proc']
    if not shutil.which('unshare'):
        skip('no unshare')
    start = starter(unshare)
    os.environ.update(VMLAN_LAB='1', VMLAN=VMLAN)
    sys.stdout.flush()
    os.execvp(start[0], [*start, sys.executable, *sys.argv])
