"""The keyboard of a terminal, key by key, and the sure way back to how the terminal was."""

import codecs
import os
import re
import select
import termios
import tty
from collections.abc import Iterator
from types import TracebackType
from typing import Self

ESCAPE_WAIT_S = 0.05
"""An escape that nothing follows for so long is the key itself, not the beginning of an arrow."""
_READ_BYTES = 1024
_NAMES = {
    "\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "backspace", "\x1b": "escape",
    "\x0c": "redraw",
}  # fmt: skip
_SEQUENCES = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end", "Z": "backtab",
    "1~": "home", "7~": "home", "4~": "end", "8~": "end", "5~": "pageup", "6~": "pagedown",
    "P": "f1", "Q": "f2", "R": "f3", "S": "f4", "11~": "f1", "12~": "f2", "13~": "f3", "14~": "f4", "[A": "f1",
    "15~": "f5", "17~": "f6", "18~": "f7", "19~": "f8", "20~": "f9", "21~": "f10",
}  # fmt: skip
_SEQUENCE = re.compile(r"\x1b(?:\[\[[A-E]|\[[0-9;:<=>?]*[ -/]*[@-~]|O[@-~])")


class TerminalGoneError(Exception):
    """The terminal was closed: there is nobody left to draw for."""


class Keyboard:
    """A terminal that gives every key at once and shows none of them; as it was when this is left."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._before = termios.tcgetattr(number)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __enter__(self) -> Self:
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()

    def fileno(self) -> int:
        """Readable when a key was pressed."""
        return self._number

    def take(self) -> None:
        """Give every key at once from now on; Ctrl-C and Ctrl-Z still make signals."""
        tty.setcbreak(self._number, termios.TCSANOW)

    def give_back(self) -> None:
        """Make the terminal what it was. Keys that nobody read are dropped: the shell would take them for commands."""
        try:
            termios.tcflush(self._number, termios.TCIFLUSH)
            termios.tcsetattr(self._number, termios.TCSANOW, self._before)
        except termios.error:
            return  # the terminal is gone, and its settings with it

    def read_keys(self) -> list[str]:
        """Return what was pressed, by names such as `q`, `up`, `enter`; raises TerminalGoneError."""
        told = self._decoder.decode(self._read())
        while _may_go_on(told) and select.select([self._number], [], [], ESCAPE_WAIT_S)[0]:
            told += self._decoder.decode(self._read())
        return list(split(told))

    def _read(self) -> bytes:
        try:
            told = os.read(self._number, _READ_BYTES)
        except OSError as error:
            raise TerminalGoneError from error
        if not told:
            raise TerminalGoneError
        return told


def split(text: str) -> Iterator[str]:
    """Yield the name of each key; sequences that mean nothing here are dropped whole."""
    at = 0
    while at < len(text):
        found = _SEQUENCE.match(text, at)
        if found is not None:
            at = found.end()
            name = _SEQUENCES.get(found[0][2:])
            if name is not None:
                yield name
            continue
        char = text[at]
        at += 1
        if char in _NAMES:
            yield _NAMES[char]
        elif char.isprintable():
            yield char


def _may_go_on(text: str) -> bool:
    """Tell whether the text ends within a sequence."""
    start = text.rfind("\x1b")
    return start >= 0 and _SEQUENCE.match(text, start) is None
