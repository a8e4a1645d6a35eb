# SPDX-License-Identifier: BSD-2-Clause
"""What every test of a guest's network wants to see, each as a function that fails or returns what it saw."""
import hashlib
import time

import outside
import world
from world import expect

SERVE_PORT = 22
MEGABYTE = 1000 * 1000

# What answers a connection to the guest: a line that names what is wanted.
ANSWER = (r"read -r what n; case $what in hello) echo hello from $(hostname) $(uname -r);; "
          r"put) head -c $n | sha256sum;; get) cat /tmp/up;; esac")


def lease(guest, prefix="10.0.2."):
    said = guest.lease()
    expect(said.startswith(f"lease {prefix}15/24 router {prefix}2 dns {prefix}3"), f"the lease is {said!r}")
    return said


def ping(guest, address, count=2, options=""):
    """Each by a ping of its own: of several, busybox waits for the last one second only, whatever -W says, which a
    guest on a loaded machine may lose by standing still."""
    guest.check(f"for i in $(seq {count}); do ping -c 1 -W 20 {options} {address} || exit 1; done", 60)


def await_link(guest, interface="eth0"):
    """A NIC that was just turned on drops what is sent before its link is up, which its driver looks for in its own
    time; a lease is asked for again and again, but a ping is not."""
    guest.check(f"n=0; until [ $(cat /sys/class/net/{interface}/carrier) = 1 ] || [ $((n += 1)) = 300 ]; do sleep 0.1; done")


def name(guest):
    said = guest.check(f"nslookup -type=a {world.NAME}")
    expect(world.OUTSIDE in said, f"{world.NAME} resolved to: {said}")
    absent = guest.run("nslookup -type=a absent.test")
    expect("NXDOMAIN" in "\n".join(absent.lines), f"a name that is not there: {absent}")


def digest(count, seed):
    return hashlib.sha256(outside.random_bytes(count, seed)).hexdigest()


def fetch(guest, count=4 * MEGABYTE, seed=1):
    """The guest fetches a file by name over HTTP and sums it up."""
    said = guest.check(f"set -o pipefail; wget -q -O - http://{world.NAME}/random/{count}/{seed} | sha256sum", 120)
    expect(said.startswith(digest(count, seed)), f"{count} bytes fetched have the sum {said}")


def upload(guest, count=4 * MEGABYTE):
    """The guest sends random bytes of its own and closes; the server's sum, sent after, must be the guest's."""
    want = guest.check(f"head -c {count} /dev/urandom >/tmp/up; sha256sum </tmp/up", 60).split()[0]
    got = guest.check(f"nc {world.OUTSIDE} {world.SUM_PORT} </tmp/up", 120)
    expect(got == f"{count} {want}", f"the server got {got!r}, the guest sent {count} {want}")


def serve(guest):
    guest.check(f"netjob serve {SERVE_PORT} sh -c '{ANSWER}'")


def read_all(sock):
    parts = []
    while data := sock.recv(262144):
        parts.append(data)
    return b"".join(parts)


def dial(there, port, address=world.HOST):
    """A connection from outside to a port of the host."""
    sock = there.outside_socket()
    sock.settimeout(60)
    sock.connect((address, port))
    return sock


def connection_in(guest, there, port, count=4 * MEGABYTE):
    """Through a forwarded port, from outside: a greeting, then random bytes in and back out (after upload(),
    which leaves them in the guest)."""
    with dial(there, port) as sock:
        sock.sendall(b"hello\n")
        hello = read_all(sock).decode().strip()
        expect(hello.startswith("hello from guest"), f"the guest answered {hello!r}")
    with dial(there, port) as sock:
        sock.sendall(f"put {count}\n".encode() + outside.random_bytes(count, 7))
        expect(read_all(sock).decode().startswith(digest(count, 7)), "the bytes put into the guest differ")
    want = guest.check("sha256sum </tmp/up").split()[0]
    with dial(there, port) as sock:
        sock.sendall(b"get\n")
        data = read_all(sock)
    expect(hashlib.sha256(data).hexdigest() == want, f"{len(data)} bytes out of the guest differ")
    return hello


def everything(guest, there, port, prefix="10.0.2."):
    """All of the above, in order, with times."""
    for label, step in (("lease", lambda: lease(guest, prefix)),
                        ("ping of the gateway", lambda: ping(guest, prefix + "2")),
                        ("ping of an outside address", lambda: ping(guest, world.OUTSIDE)),
                        ("name", lambda: name(guest)), ("fetch", lambda: fetch(guest)),
                        ("upload", lambda: upload(guest)), ("server", lambda: serve(guest)),
                        ("connections in", lambda: connection_in(guest, there, port))):
        began = time.monotonic()
        step()
        print(f"{label}: {time.monotonic() - began:.2f} s", flush=True)
