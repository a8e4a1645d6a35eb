# SPDX-License-Identifier: BSD-2-Clause
"""Test beds for user-mode networks: three namespaces and a back end between them.

    guest namespace          host namespace                 server namespace
    tap (or veth) ---------- the back end  -- veth -------- eight addresses, `load server`
    10.0.2.15/24             198.51.100.1                   198.51.100.10 to .17

Each bed has namespaces, connection tracking, ports and TIME_WAITs of its own, so that several beds stand
side by side and can be measured in turn, seconds apart, without one seeing what another left behind.

enter_private_world() puts the calling program into a mount and a process namespace of its own, with its own
/proc and /run/netns: when it ends, however it ends, the kernel kills what it started and its network
namespaces are gone with it.
"""

import ctypes
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vm", "lib"))
import own_root  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(TOP, "build", "bench")

SERVER_NET, HOST_ADDR = "198.51.100.0/24", "198.51.100.1"
SERVER_ADDRS = [f"198.51.100.{10 + i}" for i in range(8)]
GUEST_ADDR, GUEST_GATEWAY = "10.0.2.15", "10.0.2.2"
SERVER_CC = "cubic"  # of the server and of the sockets of the back end

CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


class BedError(Exception):
    """A bed that cannot be built, or a measurement that did not work."""


def check(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise BedError(f"{what}: {os.strerror(number)}")


def run(*argv, **kwargs):
    """Runs a command of the set-up; its complaint is the error."""
    done = subprocess.run(argv, stdin=kwargs.pop("stdin", subprocess.DEVNULL) if "input" not in kwargs else None,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs)
    if done.returncode:
        raise BedError(f"{shlex.join(argv)}: {done.stdout.strip() or done.returncode}")
    return done.stdout


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def set_nofile():
    """What a service gets from systemd, whatever the shell gives; less where the machine does not allow it."""
    for hard in (524288, resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
            return
        except ValueError:
            pass


def enter_private_world(folder=None):
    """Returns in the child, which is process 1 of a new process namespace; the parent waits and exits as it does.
    folder, empty, gets memory of its own for as long, and is removed."""
    os.makedirs("/run/netns", exist_ok=True)
    set_nofile()
    check(libc.unshare(CLONE_NEWPID), "unshare")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    pid = os.fork()
    if pid == 0:
        die_with_parent()
        check(libc.unshare(CLONE_NEWNS), "unshare")
        own_root.make_private()
        check(libc.mount(b"proc", b"/proc", b"proc", 0, None), "/proc")
        check(libc.mount(b"netns", b"/run/netns", b"tmpfs", 0, None), "/run/netns")
        os.environ["VMLAN_RUN_DIR"] = "/run/netns/vmlan"  # control sockets of what is killed go too
        if folder:
            check(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"mode=0755"), folder)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(130))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
        return

    def stop(*_):
        # It may still say what it measured; after ten seconds, or when asked again, it may not.
        os.kill(pid, signal.SIGTERM)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, lambda *_: os.kill(pid, signal.SIGKILL))
        signal.alarm(10)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    _, status = os.waitpid(pid, 0)
    if folder:
        os.rmdir(folder)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def build(name, sources, headers=(), flags=()):
    """A program of this folder, compiled where it is missing or old."""
    sources, headers = ([os.path.join(HERE, f) for f in files] for files in (sources, headers))
    program = os.path.join(OUT, name)
    newest = max(os.path.getmtime(f) for f in [*sources, *headers])
    if not os.path.exists(program) or os.path.getmtime(program) < newest:
        os.makedirs(OUT, exist_ok=True)
        fresh = f"{program}.{os.getpid()}"
        run(os.environ.get("CC", "cc"), "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-o", fresh,
            *sources, *flags)
        os.replace(fresh, program)
    return program


def build_load(name="load", flags=()):
    """The load generator."""
    return build(name, ("load.c", "load_server.c", "load_client.c", "load_conns.c"), ("load.h",), ("-pthread", *flags))


def build_copy():
    return build("copy", ("copy.c",))


