"""The last steps before PID 1: run in namespaces of its own, it furnishes a machine, moves into it and becomes systemd.

Started by `rig.boot`, never by hand. It sees nothing of the checkout but the plan, a JSON file. Everything is mounted
below one folder that becomes `/`, and the old `/` is let go: what systemd-tmpfiles empties and systemd-sysusers writes
is in memory, and the host cannot be reached.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

CLONE_NEWCGROUP = 0x02000000  # linux/sched.h
MNT_DETACH = 2  # linux/mount.h
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]  # asm/unistd.h; the C library has no name for it
LIBC = ctypes.CDLL(None, use_errno=True)

SHARED_WITH_HOST = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Programs, seen read-only."""
OWN_FOLDERS = ("etc", "var", "opt", "srv", "home", "root", "mnt", "media", "boot")
VAR_FOLDERS = ("var/lib/systemd", "var/log", "var/cache/ldconfig", "var/spool")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
NOT_TAKEN_ALONG = ("systemd/system", "fstab", "machine-id", "hostname", "mtab", "resolv.conf", ".updated")
"""Of /etc: the host's own services and mounts."""
NOT_STARTED = (
    *("systemd-udevd.service", "systemd-udev-trigger.service", "systemd-logind.service", "getty.target"),
    *("systemd-modules-load.service", "systemd-sysctl.service", "systemd-timesyncd.service", "systemd-binfmt.service"),
    *("systemd-random-seed.service", "systemd-remount-fs.service", "systemd-pcrphase.service", "tmp.mount"),
    *("systemd-networkd.service", "systemd-resolved.service", "systemd-firstboot.service", "apparmor.service"),
)
"""They look after hardware, a console or a network that this machine does not have."""


def main(plan):
    root = Path(plan["root"])
    join_group(plan["group"])
    # A mount of its own is what pivot_root can move into.
    mount("--bind", plan["tree"], root) if plan["tree"] else mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", root)
    if not plan["tree"]:
        furnish(root)
    mount_kernel(root)
    for place in plan["fresh"]:
        copy_over(root, place)
    for place, source in plan["binds"].items():
        bind(Path(source), root / place.lstrip("/"), "ro")
    for place, file in plan["files"].items():
        write(root / place.lstrip("/"), **file)
    for unit in NOT_STARTED:
        mask(root, unit)
    move_into(root)
    environment = {"container": "heygemd-test", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    options = ["--system", f"--unit={plan['target']}", "--log-target=journal", "--show-status=no"]
    os.execve("/lib/systemd/systemd", ["systemd", *options], environment)


def join_group(folder):
    """Let the new machine have this control group for its root."""
    if folder:
        Path(folder, "cgroup.procs").write_text("0")
    check(LIBC.unshare(CLONE_NEWCGROUP))


def furnish(root):
    """Make a root directory from the programs of the host, a copy of its /etc, and nothing else."""
    for name in SHARED_WITH_HOST:
        source = Path("/", name)
        if source.is_symlink():
            (root / name).symlink_to(source.readlink())
        elif source.is_dir():
            bind(source, root / name, "ro")
    for name in (*OWN_FOLDERS, *VAR_FOLDERS):
        (root / name).mkdir(parents=True)
    (root / "root").chmod(0o700)
    (root / "var/run").symlink_to("/run")
    (root / "var/lock").symlink_to("/run/lock")
    (root / "var/tmp").mkdir(mode=0o1777)
    run("cp", "-a", "/etc/.", root / "etc")
    for name in NOT_TAKEN_ALONG:
        path = root / "etc" / name
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    write(root / "etc/machine-id", text=os.urandom(16).hex() + "\n")
    write(root / "etc/hostname", text="studio\n")


def mount_kernel(root):
    """Give the machine its own /proc, /sys, /dev, /run and /tmp."""
    for name, *options in (
        ("proc", "-t", "proc", "-o", "nosuid,nodev,noexec", "proc"),
        ("sys", "-t", "sysfs", "-o", "ro,nosuid,nodev,noexec", "sysfs"),
        ("sys/fs/cgroup", "-t", "cgroup2", "-o", "nosuid,nodev,noexec", "cgroup2"),
        ("dev", "-t", "tmpfs", "-o", "mode=755,nosuid", "tmpfs"),
        ("run", "-t", "tmpfs", "-o", "mode=755,nosuid,nodev", "tmpfs"),
        ("tmp", "-t", "tmpfs", "-o", "mode=1777,nosuid,nodev", "tmpfs"),
    ):
        if not (root / name).is_dir():
            (root / name).mkdir()
        mount(*options, root / name)
    dev = root / "dev"
    for name in DEVICES:
        bind(Path("/dev", name), dev / name)
    for node in Path("/dev").glob("nvidia*"):
        bind(node, dev / node.name, "rbind")
    for name, target in (("fd", "/proc/self/fd"), ("ptmx", "pts/ptmx"), ("console", "null")):
        (dev / name).symlink_to(target)
    for name, *options in (
        ("shm", "-t", "tmpfs", "-o", "mode=1777,nosuid,nodev", "tmpfs"),
        ("pts", "-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620", "devpts"),
    ):
        (dev / name).mkdir()
        mount(*options, dev / name)


def copy_over(root, place):
    """Replace a folder that the host shares by a copy that may be written."""
    folder = root / place.lstrip("/")
    aside = root / "mnt"
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", aside)
    run("cp", "-a", f"{folder}/.", aside)
    mount("--move", aside, folder)


def bind(source, place, mode="rw"):
    """Show a file or folder of the host at a place of the machine."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        place.mkdir(exist_ok=True)
    else:
        place.touch(exist_ok=True)
    mount("--rbind" if mode == "rbind" else "--bind", source, place)
    if mode == "ro":
        mount("-o", "remount,bind,ro", place)


def write(place, *, text=None, source=None, mode=0o644):
    place.parent.mkdir(parents=True, exist_ok=True)
    if text is None:
        shutil.copyfile(source, place)
    else:
        place.write_text(text, encoding="utf-8")
    place.chmod(mode)


def mask(root, unit):
    link = root / "etc/systemd/system" / unit
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to("/dev/null")


def move_into(root):
    """Make `root` the only thing there is."""
    os.chdir(root)
    check(LIBC.syscall(SYS_PIVOT_ROOT, b".", b"."))  # the old root now lies over the new one
    check(LIBC.umount2(b".", MNT_DETACH))
    os.chdir("/")
    mount("--make-rshared", "/")  # as at a real boot: what is mounted later is seen by services, too


def mount(*options):
    run("mount", *options)


def run(*argv):
    subprocess.run([str(word) for word in argv], check=True)


def check(status):
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
