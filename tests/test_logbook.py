"""`heygemd logs`: the journal's words, the files' lines, and the way from a film's name to both."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer
from typer.testing import CliRunner

from heygemd.commands import logs, options
from heygemd.errors import ADVICE, SetupError
from heygemd.jobs.store import JobStore
from heygemd.log import LogChoice, configure
from heygemd.logbook import LogBook, Query, entry_of, has_journal, journal_command, told
from heygemd.logline import plain_entry
from tests.jobs.conftest import make_job

ID, OTHER = "20260713T093000123-abcdefghij", "20260713T093000124-klmnopqrst"
START = datetime(2026, 7, 13, 9, 30, tzinfo=UTC)


def debug_line(minute: int, event: str = "room.thing_done", level: str = "info", **values: Any) -> str:
    at = f"{START + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%S.%fZ}"
    return json.dumps({"process": 1, "timestamp": at, "level": level, "event": event, **values}) + "\n"


def event_line(minute: int, seq: int, job: str, **values: Any) -> str:
    at = (START + timedelta(minutes=minute)).isoformat(timespec="microseconds")
    return json.dumps({"seq": seq, "at": at, "job": job, **values}) + "\n"


class House:
    """A state directory and a debug file."""

    def __init__(self, folder: Path) -> None:
        self.state_dir = folder / "state"
        self.state_dir.mkdir()
        self.events = self.state_dir / "events.jsonl"
        self.debug = folder / "debug.jsonl"
        self.config = folder / "heygemd.toml"
        self.config.write_text(f'state_dir = "{self.state_dir}"\nlog_file = "{self.debug}"\n')

    def read(self, **wanted: Any) -> list[str]:
        return [str(entry["event"]) for entry in LogBook(self.debug, self.state_dir).read(Query(**wanted))]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_the_journal_is_asked_for_the_unit_and_the_fields() -> None:
    assert journal_command(Query(lines=100)) == ("journalctl", "--unit=heygemd.service", "--lines=100")
    query = Query(jobs=(ID, OTHER), level="error", since=START, follow=True, explain=True, as_json=True)
    assert journal_command(query) == (
        "journalctl", "--unit=heygemd.service", "--lines=all", "--priority=err", f"--since=@{int(START.timestamp())}",
        "--follow", "--catalog", "--output=json", f"HEYGEMD_JOB_ID={ID}", f"HEYGEMD_JOB_ID={OTHER}",
    )  # fmt: skip
    assert journal_command(Query(batches=(ID,)))[-1] == f"HEYGEMD_BATCH={ID}"


def test_only_an_installed_unit_of_a_running_systemd_has_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "journalctl"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not has_journal(tmp_path)
    unit = tmp_path / "etc/systemd/system/heygemd.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    assert not has_journal(tmp_path)
    (tmp_path / "run/systemd/journal").mkdir(parents=True)
    assert has_journal(tmp_path)
    program.unlink()
    assert not has_journal(tmp_path)


def test_lines_are_chosen_by_film_batch_level_time_and_number(house: House) -> None:
    house.debug.write_text(
        debug_line(0, "a.one", job_id=ID)
        + debug_line(1, "a.two", "warning", job_id=OTHER)
        + "half a line of a power cut\n"
        + debug_line(2, "a.three", "error", job=ID, batch="B")
        + debug_line(3, "a.four", "debug")
    )
    assert house.read() == ["a.one", "a.two", "a.three", "a.four"]
    assert house.read(jobs=(ID,)) == ["a.one", "a.three"]
    assert house.read(jobs=(ID, OTHER), lines=2) == ["a.two", "a.three"]
    assert house.read(batches=("B",)) == ["a.three"]
    assert house.read(level="warning") == ["a.two", "a.three"]
    assert house.read(since=START + timedelta(minutes=1, seconds=30)) == ["a.three", "a.four"]


def test_rotated_files_are_part_of_the_log(house: House) -> None:
    house.debug.with_name("debug.jsonl.1").write_text(debug_line(0, "a.one"))
    house.debug.write_text(debug_line(1, "a.two"))
    assert house.read() == ["a.one", "a.two"]
    house.debug.unlink()
    assert house.read() == ["a.one"]


def test_events_tell_what_the_debug_file_has_no_more(house: House) -> None:
    house.events.write_text(
        event_line(0, 1, ID, state="queued", name="a\x1b[31mb")
        + event_line(1, 2, ID, state="failed", error_code="E131", error_message="no face")
        + event_line(4, 3, ID, state="queued")
    )
    house.debug.write_text(debug_line(3, "a.one"))
    assert house.read() == ["job.moved", "job.moved", "a.one"]
    entries = list(LogBook(None, house.state_dir).read(Query(jobs=(ID,))))
    assert [entry["state"] for entry in entries] == ["queued", "failed", "queued"]
    assert entries[0]["name"] == "a%1B[31mb"
    assert (entries[1]["level"], entries[1]["reason"], entries[1]["seq"]) == ("warning", "no face", 2)


def test_following_goes_on_where_the_file_ended(house: House) -> None:
    house.debug.write_text(debug_line(0, "a.one", job_id=ID))

    def write_more(pause_s: float) -> None:
        house.debug.rename(house.debug.with_suffix(".1"))
        house.debug.write_text(debug_line(1, "a.other") + debug_line(2, "a.two", job_id=ID))

    lines = LogBook(house.debug, house.state_dir).read(Query(jobs=(ID,), follow=True), write_more)
    assert [next(lines)["event"], next(lines)["event"]] == ["a.one", "a.two"]
    lines.close()  # type: ignore[attr-defined]


def test_no_log_at_all_is_said_with_what_to_do(house: House) -> None:
    with pytest.raises(SetupError, match="has the daemon run yet") as caught:
        LogBook(house.debug, house.state_dir)
    assert caught.value.code == "E401"
    with pytest.raises(SetupError, match="log_file is not set"):
        LogBook(None, house.state_dir)


def test_a_log_of_another_user_is_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.debug.write_text(debug_line(0))

    def refuse(*_: object, **__: object) -> Iterator[bytes]:
        raise PermissionError(13, "Permission denied", str(house.debug))

    monkeypatch.setattr("heygemd.logbook.lines_backwards", refuse)
    with pytest.raises(SetupError) as caught:
        house.read()
    assert caught.value.code == "E407"
    monkeypatch.setattr("heygemd.logbook.generations", refuse)
    with pytest.raises(SetupError, match="Permission denied"):
        LogBook(house.debug, house.state_dir)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"7", b'{"a": 1}', b"\xff", b"[" * 100_000])
def test_what_is_no_line_of_ours_is_left_out(line: bytes) -> None:
    assert entry_of(line) is None


def test_a_person_reads_time_level_event_and_advice() -> None:
    entry = plain_entry(
        {"timestamp": "2026-07-13T09:30:00.000000Z", "level": "warning", "event": "job.given_up", "job_id": ID,
         "error_code": "E131", "exception": "Traceback:\nValueError: no"}
    )  # fmt: skip
    here = START.astimezone()
    first, *block = told(entry, explain=True)
    assert first.startswith(f"{here:%Y-%m-%d %H:%M:%S} warning job.given_up: {ADVICE['E131'].title} job_id={ID}")
    assert block == [
        "    Traceback:", "    ValueError: no", f"    E131 {ADVICE['E131'].title}",
        f"    what to do: {ADVICE['E131'].todo}",
    ]  # fmt: skip
    assert told({"event": "e", "timestamp": "never", "error_code": "E999"}, explain=True) == [
        "never         e error_code=E999"
    ]


@pytest.fixture
def ask(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    before = structlog.get_config()
    monkeypatch.setattr(options, "INSTALLED_CONFIG", house.config.with_name("installed.toml"))
    monkeypatch.setenv("LANG", "C")
    app = typer.Typer()
    logs.register(app)
    app.command("other")(lambda: None)

    def run(*words: str, config: bool = True) -> Any:
        named = ["--config", str(house.config)] if config else []
        return CliRunner().invoke(app, ["logs", *named, *words])

    yield run
    configure(LogChoice())
    structlog.configure(**before)


def test_a_film_is_named_by_its_id_a_part_of_it_or_its_name(house: House, ask: Callable[..., Any]) -> None:
    with JobStore(house.state_dir / "jobs.sqlite") as store:
        store.add(make_job(ID, name="Ansprache 文件"))
        store.add(make_job(OTHER, name="other"))
    house.debug.write_text(debug_line(0, "a.one", job_id=ID) + debug_line(1, "a.two", job_id=OTHER))
    for word in (ID, "cdefghij", "abcdefgh", "Ansprache 文件", "Ansprache 文件.mp4"):
        result = ask("--json", word)
        assert result.exit_code == 0, result.output
        assert [json.loads(line)["event"] for line in result.stdout.splitlines()] == ["a.one"], word
    assert "a.two" in ask().stdout
    unknown = ask("nobody")
    assert unknown.exit_code == 2
    assert "heygemd jobs" in unknown.output


def test_a_whole_id_needs_no_store(house: House, ask: Callable[..., Any]) -> None:
    house.debug.write_text(debug_line(0, "a.one", job_id=ID) + debug_line(1, "a.two", job_id=OTHER))
    assert [json.loads(line)["event"] for line in ask("--json", ID).stdout.splitlines()] == ["a.one"]
    assert ask("--json", "cdefghij").exit_code == 78


def test_words_that_cannot_be_understood_are_usage_errors(house: House, ask: Callable[..., Any]) -> None:
    house.debug.write_text(debug_line(0))
    for words in (("--since", "yesteryear"), ("--level", "loud"), ("--lines", "0"), ("--source", "cloud")):
        assert ask(*words).exit_code == 2, words


def test_no_log_is_exit_78(ask: Callable[..., Any]) -> None:
    result = ask("--json")
    assert result.exit_code == 78
    assert json.loads(result.stdout)["error"]["code"] == "E401"


def test_an_installed_service_is_asked_through_journalctl(
    house: House, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    house.debug.write_text(debug_line(0))
    house.config.rename(options.INSTALLED_CONFIG)
    asked: list[tuple[str, ...]] = []

    def become(program: str, words: tuple[str, ...]) -> None:
        asked.append(words)
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "execvp", become)
    monkeypatch.setattr("heygemd.logbook.has_journal", lambda: True)
    result = ask("--since", "1h", ID, config=False)
    assert result.exit_code == 78
    assert "--source file" in result.output
    assert asked[0][1] == "--unit=heygemd.service"
    assert asked[0][-1] == f"HEYGEMD_JOB_ID={ID}"
    assert ask("--source", "file", config=False).exit_code == 0
    options.INSTALLED_CONFIG.rename(house.config)
    assert ask().exit_code == 0
    assert len(asked) == 1
