"""The work after the analysis, segments and the film, done in this process on a clip of ten frames."""

import hashlib
import itertools
import threading
import weakref
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from heygemd.errors import FaultError, InputError, ResourceError
from heygemd.jobs.job import LengthPolicy
from heygemd.media.child import living_pids
from heygemd.media.frames import SourceVideo
from heygemd.media.probe import probe_audio, probe_video
from heygemd.media.segment import SegmentWriter
from heygemd.planning.plan import FilmFacts, RenderFacts, from_json
from heygemd.render import tasks
from heygemd.render.analysis import analyse
from heygemd.render.faces.track import FaceTrack
from heygemd.render.film import finish
from heygemd.render.passthrough import Passthrough
from heygemd.render.pulse import unheard
from heygemd.render.sheet import chosen_frames, face_cell, load_shots
from heygemd.render.stopwatch import Stopwatch
from heygemd.render.tasks import render_segment, segment_facts, stage
from tests.render.conftest import LIMITS
from tests.render.tasks_rig import Darken, files_of

pytestmark = pytest.mark.ffmpeg


def frames_of(path):
    return [frame.planes for frame in SourceVideo(path, probe_video(path, LIMITS), LIMITS).decode()]


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


@dataclass
class Begins:
    """A film whose batches are begun and finished: what happened, in its order; one frame in three is painted."""

    said: list = field(default_factory=list)
    finished: list = field(default_factory=list)

    def render(self, start, frames):
        return self.begin(start, frames)()

    def begin(self, start, frames):
        self.said.append(("begin", start))
        assert not any(self.finished), "no batch that is done with holds a frame"
        return partial(self.finish, start, frames)

    def finish(self, start, frames):
        self.said.append(("finish", start))
        self.finished.append(frames)
        for number, planes in enumerate(frames, start):
            if number % 3 == 0:
                planes[:] = 16 + number
        return [number % 3 == 0 for number in range(start, start + len(frames))]


class Overlaps(Darken):
    """An engine of such films."""

    def prepare(self, clip, pulse=unheard):
        self.film = Begins()
        return self.film


def test_the_next_batch_is_begun_before_the_one_before_is_finished(order, make_plan, quiet, tiny_clip):
    engine = Overlaps()
    plan, facts = rendered(order, make_plan, quiet, engine, batch=4)
    waves = [("begin", 0), ("begin", 4), ("finish", 0), ("begin", 8), ("finish", 4), ("begin", 12), ("finish", 8)]
    assert engine.film.said == [*waves, ("finish", 12)]
    assert (facts[0].touched_frames, facts[0].passed_frames) == (5, 10)
    source = frames_of(tiny_clip)
    for number, planes in enumerate(frames_of(plan.segments_dir / plan.segments[0].file_name)):
        if number % 3 == 0:
            assert (planes == 16 + number).all()
        else:
            assert np.array_equal(planes, source[plan.timeline.tick_of(number)])


@pytest.mark.parametrize("engine", [Darken, Overlaps])
def test_segments_are_those_of_a_single_pass(order, make_plan, quiet, engine):
    whole, _ = rendered(order, make_plan, quiet, engine())
    parts, _ = rendered(order, make_plan, quiet, engine(), batch=3, most=8)
    one, many = ([f for s in p.segments for f in frames_of(p.segments_dir / s.file_name)] for p in (whole, parts))
    assert len(parts.segments) == 2
    assert all(np.array_equal(a, b) for a, b in zip(one, many, strict=True))


def test_the_contact_sheet_sees_every_frame_before_it_is_painted(order, make_plan, quiet, tiny_clip):
    plan, _ = rendered(order, make_plan, quiet, Overlaps(), batch=4, most=8)
    shown = chosen_frames(15)
    assert any(frame % 3 == 0 for frame in shown), "some of them are painted"
    cells, source, track = load_shots(plan, shown), frames_of(tiny_clip), FaceTrack.load(order.track_file)
    assert sorted(cells) == shown
    for frame in shown:
        tick = plan.timeline.tick_of(frame)
        assert np.array_equal(cells[frame], face_cell(source[tick], track, tick))


