"""One look through an inbox: what lies there, without following, opening or waiting for anything."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from heygemd.intake import names

MAX_DEPTH = 32
"""Folders below this are not entered (a bind mount can make a loop)."""

Place = tuple[str, str]
"""Folder below the inbox (`` for the top, `/` between parts) and file name."""


@dataclass(slots=True)
class Scan:
    """What one look found."""

    files: dict[Place, os.stat_result] = field(default_factory=dict)
    """Regular picture and sound files."""
    refused: list[Place] = field(default_factory=list)
    """Names that cannot be used, in a form that can be shown."""
    unreadable: list[Place] = field(default_factory=list)
    """Folders that may not be entered."""


def scan(inbox: Path, device: int) -> Scan:
    """Look at every folder on `device`; raises OSError only for the inbox itself or a share that fails."""
    found = Scan()
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(inbox / folder) as entries:
                for entry in entries:
                    if names.is_ignored(entry.name):
                        continue
                    if not entry.is_dir(follow_symlinks=False):
                        _note_file(found, folder, entry)
                    elif _may_enter(found, folder, entry, device):
                        folders.append(f"{folder}/{entry.name}" if folder else entry.name)
        except (FileNotFoundError, NotADirectoryError):
            if not folder:
                raise
            # Somebody removed it between two steps: it is simply not there.
        except PermissionError:
            if not folder:
                raise
            parent, _, name = folder.rpartition("/")
            found.unreadable.append((parent, name))
    return found


def _may_enter(found: Scan, folder: str, entry: os.DirEntry[str], device: int) -> bool:
    if names.is_refused(entry.name):
        found.refused.append((folder, names.shown(entry.name)))
        return False
    if folder.count("/") >= MAX_DEPTH or entry.stat(follow_symlinks=False).st_dev != device:
        found.unreadable.append((folder, entry.name))
        return False
    return True


def _note_file(found: Scan, folder: str, entry: os.DirEntry[str]) -> None:
    if names.kind_of(entry.name) is None or not entry.is_file(follow_symlinks=False):
        return
    if names.is_refused(entry.name) or names.is_blank(entry.name):
        found.refused.append((folder, names.shown(entry.name)))
        return
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISREG(status.st_mode):
        found.files[folder, entry.name] = status
