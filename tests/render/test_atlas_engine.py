from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
import skimage.data

from heygemd.errors import InputError
from heygemd.jobs.job import LengthPolicy, RenderOptions, VideoInfo
from heygemd.planning.timeline import plan_timeline
from heygemd.render.arrays import is_mapped
from heygemd.render.atlas import engine as atlas_engine
from heygemd.render.atlas.engine import Atlas
from heygemd.render.engine import Clip
from heygemd.render.faces.topology import NOSE, NOSE_ROWS, opening
from heygemd.render.faces.track import FaceTrack
from heygemd.render.faces.tracker import track_clip

FRAMES = 24
SHIFT_PX = 2
FPS = Fraction(25)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture(scope="module")
def film() -> list[np.ndarray]:
    """The astronaut's smiling face (public domain), moving a little to the side: I420 planes."""
    portrait = skimage.data.astronaut()[:, :, ::-1]
    frames = []
    for k in range(FRAMES):
        crop = portrait[0:240, 90 + k % 4 * SHIFT_PX : 330 + k % 4 * SHIFT_PX]
        frames.append(cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_BGR2YUV_I420))
    return frames


@pytest.fixture(scope="module")
def track(film) -> FaceTrack:
    track = track_clip(((k / 25, planes) for k, planes in enumerate(film)), lambda done: None)
    assert track.present.all()
    return track


@pytest.fixture(scope="module")
def engine() -> Atlas:
    return Atlas()


@pytest.fixture(scope="module")
def clip(engine, track) -> Clip:
    """A vowel that comes and goes three times a second."""
    times = np.arange(16_000) / 16_000
    buzz = np.sin(2 * np.pi * 140 * times) + 0.5 * np.sin(2 * np.pi * 700 * times)
    sound = (0.2 * buzz * (np.sin(2 * np.pi * 3 * times) > 0)).astype(np.float32)
    speech = engine.listen(sound)
    # What the net makes of a buzz is not the matter here: a known curve is.
    ticks = np.arange(len(speech["opening"]))
    speech["opening"] = speech["opening_soft"] = np.clip(np.sin(ticks / 4), 0, 1).astype(np.float32)
    speech["closure"] = speech["lipteeth"] = np.zeros_like(speech["opening"])
    speech["gate"] = np.ones_like(speech["opening"])
    timeline = plan_timeline(fps=FPS, tick_count=FRAMES, sound_s=Fraction(FRAMES, 25), policy=LengthPolicy.AUTO)
    info = VideoInfo(demuxer="mov", codec="h264", stream=0, fps=FPS, frame_count=FRAMES, width_px=240, height_px=240)
    return Clip(
        timeline=timeline,
        source_frames=np.arange(FRAMES, dtype=np.int32),
        track=track,
        speech=speech,
        video=info,
        options=RenderOptions(),
    )


@pytest.fixture(scope="module")
def performance(engine, clip):
    return engine.prepare(clip)


@pytest.fixture(scope="module")
def single_pass(performance, film) -> list[np.ndarray]:
    frames = [planes.copy() for planes in film]
    assert list(performance.render(0, frames)) == [True] * FRAMES
    return frames


def test_segments_in_any_order_equal_the_single_pass(engine, clip, film, single_pass):
    fresh = engine.prepare(clip)
    for start, stop in ((16, 24), (5, 6), (0, 5), (6, 16)):
        frames = [planes.copy() for planes in film[start:stop]]
        fresh.render(start, frames)
        for got, expected in zip(frames, single_pass[start:stop], strict=True):
            assert np.array_equal(got, expected)


def test_the_mouth_that_is_wanted_is_the_mouth_that_is_seen(performance, single_pass):
    seen = track_clip(((k / 25, planes) for k, planes in enumerate(single_pass)), lambda done: None)
    wanted = performance.targets.opening
    assert np.corrcoef(opening(seen.points), wanted)[0, 1] > 0.93
    assert wanted.std() > 0.04
    assert opening(seen.points)[wanted < 0.005].mean() < 0.03


