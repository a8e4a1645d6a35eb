#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""SIGKILL at each system call of `vmlan up` and `vmlan down` that acts or records: the Nth sendto, sendmsg, write,
rename, openat, unlink, ..., for every N, by strace, on the program as it ships. Between any two of them the host is in
a state from which a `down` leaves it as it was, and from which an `up` completes. limit: 900"""

import netlib
from natlib import *

netlib.CHECK_SECONDS = 500

# What changes something outside the process; openat makes files, too.
CALLS = ('sendto', 'sendmsg', 'write', 'openat', 'rename', 'unlink', 'mkdir', 'rmdir', 'clone', 'pidfd_send_signal')


def traced(call, n, *args):
    """Whether it was killed at the Nth of these calls."""
    argv = ['strace', '-qq', '-o', '/dev/null', '-e', 'trace=' + call,
            '-e', 'inject=%s:signal=KILL:when=%d' % (call, n), VMLAN, *args]
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
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
