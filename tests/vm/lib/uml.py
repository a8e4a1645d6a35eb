# SPDX-License-Identifier: BSD-2-Clause
"""A real guest without QEMU: User Mode Linux, a Linux kernel that is a process, with a vhost-user front end. It
runs at nearly the speed of the machine. Driven through its console as guest.py drives a serial line."""
import os
import shutil
import socket
import subprocess

from guest import TOP, Guest
from world import MS_BIND, MS_REC, Skip, expect, mount


MAC = "52:54:00:12:34:56"


def folder():
    """Builds kernel and initramfs where that is needed."""
    built = subprocess.run([os.path.join(TOP, "tests/vm/lib/build-uml")], stdout=subprocess.PIPE)
    if built.returncode != 0:
        raise Skip("no User Mode Linux: tests/vm/lib/build-uml says why")
    return built.stdout.decode().strip().split("\n")[-1]


class UmlGuest(Guest):
    """One User Mode Linux whose NIC is at the other end of a vhost-user socket (or as `device` says)."""

    def __init__(self, world, path, name="guest", memory=512, device=None):
        self.world, self.name = world, name
        self.process = self.serial = self._qmp = None
        self._pending, self._next_id = b"", 0
        self.tmp = world.path(name + "-tmp")
        files = folder()
        self.root = os.path.join(files, "root")
        self.initrd = world.path("uml-initramfs.cpio")
        if not os.path.exists(self.initrd):
            shutil.copy(os.path.join(files, "initramfs.cpio"), self.initrd)
        self.command = [
            "/usr/sbin/chroot", self.root, "/usr/bin/linux.uml", f"uml_dir={self.tmp}/", f"umid={name}",
            f"mem={memory}M", f"initrd={self.initrd}", "rdinit=/init", "con=null", "con0=fd:0,fd:1", "ssl=null",
            "quiet", "loglevel=1", "tty=tty0", "panic=-1", device or f"virtio_uml.device={path}:1"]

    def _mounts(self):
        """The kernel's own root sees this world's /proc, /dev and /tmp, and has memory to keep the guest's in."""
        for name in ("proc", "dev", "tmp"):
            if not os.path.ismount(os.path.join(self.root, name)):
                mount("/" + name, os.path.join(self.root, name), "none", MS_BIND | MS_REC)
        os.makedirs(self.tmp)
        mount("tmpfs", self.tmp, "tmpfs", 0)
        inside = self.root + self.tmp
        if os.stat(inside).st_dev != os.stat(self.tmp).st_dev:
            mount(self.tmp, inside, "none", MS_BIND)

    def spawn(self):
        expect(self.tmp.startswith("/tmp/"), f"{self.tmp} does not lie under /tmp")
        if not os.path.isdir(self.tmp):
            self._mounts()
        self.serial, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(self.command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL,
                                            env={"HOME": self.tmp, "TMPDIR": self.tmp, "PATH": "/usr/bin"})
        self._pending = b""

    def lease(self, interface="eth0"):
        """The device has no address of its own, and a random one would get another lease each time."""
        self.check(f"ip link set {interface} address {MAC}")
        return super().lease(interface)
