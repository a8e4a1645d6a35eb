#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A guest whose driver lies: descriptors that loop, wrap around, point outside, are too many, are changed while they
are read; rings that jump; memory that goes away under the rings; notifications that cannot be given. Each ends in a
stopped ring that is counted, or in a closed port; the ring can be started again, and the others are served meanwhile.

also: --queues=2
"""

import random

from vhostlib import *

MAC, OWN = b'\2\0\0\0\0\x61', '10.0.2.61'
DATA = GUEST_AT + BUFFERS_AT
TABLE_AT = GUEST_AT + TABLES_AT
END = 1 << 64
SPLIT_SHAPES = (0, EVENT_IDX | INDIRECT)
PACKED_SHAPES = (PACKED, PACKED | EVENT_IDX | INDIRECT)


def breaks(bed, why, features, lie, index=FROM_GUEST):
    """What lie(ring) wrote stops the ring; the other goes on; started again, all is well."""
    with FrontEnd(bed.attacked, features) as f:
        r = f.rings[index]
        lie(r)
        if index == TO_GUEST:  # somebody must want to be answered
            f.send_frame(arp_request(MAC, OWN))
        r.kick()
        check(r.broke(), 'the ring goes on: ' + why)
        check(not f.c.is_closed(0), 'the port closed: ' + why)
        r.restart()
        if index == TO_GUEST:
            f.rings[FROM_GUEST].take_used()
        check(f.answers(MAC, OWN), 'no answer after the ring was started again: ' + why)


def counted(bed, n, before):
    got = bed.counts()[0] - before[0]
    check(got >= n, '%d of %d were counted' % (got, n))


def pieces(*descriptors):
    """A chain in the ring's own table: (address, bytes[, flags[, next]])."""
    def lie(r):
        for i, d in enumerate(descriptors):
            addr, n, flags, extra = (*d, 0, 0)[:4] if len(d) < 4 else d
            r.put_desc(i, addr, n, r.owned(flags) if r.packed else flags, extra)
        if not r.packed:
            r.show([0])
    return lie


def places():
    """Pieces that no driver may give."""
    return {'of no bytes': (DATA, 0), 'outside': (0, 64), 'behind memory': (GUEST_AT + BYTES, 64),
            'partly outside': (GUEST_AT + BYTES - 63, 64), 'before memory': (GUEST_AT - 1, 64),
            'that wraps around': (END - 32, 64), 'up to the last address': (END - 64, 64),
            'of 4 GiB': (DATA, 0xffffffff), 'at the last address': (END - 1, 1), 'of 2 GiB': (DATA, 0x80000000),
            'in the upper half': (1 << 63, 64), 'that wraps around in 32 bits': (0xffffffff, 64)}


def test_bad_pieces(bed):
    before, n = bed.counts(), 0
    for features in SPLIT_SHAPES + PACKED_SHAPES:
        for name, (addr, size) in places().items():
            breaks(bed, 'a piece ' + name, features, pieces((addr, size)))
            breaks(bed, 'a second piece ' + name, features, pieces((DATA, 64, NEXT, 1), (addr, size)))
            breaks(bed, 'a piece to write ' + name, features, pieces((addr, size, WRITE)), TO_GUEST)
            n += 3
        breaks(bed, 'a piece to write in a frame', features, pieces((DATA, 64, WRITE)))
        breaks(bed, 'a later piece to write in a frame', features, pieces((DATA, 64, NEXT, 1), (DATA, 64, WRITE)))
        breaks(bed, 'a piece to read for a frame', features, pieces((DATA, 4096)), TO_GUEST)
        n += 3
    counted(bed, n, before)


