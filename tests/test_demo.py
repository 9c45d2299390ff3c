"""The demo's presenter and its closing words, and the memory bench, without rendering anything."""

import json
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def presenter(repository: Path, script):
    return script("demo/make_presenter")


def test_camera_path_closes_without_a_jump(presenter) -> None:
    path = [presenter.camera(frame) for frame in range(presenter.FRAME_COUNT + 1)]
    assert path[-1] == pytest.approx(path[0])
    steps_px = [math.dist(a[:2], b[:2]) * presenter.SIZE_PX / presenter.VIEW_PX for a, b in pairwise(path)]
    assert 0.05 < max(steps_px) < 1.5


def test_camera_never_leaves_the_portrait(presenter) -> None:
    edge = presenter.SIZE_PX - 1
    for frame in range(presenter.FRAME_COUNT):
        matrix = presenter.view(frame)
        for x, y in ((0, 0), (edge, 0), (0, edge), (edge, edge)):
            assert all(-2 <= place <= 513 for place in matrix @ (x, y, 1))


def test_presenter_is_the_same_every_time(presenter) -> None:
    first, again = next(presenter.frames()), next(presenter.frames())
    assert first.shape == (720, 720, 3)
    assert first.std() > 20
    assert (first == again).all()


@pytest.mark.ffmpeg
def test_presenter_is_a_tagged_clip_of_six_seconds(presenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presenter, "FRAME_COUNT", 10)
    clip = tmp_path / "presenter.mp4"
    presenter.write(clip)
    shown = "stream=nb_frames,r_frame_rate,pix_fmt,color_space,color_transfer,color_primaries,color_range"
    probe = ["ffprobe", "-v", "error", "-show_entries", shown, "-of", "json", str(clip)]
    (stream,) = json.loads(subprocess.run(probe, capture_output=True, check=True).stdout)["streams"]
    tags = [stream[key] for key in ("color_space", "color_transfer", "color_primaries", "color_range", "pix_fmt")]
    assert tags == ["bt709", "bt709", "bt709", "tv", "yuv420p"]
    assert (stream["nb_frames"], stream["r_frame_rate"]) == ("10", "25/1")


def show_films(repository: Path, root: Path, *names: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        repository / "scripts" / "demo" / "show_films.py",
        "--root",
        root,
        "--elapsed-ms",
        "5000",
    ]
    return subprocess.run([*command, *names], capture_output=True, text=True, check=False)


def put_film(root: Path, name: str) -> None:
    outbox = root / "outbox"
    outbox.mkdir(parents=True, exist_ok=True)
    (outbox / f"{name}.mp4").touch()
    (outbox / f"{name}.jpg").touch()
    facts = {"frames": 250, "fps": "25", "film_s": 10.0, "wall_s": 4.0, "engine": "atlas", "device": "cpu"}
    (outbox / f"{name}.mp4.json").write_text(json.dumps(facts | {"touched_frames": 240}), encoding="utf-8")


def test_demo_names_every_file_and_the_time_it_took(repository: Path, tmp_path: Path) -> None:
    put_film(tmp_path, "hello")
    put_film(tmp_path, "你好")
    run = show_films(repository, tmp_path, "hello", "你好")
    assert run.returncode == 0
    for name in ("hello.mp4", "hello.mp4.json", "hello.jpg", "你好.mp4", "你好.mp4.json", "你好.jpg"):
        assert str(tmp_path / "outbox" / name) in run.stdout
    assert "2 films of 20.0 s in all took 5.0 s" in run.stdout
    assert "0.25 s of work for each second of film" in run.stdout


def test_demo_fails_when_a_film_is_missing_and_says_why(repository: Path, tmp_path: Path) -> None:
    put_film(tmp_path, "hello")
    failed = tmp_path / "failed" / "你好__ABCDEFGH"
    failed.mkdir(parents=True)
    (failed / "REASON.txt").write_text("E131 No usable face\r\n", encoding="utf-8")
    run = show_films(repository, tmp_path, "hello", "你好")
    assert run.returncode == 1
    assert "missing" in run.stderr
    assert "E131" in run.stderr


def test_memory_bench_counts_children(script, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(repository / "scripts"))
    grandchild = "import time; block = bytearray(60_000_000); time.sleep(0.5)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}]); sys.exit(3)"
    peak = script("bench_memory").measure([sys.executable, "-c", child])
    assert 60_000_000 < peak.bytes < 200_000_000
    assert peak.exit_status == 3
