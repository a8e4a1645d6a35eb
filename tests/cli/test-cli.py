#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The command line as a person meets it: statuses, errors, help, and the processes of `vmlan run`. The network
is a stand-in (double_parent.c), and so is QEMU (fake-qemu), but for what needs neither.

usage: test-cli.py VMLAN-DOUBLE"""
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
import unittest

VMLAN = os.path.abspath(sys.argv.pop(1))
QEMU = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fake-qemu")
DOUBLE = "double: "


def vmlan(*args, **env):
    return subprocess.run([VMLAN, *args], env={**os.environ, **env}, stdin=subprocess.DEVNULL, timeout=30,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)


def wait_for(what, seconds=5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def processes_with(mark):
    """Living processes that have MARK in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if mark.encode() in f.read() and is_alive(pid):
                    found.append(int(pid))
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            pass
    return found


class Words(unittest.TestCase):
    def refused(self, args, *words):
        r = vmlan(*args)
        self.assertEqual(r.returncode, 2, r.stderr)
        self.assertEqual(r.stdout, "")
        for word in words:
            self.assertIn(word, r.stderr)

    def test_verbs(self):
        self.refused([], "verb")
        self.refused(["usr"], "did you mean 'user'?")
        self.refused(["frobnicate"], "no verb 'frobnicate'")
        self.assertRegex(vmlan("version").stdout, r"^vmlan \d+\.\d+")
        self.assertEqual(vmlan("--version").stdout, vmlan("version").stdout)
        self.refused(["version", "now"], "no arguments")
        self.refused(["help", "me"], "no verb 'me'")

    def test_help_fits_a_screen(self):
        for args in (["help"], ["--help"], ["user", "--help"], ["run", "-h"], ["explain", "-h"], ["help", "user"],
                     ["help", "--help"], ["version", "--help"], ["up", "--help"], ["down", "-h"], ["ls", "-h"],
                     ["status", "-h"], ["hostfwd", "-h"], ["reserve", "-h"], ["leases", "-h"], ["show", "-h"],
                     ["doctor", "-h"], ["adopt", "-h"], ["info", "-h"], ["nic", "-h"]):
            r = vmlan(*args)
            self.assertEqual((r.returncode, r.stderr), (0, ""))
            lines = r.stdout.rstrip("\n").split("\n")
            self.assertGreater(len(lines[0]), 10)
            self.assertLessEqual(len(lines), 24, args)
            self.assertLessEqual(max(map(len, lines)), 80, r.stdout)
        self.assertEqual(vmlan("help", "user").stdout, vmlan("user", "--help").stdout)

    def test_options(self):
        self.refused(["user", "--hostfw", "x"], "no option --hostfw; did you mean --hostfwd?")
        self.refused(["user", "--hots=x"], "--hots; did you mean --host?")
        self.refused(["user", "-x"], "no option -x")
        self.refused(["user", "--mtu"], "needs a value: --mtu BYTES")
        self.refused(["user", "--mtu", "--", "a"], "needs a value")
        self.refused(["user", "--stats=1", "fd:0"], "--stats takes no value")
        self.refused(["run", "--dry-rnu", "--", "x"], "did you mean --dry-run?")

    def test_places(self):
        self.refused(["user", "--hostfwd", "tcp::99999-:22", "fd:0"], "  tcp::99999-:22\n       ^~~~~\n")
        self.refused(["user", "--hostfwd=tcp::1", "fd:0"], "  tcp::1\n        ^\n")
        self.refused(["user", "--hostname", "a\u00e9\u00e9.b", "fd:0"], "  a\u00e9\u00e9.b\n   ^\n")
        self.refused(["user", "stream:/x,conect"], "  stream:/x,conect\n            ^~~~~~\n")
        self.refused(["user", "--queues", "9", "vhost-user:/x"], "from 1 to 8", "  9\n")
        self.refused(["user", "--queues", "2", "fd:0"], "--queues: is for vhost-user ports", "  2\n")
        self.refused(["user", "--dnssearch", "a..b", "fd:0"], "--dnssearch: a domain is labels of", "1 to 63")
        self.refused(["user", *["--dnssearch", ".".join(["x" * 60] * 4)] * 3, "fd:0"], "DHCP has room for some 500")
        self.refused(["user", "--host", "1.2.3.4", "fd:0"], "--host: must be", "10.0.2.0/24", "  1.2.3.4\n")
        self.refused(["user", "--hostname", "a\033[1m", "fd:0"], "  a?[1m\n")
        self.refused(["run", QEMU, "-nic", "user,id=n,hostfwd=tcp::70000-:22"],
                     "  user,id=n,hostfwd=tcp::70000-:22\n                         ^~~~~\n")

    def test_ports(self):
        self.refused(["user"], "a port is missing")
        self.refused(["user", "netns"], "needs a command")
        self.refused(["user", "fd:0", "--", "true"], "a command needs a port")
        self.refused(["user", "netns", "netns", "--", "true"], "one port")
        self.refused(["user", *["fd:0"] * 65], "64 ports")

    def test_user(self):
        r = vmlan("user", "stream:/x,,y,connect", "--net", "10.1.0.0/16", "--hostfwd=:1.2.3.4:22-:23")
        self.assertEqual(r.returncode, 0)
        self.assertEqual(r.stderr.replace(DOUBLE, "").split("\n"),
                         ["net 10.1.0.0", "mask 255.255.0.0", "host 10.1.2.2", "dns 10.1.2.3", "dhcpstart 10.1.2.15",
                          "forward 22 23", "port 1 /x,y", ""])
        self.assertEqual(vmlan("user", "fd:0", DOUBLE_FAILS="5").returncode, 5)


