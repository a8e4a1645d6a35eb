# SPDX-License-Identifier: BSD-2-Clause
"""The back end's share alone: rings.c in the place of a guest, one processor its own, another the back end's.

A contender is vmlan, passt or dpdk (dpdk-testpmd, which only takes frames out, or puts them in: the limit), and
with :packed its rings are packed. Each measurement starts a back end afresh."""

import json
import os
import subprocess

import bed as beds
import guest_bed

CPUS = sorted(os.sched_getaffinity(0))
BACKEND_CPU, OTHER_CPUS = CPUS[-1:], CPUS[:-1] or CPUS


def build():
    return beds.build("rings", ("rings.c", "rings_device.c"), ("rings.h", "load.h"))


class RingTest:
    """One row: what rings.c does, and which of its figures counts."""

    better = "more"
    per_gb = False

    def __init__(self, name, mode, value, unit, also=(), options=()):
        self.name, self.role, self.value, self.unit = name, mode, value, unit
        self.also, self.options = also, list(options)


AS_IT_RAN = [("   as it ran", "M/s", "mfps"), ("   bytes", "GB/s a core", "gb_core")]
STREAM = [("   as it ran", "Gbit/s", "gbps"), ("   processor time", "s/GB", "cpu_s_per_gb"),
          ("   of it in user mode", "s/GB", "user_s_per_gb")]
TESTS = [
    RingTest("64-byte frames out of the ring", "drain", "mfps_core", "M/s a core", AS_IT_RAN[:1], ["-s", "64"]),
    RingTest("1514-byte frames out of the ring", "drain", "mfps_core", "M/s a core", AS_IT_RAN, ["-s", "1514"]),
    RingTest("what a guest of MTU 1500 sends, out of the ring", "drain", "gb_core", "GB/s a core", AS_IT_RAN[:1],
             ["-g"]),
    RingTest("TCP up, MTU 1500", "up", "gb_core", "GB/s a core", STREAM),
    RingTest("TCP down, MTU 1500 (dpdk: 1514-byte frames in)", "down", "gb_core", "GB/s a core", STREAM),
]


class Contender(guest_bed.Contender):
    def __init__(self, name, program, args=()):
        kind, _, more = name.partition(":")
        self.packed = more.startswith("packed")
        super().__init__(f"{kind}:{more.removeprefix('packed').strip()}", program, args)
        self.name = name

    def version(self):
        if self.kind != "dpdk":
            return super().version()
        return beds.run("dpkg-query", "-W", "-f", "dpdk ${Version}", "dpdk-dev")

    def command(self, bed):
        if self.kind != "dpdk":
            return super().command(bed)
        return [self.program, "-l", f"{OTHER_CPUS[0]},{BACKEND_CPU[0]}", "--no-huge", "-m", "512", "--no-pci",
                "--file-prefix", f"bench{os.getpid()}", "--vdev", f"net_vhost0,iface={bed.socket},queues=1", "--",
                "--forward-mode", "txonly" if bed.filling else "rxonly", "--txpkts", "1514", "--auto-start",
                "--total-num-mbufs", "8192",
                "--stats-period", "3600"]


def run_seconds(pids):
    """Processor time of processes and their threads, to the nanosecond; of it in user mode, as far as the
    kernel's ticks know."""
    total = user = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0]) / 1e9
            with open(f"/proc/{pid}/task/{task}/stat") as f:
                user += int(f.read().rpartition(")")[2].split()[11]) / os.sysconf("SC_CLK_TCK")
    return total, user


class RingBed(guest_bed.GuestBed):
    """A host and a server; the back end is up for the time of a measurement."""

    def __init__(self, contender, folder):
        super().__init__(contender, 1500, "rings", folder)
        self.program = build()
        self.filling = False

    def start(self):
        try:
            self.make_namespaces(with_guest=False)
            self.server_process = self.spawn(self.pinned(OTHER_CPUS, self.within(self.server, self.load, "server")))
        except BaseException:
            self.stop()
            raise
        return self

    @staticmethod
    def pinned(cpus, argv):
        return ["taskset", "-c", ",".join(map(str, cpus)), *argv]

    def measure(self, test, seconds):
        is_dpdk = self.contender.kind == "dpdk"
        self.filling = is_dpdk and test.role == "down"
        argv = self.within(self.host, *self.contender.command(self))
        self.backend = self.spawn(argv if is_dpdk else self.pinned(BACKEND_CPU, argv))
        try:
            self.wait_for_socket()
            return self.drive("fill" if self.filling else test.role, test.options, seconds)
        finally:
            self.backend.kill()
            self.backend.wait()
            self.children.remove(self.backend)
            self.backend = None
            for name in os.listdir(self.folder.tmp):
                os.unlink(self.folder.path(name))

    def drive(self, mode, options, seconds):
        argv = [self.program, *options, *["-p"] * self.contender.packed, "-t", str(seconds), "-a",
                beds.SERVER_ADDRS[0], mode, self.socket]
        with subprocess.Popen(self.pinned(OTHER_CPUS, argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as driver:
            driver.stdout.readline()
            pids = self.backend_pids()
            before = run_seconds(pids)
            try:
                out, said = driver.communicate(timeout=seconds + 30)
            except subprocess.TimeoutExpired:
                driver.kill()
                raise beds.BedError(f"{mode}: no end in sight") from None
        self.must_be_alive()
        if driver.returncode:
            raise beds.BedError(f"{mode}: {said.strip() or self.status_text(driver.returncode)}; {self.log_tail()}")
        r = json.loads(out)
        r["cpu_s"], r["user_s"] = (after - b for after, b in zip(run_seconds(pids), before))
        if not r["cpu_s"] or not r["total_bytes"]:
            raise beds.BedError(f"{mode}: nothing came through: {self.log_tail()}")
        r["cpu_s_per_gb"], r["user_s_per_gb"] = (r[k] * 1e9 / r["total_bytes"] for k in ("cpu_s", "user_s"))
        r["gb_core"], r["mfps_core"] = r["total_bytes"] / r["cpu_s"] / 1e9, r["total_frames"] / r["cpu_s"] / 1e6
        return r
