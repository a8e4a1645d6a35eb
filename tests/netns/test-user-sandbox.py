#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The engine's sandbox, its restart after a violent end, and that nothing is left behind whoever dies."""

from netlib import *


def processes():
    """Every process of this lab that runs vmlan. By name: one that is about to end has no program any more when it still
    has its descriptors."""
    found = []
    for name in os.listdir('/proc'):
        if name.isdigit():
            with contextlib.suppress(OSError):
                st = status(int(name))
                if st['Name'] in (os.path.basename(VMLAN), 'vmlan-engine') and st['State'][0] != 'Z':
                    found.append(int(name))
    return found


def test_engine_is_confined(lab):
    v = lab.up('--hostfwd', 'tcp::2222-:22', '--hostfwd', 'udp::2222-:22')
    st = status(v.engine())
    for key in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
        check(int(st[key], 16) == 0, '%s is %s' % (key, st[key]))
    check(st['NoNewPrivs'] == '1', 'NoNewPrivs is ' + st['NoNewPrivs'])
    check(st['Seccomp'] == '2', 'Seccomp is ' + st['Seccomp'])
    check(os.listdir('/proc/%d/root' % v.engine()) == [], 'its root directory is not empty: %s' %
          os.listdir('/proc/%d/root' % v.engine()))
    check(os.path.samefile(*('/proc/%d/%s' % (v.engine(), n) for n in ('cwd', 'root'))), 'its working directory is not /')
    for key in ('Uid', 'Gid'):
        check('0' not in st[key].split(), '%s is %s' % (key, st[key]))
    check(st['Groups'].strip() == '', 'it has the groups ' + st['Groups'])


def test_in_a_plain_chroot(lab):
    """A chroot whose root is no mount point: nothing can be detached from there, and all is hidden the same."""
    root = os.path.join(lab.tmp, 'root')
    for path in ('/bin', '/lib', '/lib64', '/usr', '/etc', '/proc', '/dev', os.path.dirname(VMLAN)):
        if os.path.exists(path):
            os.makedirs(root + path)
            must('mount', '--rbind', path, root + path)
    lab.prefix = ['chroot', root]
    before = sorted(open('/proc/self/mountinfo'))
    try:
        guest = lab.net()
        v = Vmlan(lab, ['netns:%d' % guest.pid])
        wait_for('an answer from the router', lambda: not v.alive() or ping(guest, HOST, timeout=0.2) == 0)
    finally:
        lab.prefix = []
    st = status(v.engine())
    check(int(st['CapEff'], 16) == 0 and st['Seccomp'] == '2', 'not confined: %s' % st)
    check(os.listdir('/proc/%d/root/' % v.engine()) == [], 'the file system is not hidden')
    check(os.path.samefile(*('/proc/%d/%s' % (v.engine(), n) for n in ('cwd', 'root'))), 'its working directory is not /')
    check('sandbox:' not in v.log(), 'something is missing: ' + v.log())
    check(sorted(open('/proc/self/mountinfo')) == before, 'a mount has spread')


def test_engine_holds_only_what_it_needs(lab):
    v = lab.up('--hostfwd', 'tcp::2222-:22')
    folder = '/proc/%d/fd' % v.engine()
    for name in os.listdir(folder):
        target = os.readlink(os.path.join(folder, name))
        good = re.match(r'socket:|anon_inode:\[eventpoll|anon_inode:\[(timer|event)|/memfd:|/dev/net/tun|/dev/null|pipe:',
                        target)
        check(good or int(name) <= 2, 'descriptor %s is %s' % (name, target))
    with open('/proc/%d/maps' % v.engine()) as f:
        both = [line for line in f if re.match(r'\S+ .w.x|\S+ .wx', line)]
    check(not both, 'memory is writable and executable: %s' % both)


def test_forbidden_call_kills(lab):
    """The filter bites: a debugger makes the engine call chroot(), and it dies by SIGSYS and is replaced."""
    v = lab.up()
    pid = v.engine()
    check(inject_chroot(pid), 'the call could not be injected')
    wait_for('the end of that engine', lambda: not os.path.exists('/proc/%d' % pid) or v.engine() != pid)
    wait_for('a word about it', lambda: 'system call' in v.log())
    wait_for('a new engine', lambda: v.engine() and ping(lab.guest, HOST, timeout=0.2) == 0)


class Regs(ctypes.Structure):
    """struct user_regs_struct of x86-64."""
    _fields_ = [(n, ctypes.c_ulonglong) for n in (
        'r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds '
        'es fs gs').split()]


def inject_chroot(pid):
    """Changes the system call that the process makes next into chroot(): it is stopped where that call begins, before
    the filter looks, wherever it was before. False where that cannot be done."""
    if os.uname().machine != 'x86_64':
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    getregs, setregs, attach, detach, to_syscall = 12, 13, 16, 17, 24
    if libc.ptrace(attach, pid, None, None) < 0:
        return False
    os.waitpid(pid, 0x40000000)  # __WALL
    libc.ptrace(to_syscall, pid, None, None)
    _, stopped = os.waitpid(pid, 0x40000000)
    check(os.WIFSTOPPED(stopped) and os.WSTOPSIG(stopped) == signal.SIGTRAP, 'stopped by %x' % stopped)
    regs = Regs()
    libc.ptrace(getregs, pid, None, ctypes.addressof(regs))
    regs.orig_rax = 161
    libc.ptrace(setregs, pid, None, ctypes.addressof(regs))
    libc.ptrace(detach, pid, None, None)
    return True


