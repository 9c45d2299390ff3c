"""Were parts of this file never written? A client that sets the size first leaves holes until it has filled them."""

import os

from heygemd.intake.settle import Holes


def find_holes(number: int, size_bytes: int, *, can_tell: bool) -> Holes:
    """Ask the file system about the regular file behind the descriptor `number`; moves its offset.

    `can_tell` says whether this file system's answer means anything (`filesystems.can_tell_holes`). The end of a
    file counts as a hole, so a file without one has its first hole there. Raises OSError.
    """
    if not can_tell or size_bytes == 0:
        return Holes.UNKNOWN
    return Holes.NONE if os.lseek(number, 0, os.SEEK_HOLE) >= size_bytes else Holes.SOME
