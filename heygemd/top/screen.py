"""What a person has chosen to see, and what a key does to it. Pure: keys and rows in, choices and wishes out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Any

from heygemd.jobs.requests import Act
from heygemd.jobs.states import JobState
from heygemd.language import said
from heygemd.naming import is_invisible

MOST_FILTER_CHARS = 40
PAGE_ROWS = 10


class Tab(StrEnum):
    """The lists."""

    FILMS = "films"
    WORKERS = "workers"
    FAILURES = "failures"


class Order(StrEnum):
    """How running and waiting films are sorted."""

    TURN = "turn"
    """As they start."""
    NAME = "name"
    FOLDER = "folder"
    LENGTH = "length"
    """The longest film first."""


class Panel(Enum):
    """What lies over the list."""

    NONE = 0
    DETAILS = 1
    HELP = 2


class Wish(Enum):
    """What the loop has to do after a key."""

    NOTHING = 0
    QUIT = 1
    ASK = 2
    """Carry out `Screen.question`, to which the person has said yes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selectable:
    """A row that can be selected."""

    job: str
    name: str
    state: JobState | None
    """None: a worker without a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something that is done only after a yes."""

    act: Act
    job: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Everything that was chosen."""

    tab: Tab = Tab.FILMS
    selected: str = ""
    """Id of a job; empty: the row at `at`."""
    at: int = 0
    """Where the selection was last, for when its row goes away."""
    order: Order = Order.TURN
    filter: str = ""
    is_typing: bool = False
    """The filter is being typed."""
    is_frozen: bool = False
    panel: Panel = Panel.NONE
    scroll: int = 0
    """Lines of the panel that are above its window."""
    question: Question | None = None
    notice: str = ""
    """Shown at the bottom until the next key."""
    is_bad_news: bool = False


def settled(screen: Screen, rows: Sequence[Selectable]) -> Screen:
    """Keep the selection on its film; where that is gone, on the row that has taken its place."""
    places = {row.job: number for number, row in reversed(list(enumerate(rows)))}
    at = places.get(screen.selected, min(screen.at, max(0, len(rows) - 1)))
    return replace(screen, at=at, selected=rows[at].job if rows else "")


def press(key: str, screen: Screen, rows: Sequence[Selectable]) -> tuple[Screen, Wish]:
    """Return what is shown after a key, and what is to be done."""
    screen = replace(screen, notice="", is_bad_news=False)
    if screen.question is not None:
        if key in ("y", "Y"):
            return screen, Wish.ASK
        return replace(screen, question=None), Wish.NOTHING
    if screen.is_typing:
        return _typed(key, screen), Wish.NOTHING
    if screen.panel is not Panel.NONE:
        return _in_panel(key, screen), Wish.NOTHING
    if key in ("q", "Q", "f10"):
        return screen, Wish.QUIT
    moved = _moved(key, screen, rows) or _listed_otherwise(key, screen) or _about(key, screen, rows)
    return moved or screen, Wish.NOTHING


def _typed(key: str, screen: Screen) -> Screen:
    if key in ("enter", "tab"):
        return replace(screen, is_typing=False)
    if key == "escape":
        return replace(screen, is_typing=False, filter="")
    if key == "backspace":
        return replace(screen, filter=screen.filter[:-1])
    if len(key) == 1 and not is_invisible(key):
        return replace(screen, filter=(screen.filter + key)[:MOST_FILTER_CHARS])
    return screen


def _in_panel(key: str, screen: Screen) -> Screen:
    steps = {"down": 1, "j": 1, "up": -1, "k": -1, "pagedown": PAGE_ROWS, "pageup": -PAGE_ROWS}
    if key in steps:
        return replace(screen, scroll=max(0, screen.scroll + steps[key]))
    return replace(screen, panel=Panel.NONE, scroll=0)


def _moved(key: str, screen: Screen, rows: Sequence[Selectable]) -> Screen | None:
    last = max(0, len(rows) - 1)
    places = {
        "down": screen.at + 1, "j": screen.at + 1, "up": screen.at - 1, "k": screen.at - 1,
        "pagedown": screen.at + PAGE_ROWS, "pageup": screen.at - PAGE_ROWS, "home": 0, "g": 0, "end": last, "G": last,
    }  # fmt: skip
    if key not in places:
        return None
    at = min(max(0, places[key]), last)
    return replace(screen, at=at, selected=rows[at].job if rows else "")


def _listed_otherwise(key: str, screen: Screen) -> Screen | None:
    """Choose another list, order or filter."""
    tabs, orders = list(Tab), list(Order)
    steps = {"tab": 1, "right": 1, "backtab": -1, "left": -1}
    if key in steps:
        return replace(screen, tab=tabs[(tabs.index(screen.tab) + steps[key]) % len(tabs)], at=0, selected="")
    if key in ("1", "2", "3"):
        return replace(screen, tab=tabs[int(key) - 1], at=0, selected="")
    changes: dict[tuple[str, ...], dict[str, Any]] = {
        ("s", "f6"): {"order": orders[(orders.index(screen.order) + 1) % len(orders)]},
        ("/", "f", "F", "f3", "f4"): {"is_typing": True},
        ("escape",): {"filter": ""},
        (" ",): {"is_frozen": not screen.is_frozen},
        ("h", "?", "f1"): {"panel": Panel.HELP},
    }
    return next((replace(screen, **change) for keys, change in changes.items() if key in keys), None)


def _about(key: str, screen: Screen, rows: Sequence[Selectable]) -> Screen | None:
    """Begin what concerns the selected film."""
    if key not in ("enter", "c", "r", "f9"):
        return None
    row = rows[screen.at] if screen.at < len(rows) else None
    if row is None or not row.job or row.state is None:
        return replace(screen, notice=said("no film is selected", "没有选中任何视频"), is_bad_news=True)
    if key == "enter":
        return replace(screen, panel=Panel.DETAILS, scroll=0)
    act = Act.RETRY if key == "r" else Act.CANCEL
    fitting = (JobState.FAILED, JobState.CANCELLED) if act is Act.RETRY else (JobState.QUEUED, JobState.RUNNING)
    if row.state not in fitting:
        words = (
            said("only failed and cancelled films can be tried again", "只有失败或已取消的视频可以重试")
            if act is Act.RETRY
            else said("this film has ended already", "该视频已经结束")
        )
        return replace(screen, notice=words, is_bad_news=True)
    return replace(screen, question=Question(act=act, job=row.job, name=row.name))
