# SPDX-License-Identifier: BSD-2-Clause
"""tools/bench nat: how long `vmlan up` and `vmlan down` take, beside libvirt's `virsh net-start` and `net-destroy` of a
network of the same kind; many networks at once; many leases on one. All of it in namespaces (tests/netns/netlib.py),
where libvirtd is started for the occasion with its network driver alone."""

import argparse
import glob
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[1:1] = [os.path.join(HERE, "..", "netns")]
import natlib  # noqa: E402
import netlib  # noqa: E402
import report  # noqa: E402

DRIVERS = "/usr/lib/*/libvirt/connection-driver"
VIRSH = ("virsh", "-q", "-c", "network:///system")
NETWORK = """<network><name>{name}</name><forward mode='nat'/><bridge name='v{name}' stp='off' delay='0'/>
<ip address='10.{a}.{b}.1' netmask='255.255.255.0'><dhcp><range start='10.{a}.{b}.2' end='10.{a}.{b}.254'/></dhcp></ip>
</network>"""


class Vmlan:
    name = "vmlan"

    def up(self, network):
        return [netlib.VMLAN, "up", network]

    def down(self, network):
        return [netlib.VMLAN, "down", network]

    def close(self):
        pass


class Libvirt:
    name = "libvirt"

    def __init__(self, networks):
        """Of the drivers only that of networks, since the others want users, services and devices."""
        folder = glob.glob(DRIVERS)[0]
        shutil.copy(os.path.join(folder, "libvirt_driver_network.so"), "/run/")
        for path in (folder, "/var/log", "/var/cache"):
            netlib.must("mount", "-t", "tmpfs", "tmpfs", path)
        shutil.copy("/run/libvirt_driver_network.so", folder)
        os.makedirs("/etc/libvirt")
        with open("/etc/libvirt/libvirtd.conf", "w") as f:
            f.write('auth_unix_rw = "none"\nmax_clients = 1000\nmax_workers = 100\nlog_outputs = "3:file:/run/libvirtd.log"\n')
        self.daemon = subprocess.Popen(["libvirtd", "-f", "/etc/libvirt/libvirtd.conf"], stdin=subprocess.DEVNULL)
        netlib.wait_for("libvirtd", lambda: netlib.sh(*VIRSH, "net-list")[0] == 0, seconds=60)
        for i, name in enumerate(networks):
            with open("/run/network.xml", "w") as f:
                f.write(NETWORK.format(name=name, a=100 + i // 250, b=i % 250))
            netlib.must(*VIRSH, "net-define", "/run/network.xml")

    def up(self, network):
        return [*VIRSH, "net-start", network]

    def down(self, network):
        return [*VIRSH, "net-destroy", network]

    def close(self):
        self.daemon.terminate()
        self.daemon.wait(30)


def timed(*commands):
    """Milliseconds until all of them, started together, have ended well."""
    begin = time.monotonic()
    running = [subprocess.Popen(c, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
               for c in commands]
    for c, p in zip(commands, running):
        said = p.communicate(timeout=600)[1]
        netlib.check(p.returncode == 0, f"{' '.join(c)}: {said}")
    return (time.monotonic() - begin) * 1000


def one_by_one(contenders, rounds):
    """In turns, the first of a round last in the next one."""
    found = {(c.name, verb): [] for c in contenders for verb in ("up", "down")}
    for i in range(rounds):
        for c in contenders if i % 2 else contenders[::-1]:
            found[c.name, "up"].append(timed(c.up("n0")))
            found[c.name, "down"].append(timed(c.down("n0")))
    for verb in ("up", "down"):
        line = ", ".join(f"{c.name} {report.figure(report.median(found[c.name, verb]))} ms" for c in contenders)
        if len(contenders) > 1:
            ratio = report.ratio_of(zip(found["libvirt", verb], found["vmlan", verb]))
            line += f"; libvirt / vmlan {report.ratio_text(ratio)}"
        print(f"{verb:5} {line}", flush=True)
    return {f"{name} {verb}": values for (name, verb), values in found.items()}


def at_once(contenders, networks, before):
    found = {}
    for c in contenders:
        up = timed(*(c.up(n) for n in networks))
        if c.name == "vmlan":
            netlib.check(natlib.vmlan("status").returncode == 0, "not all in order: " + natlib.vmlan("status").stdout)
        down = timed(*(c.down(n) for n in networks))
        if c.name == "vmlan":
            natlib.expect_same(before, f"after {len(networks)} networks")
        found[c.name] = (up, down)
        print(f"{len(networks)} networks at once: {c.name} up {report.figure(up / 1000)} s, down {report.figure(down / 1000)} s",
              flush=True)
    return found


def leases(n):
    netlib.must(netlib.VMLAN, "up", "n0", "--net", "10.99.0.0/22")
    guest = natlib.Guest(LAB, "n0")
    crowd = natlib.Crowd(guest, n)
    begin = time.monotonic()
    leased = crowd.lease_all(120)
    ms = (time.monotonic() - begin) * 1000
    netlib.check(len(set(leased.values())) == n, f"{len(leased)} leases of {n}")
    crowd.close()
    guest.close()
    netlib.must(netlib.VMLAN, "down", "n0")
    print(f"{n} leases asked for at once: {report.figure(ms / 1000)} s", flush=True)
    return ms


LAB = None


def bench(lab):
    global LAB
    LAB = lab
    args = parse(os.environ["VMLAN_BENCH"].split())
    networks = [f"n{i}" for i in range(max(args.networks, 1))]
    before = natlib.snapshot()
    contenders = [Vmlan()]
    results = {"leases_ms": leases(args.leases)} if args.leases else {}
    if args.networks:
        results["vmlan at once"] = at_once(contenders, networks, before)
    if shutil.which("libvirtd") and not args.no_libvirt:
        print("libvirtd " + netlib.must("libvirtd", "--version").split()[-1], flush=True)
        contenders.append(Libvirt(networks))
    results["one"] = one_by_one(contenders, args.rounds)
    if args.networks and contenders[1:]:
        results["libvirt at once"] = at_once(contenders[1:], networks, None)
    for c in contenders:
        c.close()
    report.write_json(os.path.join(netlib.ROOT, "build/bench", time.strftime("nat-%Y%m%d-%H%M%S.json")), results)


def parse(words):
    parser = argparse.ArgumentParser(prog="tools/bench nat", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=15, help="of one network up and down [15]")
    parser.add_argument("--networks", type=int, default=100, help="at once; 0: none [100]")
    parser.add_argument("--leases", type=int, default=250, help="on one network; 0: none [250]")
    parser.add_argument("--no-libvirt", action="store_true", help="vmlan alone")
    return parser.parse_args(words)


if __name__ == "__main__":
    if not os.environ.get("VMLAN_LAB"):
        parse(sys.argv[1:])
        os.environ["VMLAN_BENCH"] = " ".join(sys.argv[1:])
        sys.argv[1:] = []
    netlib.CHECK_SECONDS = 3600
    natlib.run_nat([bench])
