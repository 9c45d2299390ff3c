"""The long run: every kind begins, counts, and says with its status whether anything did harm."""

import json
from pathlib import Path

import pytest

from tests.fuzz import campaign, structure
from tests.fuzz.outcome import Ending, Outcome, Tally

pytestmark = pytest.mark.ffmpeg


@pytest.fixture
def program(script, monkeypatch: pytest.MonkeyPatch):
    def run(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["fuzz_inputs.py", *words])
        return script("fuzz_inputs").main()

    return run


def test_kinds_of_the_program_are_those_of_the_campaign(script) -> None:
    assert set(script("fuzz_inputs").SHARES) == {*campaign.KINDS, "coverage"}


def test_a_run_counts_and_ends_well(program, tmp_path: Path) -> None:
    words = ("--seconds", "2", "--only", "texts", "--kept", str(tmp_path / "kept"), "--json", str(tmp_path / "counts"))
    assert program(*words) == 0
    counts = json.loads((tmp_path / "counts").read_text())
    assert counts["texts"]["executions"] > 0
    assert counts["texts"]["daemon death"] == 0
    assert not (tmp_path / "kept").exists()


def test_a_run_that_finds_something_says_so_and_keeps_it(program, tmp_path: Path, monkeypatch) -> None:
    def harm(folder: Path, batch: list, tally: Tally) -> None:
        tally.note("1-0-x.csv", b"bad", Outcome(ending=Ending.DEATH, reason="planted"))

    monkeypatch.setattr(campaign.desk, "execute", harm)
    assert program("--seconds", "0", "--only", "texts", "--kept", str(tmp_path / "kept")) == 1
    assert [path.read_bytes() for path in (tmp_path / "kept" / "texts").glob("*.csv")] == [b"bad"]


def test_a_number_of_executions_ends_a_run(stock, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(campaign.media.Stock, "of", lambda _: stock)
    tally = campaign.run("structure", tmp_path, "x", Tally(tmp_path / "kept"), executions=100)
    assert tally.executions == 2 * campaign.STRUCTURES_AT_ONCE


def test_a_parser_that_takes_too_long_is_noticed(tmp_path: Path, monkeypatch) -> None:
    clock = iter((0.0, structure.MAX_CPU_S + 1))
    monkeypatch.setattr(structure.time, "process_time", lambda: next(clock))
    tally = Tally(tmp_path / "kept")
    structure.execute(structure.Mutant(label="x.mp4", is_picture=True, data=b"data"), tally)
    assert tally.endings == {Ending.SLOW: 1}
