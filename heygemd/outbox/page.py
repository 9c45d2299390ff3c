"""`status/index.html`: one file that anybody can open from the share, made of what `status.json` says.

It may fetch nothing but pictures of the outbox: a page opened as `file://` has no right to read other files, so words,
style, script and data are inside. The parts lie in `page_files/` as they are; here they are only put together:

    page.html  the skeleton        page.css   the style
    words.js   all words, twice    page.js    draws the data, and looks again every few seconds

Names come from strangers. Data is inlined as JSON in which no character can end the script element; the script shows
it as text, never as HTML; links are made here, always below the root. A Content-Security-Policy allows our script and
our style by their hashes: unlike a nonce, which would stand in a file that anybody can read, a hash cannot be reused,
and unlike `'self'` it means the same in Chromium and Firefox on `file://`, where every file is an origin of its own.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from heygemd.naming import printable

REWRITE_S = 18.0
"""The page is written anew after this time though it says nothing new: its age tells that the daemon lives. A little
less than the 20 s after which an idle daemon writes its status, so that none of those is left out."""
MARK_BYTES = 256
"""The mark lies within the first bytes of the page."""

_MARK = re.compile(rb"<!--heygemd ([0-9a-f]{64}) ([0-9TZ:.+-]+)-->")
_SLOT = re.compile(r"\{\{(\w+)\}\}")
_INDENTATION = re.compile(r"\n\s+")
_LINKS = ("film", "sheet", "reason_file", "report")
"""Fields that name a file below the root."""
_SENTENCES = frozenset({"reason", "error_message", "waits_for", "message"})
"""Fields that may hold several lines."""
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_STATES_ZH = {"online": "在线", "offline": "离线", "paused": "已暂停"}


@dataclass(frozen=True, slots=True)
class _Files:
    """The parts of the page, and what depends on them alone."""

    skeleton: str
    style: str
    script: str
    style_hash: str
    script_hash: str
    build: str
    """Changes with any of them: an open page of an older build loads itself again."""


def page_of(told: Mapping[str, Any]) -> str:
    """Return the page for what `status.json` says (its parsed JSON)."""
    files = _files()
    slots = {
        "mark": f"{_fingerprint(told)} {told['written_at']}",
        "script_hash": files.script_hash,
        "style_hash": files.style_hash,
        "style": files.style,
        "script": files.script,
        "data": _inlined(_shown(told) | {"build": files.build}),
        "summary": _summary(told),
    }
    return _SLOT.sub(lambda slot: slots[slot[1]], files.skeleton)


def is_due(told: Mapping[str, Any], beginning: bytes) -> bool:
    """Tell whether the page must be written anew, from the first bytes of the one that lies there."""
    found = _MARK.search(beginning)
    if found is None or found[1].decode() != _fingerprint(told):
        return True
    try:
        age = datetime.fromisoformat(told["written_at"]) - datetime.fromisoformat(found[2].decode())
    except (ValueError, TypeError):
        return True
    return not 0 <= age.total_seconds() < REWRITE_S


def href_of(path: str) -> str:
    """Return the link from `status/` to a path below the root; its first character is never the reader's to choose."""
    return "../" + quote(path, safe="/", errors="surrogateescape")


def _fingerprint(told: Mapping[str, Any]) -> str:
    """Hash everything the page shows but the time it was written."""
    rest = {name: value for name, value in told.items() if name != "written_at"}
    return hashlib.sha256((_files().build + json.dumps(rest)).encode()).hexdigest()


def _shown(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values the page needs: links added, nulls left out, names printable."""
    return {
        name: _clean([_linked(entry) for entry in value] if isinstance(value, list) else value)
        for name, value in told.items()
    }


def _linked(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, **{f"{name}_href": href_of(entry[name]) for name in _LINKS if entry.get(name)}}


def _clean(value: Any, name: str = "") -> Any:  # noqa: ANN401  # JSON
    if isinstance(value, str):
        return printable(" ".join(value.split()) if name in _SENTENCES else value)
    if isinstance(value, Mapping):
        return {key: _clean(inner, key) for key, inner in value.items() if inner not in (None, "")}
    return [_clean(inner, name) for inner in value] if isinstance(value, list) else value


def _inlined(value: object) -> str:
    """Write JSON in which nothing can end a script element, or a line of one."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda found: _ESCAPES[found[0]], text)


def _summary(told: Mapping[str, Any]) -> str:
    """Write what readers without JavaScript see: state, counts, time."""
    root, counts = told["root"], told["counts"]
    reason = f" — {root['reason']}" if root.get("reason") else ""
    lines = (
        f"{PurePosixPath(root['path']).name or root['path']}: {root['state']} / {_STATES_ZH[root['state']]}{reason}",
        f"Finished / 已完成: {counts['done']}",
        f"In work / 制作中: {counts['running']}",
        f"Waiting / 排队: {counts['queued']}",
        f"Failed / 失败: {counts['failed']}",
        f"Written / 更新时间: {told['written_at']}",
    )
    return "\n".join(f"<p>{html.escape(printable(line))}</p>" for line in lines)


@cache
def _files() -> _Files:
    folder = resources.files("heygemd.outbox").joinpath("page_files")
    skeleton, style, words, drawing = (
        _INDENTATION.sub("\n", folder.joinpath(name).read_text(encoding="utf-8"))
        for name in ("page.html", "page.css", "words.js", "page.js")
    )
    script = words + drawing
    build = hashlib.sha256("\0".join((skeleton, style, script)).encode()).hexdigest()[:12]
    return _Files(skeleton, style, script, _csp_hash(style), _csp_hash(script), build)


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
