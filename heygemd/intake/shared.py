"""Private copies of inputs that several jobs need: `.heygemd/shared/<sha256><suffix>`, one for each content.

A rename would take such a file away from the others, so it stays where people put it, and nobody can change the copy:

    tmp/<job id>-<role>.part   blocks shared with the source, or copied slice by slice while the source stays as seen
    ─▶ fsync ─▶ the copy is hashed, not the source ─▶ source as seen still, no writer
    ─▶ renamed to its name in shared/ unless a copy is there already ─▶ fsync of the folder

A part never outlives the claim it is for by more than one look; a copy goes when no job and no claim names it.
"""

import re
import stat
from collections.abc import Callable, Container
from contextlib import suppress
from pathlib import Path

import structlog

from heygemd.errors import InputError
from heygemd.intake import names
from heygemd.intake.disk import Disk
from heygemd.intake.inspection import Digest, is_as_seen, is_folder, look_at, open_as_seen
from heygemd.intake.settle import Sighting
from heygemd.intake.submission import Role
from heygemd.jobs.ids import is_job_id
from heygemd.jobs.roots import Root

log = structlog.get_logger(__name__)

SLICE_BYTES = 16 << 20
"""Copied before the clock is asked again."""

Content = tuple[int, int, int, int, str]
"""Inode, size, mtime_ns and ctime_ns of a source, and its suffix: as long as these are the same, so is the copy."""

_PART = re.compile(r"(?P<job_id>.+)-(video|audio)\.part", re.DOTALL)
_COPY = re.compile(r"(?P<sha256>[0-9a-f]{64})(\.[a-z0-9]{1,8})?", re.ASCII)


def suffix_of(name: str) -> str:
    """Return the suffix a copy of this file gets, with its dot; `` for a name without one."""
    return name[len(names.stem_of(name)) :].casefold()


def copy_file(root: Root, sha256: str, name: str) -> Path:
    """Return where the private copy of a file of this content and name lies."""
    return root.shared / f"{sha256}{suffix_of(name)}"


class PrivateCopy:
    """One copy in the making; `go_on` until it returns True, then `path` and `sha256` are set."""

    def __init__(
        self, source: Path, seen: Sighting, part: Path, *,
        root: Root, disk: Disk, known: dict[Content, str], is_local: bool,
    ) -> None:  # fmt: skip
        self._source, self._seen, self._part, self._root, self._disk = source, seen, part, root, disk
        self._known, self._is_local = known, is_local
        self._content = (seen.ino, seen.size_bytes, seen.mtime_ns, seen.ctime_ns, suffix_of(source.name))
        self._copied_bytes: int | None = None
        self._digest: Digest | None = None
        self.path = part
        self.sha256: str | None = None

    def go_on(self, is_late: Callable[[], bool]) -> bool:
        """Copy and hash on until all is done (True) or until `is_late()`, but at least one slice.

        A copy that was made of this very source before is used again. Raises InputError E111 when the source is not
        what was seen any more, OSError when the disk fails; both leave no part behind, and the next call starts anew.
        """
        if self.sha256 is not None or (self._copied_bytes is None and self._adopt()):
            return True
        try:
            if not self._copy(is_late):
                return False
            digest = self._digest_of_part()
            if not digest.go_on(is_late) or digest.sha256 is None:
                return False
            self._publish(digest.sha256)
        except (OSError, InputError):
            self._copied_bytes, self._digest = None, None
            with suppress(OSError):
                self._disk.remove(self._part)
            raise
        return True

    def _adopt(self) -> bool:
        sha256 = self._known.get(self._content)
        if sha256 is None:
            return False
        path = copy_file(self._root, sha256, self._source.name)
        if not _has_size(path, self._seen.size_bytes):
            return False
        self.path, self.sha256 = path, sha256
        return True

    def _copy(self, is_late: Callable[[], bool]) -> bool:
        size_bytes = self._seen.size_bytes
        if self._copied_bytes == size_bytes:
            return True
        with open_as_seen(self._source, self._seen) as number:
            if self._copied_bytes is None:
                self._disk.remove(self._part)
                self._disk.make_file(self._part)
                self._copied_bytes = size_bytes if self._disk.clone(number, self._part) else 0
            while self._copied_bytes < size_bytes:
                start = self._copied_bytes
                count = self._disk.copy_slice(number, self._part, start, min(SLICE_BYTES, size_bytes - start))
                if not count:
                    raise InputError("E111", f"{self._source.name} is shorter than its size")
                self._copied_bytes += count
                if is_late():
                    break
        return self._copied_bytes == size_bytes and not is_late()

    def _digest_of_part(self) -> Digest:
        if self._digest is None:
            self._disk.sync_file(self._part)
            self._digest = Digest(self._part, look_at(self._part, at_s=0.0, is_local=False))
        return self._digest

    def _publish(self, sha256: str) -> None:
        if not is_as_seen(self._source, self._seen, is_local=self._is_local):
            raise InputError("E111", f"{self._source.name} changed while it was copied")
        target = copy_file(self._root, sha256, self._source.name)
        try:
            self._disk.move(self._part, target)
        except FileExistsError:
            if _has_size(target, self._seen.size_bytes):
                self._disk.remove(self._part)
            else:
                self._disk.replace(self._part, target)
        self._disk.sync_folder(self._root.shared)
        self.path, self.sha256 = target, sha256
        self._known[self._content] = sha256
        log.info("intake.copy_made", root=self._root.uuid, source=self._source.name, sha256=sha256)


class SharedCopies:
    """All private copies of one root, and what this process remembers of their sources."""

    def __init__(self, root: Root, disk: Disk) -> None:
        self._root, self._disk = root, disk
        self._tmp = root.private / "tmp"
        self._known: dict[Content, str] = {}

    def prepare(self, open_ids: Container[str]) -> None:
        """Make the folders, and remove the parts of claims that nobody works on."""
        for folder in (self._root.shared, self._tmp):
            folder.mkdir(exist_ok=True, mode=0o700)
        for path in list(self._tmp.iterdir()):
            part = _PART.fullmatch(path.name)
            if part is not None and is_job_id(part["job_id"]) and part["job_id"] not in open_ids:
                self._disk.remove(path)

    def begin(self, source: Path, seen: Sighting, job_id: str, role: Role, *, is_local: bool) -> PrivateCopy:
        """Begin the copy that a job needs of a file as it was seen."""
        part = self._tmp / f"{job_id}-{role}.part"
        return PrivateCopy(source, seen, part, root=self._root, disk=self._disk, known=self._known, is_local=is_local)

    def sweep(self, in_use: Container[str], recorded: Container[str]) -> int:
        """Remove the copies whose name is not in use and whose sha256 is not recorded; returns how many.

        Names that are not ours, and whatever is no file, are left alone.
        """
        count = 0
        for path in list(self._root.shared.iterdir()) if self._root.shared.is_dir() else ():
            copy = _COPY.fullmatch(path.name)
            if copy is None or path.name in in_use or copy["sha256"] in recorded or is_folder(path):
                continue
            self._disk.remove(path)
            count += 1
        if count:
            self._disk.sync_folder(self._root.shared)
            log.info("intake.copies_swept", root=self._root.uuid, count=count)
        return count


def _has_size(path: Path, size_bytes: int) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == size_bytes
