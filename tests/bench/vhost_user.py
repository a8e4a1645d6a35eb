#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Interleaved comparison of vhost-user back ends: real guests, and the back end's share alone.

Three parts, as netns.py measures: all contenders of a round side by side, every test in turn over all of them,
ratios within a round.
  uml    a User Mode Linux guest, near native speed: vmlan, the newest passt, UML's own driver on a tap and a bridge
  qemu   a QEMU guest under TCG: vmlan, passt, QEMU's tap on a bridge
  rings  a driver that fills and drains rings as fast as it can (rings.c): vmlan, passt, and DPDK as the limit
README.md here says what each figure means.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bed as beds  # noqa: E402
import guest_bed  # noqa: E402
import rings  # noqa: E402
from netns import list_tests, note, run_round  # noqa: E402
from report import Report, figure, write_json  # noqa: E402

PARTS = ("uml", "qemu", "rings")
CONTENDERS = {"uml": "vmlan,passt,tap", "qemu": "vmlan,passt,tap", "rings": "vmlan,vmlan:packed,passt"}
MTUS = {"uml": "1500,65520", "qemu": "1500", "rings": "1500"}


def make_contenders(p, args, part):
    programs = {"vmlan": args.vmlan, "passt": args.passt, "tap": None, "dpdk": shutil.which("dpdk-testpmd")}
    made = []
    for name in getattr(args, part):
        kind = name.partition(":")[0]
        if kind not in programs:
            p.error(f"{part}: no such contender: {name}")
        if kind == "passt" and not programs[kind]:
            programs[kind] = args.passt = beds.run(os.path.join(beds.HERE, "fetch-pasta"),
                                                   os.path.join(beds.OUT, "pasta"), "passt").splitlines()[-1]
        if kind != "tap" and not programs[kind]:
            p.error(f"no program for {name}; leave it out with --{part}, or install it")
        program = programs[kind] and os.path.abspath(programs[kind])
        made.append((rings if part == "rings" else guest_bed).Contender(name, program))
    return made


def part_args(args, part):
    """What netns.py and report.py look at."""
    own = argparse.Namespace(**vars(args))
    own.mtu = [int(m) for m in (args.mtu or MTUS[part]).split(",")] if part != "rings" else [1500]
    own.reference = getattr(args, part)[0]
    return own


def run_rings_round(index, contenders, args, report, folder):
    up = {}
    try:
        for contender in contenders:
            up[contender.name] = rings.RingBed(contender, folder).start()
        for number, test in enumerate(report.tests):
            turn = (index + number) % len(contenders)
            for contender in contenders[turn:] + contenders[:turn]:
                if contender.kind == "dpdk" and test.role == "up":
                    continue  # it has no sockets
                try:
                    result = up[contender.name].measure(test, args.seconds)
                    report.add(contender.name, 1500, test, index, result)
                    note(f"  {test.name} {contender.name}: {figure(result[test.value])} {test.unit}")
                except beds.BedError as error:
                    report.fail(contender.name, 1500, test.name, index, str(error))
                    note(f"  {test.name} {contender.name}: FAILED: {error}")
    finally:
        for bed in up.values():
            bed.stop()


def run_part(part, contenders, args, folder):
    report = Report(args, contenders, rings.TESTS if part == "rings" else list_tests(args))
    try:
        for index in range(args.rounds):
            for mtu in args.mtu:
                report.note_round(index, mtu)
                note(f"{part}: round {index + 1} of {args.rounds}, MTU {mtu}, load {os.getloadavg()[0]:.2f}")
                if part == "rings":
                    run_rings_round(index, contenders, args, report, folder)
                    continue
                # UML's driver of taps has frames of at most 1500 bytes.
                able = [c for c in contenders if part == "qemu" or c.kind != "tap" or mtu <= 1500]
                run_round(index, mtu, able, report.tests, args, report,
                          lambda c, m: guest_bed.GuestBed(c, m, part, folder))
    except (KeyboardInterrupt, SystemExit):
        note("interrupted: what was measured so far follows")
        return report, False
    return report, True


def parse_args():
    p = argparse.ArgumentParser(prog="tools/bench vhost-user", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--parts", default=",".join(PARTS))
    p.add_argument("--rounds", type=int, default=3, help="ratios worth quoting need 7 (default 3)")
    p.add_argument("--seconds", type=float, default=3, help="of each measurement (default 3)")
    p.add_argument("--mtu", help="of the guests (default: uml 1500,65520; qemu 1500)")
    p.add_argument("--cc", default="reno,cubic", help="of the guest's streams up (default %(default)s)")
    p.add_argument("--streams", default="1")
    p.add_argument("--tests", default="up,down,rr,crr", help="of up down rr crr udp-up udp-down ping (default %(default)s)")
    for part in PARTS:
        p.add_argument(f"--{part}", default=CONTENDERS[part], metavar="CONTENDERS", help="default %(default)s; the first"
                       " is the one that ratios are taken of; vmlan may be there again with more arguments, as"
                       " 'vmlan:--busy-poll-us 50'" + ("; dpdk, dpdk:packed" if part == "rings" else ""))
    p.add_argument("--dpdk", action="store_true", help="dpdk and dpdk:packed too, with --rings as it is")
    p.add_argument("--vmlan", default=beds.vmlan_program(), metavar="PATH", help="default: $VMLAN, or the one of build/")
    p.add_argument("--passt", metavar="PATH", help="default: the newest package, unpacked under build/bench")
    p.add_argument("--output", metavar="FILE", help="of the JSON (default build/bench/vhost-user-TIME.json)")
    args = p.parse_args()
    if args.dpdk and args.rings == CONTENDERS["rings"]:
        args.rings += ",dpdk,dpdk:packed"
    for name in ("parts", "cc", "tests", *PARTS):
        setattr(args, name, getattr(args, name).split(","))
    args.streams = [int(n) for n in args.streams.split(",")]
    if not set(args.parts) <= set(PARTS):
        p.error(f"the parts are {' '.join(PARTS)}")
    if not set(args.tests) <= {"up", "down", "rr", "crr", "udp-up", "udp-down", "ping"}:
        p.error("the tests are up down rr crr udp-up udp-down ping")
    return p, args


def main():
    p, args = parse_args()
    if os.geteuid() != 0:
        p.error("network namespaces need root")
    contenders = {part: make_contenders(p, args, part) for part in args.parts}
    beds.build_load()
    for part in args.parts:
        if part != "rings":
            guest_bed.initramfs(part)
        else:
            rings.build()
    output = args.output or os.path.join(beds.OUT, time.strftime("vhost-user-%Y%m%d-%H%M%S.json"))
    folder = tempfile.mkdtemp(prefix="vmlan-bench-", dir="/tmp")
    beds.enter_private_world(folder)
    reports, going = {}, True
    for part in args.parts:
        if going:
            reports[part], going = run_part(part, contenders[part], part_args(args, part), folder)
    write_json(output, {part: report.record() for part, report in reports.items()})
    for part, report in reports.items():
        print(f"\n{part.upper()}\n{report.text()}")
    print(f"\nevery figure: {os.path.relpath(output)}")
    sys.exit(1 if any(report.failures for report in reports.values()) else 0)


if __name__ == "__main__":
    main()
