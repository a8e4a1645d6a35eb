#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Interleaved comparison of user-mode back ends and the kernel's own path, with network namespaces as guests.

All contenders of a round are up at once, each in a bed of its own, and every test goes round all of them
before the next test starts, in an order that rotates: what else the machine does hits all of them alike.
A ratio is taken within a round, between two runs seconds apart; the median of the ratios is reported with
their smallest and largest. README.md here says what each figure means.
"""

import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bed as beds  # noqa: E402
from report import Report, figure  # noqa: E402

DEFAULT_CONTENDERS = "vmlan,pasta,slirp4netns,copy,kernel"


class Test:
    """One row: a role of the load generator with its options."""

    def __init__(self, name, role, value, unit, better, per_gb=False, **options):
        self.name, self.role, self.value, self.unit, self.better = name, role, value, unit, better
        self.per_gb, self.options = per_gb, options
        self.cc = None  # the guest's congestion control, where the test depends on it


def list_tests(args):
    """The rows of a run. Only `up` is sent by the guest's own TCP, so only it is repeated for each --cc."""
    tests = []
    for kind in args.tests:
        if kind == "up":
            for n in args.streams:
                for cc in args.cc:
                    t = Test(f"up, {n} stream{'s' * (n > 1)}, {cc}", "up", "gbps", "Gbit/s", "more", True, n=n, c=cc)
                    t.cc, t.group = cc, f"up, {n} stream{'s' * (n > 1)}"
                    tests.append(t)
        elif kind == "down":
            for n in args.streams:
                tests.append(Test(f"down, {n} stream{'s' * (n > 1)}", "down", "gbps", "Gbit/s", "more", True, n=n))
        elif kind == "rr":
            tests.append(Test("1-byte round trip, p50", "rr", "p50_us", "us", "less"))
        elif kind == "crr":
            for n in (1, 16):
                tests.append(Test(f"connect-request-close, {n} at a time", "crr", "per_s", "/s", "more", n=n))
        elif kind in ("udp-up", "udp-down"):
            tests.append(Test(f"UDP 64 B {kind[4:]}", kind, "kpps", "kpps", "more", s=64))
        elif kind == "ping":
            tests.append(Test("ping, p50", "ping", "p50_us", "us", "less"))
        elif kind == "rate":
            tests.append(Test(f"{args.rate} connections a second: lost", "rate", "lost", "", "less", r=args.rate))
        elif kind == "idle":
            tests.append(Test(f"memory per idle connection, {args.idle} held", "idle", "pss_bytes_each", "B", "less",
                              n=args.idle, r=2000))
    return tests


def measure_idle(bed, test):
    """Opens and holds connections, verifies each, weighs the back end before and after."""
    before = bed.memory()
    with beds.IdleConnections(bed, test.options["n"]) as idle:
        during = bed.memory()
        checked = idle.check()
    each = {f"{k}_bytes_each": (during[f"{k}_kb"] - before[f"{k}_kb"]) * 1024 / max(1, idle.opened["held"])
            for k in ("rss", "pss") if bed.backend}
    lost = idle.opened["lost"] + checked["lost"]
    return {**idle.opened, **each, "lost": lost, "said": idle.said}


def measure(bed, test, args):
    if test.role == "idle":
        return measure_idle(bed, test)
    result = bed.client(test.role, args.seconds, **test.options)
    if test.per_gb:
        known = result["cpu_s"] is not None and result["total_bytes"]
        result["cpu_s_per_gb"] = result["cpu_s"] * 1e9 / result["total_bytes"] if known else None
    if test.role in ("rr", "crr"):
        for key in {"cpu_s", "guest_s"} & {k for k, v in result.items() if v is not None}:
            result[key.replace("_s", "_us_each")] = result[key] * 1e6 / (result["per_s"] * result["seconds"])
    return result


