"""The loop of `heygemd top`: look, draw, listen to the keyboard; the terminal is given back whatever happens."""

import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from types import FrameType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from heygemd.lookout import Glance, Place, Standing, latest_vitals, look_at_roots, roots_of
from heygemd.top.asking import Asking, Notice
from heygemd.top.films import Lists, lists_of
from heygemd.top.keys import Keyboard, TerminalGoneError
from heygemd.top.observer import Details, Observer
from heygemd.top.screen import Panel, Screen, Tab, Wish, press, settled
from heygemd.top.style import ASCII, BLOCKS, Glyphs
from heygemd.top.view import draw

LEAST_INTERVAL_S = 0.2
ONCE_CELLS = 100
"""Width of a single picture that goes to no terminal."""


def is_live(console: Console) -> bool:
    """Tell whether there is a person with a keyboard in front of a terminal that can be drawn on."""
    return console.is_terminal and not console.is_dumb_terminal and sys.stdin.isatty()


def show_once(place: Place, console: Console) -> None:
    """Draw one picture, as long as it needs to be."""
    observer = Observer(place)
    try:
        glance = replace(observer.look(), roots=look_at_roots(roots_of(place, latest_vitals(place.state_dir))))
    finally:
        observer.close()
    cells = console.width if console.is_terminal else ONCE_CELLS
    lists = lists_of(glance, Screen())
    for line in draw(glance, Screen(), lists, (cells, None), glyphs=_glyphs(console)):
        line.rstrip()
        console.print(line, soft_wrap=True)


def watch(place: Place, console: Console, *, interval_s: float, by: str) -> int:
    """Draw until the person has seen enough; returns the exit status."""
    with ExitStack() as stack:
        observer = Observer(place)
        stack.callback(observer.close)
        bell = stack.enter_context(_signals())
        show = _Show(observer, Asking(place.state_dir, by), console, max(LEAST_INTERVAL_S, interval_s))
        try:
            return _draw_on(show, bell)
        except (OSError, TerminalGoneError):
            # Whoever closed the window needs no message; what is left in buffers goes nowhere.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), console.file.fileno())
            return 0


class _Show:
    """What is on the screen now."""

    def __init__(self, observer: Observer, asking: Asking, console: Console, interval_s: float) -> None:
        self.observer, self.asking, self.console, self.interval_s = observer, asking, console, interval_s
        self.screen = Screen()
        self.glance: Glance = observer.look()
        self.details: Details | None = None
        self._glyphs = _glyphs(console)

    def look(self) -> None:
        """See how things stand now."""
        self.observer.wants_failures = self.screen.tab is Tab.FAILURES
        self.glance = self.observer.look()
        if self.screen.panel is Panel.DETAILS and self.screen.selected:
            self.details = self.observer.details(self.screen.selected)
        heard = self.asking.hear()
        if heard is not None:
            self._tell(heard)
            self.observer.look_anew()

    def press_all(self, keys: Sequence[str]) -> bool:
        """Do what keys say, one after the other; True when one of them ends it."""
        return any(self.press(key) for key in keys)

    def press(self, key: str) -> bool:
        """Do what a key says; True when that is to end."""
        lists = lists_of(self.glance, self.screen)
        before = settled(self.screen, lists.selectable(self.screen.tab))
        self.screen, wish = press(key, before, lists.selectable(before.tab))
        if wish is Wish.ASK and self.screen.question is not None:
            question, self.screen = self.screen.question, replace(self.screen, question=None)
            has_daemon = self.glance.standing in (Standing.RUNNING, Standing.STARTING, Standing.SILENT)
            self._tell(self.asking.ask(question, has_daemon=has_daemon))
        if self.screen.panel is Panel.DETAILS and before.panel is not Panel.DETAILS:
            self.details = self.observer.details(self.screen.selected)
        if self.screen.tab is not before.tab:
            self.observer.wants_failures = self.screen.tab is Tab.FAILURES
            self.observer.look_anew()
            self.glance = self.observer.look()
        return wish is Wish.QUIT

    def picture(self) -> Group:
        """Return what is drawn, for the size that the terminal has now."""
        lists: Lists = lists_of(self.glance, self.screen)
        self.screen = settled(self.screen, lists.selectable(self.screen.tab))
        width, height = self.console.size
        lines = draw(
            self.glance, self.screen, lists, (width, height), glyphs=self._glyphs, details=self.details
        )  # fmt: skip
        return Group(*(_unwrapped(line) for line in lines))

    def _tell(self, notice: Notice) -> None:
        self.screen = replace(self.screen, notice=notice.text, is_bad_news=notice.is_bad_news)


def _draw_on(show: _Show, bell: int) -> int:
    with Keyboard(sys.stdin.fileno()) as keyboard, _full_screen(show.console) as live:
        due_s = time.monotonic() + show.interval_s
        while True:
            live.update(show.picture(), refresh=True)
            ready = select.select([keyboard.fileno(), bell], [], [], max(0.0, due_s - time.monotonic()))[0]
            if bell in ready:
                told = os.read(bell, 512)
                if signal.SIGTERM in told or signal.SIGHUP in told:
                    return 128 + (signal.SIGTERM if signal.SIGTERM in told else signal.SIGHUP)
                if signal.SIGINT in told:
                    return 0
                if signal.SIGTSTP in told:
                    _pause(keyboard, live)
            if keyboard.fileno() in ready and show.press_all(keyboard.read_keys()):
                return 0
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + show.interval_s
                if not show.screen.is_frozen:
                    show.look()


def _pause(keyboard: Keyboard, live: Live) -> None:
    """Let the shell have its terminal until it brings us back."""
    live.stop()
    keyboard.give_back()
    os.kill(os.getpid(), signal.SIGSTOP)
    keyboard.take()
    live.start()


@contextmanager
def _full_screen(console: Console) -> Iterator[Live]:
    """Use the terminal's other screen, so that what was on it is there again afterwards."""
    live = Live(
        console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    )  # fmt: skip
    live.start()
    try:
        yield live
    finally:
        live.stop()


@contextmanager
def _signals() -> Iterator[int]:
    """Yield a descriptor from which the numbers of signals are read, so that none interrupts a picture.

    A second one of those that end us does so at once: something hangs then.
    """
    bell, ring = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    seen: set[int] = set()

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if number in seen and number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            raise KeyboardInterrupt
        seen.add(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH, signal.SIGTSTP)
    before = {number: signal.signal(number, note) for number in numbers}
    old = signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    try:
        yield bell
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(bell)
        os.close(ring)


def _glyphs(console: Console) -> Glyphs:
    return BLOCKS if console.encoding.lower().startswith("utf") else ASCII


def _unwrapped(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "crop"
    return line
