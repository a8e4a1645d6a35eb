#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""unpack_kernel.py BZIMAGE OUT: writes the kernel inside a bzImage, uncompressed, if QEMU can start it.

QEMU starts an uncompressed x86 kernel by its PVH entry point, which an ELF note (Xen, type 18) names.
Without that note, or with a compression that nothing here unpacks, OUT is the bzImage as it came.
Layout of a bzImage: Documentation/arch/x86/boot.rst, setup_sects and payload_offset.
"""
import shutil
import struct
import subprocess
import sys

UNPACKERS = {
    b"\xfd7zXZ": ["xz", "-dc", "--single-stream"],
    b"\x1f\x8b": ["gzip", "-dc"],
    b"\x28\xb5\x2f\xfd": ["zstd", "-dcq"],
    b"\x02\x21\x4c\x18": ["lz4", "-dcq"],
    b"BZh": ["bzip2", "-dc"],
}


def payload(image):
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    return image[start:start + length]


def unpack(data):
    for magic, command in UNPACKERS.items():
        if data.startswith(magic):
            # The unpackers complain of the four bytes of length that follow the stream.
            return subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return b""


def has_pvh_entry(elf):
    """Whether a PT_NOTE segment holds XEN_ELFNOTE_PHYS32_ENTRY (18)."""
    if elf[:5] != b"\x7fELF\x02":
        return False
    table, = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    for i in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", elf, table + i * size)
        note = offset
        while kind == 4 and note + 12 <= offset + length:
            n_name, n_value, note_type = struct.unpack_from("<III", elf, note)
            if note_type == 18 and elf[note + 12:note + 15] == b"Xen":
                return True
            note += 12 + (n_name + 3 & ~3) + (n_value + 3 & ~3)
    return False


def main():
    source, target = sys.argv[1:]
    with open(source, "rb") as f:
        elf = unpack(payload(f.read()))
    if not has_pvh_entry(elf):
        shutil.copyfile(source, target)
        return
    with open(target, "wb") as f:
        f.write(elf)


main()
