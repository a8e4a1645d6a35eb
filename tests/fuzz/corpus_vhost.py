# SPDX-License-Identifier: BSD-2-Clause
"""The seeds of the fuzzers of vhost-user, for make-corpus.py: in a module of their own, since its names are those of
the fuzzers' steps, and several have a TAKE."""
import struct


# --- vring (see fuzz-vring.c): the ring's kind, size - 1 and base, then steps ------------------------------------------

WRITE, TAKE, TAKE_USE, PUBLISH, MARK, UNDO, WANT, REFUSE, CALL, COUNT, RESTART = range(11)
RING_PACKED, RING_EVENT, RING_INDIRECT, RING_WRITABLE = 1, 2, 4, 8
D_NEXT, D_WRITE, D_INDIRECT, D_AVAIL, D_USED = 1, 2, 4, 1 << 7, 1 << 15
RING_GUEST, DESC_AT, DRIVER_AT, DEVICE_AT = 0x10000, 0, 8192, 12288


def put(at, data):
    return struct.pack("!BHB", WRITE, at, len(data)) + data


def split_desc(i, addr, n, flags=0, following=0, at=DESC_AT):
    return put(at + 16 * i, struct.pack("<QIHH", addr, n, flags, following))


def packed_desc(i, addr, n, flags=0, number=0, at=DESC_AT):
    return put(at + 16 * i, struct.pack("<QIHH", addr, n, number, flags))


def available(index, *heads):
    return put(DRIVER_AT, struct.pack(f"<HH{len(heads)}H", 0, index, *heads))


def ring_of(kind, size=8, base=0):
    return struct.pack("!BBI", kind, size - 1, base)


def vring():
    data, table, fresh = RING_GUEST + 9000, RING_GUEST + 7000, 0x80008000
    drain = bytes([TAKE_USE] * 4 + [PUBLISH, CALL, COUNT, WANT, TAKE])
    chain = (split_desc(0, data, 100, D_NEXT, 2) + split_desc(2, data + 300, 50, D_NEXT, 1) + split_desc(1, data, 1)
             + split_desc(3, data, 64))
    packed = (packed_desc(1, data + 200, 10, D_AVAIL, 5) + packed_desc(2, data, 64, D_AVAIL, 6)
              + packed_desc(0, data, 100, D_AVAIL | D_NEXT))
    in_table = b"".join(split_desc(i, data + 100 * i, 50, D_NEXT if i < 9 else 0, i + 1, at=7000) for i in range(10))
    return {
        "split": ring_of(0) + chain + available(2, 0, 3) + drain,
        "split-events": ring_of(RING_EVENT) + chain + available(2, 0, 3) + bytes([WANT, REFUSE]) + drain,
        "split-undo": ring_of(0) + chain + available(2, 0, 3) + bytes([MARK, TAKE, TAKE, UNDO]) + drain,
        "split-writable": ring_of(RING_WRITABLE) + split_desc(0, data, 100, D_WRITE) + available(1, 0) + drain,
        "split-table": ring_of(RING_INDIRECT) + in_table + split_desc(0, table, 160, D_INDIRECT) + available(1, 0) + drain,
        "split-over-two-regions": ring_of(0) + split_desc(0, RING_GUEST + 8000, 1000) + available(1, 0) + drain,
        "split-loop": ring_of(0) + split_desc(0, data, 1, D_NEXT, 0) + available(1, 0) + drain,
        "split-table-is-the-ring": ring_of(RING_INDIRECT) + split_desc(0, RING_GUEST + DESC_AT, 128, D_INDIRECT)
                                   + available(1, 0) + drain,
        "split-too-many": ring_of(0) + available(9, 0) + drain,
        "split-out-of-memory": ring_of(0) + split_desc(0, RING_GUEST + 16380, 5) + available(1, 0) + drain,
        "split-restart": ring_of(0) + chain + available(2, 0, 3) + bytes([TAKE_USE, PUBLISH, TAKE, RESTART]) + drain,
        "packed": ring_of(RING_PACKED, base=fresh) + packed + drain,
        "packed-events": ring_of(RING_PACKED | RING_EVENT, base=fresh) + packed + bytes([WANT, REFUSE]) + drain,
        "packed-undo": ring_of(RING_PACKED, base=fresh) + packed + bytes([MARK, TAKE, TAKE, UNDO]) + drain,
        "packed-table": ring_of(RING_PACKED | RING_INDIRECT, base=fresh)
                        + b"".join(packed_desc(i, data + 100 * i, 50, at=7000) for i in range(10))
                        + packed_desc(0, table, 160, D_AVAIL | D_INDIRECT, 3) + drain,
        "packed-of-three": ring_of(RING_PACKED, size=3, base=fresh) + packed + drain
                           + packed_desc(0, data, 9, D_USED) + drain,
        "packed-endless": ring_of(RING_PACKED, base=fresh)
                          + b"".join(packed_desc(i, data, 1, D_AVAIL | D_NEXT) for i in range(8)) + drain,
        "packed-restart": ring_of(RING_PACKED, base=fresh) + packed + bytes([TAKE_USE, PUBLISH, TAKE, RESTART]) + drain,
    }


