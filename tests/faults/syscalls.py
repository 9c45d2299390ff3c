"""The system calls that change what lies on a disk: their numbers, what their arguments name, and a filter for them.

The filter is a program for seccomp(2): calls that change nothing run at full speed and are never seen. Numbers are
those of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).
"""

import ctypes
import os
import platform
import struct
from dataclasses import dataclass

MACHINE = "x86_64"
IS_KNOWN_MACHINE = platform.machine() == MACHINE


@dataclass(frozen=True, slots=True)
class Syscall:
    """A call that may change the disk."""

    name: str
    number: int
    places: tuple[tuple[int | None, int | None], ...]
    """What it touches: (argument with a descriptor, argument with a path); None where there is none."""
    size: int | None = None
    """Argument with the number of bytes to be written, where a part of them could be."""
    flags: int | None = None
    """Argument with the flags of an open: without O_CREAT and O_TRUNC it changes nothing."""


_F0 = ((0, None),)
_CHANGING = (
    Syscall("write", 1, _F0, size=2), Syscall("pwrite64", 18, _F0, size=2), Syscall("writev", 20, _F0),
    Syscall("pwritev", 296, _F0), Syscall("pwritev2", 328, _F0), Syscall("sendfile", 40, _F0),
    Syscall("copy_file_range", 326, ((2, None),)), Syscall("splice", 275, ((2, None),)),
    Syscall("ftruncate", 77, _F0), Syscall("truncate", 76, ((None, 0),)), Syscall("fallocate", 285, _F0),
    Syscall("fsync", 74, _F0), Syscall("fdatasync", 75, _F0), Syscall("sync_file_range", 277, _F0),
    Syscall("open", 2, ((None, 0),), flags=1), Syscall("openat", 257, ((0, 1),), flags=2),
    Syscall("creat", 85, ((None, 0),)),
    Syscall("rename", 82, ((None, 0), (None, 1))), Syscall("renameat", 264, ((0, 1), (2, 3))),
    Syscall("renameat2", 316, ((0, 1), (2, 3))),
    Syscall("link", 86, ((None, 0), (None, 1))), Syscall("linkat", 265, ((0, 1), (2, 3))),
    Syscall("symlink", 88, ((None, 1),)), Syscall("symlinkat", 266, ((1, 2),)),
    Syscall("unlink", 87, ((None, 0),)), Syscall("unlinkat", 263, ((0, 1),)),
    Syscall("mkdir", 83, ((None, 0),)), Syscall("mkdirat", 258, ((0, 1),)), Syscall("rmdir", 84, ((None, 0),)),
    Syscall("mknod", 133, ((None, 0),)), Syscall("mknodat", 259, ((0, 1),)),
    Syscall("chmod", 90, ((None, 0),)), Syscall("fchmod", 91, _F0), Syscall("fchmodat", 268, ((0, 1),)),
    Syscall("chown", 92, ((None, 0),)), Syscall("fchown", 93, _F0), Syscall("fchownat", 260, ((0, 1),)),
    Syscall("utimensat", 280, ((0, 1),)),
    Syscall("setxattr", 188, ((None, 0),)), Syscall("fsetxattr", 190, _F0),
    Syscall("ioctl", 16, _F0),
)  # fmt: skip
BY_NUMBER = {call.number: call for call in _CHANGING}
OPENS = frozenset({"open", "openat", "creat"})
GROWING = frozenset(
    {
        "write",
        "pwrite64",
        "writev",
        "pwritev",
        "pwritev2",
        "sendfile",
        "copy_file_range",
        "splice",
        "fallocate",
        "ioctl",
    }
    | {"fsync", "fdatasync", "mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat", *OPENS}
)
"""Those that a full disk may refuse."""
FICLONE = 0x40049409
"""The only ioctl(2) that writes: linux/fs.h."""
AT_FDCWD = -100

# linux/bpf_common.h, linux/seccomp.h, linux/audit.h
_LD_W_ABS, _JEQ, _JSET, _RET = 0x20, 0x15, 0x45, 0x06
_ALLOW, _TRACE = 0x7FFF0000, 0x7FF00000
_AUDIT_ARCH_X86_64 = 0xC000003E
_NR_AT, _ARCH_AT = 0, 4
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


def _argument_at(index: int) -> int:
    return 16 + 8 * index


def filter_program(*, every_open: bool) -> bytes:
    """Return the instructions: changing calls are for the tracer, all others pass; `every_open`: reading ones, too."""
    code = [
        (_LD_W_ABS, 0, 0, _ARCH_AT), (_JEQ, 1, 0, _AUDIT_ARCH_X86_64), (_RET, 0, 0, _ALLOW), (_LD_W_ABS, 0, 0, _NR_AT),
    ]  # fmt: skip
    for call in _CHANGING:
        if call.flags is not None and not every_open:
            wanted = (_JSET, 0, 1, os.O_CREAT | os.O_TRUNC)
            code += [
                (_JEQ, 0, 4, call.number),
                (_LD_W_ABS, 0, 0, _argument_at(call.flags)),
                wanted,
                (_RET, 0, 0, _TRACE),
            ]
            code += [(_RET, 0, 0, _ALLOW)]
        elif call.name == "ioctl":
            code += [(_JEQ, 0, 4, call.number), (_LD_W_ABS, 0, 0, _argument_at(1)), (_JEQ, 0, 1, FICLONE)]
            code += [(_RET, 0, 0, _TRACE), (_RET, 0, 0, _ALLOW)]
        else:
            code += [(_JEQ, 0, 1, call.number), (_RET, 0, 0, _TRACE)]
    code.append((_RET, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def install_filter(program: bytes) -> None:
    """Put this process, and all that come of it, under the filter."""
    libc = ctypes.CDLL(None, use_errno=True)
    held = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(held))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
