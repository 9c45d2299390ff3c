"""The only logging set-up: structlog, to the terminal, the journal or JSON lines, and all of it to a debug file.

    log.info(…) ─▶ structlog ─▶ plain_entry ─┬─ debug file   everything, one JSON object a line
                                             └─ main sink    from the chosen level: console | journal | JSON lines

Every process of heygemd is set up here, children as their parent was told. Logging never raises.
"""

import argparse
import os
import socket
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import NoReturn, Protocol, Self, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger
from typing_extensions import override

from heygemd.journal import Journal, datagram, is_journal, priority_of
from heygemd.logfile import Fate, LogFile, Written
from heygemd.logline import BLOCKS, Entry, json_line, plain_entry

log = structlog.get_logger(__name__)

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class Sink(StrEnum):
    """Where the main log goes; all three begin at stderr."""

    CONSOLE = "console"
    """Coloured lines for a person at a terminal."""
    JSON = "json"
    """One JSON object a line."""
    JOURNAL = "journal"
    """Fields, straight to systemd's journal."""


@dataclass(frozen=True, slots=True)
class LogChoice:
    """How this process logs; child processes are told to do the same."""

    level: str = "info"
    """Of the main log: `debug`, `info`, `warning` or `error`."""
    file: Path | None = None
    """A second log of everything down to debug."""
    sink: Sink | None = None
    """None: the journal when stderr leads there, the console on a terminal, else JSON."""

    def settled(self, fd: int = 2) -> Self:
        """Return the choice with the sink that this process, whose stderr is `fd`, takes."""
        return self if self.sink else replace(self, sink=_sink_of(fd))

    def as_arguments(self) -> tuple[str, ...]:
        """Return the choice as words of a child's command line."""
        file = ("--log-file", os.fspath(self.file)) if self.file else ()
        sink = ("--log-sink", self.sink.value) if self.sink else ()
        return ("--log-level", self.level, *sink, *file)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Teach a child's parser the words of `LogChoice.as_arguments`, and where the daemon's stderr is."""
    parser.add_argument("--log-level", default="info", choices=tuple(LEVELS))
    parser.add_argument("--log-sink", type=Sink)
    parser.add_argument("--log-file", type=Path)
    parser.add_argument("--log-fd", type=int, help="the daemon's stderr, where ours is a pipe that it reads")


def choice_of(arguments: argparse.Namespace) -> LogChoice:
    """Return the choice that a child was told."""
    return LogChoice(level=arguments.log_level, file=arguments.log_file, sink=arguments.log_sink)


def configure(choice: LogChoice, *, fd: int | None = None) -> None:
    """Send every event at or above the level to the main sink, and all events to the file, if there is one.

    `fd` takes the place of stderr.
    """
    previous = structlog.get_config()["processors"][-1:]
    for spread in previous:
        if isinstance(spread, _Spread):
            spread.close()
    stream = _Stream(sys.stderr, fd)
    least = LEVELS[choice.level]
    file = LogFile(choice.file) if choice.file else None
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _Spread(_MAIN_SINKS[choice.settled(stream.fd).sink or Sink.JSON](stream), least, file),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS["debug"] if file else least),
        logger_factory=structlog.ReturnLoggerFactory(),  # never reached: the last processor writes
        cache_logger_on_first_use=False,
    )


def _sink_of(fd: int) -> Sink:
    if is_journal(fd, os.environ.get("JOURNAL_STREAM")):
        return Sink.JOURNAL
    return Sink.CONSOLE if fd >= 0 and os.isatty(fd) else Sink.JSON


class _Stream:
    """Our stderr, or what stands for it. One write a line: those of several processes do not run into each other."""

    def __init__(self, text: TextIO, fd: int | None) -> None:
        self._text = text
        self.fd = _fileno(text) if fd is None else fd
        """-1: there is only the text stream."""
        self._is_torn = False
        """The last line was cut: the next one begins with a line end."""

    def write(self, data: bytes) -> bool:
        """Write whole lines; False when they could not be written."""
        try:
            if self.fd < 0:
                self._text.write(data.decode())
                self._text.flush()
            elif stat.S_ISSOCK(os.fstat(self.fd).st_mode):
                self._send(data)
            else:
                self._write(partial(os.write, self.fd), data)
        except (OSError, ValueError):  # a full disk, a reader that is gone, a closed stream
            return False
        return True

    def _send(self, data: bytes) -> None:
        """Write to a socket (the journal's stream) without waiting for who reads it."""
        sock = socket.socket(fileno=self.fd)
        try:
            self._write(lambda left: sock.send(left, socket.MSG_DONTWAIT), data)
        finally:
            sock.detach()

    def _write(self, take: Callable[[memoryview], int], data: bytes) -> None:
        left = memoryview(b"\n" + data if self._is_torn else data)
        while left:
            count = take(left)
            self._is_torn = count < len(left)
            left = left[count:]


def _fileno(text: TextIO) -> int:
    try:
        return text.fileno()
    except (OSError, ValueError, AttributeError):
        return -1


class _Main(Protocol):
    """A main sink."""

    def write(self, entry: Entry) -> None: ...

    def close(self) -> None: ...


class _JsonLines:
    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def write(self, entry: Entry) -> None:
        self._stream.write(json_line(entry))

    def close(self) -> None:
        return


class _Console(_JsonLines):
    def __init__(self, stream: _Stream) -> None:
        super().__init__(stream)
        self._renderer = structlog.dev.ConsoleRenderer(
            colors=not os.environ.get("NO_COLOR"), exception_formatter=structlog.dev.plain_traceback
        )

    @override
    def write(self, entry: Entry) -> None:
        line: EventDict = {key: value for key, value in entry.items() if key not in BLOCKS}
        if blocks := [str(entry[key]).rstrip("\n") for key in sorted(BLOCKS & entry.keys())]:
            line["exception"] = "\n".join(blocks)
        text = self._renderer(None, str(entry.get("level", "")), line)
        self._stream.write(f"{text}\n".encode())


class _ToJournal:
    """While the journal does not take entries, they go to stderr, from where systemd brings them to it some day."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._journal = Journal()
        self._lost = 0

    def write(self, entry: Entry) -> None:
        if self._journal.send(datagram(entry)):
            if self._lost:
                lost, self._lost = self._lost, 0
                log.warning("log.entries_lost", count=lost)
            return
        # systemd reads the priority of a line from its first characters.
        if not self._stream.write(b"<%d>%b" % (priority_of(entry.get("level")), json_line(entry))):
            self._lost += 1

    def close(self) -> None:
        self._journal.close()


_MAIN_SINKS: dict[Sink, Callable[[_Stream], _Main]] = {
    Sink.CONSOLE: _Console,
    Sink.JSON: _JsonLines,
    Sink.JOURNAL: _ToJournal,
}


class _Spread:
    """The last processor: writes the entry to the file and to the main sink."""

    def __init__(self, main: _Main, least: int, file: LogFile | None) -> None:
        self._main, self._least, self._file = main, least, file

    def __call__(self, logger: WrappedLogger, method: str, values: EventDict) -> NoReturn:
        del logger, method
        entry = plain_entry(values)
        written = None
        if self._file is not None:
            written = self._file.write(b'{"process": %d, %b' % (os.getpid(), json_line(entry)[1:]))
        if LEVELS.get(str(entry.get("level")), LEVELS["info"]) >= self._least:
            self._main.write(entry)
        if self._file is not None and written is not None:
            self._tell(self._file.path, written)
        raise structlog.DropEvent

    def close(self) -> None:
        """Give files and sockets back."""
        self._main.close()
        if self._file is not None:
            self._file.close()

    def _tell(self, path: Path, written: Written) -> None:
        """Say once that the file fails, and once that it works again."""
        if written.fate is Fate.FAILED:
            log.warning("log.file_failed", path=str(path), reason=written.reason)
        elif written.fate is Fate.RESUMED:
            log.info("log.file_resumed", path=str(path), lost=written.lost)
