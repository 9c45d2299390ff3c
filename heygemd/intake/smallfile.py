"""A small file that a stranger wrote, read whole: never through a link, never from a FIFO, never without end."""

import os
import stat
from pathlib import Path

from heygemd.intake.writers import OPEN_FLAGS


def read_small(path: Path, max_bytes: int) -> bytes:
    """Return the contents; raises ValueError for no regular file or a larger one, OSError when it cannot be read."""
    number = os.open(path, OPEN_FLAGS)
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"{path.name} is larger than {max_bytes} bytes")
    return data
