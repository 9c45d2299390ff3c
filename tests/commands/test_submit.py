"""`heygemd submit`."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

OK, FAILED, USAGE, INTERRUPTED, SETUP = 0, 1, 2, 130, 78
IN_FRONT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from heygemd.cli import app
app()
"""
"""A command as in a terminal: where the tests run in the background of a shell, SIGINT is ignored by all they start."""
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(2000)
WAV = b"RIFF" + struct.pack("<I", 2036) + b"WAVEfmt " + bytes(2028)


@pytest.fixture
def pair(tmp_path):
    (tmp_path / "face.mp4").write_bytes(MP4)
    (tmp_path / "talk.wav").write_bytes(WAV)
    return "face.mp4", "talk.wav"


@pytest.fixture(autouse=True)
def _small_reserve(monkeypatch):
    monkeypatch.setenv("HEYGEMD_INTAKE__RESERVE_MIB", "1")


def manifest_of(house, folder=""):
    (file,) = (house.root.inbox / folder).glob("*.heygem.json")
    return json.loads(file.read_text())


def test_a_pair_is_brought_with_its_options(call, house, pair):
    found = call(
        "submit", *pair, "--to", house.root.path, "--folder", "show", "--name", "The End", "--priority", "5",
        "--engine", "passthrough", "--length", "loop", "--crf", "20",
    )  # fmt: skip
    assert found.exit_code == OK, found.stderr
    assert "1 film ordered as The End-" in found.stderr
    (row,) = manifest_of(house, "show")["jobs"]
    assert (row["output"], row["priority"]) == ("The End.mp4", 5)
    assert row["options"] == {"engine": "passthrough", "length": "loop", "crf": 20}
    assert (house.root.inbox / "show" / "talk.wav").read_bytes() == WAV


def test_without_to_the_only_root_of_the_configuration_is_meant(call, house, pair):
    found = call("submit", *pair, "-c", house.config, "--json")
    assert found.exit_code == OK, found.stderr
    told = json.loads(found.stdout)
    assert told["root"] == str(house.root.path)
    assert told["films"] == [str(house.root.outbox / "talk.mp4")]
    assert {one["how"] for one in told["files"]} == {"copy"}
    assert found.stderr == ""


def test_a_folder_and_a_manifest_are_brought(call, house, pair, tmp_path):
    (tmp_path / "lone.wav").write_bytes(WAV)
    found = call("submit", "--from-dir", tmp_path, "--to", house.root.path)
    assert found.exit_code in (OK, FAILED)
    (tmp_path / "in").mkdir()
    for name in pair:
        (tmp_path / name).rename(tmp_path / "in" / name)
    (tmp_path / "in" / "day.heygem.csv").write_text("id,video,audio\nep1,face.mp4,talk.wav\n")
    found = call("submit", "-m", "in/day.heygem.csv", "--to", house.root.path, "--folder", "m")
    assert found.exit_code == OK, found.stderr
    assert [row["id"] for row in manifest_of(house, "m")["jobs"]] == ["ep1"]


def test_a_lone_file_of_a_folder_is_said_to_be_left_out(call, house, tmp_path):
    (tmp_path / "in").mkdir()
    for name, data in (("a.mp4", MP4), ("a.wav", WAV), ("lone.wav", WAV)):
        (tmp_path / "in" / name).write_bytes(data)
    found = call("submit", "--from-dir", "in", "--to", house.root.path)
    assert found.exit_code == OK
    assert "left out: in/lone.wav: waiting for partner" in found.stderr
    assert len(manifest_of(house)["jobs"]) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give VIDEO AUDIO"), (["face.mp4"], "a picture and a sound are needed"),
        (["absent.mp4", "talk.wav"], "absent.mp4 is not a file"), (["--from-dir", "absent"], "is not a folder"),
        (["face.mp4", "talk.wav", "-m", "x.heygem.json"], "give VIDEO AUDIO"),
        (["face.mp4", "talk.wav", "--link", "--move"], "exclude each other"),
        (["-m", "talk.wav", "--crf", "3"], "says names, priorities and options itself"),
    ],
    ids=str,
)  # fmt: skip
def test_words_that_cannot_be_meant_are_refused(call, house, pair, words, sentence):
    found = call("submit", *words, "--to", house.root.path)
    assert (found.exit_code, found.stdout) == (USAGE, "")
    assert sentence in " ".join(found.stderr.split())
    assert list(house.root.inbox.iterdir()) == []