def test_chains(bed):
    """Split: numbers out of range, loops, chains as long as the ring and longer."""
    def ring_of(n, last):
        return pieces(*((DATA, 64, NEXT, i + 1) for i in range(n - 1)), (DATA, 64, NEXT, last))
    for features in SPLIT_SHAPES:
        for head in (NUM, NUM + 1, 0x7fff, 0xffff):
            breaks(bed, 'head %d' % head, features, lambda r, head=head: r.show([head]))
            breaks(bed, 'next %d' % head, features, pieces((DATA, 64, NEXT, head)))
        for name, lie in (('onto itself', ring_of(1, 0)), ('of two', ring_of(2, 0)), ('of all', ring_of(NUM, 0)),
                          ('that ends in itself', ring_of(NUM, NUM - 1)), ('back to the middle', ring_of(40, 20))):
            breaks(bed, 'a loop ' + name, features, lie)
    for features in PACKED_SHAPES:  # a chain that has no end
        breaks(bed, 'a chain without an end', features,
               lambda r: [r.put_desc(i, DATA, 64, r.owned(NEXT), i) for i in range(NUM)])


def test_long_chains(bed):
    """As long as may be: no error of the ring, but more than a frame may have."""
    for features in (0, INDIRECT, PACKED, PACKED | INDIRECT):
        with FrontEnd(bed.attacked, features) as f:
            r, n = f.rings[FROM_GUEST], NUM
            before = bed.counts()[0]
            for i in range(n):
                last = i == n - 1
                if features & INDIRECT:
                    flags = (0 if last else NEXT) if not r.packed else 0
                    r.put_desc(i, DATA + 512 * i, 512, flags, i + 1 if not r.packed else 0, at=TABLES_AT)
                else:
                    r.put_desc(i, DATA + 512 * i, 512, r.owned(0 if last else NEXT) if r.packed else 0 if last else NEXT,
                               0 if r.packed else i + 1)
            if features & INDIRECT:
                r.put_desc(0, TABLE_AT, 16 * n, r.owned(TABLE) if r.packed else TABLE)
            if not r.packed:
                r.show([0])
            r.kick()
            used = wait_for('a long chain to come back', r.take_used)
            check(used[0] == 0, 'a long chain came back as %d' % used[0])
            wait_for('it to be counted', lambda: bed.counts()[0] > before)
            check(not r.broke(0), 'a long chain stopped the ring')


def test_tables(bed):
    """Indirect: not negotiated, nested, of an odd size, empty, too large, outside, followed by more, over the ring."""
    def nested(r):
        r.put_desc(0, TABLE_AT, 16, TABLE, 0, at=TABLES_AT)
        pieces((TABLE_AT, 16, TABLE))(r)

    def over_the_ring(r):
        at = GUEST_AT + r.desc_at
        pieces((at, 16 * NUM, TABLE))(r)

    def wrong_inside(piece):
        def lie(r):
            r.put_desc(0, DATA, 64, 0 if r.packed else NEXT, 0 if r.packed else 1, at=TABLES_AT)
            r.put_desc(1, *piece, 0, 0, at=TABLES_AT)
            pieces((TABLE_AT, 32, TABLE))(r)
        return lie

    def loop_inside(last):
        def lie(r):
            for i in range(4):
                r.put_desc(i, DATA, 64, NEXT, i + 1 if i < 3 else last, at=TABLES_AT)
            pieces((TABLE_AT, 64, TABLE))(r)
        return lie
    for features in SPLIT_SHAPES + PACKED_SHAPES:
        if not features & INDIRECT:
            breaks(bed, 'a table that was not negotiated', features, pieces((TABLE_AT, 16, TABLE)))
            continue
        breaks(bed, 'a table within a table', features, nested)
        breaks(bed, 'a table that is the ring', features, over_the_ring)
        for size in (1, 8, 15, 17, 24, 16 * 1025, 16 * 65536, 0xfffffff0, 0xffffffff):
            breaks(bed, 'a table of %d bytes' % size, features, pieces((TABLE_AT, size, TABLE)))
        for name, (addr, size) in places().items():
            breaks(bed, 'a table ' + name, features, pieces((addr, size & ~15, TABLE)))
            breaks(bed, 'in a table a piece ' + name, features, wrong_inside((addr, size)))
        if features & PACKED:
            breaks(bed, 'a table as a second piece', features, pieces((DATA, 64, NEXT), (TABLE_AT, 16, TABLE)))
        else:
            breaks(bed, 'a table and more', features, pieces((TABLE_AT, 16, TABLE | NEXT, 1), (DATA, 64)))
            for last in (0, 1, 3, 4, 0xffff):
                breaks(bed, 'a table that goes on at %d' % last, features, loop_inside(last))


