"""Disks whose power can be cut: ext4 images, and every state that a cut could have left them in.

What was not synced stays in the page cache and never reaches the image: that is what makes a copy of the image file
the truth about a power cut, and a plain SIGKILL not.
"""

import ctypes
import mmap
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20
BLOCK_BYTES = 16 << 10
"""Compared and kept at once."""
BLANK = bytes(BLOCK_BYTES)
_EXT4 = ("mkfs.ext4", "-q", "-F", "-m", "0", "-N", "4096", "-J", "size=4", "-E", "nodiscard,lazy_itable_init=0")
_BTRFS = ("mkfs.btrfs", "-q", "-f", "-m", "single", "-d", "single", "-K")
KINDS = {
    "ext4": (_EXT4, "loop,noatime,commit=1000,noauto_da_alloc", 1),
    "btrfs": (_BTRFS, "loop,noatime,commit=1000", 4),
}
"""How it is made and mounted, and how many times as large it must be.

Nothing goes to the disk by itself within a test: not the journal, and not the data of a file that is renamed. A sync on
ext4 commits whatever was done before it on the whole disk; btrfs logs what belongs to that file or folder alone.
"""
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class Image:
    """One disk: an image file, and where it is mounted."""

    file: Path
    place: Path
    kind: str = "ext4"

    def make(self, size_mib):
        """Make an empty file system and mount it."""
        argv, _, times = KINDS[self.kind]
        with self.file.open("wb") as file:
            file.truncate(size_mib * times * MIB)
        subprocess.run([*argv, str(self.file)], check=True, stdout=subprocess.DEVNULL)
        self.mount()

    def mount(self):
        """Mount it where it belongs; the journal is replayed."""
        self.place.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["mount", "-t", self.kind, "-o", KINDS[self.kind][1], str(self.file), str(self.place)], check=True
        )

    def unmount(self):
        """Take it away, in order."""
        subprocess.run(["umount", str(self.place)], check=True)

    def commit_names(self):
        """Commit the journal, as the kernel may at any time: names are safe then, the data of new files is not."""
        spark = os.open(self.place / ".spark", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(spark, b"!", 0)
            os.fsync(spark)
        finally:
            os.close(spark)

    def flush(self):
        """Write everything back, as the kernel may at any time."""
        folder = os.open(self.place, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _LIBC.syncfs(folder):
                raise OSError(ctypes.get_errno(), "syncfs")
        finally:
            os.close(folder)


@dataclass
class Memory:
    """Every state that the image of a disk was seen in: the first one whole, then what changed."""

    image: Image
    first: Path
    _last: dict = field(default_factory=dict)
    _changes: list = field(default_factory=list)

    def begin(self):
        """Keep the image as it is now."""
        copy_sparse(self.image.file, self.first)
        self._last = dict(self._blocks())

    def look(self):
        """Note what has changed since the last look; returns whether anything has."""
        changed = {at: block for at, block in self._blocks() if block != self._last.get(at, BLANK)}
        self._last.update(changed)
        self._changes.append(changed)
        return bool(changed)

    def _blocks(self):
        """Yield the place and the bytes of every block that is no hole."""
        with self.image.file.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as now:
            for start, end in _extents(file.fileno(), len(now)):
                for at in range(start - start % BLOCK_BYTES, end, BLOCK_BYTES):
                    yield at, now[at : at + BLOCK_BYTES]

    def restore(self, look):
        """Write the image as it was at a look (0: the first after `begin`); it must not be mounted."""
        copy_sparse(self.first, self.image.file)
        with self.image.file.open("r+b") as file:
            for changed in self._changes[: look + 1]:
                for at, block in changed.items():
                    file.seek(at)
                    file.write(block)


def copy_sparse(source, target):
    """Copy a file without its holes."""
    with source.open("rb") as old, target.open("wb") as new:
        size_bytes = os.fstat(old.fileno()).st_size
        new.truncate(size_bytes)
        for start, end in _extents(old.fileno(), size_bytes):
            old.seek(start)
            new.seek(start)
            new.write(old.read(end - start))


def _extents(descriptor, size_bytes):
    """Yield where a sparse file has data."""
    end = 0
    while end < size_bytes:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole is left
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
