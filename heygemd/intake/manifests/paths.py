"""Which paths a manifest may name: down from its own folder, with `/`, and nothing that a look would ignore. Pure."""

import re

from heygemd.intake import names
from heygemd.intake.manifests.tree import FlawError
from heygemd.intake.manifests.values import shown
from heygemd.intake.names import Kind
from heygemd.naming import NAME_MAX_BYTES

MAX_PATH_BYTES = 4000
"""Linux takes 4,096 with everything above it."""
_DRIVE = re.compile(r"[A-Za-z]:")
_PROBLEMS_OF_PARTS = {
    "..": "it leads out of the manifest's folder",
    ".": "leave out ./",
    "": "a name before or after a / is missing",
}
_KINDS = {"video": (Kind.VIDEO, Kind.STILL), "audio": (Kind.AUDIO,)}


def is_pattern(path: str) -> bool:
    """Tell whether the path may stand for several files; with brackets it can also be the name of one."""
    return any(is_wild(part) for part in path.split("/"))


def is_wild(part: str) -> bool:
    """Tell whether one part of a path has wild cards."""
    return "*" in part or "?" in part or 0 <= part.find("[") < part.rfind("]")


def is_surely_pattern(path: str) -> bool:
    """Tell whether the path cannot be the name of a file that came through a share."""
    return "*" in path or "?" in path


def check_path(path: str, name: str, at: int | None) -> None:
    """Raise FlawError E126 unless the path can be used; a pattern may have wild cards in any part."""
    problem = _problem(path)
    if problem is None:
        for part in path.split("/"):
            problem = _problem_of_part(part)
            if problem is not None:
                break
    if problem is not None:
        raise FlawError("E126", f"{name} {shown(path)}: {problem}", at)


def check_member(path: str, role: str, at: int | None) -> None:
    """Raise FlawError unless the path can be used (E126) for a file of this role (E101, E124).

    `role` is `video` (moving or still) or `audio`. Of a pattern the suffix is looked at when it is matched.
    """
    check_path(path, role, at)
    if is_pattern(path):
        return
    file = path.rsplit("/", 1)[-1]
    if names.is_blank(file):
        raise FlawError("E126", f"{role} {shown(path)}: nothing but blanks and dots stands before the suffix", at)
    kind = names.kind_of(file)
    if kind is None:
        raise FlawError("E101", f"{role} {shown(path)}: the suffix is that of neither a picture nor a sound", at)
    if not fits_role(path, role):
        other = "a sound" if kind is Kind.AUDIO else "a picture"
        raise FlawError("E124", f"{role} {shown(path)} is {other}", at)


def fits_role(path: str, role: str) -> bool:
    """Tell whether the suffix is one of the role."""
    return names.kind_of(path.rsplit("/", 1)[-1]) in _KINDS[role]


def _problem(path: str) -> str | None:
    if "\\" in path:
        return f"write / between folders, not \\ ({shown(path.replace(chr(92), '/'))})"
    if path.startswith("/") or _DRIVE.match(path):
        return "paths are relative to the manifest, without a drive or a / in front"
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    return None


def _problem_of_part(part: str) -> str | None:
    if part in _PROBLEMS_OF_PARTS:
        return _PROBLEMS_OF_PARTS[part]
    if names.is_refused(part):
        return "it holds control characters"
    if len(part.encode()) > NAME_MAX_BYTES:
        return f"a part is longer than {NAME_MAX_BYTES} bytes"
    if names.is_ignored(part):
        return f"{shown(part)} is ignored (a hidden name, or a copy under way)"
    return None
