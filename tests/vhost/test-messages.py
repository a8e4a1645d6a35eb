#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A front end that speaks vhost-user wrongly: sizes that lie, messages cut short, descriptors too few, too many or
of the wrong kind, memory that overlaps, wraps or is not there, storms, ends at any byte. Each ends in an answer that
says no, or in a closed port; the next front end is served, and so are the other ports all the while.

also: --queues=2
"""

import random

from vhostlib import *

ALL_REQUESTS = [*range(0, 44), 0xff, 0x7fffffff, 0xffffffff]
BODY_BYTES = {GET_FEATURES: 0, SET_FEATURES: 8, SET_OWNER: 0, RESET_OWNER: 0, SET_LOG_BASE: 16, SET_VRING_NUM: 8,
              SET_VRING_ADDR: 40, SET_VRING_BASE: 8, GET_VRING_BASE: 8, SET_VRING_KICK: 8, SET_VRING_CALL: 8,
              SET_VRING_ERR: 8, GET_PROTOCOL: 0, SET_PROTOCOL: 8, GET_QUEUE_NUM: 0, SET_VRING_ENABLE: 8, SEND_RARP: 8,
              NET_SET_MTU: 8, GET_SLOTS: 0, ADD_MEM_REG: 40, REM_MEM_REG: 40, SET_STATUS: 8, GET_STATUS: 0}


def refused(bed, why, *said, fds=()):
    """A connection on which that is said is closed, and counted."""
    with Client(bed.attacked) as c:
        for data in said:
            if not c.send(data, fds):
                break
            fds = ()
        check(c.is_closed(), 'not closed: ' + why)


def test_lying_sizes(bed):
    before, n = bed.counts(), 0
    for request in ALL_REQUESTS:
        right = BODY_BYTES.get(request)
        for size in {0, 1, 7, 9, 39, 41, 264, 265, 4096, 0x7fffffff, 0x80000000, 0xfffffff3, 0xffffffff} - {right}:
            if request == SET_LOG_FD or request == SET_BACKEND_FD:
                continue  # any body, but a descriptor
            refused(bed, 'request %d of %d bytes' % (request, size),
                    Client.message(request, bytes(min(size, 264)), size=size))
            n += 1
    after = bed.counts()
    check(after[0] - before[0] == n, '%d of %d were counted' % (after[0] - before[0], n))


def test_lying_flags(bed):
    for flags in (0, 2, 3, VERSION | REPLY, REPLY, 0xfffffffc, 0x10 | 2):
        refused(bed, 'flags %#x' % flags, Client.message(GET_FEATURES, flags=flags))


def test_lying_counts(bed):
    """Tables that say another number of regions than they have."""
    r = region(n=4096)
    mem = Memory()
    for n in (0, 2, 8, 9, 0x7fffffff, 0x8000001, 0xffffffff):
        for fds in ([], [mem.fd], [mem.fd] * 2, [mem.fd] * 8):
            body = struct.pack('=II', n, 0) + r
            refused(bed, 'a table of %d regions, one there' % n, Client.message(SET_MEM_TABLE, body), fds=fds)
    mem.close()


def handshake(mem, kick, call):
    """All that a front end says: messages with their descriptors."""
    said = [(Client.message(GET_FEATURES), []), (Client.message(GET_PROTOCOL), []),
            (Client.message(SET_PROTOCOL, struct.pack('=Q', REPLY_ACK)), []), (Client.message(SET_OWNER), []),
            (Client.message(SET_FEATURES, struct.pack('=Q', MODERN | PROTOCOL)), []),
            (Client.message(SET_MEM_TABLE, table(region(n=BYTES // 2), region(GUEST_AT + BYTES // 2, BYTES // 2,
                                                                              USER_AT + BYTES // 2, BYTES // 2))),
             [mem.fd, mem.fd])]
    for i in range(2):
        at = USER_AT + RING_AT * (i + 1)
        said += [(Client.message(SET_VRING_NUM, struct.pack('=II', i, NUM)), []),
                 (Client.message(SET_VRING_BASE, struct.pack('=II', i, 0)), []),
                 (Client.message(SET_VRING_ADDR, struct.pack('=IIQQQQ', i, 0, at, at + DEVICE_AT, at + DRIVER_AT, 0)), []),
                 (Client.message(SET_VRING_KICK, struct.pack('=Q', i)), [kick]),
                 (Client.message(SET_VRING_CALL, struct.pack('=Q', i)), [call]),
                 (Client.message(SET_VRING_ENABLE, struct.pack('=II', i, 1)), [])]
    return said + [(Client.message(GET_VRING_BASE, struct.pack('=II', 0, 0)), [])]


def test_ends_at_each_byte(bed):
    """The front end goes away after any number of bytes."""
    mem, kick, call = Memory(), eventfd(), eventfd()
    said = handshake(mem, kick, call)
    for cut in range(sum(len(m) for m, _ in said) + 1):
        with Client(bed.attacked) as c:
            left = cut
            for data, fds in said:
                data = data[:left]
                left -= len(data)
                if not data or not c.send(data, fds):
                    break
    for cut in range(0, sum(len(m) for m, _ in said), 7):  # and waits a while before it does
        with Client(bed.attacked) as c:
            left = cut
            for data, fds in said:
                data = data[:left]
                left -= len(data)
                if data:
                    c.send(data, fds)
            check(not c.is_closed(0.005), 'closed after %d good bytes' % cut)
    mem.close()
    os.close(kick)
    os.close(call)


def test_byte_by_byte(bed):
    """No lie: what comes in crumbs is understood, descriptors wherever they are."""
    with FrontEnd(bed.attacked, memory=False, start=False) as f:
        message = Client.message(SET_MEM_TABLE, table(region()), flags=VERSION | NEED_REPLY)
        for i in range(len(message)):
            f.c.send(message[i:i + 1], [f.mem.fd] if i == len(message) - 1 else [])
        check(f.c.hear(SET_MEM_TABLE) == bytes(8), 'a message in crumbs was not done')
        for r in f.rings:
            r.start()
        check(f.answers(b'\2\0\0\0\0\x52', '10.0.2.52'), 'no answer')


def test_descriptors(bed):
    """Too few, too many, in many messages, beside a message that takes none."""
    fd = eventfd()
    for request, right in ((GET_FEATURES, 0), (SET_OWNER, 0), (SET_FEATURES, 0), (SET_VRING_NUM, 0), (SET_LOG_BASE, 1),
                           (SET_LOG_FD, 1), (SET_VRING_KICK, 1), (SET_VRING_CALL, 1), (SET_VRING_ERR, 1),
                           (ADD_MEM_REG, 1), (SET_BACKEND_FD, 1), (SET_MEM_TABLE, 1), (99, 0)):
        body = table(region()) if request == SET_MEM_TABLE else bytes(BODY_BYTES.get(request, 8))
        for n in {0, 1, 2, 7, 8, 9, 16, 100, 253} - {right}:
            refused(bed, 'request %d with %d descriptors' % (request, n), Client.message(request, body), fds=[fd] * n)
    for value in (0x100, 0x101):  # "there is none", and there is one
        refused(bed, 'a descriptor that is not there', Client.message(SET_VRING_CALL, struct.pack('=Q', value)), fds=[fd])
    with Client(bed.attacked) as c:  # two with each byte
        for byte in Client.message(SET_VRING_CALL, bytes(8)):
            c.send(bytes([byte]), [fd, fd])
        check(c.is_closed(), 'not closed: descriptors beside each byte')
    with FrontEnd(bed.attacked, memory=False, start=False) as f:  # one for the next message, not for this one
        f.c.send(Client.message(SET_OWNER) + Client.message(SET_VRING_CALL, bytes(8)), [fd])
        check(f.c.is_closed(), 'not closed: a descriptor beside the message before its own')
    os.close(fd)


@contextlib.contextmanager
def odd_descriptors():
    """Of every kind that is not the right one, by name."""
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as tmp:
        def keep(fd):
            stack.callback(os.close, fd)
            return fd
        found = {'a folder': keep(os.open('/', os.O_RDONLY)), '/dev/null': keep(os.open('/dev/null', os.O_RDWR)),
                 'a path': keep(os.open('/', os.O_PATH)), 'an eventfd': keep(eventfd())}
        for name, end in zip(('a pipe to read', 'a pipe to write'), os.pipe()):
            found[name] = keep(end)
        for name, closed in (('a pipe nobody reads', 0), ('a pipe nobody writes', 1)):
            ends = os.pipe()
            os.close(ends[closed])
            found[name] = keep(ends[1 - closed])
        os.mkfifo(os.path.join(tmp, 'fifo'))
        found['a FIFO'] = keep(os.open(os.path.join(tmp, 'fifo'), os.O_RDWR))
        for name, kind in (('a stream socket', socket.SOCK_STREAM), ('a datagram socket', socket.SOCK_DGRAM)):
            a, b = socket.socketpair(socket.AF_UNIX, kind)
            found[name] = stack.enter_context(a).fileno()
            stack.enter_context(b)
        listener = stack.enter_context(socket.socket())
        listener.listen()
        found['a listening socket'] = listener.fileno()
        epoll = stack.enter_context(select.epoll())
        epoll.register(found['an eventfd'], select.EPOLLIN)
        found['an epoll'] = epoll.fileno()
        for name, flags in (('a file', os.O_RDWR), ('a file to read', os.O_RDONLY), ('a file to write', os.O_WRONLY)):
            found[name] = keep(os.open(os.path.join(tmp, 'file'), flags | os.O_CREAT))
        os.ftruncate(found['a file'], 4096)
        empty = keep(os.memfd_create('empty', os.MFD_CLOEXEC))
        sealed = keep(os.memfd_create('sealed', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        os.ftruncate(sealed, BYTES)
        fcntl.fcntl(sealed, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        found['an empty file'], found['a file that may not be written'] = empty, sealed
        found['a process'] = keep(os.pidfd_open(os.getpid()))
        found['a timer'] = keep(os.open('/proc/self/status', os.O_RDONLY))
        yield found


def test_files_that_are_no_memory(bed):
    with odd_descriptors() as odd:
        for name, fd in odd.items():
            for request, body in ((SET_MEM_TABLE, table(region())), (ADD_MEM_REG, slot(region())),
                                  (SET_LOG_BASE, struct.pack('=QQ', 4096 * 4, 0))):
                with FrontEnd(bed.attacked, memory=False, start=False, protocol=REPLY_ACK | MEM_SLOTS | LOG_SHMFD) as f:
                    check(not f.c.ask_ack(request, body, [fd]), '%s was taken for memory' % name)
                refused(bed, 'memory that is ' + name, Client.message(request, body), fds=[fd])


def test_kicks_and_calls_of_other_kinds(bed):
    """What is no eventfd is refused, or serves without harm."""
    taken = {}
    with odd_descriptors() as odd:
        for name, fd in odd.items():
            for request in (SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR, SET_BACKEND_FD, SET_LOG_FD):
                with FrontEnd(bed.attacked) as f:
                    body = struct.pack('=Q', TO_GUEST)
                    done = f.c.ask_ack(request, body, [fd])
                    taken[request, name] = done
                    f.offer_buffers()
                    for _ in range(3):
                        f.send_frame(arp_request(b'\2\0\0\0\0\x53', '10.0.2.53'))
                        f.rings[FROM_GUEST].kick()
                    f.sync()
        for name in ('a stream socket', 'a file', 'a folder', '/dev/null'):
            for request in (SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR):
                if (request, name) != (SET_VRING_CALL, 'a stream socket'):
                    check(not taken[request, name], '%s was taken for a notification (request %d)' % (name, request))
        # User Mode Linux calls by one of a pair of sockets.
        for name in ('a stream socket', 'a pipe to write'):
            check(taken[SET_VRING_CALL, name], '%s was not taken' % name)


def test_own_end(bed):
    """The front end hands its own end over in every way: the port must hear that it has gone all the same."""
    for request in (SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR, SET_LOG_FD, ADD_MEM_REG, 99):
        with Client(bed.attacked) as c:
            c.say(request, slot(region()) if request == ADD_MEM_REG else 0, [c.s.fileno()])
            c.say(GET_FEATURES)
        works(bed.attacked)


def test_lingering_socket(bed):
    """A socket whose last close() would wait for its peer is closed without waiting."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        for request in (SET_VRING_CALL, SET_BACKEND_FD, SET_LOG_FD, 99):
            s = socket.create_connection(listener.getsockname())
            peer, _ = listener.accept()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 3600))
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    s.send(bytes(65536))
            with Client(bed.attacked) as c:
                c.say(request, 0, [s.fileno()])
                os.close(s.detach())  # in flight: the port's is the last
                c.is_closed(0.1)
            bed.witness.check('while a lingering socket is closed')
            peer.close()