def test_jumps(bed):
    """Split: an index that says more than the ring has places; packed: flags that make no sense."""
    for features in SPLIT_SHAPES:
        for ahead in (NUM + 1, NUM + 100, 0x7fff, 0x8000, 0xffff):
            breaks(bed, 'a jump by %d' % ahead, features, lambda r, ahead=ahead: r.show([], ahead=ahead))
            breaks(bed, 'a jump by %d to the guest' % ahead, features, lambda r, ahead=ahead: r.show([], ahead=ahead),
                   TO_GUEST)
    rnd = random.Random(4711)
    for _ in range(60):
        with FrontEnd(bed.attacked, PACKED | rnd.choice((0, INDIRECT, EVENT_IDX))) as f:
            for r in f.rings:
                for i in range(NUM):
                    r.put_desc(i, DATA + 64 * i, rnd.choice((0, 1, 64, 4096)), rnd.randrange(65536), rnd.randrange(65536))
                r.mem.put(r.driver_at, rnd.randbytes(4))
                r.kick()
            f.sync()
            for r in f.rings:
                r.kick()


def test_taken_twice(bed):
    """The same buffer again and again, in one batch; and used entries written over what is still to be read."""
    with FrontEnd(bed.attacked) as f:
        f.offer_buffers()
        frame = arp_request(MAC, OWN)
        f.mem.put(BUFFERS_AT + 128 * BUFFER_BYTES, bytes(12) + frame)
        r = f.rings[FROM_GUEST]
        r.put_desc(7, DATA + 128 * BUFFER_BYTES, 12 + len(frame), 0)
        r.show([7] * NUM)
        r.kick()
        check(f.next_frame(), 'no answer')
    for overlap in ('desc', 'driver'):  # the device's part lies over one of the driver's
        with FrontEnd(bed.attacked, start=False) as f:
            r = f.rings[FROM_GUEST]
            f.rings[TO_GUEST].start()
            at = USER_AT + (r.desc_at if overlap == 'desc' else r.driver_at)
            r.start(device=at)
            for i in range(NUM):
                r.put_desc(i, DATA, 64, 0)
                r.show([i])
                r.kick()
            f.sync()


def test_changed_while_read(bed):
    """Another thread writes over descriptors, rings and headers as fast as it can while frames go both ways."""
    for features in (0, PACKED, INDIRECT | EVENT_IDX, PACKED | INDIRECT | EVENT_IDX):
        over = threading.Event()

        def scribble(f, over=over):
            rnd = random.Random(1)
            while not over.is_set():
                for r in f.rings:
                    at = r.desc_at + 16 * rnd.randrange(NUM)
                    f.mem.put(at, struct.pack('<QIHH', rnd.choice((DATA, TABLE_AT, END - 8, GUEST_AT + r.desc_at, 0)),
                                              rnd.choice((0, 16, 64, 4096, 0xffffffff)), rnd.randrange(NUM),
                                              rnd.randrange(65536) & 0x8087))
                    f.mem.put(r.driver_at + 4 + 2 * rnd.randrange(NUM), rnd.randbytes(2))
                    f.mem.put(TABLES_AT + rnd.randrange(4096), rnd.randbytes(8))
                    f.mem.put(BUFFERS_AT + rnd.randrange(BYTES - BUFFERS_AT - 64), rnd.randbytes(64))
        n_broken, begin = 0, time.monotonic()
        with FrontEnd(bed.attacked, features) as f:
            thread = threading.Thread(target=scribble, args=(f,))
            thread.start()
            try:
                while time.monotonic() < begin + (3 if n_broken > 2 else 30):
                    f.offer_buffers(16)
                    for i in range(20):
                        f.send_frame(arp_request(MAC, OWN), 128 + i)
                    for r in f.rings:
                        r.kick()
                        if r.broke(0.001):
                            n_broken += 1
                            r.restart()
            finally:
                over.set()
                thread.join()
        check(n_broken > 2, 'nothing was found wrong (%d)' % n_broken)
        bed.witness.check('while rings were written over')


