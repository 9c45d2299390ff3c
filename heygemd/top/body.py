"""The lists of the picture: films, workers, failures. Each is given its height and never takes more. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from rich.text import Text

from heygemd.language import advice_of, said
from heygemd.terminal import clipped, wrapped
from heygemd.top.films import Film, Lists
from heygemd.top.style import BAD, DIM, SELECTED
from heygemd.top.tables import Look, Row, Table, ended_table, failed_table, running_table, waiting_table, worker_table

LEAST_ROWS = 3
"""Of each list, while there is room for it."""
_ADVICE_LINES = 4


def films(lists: Lists, look: Look, height: int | None) -> list[Text]:
    """Return running, waiting and ended films below each other; `height` None: all of them."""
    parts = (lists.running, lists.waiting, lists.ended)
    tables = (
        running_table(f"{said('IN WORK', '制作中')} ({len(lists.running)})", look),
        waiting_table(f"{said('NEXT', '排队')} ({max(lists.waiting_count, len(lists.waiting))})", look),
        ended_table(said("LAST RESULTS", "最近结果"), look),
    )
    heights = _heights([len(part) for part in parts], height)
    lines, first = [], 0
    for part, table, rows in zip(parts, tables, heights, strict=True):
        if rows:
            lines += _list(part, table, replace(look, selected=look.selected - first), rows)
        first += len(part)
    return lines


def workers(lists: Lists, look: Look, height: int | None) -> list[Text]:
    """Return one line for each worker."""
    rows = len(lists.workers) + 1 if height is None else height
    table = worker_table(look, lists.names)
    return _list(lists.workers, table, look, max(2, rows))


def failures(lists: Lists, look: Look, height: int) -> list[Text]:
    """Return the failed films, and below them what the selected one met and what to do about it."""
    advice = _advice(lists.ended, look) if height > 2 * _ADVICE_LINES else []
    table = failed_table(f"{said('FAILED', '失败')} ({len(lists.ended)})", look)
    lines = _list(lists.ended, table, look, height - len(advice))
    return [*lines, *[Text()] * (height - len(advice) - len(lines)), *advice]


def _advice(films: Sequence[Film], look: Look) -> list[Text]:
    if not 0 <= look.selected < len(films):
        return []
    film = films[look.selected]
    lines = [Text(look.glyphs.rule * look.cells, style=DIM)]
    for words, style in _advice_of(film):
        lines += [Text(line, style=style) for line in wrapped(words, look.cells, 2)]
    return lines


def _advice_of(film: Film) -> list[tuple[str, str]]:
    title, todo = advice_of(film.code)
    if not title:
        return [(film.message or film.code, "")]
    return [(f"{film.code} {title} {film.message}", BAD), (f"{said('to do', '处理办法')}: {todo}", "")]


def _list(rows: Sequence[Row], table: Table[Row], look: Look, height: int) -> list[Text]:
    """Return a heading and as many rows as there is room for, the selected one among them."""
    lines = [table.frame.heading(table.heading)]
    if not rows:
        return [*lines, Text(f" {clipped(table.nothing, look.cells - 1)}", style=DIM)][:height]
    room, at = height - 1, look.selected
    top = max(0, min(at - room + 1, len(rows) - room)) if room <= at < len(rows) else 0
    for number, row in enumerate(rows[top : top + room], top):
        line = table.frame.line(table.cells(row))
        lines.append(Text(line.plain, style=SELECTED, no_wrap=True) if number == at else line)
    return lines


def _heights(counts: Sequence[int], height: int | None) -> list[int]:
    """Share the lines of the body among the lists: each gets what it needs, or at least a few lines and its heading."""
    wants = [max(1, count) + 1 for count in counts]
    if height is None:
        return wants
    least = [min(want, LEAST_ROWS + 1) for want in wants]
    given = [0] * len(wants)
    left = height
    for number, few in enumerate(least):
        given[number] = few if left >= few else left if left > 1 else 0
        left -= given[number]
    for number, want in enumerate(wants):
        more = min(left, want - given[number]) if given[number] else 0
        given[number] += more
        left -= more
    return given