def note(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


def run_round(index, mtu, contenders, tests, args, report, make_bed):
    """make_bed(contender, mtu): not started."""
    up = {}
    for contender in contenders:
        try:
            up[contender.name] = make_bed(contender, mtu).start()
        except beds.BedError as error:
            report.fail(contender.name, mtu, "start", index, str(error))
            note(f"  {contender.name}: {error}")
    try:
        for number, test in enumerate(tests):
            turn = (index + number) % len(contenders)
            for contender in contenders[turn:] + contenders[:turn]:
                if contender.name not in up:
                    continue
                bed = up[contender.name]
                try:
                    result = measure(bed, test, args)
                    report.add(contender.name, mtu, test, index, result)
                    note(f"  {test.name} {contender.name}: {figure(result.get(test.value))} {test.unit}")
                except beds.BedError as error:
                    report.fail(contender.name, mtu, test.name, index, str(error))
                    note(f"  {test.name} {contender.name}: FAILED: {error}")
        for name, bed in up.items():
            if bed.backend:
                report.add_memory(name, mtu, index, bed.idle_memory, bed.memory())
    finally:
        for bed in up.values():
            bed.stop()


def parse_args():
    p = argparse.ArgumentParser(prog="tools/bench netns", description=__doc__.split("\n")[0])
    p.add_argument("--rounds", type=int, default=3, help="ratios worth quoting need 7 (default 3)")
    p.add_argument("--seconds", type=float, default=3, help="of each measurement (default 3)")
    p.add_argument("--mtu", default="1500,65520", help="of the guest's interface (default 1500,65520)")
    p.add_argument("--cc", default="reno,cubic,bbr", help="of the guest's streams up (default %(default)s)")
    p.add_argument("--streams", default="1,4")
    p.add_argument("--tests", default="up,down,rr,crr,udp-up,udp-down,ping",
                   help="of up down rr crr udp-up udp-down ping rate idle (default: all but the last two)")
    p.add_argument("--rate", type=int, default=1000, help="connections a second of the rate test")
    p.add_argument("--idle", type=int, default=10000, help="connections of the idle test")
    p.add_argument("--contenders", default=DEFAULT_CONTENDERS, help="vmlan pasta slirp4netns copy kernel; vmlan may be"
                   " there again with more arguments, as vmlan:--no-peek-off (default %(default)s)")
    p.add_argument("--reference", help="the one that ratios are taken of (default: the first contender)")
    p.add_argument("--vmlan", default=beds.vmlan_program(), metavar="PATH", help="default: $VMLAN, or the one of"
                   " build/")
    p.add_argument("--vmlan-args", default="", help="more arguments of `vmlan user`, for every vmlan")
    p.add_argument("--pasta", metavar="PATH", help="default: the newest package, unpacked under build/bench")
    p.add_argument("--output", metavar="FILE", help="of the JSON (default build/bench/netns-TIME.json)")
    args = p.parse_args()
    for name in ("mtu", "streams"):
        setattr(args, name, [int(v) for v in getattr(args, name).split(",")])
    for name in ("cc", "tests", "contenders"):
        setattr(args, name, getattr(args, name).split(","))
    known = {"up", "down", "rr", "crr", "udp-up", "udp-down", "ping", "rate", "idle"}
    if not set(args.tests) <= known:
        p.error(f"no such test: {', '.join(set(args.tests) - known)}")
    available = open("/proc/sys/net/ipv4/tcp_available_congestion_control").read().split()
    for cc in set(args.cc) - set(available):
        p.error(f"this kernel has no congestion control {cc} ({' '.join(available)}); modprobe tcp_{cc}, or --cc")
    args.reference = args.reference or args.contenders[0]
    if args.reference not in args.contenders:
        p.error(f"the reference {args.reference} is no contender")
    return p, args


def make_contenders(p, args):
    contenders = []
    for name in args.contenders:
        kind = name.partition(":")[0]
        if kind == "vmlan":
            found, more = beds.find_program(args.vmlan), args.vmlan_args.split()
        elif kind == "pasta":
            path = args.pasta or beds.run(os.path.join(beds.HERE, "fetch-pasta"), os.path.join(beds.OUT, "pasta"),
                                          ).splitlines()[-1]
            found, more = beds.find_program(path), []
        elif kind == "slirp4netns":
            found, more = beds.find_program("slirp4netns"), []
        elif kind == "copy":
            found, more = beds.build_copy(), []
        elif kind == "kernel":
            found, more = beds.find_program("nft"), []
        else:
            p.error(f"no such contender: {name}")
        if not found:
            p.error(f"no program for {name}; leave it out with --contenders, or install it")
        contenders.append(beds.Contender(name, None if kind == "kernel" else os.path.abspath(found), more))
    return contenders


def main():
    p, args = parse_args()
    if os.geteuid() != 0:
        p.error("network namespaces need root")
    args.load = beds.build_load()
    contenders = make_contenders(p, args)
    tests = list_tests(args)
    output = args.output or os.path.join(beds.OUT, time.strftime("netns-%Y%m%d-%H%M%S.json"))
    beds.enter_private_world()
    report = Report(args, contenders, tests)
    took = args.rounds * len(args.mtu) * len(contenders) * len(tests) * (args.seconds + 0.6)
    note(f"{len(tests)} tests, {len(contenders)} contenders, {args.rounds} rounds: about {took / 60:.0f} minutes")
    try:
        for index in range(args.rounds):
            for mtu in args.mtu:
                report.note_round(index, mtu)
                note(f"round {index + 1} of {args.rounds}, MTU {mtu}, load {os.getloadavg()[0]:.2f}")
                run_round(index, mtu, contenders, tests, args, report, lambda c, m: beds.Bed(c, m, args.load))
    except (KeyboardInterrupt, SystemExit):
        note("interrupted: what was measured so far follows")
    report.write(output)
    print(report.text())
    print(f"\nevery figure: {os.path.relpath(output)}")
    sys.exit(1 if report.failures else 0)


if __name__ == "__main__":
    main()
