#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The two processes: how each ends, what follows, and what is left behind."""

import resource

from netlib import *

ARP_REQUEST = (b'\xff' * 6 + b'\x52\x54\0\x12\x34\x56' + bytes.fromhex('08060001080006040001') +
               b'\x52\x54\0\x12\x34\x56' + socket.inet_aton(GUEST) + bytes(6) + socket.inet_aton(HOST) + bytes(18))


def kill_engine(v, sig):
    """Ends the engine of this network and waits for the next one."""
    old = v.engine()
    os.kill(old, sig)
    return wait_for('another engine', lambda: not v.alive() or v.engine() not in (None, old))


def ended(pid):
    """Waits for the end of a process that is not our child."""
    def has_ended():
        try:
            return status(pid)['State'][0] == 'Z'
        except OSError:
            return True
    wait_for('the end of the engine', has_ended)


def arp_over(stream):
    """Asks for the router over QEMU's framing; True if it answers."""
    stream.settimeout(20)
    stream.sendall(struct.pack('!I', len(ARP_REQUEST)) + ARP_REQUEST)
    reply = receive(stream, struct.unpack('!I', receive(stream, 4))[0])
    return reply[12:14] == b'\x08\x06' and reply[28:32] == socket.inet_aton(HOST)


def stream_to(path):
    s = socket.socket(socket.AF_UNIX)
    wait_for('the socket', lambda: s.connect_ex(path) == 0)  # it listens a moment after it can be seen
    return s


def echo_once(listener):
    with listener.accept()[0] as c:
        c.sendall(c.recv(100))


def test_engine_comes_back(lab):
    """A bug in the engine costs its connections, not the network, its ports or its forwards."""
    v = lab.up('--hostfwd', 'tcp:127.0.0.1:0-:7')
    port = int(wait_for('the chosen port', lambda: re.search(r'tcp 127\.0\.0\.1:(\d+)', v.log())).group(1))
    with lab.guest.listen(port=7) as listener:
        for sig in (None, signal.SIGKILL, signal.SIGSYS):
            if sig:
                kill_engine(v, sig)
            job = Background(echo_once, listener)
            with lab.host.connect('127.0.0.1', port) as c:
                c.sendall(b'hello')
                check(c.recv(100) == b'hello', 'no echo after signal %s' % sig)
            job.result()
    check(ping(lab.guest, SERVER) == 0, 'no way out')
    log = v.stop()
    check(v.p.returncode == 0, 'exit status %d' % v.p.returncode)
    check(len(re.findall('the engine was killed by signal', log)) == 2, 'what happened was not said: ' + log)
    check('system call that its sandbox forbids' in log, 'SIGSYS is not explained: ' + log)


def test_engine_that_keeps_dying(lab):
    v = lab.up()
    for _ in range(6):
        if v.alive():
            kill_engine(v, signal.SIGKILL)
    check(v.p.wait(30) == 1, 'exit status %s' % v.p.returncode)
    check('giving up' in v.log(), 'why was not said: ' + v.log())


def test_nothing_is_left(lab):
    """The engine goes with the parent, however that ends."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        v = lab.up()
        engine = v.engine()
        v.p.send_signal(sig)
        v.p.wait(30)
        ended(engine)


def test_namespace_ends(lab):
    """A port ends with the process that it was named by, and the network with its last port."""
    v = lab.up(n_guests=2)
    lab.guests[0].holder.kill()
    lab.guests[0].holder.wait()
    time.sleep(0.3)
    check(v.alive(), 'the network ended with its first port')
    check(ping(lab.guests[1], HOST) == 0, 'the other guest has lost its network')
    lab.guests[1].holder.kill()
    check(v.p.wait(30) == 0, 'exit status %d: %s' % (v.p.returncode, v.log()))


def test_named_namespace_ends(lab):
    must('ip', 'netns', 'add', 'named')
    v = Vmlan(lab, ['netns:/run/netns/named,ifname=eth7'])
    wait_for('the address', lambda: GUEST in sh('ip', '-n', 'named', 'addr', 'show', 'eth7')[1])
    must('ip', 'netns', 'del', 'named')
    check(v.p.wait(30) == 0, 'exit status %d: %s' % (v.p.returncode, v.log()))


def test_taken_interface(lab):
    g = lab.net()
    g.ip('tuntap', 'add', 'dev', 'vmlan0', 'mode', 'tap')
    code, out = sh(VMLAN, 'user', 'netns:%d' % g.pid)
    check(code == 1 and 'there is one of that name' in out, 'exit status %d: %s' % (code, out))


def test_command(lab):
    """The command's status is ours; it is root in a network of its own, with our name server."""
    for script, expected in (('exit 7', 7), ('kill -TERM $$', 128 + signal.SIGTERM), ('exec /nonexistent', 127)):
        code, out = sh(VMLAN, 'user', 'netns', '--', 'sh', '-c', script)
        check(code == expected, '"%s": exit status %d: %s' % (script, code, out))
    out = must(VMLAN, 'user', '--dnssearch', 'a.example', 'netns', '--', 'sh', '-c',
               'id -u; cat /etc/resolv.conf; ip -o -4 addr; ip route; ulimit -n')
    for part in ('0\nnameserver %s\nsearch a.example\n' % DNS, GUEST + '/24', 'default via ' + HOST):
        check(part in out, '"%s" is missing in: %s' % (part, out))
    check(DNS not in open('/etc/resolv.conf').read(), "the host's resolv.conf has changed")
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    check(out.rstrip().endswith('\n%d' % soft), "the command's descriptor limit is not ours: " + out)
    code, out = sh(VMLAN, 'user', 'netns', '--', '/nonexistent')
    check(code == 127, 'a command that is not there: exit status %d: %s' % (code, out))


