#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A network of `vmlan user` is asked and changed while it runs: info, hostfwd, and what becomes of its socket."""

import json
import stat

from netlib import *

FOLDER = '/run/vmlan-guests'
HEADER = '  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ'


def vmlan(*argv):
    """Exit status, standard output, standard error."""
    p = subprocess.run([VMLAN, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return p.returncode, p.stdout, p.stderr


def expect(got, want, what):
    check(got == want, '%s: %r, not %r' % (what, got, want))


def up(lab, *args):
    v = lab.up(*args)
    wait_for('the control socket', lambda: os.path.isdir(FOLDER) and not all(
        f.startswith('.') for f in os.listdir(FOLDER)))
    return v


def rows(*name):
    code, out, err = vmlan('info', 'usernet', *name)
    check(code == 0, 'info usernet: %d %s' % (code, err))
    lines = out.rstrip('\n').split('\n')
    expect(lines[1], HEADER, 'the header')
    return lines[0], [line.split() for line in lines[2:]]


def has_row(*want):
    """A row with that state, source, destination; ports may be None."""
    return any(len(r) == 8 and all(w is None or w == g for w, g in zip(want, (r[0], r[2], r[3], r[4], r[5])))
               for r in rows()[1])


def test_info(lab):
    up(lab, '--name', 'lab', '--hostfwd', 'tcp:0.0.0.0:2222-:22', '--hostfwd', 'udp::2223-:23')
    head, found = rows('lab')
    expect(head, 'Hub -1 (lab):', 'the first line')
    expect([(r[0], *r[2:]) for r in found if 'HOST_FORWARD' in r[0]],
           [('TCP[HOST_FORWARD]', '*', '2222', GUEST, '22', '0', '0'),
            ('UDP[HOST_FORWARD]', '127.0.0.1', '2223', GUEST, '23', '0', '0')], 'the forwards')
    with lab.server.listen(port=80) as server, lab.guest.listen(port=22) as listener, \
            lab.guest.udp('0.0.0.0', 23) as udp, lab.host.udp() as client:
        with lab.guest.connect(SERVER, 80) as out, server.accept()[0] as far, \
                lab.server.connect(HOST_OUT, 2222), listener.accept()[0]:
            check(has_row('TCP[ESTABLISHED]', GUEST, str(port_of(out)), SERVER, '80'), 'not there: %s' % rows()[1])
            check(has_row('TCP[ESTABLISHED]', HOST_OUT, '2222', GUEST, '22'), 'not there: %s' % rows()[1])
            far.shutdown(socket.SHUT_WR)
            expect(out.recv(1), b'', 'the end of what comes')
            wait_for('FIN_WAIT_2', lambda: has_row('TCP[FIN_WAIT_2]', GUEST, str(port_of(out)), SERVER, '80'))
        client.sendto(b'x', ('127.0.0.1', 2223))
        udp.recv(10)
        check(any(re.fullmatch(r'UDP\[\d+', r[0]) and r[3:] == ['127.0.0.1', '2223', GUEST, '23', '0', '0']
                  for r in rows()[1]), 'no UDP flow: %s' % rows()[1])
    expect(ping(lab.guest, SERVER), 0, 'ping')
    check(any(r[0].startswith('ICMP[') and r[3] == GUEST and r[5] == SERVER for r in rows()[1]), 'no ping there')
    expect(vmlan('info', 'network')[1].split('\n')[0], 'lab: index=0,type=user,net=10.0.2.0,restrict=off', 'network')


def test_many_flows(lab):
    """More than fit into one message, and more than are shown."""
    up(lab)
    with contextlib.ExitStack() as stack:
        for i in range(6):
            s = stack.enter_context(lab.guest.udp())
            for port in range(1, 501):
                s.sendto(b'', (SERVER, port))
        wait_for('3000 flows', lambda: sum(r[0].startswith('UDP[') for r in rows()[1]) == 3000, 20)


def test_hostfwd(lab):
    v = up(lab, '--hostfwd', 'tcp:0.0.0.0:2222-:22')
    number = str(v.p.pid)
    expect(vmlan('hostfwd', 'add', 'tcp:0.0.0.0:2224-:24'), (0, '', ''), 'add')
    expect(vmlan('hostfwd', 'add', number, 'udp:0.0.0.0:2225-10.0.2.15:25'), (0, '', ''), 'add')
    with lab.guest.listen(port=24) as listener, lab.guest.udp('0.0.0.0', 25) as udp, lab.server.udp() as client:
        with lab.server.connect(HOST_OUT, 2224) as a, listener.accept()[0] as b:
            client.sendto(b'there', (HOST_OUT, 2225))
            got, who = udp.recvfrom(10)
            udp.sendto(b'back', who)
            expect((got, client.recv(10)), (b'there', b'back'), 'UDP')
            expect(vmlan('hostfwd', 'list', number)[1].split('\n')[:-1],
                   ['tcp:0.0.0.0:2222-10.0.2.15:22', 'tcp:0.0.0.0:2224-10.0.2.15:24', 'udp:0.0.0.0:2225-10.0.2.15:25'],
                   'list')
            expect(json.loads(vmlan('hostfwd', 'list', '--json')[1])[0], 'tcp:0.0.0.0:2222-10.0.2.15:22', 'as JSON')
            expect(vmlan('hostfwd', 'remove', 'tcp:0.0.0.0:2224'),
                   (0, 'host forwarding rule for tcp:0.0.0.0:2224 removed\n', ''), 'remove')
            expect(vmlan('hostfwd', 'remove', 'udp:0.0.0.0:2225-10.0.2.15:25')[0], 0, 'remove as it was listed')
            # The connection goes on, and nobody else comes in.
            a.sendall(b'still')
            expect(b.recv(10), b'still', 'the connection that was there')
            wait_for('the port to be shut', lambda: is_refused(lab.server, 2224))
    expect(vmlan('hostfwd', 'remove', number, 'tcp:0.0.0.0:2224'),
           (1, '', 'host forwarding rule for tcp:0.0.0.0:2224 not found\n'), 'twice')
    expect(vmlan('hostfwd', 'remove', 'x:y')[2], 'invalid format\n', 'nonsense')
    check(re.match(r"Invalid host forwarding rule 'tcp::x-:22' \(.+\)\n", vmlan('hostfwd', 'add', 'tcp::x-:22')[2]), '')
    check('no guest of 10.0.2.0/24' in vmlan('hostfwd', 'add', 'tcp::1-192.168.0.1:22')[2], 'leads elsewhere')
    code, _, err = vmlan('hostfwd', 'add', 'tcp:0.0.0.0:2222-:99')
    check(code == 1 and err.startswith("Could not set up host forwarding rule 'tcp:0.0.0.0:2222-:99'"), err)
    code, out, _ = vmlan('hostfwd', 'add', 'tcp::0-:24')
    check(code == 0 and re.match(r'forwarding tcp 127\.0\.0\.1:\d+ to the guest', out), out)


def is_refused(net, port):
    try:
        net.connect(HOST_OUT, port).close()
    except ConnectionRefusedError:
        return True
    return False


def test_how_many(lab):
    v = up(lab)
    for i in range(64):
        expect(vmlan('hostfwd', 'add', 'tcp::%d-:22' % (3000 + i)), (0, '', ''), 'add %d' % i)
    check('as many forwards as there may be' in vmlan('hostfwd', 'add', 'tcp::3999-:22')[2], 'one more')
    expect(vmlan('hostfwd', 'remove', 'tcp::3010')[0], 0, 'remove')
    expect(vmlan('hostfwd', 'add', 'tcp::3999-:22')[0], 0, 'in its place')
    check('failed' not in v.log(), v.log())


def test_new_engine(lab):
    """What was changed is what an engine that is started again has."""
    v = up(lab, '--hostfwd', 'tcp:0.0.0.0:2222-:22')
    vmlan('hostfwd', 'remove', 'tcp:0.0.0.0:2222')
    vmlan('hostfwd', 'add', 'tcp:0.0.0.0:2224-:22')
    engine = v.engine()
    os.kill(engine, signal.SIGKILL)
    wait_for('another engine', lambda: v.engine() not in (None, engine))
    wait_for('the guest\'s network', lambda: ping(lab.guest, HOST, timeout=0.2) == 0)
    with lab.guest.listen(port=22) as listener, lab.server.connect(HOST_OUT, 2224), listener.accept()[0]:
        check(is_refused(lab.server, 2222), 'the old forward is back')


def test_engine_that_hangs(lab):
    """It is said, and forwards are listed all the same; the network is not held up for ever."""
    v = up(lab, '--hostfwd', 'tcp:0.0.0.0:2222-:22')
    os.kill(v.engine(), signal.SIGSTOP)
    code, out, err = vmlan('info', 'usernet')
    check(code == 1 and 'does not say' in err and 'HOST_FORWARD' in out, (code, out, err))
    os.kill(v.engine(), signal.SIGCONT)
    wait_for('an answer', lambda: vmlan('info', 'usernet')[0] == 0)


def test_names(lab):
    a = up(lab, '--name', 'one')
    expect(vmlan('info', 'network', 'one')[0], 0, 'by name')
    expect(vmlan('info', 'network', str(a.p.pid))[0], 0, 'by number')
    code, _, err = vmlan('info', 'network', 'other')
    check(code == 1 and "'other'" in err and 'one (%d)' % a.p.pid in err, err)
    second = Vmlan(lab, ['--name', 'one', 'stream:' + os.path.join(lab.tmp, 'second')])
    wait_for('its socket', lambda: len(os.listdir(FOLDER)) == 2)
    code, _, err = vmlan('info', 'network')
    check(code == 1 and 'say which one' in err, err)
    code, _, err = vmlan('info', 'network', 'one')
    check(code == 1 and 'several have the name' in err and str(second.p.pid) in err, err)
    expect(vmlan('info', 'network', str(second.p.pid))[0], 0, 'by number')
    check(re.search(r'(?m)^one +user +process %d ' % a.p.pid, vmlan('ls')[1]), vmlan('ls')[1])
    expect(sorted(n['pid'] for n in json.loads(vmlan('ls', '--json')[1])), sorted((a.p.pid, second.p.pid)), 'as JSON')


def test_socket(lab):
    """It is for nobody else, goes with the network, and what a killed one leaves goes when somebody looks."""
    v = up(lab)
    expect(stat.S_IMODE(os.stat(FOLDER).st_mode), 0o700, 'the mode of the folder')
    v.stop()
    check(not os.path.exists(FOLDER), 'it is left: %s' % os.path.exists(FOLDER))
    code, _, err = vmlan('info', 'usernet')
    check(code == 1 and 'is running' in err, err)
    v = up(lab)
    v.p.kill()
    v.p.wait()
    expect(len(os.listdir(FOLDER)), 1, 'what a killed one leaves')
    expect(vmlan('ls')[:2], (0, ''), 'ls')
    check(not os.path.exists(FOLDER), 'it is still there')


def test_hostile_folder(lab):
    """A folder that others may write to is not used: the network runs, and says what it lacks."""
    folder = os.path.join(lab.tmp, 'open')
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    lab.prefix = ['env', 'VMLAN_RUN_DIR=' + folder]
    try:
        v = lab.up()
        wait_for('the warning', lambda: 'no control socket' in v.log())
        expect(os.listdir(folder), [], 'what is in it')
    finally:
        lab.prefix = []


def connects(s, path):
    try:
        s.connect(path)
    except BlockingIOError:
        return False
    return True


def test_bad_clients(lab):
    """Silent ones, ones that say too much, ones that say nonsense: others are served, and memory stays."""
    up(lab)
    path = os.path.join(FOLDER, os.listdir(FOLDER)[0])
    with contextlib.ExitStack() as stack:
        def client():
            s = stack.enter_context(socket.socket(socket.AF_UNIX))
            s.settimeout(10)
            wait_for('room in the backlog', lambda: connects(s, path))
            return s
        silent = [client() for _ in range(20)]
        for bad in (b'nonsense\n', b'{}\n', b'{"op":"end"}\n', b'{"op":"nic-add","arg":"user"}\n', b'[' * 9000 + b'\n'):
            s = client()
            s.sendall(bad)
            check(b'"error"' in s.recv(1000), '%r is taken' % bad[:20])
        s = client()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(100):
                s.sendall(b'x' * 10000)
            check(False, 'a line without an end is read for ever')
        expect(vmlan('info', 'usernet')[0], 0, 'a good one')
        wait_for('the first of the silent ones to be let go', lambda: silent[0].recv(1) == b'')


run(test_info, test_many_flows, test_hostfwd, test_how_many, test_new_engine, test_engine_that_hangs, test_names,
    test_socket, test_hostile_folder, test_bad_clients)
