#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Taps on bridges: vmlan-bridge-helper as QEMU runs it and as anybody may run it, who may join what, isolation, and
`vmlan run` with and without privileges; DHCP's checksums as a strict guest sees them on a tap. limit: 300"""

import fcntl
import glob

import netlib
from natlib import *

USER = 1234
BIN = os.path.join(TMP, 'bin')
HELPER = os.path.join(BIN, 'vmlan-bridge-helper')
CONF = '/etc/qemu/bridge.conf'
TUNSETOFFLOAD, TUNGETIFF, TUN_F_CSUM = 0x400454d0, 0x800454d2, 1
CAP_NET_ADMIN = 12
HEADER = 10  # of a frame with offloads
DISCOVER_XID = 0x766d6c61


def as_user(*argv):
    return ['setpriv', '--reuid=%d' % USER, '--regid=%d' % USER, '--clear-groups', *argv]


def prepare():
    """Programs where an ordinary user reaches them, the helper setuid, and a /dev/net/tun that is open to all."""
    if os.path.exists(BIN):
        return
    os.makedirs(BIN)
    os.makedirs('/etc/qemu')
    if os.path.isdir('/usr/local/libexec'):  # one that is installed is not the one under test
        must('mount', '-t', 'tmpfs', 'tmpfs', '/usr/local/libexec')
    built = os.path.dirname(VMLAN)
    for name in (VMLAN, os.path.join(built, 'vmlan-bridge-helper'), os.path.join(ROOT, 'tests/cli/fake-qemu')):
        shutil.copy(name, BIN)
    os.chmod(HELPER, 0o4755)
    must('mknod', '-m', '666', TMP + '/tun', 'c', '10', '200')
    must('mount', '--bind', TMP + '/tun', '/dev/net/tun')


def write(path, text, mode=0o644):
    if os.path.exists(path):
        os.unlink(path)
    with open(path, 'w', encoding='ascii') as f:
        f.write(text)
    os.chmod(path, mode)