def check_idle(bed, why):
    """While nothing happens but the witness's questions, the engine takes nearly no processor time."""
    time.sleep(0.1)
    cost = bed.v.cpu_seconds()
    time.sleep(0.8)
    cost = bed.v.cpu_seconds() - cost
    check(cost < 0.1, '%.2f s of 0.8 s %s' % (cost, why))


def test_no_spinning(bed):
    """Buffers that look like room and are none cost a try when the driver adds some, not all of the processor."""
    tiny = {'of one byte': (NUM, lambda r, i: r.add(DATA + i, 1, WRITE, i)),
            'of 13 bytes': (NUM, lambda r, i: r.add(DATA + 64 * i, 13, WRITE, i))}
    for features in (0, MERGE, MERGE | GUEST_CSUM | GUEST_TSO4, GUEST_CSUM | GUEST_TSO4, PACKED, PACKED | MERGE,
                     PACKED | MERGE | GUEST_CSUM | GUEST_TSO4, PACKED | GUEST_CSUM | GUEST_TSO4):
        for name, (n, add) in tiny.items():
            with FrontEnd(bed.attacked, features) as f:
                for i in range(n):
                    add(f.rings[TO_GUEST], i)
                for i in range(8):
                    f.send_frame(arp_request(MAC, OWN), 128 + i)
                f.rings[TO_GUEST].kick()
                check_idle(bed, 'for buffers %s, features %#x' % (name, features))
    for features in (0, MERGE, MERGE | GUEST_CSUM | GUEST_TSO4, GUEST_CSUM | GUEST_TSO4, PACKED, PACKED | MERGE,
                     PACKED | MERGE | GUEST_CSUM | GUEST_TSO4, PACKED | GUEST_CSUM | GUEST_TSO4):
        with FrontEnd(bed.attacked, features) as f:  # eight buffers of 31 descriptors each, which are no room
            r, flood = f.rings[TO_GUEST], Flood(bed, f)
            flood.open()
            flood.pour()
            time.sleep(0.2)
            for i in range(0, NUM - 8, 31):
                r.add(DATA + 64 * i, 16, WRITE, i, pieces=31)
            r.kick()
            check_idle(bed, 'for chains of small pieces, features %#x' % features)
            flood.close()


def offload(flags=0, kind=0, header=0, size=0, start=0, at=0):
    return struct.pack('<BBHHHHH', flags, kind, header, size, start, at, 0)


def test_lying_offloads(bed):
    """Headers that no driver may write are counted, and so are those that do not fit their frame; super-frames of
    crumbs are not cut up at the cost of the others."""
    router, witness, port = bed.witness.router, bed.witness.MAC, bed.witness.server.getsockname()[1]
    frame = udp_frame(router, MAC, OWN, 4000, port, bytes(1000))
    lies = [offload(kind=k) for k in (1, 3, 4, 5)] + [offload(1, k, 42, 100, 34, 6) for k in (2, 3, 6, 0x7f, 0xff)] + \
        [offload(1, 0, 0, 0, start, at) for start, at in ((len(frame), 0), (len(frame) - 1, 0), (0xffff, 0xffff),
                                                          (34, 0xffff), (257, 6), (0, len(frame)))] + \
        [offload(1, 5, header, size, 34, 6) for header, size in ((42, 0), (0xffff, 100), (len(frame) + 1, 100))]
    misfits = [offload(1, 0, 0, 0, start, at) for start, at in ((0, 0), (14, 10), (34, 0), (34, 16), (42, 6))] + \
        [offload(1, 1, 54, 100, 34, 16), offload(1, 4, 54, 100, 34, 16)]
    for features in (CSUM, CSUM | PACKED):
        with FrontEnd(bed.attacked, features) as f:
            before, answered = bed.counts()[0], f.rings[FROM_GUEST]
            for i, header in enumerate(lies):
                f.send_frame(frame, 128 + i, header)
                wait_for('a frame to be taken', answered.take_used)
            check(bed.counts()[0] - before == len(lies), '%d of %d lies were counted' %
                  (bed.counts()[0] - before, len(lies)))
            dropped = bed.drops('bad-offload')
            for i, header in enumerate(misfits):
                f.send_frame(frame, 128 + i, header)
                wait_for('a frame to be taken', answered.take_used)
            wait_for('what does not fit to be counted', lambda: bed.drops('bad-offload') - dropped == len(misfits))
            end = time.monotonic() + 1
            while time.monotonic() < end:  # to another guest, whose port takes plain frames only
                f.send_frame(udp_frame(witness, MAC, OWN, 4000, port, bytes(4000 - 54)), 128, offload(1, 5, 42, 1, 34, 6))
                f.send_frame(udp_frame(witness, MAC, OWN, 4000, port, bytes(4000 - 54)), 129, offload(1, 5, 42, 40, 34, 6))
                answered.take_used()
            bed.witness.check('while super-frames of crumbs are sent to it')


