"""One look through an inbox: what lies there, without following, opening or waiting for any file.

Folders are opened one below the other, each through the descriptor of its parent, so that no folder that turns into
a symlink between two steps leads out of the inbox.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from heygemd.intake import names
from heygemd.intake.filesystems import handle_of

MAX_DEPTH = 32
"""Folders below this are not entered (a bind mount can make a loop)."""

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CONFIG, _TICKET = ".heygemd.toml", "error.json"
_EXTRAS = frozenset({"job.toml", "CONFIG-ERROR.txt"})
_MARKER = ".ready"

Place = tuple[str, str]
"""Folder below the inbox (`` for the top, `/` between parts) and file name."""
_Key = TypeVar("_Key")


@dataclass(slots=True)
class Scan:
    """What one look found. Everything in it is a regular file, but `folders`, `refused` and `unreadable`."""

    files: dict[Place, os.stat_result] = field(default_factory=dict)
    """Picture and sound files."""
    manifests: dict[Place, os.stat_result] = field(default_factory=dict)
    """`*.heygem.{json,yaml,yml,csv,jsonl}`."""
    configs: dict[str, os.stat_result] = field(default_factory=dict)
    """Folder → its `.heygemd.toml`."""
    markers: dict[Place, os.stat_result] = field(default_factory=dict)
    """`*.ready`."""
    tickets: set[str] = field(default_factory=set)
    """Folders that hold an `error.json`."""
    folders: set[str] = field(default_factory=set)
    """Folders that were entered, `` among them."""
    extras: dict[Place, os.stat_result] = field(default_factory=dict)
    """`job.toml` and `CONFIG-ERROR.txt`."""
    hidden: set[int] = field(default_factory=set)
    """Inode numbers of files with an ignored name: a copy under way, perhaps."""
    handles: dict[int, bytes] = field(default_factory=dict)
    """What tells these from all files that ever get the same number, where the file system has it."""
    refused: list[Place] = field(default_factory=list)
    """Names that cannot be used, in a form that can be shown."""
    unreadable: list[Place] = field(default_factory=list)
    """Folders that may not be entered."""


def scan(inbox: Path, device: int) -> Scan:
    """Look at every folder on `device`; raises OSError only for the inbox itself or a share that fails."""
    found = Scan()
    number = os.open(inbox, _FOLDER_FLAGS)
    try:
        _look_into(found, "", number, device)
    finally:
        os.close(number)
    return found


def _look_into(found: Scan, folder: str, number: int, device: int) -> None:
    found.folders.add(folder)
    below: list[str] = []
    with os.scandir(number) as entries:
        for entry in entries:
            name = entry.name
            if names.is_ignored(name):
                _note_ignored(found, folder, number, entry)
            elif not entry.is_dir(follow_symlinks=False):
                _note_file(found, folder, entry)
            elif names.is_refused(name):
                found.refused.append((folder, names.shown(name)))
            else:
                below.append(name)
    for name in below:
        _enter(found, folder, name, number, device)


def _enter(found: Scan, folder: str, name: str, parent: int, device: int) -> None:
    if folder.count("/") >= MAX_DEPTH:
        found.unreadable.append((folder, name))
        return
    try:
        number = os.open(name, _FOLDER_FLAGS, dir_fd=parent)
    except (FileNotFoundError, NotADirectoryError):
        return  # somebody removed or exchanged it between two steps: it is simply not there
    except PermissionError:
        found.unreadable.append((folder, name))
        return
    try:
        if os.fstat(number).st_dev == device:
            _look_into(found, f"{folder}/{name}" if folder else name, number, device)
        else:
            found.unreadable.append((folder, name))
    finally:
        os.close(number)


def _note_file(found: Scan, folder: str, entry: os.DirEntry[str]) -> None:
    name = entry.name
    if names.kind_of(name) is not None:
        _note_named(found, found.files, folder, entry)
    elif names.is_manifest(name):
        _note_named(found, found.manifests, folder, entry)
    elif name == _TICKET:
        if entry.is_file(follow_symlinks=False):
            found.tickets.add(folder)
    elif name in _EXTRAS:
        _note_status(found.extras, (folder, name), entry)
    elif name[-len(_MARKER) :].lower() == _MARKER and not names.is_refused(name):
        _note_status(found.markers, (folder, name), entry)


def _note_named(found: Scan, files: dict[Place, os.stat_result], folder: str, entry: os.DirEntry[str]) -> None:
    if not (names.is_refused(entry.name) or names.is_blank(entry.name)):
        _note_status(files, (folder, entry.name), entry)
    elif entry.is_file(follow_symlinks=False):
        found.refused.append((folder, names.shown(entry.name)))


def _note_ignored(found: Scan, folder: str, number: int, entry: os.DirEntry[str]) -> None:
    if not entry.is_file(follow_symlinks=False):
        return
    if entry.name == _CONFIG:
        _note_status(found.configs, folder, entry)
        return
    found.hidden.add(entry.inode())
    if (handle := handle_of(entry.name, number)) is not None:
        found.handles[entry.inode()] = handle


def _note_status(into: dict[_Key, os.stat_result], key: _Key, entry: os.DirEntry[str]) -> None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISREG(status.st_mode):
        into[key] = status