def helper(*args, fd=True, program=HELPER, prefix=None, inherited=()):
    """What the helper's end of the socketpair carries: (exit status, descriptors, standard error)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        argv = [*(as_user() if prefix is None else prefix), program, *args]
        if fd:
            argv.append('--fd=%d' % theirs.fileno())
        r = subprocess.run(argv, pass_fds=[theirs.fileno(), *inherited], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        theirs.close()
        data, fds, _, _ = socket.recv_fds(ours, 16, 16)
    check(data in (b'', b'\0') and bool(fds) == (data == b'\0'), 'the answer is %r with %s' % (data, fds))
    return r.returncode, fds, r.stderr


def refused_by_helper(*args, says, **kw):
    status, fds, said = helper(*args, **kw)
    check(status == 1 and not fds, '%s: status %d, %d descriptors' % (args, status, len(fds)))
    check(said.startswith('vmlan-bridge-helper: ') and says in said, '%s: not "%s" but %s' % (args, says, said))


def given(*args, n=1, **kw):
    status, fds, said = helper(*args, **kw)
    check(status == 0 and len(fds) == n and not said, '%s: %d, %s, %s' % (args, status, fds, said))
    return fds


def name_of(fd):
    return fcntl.ioctl(fd, TUNGETIFF, bytes(40))[:16].rstrip(b'\0').decode()


def taps():
    return sorted(n for n in os.listdir('/sys/class/net') if os.path.exists('/sys/class/net/%s/tun_flags' % n))


def close(*fds):
    for fd in fds:
        os.close(fd)


def no_taps():
    wait_for('the end of the taps', lambda: not taps())


@contextlib.contextmanager
def bridge(lab, name='brx', mtu=1400):
    lab.host.ip('link', 'add', name, 'type', 'bridge')
    lab.host.ip('link', 'set', name, 'mtu', str(mtu), 'up')
    try:
        yield name
    finally:
        lab.host.ip('link', 'del', name)


@contextlib.contextmanager
def network(*args, name='lab'):
    before = snapshot()
    good('up', name, *args)
    try:
        yield
    finally:
        good('down', name)  # without --force: no guest is left
        expect_same(before, 'after down')


def test_rules(lab):
    prepare()
    other = '/etc/qemu/other.conf'
    with bridge(lab):
        for text, included, allowed in (
                ('allow brx\n', '', True), ('allow all', '', True), ('# allow all\n \tallow  brx \n', '', True),
                ('', '', False), ('allow br\nallow brx0\n', '', False), ('deny brx\nallow brx\n', '', False),
                ('allow brx\ndeny all\n', '', False), ('include %s\n' % other, 'allow brx\n', True),
                ('allow brx\ninclude %s\n' % other, 'deny brx\n', False), ('include /etc/qemu/none\n', '', False),
                ('allow brx\ninclude /etc/qemu/none\n', '', True)):
            write(CONF, text)
            write(other, included)
            if allowed:
                close(*given('--br=brx'))
            else:
                refused_by_helper('--br=brx', says='may not join the bridge brx')
        # Who may not read an included file is not meant by it.
        write(CONF, 'include %s\n' % other)
        write(other, 'allow brx\n', 0o640)
        refused_by_helper('--br=brx', says='may not join')
        close(*given('--br=brx', prefix=[]))
        os.chown(other, 0, USER)
        close(*given('--br=brx'))
        for text, says in (('allow brx\ninclude other.conf\n', 'line 2: include wants a path that begins with /'),
                           ('allow brx\npermit brx\n', 'line 2: it begins with none of'),
                           ('allow\n', 'line 1: a word is missing'), ('allow brx all\n', 'more than two words'),
                           ('allow brx\nallow a-name-of-17-bytes\n', 'line 2: the name'),
                           ('allow brx\ninclude %s\n' % CONF, 'more than 64 files'),
                           ('#' * 70000 + '\nallow brx\n', 'too long')):
            write(CONF, text)
            refused_by_helper('--br=brx', says=says)
        for path, mode, owner in ((CONF, 0o666, 0), (CONF, 0o664, 0), (CONF, 0o644, USER), (other, 0o666, 0),
                                  (other, 0o644, USER)):
            write(CONF, 'allow brx\ninclude %s\n' % other)
            write(other, '')
            os.chown(path, owner, owner)
            os.chmod(path, mode)
            refused_by_helper('--br=brx', says=path + ': it has to be a file of root')
        os.unlink(CONF)
        refused_by_helper('--br=brx', says="is not there; as root: mkdir -p /etc/qemu && echo 'allow brx'")
        os.mkfifo(CONF)
        refused_by_helper('--br=brx', says='a file of root')
        write(CONF, 'allow brx\n', 0o600)
        refused_by_helper('--br=brx', says='Permission denied')
        no_taps()


def test_tap(lab):
    prepare()
    write(CONF, 'allow all\n')
    with bridge(lab):
        for args, header in (((), False), (('--use-vnet',), True)):
            (fd,) = given(*args, '--br=brx')
            link = json.loads(must('ip', '-d', '-j', 'link', 'show', name_of(fd)))[0]
            check(link['master'] == 'brx' and link['mtu'] == 1400 and link['address'].startswith('fe:') and
                  'UP' in link['flags'] and link['linkinfo']['info_data']['vnet_hdr'] == header and
                  not link['linkinfo']['info_slave_data'].get('isolated'), str(link))
            check(link['linkinfo']['info_data'].get('persist') is not True, str(link))
            os.close(fd)
            no_taps()
        fds = given('--br=brx', '--use-vnet', '--queues=3', n=3)
        check(taps() == [name_of(fds[0])] and len({name_of(fd) for fd in fds}) == 1, str(taps()))
        close(*fds)
        # Between two of them frames pass.
        a, b = given('--br=brx'), given('--br=brx')
        frame = b'\xff' * 6 + b'\x52\x54\0\0\0\1' + b'\x88\xb5' + b'hello'.ljust(50, b'\0')
        wait_for('a frame between guests', lambda: os.write(a[0], frame) and comes(b[0], frame))
        close(*a, *b)
        no_taps()


def test_privileges(lab):
    """While it waits to send: the user is the caller's, and one capability is left. Killed then, it leaves no tap."""
    prepare()
    write(CONF, 'allow all\n')
    with bridge(lab):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while theirs.send(bytes(65536)):
                    pass
            theirs.setblocking(True)
            with subprocess.Popen([*as_user(), HELPER, '--br=brx', '--fd=%d' % theirs.fileno()],
                                  pass_fds=[theirs.fileno()]) as p:
                wait_for('the tap', taps)
                state = netlib.status(p.pid)
                p.kill()
        check({state['CapEff'], state['CapPrm'], state['CapInh']} <= {'0000000000001000', '0000000000000000'} and
              state['CapEff'] != '0000000000000000' and state['CapBnd'] == '0000000000000000' and
              set(state['Uid'].split()) == set(state['Gid'].split()) == {str(USER)}, str(state))
        no_taps()


