# SPDX-License-Identifier: BSD-2-Clause
"""The demonstration that tools/demo starts: a real guest behind vmlan, and what it does, line by line."""
import argparse
import os
import socket
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests/vm/lib"))
import guest as guests
import outside
import steps
import world as worlds

PORT = 5022
NETWORK = ["-net", "nic,model=virtio", "-net", f"user,hostfwd=tcp::{PORT}-:22"]
THROUGHPUT_S = 2


class Show:
    """Prints each step with the seconds since the start, and keeps the summary."""

    def __init__(self):
        self.began = time.monotonic()
        self.rows = []

    def line(self, text, mark=" "):
        if text.strip():
            print(f"{time.monotonic() - self.began:6.2f} s {mark} {text}", flush=True)

    def step(self, title, function):
        self.line(title, ">")
        began = time.monotonic()
        try:
            said, good = function(), True
        except (worlds.Failure, OSError) as e:
            said, good = str(e), False
            self.line(said, "!")
        self.rows.append((good, title, time.monotonic() - began, said or ""))
        return good

    def summary(self):
        failed = sum(not good for good, *_ in self.rows)
        print("\nSummary")
        for good, title, seconds, said in self.rows:
            print(f"  {'ok  ' if good else 'FAIL'} {title:34} {seconds:6.2f} s  {said}")
        print(f"{len(self.rows) - failed} steps went well, {failed} failed, "
              f"{time.monotonic() - self.began:.1f} s in all")
        return 1 if failed else 0


class Demo:
    def __init__(self, world):
        self.world, self.guest, self.show = world, guests.Guest(world, NETWORK), Show()

    def shown(self, command, timeout_s=30):
        """Runs a command in the guest, its output appearing as it comes."""
        self.show.line(f"guest$ {command}")
        result = self.guest.run(command, timeout_s, lambda text: self.show.line(f"  {text}"))
        worlds.expect(result.status == 0, f"ended with status {result.status}")
        return result.lines

    def boot(self):
        seconds = self.guest.start()
        return f"Linux {self.guest.check('uname -r')} under {self.guest.accel.upper()} in {seconds:.1f} s"

    def lease(self):
        self.guest.check("ip link set eth0 up")
        lines = self.shown("udhcpc -q -n -t 20 -T 1 -i eth0 -s /sbin/lease", 40)
        return next(line for line in lines if line.startswith("lease "))[len("lease "):]

    def ping(self, address):
        lines = self.shown(f"ping -c 3 -i 0.2 -W 3 {address}")
        return next((line for line in lines if line.startswith("round-trip")), "")

    def name(self):
        lines = self.shown(f"nslookup -type=a {worlds.NAME}")
        worlds.expect(worlds.OUTSIDE in "\n".join(lines), "another address than the server's")
        return f"{worlds.NAME} is {worlds.OUTSIDE}"

    def fetch(self):
        size = 8 * steps.MEGABYTE
        lines = self.shown(f"set -o pipefail; wget -q -O - http://{worlds.NAME}/random/{size}/3 | sha256sum", 60)
        worlds.expect(lines[0].startswith(steps.digest(size, 3)), "the checksum is not the server's")
        return f"{size // steps.MEGABYTE} MB, checksum right"

    def connection_in(self):
        steps.serve(self.guest)
        self.show.line(f"outside$ connect {worlds.HOST}:{PORT}")
        with steps.dial(self.world, PORT) as sock:
            source = sock.getsockname()
            sock.sendall(b"hello\n")
            hello = steps.read_all(sock).decode().strip()
        self.show.line(f"  {hello}")
        worlds.expect(hello.startswith("hello from guest"), f"the guest answered {hello!r}")
        return f"{source[0]}:{source[1]} -> {worlds.HOST}:{PORT} -> guest's port {steps.SERVE_PORT}"

    def throughput(self, verb, port):
        lines = self.shown(f"netjob {verb} {worlds.OUTSIDE} {port} {THROUGHPUT_S}", 30)
        count, seconds = lines[-1].split()
        return f"{int(count) * 8 / float(seconds) / 1e9:.2f} Gbit/s"

    def run(self):
        show = self.show
        print("\n" + " ".join(self.guest.command[:4]) + " ... " + " ".join(NETWORK) + "\n")
        if not show.step("boot a guest", self.boot):
            return show.summary()
        show.step("lease by DHCP", self.lease)
        show.step("ping the gateway", lambda: self.ping("10.0.2.2"))
        show.step("ping an address outside", lambda: self.ping(worlds.OUTSIDE))
        show.step("resolve a name", self.name)
        show.step("fetch a file over HTTP", self.fetch)
        show.step(f"connect in through port {PORT}", self.connection_in)
        show.step("send as fast as the guest can", lambda: self.throughput("send", worlds.SINK_PORT))
        show.step("receive as fast as the guest can", lambda: self.throughput("recv", worlds.SOURCE_PORT))
        show.step("power off", lambda: f"exit status {self.guest.power_off()}")
        return show.summary()


def shell(world):
    """A person at a shell in the guest, on this terminal."""
    print(f"""
In the guest, a few things to try:
  ping {worlds.OUTSIDE}        an address outside of the host
  wget -O - http://{worlds.NAME}/random/1000000/1 | sha256sum
  netjob send {worlds.OUTSIDE} {worlds.SINK_PORT} 3      bytes and seconds
Ctrl-A X ends QEMU at once.
""")
    command = [*guests.run_prefix(), *guests.base_arguments(guests.choose_accel()),
               "-append", guests.APPEND + " job=shell", "-serial", "mon:stdio", *NETWORK]
    return subprocess.run(command, check=False).returncode


def main():
    parser = argparse.ArgumentParser(prog="tools/demo", description="Boots a real guest behind vmlan and shows "
                                     "what its network does. Changes nothing on this machine.")
    parser.add_argument("--shell", action="store_true", help="stay at a shell in the guest")
    parser.add_argument("--qemu", action="store_true", help="without vmlan, by QEMU's own user network")
    arguments = parser.parse_args()
    if arguments.qemu:
        os.environ["VMLAN"] = "qemu"
    guests.choose_accel()  # outside of the world, where packages and the cache may be written
    return worlds.contain(shell if arguments.shell else lambda world: Demo(world).run())


sys.exit(main())
