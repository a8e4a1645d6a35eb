#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the seeds of the fuzzers to tests/fuzz/corpus/NAME/, the same ones every time.

With --check it writes nothing, and fails if a seed is missing or differs. Files that a fuzzer found, and
that are kept so that they never come back, live beside the seeds and are not touched."""
import pathlib
import struct
import sys

import corpus_vhost

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


# --- gateway: configuration, then operations (see fuzz-gateway.c) -------------------------------------

RAW, ARP_OP, DHCP, PING, DATAGRAM, FRAGMENT, SYN, SEGMENT = range(8)
TAKE, TIME, PLAN, CONNECTION, ERROR, ARRIVE, DIAL, PORT, DESCRIPTORS = range(9, 18)
RESTRICTED, NO_LOOPBACK, NO_PEEK_OFF, CAPS, SHORT_QUEUE, NO_SEGMENT, FEW_FLOWS, NO_PING = (1 << i for i in range(8))
USE_CSUM, USE_GSO, BAD_OFFLOAD = 16, 32, 64
MS10, MS300, S1, S31, M3 = 1, 3, 4, 7, 9
FIN, RST, PSH, ACK_FLAG, TEXT = 1, 4, 8, 16, 0x40
ALL_RESOLVERS = 7


def net(conf=0, *ops, mtu=0, resolvers=ALL_RESOLVERS):
    return bytes([conf, mtu, resolvers, 0]) + b"".join(ops)


def arp_from(host=15, port=0, target=0, how=0):
    return bytes([ARP_OP, port, host, target, how])


def time(index=S1):
    return bytes([TIME, index])


def take(n=40, port=0):
    return bytes([TAKE, n << 1 | port])


def syn(slot, window=0x7001, spoilt=0, ack=0):
    return struct.pack("!BBBBH", SYN, slot, spoilt, ack, window)


def segment(slot, flags=ACK_FLAG, n=None, seq=0, ack=0, window=0xFFFF, spoilt=0):
    data = struct.pack("!BBBBbbH", SEGMENT, slot, flags | (0 if n is None else TEXT), spoilt, seq, ack, window)
    return data + (b"" if n is None else struct.pack("!H", n))


def opened(slot, spoilt=0):
    return syn(slot, spoilt=spoilt) + time(0) + take() + segment(slot, spoilt=spoilt) + time(0) + take()


def connection(index, what):
    return bytes([CONNECTION, index, what])


MORE_DATA, FINISH, RESET = 0xFE, 0, 1


def datagram(dst, n, who=0, port=0, ttl=64, spoilt=0, gso=0):
    return struct.pack("!BBBBBBH", DATAGRAM, port, who, dst, ttl, spoilt, n) + (struct.pack("!H", gso) if spoilt & USE_GSO else b"")


def arrive(index, copies, n, size=0, source=2):
    return struct.pack("!BBBBHH", ARRIVE, index, source, copies, n, size)


def ping(dst, n=56, ttl=64, number=1, spoilt=0):
    return struct.pack("!BBBBBBH", PING, 0, dst, number, ttl, spoilt, n)


def fragment(dst, field, n, number=1, proto=1, inner=0):
    return struct.pack("!BBBBHBBB", FRAGMENT, 0, dst, proto, field, number, n - 1, inner)


def gateway():
    hello = segment(2, ACK_FLAG | PSH, 1000)
    return {
        "nothing": net(),
        "arp": net(0, arp_from(), arp_from(target=1, how=1), arp_from(host=2), take()),
        "neighbours": net(0, *(arp_from(h, how=h & 1) for h in range(4, 60)), *(arp_from(h, 1) for h in range(4, 60)), take()),
        "dhcp": net(0, bytes([DHCP, 0, 1, 0, 15, 0, DHCP, 0, 3, 0, 15, 0]), take()),
        "ping": net(0, ping(0), ping(2), ping(3, number=2), ping(2, ttl=1), ping(7), time(0), arrive(0, 1, 64), take()),
        "ping-large": net(0, ping(0, 4000), ping(1, 4000, spoilt=USE_CSUM), take()),
        "ping-forbidden": net(NO_PING, ping(2), take()),
        "ping-error": net(0, ping(2), time(0), bytes([ERROR, 2, 1, 11, 0, 3]), take()),
        "udp": net(0, datagram(2, 100), datagram(2, 60), datagram(3, 0), time(0), arrive(2, 3, 500), take(), time(M3)),
        "udp-joined": net(CAPS, *[datagram(2, 1000)] * 4, time(0), arrive(2, 40, 1200), time(0), take()),
        "udp-kernel-joined": net(CAPS, datagram(2, 10), time(0), arrive(2, 129, 20000, 1000), arrive(2, 129, 60000, 1400), take()),
        "udp-uso": net(CAPS, datagram(2, 4000, spoilt=USE_CSUM | USE_GSO, gso=1000),
                       datagram(2, 4000, spoilt=USE_CSUM | USE_GSO, gso=3), time(0)),
        "udp-uso-refused": net(CAPS | NO_SEGMENT, datagram(2, 4000, spoilt=USE_CSUM | USE_GSO, gso=1000), datagram(2, 9), time(0)),
        "udp-empty-between": net(0, datagram(2, 100), datagram(2, 0), datagram(2, 100), time(0)),
        "udp-large": net(0, datagram(2, 100), time(0), arrive(2, 1, 9000), arrive(2, 1, 60000), take(80)),
        "udp-error": net(0, datagram(2, 100), time(0), bytes([ERROR, 2, 0, 3, 3, 2]), datagram(2, 100), take()),
        "udp-ttl": net(0, datagram(2, 10, ttl=1), datagram(6, 10, ttl=1), datagram(7, 10, ttl=1), datagram(2, 10, ttl=9), take()),
        "udp-few-flows": net(FEW_FLOWS, *(datagram(2, 10, who=i) for i in range(70)), time(), take()),
        "dns": net(0, datagram(17, 30), time(S1), time(S1), datagram(17, 30), time(S1), time(S1), datagram(17, 30), take()),
        "dns-no-descriptors": net(0, datagram(17, 30), time(S1), time(S1), bytes([DESCRIPTORS, 1]), datagram(17, 30),
                                  datagram(17, 30), bytes([DESCRIPTORS, 0]), datagram(17, 30), time(S1)),
        "dns-error": net(0, datagram(17, 30), time(0), bytes([ERROR, 2, 0, 3, 3, 13]), datagram(17, 30), take()),
        "dns-none": net(0, datagram(17, 30), take(), resolvers=0),
        "restricted": net(RESTRICTED, datagram(2, 9), ping(2), syn(0), syn(2), syn(1), datagram(17, 30), take()),
        "no-loopback": net(NO_LOOPBACK, syn(0), datagram(0, 9), datagram(17, 30), syn(1), datagram(4, 9), take()),
        "tcp": net(0, opened(2), hello, connection(0, MORE_DATA), time(0), take(), segment(2), connection(0, FINISH), time(0), take(),
                   segment(2, ACK_FLAG | FIN), time(0), take(), segment(2), time(6)),
        "tcp-tso": net(CAPS, opened(2, USE_CSUM), segment(2, ACK_FLAG, 4000, spoilt=USE_CSUM | USE_GSO), connection(0, MORE_DATA),
                       connection(0, MORE_DATA), time(0), take(), segment(2, spoilt=USE_CSUM), time(0), take()),
        "tcp-no-peek-off": net(NO_PEEK_OFF, opened(2), *[connection(0, MORE_DATA)] * 9, time(0), take(), segment(2), time(0), take()),
        "tcp-retransmit": net(0, opened(2), connection(0, MORE_DATA), time(0), take(), *[segment(2, ack=-1)] * 4, time(), take(),
                              time(6), take(), segment(2), time(0)),
        "tcp-guest-resets": net(0, opened(2), connection(0, MORE_DATA), segment(2, RST), time(0), take()),
        "tcp-host-resets": net(0, opened(2), hello, time(0), connection(0, RESET), time(0), time(0), take()),
        "tcp-refused": net(0, bytes([PLAN, 8 + 1, 0, 0]), syn(2), syn(3), time(0), take()),
        "tcp-slow-connect": net(0, bytes([PLAN, 0xF0, 0, 0]), syn(2), time(MS10), segment(2, RST), syn(3), time(2), take()),
        "tcp-full": net(0, bytes([PLAN, 0, 0x22, 0x83]), opened(2), *[segment(2, ACK_FLAG, 1400)] * 9, time(2), take(), hello, time()),
        "tcp-window-0": net(0, opened(2), segment(2, window=0), connection(0, MORE_DATA), time(), take(), time(5), segment(2), time(0)),
        "tcp-short-queue": net(SHORT_QUEUE, arp_from(), opened(2), *[connection(0, MORE_DATA)] * 4, time(0), take(), time(0), take()),
        "tcp-again": net(0, opened(2), connection(0, FINISH), time(0), take(), segment(2, ACK_FLAG | FIN), time(0), take(),
                         syn(2 | 64), time(0), take(), segment(2), take()),
        "tcp-few-flows": net(FEW_FLOWS, *(syn(i) for i in range(8)), time(0), take(), take(port=1)),
        "tcp-dns": net(0, opened(1), segment(1, ACK_FLAG, 30), time(0), take()),
        "tcp-keep-alive": net(0, opened(2), *[time(10)] * 3, take(), time(S31), take()),
        "inbound": net(0, arp_from(), bytes([DIAL, 0, 2]), time(0), take(), syn(8, ack=0), time(0), take(),
                       segment(8, ACK_FLAG, 100), connection(0, MORE_DATA), time(0), take()),
        "inbound-unresolved": net(0, bytes([DIAL, 0, 2, DIAL, 1, 2]), time(1), take(), arp_from(how=1), time(2), take(), time(5), time(5)),
        "inbound-other-port": net(0, bytes([DIAL, 1, 2]), time(0), arp_from(16, 1), time(2), take(port=1), syn(8), time(0)),
        "inbound-no-descriptors": net(0, arp_from(), bytes([DESCRIPTORS, 1, DIAL, 0, 2]), time(0), time(S1), bytes([DESCRIPTORS, 0]),
                                      time(S1), take()),
        "inbound-udp": net(0, arrive(0, 3, 100), time(0), take(), arp_from(how=1), time(0), take(), datagram(2, 10)),
        "inbound-udp-no-guest": net(0, arrive(0, 1, 100), time(3), arrive(0, 1, 100), time(3), arrive(0, 1, 100), time(3),
                                    arrive(0, 1, 100), time(3), take()),
        "inbound-udp-full": net(SHORT_QUEUE, arp_from(), arrive(0, 70, 100), time(0), take(2), time(0), take()),
        "port-ends": net(0, opened(2), datagram(2, 9), bytes([PORT, 2]), datagram(2, 9), opened(3), bytes([PORT, 0]), opened(2)),
        "fragments": net(0, fragment(2, 0x2000, 104, inner=192), fragment(2, 13, 96), fragment(0, 0x2000, 104, 2, 0),
                         fragment(0, 13, 96, 2, 0), time(0), take()),
        "offloads": net(CAPS, datagram(2, 100, spoilt=BAD_OFFLOAD) + vnet(0, 1, 5, 42, 10, 34, 6)[2:],
                        ping(2, 99, spoilt=BAD_OFFLOAD) + vnet(0, 1, 1, 42, 10, 34, 2)[2:],
                        syn(2, spoilt=BAD_OFFLOAD) + vnet(0, 1, 1, 54, 1, 34, 16)[2:], take()),
        "raw": net(0, bytes([RAW, 0]) + bytes(12) + struct.pack("!H", 60) + bytes.fromhex("52550a000202") + GUEST + b"\x08\0"
                   + ip4(b"x" * 26, proto=2), take()),
        "small-link": net(0, opened(2), connection(0, MORE_DATA), datagram(2, 1000), time(0), arrive(2, 2, 3000), take(), mtu=1),
        "large-link": net(CAPS, opened(2), connection(0, MORE_DATA), datagram(2, 1000), time(0), arrive(2, 2, 3000), take(), mtu=3),
    }


# ----------------------------------------------------------------------------------------------------

def seeds():
    for name, (parser, data) in wire().items():
        yield "wire", name, bytes([parser]) + data
    for name, data in dhcp4().items():
        yield "dhcp4", name, data
    for name, data in reass().items():
        yield "reass", name, data
    for name, data in gateway().items():
        yield "gateway", name, data
    for name, data in corpus_vhost.vring().items():
        yield "vring", name, data
    for name, data in corpus_vhost.vhost_msg().items():
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
