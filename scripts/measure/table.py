"""All runs as one table for people: a line a run, then median and worst of every figure."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Run = dict[str, Any]

LOW, HIGH, ONE = min, max, "one"
COLUMNS: tuple[tuple[str, str, Callable[..., float] | str], ...] = (
    ("r", "tracker.opening.r", LOW),
    ("rms", "tracker.opening.rms", HIGH),
    ("width r", "tracker.width.r", LOW),
    ("gap r", "tracker.gap_r", LOW),
    ("ruler r", "ruler.opening.r", LOW),
    ("ruler rms", "ruler.opening.rms", HIGH),
    ("matched rms", "ruler.opening_matched.rms", HIGH),
    ("ruler width r", "ruler.width.r", LOW),
    ("ruler gap r", "ruler.gap_r", LOW),
    ("closures", "tracker.closures.recall", LOW),
    ("left open", "tracker.closures.left_open_median", HIGH),
    ("flicker", "pictures.flicker", HIGH),
    ("sharpness", "pictures.sharpness", ONE),
    ("sharp mouth", "pictures.sharpness_mouth", ONE),
    ("seam", "pictures.seam", HIGH),
    ("energy", "silence.energy", HIGH),
    ("open in silence", "silence.opening", HIGH),
    ("outside", "pictures.changed_outside", HIGH),
    ("psnr", "pictures.psnr_outside_db", LOW),
    ("ms", "render_ms", HIGH),
)
"""Heading, place in a run, and which of two values is the worse one: the lower, the higher, the farther from 1."""
SPOKEN = tuple(
    (f"{who} {what} {lag}", f"{who}.{what}_{lag}")
    for who in ("net", "target", "film")
    for what in ("opening", "width")
    for lag in ("lag0", "own_lag")
)
"""Heading, and place below `real`."""
RULERS = ("tracker", "ruler")


def value(run: Run, place: str) -> float | None:
    """Read `a.b.c` of a tree; None where it is not."""
    found: Any = run
    for name in place.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def worst(values: Sequence[float], sense: Callable[..., float] | str) -> float:
    return max(values, key=lambda v: abs(v - 1)) if isinstance(sense, str) else sense(values)


def markdown(runs: Sequence[Run]) -> str:
    """Write both tables."""
    text = _table(
        ["clip", "drive", *(head for head, _, _ in COLUMNS)],
        [[run["clip"], run["drive"], *(_text(value(run, place)) for _, place, _ in COLUMNS)] for run in runs],
        _summary(runs, [(place, sense) for _, place, sense in COLUMNS]),
    )
    return text + "".join(_spoken(runs, ruler) for ruler in RULERS)


def _spoken(runs: Sequence[Run], ruler: str) -> str:
    places = [("lag_ms", HIGH), *((place, LOW) for _, place in SPOKEN)]
    full = [(f"{ruler}.real.{place}", sense) for place, sense in places]
    spoken = [run for run in runs if value(run, f"{ruler}.real")]
    if not spoken:
        return ""
    lines = [[run["clip"], run["drive"], *(_text(value(run, place)) for place, _ in full)] for run in spoken]
    heads = ["clip", "drive", "lag ms", *(head for head, _ in SPOKEN)]
    return f"\nAgainst the real speaker, by the {ruler}:\n\n" + _table(heads, lines, _summary(spoken, full))


def _summary(runs: Sequence[Run], places: Sequence[tuple[str, Callable[..., float] | str]]) -> list[list[str]]:
    rows = []
    drives = sorted({run["drive"].partition(":")[0] for run in runs})
    for drive in [*drives, "all"]:
        chosen = [run for run in runs if drive in ("all", run["drive"].partition(":")[0])]
        columns = [[v for run in chosen if (v := value(run, place)) is not None] for place, _ in places]
        middle = [_text(float(np.median(column)) if column else None) for column in columns]
        bad = [
            _text(worst(column, sense) if column else None) for column, (_, sense) in zip(columns, places, strict=True)
        ]
        rows += [["**median**", drive, *middle], ["**worst**", drive, *bad]]
    return rows


def _table(heads: list[str], lines: list[list[str]], summary: list[list[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines, *summary]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _text(number: float | None) -> str:
    if number is None:
        return "–"
    return str(number) if isinstance(number, int) else f"{number:.3f}"
