#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""own_root.py COMMAND...: runs a command in a mount namespace of its own, from which no mount spreads.

That is what unshare --mount does, but that it also works in a plain chroot, whose / is no mount point: there "/"
cannot be made private, and the mount below it, which can, has no path. By way of the namespace's real root it has
one; the chroot is then entered again, as a mount point."""
import ctypes
import os
import sys

CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
EINVAL = 22

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    if getattr(libc, name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def make_private():
    """For a process that has just unshared its mount namespace."""
    try:
        return call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    except OSError as e:
        if e.errno != EINVAL:
            raise
    folder = os.getcwd()
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    call("setns", namespace, CLONE_NEWNS)  # to where we are: but at the namespace's own root
    call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    path = os.fsencode(os.readlink(f"/proc/self/fd/{root}"))
    call("mount", path, path, None, MS_BIND | MS_REC, None)
    os.chroot(path)
    os.chdir(folder)
    os.close(namespace)
    os.close(root)
    return None


if __name__ == "__main__":
    try:
        call("unshare", CLONE_NEWNS)
        make_private()
    except OSError as e:
        sys.exit(f"own_root: {e}")
    os.execvp(sys.argv[1], sys.argv[1:])
