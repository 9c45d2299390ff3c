"""Does somebody have this file open for writing? A read lease is granted only when nobody does.

It sees writers of every process of this machine (Samba's too) and shared writable mappings, costs some
microseconds, and is the only sure sign: size and mtime stand still while an SMB client fills a file.
"""

import errno
import fcntl
import os
import signal
import stat
from pathlib import Path

from heygemd.intake.settle import Writer

OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""How every file of an inbox is opened: never through a symlink, never waiting for the other end of a FIFO."""

_CAP_LEASE = 28  # linux/capability.h
_BUSY_ON_OPEN = frozenset({errno.EBUSY, errno.ETXTBSY, errno.EAGAIN})


def find_writer(path: Path | str, *, is_local: bool) -> Writer:
    """Ask whether `path` has a writer. On a mount (`is_local` false) a lease says nothing, and only BUSY is certain.

    Needs to own the file, or CAP_LEASE; else UNKNOWN. Raises OSError when the file cannot be opened.
    """
    try:
        number = os.open(path, OPEN_FLAGS)
    except OSError as error:
        if error.errno in _BUSY_ON_OPEN:
            return Writer.BUSY
        raise
    try:
        if not is_local or not stat.S_ISREG(os.fstat(number).st_mode) or not _breaks_are_ignored():
            return Writer.UNKNOWN
        return _ask_lease(number)
    finally:
        os.close(number)


def may_lease_any() -> bool:
    """Tell whether this process may ask about files of other owners, too (CAP_LEASE)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_LEASE & 1)


def _ask_lease(number: int) -> Writer:
    try:
        fcntl.fcntl(number, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return Writer.BUSY if error.errno == errno.EAGAIN else Writer.UNKNOWN
    fcntl.fcntl(number, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return Writer.FREE


def _breaks_are_ignored() -> bool:
    """Ignore SIGIO: a writer that opens the file while we hold the lease sends it, and it ends a process."""
    if signal.getsignal(signal.SIGIO) is not signal.SIG_IGN:
        try:
            signal.signal(signal.SIGIO, signal.SIG_IGN)
        except ValueError:
            return False  # not the main thread; somebody there must ignore it first
    return True