def tree_of(pid):
    """A process and all its descendants."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as f:
                    children.setdefault(int(f.read().rpartition(")")[2].split()[1]), []).append(int(name))
            except (FileNotFoundError, ProcessLookupError):
                pass
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def cpu_seconds(pids):
    """User and system time of processes (their threads included, their ended children not)."""
    ticks = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_kb(pids):
    """Sums over processes of VmRSS (shared pages counted in each) and Pss (shared pages divided)."""
    rss = pss = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status") as f:
                rss += sum(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))
            with open(f"/proc/{pid}/smaps_rollup") as f:
                pss += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return {"rss_kb": rss, "pss_kb": pss}


class Contender:
    """A back end: how to start it between the namespaces of a bed. kind[:more arguments] names it."""

    def __init__(self, name, program, args=()):
        self.name, self.program = name, program
        kind, _, more = name.partition(":")
        self.kind, self.args = kind, [*args, *shlex.split(more)]

    def version(self):
        if self.kind in ("kernel", "copy"):
            return os.uname().release
        done = subprocess.run([self.program, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        lines = [line for line in done.stdout.splitlines() if self.kind in line]
        return (lines or ["?"])[0]

    def command(self, bed):
        guest = f"/run/netns/{bed.guest}"
        if self.kind == "vmlan":
            return [self.program, "user", "--mtu", str(bed.mtu), *self.args, f"netns:{guest}"]
        if self.kind == "pasta":
            # It maps the gateway to the host's loopback by itself; forwards are off, IPv6 is off on all beds.
            return [self.program, "--foreground", "--runas", "0", "--config-net", "--ipv4-only", "--mtu",
                    str(bed.mtu), "--ns-ifname", "tap0", "--address", GUEST_ADDR, "--netmask", "24", "--gateway",
                    GUEST_GATEWAY, "--interface", "hs0", "-t", "none", "-u", "none", "-T", "none", "-U", "none",
                    *self.args, "--netns", guest]
        if self.kind == "slirp4netns":
            return [self.program, "--configure", f"--mtu={bed.mtu}", "--disable-host-loopback", *self.args,
                    "--netns-type=path", guest, "tap0"]
        if self.kind == "copy":
            return [self.program, guest, "tap0", "tap1"]
        return None


class Bed:
    """Three namespaces, a server and a back end; stop() undoes all of it."""

    count = 0

    def __init__(self, contender, mtu, load):
        Bed.count += 1
        self.contender, self.mtu, self.load = contender, mtu, load
        prefix = f"b{Bed.count}-{contender.kind}"
        self.guest, self.host, self.server = f"{prefix}-guest", f"{prefix}-host", f"{prefix}-server"
        self.children, self.namespaces = [], []
        self.backend = self.server_process = None
        self.log = tempfile.TemporaryFile("w+")
        self.idle_memory = {}

    def within(self, namespace, *argv):
        return ["nsenter", f"--net=/run/netns/{namespace}", "--", *argv]

    def sysctl(self, namespace, **values):
        script = "\n".join(f"echo '{v}' > /proc/sys/{k.replace('__', '/')}" for k, v in values.items())
        run(*self.within(namespace, "sh", "-ec", script))

    def start(self):
        try:
            self.make_namespaces()
            self.server_process = self.spawn(self.within(self.server, self.load, "server"))
            if self.contender.kind == "kernel":
                self.make_kernel_path()
            else:
                if self.contender.kind == "copy":
                    self.make_copy_path()
                self.backend = self.spawn(self.within(self.host, *self.contender.command(self)))
            self.client("probe", seconds=10, addrs=SERVER_ADDRS[:1])
            time.sleep(0.2)
            self.idle_memory = self.memory()
        except BaseException:
            self.stop()
            raise
        return self

    def make_namespaces(self, with_guest=True):
        for name in [self.guest] * with_guest + [self.host, self.server]:
            run("ip", "netns", "add", name)
            self.namespaces.append(name)
            self.sysctl(name, net__ipv6__conf__all__disable_ipv6=1, net__ipv4__ping_group_range="0 2147483647")
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "link", "add", "hs0", "netns", self.host, "mtu", "1500", "type", "veth", "peer", "name", "hs1",
            "netns", self.server, "mtu", "1500")
        run("ip", "-n", self.host, "addr", "add", f"{HOST_ADDR}/24", "dev", "hs0")
        for address in SERVER_ADDRS:
            run("ip", "-n", self.server, "addr", "add", f"{address}/24", "dev", "hs1")
        run("ip", "-n", self.host, "link", "set", "hs0", "up")
        run("ip", "-n", self.server, "link", "set", "hs1", "up")
        # By route, not by sysctl: many kernels let only some algorithms be a namespace's default.
        run("ip", "-n", self.host, "route", "change", SERVER_NET, "dev", "hs0", "src", HOST_ADDR, "congctl", SERVER_CC)
        run("ip", "-n", self.server, "route", "change", SERVER_NET, "dev", "hs1", "src", SERVER_ADDRS[0], "congctl",
            SERVER_CC)
        # pasta and others take the interface with the default route for the way out.
        run("ip", "-n", self.host, "route", "add", "default", "via", SERVER_ADDRS[-1])

    def make_kernel_path(self):
        """guest veth, bridge, masquerade by nftables, server veth."""
        mtu = str(self.mtu)
        run("ip", "link", "add", "eth0", "netns", self.guest, "mtu", mtu, "type", "veth", "peer", "name", "port0",
            "netns", self.host, "mtu", mtu)
        self.make_bridge("port0")
        self.set_guest("eth0")

    def make_copy_path(self):
        """As the kernel's, with two taps and what copies between them in place of the guest's veth."""
        for namespace, tap in ((self.guest, "tap0"), (self.host, "tap1")):
            run("ip", "-n", namespace, "tuntap", "add", tap, "mode", "tap", "vnet_hdr")
            # A tap drops in silence what its queue does not hold.
            run("ip", "-n", namespace, "link", "set", tap, "mtu", str(self.mtu), "txqueuelen", "8192")
        self.make_bridge("tap1")
        self.set_guest("tap0")

    def set_guest(self, nic):
        for words in (f"addr add {GUEST_ADDR}/24 dev {nic}", f"link set {nic} up",
                      f"route add default via {GUEST_GATEWAY}"):
            run("ip", "-n", self.guest, *words.split())

    def make_bridge(self, port):
        """Of the host, with a port of the guest's; it is the guest's router and masquerades."""
        for words in (f"link add br0 mtu {self.mtu} type bridge", f"link set {port} master br0", f"link set {port} up",
                      "link set br0 up", f"addr add {GUEST_GATEWAY}/24 dev br0"):
            run("ip", "-n", self.host, *words.split())
        run(*self.within(self.host, "sh", "-ec", """
            echo 1 > /proc/sys/net/ipv4/ip_forward
            # bridged frames do not pass through iptables, as on a host without br_netfilter
            f=/proc/sys/net/bridge/bridge-nf-call-iptables; [ ! -e $f ] || echo 0 > $f
            exec nft -f -"""),
            input='table ip nat { chain post { type nat hook postrouting priority srcnat; '
                  'oifname "hs0" masquerade; }; }\n')

    def spawn(self, argv):
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                 preexec_fn=die_with_parent)
        self.children.append(child)
        return child

    def log_tail(self):
        """The last lines that the back end and the server said; read by position, for they go on writing."""
        size = os.fstat(self.log.fileno()).st_size
        text = os.pread(self.log.fileno(), 4096, max(0, size - 4096)).decode(errors="replace")
        return " | ".join(line.strip() for line in text.splitlines()[-6:])

    def client_argv(self, role, seconds, addrs, options):
        more = [word for key, value in options.items() for word in (f"-{key}", str(value))]
        return self.within(self.guest, self.load, role, "-t", str(seconds), *more, ",".join(addrs))

    def run_client(self, argv, timeout_s):
        """Exit status, standard output, standard error."""
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=timeout_s)
        return done.returncode, done.stdout, done.stderr

    def client(self, role, seconds=3, addrs=None, **options):
        """Runs one measurement in the guest: what it printed, and what the back end spent."""
        before = cpu_seconds(self.backend_pids())
        argv = self.client_argv(role, seconds, addrs or SERVER_ADDRS, options)
        try:
            status, out, said = self.run_client(argv, 2 * seconds + 30)
        except subprocess.TimeoutExpired:
            raise BedError(f"{role}: no end in sight") from None
        self.must_be_alive()
        if status or not out:
            raise BedError(f"{role}: {self.status_text(status)}: {' '.join(said.split())[:300]}")
        result = json.loads(out.splitlines()[-1])
        result["cpu_s"] = cpu_seconds(self.backend_pids()) - before if self.backend else None
        if said:
            result["said"] = said.strip()
        return result

    @staticmethod
    def status_text(code):
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def must_be_alive(self):
        """A measurement during which the server or the back end ended says nothing about speed or losses."""
        for child, what in ((self.server_process, "the server"), (self.backend, "the back end")):
            if child and child.poll() is not None:
                raise BedError(f"{what} is gone ({self.status_text(child.returncode)}): {self.log_tail()}")

    def backend_pids(self):
        return tree_of(self.backend.pid) if self.backend else []

    def memory(self):
        return memory_kb(self.backend_pids())

    def stop(self):
        for child in reversed(self.children):
            child.terminate()
        for child in self.children:
            try:
                child.wait(timeout=3)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
        self.children, self.namespaces = [], []


class IdleConnections:
    """Connections opened from the guest and held. `lost` of a check counts from the start of the check."""

    def __init__(self, bed, n, rate=2000):
        self.argv = bed.client_argv("idle", 1, SERVER_ADDRS, {"n": n, "r": rate})
        self.bed, self.lost, self.said = bed, 0, ""

    def __enter__(self):
        self.client = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        try:
            self.opened = self.answer()
        except BaseException:
            self.client.kill()
            self.client.wait()
            raise
        return self

    def answer(self):
        line = self.client.stdout.readline()
        self.bed.must_be_alive()
        if not line:
            raise BedError(f"idle: {self.client.stderr.read().strip()[:300]}")
        result = json.loads(line)
        result["lost"], self.lost = result["lost"] - self.lost, result["lost"]
        return result

    def check(self):
        """Sends fresh bytes over every connection and waits for all of them to come back."""
        self.client.stdin.write("check\n")
        self.client.stdin.flush()
        return self.answer()

    def __exit__(self, *_):
        if self.client.poll() is None:
            _, self.said = self.client.communicate("quit\n")


def vmlan_program():
    """Set by VMLAN, or where the build leaves it."""
    places = [os.path.join(TOP, "build", "vmlan"), os.path.join(TOP, "build", "src", "cli", "vmlan")]
    return os.path.abspath(os.environ.get("VMLAN") or next((p for p in places if os.path.exists(p)), places[0]))


def find_program(path):
    return path if os.path.sep in path and os.access(path, os.X_OK) else shutil.which(path)
