"""The memory that a process and all its descendants hold at a moment."""

import os
from contextlib import suppress
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGESIZE")


def family_of(pid: int) -> list[int]:
    """A process and all that it and they have started and that still lives."""
    found = [pid]
    for member in found:
        with suppress(OSError):
            for task in Path(f"/proc/{member}/task").iterdir():
                children = (task / "children").read_text()
                found += [int(word) for word in children.split()]
    return found


def footprint_bytes(pid: int) -> int:
    """Resident memory of the family; what several of them share counts once for each."""
    return sum(map(_resident_bytes, family_of(pid)))


def _resident_bytes(pid: int) -> int:
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    return 0
