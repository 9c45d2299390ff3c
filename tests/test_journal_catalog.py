"""systemd/heygemd.catalog explains every event, and journalctl accepts it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from heygemd.journal import field_name
from heygemd.message_ids import message_id


@pytest.fixture(scope="module")
def maker(script):
    return script("make_journal_catalog")


@pytest.fixture(scope="module")
def calls(maker, repository: Path):
    return list(maker.log_calls(repository / "heygemd"))


@pytest.fixture(scope="module")
def text(repository: Path) -> str:
    return (repository / "systemd" / "heygemd.catalog").read_text(encoding="utf-8")


def entries(text: str) -> dict[str, str]:
    """Return number (and language) → text, as the file has them."""
    parts = re.split(r"^-- (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_file_is_what_the_generator_makes(maker, calls, text: str) -> None:
    page = maker.PAGE.read_text(encoding="utf-8")
    assert maker.catalog(calls, maker.meanings(page)) == text


def test_every_event_has_one_entry_under_its_number(calls, text: str) -> None:
    numbers = re.findall(r"^-- ([0-9a-f]{32})$", text, re.MULTILINE)
    assert len(numbers) == len(set(numbers))
    assert set(numbers) == {message_id(call.name) for call in calls}


def test_an_entry_has_what_the_format_asks_for(text: str) -> None:
    for number, entry in entries(text).items():
        head, empty, body = entry.lstrip("\n").partition("\n\n")
        assert re.findall(r"^(\S+):", head, re.MULTILINE) == ["Subject", "Defined-By", "Support", "Documentation"], (
            number
        )
        assert empty
        assert body.strip(), number
        assert "`" not in entry


def test_a_text_cites_only_fields_that_every_call_gives(calls, text: str) -> None:
    """journalctl prints the bare name of a field that an entry does not have."""
    given: dict[str, set[str]] = {}
    for call in calls:
        fields = {field_name(keyword) for keyword in call.keywords}
        if "error_code" in call.keywords:
            fields |= {"HEYGEMD_ADVICE", "HEYGEMD_ADVICE_ZH"}
        given[message_id(call.name)] = given.get(message_id(call.name), fields) & fields
    for number, entry in entries(text).items():
        assert set(re.findall(r"@(\w+)@", entry)) <= given[number.split()[0]], number


def test_an_event_with_a_code_is_explained_with_its_advice(maker) -> None:
    call = maker.LogCall("room.thing_failed", "room", 1, frozenset({"job_id", "error_code", "reason"}))
    bare = maker.LogCall("room.thing_failed", "room", 9, frozenset({"error_code", "reason"}))
    found = entries(maker.catalog([call, bare], {"room.thing_failed": "A `thing` a\\|b."}))
    english, chinese = found.values()
    assert (
        "A thing a|b.\n\nCode: @HEYGEMD_ERROR_CODE@\nReason: @HEYGEMD_REASON@\nWhat to do: @HEYGEMD_ADVICE@" in english
    )
    assert "HEYGEMD_JOB_ID" not in english
    assert "处理方法：@HEYGEMD_ADVICE_ZH@" in chinese


@pytest.mark.skipif(shutil.which("journalctl") is None, reason="needs journalctl")
def test_journalctl_compiles_it_and_finds_its_texts(repository: Path, tmp_path: Path, text: str) -> None:
    source = tmp_path / "usr/lib/systemd/catalog"
    source.mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(repository / "systemd" / "heygemd.catalog", source)

    def journalctl(*words: str) -> subprocess.CompletedProcess[str]:
        argv = ["journalctl", f"--root={tmp_path}", "--no-pager", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)

    made = journalctl("--update-catalog")
    assert (made.returncode, made.stderr) == (0, "")
    listed = journalctl("--list-catalog").stdout.splitlines()
    assert len(listed) == len(re.findall(r"^-- [0-9a-f]{32}$", text, re.MULTILINE))
    shown = journalctl("--dump-catalog", message_id("job.moved")).stdout
    assert "Subject: job.moved" in shown
    assert "A job changed its state" in shown