class Run(unittest.TestCase):
    def setUp(self):
        self.mark = f"CLI_TEST_MARK={os.getpid()}.{self.id()}."
        self.env = dict([self.mark.split("=", 1)])

    def tearDown(self):
        self.assertTrue(wait_for(lambda: not processes_with(self.mark)), processes_with(self.mark))

    def run_vmlan(self, *args, **env):
        return vmlan("run", *args, **self.env, **env)

    def start(self, *args, **env):
        return subprocess.Popen([VMLAN, "run", *args], env={**os.environ, **self.env, **env}, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_status_and_line(self):
        r = self.run_vmlan("--", QEMU, "-m", "1", "-net", "nic", "-net", "user", "-nic", "user", FAKE_QEMU="exit 7")
        self.assertEqual(r.returncode, 7)
        argv, fds = r.stdout.split("\n")[:2]
        self.assertEqual(argv.split()[:6], ["argv", "-m", "1", "-net", "nic,netdev=vmlan0", "-netdev"])
        # QEMU has its ends of the two cables, a pipe, its monitor for us and what tells of it, and nothing else.
        first = int(argv.split()[6].rsplit("=", 1)[1])
        second = int(argv.split()[8].rsplit("=", 1)[1])
        config = int(argv.split("-readconfig /proc/self/fd/")[1])
        self.assertEqual(len(fds.split()), 6)
        self.assertLessEqual({str(first), str(second), str(config)}, set(fds.split()))
        self.assertEqual(r.stderr.count(DOUBLE + "port closed"), 2)

    def test_no_network_of_ours(self):
        r = self.run_vmlan(QEMU, "-nic", "none", FAKE_QEMU="exit 3")
        self.assertEqual((r.returncode, r.stderr), (3, ""))
        self.assertRegex(r.stdout, r"^argv -nic none -readconfig /proc/self/fd/\d+\nfds \d+ \d+ \d+\n$")
        # A line that asks for something is none to look after.
        r = self.run_vmlan(QEMU, "-nic", "none", "-device", "help", FAKE_QEMU="exit 3")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (3, "argv -nic none -device help\nfds\n", ""))

    def test_killed(self):
        self.assertEqual(self.run_vmlan(QEMU, FAKE_QEMU=f"kill {int(signal.SIGKILL)}").returncode, 128 + 9)
        self.assertEqual(self.run_vmlan(QEMU, FAKE_QEMU=f"kill {int(signal.SIGSEGV)}").returncode, 128 + 11)

    def test_signals_are_passed_on(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            p = self.start(QEMU, FAKE_QEMU="wait")
            self.assertTrue(p.stdout.readline().startswith("argv"))
            p.stdout.readline()
            p.send_signal(number)
            out, _ = p.communicate(timeout=20)
            self.assertEqual((out, p.returncode), (f"heard {number.name}\n", 41))

    def test_ctrl_c_comes_once(self):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(VMLAN, [VMLAN, "run", QEMU], {**os.environ, **self.env, "FAKE_QEMU": "wait"})
        text = b""
        while b"fds" not in text:
            text += os.read(terminal, 1000)
        os.write(terminal, b"\003")
        while b"heard" not in text or not text.endswith(b"\n"):
            text += os.read(terminal, 1000)
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        self.assertIn(b"heard SIGINT\r\n", text)
        self.assertEqual(os.waitstatus_to_exitcode(status), 41)

    def test_ends_with_us(self):
        p = self.start(QEMU, FAKE_QEMU="wait")
        p.stdout.readline()
        p.stdout.readline()
        p.kill()
        out, err = p.communicate(timeout=20)
        self.assertIn("heard SIGTERM\n", out)
        self.assertIn("port closed", err)

    def test_network_fails(self):
        r = self.run_vmlan(QEMU, DOUBLE_FAILS="3")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertIn("network vmlan0 did not start", r.stderr)

    def test_no_such_command(self):
        r = self.run_vmlan("no-such-qemu")
        self.assertEqual(r.returncode, 127)
        self.assertIn("no-such-qemu", r.stderr)
        self.assertEqual(self.run_vmlan("/etc/passwd").returncode, 126)

    def test_daemonize(self):
        with tempfile.TemporaryDirectory() as folder:
            pid_file = os.path.join(folder, "pid")
            began = time.monotonic()
            r = self.run_vmlan(QEMU, "--daemonize", FAKE_QEMU=f"daemonize {pid_file}")
            self.assertEqual(r.returncode, 0)
            self.assertLess(time.monotonic() - began, 10)  # our output ended with us, not with the network
            self.assertIn(DOUBLE + "net 10.0.2.0", r.stderr)
            self.assertTrue(wait_for(lambda: os.path.exists(pid_file) and os.path.getsize(pid_file)))
            with open(pid_file, encoding="ascii") as f:
                daemon = int(f.read())
            self.assertEqual(len(processes_with(self.mark)), 3)  # it, its network, and its keeper
            os.kill(daemon, signal.SIGKILL)
        # tearDown: the network ends with it

    def test_daemonize_fails(self):
        r = self.run_vmlan(QEMU, "-daemonize", FAKE_QEMU="exit 1")
        self.assertEqual(r.returncode, 1)

    def test_dry_run(self):
        r = self.run_vmlan("--dry-run", "--pcap", "/x", "--", QEMU, "-hda", "it's a.img", "-net", "nic", "-net",
                           "user,hostfwd=tcp::5022-:22", "-nic", "user,restrict=on", FAKE_QEMU="kill 9")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        lines = r.stdout.split("\n")
        self.assertIn("#   tcp 0.0.0.0:5022 leads to 10.0.2.15:22", lines)
        self.assertIn("#   capture to /x", lines)
        self.assertIn("#   capture to /x.1", lines)
        line = lines[-2]
        self.assertTrue(line.startswith(f"{QEMU} -hda 'it'\\''s a.img' -net nic,netdev=vmlan0 -netdev stream,"), line)

    def test_vhost_user(self):
        line = (QEMU, "-m", "64", "-net", "nic,model=virtio", "-net", "user")
        r = self.run_vmlan("--", *line, FAKE_QEMU="connect")
        argv, fds, said = r.stdout.split("\n")[:3]
        # QEMU has a place to connect to, as often as it likes, two pipes, and its monitor for us with its text.
        place = int(argv.split("path=/proc/self/fd/")[1].split(",")[0])
        self.assertEqual((len(fds.split()), said, r.returncode), (6, f"connected {place} twice", 0))
        self.assertIn(str(place), fds.split())
        self.assertIn("-object memory-backend-memfd,id=vmlan-memory,size=64M,share=on", argv)
        self.assertEqual(r.stderr.count(DOUBLE + "port closed"), 1)
        self.assertNotIn("socket rather than", r.stderr)
        r = self.run_vmlan("--no-vhost-user", *line)
        self.assertIn("-netdev stream,", r.stdout)
        self.assertNotIn("memory", r.stdout + r.stderr)
        r = self.run_vmlan(QEMU)
        self.assertIn("network vmlan0: by a socket rather than vhost-user: the NIC is QEMU's default", r.stderr)

    def test_vhost_user_dry_run(self):
        r = self.run_vmlan("-n", QEMU, "-m", "64", "-nic", "user,model=virtio", "-nic", "user,model=e1000")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertRegex(r.stdout, r"# network vmlan0: QEMU's descriptor \d+, for vhost-user\n")
        self.assertRegex(r.stdout, r"# network vmlan1: .* a socket rather than vhost-user: the NIC is e1000")
        self.assertRegex(r.stdout, r"-chardev socket,id=vmlan0-socket,path=/proc/self/fd/\d+,reconnect=1 -nic vhost-user,")

    def test_vhost_user_without_a_folder(self):
        # Where it may be made is tried in turn.
        r = self.run_vmlan(QEMU, "-m", "64", "-nic", "user,model=virtio", XDG_RUNTIME_DIR="/proc", TMPDIR="relative")
        self.assertEqual(r.returncode, 0)
        self.assertIn("/proc/self/fd/", r.stdout)

    def test_notes(self):
        r = self.run_vmlan(QEMU, "-netdev", "user,id=n,tftp=/srv")
        self.assertEqual(r.returncode, 0)
        self.assertIn("-netdev user,id=n,tftp=/srv: left to QEMU's own user back end", r.stderr)

    def test_words_of_old(self):
        r = self.run_vmlan("--dry-run", "--", QEMU, "-net", "nic,vlan=2", "-net", "nic,vlan=2", "-net", "user,vlan=2",
                           "-net", "dump,vlan=2,file=/d,len=64", "-redir", "tcp:5022::22")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertIn("tcp 0.0.0.0:5022 leads to 10.0.2.15:22", r.stdout)
        self.assertEqual(r.stdout.count("hubport,id="), 3)
        self.assertIn("filter-dump,id=vmlan4,netdev=vmlan1,file=/d,maxlen=64", r.stdout)
        self.assertNotIn("redir", r.stdout)

    def test_explain(self):
        r = vmlan("explain", "--", QEMU, "-net", "nic,vlan=1,addr=08", "-net", "user,vlan=1,tftp=/it's")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        for words in ("For QEMU 7.2", "no VLAN of 802.1Q", "default is e1000 on this machine; once it was rtl8139",
                      "addr=08: its slot", "Becomes: -netdev 'user,id=vmlan0,tftp=/it'\\''s'",
                      "left to QEMU's own user back end: the engine does not serve tftp", "joined directly"):
            self.assertIn(words, r.stdout)
        r = vmlan("explain", "--", "-M", "q35")
        self.assertIn("No network option: QEMU takes that for -net nic -net user", r.stdout)
        self.assertIn("e1000e", r.stdout)
        self.assertIn("asks QEMU for a list", vmlan("explain", "--", "-net", "nic,model=?").stdout)
        self.assertEqual(vmlan("explain", "--", "-net", "nic,vlan=x").returncode, 2)
        self.assertEqual(vmlan("explain").returncode, 2)
        self.assertEqual(vmlan("explain", "no-such-qemu", "-net", "none").returncode, 0)

    def test_explain_default_nic(self):
        for line, want in ((["-M", "isapc", "-net", "nic"], "NE2000"),
                           (["qemu-system-riscv64", "-net", "nic"], "the one that its machine has by default")):
            self.assertIn(want, vmlan("explain", "--", *line).stdout)
        self.assertNotIn("e1000", vmlan("explain", "--", "qemu-system-riscv64").stdout)

    def test_names_of_old(self):
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(QEMU, os.path.join(folder, "qemu-system-x86_64"))
            os.symlink(sys.executable, os.path.join(folder, "python3"))
            usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
            for name in ("kvm", "qemu-kvm", "qemu"):
                r = self.run_vmlan(name, "-nic", "none", PATH=folder)
                kvm = "-enable-kvm " if usable and name != "qemu" else ""
                self.assertRegex(r.stdout, f"^argv {kvm}-nic none -readconfig ")
                self.assertIn(f"no command '{name}' here", r.stderr)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as own:
        os.environ["VMLAN_RUN_DIR"] = os.path.join(own, "run")
        unittest.main(verbosity=2)
