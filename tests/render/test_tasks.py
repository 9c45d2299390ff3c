"""The three kinds of work, done in this process on a clip of ten frames."""

import hashlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from heygemd.errors import FaultError, InputError
from heygemd.jobs.job import EngineName, LengthPolicy
from heygemd.limits import Limits
from heygemd.media.frames import SourceVideo
from heygemd.media.probe import probe_audio, probe_video
from heygemd.planning.plan import Analysis, FilmFacts, RenderFacts, from_json
from heygemd.render import tasks
from heygemd.render.cache import load_arrays
from heygemd.render.faces.track import TRACKER_VERSION, FaceTrack
from heygemd.render.film import finish
from heygemd.render.passthrough import Passthrough
from heygemd.render.tasks import Stopwatch, analyse, render_segment, segment_facts, stage

pytestmark = pytest.mark.ffmpeg

LIMITS = Limits(stall_s=20, probe_wall_s=20)


class Darken(Passthrough):
    """Needs a face, hears the length of the sound, and paints every second frame black."""

    name = EngineName.ATLAS
    needs_face = True

    def __init__(self):
        self.heard = 0
        self.starts = []

    def listen(self, sound):
        self.heard += 1
        return {"count": np.array([len(sound)], np.float32)}

    def prepare(self, clip):
        self.clip = clip
        return self

    def render(self, start, frames):
        self.starts.append((start, len(frames)))
        painted = [(start + i) % 2 == 1 for i in range(len(frames))]
        for planes, is_painted in zip(frames, painted, strict=True):
            if is_painted:
                planes[:] = 128
        return painted


class Tracker:
    """Stands for `track_clip`: sees a face in the frames `seen`."""

    def __init__(self, seen=range(1000)):
        self.seen, self.calls = seen, 0

    def __call__(self, frames, progress):
        self.calls += 1
        pts = np.array([pts_s for pts_s, _ in frames])
        progress(len(pts))
        track = FaceTrack.without_face(pts)
        return replace(track, confidence=np.array([i in self.seen for i in range(len(pts))], np.float32))


@pytest.fixture
def tracker(monkeypatch):
    stand_in = Tracker()
    monkeypatch.setattr(tasks, "track_clip", stand_in)
    return stand_in


@pytest.fixture
def quiet():
    return lambda done, total: None


def frames_of(path):
    return [frame.planes for frame in SourceVideo(path, probe_video(path, LIMITS), LIMITS).decode()]


def files_of(order):
    return sorted(str(path.relative_to(order.work_dir)) for path in order.work_dir.rglob("*") if path.is_file())


def test_an_analysis_leaves_its_three_files_and_no_raw_sound(order, quiet):
    analysis, seconds = analyse(order, Passthrough(), LIMITS, quiet)
    assert (analysis.tick_count, analysis.source_frames, analysis.face_frames) == (10, 10, 0)
    assert files_of(order) == ["analysis.json", "order.json", "speech.npz", "track.npz"]
    assert from_json(Analysis, order.analysis_file.read_bytes()) == analysis
    assert sorted(seconds) == ["listen", "track"]
    np.testing.assert_allclose(FaceTrack.load(order.track_file).pts_s, np.arange(10) / 25, atol=1e-6)


def test_the_warnings_of_both_files_are_carried_on(order, quiet):
    order = replace(
        order,
        video_info=replace(order.video_info, warnings=("picture",)),
        audio_info=replace(order.audio_info, warnings=("sound",)),
    )
    assert analyse(order, Passthrough(), LIMITS, quiet)[0].warnings == ("picture", "sound")


def test_track_and_speech_are_made_once_for_the_same_files(order, tracker, quiet, tmp_path):
    engine = Darken()
    first, _ = analyse(order, engine, LIMITS, quiet)
    again = replace(order, work_dir=tmp_path / "again")
    again.work_dir.mkdir()
    assert analyse(again, engine, LIMITS, quiet)[0] == first
    assert (tracker.calls, engine.heard) == (1, 1)
    assert again.track_file.read_bytes() == order.track_file.read_bytes()
    assert load_arrays(again.speech_file)["count"] == [9600]
    assert (order.cache_dir / "tracks" / f"aa-{TRACKER_VERSION}.npz").exists()


