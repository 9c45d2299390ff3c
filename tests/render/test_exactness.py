"""What a lossless film proves: only the mouth changed, and segments leave no trace."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from heygemd.limits import Limits
from heygemd.media.frames import SourceVideo
from heygemd.media.probe import probe_video
from heygemd.render.faces.tracker import track_clip

pytestmark = [pytest.mark.ffmpeg, pytest.mark.slow]

LIMITS = Limits()


@pytest.fixture(scope="module")
def presenter(tmp_path_factory, repository):
    """Two seconds of the demo's presenter."""
    pytest.importorskip("skimage")
    folder = tmp_path_factory.mktemp("presenter")
    script = repository / "scripts" / "demo" / "make_presenter.py"
    subprocess.run([sys.executable, str(script), str(folder / "whole.mp4")], check=True, capture_output=True)
    cut = ["ffmpeg", "-v", "error", "-i", str(folder / "whole.mp4"), "-frames:v", "50", "-c:v", "libx264", "-crf", "12"]
    subprocess.run([*cut, "-bf", "3", str(folder / "face.mp4")], check=True)
    return folder / "face.mp4"


def lossless_film(folder, video, voice, name, *options):
    """Returns the film and its report."""
    film = folder / f"{name}.mp4"
    files = ["--video", str(video), "--audio", str(voice), "--output", str(film)]
    how = ["--engine", "atlas", "--crf", "0", "--preset", "ultrafast", "--json"]
    run = subprocess.run(
        [sys.executable, "-m", "heygemd", "render", *files, *how, *options],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "XDG_STATE_HOME": str(folder / "state")},
    )
    assert run.returncode == 0, run.stderr
    return film, json.loads(run.stdout)


@pytest.fixture(scope="module")
def films(tmp_path_factory, presenter, repository):
    """The same film in one pass and in three segments."""
    folder = tmp_path_factory.mktemp("films")
    voice = repository / "scripts" / "demo" / "voice_en.flac"
    whole, report = lossless_film(folder, presenter, voice, "whole")
    third = report["film_s"] / 3 + 0.05
    parts, other = lossless_film(folder, presenter, voice, "parts", "--segment-s", f"{third:.3f}")
    assert report["plan"] != other["plan"]
    return whole, parts, report


def frames(path):
    return [frame.planes for frame in SourceVideo(path, probe_video(path, LIMITS), LIMITS).decode()]


def test_three_segments_equal_a_single_pass_frame_by_frame(films):
    whole, parts, report = films
    one, three = frames(whole), frames(parts)
    assert len(one) == len(three) == report["frames"]
    assert [i for i, (a, b) in enumerate(zip(one, three, strict=True)) if not np.array_equal(a, b)] == []


def test_pixels_outside_the_lower_face_are_those_of_the_source(films, presenter):
    whole, _, report = films
    source, film = frames(presenter), frames(whole)
    info = probe_video(presenter, LIMITS)
    video = SourceVideo(presenter, info, LIMITS)
    track = track_clip((frame.pts_s, frame.planes) for frame in video.decode())
    last, height = len(source) - 1, info.height_px
    changed_frames = 0
    for index, planes in enumerate(film):
        lap = index % (2 * last)
        shown = lap if lap <= last else 2 * last - lap
        rows, columns = np.nonzero((planes != source[shown])[:height])
        if not len(rows):
            continue
        changed_frames += 1
        low, high = track.points[shown].min(0), track.points[shown].max(0)
        size = high - low
        assert rows.min() > low[1] + 0.35 * size[1], "nothing above the nose"
        assert rows.max() < high[1] + 0.5 * size[1]
        assert columns.min() > low[0] - 0.4 * size[0]
        assert columns.max() < high[0] + 0.4 * size[0]
    assert changed_frames > 0.5 * len(film), "the mouth moves"
    assert report["touched_frames"] == len(film)
