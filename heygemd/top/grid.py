"""Tables as lines of exact width: columns that give way when the terminal is narrow. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from heygemd.terminal import fitted

GAP = " "


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column."""

    title: str
    cells: int = 0
    """Its width; of a flexible one the least."""
    weight: int = 0
    """More than zero: it takes this share of what is left."""
    right: bool = False
    keep_end: bool = False
    """A text that is too long is cut in its middle."""
    from_cells: int = 0
    """Left out when the whole line is narrower."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Words in a style; or a picture that fills its column already."""

    text: str = ""
    style: str = ""
    drawing: Text | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """Columns with their widths in a line of `cells`."""

    columns: tuple[Column, ...]
    widths: tuple[int, ...]
    """0: left out."""

    def width_of(self, title: str) -> int:
        """Return the width of the column with this title; 0 when it is left out."""
        pairs = zip(self.columns, self.widths, strict=True)
        return next((width for column, width in pairs if column.title == title), 0)

    def heading(self, style: str) -> Text:
        """Return the line of titles."""
        return self.line([Cell(column.title) for column in self.columns], style)

    def line(self, cells: Sequence[Cell], style: str = "") -> Text:
        """Return one row; `cells` are given for all columns, also for those that are left out."""
        text = Text(no_wrap=True, style=style)
        for column, width, cell in zip(self.columns, self.widths, cells, strict=True):
            if width == 0:
                continue
            if text.plain:
                text.append(GAP)
            if cell.drawing is not None:
                text.append_text(cell.drawing)
            else:
                words = fitted(cell.text, width, right=column.right, keep_end=column.keep_end)
                text.append(words, style=cell.style or None)
        return text


def frame_of(columns: Sequence[Column], cells: int) -> Frame:
    """Share the width of a line among columns."""
    shown = [column for column in columns if column.from_cells <= cells]
    left = cells - sum(column.cells for column in shown) - len(GAP) * (len(shown) - 1)
    weights = sum(column.weight for column in shown)
    extra = {column.title: max(0, left) * column.weight // weights if weights else 0 for column in shown}
    odd = max(0, left) - sum(extra.values())
    widths = []
    for column in columns:
        width = 0 if column not in shown else column.cells + extra[column.title]
        if width and column.weight and odd:
            width, odd = width + odd, 0
        widths.append(width)
    return Frame(tuple(columns), tuple(widths))
