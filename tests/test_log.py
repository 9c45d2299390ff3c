"""One set-up for every process: each sink gets whole lines, at its level, and no fault of a sink is ever raised."""

import argparse
import io
import json
import os
import pickle
import re
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heygemd import logfile
from heygemd.errors import ADVICE
from heygemd.journal import Journal
from heygemd.log import LogChoice, Sink, add_arguments, choice_of, configure
from tests.test_journal import Journald, parsed
from tests.test_logline import TEXTS, is_harmless

COLOUR = re.compile(r"\x1b\[\d*m")
log = structlog.get_logger(__name__)


@pytest.fixture(autouse=True)
def settings_of_structlog() -> Iterator[None]:
    before = structlog.get_config()
    yield
    configure(LogChoice())  # gives back what the test had open
    structlog.configure(**before)


class Stderr:
    """A file that stands for stderr."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]

    def clear(self) -> None:
        os.truncate(self.path, 0)


@pytest.fixture
def stderr(tmp_path: Path) -> Iterator[Stderr]:
    made = Stderr(tmp_path / "stderr")
    yield made
    os.close(made.fd)


@pytest.fixture
def journald(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journald]:
    server = Journald(tmp_path / "socket")
    monkeypatch.setattr("heygemd.log.Journal", partial(Journal, str(server.address)))
    yield server
    server.close()


def test_elsewhere_than_on_a_terminal_a_line_is_a_json_object(stderr: Stderr) -> None:
    configure(LogChoice(), fd=stderr.fd)
    with structlog.contextvars.bound_contextvars(job_id="j"):
        log.info("room.thing_done", path=Path("/a b"), n=1)
    log.debug("room.thing_seen")
    (line,) = stderr.lines()
    assert list(line) == ["timestamp", "level", "event", "job_id", "path", "n"]
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "room.thing_done", "level": "info", "job_id": "j", "path": "/a b", "n": 1}


def test_the_file_gets_everything_and_the_main_log_keeps_its_level(stderr: Stderr, tmp_path: Path) -> None:
    file = tmp_path / "debug.jsonl"
    configure(LogChoice(level="warning", file=file), fd=stderr.fd)
    log.debug("room.thing_seen")
    log.info("room.thing_done")
    log.error("room.thing_lost")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["room.thing_seen", "room.thing_done", "room.thing_lost"]
    assert {line["process"] for line in lines} == {os.getpid()}
    assert [line["event"] for line in stderr.lines()] == ["room.thing_lost"]


def test_a_traceback_is_part_of_its_entry(stderr: Stderr) -> None:
    configure(LogChoice(), fd=stderr.fd)
    try:
        raise ValueError("a\x1b[31m\nb")
    except ValueError:
        log.exception("room.thing_failed")
    (line,) = stderr.lines()
    assert line["level"] == "error"
    assert line["traceback"].endswith("ValueError: a%1B[31m\nb")


def test_on_a_terminal_lines_are_for_people(stderr: Stderr, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(LogChoice(sink=Sink.CONSOLE), fd=stderr.fd)
    log.warning("room.thing_failed", name="a\nb", printed="first\nsecond\n")
    text = stderr.text()
    plain = COLOUR.sub("", text)
    assert text != plain
    assert re.search(r"\[warning  \] room\.thing_failed +name=a%0Ab\nfirst\nsecond\n$", plain)
    stderr.clear()
    monkeypatch.setenv("NO_COLOR", "1")
    configure(LogChoice(sink=Sink.CONSOLE), fd=stderr.fd)
    log.warning("room.thing_failed")
    assert "\x1b" not in stderr.text()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(texts=st.tuples(TEXTS, TEXTS))
@pytest.mark.parametrize("sink", list(Sink))
def test_any_name_is_one_line_or_entry_of_every_sink(
    stderr: Stderr, journald: Journald, tmp_path: Path, sink: Sink, texts: tuple[str, str]
) -> None:
    key, value = texts
    file = tmp_path / "debug.jsonl"
    file.unlink(missing_ok=True)
    stderr.clear()
    configure(LogChoice(sink=sink, file=file), fd=stderr.fd)
    log.info("room.thing_done", **{f"k{key}": value}, names=[value, {value: value}])
    if sink is Sink.JOURNAL:
        fields = parsed(journald.read())
        assert stderr.text() == ""
        assert all(is_harmless(text) for _, text in fields)
    else:
        (line,) = COLOUR.sub("", stderr.text()).split("\n")[:-1]
        assert is_harmless(line)
        assert sink is Sink.CONSOLE or json.loads(line)["event"] == "room.thing_done"
    (line,) = file.read_text(encoding="utf-8").split("\n")[:-1]
    assert is_harmless(line)
    assert json.loads(line)["event"] == "room.thing_done"


def test_under_systemd_entries_go_to_the_journal(
    stderr: Stderr, journald: Journald, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = os.fstat(stderr.fd)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    configure(LogChoice(), fd=stderr.fd)
    log.error("room.thing_failed", error_code="E131")
    fields = dict(parsed(journald.read()))
    assert (fields["HEYGEMD_EVENT"], fields["PRIORITY"]) == ("room.thing_failed", "3")
    assert fields["HEYGEMD_ADVICE"] == ADVICE["E131"].todo
    assert stderr.text() == ""


def test_without_a_journal_entries_go_to_stderr_with_their_priority(stderr: Stderr, journald: Journald) -> None:
    configure(LogChoice(sink=Sink.JOURNAL), fd=stderr.fd)
    journald.close()
    log.error("room.thing_failed", n=1)
    text = stderr.text()
    assert text.startswith("<3>{")
    assert json.loads(text[3:])["n"] == 1
    journald.open()
    log.info("room.thing_done")
    assert dict(parsed(journald.read()))["HEYGEMD_EVENT"] == "room.thing_done"


def test_a_journal_and_a_stream_that_both_hang_cost_entries_whose_number_is_told(journald: Journald) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        configure(LogChoice(sink=Sink.JOURNAL), fd=ours.fileno())
        for number in range(3000):  # more than both queues hold
            log.info("room.thing_done", number=number, name="x" * 1000)
        taken = [dict(parsed(data)) for data in journald.read_all()]
        streamed = received(theirs)
        log.info("room.thing_done", number=3000)
        assert streamed.count(b"\n") > 10
        after, lost = (dict(parsed(journald.read())) for _ in range(2))
    assert after["HEYGEMD_NUMBER"] == "3000"
    assert (lost["HEYGEMD_EVENT"], lost["PRIORITY"]) == ("log.entries_lost", "4")
    whole = [json.loads(line[3:]) for line in streamed.split(b"\n")[:-1]]
    assert int(lost["HEYGEMD_COUNT"]) + len(taken) + len(whole) == 3000


def received(stream: socket.socket) -> bytes:
    stream.setblocking(False)
    parts = []
    try:
        while part := stream.recv(1 << 20):
            parts.append(part)
    except BlockingIOError:
        return b"".join(parts)
    raise AssertionError("the other end was closed")


def test_a_file_that_fails_is_said_once_in_the_main_log(
    stderr: Stderr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "RETRY_S", 0.0)
    folder = tmp_path / "later"
    configure(LogChoice(file=folder / "debug.jsonl"), fd=stderr.fd)
    for _ in range(3):
        log.info("room.thing_done")
    events = [line["event"] for line in stderr.lines()]
    assert events == ["room.thing_done", "log.file_failed", "room.thing_done", "room.thing_done"]
    assert stderr.lines()[1]["reason"] == "No such file or directory"
    folder.mkdir()
    log.info("room.thing_done")
    resumed = stderr.lines()[-1]
    assert (resumed["event"], resumed["lost"]) == ("log.file_resumed", 4)


def test_a_stderr_that_fails_is_nobodys_fault(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    configure(LogChoice(), fd=writing)
    log.info("room.thing_done")
    os.close(writing)
    log.info("room.thing_done")
    with Path("/dev/full").open("wb") as full:
        configure(LogChoice(), fd=full.fileno())
        log.info("room.thing_done")


def test_a_stream_that_is_no_file_is_written_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure(LogChoice())
    log.info("room.thing_done", name="文件")
    assert json.loads(stream.getvalue())["name"] == "文件"
    stream.close()
    log.info("room.thing_done")


def test_a_new_choice_gives_the_old_file_back(tmp_path: Path, stderr: Stderr) -> None:
    counts = []
    for _ in range(2):
        configure(LogChoice(file=tmp_path / "debug.jsonl"), fd=stderr.fd)
        log.info("room.thing_done")
        counts.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    "choice",
    [LogChoice(), LogChoice(level="debug", file=Path("/a b/\udcff.jsonl"), sink=Sink.JOURNAL)],
    ids=["plain", "full"],
)
def test_a_choice_crosses_to_children(choice: LogChoice) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert choice_of(parser.parse_args(choice.as_arguments())) == choice
    assert pickle.loads(pickle.dumps(choice)) == choice


@pytest.mark.pty
def test_a_terminal_and_a_stream_are_told_apart() -> None:
    ours, theirs = os.openpty()
    assert LogChoice().settled(theirs).sink is Sink.CONSOLE
    os.close(ours)
    os.close(theirs)
    assert LogChoice().settled(-1).sink is Sink.JSON
    assert LogChoice(sink=Sink.JOURNAL).settled(-1).sink is Sink.JOURNAL
