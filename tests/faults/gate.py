"""The gate: system calls that bring changes to a disk, or change names on it, pass one at a time under our eyes.

A seccomp filter with user notification holds every process of the daemon at these calls until we let it go. A sync
is made by us in its place, so nothing is under way when it has returned: whoever copies a disk between two calls sees
exactly what a power cut at that moment would have left. Linux on x86-64 only; see seccomp_unotify(2).
"""

import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache

SYNCS = {74: "fsync", 75: "fdatasync"}
"""asm/unistd_64.h; nothing else brings a change to the disk by itself: nobody here calls sync(2) or uses O_SYNC."""
NAMINGS = {
    76: "truncate", 77: "ftruncate", 82: "rename", 83: "mkdir", 84: "rmdir", 86: "link", 87: "unlink", 258: "mkdirat",
    263: "unlinkat", 264: "renameat", 265: "linkat", 316: "renameat2",
}  # fmt: skip
MISDEED = 424_242
"""In place of a descriptor, which no program of ours has: it marks this moment. A look is made, and nothing else."""
_SECCOMP = 317
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_ALLOW, _ASK_US, _WRONG_MACHINE = 0x7FFF0000, 0x7FC00000, 0x7FFF0000
_X86_64 = 0xC000003E  # linux/audit.h
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
"""struct seccomp_notif: id, pid, flags, and the call: number, machine, instruction, arguments."""
_ANSWER = struct.Struct("=QqiI")
"""struct seccomp_notif_resp: id, value, error, flags."""
_RECEIVE = 3 << 30 | _NOTIFICATION.size << 16 | ord("!") << 8 | 0
_SEND = 3 << 30 | _ANSWER.size << 16 | ord("!") << 8 | 1
_GO_ON = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("count", ctypes.c_ushort), ("steps", ctypes.c_char_p))


@cache
def can_watch():
    """Tell whether this machine has what the gate needs."""
    if platform.machine() != "x86_64" or os.geteuid() != 0:
        return False
    action = ctypes.c_uint32(_ASK_US)
    return _LIBC.syscall(_SECCOMP, 2, 0, ctypes.byref(action)) == 0  # SECCOMP_GET_ACTION_AVAIL


class Gate:
    """Starts one program, and is asked before each of its `calls`, and those of all its children."""

    def __init__(self, argv, *, calls, **popen):
        ours, theirs = socket.socketpair(socket.AF_UNIX)
        with ours, theirs:
            self.process = subprocess.Popen(
                argv,
                pass_fds=(theirs.fileno(),),
                preexec_fn=lambda: _install(theirs, sorted(calls)),  # noqa: PLW1509  # one thread
                **popen,
            )
            _, (self._listener, *_), _, _ = socket.recv_fds(ours, 1, 1)

    def watch(self, *, before: Callable[[str], None], after: Callable[[str], None], limit_s):
        """Let calls through, one at a time, until all processes have ended or `before` or `after` raises.

        `before` is told the name of every call, `after` that of every sync that has been made (and `misdeed`).
        """
        ends_s = time.monotonic() + limit_s
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while time.monotonic() < ends_s:
            for _, event in poll.poll(200):
                if event & select.POLLHUP:
                    return
                self._pass_one(before, after)
        raise TimeoutError(f"the daemon has not ended after {limit_s:.0f} s")

    def end(self):
        """Kill whoever is left; no call is answered any more. Returns the exit status of the program."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        os.close(self._listener)
        return self.process.wait()

    def _pass_one(self, before, after):
        room = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, room)
        except FileNotFoundError:  # who asked was killed meanwhile
            return
        number, pid, _, call, _, _, descriptor, *_ = _NOTIFICATION.unpack(room)
        name = SYNCS.get(call) or NAMINGS[call]
        if call in SYNCS and descriptor == MISDEED:
            name = "misdeed"
        before(name)
        if call in SYNCS:
            self._answer(number, error=-_sync_for(pid, descriptor) if name in SYNCS.values() else -errno.EBADF)
            after(name)
        else:
            self._answer(number, flags=_GO_ON)

    def _answer(self, number, *, error=0, flags=0):
        with suppress(FileNotFoundError):
            fcntl.ioctl(self._listener, _SEND, bytearray(_ANSWER.pack(number, 0, error, flags)))


def _sync_for(pid, descriptor):
    """Sync what another process has open; returns 0 or an errno."""
    try:
        mine = os.open(f"/proc/{pid}/fd/{descriptor}", os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return error.errno
    try:
        os.fsync(mine)
    except OSError as error:
        return error.errno
    finally:
        os.close(mine)
    return 0


def _install(channel, calls):
    """In the child, before it becomes the program: install the filter, and hand over where it asks."""
    steps = [(_LOAD, 0, 0, 4), (_JUMP_EQUAL, 1, 0, _X86_64), (_RETURN, 0, 0, _WRONG_MACHINE), (_LOAD, 0, 0, 0)]
    steps += [(_JUMP_EQUAL, len(calls) - index, 0, call) for index, call in enumerate(calls)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ASK_US)]
    text = b"".join(struct.pack("=HBBI", *step) for step in steps)
    program = _Program(len(steps), text)
    listener = _LIBC.syscall(_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER, ctypes.byref(program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    socket.send_fds(channel, [b"!"], [listener])
