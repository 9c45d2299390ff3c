"""Is there room for one more job? Asked before a claim, because afterwards the files are ours to look after."""

import os
from pathlib import Path

MIB = 1 << 20


class Reserve:
    """Free space that no claim may use up, on the share and where work is done."""

    def __init__(self, share: Path, state_dir: Path | None, reserve_bytes: int) -> None:
        self._places = [place for place in (share, state_dir) if place is not None]
        self._reserve_bytes = reserve_bytes

    def shortage(self, size_bytes: int) -> str | None:
        """Return why a job with inputs of `size_bytes` must wait; its film and work files may be as large as they."""
        for place in self._places:
            found = os.statvfs(place)
            free_bytes = found.f_bavail * found.f_frsize
            if free_bytes < self._reserve_bytes + size_bytes:
                return (
                    f"{place} has {free_bytes // MIB} MiB free; {size_bytes // MIB} MiB are needed "
                    f"beside the reserve of {self._reserve_bytes // MIB} MiB"
                )
        return None
