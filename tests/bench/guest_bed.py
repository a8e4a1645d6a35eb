# SPDX-License-Identifier: BSD-2-Clause
"""Test beds with a real guest: as bed.py's, the guest in place of its namespace.

    guest (UML or QEMU)      host namespace                 server namespace
    virtio-net ------------- the back end  -- veth -------- eight addresses, `load server`
    10.0.2.15/24             198.51.100.1                   198.51.100.10 to .17

The guest, a process of the host namespace, runs the same load generator, told over its console.
"""

import os
import shutil
import subprocess
import sys
import time

import bed as beds

sys.path.insert(0, os.path.join(beds.TOP, "tests", "vm", "lib"))
import guest as qemu  # noqa: E402
import uml  # noqa: E402
from world import Failure  # noqa: E402

MAC, MEMORY_MB = "52:54:00:12:34:56", 256
TAP = "tap0"
NOBODY = 65534


def initramfs(kind):
    """The tests' guest with the load generator in it, as a file of build/bench."""
    load = beds.build_load("load-static", ("-static",))
    base = os.path.join(uml.folder() if kind == "uml" else qemu.folder(), "initramfs.cpio")
    path = os.path.join(beds.OUT, f"{kind}.cpio")
    root = os.path.join(beds.OUT, "initramfs")
    os.makedirs(os.path.join(root, "bin"), exist_ok=True)
    shutil.copy(load, os.path.join(root, "bin", "load"))
    more = beds.subprocess.run(["cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0"], cwd=root, input=b"bin/load\n",
                               stdout=subprocess.PIPE, check=True).stdout
    with open(f"{path}.{os.getpid()}", "wb") as f, open(base, "rb") as first:
        shutil.copyfileobj(first, f)
        f.write(more)
    os.replace(f.name, path)
    return path


class Contender(beds.Contender):
    """kind is vmlan or passt, or tap: the guest's NIC on a tap, no back end."""

    def version(self):
        return os.uname().release if self.kind == "tap" else super().version()

    def command(self, bed):
        if self.kind == "vmlan":
            return [self.program, "user", "--mtu", str(bed.mtu), *self.args, f"vhost-user:{bed.socket}"]
        if self.kind == "passt":
            # Forwards and IPv6 are off on all beds. It runs as nobody, and its socket's folder is nobody's.
            return [self.program, "--foreground", "--vhost-user", "--socket", bed.socket,
                    "--ipv4-only", "--mtu", str(bed.mtu), "--address", beds.GUEST_ADDR, "--netmask", "24",
                    "--gateway", beds.GUEST_GATEWAY, "--no-map-gw", "--interface", "hs0", "-t", "none", "-u", "none",
                    *self.args]
        return None


class Folder:
    """What tests/vm/lib wants of its world."""

    def __init__(self, path):
        self.tmp = path
        os.makedirs(path)
        os.chown(path, NOBODY, NOBODY)

    def path(self, name):
        return os.path.join(self.tmp, name)


class GuestBed(beds.Bed):
    """A guest of one kind, "uml" or "qemu", at a contender's vhost-user socket or on a tap."""

    def __init__(self, contender, mtu, kind, folder):
        super().__init__(contender, mtu, beds.build_load())
        self.kind, self.machine = kind, None
        self.folder = Folder(os.path.join(folder, str(beds.Bed.count)))
        self.socket = self.folder.path("guest.sock")

    def start(self):
        try:
            self.make_namespaces(with_guest=False)
            self.server_process = self.spawn(self.within(self.server, self.load, "server"))
            if self.contender.kind == "tap":
                run = ["ip", "-n", self.host]
                beds.run(*run, "tuntap", "add", TAP, "mode", "tap", "vnet_hdr")
                beds.run(*run, "link", "set", TAP, "mtu", str(self.mtu))
                self.make_bridge(TAP)
            else:
                self.backend = self.spawn(self.within(self.host, *self.contender.command(self)))
                self.wait_for_socket()
            self.boot()
            self.client("probe", seconds=10, addrs=beds.SERVER_ADDRS[:1])
            time.sleep(0.2)
            self.idle_memory = self.memory()
        except (OSError, Failure) as error:
            self.stop()
            raise beds.BedError(str(error)) from None
        except BaseException:
            self.stop()
            raise
        return self

    def wait_for_socket(self):
        deadline = time.monotonic() + 10
        while not os.path.exists(self.socket):
            self.must_be_alive()
            if time.monotonic() > deadline:
                raise beds.BedError(f"no socket: {self.log_tail()}")
            time.sleep(0.02)

    def boot(self):
        if self.kind == "uml":
            shutil.copy(initramfs("uml"), self.folder.path("uml-initramfs.cpio"))
            device = f"vec0:transport=tap,ifname={TAP},depth=128,gro=1" if self.contender.kind == "tap" else None
            self.machine = uml.UmlGuest(self.folder, self.socket, device=device)
        else:
            self.machine = qemu.Guest(self.folder, self.qemu_network(), prefix=[],
                                      extra=["-initrd", initramfs("qemu")])
        self.machine.command = self.within(self.host, *self.machine.command)
        self.machine.start()
        nic = "vec0" if self.kind == "uml" and self.contender.kind == "tap" else "eth0"
        self.machine.check(f"ip link set {nic} address {MAC} && ip link set {nic} mtu {self.mtu} up && "
                           f"ip addr add {beds.GUEST_ADDR}/24 dev {nic} && ip route add default via "
                           f"{beds.GUEST_GATEWAY}")

    def qemu_network(self):
        # Without vectors: QEMU 7.2 under TCG does not survive vhost-user with MSI-X.
        device = ["-device", f"virtio-net-pci,netdev=n,mac={MAC},vectors=0"]
        if self.contender.kind == "tap":
            return ["-netdev", f"tap,id=n,ifname={TAP},script=no,downscript=no", *device]
        return ["-object", f"memory-backend-memfd,id=m,size={MEMORY_MB}M,share=on", "-machine", "memory-backend=m",
                "-chardev", f"socket,id=c,path={self.socket}", "-netdev", "vhost-user,id=n,chardev=c", *device]

    def client_argv(self, role, seconds, addrs, options):
        more = [word for key, value in options.items() for word in (f"-{key}", str(value))]
        return ["load", role, "-t", str(seconds), *more, ",".join(addrs)]

    def run_client(self, argv, timeout_s):
        try:
            done = self.machine.run(" ".join(argv), timeout_s)
        except (OSError, Failure) as error:
            raise beds.BedError(str(error)) from None
        out = [line for line in done.lines if line.startswith("{")]
        return done.status, "\n".join(out), " ".join(line for line in done.lines if line not in out)

    def client(self, role, seconds=3, addrs=None, **options):
        """And what the guest spent, all of its processes."""
        before = beds.cpu_seconds(beds.tree_of(self.machine.process.pid))
        result = super().client(role, seconds, addrs, **options)
        result["guest_s"] = beds.cpu_seconds(beds.tree_of(self.machine.process.pid)) - before
        return result

    def must_be_alive(self):
        super().must_be_alive()
        if self.machine and self.machine.process and self.machine.process.poll() is not None:
            raise beds.BedError(f"the guest is gone ({self.status_text(self.machine.process.returncode)})")

    def stop(self):
        if self.machine and self.machine.process:
            tree = beds.tree_of(self.machine.process.pid)
            for pid in reversed(tree):
                try:
                    os.kill(pid, beds.signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.machine.process.wait()
            if self.machine.serial:
                self.machine.serial.close()
            self.machine = None
        super().stop()
