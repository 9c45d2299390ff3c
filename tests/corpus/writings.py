"""Reads all that a daemon has written, with suspicion: logs, JSON, tables, texts, the page, and what commands print.

Whatever a stranger writes may get there only in forms that can do nothing.
"""

import csv
import io
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from typing_extensions import override

FORMULA_SIGNS = tuple("=+-@\t\r＝＋－＠")
COMMANDS = (("jobs", "--limit", "1000"), ("status",), ("logs", "--lines", "200"))
OWN_SCRIPTS = 2
"""Elements of the page: its data and its program."""
HANDLERS = re.compile(r"on[a-z]+", re.IGNORECASE)


def files_below(folder: Path) -> Iterator[tuple[str, str, int]]:
    """Yield folder, name and the folder's descriptor of everything that is no folder; goes deeper than any path can."""
    if folder.is_dir():
        for place, _, names, number in os.fwalk(folder):
            for name in names:
                yield place, name, number


def read_at(number: int, name: str) -> bytes:
    """Read a file of a folder that no path may reach."""
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=number), "rb") as file:
        return file.read()


def unshowable(text: str) -> str | None:
    """Return the first character that may break a line, steer a terminal or turn a text round."""
    for char in text:
        if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or "\u202a" <= char <= "\u202e":
            return char
    return None


def broken_logs(folder: Path) -> list[str]:
    """Return log and event lines that are no single JSON object of showable text."""
    found = []
    files = (folder / "daemon.log", folder / "debug.log", folder / "state" / "events.jsonl")
    for file in files:
        for line in file.read_bytes().split(b"\n")[:-1]:
            try:
                text = line.decode()
                told = json.loads(text)
            except ValueError as error:
                found.append(f"{file.name}: {error}: {line[:200]!r}")
                continue
            char = unshowable(text)
            if not isinstance(told, dict) or char is not None:
                found.append(f"{file.name}: {char!r} in {line[:200]!r}")
    return found


def broken_texts(root: Path) -> list[str]:
    """Return reports, tables and reasons that programs or people could not read, or should not."""
    found = []
    for place in ("outbox", "failed", "status", "processing"):
        for folder, name, number in files_below(root / place):
            judge = _judge_of(name)
            wrong = judge(read_at(number, name)) if judge else None
            if wrong:
                found.append(f"{folder[-80:]}/{name}: {wrong}")
    return found


def _judge_of(name: str) -> Callable[[bytes], str | None] | None:
    if name.endswith(".report.csv"):
        return wrong_table
    if name.endswith((".mp4.json", ".report.json", "error.json")) or name == "status.json":
        return wrong_json
    return wrong_reason if name in ("STATUS.txt", "REASON.txt", "CONFIG-ERROR.txt") else None


def wrong_json(data: bytes) -> str | None:
    """Say why this is no JSON that everybody can read."""
    try:
        json.loads(data.decode(), parse_constant=_refuse_constant)
    except ValueError as error:
        return str(error)
    return None


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def wrong_table(data: bytes) -> str | None:
    """Say which cell a spreadsheet could take for a formula, or why this is no table."""
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    if len({len(row) for row in rows}) != 1:
        return "rows of different lengths"
    for row in rows:
        for cell in row:
            parts = re.split("[;\t\r\n]", cell)
            if any(part.lstrip().startswith(FORMULA_SIGNS) for part in parts) and not re.fullmatch(r"-?\d+", cell):
                return f"a formula: {cell[:60]}"
            if unshowable(cell):
                return f"{unshowable(cell)!r} in {cell[:60]!r}"
    return None


def wrong_reason(data: bytes) -> str | None:
    """Say why a text for people is none."""
    text = data.decode("utf-8-sig")
    char = unshowable(text.replace("\r\n", ""))
    return f"{char!r}" if char else None


class _Page(HTMLParser):
    """Counts what can do something."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self._is_in_script = False
        self.handlers: list[str] = []
        self.others: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_in_script = tag == "script"
        if self._is_in_script:
            self.scripts.append("")
        self.handlers += [name for name, _ in attrs if HANDLERS.fullmatch(name)]
        if tag in ("iframe", "object", "embed", "base", "svg", "img", "form"):
            self.others.append(tag)

    @override
    def handle_endtag(self, tag: str) -> None:
        self._is_in_script = False

    @override
    def handle_data(self, data: str) -> None:
        if self._is_in_script:
            self.scripts[-1] += data


def broken_page(root: Path) -> list[str]:
    """Say what a name has become in the page, if it became anything but text."""
    text = (root / "status" / "index.html").read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    found = []
    if len(page.scripts) != OWN_SCRIPTS or page.handlers or page.others:
        found.append(f"index.html: {len(page.scripts)} scripts, {page.handlers} {page.others}")
    if set("<>&") & set(page.scripts[0]) or wrong_json(page.scripts[0].encode()):
        found.append("index.html: its data could end its element")
    if char := unshowable(text.replace("\n", "")):
        found.append(f"index.html: {char!r}")
    return found


def broken_commands(config: Path) -> list[str]:
    """Ask the commands that people use, and say what they print that a terminal should not get."""
    found = []
    for words in COMMANDS:
        argv = [sys.executable, "-m", "heygemd", *words, "--config", str(config)]
        ended = subprocess.run(argv, capture_output=True, check=False, timeout=60)
        char = unshowable(ended.stdout.decode().replace("\n", ""))
        if char is not None:
            found.append(f"heygemd {words[0]}: prints {char!r}")
        if ended.returncode not in (0, 1) or b"Traceback" in ended.stderr:
            found.append(f"heygemd {words[0]}: {ended.returncode} {ended.stderr.decode()[-300:]}")
    return found