class Flood:
    """A server on the host that has sent this guest more than it takes, over TCP and UDP."""

    def __init__(self, bed, f):
        self.f, self.bed = f, bed
        self.listener, self.udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.listener.bind(('127.0.0.1', 0))
        self.listener.listen()
        self.udp.bind(('127.0.0.1', 0))
        for s in (self.listener, self.udp):
            s.settimeout(STALL_SECONDS)
        self.peer = None

    def open(self):
        """A connection, and an association; uses up eight good buffers."""
        f, router, port = self.f, self.bed.witness.router, self.listener.getsockname()[1]
        for i in range(200, 208):
            f.rings[TO_GUEST].add(GUEST_AT + BUFFERS_AT + i * BUFFER_BYTES, BUFFER_BYTES, WRITE, i)
        f.send_frame(udp_frame(router, MAC, OWN, 5000, self.udp.getsockname()[1], b'begin'), 140)
        self.who = self.udp.recvfrom(100)[1]
        f.send_frame(tcp_frame(router, MAC, OWN, port), 141)
        while True:
            frame = f.next_frame()
            check(frame, 'the connection is not answered')
            if frame[12:14] == b'\x08\0' and frame[23] == 6 and frame[47] == 0x12:
                break
        seq = struct.unpack('!I', frame[38:42])[0]
        f.send_frame(tcp_frame(router, MAC, OWN, port, 2, seq + 1, 0x10), 142)
        self.peer, _ = self.listener.accept()
        self.peer.setblocking(False)

    def pour(self):
        with contextlib.suppress(OSError):  # until it takes no more, or the connection was given up
            while True:
                self.peer.send(bytes(65536))
        for _ in range(100):
            self.udp.sendto(bytes(1400), self.who)

    def close(self):
        for s in (self.listener, self.udp, self.peer):
            if s:
                s.close()


