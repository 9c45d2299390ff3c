"""The end of a film: its contact sheet without another decoding, and few processes."""

import numpy as np
import pytest
import structlog

from heygemd.media import child
from heygemd.render.analysis import analyse
from heygemd.render.film import finish
from heygemd.render.passthrough import Passthrough
from heygemd.render.sheet import SourceShots, chosen_frames, face_cell, load_shots
from heygemd.render.tasks import render_segment, stage
from tests.render.conftest import LIMITS
from tests.render.tasks_rig import Darken

pytestmark = pytest.mark.ffmpeg


@pytest.fixture
def plan(order, make_plan, quiet):
    """A film of 15 frames in three segments, rendered with every second frame painted grey."""
    analyse(order, Passthrough(), LIMITS, quiet)
    made = make_plan(order, most=5)
    staged = stage(made, Darken())
    for segment in made.segments:
        render_segment(made, segment, staged, batch_size=4, limits=LIMITS, report=quiet)
    return made


def shots_files(plan):
    return sorted(plan.segments_dir.glob("*.shots.npz"))


def finished(plan, quiet):
    """Finishes it; returns the bytes of its contact sheet and what was logged."""
    with structlog.testing.capture_logs() as logs:
        finish(plan, LIMITS, "7", quiet)
    return plan.sheet_file.read_bytes(), [entry["event"] for entry in logs]


def test_each_segment_keeps_the_source_of_its_columns(plan):
    assert [path.name for path in shots_files(plan)] == ["00000.shots.npz", "00001.shots.npz", "00002.shots.npz"]
    shown = chosen_frames(15)
    assert shown == [1, 3, 6, 8, 11, 13]
    assert sorted(load_shots(plan, shown)) == shown
    assert load_shots(plan, [2]) == {}


def test_the_sheet_is_the_same_with_and_without_them(plan, quiet):
    sheet, events = finished(plan, quiet)
    assert "render.shots_missing" not in events
    shots_files(plan)[0].unlink()
    shots_files(plan)[1].write_bytes(b"no archive")
    again, events = finished(plan, quiet)
    assert "render.shots_missing" in events
    assert again == sheet


def test_cells_of_another_kind_are_not_used(plan, quiet):
    sheet, _ = finished(plan, quiet)
    np.savez(shots_files(plan)[0], **{"1": np.zeros((3, 3), np.uint8), "3": np.zeros((320, 320, 3))})
    assert sorted(load_shots(plan, chosen_frames(15))) == [6, 8, 11, 13]
    assert finished(plan, quiet)[0] == sheet


def test_a_film_is_finished_by_three_processes(plan, quiet, monkeypatch):
    started = []
    plain = child.subprocess.Popen
    monkeypatch.setattr(child.subprocess, "Popen", lambda argv, **how: started.append(argv) or plain(argv, **how))
    finish(plan, LIMITS, "7", quiet)
    names = [next(word.rsplit("/", 1)[-1] for word in argv if word.endswith(("ffmpeg", "ffprobe"))) for argv in started]
    assert names == ["ffmpeg", "ffprobe", "ffmpeg"], "join, describe, decode once"


def test_what_is_seen_is_the_frame_before_it_is_painted(plan, quiet, order):
    staged = stage(plan, Darken())
    planes = np.full((72, 64), 90, np.uint8)
    shots = SourceShots(plan, plan.segments[1], staged.clip.track, staged.clip.source_frames)
    for frame in range(15):
        shots.see(frame, planes)
        planes[:] = 128 if frame % 2 else 90
    shots.save()
    cells = load_shots(plan, [6, 8])
    assert all(
        np.array_equal(cell, face_cell(np.full((72, 64), 128, np.uint8), staged.clip.track, 0))
        for cell in cells.values()
    )


def test_a_segment_that_shows_nothing_leaves_nothing(plan):
    staged = stage(plan, Darken())
    for path in shots_files(plan):
        path.unlink()
    empty = SourceShots(plan, plan.segments[0], staged.clip.track, staged.clip.source_frames)
    empty.see(2, np.zeros((72, 64), np.uint8))
    empty.save()
    assert shots_files(plan) == []
