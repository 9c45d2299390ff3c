"""Plans, tasks and events: what crosses a process border comes back as it was."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from heygemd.jobs.job import AudioInfo, ColourTags, EngineName, LengthPolicy, RenderOptions, VideoInfo
from heygemd.planning.plan import (
    Analysis,
    EngineChoice,
    Event,
    EventKind,
    FilmFacts,
    Order,
    Plan,
    RenderFacts,
    Task,
    TaskKind,
    from_json,
    to_json,
)
from heygemd.planning.segments import cut
from heygemd.planning.timeline import plan_timeline

texts = st.text(max_size=40)
"""hypothesis leaves lone surrogates out: JSON cannot carry them."""
counts = st.integers(0, 2**40)
seconds = st.dictionaries(texts, st.floats(0, 1e6), max_size=3)

events = st.builds(
    Event,
    kind=st.sampled_from(EventKind),
    job_id=texts,
    task=st.none() | st.sampled_from(TaskKind),
    segment=st.none() | counts,
    frames_done=counts,
    frames_total=counts,
    seconds=seconds,
    peak_vram_bytes=counts,
    device=texts,
    analysis=st.none() | st.builds(Analysis, tick_count=counts, face_frames=counts, source_frames=counts),
    error_code=st.none() | texts,
    message=texts,
    traceback=texts,
)


def an_order(**changes: object) -> Order:
    order = Order(
        job_id="20260101T000000000-abcdefghij",
        work_dir=Path("/state/work/20260101T000000000-abcdefghij"),
        cache_dir=Path("/state/cache"),
        video=Path("/in/张三.mp4"),
        video_sha256="a" * 64,
        video_info=VideoInfo(
            demuxer="mov,mp4,m4a,3gp,3g2,mj2",
            codec="h264",
            stream=0,
            fps=Fraction(30000, 1001),
            frame_count=300,
            width_px=1920,
            height_px=1080,
            colour=ColourTags(matrix="bt709", range="tv"),
        ),
        audio=Path("/in/你好.wav"),
        audio_sha256="b" * 64,
        audio_info=AudioInfo(demuxer="wav", codec="pcm_s16le", stream=0, rate_hz=44100, channels=1, sample_count=1),
        options=RenderOptions(),
        engine=EngineChoice(name=EngineName.ATLAS),
        max_segment_s=60.0,
    )
    return replace(order, **changes)  # type: ignore[arg-type]


def a_plan(order: Order, frame_count: int = 100) -> Plan:
    timeline = plan_timeline(
        fps=order.video_info.fps,
        tick_count=300,
        sound_s=frame_count / order.video_info.fps,
        policy=LengthPolicy.AUTO,
    )
    analysis = Analysis(tick_count=300, face_frames=300, source_frames=300, warnings=("odd size",))
    return Plan(order=order, analysis=analysis, timeline=timeline, segments=cut(frame_count, 40))


@given(events)
@settings(max_examples=60, deadline=None)
def test_an_event_survives_its_pipe(event: Event) -> None:
    line = to_json(event)
    assert "\n" not in line
    assert from_json(Event, line) == event


@pytest.mark.parametrize(
    "value",
    [
        Task(job_id="j", kind=TaskKind.RENDER, order_path=Path("/p"), segment=cut(10, 5)[1], device="cuda:1"),
        an_order(),
        a_plan(an_order()),
        RenderFacts(touched_frames=1, passed_frames=2, seconds={"render": 0.5}),
        FilmFacts(
            sha256="c", size_bytes=1, frame_count=1, fps="30000/1001", width_px=2, height_px=2, duration_s=0.03,
            audio_codec="aac", audio_copied=True, touched_frames=1, passed_frames=0, versions={"a": "b"},
        ),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_everything_that_is_saved_can_be_read_again(value: object) -> None:
    line = to_json(value)
    assert "\n" not in line
    assert from_json(type(value), line) == value


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"kind": "shout"}', b"\xff\xfe", '{"kind": "ready", "frames_done": "x"}']
)
def test_nonsense_is_no_event(text: str | bytes) -> None:
    with pytest.raises(ValidationError):
        from_json(Event, text)


def test_the_same_plan_has_the_same_hash_after_a_restart() -> None:
    plan = a_plan(an_order())
    assert from_json(Plan, to_json(plan)).hash == plan.hash
    assert len(plan.hash) == 12


@pytest.mark.parametrize(
    "change",
    [
        {"engine": EngineChoice(name=EngineName.WAV2LIP, weights=Path("/m/w.pth"), weights_sha256="d" * 64)},
        {"options": RenderOptions(crf=0)},
        {"video_sha256": "e" * 64},
        {"audio_sha256": "e" * 64},
        {"version": "another"},
    ],
)
def test_what_changes_a_pixel_changes_the_hash(change: dict[str, object]) -> None:
    assert a_plan(an_order(**change)).hash != a_plan(an_order()).hash


def test_segments_of_different_plans_never_meet() -> None:
    one, other = a_plan(an_order()), a_plan(an_order(), frame_count=99)
    assert one.segments_dir != other.segments_dir
    assert one.film_file != other.film_file
    assert one.segments_dir.parent == one.film_file.parent == one.order.work_dir
    assert {one.film_file.stem, one.sheet_file.stem, one.facts_file.stem} == {f"film-{one.hash}"}