def test_a_root_must_be_one_and_must_be_said(call, pair, tmp_path):
    found = call("submit", *pair)
    assert found.exit_code == USAGE
    assert "--to ROOT" in found.stderr
    found = call("submit", *pair, "--to", tmp_path)
    assert found.exit_code == SETUP
    assert "init-root" in found.stderr
    assert not (tmp_path / "inbox").exists()


def test_files_that_are_none_fail_with_code_and_advice(call, house, pair, tmp_path):
    (tmp_path / "face.mp4").write_text("#EXTM3U")
    found = call("submit", *pair, "--to", house.root.path, "--json")
    assert found.exit_code == FAILED
    assert json.loads(found.stdout)["error"]["code"] == "E101"
    assert list(house.root.inbox.iterdir()) == []


def test_a_name_that_had_to_change_is_said(call, house, pair, tmp_path):
    (tmp_path / "talk.wav").rename(tmp_path / "ep[1]\n.wav")
    found = call("submit", "face.mp4", "ep[1]\n.wav", "--to", house.root.path)
    assert found.exit_code == OK
    assert "ep[1]%0A.wav is called ep_1_%0A.wav in the inbox" in found.stderr


class Helper:
    """Stands in for the daemon: writes the report of a batch when somebody looks for it again."""

    def __init__(self, house, monkeypatch, *rows):
        self.house, self.rows = house, rows
        status = {"written_at": datetime.now(UTC).isoformat(), "running": []}
        (house.root.status / "status.json").write_text(json.dumps(status))
        monkeypatch.setattr("heygemd.commands.waiting.time.sleep", self.work)

    def work(self, seconds):
        (file,) = self.house.root.inbox.glob("*.heygem.json")
        name = file.name.removesuffix(".heygem.json")
        place = self.house.root.status / "manifests"
        place.mkdir()
        told = {
            "heygemd_batch_report": 1, "batch": "b", "complete": True, "name": name, "folder": "",
            "totals": {"done": 1}, "rows": list(self.rows),
        }  # fmt: skip
        (place / f"{name}.report.json").write_text(json.dumps(told))


def row(state, output=None, code=None, message=None):
    return {
        "number": 1, "id": None, "state": state, "output": output, "error_code": code, "message": message,
        "audio": "talk.wav", "job": "j",
    }  # fmt: skip


def test_waiting_ends_with_the_paths_of_the_films(call, house, pair, monkeypatch):
    Helper(house, monkeypatch, row("done", "talk.v2.mp4"))
    found = call("submit", *pair, "--to", house.root.path, "--wait")
    assert found.exit_code == OK, found.stderr
    assert found.stdout == f"{house.root.outbox}/talk.v2.mp4\n"


def test_waiting_for_a_film_that_fails_ends_with_1_and_says_why(call, house, pair, monkeypatch):
    Helper(house, monkeypatch, row("failed", code="E131", message="no face"))
    found = call("submit", *pair, "--to", house.root.path, "--wait")
    assert (found.exit_code, found.stdout) == (FAILED, "")
    assert "talk.wav: failed E131 no face" in found.stderr
    assert "looks roughly at the camera" in found.stderr


def test_waiting_with_json_gives_one_document(call, house, pair, monkeypatch):
    Helper(house, monkeypatch, row("failed", code="E131", message="no face"))
    found = call("submit", *pair, "--to", house.root.path, "--wait", "--json")
    assert found.exit_code == FAILED
    assert json.loads(found.stdout)["rows"][0]["error_code"] == "E131"


def test_who_stops_waiting_stops_nothing_else(call, house, pair, monkeypatch):
    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("heygemd.commands.waiting.time.sleep", interrupt)
    found = call("submit", *pair, "--to", house.root.path, "--wait")
    assert found.exit_code == INTERRUPTED
    assert "no daemon looks after this root" in found.stderr
    assert "made all the same" in found.stderr
    assert len(list(house.root.inbox.iterdir())) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_a_copy_leaves_nothing_behind(house, pair, tmp_path, number):
    big = tmp_path / "face.mp4"
    with big.open("ab") as file:
        file.truncate(1 << 30)  # takes no room here, and time to copy
    words = ["submit", *pair, "--to", str(house.root.path)]
    child = subprocess.Popen(
        [sys.executable, "-c", IN_FRONT, *words], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "LANG": "C.UTF-8"},
    )  # fmt: skip
    end_s = time.monotonic() + 20
    while not list(house.root.inbox.glob(".heygemd-submit-*/*")):
        assert time.monotonic() < end_s
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.01)
    child.send_signal(number)
    _, told = child.communicate(timeout=20)
    assert child.returncode == INTERRUPTED
    assert "nothing was written" in told
    assert list(house.root.inbox.iterdir()) == []
    assert big.exists()
