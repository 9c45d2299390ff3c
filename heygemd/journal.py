"""The native protocol of systemd's journal: one datagram an entry, fields that can be asked for.

    https://systemd.io/JOURNAL_NATIVE_PROTOCOL/

Nothing here raises or waits for long: a journal that restarts, or is not there, costs this entry its way and no more.
"""

import errno
import fcntl
import os
import re
import select
import socket
import struct
from collections.abc import Iterator
from functools import cache

from heygemd.errors import ADVICE
from heygemd.logline import Entry, sentence, text_of
from heygemd.message_ids import message_id

ADDRESS = "/run/systemd/journal/socket"
IDENTIFIER = "heygemd"
PREFIX = "HEYGEMD_"
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
PATIENCE_MS = 50
"""Longest wait for a journal that does not keep up; none for the entries that follow one that waited in vain."""
NAME_CHARACTERS = 64
"""journald ignores fields of longer names."""
CATALOG_VALUE_BYTES = 200
"""`journalctl -x` puts no value of more than 256 bytes, name included, into a text."""
_IN_CATALOG = ("reason",)
"""Fields that the catalog cites and that may be longer; the whole text is then in a field of its own."""
_TOO_LARGE = frozenset({errno.EMSGSIZE, errno.ENOBUFS})
_F_ADD_SEALS = 1033
_SEALS = 0x1 | 0x2 | 0x4 | 0x8
"""linux/fcntl.h: SEAL, SHRINK, GROW, WRITE; some builds of Python do not name them."""


def is_journal(fd: int, journal_stream: str | None) -> bool:
    """Tell whether the descriptor is the stream to the journal that systemd announced in `$JOURNAL_STREAM`."""
    if not journal_stream:
        return False
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return journal_stream == f"{status.st_dev}:{status.st_ino}"


def priority_of(level: object) -> int:
    """Return the syslog priority of a level; of an unknown one that of `info`."""
    return PRIORITIES.get(str(level), PRIORITIES["info"])


def fields(entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield the fields of an entry, names as the journal wants them."""
    event = str(entry.get("event", ""))
    yield "MESSAGE", sentence(entry)
    yield "PRIORITY", str(priority_of(entry.get("level")))
    yield "SYSLOG_IDENTIFIER", IDENTIFIER
    yield "MESSAGE_ID", message_id(event)
    yield PREFIX + "EVENT", event
    for key, value in entry.items():
        if key in ("event", "level", "timestamp"):
            continue
        name, text = field_name(key), text_of(value)
        if key in _IN_CATALOG and len(text.encode()) > CATALOG_VALUE_BYTES:
            yield name + "_WHOLE", text
            text = text.encode()[: CATALOG_VALUE_BYTES - 3].decode(errors="ignore") + "…"
        yield name, text
    if "error_code" in entry:
        advice = ADVICE.get(text_of(entry["error_code"]))
        yield PREFIX + "ADVICE", advice.todo if advice else ""
        yield PREFIX + "ADVICE_ZH", advice.todo_zh if advice else ""


@cache
def field_name(key: str) -> str:
    """Return the name of the field that carries a keyword: `job_id` → `HEYGEMD_JOB_ID`."""
    return (PREFIX + re.sub(r"[^A-Z0-9_]", "_", key.upper()))[:NAME_CHARACTERS]


def datagram(entry: Entry) -> bytes:
    """Return the entry as journald reads it."""
    return b"".join(_field(name.encode(), value.encode()) for name, value in fields(entry))


def _field(name: bytes, value: bytes) -> bytes:
    if b"\n" in value:
        return b"%b\n%b%b\n" % (name, struct.pack("<Q", len(value)), value)
    return b"%b=%b\n" % (name, value)


class Journal:
    """Sends entries to journald; safe for threads."""

    def __init__(self, address: str = ADDRESS) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._is_stalled = False

    def send(self, data: bytes) -> bool:
        """Send one datagram; False when the journal did not take it."""
        for _ in range(2):  # a journal that was restarted has a new socket under the old name
            try:
                self._send(data)
            except (ConnectionRefusedError, ConnectionResetError, FileNotFoundError, BrokenPipeError):
                self.close()
            except OSError:
                return False
            else:
                return True
        return False

    def close(self) -> None:
        """Give the socket back; the next entry opens it again."""
        held, self._socket = self._socket, None
        if held is not None:
            held.close()

    def _send(self, data: bytes) -> None:
        sock = self._connected()
        try:
            sock.send(data)
        except BlockingIOError:
            self._wait(sock)
            sock.send(data)
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            _send_file(sock, data)
        self._is_stalled = False

    def _connected(self) -> socket.socket:
        if self._socket is None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                sock.connect(self._address)
            except OSError:
                sock.close()
                raise
            self._socket = sock
        return self._socket

    def _wait(self, sock: socket.socket) -> None:
        if not self._is_stalled:
            self._is_stalled = True
            poll = select.poll()
            poll.register(sock, select.POLLOUT)
            poll.poll(PATIENCE_MS)


def _send_file(sock: socket.socket, data: bytes) -> None:
    """Hand over what is too large for a datagram as a sealed file in memory."""
    fd = os.memfd_create("heygemd-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        fcntl.fcntl(fd, _F_ADD_SEALS, _SEALS)
        socket.send_fds(sock, [b""], [fd])
    finally:
        os.close(fd)
