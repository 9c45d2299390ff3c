"""What is mounted where, and what should be: the kernel's table against /etc/fstab."""

import re
from dataclasses import dataclass
from pathlib import Path

from heygemd.doctor.surroundings import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of either table."""

    point: Path
    kind: str
    """`ext4`, `cifs`."""
    source: str
    options: tuple[str, ...] = ()


def mounted(around: Surroundings) -> tuple[Mount, ...]:
    """Return what is mounted, in order: later lines cover earlier ones (proc_pid_mountinfo(5))."""
    found = []
    for line in around.text(around.proc / "self" / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        match before.split(), after.split():
            case [_, _, _, _, point, options, *_], [kind, source, *_]:
                found.append(
                    Mount(
                        point=Path(_plain(point)), kind=kind, source=_plain(source), options=tuple(options.split(","))
                    )
                )
    return tuple(found)


def expected(around: Surroundings) -> tuple[Mount, ...]:
    """Return what /etc/fstab names."""
    found = []
    for line in around.text(around.etc / "fstab").splitlines():
        match line.split():
            case [source, point, kind, options, *_] if not source.startswith("#"):
                found.append(
                    Mount(
                        point=Path(_plain(point)), kind=kind, source=_plain(source), options=tuple(options.split(","))
                    )
                )
    return tuple(found)


def mount_of(path: Path, table: tuple[Mount, ...]) -> Mount | None:
    """Return the mount that `path` lies on, by its name alone; nothing is touched."""
    fitting = [mount for mount in table if path.is_relative_to(mount.point)]
    longest = max((len(mount.point.parts) for mount in fitting), default=0)
    return next((mount for mount in reversed(fitting) if len(mount.point.parts) == longest), None)


def missing_mount(path: Path, around: Surroundings) -> Mount | None:
    """Return the line of fstab for `path` or a folder above it that is not mounted; None when all is as it says."""
    wanted = [mount for mount in expected(around) if path.is_relative_to(mount.point) and mount.point != Path("/")]
    points = {mount.point for mount in mounted(around) if mount.kind != "autofs"}
    return next((mount for mount in wanted if mount.kind not in ("swap", "none") and mount.point not in points), None)


def _plain(word: str) -> str:
    """Undo the octal escapes of both tables."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)
