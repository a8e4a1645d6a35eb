# SPDX-License-Identifier: BSD-2-Clause
"""A small world for tests and the demo: a "host" and an "outside", made of namespaces and gone afterwards.

contain(function) runs function(world) in a child process that has mount, network and process namespaces of
its own (and a user namespace where it is not root), so that nothing of the machine changes and nothing
outlives the child: the child is process 1 of its process namespace, and the kernel ends the others with it.

    guest --- vmlan --- "host" 192.0.2.2  ---veth---  192.0.2.1 "outside"
                        where function runs           203.0.113.80 servers (outside.py)
                        own /etc/resolv.conf          198.51.100.53 DNS
"""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import own_root

SKIP = 77
HOST = "192.0.2.2"
OUTSIDE = "203.0.113.80"
RESOLVER = "198.51.100.53"
NAME = "outside.test"
HTTP_PORT, SINK_PORT, SOURCE_PORT, SUM_PORT, ECHO_PORT = 80, 5001, 5002, 5003, 7

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
MS_BIND, MS_REC = 0x1000, 0x4000
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


# What lets ordinary users make namespaces, where AppArmor (Ubuntu 24.04) or something else forbids it.
REMEDY = ("them: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
          if os.path.exists("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
          else "unprivileged user namespaces")


class Skip(Exception):
    """Raised where a privilege or a device is missing; the message is the reason."""


class Failure(Exception):
    """Raised by expect(): what was expected, and what there was."""


def expect(condition, what):
    if not condition:
        raise Failure(what)


def syscall(name, *args):
    if getattr(libc, name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount(source, target, kind, flags):
    syscall("mount", os.fsencode(source), os.fsencode(target), os.fsencode(kind), flags, None)


def write_file(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def sh(*command):
    subprocess.run(command, check=True)


def enter_namespaces():
    """Makes this process's next child the first of a new world. Raises OSError where that is not allowed."""
    flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0:
        flags |= CLONE_NEWUSER
    syscall("unshare", flags)
    if uid != 0:
        write_file("/proc/self/setgroups", "deny")
        write_file("/proc/self/uid_map", f"0 {uid} 1")
        write_file("/proc/self/gid_map", f"0 {gid} 1")
    own_root.make_private()


class World:
    def __init__(self, tmp):
        self.tmp = tmp
        self._outside = None

    def path(self, name):
        return os.path.join(self.tmp, name)

    def make(self):
        try:
            mount("proc", "/proc", "proc", 0)
        except OSError:
            pass  # inside a container whose /proc is covered: the old one serves
        os.environ["VMLAN_RUN_DIR"] = self.path("run")  # control sockets, apart from those of other worlds
        self._own_resolv_conf()
        sh("ip", "link", "set", "lo", "up")
        self._own_ping_range()
        self._outside = subprocess.Popen(
            [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "outside.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=lambda: syscall("unshare", CLONE_NEWNET))
        self._outside_line("namespace")
        sh("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "host", "netns", str(self._outside.pid))
        sh("ip", "addr", "add", HOST + "/24", "dev", "uplink")
        sh("ip", "link", "set", "uplink", "up")
        sh("ip", "route", "add", "default", "via", "192.0.2.1")
        self._outside.stdin.write(b"go\n")
        self._outside.stdin.flush()
        self._outside_line("ready")

    def _outside_line(self, want):
        got = self._outside.stdout.readline().decode().strip()
        expect(got == want, f"the outside said {got!r} in place of {want!r}")

    def _own_resolv_conf(self):
        own = self.path("resolv.conf")
        write_file(own, f"nameserver {RESOLVER}\n")
        real = os.path.realpath("/etc/resolv.conf")
        if not os.path.exists(real):
            # Nothing to mount over: a copy of /etc that has one.
            real = os.path.join(self.own_etc(), "resolv.conf")
            if os.path.islink(real):
                os.unlink(real)
            write_file(real, f"nameserver {RESOLVER}\n")
            return
        mount(own, real, "none", MS_BIND)

    def own_etc(self):
        """Covers /etc by a copy of it, which may be written to; the copy's path."""
        copy = self.path("etc")
        if not os.path.exists(copy):
            shutil.copytree("/etc", copy, symlinks=True, ignore=self._unreadable)
            mount(copy, "/etc", "none", MS_BIND)
        return copy

    @staticmethod
    def own_sys():
        """/sys as this world's network has it."""
        mount("sysfs", "/sys", "sysfs", 0)

    @staticmethod
    def taps():
        """The taps of this world, once own_sys() has been called."""
        links = os.listdir("/sys/class/net")
        return sorted(name for name in links if os.path.exists(f"/sys/class/net/{name}/tun_flags"))

    @staticmethod
    def _unreadable(folder, names):
        return [n for n in names if not os.access(os.path.join(folder, n), os.R_OK)]

    @staticmethod
    def _own_ping_range():
        # ICMP sockets for whoever asks; a user namespace knows only the groups that it maps.
        for limits in ("0 2147483647", "0 0"):
            try:
                return write_file("/proc/sys/net/ipv4/ping_group_range", limits)
            except OSError:
                continue

    @staticmethod
    def wait_for(condition, what, timeout_s=30):
        """Waits until a condition holds; what names it, or is a function that does."""
        end = time.monotonic() + timeout_s
        while not condition():
            expect(time.monotonic() < end, f"waited {timeout_s} s for {what() if callable(what) else what}")
            time.sleep(0.05)

    @staticmethod
    def running():
        """The vmlan and QEMU processes of this world, {pid: (name, processor time in ticks)}; not zombies, since
        nothing here waits for the orphans that process 1 inherits."""
        if os.readlink("/proc/self") != str(os.getpid()):
            raise Skip("may not mount a /proc of its own, as inside some containers")
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
                    name, fields = f.read().split("(", 1)[1].rsplit(")", 1)
            except OSError:
                continue  # gone since
            fields = fields.split()
            if name.startswith(("vmlan", "qemu-system")) and fields[0] != "Z":
                found[int(pid)] = (name, int(fields[11]) + int(fields[12]))
        return found

    def wait_for_the_end(self, timeout_s=30):
        """Waits until no vmlan and no QEMU runs here any more."""
        self.wait_for(lambda: not self.running(), lambda: f"the end of {self.running()}", timeout_s)

    def outside_process(self, *command):
        """Starts a command in the outside's network."""
        def enter():
            with open(f"/proc/{self._outside.pid}/ns/net", "rb") as ns:
                syscall("setns", ns.fileno(), CLONE_NEWNET)
        return subprocess.Popen(command, preexec_fn=enter)

    def in_outside(self, *command):
        """Runs a command in the outside's network."""
        sh("nsenter", "-t", str(self._outside.pid), "-n", *command)

    def cable_to_outside(self, name, there):
        """A veth pair: `name` here, `there` outside."""
        sh("ip", "link", "add", name, "type", "veth", "peer", "name", there, "netns", str(self._outside.pid))
        sh("ip", "link", "set", name, "up")
        self.in_outside("ip", "link", "set", there, "up")

    def outside_socket(self, kind=socket.SOCK_STREAM):
        """A socket of the outside's network, for connections in."""
        made = []

        def make():
            with open(f"/proc/{self._outside.pid}/ns/net", "rb") as ns:
                syscall("setns", ns.fileno(), CLONE_NEWNET)
            made.append(socket.socket(socket.AF_INET, kind))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        expect(made, "no socket outside")
        return made[0]


def _child(function, tmp):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell had it ignored
    try:
        world = World(tmp)
        world.make()
        return function(world) or 0
    except KeyboardInterrupt:
        return 130
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else 1
    except Skip as e:
        print(e)
        return SKIP
    except Failure as e:
        print(f"FAIL: {e}")
        return 1
    except Exception:
        traceback.print_exc()
        return 1


def contain(function):
    """Runs function(world) as the head of this file says and returns its exit status; SKIP (with the reason
    printed) where namespaces are not to be had."""
    tmp = tempfile.mkdtemp(prefix="vmlan-")
    try:
        sys.stdout.flush()
        middle = os.fork()
        if middle == 0:
            status = 1
            try:
                status = _middle(function, tmp)
            finally:
                _remove(tmp)  # here, for a caller that was killed
                sys.stdout.flush()
                os._exit(status)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda n, _: os.kill(middle, n))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the whole group
        return os.waitstatus_to_exitcode(os.waitpid(middle, 0)[1])
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def _remove(tmp):
    """Removes a world's folder. What is mounted in it is let go of first, so that it keeps what it has; /proc, which
    would tell, may be another world's by now."""
    for folder, folders, files in os.walk(tmp):
        for name in folders + files:
            while libc.umount2(os.fsencode(os.path.join(folder, name)), MNT_DETACH | UMOUNT_NOFOLLOW) == 0:
                pass
    shutil.rmtree(tmp, ignore_errors=True)


def _middle(function, tmp):
    """Between the caller and process 1 of the new world: the one that may wait for it."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        enter_namespaces()
    except OSError as e:
        print(f"may not make namespaces ({e}): run it as root (sudo), or allow {REMEDY}")
        return SKIP
    first = os.fork()
    if first == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        status = 1
        try:
            status = _child(function, tmp)
        finally:
            sys.stdout.flush()
            os._exit(status)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: os.kill(first, n))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    return code if code >= 0 else 128 - code
