"""The little of ptrace(2) that a tracer needs: seize, go on, read and write registers and memory. x86-64 only."""

import ctypes
import os
from pathlib import Path

SEIZE, CONT, SYSCALL, LISTEN = 0x4206, 7, 24, 0x4208
_GETREGS, _SETREGS = 12, 13
EVENT_EXEC, EVENT_SECCOMP, EVENT_STOP = 4, 7, 128
SYSGOOD_TRAP = 5 | 0x80
"""SIGTRAP of a call that ends, as PTRACE_O_TRACESYSGOOD marks it."""
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000
"""SYSGOOD, FORK, VFORK, CLONE, EXEC, SECCOMP, EXITKILL: whatever is born is traced, and dies with the tracer."""
WALL = 0x40000000
_NAMES = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
)
_PAGE_BYTES = 4096
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_LIBC.ptrace.restype = ctypes.c_long


class Registers(ctypes.Structure):
    """struct user_regs_struct of sys/user.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in _NAMES]

    def argument(self, index: int) -> int:
        """Return an argument of the call."""
        return int((self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9)[index])


def ask(request: int, pid: int, data: int = 0) -> None:
    """Make a request; raises ProcessLookupError when the tracee is gone."""
    if _LIBC.ptrace(request, pid, None, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"ptrace {request} of {pid}")


def registers(pid: int) -> Registers:
    """Read them."""
    found = Registers()
    ask(_GETREGS, pid, ctypes.addressof(found))
    return found


def set_registers(pid: int, wanted: Registers) -> None:
    """Write them."""
    ask(_SETREGS, pid, ctypes.addressof(wanted))


def text_at(pid: int, address: int) -> str:
    """Read a C string of a tracee; empty where there is none."""
    data = b""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        while address and b"\0" not in data and len(data) < _PAGE_BYTES:
            room = _PAGE_BYTES - (address + len(data)) % _PAGE_BYTES
            try:
                part = os.pread(memory.fileno(), room, address + len(data))
            except OSError:
                break
            data += part
    return os.fsdecode(data.partition(b"\0")[0])