def comes(fd, frame, seconds=0.2):
    """Whether the frame arrives in that time."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and select.select([fd], [], [], left)[0]:
        if os.read(fd, 65536).endswith(frame):
            return True
    return False


def test_bad_calls(lab):
    prepare()
    write(CONF, 'allow all\n')
    with bridge(lab), open('/dev/null', 'rb') as null, socket.socket() as inet:
        for extra in ((), ('--nonsense',), ('--br=brx', 'word'), ('--br=brx', '--queues=0'), ('--br=brx', '--queues=254'),
                      ('--br=brx', '--fd=x'), ('--br=brx', '--fd=-1')):
            refused_by_helper(*extra, says='usage: ', fd='--fd=x' not in extra and '--fd=-1' not in extra)
        refused_by_helper('--br=brx', says='usage: ', fd=False)
        refused_by_helper('--br=', says='1 to 15 bytes')
        refused_by_helper('--br=a-name-of-17-bytes', says='1 to 15 bytes')
        for fd, inherited in ((null.fileno(), 1), (inet.fileno(), 1), (99, 0)):
            refused_by_helper('--br=brx', '--fd=%d' % fd, fd=False, says='--fd=%d is no unix socket' % fd,
                              inherited=[fd] * inherited)
        refused_by_helper('--br=none', says='there is no bridge none')
        refused_by_helper('--br=up0', says='the interface up0 is no bridge')
        # Closed standard descriptors do not become the tap, nor does the socket in their place.
        ours, theirs = socket.socketpair()
        with ours, theirs:
            status = subprocess.run([*as_user(), 'sh', '-c', 'exec %s --br=brx --fd=%d <&- >&- 2>&-' % (
                HELPER, theirs.fileno())], pass_fds=[theirs.fileno()], check=False, timeout=30).returncode
            _, fds, _, _ = socket.recv_fds(ours, 1, 4)
            check(status == 0 and len(fds) == 1, 'with closed descriptors: %d, %s' % (status, fds))
            close(*fds)
        plain = os.path.join(BIN, 'plain')
        shutil.copy(HELPER, plain)
        os.chmod(plain, 0o755)
        refused_by_helper('--br=brx', program=plain, says='it has no privilege; as root: ')
        refused_by_helper('--br=brx', prefix=[*as_user(), 'setpriv', '--no-new-privs'], says='no_new_privs')
        # CAP_NET_ADMIN of the file's, without setuid.
        os.setxattr(plain, 'security.capability', struct.pack('<5I', 0x02000001, 1 << CAP_NET_ADMIN, 0, 0, 0))
        close(*given('--br=brx', program=plain))
        no_taps()


def supervisor():
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError), open('/proc/%s/cmdline' % pid, 'rb') as f:
            if b'supervise' in f.read():
                return int(pid)
    raise Failure('no supervisor')


def test_isolated(lab):
    """From the first moment: the supervisor, which sees to other ports, is asleep."""
    prepare()
    write(CONF, 'allow lab\n')
    with network('--isolated'):
        keeper = supervisor()
        os.kill(keeper, signal.SIGSTOP)
        try:
            a, b = given('--br=lab')[0], given('--br=lab')[0]
            for fd in (a, b):
                with open('/sys/class/net/%s/brport/isolated' % name_of(fd), encoding='ascii') as f:
                    check(f.read() == '1\n', 'not isolated')
            frame = b'\xff' * 6 + b'\x52\x54\0\0\0\1' + b'\x88\xb5' + b'hello'.ljust(50, b'\0')
            raw = lab.host.raw('lab')
            raw.settimeout(5)
            os.write(a, frame)
            while raw.recv(2048) != frame:
                pass
            check(not comes(b, frame), 'a frame passed between isolated guests')
            raw.close()
            close(a, b)
            with guest_run('-nic', 'lan=lab') as (_, names):
                with open('/sys/class/net/%s/brport/isolated' % names[0], encoding='ascii') as f:
                    check(f.read() == '1\n', 'a guest of vmlan run is not isolated')
        finally:
            os.kill(keeper, signal.SIGCONT)
        no_taps()


def holders(tap):
    """The processes that have a descriptor of it."""
    found = set()
    for path in glob.glob('/proc/[0-9]*/fdinfo/*'):
        with contextlib.suppress(OSError), open(path, encoding='ascii') as f:
            if 'iff:\t%s\n' % tap in f.read():
                found.add(int(path.split('/')[2]))
    return found


@contextlib.contextmanager
def guest_run(*args, prefix=(), n_taps=1, program='vmlan'):
    """`vmlan run` of a stand-in for QEMU, which runs: (its process number, names of taps). It is killed at the end."""
    p = subprocess.Popen([*prefix, os.path.join(BIN, program), 'run', '--', os.path.join(BIN, 'fake-qemu'), *args],
                         env={**os.environ, 'FAKE_QEMU': 'wait'}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    try:
        line = p.stdout.readline() + p.stdout.readline()
        check('argv' in line, 'QEMU did not start: %s' % (p.stderr.read() if not line else line))
        check(len(taps()) == n_taps, 'taps: %s' % taps())
        pid = next(int(x) for x in os.listdir('/proc') if x.isdigit() and b'fake-qemu\0' in cmdline(x) and
                   b'run\0' not in cmdline(x))
        p.line = line
        wait_for('a tap that goes with QEMU', lambda: (t := taps()) and all(holders(tap) == {pid} for tap in t))
        yield p, taps()
        os.kill(pid, signal.SIGKILL)
        p.communicate(timeout=30)
        check(p.returncode == 137, 'vmlan run ended with %d' % p.returncode)
    finally:
        p.kill()
        p.communicate()
    no_taps()


def cmdline(pid):
    try:
        with open('/proc/%s/cmdline' % pid, 'rb') as f:
            return f.read()
    except OSError:
        return b''


def test_run(lab):
    """As root and as an ordinary user; QEMU is killed each time, and nothing is left of it."""
    prepare()
    write(CONF, 'allow vmlan-lab0\nallow brx\n')
    with network('--bridge', 'vmlan-lab0', '--mtu', '1300'), bridge(lab):
        for prefix in ((), as_user()):
            for args, master, mtu in ((('-nic', 'lan=lab'), 'vmlan-lab0', 1300),
                                      (('-net', 'nic', '-net', 'bridge,br=lab'), 'vmlan-lab0', 1300),
                                      (('-nic', 'bridge,br=vmlan-lab0'), 'vmlan-lab0', 1300),
                                      (('-netdev', 'bridge,br=brx,id=n'), 'brx', 1400)):
                with guest_run(*args, prefix=prefix) as (p, names):
                    link = json.loads(must('ip', '-d', '-j', 'link', 'show', names[0]))[0]
                    check(link['master'] == master and link['mtu'] == mtu and link['address'].startswith('fe:') and
                          link['linkinfo']['info_data']['vnet_hdr'], str(link))
                    check('tap,' in p.line and 'fd=' in p.line, p.line)
            with guest_run('-netdev', 'lan=lab,id=n,queues=3', prefix=prefix) as (p, names):
                fds = re.search(r'fds=(\d+):(\d+):(\d+)', p.line)
                check(fds and len(set(fds.groups())) == 3, p.line)
                check(len(os.listdir('/sys/class/net/%s/queues' % names[0])) >= 6, 'not three queues')
        # Alone, without its helper.
        os.makedirs(BIN + '2', exist_ok=True)
        shutil.copy(os.path.join(BIN, 'vmlan'), BIN + '2')
        refused_run('-nic', 'lan=lab,queues=2', program='../bin2/vmlan', says='needs CAP_NET_ADMIN')


def refused_run(*args, says, prefix=None, program='vmlan'):
    r = subprocess.run([*(as_user() if prefix is None else prefix), os.path.join(BIN, program), 'run', '--',
                        os.path.join(BIN, 'fake-qemu'), *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    check(r.returncode == 1 and not r.stdout, '%s: status %d, %s' % (args, r.returncode, r.stdout))
    for word in (says,) if isinstance(says, str) else says:
        check(word in r.stderr, '%s: not "%s" but %s' % (args, word, r.stderr))
    no_taps()


def said(*args):
    return good(*args, '--', os.path.join(BIN, 'fake-qemu'), '-nic', 'lan=lab')


def test_run_refused(lab):
    """What is missing is said, with what to do, also by a dry run and by explain."""
    prepare()
    write(CONF, 'allow brx\n')
    for prefix in ([], None):
        refused_run('-nic', 'lan=lab', prefix=prefix, says=('there is no network lab', 'To mend it: vmlan up lab'))
        refused_run('-nic', 'bridge,br=br7', prefix=prefix, says=('there is no bridge br7', 'To mend it: vmlan up br7'))
        refused_run('-nic', 'bridge,br=up0', prefix=prefix, says='up0 is no bridge')
    check('fail now: there is no network lab; to mend it: vmlan up lab' in said('run', '--dry-run'), said('run', '-n'))
    check('fail now: there is no network lab. To mend it: vmlan up lab' in said('explain'), said('explain'))
    with network('--isolated'):
        check('on the bridge lab, isolated, QEMU' in said('run', '--dry-run'), said('run', '-n'))
        check('is to be on the bridge lab, isolated from' in said('explain'), said('explain'))
        refused_run('-nic', 'lan=lab', says=('may not join the bridge lab', 'gave no tap'))
        lab.host.ip('link', 'set', 'lab', 'down')
        refused_run('-nic', 'lan=lab', prefix=[], says=('lab is down', 'To mend it: vmlan up lab'))
        good('up', 'lab')
        lab.host.ip('link', 'del', 'lab')
        refused_run('-nic', 'lan=lab', prefix=[], says=('bridge lab of the network lab is not there', 'vmlan up lab'))
    with bridge(lab):
        lab.host.ip('link', 'set', 'brx', 'down')
        refused_run('-nic', 'bridge,br=brx', says=('brx is down', 'To mend it: ip link set brx up'))


def discover(mac):
    dhcp = struct.pack('!BBBBIHH', 1, 1, 6, 0, DISCOVER_XID, 0, 0x8000) + bytes(16) + mac.ljust(16, b'\0') + bytes(192)
    dhcp += b'\x63\x82\x53\x63\x35\x01\x01\xff'
    dhcp = dhcp.ljust(300, b'\0')
    udp = struct.pack('!HHHH', 68, 67, 8 + len(dhcp), 0) + dhcp
    ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, bytes(4), b'\xff' * 4)
    ip = ip[:10] + struct.pack('!H', csum(ip)) + ip[12:]
    return b'\xff' * 6 + mac + b'\x08\x00' + ip + udp


def offer(fd, mac, n_header):
    """The offer that answers a discover on a tap: its header, and the packet; None if none comes."""
    os.write(fd, bytes(n_header) + discover(mac))
    end = time.monotonic() + 2
    while (left := end - time.monotonic()) > 0 and select.select([fd], [], [], left)[0]:
        frame = os.read(fd, 65536)
        ip = frame[n_header + 14:]
        if frame[n_header + 12:n_header + 14] == b'\x08\x00' and ip[9:10] == b'\x11' and \
                ip[20:24] == struct.pack('!HH', 67, 68) and ip[32:36] == struct.pack('!I', DISCOVER_XID):
            return frame[:n_header], ip
    return None


def test_dhcp_checksums(lab):
    """A guest that reads DHCP from a packet socket and believes no offload: with a NIC that has checksum offload
    (virtio), and with one that has none (e1000, rtl8139)."""
    prepare()
    write(CONF, 'allow lab\n')
    with network():
        for number, (args, offloads) in enumerate(((('--use-vnet',), TUN_F_CSUM), (('--use-vnet',), 0), ((), 0))):
            (fd,) = given(*args, '--br=lab')
            if args:
                fcntl.ioctl(fd, TUNSETOFFLOAD, offloads)
            mac, n_header = b'\x52\x54\0\0\x77' + bytes([number]), HEADER if args else 0
            header, ip = wait_for('an offer', lambda m=mac, n=n_header, f=fd: offer(f, m, n), seconds=20)
            check(not header or header[0] & 1 == 0, 'the checksum is left to the guest: %s' % header.hex())
            n, got = struct.unpack('!HH', ip[24:28])
            pseudo = ip[12:20] + struct.pack('!BBH', 0, 17, n)
            check(csum(ip[:20]) == 0, "the IP header's checksum is wrong")
            check(got == 0 or csum(pseudo + ip[20:20 + n]) == 0, 'the UDP checksum is wrong: %#x' % got)
            os.close(fd)
        no_taps()


run_nat([v for k, v in list(globals().items()) if k.startswith('test_')])
