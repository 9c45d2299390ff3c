"""What a file system can tell: about writers and changes (the local ones), about holes, and which file is which."""

import ctypes
import os
from pathlib import Path
from typing import ClassVar

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


_TYPES_WITH_HOLES = frozenset({
    0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0xCA451A4E, 0x01021994, 0x794C7630,
})  # fmt: skip
"""ext4, XFS, Btrfs, F2FS, bcachefs, tmpfs, overlayfs: SEEK_HOLE finds what was never written, also in space that
was reserved with fallocate, and data that is not on the disk yet is no hole (measured on ext4 and tmpfs). Not ZFS,
which makes holes of zeros by itself (silence in a WAV), nor FAT and exFAT, which have none."""

_HANDLE_BYTES = 128
"""MAX_HANDLE_SZ of linux/fcntl.h."""
_AT_FDCWD = -100


class _FileHandle(ctypes.Structure):
    """`struct file_handle` (open_by_handle_at(2))."""

    _fields_: ClassVar = [
        ("size", ctypes.c_uint), ("type", ctypes.c_int), ("bytes", ctypes.c_ubyte * _HANDLE_BYTES),
    ]  # fmt: skip


def is_local(path: Path) -> bool:
    """Tell whether `path` lies on a file system that only this machine writes; may raise OSError."""
    return _type_of(path) in _LOCAL_TYPES


def can_tell_holes(path: Path) -> bool:
    """Tell whether SEEK_HOLE on `path` finds the parts of files that were never written; may raise OSError."""
    return _type_of(path) in _TYPES_WITH_HOLES


def handle_of(name: str, folder: int = _AT_FDCWD) -> bytes | None:
    """Return what tells this file from every other for ever; None when that cannot be had.

    An inode number is given to the next file as soon as it is free; a handle holds the inode's generation, too.
    `folder` is a descriptor. Symlinks are not followed.
    """
    handle, mount = _FileHandle(size=_HANDLE_BYTES), ctypes.c_int()
    try:
        failed = _LIBC.name_to_handle_at(folder, os.fsencode(name), ctypes.byref(handle), ctypes.byref(mount), 0)
    except AttributeError:  # a C library without it
        return None
    return None if failed else bytes(handle.bytes[: handle.size]) + handle.type.to_bytes(4, signed=True)


def _type_of(path: Path) -> int:
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    if _LIBC.statfs(os.fsencode(path), buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF
