"""Whole runs of `heygemd render`, each a process of its own."""

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest

OK, FAILED, INTERRUPTED = 0, 1, 130


@pytest.fixture(autouse=True)
def _own_world(tmp_path, monkeypatch):
    """A state home and a language of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.chdir(tmp_path)


def spell(*words):
    """The command line of a process of its own."""
    return [sys.executable, "-m", "heygemd", *(str(word) for word in words)]


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """A picture without a face, of half a second, and a tone of 0.6 s."""
    folder = tmp_path_factory.mktemp("pair")
    make = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i"]
    picture = ["testsrc2=s=64x48:r=25:d=0.5", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([*make, *picture, str(folder / "face.mp4")], check=True)
    subprocess.run([*make, "sine=duration=0.6:sample_rate=16000", str(folder / "voice.wav")], check=True)
    return folder / "face.mp4", folder / "voice.wav"


@pytest.fixture
def no_face(pair, tmp_path):
    """A real run of the embedded engine on a picture without a face."""
    words = spell("render", "-v", pair[0], "-a", pair[1], "-o", "out.mp4", "--engine", "atlas", "--json")
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.ffmpeg
@pytest.mark.slow
def test_a_picture_without_a_face_fails_with_advice_and_leaves_nothing(no_face, tmp_path):
    assert no_face.returncode == FAILED
    error = json.loads(no_face.stdout)["error"]
    assert error["code"] == "E131"
    assert error["advice"].startswith("Use a clip in which one face")
    assert "E131 No usable face was found in the picture." in no_face.stderr
    assert "Use a clip in which one face" in no_face.stderr
    assert '"level": "info"' not in no_face.stderr, "workers are as quiet as the command"
    assert list(tmp_path.glob("out*")) == []
    assert list((tmp_path / "xdg/heygemd").iterdir()) == []


@pytest.mark.ffmpeg
@pytest.mark.slow
def test_a_film_comes_with_its_report_and_nothing_is_left_behind(pair, tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"an older film")
    how = ("--engine", "passthrough", "--preset", "ultrafast", "--segment-s", "0.3", "--json", "--overwrite")
    made = subprocess.run(
        spell("render", "-v", pair[0], "-a", pair[1], "-o", "out.mp4", *how),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (made.returncode, made.stderr) == (OK, "")
    report = json.loads(made.stdout)
    assert (report["state"], report["output"], report["frames"]) == ("done", "out.mp4", 15)
    beside = json.loads((tmp_path / "out.mp4.json").read_text())
    assert {name: beside[name] for name in ("job", "sha256", "plan")} == {
        name: report[name] for name in ("job", "sha256", "plan")
    }
    assert (tmp_path / "out.jpg").stat().st_size > 0
    assert (tmp_path / "out.mp4").stat().st_size == report["size_bytes"]
    assert list((tmp_path / "xdg/heygemd").iterdir()) == []


@pytest.mark.ffmpeg
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_work_and_clears_it_away(pair, tmp_path, number):
    words = spell("render", "-v", pair[0], "-a", pair[1], "-o", "out.mp4", "--engine", "passthrough")
    command = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        assert command.stderr is not None
        assert "looking and listening" in command.stderr.readline()
        end_s, workers = time.monotonic() + 10, []
        while not workers and time.monotonic() < end_s:
            workers = psutil.Process(command.pid).children(recursive=True)
        command.send_signal(number)
        said = command.communicate(timeout=20)[1]
    finally:
        command.kill()
        command.wait()
    assert command.returncode == INTERRUPTED
    assert "interrupted; nothing was written" in said
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    assert list(tmp_path.glob("out*")) == []
    assert list((tmp_path / "xdg/heygemd").iterdir()) == []
