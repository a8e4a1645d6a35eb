# SPDX-License-Identifier: BSD-2-Clause
"""A real guest under QEMU, driven through its serial console (tests/vm/lib/guest/init says how) and QMP."""
import collections
import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
import time

from world import SKIP, Failure, expect

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))
BOOT_S = 120
APPEND = ("console=ttyS0 quiet loglevel=1 mitigations=off nokaslr random.trust_cpu=on panic=-1 8250.nr_uarts=1 "
          "no_timer_check")  # which fails under TCG when this machine has more to do


def vmlan():
    """The program under test. VMLAN=qemu takes vmlan away: QEMU's own user network, to try the bed itself."""
    return os.environ.get("VMLAN", os.path.join(TOP, "build/vmlan"))


def run_prefix():
    return [] if vmlan() == "qemu" else [vmlan(), "run", "--"]


@functools.cache
def folder():
    """Builds kernel and initramfs where that is needed."""
    built = subprocess.run([os.path.join(TOP, "tests/vm/lib/build-guest")], stdout=subprocess.PIPE, check=True)
    return built.stdout.decode().strip().split("\n")[-1]


def base_arguments(accel, memory=256, qemu="qemu-system-x86_64"):
    files = folder()
    return [qemu, "-accel", accel, "-m", str(memory), "-display", "none", "-no-reboot",
            "-kernel", files + "/kernel", "-initrd", files + "/initramfs.cpio"]


