# SPDX-License-Identifier: BSD-2-Clause
"""The outside of world.py: addresses and servers in a network namespace of their own.

    198.51.100.53:53    DNS over UDP and TCP: A of outside.test
    203.0.113.80:80     HTTP: GET /random/BYTES/SEED[/BYTES_PER_SECOND]
    203.0.113.80:5001   sink: reads to the end, then closes
    203.0.113.80:5002   source: zeros without end
    203.0.113.80:5003   sum: reads to the end, answers "BYTES SHA256", closes
    203.0.113.80:7      UDP echo
"""
import hashlib
import http.server
import random
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time

import world

CHUNK = 256 * 1024


def random_bytes(count, seed):
    return random.Random(int(seed)).randbytes(int(count))


def dns_answer(query):
    """The answer to a query with one question; None for what is none."""
    if len(query) < 17:
        return None
    labels, at = [], 12
    while at < len(query) and 0 < query[at] < 64:
        labels.append(query[at + 1:at + 1 + query[at]].decode("ascii", "replace").lower())
        at += 1 + query[at]
    question = query[12:at + 5]
    kind, = struct.unpack_from(">H", query, at + 1)
    known = ".".join(labels) == world.NAME
    answer = b""
    if known and kind == 1:
        answer = struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(world.OUTSIDE)
    flags = 0x8180 if known else 0x8183  # response, recursion available; NXDOMAIN
    return query[:2] + struct.pack(">HHHHH", flags, 1, 1 if answer else 0, 0, 0) + question + answer


class DnsUdp(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        answer = dns_answer(data)
        if answer:
            sock.sendto(answer, self.client_address)


class DnsTcp(socketserver.StreamRequestHandler):
    def handle(self):
        while len(head := self.rfile.read(2)) == 2:
            answer = dns_answer(self.rfile.read(struct.unpack(">H", head)[0]))
            if not answer:
                return
            self.wfile.write(struct.pack(">H", len(answer)) + answer)


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data, self.client_address)


class Sink(socketserver.BaseRequestHandler):
    def handle(self):
        room = bytearray(CHUNK)
        while self.request.recv_into(room):
            pass


class Sum(socketserver.BaseRequestHandler):
    def handle(self):
        count, digest = 0, hashlib.sha256()
        while data := self.request.recv(CHUNK):
            digest.update(data)
            count += len(data)
        self.request.sendall(f"{count} {digest.hexdigest()}\n".encode())


class Source(socketserver.BaseRequestHandler):
    def handle(self):
        zeros = bytes(CHUNK)
        try:
            while True:
                self.request.sendall(zeros)
        except OSError:
            pass  # the reader has had enough


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):  # the name is the base class's
        pass

    def _reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return body

    def do_GET(self):
        parts = self.path.strip("/").split("/")
        if len(parts) not in (3, 4) or parts[0] != "random":
            self.wfile.write(self._reply(404, b"no such page\n"))
            return
        body = self._reply(200, random_bytes(parts[1], parts[2]))
        step = int(parts[3]) // 20 if len(parts) == 4 else len(body)
        try:
            for at in range(0, len(body), step):
                self.wfile.write(body[at:at + step])
                if step < len(body):
                    time.sleep(0.05)
        except OSError:
            self.close_connection = True


class TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class UdpServer(socketserver.UDPServer):
    max_packet_size = 65535


def main():
    print("namespace", flush=True)
    if sys.stdin.readline() != "go\n":
        return
    for command in ("link set lo up", "link set host up", "addr add 192.0.2.1/24 dev host",
                    f"addr add {world.OUTSIDE}/32 dev lo", f"addr add {world.RESOLVER}/32 dev lo"):
        subprocess.run(["ip", *command.split()], check=True)
    servers = [
        UdpServer((world.RESOLVER, 53), DnsUdp), TcpServer((world.RESOLVER, 53), DnsTcp),
        TcpServer((world.OUTSIDE, world.HTTP_PORT), Http), TcpServer((world.OUTSIDE, world.SINK_PORT), Sink),
        TcpServer((world.OUTSIDE, world.SOURCE_PORT), Source), TcpServer((world.OUTSIDE, world.SUM_PORT), Sum),
        UdpServer((world.OUTSIDE, world.ECHO_PORT), Echo),
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()  # until the world ends


if __name__ == "__main__":
    main()
