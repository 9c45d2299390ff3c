"""Mutated manifests, settings, tickets and records before a real inbox: it goes on, and no promise is broken."""

import os
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from heygemd.intake import inbox as inbox_module
from heygemd.intake.manifestdesk import ManifestDesk
from heygemd.jobs.states import JobState
from tests.fuzz import desk
from tests.fuzz.desk import GOOD, Desk, Text
from tests.fuzz.outcome import Ending, Tally

SEED = "suite"
TEXTS = 15 * desk.TOGETHER


@pytest.fixture(autouse=True)
def no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here asks what survives a power cut."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def good(kind: str) -> Text:
    return Text(label=f"good-{Path(kind).name}", kind=kind, luck_seed="x", data=GOOD[kind])


def test_good_texts_are_used(tmp_path: Path) -> None:
    texts = [good(kind) for kind in GOOD]
    place = Desk(tmp_path / "desk")
    for number, text in enumerate(texts):
        place.drop(text, f"e{number}")
    place.run()
    place.check()
    endings = {text.kind: place.ending_of(text, f"e{number}") for number, text in enumerate(texts)}
    assert {kind: outcome.code for kind, outcome in endings.items() if outcome.ending is not Ending.USED} == {}
    films = Counter(job.folder for job in place.rig.stored.values() if job.state is JobState.QUEUED)
    assert (films["e0/films"], films["e0/m"]) == (2, 1), "two of the pattern, one of the name"


def test_mutated_texts_break_no_inbox(tmp_path: Path) -> None:
    source, tally = desk.texts(SEED), Tally(tmp_path / "kept")
    while tally.executions < TEXTS:
        desk.execute(tmp_path / f"root-{tally.executions}", list(islice(source, desk.TOGETHER)), tally)
    assert tally.harm == []
    assert tally.endings[Ending.USED] >= TEXTS // 20, tally.lines()
    assert tally.endings[Ending.REFUSED] >= TEXTS // 20, tally.lines()


def noticed(tmp_path: Path, *texts: Text) -> Tally:
    tally = Tally(tmp_path / "kept")
    desk.execute(tmp_path / "root", list(texts), tally)
    return tally


def test_an_inbox_that_raises_is_noticed_and_its_text_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ManifestDesk._parse

    def parse(self, place):
        if place[1].endswith(".csv"):
            raise KeyError("a bug")
        return plain(self, place)

    monkeypatch.setattr(ManifestDesk, "_parse", parse)
    tally = noticed(tmp_path, good("m.heygem.json"), good("m.heygem.csv"), good("m.heygem.yaml"))
    assert tally.endings == {Ending.USED: 2, Ending.DEATH: 1}
    assert [path.name[13:] for path in tally.kept.glob("*.csv")] == ["good-m.heygem.csv"]


def test_an_inbox_that_changes_a_file_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = inbox_module.Inbox.look

    def look(self, word):
        for path in self._root.inbox.rglob("1.wav"):
            path.write_bytes(b"other")
        return plain(self, word)

    monkeypatch.setattr(inbox_module.Inbox, "look", look)
    tally = noticed(tmp_path, good("m.heygem.json"))
    assert tally.endings == {Ending.FAULT: 1}
    assert "changed or gone" in tally.harm[0]


def test_an_inbox_that_is_paused_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self, place):
        raise OSError(36, "File name too long")

    monkeypatch.setattr(inbox_module.Claims, "begin", lambda self, *_: refuse(self, ""))
    tally = noticed(tmp_path, good("m.heygem.json"))
    assert tally.endings == {Ending.FAULT: 1}
    assert "paused" in tally.harm[0]