def choose_accel():
    """"kvm" where a guest truly boots by it, else "tcg". /dev/kvm alone promises nothing inside another
    guest, so it is tried, once, and the answer kept beside the kernel."""
    if os.environ.get("VMLAN_ACCEL"):
        return os.environ["VMLAN_ACCEL"]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    known = os.path.join(folder(), "accel")
    if os.path.exists(known):
        with open(known, encoding="ascii") as f:
            return f.read().strip()
    command = base_arguments("kvm") + ["-append", APPEND, "-serial", "stdio", "-monitor", "none", "-nic", "none"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as probe:
        try:
            os.set_blocking(probe.stdout.fileno(), False)
            seen, end = b"", time.monotonic() + 5
            while b"@@ boot" not in seen and probe.poll() is None and time.monotonic() < end:
                seen += probe.stdout.read() or b""
                time.sleep(0.02)
        finally:
            probe.kill()
    accel = "kvm" if b"@@ boot" in seen else "tcg"
    with contextlib.suppress(OSError), open(known, "w", encoding="ascii") as f:
        f.write(accel + "\n")
    return accel


Result = collections.namedtuple("Result", "status lines")


class Guest:
    """One QEMU. prefix is what runs it (vmlan run --, or nothing), network its network options."""

    _told = ""  # the last command

    def __init__(self, world, network, prefix=None, name="guest", extra=(), accel=None,
                 qemu="qemu-system-x86_64"):
        self.world, self.name = world, name
        self.accel = accel or choose_accel()
        self.serial_path, self.qmp_path = world.path(name + ".serial"), world.path(name + ".qmp")
        self.command = [*(run_prefix() if prefix is None else prefix), *base_arguments(self.accel, qemu=qemu),
                        "-append", APPEND,
                        "-chardev", f"socket,id=serial,path={self.serial_path},server=on,wait=off",
                        "-serial", "chardev:serial", "-monitor", "none",
                        "-qmp", f"unix:{self.qmp_path},server=on,wait=off", *extra, *network]
        self.process = self.serial = self._qmp = None
        self.events = []
        self._pending = b""
        self._next_id = 0

    def start(self):
        """Starts QEMU and waits until the guest's init runs; the seconds that took."""
        need(self.command[0])
        began = time.monotonic()
        self.spawn()
        self.wait_boot()
        return time.monotonic() - began

    def wait_boot(self):
        deadline = time.monotonic() + BOOT_S
        while not (line := self._line(deadline)).startswith("@@ boot"):
            if line:
                print(f"{self.name}: {line}")

    def spawn(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)
        self.serial = self._connect(self.serial_path)

    def _connect(self, path):
        """Connects to a socket that QEMU makes as it starts. A QEMU that is to daemonize has gone by then."""
        deadline = time.monotonic() + 60
        while True:
            status = self.process.poll()
            expect(status in (None, 0), f"{self.name}: QEMU ended with status {status} before it ran")
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(path)
                return sock
            except OSError:
                sock.close()
                expect(time.monotonic() < deadline, f"{self.name}: QEMU made no {path}")
                time.sleep(0.02)

    def _line(self, deadline):
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            expect(left > 0, f"{self.name}: the guest said nothing more in time; last it was told {self._told!r}")
            self.serial.settimeout(left)
            try:
                data = self.serial.recv(65536)
            except socket.timeout:
                continue
            except ConnectionResetError:
                data = b""
            expect(data, f"{self.name}: QEMU closed the guest's serial console")
            self._pending += data
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode("utf-8", "replace").rstrip("\r")

    def begin(self, command):
        """Starts a command line in the guest; finish() waits for it. One at a time."""
        self._next_id += 1
        self._told = command
        self.serial.sendall(f"{self._next_id} {command}\n".encode())

    def finish(self, timeout_s=60, on_line=None):
        lines, deadline = [], time.monotonic() + timeout_s
        output, end = f"@@{self._next_id}| ", f"@@{self._next_id}= "
        while True:
            try:
                line = self._line(deadline)
            except Failure as error:
                raise Failure(f"{error}; it had said {lines[-5:]}") from None
            if line.startswith(end):
                return Result(int(line[len(end):]), lines)
            if line.startswith(output):
                line = line[len(output):]
                if on_line:
                    on_line(line)
            lines.append(line)

    def run(self, command, timeout_s=60, on_line=None):
        self.begin(command)
        return self.finish(timeout_s, on_line)

    def check(self, command, timeout_s=60):
        """The output of a command that must succeed."""
        result = self.run(command, timeout_s)
        if result.status != 0:
            raise Failure(f"{self.name}: {command!r} ended with {result.status}: " + " / ".join(result.lines))
        return "\n".join(result.lines)

    def lease(self, interface="eth0"):
        """Asks for a lease and puts it into effect; what the guest's hook said of it."""
        self.check(f"ip link set {interface} up")
        said = self.check(f"udhcpc -q -n -t 20 -T 1 -i {interface} -s /sbin/lease", 90)
        leases = [line for line in said.split("\n") if line.startswith("lease ")]
        expect(leases, f"{self.name}: udhcpc got no lease: {said}")
        return leases[-1]

    def qmp(self, command, **arguments):
        if not self._qmp:
            self._qmp = self._connect(self.qmp_path).makefile("rw", encoding="utf-8")
            self._qmp.readline()  # the greeting
            self.qmp("qmp_capabilities")
        self._qmp.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._qmp.flush()
        while True:
            answer = json.loads(self._qmp.readline())
            expect("error" not in answer, f"{self.name}: QMP {command}: {answer.get('error')}")
            if "return" in answer:
                return answer["return"]
            self.events.append(answer)

    def wait_deleted(self, device):
        """Waits until QEMU has let go of a device that was told to go."""
        while not any(e["event"] == "DEVICE_DELETED" and e["data"].get("device") == device for e in self.events):
            self.events.append(json.loads(self._qmp.readline()))
        self.events.clear()

    def power_off(self, timeout_s=60):
        """Powers the guest off; the exit status of what was started."""
        self.serial.sendall(b"0 sync; poweroff -f\n")
        return self.wait(timeout_s)

    def wait(self, timeout_s=60):
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name}: {os.path.basename(self.command[0])} still runs") from None


def newer_qemu(which):
    """QEMU "10" or the "newest", unpacked where the system's own is older; None, and it says why, where there is none
    to be had: what would have run with it is skipped then, and so is the test, not passed."""
    built = subprocess.run([os.path.join(TOP, "tests/vm/lib/build-qemu"), which], stdout=subprocess.PIPE, check=False,
                           text=True)
    if built.returncode == SKIP:
        print(f"without QEMU {which}: {built.stdout.strip()}")
        return None
    expect(built.returncode == 0, f"build-qemu {which}: {built.stdout}")
    return built.stdout.strip().split("\n")[-1]


def qemu_version():
    """Of the system's QEMU, or what stands before it in PATH: (major, minor)."""
    said = subprocess.run(["qemu-system-x86_64", "--version"], stdout=subprocess.PIPE, check=True, text=True).stdout
    return tuple(int(number) for number in said.split("version ")[1].split(".")[:2])


def reconnects():
    """The option of a socket that QEMU connects again, in its version's words."""
    return ("reconnect-ms", 200) if qemu_version() >= (9, 2) else ("reconnect", 1)


def need(*programs):
    for program in programs:
        expect(os.path.isabs(program) and os.access(program, os.X_OK) or shutil.which(program), f"no {program}")
