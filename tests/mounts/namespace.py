"""Private mount namespaces: what a test mounts there, nobody else ever sees, and it goes with its last process."""

import ctypes
import os
import subprocess
from functools import cache
from pathlib import Path

UNSHARE = (
    *("unshare", "--mount", "--propagation", "private"),
    # And processes of its own: when the first one ends, for whatever reason, the kernel ends the others.
    *("--pid", "--fork", "--kill-child", "--mount-proc"),
)
INSIDE = "IN_PRIVATE_MOUNTS"
"""Environment variable, set inside."""

MS_RDONLY, MS_REMOUNT, MS_BIND, MNT_DETACH = 1, 32, 4096, 2  # linux/mount.h
_LIBC = ctypes.CDLL(None, use_errno=True)


@cache
def can_mount() -> bool:
    """Tell whether this machine lets us have a mount namespace, and mount something in it."""
    if os.geteuid() != 0:
        return False
    argv = [*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def mount(source: str, place: Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Ask the kernel itself: mount(8) would look at the place first, and hang with it."""
    if os.environ.get(INSIDE) is None:
        raise RuntimeError("only inside a private mount namespace")
    done = _LIBC.mount(source.encode(), os.fsencode(place), kind.encode(), flags, options.encode())
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(place))


def unmount(place: Path) -> None:
    """Take the topmost mount away, whoever still uses it, as a network that fails does."""
    if os.environ.get(INSIDE) is None:
        raise RuntimeError("only inside a private mount namespace")
    if _LIBC.umount2(os.fsencode(place), MNT_DETACH) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(place))
