"""The journal's native protocol: what journald reads is what was said, and no journal can hold us up."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from heygemd.errors import ADVICE
from heygemd.journal import CATALOG_VALUE_BYTES, Journal, datagram, field_name, is_journal, priority_of
from heygemd.logline import plain_entry
from heygemd.message_ids import message_id
from tests.test_logline import TEXTS, is_harmless

JOURNALD = Path("/usr/lib/systemd/systemd-journald")
REPLACED_BYTES = 256
"""journalctl puts no field longer than this, name included, into a text of the catalog."""


def parsed(data: bytes) -> list[tuple[str, str]]:
    """Read an entry as journald does."""
    found = []
    while data:
        head, _, data = data.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            size = int.from_bytes(data[:8], "little")
            value, end, data = data[8 : 8 + size], data[8 + size : 9 + size], data[9 + size :]
            assert end == b"\n"
        found.append((name.decode(), value.decode()))
    return found


class Journald:
    """A socket where journald's would be."""

    def __init__(self, address: Path) -> None:
        self.address = address
        self.open()

    def open(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(5)
        self._socket.bind(str(self.address))

    def read(self) -> bytes:
        data, fds, _, _ = socket.recv_fds(self._socket, 1 << 20, 1)
        for fd in fds:
            size = os.fstat(fd).st_size
            data += os.pread(fd, size, 0)
            with pytest.raises(PermissionError):
                os.write(fd, b"sealed")
            os.close(fd)
        return data

    def read_all(self) -> list[bytes]:
        """Read what is there, without waiting for more."""
        self._socket.setblocking(False)
        entries = []
        try:
            while True:
                entries.append(self.read())
        except BlockingIOError:
            self._socket.settimeout(5)
            return entries

    def close(self) -> None:
        self._socket.close()
        self.address.unlink(missing_ok=True)


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    server = Journald(tmp_path / "socket")
    yield server
    server.close()


@pytest.fixture
def journal(journald: Journald) -> Iterator[Journal]:
    client = Journal(str(journald.address))
    yield client
    client.close()


def entry_of(**values: Any) -> dict[str, str]:
    return dict(parsed(datagram(plain_entry({"event": "room.thing_done", "level": "info"} | values))))


def test_an_entry_has_the_fields_that_operators_ask_for() -> None:
    fields = entry_of(level="warning", job_id="J", error_code="E131", seconds={"paint": 1.5}, n=3, is_new=True)
    assert fields == {
        "MESSAGE": f"room.thing_done: {ADVICE['E131'].title} job_id=J error_code=E131 seconds='{{\"paint\": 1.5}}' "
        "n=3 is_new=true",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "heygemd",
        "MESSAGE_ID": message_id("room.thing_done"),
        "HEYGEMD_EVENT": "room.thing_done",
        "HEYGEMD_JOB_ID": "J",
        "HEYGEMD_ERROR_CODE": "E131",
        "HEYGEMD_ADVICE": ADVICE["E131"].todo,
        "HEYGEMD_ADVICE_ZH": ADVICE["E131"].todo_zh,
        "HEYGEMD_SECONDS": '{"paint": 1.5}',
        "HEYGEMD_N": "3",
        "HEYGEMD_IS_NEW": "true",
    }


def test_a_traceback_keeps_its_lines_and_its_field() -> None:
    trace = 'Traceback:\n  File "a\x1b.py"\nValueError: no'
    assert entry_of(exception=trace)["HEYGEMD_TRACEBACK"] == trace.replace("\x1b", "%1B")


def test_a_code_that_is_not_there_leaves_no_names_of_fields_in_the_catalog_text() -> None:
    assert entry_of(error_code=None)["HEYGEMD_ERROR_CODE"] == ""
    assert entry_of(error_code=None)["HEYGEMD_ADVICE"] == ""


def test_every_text_of_the_catalog_is_short_enough_to_be_cited() -> None:
    for code in ADVICE:
        for name, value in entry_of(error_code=code, reason="因为" * 500).items():
            if name in ("HEYGEMD_ADVICE", "HEYGEMD_ADVICE_ZH", "HEYGEMD_REASON", "HEYGEMD_ERROR_CODE"):
                assert len(f"{name}={value}".encode()) <= REPLACED_BYTES, (code, name)


def test_a_long_reason_is_whole_in_a_field_of_its_own() -> None:
    reason = "because " * 100
    fields = entry_of(reason=reason)
    assert fields["HEYGEMD_REASON_WHOLE"] == reason
    assert fields["HEYGEMD_REASON"].endswith("…")
    assert len(fields["HEYGEMD_REASON"].encode()) <= CATALOG_VALUE_BYTES
    assert "HEYGEMD_REASON_WHOLE" not in entry_of(reason="short")


@given(TEXTS, TEXTS)
def test_any_name_makes_one_whole_entry(key: str, value: str) -> None:
    fields = parsed(datagram(plain_entry({"event": "room.thing_done", "level": "info", key: value, "name": value})))
    assert all(is_harmless(text) for name, text in fields if name not in ("HEYGEMD_TRACEBACK", "HEYGEMD_PRINTED"))
    for name, _ in fields:
        assert len(name) <= 64
        assert name.isascii()
        assert name.replace("_", "A").isalnum()
        assert name == name.upper()
        assert not name.startswith("_")


def test_keywords_become_fields() -> None:
    assert field_name("job_id") == "HEYGEMD_JOB_ID"
    assert field_name("cache hits/ü" + "x" * 99).startswith("HEYGEMD_CACHE_HITS__XXX")


def test_levels_have_their_priority() -> None:
    levels = ("debug", "info", "warning", "error", "critical", "unheard of")
    assert [priority_of(level) for level in levels] == [7, 6, 4, 3, 2, 6]


def test_an_entry_reaches_the_journal(journal: Journal, journald: Journald) -> None:
    assert journal.send(b"MESSAGE=a\n")
    assert journald.read() == b"MESSAGE=a\n"


def test_what_no_datagram_can_hold_is_handed_over_as_a_sealed_file(journal: Journal, journald: Journald) -> None:
    large = b"MESSAGE=" + b"x" * (4 << 20) + b"\n"
    assert journal.send(large)
    assert journald.read() == large


def test_a_journal_that_is_not_there_is_found_when_it_comes_back(journal: Journal, journald: Journald) -> None:
    assert journal.send(b"MESSAGE=a\n")
    journald.close()
    assert not journal.send(b"MESSAGE=b\n")
    assert not journal.send(b"MESSAGE=c\n")
    journald.open()
    assert journal.send(b"MESSAGE=d\n")
    assert journald.read() == b"MESSAGE=d\n"


def test_a_journal_that_was_replaced_between_two_entries_loses_none(journal: Journal, journald: Journald) -> None:
    assert journal.send(b"MESSAGE=a\n")
    journald.close()
    journald.open()
    assert journal.send(b"MESSAGE=b\n")
    assert journald.read() == b"MESSAGE=b\n"


def test_a_journal_that_hangs_is_waited_for_once_and_briefly(journal: Journal, journald: Journald) -> None:
    entry = b"MESSAGE=" + b"x" * 1000 + b"\n"
    began_s = time.monotonic()
    taken = 0
    while journal.send(entry):
        taken += 1
        assert taken < 100_000
    for _ in range(100):
        assert not journal.send(entry)
    assert time.monotonic() - began_s < 2.0
    for _ in range(taken):
        assert journald.read() == entry
    assert journal.send(b"MESSAGE=again\n")
    assert journald.read() == b"MESSAGE=again\n"


def test_a_path_that_is_no_socket_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert not Journal(str(tmp_path / "file")).send(b"MESSAGE=a\n")
    assert not Journal(str(tmp_path / "file" / "x")).send(b"MESSAGE=a\n")
    assert not Journal("/" + "x" * 300).send(b"MESSAGE=a\n")


def test_stderr_is_the_journal_only_if_it_is_the_stream_that_was_announced(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("wb") as stream:
        status = os.fstat(stream.fileno())
        assert is_journal(stream.fileno(), f"{status.st_dev}:{status.st_ino}")
        assert not is_journal(stream.fileno(), f"{status.st_dev}:{status.st_ino + 1}")
        assert not is_journal(stream.fileno(), "nonsense")
        assert not is_journal(stream.fileno(), None)
        assert not is_journal(-1, f"{status.st_dev}:{status.st_ino}")


SAY = """
import structlog
from heygemd.log import LogChoice, Sink, configure
configure(LogChoice(sink=Sink.JOURNAL))
log = structlog.get_logger()
log.info("job.moved", job_id="J1", state="done", error_code=None, name="a\\n\\x1b[31m \\u202e \\udcff 文件")
log.warning("job.given_up", job_id="J1", error_code="E131", reason="because " * 100)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("daemon.tick_failed")
log.info("job.moved", job_id="J2", **{f"k{n}": "x" * 4000 for n in range(99)})
"""
PRIVATE = """
set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
mkdir -p /run/systemd/journal /run/log/journal
test -s /etc/machine-id || { echo 0123456789abcdef0123456789abcdef > /run/id; mount --bind /run/id /etc/machine-id; }
mount -t tmpfs tmpfs /usr/lib/systemd/catalog
mkdir -p /var/lib/systemd/catalog
mount -t tmpfs tmpfs /var/lib/systemd/catalog
cp "$4" /usr/lib/systemd/catalog
journalctl --update-catalog
"$1" 2> /run/journald.log & pid=$!
for n in $(seq 100); do test -S /run/systemd/journal/socket && break; sleep 0.05; done
"$2" -c "$3" >&2
journalctl --sync
journalctl --no-pager -o json HEYGEMD_JOB_ID=J1
journalctl --no-pager -o json --all HEYGEMD_EVENT=daemon.tick_failed
journalctl --no-pager -x HEYGEMD_JOB_ID=J1
kill $pid
"""


@pytest.mark.systemd
@pytest.mark.skipif(not (JOURNALD.exists() and shutil.which("unshare") and os.geteuid() == 0), reason="needs journald")
def test_a_real_journald_takes_it_and_journalctl_finds_and_explains_it(repository: Path) -> None:
    unshare = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
    run = subprocess.run(
        [*unshare, "bash", "-c", PRIVATE, "-", str(JOURNALD), sys.executable, SAY,
         str(repository / "systemd" / "heygemd.catalog")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    *entries, explained = run.stdout.split("\n", 3)
    moved, given_up, failed = map(json.loads, entries)
    assert moved["HEYGEMD_NAME"] == "a%0A%1B[31m %E2%80%AE %FF 文件"
    assert (moved["HEYGEMD_STATE"], moved["HEYGEMD_ERROR_CODE"], moved["PRIORITY"]) == ("done", "", "6")
    assert moved["MESSAGE_ID"] == message_id("job.moved")
    assert moved["SYSLOG_IDENTIFIER"] == "heygemd"
    assert given_up["HEYGEMD_REASON_WHOLE"] == "because " * 100
    assert given_up["HEYGEMD_ADVICE"] == ADVICE["E131"].todo
    assert failed["HEYGEMD_TRACEBACK"].endswith("\nZeroDivisionError: division by zero")
    assert " Subject: job.given_up" in explained
    assert " Job: J1" in explained
    assert f" What to do: {ADVICE['E131'].todo}" in explained
    assert "HEYGEMD_" not in explained, "no bare name of a field that is missing or too long"
