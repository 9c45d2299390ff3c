"""Words, lengths and meters on a terminal, cell by cell.

A terminal counts in cells: a Chinese character takes two, an accent none. Whatever comes from people goes through
`fitted`, so that no name can move anything else or speak to the terminal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from io import TextIOWrapper

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from heygemd.language import said
from heygemd.naming import printable

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
_LONG_CHARS = 4000
"""More of a text is never looked at."""
_TAIL_SHARE = 3
"""A name that is cut in the middle keeps one part in so many of its end."""
_KIB = 1024


def fitted(text: str, cells: int, *, right: bool = False, keep_end: bool = False) -> str:
    """Return `text` as one line of exactly `cells` cells; `keep_end` cuts a long one in its middle."""
    line = clipped(text, cells, keep_end=keep_end)
    gap = " " * max(0, cells - cell_len(line))
    return gap + line if right else line + gap


def clipped(text: str, cells: int, *, keep_end: bool = False) -> str:
    """Return `text` as one line of at most `cells` cells."""
    line = printable(text[:_LONG_CHARS])
    if cells <= 0:
        return ""
    if len(text) <= _LONG_CHARS and cell_len(line) <= cells:
        return line
    tail_cells = (cells - 1) // _TAIL_SHARE if keep_end else 0
    tail = _last_cells(printable(text[-_LONG_CHARS:]), tail_cells)
    return set_cell_size(line, cells - 1 - cell_len(tail)) + "…" + tail


def wrapped(text: str, cells: int, most_lines: int) -> list[str]:
    """Return `text` in lines of at most `cells` cells, broken at blanks where that is possible."""
    lines: list[str] = []
    rest = " ".join(printable(" ".join(text[:_LONG_CHARS].split())).split())
    while rest and len(lines) < most_lines - 1 and cell_len(rest) > cells:
        head = set_cell_size(rest, cells).rstrip()
        at = head.rfind(" ")
        if rest[len(head) : len(head) + 1] not in ("", " ") and at > len(head) // 2:
            head = head[:at]
        lines.append(head)
        rest = rest[len(head) :].lstrip()
    return [*lines, clipped(rest, cells)] if rest else lines


def length_words(seconds: float) -> str:
    """Say a length of time as people do: `45 s`, `12 min`, `3 h 05 min`, `4 d 3 h`."""
    whole = max(0, round(seconds))
    if whole < MINUTE_S:
        return said(f"{whole} s", f"{whole} 秒")
    if whole < HOUR_S:
        return said(f"{whole // MINUTE_S} min", f"{whole // MINUTE_S} 分钟")
    if whole < DAY_S:
        hours, minutes = divmod(whole // MINUTE_S, 60)
        return said(f"{hours} h {minutes:02} min", f"{hours} 小时 {minutes:02} 分")
    days, hours = divmod(whole // HOUR_S, 24)
    return said(f"{days} d {hours} h", f"{days} 天 {hours} 小时")


def stopwatch(seconds: float | None) -> str:
    """Say a length of time in a column: `0:45`, `12:03`, `3:05:00`, `4d03h`; `-` when unknown."""
    if seconds is None:
        return "-"
    whole = max(0, round(seconds))
    if whole >= DAY_S:
        return f"{whole // DAY_S}d{whole % DAY_S // HOUR_S:02}h"
    minutes, rest_s = divmod(whole, MINUTE_S)
    return f"{minutes // 60}:{minutes % 60:02}:{rest_s:02}" if minutes >= 60 else f"{minutes}:{rest_s:02}"  # noqa: PLR2004


def moment_words(moment: datetime | None, now: datetime, zone: tzinfo | None = None) -> str:
    """Say a time of the clock on the wall: `14:05`, with the day when it is not today's; `-` when unknown."""
    if moment is None:
        return "-"
    there, here = moment.astimezone(zone), now.astimezone(zone)
    if there.date() == here.date():
        return f"{there:%H:%M}"
    return f"{there:%m-%d %H:%M}" if there.year == here.year else f"{there:%Y-%m-%d}"


def bytes_words(size_bytes: float, *, short: bool = False) -> str:
    """Say a size: `12.1 GiB`, or `12.1G` in a column."""
    size, units = float(max(0, size_bytes)), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= _KIB and units[1:]:
        size, units = size / _KIB, units[1:]
    number = f"{size:.0f}" if units[0] in ("B", "KiB", "MiB") or size >= 100 else f"{size:.1f}"  # noqa: PLR2004
    return f"{number}{units[0][0]}" if short else f"{number} {units[0]}"


def forgive(console: Console) -> None:
    """Let a terminal or file whose encoding lacks a character get a `?` instead of ending the program."""
    if isinstance(console.file, TextIOWrapper):
        console.file.reconfigure(errors="replace")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a meter."""

    amount: float
    glyph: str
    style: str


def meter(parts: Sequence[Part], whole: float, cells: int, *, rest: str = " ") -> Text:
    """Draw amounts beside each other in `cells` cells; every part that is not zero is at least hinted at by one."""
    text = Text(no_wrap=True)
    used, drawn = 0.0, 0
    for part in parts:
        used += max(0.0, part.amount)
        end = round(min(1.0, used / whole) * cells) if whole > 0 else 0
        if part.amount > 0 and end <= drawn < cells:
            end = drawn + 1
        text.append(part.glyph * (end - drawn), style=part.style)
        drawn = max(drawn, end)
    return text.append(rest * (cells - drawn), style="dim")


def _last_cells(line: str, cells: int) -> str:
    """Return the longest end of `line` within `cells` cells that does not begin with an accent."""
    start, width = len(line), 0
    while start > 0 and width + cell_len(line[start - 1]) <= cells:
        start -= 1
        width += cell_len(line[start])
    while start < len(line) and cell_len(line[start]) == 0:
        start += 1
    return line[start:]
