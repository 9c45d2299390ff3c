"""A small soak: the whole one is `scripts/soak_kills.py`. And the soak itself, tried on daemons with known bugs."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ffmpeg, pytest.mark.slow]


@pytest.fixture
def soak(repository, tmp_path):
    """A function that runs the soak on shards side by side; returns its exit status and what it found."""

    def run(*options, shards):
        result = tmp_path / "result.json"
        script = repository / "scripts/soak_kills.py"
        sides = ["--shards", str(shards), "--parallel", str(shards)]
        argv = [sys.executable, str(script), *sides, "--json", str(result), *options]
        done = subprocess.run(argv, cwd=repository, capture_output=True, text=True, timeout=300, check=False)
        assert result.exists(), done.stdout + done.stderr
        return done.returncode, json.loads(result.read_text())

    return run


def test_killed_again_and_again_it_loses_doubles_and_breaks_nothing(soak):
    status, found = soak("--films", "8", "--kills", "4", "--seed", "3", shards=2)
    assert {kind: texts for kind, texts in found["violations"].items() if texts} == {}
    assert sum(found["kills"].values()) == 4
    assert status == 0


@pytest.mark.parametrize("mutant", ["film-copied", "film-first"])
def test_soak_catches_a_daemon_that_breaks_a_rule(soak, mutant):
    status, found = soak("--films", "3", "--kills", "3", "--seed", "3", "--mutant", mutant, shards=1)
    assert status == 0, f"not caught: {found}"


@pytest.fixture
def ledger(repository, monkeypatch):
    """The module that judges what can be seen in an outbox."""
    monkeypatch.syspath_prepend(str(repository / "scripts"))
    from soak import ledger

    return ledger


def publish(folder, film=b"a film", report=None):
    """A film and its report."""
    (folder / "anna.mp4").write_bytes(film)
    if report is None:
        report = {"sha256": hashlib.sha256(b"a film").hexdigest()}
    (folder / "anna.mp4.json").write_text(json.dumps(report))


def test_whole_film_beside_its_report_is_no_violation(ledger, tmp_path: Path):
    publish(tmp_path)
    assert ledger.Outbox(tmp_path, {"anna.mp4", "bert.mp4"}).look() == []


def test_partial_replaced_unwanted_or_unreported_film_is_seen(ledger, tmp_path: Path):
    outbox = ledger.Outbox(tmp_path, {"anna.mp4", "bert.mp4"})
    publish(tmp_path, film=b"a fi")
    assert "partial" in outbox.look()[0]
    publish(tmp_path)
    assert "replaced" in outbox.look()[0]
    (tmp_path / "bert.mp4").write_bytes(b"x")
    (tmp_path / "anna.v2.mp4").write_bytes(b"x")
    assert outbox.look() == [
        "anna.v2.mp4: one film too many", "anna.v2.mp4: a film without a report", "bert.mp4: a film without a report",
    ]  # fmt: skip