# --- vhost-msg (see fuzz-vhost-msg.c): steps -------------------------------------------------------------------------------

(V_MESSAGE, V_RAW, V_PASS, V_START, V_KICK, V_POKE, V_SEND, V_CUT) = range(8)
FD_MEMORY, FD_EVENT, FD_NULL, FD_FOLDER, FD_PIPE, FD_SOCKET = range(6)
F_MODERN = 1 << 32 | 1 << 30
F_OFFLOADS = 1 << 1 | 1 << 7 | 1 << 8
F_MERGE, F_EVENT, F_INDIRECT, F_PACKED = 1 << 15, 1 << 29, 1 << 28, 1 << 34


def request(number, body=b"", n_fds=0, kind=FD_EVENT, flags=1):
    return struct.pack("!BBBBH", V_MESSAGE, number, flags, kind << 4 | n_fds, len(body)) + body


def u64(*values):
    return struct.pack(f"<{len(values)}Q", *values)


def state(ring, value):
    return struct.pack("<II", ring, value)


def poke(at, data):
    return struct.pack("!BHB", V_POKE, at, len(data)) + data


def running(features):
    return struct.pack("!BQ", V_START, F_MODERN | features)


def to_guest(what, n):
    return struct.pack("!BBH", V_SEND, what, n)


def offered(ring, buffers, write):
    """A split ring with these buffers, (offset, length), made available."""
    descs = b"".join(poke(4096 * ring + 16 * i, struct.pack("<QIHH", 0x100000 + at, n, D_WRITE if write else 0, 0))
                     for i, (at, n) in enumerate(buffers))
    return descs + poke(4096 * ring + 1024, struct.pack(f"<HH{len(buffers)}H", 0, len(buffers), *range(len(buffers))))


