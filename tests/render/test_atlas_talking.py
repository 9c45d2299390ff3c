"""A clip whose person speaks: the engine takes mouths from its other frames. And a still, which lives a little."""

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
import skimage.data

from heygemd.jobs.job import LengthPolicy, RenderOptions, VideoInfo
from heygemd.planning.timeline import plan_timeline
from heygemd.render.arrays import map_arrays
from heygemd.render.atlas.engine import Atlas
from heygemd.render.atlas.ways import OWN
from heygemd.render.cache import save_arrays
from heygemd.render.engine import Clip, Footage
from heygemd.render.faces.topology import opening
from heygemd.render.faces.tracker import track_clip
from heygemd.render.speech.mouth import MouthTracks

FRAMES = 40
FPS = Fraction(25)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def spoken(curve: np.ndarray) -> dict[str, np.ndarray]:
    """What the voice net would have heard: an opening (0..1) at each of the 25 frames of a second."""
    ticks = np.repeat(curve, 2).astype(np.float32)
    flat = {name: np.zeros_like(ticks) for name in MouthTracks.__dataclass_fields__ if name != "answers"}
    return flat | {"opening": ticks, "opening_soft": ticks, "gate": np.ones_like(ticks)}


def clip_of(frames: list[np.ndarray], curve: np.ndarray, **changes) -> Clip:
    timeline = plan_timeline(
        fps=FPS, tick_count=len(frames), sound_s=Fraction(len(curve), 25), policy=LengthPolicy.AUTO
    )
    rows, width = frames[0].shape
    info = VideoInfo(
        demuxer="mov", codec="h264", stream=0, fps=FPS, frame_count=len(frames), width_px=width, height_px=rows * 2 // 3
    )
    track = track_clip(((k / 25, planes) for k, planes in enumerate(frames)), lambda done: None)
    order = np.array([timeline.tick_of(k) for k in range(timeline.frame_count)], np.int32)
    clip = Clip(
        timeline=timeline, source_frames=order, track=track, speech=spoken(curve), video=info, options=RenderOptions(),
        seed=7,
    )  # fmt: skip
    return replace(clip, **changes)


def footage_of(clip: Clip, frames: list[np.ndarray], **changes) -> Footage:
    read = lambda rows: (frames[row].copy() for row in rows)  # noqa: E731
    return Footage(track=clip.track, video=clip.video, read=read, **changes)


@pytest.fixture(scope="module")
def engine() -> Atlas:
    return Atlas()


@pytest.fixture(scope="module")
def silent() -> list[np.ndarray]:
    """The astronaut's smiling face (public domain), moving a little to the side: I420 planes."""
    portrait = skimage.data.astronaut()[:, :, ::-1]
    crops = [portrait[0:240, 90 + k % 4 * 2 : 330 + k % 4 * 2] for k in range(FRAMES)]
    return [cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_BGR2YUV_I420) for crop in crops]


@pytest.fixture(scope="module")
def talking(engine, silent) -> list[np.ndarray]:
    """The same face, made to speak by the engine itself: slow vowels from shut to wide open."""
    curve = (1 - np.cos(np.arange(FRAMES) / 5)) / 2
    performance = engine.prepare(clip_of(silent, curve))
    frames = [planes.copy() for planes in silent]
    performance.render(0, frames)
    return frames


@pytest.fixture(scope="module")
def clip(engine, talking, tmp_path_factory) -> Clip:
    """Another voice for the talking clip, with its likeness as a worker maps it."""
    curve = (1 - np.cos(np.arange(FRAMES) / 3)) / 2
    clip = clip_of(talking, curve)
    file = tmp_path_factory.mktemp("likeness") / "likeness.npz"
    save_arrays(file, engine.study(footage_of(clip, talking)))
    return replace(clip, likeness=map_arrays(file))


@pytest.fixture(scope="module")
def performance(engine, clip):
    return engine.prepare(clip)


@pytest.fixture(scope="module")
def single_pass(performance, talking) -> list[np.ndarray]:
    frames = [planes.copy() for planes in talking]
    assert all(performance.render(0, frames))
    return frames


def test_mouths_are_taken_from_other_frames_where_they_fit_better(performance):
    first = performance.selection.first
    others = first[first != OWN]
    assert len(others) > FRAMES / 2
    distance = np.abs(performance.gallery.frames[others] - performance.source_frames[first != OWN])
    assert np.median(distance) >= 1


def test_the_mouth_that_is_wanted_is_the_mouth_that_is_seen(performance, single_pass):
    seen = opening(track_clip(((k / 25, planes) for k, planes in enumerate(single_pass)), lambda done: None).points)
    wanted = performance.targets.opening
    assert wanted.std() > 0.04
    assert np.corrcoef(seen, wanted)[0, 1] > 0.95
    assert seen[wanted < 0.005].mean() < 0.03


def test_segments_in_any_order_equal_the_single_pass(engine, clip, talking, single_pass):
    fresh = engine.prepare(clip)
    for start, stop in ((31, 40), (5, 6), (0, 5), (6, 31)):
        frames = [planes.copy() for planes in talking[start:stop]]
        fresh.render(start, frames)
        for got, expected in zip(frames, single_pass[start:stop], strict=True):
            assert np.array_equal(got, expected)


def test_a_person_who_never_speaks_keeps_the_mouth_of_each_frame(engine, silent):
    clip = clip_of(silent, np.ones(FRAMES))
    likeness = engine.study(footage_of(clip, silent))
    assert (engine.prepare(replace(clip, likeness=likeness)).selection.first == OWN).all()


def test_the_own_voice_is_heard_and_a_foreign_one_teaches_nothing(engine, clip, talking):
    asked = []

    def hear():
        asked.append(1)
        return engine.listen(np.random.default_rng(3).normal(0, 0.1, 16_000).astype(np.float32))

    likeness = engine.study(footage_of(clip, talking, hear=hear))
    assert asked == [1]
    assert not [name for name in likeness if name.startswith("readout_")]


@pytest.fixture
def still(silent) -> Clip:
    clip = clip_of(silent[:1], (1 - np.cos(np.arange(FRAMES) / 3)) / 2)
    return replace(clip, video=replace(clip.video, is_still=True))


def filmed(performance, planes: np.ndarray, rows=range(FRAMES)) -> list[np.ndarray]:
    frames = [planes.copy() for _ in rows]
    for row, frame in zip(rows, frames, strict=True):
        performance.render(row, [frame])
    return frames


def test_a_still_lives_and_each_frame_stands_for_itself(engine, still, silent):
    frames = filmed(engine.prepare(still), silent[0])
    eyes = slice(0, int(still.track.points[0, :40, 1].min()) - 40)
    motion = [np.abs(a[eyes].astype(int) - silent[0][eyes]).mean() for a in frames]
    assert max(motion) > 0.2, "nothing moves above the mouth"
    again = filmed(engine.prepare(still), silent[0], range(FRAMES - 1, -1, -1))[::-1]
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))


def test_a_still_that_shall_be_still_is(engine, still, silent):
    calm = replace(still, options=replace(still.options, idle_motion=False))
    nose = int(still.track.points[0, :40, 1].min()) - 40
    for frame in filmed(engine.prepare(calm), silent[0]):
        assert np.array_equal(frame[:nose], silent[0][:nose])
