"""Which file systems tell the truth about writers and changes: the local ones."""

import ctypes
import os
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_STATFS_BYTES = 256
"""More than any `struct statfs`; its first member is `long f_type` (statfs(2))."""

_LOCAL_TYPES = frozenset({
    0xEF53,      # ext2, ext3, ext4
    0x58465342,  # XFS
    0x9123683E,  # Btrfs
    0xF2F52010,  # F2FS
    0xCA451A4E,  # bcachefs
    0x2FC12FC1,  # ZFS
    0x01021994,  # tmpfs
    0x858458F6,  # ramfs
    0x794C7630,  # overlayfs
    0x4D44,      # FAT
    0x2011BAB0,  # exFAT
    0x7366746E,  # NTFS
})  # fmt: skip
"""f_type values of linux/magic.h. Whatever is not listed (NFS, CIFS, FUSE …) counts as a mount: there, leases and
inotify know only what this machine does."""


def is_local(path: Path) -> bool:
    """Tell whether `path` lies on a file system that only this machine writes; may raise OSError."""
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    if _LIBC.statfs(os.fsencode(path), buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return (ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF) in _LOCAL_TYPES
