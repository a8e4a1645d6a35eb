#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""SIGKILL at each system call of `vmlan up`, `vmlan down`, of either after one that was killed, and of the supervisor, that
acts or records: the Nth sendto, sendmsg, write, rename, unlink, ..., for every N, by strace, on the program as it
ships. Between any two of them the host is in a state from which a `down` leaves it as it was, and from which an `up`
completes. limit: 900"""

import netlib
from natlib import *

netlib.CHECK_SECONDS = 500

# What changes something outside the process. openat makes files, too, but there is always one of these behind it.
CALLS = ('sendto', 'sendmsg', 'write', 'rename', 'unlink', 'mkdir', 'rmdir', 'clone', 'pidfd_send_signal')


def killing(call, n, *args):
    return ['strace', '-qq', '-o', '/dev/null', '-e', 'trace=' + call,
            '-e', 'inject=%s:signal=KILL:when=%d' % (call, n), VMLAN, *args]


def traced(call, n, *args):
    """Whether it was killed at the Nth of these calls."""
    p = subprocess.run(killing(call, n, *args), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                       timeout=60, check=False)
    check(p.returncode in (0, -9, 137), 'at %s %d: exit status %d: %s' % (call, n, p.returncode, p.stderr))
    return p.returncode != 0


def down():
    """In order: taken down, or never recorded."""
    r = vmlan('down', 'lab')
    check(r.returncode == 0 or 'there is no network' in r.stderr, 'down: ' + r.stderr)


def each(call, verb, prepare, recover, before):
    n = 0
    while True:
        n += 1
        prepare()
        killed = traced(call, n, verb, 'lab')
        recover()
        expect_same(before, '%s killed at %s number %d' % (verb, call, n))
        if not killed:
            return n - 1


def nothing():
    pass


def up_and_down():
    good('up', 'lab')
    check(status() == {}, 'not in order: %s' % status())
    good('down', 'lab')


def sweep(verb, prepare, recover, calls=CALLS):
    before = snapshot()
    total = 0
    for call in calls:
        total += each(call, verb, prepare, recover, before)
    print('%s: killed at %d calls' % (verb, total))
    check(total >= len(calls), 'too few')


def test_up_then_down(lab):
    sweep('up', nothing, down)


def test_up_then_up(lab):
    sweep('up', nothing, up_and_down, ('sendto', 'sendmsg', 'write', 'rename', 'clone'))


def test_down_then_down(lab):
    sweep('down', lambda: good('up', 'lab'), down)


def test_down_then_up(lab):
    sweep('down', lambda: good('up', 'lab'), up_and_down, ('sendto', 'sendmsg', 'write', 'rename', 'unlink'))


def test_mend_then_down(lab):
    def prepare():
        good('up', 'lab')
        must('ip', 'link', 'del', 'lab')
    sweep('up', prepare, down, ('sendto', 'sendmsg', 'write', 'rename', 'clone'))


def test_recovery(lab):
    """What goes on from where one was killed is killed too."""
    def half_up():
        check(traced('clone', 1, 'up', 'lab'), 'up was not killed')

    def half_down():
        good('up', 'lab')
        check(traced('sendto', 10, 'down', 'lab'), 'down was not killed')

    sweep('up', half_up, up_and_down, ('sendto', 'rename'))
    sweep('down', half_up, down, ('sendto', 'unlink', 'rmdir'))
    sweep('down', half_down, down, ('sendto', 'unlink', 'rmdir'))


def supervisor_pid():
    return next((int(p) for p in os.listdir('/proc') if p.isdigit() and cmdline(p).startswith('vmlan supervise')), 0)


def cmdline(pid):
    with contextlib.suppress(OSError), open('/proc/%s/cmdline' % pid, 'rb') as f:
        return f.read().replace(b'\0', b' ').decode()
    return ''


def supervise(call, n):
    """One in place of that which `up` started, which has to put rules back. Whether it was killed."""
    os.kill(wait_for('a supervisor', supervisor_pid), signal.SIGKILL)
    wait_for('its end', lambda: 'supervisor' in ' '.join(status()))
    must('nft', 'delete', 'table', 'inet', 'vmlan_lab')
    p = subprocess.Popen(killing(call, n, 'supervise', 'lab'), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        wait_for('the lock', lambda: p.poll() is not None or 'supervisor' not in ' '.join(status()), seconds=30)
        must('nft', 'add', 'table', 'inet', 'another')
        must('nft', 'delete', 'table', 'inet', 'another')
        wait_for('the rules', lambda: p.poll() is not None or status() == {}, seconds=30)
        return p.poll() is not None
    finally:
        if p.poll() is None:
            good('down', 'lab')  # which ends it
        p.wait(30)


def test_supervisor(lab):
    before = snapshot()
    total = 0
    for call in ('sendto', 'sendmsg', 'write', 'rename', 'clone'):
        n = 0
        killed = True
        while killed:
            n += 1
            good('up', 'lab')
            killed = supervise(call, n)
            if n % 2 and killed:
                up_and_down()
            down()
            expect_same(before, 'a supervisor killed at %s number %d' % (call, n))
        total += n - 1
    print('supervisor: killed at %d calls' % total)
    check(total >= 10, 'too few')


def test_docker(lab):
    """With a chain of Docker's, in which rules are put one by one by another program."""
    for args in (('-N', 'DOCKER-USER'), ('-A', 'DOCKER-USER', '-j', 'RETURN'), ('-P', 'FORWARD', 'DROP'),
                 ('-I', 'FORWARD', '-j', 'DOCKER-USER')):
        must('iptables-nft', *args)
    try:
        sweep('up', nothing, down, ('clone', 'rename'))
        sweep('down', lambda: good('up', 'lab'), down, ('clone',))
    finally:
        must('nft', 'flush', 'ruleset')


def test_second_network(lab):
    """The list of forwarding's settings, which two networks share."""
    good('up', 'other')
    try:
        sweep('up', nothing, down, ('write', 'rename', 'sendto'))
        sweep('down', lambda: good('up', 'lab'), down, ('write', 'rename', 'unlink'))
    finally:
        good('down', 'other')


if __name__ == '__main__':
    if not shutil.which('strace'):
        skip('no strace')
    with open(VMLAN, 'rb') as program:
        sanitized = b'__asan_init' in program.read()
    if sanitized:
        skip("strace's kill looks like a leak to a sanitizer")
    run_nat([v for k, v in list(globals().items()) if k.startswith('test_')])