def test_no_more_frames_are_alive_than_belts_and_batches_hold(order, make_plan, quiet, monkeypatch):
    alive, most_alive = [], []

    class Frame(np.ndarray):
        pass

    class Source:
        def __init__(self, *args, **how):
            pass

        def read(self, indexes, pts_s):
            for _ in indexes:
                planes = np.zeros((72, 64), np.uint8).view(Frame)
                alive.append(weakref.ref(planes))
                most_alive.append(sum(ref() is not None for ref in alive))
                yield planes
                del planes

    class Writer:
        def __init__(self, path, **options):
            self.path = path

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.path.touch()

        def write(self, planes):
            assert isinstance(planes, Frame), "not copied on its way"

    analyse(order, Passthrough(), LIMITS, quiet)
    plan = make_plan(order)
    long = replace(plan.segments[0], stop=200)
    staged = stage(plan, Overlaps())
    staged = replace(staged, clip=replace(staged.clip, source_frames=np.zeros(200, np.int32)))
    monkeypatch.setattr(tasks, "SourceVideo", Source)
    monkeypatch.setattr(tasks, "SegmentWriter", Writer)
    facts = render_segment(plan, long, staged, batch_size=5, limits=LIMITS, report=quiet)
    assert facts.touched_frames == 67
    assert 10 < max(most_alive) <= 5 * 4 + 3, "two belts, two batches, one read, one written, one put"


@pytest.fixture
def studio(order, make_plan, quiet):
    """What `rendered` needs."""
    return order, make_plan, quiet


def fails_at(stage_name, monkeypatch):
    """Let one stage of the rendering fail in the middle; returns the engine for it."""
    if stage_name == "read":

        class Source(SourceVideo):
            def read(self, indexes, pts_s):
                yield from itertools.islice(super().read(indexes, pts_s), 6)
                raise InputError("E110", "the picture ends here")

        monkeypatch.setattr(tasks, "SourceVideo", Source)
    if stage_name in {"write", "write the last"}:

        class Writer(SegmentWriter):
            def write(self, planes):
                if self._frames == (6 if stage_name == "write" else 14):
                    raise ResourceError("E202", "the disk is full")
                super().write(planes)

        monkeypatch.setattr(tasks, "SegmentWriter", Writer)
    if stage_name == "close":
        close = SegmentWriter.__exit__

        def fail(self, kind, error, trace):
            close(self, ResourceError, ResourceError("E202", "the disk is full"), trace)
            raise ResourceError("E202", "the disk is full")

        monkeypatch.setattr(SegmentWriter, "__exit__", fail)

    class Paints(Overlaps):
        def prepare(self, clip, pulse=unheard):
            film = super().prepare(clip, pulse)
            if stage_name == "paint":
                film.finish = lambda start, frames: raise_(MemoryError("no room for a batch"))
            return film

    return Paints()


def raise_(error):
    raise error


@pytest.mark.parametrize(
    ("stage_name", "kind", "words"),
    [
        ("read", InputError, "ends here"),
        ("paint", MemoryError, "no room"),
        ("write", ResourceError, "disk is full"),
        ("write the last", ResourceError, "disk is full"),
        ("close", ResourceError, "disk is full"),
    ],
)
def test_whichever_stage_fails_it_is_heard_and_nothing_is_left(studio, monkeypatch, stage_name, kind, words):
    order = studio[0]
    threads = set(threading.enumerate())
    engine = fails_at(stage_name, monkeypatch)
    with pytest.raises(kind, match=words):
        rendered(*studio, engine, batch=2)
    assert set(threading.enumerate()) == threads
    assert not living_pids()
    left = [name for name in files_of(order) if name.startswith("segments")]
    assert all(name.endswith((".json", ".npz")) for name in left), "no segment, whole or part"
    assert bool(left) == (stage_name == "close")


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
