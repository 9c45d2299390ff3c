"""The soak of `scripts/soak_writers.py` in small: wicked writers, local and through a real share, and blind daemons."""

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

from heygemd.intake.roots import init_root
from tests.share.samba import is_usable

pytestmark = [pytest.mark.ffmpeg, pytest.mark.slow]

SOAKS = {
    "local": ("--writers", "66"),
    "share": ("--writers", "60", "--smb"),
    "no-lease": ("--writers", "8", "--kind", "stall, open", "--kind", "mapped", "--mutant", "no-lease"),
    "no-recheck": ("--writers", "8", "--kind", "written after claim", "--mutant", "no-recheck"),
}


@dataclass
class Soak:
    """One run: its exit status, its words, and what became of each writer."""

    status: int
    words: str
    results: list[str]


@pytest.fixture(scope="module")
def soaks(repository, tmp_path_factory):
    """All of them, run at the same time: writers sleep most of theirs."""
    folder, running = tmp_path_factory.mktemp("soaks"), {}
    for name, flags in SOAKS.items():
        if name != "share" or is_usable():
            argv = [sys.executable, "scripts/soak_writers.py", "--settle", "0.5", "--json", str(folder / name), *flags]
            running[name] = subprocess.Popen(
                argv, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
    ended = {}
    for name, process in running.items():
        words, _ = process.communicate(timeout=300)
        assert (folder / name).exists(), words
        results = [writer["result"] for writer in json.loads((folder / name).read_bytes())["writers"]]
        ended[name] = Soak(process.returncode, words, results)
    return ended


def test_no_half_written_file_is_taken_and_none_is_lost(soaks):
    assert soaks["local"].status == 0, soaks["local"].words
    assert soaks["local"].results == ["taken"] * 66


@pytest.mark.samba
def test_no_half_written_file_is_taken_through_a_share(soaks):
    assert soaks["share"].status == 0, soaks["share"].words
    assert soaks["share"].results == ["taken"] * 60


@pytest.mark.parametrize("blinder", ["no-lease", "no-recheck"])
def test_a_door_that_is_blind_in_one_eye_is_found_out(soaks, blinder):
    assert soaks[blinder].status == 0, soaks[blinder].words
    assert "wrong" in soaks[blinder].results


def test_the_judge_tells_taken_waiting_wrong_and_lost_apart(script, tmp_path):
    soak, root = script("soak_writers"), init_root(tmp_path / "root")
    parts = [soak.Part(number, "stall, open", soak.LocalPlace(root.path), 1.0) for number in range(5)]
    taken, tampered, half, waiting, _ = parts
    for part, data in ((taken, taken.data), (tampered, tampered.data), (half, half.data[:100])):
        files = dict([part.partner, (part.name, data)])
        job = root.failed / f"{part.stem}__aaaaaaaa"
        job.mkdir()
        inputs = {}
        for name, content in files.items():
            (job / name).write_bytes(content)
            sha256 = hashlib.sha256(content).hexdigest()
            inputs["audio" if name.endswith("wav") else "video"] = {"name": name, "sha256": sha256}
        (job / "error.json").write_text(json.dumps({"inputs": inputs}))
    (root.failed / f"{tampered.stem}__aaaaaaaa" / tampered.name).write_bytes(b"other")
    for name, content in (waiting.partner, (waiting.name, waiting.data)):
        (root.inbox / name).write_bytes(content)
    assert [verdict.result for verdict in soak.judge(root, parts)] == ["taken", "wrong", "wrong", "waiting", "lost"]
