"""Where state lies when nobody says, and the lock that keeps a second daemon out of it."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heygemd.errors import SetupError
from heygemd.jobs.roots import Root
from heygemd.settings import Settings


def state_home() -> Path:
    """`$XDG_STATE_HOME/heygemd`; the home directory may be missing in a container."""
    base = os.environ.get("XDG_STATE_HOME") or (Path(os.environ.get("HOME") or "/var/tmp") / ".local/state")
    return Path(base) / "heygemd"


def state_dir(settings: Settings, roots: tuple[Root, ...]) -> Path:
    """The daemon's state directory: the setting, else systemd's, else one per first root below the home directory.

    A root given by hand gets a state of its own, so two people who try the program never share a store.
    """
    if settings.state_dir is not None:
        return settings.state_dir
    if "STATE_DIRECTORY" in os.environ:
        return Path(os.environ["STATE_DIRECTORY"].split(":")[0])
    return state_home() / roots[0].uuid


def make_private(folder: Path) -> None:
    """Create a directory that only its owner can read; raises SetupError E401 when it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SetupError("E401", f"the directory {folder} cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SetupError("E401", f"the directory {folder} cannot be written")


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock on `file`; raises SetupError E404 that names the holder's host and pid."""
    with file.open("a+", encoding="utf-8") as handle:
        if not _acquired(handle.fileno()):
            handle.seek(0)
            holder = handle.read(200).strip() or "unknown"
            raise SetupError("E404", f"{file.parent} is in use by {holder}")
        handle.truncate(0)
        handle.write(f"host {socket.gethostname()} pid {os.getpid()}\n")
        handle.flush()
        yield


def _acquired(number: int) -> bool:
    """Try for a second: `heygemd status` holds the lock for a moment when it looks."""
    for pause_s in (0.1, 0.2, 0.3, 0.4, 0.0):
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause_s)
        else:
            return True
    return False


def holder_of(file: Path) -> str | None:
    """Who holds the lock, for `heygemd status`; None when nobody does."""
    try:
        with file.open("r+", encoding="utf-8") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return handle.read(200).strip() or "unknown"
    except OSError:
        return None
    return None
