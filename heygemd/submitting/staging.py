"""Steps with which an order comes into a folder of the inbox: hidden first, then each file under its name.

Every step can be undone, and is, unless all of them succeed.
"""

import errno
import hashlib
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from heygemd.errors import InputError, ResourceError
from heygemd.filesystem import rename_no_replace
from heygemd.naming import printable
from heygemd.outbox import disk as disks
from heygemd.submitting.inputs import InputLook, face_of

STAGE_PREFIX = ".heygemd-submit-"
READY_SUFFIX = ".ready"
_COPY_BYTES = 4 << 20
_FILE_MODE = 0o644
_NO_LINK = frozenset({errno.EPERM, errno.EACCES, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS})
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def copy(look: InputLook, stage: int, name: str, *, like_fd: int, on_copy: Callable[[int], None]) -> str:
    """Copy one file durably into the hidden folder; returns its sha256. Raises InputError E111 when it changes."""
    digest = hashlib.sha256()
    source = os.open(look.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        target = disks.DISK.create(name, stage)
        try:
            left_bytes = look.size_bytes  # one that somebody writes to may have no end
            while left_bytes and (data := os.read(source, min(_COPY_BYTES, left_bytes))):
                digest.update(data)
                left_bytes -= disks.DISK.write(target, data)
                on_copy(len(data))
            if face_of(os.fstat(source)) != look.face:
                raise InputError("E111", f"{printable(str(look.path))} changed while it was copied")
            disks.DISK.sync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)
    own(stage, name, like_fd)
    return digest.hexdigest()


def link(look: InputLook, stage: int, name: str) -> bool:
    """Give the file a second name in the hidden folder; False where that cannot be."""
    try:
        os.link(look.path, name, dst_dir_fd=stage)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        return False
    return True


def own(folder_fd: int, name: str, like_fd: int) -> None:
    """Let the daemon read a file; root gives it to the owner of the folder, so that leases on it can be had."""
    try:
        number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    except OSError:
        return  # the daemon has taken it already, or somebody has put a link in its place
    try:
        _own(number, os.fstat(like_fd), _FILE_MODE)
    finally:
        os.close(number)


def _own(number: int, like: os.stat_result, mode: int) -> None:
    with suppress(PermissionError):
        os.fchown(number, like.st_uid if os.geteuid() == 0 else -1, like.st_gid)
    with suppress(PermissionError):
        os.fchmod(number, mode)


def commit(
    fd: int, stage: int, manifest: str, *, staged: Sequence[str], moves: Mapping[str, Path], needs_commit: bool
) -> None:
    """Let everything appear under its name, the manifest first; undone again when one of them cannot."""
    undo: list[Callable[[], None]] = []
    try:
        rename_no_replace(manifest, manifest, from_fd=stage, to_fd=fd)
        undo.append(lambda: disks.DISK.unlink(manifest, fd))
        if needs_commit:
            disks.write_new(disks.DISK, fd, manifest + READY_SUFFIX, b"")
            undo.append(lambda: disks.DISK.unlink(manifest + READY_SUFFIX, fd))
        for name in staged:
            rename_no_replace(name, name, from_fd=stage, to_fd=fd)
            undo.append(lambda name=name: rename_no_replace(name, name, from_fd=fd, to_fd=stage))  # type: ignore[misc]
        for name, path in moves.items():
            rename_no_replace(path, name, to_fd=fd)
            undo.append(lambda name=name, path=path: rename_no_replace(name, path, from_fd=fd))  # type: ignore[misc]
    except OSError:
        for step in reversed(undo):
            with suppress(OSError):
                step()
        raise
    for name in moves:
        own(fd, name, fd)
    disks.DISK.sync(fd)


@contextmanager
def hidden_folder(fd: int) -> Iterator[int]:
    """Make a hidden folder beside the files to be, and remove it with what is left in it."""
    name = STAGE_PREFIX + secrets.token_hex(5)
    os.mkdir(name, 0o700, dir_fd=fd)
    try:
        stage = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            yield stage
        finally:
            with undisturbed():
                for left in disks.names_in(stage):
                    disks.DISK.unlink(left, stage)
            os.close(stage)
    finally:
        with undisturbed():
            disks.DISK.remove_folder(name, fd)


@contextmanager
def folders_made(inbox: Path, parts: Sequence[str]) -> Iterator[None]:
    """Make the folder of the manifest if need be, owned as the one above it; what was made goes when this fails."""
    made: list[Path] = []
    place = inbox
    try:
        for part in parts:
            above, place = place, place / part
            if place.is_symlink():
                raise ResourceError("E202", f"{printable(str(place))} is a link, which the daemon does not follow")
            if not place.is_dir():
                place.mkdir()
                made.append(place)
                number = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    like = above.stat()
                    _own(number, like, like.st_mode & 0o7777)
                finally:
                    os.close(number)
        yield
    except BaseException:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep Ctrl-C and its like away from what must be done whole: they come too late."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