def vhost_msg():
    hello = (request(1) + request(15) + request(16, u64(0x1801F)) + request(17) + request(36) + request(3) + request(1)
             + b"".join(request(13, u64(i), 1) + request(14, u64(i), 1) for i in range(2))
             + b"".join(request(18, state(i, k)) for k in (1, 0, 1) for i in range(2)))
    go = (request(2, u64(F_MODERN | F_OFFLOADS | F_MERGE)) + request(40) + request(39, u64(8))
          + request(37, u64(0, 0x100000, 65536, 0x7F0000000000, 0), 1, FD_MEMORY, flags=9)
          + b"".join(request(8, state(i, 16)) + request(10, state(i, 0))
                     + request(9, u64(i, *(0x7F0000000000 + 4096 * i + k for k in (0, 2048, 1024)), 0))
                     + request(12, u64(i), 1) + request(13, u64(i), 1) for i in range(2)) + request(39, u64(15)))
    stop = request(39, u64(0)) + b"".join(request(11, state(i, 0)) for i in range(2))
    frames = offered(1, [(20000, 112), (21000, 1526), (30000, 9000)], False) + bytes([V_KICK])
    room = offered(0, [(40000 + 1600 * i, 1526) for i in range(12)], True) + bytes([V_KICK])
    sends = to_guest(1, 100) + to_guest(0, 5000) + to_guest(2, 5000) + to_guest(0x15, 3000) + bytes([V_PASS])
    log = request(6, u64(4096, 0), 1, FD_MEMORY) + request(2, u64(F_MODERN | F_MERGE | 1 << 26))
    return {
        "qemu": hello + go + frames + room + sends + stop + go + frames,
        "qemu-log": hello + go + log + frames + room + sends,
        "uml": request(3) + request(1) + request(15) + request(16, u64(0x28), flags=9) + request(21, b"", 1, flags=9)
               + request(2, u64(F_MODERN | F_PACKED)),
        "frames": running(0) + frames,
        "frames-merged": running(F_OFFLOADS | F_MERGE) + room + sends + frames,
        "frames-plain": running(0) + room + sends,
        "frames-large": running(F_OFFLOADS) + offered(0, [(20000, 40000)] * 3, True) + sends,
        "frames-event": running(F_EVENT | F_INDIRECT) + frames + room + sends,
        "packed": running(F_PACKED) + poke(4096, struct.pack("<QIHH", 0x100000 + 20000, 200, 3, D_AVAIL)) + bytes([V_KICK]),
        "broken": running(0) + offered(1, [(65530, 100)], False) + bytes([V_KICK]) + stop,
        "cut": running(0) + frames + struct.pack("!BH", V_CUT, 4096) + frames + bytes([V_PASS]),
        "regions": b"".join(request(37, u64(0, 4096 * i, 4096, 8192 * i + 8192, 0), 1, FD_MEMORY, flags=9) for i in range(5))
                   + request(38, u64(0, 4096, 4096, 16384, 0)),
        "descriptors": running(0) + request(12, u64(0), 1, FD_NULL) + request(13, u64(1), 1, FD_FOLDER),
        "pipe": running(0) + request(13, u64(1), 1, FD_PIPE) + request(13, u64(0), 1, FD_PIPE) + room + frames + sends,
        "in-band": request(16, u64(1 << 14 | 1 << 5 | 1 << 3)) + request(21, b"", 1, FD_SOCKET) + request(2, u64(F_MODERN))
                   + request(5, u64(1, 0x100000, 65536, 0x7F0000000000, 0), 1, FD_MEMORY)
                   + b"".join(request(8, state(i, 16))
                              + request(9, u64(i, *(0x7F0000000000 + 4096 * i + k for k in (0, 2048, 1024)), 0))
                              + request(18, state(i, 1)) + request(35, state(i, 0), flags=9) for i in range(2))
                   + room + frames + b"".join(request(35, state(i, 0), flags=9) for i in (0, 1, 2)) + sends,
        "socket": running(0) + request(21, b"", 1, FD_SOCKET) + request(13, u64(1), 1, FD_SOCKET) + frames,
        "small-pieces": running(F_MERGE) + sends + offered(0, [(20000 + 16 * i, 16) for i in range(16)], True) + bytes([V_KICK])
                        + sends + sends,
        "rarp": running(0) + request(19, bytes.fromhex("5254000102030000")) + request(20, u64(1500)),
        "crumbs": bytes([V_RAW, 3]) + request(1)[6:] + bytes([V_RAW, 12]) + struct.pack("<III", 1, 1, 0) + bytes([V_PASS]),
        "too-long": bytes([V_RAW, 12]) + struct.pack("<III", 5, 1, 0xFFFFFFFF) + bytes([V_PASS]),
    }