def test_memory_cut_short(bed):
    """The file of the guest's memory is made shorter under the mapping: the port lets go of the front end."""
    def send(f):
        f.offer_buffers()
        f.send_frame(arp_request(MAC, OWN))
    for features in (0, PACKED, GUEST_CSUM | GUEST_TSO4 | MERGE, PACKED | GUEST_CSUM | GUEST_TSO4 | MERGE):
        for n in (0, 4096, 2 * RING_AT, BUFFERS_AT):
            with FrontEnd(bed.attacked, features) as f:
                os.ftruncate(f.mem.fd, n)
                for r in f.rings:
                    r.kick()
                bed.witness.check('after memory of %d bytes' % n)
        with FrontEnd(bed.attacked, features) as f:  # frames that lie where nothing is any more
            r = f.rings[FROM_GUEST]
            os.ftruncate(f.mem.fd, BUFFERS_AT + 4096)
            for i in range(8):
                r.add(DATA + (BYTES - BUFFERS_AT) // 2, 2000, 0, i)
            r.kick()
            check(f.c.is_closed(), 'not closed after frames where nothing is')
        with FrontEnd(bed.attacked, features) as f:  # the body of a frame only; the kernel finds it, not we
            r, server = f.rings[FROM_GUEST], socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.bind(('127.0.0.1', 0))
            frame = udp_frame(bed.witness.router, MAC, OWN, 4001, server.getsockname()[1], bytes(4000))
            f.mem.put(BUFFERS_AT, bytes(12) + frame[:1400])
            r.put_desc(0, DATA, 1412, r.owned(NEXT) if r.packed else NEXT, 0 if r.packed else 1)
            r.put_desc(1, GUEST_AT + BYTES - 4096, len(frame) - 1400, r.owned() if r.packed else 0)
            os.ftruncate(f.mem.fd, BYTES - 8192)
            if not r.packed:
                r.show([0])
            r.kick()
            f.c.is_closed(0.3)
            server.close()
        with FrontEnd(bed.attacked, features) as f:  # room for frames that is none
            flood = Flood(bed, f)
            flood.open()
            for i in range(64):
                f.rings[TO_GUEST].add(GUEST_AT + BYTES - (65 - i) * 8192, 8192, WRITE, i)
            os.ftruncate(f.mem.fd, BYTES - 66 * 8192)
            f.rings[TO_GUEST].kick()
            flood.pour()
            check_idle(bed, 'for room that is not there, features %#x' % features)
            flood.close()


def test_log_cut_short(bed):
    """The same of the log of written pages; and one that is smaller than the memory."""
    for n, cut in ((4096, None), (1, None), (BYTES // 4096 // 8 + 4096, 0)):
        with FrontEnd(bed.attacked, LOG_ALL, protocol=REPLY_ACK | LOG_SHMFD) as f:
            log = os.memfd_create('log', os.MFD_CLOEXEC)
            os.ftruncate(log, n)
            check(f.c.ask(SET_LOG_BASE, struct.pack('=QQ', n, 0), [log]) == 0, 'the log was refused')
            if cut is not None:
                os.ftruncate(log, cut)
            if cut is None:
                check(f.answers(MAC, OWN), 'no answer with a small log')
            else:
                f.offer_buffers()
                f.send_frame(arp_request(MAC, OWN))
                check(f.c.is_closed(), 'not closed when the log was cut short')
            os.close(log)


def test_calls_that_block(bed):
    """A full eventfd, or a full pipe, that the front end makes blocking behind our back."""
    for kind in ('eventfd', 'pipe'):
        with FrontEnd(bed.attacked) as f:
            ends = (eventfd(),) if kind == 'eventfd' else os.pipe()
            for r in f.rings:
                f.c.say(SET_VRING_CALL, r.index, [ends[-1]])
                f.c.say(SET_VRING_ERR, r.index, [ends[-1]])
            f.sync()
            os.set_blocking(ends[-1], False)
            if kind == 'eventfd':
                os.eventfd_write(ends[0], (1 << 64) - 2)
            else:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        os.write(ends[1], bytes(4096))
            os.set_blocking(ends[-1], True)
            for i in range(3):
                f.send_frame(arp_request(MAC, OWN), 128 + i)
                bed.witness.check('while a call blocks')
            f.rings[FROM_GUEST].show([0xffff])
            f.rings[FROM_GUEST].kick()
            bed.witness.check('while an error cannot be told')
            for fd in ends:
                os.close(fd)


def test_kick_storm(bed):
    for features in (0, PACKED | EVENT_IDX):
        with FrontEnd(bed.attacked, features) as f:
            end = time.monotonic() + 2
            while time.monotonic() < end:
                for r in f.rings:
                    r.kick()
            bed.witness.check('during a storm of kicks')
            check(f.answers(MAC, OWN), 'no answer afterwards')


def test_goes_while_busy(bed):
    """A front end that dies with frames in both directions under way."""
    for i in range(60):
        f = FrontEnd(bed.attacked, (0, PACKED, GUEST_CSUM | GUEST_TSO4 | MERGE)[i % 3])
        flood = Flood(bed, f)
        flood.open()
        f.offer_buffers()
        flood.pour()
        f.close()
        flood.close()


run(test_bad_pieces, test_chains, test_long_chains, test_tables, test_jumps, test_taken_twice, test_changed_while_read,
    test_no_spinning, test_lying_offloads, test_memory_cut_short, test_log_cut_short, test_calls_that_block, test_kick_storm,
    test_goes_while_busy)
