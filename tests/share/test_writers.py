"""The soak of `scripts/soak_writers.py` in small: wicked writers, local and through a real share, and blind daemons."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.ffmpeg, pytest.mark.slow]

BLIND = {
    "no-lease": ("--kind", "stall, open", "--kind", "mapped", "--mutant", "no-lease"),
    "no-recheck": ("--kind", "written after claim", "--mutant", "no-recheck"),
}


@pytest.fixture(scope="module")
def soaks(repository, tmp_path_factory):
    """A function: run several soaks at the same time; returns exit status, words and results of each."""

    def start(*flags):
        file = tmp_path_factory.mktemp("soak") / "results.json"
        argv = [sys.executable, "scripts/soak_writers.py", "--settle", "0.5", "--json", str(file), *flags]
        return file, subprocess.Popen(argv, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(*soaks):
        ended = []
        for file, process in [start(*flags) for flags in soaks]:
            words, _ = process.communicate(timeout=300)
            assert file.exists(), words
            results = [writer["result"] for writer in json.loads(file.read_bytes())["writers"]]
            ended.append((process.returncode, words, results))
        return ended

    return run


def test_no_half_written_file_is_taken_and_none_is_lost(soaks):
    ((status, words, results),) = soaks(("--writers", "66"))
    assert status == 0, words
    assert results == ["taken"] * 66


@pytest.mark.samba
def test_no_half_written_file_is_taken_through_a_share(soaks):
    ((status, words, results),) = soaks(("--writers", "60", "--smb"))
    assert status == 0, words
    assert results == ["taken"] * 60


def test_a_door_that_is_blind_in_one_eye_is_found_out(soaks):
    for status, words, results in soaks(*(("--writers", "8", *flags) for flags in BLIND.values())):
        assert status == 0, words
        assert "wrong" in results