def test_command_is_told(lab):
    v = Vmlan(lab, ['netns', '--', 'sh', '-c', 'trap "exit 9" TERM; echo started; while :; do sleep 0.05; done'])
    wait_for('the command', lambda: 'started' in v.log())
    v.stop(signal.SIGTERM)
    check(v.p.returncode == 9, 'exit status %d' % v.p.returncode)


def test_stream_socket(lab):
    path = lab.tmp + '/guest.sock'
    v = Vmlan(lab, ['stream:' + path])
    wait_for('the socket', lambda: os.path.exists(path))
    check(os.stat(path).st_mode & 0o777 == 0o600, 'others may connect')
    for _ in range(2):
        with stream_to(path) as s:
            check(arp_over(s), 'the router is silent')
    code, out = sh(VMLAN, 'user', 'stream:' + path)
    check(code == 1 and 'another process listens' in out, 'a live socket was taken over: %d, %s' % (code, out))
    kill_engine(v, signal.SIGKILL)
    with stream_to(path) as s:
        check(arp_over(s), 'the router is silent after a restart')
    engine = v.engine()
    v.p.kill()
    v.p.wait()
    ended(engine)
    check(os.path.exists(path), 'this test needs a stale socket')
    v = Vmlan(lab, ['stream:' + path])
    with stream_to(path) as s:
        check(arp_over(s), 'the router is silent on what was a stale socket')
    v.stop()
    check(not os.path.exists(path), 'the socket was left behind')


def test_dialled_socket(lab):
    path = lab.tmp + '/dialled.sock'
    v = Vmlan(lab, ['stream:%s,connect' % path])
    time.sleep(0.3)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(30)
        for end in ('close', 'restart', None):
            with listener.accept()[0] as s:
                check(arp_over(s), 'the router is silent')
                if end == 'restart':
                    kill_engine(v, signal.SIGKILL)
                    check(s.recv(1) == b'', 'the connection of the dead engine is still there')
    v.stop()
    check(v.p.returncode == 0, 'exit status %d' % v.p.returncode)


