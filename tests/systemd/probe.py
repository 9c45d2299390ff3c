"""Run inside the unit's sandbox by test_sandbox.py: tries what a stranger's file would try, and tells the outcome."""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import socket
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000  # linux/sched.h
PER_LINUX32 = 0x0008  # linux/personality.h
ROOT = Path("/srv/heygemd")
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    """Raise OSError when a call of the C library fails."""
    if getattr(LIBC, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def ask_lease():
    with (ROOT / "own").open("rb") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)


(ROOT / "own").touch()
ATTEMPTS = {
    # What the daemon needs.
    "write to the root": lambda: (ROOT / "written").write_text("x"),
    "write to the state": lambda: Path("/var/lib/heygemd/written").write_text("x"),
    "write to the cache": lambda: Path("/var/cache/heygemd/written").write_text("x"),
    "write to the log": lambda: Path("/var/log/heygemd/written").write_text("x"),
    "write to /tmp": lambda: Path("/tmp/written").write_text("x"),
    "speak to the journal": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect(
        "/run/systemd/journal/socket"
    ),
    "ask who writes to an own file": ask_lease,
    "read what its group may read": lambda: Path("/srv/for-heygemd").read_text(),
    "read what the group of the cards may read": lambda: Path("/srv/for-video").read_text(),
    "measure the memory": lambda: Path("/proc/meminfo").read_text(),
    "read its control group": lambda: list(Path("/sys/fs/cgroup").iterdir()),
    "make machine code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close(),
    "open /dev/null": lambda: Path("/dev/null").read_bytes(),
    # What nobody may do from in there.
    "write elsewhere": lambda: Path("/srv/elsewhere/written").write_text("x"),
    "look into homes": lambda: list(Path("/home").iterdir()),
    "read others' temporary files": lambda: Path("/tmp/of-others").read_text(),
    "leave a set-user-ID file": lambda: (ROOT / "own").chmod(0o4755),
    "give a file away": lambda: os.chown(ROOT / "own", -1, 44),
    "make a user namespace": lambda: call("unshare", CLONE_NEWUSER),
    "take real-time priority": lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(0)),
    "choose a processor": lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)),
    "change its domain": lambda: call("personality", PER_LINUX32),
    "see processes of others": lambda: Path("/proc/1").stat(),
    "open another device": lambda: Path("/dev/probe").open("rb", buffering=0).close(),
    "open a network socket": lambda: socket.socket().close(),
    "open a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "change its control group": lambda: Path("/sys/fs/cgroup/heygemd-probe").mkdir(),
}

came_of_it = {}
for name, attempt in ATTEMPTS.items():
    try:
        attempt()
        came_of_it[name] = "done"
    except OSError as error:
        came_of_it[name] = errno.errorcode.get(error.errno, str(error))
sys.stdout.write(f"{json.dumps(came_of_it)}\n")
