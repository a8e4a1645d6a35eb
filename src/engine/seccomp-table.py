#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Gathers the engine's system calls from the sources that make them.

A source that runs inside the sandbox says so in a comment of its own, beside its includes or the call:
/* seccomp: recvmsg sendmsg */. Printed is one initialiser a call, naming the sources that need it.
Usage: seccomp-table.py OUTPUT DEPFILE FOLDER..."""
import pathlib
import re
import sys

output, depfile, *folders = sys.argv[1:]
users = {}
sources = sorted(p for f in folders for p in pathlib.Path(f).glob("*.c"))
for source in sources:
    for words in re.findall(r"/\* seccomp: ([a-z0-9_ ]+) \*/", source.read_text()):
        for call in words.split():
            users.setdefault(call, []).append(f"{source.parent.name}/{source.name}")
lines = [f'\t{{"{call}", "{" ".join(sorted(set(users[call])))}"}},\n' for call in sorted(users)]
pathlib.Path(output).write_text("/* Made by seccomp-table.py. */\n" + "".join(lines))
pathlib.Path(depfile).write_text(f"{output}: {' '.join(map(str, sources))}\n")