def test_regions(bed):
    end = 1 << 64
    bad = {'of no bytes': region(n=0), 'that wraps for the guest': region(guest=end - 4096),
           'that wraps for the front end': region(user=end - 4096), 'beyond its file': region(n=BYTES + 1),
           'behind its file': region(offset=BYTES), 'with an offset beyond all': region(offset=end - 4096),
           'with an offset that wraps': region(offset=end - BYTES, n=BYTES + 4096), 'of all there is': region(n=end - 1),
           'of half of it': region(n=1 << 63), 'with half of it behind': region(n=BYTES, offset=BYTES // 2),
           'that ends at the last address': region(guest=end - BYTES), 'with a negative offset': region(offset=1 << 63)}
    for name, r in bad.items():
        with FrontEnd(bed.attacked, memory=False, start=False) as f:
            check(not f.c.ask_ack(ADD_MEM_REG, slot(r), [f.mem.fd]), 'a region %s was taken' % name)
            check(not f.c.ask_ack(SET_MEM_TABLE, table(r), [f.mem.fd]), 'a region %s was taken' % name)
            check(f.c.ask_ack(ADD_MEM_REG, slot(region()), [f.mem.fd]), 'a good region was refused afterwards')
        with FrontEnd(bed.attacked, memory=False, start=False) as f:
            f.c.say(SET_MEM_TABLE, table(r), [f.mem.fd])
            check(f.c.is_closed(), 'not closed: a region ' + name)
    overlapping = {'the same': region(), 'in the middle': region(GUEST_AT + 4096, 4096, USER_AT + 2 * BYTES),
                   'at its end': region(GUEST_AT + BYTES - 1, 4096, USER_AT + 2 * BYTES),
                   'before it': region(GUEST_AT - 4096, 4097, USER_AT + 2 * BYTES),
                   'for the front end': region(GUEST_AT + 2 * BYTES, 4096, USER_AT + 4096),
                   'around it': region(0, 2 * BYTES, USER_AT + 2 * BYTES)}
    with FrontEnd(bed.attacked, start=False) as f:
        os.ftruncate(f.mem.fd, 2 * BYTES)
        for name, r in overlapping.items():
            # QEMU 7.2 says the same once for each pair of queues, also when it takes it away.
            wanted = name == 'the same' and bool(OPTIONS)
            check(f.c.ask_ack(ADD_MEM_REG, slot(r), [f.mem.fd]) == wanted, 'a region that overlaps %s' % name)
        for name, r in (('unknown', region(guest=0)), ('shorter', region(n=BYTES - 1)), ('elsewhere', region(user=0))):
            check(f.c.ask_ack(REM_MEM_REG, slot(r)) == bool(OPTIONS), 'a region %s was taken away' % name)
        n = 1
        while f.c.ask_ack(ADD_MEM_REG, slot(region(GUEST_AT + n * BYTES, 4096, USER_AT + n * BYTES)), [f.mem.fd]):
            n += 1
            check(n < 1000, 'more than %d regions' % n)
        check(n >= 8, 'only %d regions' % n)


def test_no_memory(bed):
    with FrontEnd(bed.attacked, memory=False) as f:
        for r in f.rings:
            r.kick()
        f.sync()
        wait_for('the advice', lambda: 'start QEMU with share=on' in bed.v.log())
        check(f.c.ask_ack(SET_MEM_TABLE, table(region()), [f.mem.fd]), 'memory that comes late was refused')
        check(f.answers(b'\2\0\0\0\0\x54', '10.0.2.54'), 'no answer after memory came late')


def test_ring_addresses(bed):
    """Outside of memory, unaligned, not all inside: no such ring is started, and nothing is written."""
    end, last = 1 << 64, USER_AT + BYTES
    for place, n in (('desc', NUM * 16), ('driver', 6 + 2 * NUM), ('device', 6 + 8 * NUM)):
        for at in (0, USER_AT - 16, last, last - n + 16, end - 16, end - n, 1 << 63, USER_AT + 1, USER_AT + RING_AT + 1):
            with FrontEnd(bed.attacked, start=False) as f:
                f.rings[FROM_GUEST].start(**{place: at})
                f.send_frame(arp_request(b'\2\0\0\0\0\x55', '10.0.2.55'))
                with contextlib.suppress(Failure, OSError):
                    f.sync()
                check(f.rings[FROM_GUEST].take_used() is None, 'a ring with its %s at %#x runs' % (place, at))


def test_ring_numbers(bed):
    """Of rings and of their sizes."""
    for num in (0, 3, 255, 1025, 2048, 32768, 65535, 65536, 65536 + 256, 0xffffffff):
        with FrontEnd(bed.attacked, start=False) as f:
            refused_at_once = not f.c.ask_ack(SET_VRING_NUM, struct.pack('=II', 0, num))
            if not refused_at_once:
                refused_at_once = not f.c.ask_ack(SET_VRING_KICK, 0, [f.rings[0].kick_fd]) or \
                    not f.c.ask_ack(SET_VRING_ADDR, f.rings[0].addr())
            check(refused_at_once, 'a ring of %d was started' % num)
    fd = eventfd()
    for number in (64, 254, 255, 256, 0x7fffffff, 0xffffffff):
        for request in (SET_VRING_NUM, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_ENABLE):
            refused(bed, 'ring %d' % number, Client.message(request, struct.pack('=II', number, 1)))
        refused(bed, 'ring %d' % number, Client.message(SET_VRING_ADDR, struct.pack('=IIQQQQ', number, 0, 0, 0, 0, 0)))
    for number in (64, 0xff):
        refused(bed, 'ring %d' % number, Client.message(SET_VRING_KICK, struct.pack('=Q', number)), fds=[fd])
    with FrontEnd(bed.attacked, PACKED, start=False) as f:  # places where no ring goes on
        f.c.state(SET_VRING_NUM, 0, NUM)
        f.c.say(SET_VRING_ADDR, f.rings[0].addr())
        for base in (0x01000100, 0x7fff7fff, 0xffffffff):
            f.c.state(SET_VRING_BASE, 0, base)
            check(not f.c.ask_ack(SET_VRING_KICK, 0, [fd]), 'a packed ring goes on at %#x' % base)
    os.close(fd)


def test_features_never_offered(bed):
    with Client(bed.attacked) as c:
        offered, protocol = c.ask(GET_FEATURES), c.ask(GET_PROTOCOL)
    for bit in range(64):
        if not offered >> bit & 1:
            refused(bed, 'feature %d' % bit, Client.message(SET_FEATURES, struct.pack('=Q', 1 << bit)))
        if not protocol >> bit & 1:
            refused(bed, 'protocol feature %d' % bit, Client.message(SET_PROTOCOL, struct.pack('=Q', 1 << bit)))
    with FrontEnd(bed.attacked) as f:  # others than those with which the rings run
        check(not f.c.ask_ack(SET_FEATURES, MODERN | PROTOCOL | PACKED), 'features were changed under running rings')


def test_storms(bed):
    """As many messages as a front end can send; the others must not wait for it."""
    with FrontEnd(bed.attacked) as f:
        fd = f.rings[0].call_fd
        for data, fds in ((Client.message(SET_OWNER) * 500, []), (Client.message(SET_VRING_CALL, bytes(8)), [fd]),
                          (Client.message(SET_MEM_TABLE, table(region())), [f.mem.fd]),
                          (Client.message(SET_VRING_KICK, bytes(8)), [f.rings[0].kick_fd]),
                          (Client.message(SET_VRING_ENABLE, struct.pack('=II', 1, 1)) * 100, []),
                          (Client.message(SEND_RARP, b'\2\0\0\0\0\x77\0\0') * 100, [])):
            end = time.monotonic() + 1
            while time.monotonic() < end:
                check(f.c.send(data, fds), 'closed during a storm of good messages')
            bed.witness.check('during a storm of messages')
            f.sync()
    for _ in range(300):  # of connections
        with Client(bed.attacked) as c:
            c.say(GET_FEATURES)


def test_never_reads(bed):
    """A front end that asks and never reads the answers is closed, not waited for."""
    before = bed.counts()
    with Client(bed.attacked) as c:
        c.s.settimeout(1)
        with contextlib.suppress(socket.timeout):
            for _ in range(1000):
                if not c.send(Client.message(GET_FEATURES) * 100):
                    break
            else:
                raise Failure('100,000 answers were kept for a front end that does not read')
    wait_for('the port to close', lambda: bed.counts()[1] > before[1])


def test_second_client(bed):
    """One at a time; the second is served when the first has gone."""
    with FrontEnd(bed.attacked) as first:
        second = Client(bed.attacked)
        second.say(GET_FEATURES)
        check(not select.select([second.s], [], [], 0.3)[0], 'two front ends on one port')
        check(first.answers(b'\2\0\0\0\0\x56', '10.0.2.56'), 'the first gets no answer while another waits')
    check(len(second.hear(GET_FEATURES)) == 8, 'the second is not served after the first')
    second.close()


def test_garbage(bed):
    """Random messages to a port whose rings run, and random bytes."""
    rnd = random.Random(4711)
    with odd_descriptors() as odd:
        for i in range(300):
            with contextlib.suppress(Failure, OSError), FrontEnd(bed.attacked, rnd.choice((0, PACKED, INDIRECT))) as f:
                fds = [*odd.values(), f.mem.fd, f.rings[0].kick_fd, f.rings[1].call_fd]
                for _ in range(rnd.randrange(1, 20)):
                    request = rnd.randrange(1, 42)
                    n = BODY_BYTES.get(request, rnd.choice((0, 8, 40)))
                    body = b''.join(rnd.choice((bytes(8), struct.pack('=II', 1, 0), struct.pack('=II', 0, 1), rnd.randbytes(8),
                                                struct.pack('=Q', USER_AT + RING_AT), struct.pack('=Q', GUEST_AT),
                                                struct.pack('=Q', 4096))) for _ in range((n + 7) // 8))
                    if not f.c.say(request, body[:n], rnd.sample(fds, rnd.choice((0, 0, 1, 1, 2)))):
                        break
                f.rings[1].kick()
            if i % 3 == 0:
                with Client(bed.attacked) as c:
                    c.send(rnd.randbytes(rnd.randrange(1, 400)))


run(test_lying_sizes, test_lying_flags, test_lying_counts, test_ends_at_each_byte, test_byte_by_byte, test_descriptors,
    test_files_that_are_no_memory, test_kicks_and_calls_of_other_kinds, test_own_end, test_lingering_socket, test_regions,
    test_no_memory, test_ring_addresses, test_ring_numbers, test_features_never_offered, test_storms, test_never_reads,
    test_second_client, test_garbage)
