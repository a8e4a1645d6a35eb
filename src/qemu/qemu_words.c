/* SPDX-License-Identifier: BSD-2-Clause */
#include "qemu_words.h"

#include <string.h>

#include "util.h"

/* clang-format off */

/* Options without a value, 0.10 to 10.x. */
static const char *const switches[] = {
	"S", "alt-grab", "async-teardown", "audio-help", "ctrl-grab", "curses", "daemonize", "enable-fips",
	"enable-hax", "enable-kqemu", "enable-kvm", "enable-nesting", "enable-sync-profile", "full-screen",
	"h", "help", "igd-passthru", "jitdump", "kernel-kqemu", "localtime", "mem-prealloc", "no-acpi",
	"no-fd-bootchk", "no-frame", "no-hpet", "no-kqemu", "no-kvm", "no-kvm-irqchip", "no-kvm-pit",
	"no-kvm-pit-reinjection", "no-quit", "no-reboot", "no-shutdown", "no-user-config", "nodefaults",
	"nodefconfig", "nographic", "old-param", "one-insn-per-tb", "only-migratable", "perfmap",
	"portrait", "preconfig", "rtc-td-hack", "s", "sdl", "semihosting", "show-cursor", "singlestep",
	"snapshot", "std-vga", "tdf", "trace-unassigned", "usb", "version", "win2k-hack", "xen-attach",
	"xen-create", "xen-domid-restrict",
};

/* Options with a value, whatever that begins with. */
static const char *const valued[] = {
	"D", "L", "M", "accel", "acpitable", "action", "add-fd", "append", "audio", "audiodev", "balloon",
	"bios", "blockdev", "boot", "bootp", "bt", "cdrom", "chardev", "chroot", "clock", "compat", "cpu",
	"d", "debugcon", "device", "dfilter", "display", "drive", "dtb", "dump-vmstate", "echr", "fda",
	"fdb", "fsdev", "fw_cfg", "g", "gdb", "global", "hda", "hdachs", "hdb", "hdc", "hdd", "icount",
	"incoming", "initrd", "iscsi", "k", "kernel", "kvm-shadow-memory", "loadvm", "m", "machine",
	"mem-path", "mon", "monitor", "msg", "mtdblock", "name", "net", "netdev", "nic", "numa", "nvram",
	"object", "option-rom", "osk", "overcommit", "parallel", "pcidevice", "pflash", "pidfile", "plugin",
	"prom-env", "qmp", "qmp-pretty", "qtest", "qtest-log", "readconfig", "realtime", "redir", "rotate",
	"rtc", "run-with", "runas", "sandbox", "sd", "seed", "semihosting-config", "serial", "set", "shim",
	"smb", "smbios", "smp", "soundhw", "spice", "startdate", "tb-size", "tftp", "tpmdev", "trace",
	"usbdevice", "uuid", "vga", "virtfs", "virtfs_synth", "virtioconsole", "vnc", "watchdog",
	"watchdog-action", "writeconfig", "xen-domid",
};

/* clang-format on */

static bool is_among(const char *name, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(name, words[i]) == 0)
			return true;
	return false;
}

bool qemu_option_needs_value(const char *name)
{
	return is_among(name, valued, ARRAY_SIZE(valued));
}

bool qemu_option_has_value(const char *name, const char *next)
{
	if (!next || is_among(name, switches, ARRAY_SIZE(switches)))
		return false;
	return qemu_option_needs_value(name) || next[0] != '-';
}