@pytest.mark.parametrize("change", ["video_sha256", "audio_sha256"])
def test_another_file_is_looked_at_anew(order, tracker, quiet, change):
    engine = Darken()
    analyse(order, engine, LIMITS, quiet)
    analyse(replace(order, **{change: "other"}), engine, LIMITS, quiet)
    assert (tracker.calls, engine.heard) == ((2, 1) if change == "video_sha256" else (1, 2))


def test_another_version_of_the_engine_hears_anew(order, tracker, quiet):
    engine = Darken()
    analyse(order, engine, LIMITS, quiet)
    engine.version = "2"
    analyse(order, engine, LIMITS, quiet)
    assert (tracker.calls, engine.heard) == (1, 2)


def test_a_damaged_cache_is_made_anew(order, tracker, quiet):
    engine = Darken()
    analyse(order, engine, LIMITS, quiet)
    for kept in order.cache_dir.rglob("*.npz"):
        kept.write_bytes(b"damaged")
    analyse(order, engine, LIMITS, quiet)
    assert (tracker.calls, engine.heard) == (2, 2)
    assert load_arrays(order.speech_file)["count"] == [9600]


def test_a_clip_without_a_face_is_refused_but_only_by_an_engine_that_needs_one(order, tracker, quiet):
    tracker.seen = ()
    with pytest.raises(InputError, match="any of 10 frames") as caught:
        analyse(order, Darken(), LIMITS, quiet)
    assert caught.value.code == "E131"
    assert not order.analysis_file.exists()
    assert analyse(order, Passthrough(), LIMITS, quiet)[0].face_frames == 0


def test_a_face_in_one_frame_is_enough(order, tracker, quiet):
    tracker.seen = (7,)
    assert analyse(order, Darken(), LIMITS, quiet)[0].face_frames == 1


def test_the_look_for_a_face_reports_its_progress(order, tracker):
    told = []
    analyse(order, Darken(), LIMITS, lambda done, total: told.append((done, total)))
    assert told == [(10, 10)]


def test_a_stage_says_which_source_frame_each_film_frame_shows(order, make_plan, quiet):
    analyse(order, Passthrough(), LIMITS, quiet)
    engine = Darken()
    plan = make_plan(order)
    staged = stage(plan, engine)
    assert staged.plan_hash == plan.hash
    assert staged.clip.source_frames.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5, 4]


def rendered(order, make_plan, quiet, engine, *, batch=4, **plan_changes):
    """Analyses, plans and renders all segments."""
    analyse(order, Passthrough(), LIMITS, quiet)
    plan = make_plan(order, **plan_changes)
    staged = stage(plan, engine)
    facts = [
        render_segment(plan, segment, staged, batch_size=batch, limits=LIMITS, report=quiet)
        for segment in plan.segments
    ]
    return plan, facts


def test_segments_hold_the_frames_they_should(order, make_plan, quiet, tiny_clip):
    plan, facts = rendered(order, make_plan, quiet, Passthrough(), most=6)
    assert [segment.frame_count for segment in plan.segments] == [5, 5, 5]
    shown = [frame for s in plan.segments for frame in frames_of(plan.segments_dir / s.file_name)]
    source = frames_of(tiny_clip)
    expected = [source[i] for i in (*range(10), 8, 7, 6, 5, 4)]
    assert all(np.array_equal(a, b) for a, b in zip(shown, expected, strict=True))
    assert [(one.touched_frames, one.passed_frames) for one in facts] == [(0, 5)] * 3
    assert segment_facts(plan) == facts


@pytest.mark.parametrize("batch", [1, 512])
def test_an_engine_gets_its_frames_in_order_whatever_the_batch(order, make_plan, quiet, batch):
    engine = Darken()
    _, facts = rendered(order, make_plan, quiet, engine, batch=batch)
    assert [start for start, _ in engine.starts] == list(range(0, 15, batch))
    assert sum(count for _, count in engine.starts) == 15
    assert (facts[0].touched_frames, facts[0].passed_frames) == (7, 8)