def test_given_descriptor(lab):
    ours, theirs = socket.socketpair()
    with theirs:
        p = subprocess.Popen([VMLAN, 'user', 'fd:%d' % theirs.fileno()], pass_fds=[theirs.fileno()],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with ours:
        check(arp_over(ours), 'the router is silent')
    out = p.communicate(timeout=30)[0]
    check(p.returncode == 0, 'exit status %d: %s' % (p.returncode, out))
    with open('/dev/null') as null:
        code, out = sh(VMLAN, 'user', 'fd:%d' % null.fileno(), pass_fds=[null.fileno()])
    check(code == 1 and 'neither a stream socket nor a tap' in out, 'exit status %d: %s' % (code, out))


def test_counters_on_demand(lab):
    v = lab.up()
    v.p.send_signal(signal.SIGUSR1)
    wait_for('counters', lambda: 'tcp   opened' in v.log())
    check(v.alive(), 'SIGUSR1 ended it')


def test_counters_of_many_ports(lab):
    """Each limit is shown with what goes first, however many ports there are."""
    v = Vmlan(lab, ['stream:%s/%d' % (lab.tmp, i) for i in range(64)])
    router = bytes.fromhex('52550a000202')
    bad = [router + b'\x02\0\0\0\0\1' + kind + bytes(40) for kind in (b'\x08\0', b'\x08\6', b'\x86\xdd')]
    bad += [router + b'\x01' + bad[0][7:], bad[0][:20]]
    for i in range(64):
        with stream_to('%s/%d' % (lab.tmp, i)) as s:
            s.sendall(b''.join(struct.pack('!I', len(f)) + f for f in bad) + struct.pack('!I', len(ARP_REQUEST)) + ARP_REQUEST)
            receive(s, 4)  # all before it has been looked at
    log = v.stop()
    check(re.search(r'^\d+ more ports, for which there is no room', log, re.M), 'not cut, or not said: ' + log[-2000:])
    limits = log.partition('limits of each port')[2]
    for what, said in (('tcp flows', '[0-9]+: the longest idle that is not established'), ('udp flows', '[0-9]+: the longest idle'),
                       ('udp flows of forwards', '[0-9]+: the longest idle'), ('pings', '256: the longest idle'),
                       ('leases', '1, of all ports 16: the longest expired'),
                       ('datagrams in reassembly', '16, of all ports 64: the oldest'),
                       ('stations', '64 in the switch, 32 addresses of neighbours: the longest unused'),
                       ('window', '4096 KiB of a TCP flow, of all busy ones 8192 KiB')):
        check(re.search(r'^  %s +%s' % (what, said), limits, re.M), '%s: %s is missing in:%s' % (what, said, limits))


def test_capture_on_a_full_disk(lab):
    """The guest's traffic goes on, and what the capture lacks is said once and counted."""
    small = os.path.join(lab.tmp, 'small')
    os.mkdir(small)
    must('mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', small)
    v = lab.up('--pcap', os.path.join(small, 'x.pcapng'))
    with lab.server.listen() as listener, lab.guest.connect(SERVER, port_of(listener)) as c:
        with listener.accept()[0] as t:
            got = Background(recv_to_end, t)
            send_pattern(c, 4 << 20)
            check(got.result() == (4 << 20, Pattern(4 << 20).crc()), 'not what was sent')
    log = v.stop()
    check(log.count('the capture is not complete: frames cannot be written (No space left') == 1, 'not said: ' + log)
    n = re.search(r'^capture (\d+) frames not written', log, re.M)
    check(n and int(n.group(1)) > 10, 'not counted: ' + log)
    v = Vmlan(lab, ['--pcap', os.path.join(lab.tmp, 'y.pcapng'), 'netns:%d' % lab.guest.pid])
    check('capture 0 frames not written' in v.stop(), 'no count of none: ' + v.log())
    code, out = sh(VMLAN, 'user', '--pcap', '/dev/full', 'netns:%d' % lab.guest.pid)
    check(code == 1 and 'the capture cannot be written: No space left' in out, '/dev/full: ' + out)


def test_descriptors(lab):
    """More forwards than descriptors are refused at the start; a few below the limit work, connections too."""
    def forwards(n):
        return [w for i in range(n) for w in ('--hostfwd', 'tcp::%d-:7' % (20000 + i))]

    guest = lab.net()
    code, out = sh('prlimit', '--nofile=1024:1024', VMLAN, 'user', *forwards(1000), 'netns:%d' % guest.pid)
    check(code == 1 and '1000 forwards' in out and 'the hard limit is 1024' in out, 'not refused: %s %s' % (code, out))
    lab.prefix = ['prlimit', '--nofile=1024:1024']
    try:
        v = lab.up(*forwards(560))
    finally:
        lab.prefix = []
    with lab.guest.listen(port=7) as listener:
        for port in (20000, 20559):
            with lab.host.connect('127.0.0.1', port) as c, listener.accept()[0] as g:
                c.sendall(b'x')
                check(g.recv(1) == b'x', 'no data')
    with lab.server.listen() as listener:
        flood = []
        with contextlib.suppress(OSError):
            for _ in range(500):
                flood.append(lab.guest.connect(SERVER, port_of(listener), 1))
        check(len(flood) >= 150, 'only %d connections' % len(flood))
        for s in flood:
            s.close()
    log = v.stop()
    check(v.p.returncode == 0 and 'Too many open files' not in log, 'the engine ran out: ' + log)


def test_forward_refused(lab):
    with lab.host.listen('127.0.0.1') as taken:
        code, out = sh(VMLAN, 'user', '--hostfwd', 'tcp:127.0.0.1:%d-:22' % port_of(taken),
                       'stream:%s/s' % lab.tmp)
    check(code == 1 and 'cannot listen on tcp 127.0.0.1:' in out, 'exit status %d: %s' % (code, out))
    check(not os.path.exists(lab.tmp + '/s'), 'a socket was left behind')


run(test_engine_comes_back, test_engine_that_keeps_dying, test_nothing_is_left, test_namespace_ends,
    test_named_namespace_ends, test_taken_interface, test_command, test_command_is_told, test_stream_socket,
    test_dialled_socket, test_given_descriptor, test_counters_on_demand, test_counters_of_many_ports,
    test_capture_on_a_full_disk, test_descriptors,
    test_forward_refused)