def test_everything_above_the_middle_of_the_nose_and_beside_the_face_stays_untouched(film, single_pass, track):
    for before, after, points in zip(film, single_pass, track.points, strict=True):
        nose = int(points[NOSE_ROWS][NOSE.index(195), 1])  # the folds beside its wings follow the mouth
        assert np.array_equal(after[:nose], before[:nose])
        assert np.array_equal(after[:240, :6], before[:240, :6])


def test_absent_and_covered_frames_pass_through_with_a_fade(engine, clip, film):
    confidence, lips = clip.track.confidence.copy(), clip.track.lips_visible.copy()
    points = clip.track.points.copy()
    confidence[8], points[8], lips[15] = 0, np.nan, 0.3
    track = replace(clip.track, confidence=confidence, points=points, lips_visible=lips)
    performance = engine.prepare(replace(clip, track=track))
    frames = [planes.copy() for planes in film]
    touched = performance.render(0, frames)
    assert [k for k in range(FRAMES) if not touched[k]] == [8, 15]
    assert np.array_equal(frames[8], film[8])
    assert np.array_equal(frames[15], film[15])
    assert performance.targets.effect[7] == 0.25


def test_a_clip_without_a_usable_face_is_refused(engine, clip):
    covered = replace(clip.track, lips_visible=np.full(FRAMES, 0.2, np.float32))
    with pytest.raises(InputError) as caught:
        engine.prepare(replace(clip, track=covered))
    assert caught.value.code == "E131"


def test_a_loop_may_show_every_source_frame_twice(engine, clip, film):
    timeline = plan_timeline(fps=FPS, tick_count=FRAMES, sound_s=Fraction(2 * FRAMES, 25), policy=LengthPolicy.LOOP)
    order = np.array([timeline.tick_of(k) for k in range(2 * FRAMES)], np.int32)
    performance = engine.prepare(replace(clip, timeline=timeline, source_frames=order))
    frames = [film[order[FRAMES + 3]].copy()]
    assert list(performance.render(FRAMES + 3, frames)) == [True]


def test_memory_of_a_performance_stays_small(performance):
    targets = performance.targets
    arrays = (targets.opening, targets.width, targets.effect, performance.source_frames)
    assert sum(array.nbytes for array in arrays) / FRAMES < 30


@pytest.fixture
def kept_clip(clip, tmp_path):
    """The clip with a place to keep what is settled."""
    return replace(clip, settled_file=tmp_path / "settled.npz")


def test_what_was_settled_is_taken_by_the_next_worker(engine, kept_clip, film, single_pass, monkeypatch):
    clip = kept_clip
    first = engine.prepare(clip)

    def not_again(clip, pulse):
        raise AssertionError("it was settled already")

    monkeypatch.setattr(atlas_engine, "settle", not_again)
    for performance in (first, engine.prepare(clip)):
        assert is_mapped(performance.targets.opening)
        frames = [planes.copy() for planes in film[3:6]]
        performance.render(3, frames)
        assert all(np.array_equal(got, expected) for got, expected in zip(frames, single_pass[3:6], strict=True))
    assert list(clip.folder.iterdir()) == [clip.settled_file]


def test_what_was_settled_and_is_damaged_is_settled_anew(engine, kept_clip):
    before = np.array(engine.prepare(kept_clip).targets.opening)
    damaged = kept_clip.settled_file.read_bytes()[:-99]
    kept_clip.settled_file.unlink()  # a file that is mapped is never cut
    kept_clip.settled_file.write_bytes(damaged)
    np.testing.assert_array_equal(engine.prepare(kept_clip).targets.opening, before)


def test_a_film_that_cannot_be_settled_leaves_nothing(engine, kept_clip, tmp_path):
    covered = replace(kept_clip.track, lips_visible=np.full(FRAMES, 0.2, np.float32))
    with pytest.raises(InputError):
        engine.prepare(replace(kept_clip, track=covered))
    assert list(tmp_path.iterdir()) == []


def test_a_long_clip_gives_signs_of_life(engine, clip):
    beats = []
    engine.prepare(clip, lambda: beats.append(1))
    assert len(beats) >= 2
