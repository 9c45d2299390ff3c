"""How commands write for people: tables that fit a terminal and stay whole in a pipe, times and sizes in words.

In a pipe nothing is cut or wrapped, because a script may read it; on a terminal long texts are folded, ids never.
Whatever people or files may have named is made printable, and never read as markup.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from heygemd.language import said
from heygemd.naming import printable
from heygemd.terminal import forgive

PIPE_COLUMNS = 1_000_000
STATE_STYLES = {
    "running": "bold cyan", "queued": "yellow", "done": "green", "failed": "bold red", "cancelled": "dim",
    "refused": "bold red", "waiting": "yellow",
}  # fmt: skip
_STATES_ZH = {
    "running": "进行中", "queued": "排队", "done": "完成", "failed": "失败", "cancelled": "已取消",
    "refused": "不可用", "waiting": "等待",
}  # fmt: skip
_MINUTE_S, _HOUR_S = 60, 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    title: str
    is_whole: bool = False
    """Its texts are never folded: ids, states, times."""
    is_number: bool = False


def wide(console: Console) -> Console:
    """Return the console, or for a pipe one on the same file in which every line has room."""
    forgive(console)
    if console.is_terminal:
        return console
    return Console(file=console.file, width=PIPE_COLUMNS, no_color=True, highlight=False)


def print_table(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[Text | str]]) -> None:
    """Print rows below their titles; plain strings are taken as they are."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in columns:
        table.add_column(
            column.title, no_wrap=column.is_whole, overflow="fold", justify="right" if column.is_number else "left"
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row))
    target = wide(console)
    if console.is_terminal:
        target.print(table)
        return
    # Blanks that only fill up the last column say nothing in a pipe.
    with target.capture() as captured:
        target.print(table, crop=False)
    console.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def state_text(state: str) -> Text:
    """Return a state in its colour, in the person's language."""
    return Text(said(state, _STATES_ZH.get(state, state)), style=STATE_STYLES.get(state, ""))


def local_time(moment: str | None) -> str:
    """Return a time of JSON as people at this machine read it; nothing for none."""
    if not moment:
        return ""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}"


def duration(seconds: float | None) -> str:
    """Return a length of time as `0.4 s`, `12 s`, `3:05 min` or `2:05:00 h`; nothing for none."""
    if seconds is None:
        return ""
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    if minutes < _MINUTE_S:
        return f"{minutes}:{rest:02d} min"
    hours, minutes = divmod(minutes, _MINUTE_S)
    return f"{hours}:{minutes:02d}:{rest:02d} h"


def told_error(code: str | None, message: str | None) -> str:
    """Return code and message on one line."""
    return printable(" ".join(f"{code or ''} {message or ''}".split()))
