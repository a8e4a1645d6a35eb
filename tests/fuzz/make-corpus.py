#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the seeds of the fuzzers to tests/fuzz/corpus/NAME/, the same ones every time.

With --check it writes nothing, and fails if a seed is missing or differs. Files that a fuzzer found, and
that are kept so that they never come back, live beside the seeds and are not touched."""
import pathlib
import struct
import sys

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


# --- wire: a byte that names the parser, then its input ---------------------------------------------

ETH, ARP, IP4, ICMP4, UDP, TCP, OFFLOAD, CSUM = range(8)
GUEST = bytes.fromhex("525400123456")
ROUTER = bytes.fromhex("525500000202")


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(payload, proto=17, frag=0, options=b""):
    header = struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 7, frag,
                         64, proto, 0, bytes([10, 0, 2, 15]), bytes([192, 0, 2, 1])) + options
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def tcp(flags, options=b"", payload=b""):
    words = 5 + len(options) // 4
    return struct.pack("!HHIIBBHHH", 40000, 443, 1000, 2000, words << 4, flags, 64240, 0, 0) + options + payload


def vnet(frame_bytes, flags=0, gso=0, header=0, size=0, start=0, offset=0):
    return struct.pack("!H", frame_bytes) + struct.pack("<BBHHHHH", flags, gso, header, size, start, offset, 1)


def wire():
    mss_wscale = bytes.fromhex("020405b4" "0402080a0000000100000000" "01030307")
    udp = struct.pack("!HHHH", 5353, 53, 12, 0xBEEF) + b"data"
    return {
        "eth-broadcast": (ETH, b"\xff" * 6 + GUEST + b"\x08\x06"),
        "eth-short": (ETH, GUEST + ROUTER + b"\x08"),
        "arp-request": (ARP, bytes.fromhex("0001080006040001") + GUEST + bytes([10, 0, 2, 15]) + b"\0" * 6
                        + bytes([10, 0, 2, 2])),
        "arp-reply": (ARP, bytes.fromhex("0001080006040002") + ROUTER + bytes([10, 0, 2, 2]) + GUEST
                      + bytes([10, 0, 2, 15])),
        "arp-other-hardware": (ARP, bytes.fromhex("0006080008040001") + bytes(24)),
        "ip4-udp": (IP4, ip4(udp)),
        "ip4-fragment": (IP4, ip4(b"x" * 64, frag=0x2000)),
        "ip4-options": (IP4, ip4(b"x" * 8, options=b"\x94\x04\0\0")),
        "ip4-all-options": (IP4, ip4(b"x" * 8, options=b"\1" * 40)),
        "ip4-empty": (IP4, ip4(b"")),
        "ip4-version-6": (IP4, b"\x60" + ip4(udp)[1:]),
        "icmp4-echo": (ICMP4, bytes.fromhex("0800000012340001") + b"abcdefgh"),
        "icmp4-frag-needed": (ICMP4, bytes.fromhex("0304000000000578") + ip4(udp)),
        "udp": (UDP, udp),
        "udp-length-0": (UDP, udp[:4] + b"\0\0" + udp[6:]),
        "udp-length-beyond": (UDP, udp[:4] + b"\xff\xff" + udp[6:]),
        "tcp-syn": (TCP, tcp(0x02, mss_wscale)),
        "tcp-data": (TCP, tcp(0x18, payload=b"GET / HTTP/1.0\r\n\r\n")),
        "tcp-option-length-0": (TCP, tcp(0x02, b"\x08\0\x02\x04")),
        "tcp-option-beyond": (TCP, tcp(0x02, b"\x01\x01\x02\x28")),
        "tcp-header-too-short": (TCP, tcp(0x02)[:12] + b"\x40" + tcp(0x02)[13:]),
        "offload-none": (OFFLOAD, vnet(60)),
        "offload-csum": (OFFLOAD, vnet(60, 1, start=34, offset=16)),
        "offload-csum-edge": (OFFLOAD, vnet(52, 1, start=34, offset=16)),
        "offload-tso4": (OFFLOAD, vnet(60000, 1, 1, 54, 1460, 34, 16)),
        "offload-tso6-ecn": (OFFLOAD, vnet(60000, 1, 0x84, 74, 1440, 54, 16)),
        "offload-uso": (OFFLOAD, vnet(9000, 1, 5, 42, 1472, 34, 6)),
        "offload-ufo": (OFFLOAD, vnet(9000, 1, 3, 42, 1472, 34, 6)),
        "offload-both-flags": (OFFLOAD, vnet(60, 3, start=34, offset=16)),
        "offload-header-beyond": (OFFLOAD, vnet(60, 1, 1, 61, 1460, 34, 16)),
        "csum-odd": (CSUM, b"\x03\x05" + bytes(range(99))),
        "csum-ones": (CSUM, b"\xff" * 257),
        "nothing": (ETH, b""),
    }


# --- dhcp4: a byte of configuration, then records (see fuzz-dhcp4.c) ---------------------------------

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
CIADDR, REQUESTED, SERVER_ID, BROADCAST = 1, 2, 4, 8
HOST = bytes([10, 0, 2, 2])
FIRST = bytes([10, 0, 2, 15])
NONE = bytes(4)


def opt(code, data):
    return bytes([code, len(data)]) + data


def message(options, ciaddr=NONE, flags=0, mac=GUEST, sname=b"", file=b"", giaddr=NONE, cookie=b"\x63\x82\x53\x63",
            end=b"\xff", hops=0):
    fixed = struct.pack("!BBBBIHH", 1, 1, 6, hops, 0x12345678, 1, flags) + ciaddr + NONE + NONE + giaddr
    fixed += mac.ljust(16, b"\0") + sname.ljust(64, b"\0") + file.ljust(128, b"\0")
    return (fixed + cookie + options + end).ljust(300, b"\0")


def raw(data, port=0, pause=0):
    return bytes([0, port, pause]) + struct.pack("!H", len(data)) + data


def made_up(kind, guest, place=0, where=0, port=0, pause=0):
    return bytes([128, port, pause, kind, guest, place, where])


def exchange(guest, place, port=0):
    return (made_up(DISCOVER, guest, port=port)
            + made_up(REQUEST, guest, place, REQUESTED | SERVER_ID, port=port))


def dhcp4():
    kind = lambda k: opt(53, bytes([k]))
    asks = opt(55, bytes([1, 3, 6, 12, 15, 26, 28, 42, 51, 54, 58, 59, 66, 67, 119]))
    busybox = kind(DISCOVER) + opt(61, b"\1" + GUEST) + opt(57, b"\x02\x40") + opt(60, b"udhcp 1.35.0") + asks
    windows = (kind(REQUEST) + opt(61, b"\1" + GUEST) + opt(50, FIRST) + opt(54, HOST) + opt(12, b"DESKTOP-1")
               + opt(81, b"\0\0\0DESKTOP-1") + opt(60, b"MSFT 5.0") + asks)
    pxe = (kind(DISCOVER) + asks + opt(57, b"\x05\xc0") + opt(97, b"\0" + bytes(16)) + opt(93, b"\0\7")
           + opt(94, b"\1\3\20") + opt(60, b"PXEClient:Arch:00007:UNDI:003016"))
    overload = opt(52, b"\3") + kind(REQUEST)
    flood = b"".join(made_up(DISCOVER, guest) for guest in range(60))
    return {
        "discover-busybox": b"\0" + raw(message(busybox)),
        "request-windows": b"\0" + raw(message(busybox)) + raw(message(windows, flags=0x8000)),
        "discover-pxe-http": b"\x90" + raw(message(pxe)),
        "all-options-large": b"\xd0" + raw(message(kind(DISCOVER) + opt(57, b"\xff\xff"))),
        "identifier-longest": b"\xc0" + raw(message(kind(DISCOVER) + opt(61, bytes(range(255))))),
        "init-reboot": b"\0" + raw(message(kind(REQUEST) + opt(50, FIRST))),
        "renew": b"\0" + raw(message(kind(REQUEST), ciaddr=FIRST)),
        "other-network": b"\0" + raw(message(kind(REQUEST) + opt(50, bytes([192, 168, 1, 7])))),
        "other-server": b"\0" + raw(message(kind(DISCOVER))) + raw(message(kind(REQUEST) + opt(54, FIRST))),
        "inform": b"\x20" + raw(message(kind(INFORM), ciaddr=bytes([10, 0, 2, 99]))),
        "bootp": b"\0" + raw(message(b"")),
        "bootp-no-cookie": b"\0" + raw(message(b"", cookie=NONE, end=b"")),
        "bootp-fixed-only": b"\0" + raw(message(b"")[:236]),
        "relay": b"\0" + raw(message(kind(DISCOVER), giaddr=HOST, hops=1)),
        "overload": b"\0" + raw(message(overload, file=opt(50, FIRST) + b"\xff", sname=opt(54, HOST) + b"\xff")),
        "overload-truncated": b"\0" + raw(message(overload, file=bytes(126) + b"\x0c\x7f", sname=b"\x0c")),
        "many-options": b"\0" + raw(message(kind(DISCOVER) + opt(224, b"x") * 70)),
        "length-0": b"\0" + raw(message(kind(DISCOVER) + opt(12, b""))),
        "length-beyond": b"\0" + raw(message(kind(DISCOVER) + b"\x0c\xff", end=b"")[:250]),
        "no-end": b"\0" + raw(message(kind(DISCOVER), end=b"")),
        "group-mac": b"\0" + raw(message(kind(DISCOVER), mac=b"\xff" * 6)),
        "three-guests": b"\0" + exchange(1, 15) + exchange(2, 16) + exchange(1, 17, port=1),
        "life-of-a-lease": b"\0" + exchange(1, 15) + made_up(REQUEST, 1, 15, CIADDR, pause=139)
                           + made_up(RELEASE, 1, 15, CIADDR, pause=139) + made_up(DISCOVER, 2)
                           + made_up(DISCOVER, 1, pause=255),
        "decline": b"\4" + exchange(1, 15) + made_up(DECLINE, 1, 15, REQUESTED) + exchange(1, 16)
                   + exchange(2, 15) + made_up(REQUEST, 2, 15, REQUESTED, pause=128),
        "flood-of-discovers": b"\x08" + flood + made_up(DISCOVER, 1, port=1),
        "pool-runs-out": b"\x04" + b"".join(exchange(g, 14 + g) for g in range(1, 5))
                         + made_up(RELEASE, 2, 16, CIADDR) + exchange(9, 16) + exchange(7, 15),
        "pool-round-the-router": b"\x02" + b"".join(exchange(g, 1 + g) for g in range(18)),
        "pool-at-the-end": b"\x01" + b"".join(made_up(DISCOVER, g, 15, REQUESTED) for g in range(4)),
        "bootp-pool": b"\x04" + b"".join(made_up(0, g, pause=g * 8) for g in range(20)),
        "moving": b"\0" + exchange(1, 15) + made_up(REQUEST, 1, 20, REQUESTED) + exchange(2, 15)
                  + made_up(INFORM, 1, 20, CIADDR) + made_up(RELEASE, 1, 15, CIADDR),
    }


# --- reass: records of eight bytes (see fuzz-reass.c) -----------------------------------------------

MORE = 0x2000
OTHER, OPTIONS, LIE, SEND = 1, 2, 4, 8


def piece(at, n, more=True, port=0, number=1, flags=0, pause=0):
    return struct.pack("!BBHHH", port + 4 * number, flags, at // 8 | (MORE if more else 0), n, pause)


def sent(n, mtu, number=1):
    return struct.pack("!BBHHH", 4 * number, SEND, mtu, n, 0)


def reass():
    parts = [piece(0, 1480), piece(1480, 1480), piece(2960, 41, more=False)]
    return {
        "in-order": b"".join(parts),
        "in-reverse": b"".join(reversed(parts)),
        "duplicates": b"".join(p * 2 for p in parts),
        "overlap": piece(0, 1480) + piece(1472, 1480) + piece(2952, 8, more=False),
        "overlap-inside": piece(0, 64) + piece(16, 16) + piece(64, 8, more=False),
        "overlap-other-bytes": piece(0, 64) + piece(0, 64, flags=OTHER) + piece(64, 8, more=False),
        "tail-inside": piece(0, 64) + piece(32, 16, more=False),
        "two-ends": piece(64, 16, more=False) + piece(32, 16, more=False),
        "beyond-the-end": piece(64, 16, more=False) + piece(80, 16),
        "end-before-data": piece(64, 16) + piece(32, 16, more=False),
        "ping-of-death": piece(0, 1480) + piece(65528, 1480, more=False),
        "longest": piece(0, 32768) + piece(32768, 32747, more=False),
        "one-too-long": piece(0, 32768) + piece(32768, 32748, more=False),
        "options": piece(32768, 32747, more=False, flags=OPTIONS) + piece(32768, 32707, more=False, flags=OPTIONS),
        "empty": piece(0, 0) + piece(64, 0, more=False),
        "uneven": piece(0, 1479) + piece(1479, 9, more=False),
        "lie": piece(0, 64, flags=LIE) + piece(64, 8, more=False),
        "tiny": b"".join(piece(at, 8) for at in range(0, 800, 8)) + piece(800, 1, more=False),
        "late": piece(0, 64) + piece(64, 64, pause=30001) + piece(128, 8, more=False),
        "cap-of-a-port": b"".join(piece(0, 64, number=i, pause=1) for i in range(20))
                         + b"".join(piece(64, 8, more=False, number=i) for i in range(20)),
        "cap-of-the-table": b"".join(piece(0, 64, port=p, number=i, pause=1) for p in range(4) for i in range(17))
                            + b"".join(piece(64, 8, more=False, port=p, number=16) for p in range(4)),
        "keys": piece(0, 64) + piece(64, 64, port=1, more=False) + piece(64, 64, number=2, more=False)
                + piece(64, 64, more=False),
        "dead-and-again": piece(0, 64) + piece(8, 64, pause=30000) + piece(0, 64) + piece(64, 8, more=False),
        "whole": piece(0, 100, more=False) + piece(0, 0, more=False),
        "sent": sent(3000, 1500) + sent(65515, 1500) + sent(0, 20) + sent(9, 28, 2) + sent(65515, 65535),
        "sent-not": sent(9, 27) + sent(65516, 1500) + sent(1, 0),
    }


# --- vring: the ring's kind, size - 1 and base, then steps ------------------------------------------

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


# --- vhost-msg: steps -------------------------------------------------------------------------------

(V_MESSAGE, V_RAW, V_PASS, V_START, V_KICK, V_POKE, V_SEND, V_CUT) = range(8)
FD_MEMORY, FD_EVENT, FD_NULL, FD_FOLDER = range(4)
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
        "rarp": running(0) + request(19, bytes.fromhex("5254000102030000")) + request(20, u64(1500)),
        "crumbs": bytes([V_RAW, 3]) + request(1)[6:] + bytes([V_RAW, 12]) + struct.pack("<III", 1, 1, 0) + bytes([V_PASS]),
        "too-long": bytes([V_RAW, 12]) + struct.pack("<III", 5, 1, 0xFFFFFFFF) + bytes([V_PASS]),
    }


# ----------------------------------------------------------------------------------------------------

def seeds():
    for name, (parser, data) in wire().items():
        yield "wire", name, bytes([parser]) + data
    for name, data in dhcp4().items():
        yield "dhcp4", name, data
    for name, data in reass().items():
        yield "reass", name, data
    for name, data in vring().items():
        yield "vring", name, data
    for name, data in vhost_msg().items():
        yield "vhost-msg", name, data


def main():
    check = sys.argv[1:] == ["--check"]
    wrong = 0
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    for fuzzer, name, data in seeds():
        path = CORPUS / fuzzer / f"seed-{name}"
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        elif not path.is_file() or path.read_bytes() != data:
            print(f"{path}: not what this script writes", file=sys.stderr)
            wrong += 1
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
