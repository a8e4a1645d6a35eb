# SPDX-License-Identifier: BSD-2-Clause
"""The scripts of an article of 2016 on KVM's networks, as it has them, and its command lines. Such scripts are what
people have: they must run as they ran under QEMU."""
import os
import shlex

from guest import APPEND, Guest, base_arguments, run_prefix

SCRIPTS = {
    "/etc/qemu-ifup": r"""#!/bin/bash
#This is a qemu-ifup script for bridging.
#You can use it when starting a KVM guest with bridge mode network.

#set your bridge name
switch=br0

if [ -n "$1" ]; then
  #start up the TAP interface
  ip link set $1 up
  sleep 1
  #add TAP interface to the bridge
  brctl addif ${switch} $1
  exit 0
else
  echo “Error: no interface specified”
  exit 1
fi
""",
    "/etc/qemu-ifdown": r"""#!/bin/bash
#This is a qemu-ifdown script for bridging.
#You can use it when starting a KVM guest with bridge mode network.
#Don’t use this script in most cases; QEMU will handle it automatically.

#set your bridge name
switch=br0

if [ -n "$1" ]; then
  # Delete the specified interfacename
  tunctl -d $1
  #release TAP interface from bridge
  brctl delif ${switch} $1
  #shutdown the TAP interface
  ip link set $1 down
  exit 0
else
  echo “Error: no interface specified”
  exit 1
fi
""",
    "/etc/qemu-ifup-NAT": r"""#!/bin/bash

# network information
BRIDGE=virbr0
NETWORK=192.168.122.0
NETMASK=255.255.255.0
GATEWAY=192.168.122.1

if [ -n "$1" ]; then
  # 啟用 bridge device for NAT mode
  brctl stp ${BRIDGE} on
  ifconfig ${BRIDGE} ${GATEWAY} netmask ${NETMASK} up

  ifconfig "$1" 0.0.0.0 up
  brctl addif ${BRIDGE} "$1"
  exit 0
else
  echo "Error: no interface specified."
  exit 1
fi
""",
    "/etc/qemu-ifdown-NAT": r"""#!/bin/bash

# network information
BRIDGE=virbr0

if [ -n "$1" ]; then
  echo "Tearing down network bridge for $1"
  ip link set "$1" down
  brctl delif ${BRIDGE} "$1"
  exit 0
else
  echo "Error: no interface specified."
  exit 1
fi
""",
}

# All but the disk image (DISK) and the display (DISPLAY), which stand where the article has its own.
LIST = "kvm -net nic,model=?"
NIC = ("kvm DISPLAY -m 2048 -hda DISK -net nic,vlan=0,macaddr=52:53:00:11:12:13,model=e1000,addr=08 "
       "-net user")
BRIDGE = ("kvm DISPLAY -m 2048 DISK -net nic -net tap,script=/etc/qemu-ifup,downscript=/etc/qemu-ifdown "
          "--daemonize")
NAT = ("kvm DISPLAY -m 2048 DISK -net nic "
       "-net tap,script=/etc/qemu-ifup-NAT,downscript=/etc/qemu-ifdown-NAT --daemonize")
USER = "kvm DISPLAY -m 2048 DISK -net nic -net user,hostfwd=tcp::5022-:22 --daemonize"


def install(world, scripts=None):
    """Puts the scripts where the article has them, in an /etc of this world's own."""
    etc = world.own_etc()
    for path, text in (scripts or SCRIPTS).items():
        path = path.replace("/etc", etc, 1)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o755)


class ArticleGuest(Guest):
    """A guest started by one of the lines. What the line does not say, and a test needs, its "kvm" adds: Linux in
    place of what is on the disk, the console, and KVM only where that can be used. "prefix" stands before QEMU."""

    def __init__(self, world, line, name, prefix=""):
        super().__init__(world, [], name=name)
        disk = world.path(name + ".img")
        with open(disk, "wb") as f:
            f.truncate(1 << 20)
        program = world.path("bin-" + name)
        os.mkdir(program)
        program = os.path.join(program, "kvm")
        qemu, *base = base_arguments(self.accel, memory=2048)
        added = [*base[:2], *base[4:], "-append", APPEND, "-chardev",
                 f"socket,id=serial,path={self.serial_path},server=on,wait=off", "-serial", "chardev:serial",
                 "-qmp", f"unix:{self.qmp_path},server=on,wait=off", "-pidfile", world.path(name + ".pid")]
        with open(program, "w", encoding="ascii") as f:
            f.write(f'#!/bin/sh\nexec {prefix} {qemu} "$@" {shlex.join(added)}\n')
        os.chmod(program, 0o755)
        words = line.replace("DISPLAY", "-display none").replace("DISK", disk).split()
        self.command = [*run_prefix(), program, *words[1:]]

    def pid(self):
        with open(self.world.path(self.name + ".pid"), encoding="ascii") as f:
            return int(f.read())
