"""A terminal with a program in it: its keys, its size, its settings, and what is on its screen."""

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

LIMIT_S = 40.0
_HOME = "\x1b[H"
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>78]|\([A-Z0-9])")
PROGRAM = """
import typer
from heygemd.commands import top
app = typer.Typer()
app.callback()(lambda: None)
top.register(app)
app()
"""


class Terminal:
    """A pseudo terminal with `heygemd top` as its foreground program."""

    def __init__(
        self, *words: str, env: dict[str, str], size: tuple[int, int] = (80, 24), cwd: Path | None = None
    ) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(*size, tell=False)
        self.settings = termios.tcgetattr(self.slave)
        self.told = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # These would fix the size for ever; pytest's workers set them.
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "top", *words],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True, cwd=cwd,
            env={**inherited, "TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": ""} | env,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # nothing else runs here
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for number in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(number)

    def resize(self, cells: int, lines: int, *, tell: bool = True) -> None:
        """Give the window another size."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, cells, 0, 0))
        if tell:
            os.kill(self.process.pid, signal.SIGWINCH)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self.master, keys.encode())

    def hear(self, seconds: float = 0.1) -> bool:
        """Take what the program has written; False when there was nothing."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            told = os.read(self.master, 1 << 16)
        except OSError:
            return False
        self.told += self._decoder.decode(told)
        return bool(told)

    def screen(self) -> list[str]:
        """Return the lines of the latest whole picture, without colours."""
        pictures = self.told.split(_HOME)
        return [_SEQUENCE.sub("", line).rstrip("\r") for line in pictures[-1].split("\n")]

    def wait_for(self, what: str | Callable[[list[str]], Any]) -> list[str]:
        """Return the first picture that shows these words, or of which the function says so."""
        ends_s = time.monotonic() + LIMIT_S
        while time.monotonic() < ends_s:
            self.hear()
            while self.hear(0.02):
                pass
            screen = self.screen()
            if what(screen) if callable(what) else any(what in line for line in screen):
                return screen
            assert self.process.poll() is None, f"it has ended: {self.told[-2000:]}"
        raise AssertionError(f"{what} is not on the screen:\n" + "\n".join(self.screen()))

    def end(self) -> int:
        """Wait until the program has ended, and return its exit status."""
        ends_s = time.monotonic() + LIMIT_S
        while self.process.poll() is None:
            assert time.monotonic() < ends_s, "it does not end"
            self.hear(0.02)
        while self.hear(0.02):
            pass
        return self.process.returncode