def test_a_render_reports_after_each_batch(order, make_plan, quiet):
    told = []
    analyse(order, Passthrough(), LIMITS, quiet)
    plan = make_plan(order)
    note = lambda done, total: told.append((done, total))  # noqa: E731
    render_segment(plan, plan.segments[0], stage(plan, Passthrough()), batch_size=6, limits=LIMITS, report=note)
    assert told == [(6, 15), (12, 15), (15, 15)]


def test_a_segment_that_fails_half_way_leaves_no_film(order, make_plan, quiet):
    class Stumbles(Darken):
        def render(self, start, frames):
            if start >= 8:
                raise RuntimeError("a bug")
            return super().render(start, frames)

    with pytest.raises(RuntimeError, match="a bug"):
        rendered(order, make_plan, quiet, Stumbles())
    assert not [name for name in files_of(order) if name.startswith("segments")]


def test_a_picture_that_gives_fewer_frames_than_before_is_an_input_error(order, make_plan, quiet, monkeypatch):
    class Short(SourceVideo):
        def read(self, indexes, pts_s):
            frames = super().read(indexes, pts_s)
            return (frame for number, frame in enumerate(frames) if number < 8)

    monkeypatch.setattr(tasks, "SourceVideo", Short)
    with pytest.raises(InputError, match="8 of 15 frames") as caught:
        rendered(order, make_plan, quiet, Passthrough())
    assert caught.value.code == "E110"
    assert not [name for name in files_of(order) if name.startswith("segments")]


def finished(order, make_plan, quiet, **plan_changes):
    plan, _ = rendered(order, make_plan, quiet, Darken(), **plan_changes)
    finish(plan, LIMITS, "7", quiet)
    return plan, from_json(FilmFacts, plan.facts_file.read_bytes())


def test_a_finished_film_is_what_its_facts_say(order, make_plan, quiet):
    plan, facts = finished(order, make_plan, quiet, most=8)
    film = plan.film_file
    assert facts.sha256 == hashlib.sha256(film.read_bytes()).hexdigest()
    assert facts.size_bytes == film.stat().st_size
    assert (facts.frame_count, facts.fps, facts.width_px, facts.height_px, facts.duration_s) == (15, "25", 64, 48, 0.6)
    assert (facts.touched_frames, facts.passed_frames) == (7, 8)
    assert facts.versions["engine"] == "passthrough-7"
    assert plan.sheet_file.stat().st_size > 0
    assert len(frames_of(film)) == 15
    assert abs(probe_audio(film, LIMITS).duration_s - Fraction(6, 10)) < Fraction(1, 10)
    assert not list(order.work_dir.glob("*draft*"))
    finish(plan, LIMITS, "7", quiet)
    assert from_json(FilmFacts, plan.facts_file.read_bytes()).sha256 == facts.sha256, "it may be repeated"


def test_keep_video_makes_the_sound_as_long_as_the_picture(order, make_plan, quiet):
    order = replace(order, options=replace(order.options, length=LengthPolicy.KEEP_VIDEO))
    plan, facts = finished(order, make_plan, quiet)
    assert (facts.frame_count, facts.duration_s) == (10, 0.4)
    assert abs(probe_audio(plan.film_file, LIMITS).duration_s - Fraction(4, 10)) < Fraction(1, 10)


def test_a_film_that_is_not_what_was_planned_gets_no_name(order, make_plan, quiet, monkeypatch):
    def refuse(*args, **options):
        raise FaultError("E502", "a frame is missing")

    monkeypatch.setattr("heygemd.render.film.verify_film", refuse)
    with pytest.raises(FaultError, match="a frame is missing"):
        finished(order, make_plan, quiet)
    assert not [path for path in order.work_dir.iterdir() if path.name.startswith("film-")]


def test_segment_facts_are_those_left_beside_the_segments(order, make_plan, quiet):
    plan, _ = rendered(order, make_plan, quiet, Darken(), most=8)
    facts = segment_facts(plan)
    assert sum(one.touched_frames for one in facts) == 7
    assert all(isinstance(one, RenderFacts) for one in facts)


def test_a_stopwatch_adds_up_laps_of_the_same_stage():
    watch = Stopwatch()
    for stage_name in ("decode", "render", "decode"):
        watch.lap(stage_name)
    assert list(watch.seconds) == ["decode", "render"]
    assert all(value >= 0 for value in watch.seconds.values())