def test_engine_killed(lab):
    v = lab.up('--hostfwd', 'tcp::2222-:22')
    with lab.server.listen() as listener, lab.guest.listen(port=22) as inside:
        for _ in range(3):
            old = v.engine()
            x = lab.guest.connect(SERVER, port_of(listener))
            listener.accept()[0].close()
            os.kill(old, signal.SIGKILL)
            wait_for('a new engine', lambda: v.engine() not in (None, old))
            wait_for('an answer', lambda: ping(lab.guest, HOST, timeout=0.2) == 0)
            x.close()
            with lab.guest.connect(SERVER, port_of(listener)) as a, listener.accept()[0] as b:
                a.sendall(b'hello')
                check(b.recv(5) == b'hello', 'no data through the new engine')
            with lab.host.connect('127.0.0.1', 2222) as c, inside.accept()[0] as d:
                c.sendall(b'hello')
                check(d.recv(5) == b'hello', 'the forward does not work with the new engine')
            st = status(v.engine())
            check(st['Seccomp'] == '2' and int(st['CapEff'], 16) == 0, 'the new engine is not confined')
    check('killed by signal 9' in v.log(), 'nothing was said about it')


def test_engine_killed_over_and_over(lab):
    """It is not started again for ever."""
    v = lab.up()

    def kill_one():
        pid = v.engine()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not v.alive()

    wait_for('the end', kill_one)
    check(v.p.returncode == 1, 'exit status %d' % v.p.returncode)
    check('giving up' in v.log(), 'it does not say why')
    check(not lab.guest.has('vmlan0'), 'the interface is still there')


def end_by(lab, sig):
    path = os.path.join(lab.tmp, 'end%d' % sig)
    v = lab.up('--hostfwd', 'tcp::2222-:22', ports=['stream:' + path])
    wait_for('the socket', lambda: os.path.exists(path))
    with lab.server.listen() as listener:
        x = lab.guest.connect(SERVER, port_of(listener))
        y, _ = listener.accept()
        v.p.send_signal(sig)
        v.p.wait(30)
        wait_for('all processes to end', lambda: not processes())
        check(not lab.guest.has('vmlan0'), 'the interface is still there')
        lab.host.listen('127.0.0.1', 2222).close()
        with contextlib.suppress(ConnectionResetError):
            check(y.recv(1) == b'', 'a connection goes on')
        x.close()
    return v, path


def test_sigterm(lab):
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        v, path = end_by(lab, sig)
        check(v.p.returncode == 0, 'exit status %d after signal %d' % (v.p.returncode, sig))
        check(not os.path.exists(path), 'the socket is left behind after signal %d' % sig)


def test_sigkill(lab):
    _, path = end_by(lab, signal.SIGKILL)
    # The file of the socket cannot be taken away by a process that is killed; it must be no obstacle.
    v = lab.up(ports=['stream:' + path])
    s = socket.socket(socket.AF_UNIX)
    wait_for('the socket', lambda: s.connect_ex(path) == 0)
    s.close()
    check(v.alive(), 'vmlan does not start over an old socket')


def test_command(lab):
    """vmlan user netns -- COMMAND: its exit status is ours, its end is the network's."""
    code, out = sh(VMLAN, 'user', 'netns', '--', 'sh', '-c', 'ip -o addr show vmlan0; exit 7')
    check(code == 7, 'exit status %d: %s' % (code, out))
    check('10.0.2.15/24' in out, 'no address: ' + out)
    code, out = sh(VMLAN, 'user', 'netns', '--', 'sh', '-c', 'kill -TERM $$')
    check(code == 128 + signal.SIGTERM, 'exit status %d after a signal: %s' % (code, out))
    code, out = sh(VMLAN, 'user', 'netns', '--', '/nowhere/command')
    check(code in (126, 127) and '/nowhere/command' in out, 'exit status %d: %s' % (code, out))
    wait_for('all processes to end', lambda: not processes())
    p = subprocess.Popen([VMLAN, 'user', 'netns', '--', 'sleep', '1000'])
    wait_for('the engine', lambda: len(processes()) >= 2)
    p.kill()
    p.wait()
    wait_for('all processes to end, the command included', lambda: not processes() and sh(
        'pgrep', '-x', 'sleep', '-f', 'sleep 1000')[0] != 0)


def test_without_privileges(lab):
    """As an ordinary user, in a user namespace of its own."""
    user = ['setpriv', '--reuid', '12345', '--regid', '12345', '--clear-groups', '--bounding-set', '-all']
    binary = os.path.join(lab.tmp, 'vmlan')
    shutil.copy(VMLAN, binary)
    os.chmod(lab.tmp, 0o755)
    if sh(*user, 'unshare', '--user', '--map-root-user', '--net', 'true')[0] != 0:
        print('     (no user namespaces for ordinary users: not tried)')
        return
    if sh(*user, 'sh', '-c', ': <> /dev/net/tun')[0] != 0:
        must('mount', '-t', 'tmpfs', 'tmpfs', '/dev/net')
        must('mknod', '-m', '666', '/dev/net/tun', 'c', '10', '200')
    with lab.server.listen() as listener:
        script = 'ip -o addr show vmlan0; ip route; busybox nc %s %d </dev/null' % (SERVER, port_of(listener))
        accepted = Background(lambda: [s.sendall(b'welcome') or s.close() for s in (listener.accept()[0],)])
        code, out = sh(*user, binary, 'user', 'netns', '--', 'sh', '-c', script)
        check(code == 0 and '10.0.2.15/24' in out and 'welcome' in out, 'exit status %d: %s' % (code, out))
        accepted.result(5)


run(test_engine_is_confined, test_in_a_plain_chroot, test_engine_holds_only_what_it_needs, test_forbidden_call_kills, test_engine_killed,
    test_engine_killed_over_and_over, test_sigterm, test_sigkill, test_command, test_without_privileges)
