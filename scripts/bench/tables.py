"""Figures as tables: on a terminal, or as Markdown for a page."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

NOTHING = "–"
FIGURE = re.compile(r"[\d.,≈×% –-]*")
FILE_COLUMNS = 140
"""Of a terminal's lines when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One table: cells are shown as they are."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    note: str = ""


def as_markdown(sheets: Sequence[Sheet]) -> str:
    """The tables one below the other; words to the left, figures to the right."""
    return "\n".join(_markdown(sheet) for sheet in sheets)


def put_into(page: str, name: str, tables: str) -> str:
    """Return a page with the tables between `<!-- name -->` and `<!-- /name -->`; raises ValueError without these."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no {begin.strip()} and {end}")
    return f"{head}{begin}\n{tables.strip()}\n\n{end}{tail}"


def machine_line(facts: Mapping[str, Any]) -> str:
    """One sentence about what figures were measured on."""
    cards = "".join(f", {card['name']}" for card in facts["gpus"])
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB{cards}; "
        f"ffmpeg {facts['ffmpeg']}, {packages}; "
        f"commit {facts['commit']}; load before: {facts['load_before']}.\n"
    )


def tell(result: Mapping[str, Any], sheets: Sequence[Sheet], page: Path | None, name: str) -> None:
    """Print a result's tables for a page, or put them into one."""
    tables = machine_line(result["machine"]) + "\n" + as_markdown(sheets)
    if page is None:
        print(tables)
    else:
        page.write_text(put_into(page.read_text(encoding="utf-8"), name, tables), encoding="utf-8")


def _markdown(sheet: Sheet) -> str:
    rule = ["---:" if is_figures else "---" for is_figures in _columns(sheet)]
    rows = [sheet.head, rule, *sheet.rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    note = [sheet.note, ""] if sheet.note else []
    return "\n".join([f"**{sheet.title}**", "", *lines, "", *note])


def _columns(sheet: Sheet) -> list[bool]:
    """Tell of each column whether it holds figures."""
    return [all(FIGURE.fullmatch(cell) for cell in column) for column in zip(*sheet.rows, strict=True)]


def show(sheets: Sequence[Sheet]) -> None:
    """Print the tables on the terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=FILE_COLUMNS)
    for sheet in sheets:
        table = Table(title=sheet.title, title_justify="left", caption=sheet.note or None, caption_justify="left")
        for name, is_figures in zip(sheet.head, _columns(sheet), strict=True):
            table.add_column(name, justify="right" if is_figures else "left")
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)


def ms(seconds: float | None) -> str:
    """Seconds as milliseconds."""
    return NOTHING if seconds is None else f"{1000 * seconds:.1f}"


def s(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{seconds:.2f}"


def times(ratio: float | None) -> str:
    """How many times as much."""
    return NOTHING if ratio is None else f"{ratio:.2f} ×"


def mb(size_bytes: float | None) -> str:
    return NOTHING if size_bytes is None else f"{size_bytes / 1e6:.0f}"
